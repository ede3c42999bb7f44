"""PDF files to pages with blocks in reading order, and figures with captions, through PyMuPDF (AGPL, or commercial).

Boxes are in points of the page as displayed, origin top left. Pages that are only a picture, and large pictures without
a caption (tables, as a rule), are read by OCR (medrag/corpora/_ocr.py) where it is installed; without it such pages come
without blocks and are reported. Words that nobody sees (medrag/corpora/_unseen.py) are left out and reported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medrag._util import apart
from medrag._util.images import one_line
from medrag.corpora import _figures as figures
from medrag.corpora import _files as files
from medrag.corpora import _foreign as foreign
from medrag.corpora import _ocr as ocr
from medrag.corpora import _unseen as unseen
from medrag.corpora._layout import Line, Piece, Role, pieces, union
from medrag.corpora._page_ends import running_on
from medrag.errors import BadRecord, MissingDependency
from medrag.protocols import Report
from medrag.types import Block, Box, ImageRecord, Item, Page

_NUMBER = re.compile(
    r"^[\s\-–—|·•.]*(?:page\s*)?(?:\d{1,4}|[ivxlc]{1,6})(?:\s*(?:/|of)\s*\d{1,4})?[\s\-–—|·•.]*$", re.IGNORECASE
)
_PAGE_OF = re.compile(r"^\W*page\s+\d{1,4}\s*(?:/|of)\s*\d{1,4}\W*$", re.IGNORECASE)  # nothing else, wherever it stands
_PAGE_LABEL = re.compile(r"\b((?:page|chapter|vol\.?|p\.)\s*)\d+(?!\d|\s*[a-z%])")  # but not "vol. 30 ml"
_PAGE_NUMBER = re.compile(r"(?<!\d)\d{1,5}(?!\d)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u200b]")
_SUPERSCRIPT = str.maketrans("0123456789+-–−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻")
_UNIT = re.compile(r"(?<![^\W\d_])(?<!['’])(?:[cdkmµμn]?m|s|min)$")
_POWER = re.compile(r"[2-4]|[-–−][1-4]")
_ISOTOPE = re.compile(r"[A-Z][a-z]?(?![a-z])")  # ¹³¹I, but not "¹Department"
_WHOLE = re.compile(r"(?<![^\W\d_])[^\W\d_]++(?:-[^\W\d_]++)*+(?!-$)")  # a word or compound that no line's end divides
FEW = 40  # letters: a page or picture with fewer says nothing
FIRST = 8  # pages named of words that nobody sees
SHOWN = 80  # characters of them
LARGE = 0.1  # of the page: a picture that is read where it has no caption
_NO_TITLE = re.compile(r"(?i)^(?:untitled|microsoft word|.*\.(?:docx?|indd|pdf|qxd|tex|pptx?)\b|\W*$)")


@dataclass(frozen=True, slots=True)
class PdfPages:
    """Every page of a PDF, or of all PDFs of a folder, followed by the page's figures.

    ``title`` overrides the file's own; ``domain`` is that of the figures; ``figures: false`` leaves them out;
    ``ocr: false`` leaves pictures unread.
    """

    name: str
    path: Path
    title: str = ""
    license: str = ""
    domain: str = "other"
    figures: bool = True
    ocr: bool = True

    def signature(self) -> str:
        return files.signature_of(self, files.discover(self.path, (".pdf",))) + self._version()

    def parts(self) -> list[tuple[str, str]]:
        """The files, each with its own signature: one that was read before need not be read again when another comes. What is
        passed over in the folder is a part that holds nothing."""
        version, unread = self._version(), foreign.unread(self.path, foreign.OFFICE)
        parts = [
            (str(file), files.signature_of(self, [file]) + version) for file in files.discover(self.path, (".pdf",))
        ]
        return [*parts, (str(self.path), files.signature_of(self, unread))] if unread else parts

    def _version(self) -> str:
        """What pages depend on beside the files; raised when the same file gives other pages or passages."""
        return f"4{ocr.version() if self.ocr else ''}"

    def read(self, report: Report) -> Iterator[Item]:
        """Pages in order. A file that cannot be read (encrypted, cut short, without pages) is reported."""
        for file, _ in self.parts():
            yield from self.read_part(file, report)

    def read_part(self, part: str, report: Report) -> Iterator[Item]:
        """The pages of one file; of the folder itself, a report of what is not read there."""
        file = Path(part)
        if file.is_dir():
            foreign.tell(file, foreign.OFFICE, report)
            return
        try:
            document = open_pdf(file)
        except BadRecord as error:
            report(files.whole(self.path, file, error))
            return
        with document:
            yield from self._document(document, file, report)

    def _document(self, document: Any, file: Path, report: Report) -> Iterator[Item]:
        identity = f"{self.name}:{files.local_id(file, self.path)}"
        sheets = []
        for index in range(len(document)):
            apart.beat()
            try:
                sheets.append(_sheet(document[index]))
            except Exception as error:  # MuPDF raises its own kinds for a broken page
                report(
                    BadRecord(
                        f"{file}, page {index + 1}", f"cannot be read: {one_line(error)}", "check the PDF in a viewer"
                    )
                )
        if not sheets:
            return
        _tell_unseen(sheets, file, report)
        words = _words(sheets)  # before the running lines are dropped
        reads = self.ocr and _read_scans(sheets, document, file, report)
        _drop_running(sheets)
        figures.drop_repeated(sheets)
        body, words = _body_size(sheets), words | _words(sheets)
        flows = [_pieces(sheet, body, words) for sheet in sheets]
        section, title = "", self.title or _own_title(document) or _largest_heading(flows[:3]) or file.stem
        read = []
        for sheet, flow, following in zip(sheets, flows, [*flows[1:], []], strict=True):
            found, pictures = figures.with_captions(flow, sheet, document, body, following)
            if reads and not sheet.scanned:
                apart.beat()
                found = figures.placed(found, _told(pictures, sheet, document, body, words))
            read.append((sheet, found, pictures))
        over = running_on([(sheet.number, found) for sheet, found, _ in read], body)
        for sheet, found, pictures in read:
            headings = [piece.text for piece in found if piece.role == "heading"]
            meta = ({"section": section} if section else {}) | over[sheet.number]
            section = headings[-1] if headings else section
            extra = {"license": self.license} if self.license else {}
            page = f"{identity}#p{sheet.number}"
            blocks = tuple(Block(piece.text, sheet.number, piece.box, piece.role) for piece in found)
            yield Page(
                page, identity, sheet.number, blocks, sheet.width, sheet.height, str(file), title, {**meta, **extra}
            )
            for count, (box, caption) in enumerate(pictures if self.figures else (), start=1):
                yield ImageRecord(
                    id=f"{page}f{count}",
                    doc=identity,
                    text=caption,
                    source=str(file),
                    domain=self.domain,
                    page=sheet.number,
                    box=box,
                    meta={"title": title, **extra},
                )


@dataclass(slots=True)
class Sheet:
    """A page as read: lines by direction of writing, boxes of its pictures, size as displayed."""

    number: int
    width: float
    height: float
    lines: list[tuple[tuple[int, int], Line]]  # direction of writing as displayed, line in display coordinates
    pictures: list[Box]
    tables: list[list[list[Box]]]  # ruled tables: rows of cells
    scanned: bool = False  # the words come from OCR
    unseen: str = ""  # words that nobody sees, left out


def open_pdf(path: Path) -> Any:
    """An open PyMuPDF document with at least one page. Raises BadRecord, MissingDependency."""
    try:
        import pymupdf
    except ModuleNotFoundError as error:
        raise MissingDependency("reading PDF needs the package pymupdf", "pip install pymupdf") from error
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    where = str(path)
    try:
        with path.open("rb") as handle:
            head = handle.read(1024)
    except OSError as error:
        raise files.os_problem(path, error) from error
    if not head:
        raise BadRecord(where, "is empty", "fetch the file again")
    if b"%PDF-" not in head:
        raise BadRecord(where, "is not a PDF", "check the file, or leave it out")
    try:
        document = pymupdf.open(path, filetype="pdf")
        pages = 0 if document.needs_pass else len(document)
    except Exception as error:  # MuPDF raises its own kinds
        raise BadRecord(where, f"the PDF cannot be opened: {one_line(error)}", "fetch the file again") from error
    problem = None
    if document.needs_pass:
        problem = BadRecord(where, "the PDF is encrypted", "decrypt it first, e.g. qpdf --decrypt in.pdf out.pdf")
    elif not pages:
        problem = BadRecord(where, "the PDF has no pages, or was cut short", "fetch the file again")
    if problem:
        document.close()
        raise problem
    return document


def _sheet(page: Any) -> Sheet:
    """A page's lines, pictures and ruled tables, in display coordinates."""
    import pymupdf

    turn, look = page.rotation_matrix, unseen.Look(page)
    flags = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
    lines, lost = [], []
    for block in page.get_text("dict", flags=flags)["blocks"]:
        for raw in block.get("lines", ()):
            seen = [span for span in raw["spans"] if look.sees(span, raw["dir"])]
            lost += [span["text"].strip() for span in raw["spans"] if span not in seen]
            raw["spans"] = seen
            if seen and (line := _line(raw, turn)):
                lines.append((_direction(raw["dir"], page.rotation), line))
    return Sheet(
        number=page.number + 1,
        width=float(page.rect.width),
        height=float(page.rect.height),
        lines=_printed_once(lines),
        pictures=figures.rasters(page),
        tables=figures.ruled_tables(page, turn),
        unseen=" ".join(lost),
    )


