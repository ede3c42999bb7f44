"""Questions that a textbook answers by its own make-up: glossary entries, terms set in bold, captions, each with its pages.

They come from how the page is printed, never from a search. A definition is asked for the pages where the chapter itself
introduces the term; the glossary page that holds the very words is left out. What a sentence means is not known here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medrag._util.files import sha256_text
from medrag.corpora.pdf import open_pdf

Kind = Literal["definition", "term", "caption"]
MOST_PAGES = 4  # of a term: what stands in bold on more is a running theme
_GLOSSARY = re.compile(r"(?i)^(?:glossary|key terms)$")
_CREDIT = re.compile(r"\s*\((?:credit|micrograph)s?\b.*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """A question, the pages (from 1) that answer it, and the pages that hold its very words and do not count."""

    kind: Kind
    text: str
    pages: tuple[int, ...]
    leave_out: tuple[int, ...] = ()


@dataclass(slots=True)
class _Line:
    """A printed line: its spans as (text, bold), and the font size of most of it."""

    spans: list[tuple[str, bool]]
    size: float

    @property
    def text(self) -> str:
        return _plain("".join(text for text, _ in self.spans))

    @property
    def all_bold(self) -> bool:
        return all(bold for text, bold in self.spans if text.strip())


@dataclass(slots=True)
class _Book:
    """What the print of a book tells: definitions, where each term stands in bold, captions; pages from 1."""

    definitions: dict[str, tuple[str, set[int]]] = field(default_factory=dict)  # term → (definition, glossary pages)
    bold: dict[str, set[int]] = field(default_factory=dict)
    captions: list[tuple[str, int]] = field(default_factory=list)


def derived(path: Path) -> list[PageQuestion]:
    """All questions of a PDF, in a fixed order. Raises BadRecord for a file that cannot be read."""
    with open_pdf(path) as document:
        pages = [_lines(page) for page in document]
        pictured = {number for number, page in enumerate(document, start=1) if page.get_image_info()}
    book = _read(pages, pictured)
    return [*_definitions(book), *_terms(book), *_captions(book)]


def drawn(questions: list[PageQuestion], most: dict[str, int]) -> list[PageQuestion]:
    """At most ``most[kind]`` of each kind, by the hash of their text: the same on every machine, spread over the book."""
    kept: list[PageQuestion] = []
    for kind, count in most.items():
        own = [question for question in questions if question.kind == kind]
        kept += sorted(own, key=lambda question: sha256_text(question.text))[:count]
    return kept


def _definitions(book: _Book) -> Iterator[PageQuestion]:
    for term, (definition, glossary) in book.definitions.items():
        pages = tuple(sorted(book.bold.get(term, set()) - glossary))
        tells = re.search(rf"\b{re.escape(term)}", definition, re.IGNORECASE) is not None
        if pages and len(pages) <= MOST_PAGES and len(definition.split()) >= 5 and not tells:
            yield PageQuestion("definition", definition, pages, tuple(sorted(glossary)))


def _terms(book: _Book) -> Iterator[PageQuestion]:
    for term, chapter in book.bold.items():
        pages = chapter | book.definitions.get(term, ("", set()))[1]
        if len(pages) <= MOST_PAGES and sum(map(str.isalpha, term)) >= 6:
            yield PageQuestion("term", term, tuple(sorted(pages)))


def _captions(book: _Book) -> Iterator[PageQuestion]:
    """The first sentence of each caption; what comes twice, but for its numbers, is a footer or tells nothing."""
    firsts = [(re.split(r"(?<=[.!?])\s", _CREDIT.sub("", text))[0], number) for text, number in book.captions]
    seen = Counter(re.sub(r"\d+", "#", text) for text, _ in firsts)
    for text, number in firsts:
        if len(text.split()) >= 6 and seen[re.sub(r"\d+", "#", text)] == 1:
            yield PageQuestion("caption", re.sub(r"^\(\w\)\s*", "", text), (number,))


def _read(pages: list[list[_Line]], pictured: set[int]) -> _Book:
    body = _body(pages)
    book, in_glossary, last, caption = _Book(), False, "", ""
    for number, lines in enumerate(pages, start=1):
        before: _Line | None = None
        for line, after in zip(lines, [*lines[1:], None], strict=True):
            heading = line.all_bold and line.size > 1.05 * body
            if heading:
                in_glossary, last = bool(_GLOSSARY.match(line.text)), ""
            elif in_glossary:
                last = _define(book, line, last, number)
            elif abs(line.size - body) < 0.3:
                for term in _bold_terms(line, before, after):
                    book.bold.setdefault(term, set()).add(number)
            small = body - 2.2 < line.size < body - 0.8 and number in pictured and not heading
            caption = f"{caption} {line.text}".strip() if small else caption
            if caption and not (small and after is not None and abs(after.size - line.size) < 0.3):
                book.captions.append((caption, number))
                caption = ""
            before = line
    return book


def _define(book: _Book, line: _Line, last: str, number: int) -> str:
    """Adds a line of a glossary: a new entry begins in bold. The term that it belongs to."""
    if line.spans and line.spans[0][1] and not line.all_bold:
        first = next((n for n, (text, bold) in enumerate(line.spans) if not bold and text.strip()), len(line.spans))
        last = _term("".join(text for text, _ in line.spans[:first]))
        rest = _plain("".join(text for text, _ in line.spans[first:]))
        book.definitions[last] = (rest, {number})
    elif last and not line.all_bold:
        text, pages = book.definitions[last]
        book.definitions[last] = (f"{text} {line.text}".strip(), pages | {number})
    return last


def _bold_terms(line: _Line, before: _Line | None, after: _Line | None) -> Iterator[str]:
    """The terms set in bold within a line of text; those that run over its ends are left out."""
    if line.all_bold:
        return
    spans = [(text, bold) for text, bold in line.spans if text.strip()]
    for n, (text, bold) in enumerate(spans):
        comes = n == 0 and before is not None and before.spans[-1][1]
        goes_on = n == len(spans) - 1 and after is not None and after.spans[0][1]
        if bold and not comes and not goes_on and (term := _term(text)):
            yield term


def _lines(page: Any) -> list[_Line]:
    import pymupdf

    flags = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
    found = []
    for block in page.get_text("dict", flags=flags)["blocks"]:
        for raw in block.get("lines", ()):
            spans = [
                (span["text"], bool(span["flags"] & 16 or "bold" in span["font"].lower())) for span in raw["spans"]
            ]
            if any(text.strip() for text, _ in spans):
                found.append(_Line(spans, max(raw["spans"], key=lambda span: len(span["text"]))["size"]))
    return found


def _body(pages: list[list[_Line]]) -> float:
    """The font size of most letters."""
    sizes: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def _term(text: str) -> str:
    return _plain(text).strip(" ,.;:()").lower()


def _plain(text: str) -> str:
    return " ".join(text.replace("\u200b", "").split())
