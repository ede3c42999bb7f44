"""Text that needs no layout: MedQuAD question-answer XML, and files of plain text, Markdown or HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrag._util.files import sha256_text
from medrag.corpora import _files as files
from medrag.corpora import _foreign as foreign
from medrag.corpora import _html, _markdown
from medrag.corpora._parts import Part, blocks
from medrag.corpora._report_parts import parse_xml
from medrag.errors import BadRecord
from medrag.protocols import Report
from medrag.types import Block, Document, Item

_MARKDOWN, _HTML = (".md", ".markdown"), (".html", ".htm", ".xhtml")
_TEXTS = (".txt", *_MARKDOWN, *_HTML)
_IS_HTML = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype html|html)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MedQuad:
    """MedQuAD (Ben Abacha & Demner-Fushman, BMC Bioinformatics 2019): a tree of XML files, or one.

    A document for each file that holds an answer: its questions are headings, its answers bodies. Pairs without an
    answer (three subsets came without, for copyright) are left out; a file without any is no error and no document.
    """

    name: str
    path: Path
    license: str = "CC BY 4.0"

    def signature(self) -> str:
        return files.signature_of(self, files.discover(self.path, (".xml",)))

    def read(self, report: Report) -> Iterator[Item]:
        """Documents with meta: focus, cuis, types, group, qtypes, url, publisher, qa."""
        seen: set[str] = set()
        for file in files.discover(self.path, (".xml",)):
            try:
                document = self._document(file)
                if document is not None and document.id in seen:
                    raise BadRecord(
                        str(file), f"the document {document.id} comes a second time", "remove one of the two"
                    )
            except BadRecord as error:
                report(files.whole(self.path, file, error))
                continue
            if document is not None:
                seen.add(document.id)
                yield document

    def _document(self, file: Path) -> Document | None:
        """The file's answered pairs; None where there are none. Raises BadRecord."""
        try:
            root = parse_xml(file.read_bytes(), str(file))
        except OSError as error:
            raise files.os_problem(file, error) from error
        if root.tag not in ("Document", "DiseaseFile", "doc"):
            raise BadRecord(str(file), f"its root is <{root.tag}>, not <Document>", "this reader takes MedQuAD files")
        _same_names(root)
        blocks: list[Block] = []
        qtypes: list[str] = []
        for pair in root.iter("QAPair"):
            question, answer = _text(pair.find("Question")), _paragraphs(pair.find("Answer"))
            if question and answer:
                blocks += [Block(question, role="heading"), Block(answer)]
                qtypes.append(str(pair.find("Question").get("qtype", "")))
        if not blocks:
            return None
        focus = _text(root.find("Focus"))
        meta = {
            "focus": focus,
            "cuis": _all(root, "CUI"),
            "types": _all(root, "SemanticType"),
            "group": _text(root.find(".//SemanticGroup")),
            "qtypes": qtypes,
            "url": root.get("url", ""),
            "publisher": root.get("source", root.get("corpus", "")),
            "license": self.license,
            "qa": True,
        }
        identity = f"{self.name}:{files.local_id(file, self.path)}"
        return Document(identity, focus or file.stem, tuple(blocks), str(file), {k: v for k, v in meta.items() if v})


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Plain text, Markdown and HTML, a file or a folder. Paragraphs are divided by blank lines; of Markdown and HTML the marks go: headings,
    lists, tables (whose rows are sentences) and quotes are blocks.

    Where a file has several headings of its highest level, each begins a part that is titled by it.
    """

    name: str
    path: Path
    encoding: str = "utf-8"
    title: str = ""
    license: str = ""

    def signature(self) -> str:
        # an earlier medrag left the marks of Markdown in its text
        return sha256_text(files.signature_of(self, files.discover(self.path, _TEXTS)), "plain")

    def read(self, report: Report) -> Iterator[Item]:
        """A document for each file that holds words."""
        for file in files.discover(self.path, _TEXTS):
            try:
                yield self._document(file)
            except BadRecord as error:
                report(files.whole(self.path, file, error))
        foreign.tell(self.path, (*foreign.OFFICE, *foreign.TABLES), report)

    def _document(self, file: Path) -> Document:
        foreign.refuse(file)
        named, parts = _parts(files.read_text(file, self.encoding), file.suffix.lower())
        leveled = list(blocks(parts))
        if not leveled:
            raise BadRecord(str(file), "holds no text", "remove the file")
        levels = [level for level, block in leveled if block.role == "heading"]
        heading = next((block.text for _, block in leveled if block.role == "heading"), "")
        meta: dict[str, Any] = {"license": self.license} if self.license else {}
        if not self.title and levels and levels.count(min(levels)) > 1:
            meta["heading_levels"] = levels
        identity = f"{self.name}:{files.local_id(file, self.path, keep_suffix=True)}"
        title = self.title or heading or named or file.stem
        return Document(identity, title, tuple(block for _, block in leveled), str(file), meta)


def _parts(text: str, suffix: str) -> tuple[str, list[Part]]:
    """The title that a text names outside its own lines, and its parts."""
    if suffix in _HTML or _IS_HTML.match(text):
        return _html.parts(text)
    if suffix in _MARKDOWN:
        return "", list(_markdown.parts(text))
    paragraphs = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n"))
    return "", [Part("text", " ".join(paragraph.split())) for paragraph in paragraphs]


def _text(node: Any) -> str:
    """The words of an element and of all in it."""
    return "" if node is None else " ".join("".join(node.itertext()).split())


def _paragraphs(node: Any) -> str:
    """The words of an element, its paragraphs divided by an empty line."""
    parts = [] if node is None else re.split(r"\n[ \t]*\n", "".join(node.itertext()))
    return "\n\n".join(filter(None, (" ".join(part.split()) for part in parts)))


def _same_names(root: Any) -> None:
    """Gives the five files of the collection that spell their elements otherwise the usual names."""
    usual = {"doctitle-focus": "Focus", "cui": "CUI", "semanticType": "SemanticType", "semanticGroup": "SemanticGroup",
             "pair": "QAPair", "question": "Question", "answer": "Answer"}  # fmt: skip
    for node in root.iter():
        node.tag = usual.get(node.tag, node.tag)


def _all(root: Any, tag: str) -> list[str]:
    """The distinct texts of all elements of a name."""
    return list(dict.fromkeys(filter(None, (_text(node) for node in root.iter(tag)))))
