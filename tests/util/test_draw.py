"""Pictures of items: the right pixels, the box where it belongs, a clear error where the file is gone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hostile import dicom, pdf, png
from PIL import Image
from some_pdfs import turned_page, with_figure

from medrag._util.draw import MAX_DPI, page_picture, picture_of, thumbnail
from medrag.corpora.pdf import PdfPages
from medrag.errors import ImageError
from medrag.types import Block, Box, Citation, Document, ImageRecord, Passage, Study, Triple


def red(picture: Image.Image) -> np.ndarray:
    """Where the mark's colour is."""
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    return (abs(pixels - (220, 60, 20)).sum(axis=2) < 30).nonzero()


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_page_is_drawn_with_its_box_where_the_text_is(tmp_path: Path, rotation: int) -> None:
    (page,) = PdfPages("p", turned_page(tmp_path / "a.pdf", rotation)).read(print)
    box = page.blocks[1].box
    plain, marked = picture_of(page), picture_of(page, (box,))
    assert plain.size == marked.size and plain.mode == "RGB" and plain.width > plain.height
    scale = marked.width / page.width
    rows, columns = red(marked)
    assert (columns.min() / scale, rows.min() / scale) == (pytest.approx(box.x0, abs=4), pytest.approx(box.y0, abs=4))
    assert (columns.max() / scale, rows.max() / scale) == (pytest.approx(box.x1, abs=4), pytest.approx(box.y1, abs=4))
    ink = (np.asarray(plain.convert("L")) < 128).nonzero()[0] / scale
    assert ((ink >= box.y0) & (ink <= box.y1)).mean() > 0.3


def test_a_figure_is_cut_from_its_page(tmp_path: Path) -> None:
    figure = list(PdfPages("p", with_figure(tmp_path / "a.pdf")).read(print))[1]
    picture = picture_of(figure)
    assert picture.size == (pytest.approx(200 * MAX_DPI / 72, abs=2), pytest.approx(150 * MAX_DPI / 72, abs=2))
    assert picture.getpixel((50, 50)) == (30, 90, 160)
    assert max(thumbnail(figure, side=64).size) == 64


def test_images_studies_and_cards(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    image = ImageRecord("c:a", "c:s", "", str(tmp_path / "a.png"))
    assert picture_of(image).size == (24, 16) and red(picture_of(image, (Box(6, 6, 12, 10),)))[0].size
    assert picture_of(Study("c:s", {}, meta={"paths": [str(tmp_path / "a.png")]})).size == (24, 16)
    assert picture_of(ImageRecord("c:d", "c:s", "", str(dicom(tmp_path / "a.dcm")))).size == (8, 6)
    for item in (
        Study("c:s", {"findings": "Clear lungs."}),
        Passage("c:p", "c:d", "word " * 900, "Title", "section"),
        Document("c:d", "Title", (Block("Text."),)),
        Triple("c:t", "c", "Mass", "is_a", "Opacity"),
    ):
        card = picture_of(item)
        assert card.width == 640 and 60 < card.height < 480 and (np.asarray(card.convert("L")) < 120).sum() > 100
    assert Citation("E1", image).show().size == (24, 16)


def test_dpi_is_capped(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf())
    assert page_picture(tmp_path / "a.pdf", 1, dpi=2000).size == page_picture(tmp_path / "a.pdf", 1, dpi=MAX_DPI).size


@pytest.mark.parametrize("number", [0, 3, -1])
def test_missing_files_and_pages_are_clear_errors(tmp_path: Path, number: int) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(2))
    (tmp_path / "b.pdf").write_bytes(b"no PDF")
    with pytest.raises(ImageError, match="no page"):
        page_picture(tmp_path / "a.pdf", number)
    for name in ("b.pdf", "gone.pdf"):
        with pytest.raises(ImageError, match=name) as caught:
            page_picture(tmp_path / name, 1)
        assert caught.value.hint
    with pytest.raises(ImageError, match="does not exist"):
        picture_of(ImageRecord("c:a", "c:a", "", str(tmp_path / "gone.png")))
