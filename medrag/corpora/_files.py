"""What every reader does with files: find them in a fixed order, name what they hold, read tables and text.

Knows nothing of any format's content.
"""

from __future__ import annotations

import csv
import difflib
import itertools
import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from medrag._util.files import sha256_text
from medrag._util.images import one_line
from medrag._util.near import meant
from medrag._util.places import expand
from medrag.errors import BadRecord, CorpusError, SettingsError
from medrag.types import DOMAINS

ENCODING_HINT = "set the option encoding, e.g. encoding: cp1252, or store the file as UTF-8"

_PICTURE = (
    "image",
    "images",
    "image_path",
    "image_name",
    "image_file",
    "img",
    "img_path",
    "file",
    "filename",
    "file_name",
    "path",
    "image_id",
)
_STUDY = ("study", "study_id", "uid", "accession", "accession_number", "study_uid", "study_instance_uid")
RASTER = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".tif", ".tiff", ".bmp", ".gif", ".webp")
PICTURES = (*RASTER, ".dcm", ".dicom")
USUAL: dict[str, tuple[str, ...]] = {  # what a column is for → what people call it, `folded`
    "file": _PICTURE, "image": _PICTURE, "images": _PICTURE, "study": _STUDY, "uid": (*_STUDY, "report_id", "id"),
    "patient": ("patient", "patient_id", "subject", "subject_id"), "caption": ("caption", "description", "text"),
    "label": ("label", "class", "category", "diagnosis", "dx", "class_name", "label_name", "finding"), "labels": ("labels", "label"), "view": ("view", "projection", "view_position"),
    "text": ("report", "report_text", "text"), "report": ("report", "report_text"), "date": ("date", "study_date"),
}  # fmt: skip
SIGNS = ",;\t|"  # between the columns of a table, the usual one first
LONGEST = 1 << 24  # characters of one cell of a table
AGAIN = 1_000_000  # lines of a table that are read a second time for what is wrong with the first


def discover(path: Path, suffixes: Iterable[str]) -> list[Path]:
    """The file itself, or every file below a folder with one of the suffixes (lower-case; "" is any), sorted.

    Hidden files are left out; links that lead nowhere are kept, so that reading them reports them.
    Raises CorpusError when there is nothing.
    """
    if not path.exists():
        gone = "is a link to nowhere" if path.is_symlink() else "does not exist"
        raise CorpusError(f"{path}: {gone}", "check the corpus' path")
    if path.is_file():
        return [path]
    wanted = tuple(suffixes)
    found = below(path, wanted)
    if not found:
        kinds = ", ".join(suffix for suffix in wanted if suffix) or "any kind"
        raise CorpusError(f"{path}: no files ({kinds}) in this folder", "check the corpus' path and its reader")
    return found


