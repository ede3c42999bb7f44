"""Pictures of items: the page with its region marked, the image of a case, or a readable card of text.

Knows nothing of answers or HTML. Page boxes are PDF points of the page as displayed; image boxes are pixels.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util.images import load_image
from medrag.errors import ImageError, MissingDependency
from medrag.types import Box, ImageRecord, Item, Page, Passage, Study

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_DPI = 150
_MARK = (220, 60, 20)
_REBUILD = "put the file back, or build the index again: medrag index build NAME"


def picture_of(item: Item, boxes: Sequence[Box] = (), max_side: int | None = None) -> Image:
    """The picture that shows an item best, RGB, with ``boxes`` outlined.

    A page or a passage of a page: the rendered page. An image: its pixels, or the figure cut from its page. A study:
    its first image. Anything else, and a study without images: a card of text. Raises ImageError when the file that
    the item names is gone or broken.
    """
    if isinstance(item, Page):
        return page_picture(item.source, item.number, boxes, dpi=_dpi(max_side))
    if isinstance(item, Passage) and item.page is not None and item.source.lower().endswith(".pdf"):
        return page_picture(item.source, item.page, boxes or item.boxes, dpi=_dpi(max_side))
    if isinstance(item, ImageRecord):
        return _image_picture(item, boxes, max_side)
    if isinstance(item, Study) and (paths := item.meta.get("paths")):
        return load_image(str(paths[0]), max_side=max_side).image.convert("RGB")
    return text_card(item)


def _dpi(max_side: int | None) -> int:
    """A resolution at which a page of usual size (11 inches) has about ``max_side`` pixels."""
    return 110 if max_side is None else min(110, max(36, max_side // 11))


def region_picture(item: Item, margin: float = 24.0) -> Image | None:
    """Where an item stands on its page of a PDF: the boxes of a passage, the regions a page was found by (else the whole page), or the figure,
    with ``margin`` points around them. None for an item that stands on no page.

    Raises ImageError when the page cannot be drawn.
    """
    page = item.number if isinstance(item, Page) else getattr(item, "page", None)
    source = str(getattr(item, "source", ""))
    if not page or not source.lower().endswith(".pdf"):
        return None
    boxes = list(getattr(item, "boxes", ())) or [Box(*box) for box in item.meta.get("boxes", ())]
    if isinstance(item, ImageRecord) and item.box:
        boxes = [item.box]
    if not boxes:
        return page_picture(source, page)
    whole = functools.reduce(Box.union, boxes)
    around = Box(whole.x0 - margin, whole.y0 - margin, whole.x1 + margin, whole.y1 + margin)
    return page_picture(source, page, clip=around)


def thumbnail(item: Item, boxes: Sequence[Box] = (), side: int = 256) -> Image:
    """`picture_of`, at most ``side`` pixels wide and high."""
    picture = picture_of(item, boxes, max_side=2 * side).copy()
    picture.thumbnail((side, side), reducing_gap=3.0)
    return picture


def page_picture(
    path: str | Path, number: int, boxes: Sequence[Box] = (), dpi: int = 110, clip: Box | None = None
) -> Image:
    """Page ``number`` (from 1) of a PDF as displayed, RGB, boxes outlined; ``dpi`` is capped at 150.

    ``clip`` cuts out a region (points). Raises ImageError when the file or the page is not there.
    """
    from PIL import Image

    scale = min(dpi, MAX_DPI) / 72
    with _open_pdf(path) as document:
        if not 1 <= number <= len(document):
            raise ImageError(str(path), f"has {len(document)} pages, no page {number}", _REBUILD)
        page = document[number - 1]
        area = page.rect if clip is None else page.rect & (clip.x0, clip.y0, clip.x1, clip.y1)
        if area.is_empty:
            raise ImageError(str(path), f"page {number} has no region {clip}", _REBUILD)
        try:
            pixels = page.get_pixmap(dpi=min(dpi, MAX_DPI), clip=area, alpha=False, colorspace="rgb")
        except Exception as error:  # MuPDF raises its own kinds for a broken page
            raise ImageError(str(path), f"page {number} cannot be drawn", "check the PDF in a viewer") from error
        picture = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)
        left, top = area.x0, area.y0
    return outlined(picture, [Box(b.x0 - left, b.y0 - top, b.x1 - left, b.y1 - top).scaled(scale) for b in boxes])


def outlined(picture: Image, boxes: Sequence[Box]) -> Image:
    """A copy with the boxes (pixels) outlined and lightly tinted."""
    from PIL import Image, ImageDraw

    if not boxes:
        return picture
    base = picture.convert("RGBA")
    layer = Image.new("RGBA", base.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    width = max(2, round(max(base.size) / 500))
    for box in boxes:
        corners = (box.x0 - width, box.y0 - width, box.x1 + width, box.y1 + width)
        draw.rectangle(corners, fill=(*_MARK, 28), outline=(*_MARK, 255), width=width)
    return Image.alpha_composite(base, layer).convert("RGB")


def text_card(item: Item, width: int = 640) -> Image:
    """A card with the item's title, its text (the first 14 lines) and its id."""
    from PIL import Image, ImageDraw, ImageFont

    title, body = _title_of(item), item.text or "(no text)"
    head, text, small = (ImageFont.load_default(size) for size in (20, 16, 12))
    columns = width // 9
    lines = [row for part in body.splitlines() for row in (textwrap.wrap(part, columns) or [""])]
    lines = [*lines[:13], "…"] if len(lines) > 14 else lines
    titles = textwrap.wrap(title, width // 11)[:2]
    card = Image.new("RGB", (width, 60 + 26 * len(titles) + 22 * len(lines)), (252, 252, 250))
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, width - 1, card.height - 1), outline=(200, 200, 195))
    draw.rectangle((0, 0, 6, card.height - 1), fill=_MARK)
    y = 16
    for rows, font, colour, step in ((titles, head, (20, 20, 20), 26), (lines, text, (50, 50, 50), 22)):
        for row in rows:
            draw.text((24, y), row, fill=colour, font=font)
            y += step
    draw.text((24, y + 8), item.id[:90], fill=(130, 130, 130), font=small)
    return card