def _tell_unseen(sheets: Sequence[Sheet], file: Path, report: Report) -> None:
    """Reports the words that nobody sees, of all pages together."""
    if found := [sheet for sheet in sheets if sheet.unseen]:
        pages = ", ".join(str(sheet.number) for sheet in found[:FIRST]) + (" …" if len(found) > FIRST else "")
        words = " ".join(found[0].unseen.split())
        said = f"{words[:SHOWN]}…" if len(words) > SHOWN else words
        where = f"page{'s' if len(found) > 1 else ''} {pages}"
        problem = f"{where}: words that nobody sees (white, transparent or tiny) were left out: “{said}”"
        report(BadRecord(str(file), problem, "select all of the page in a viewer to see them"))


def _printed_once(lines: Sequence[tuple[tuple[int, int], Line]]) -> list[tuple[tuple[int, int], Line]]:
    """Lines without those that were printed again over themselves to look bold."""
    kept: list[tuple[tuple[int, int], Line]] = []
    places: dict[tuple[str, int], list[Box]] = {}
    for direction, line in lines:
        box, height = line.box, round((line.box.y0 + line.box.y1) / 12)
        near = [other for step in (-1, 0, 1) for other in places.get((line.text, height + step), ())]
        if not any(_shared(box, other) > 0.9 * max(box.area, other.area) for other in near):
            places.setdefault((line.text, height), []).append(box)
            kept.append((direction, line))
    return kept


