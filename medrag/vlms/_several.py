"""What a text asks, question by question: two in one sentence, one behind a history, choices, a difference of two things.

Rules over English forms; what fits none is one question, as it stands.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from medrag._util.text import sentences
from medrag.vlms import _words as words
from medrag.vlms._ask import parse
from medrag.vlms._evidence import subject
from medrag.vlms._relations import relation_of

MOST = 4  # questions that are answered
LONGEST = 1000  # characters of a text that is taken apart
_TAG = re.compile(
    r",\s*(?:right|correct|yes|no|(?:is|are|do|does|did|has|have|can|will|was|were)(?:n't)? (?:it|they|he|she|there|this|that))\s*\?*\s*$",
    re.IGNORECASE,
)
_HOW = re.compile(
    r"^\W*how (?P<is>is|are) (?P<thing>[^?,]+?) (?P<first>\w+ed|spread),? and (?P<second>\w+ed|spread)\W*$",
    re.IGNORECASE,
)
_WHAT_IS = re.compile(
    r"^\W*(?:what|who)(?:'s| is| are| causes?) (?:an? |the )?(?P<thing>[^?,]{3,60}?)\?", re.IGNORECASE
)
_PERSON = re.compile(r"\b(?:i|he|she|they|my|his|her|their|patient)\b", re.IGNORECASE)
_TWO = re.compile(
    r"^\W*(?P<first>(?:what|who)(?:'s| is| are| causes?| gets?| develops?) (?P<thing>(?:(?!\band\b)[^,?;])+?)),? and (?P<second>(?:is|are|how|what|can|could|does|do|why|who|when|where|should)\b[^?]*)\W*$",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"^\W*(?P<head>(?:(?:what|list|name|tell me)\b(?: is| are)?)? ?(?:the )?)(?P<first>[\w ]{4,30}?),? and (?:the )?(?P<second>[\w ]{4,30}?) (?P<of>of|for) (?P<thing>[^?]+?)\W*$",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"\b(?:differen\w+|distinction|distinguish) between (?P<one>[^?]+?) (?:and|from) (?P<other>[^?]+?)\W*$|\bhow (?:do|does) (?P<one2>[^?]+?) differ from (?P<other2>[^?]+?)\W*$|^\W*(?P<one3>[^?]+?) (?:vs\.?|versus) (?P<other3>[^?]+?)\W*$",
    re.IGNORECASE,
)
_HAS = re.compile(
    r"\b(?:ha[sd]|have|with|suffers? from|diagnosed with|about) (?:an? |the )?(?P<thing>[a-z][\w'-]*(?: [a-z][\w'-]*){0,3}?)(?=\s*(?:[.,;]|$|\band\b|\bsince\b|\bfor\b))",
    re.IGNORECASE,
)
_IT = re.compile(r"\b(?:it|this|that|they|them)\b", re.IGNORECASE)
_CHOICE = re.compile(
    r"(?:^|[\s(])(?P<letter>[A-Ea-e])[).:]\s*(?P<text>.+?)\s*(?=(?:[\s(][A-Ea-e][).:]\s)|$)", re.DOTALL
)
_TRUE = re.compile(r"^\W*true or false\W*|\W*\b(?:true or false|true/false|t/f|right or wrong)\W*$", re.IGNORECASE)


class Choices(NamedTuple):
    """A question without its choices, and these by their letters."""

    question: str
    options: dict[str, str]


def asked(question: str) -> list[str]:
    """The questions that a text asks, each with the thing that it is about; a text of more than `LONGEST` characters is one.

    >>> asked("My patient has gout. What are the symptoms?"), asked("What is leukemia and is it curable?")
    (['What are the symptoms of gout?'], ['What is leukemia?', 'is leukemia curable?'])
    >>> asked("What are the symptoms and treatment of appendicitis?")
    ['What are the symptoms of appendicitis?', 'What are the treatment of appendicitis?']
    """
    if len(question) > LONGEST:
        return [question]
    said = sentences(_TAG.sub(".", _TRUE.sub("", question)).strip())
    wanted = list(dict.fromkeys(one for one in said if one.endswith("?"))) or said[-1:]
    before = " ".join(said[: said.index(wanted[0])]) if wanted else ""
    whole = [_with_thing(one, before if one == wanted[0] else f"{before} {wanted[0]}") for one in wanted]
    return [part for one in whole for part in _parted(one)] or [question]


def _with_thing(question: str, before: str) -> str:
    """A question that names nothing, with what was said before it that somebody has."""
    own = subject(parse(question, False))
    found = _HAS.search(before) or _WHAT_IS.search(before)
    if not before or (own and not _IT.search(question) and not (found and _PERSON.search(question))):
        return question
    if not found:
        return f"{before} {question}"
    if _IT.search(question):
        return _IT.sub(lambda _: found["thing"], question, count=1)
    return f"{question.rstrip('? ')} {'with' if own else 'of'} {found['thing']}?"


def _parted(question: str) -> list[str]:
    if two := _TWO.match(question):
        return [f"{two['first']}?", f"{_IT.sub(lambda _: two['thing'], two['second'], count=1)}?"]
    if how := _HOW.match(question):
        return [f"How {how['is']} {how['thing']} {how[name]}?" for name in ("first", "second")]
    listed = _LIST.match(question)
    if (
        listed
        and relation_of(listed["first"])
        and relation_of(listed["second"]) not in (None, relation_of(listed["first"]))
    ):
        return [f"{listed['head']}{listed[name]} {listed['of']} {listed['thing']}?" for name in ("first", "second")]
    return [question]


def compared(question: str) -> tuple[str, str] | None:
    """The two things of which a difference is asked.

    >>> compared("What is the difference between type 1 and type 2 diabetes?"), compared("Asthma vs COPD")
    (('type 1 diabetes', 'type 2 diabetes'), ('Asthma', 'COPD'))
    """
    found = _BETWEEN.search(question) if len(question) <= LONGEST else None
    if not found:
        return None
    one, other = (text.strip() for text in found.groups() if text)
    shared = other.split()[-1] if len(one.split()) < len(other.split()) and one.split()[-1][-1:].isdigit() else ""
    return f"{one} {shared}".strip(), other


def choices(question: str) -> Choices | None:
    """A question with lettered choices; None where there are none.

    >>> choices("Malaria is caused by: A) a virus B) a parasite")
    Choices(question='Malaria is caused by', options={'A': 'a virus', 'B': 'a parasite'})
    """
    found = list(_CHOICE.finditer(question)) if len(question) <= LONGEST else []
    letters = "".join(one["letter"].upper() for one in found)
    if len(found) < 2 or not "ABCDE".startswith(letters):
        return None
    return Choices(
        question[: found[0].start()].rstrip(" :(?"), {one["letter"].upper(): one["text"].strip(" ;,.") for one in found}
    )


def held_by(option: str, stems: frozenset[str]) -> bool:
    """Whether a sentence holds the words of a choice."""
    own = words.stem_set(option)
    return bool(own) and own <= stems
