"""Figures and ruled tables of a PDF page: where they are, which words are their caption. Boxes as displayed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medrag.corpora._hyphens import join
from medrag.corpora._layout import CAPTION, Line, Piece, union
from medrag.corpora._rows import rows
from medrag.types import Box

if TYPE_CHECKING:
    from medrag.corpora.pdf import Sheet

_MIN_SIDE = 36.0  # points; half an inch
_MIN_SHARE = 0.012  # of the page
_REACH = 46.0  # points between a figure and its caption
_FIGURE = re.compile(r"^(?:figure|fig|plate|chart|image)", re.IGNORECASE)


def display_box(bbox: Sequence[float], turn: Any) -> Box:
    """A rectangle of the unrotated page as displayed."""
    import pymupdf

    rect = pymupdf.Rect(bbox) * turn
    rect.normalize()
    return Box(float(rect.x0), float(rect.y0), float(rect.x1), float(rect.y1))


def rasters(page: Any) -> list[Box]:
    """The boxes of embedded pictures, tiles of one picture joined, icons and page backgrounds left out."""
    area = float(page.rect.width * page.rect.height)
    boxes = []
    for info in page.get_image_info():
        if min(info["width"], info["height"]) >= 16 and (
            box := clipped(display_box(info["bbox"], page.rotation_matrix), page)
        ):
            boxes.append(box)
    return [box for box in merged(boxes) if _large(box, area)]


def clipped(box: Box, page: Any) -> Box | None:
    """The part of a box that is on the page; None where none is."""
    width, height = float(page.rect.width), float(page.rect.height)
    x0, y0, x1, y1 = max(0.0, box.x0), max(0.0, box.y0), min(width, box.x1), min(height, box.y1)
    return Box(x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


def merged(boxes: Sequence[Box]) -> list[Box]:
    """Boxes that touch become one (scans and charts are often cut into strips)."""
    result: list[Box] = []
    for box in sorted(boxes, key=lambda b: (b.y0, b.x0)):
        while touching := next((other for other in result if _touch(box, other)), None):
            result.remove(touching)
            box = box.union(touching)
        result.append(box)
    return sorted(result, key=lambda b: (b.y0, b.x0))


def _touch(a: Box, b: Box) -> bool:
    return a.x0 <= b.x1 + 1 and b.x0 <= a.x1 + 1 and a.y0 <= b.y1 + 1 and b.y0 <= a.y1 + 1


def _large(box: Box, page_area: float) -> bool:
    return min(box.x1 - box.x0, box.y1 - box.y0) >= _MIN_SIDE and box.area >= _MIN_SHARE * page_area


def drop_repeated(sheets: Sequence[Sheet]) -> None:
    """Takes out logos (the same place on three pages or more) and backgrounds under running text."""
    places: Counter[tuple[int, ...]] = Counter()
    for sheet in sheets:
        places.update({_place(box) for box in sheet.pictures})
    for sheet in sheets:
        words = sum(len(line.text) for _, line in sheet.lines)
        sheet.pictures = [
            box
            for box in sheet.pictures
            if (places[_place(box)] < 3 or not _marginal(box, sheet))
            and not (box.area > 0.6 * sheet.width * sheet.height and words > 200)
        ]


def _place(box: Box) -> tuple[int, ...]:
    return tuple(round(value / 3) for value in (box.x0, box.y0, box.x1, box.y1))


def _marginal(box: Box, sheet: Sheet) -> bool:
    """Whether a picture is small or lies in a margin, as logos do."""
    middle = (box.y0 + box.y1) / 2
    return box.area < 0.06 * sheet.width * sheet.height or not 0.15 < middle / sheet.height < 0.85


def with_captions(
    found: list[Piece], sheet: Sheet, document: Any, body: float, following: list[Piece]
) -> tuple[list[Piece], list[tuple[Box, str]]]:
    """The blocks, captions marked and labels inside figures left out; each figure's box with its caption.

    A figure at the foot of a page may have its caption on top of the ``following`` one; one without any caption takes
    the heading right above it.
    """
    boxes = sheet.pictures + _drawn(found, sheet, document)
    if not sheet.scanned:  # there every word stands in a picture
        found = [piece for piece in found if not any(_is_label(piece, box) for box in boxes)]
    pictures, taken = [], set[int]()
    for box in boxes:
        index = _caption_of(box, found, body, taken)
        if index is not None:
            taken.add(index)
            found[index] = _as_caption(found[index])
            pictures.append((box, found[index].text))
        elif _is_last(box, found, sheet) and following and _is_small(following[0], body):
            following[0] = _as_caption(following[0])
            pictures.append((box, following[0].text))
        else:
            above = [
                p.text for p in found if p.role == "heading" and 0 <= box.y0 - p.box.y1 <= 26 and _across(p.box, box)
            ]
            pictures.append((box, above[-1] if above else ""))
    return found, pictures


def _as_caption(piece: Piece) -> Piece:
    return Piece(piece.text, piece.box, "caption", piece.size)


def _is_last(box: Box, found: Sequence[Piece], sheet: Sheet) -> bool:
    """Whether a figure ends a page."""
    return box.y1 > 0.6 * sheet.height and not any(piece.box.y0 >= box.y1 - 6 for piece in found)


def _is_small(piece: Piece, body: float) -> bool:
    """Whether a block is set as captions are: smaller than the text, or named as one."""
    return piece.role in ("body", "caption") and (
        piece.size <= body - 0.4 or bool(_FIGURE.match(piece.text) and CAPTION.match(piece.text))
    )


def _across(a: Box, b: Box) -> bool:
    """Whether two boxes share a good part of their width."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 0.3 * min(a.x1 - a.x0, b.x1 - b.x0)


