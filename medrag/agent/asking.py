"""Questions taken apart, completed from the one before, and put in other words. Rules over words; no model, no index.

It knows the forms that people type to a radiology assistant in English, and leaves everything else as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from medrag._util.text import content_words, words
from medrag.agent.followup import IT, leans
from medrag.agent.followup import completed as completed
from medrag.agent.followup import empty as empty
from medrag.agent.followup import unclear as unclear
from medrag.vlms import _words
from medrag.vlms._ask import parse
from medrag.vlms._changed import CHANGE as CHANGE

_PARTS = re.compile(
    r"(?<=[?])\s+|,?\s+(?:and|but)\s+(?:if so,?\s+)?(?=(?:what|how|why|where|which|who|is|are|does|do|did|has|have|was|were)\b)|;\s+",
    re.IGNORECASE,
)
_WHERE = re.compile(r"^(?:where|(?:on )?which side|how (?:large|big|severe))\W*$", re.IGNORECASE)
WHY = re.compile(  # asks what the last answer rests on
    r"^\W*(?:(?:but|and|so)\b\W*)?(?:(?:please )?(?:explain )?why(?: (?:do|did|would) you (?:think|say|believe|claim|conclude)\b.*?| is that(?: so)?| not| so)?|(?:please )?explain(?: (?:that|this|it|yourself|your (?:answer|reasoning)))?|(?:are you|how) (?:\w+ )?(?:sure|certain|confident)(?: are you)?(?: (?:about|of) (?:that|this|it))?|how (?:do|did|can|would) you (?:know|tell|get (?:to )?(?:that|this))"
    r"|(?:what(?:'s| is| are)|show me|give me|tell me|list) (?:the|your) (?:evidence|sources?|reasons?|references?|proof)(?: for (?:this|that|it))?|based on what|says who|where (?:does|did|do) (?:it|that|this|they|you) (?:say|get|find|read|take|come)\b(?: (?:that|this|it|so|from))*|where (?:is|are) (?:that|this|it) from|(?:any )?(?:evidence|sources?|references?|proof))\W*$",
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
    >>> sub_questions("Why do loud snorers stop breathing, and what do they risk?")
    ['Why do loud snorers stop breathing?', 'what do loud snorers stop breathing risk?']
    """
    parts = _parts(" ".join(question.split()))
    found: list[str] = []
    for part in parts[:most]:
        whole = part if part.endswith((".", "?", "!")) or len(parts) == 1 else f"{part}?"
        found.append(_with_thing(whole, found[-1]) if found else whole)
    return list(dict.fromkeys(found)) or [question]


def _with_thing(part: str, before: str) -> str:
    """A part completed from the one before; where no good English comes of it, with that one's words in its pronoun's place: a search looks for words."""
    whole = completed(part, before)
    if whole != part or not leans(part):
        return whole
    return IT.sub(keywords(before), part, count=1)


def _parts(question: str) -> list[str]:
    pieces = (part.strip(" ,;") for part in _PARTS.split(question))
    return [part for part in pieces if content_words(part) or IT.search(part) or _WHERE.match(part)]


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
