"""What every reader does with files: find them in a fixed order, name what they hold, read tables and text.

Knows nothing of any format's content.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from medrag._util.files import sha256_text
from medrag._util.images import one_line
from medrag._util.places import expand
from medrag.errors import BadRecord, CorpusError, SettingsError

ENCODING_HINT = "set the option encoding, e.g. encoding: cp1252, or store the file as UTF-8"


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
    found = sorted(_walk(path, wanted), key=lambda p: natural(p.relative_to(path).as_posix()))
    if not found:
        kinds = ", ".join(suffix for suffix in wanted if suffix) or "any kind"
        raise CorpusError(f"{path}: no files ({kinds}) in this folder", "check the corpus' path and its reader")
    return found


def _walk(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Files below a folder that match, hidden names left out."""
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
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


def read_text(path: Path, encoding: str) -> str:
    """A text file. Raises BadRecord for the wrong encoding, binary content and unreadable files."""
    try:
        text = path.read_text(encoding="utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except UnicodeError as error:
        raise BadRecord(str(path), f"is not {encoding} text", ENCODING_HINT) from error
    except LookupError as error:
        raise SettingsError(
            f"there is no encoding {encoding!r}", "use a name such as utf-8, cp1252 or latin-1"
        ) from error
    except OSError as error:
        raise os_problem(path, error) from error
    if "\0" in text:
        raise BadRecord(str(path), "holds NUL bytes, so it is not plain text", "export it again as text")
    return text


def os_problem(path: Path, error: OSError) -> BadRecord:
    """Why a file cannot be opened, in one line."""
    if path.is_symlink() and not path.exists():
        return BadRecord(str(path), "is a link to nowhere", "put the file back or remove the link")
    return BadRecord(
        str(path), f"cannot be read: {error.strerror or one_line(error)}", "check that it is there and readable"
    )


def read_table(
    path: Path, encoding: str = "utf-8", delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str] | BadRecord]]:
    """Rows of a CSV with a header: (line number, row), or a BadRecord for a row of the wrong length or with NULs.

    Raises CorpusError when the file as a whole cannot be read.
    """
    codec = "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding
    try:
        with path.open(encoding=codec, newline="") as handle:
            rows = csv.DictReader(handle, delimiter=delimiter, strict=True)
            if not rows.fieldnames:
                raise CorpusError(f"{path}: is empty", "a table needs a header line and rows")
            for row in rows:
                yield rows.line_num, _row(row, f"{path}:{rows.line_num}")
    except UnicodeError as error:
        raise CorpusError(f"{path}: is not {encoding} text", ENCODING_HINT) from error
    except LookupError as error:
        raise SettingsError(
            f"there is no encoding {encoding!r}", "use a name such as utf-8, cp1252 or latin-1"
        ) from error
    except csv.Error as error:
        raise CorpusError(f"{path}: is not a readable table: {one_line(error)}", "export it again as CSV") from error
    except OSError as error:
        raise CorpusError(str(os_problem(path, error).message), "check the path") from error


def _row(row: Mapping[Any, Any], where: str) -> dict[str, str] | BadRecord:
    """A row whose fields fit the header, stripped."""
    if None in row or None in row.values():
        return BadRecord(where, "the row does not have as many fields as the header", "mend or remove the row")
    if any("\0" in value for value in row.values()):
        return BadRecord(where, "the row holds NUL bytes", "mend or remove the row")
    return {key: value.strip() for key, value in row.items()}


def need_columns(
    path: Path, found: Iterable[str], mapping: Mapping[str, str], needed: Iterable[str], option: str
) -> None:
    """Raises CorpusError that names the columns found and the option that maps them."""
    have = [str(column) for column in found]
    lacking = [mapping[role] for role in needed if mapping[role] not in have]
    if lacking:
        shown = ", ".join(have[:12]) or "none"
        raise CorpusError(
            f"{path}: no column {', '.join(map(repr, lacking))}; found: {' '.join(shown.split())}",
            f"map the columns with the option {option}, e.g. {option}: {{{next(iter(needed))}: {have[0] if have else 'name'}}}",
        )


def mapped(defaults: Mapping[str, str], given: Mapping[str, str], option: str) -> dict[str, str]:
    """The default column names with what the option changes. Raises SettingsError for an unknown role."""
    if strange := sorted(set(given) - set(defaults)):
        raise SettingsError(f"{option}: nothing is called {strange[0]!r}", f"known: {', '.join(defaults)}")
    return {**defaults, **given}


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
