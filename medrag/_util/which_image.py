"""One of several images, named in a question by its place among them: "the second image", "image 2". Rules over English words."""

from __future__ import annotations

import re

AUX = r"(?:is|are|was|were|does|do|did|has|have|had|can|could|may|might|should|will|would)"
ORDINALS = ("first", "second", "third", "fourth")
IMAGE = re.compile(  # one of the session's images, by its place among them
    r"(?: |\b)(?:(?:on|in|for|from|of) )?(?:the )?\b(?P<which>first|second|third|fourth|last|previous|earlier|(?<=the )other) (?:image|film|picture|scan|x-?ray|radiograph|study)\b",
    re.IGNORECASE,
)
_NEEDS_A_PLACE = re.compile(rf"\b(?:{AUX}|there|think|say)\W*$", re.IGNORECASE)  # no question ends so
_PLACES = re.compile(rf"\b(?:{'|'.join((*ORDINALS, 'last', 'other'))})\b", re.IGNORECASE)
_SHOWN = r"(?:images?|films?|pictures?|scans?|x-?rays?|radiographs?)"
_NUMBERED = re.compile(  # not "the scan 2 cm large", "the X-ray 2 weeks ago"
    r"(?<!this )(?<!that )(?<!these )\b(?:the )?(?P<what>image|film|picture|scan|x-?ray|radiograph) (?:(?:no\.? ?|number |#)(?P<sure>[1-4]|one|two|three|four)\b|(?P<n>[1-4])(?=\W*$|[?.,;:!)]|"
    r" (?:and|or|but|is|are|was|were|show|shows|has|have|than|normal|abnormal|the|there)\b))",
    re.IGNORECASE,
)
_NTH = re.compile(r"\b(?P<n>1st|2nd|3rd|4th)(?= (?:image|film|picture|scan|x-?ray|radiograph)\b)", re.IGNORECASE)
_WHICH = re.compile(
    rf"\b(?:which|what) (?:one )?(?:of (?:the|these|those|my|both) (?:\w+ )?)?{_SHOWN}\b|^\W*which (?:one|of (?:them|these|those|the two))\b",
    re.IGNORECASE,
)


def of_image(question: str) -> str:
    """A question about one of the session's images as one about the image at hand: without "in the second image", or with "this image" where a sentence needs it.

    >>> of_image("Is there a mass in the second image?"), of_image("Is the second image normal?")
    ('Is there a mass?', 'Is this image normal?')
    """
    found = IMAGE.search(question)
    if not found:
        return question
    head, tail = question[: found.start()], question[found.end() :]
    where = re.match(r"\W*(?P<in>on|in|for|from|of)\b", found[0], re.IGNORECASE)
    if where and not head.strip():
        rest = tail.lstrip(" ,:")
        return f"{rest[:1].upper()}{rest[1:]}"
    if where and not tail.strip(" ?.!") and not _NEEDS_A_PLACE.search(head):
        return f"{head.rstrip(' ,')}{tail}"
    return f"{head.rstrip()} {where['in'] + ' ' if where else ''}this image{tail}".strip()


def in_words(question: str) -> str:
    """The question with "image 2" and "2nd image" as "the second image".

    >>> in_words("Is there a mass in image 2?"), in_words("Is the 1st film normal?"), in_words("Is the nodule on the scan 2 cm large?")
    ('Is there a mass in the second image?', 'Is the first film normal?', 'Is the nodule on the scan 2 cm large?')
    """
    place = {
        **{str(n): word for n, word in enumerate(ORDINALS, 1)},
        **dict(zip(("one", "two", "three", "four"), ORDINALS, strict=True)),
    }
    question = _NUMBERED.sub(
        lambda found: f"the {place[(found['sure'] or found['n']).lower()]} {found['what']}", question
    )
    return _NTH.sub(lambda found: place[found["n"][0]], question)


def place_named(question: str, many: int) -> int | None:
    """The place, from 0, of the one image of ``many`` that a question names; None where it names none or several, or one that is not there.

    >>> place_named("Is there a mass in image 2?", 2), place_named("Is there a mass?", 2), place_named("Is the fourth film normal?", 2)
    (1, None, None)
    """
    text = in_words(question)
    found = list(IMAGE.finditer(text))
    alone = len(found) == 1 and len(_PLACES.findall(text)) == 1  # not "the first or the second image"
    which = found[0]["which"].lower() if alone else ""
    at = ORDINALS.index(which) if which in ORDINALS else many - 1 if which == "last" else many
    return at if at < many else None


def asks_which(question: str) -> bool:
    """Whether it asks which of several images something is on.

    >>> asks_which("Which image shows an effusion?"), asks_which("Which lobe is affected?")
    (True, False)
    """
    return bool(_WHICH.search(question))
