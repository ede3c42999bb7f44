"""What a question is about, as a noun phrase that can stand in another question; rules over the forms of English questions."""

from __future__ import annotations

import re

from medrag._util.findings import label_of
from medrag._util.text import plural
from medrag._util.which_image import AUX, IMAGE
from medrag.vlms import _words
from medrag.vlms._ask import plain
from medrag.vlms._changed import CHANGE

LONGEST = 400  # characters; a longer text is no question that leans on another, nor one that is leaned on
DOES = r"(?:treat|cause|help|prevent|cure|affect|lead to|increase|decrease|reduce|lower|raise|improve|worsen|mean|produce|damage)"
ASKS = re.compile(rf"\b(?:{AUX}|what|which|who|whose|how|why|where|when)\b", re.IGNORECASE)
IT = re.compile(
    r"\b(?:it|its|this|that|these|those|they|them|(?<=there )ones?|(?<=have )ones?|the (?:finding|lesion|abnormality|disease|condition))\b",
    re.IGNORECASE,
)
_PROPERTY = re.compile(
    r"(?:the )?(?:(?:common|main|usual|typical|possible|normal|recommended|maximum|daily|first-line) )*(?:symptoms?|signs?|causes?|treatments?|therapy|complications?|prognosis|risks?|risk factors"
    r"|doses?|dosage|(?:side|adverse) effects?|contraindications?|indications?|interactions?|diagnosis|definition|incidence|prevalence|mechanism) (?:of|for) (?P<of>.+)"
    r"|(?:(?:the|an?|any) )?(?:(?:vaccine|shot|cure|(?:[\w-]+ )?tests?|remedy|treatment|outlook|life ?(?:expectancy|span)|survival(?: rate)?|mortality|frequency|stages|types|kinds|forms|triggers)"
    r" (?:of|for|against|with)|at risk (?:of|for)) (?P<for>.+)",
    re.IGNORECASE,
)
_NP = r"(?:(?:the|an?|any|some|his|her|this|both) )?(?:[\w-]+ ){0,4}?[\w-]+"
_THINGS = tuple(  # where the thing that a question is about stands in it
    re.compile(rf"^{form}\W*$", re.IGNORECASE)
    for form in (
        r"(?:is|are|was|were) there (?:still |also |any )*(?P<thing>[^?]+?)",
        r"(?:who|what|which [\w-]+|am i|are [\w-]+) (?:(?:is|are) )?(?:at (?:\w+ )?risk (?:of|for)|used to treat|gets?|affected by|helps against) (?P<thing>[^?]+?)",
        r"who (?:should|must|can|needs to|has to) (?:be|get) (?:\w+ ){1,2}(?:for|against) (?P<thing>[^?]+?)",
        r"(?:what|who|where|how [a-z]+)(?:['’]s| is| are| was| were) (?P<thing>[^?]+?)",
        r"(?:define|explain|describe) (?P<thing>[^?]+?)",
        rf"(?:what|who|(?:which|what) [\w-]+(?: [\w-]+){{0,2}}?) (?:(?:can|could|may|might|does|do) )?{DOES}s? (?P<thing>[^?]+?)",
        rf"how (?:is|are|does|do|can|could) (?P<thing>{_NP}) (?:(?:be )?\w+ed|look|looks|spread|develop|arise|work)(?: (?:on|in|at) [^?]+)?",
        rf"(?:can|could|may|should) (?P<thing>{_NP}) be \w+ed(?: (?:by|with|in|on) [^?]+)?",
        rf"how (?:do|can|should) (?:i|you|we|doctors) (?:treat|prevent|manage|diagnose|cure) (?P<thing>{_NP})",
        rf"what (?:does|do) (?P<thing>{_NP}) (?:do|look like|mean(?: for [^?]+)?)",
        rf"(?:on |in )?which (?:side|lobe|lung|zone|part|region)(?: of [^?]+?)? (?:is|are) (?P<thing>{_NP})(?: (?:on|in|at))?",
        rf"(?:does|do|did|has|have) (?:(?:the|this|that|the patient's) (?:chest )?(?:image|film|picture|scan|x-?ray|radiograph|study|patient)|he|she|it|this) (?:shows?|have|demonstrate|reveal|suggest|had|got) (?P<thing>{_NP}(?: (?:on|in|at) [^?]+)?)",
        r"(?:is|are|was|were) (?:it|this|these|there) free of (?P<thing>[^?]+?)",
        r"(?:is|was) (?:it|this) (?P<thing>[^?]+?)",
    )
)  # fmt: skip
ACTS = re.compile(rf"^(?:does|do|did|can|could|may|might|will) (?P<thing>{_NP}) {DOES}\b[^?]*\W*$", re.IGNORECASE)
_IS = re.compile(r"^(?:is|are|was|were|has|have) (?P<said>[^?]+?)\W*$", re.IGNORECASE)
_NOT_A_THING = re.compile(
    rf"\b(?:{AUX}|what|which|who|how|why|where|when|it|its|this|that|they|them|there|seen|shown|wrong|before|after|now|then|today|earlier|later|instead|otherwise"
    r"|else|another|patient(?!['’]s)|yesterday|time|please|thanks?|image|film|picture|german|french|spanish|italian|english|changed?|different|difference|compared?|the (?:new|same|other|next|last|first|second|third|previous))\b",
    re.IGNORECASE,
)
STATE = re.compile(  # what may be said of a thing: "is it large?", not "is it atelectasis?"
    rf"^(?:(?:very|too|still|also|already|markedly|slightly|more|most|likely|usually|often|always|on|in|at|due|because|caused|from|an?|the|only)\b|{CHANGE.pattern}|[\w-]+(?:ed|ing|ant|ible|able|ous|ile|ive|ic|ful|al|ar|ate)\b"
    r"|evident|apparent|prominent|persistent|patent|sharp|midline|benign|hereditary|deadly|autoimmune|serious|severe|mild|common|rare|big|large|small|bilateral|left|right|here|visible|present|acute|chronic|old|normal|clear|there|bigger|smaller|larger|unilateral|lethal|wide|thick)",
    re.IGNORECASE,
)
_SHOWN = re.compile(
    r" (?:present|visible|evident|apparent|seen|noted|identified|found|(?:on|in) (?:the|this) (?:chest )?(?:x-?ray|film|image|picture|scan|radiograph|ct|mri))\b",
    re.IGNORECASE,
)
_NO_NOUN = _words.stem_set(
    "left right bilateral upper lower middle posterior anterior lateral costophrenic"
) | _words.stem_set("evident visible present apparent prominent seen")
_RELATIONS = _words.RELATIONS | _words.stem_set(
    "vaccine vaccines vaccination vaccinated shot remedy life expectancy span outcome survive survived live living die food foods eat eating avoid avoided diet doctor doctors "
    "specialist screened screening tested hurt hurts painful contagious infectious catch hereditary curable cured treatable preventable fatal deadly severe worse trigger triggers "
    "available special pregnant pregnancy boy boys girl girls elderly newborn newborns teenager teenagers kids old young someone anyone everyone worry worried long-term affected surgery operation exercise sport travel work recover"
)
_AFTER = frozenset(
    "in on at of for since than now or and to with from by compared yet enough again instead otherwise".split()
)
_BEFORE = frozenset(
    "very too still also already markedly slightly more most likely usually often always on in at due because caused from only".split()
)


