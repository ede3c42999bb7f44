"""A question that leans on the one before, completed from it. Rules over the forms that people type; no model, no index.

Two rules hold: what comes out is a grammatical question that asks what was meant, and where none can be made the words are left
alone. `unclear` says of what is left whether anything is asked at all.
"""

from __future__ import annotations

import re

from medrag._util.findings import label_of, presence_asked, reading_asked
from medrag._util.manner import plainly
from medrag._util.text import words
from medrag._util.which_image import AUX
from medrag.agent.things import (
    ACTS,
    ASKS,
    DOES,
    LONGEST,
    STATE,
    bare_of,
    disease_of,
    is_thing,
    many,
    no_thing,
    the,
    thing,
    whose,
)
from medrag.agent.things import IT as IT
from medrag.agent.which_image import image_named as image_named
from medrag.agent.which_image import other_image
from medrag.agent.wording import PLACE, SIDE, agreeing, dressed, filled, is_there, nominal, of_a_place, placed
from medrag.vlms import _words
from medrag.vlms._ask import Ask, parse, plain
from medrag.vlms._changed import asks_change

_LEAD = re.compile(
    r"^\W*(?:(?:and|or|but|so|then|ok|okay|now|also|only|just|no|sorry|actually|i meant?)\b[\s,]*)*(?:(?:what|how) about\b\s*)?"
    r"(?:(?:the )?same(?: question| finding| thing)?(?: again)?\b\s*(?:(?:for|of|about)\b\s*)?)?",
    re.IGNORECASE,
)
_PICTURE = re.compile(  # there the pronoun stands for the picture: "Is this a sarcoma?", "Is it a PA view?", "Does it show a mass?"
    rf"\b(?:this|that|these|those)\s+(?:is\s+)?an?\b|\b(?:is|are) (?:this|these)\W*$|\bthis in (?:the |an? )?[\w-]+ plane\b|{IT.pattern}\s+(?:shows?|demonstrates?|reveals?|depicts?|ap|pa|ct|mri?)\b"
    rf"|{IT.pattern}\s+an?\s+(?:(?!(?:on|in|of|at)\b)[\w-]+\s+){{0,4}}(?:view|projection|film|scan|image|picture|radiograph|x-?ray)\b",
    re.IGNORECASE,
)
_CAN_BE = re.compile(  # asks what can be done, not what is
    r"^\W*(?:(?:and|but|so|then)\b\W*)?(?:can|could|may|should) (?:it|this|that|they|these) (?:also )?be (?:prevented|treated|cured|avoided|managed|diagnosed|inherited|transmitted|reversed|detected)\b",
    re.IGNORECASE,
)
_VERB = re.compile(rf"\b(?:{AUX}|{DOES}s?)\b", re.IGNORECASE)
NOUN = re.compile(
    r"\b(?:this|that|these|those)\s+(?!(?:mean|cause|happen|matter|affect|come)\b)(?:[a-z]{3,}|t[12]\b)", re.IGNORECASE
)
_ITS_OWN = re.compile(  # there it stands for nothing, for a thing that the question names, or in "a mass that is …"
    rf"\bit(?: be)? (?:possible|likely|true|necessary|important|safe|better|ok(?:ay)?) (?:to|that|for|if)\b|\bit[^\w\s]s\b"
    rf"|^\W*{AUX} (?:the|his|her|their) (?!finding\b|lesion\b|abnormality\b|disease\b|condition\b)\w|\bthe (?:finding|lesion|abnormality|disease|condition) (?:of|in|on|at|near|seen|that)\b"
    rf"|\b(?!{AUX}\b|(?:what|why|how|of|for|with|by|to|about|like|say|think)\b|caus|treat)[\w-]+ that {AUX}\b",
    re.IGNORECASE,
)
_WHERE = _words.stem_set(  # where in an organ, of itself no thing to ask about
    "left right bilateral upper lower middle base apex lobe zone side field region area hilum perihilar costophrenic angle posterior anterior lateral"
)
_LUNG = _words.stem_set("lung")
_AGENTS = re.compile(
    rf"^(?:what|which) (?P<who>[\w-]+s) (?P<does>(?:can |could |may |might )?{DOES}) (?P<what>[^?]+?)\W*$",
    re.IGNORECASE,
)
_OF_A_PLACE = re.compile(r"\b(?:normal|abnormal|clear|intact|unremarkable)\b", re.IGNORECASE)
_NOMINAL = re.compile(r"\b(?:caus\w+|mean|treat\w*|lead\w*|new|due)\b", re.IGNORECASE)
_HAD = re.compile(
    r"^(?:what(?:['’]s| are| is) )?(?:(?:the|its|their) )?(?P<noun>symptoms?|causes?|treatments?|therapy|complications?|signs?|prognosis|differential(?: diagnosis)?|risks?|risk factors|(?:side|adverse) effects?|contraindications?|interactions?)(?: of (?:it|that|this|them))?\W*$",
    re.IGNORECASE,
)
_OF_A_DRUG = re.compile(r"(?:side|adverse) effects?|contraindications?|interactions?", re.IGNORECASE)
_BOTH = re.compile(r"^bilaterally\W*$", re.IGNORECASE)
_OTHER_SIDE = re.compile(
    r"^(?P<in>(?:on|in) )?the (?:other|opposite) (?P<part>side|lung|hemithorax|kidney|breast|eye|hip|knee|shoulder)\W*$",
    re.IGNORECASE,
)
_NO_THING = re.compile(
    r"(?:elsewhere|nearby|describe|explain|define|list|show|tell|\w+(?:ally|iorly)$)\b", re.IGNORECASE
)
_IS_OR_WHERE = re.compile(r"(?:is|are|was|were|where)\b", re.IGNORECASE)
_OR_ANOTHER = re.compile(
    r"^(?:could|might|may|can|is) (?:it|this|that) (?:(?:also|rather|just|not) )?(?:be )?(?P<other>[^?]+?)(?: instead| rather| then)?\W*$",
    re.IGNORECASE,
)
_SIZED = re.compile(
    r"^(?:not )?(?:even )?(?:an? )?(?P<size>small|tiny|little|minimal|minor|trace|mild|slight|subtle|large|big)(?: one| bit)\W*$",
    re.IGNORECASE,
)
_OF_DISEASE = re.compile(  # said of a disease, not of its symptoms
    r"\b(?:prevent\w*|cur(?:e|ed|able)|treat\w*|diagnos\w*|caus\w+|hereditary|genetic|inherited|contagious|infectious|spread|common|rare|fatal|deadly|serious|dangerous|get|gets|catch|die|live|hurts?|painful|come back|go away|recur|starts?|begins?|progress|(?:against|for|with) (?:it|this|that))\b",
    re.IGNORECASE,
)
IN_SOME = re.compile(
    r" in (?:pregnancy|the elderly|(?:[\w-]+ )?(?:children|adults|women|men|infants|babies|newborns|girls|boys|people|teenagers))(?=\W*$)",
    re.IGNORECASE,
)
_ALSO = re.compile(r"^\W*(?:(?:and|but|so|then)\b\W*)?(?:also|only|just)\b\W*", re.IGNORECASE)
_BY_WORD = re.compile(
    r"^(?:(?P<where>where)(?: exactly)?|(?P<how>how (?:large|big|severe|common|long|many))|(?:on )?(?P<side>which side)|(?P<part>in which [a-z]+)|which (?P<site>lobe|lung|zone))\W*$",
    re.IGNORECASE,
)
_OWN = re.compile(r"^\W*(?:if|since|because|should|in case)\b|\bthere (?:is|are) an?\b", re.IGNORECASE)
_CHAT = re.compile(
    r"^\W*(?:thanks?(?: you)?|thx|ok(?:ay)?|yes|no|yep|nope|good|great|fine|hello|hi|hey|bye|sorry|hm+|test|please|really|cool|nice)?(?: (?:very much|a lot|so much|then|you))*\W*$",
    re.IGNORECASE,
)
_TONGUE = re.compile(  # another language, or that the answer should be in one
    r"^\W*(?:in|auf|en|en el) (?:german|french|spanish|italian|english|deutsch|français|francais|español)\b"
    r"|^\W*(?:et|ou|y|est|sont|hay|où|qu|que|qui|por|pour)\b['’ ]+(?:[\w-]+['’ ]+)?(?:le|la|les|un|une|il|ce|el|los|las|du|au)\b|^\W*(?:qu|c|l|d)['’]"
    r"|^\W*(?:und|oder|ist|sind|gibt|hat|wo|wie|was)\b (?:[\w-]+ )?(?:der|die|das|ein|eine|es)\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(r"^\W*(?:(?:and|but|so)\b\W*)?(?:what|how) about\b", re.IGNORECASE)
_FRAGMENT = re.compile(
    r"^\W*(?:and|or|but|so|then|also|only|just|(?:the )?same|on|in|at|of|by|for|with|from)\b",
    re.IGNORECASE,
)
_AT = re.compile(r"\W*(?:on|in|at|of|by|for|with|from)\b", re.IGNORECASE)
_FOLLOWS = re.compile(
    r"\b(?:caus\w+|treat\w*|prevent\w*|mean|spread|lead\w*|due to|new|bigger|larger|smaller|grown|shrunk|how (?:big|large|severe|many|much))\b",
    re.IGNORECASE,
)


def completed(question: str, before: str) -> str:
    """A question that leans on the one before, with what it leaves out; one that stands alone, or that nothing completes, as it is.

    >>> completed("and on the left?", "Is there a pleural effusion on the right?")
    'Is there a pleural effusion on the left?'
    >>> completed("What about a mass?", "Is there a pleural effusion?")
    'Is there a mass?'
    >>> completed("and the lungs?", "Is the heart enlarged?"), completed("and in the liver?", "Is there a pleural effusion?")
    ('Are the lungs normal?', 'and in the liver?')
    """
    if max(len(question), len(before)) > LONGEST:
        return question
    return whole_of(question, before) or asked(question)


def whole_of(question: str, before: str) -> str:
    """As `completed`; empty where the question before completes nothing."""
    question, before = asked(question), plain(before).strip()
    rest = _LEAD.sub("", question, count=1).strip()
    led = len(rest) < len(question.strip())
    if not before or unclear(before):
        return is_there(rest.rstrip("?. ")) if led and label_of(rest) and not ASKS.search(rest) else ""
    rest = _other_side(rest, before)
    if not words(rest):
        return before if re.search(r"\b(?:same|now)\b", question, re.IGNORECASE) else ""
    for form in (other_image, _the_side, _the_place, _the_words, _or_another, _a_small_one, _the_pronoun):
        if whole := form(rest, before, led):
            return whole
    return _the_other(rest, before) if led and not ASKS.search(rest) else ""


def asked(question: str) -> str:
    """The question without its manners; "the same for pneumonia" is of the question before, not whether there is such a thing."""
    if _CAN_BE.match(question):
        return question
    said = plainly(question)
    rest = _LEAD.sub("", said, count=1)
    return said if len(rest) < len(said.strip()) and not ASKS.search(rest) else plain(question)


def _other_side(rest: str, before: str) -> str:
    """The side that "the other side" is, where the question before names one; "bilaterally" is both."""
    if _BOTH.match(rest):
        return "on both sides?"
    found, sides = _OTHER_SIDE.match(rest), {side.lower() for side in SIDE.findall(before)}
    if not found or len(sides) != 1 or not sides < {"left", "right"}:
        return rest
    side = ({"left", "right"} - sides).pop()
    if found["part"].lower() == "side":
        return f"on the {side}?"
    return f"{found['in'] or ''}the {side} {found['part']}?"


def unclear(question: str) -> bool:
    """Whether no question can be made out: a piece of one ("left?", "and before?", "no"), or one whose pronoun stands for nothing ("what causes it?").

    >>> [unclear(text) for text in ("left?", "no", "in German please", "Modality?", "Is it normal?", "What causes it?")]
    [True, True, True, False, False, True]
    """
    if len(question) > LONGEST:
        return False
    if _CHAT.match(question) or _tongue(question):
        return True
    text = plain(_ALSO.sub("", question, count=1) or question)
    ask, named = parse(text), _words.stem_set(text)
    if ask.sort == "report" or ask.broad or reading_asked(text)[0]:
        return False
    if _ABOUT.match(text):
        return True
    if not ASKS.search(text):
        return bool(_FRAGMENT.match(text)) or not named or (bool(named & _WHERE) and named <= _WHERE | _words.FRAME)
    if (
        len(text.split()) <= 5 and not _VERB.search(text) and (ASKS.match(text) or _AT.match(text))
    ):  # "where?", "how large?", "by how much?"
        return empty(text) or (ask.of_a_state and not ask.sites) or bool(_AT.match(text))
    return empty(text) and bool(IT.search(text) and _FOLLOWS.search(text))


def _tongue(question: str) -> bool:
    """Whether it is in another language, or asks to be answered in one: no English question follows ("C'mon, is there a mass?")."""
    found = _TONGUE.search(question)
    return bool(found and not ASKS.search(question, found.end()))


def empty(question: str) -> bool:
    """Whether no word names anything that could be looked for: "what causes it?", "What is seen?"."""
    topic = parse(question).topic
    return not topic or (len(topic) < 2 and bool(IT.search(question)) and not NOUN.search(question))


def _the_side(rest: str, before: str, led: bool) -> str:
    """The question before, of the other side, that stands alone: "left?", "bilateral?"."""
    if not re.match(r"^(?:the )?(?:left|right|bilateral|both)(?: sides?)?\W*$", rest, re.IGNORECASE):
        return ""
    if not _sided(before) and not asks_change(before):
        return ""
    if re.search(r"bilateral|both", rest, re.IGNORECASE):
        return placed(before, "on both sides")
    return placed(before, rest)


def _sided(before: str) -> bool:
    """Whether it makes sense on one side: a thing or a state that a picture shows."""
    return parse(before).sort in ("closed", "open") and bool(thing(before)) and not ACTS.match(before)


def _the_place(rest: str, before: str, led: bool) -> str:
    """The question before, of another place; of another organ, whether that is normal."""
    ask, then = parse(rest), parse(before)
    where = re.match(r"(?:on|in|at|of)\b", rest, re.IGNORECASE)
    sites = _words.stem_set(re.sub(r"\bboth\b", "", rest, flags=re.IGNORECASE))
    if not (led or where) or ASKS.search(rest) or _NO_THING.match(rest.rstrip("?. ")):
        return ""
    if where and not sites & _words.SITES:
        return _among(rest, before)
    if sites and sites <= _words.SITES and asks_change(before):  # "and the lungs?" after "What has changed?"
        return placed(before, rest)
    if not sites or not sites <= _words.SITES or then.sort == "define":
        return ""
    organs = sites - _WHERE - (frozenset() if _whole_lungs(rest, then) else _LUNG)
    if organs <= then.sites and _sided(before):
        return placed(before, rest)
    return "" if where else of_a_place(rest, ask)


def _whole_lungs(rest: str, then: Ask) -> bool:
    """Whether "the lungs" are a thing of their own, no place of what was asked: after "Is the heart enlarged?"."""
    return then.of_a_state or not re.search(r"\b(?:in|on|at|of|both|left|right)\b", rest, re.IGNORECASE)


def _among(rest: str, before: str) -> str:
    """What a book was asked, of some only: "and in children?"."""
    named = thing(before)
    shown = parse(before).sort == "closed" and (reading_asked(before)[0] or _words.stem_set(named) <= _words.SITES)
    if not named or shown or _TONGUE.search(rest) or re.search(r"\bthere\b", before, re.IGNORECASE):
        return ""
    fits = re.match(r"in [a-z]+(?: [a-z]+){0,2}\W*$", rest) and is_thing(rest[3:].rstrip("?. "))
    return f"{IN_SOME.sub('', before).rstrip('?. ')} {rest.rstrip('?. ')}?" if fits else ""


def _the_words(rest: str, before: str, led: bool) -> str:
    """What is asked by a word or two of the thing before: "where?", "how large?", "symptoms?"."""
    named = thing(before)
    if not named or (not _BY_WORD.match(rest) and not _HAD.match(rest)):
        return ""
    if found := _HAD.match(rest):
        one = not found["noun"].endswith("s") or found["noun"].endswith("sis")
        of = whose(named) or nominal(before) or named
        if _OF_A_DRUG.match(found["noun"]) and not _may_be_a_drug(before, of):
            return ""
        return f"What {'is' if one else 'are'} the {found['noun'].lower()} of {of}?"
    found = _BY_WORD.match(rest)
    if parse(before).sort == "define" or not found or (found["how"] and whose(named)):
        return ""
    verb = "are" if many(named) else "is"
    if found["where"]:
        return f"Where {verb} {the(named)}?"
    if found["side"]:
        return f"Which side {verb} {PLACE.sub('', the(named))} on?"
    if found["site"]:
        return f"Which {found['site'].lower()} {verb} {PLACE.sub('', the(named))} in?"
    if (found["how"] or "").lower() == "how many":
        return f"How many {bare_of(named)} are there?" if many(named) else ""
    if (found["how"] or "").lower() == "how long" and not _IS_OR_WHERE.match(before):  # to treat it? it lasts?
        return ""
    return f"{(found['how'] or found['part']).capitalize()} {verb} {the(named)}?"


def _may_be_a_drug(before: str, named: str) -> bool:
    """Whether a question is about something that may have side effects: the dose of it, what it treats, what it is; no finding."""
    asked = re.search(r"\b(?:dos\w+|(?:side|adverse) effects?|(?:contra)?indications?|interactions?) of\b", before)
    return not label_of(named) and bool(asked or ACTS.match(before) or parse(before).sort == "define")


def _the_pronoun(rest: str, before: str, led: bool) -> str:
    """The question with its pronoun's thing: "how is it treated?"."""
    rest = re.sub(r"\s+(?:instead|rather)(?=\W*$)", "", rest, flags=re.IGNORECASE)
    named = _meant(rest, thing(before))
    if not leans(rest) or not named or not ASKS.search(rest):
        return "" if "another one" not in rest.lower() or not named else filled(rest, named)
    if (agents := _AGENTS.match(before)) and re.search(r"\bthey\b", rest, re.IGNORECASE):
        return re.sub(
            r"\bthey\b", f"{agents['who']} that {agents['does']} {agents['what']}", rest, count=1, flags=re.IGNORECASE
        )
    if set(parse(rest).finding) & (set(parse(named).finding) - _words.FRAME):
        return ""
    said = re.match(rf"^{AUX}\s+(?:it|this|that|they|these|those)\s+(?P<state>.+?)\W*$", rest, re.IGNORECASE)
    verb = said and re.match(r"^(?:is|are|was|were)\b", rest, re.IGNORECASE)
    if verb and not _fits(said["state"], named):  # type: ignore[index]
        return rest
    if parse(rest).sites & (_WHERE | _LUNG):  # it has a place of its own
        named = " ".join(SIDE.sub("", re.sub(rf"(?:{PLACE.pattern})$", "", named, flags=re.IGNORECASE)).split())
    if _NOMINAL.search(rest):
        state = nominal(before)
        if not state and _words.stem_set(named) <= _words.SITES:  # nothing causes a heart
            return ""
        named = state or named
    return filled(rest, named)


def _meant(rest: str, named: str) -> str:
    """The disease itself, where a pronoun does not stand for its symptoms: "how is it treated?" after "the symptoms of gout"."""
    of, own = disease_of(named), bool(_OF_DISEASE.search(rest))
    several = re.search(r"\b(?:they|them|these|those)\b", rest, re.IGNORECASE)
    return of if (many(of) and own if several else many(named) or own) and whose(named) else named


def _of_a_finding(before: str) -> bool:
    """Whether it asks if something is there, wherever: "Is there an effusion on the left?"."""
    named = bare_of(PLACE.sub("", thing(before)))
    there = re.match(r"(?:is|are|was|were) (?:there|it|this)\b", before, re.IGNORECASE)
    return parse(before).sort == "closed" and bool(named) and bool(there or label_of(named))


def _or_another(rest: str, before: str, led: bool) -> str:
    """Whether another finding is there: "or could it be a mass?"."""
    found = _OR_ANOTHER.match(rest) if led and _of_a_finding(before) else None
    other = found["other"] if found else ""
    stated = STATE.match(bare_of(other)) and not label_of(other)
    return is_there(other) if found and is_thing(other) and not stated else ""


def _a_small_one(rest: str, before: str, led: bool) -> str:
    """Whether the finding is there in another size: "not even a small one?"."""
    found, named = _SIZED.match(rest), bare_of(thing(before))
    return (
        is_there(f"{'' if many(named) else 'a '}{found['size'].lower()} {named}")
        if found and named and _of_a_finding(before)
        else ""
    )


def leans(question: str) -> bool:
    """Whether its pronoun stands for what was asked before: not for the picture, nor for a finding that the question names itself."""
    if not IT.search(question) or any(form.search(question) for form in (NOUN, _PICTURE, _ITS_OWN, _OWN)):
        return False
    return not presence_asked(IT.sub("this", question))


def _fits(state: str, named: str) -> bool:
    """Whether a state can be one of the thing: "large" of an effusion; "pericardial effusion" is another thing, "normal" a place's state."""
    if _OF_A_PLACE.search(state):
        return bool(_words.stem_set(named) & _words.SITES) and not parse(f"Is there {named}?").finding
    return bool(STATE.match(state)) and not (label_of(state) or label_of(state.split()[-1]))


def _of_another(before: str, of: str, other: str) -> str:
    """The same property of another thing; empty for another property, and for a piece of a name: "and type 1?"."""
    own, new = of.lower().split(), other.lower().split()
    like = len(own) == len(new) and own[0] == new[0]  # "and hepatitis C?" of hepatitis B
    piece = _words.stem_set(other) & _words.stem_set(of) and own[-1] not in new and not like
    if piece or whose(f"{other} of it") or _words.stem_set(other) <= _words.SITES:
        return ""
    return before.replace(f" {of}", f" {other}", 1)


def _the_other(rest: str, before: str) -> str:
    """The question before with another thing in the place of its own: "and a mass?"."""
    other, named = rest.rstrip("?. "), thing(before)
    other = re.sub(r"\s+(?:too|there|as well)$", "", other, flags=re.IGNORECASE)
    other = re.sub(r"^(?:for|of) ", "", other, flags=re.IGNORECASE) if whose(named) else other
    if no_thing(other) or not is_thing(other) or len(other.split()) > 6 or _AT.match(other) or _NO_THING.match(other):
        return ""
    if of := whose(named):
        return _of_another(before, of, other)
    alone = not named or not ASKS.search(before) or _OF_A_PLACE.search(before)  # no effusion is normal
    if re.match(r"(?:is|are|was|were) there\b", before, re.IGNORECASE) or (alone and label_of(other)):
        return is_there(other)
    if not named or _words.stem_set(other) & _words.stem_set(
        before.replace(named, "")
    ):  # "and type 1?" of which part of it?
        return ""
    if len(_words.stem_set(other) - _words.SITES) == 0:
        return ""
    return agreeing(before.replace(named, dressed(other, named), 1), bare_of(named), other)
