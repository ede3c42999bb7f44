"""Text that needs no layout: MedQuAD question-answer XML, and plain text or Markdown files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrag._util.files import sha256_text
from medrag.corpora import _files as files
from medrag.corpora._report_parts import parse_xml
from medrag.corpora._rows import row
from medrag.errors import BadRecord
from medrag.protocols import Report
from medrag.types import Block, Document, Item


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
    """Plain text and Markdown: paragraphs are divided by blank lines; ``# …`` lines are headings, rows of a table sentences. A file or a folder.

    Where a Markdown file has several headings of its highest level, each begins a part that is titled by it.
    """

    name: str
    path: Path
    encoding: str = "utf-8"
    title: str = ""
    license: str = ""

    def signature(self) -> str:
        found = files.discover(self.path, (".txt", ".md"))
        signature = files.signature_of(self, found)
        # an earlier medrag titled every part by the first heading, and read tables as sentences that run on
        return sha256_text(signature, "parts") if any(file.suffix.lower() == ".md" for file in found) else signature

    def read(self, report: Report) -> Iterator[Item]:
        """A document for each file that holds words."""
        for file in files.discover(self.path, (".txt", ".md")):
            try:
                yield self._document(file)
            except BadRecord as error:
                report(files.whole(self.path, file, error))

    def _document(self, file: Path) -> Document:
        text, markdown = files.read_text(file, self.encoding), file.suffix.lower() == ".md"
        leveled = list(_blocks(text, markdown=markdown))
        blocks = tuple(block for _, block in leveled)
        if not blocks:
            raise BadRecord(str(file), "holds no text", "remove the file")
        levels = [level for level, block in leveled if block.role == "heading"]
        headings = (block.text for level, block in leveled if block.role == "heading" and level < _FENCED)
        meta: dict[str, Any] = {"license": self.license} if self.license else {}
        if not self.title and levels and min(levels) < _FENCED and levels.count(min(levels)) > 1:
            meta["heading_levels"] = levels
        title = self.title or next(headings, "") or file.stem
        return Document(
            f"{self.name}:{files.local_id(file, self.path, keep_suffix=True)}", title, blocks, str(file), meta
        )


_FENCED = 7  # below every heading: a "# …" among code
_FENCE = re.compile(r"\s*(?:```(?!.*`)|~~~)")  # a line of code between backticks is none
_EDGES = re.compile(r"^\||(?<!\\)\|$")  # one bar at either end
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")


def _blocks(text: str, *, markdown: bool) -> Iterator[tuple[int, Block]]:
    """Paragraphs, headings and tables of a text, headings with their level."""
    fenced = False
    for part in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        body: list[str] = []
        for line in part.strip("\n").split("\n"):
            fenced ^= bool(_FENCE.match(line))
            if markdown and (found := re.match(r"(#{1,6})\s+\S", line)):
                yield from _paragraph(body, tables=markdown)
                body = []
                level = _FENCED if fenced else len(found[1])
                yield level, Block(line.lstrip("#").strip().rstrip("#").strip(), role="heading")
            elif line.strip():
                body.append(" ".join(line.split()))
        yield from _paragraph(body, tables=markdown)


def _paragraph(lines: list[str], *, tables: bool) -> Iterator[tuple[int, Block]]:
    """The lines as one block, with each table among them as one of its own."""
    begun = 0
    while tables and (rule := _rule_after(lines, begun + 1)):
        end = next((n for n in range(rule, len(lines)) if "|" not in lines[n]), len(lines))
        if before := lines[begun : rule - 1]:
            yield 0, Block(" ".join(before))
        rows = [said for line in lines[rule + 1 : end] if (said := row(_cells(lines[rule - 1]), _cells(line)))]
        yield 0, Block("\n".join(rows) or " ".join(_cells(lines[rule - 1])), role="table")
        begun = end
    if begun < len(lines):
        yield 0, Block(" ".join(lines[begun:]))


def _rule_after(lines: list[str], start: int) -> int:
    """Where the rule below a table's header stands, from ``start`` on; 0 where there is none."""
    places = (n for n in range(start, len(lines)) if "|" in lines[n - 1] and "|" in lines[n])
    return next((n for n in places if _RULE.match(lines[n])), 0)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", _EDGES.sub("", line.strip()))]


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
