"""Lines of a page to blocks in reading order: columns, tables without rules, headings, captions, joined words.

Pure geometry over boxes in a frame where text runs from left to right; knows nothing of PDF files. Columns are found
by gutters that no line of a band crosses, a simple form of the recursive cut of Nagy & Seth (ICPR 1984).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from medrag.corpora._hyphens import join
from medrag.corpora._rows import rows
from medrag.types import Box

Role = Literal["body", "heading", "caption", "table"]
CAPTION = re.compile(r"^(?:figure|fig\.?|table|box|plate|chart|image)\s*\d+(?:[.\-–]\d+)*\b", re.IGNORECASE)
_STRIP = 48.0  # points
_BULLET = re.compile(r"^(?:[•▪●◦■□➢✓‣∙·–]|o(?=\s))\s*")
_LABEL = re.compile(r"^(?:[•▪●◦■□➢✓‣∙·–o]|\(?[0-9]{1,2}[.)]|\(?[a-z][.)]|\d{1,2}(?:\.\d{1,2}){0,3})$")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text in one style, in points; ``bold`` when nearly all of it is."""

    text: str
    box: Box
    size: float
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A block before it is final: its lines' text, the union of their boxes, the largest font size."""

    text: str
    box: Box
    role: Role
    size: float


def pieces(lines: Sequence[Line], body: float, words: Collection[str] = frozenset()) -> list[Piece]:
    """Blocks in reading order. ``body`` is the document's usual font size, ``words`` what it spells (for hyphens)."""
    result: list[Piece] = []
    for run, is_table in _peeled(_ordered(_joined_labels(lines), depth=0), body):
        for part, cells in [(run, is_table)] if is_table else _headed(run):
            result += [_table(part) if is_table else _list_of_rows(part)] if cells else _paragraphs(part, body, words)
    return result


