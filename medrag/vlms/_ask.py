"""What a question asks for: its sort, the finding and the places that it names, from its words alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from medrag._util.findings import label_of
from medrag._util.manner import LONGEST, plainly
from medrag._util.polarity import polarity
from medrag._util.remember import remembered
from medrag._util.spelling import in_full, mended
from medrag._util.text import plain_marks, plural
from medrag.vlms import _words as words

_WHAT = re.compile(r"^(?:what|which|who|when|where|why|how|define|describe|explain|list|name|tell)\b", re.IGNORECASE)
_VERB = r"(?:(?:is|are|was|were|does|do|did|has|have)(?:n't)?|any)\b"
_CLOSED = re.compile(
    rf"(?:^\W*(?:(?:and|but|so|then|ok|okay|now|also|well)\b[\s,]*)*|[,:;]\s*)(?P<verb>{_VERB})", re.IGNORECASE
)
_STOP = re.compile(
    rf"[?!](?=\s|$)|\.(?=\s+(?:[A-Z0-9]|(?i:{_VERB}))|\s*$)|\n(?=[^\S\n]*(?i:{_VERB}))"
)  # "3.5 cm" and "vs." go on
_WHICH = re.compile(r"\b(?:what|which|why|how)\b", re.IGNORECASE)
_REPORT = re.compile(
    r"\b(?:write|generate|draft|compose|give|provide|produce|create|dictate)\b.{0,300}?\b(?:report|findings|impression)\b"
    r"|^\W*(?:findings|impression|report)\b|^\W*what(?:'s| are| is) (?:the|your) (?:main |key )?(?:findings|impression)\b|^\W*describe (?:the|your) findings\b"
    r"|^\W*(?:please )?(?:describe|interpret|read|report|summari[sz]e) (?:on )?(?:the |this |these |my )?(?:chest )?(?:images?|films?|x-?rays?|radiographs?|pictures?|study|scans?|ct|mri?|slides?)(?=\W*$|,| (?:for|in|to|as|and)\b)"
    r"|^\W*describe(?: it| this)?\W*$|^\W*tell (?:me|us) (?:about|what (?:you|we) see (?:in|on)) (?:the |this |these |my )?(?:chest )?(?:images?|films?|x-?rays?|radiographs?|pictures?|study|scans?)\W*$"
    r"|^\W*what (?:do(?:es)?|can) (?:(?:you|we) see(?: (?:here|(?:in|on) (?:the|this) (?:chest )?(?:image|film|x-?ray|radiograph|picture|scan)))?|(?:the|this) (?:chest )?(?:image|film|x-?ray|radiograph|picture|study) show)\W*$",
    re.IGNORECASE | re.DOTALL,
)
_BROAD = re.compile(r"^\W*(?:differentials?|ddx)\W*$|^\W*(?:(?:most|likely|differential|main|primary|your) )*diagnos[ie]s\W*$|^\W*(?:what|name|list|tell|describe|identify|find)\b.*\b(?:abnormal\w*|patholog\w+|wrong|findings?|diagnos[ie]s|disease|problem|seen|shown|visible)\b", re.IGNORECASE)  # fmt: skip
_DEFINE = re.compile(r"^\W*(?:what(?:'s| is| are)|define|what does .{1,200}? mean|explain)\b", re.IGNORECASE)
_MEANS = re.compile(r"^\W*(?:what(?:'s| is| are) an?|define)\b|\bmean(?:s|t|ing)?\b", re.IGNORECASE)
_OF_PICTURE = re.compile(  # "what is …" asks of the picture: a place, the … of the …, "what is seen", "what is wrong"
    r"\b(?:in|on|at|near|behind|about|around|within|inside) (?:the|his|her)(?: [\w-]+){1,4}\W*$|\b(?:size|shape|position|volumes?|cali\w+|contours?)\W*$|\bthe(?: [\w-]+){1,3} of (?:the|his|her)(?: [\w-]+){1,4}\W*$"
    r"|^\W*what(?:'s| is| are) (?:in|on|at|near|behind|wrong|seen|shown|visible|present|there|happening|going|different|new|changed|abnormal|most|indicated|represented|\w+er,)(?!\w)|\b(?:left|right|here)\b",
    re.IGNORECASE,
)
_THE = re.compile(
    r"^\W*what(?:'s| is| are) (?:the|your|his|her) ", re.IGNORECASE
)  # a thing that is there to be seen, but for:
_GENERAL = re.compile(  # what books say of a thing, names of signs and scales
    r"\b(?:normal|usual|typical)\b|\b(?:causes?|treatments?|therap(?:y|ies)|symptoms?|signs?|functions?|roles?|definition|meaning|purpose|prevalence|incidence"
    r"|risks?|risk factors?|prognosis|mechanisms?|complications?|differences?|types?|stages|patho\w+|epidemiology|outlook|genetics?) (?:of|for|between|in)\b"
    r"|\w (?:signs?|syndrome|classification|scores?|criteri(?:a|on)|index|scale|doctrine|effect|phenomenon|test|law|triad)\W*$",
    re.IGNORECASE,
)
_WHICH_SIDE = re.compile(  # of what is there: "Is the pneumothorax on the right or left?"
    r"^\W*(?:is|are|was|were|does|do)\s+(?:the|this|these|it|they)\b.*\b(?:left|right)\b[\w\s,-]{0,30}\bor\b[\w\s-]{0,30}\b(?:left|right|both)\b(?:[ -](?:sided?|lung|hemithorax|lobe))?\W*$",
    re.IGNORECASE | re.DOTALL,
)
_CHOICE = re.compile(r"\b(?:yes or no|no or yes|yes/no)\b|\bor not\b", re.IGNORECASE)
_OR_NOT = re.compile(r"(?<=\w{3}),? (?:yes or no|yes/no|y/n|or not)\s*\??\s*$", re.IGNORECASE)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_LISTED = re.compile(r",\s*(?:or\b)?|\bor\b", re.IGNORECASE)
_ANOTHER = re.compile(r",\s*(?=(?:an?|any)\b)", re.IGNORECASE)  # "a small, round mass" is one thing
_ADJECTIVE = re.compile(r"(?:.{3}(?:ic|al|ous|ive|ed|ar|ary|able|ible|oid|less|ute|ild|ere|use|ign|(?<!m)ent)|ignant|moderate|new|old)$", re.IGNORECASE)  # fmt: skip
_CONTRACTED = re.compile(r"^\W*(?:is|are|was|were|do|does|did|has|have|had|can|could)n't\b", re.IGNORECASE)
_AWAY = re.compile(
    r"\b(?:in|on|at|of|that|which|indicat\w+|suggest\w*|consistent|due|with|without|from|along|near|throughout|to|as|for|within|over)\b",
    re.IGNORECASE,
)
_SOUGHT = re.compile(  # asks of something whether it is there: what is written in short is a finding
    r"^\W*(?:any\b|(?:is|are|was|were) (?:there|this|it|these)\b|(?:does|do) (?:(?:the|this) (?:patient|man|woman|film|image|x-?ray)|he|she|it|this) (?:have|show)\b|(?:is|are) (?:[\w-]+ ){1,3}(?:present|seen)\b)",
    re.IGNORECASE,
)
MOST = 8  # alternatives of one question
_LEAD = r"^\W*(?:(?:and|or|but|so|then|now|also|with|in|on|at)\b)"
_BARE = re.compile(
    rf"(?!{_LEAD})^\W*(?:(?P<frame>(?:any )?(?:signs?|evidence) of|free of) )?(?P<thing>[a-z][\w-]+(?: [\w-]+){{0,3}})\s*(?P<end>\??)\W*$",
    re.IGNORECASE,
)
_NONE = re.compile(  # "No fractures?", "no edema right"
    r"^\W*(?:so |and )?(?P<no>no|without) (?:evidence of |signs? of |acute )?(?P<thing>(?!evidence\b|signs?\b|cure\b|treatment\b|other\b|idea\b)[a-z][\w-]+(?: (?!right\W*$)[\w-]+){0,3}?)(?P<end>,? right\W*|,? (?:correct|ok)\W*|\W*)$",
    re.IGNORECASE,
)
_PRESENT = re.compile(
    rf"(?!{_LEAD})^\W*(?P<thing>(?!any\b|what\b|can\b|could\b)[a-z][\w-]+(?: [\w-]+){{0,3}}?) (?:is |are )?(?:present|seen|visible|there)\s*(?P<end>\??)\W*$",
    re.IGNORECASE,
)
_STATES = "clear|normal|enlarged|abnormal|adequate|rotated|midline|intact|unremarkable|elevated|widened|dilated|sharp|blunted|big|large|ok|okay|fine|deviated|shifted"
_STATE = re.compile(  # "Both lungs clear?"
    rf"^\W*(?:(?P<first>both|the|all) )?(?P<thing>(?!(?:is|are|was|were|it|this|that|any|or|and)\b)[\w-]+(?: (?!(?:is|are|or|and)\b)[\w-]+){{0,2}}) (?P<state>{_STATES})\s*\?\W*$",
    re.IGNORECASE,
)
_STATED = re.compile(  # "Big heart?"
    r"^\W*(?P<state>big|large|enlarged|dilated|normal|clear|widened) (?P<thing>(?:heart|lungs?|mediastinum|aorta|pleura|bones|hila)(?: size| fields?)?)\s*\?\W*$",
    re.IGNORECASE,
)
_SAME_STATE = {"ok": "normal", "okay": "normal", "fine": "normal", "big": "enlarged", "large": "enlarged"}
_TOLD_FIRST = re.compile(
    r"^\W*(?P<told>there(?:['’]s| is| are) [^,;.?]+)[,;.] ?(?:but|and|so) (?P<asked>(?:is|are|does|do|has) [^?]+\?\W*)$",
    re.IGNORECASE,
)
_ILLNESS = re.compile(  # names of diseases, and what else a film is asked for, of which no label knows
    r"\b(?:(?!diagnos|progno|hypothes)\w+(?:itis|osis|oma|omata|opathy|ectasis|thorax|megaly|penia|sclerosis|mediastinum|peritoneum)|cancer|tumou?rs?|malignancy|metastas[ei]s|mets|embol(?:ism|us|i)|aneurysms?|dissection|failure"
    r"|copd|asthma|disease|process|abnormalit(?:y|ies)|infection|abscess|empyema|infarct(?:ion)?|stroke|h(?:a)?emorrhage|bleed(?:ing)?|collapse|congestion|thickening|cavit(?:y|ies|ation)|lesions?|cysts?|calcifications?|clips|pacemaker|icd|free air"
    r"|devices?|foreign body|hardware|lines|tubes|fluid|dislocation|covid(?:-19)?|hyperinflation|lymphadenopathy|adenopathy)\s*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, taken apart: what sort it is, the finding and the places that it names."""

    text: str
    sort: str  # closed, define, open or report
    stems: tuple[str, ...]  # all content stems
    finding: tuple[str, ...]
    head: str  # the stem of the finding that must be there ("nodule" of "calcified nodule in the apex")
    sites: frozenset[str]
    negated: bool  # "Are the lungs free of effusion?"
    either: tuple[Ask, ...] = ()  # the findings of "A or B?", each by itself

    @property
    def topic(self) -> tuple[str, ...]:
        """The stems that name something: all but the framing words."""
        return tuple(stem for stem in self.stems if stem not in words.FRAME)

    @property
    def subject(self) -> tuple[str, ...]:
        """The stems of the thing that something is asked of: "How is scabies treated?" asks of scabies alone."""
        return tuple(stem for stem in self.topic if stem not in words.RELATIONS)

    @property
    def broad(self) -> bool:
        """Whether it asks for whatever is there to be seen: "What abnormality is shown?"."""
        said = {*self.stems} - words.stem_set("identify find important relevant striking obvious key principal")
        return self.sort == "open" and bool(_BROAD.match(self.text)) and said <= words.FRAME | words.SEEN

    @property
    def of_a_state(self) -> bool:
        """Whether it asks for a state of a place ("Is the heart enlarged?"), not for a thing."""
        return bool(self.finding) and all(stem in words.STATES for stem in self.finding)


