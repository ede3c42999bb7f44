"""Which of a session's images a question is about, and the question before asked of another one."""

from __future__ import annotations

import re

from medrag._util.which_image import IMAGE, ORDINALS, in_words, of_image
from medrag.agent.things import LONGEST
from medrag.vlms._ask import parse
from medrag.vlms._changed import COURSE

_HERE = re.compile(  # the same of what is shown now
    r"^(?:(?:on|in|for) )?(?:this|that|the (?:new|other|next|current))(?: (?:one|image|film|picture|scan|x-?ray|radiograph|study))?\W*$|^(?:here|now|this time)\W*$",
    re.IGNORECASE,
)
_BESIDE = re.compile(r"\bwhich (?:one|of|image|film|picture|scan)\b|\bcompare|\bdiffer", re.IGNORECASE)
_THIS_IMAGE = re.compile(r"\bthis image\b", re.IGNORECASE)


def image_named(question: str, many: int, current: int, recorded: bool = True) -> int | None:
    """Which of a session's ``many`` images a question is about, counted from 0, by its words; -1 for a number that it does not reach.

    None where no image is named, or two are compared, and for a previous one that the session lacks, where reports of the patient are ``recorded``: those answer.

    >>> image_named("Is there a mass in the second image?", 3, 0), image_named("Is it larger than on the first film?", 3, 1)
    (1, None)
    >>> image_named("Is there a mass in the third image?", 1, 0), image_named("Was there a mass in the previous study?", 1, 0)
    (-1, None)
    """
    question = in_words(question[:LONGEST])
    found = list(IMAGE.finditer(question))
    if len(found) != 1 or not many or COURSE.search(IMAGE.sub(" ", question)):
        return None
    which = found[0]["which"].lower()
    before = {"last": many - 1, "previous": current - 1, "earlier": current - 1}
    at = before.get(which, ORDINALS.index(which) if which in ORDINALS else 1 - current if many == 2 else -1)
    return at if 0 <= at < many else None if recorded and which in before else -1


def other_image(rest: str, before: str, led: bool) -> str:
    """The question before, of another image: "and on this one?", "What about the second image?"."""
    if parse(before).sort == "define" or of_several(before):  # nothing changes on one image
        return ""
    if _HERE.match(rest) and (led or rest.lower().startswith(("on", "in", "for", "this one", "here"))):
        return before
    named = IMAGE.match(rest)
    if not named or rest[named.end() :].strip(" ?.!"):
        return ""
    which = re.sub(r"^(?:on|in|for|from|of) ", "", named[0].strip(), flags=re.IGNORECASE)
    which = which if which.lower().startswith("the") else f"the {which}"
    now = of_image(before)
    if _THIS_IMAGE.search(now):
        return _THIS_IMAGE.sub(which, now, count=1)
    return f"{now.rstrip('?. ')} in {which}?"


def of_several(question: str) -> bool:
    """Whether it sets images or things beside each other: "What has changed?", "Which one is worse?"."""
    return bool(COURSE.search(IMAGE.sub(" ", question)) or _BESIDE.search(question))
