"""Typesets primer.md into primer.pdf: ``python corpora/sample/primer/make.py``. Needs the extra ``sample``.

A small dialect of Markdown (headings, paragraphs, lists, tables, figures with captions) is placed block by block on
A4 pages, so that a figure stays with its caption, a heading with what follows and a table row in one piece. The same
sources and libraries give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import photographs
import pymupdf
import schematics

HERE = Path(__file__).resolve().parent
PAGE = pymupdf.paper_rect("a4")
LEFT, TOP, RIGHT, BOTTOM = 54.0, 54.0, PAGE.width - 54, PAGE.height - 62
LINE = 9.6 * 1.36
FOOTER = "medrag sample primer, CC BY 4.0"
INK, FAINT = (0.12, 0.14, 0.18), (0.72, 0.75, 0.8)
CSS = """
body, p, h1, h2, h3, ul, li, img {font-family: sans-serif; margin: 0; padding: 0; color: #1f242e}
ul {margin-left: 14px}
p {font-size: 9.6px; line-height: 1.36} li {font-size: 9.6px; line-height: 1.36}
h1 {font-size: 23px; line-height: 1.15} h2 {font-size: 15px} h3 {font-size: 11.5px}
p.caption {font-size: 8.2px; line-height: 1.3} p.cell {font-size: 8.4px; line-height: 1.28}
p.title {font-size: 8.6px; font-weight: bold}
"""
GAPS = {
    "h1": (0, 12),
    "h2": (17, 7),
    "h3": (9, 3),
    "p": (0, 6),
    "ul": (0, 6),
    "title": (6, 3),
    "table": (0, 10),
    "figure": (5, 9),
}


@dataclass
class Block:
    """One piece of the source: its kind, its HTML or cells, and for a figure its picture and width."""

    kind: str
    text: str = ""
    rows: list[list[str]] = field(default_factory=list)
    picture: str = ""
    width: float = 0


def inline(text: str) -> str:
    """Bold and italic."""
    text = html.escape(text, quote=False)
    return re.sub(r"\*(.+?)\*", r"<i>\1</i>", re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text))


def parse(source: str) -> Iterator[Block]:
    """The blocks of the source, which blank lines part."""
    for chunk in re.split(r"\n\s*\n", source.strip()):
        if found := re.match(r"(#+) (.*)", chunk):
            level = len(found[1])
            yield Block(f"h{level}", f"<h{level}>{inline(found[2])}</h{level}>")
        elif found := re.match(r"!\[(.*)\]\((\w+) (\d+)\)", chunk):
            label, _, rest = found[1].partition(". ")
            yield Block(
                "figure",
                f'<p class="caption"><b>{label}.</b> {inline(rest)}</p>',
                picture=found[2],
                width=float(found[3]),
            )
        elif chunk.startswith("|"):
            lines = [[inline(cell.strip()) for cell in line.strip("|").split("|")] for line in chunk.splitlines()]
            yield Block("table", rows=[lines[0], *lines[2:]])
        elif chunk.startswith("- "):
            yield Block("ul", "<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in chunk.splitlines()) + "</ul>")
        elif chunk.startswith("Table "):
            yield Block("title", f'<p class="title">{inline(chunk)}</p>')
        else:
            yield Block("p", f"<p>{inline(chunk)}</p>")


class Typesetter:
    """Pages in the making. ``y`` is where the next block starts; rules and headings are noted for the second pass."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()
        self.writer = pymupdf.DocumentWriter(self.buffer)
        self.device: Any = None
        self.number = 0
        self.y = TOP
        self.rules: list[tuple[int, float, float]] = []  # page, y, weight
        self.marks: list[list[Any]] = []  # table of contents
        self.waiting: list[Block] = []  # figures for the top of the next page
        self.turn()

    def turn(self) -> None:
        if self.device is not None:
            self.writer.end_page()
        self.device = self.writer.begin_page(PAGE)
        self.number += 1
        self.y = TOP
        waiting, self.waiting = self.waiting, []
        for block in waiting:
            self.figure(block)
            self.y += GAPS["figure"][1]

    def story(self, text: str, archive: Any = None) -> Any:
        return pymupdf.Story(html=text, user_css=CSS, archive=archive)

    def height(self, text: str, width: float = RIGHT - LEFT, archive: Any = None) -> float:
        _, filled = self.story(text, archive).place(pymupdf.Rect(0, 0, width, 5000))
        return float(filled[3])

    def draw(
        self, text: str, x0: float = LEFT, x1: float = RIGHT, y: float | None = None, archive: Any = None
    ) -> float:
        """Draws text that fits, and returns its height."""
        story = self.story(text, archive)
        start = self.y if y is None else y
        _, filled = story.place(pymupdf.Rect(x0, start, x1, PAGE.height))
        story.draw(self.device)
        return float(filled[3]) - start

    def need(self, height: float) -> None:
        if self.y + height > BOTTOM:
            self.turn()

    def flow(self, text: str) -> None:
        """A paragraph that may run over to the next page, never with a single line on either."""
        story = self.story(text)
        over = self.y + self.height(text) - BOTTOM
        bottom = BOTTOM - (2 * LINE - over if 0 < over < 2 * LINE else 0)
        more = 1
        while more:
            if self.y > bottom - 2 * LINE:
                self.turn()
                bottom = BOTTOM
            more, filled = story.place(pymupdf.Rect(LEFT, self.y, RIGHT, bottom))
            story.draw(self.device)
            self.y = float(filled[3])
            if more:
                self.turn()
                bottom = BOTTOM

    def table(self, rows: list[list[str]]) -> None:
        widths = column_widths(rows)
        head = self.row_height(rows[0], widths)
        for n, row in enumerate(rows):
            high = self.row_height(row, widths)
            if self.y + high > BOTTOM:
                self.turn()
                if n:
                    self.row([f"<b>{cell}</b>" for cell in rows[0]], widths, head, 1)
            self.row([f"<b>{cell}</b>" for cell in row] if n == 0 else row, widths, high, 1 if n == 0 else 0.4)

    def table_height(self, rows: list[list[str]]) -> float:
        widths = column_widths(rows)
        return sum(self.row_height(row, widths) for row in rows)

    def company(self, following: list[Block]) -> float:
        """The height that must stay on the page of a heading or table title, for what follows it."""
        kinds = [block.kind for block in following]
        whole = sum(self.table_height(block.rows) + 24 for block in following if block.kind == "table")
        if "table" in kinds[: 2 if kinds[:1] == ["title"] else 1] and whole < 450:
            return whole
        return {"h3": 70.0, "figure": 60.0, "title": 120.0}.get(kinds[0] if kinds else "", 44.0)

    def row_height(self, cells: list[str], widths: list[float]) -> float:
        return 5 + max(
            self.height(f'<p class="cell"><b>{cell}</b></p>' if n == 0 else f'<p class="cell">{cell}</p>', w - 8)
            for n, (cell, w) in enumerate(zip(cells, widths, strict=True))
        )

    def row(self, cells: list[str], widths: list[float], high: float, weight: float) -> None:
        x = LEFT
        for cell, width in zip(cells, widths, strict=True):
            self.draw(f'<p class="cell">{cell}</p>', x + 3, x + width - 5, self.y + 2)
            x += width
        self.y += high
        self.rules.append((self.number, self.y, weight))

    def figure(self, block: Block) -> bool:
        """Draws the figure here, or keeps it for the next page and says so."""
        data = drawing(block.picture)()
        picture = pymupdf.Pixmap(data)
        archive = pymupdf.Archive()
        archive.add(data, "figure")
        high = block.width * picture.height / picture.width
        caption = self.height(block.text, 440)
        if self.waiting or self.y + high + caption + 6 > BOTTOM:
            self.waiting.append(block)
            return False
        side = (PAGE.width - block.width) / 2
        self.draw(
            f'<img src="figure" style="width:{block.width}px;height:{high}px">',
            side,
            side + block.width + 1,
            archive=archive,
        )
        self.y += high + 5
        self.draw(block.text, (PAGE.width - 440) / 2, (PAGE.width + 440) / 2)
        self.y += caption
        return True

    def add(self, block: Block, following: float) -> None:
        before, after = GAPS[block.kind]
        if block.kind == "h2" and self.waiting:
            self.turn()
        self.y += before if self.y > TOP else 0
        if block.kind in ("h1", "h2", "h3", "title"):
            self.need(self.height(block.text) + following)
            if block.kind != "title":
                self.marks.append([int(block.kind[1]), html.unescape(re.sub("<.*?>", "", block.text)), self.number])
            self.y += self.draw(block.text)
        elif block.kind == "table":
            self.table(block.rows)
        elif block.kind == "figure":
            if not self.figure(block):
                return
        else:
            self.flow(block.text)
        self.y += after

    def finish(self) -> bytes:
        """Ends the last page, then draws rules, footers and the outline."""
        if self.waiting:
            self.turn()
        self.writer.end_page()
        self.writer.close()
        document = pymupdf.open("pdf", self.buffer.getvalue())
        for number, y, weight in self.rules:
            document[number - 1].draw_line((LEFT, y), (RIGHT, y), color=INK if weight == 1 else FAINT, width=weight)
        for number, page in enumerate(document, start=1):
            page.insert_text((LEFT, PAGE.height - 34), FOOTER, fontsize=7.5, color=(0.4, 0.43, 0.5))
            page.insert_text(
                (RIGHT - 40, PAGE.height - 34), f"{number} of {len(document)}", fontsize=7.5, color=(0.4, 0.43, 0.5)
            )
        document.set_toc(self.marks)
        stamp = "D:20250101000000Z"
        document.set_metadata(
            {"title": self.marks[0][1], "author": "medrag", "subject": FOOTER, "creationDate": stamp, "modDate": stamp}
        )
        return bytes(document.tobytes(garbage=4, deflate=True, deflate_fonts=True, no_new_id=True))


def column_widths(rows: list[list[str]]) -> list[float]:
    """Widths in proportion to the text, between sensible ends."""
    weights = [min(max(max(len(row[n]) for row in rows), 16), 70) for n in range(len(rows[0]))]
    return [(RIGHT - LEFT) * weight / sum(weights) for weight in weights]


def drawing(name: str) -> Callable[[], bytes]:
    found: Callable[[], bytes] = getattr(photographs, name, None) or getattr(schematics, name)
    return found


def build() -> bytes:
    """The PDF of primer.md."""
    setter = Typesetter()
    blocks = list(parse((HERE / "primer.md").read_text(encoding="utf-8")))
    for n, block in enumerate(blocks):
        setter.add(block, setter.company(blocks[n + 1 : n + 3]))
    return setter.finish()


if __name__ == "__main__":
    (HERE / "primer.pdf").write_bytes(build())