def plain(question: str, pictured: bool = True) -> str:
    """The question without its manners, and one that is nothing but a finding's name as a question; ``pictured``: also a disease's, which a text alone is asked to tell of.

    >>> plain("Could you tell me if there is a nodule?"), plain("Pneumothorax"), plain("Normal?"), plain("Modality?")
    ('Is there a nodule?', 'Is there pneumothorax?', 'Is it normal?', 'Modality?')
    >>> plain("Both lungs clear?"), plain("Cardiomegaly yes or no"), plain("PTX?"), plain("Big heart?"), plain("No rib fx?"), plain("r/o PNA")
    ('Are both lungs clear?', 'Is there cardiomegaly?', 'Is there pneumothorax?', 'Is the heart enlarged?', 'Is there no rib fracture?', 'Is there pneumonia?')
    """
    text = mended(plainly(question, pictured))
    if len(text) > LONGEST:
        return text
    text = _OR_NOT.sub("?", _last_asked(text) if pictured else text)
    if _WHAT.match(text.strip()):
        return text
    if found := _CLOSED.match(text):
        return in_full(text) if found["verb"] and _SOUGHT.match(text) else text
    if found := _NONE.match(text):
        thing = in_full(found["thing"])
        ends = found["end"].strip()
        return (
            f"{'Are' if plural(thing) else 'Is'} there no {thing}?"
            if (ends or label_of(thing)) and _named(thing, pictured)
            else text
        )
    if state := _STATE.match(text) or _STATED.match(text):
        return _state_asked(state)
    if (bare := _PRESENT.match(text)) and (bare["end"] or label_of(in_full(bare["thing"]))):
        text = f"{bare['thing']}?"
    return _bare_asked(text, pictured)