def _shared(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    width, height = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height)


def _read_scans(sheets: Sequence[Sheet], document: Any, file: Path, report: Report) -> bool:
    """Reads the pages that are only pictures; False, with a report of those pages, where OCR is not installed."""
    scans = _scans(sheets)
    try:
        for sheet in scans:
            apart.beat()
            boxes = [line.box for _, line in sheet.lines]
            seen = ocr.read(document[sheet.number - 1])
            sheet.lines += [((1, 0), line) for line in seen if not any(figures.inside(line.box, box) for box in boxes)]
            sheet.scanned = True
    except MissingDependency as error:
        numbers = ", ".join(str(sheet.number) for sheet in scans)
        report(
            BadRecord(
                str(file), f"page {numbers}: a picture of text, kept without its text; OCR is not installed", error.hint
            )
        )
        return False
    return bool(ocr.version())


def _scans(sheets: Sequence[Sheet]) -> list[Sheet]:
    """Pages with a good part under pictures and next to no words but running lines."""
    bare = [replace(sheet, lines=list(sheet.lines)) for sheet in sheets]
    _drop_running(bare)
    return [
        sheet
        for sheet, own in zip(sheets, bare, strict=True)
        if sum(len(line.text) for _, line in own.lines) < FEW
        and sum(box.area for box in sheet.pictures) > 0.1 * sheet.width * sheet.height
    ]


