"""Files that a reader of texts or PDFs does not take: each is refused with what to do, those of a folder are told once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medrag.corpora._files import PICTURES, below, os_problem
from medrag.errors import BadRecord
from medrag.protocols import Report

OFFICE = (".docx", ".doc", ".odt", ".rtf", ".pptx", ".ppt", ".odp", ".epub", ".xlsx", ".xls", ".ods")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_SAVE = "save a document as PDF (reader pdf), Markdown or text, a sheet as CSV"
_READ = "reports-csv and reports-jsonl read reports, images a table of pictures; else write it as Markdown or text"
_BEGINS = {  # what a file that is no text begins with
    b"PK\x03\x04": ("is a zip file, such as those of Word, PowerPoint and Excel", _SAVE),
    b"\xd0\xcf\x11\xe0": ("is a file of an older Word, PowerPoint or Excel", _SAVE), b"{\\rtf": ("is rich text", _SAVE),
    b"%PDF-": ("is a PDF", "use the reader pdf"),
}  # fmt: skip


def refuse(path: Path) -> None:
    """Raises BadRecord for a file that a reader of plain text would take for one: of an office program, a table, JSON, a picture."""
    suffix = path.suffix.lower()
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise os_problem(path, error) from error
    if found := next((told for begin, told in _BEGINS.items() if head.startswith(begin)), None):
        raise BadRecord(str(path), *found)
    if suffix in TABLES:
        raise BadRecord(str(path), f"is a table or JSON ({suffix}), not a text", _READ)
    if suffix in OFFICE or suffix in PICTURES:
        raise BadRecord(
            str(path), f"is no text ({suffix})", _SAVE if suffix in OFFICE else "use the reader images or dicom"
        )


def unread(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files of a folder that are passed over, of the kinds ``suffixes``; none where it is a file."""
    return below(folder, suffixes) if folder.is_dir() else []


def tell(folder: Path, suffixes: Iterable[str], report: Report) -> None:
    """Reports once which files of a folder are passed over."""
    if found := unread(folder, suffixes):
        kinds = sorted({path.suffix.lower() for path in found})
        hint = _SAVE if set(kinds) & {*OFFICE} else _READ
        problem = f"is passed over, as are others of its kind ({len(found):,} in this folder: {', '.join(kinds)})"
        report(BadRecord(str(found[0]), problem if len(found) > 1 else "is passed over", hint))
