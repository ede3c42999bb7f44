"""Questions taken apart, completed from the one before, and put in other words. Rules over words; no model, no index.

It knows the forms that people type to a radiology assistant in English, and leaves everything else as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from medrag._util.findings import presence_asked
from medrag._util.text import content_words, words
from medrag.vlms import _words
from medrag.vlms._ask import parse, plain
from medrag.vlms._changed import CHANGE as CHANGE
from medrag.vlms._vote import phrase

_PARTS = re.compile(
    r"(?<=[?])\s+|,?\s+(?:and|but)\s+(?=(?:what|how|why|where|which|who|is|are|does|do|did|has|have|was|were)\b)|;\s+",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^\W*(?:(?:and|or|but|so|then|ok|okay|now)\b[\s,]*)*(?:(?:what|how) about\b\s*)?", re.IGNORECASE)
_IT = re.compile(
    r"\b(?:it|its|this|that|these|those|they|them|(?<=there )ones?|the (?:finding|lesion|abnormality|disease|condition))\b",
    re.IGNORECASE,
)
_PICTURE = re.compile(  # there the pronoun stands for the picture: "Is this a sarcoma?", "Is it a PA view?", "Does it show a mass?"
    rf"\b(?:this|that|these|those)\s+an?\b|{_IT.pattern}\s+(?:shows?|demonstrates?|reveals?|depicts?|ap|pa|ct|mri?)\b"
    rf"|{_IT.pattern}\s+an?\s+(?:(?!(?:on|in|of|at)\b)[\w-]+\s+){{0,4}}(?:view|projection|film|scan|image|picture|radiograph|x-?ray)\b",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|does|do|did|has|have|had|can|could|may|might|should|will|would)\b", re.IGNORECASE
)
_ASKS = re.compile(rf"(?:{_VERB.pattern}|what|which|who|how|why|where|when)\b", re.IGNORECASE)
_NOUN = re.compile(r"\b(?:this|that|these|those)\s+(?:[a-z]{3,})", re.IGNORECASE)
_PLACE = re.compile(
    r"\s*\b(?:on|in|at|of)\s+(?:the\s+)?(?:patient's\s+)?(?:(?:left|right|upper|lower|middle|both)\s*)+(?:side|lung|lungs|lobe|zone|base|apex|hemithorax)?\b",
    re.IGNORECASE,
)
_SIDE = re.compile(r"\b(left|right|bilateral)(?:-sided)?\b", re.IGNORECASE)
_ZONES = _words.stem_set(  # parts of a place; a heart is none: it is another thing to ask about
    "left right bilateral upper lower middle base apex lobe zone side field lung region area hilum perihilar costophrenic angle posterior anterior lateral"
)
_PREDICATE = re.compile(
    rf"(?:\s+(?:{CHANGE.pattern}|\w+ed))+$", re.IGNORECASE
)  # "effusion new" of "Is an effusion new?"
WHY = re.compile(  # asks what the last answer rests on
    r"^\W*(?:(?:but|and|so)\b\W*)?(?:why(?: (?:do|did) you (?:think|say)(?: (?:so|that|this|it))?| is that(?: so)?| not| so)?|how (?:do|did|can|would) you (?:know|tell|get (?:to )?(?:that|this))"
    r"|(?:what(?:'s| is| are)|show me|give me|tell me|list) (?:the|your) (?:evidence|sources?|reasons?|references?|proof)(?: for (?:this|that|it))?|based on what|says who|(?:any )?(?:evidence|sources?|references?|proof))\W*$",
    re.IGNORECASE,
)
UNNAMED = re.compile(
    r"\b(?:diseases?|conditions?|disorders?|syndromes?|illness\w*|diagnos[ei]s|patholog(?:y|ies)|caus\w+)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"\b(?:caus(?:es?|ing)|presents? (?:with|as)|presenting with|(?:associated|seen) with|shows?|behind|with|of)\s+"
    r"((?:(?!\b(?:that|which|is|are|and)\b)[^?;,])+?)(?:\s+\w+ed)?\s*(?:[?;,]|\b(?:that|which|is|are|and)\b|$)",
    re.IGNORECASE,
)
_DESCRIBED = re.compile(r"\b(?:that|who|whose|which|where|when|with|behind)\b", re.IGNORECASE)
_FACING = ("chest-xray", "ct", "mr")  # seen from before the patient, or from the feet
_BOXES = {  # left, top, right, bottom of the picture as shares; sides as in a picture that is not mirrored
    "upper": (0.0, 0.0, 1.0, 0.5), "apex": (0.0, 0.0, 1.0, 0.4), "lower": (0.0, 0.45, 1.0, 1.0), "base": (0.0, 0.5, 1.0, 1.0),
    "left": (0.0, 0.0, 0.55, 1.0), "right": (0.45, 0.0, 1.0, 1.0),
}  # fmt: skip


def sub_questions(question: str, most: int = 4) -> list[str]:
    """The questions that a text asks, each complete in itself.

    >>> sub_questions("Is there a pneumothorax, and what causes it?")
    ['Is there a pneumothorax?', 'what causes a pneumothorax?']
    """
    parts = _parts(question)
    found: list[str] = []
    for part in parts[:most]:
        whole = part if part.endswith((".", "?", "!")) or len(parts) == 1 else f"{part}?"
        found.append(completed(whole, found[-1]) if found else whole)
    return list(dict.fromkeys(found)) or [question]


def _parts(question: str) -> list[str]:
    return [part.strip(" ,;") for part in _PARTS.split(question) if content_words(part)]


def completed(question: str, before: str) -> str:
    """A question that leans on the one before, with what it leaves out; one that stands alone as it is.

    >>> completed("and on the left?", "Is there a pleural effusion on the right?")
    'Is there a pleural effusion on the left?'
    >>> completed("What about a mass?", "Is there a pleural effusion?")
    'Is there a mass?'
    >>> completed("What about the heart?", "Is there a pleural effusion?")
    'Is the heart normal?'
    """
    question, before = plain(question), plain(before)
    rest = _LEAD.sub("", question, count=1).strip()
    led = len(rest) < len(question.strip())
    now, then = parse(rest), parse(before)
    if not words(rest) or not before:
        return question
    if not now.finding and now.sites and (led or _PLACE.match(rest)) and not _VERB.search(rest):
        return _placed(before, rest) if now.sites - _ZONES <= then.sites else _of_a_place(rest) or question
    named = _VERB.split(_PREDICATE.sub("", phrase(then)))[-1].strip()  # of "How large is an effusion?" the effusion
    named = named.removeprefix("an ").removeprefix("a ").removeprefix("the ")
    clear = named != "this" and bool(set(then.finding) - _words.FRAME)
    if clear and _leans(rest) and not set(now.finding) & set(then.finding):
        if now.sites & _ZONES:  # it has a place of its own
            named, before = (" ".join(_SIDE.sub("", _PLACE.sub("", text)).split()) for text in (named, before))
        return _IT.sub(lambda match: _article(before, named), rest, count=1)
    if led and now.finding and not _ASKS.match(rest):
        return _with_article(before, named, rest.rstrip("?. ")) if named != "this" else f"{rest.rstrip('?. ')}?"
    return question


def _of_a_place(place: str) -> str:
    """Whether a part of the body is normal, for "what about the heart?"; empty for a text that is more than its name."""
    name = re.sub(r"^(?:the|his|her) ", "", place.strip(" ?.!"), flags=re.IGNORECASE)
    if not words(name) or len(name.split()) > 3 or parse(name).topic != tuple(parse(name).stems):
        return ""
    many = name.endswith("s") and not name.endswith(("ss", "us", "is", "ax"))
    return f"{'Are' if many else 'Is'} the {name} normal?"


def _leans(question: str) -> bool:
    """Whether its pronoun stands for what was asked before: not for the picture, nor for a finding that the question names itself."""
    if not _IT.search(question) or _NOUN.search(question) or _PICTURE.search(question):
        return False
    return not presence_asked(_IT.sub("this", question))


def empty(question: str) -> bool:
    """Whether no word names anything that could be looked for: "what causes it?", "What is seen?"."""
    topic = parse(question).topic
    return not topic or (len(topic) < 2 and bool(_IT.search(question)) and not _NOUN.search(question))


def keywords(question: str) -> str:
    """The words that name something, without those that only frame a question."""
    named = set(parse(question).topic)
    return " ".join(
        dict.fromkeys(question[w.start : w.end].lower() for w in _words.content(question) if w.stem in named)
    )


def still(question: str) -> str:
    """The question without what it says of change: what one image or report can speak to."""
    return CHANGE.sub(" ", question)


def described(question: str) -> str:
    """What a disease that is not named is described by; empty where none is.

    >>> described("How is the disease that causes a pleural effusion treated?")
    'a pleural effusion'
    """
    unnamed = UNNAMED.search(question)
    found = unnamed and _CLAUSE.search(question, unnamed.start())
    return found[1].strip() if found else ""


def asked_of(goal: str, question: str) -> str:
    """What a question wants to know of the thing that its part ``goal`` describes: the words of the parts after it, else those beside the description.

    >>> asked_of("Which mold gives wheezing?", "Which mold gives wheezing, and which drugs act on it?")
    'drugs act'
    >>> asked_of("Which insect passes on the parasite that causes skin sores?", "Which insect passes on the parasite that causes skin sores?")
    'insect passes parasite'
    """
    parts, goals = _parts(question), sub_questions(question)
    at = goals.index(goal) if goal in goals else len(goals) - 1
    later = " ".join(parts[at + 1 :])
    if keywords(later):
        return keywords(later)
    if clause := described(goal):
        return without(goal, [clause])
    turn = _DESCRIBED.search(goal, len(goal.split(" ", 1)[0]))
    return keywords(goal[: turn.start()] if turn else goal)


def without(question: str, names: Iterable[str]) -> str:
    """What a question asks beside the names that it holds: its content words, unnamed diseases left out."""
    gone = {word for name in names for word in words(name)}
    kept = [word for word in content_words(UNNAMED.sub(" ", question)) if word not in gone]
    return " ".join(dict.fromkeys(kept))


def is_named(name: str, question: str) -> bool:
    """Whether most of a name's words stand in the question."""
    own, asked = _words.stem_set(name), _words.stem_set(question)
    return bool(own) and 2 * len(own & asked) > len(own)