def _last_asked(text: str) -> str:
    """Of a finding that is told and another that is asked for, the second: "There's no effusion, but is there a mass?"."""
    found = _TOLD_FIRST.match(text)
    return found["asked"] if found and label_of(found["told"]) and label_of(found["asked"]) else text


def _state_asked(state: re.Match[str]) -> str:
    """ "Lungs ok?" as "Are the lungs normal?"."""
    named, thing = state["state"].lower(), state["thing"].lower()
    first = (state.groupdict().get("first") or "the").lower()
    heart = named not in ("big", "large") or "heart" in thing
    return f"{'Are' if plural(thing) else 'Is'} {first} {thing} {_SAME_STATE.get(named, named) if heart else named}?"


def _bare_asked(text: str, pictured: bool) -> str:
    """A name alone as a question where it is one of a finding; "Pneumonia treatment" asks for none."""
    bare = _BARE.match(text)
    thing = in_full(bare["thing"]) if bare else ""
    if bare is None or not (bare["end"] or label_of(thing)):
        return text
    thing = _lower(thing)
    if thing in ("normal", "abnormal"):
        return f"Is it {thing}?"
    if not _named(thing, pictured):
        return text
    frame = (bare["frame"] or "").lower()
    if frame == "free of":
        return f"Is this free of {thing}?"
    return f"{'Are' if plural(frame.partition(' ')[0] or thing) else 'Is'} there {f'{frame} ' if frame else ''}{thing}?"


