"""A small drawing board for the primer's figures: pixels in, vector labels over them, one PNG or JPEG out.

Knows nothing of medicine. Coordinates are points of the printed page, origin top left.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymupdf
from PIL import Image

Point = tuple[float, float]
Colour = tuple[float, float, float]

INK: Colour = (0.12, 0.14, 0.18)
WHITE: Colour = (1, 1, 1)
YELLOW: Colour = (1, 0.86, 0.2)


def grey(level: float) -> Colour:
    """A grey between 0 (black) and 1 (white)."""
    return (level, level, level)


def smooth(points: Sequence[Point], steps: int = 10) -> list[Point]:
    """A closed Catmull-Rom curve through the points; a point given twice stays a sharp corner."""
    ring = np.asarray(points, dtype=float)
    result: list[Point] = []
    for i in range(len(ring)):
        p0, p1, p2, p3 = (ring[(i + k) % len(ring)] for k in (-1, 0, 1, 2))
        if (p1 == p2).all():
            continue
        for t in np.linspace(0, 1, steps, endpoint=False):
            a = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            result.append((float(a[0]) / 2, float(a[1]) / 2))
    return result


class Canvas:
    """One figure. Everything is drawn in the order of the calls."""

    def __init__(self, width: float, height: float, background: Colour = WHITE) -> None:
        self.document = pymupdf.open()
        self.page: Any = self.document.new_page(width=width, height=height)
        self.page.draw_rect(self.page.rect, color=None, fill=background)

    def picture(self, pixels: Any, x: float, y: float, width: float, height: float) -> None:
        """An 8-bit array (rows, columns[, 3]), stretched into the rectangle."""
        stream = io.BytesIO()
        Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(stream, "PNG")
        self.page.insert_image(
            pymupdf.Rect(x, y, x + width, y + height), stream=stream.getvalue(), keep_proportion=False
        )

    def polygon(
        self,
        points: Sequence[Point],
        fill: Colour | None = None,
        line: Colour | None = None,
        width: float = 0.8,
        opacity: float = 1,
    ) -> None:
        self.page.draw_polyline(list(points), color=line, fill=fill, width=width, closePath=True, fill_opacity=opacity)

    def stroke(self, points: Sequence[Point], line: Colour = INK, width: float = 0.8, dashes: str = "") -> None:
        self.page.draw_polyline(list(points), color=line, width=width, dashes=dashes or None)

    def disc(
        self,
        centre: Point,
        radius: float,
        fill: Colour | None = None,
        line: Colour | None = None,
        width: float = 0.8,
        opacity: float = 1,
    ) -> None:
        self.page.draw_circle(centre, radius, color=line, fill=fill, width=width, fill_opacity=opacity)

    def ellipse(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour | None = None,
        line: Colour | None = None,
        width: float = 0.8,
    ) -> None:
        self.page.draw_oval(pymupdf.Rect(x0, y0, x1, y1), color=line, fill=fill, width=width)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Colour | None = None,
        line: Colour | None = None,
        width: float = 0.8,
    ) -> None:
        self.page.draw_rect(pymupdf.Rect(x0, y0, x1, y1), color=line, fill=fill, width=width)

    def text(
        self, at: Point, words: str, size: float = 8, colour: Colour = INK, align: str = "left", bold: bool = False
    ) -> None:
        """One or more lines; ``at`` is the baseline of the first, at its left end, middle or right end."""
        font = "hebo" if bold else "helv"
        for n, line in enumerate(words.split("\n")):
            length = pymupdf.get_text_length(line, fontname=font, fontsize=size)
            x = at[0] - {"left": 0.0, "centre": length / 2, "right": length}[align]
            self.page.insert_text((x, at[1] + n * size * 1.15), line, fontname=font, fontsize=size, color=colour)

    def pointer(self, at: Point, tip: Point, words: str, side: str, size: float = 8, line: Colour = YELLOW) -> None:
        """A label with a leader line to a dot at ``tip``; the text ends (left side) or starts (right side) at ``at``."""
        self.stroke([at, tip], line=INK, width=1.6)
        self.stroke([at, tip], line=line, width=0.8)
        self.disc(tip, 1.8, fill=line, line=INK, width=0.5)
        shift = -3.0 if side == "left" else 3.0
        lines = words.count("\n")
        self.text(
            (at[0] + shift, at[1] + size * 0.35 - lines * size * 0.575),
            words,
            size,
            align="right" if side == "left" else "left",
        )

    def png(self, dpi: int = 170) -> bytes:
        data: bytes = self.page.get_pixmap(dpi=dpi).tobytes("png")
        return data

    def jpg(self, dpi: int = 170, quality: int = 84) -> bytes:
        data: bytes = self.page.get_pixmap(dpi=dpi).tobytes("jpg", jpg_quality=quality)
        return data