def _told(
    pictures: Sequence[tuple[Box, str]], sheet: Sheet, document: Any, body: float, words: set[str]
) -> list[Piece]:
    """What stands in the large pictures of a page that no caption explains, a block each."""
    told = []
    for box, caption in pictures:
        if caption or box.area < LARGE * sheet.width * sheet.height:
            continue
        lines = ocr.read(document[sheet.number - 1], box)
        if sum(len(line.text) for line in lines) >= FEW:
            found = pieces(lines, body, words)
            role: Role = "table" if any(piece.role == "table" for piece in found) else "body"
            told.append(Piece("\n".join(p.text for p in found), union([p.box for p in found]), role, body))
    return told


def _line(raw: dict[str, Any], turn: Any) -> Line | None:
    """A line of MuPDF's dictionary; None where it holds no words."""
    text, sizes, bold, total = "", Counter[float](), 0, 0
    parts = [span["text"] for span in raw["spans"]]
    for span, part, following in zip(raw["spans"], parts, [*parts[1:], ""], strict=True):
        text += _raised(part, text, following) if span["flags"] & 1 and part.strip() else part
        count = len(part.strip())
        sizes[round(span["size"], 1)] += count
        bold += count if span["flags"] & 16 or "bold" in span["font"].lower() else 0
        total += count
    text = " ".join(_CONTROL.sub("", text).replace("\u00ad", "-").split())  # many fonts call their hyphen a soft one
    text = re.sub(r"^\ufffd\s*", "• ", text)  # a bullet of a font without names
    if not text or not total:
        return None
    return Line(text, figures.display_box(raw["bbox"], turn), sizes.most_common(1)[0][0], bold >= 0.85 * total)


def _raised(part: str, before: str, after: str) -> str:
    """A superscript: powers, charges and the numbers of isotopes stay, a note's number goes."""
    sign = part.strip()
    if sign in ("-", "–", "−"):
        return part.replace(sign, "⁻")
    isotope = sign.isdecimal() and _ISOTOPE.match(after) and before[-1:] in ("", " ", "(", "[", "/", "-")
    if before[-1:].isdigit() or isotope or (_POWER.fullmatch(sign) and _UNIT.search(before)):
        return part.translate(_SUPERSCRIPT)
    return re.sub(r"^[\d,\s–-]+$", "", part)