def thing(question: str) -> str:
    """What a question is about, in its own words with its article; empty where that cannot be made out.

    >>> [thing(text) for text in ("Is there a mass on the left?", "What causes asthma?", "Is the heart enlarged?", "What has changed?")]
    ['a mass on the left', 'asthma', 'the heart', '']
    """
    text = IMAGE.sub(" ", plain(question)).strip() if len(question) <= LONGEST else ""
    for form in (*_THINGS, ACTS):
        if (found := form.match(text)) and is_thing(named := _cut(found["thing"])) and not no_thing(disease_of(named)):
            return named
    bare = text.strip(" ?.!")
    known = label_of(bare) or whose(bare)  # "treatment of silicosis"
    alone = not ASKS.search(bare) and len(bare.split()) <= 5 and known and is_thing(bare)
    if alone:
        return bare
    return "" if no_thing(subject := _subject(text)) else subject


def no_thing(name: str) -> bool:
    """Whether words only say what is asked of a thing, or of whom: "the treatment", "a vaccine", "men".

    >>> [no_thing(text) for text in ("the best treatment", "Is there a vaccine?", "children", "a mass", "gout")]
    [True, True, True, False, False]
    """
    said = _words.stem_set(name)
    return bool(said & _RELATIONS) and said <= _RELATIONS | _words.FRAME