def region(question: str, domain: str) -> tuple[float, float, float, float] | None:
    """Where in the picture to look closer, of the side and the zone that are named; None where neither is.

    The patient's left is the right of a chest film and, by convention, of CT and MR; of a picture that nobody knows it may be either.
    """
    if domain in ("", "other"):
        return None
    said = set(words(question.lower().replace("apical", "apex").replace("basal", "base").replace("basilar", "base")))
    sides = said & {"left", "right"}
    if len(sides) == 1 and domain in _FACING:
        said = said - sides | ({"left", "right"} - sides)
    boxes = [_BOXES[name] for name in sorted(said & _BOXES.keys())]
    if len(sides) > 1 or not boxes:
        return None
    box = (max(b[0] for b in boxes), max(b[1] for b in boxes), min(b[2] for b in boxes), min(b[3] for b in boxes))
    return box if box[0] < box[2] and box[1] < box[3] else None


def lines_of(text: str, most: int) -> list[str]:
    """Questions that a model wrote one a line: numbers and bullets taken off, the rest as it is, each once."""
    rows: Sequence[str] = [
        re.sub(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*", "", row).strip(" \"'") for row in text.splitlines()
    ]
    return list(dict.fromkeys(row[:300] for row in rows if len(content_words(row)) > 1))[:most]


