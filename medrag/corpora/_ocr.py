"""Words of pages and pictures that have no text layer, by RapidOCR's ONNX models, which come in its package: nothing is fetched.

Text that stands on its side is not read. Knows nothing of blocks or reading order.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
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
FAINT = {"Det.thresh": 0.15, "Det.box_thresh": 0.3}  # half of RapidOCR's own
SURE = 0.6  # confidence from which a line counts
HINT = 'pip install "medrag[ocr]"'
_PACKAGE = "rapidocr"
_HEIGHT = 0.75  # of a line's box that is its font size


def version() -> str:
    """The package and its version; "" where it is not installed."""
    try:
        return f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def read(page: Any, clip: Box | None = None) -> list[Line]:
    """The lines of a PDF page, or of a part of it, with boxes in points of the page as displayed. Raises MissingDependency."""
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
            lines.append(Line(" ".join(text.split()), box, round(_HEIGHT * (box.y1 - box.y0), 1)))
    return lines


def written(picture: NDArray[np.uint8], faint: bool = False) -> list[tuple[Any, str, float]]:
    """What stands in a picture (rows, columns, 3): the corners of each piece of text, in pixels, its text and how sure the recogniser is.

    ``faint``: few words alone on a large picture, too, which takes a picture of at most 1,000 pixels a side. A thin picture is read with black
    beside it: RapidOCR refuses those that are far longer than wide. Raises MissingDependency.
    """
    import numpy as np

    rows, columns, _ = picture.shape
    below, beside = max(LEAST, columns // WIDE) - rows, max(LEAST, rows // TALL) - columns
    padded = np.pad(picture, ((0, max(0, below)), (0, max(0, beside)), (0, 0)))
    found = engine(faint)(np.ascontiguousarray(padded[..., ::-1]))  # it takes blue first
    if found.boxes is None:
        return []
    return list(zip(found.boxes, found.txts, map(float, found.scores), strict=True))


@functools.cache
def engine(faint: bool = False) -> Any:
    """RapidOCR, loaded once; ``faint`` as in `written`. Raises MissingDependency."""
    try:
        from rapidocr import RapidOCR  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingDependency("pages that are pictures are read with rapidocr", HINT) from error
    settings: dict[str, Any] = {
        "Global.log_level": "error",
        "Det.limit_side_len": LEAST,
    }  # small pictures are not enlarged
    threads = os.environ.get("OMP_NUM_THREADS", "")  # which onnxruntime does not read
    if threads.isdigit():
        settings["EngineConfig.onnxruntime.intra_op_num_threads"] = int(threads)
    return RapidOCR(params=settings)