def whose(name: str) -> str:
    """What it is a property of: "the symptoms of asthma" → "asthma"; empty for what is none."""
    found = _PROPERTY.match(name)
    return found["of"] or found["for"] if found else ""


def disease_of(name: str) -> str:
    """What it is a property of in the end: "the side effects of the treatment of gout" → "gout"; a thing itself as it is."""
    while of := whose(name):
        name = of
    return name


def _cut(name: str) -> str:
    """Without "evidence of", and what says that it is to be seen: "granulomas visible on the film"."""
    name = re.sub(r"^(?:any )?(?:evidence|signs?) of ", "", name.strip(" ,."), flags=re.IGNORECASE)
    name = re.sub(r" (?:(?:caused|triggered|treated|spread|inherited) (?:by|from|with)|like)$", "", name)
    return _SHOWN.split(name, maxsplit=1)[0]


def _subject(text: str) -> str:
    """What a state is asked of: the heart of "Is the heart enlarged?"."""
    found = _IS.match(text)
    said = found["said"].split() if found else []
    for n in range(1, min(len(said), 7)):
        named, last = " ".join(said[:n]), said[n - 1].lower()
        if _states(said[n:]) and is_thing(named) and not _words.stem_set(last) <= _NO_NOUN and not last.endswith("ly"):
            return named
    return ""


def _states(said: list[str]) -> bool:
    """Whether the words say a state ("enlarged", "new since the last film"), and are not the rest of a name ("mediastinal contour wide")."""
    first, after = said[0].lower(), [word.lower() for word in said[1:2]]
    stated = bool(STATE.match(" ".join(said)) or _words.stem_set(first) & _words.STATES)
    return stated and first not in ("a", "an", "the") and (not after or after[0] in _AFTER or first in _BEFORE)


def is_thing(name: str) -> bool:
    """Whether words can stand for a thing in a question: a few, none of which leads elsewhere ("on …", "due to …")."""
    if re.match(r"(?:on|in|at|of|by|for|with|from|near|due|\w+ing (?:the|an?))\b", name, re.IGNORECASE):
        return False
    return bool(_words.stem_set(name)) and len(name.split()) <= 9 and not _NOT_A_THING.search(name)


def many(name: str) -> bool:
    """Whether a name is of several things, by the ending of its last word before "in", "of" and the like."""
    head = re.split(r"\s(?:in|on|at|of|with|that)\s", name.strip(), maxsplit=1)[0]
    if " and " in head:
        return True
    last = head.rsplit(None, 1)[-1].lower() if head else ""
    return len(last) > 3 and plural(last) and not last.endswith("oes")


def bare_of(name: str) -> str:
    """The name without its article: "a mass" → "mass"."""
    return re.sub(r"^(?:an?|the|any|some) ", "", name, flags=re.IGNORECASE)


def the(name: str) -> str:
    """The thing as one that was spoken of: "a mass" → "the mass"; what has no article stays, but for several."""
    if re.match(r"(?:an?|any|some) ", name, re.IGNORECASE) or (
        many(name) and not name.lower().startswith(("the ", "both "))
    ):
        return f"the {bare_of(name)}"
    return name