def _named(thing: str, pictured: bool) -> bool:
    """Whether a few words name something that may be there, and no more is asked of it."""
    if label_of(thing):
        return not words.stem_set(thing) & words.RELATIONS
    return (
        pictured
        and bool(_ILLNESS.search(thing))
        and not words.stem_set(thing) & (words.RELATIONS - words.stem_set("disease"))
    )


def _lower(thing: str) -> str:
    return f"{thing[:1].lower()}{thing[1:]}" if not thing[:2].isupper() else thing


@remembered(256)
def parse(question: str, pictured: bool = True) -> Ask:
    """What a question asks for, from its first words and its content words; a closed one from its own clause alone. ``pictured``: as in `defines`."""
    question = plain(question, pictured)
    lead, part = closed_part(question, pictured)
    if _REPORT.search(question) or (pictured and not question.strip()):  # a picture alone: what is on it?
        return _ask(question, "report")
    if part:
        place = words.stem_set(lead)  # "In the left lung, is there …" says where; what else is said before is not asked
        return _ask(part, "closed", place if place <= words.SITES | words.FRAME else frozenset())
    return _ask(question, "define" if defines(question, pictured) else "open")


def which_side(ask: Ask) -> bool:
    """Whether a question that begins as one of yes or no wants a side named.

    >>> which_side(parse("Is the mass on the left or right?")), which_side(parse("Is there a mass on the left or right?"))
    (True, False)
    """
    return ask.sort == "closed" and bool(_WHICH_SIDE.match(ask.text))


def sections(question: str) -> tuple[str, ...]:
    """The sections of a report that a question names; both where it names none.

    >>> sections("Write the impression."), sections("Write a report.")
    (('impression',), ('findings', 'impression'))
    """
    both = ("findings", "impression")
    return tuple(name for name in both if name in question.lower()) or both


def defines(question: str, pictured: bool = True) -> bool:
    """Whether it asks what something is, not what this picture shows. Without a picture "what is the …" asks of no thing that is there to be seen.

    >>> [defines(text) for text in ("What is the optic disc?", "What is the silhouette sign?", "What is the heart size?", "What is the modality?")]
    [True, True, False, False]
    """
    question = plain(question, pictured)
    if not _DEFINE.match(question) or re.search(r"\b(?:this|these)\b", question, re.IGNORECASE):
        return False
    if _MEANS.search(question):
        return True
    said = words.stem_set(question)
    if _OF_PICTURE.search(question) or said <= words.FRAME:
        return False
    return (
        not pictured or bool(_GENERAL.search(question)) or not _THE.match(question) or said <= words.FRAME | words.SITES
    )