def _direction(raw: Sequence[float], rotation: int) -> tuple[int, int]:
    """The direction of writing as displayed: (1, 0) runs to the right, (0, 1) down."""
    x, y = round(raw[0]), round(raw[1])
    for _ in range(rotation // 90 % 4):
        x, y = -y, x
    return x, y


def _pieces(sheet: Sheet, body: float, words: set[str]) -> list[Piece]:
    """All blocks of a page: in the main direction of writing first, then what runs otherwise."""
    found: list[Piece] = []
    counts = Counter[tuple[int, int]]()
    for direction, line in sheet.lines:
        counts[direction] += len(line.text)
    for direction, _ in counts.most_common():
        lines = [line for this, line in sheet.lines if this == direction]
        lines, tables = figures.take_tables(lines, sheet.tables)
        turned = [Line(line.text, _reading(line.box, direction), line.size, line.bold) for line in lines]
        flow = [Piece(p.text, _displayed(p.box, direction), p.role, p.size) for p in pieces(turned, body, words)]
        found += figures.placed(flow, tables)
    return found


def _reading(box: Box, direction: tuple[int, int]) -> Box:
    """A box turned so that its writing runs to the right."""
    x, y = direction
    if (x, y) in ((1, 0), (0, 0)):
        return box
    corners = [(cx * x + cy * y, -cx * y + cy * x) for cx in (box.x0, box.x1) for cy in (box.y0, box.y1)]
    return Box(
        min(c[0] for c in corners), min(c[1] for c in corners), max(c[0] for c in corners), max(c[1] for c in corners)
    )


def _displayed(box: Box, direction: tuple[int, int]) -> Box:
    """The inverse of `_reading`."""
    return _reading(box, (direction[0], -direction[1]))


def _drop_running(sheets: Sequence[Sheet]) -> None:
    """Takes out headers, footers and page numbers: what repeats in the margins at one height."""
    counts: Counter[tuple[str, int]] = Counter()
    for sheet in sheets:
        counts.update({key for _, line in sheet.lines for key in _margin_keys(line, sheet, 0.12)})
    large = 1.15 * _body_size(sheets)
    for sheet in sheets:
        sheet.lines = [pair for pair in sheet.lines if not _runs(pair[1], sheet, counts, len(sheets), large)]


def _runs(line: Line, sheet: Sheet, counts: Counter[tuple[str, int]], pages: int, large: float) -> bool:
    """Whether a line is a running header or footer, or a page number; letters of the size ``large`` are a heading's."""
    keys = _margin_keys(line, sheet, 0.12)
    if not keys or _PAGE_OF.match(line.text):
        return bool(_PAGE_OF.match(line.text))
    seen = max(counts[text, height + step] for text, height in keys for step in (-1, 0, 1))
    outer = bool(_margin_keys(line, sheet, 0.075))
    number = outer and bool(_NUMBER.match(line.text))
    inner = seen >= max(3, 0.4 * pages) if pages >= 5 else seen == pages >= 3 and line.size < large
    return number or (outer and seen >= 3) or inner


def _margin_keys(line: Line, sheet: Sheet, share: float) -> set[tuple[str, int]]:
    """What a line of the top or bottom margin says if it runs, and its height; nothing for other lines.

    It says the same on other pages word for word, but for the number of a page, chapter or volume, or a number that
    grows with the pages. Lines that differ in other numbers, such as sizes, are none that run.
    """
    middle = (line.box.y0 + line.box.y1) / 2
    if share * sheet.height < middle < (1 - share) * sheet.height:
        return set()
    text = _PAGE_LABEL.sub(r"\1#", line.text.lower())
    grown = (f"{text[: m.start()]}#{int(m[0]) - sheet.number:+d}{text[m.end() :]}" for m in _PAGE_NUMBER.finditer(text))
    return {(one, round(middle / 6)) for one in (text, *grown)}


def _body_size(sheets: Sequence[Sheet]) -> float:
    """The font size of most characters."""
    sizes: Counter[float] = Counter()
    for sheet in sheets:
        for _, line in sheet.lines:
            sizes[round(line.size * 2) / 2] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def _words(sheets: Sequence[Sheet]) -> set[str]:
    """All words and compounds that no line's end divides, lower-case."""
    found, divided = set[str](), False
    for sheet in sheets:
        for _, line in sheet.lines:
            text = line.text.lower()
            found.update(_WHOLE.findall(text.partition(" ")[2] if divided else text))
            divided = text.endswith("-")
    return found


def _largest_heading(flows: Sequence[Sequence[Piece]]) -> str:
    """The heading in the largest letters, the first of them; "" where there is none."""
    headings = [piece for flow in flows for piece in flow if piece.role == "heading"]
    return max(headings, key=lambda piece: piece.size).text if headings else ""


def _own_title(document: Any) -> str:
    """The title of the file's metadata, unless it is a file name or filler."""
    title = " ".join(str((document.metadata or {}).get("title") or "").split())
    return "" if _NO_TITLE.match(title) else title