def _title_of(item: Item) -> str:
    """What stands on top of a card."""
    title = str(getattr(item, "title", "") or getattr(item, "name", "") or "")
    if isinstance(item, Study):
        title = f"Study {item.id.partition(':')[2]}"
    section = getattr(item, "section", "")
    return " · ".join(part for part in (title, section) if part) or item.kind.capitalize()


def _image_picture(item: ImageRecord, boxes: Sequence[Box], max_side: int | None) -> Image:
    """The pixels of an image record, or the figure cut from its page."""
    if item.page is not None:
        return page_picture(item.source, item.page, boxes, dpi=MAX_DPI, clip=item.box)
    picture = load_image(item.source, frame=item.frame, max_side=None if boxes or item.box else max_side).image
    marked = outlined(picture.convert("RGB"), boxes)
    if item.box is None:
        return marked
    return marked.crop((round(item.box.x0), round(item.box.y0), round(item.box.x1), round(item.box.y1)))


def _open_pdf(path: str | Path) -> Any:
    """An open PyMuPDF document. Raises ImageError, MissingDependency."""
    try:
        import pymupdf
    except ModuleNotFoundError as error:
        raise MissingDependency("drawing a PDF page needs the package pymupdf", "pip install pymupdf") from error
    if not Path(path).is_file():
        raise ImageError(str(path), "the PDF of this page is gone", _REBUILD)
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    try:
        document = pymupdf.open(path, filetype="pdf")
    except Exception as error:  # MuPDF raises its own kinds
        raise ImageError(str(path), "the PDF cannot be opened", "check the PDF in a viewer") from error
    if document.needs_pass:
        document.close()
        raise ImageError(str(path), "the PDF is encrypted", "decrypt it first, e.g. qpdf --decrypt in.pdf out.pdf")
    return document
