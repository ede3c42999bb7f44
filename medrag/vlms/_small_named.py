"""A verdict that names its thing: of "The heart isn't enlarged, is it?" a bare "No" tells nothing, "No, the heart is not enlarged." does."""

from __future__ import annotations

import re

from medrag._util.text import plural
from medrag.vlms._ask import parse, plain

_DENIES = re.compile(
    r"\b(?:no|not|free (?:of|from)|clear of|negative for|rul(?:e|ed|ing) out|r/o|excluded?)\b|n['’]t\b"
    r"|^\W*(?:so |but |and )?(?:there|it|this|the|both|he|she|i|we)\b.*\b(?:right|correct|true|agree|(?:is|are|does|do|has|have) (?:it|there|they|he|she))\W*$",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\b(?:yes or no|no or yes|yes/no|or not|no longer)\b", re.IGNORECASE)
_THERE = re.compile(
    r"^(?:(?:is|are|was|were) there|any|(?:is|are|was|were) (?:this|it|that|he|she|(?:the|his|her|both|these)(?: [\w-]+){1,4}?) (?P<free>free|clear) (?:of|from)) (?:(?P<article>an?|any|no) )?(?P<thing>[^?]+?)\W*$",
    re.IGNORECASE,
)
_HAS = re.compile(
    r"^(?:does|do|did) (?P<subject>[\w' -]+?) (?P<verb>have|show|demonstrate) (?:(?P<article>an?|any|no) )?(?P<thing>[^?]+?)\W*$",
    re.IGNORECASE,
)
_STATE = re.compile(
    r"^(?P<verb>is|are|was|were) (?P<subject>(?:the|this|that|both|his|her|these|all)(?: (?!an?\b|the\b)[\w-]+){1,4}?|it|this|that|he|she|they)"
    r" (?P<rest>(?:(?:an?|the|on|in|at|within|due|too) |(?:\w+ly )?(?:clear|normal|enlarged|abnormal|midline|intact|unremarkable|big|large|small|sharp|visible|seen|present|wide|\w{2,}ed)\b)[^?]*?|(?<=it |is )[^?]+?)\W*$",
    re.IGNORECASE,
)
_MORE = re.compile(  # more than one thing, or a denial of its own: no verdict can be put into these words
    r"[,;]|\b(?:and|but|nor|no|not|never|with no|without|is|are|was|were|has|have|does|(?:free|clear) (?:of|from))\b|n['’]t\b",
    re.IGNORECASE,
)
_ONE = re.compile(
    r"\b(?:effusion|pneumothorax|fracture|nodule|mass|opacity|infiltrate|granuloma|hernia|catheter|tube|lesion|tumor|device|pacemaker|aneurysm|embolism)$",
    re.IGNORECASE,
)
_AWAY = re.compile(r"\s(?:in|on|at|of|with|within|over)\s", re.IGNORECASE)


def turned(question: str) -> bool:
    """Whether a closed question denies, or wants a statement confirmed: a bare yes or no to it can be read either way.

    >>> [turned(text) for text in ("There's no effusion, right?", "No fractures?", "Is the effusion on the right?", "Is it there or not?")]
    [True, True, False, False]
    """
    return bool(_DENIES.search(_CHOICE.sub("", question))) and parse(question).sort == "closed"


def named(question: str, word: str) -> str:
    """The verdict with what it is of, by the question's own words; the word alone where they cannot be turned, or say more than one thing.

    >>> named("The heart isn't enlarged, is it?", "No"), named("There's no effusion, right?", "Yes"), named("Is the film free of an effusion?", "Yes")
    ('No, the heart is not enlarged.', 'Yes, there is an effusion.', 'Yes, there is no effusion.')
    >>> named("The heart and lungs are normal, right?", "No"), named("It is not only a mass, right?", "Yes")
    ('No.', 'Yes.')
    """
    said = _statement(plain(question), word.lower() == "yes")
    return f"{word}, {said}." if said else f"{word}."


def _statement(question: str, holds: bool) -> str:
    """The question's own words as a statement that holds, or does not; a denial among them is told from their form."""
    if (found := _THERE.match(question)) and not _MORE.search(found["thing"]):
        head = _AWAY.split(found["thing"], maxsplit=1)[0]
        be = "are" if plural(head) else "is"
        holds = holds != bool(found["free"] or (found["article"] or "").lower() == "no")
        return f"there {be} {_an(found['thing'], found['article'])}" if holds else f"there {be} no {found['thing']}"
    if (found := _HAS.match(question)) and not _MORE.search(f"{found['subject']} {found['thing']}"):
        holds = holds != ((found["article"] or "").lower() == "no")
        verb = {"have": "has"}.get(found["verb"].lower(), f"{found['verb'].lower()}s")
        return f"{found['subject']} {verb} {_an(found['thing'], found['article']) if holds else 'no ' + found['thing']}"
    found = _STATE.match(question)
    if found is None or re.search(rf"{_MORE.pattern}|\bor\b", f"{found['subject']} {found['rest']}", re.IGNORECASE):
        return ""
    return f"{found['subject']} {found['verb'].lower()} {'' if holds else 'not '}{found['rest']}"


def _an(thing: str, article: str | None) -> str:
    """The thing with its article; one that can be counted has one."""
    head = _AWAY.split(thing, maxsplit=1)[0]
    if article and article.lower() in ("a", "an"):
        return f"{article.lower()} {thing}"
    return f"{'an' if thing[0].lower() in 'aeio' else 'a'} {thing}" if _ONE.search(head) else thing
