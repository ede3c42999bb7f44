"""Images of several days in one question: what is not asked about change is read off those of the latest, and says so.

It goes by what the files say: their dates, their patients, the numbers of their studies. Images without a date are taken to be
of the day that is asked about, and those of one day are views of one study.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from medrag._util.days import day_of
from medrag._util.which_image import IMAGE, in_words, of_image, place_named
from medrag.types import Item, Query, QueryImage
from medrag.vlms._changed import COURSE, asks_change

ASIDE = "aside"  # in the meta of an image: what is said of those that were put aside
_NO_NUMBER = re.compile(r"\D*|0+|\d")  # what stands in the place of one
NUMBERS = ("accession", "study_uid")  # of one examination, in a header as in a report


def days_of(images: Sequence[QueryImage]) -> list[str]:
    """The day of each image; empty where its file names none."""
    return [day_of(image.meta.get("study_date")) for image in images]


def latest(images: Sequence[QueryImage]) -> list[int]:
    """Which images are not earlier than another one."""
    return newest(days_of(images))


def newest(days: Sequence[str]) -> list[int]:
    """Places of the days that are not before another one; an unknown day is none.

    >>> newest(["2020-01-05", "", "2021-03-10"])
    [1, 2]
    """
    return [n for n, day in enumerate(days) if not day or day == max(days)]


def of_the_latest(query: Query, generator: Any = None) -> Query:
    """The query with the images of the latest day alone; as it is where what changed is asked of who can tell.

    That is the search loop's comparison, or a ``generator`` that takes several images.
    """
    many = getattr(generator, "many_images", False)
    query = query if many else of_the_named(query)
    return query if (many and COURSE.search(query.text)) or asks_change(query.text) else narrowed(query)


def of_the_named(query: Query) -> Query:
    """The query about the one of its images that it names ("in the second image"), as a question about that alone; as it is where it compares, or names
    none that is there."""
    text = in_words(query.text)
    at = place_named(text, len(query.images)) if len(query.images) > 1 else None
    if at is None or COURSE.search(IMAGE.sub(" ", text)):
        return query
    image = query.images[at]
    said = {ASIDE: f"read off image {at + 1}, which was asked about"}
    alone = dataclasses.replace(image, meta={**image.meta, **said})
    return dataclasses.replace(query, text=of_image(text), images=(alone,))


def narrowed(query: Query, *, note: bool = True) -> Query:
    """The query with the images of the latest day, which keep a ``note`` of what was put aside (`put_aside`)."""
    kept = latest(query.images)
    if len(kept) == len(query.images):
        return query
    images = tuple(query.images[n] for n in kept)
    if note:
        told = {ASIDE: _aside(query.images, kept)}
        images = tuple(dataclasses.replace(image, meta={**image.meta, **told}) for image in images)
    return dataclasses.replace(query, images=images)


def _aside(images: Sequence[QueryImage], kept: Sequence[int]) -> str:
    left = [n for n in range(len(images)) if n not in kept]
    which = f"read off {numbered(kept)}: {numbered(left)} {'is' if len(left) == 1 else 'are'} of an earlier day"
    return f"{which}, and not all are of one patient" if len(patients(images)) > 1 else which


def put_aside(query: Query) -> str:
    """Which images the question was not read off, and why; empty where it was read off all of them."""
    return next((str(note) for image in query.images if (note := image.meta.get(ASIDE))), "")


def patients(images: Sequence[QueryImage]) -> set[str]:
    """The patients that the files name, in one spelling."""
    return {spelled(image.meta.get("patient_id")) for image in images} - {""}


def spelled(patient: object) -> str:
    """An id without regard to case and leading zeros, which systems write differently."""
    return str(patient or "").strip().casefold().lstrip("0")


def strangers(query: Query) -> str:
    """Why the images cannot be read together: their files name several patients. Empty where they do not."""
    return (
        "the images are of different patients, by their files: ask about one alone"
        if len(patients(query.images)) > 1
        else ""
    )


def is_own(item: Item, images: Sequence[QueryImage]) -> str:
    """Why an item is no other study than the question's own: it bears its accession number or its study UID. Empty where it does not."""
    asked = {pair for image in images for pair in numbers_of(image.meta)}
    if not asked or item.kind not in ("study", "passage", "image"):
        return ""
    named = {str(item.meta.get("uid") or ""), item.doc.partition(":")[2] if item.kind != "passage" else ""}
    own = numbers_of(item.meta)
    same = own & asked or named & {number for _, number in asked}
    if (uids := _uids(own)) and (theirs := _uids(asked)) and not uids & theirs:
        return ""  # one accession number, two studies
    other = {patient_of(item)} - {""} - patients(images) if patients(images) else set()
    return "the question's own study" if same and not other and not _is_earlier(item, images) else ""


def _is_earlier(item: Item, images: Sequence[QueryImage]) -> bool:
    """Whether it is of an earlier day than the images: a number that was given twice. A report may be a day behind by its clock, or days late."""
    own, days = day_of(getattr(item, "date", "")), list(filter(None, days_of(images)))
    return bool(own and days) and date.fromisoformat(own) < date.fromisoformat(min(days)) - timedelta(days=1)


def numbers_of(meta: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The numbers of an examination that a header or a report gives, each with its name; "ANON" and "0" are none."""
    found = ((name, str(meta.get(name) or "").strip()) for name in NUMBERS)
    return {(name, number) for name, number in found if not _NO_NUMBER.fullmatch(number)}


def _uids(numbers: Collection[tuple[str, str]]) -> set[str]:
    return {number for name, number in numbers if name == "study_uid"}


def patient_of(item: Item) -> str:
    """Whose it is, where it says so, spelled as in `patients`."""
    return spelled(getattr(item, "patient", "") or item.meta.get("patient") or item.meta.get("patient_id"))


def numbered(places: Sequence[int]) -> str:
    """ "image 2", "images 1 and 2", "images 1, 2 and 4"."""
    numbers = [str(n + 1) for n in places]
    head = ", ".join(numbers[:-1])
    return f"images {head} and {numbers[-1]}" if head else f"image {numbers[-1]}"