def below(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Every file below a folder with one of the suffixes, as `discover` finds them; none is no error."""
    found = _walk(folder, tuple(suffixes))
    return sorted(found, key=lambda path: natural(path.relative_to(folder).as_posix()))


def _walk(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Files below a folder that match, hidden names left out. Links to folders are followed after all other folders, and
    each folder is read once."""
    tops, seen = deque([folder]), set[tuple[int, int]]()
    while tops:
        for root, folders, names in os.walk(tops.popleft()):
            place = Path(root).stat()
            if (place.st_dev, place.st_ino) in seen:
                folders.clear()
                continue
            seen.add((place.st_dev, place.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            tops += [path for name in folders if (path := Path(root) / name).is_symlink()]
            for name in names:
                if not name.startswith(".") and name.lower().endswith(suffixes):
                    yield Path(root) / name


def natural(text: str) -> list[tuple[int, int | str]]:
    """A sort key that puts 2 before 10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", text) if part]


def local_id(path: Path, root: Path, *, keep_suffix: bool = False) -> str:
    """The path below the corpus' root as the local part of an id; without its suffix unless asked."""
    inner = Path(path.name) if path == root else path.relative_to(root)
    return safe_id((inner if keep_suffix else inner.with_suffix("")).as_posix())


def safe_id(text: str) -> str:
    """Text without the signs that medrag's ids use themselves (# and ~) and without blanks at the ends."""
    return (
        text.strip()
        .replace("#", "%23")
        .replace("~", "%7E")
        .replace("\udcff", "%FF")
        .encode("utf-8", "replace")
        .decode()
    )


def check_domain(domain: str) -> None:
    """Raises SettingsError for a domain that there is not: its pictures and reports would be used for no question."""
    if domain and domain not in DOMAINS:
        known = f"known: {', '.join(DOMAINS)}"
        near = meant(domain, DOMAINS, known)
        raise SettingsError(f"there is no domain {domain!r}", near if near == known else f"{near} {known}")


def signature_of(reader: Any, files: Iterable[Path]) -> str:
    """A hash of the reader's settings and of the names, sizes and times of files."""
    settings = {f.name: str(getattr(reader, f.name)) for f in fields(reader)}
    parts = [type(reader).__name__, json.dumps(settings, sort_keys=True)]
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            parts.append(f"{file} gone")
        else:
            parts.append(f"{file} {stat.st_size} {stat.st_mtime_ns}")
    return sha256_text(*parts)


def option_path(spelling: str, path: Path) -> Path:
    """A file that an option names: ``share:``, ``${VAR}``, absolute, or beside the corpus. Raises CorpusError."""
    target = expand(spelling, path if path.is_dir() else path.parent)
    if not target.is_file():
        raise CorpusError(f"{target}: does not exist", "check the option that names this file")
    return target


def read_text(path: Path, encoding: str, *, by_line: bool = False) -> str:
    """A text file. Raises BadRecord for unreadable files, and for the wrong encoding and binary content, unless its reader
    tells these line by line."""
    codec = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    try:
        text = path.read_text(encoding=codec, errors="surrogateescape" if by_line else "strict")
    except UnicodeError as error:
        raise BadRecord(str(path), f"is not {encoding} text", ENCODING_HINT) from error
    except LookupError as error:
        raise SettingsError(
            f"there is no encoding {encoding!r}", "use a name such as utf-8, cp1252 or latin-1"
        ) from error
    except OSError as error:
        raise os_problem(path, error) from error
    if "\0" in text and not by_line:
        raise BadRecord(str(path), "holds NUL bytes, so it is not plain text", "export it again as text")
    return text


def os_problem(path: Path, error: OSError) -> BadRecord:
    """Why a file cannot be opened, in one line."""
    if path.is_symlink() and not path.exists():
        return BadRecord(str(path), "is a link to nowhere", "put the file back or remove the link")
    return BadRecord(
        str(path), f"cannot be read: {error.strerror or one_line(error)}", "check that it is there and readable"
    )


def picture_named(name: str, folders: Iterable[Path]) -> Path | None:
    """The file that a cell names, in the first folder that holds it; its name may lack the suffix of a picture, and hold the
    backslashes of Windows."""
    names = dict.fromkeys((name, name.replace("\\", "/")))
    for folder in folders:
        for spelled in (f"{name}{suffix}" for name in names for suffix in ("", *PICTURES)):
            if present(folder / spelled):
                return folder / spelled
    return None


def present(path: Path) -> bool:
    """Whether there is such a file or folder; no name is too long to be asked for."""
    try:
        return path.exists()
    except OSError:
        return False


def read_table(
    path: Path, encoding: str = "utf-8", delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str] | BadRecord]]:
    """Rows of a CSV with a header: (number of the first line, row), or a BadRecord for a row that cannot be read.

    Where the delimiter is a comma and the header holds none, it is the semicolon, tab or bar that the header holds: a spreadsheet saves a CSV so where the comma
    is decimal. Raises CorpusError when the file as a whole cannot be read, SettingsError for an option that is no encoding or delimiter.
    """
    codec = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise SettingsError(f"{delimiter!r} is no delimiter", "write one character, e.g. delimiter: ';'")
    try:
        with path.open(encoding=codec, errors="surrogateescape", newline="") as handle:
            first = handle.readline()
            if delimiter == ",":
                delimiter = next((sign for sign in SIGNS if sign in first), delimiter)
            rows = _records(itertools.chain([first] if first else [], handle), delimiter)
            header = _header(path, encoding, next(rows, (1, []))[1])
            for line, cells in rows:
                if cells:
                    yield line, _row(header, cells, f"{path}:{line}", encoding)
    except UnicodeError as error:  # of encodings with units of several bytes
        raise CorpusError(f"{path}: is not {encoding} text", ENCODING_HINT) from error
    except LookupError as error:
        raise SettingsError(
            f"there is no encoding {encoding!r}", "use a name such as utf-8, cp1252 or latin-1"
        ) from error
    except OSError as error:
        raise CorpusError(str(os_problem(path, error).message), "check the path") from error


def header_of(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[str]:
    """The names of a table's columns. Raises as `read_table` does."""
    for _, row in read_table(path, encoding, delimiter):
        if not isinstance(row, BadRecord):
            return list(row)
    return []


def _records(handle: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """(number of the first line, cells) of each record. One that is not CSV ends with its first line: a quote that is
    never closed takes no other row with it, as long as not too much has to be read again."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    source, back, taken, again, number = iter(handle), deque[str](), list[str](), AGAIN, 1

    def lines() -> Iterator[str]:
        while (line := back.popleft() if back else next(source, None)) is not None:
            taken.append(line)
            yield line

    rows = csv.reader(lines(), delimiter=delimiter, strict=True)
    while True:
        found: list[str] | csv.Error | None
        try:
            found = next(rows, None)
        except csv.Error as error:
            found = error
            if len(taken) - 1 <= again:
                again -= len(taken) - 1
                back.extendleft(reversed(taken[1:]))
                del taken[1:]
            rows = csv.reader(lines(), delimiter=delimiter, strict=True)
        if found is None:
            return
        yield number, found
        number += len(taken)
        taken.clear()


def _header(path: Path, encoding: str, cells: list[str] | csv.Error) -> list[str]:
    """The names of the columns. Raises CorpusError."""
    if isinstance(cells, csv.Error):
        raise CorpusError(f"{path}: is not a readable table: {one_line(cells)}", "export it again as CSV")
    if not cells:
        raise CorpusError(f"{path}: is empty", "a table needs a header line and rows")
    if undecoded(cells):
        raise CorpusError(f"{path}: is not {encoding} text", ENCODING_HINT)
    return cells


def undecoded(cells: Iterable[str]) -> bool:
    """Whether a text that was read with ``surrogateescape`` holds bytes of another encoding."""
    return any("\udc80" <= sign <= "\udcff" for cell in cells if not cell.isascii() for sign in cell)


def _row(header: list[str], cells: list[str] | csv.Error, where: str, encoding: str) -> dict[str, str] | BadRecord:
    """A row whose fields fit the header, stripped."""
    if isinstance(cells, csv.Error):
        return BadRecord(where, f"the row is no CSV: {one_line(cells)}", 'write a quote inside quotes twice: ""')
    if len(cells) != len(header):
        return BadRecord(where, "the row does not have as many fields as the header", "mend or remove the row")
    if undecoded(cells):
        return BadRecord(where, f"the row is not {encoding} text", ENCODING_HINT)
    if any("\0" in value for value in cells):
        return BadRecord(where, "the row holds NUL bytes", "mend or remove the row")
    return {key: value.strip() for key, value in zip(header, cells, strict=True)}


def need_columns(
    path: Path, found: Iterable[str], mapping: Mapping[str, str], needed: Iterable[str], option: str
) -> None:
    """Raises CorpusError that names the columns found and the option that maps them."""
    have = [str(column) for column in found]
    lacking = [mapping[role] for role in needed if mapping[role] not in have]
    if lacking:
        shown = ", ".join(have[:12]) or "none"
        role = next(role for role in needed if mapping[role] in lacking)
        alike = difflib.get_close_matches(folded(role), map(folded, have), n=1)
        column = next((one for one in have if [folded(one)] == alike), "NAME")  # any other column would be a guess
        raise CorpusError(
            f"{path}: no column {', '.join(map(repr, lacking))}; found: {' '.join(shown.split())}",
            f"map the columns with the option {option}, e.g. {option}: {{{role}: {column}}}",
        )


def mapped(defaults: Mapping[str, str], given: Mapping[str, str], option: str) -> dict[str, str]:
    """The default column names with what the option changes. Raises SettingsError for an unknown role."""
    if strange := sorted(set(given) - set(defaults)):
        raise SettingsError(f"{option}: nothing is called {strange[0]!r}", f"known: {', '.join(defaults)}")
    return {**defaults, **given}


def folded(name: object) -> str:
    """A column's name in lower case, with _ for blanks and hyphens."""
    return "_".join(str(name).strip().lower().replace("-", " ").replace("_", " ").split())


def spellings(name: object) -> tuple[str, ...]:
    """A column's name `folded`, and so with its words parted where capitals begin them, as DICOM writes its keywords.

    >>> spellings("AccessionNumber"), spellings("Patient ID")
    (('accessionnumber', 'accession_number'), ('patient_id',))
    """
    return tuple(dict.fromkeys((folded(name), folded(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name))))))


def called(columns: Mapping[str, str], given: Mapping[str, str], found: Iterable[str]) -> dict[str, str]:
    """The column of each role: where there is none of its name, and no option maps it, one that people call so (`USUAL`)."""
    have = {name: column for column in reversed(list(found)) for name in spellings(column)}
    names = {**columns}
    for role, column in columns.items():
        if role not in given and column not in have.values():
            names[role] = next((have[name] for name in (folded(column), *USUAL.get(role, ())) if name in have), column)
    return names


def load_json(text: str, where: str) -> Any:
    """JSON. Raises BadRecord also for nesting deeper than Python bears."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadRecord(
            where, f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})", "mend the record"
        ) from error
    except (RecursionError, ValueError) as error:
        raise BadRecord(where, "is JSON nested too deeply, or with numbers too long", "mend the record") from error


def read_ids(path: Path) -> frozenset[str]:
    """A list of ids: one a line (# begins a comment), or a JSON list. Raises CorpusError."""
    try:
        text = read_text(path, "utf-8")
        raw = (
            load_json(text, str(path))
            if path.suffix == ".json"
            else [line.partition("#")[0].strip() for line in text.splitlines()]
        )
    except BadRecord as error:
        raise CorpusError(error.message, error.hint) from error
    if not isinstance(raw, list):
        raise CorpusError(f"{path}: is not a list of ids", "write one id a line, or a JSON list")
    return frozenset(str(one) for one in raw if str(one))


def whole(path: Path, file: Path, error: BadRecord) -> BadRecord:
    """The error of a file of a folder; raised as CorpusError when the file is all there is."""
    if file == path:
        raise CorpusError(error.message, error.hint) from error
    return error