def _placed(before: str, rest: str) -> str:
    """The question before, asked of another place, its side in the old one's stead.

    >>> _placed("Is there a left-sided pleural effusion?", "on the right?")
    'Is there a right pleural effusion?'
    """
    bare = _PLACE.sub("", before)
    sides = {found.lower() for found in _SIDE.findall(rest)}
    if len(sides) == 1 and _SIDE.search(bare):
        if _words.stem_set(rest) - _words.stem_set(f"{before} side left right bilateral"):
            bare = re.sub(rf"{_SIDE.pattern}\s*", "", bare, flags=re.IGNORECASE)  # the new place has the side
        else:
            return f"{_SIDE.sub(sides.pop(), bare).rstrip('?. ')}?"
    where = rest.rstrip("?. ")
    if not re.match(r"(?:on|in|at|of)\b", where, re.IGNORECASE):
        where = f"in {where}" if re.match(r"(?:the|a)\b", where, re.IGNORECASE) else f"on the {where}"
    return f"{bare.rstrip('?. ')} {where}?"


def _article(before: str, named: str) -> str:
    """The finding with the article that it had."""
    match = re.search(rf"\b(an?|the)\s+{re.escape(named)}", before, re.IGNORECASE)
    return f"{match[1].lower()} {named}" if match else named


def _with_article(before: str, named: str, other: str) -> str:
    """The question before with another finding in the place of its own."""
    pattern = (
        rf"(?:\b(?:an?|any|the)\s+)?{re.escape(named)}"
        if re.match(r"(?:an?|any|the)\b", other, re.IGNORECASE)
        else re.escape(named)
    )
    done, count = re.subn(pattern, lambda match: other, before, count=1, flags=re.IGNORECASE)
    return done if count else f"Is there {other}?"
