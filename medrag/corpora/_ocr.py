"""Words of pages and pictures that have no text layer, by RapidOCR's ONNX models, which come in its package: nothing is fetched.

The models read Latin and Chinese letters and often leave out spaces; words that the document spells elsewhere are parted
again. Text that stands on its side is not read. Knows nothing of blocks or reading order.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from medrag.corpora._layout import Line
from medrag.errors import MissingDependency
from medrag.types import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DPI = 200
# pixels of a side, and how many times the other side may be as long; RapidOCR itself takes care of what is a little wide
LEAST, TALL, WIDE = 32, 8, 32
SURE = 0.6  # confidence from which a line counts
HINT = 'pip install "medrag[ocr]"'
_PACKAGE = "rapidocr-onnxruntime"
_HEIGHT = 0.75  # of a line's box that is its font size
_RUN = re.compile(r"[^\W\d_]{5,}")
_SHORT = frozenset("a an and as at be by can due for in is it may no not of on or the to via with".split())


def version() -> str:
    """The package and its version; "" where it is not installed."""
    try:
        return f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def read(page: Any, clip: Box | None = None, words: Collection[str] = frozenset()) -> list[Line]:
    """The lines of a PDF page, or of a part of it, with boxes in points of the page as displayed.

    ``words`` are those that the document spells, in small letters. Raises MissingDependency.
    """
    import numpy as np
    import pymupdf

    area = pymupdf.Rect(page.rect) if clip is None else pymupdf.Rect(clip.x0, clip.y0, clip.x1, clip.y1)
    pixels = page.get_pixmap(dpi=DPI, clip=area, alpha=False, colorspace="rgb")
    image = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.width, 3)
    scale, left, top = DPI / 72, pixels.x * 72 / DPI, pixels.y * 72 / DPI
    lines = []
    for corners, text, sure in written(image):
        if sure >= SURE and text.strip():
            xs, ys = [left + x / scale for x, _ in corners], [top + y / scale for _, y in corners]
            box = Box(float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
            lines.append(Line(spaced(text, words), box, round(_HEIGHT * (box.y1 - box.y0), 1)))
    return lines


def written(picture: NDArray[np.uint8]) -> list[tuple[Any, str, float]]:
    """What stands in a picture (rows, columns, 3): the corners of each piece of text, in pixels, its text and how sure the recogniser is.

    A thin picture is read with black beside it, since RapidOCR enlarges pictures until the short side has 736 pixels. Raises MissingDependency.
    """
    import numpy as np

    rows, columns, _ = picture.shape
    below, beside = max(LEAST, columns // WIDE) - rows, max(LEAST, rows // TALL) - columns
    padded = np.pad(picture, ((0, max(0, below)), (0, max(0, beside)), (0, 0)))
    found, _ = engine()(np.ascontiguousarray(padded[..., ::-1]))  # it takes blue first
    return [(corners, text, float(sure)) for corners, text, sure in found or ()]


@functools.cache
def engine() -> Any:
    """RapidOCR, loaded once. Raises MissingDependency."""
    try:
        from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingDependency("pages that are pictures are read with rapidocr-onnxruntime", HINT) from error
    threads = os.environ.get("OMP_NUM_THREADS", "")  # which onnxruntime does not read
    return RapidOCR(intra_op_num_threads=int(threads)) if threads.isdigit() else RapidOCR()


def spaced(text: str, words: Collection[str]) -> str:
    """The text with spaces after commas, and between known words that stand together; other runs stay whole."""
    text = re.sub(r"(?<=[^\W\d_][,;])(?=[^\W\d_])", " ", text)
    return " ".join(_RUN.sub(lambda run: _parted(run[0], words), text).split())


def _parted(run: str, words: Collection[str]) -> str:
    """The fewest known words that make up a run of letters, with spaces; the run where it is known, or none do."""
    low = run.lower()
    if low in words:
        return run
    best: list[list[str] | None] = [[]] + [None] * len(run)  # by length of the beginning
    for end in range(1, len(run) + 1):
        for start in range(max(0, end - 24), end):
            before, part = best[start], low[start:end]
            known = part in _SHORT or (len(part) > 3 and part in words)
            if known and before is not None and (best[end] is None or len(before) + 1 < len(best[end] or ())):
                best[end] = [*before, run[start:end]]
    return " ".join(best[-1]) if best[-1] else run
