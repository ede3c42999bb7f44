"""Words of a PDF page that nobody sees: transparent, in the colour of what lies behind them, or too small to read.

A page says how its words are painted, not what comes of it: white words on a black bar are seen, and the transparent words that lie over a scanned
page are what the picture shows. So words that are painted suspiciously are looked for on the page as it is displayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util import apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALLEST = 1.5  # points: smaller letters are read by no one
FAINT = 26  # of 255, opacity
PALE = 0xD8  # the least channel of a colour that may be lost on white paper
CONTRAST = 24  # of 255, between the darkest and the lightest dot where words stand
DPI = 108  # at which a page is looked at


class Look:
    """What is seen of a page's words; the page is drawn at the first suspicion."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self._dots: NDArray[np.uint8] | None = None

    def sees(self, span: dict[str, Any]) -> bool:
        """Whether the words of a span of MuPDF's dictionary are there to be seen."""
        if not span["text"].strip():
            return True
        if span["size"] < SMALLEST:
            return False
        return not _suspicious(span) or self._contrast(span["bbox"]) >= CONTRAST

    def _contrast(self, box: tuple[float, float, float, float]) -> int:
        """Between the darkest and the lightest dot of a box in the page's own coordinates; 0 outside the page."""
        import pymupdf

        dots, scale = self._drawn(), DPI / 72
        shown = pymupdf.Rect(box) * self.page.rotation_matrix * scale
        part = dots[max(0, int(shown.y0)) : int(shown.y1) + 1, max(0, int(shown.x0)) : int(shown.x1) + 1]
        return int(part.max()) - int(part.min()) if part.size else 0

    def _drawn(self) -> NDArray[np.uint8]:
        if self._dots is None:
            apart.beat()
            picture = self.page.get_pixmap(dpi=DPI, colorspace="gray", alpha=False)
            self._dots = np.frombuffer(picture.samples, np.uint8).reshape(picture.height, picture.stride)
        return self._dots


def _suspicious(span: dict[str, Any]) -> bool:
    color, opacity = int(span["color"]), int(span.get("alpha", 255))
    return opacity < FAINT or min(color >> 16 & 255, color >> 8 & 255, color & 255) >= PALE