def _is_label(piece: Piece, box: Box) -> bool:
    """Whether a short block stands inside a figure."""
    x, y = (piece.box.x0 + piece.box.x1) / 2, (piece.box.y0 + piece.box.y1) / 2
    return piece.role != "caption" and len(piece.text) < 60 and box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def _caption_of(box: Box, found: Sequence[Piece], body: float, taken: set[int]) -> int | None:
    """The nearest caption below, above or beside a figure: named as one, or set smaller than the text right below."""
    best, nearest = None, _REACH
    for index, piece in enumerate(found):
        if (
            index in taken
            or piece.role in ("heading", "table")
            or (CAPTION.match(piece.text) and not _FIGURE.match(piece.text))
        ):
            continue
        named = bool(CAPTION.match(piece.text))
        below, above = piece.box.y0 - box.y1, box.y0 - piece.box.y1
        side = max(piece.box.x0 - box.x1, box.x0 - piece.box.x1)
        across = _across(piece.box, box)
        if across and -6 <= below <= (_REACH if named else 26):
            distance = max(0.0, below)
        elif named and across and -6 <= above <= _REACH:
            distance = above + 8  # below is the usual place
        elif named and 0 <= side <= _REACH and below < 0 and above < 0:
            distance = side + 16
        else:
            continue
        if (named or (piece.size <= body - 0.4 and below >= -6)) and distance < nearest:
            best, nearest = index, distance
    return best


def _drawn(found: Sequence[Piece], sheet: Sheet, document: Any) -> list[Box]:
    """Figures drawn with lines and shapes: looked for only where a caption says "Figure" and no picture is near."""
    captions = [piece for piece in found if CAPTION.match(piece.text) and _FIGURE.match(piece.text)]
    captions = [piece for piece in captions if not any(_near(piece.box, box) for box in sheet.pictures)]
    if not captions:
        return []
    page = document[sheet.number - 1]
    area = sheet.width * sheet.height
    clusters = [
        display_box(rect, page.rotation_matrix) for rect in page.cluster_drawings(x_tolerance=12, y_tolerance=12)
    ]
    large = [
        box for cluster in clusters if (box := clipped(cluster, page)) and _large(box, area) and box.area < 0.8 * area
    ]
    return [box for box in merged(large) if any(_near(piece.box, box) for piece in captions)]


def _near(caption: Box, figure: Box) -> bool:
    gap = max(caption.y0 - figure.y1, figure.y0 - caption.y1)
    across = min(caption.x1, figure.x1) - max(caption.x0, figure.x0)
    return across > 0 and gap <= _REACH


def ruled_tables(page: Any, turn: Any) -> list[list[list[Box]]]:
    """Tables with rules: rows of cells. Looked for only where enough rules are drawn."""
    if not _has_grid(page):
        return []  # the search below costs a third of a second a page
    tables = []
    for table in page.find_tables(strategy="lines_strict").tables:
        rows = [[display_box(cell, turn) for cell in row.cells if cell] for row in table.rows]
        if len(rows) >= 2 and max(map(len, rows)) >= 2:
            tables.append(rows)
    return tables


def _has_grid(page: Any) -> bool:
    """Whether rules at three heights and three widths at least are drawn: two rows of two cells."""
    across, down = set[int](), set[int]()
    for drawing in page.get_cdrawings():
        for kind, *points in drawing["items"]:
            if kind == "re":
                x0, y0, x1, y1 = points[0][:4]
            elif kind == "l":
                (x0, y0), (x1, y1) = points[0][:2], points[1][:2]
            else:
                continue
            if abs(x1 - x0) > 24:
                across |= {round(y0 / 3), round(y1 / 3)}
            if abs(y1 - y0) > 8:
                down |= {round(x0 / 3), round(x1 / 3)}
    return len(across) >= 3 and len(down) >= 3


def take_tables(lines: list[Line], tables: Sequence[list[list[Box]]]) -> tuple[list[Line], list[Piece]]:
    """The lines outside the ruled tables, and the tables as blocks."""
    found: list[Piece] = []
    for table in tables:
        taken: set[int] = set()
        texts: list[list[str]] = []
        bold: list[bool] = []
        for row in table:
            before, cells = len(taken), list[list[int]]()
            for cell in row:
                cells.append([i for i, line in enumerate(lines) if i not in taken and inside(line.box, cell)])
                taken.update(cells[-1])
            texts.append([join([lines[i].text for i in cell]) for cell in cells])
            bold.append(len(taken) > before and all(lines[i].bold for cell in cells for i in cell))
        if sum(sum(map(bool, cells)) >= 2 for cells in texts) >= 2:
            box = union([cell for row in table for cell in row])
            found.append(Piece("\n".join(rows(texts, bold)), box, "table", max(lines[i].size for i in taken)))
            lines = [line for i, line in enumerate(lines) if i not in taken]
    return lines, found


def inside(inner: Box, outer: Box) -> bool:
    """Whether the middle of a box lies in another."""
    x, y = (inner.x0 + inner.x1) / 2, (inner.y0 + inner.y1) / 2
    return outer.x0 - 1 <= x <= outer.x1 + 1 and outer.y0 - 1 <= y <= outer.y1 + 1


def placed(flow: list[Piece], tables: Sequence[Piece]) -> list[Piece]:
    """Tables put into the flow: before the first block that begins below their top, in the same column."""
    for table in sorted(tables, key=lambda piece: piece.box.y0):
        beside = (
            i
            for i, piece in enumerate(flow)
            if piece.box.y0 >= table.box.y0 and piece.box.x0 < table.box.x1 and piece.box.x1 > table.box.x0
        )
        flow.insert(next(beside, len(flow)), table)
    return flow
