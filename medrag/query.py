"""A question with its images decoded, and the pages that its evidence stands on cut out for who looks at them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from medrag.errors import BadRecord, ImageError, MissingDependency, SettingsError
from medrag.types import Context, Query, QueryImage, as_tuple

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SIDE = 2048  # longest side, pixels, of a question's image as it is encoded, shown and sent to the generator


def make_query(image: Any, question: str, exclude: str | Sequence[str] | None = ()) -> Query:
    """A query with its images decoded. Raises SettingsError when there is neither image nor question, or a question or an id that is no text."""
    if not isinstance(question, str):
        raise SettingsError(
            f"the question is {question!r:.60}, no text", "give a str, '' where an image is all there is"
        )
    images = () if image is None else tuple(map(_pictured, as_tuple(image)))
    exclude = () if exclude is None else exclude
    if not images and not question.strip():
        raise SettingsError("there is neither an image nor a question", "give at least one of them")
    text = question.encode(errors="replace").decode()  # half a character, from a terminal of another encoding
    return Query(text, images, _ids(exclude))


def _ids(exclude: str | Iterable[str]) -> frozenset[str]:
    ids = [exclude] if isinstance(exclude, str) else list(exclude) if isinstance(exclude, Iterable) else [exclude]
    for one in ids:
        if not isinstance(one, str):
            raise SettingsError(f"exclude: {one!r:.60} is no text", "give ids of studies, documents or items")
    return frozenset(ids)


def _pictured(image: Any) -> QueryImage:
    """A question's image. Where a question stands in its place, the error says so."""
    from medrag._util.images import asked_image

    try:
        return asked_image(image, IMAGE_SIDE)
    except ImageError as error:
        if isinstance(image, str) and image.rstrip().endswith("?"):
            raise ImageError(error.source, error.problem, "the image comes first: answer(None, question)") from error
        raise


def page_crops(context: Context, most: int) -> dict[str, Image]:
    """Of the first evidence that stands on a page, by key: where it stands, cut out with a margin. A page that cannot be drawn is left out."""
    from medrag._util.draw import region_picture

    found: dict[str, Image] = {}
    for key, hit in context:
        if len(found) == most:
            break
        with contextlib.suppress(BadRecord, MissingDependency):  # the text is there all the same
            picture = region_picture(hit.item)
            found |= {key: picture} if picture else {}
    return found
