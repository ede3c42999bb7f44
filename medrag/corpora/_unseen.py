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
CONTRAST = 24  # of 255, between words and what lies behind them
BEHIND = 20  # percentile of the dots where words stand: bold letters cover most of them
DPI = 108  # at which a page is looked at


class Look:
    """What is seen of a page's words; the page is drawn at the first suspicion."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self._dots: NDArray[np.uint8] | None = None

    def sees(self, span: dict[str, Any], along: tuple[float, float] = (1.0, 0.0)) -> bool:
        """Whether the words of a span of MuPDF's dictionary, written ``along`` a direction, are there to be seen."""
        if not span["text"].strip():
            return True
        if span["size"] < SMALLEST:
            return False
        color, opacity = int(span["color"]), int(span.get("alpha", 255))
        red, green, blue = color >> 16 & 255, color >> 8 & 255, color & 255
        if opacity >= FAINT and min(red, green, blue) < PALE:
            return True
        dots = self._strip(span, along)
        if not dots.size:
            return False
        if opacity < FAINT:  # seen where a picture shows the same words
            return int(dots.max()) - int(dots.min()) >= CONTRAST
        own = 0.299 * red + 0.587 * green + 0.114 * blue
        return abs(own - float(np.percentile(dots, BEHIND))) >= CONTRAST

    def _strip(self, span: dict[str, Any], along: tuple[float, float]) -> NDArray[np.uint8]:
        """The dots where the small letters of the words stand, without the lines above and below."""
        import pymupdf

        x0, y0, x1, y1 = span["bbox"]
        base, size = span["origin"][1], span["size"]
        third = (x1 - x0) / 3
        level = abs(along[0]) >= abs(along[1])
        box = (x0, base - 0.45 * size, x1, base - 0.05 * size) if level else (x0 + third, y0, x1 - third, y1)
        dots, shown = self._drawn(), pymupdf.Rect(box) * self.page.rotation_matrix * (DPI / 72)
        return dots[max(0, int(shown.y0)) : int(shown.y1) + 1, max(0, int(shown.x0)) : int(shown.x1) + 1]

    def _drawn(self) -> NDArray[np.uint8]:
        if self._dots is None:
            apart.beat()
            picture = self.page.get_pixmap(dpi=DPI, colorspace="gray", alpha=False)
            self._dots = np.frombuffer(picture.samples, np.uint8).reshape(picture.height, picture.stride)
        return self._dots
