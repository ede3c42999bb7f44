"""Pages and pictures that have no text layer: read with boxes where OCR is installed, kept and reported where not."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from some_pdfs import LEFT, PARAGRAPH, RIGHT, scanned, two_columns

from medrag.corpora import _ocr as ocr
from medrag.corpora.pdf import PdfPages
from medrag.errors import BadRecord, MissingDependency
from medrag.types import Page

installed = pytest.mark.skipif(not ocr.version(), reason="rapidocr is not installed: pip install medrag[ocr]")


def never(error: BadRecord) -> None:
    raise AssertionError(str(error))


def letters(text: str) -> str:
    """What OCR is sure of: the letters, without spaces."""
    return re.sub(r"[\W_]+", "", text).lower()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that lacks the package."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("rapidocr"):
            raise ImportError(name)
        return real(name, *rest, **more)

    ocr.engine.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(ocr, "version", lambda: "")


@installed
def test_a_scan_is_read_in_order_with_boxes_and_so_is_a_picture_without_caption(tmp_path: Path) -> None:
    path = scanned(tmp_path / "a.pdf")
    first, scan, third = [item for item in PdfPages("p", path).read(never) if isinstance(item, Page)]
    text = letters(scan.text)
    assert 0 <= text.index(letters(LEFT)[:40]) < text.index(letters(RIGHT)[:40])
    left = next(block.box for block in scan.blocks if letters(LEFT)[:30] in letters(block.text))
    assert left is not None and abs(left.x0 - 60) < 6 and left.x1 < 305 and 120 < left.y0 < 150
    told = next(block for block in third.blocks if letters(LEFT)[:40] in letters(block.text))
    assert (
        told.box is not None and told.box.x0 >= 72 and told.box.x1 <= 472 and told.box.y0 >= 150 and told.box.y1 <= 374
    )
    assert letters(third.text).startswith(letters(PARAGRAPH)[:40])
    assert letters(third.blocks[-1].text).startswith("afterthepicture") and told is not third.blocks[-1]
    assert letters(first.text) == letters(f"{PARAGRAPH} {LEFT} {RIGHT}")


@installed
def test_a_turned_scan_has_its_boxes_where_its_words_are_shown(tmp_path: Path) -> None:
    import pymupdf

    path = scanned(tmp_path / "a.pdf", rotation=180)
    with pymupdf.open(path) as document:
        lines = ocr.read(document[1])
    line = next(one for one in lines if letters("Chapter 1 Reading") in letters(one.text))
    assert line.box.y0 > 700 and line.box.x1 > 500  # a heading that is printed top left


@installed
@pytest.mark.parametrize("shape", [(1500, 60), (60, 1500), (4000, 1), (1, 4000), (1, 1)])
def test_a_thin_picture_is_not_enlarged_without_bounds(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The library makes the short side of what it is given 736 pixels long: of 4000 × 1 that were 2,000 megapixels."""
    picture, seen, reader = Image.new("RGB", shape[::-1]), [], ocr.engine()
    ImageDraw.Draw(picture).text((4, 10), "MASS", fill="white", font=ImageFont.load_default(20))
    monkeypatch.setattr(ocr, "engine", lambda faint: lambda pixels: (seen.append(pixels.shape), reader(pixels))[1])
    found = ocr.written(np.asarray(picture))
    rows, columns = seen[0][:2]
    assert rows // columns <= 8 and columns // rows <= 32
    if 60 in shape:
        ((corners, text, _),) = found
        assert text == "MASS" and max(x for x, _ in corners) <= 70 and max(y for _, y in corners) <= 50


def test_without_ocr_the_page_is_kept_and_reported_once(tmp_path: Path, without: None) -> None:
    problems: list[BadRecord] = []
    pages = [i for i in PdfPages("p", scanned(tmp_path / "a.pdf")).read(problems.append) if isinstance(i, Page)]
    assert [bool(page.blocks) for page in pages] == [True, False, True]
    (problem,) = problems
    assert "page 2" in str(problem) and "medrag[ocr]" in problem.hint
    with pytest.raises(MissingDependency, match="rapidocr"):
        ocr.engine()


def test_nothing_is_read_or_reported_where_it_is_not_wanted_or_needed(tmp_path: Path, without: None) -> None:
    path = scanned(tmp_path / "a.pdf")
    assert [bool(i.blocks) for i in PdfPages("p", path, ocr=False).read(never) if isinstance(i, Page)] == [True, False, True]  # fmt: skip
    assert list(PdfPages("p", two_columns(tmp_path / "b.pdf")).read(never))


def test_the_signature_tells_whether_pictures_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = two_columns(tmp_path / "a.pdf", pages=1)
    monkeypatch.setattr(ocr, "version", lambda: "rapidocr 3.10.0")
    read, unread = PdfPages("p", path).signature(), PdfPages("p", path, ocr=False).signature()
    monkeypatch.setattr(ocr, "version", lambda: "")
    assert read != PdfPages("p", path).signature() and unread == PdfPages("p", path, ocr=False).signature()