def rows_of(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines divided at the heights that no line covers, from top to bottom."""
    rows: list[list[Line]] = []
    bottom = float("-inf")
    for line in sorted(lines, key=lambda one: (one.box.y0, one.box.x0)):
        inset = 0.12 * (line.box.y1 - line.box.y0)  # boxes hold ascenders and descenders, so neighbours touch
        if line.box.y0 + inset >= bottom:
            rows.append([])
        rows[-1].append(line)
        bottom = max(bottom, line.box.y1 - inset)
    return rows


def columns_of(lines: Sequence[Line]) -> list[tuple[float, float]]:
    """The x-intervals that the lines cover, from left to right."""
    spans: list[tuple[float, float]] = []
    for x0, x1 in sorted((line.box.x0, line.box.x1) for line in lines):
        if spans and x0 <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], x1))
        else:
            spans.append((x0, x1))
    return spans


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all."""
    return Box(min(b.x0 for b in boxes), min(b.y0 for b in boxes), max(b.x1 for b in boxes), max(b.y1 for b in boxes))


def _joined_labels(lines: Sequence[Line]) -> list[Line]:
    """Bullets and list numbers put before the line that they stand beside; neighbours on a baseline joined."""
    result: list[Line] = []
    for line in sorted(lines, key=lambda one: (round(one.box.y1), one.box.x0)):
        before = next(
            (i for i in range(len(result) - 1, max(-1, len(result) - 6), -1) if _continues(result[i], line)), None
        )
        if before is None:
            result.append(line)
        else:
            left = result[before]
            bold = line.bold and (left.bold or bool(_LABEL.match(left.text)))
            size = line.size if _LABEL.match(left.text) else max(left.size, line.size)
            result[before] = Line(f"{left.text} {line.text}", left.box.union(line.box), size, bold)
    return result


def _continues(left: Line, right: Line) -> bool:
    """Whether ``right`` goes on where ``left`` ends, on the same baseline."""
    gap = right.box.x0 - left.box.x1
    level = min(left.box.y1, right.box.y1) - max(left.box.y0, right.box.y0) > 0.6 * min(left.size, right.size)
    reach = 40 if _LABEL.match(left.text) else 0.5 * left.size
    return level and -1 <= gap <= reach


def _ordered(lines: list[Line], depth: int) -> Iterator[tuple[list[Line], bool]]:
    """Runs of lines in reading order, each with whether it is a table."""
    start = _gutter(lines) if depth < 4 and len(lines) >= 4 else None
    if start is None:
        yield sorted(lines, key=lambda one: (one.box.y0, one.box.x0)), False
        return
    single: list[Line] = []  # bands in one column go on from one another
    for band in _rejoined(_bands(lines, start), start):
        left = [line for line in band if line.box.x0 < start - 2]
        right = [line for line in band if line.box.x0 >= start - 2]
        table = bool(left and right) and _is_table(band)
        if not table and (not (left and right) or any(line.box.x1 > start - 2 for line in left)):
            single += sorted(band, key=lambda one: (one.box.y0, one.box.x0))
            continue
        if single:
            yield single, False
            single = []
        if table:
            yield band, True
        else:
            yield from _ordered(left, depth + 1)
            yield from _ordered(right, depth + 1)
    if single:
        yield single, False


def _peeled(runs: Iterable[tuple[list[Line], bool]], body: float) -> list[tuple[list[Line], bool]]:
    """Tables without the end of the paragraph above them, and without the headings above and below them."""
    result: list[tuple[list[Line], bool]] = []
    for run, is_table in runs:
        parts, tail = rows_of(run) if is_table else [], list[Line]()
        while result and not result[-1][1] and len(parts) > 2 and _goes_on(result[-1][0][-1], parts[0]):
            result[-1][0].extend(parts.pop(0))
        if len(parts) > 2 and len(parts[0]) == 1 and len(parts[1]) > 1 and _titles(parts[0][0], parts[1], body):
            result.append((parts.pop(0), False))
        while len(parts) > 2 and len(parts[-1]) == 1 and _heads(parts[-1][0], body):
            tail = [*parts.pop(), *tail]
        result.append(([line for row in parts for line in row], True) if is_table else (run, False))
        if tail:
            result.append((tail, False))
    return result


def _titles(line: Line, row: Sequence[Line], body: float) -> bool:
    """Whether a line above a row of a table is a heading of the page: larger than the row, beginning at its left."""
    larger = line.size > 1.1 * max(one.size for one in row)
    return larger and _heads(line, body) and line.box.x0 <= min(one.box.x0 for one in row) + 1


def _goes_on(last: Line, row: Sequence[Line]) -> bool:
    """Whether a row is the next line of a paragraph."""
    gap = row[0].box.y0 - last.box.y1
    alike = row[0].size == last.size and row[0].bold == last.bold and abs(row[0].box.x0 - last.box.x0) < 3
    return len(row) == 1 and alike and -0.5 * last.size <= gap <= 0.3 * last.size


def _gutter(lines: Sequence[Line]) -> float | None:
    """Where a column begins that has lines on its left, beside it; None where the lines stand in one column."""
    starts: dict[int, int] = {}
    for line in lines:
        starts[round(line.box.x0)] = starts.get(round(line.box.x0), 0) + 1
    best, best_score = None, 0
    for start, count in starts.items():
        if count < 2:
            continue
        score = sum(_beside(band, start) for band in _bands(lines, start))
        if score > best_score or (score == best_score and best is not None and start < best and score):
            best, best_score = start, score
    return float(best) if best is not None and best_score >= 4 else None


def _bands(lines: Sequence[Line], start: float) -> list[list[Line]]:
    """Lines divided from top to bottom where one crosses the gutter before ``start``, and at wide empty strips (a
    figure over both columns, the margin above a footer); crossing lines form own bands."""
    bands: list[tuple[bool, list[Line]]] = []
    bottom = float("-inf")
    for line in sorted(lines, key=lambda one: (one.box.y0, one.box.x0)):
        crosses = _crosses(line, start)
        if not bands or bands[-1][0] != crosses or line.box.y0 - bottom > _STRIP:
            bands.append((crosses, []))
        bands[-1][1].append(line)
        bottom = max(bottom, line.box.y1)
    return [band for _, band in bands]


def _rejoined(bands: Sequence[list[Line]], start: float) -> list[list[Line]]:
    """Bands in which a table that a line or two cut, because their cells touch, is one band again."""
    result: list[list[Line]] = []
    for band in bands:
        cut = len(result) > 1 and len(result[-1]) <= 2 and all(_crosses(line, start) for line in result[-1])
        if cut and _close(*result[-2:]) and _close(result[-1], band) and _is_table([*result[-2], *band]):
            result[-2:] = [[*result[-2], *result[-1], *band]]
        else:
            result.append(band)
    return result


def _crosses(line: Line, start: float) -> bool:
    return line.box.x0 < start - 2 and line.box.x1 > start - 4


def _close(above: Sequence[Line], below: Sequence[Line]) -> bool:
    """Whether no more than a line's height lies between two bands."""
    gap = min(line.box.y0 for line in below) - max(line.box.y1 for line in above)
    return gap <= max(line.size for line in (*above, *below))


def _beside(band: Sequence[Line], start: float) -> int:
    """How many lines of a band stand beside another across the gutter; 0 where a line crosses it."""
    left = [line.box for line in band if line.box.x0 < start - 2]
    right = [line.box for line in band if line.box.x0 >= start - 2]
    if not left or not right or max(box.x1 for box in left) > start - 4:
        return 0
    top, bottom = (
        max(min(b.y0 for b in left), min(b.y0 for b in right)),
        min(max(b.y1 for b in left), max(b.y1 for b in right)),
    )
    return sum(1 for box in (*left, *right) if box.y0 < bottom and box.y1 > top)


def _is_table(band: Sequence[Line]) -> bool:
    """Whether lines that stand side by side are rows of cells and not columns of running text."""
    columns, rows = _table_columns(band), rows_of(band)
    if len(rows) < 2 or len(columns) < 2:
        return False
    shared = [row for row in rows if len(columns_of(row)) > 1]
    aligned = sum(1 for row in shared if _tops_aligned(row))
    if not shared or aligned < 0.6 * len(shared):
        return False
    lengths = [[len(line.text) for line in band if x0 - 1 <= line.box.x0 <= x1 + 1] for x0, x1 in columns]
    narrow = [median(column) < 18 for column in lengths]
    short = sum(narrow)
    wordy = sum(1 for row in shared if len(row) > len(columns_of(row)))  # a cell of several lines: rare in text columns
    labelled = (len(columns) > 3 and short > 0) or (len(columns) == 3 and narrow[0])  # the first column names the rows
    return short >= max(1, len(columns) - 1) or wordy >= max(2, 0.5 * len(shared)) or labelled


def _table_columns(band: Sequence[Line]) -> list[tuple[float, float]]:
    """The columns of a table. The few lines that run over where three others begin do not join them: cells that touch are
    read as one line."""
    begin, joining = Counter(round(line.box.x0) for line in band), set[int]()
    for start in (start for start, count in begin.items() if count >= 3):
        over = [n for n, line in enumerate(band) if _crosses(line, start)]
        if len(over) <= max(1, len(band) // 10):
            joining.update(over)
    return columns_of([line for n, line in enumerate(band) if n not in joining])


def _tops_aligned(row: Sequence[Line]) -> bool:
    """Whether the cells of a row begin at one height."""
    tops = [min(line.box.y0 for line in row if x0 - 1 <= line.box.x0 <= x1 + 1) for x0, x1 in columns_of(row)]
    return max(tops) - min(tops) <= 3


def _table(band: Sequence[Line]) -> Piece:
    """Rows of cells, a line each."""
    starts = [x0 - 1 for x0, _ in _table_columns(band)]
    table, bold = [], []
    for row in rows_of(band):
        cells: list[list[Line]] = [[] for _ in starts]
        for line in sorted(row, key=lambda one: one.box.y0):
            cells[max(0, bisect_right(starts, line.box.x0) - 1)].append(line)  # also one that begins between two
        table.append([join([line.text for line in cell]) for cell in cells])
        bold.append(all(line.bold for line in row) and not any(map(_side_by_side, cells)))
    over = any(line.box.x0 < start - 2 and line.box.x1 > start + 2 for line in band for start in starts)
    return Piece("\n".join(rows(table, bold, sure=not over)), union([line.box for line in band]), "table", band[0].size)


def _side_by_side(cell: Sequence[Line]) -> bool:
    """Whether lines of what counts as one cell stand beside each other: it may be several."""
    return len(columns_of(cell)) > 1


def _headed(lines: Sequence[Line]) -> Iterator[tuple[list[Line], bool]]:
    """Lines in one column, and the tables among them that only their header shows: three bold cells or more side by side, then rows of
    several cells, which touch or stand too near for columns."""
    if sum(line.bold for line in lines) < 3:
        yield list(lines), False
        return
    parts, text, n = rows_of(lines), list[Line](), 0
    while n < len(parts):
        end = n
        if len(parts[n]) > 2 and all(line.bold for line in parts[n]):
            end = next((m for m in range(n + 1, len(parts)) if len(parts[m]) < 2), len(parts))
        if end > n + 1:
            yield text, False
            yield [line for row in parts[n:end] for line in row], True
            text, n = [], end
        else:
            text, n = text + parts[n], n + 1
    yield text, False


def _list_of_rows(lines: Sequence[Line]) -> Piece:
    """Rows of cells in a piece, whatever columns they stand in."""
    table = [sorted(row, key=lambda one: one.box.x0) for row in rows_of(lines)]
    texts = [" | ".join(line.text for line in row) for row in table]
    return Piece("\n".join(texts), union([line.box for line in lines]), "table", lines[0].size)


def _paragraphs(lines: Sequence[Line], body: float, words: Collection[str]) -> list[Piece]:
    """A column's lines as headings, captions and paragraphs."""
    groups: list[list[Line]] = []
    for line in lines:
        if not groups or _starts_block(groups[-1], line, body):
            groups.append([])
        groups[-1].append(line)
    bullets = [bool(_BULLET.match(group[0].text)) for group in groups]
    lists = [one and any(bullets[max(0, i - 1) : i] + bullets[i + 1 : i + 2]) for i, one in enumerate(bullets)]
    return [_piece(group, body, words, listed) for group, listed in zip(groups, lists, strict=True)]


def _starts_block(group: Sequence[Line], line: Line, body: float) -> bool:
    """Whether a line begins a new block after a group."""
    last = group[-1]
    gap = line.box.y0 - last.box.y1
    same_style = _heads(last, body) == _heads(line, body) and abs(last.size - line.size) <= 0.12 * body
    apart = gap > 0.55 * line.size or gap < -2.5 * line.size
    return apart or not same_style or bool(CAPTION.match(line.text) and _ended(last)) or bool(_BULLET.match(line.text))


def _ended(line: Line) -> bool:
    return line.text.rstrip().endswith((".", "!", "?", ":"))


def _heads(line: Line, body: float) -> bool:
    """Whether a line's style is that of a heading."""
    return line.size >= 1.15 * body or (line.bold and line.size >= 0.9 * body)


def _piece(group: Sequence[Line], body: float, words: Collection[str], listed: bool) -> Piece:
    """A block of lines; an item of a list is no heading, however it is set."""
    text = join([line.text for line in group], words)
    role: Role = "body"
    if CAPTION.match(text):
        role = "caption"
    elif not listed and all(_heads(line, body) for line in group) and _is_heading(text):
        role, text = "heading", _BULLET.sub("", text)
    return Piece(text, union([line.box for line in group]), role, max(line.size for line in group))


def _is_heading(text: str) -> bool:
    """Whether words in the style of a heading may be one: short, with letters, no sentence that goes on."""
    letters = sum(character.isalpha() for character in text)
    return (
        letters >= 3
        and len(text) <= 160
        and not text.endswith((",", ";"))
        and not (text.endswith(".") and len(text) > 60)
    )