def closed_part(question: str, pictured: bool = True) -> tuple[str, str]:
    """What a sentence says before its question, and the question from its verb on; both empty where none wants yes or no.

    >>> closed_part("A man with cough. No prior film, is there an effusion? He has no fever.")
    ('No prior film, ', 'is there an effusion?')
    """
    question = plain(question, pictured)
    if _WHAT.match(question.strip()):
        return "", ""
    bare = plain_marks(question)
    edges = [0, *(found.end() for found in _STOP.finditer(bare)), len(bare)]
    begun = [
        (*edge, verb.start("verb"))
        for edge in itertools.pairwise(edges)
        if (verb := _CLOSED.search(bare[slice(*edge)]))
    ]
    begun = [(low, low + at, high) for low, high, at in begun if not _WHICH.search(bare, low, low + at)]
    asked = [one for one in begun if bare[one[2] - 1] == "?"] or [
        one for one in begun if "?" not in bare or not bare[one[0] : one[1]].strip()
    ]
    low, at, high = asked[0] if asked else (0, 0, 0)
    return question[low:at].lstrip(), question[at:high]


def _ask(text: str, sort: str, places: frozenset[str] = frozenset()) -> Ask:
    said = (word.stem for word in words.content(plain_marks(text)) if not word.stem.endswith("n't"))
    stems = tuple(dict.fromkeys([*said, *sorted(places)]))
    things = [s for s in stems if s in words.STATES or not (s in words.FRAME or s in words.SITES or s.isdigit())]
    states = [s for s in things if s in words.STATES]
    named = [s for s in things if s not in words.STATES] or [s for s in states if s in words.ILL] or states
    sites = frozenset(s for s in stems if s in words.SITES)
    head = _head(text, named)
    either = _either(text, places) if sort == "closed" else ()
    return Ask(text, sort, stems, tuple(named), head, sites, _negated(text, head), either)


def _either(text: str, places: frozenset[str]) -> tuple[Ask, ...]:
    """The findings of "A, B or C?", each asked for by itself; none where there is but one ("focal or diffuse opacity")."""
    text = _CHOICE.sub("", text)
    pieces = (_LISTED if _OR.search(text) else _ANOTHER).split(text)
    if len(pieces) < 2:
        return ()
    tail = re.split(r"\b(?:in|on|at|within)\b", pieces[-1], maxsplit=1)[1:]
    where = words.stem_set(" ".join(tail)) & words.SITES  # "a mass or nodule in the right lung": both there
    own = [words.stem_set(piece) & words.SITES for piece in pieces]
    found = [
        _ask(piece, "closed", places | (frozenset() if sites else where))
        for piece, sites in zip(pieces, own, strict=True)
    ]
    found = [one for one in found if _is_whole(one)]
    return tuple(found) if 1 < len(found) <= MOST else ()


def _is_whole(ask: Ask) -> bool:
    """Whether it names a thing, or a state and its place, and no mere adjective."""
    last = [ask.text[word.start : word.end] for word in words.content(ask.text) if word.stem in ask.finding][-1:]
    return bool(last) and (bool(ask.sites) if ask.of_a_state else not _ADJECTIVE.search(last[0]))


def _negated(question: str, head: str) -> bool:
    """Whether "yes" denies the finding ("Are the lungs free of effusion?"); "yes or no" and "isn't there" turn nothing round."""
    span = next((word[1:] for word in words.content(question) if word.stem == head), None)
    if span is None:
        return False
    text = _CONTRACTED.sub(lambda found: f"{found[0][:-3]}   ", plain_marks(question))
    text = _CHOICE.sub(lambda found: " " * len(found[0]), text)  # every letter keeps its place
    low = max(text.rfind(mark, 0, span[0]) for mark in ".?!:") + 1
    high = min((at + 1 for mark in ".?!" if (at := text.find(mark, span[1])) >= 0), default=len(text))
    return polarity(text[low:high], (span[0] - low, span[1] - low)) == "absent"


def _head(question: str, named: Sequence[str]) -> str:
    """The last word of the finding before "in", "of", "that", "suggesting" and the like lead away from it."""
    found = [word for word in words.content(question) if word.stem in named]
    if not found:
        return ""
    turn = _AWAY.search(question, found[0].end)
    return [word.stem for word in found if turn is None or word.start < turn.start()][-1]
