"""Tables that name pictures, CSV or JSON: which column is what, what a cell says, which row is whose.

Knows nothing of items. What is doubtful is told, not guessed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrag._util.near import meant
from medrag.corpora import _files as files
from medrag.corpora._foreign import OFFICE
from medrag.errors import BadRecord, CorpusError
from medrag.protocols import Report
from medrag.types import DOMAINS

LINES, JSON = (".jsonl", ".ndjson"), ".json"
SUFFIXES = (".csv", ".tsv", *LINES, JSON)
NO_LABEL = frozenset(
    ("", "nan", "n/a", "#n/a", "na", "<na>", "null", "none", "none given", "not given", "not available", "unlabelled",
     "unlabeled", "not labelled", "not labeled", "-", "?")
)  # fmt: skip
NAMED = "map a column with the option columns: {label: NAME}"
SINGLE = 0.9  # of the rows with a 1 have it once, where columns of 0 and 1 are classes and not marks
_BARE = re.compile(r"[-+]?\d+(?:\.\d*)?")
_SIGN = {"0": "0", "0.0": "0", "": "0", "1": "1", "1.0": "1"}  # what a column of a class holds


@dataclass(frozen=True, slots=True)
class PictureTable:
    """``columns`` is the column of each role; ``classes`` are columns that are 1 for the pictures of their class."""

    path: Path
    columns: Mapping[str, str]
    classes: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    @property
    def labelled(self) -> bool:
        """Whether it says what its pictures are labelled."""
        return bool(self.classes) or self.has("label")

    def has(self, role: str) -> bool:
        return bool(self.rows) and self.columns[role] in self.rows[0][1]

    def cells(self, row: Mapping[str, str]) -> dict[str, str]:
        """What a row says, by role; empty where it says that it does not know."""
        found = {role: said(row.get(column, "")) for role, column in self.columns.items()}
        if self.classes:
            found["label"] = "; ".join(name for name in self.classes if _SIGN[row[name]] == "1")
        return found | {"file": row.get(self.columns["file"], "")}


def said(cell: str) -> str:
    """A cell; empty where it holds a word for nothing, such as "nan".

    >>> said("N/A"), said("Nevus")
    ('', 'Nevus')
    """
    return "" if cell.lower().replace("_", " ") in NO_LABEL else cell


def read(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, dict[str, str] | BadRecord]]:
    """(line, row) of a table, each row with the same columns. Raises CorpusError for what is no table."""
    suffix = path.suffix.lower()
    if suffix in OFFICE:
        raise CorpusError(f"{path}: is a sheet of an office program, which is not read", "save it as CSV")
    if suffix in (*LINES, JSON):
        return _json_rows(path, encoding, whole=suffix == JSON)
    return files.read_table(path, encoding, delimiter)


def _json_rows(path: Path, encoding: str, *, whole: bool) -> Iterator[tuple[int, dict[str, str] | BadRecord]]:
    try:
        text = files.read_text(path, encoding)
        found = files.load_json(text, str(path)) if whole else text.split("\n")
    except BadRecord as error:
        raise CorpusError(error.message, error.hint) from error
    if not isinstance(found, list):
        raise CorpusError(f"{path}: is no list of objects", 'write [{"file": "a.png", "label": "…"}, …], or a CSV')
    rows = [(n, _flat(one, f"{path}:{n}", whole)) for n, one in enumerate(found, 1) if whole or one.strip()]
    names = dict.fromkeys(name for _, row in rows if not isinstance(row, BadRecord) for name in row)
    return ((n, row if isinstance(row, BadRecord) else {name: row.get(name, "") for name in names}) for n, row in rows)


def _flat(raw: Any, where: str, parsed: bool) -> dict[str, str] | BadRecord:
    """The fields of an object as a row's cells; a list of words is joined."""
    try:
        fields = raw if parsed else files.load_json(raw, where)
    except BadRecord as error:
        return error
    if not isinstance(fields, dict):
        return BadRecord(where, "is no object with fields", 'write {"file": "a.png", "label": "…"}')
    joined = {str(k): "; ".join(map(str, v)) if isinstance(v, list) else v for k, v in fields.items()}
    return {name: "" if value is None else str(value).strip() for name, value in joined.items()}


def opened(
    path: Path, plain: Mapping[str, str], given: Mapping[str, str], encoding: str, delimiter: str,
    fits: Callable[[str], bool], report: Report,
) -> PictureTable:  # fmt: skip
    """The rows of a table, with its column of each role: of several for the pictures the one whose cells ``fits`` most often,
    of several for the label the first that holds words. Raises CorpusError for a column that the options name and it lacks."""
    rows = list[tuple[int, dict[str, str]]]()
    for line, row in read(path, encoding, delimiter):
        if isinstance(row, BadRecord):
            report(row)
        else:
            rows.append((line, row))
    header = list(rows[0][1]) if rows else []
    columns = files.called(plain, given, header)
    if rows:
        columns["file"] = _fitting(candidates("file", columns, given, header), rows, fits) or columns["file"]
        columns["label"] = _of_words(candidates("label", columns, given, header), rows) or columns["label"]
        files.need_columns(path, header, columns, ("file", *given), "columns")
    found = PictureTable(path, columns, (), tuple(rows))
    if rows and not found.labelled:
        found = PictureTable(path, columns, _classes(path, rows, {*columns.values()}, report), tuple(rows))
    _tell_label(found, report)
    return found


def candidates(role: str, columns: Mapping[str, str], given: Mapping[str, str], header: Sequence[str]) -> list[str]:
    """The columns that may be meant, the most usual name first; what an option names, alone."""
    if role in given:
        return [columns[role]]
    have = {name: column for column in reversed(header) for name in files.spellings(column)}
    usual = [have[name] for name in files.USUAL[role] if name in have]
    return list(dict.fromkeys([column for column in (columns[role], *usual) if column in header]))


def _fitting(names: Sequence[str], rows: Iterable[tuple[int, dict[str, str]]], fits: Callable[[str], bool]) -> str:
    if len(names) < 2:
        return ""
    return max(names, key=lambda name: sum(fits(row[name]) for _, row in rows))  # the first of equals


def _of_words(names: Sequence[str], rows: Sequence[tuple[int, dict[str, str]]]) -> str:
    """The first column that holds more than bare numbers; without one the first that holds any."""
    held = {name: [cell for _, row in rows if (cell := said(row[name]))] for name in names}
    words = (name for name, cells in held.items() if cells and not all(map(_BARE.fullmatch, cells)))
    return next(itertools.chain(words, (name for name, cells in held.items() if cells)), "")


def _classes(
    path: Path, rows: Sequence[tuple[int, dict[str, str]]], taken: Collection[str], report: Report
) -> tuple[str, ...]:
    """The columns that are 1 for the pictures of their class and else 0, as a ground truth of ISIC has them."""
    names = [
        name for name in rows[0][1]
        if name and name not in taken and all(row[name] in _SIGN for _, row in rows) and any(row[name] for _, row in rows)
    ]  # fmt: skip
    ones = [count for _, row in rows if (count := sum(_SIGN[row[name]] == "1" for name in names))]
    if len(names) < 2 or not ones:
        return ()
    shown = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
    if ones.count(1) < SINGLE * len(ones):
        problem = f"of its columns of 0 and 1 ({shown}) several are 1 in a row: no label is read from them"
        report(BadRecord(str(path), problem, "write what each picture is into a column label"))
        return ()
    problem = f"has no column of labels: a picture is labelled with the column that is 1, of {shown}"
    report(BadRecord(str(path), problem, f"where they are no classes, {NAMED}"))
    return tuple(names)


def _tell_label(table: PictureTable, report: Report) -> None:
    """Tells a table of which no label, or numbers alone, can be read."""
    if not table.rows or table.classes:
        return
    header = list(table.rows[0][1])
    if not table.labelled:
        if not table.has("caption"):
            problem = (
                f"has no column of labels; found: {', '.join(header[:12])}. Folders that are named by class give theirs"
            )
            report(BadRecord(str(table.path), problem, NAMED))
        return
    column = table.columns["label"]
    cells = [cell for _, row in table.rows if (cell := said(row[column]))]
    if cells and all(map(_BARE.fullmatch, cells)):
        problem = f"the labels of its column {column!r} are bare numbers, and an answer can say no more than these"
        report(BadRecord(str(table.path), problem, f"write what they stand for, or {NAMED}"))


def rows_by_file(table: PictureTable, domain: str, report: Report) -> dict[str, dict[str, str]]:
    """What each row says, by the file that it names. A row that names none, or one again, and a strange domain are told."""
    rows: dict[str, dict[str, str]] = {}
    strange = set[str]()
    for line, row in table.rows:
        cells = table.cells(row)
        if (named := files.folded(cells["domain"]).replace("_", "-")) in DOMAINS:
            cells["domain"] = named
        elif named:
            strange.add(cells["domain"])
            cells["domain"] = ""
        if not cells["file"] or cells["file"] in rows:
            problem = f"{cells['file']!r} is named a second time" if cells["file"] else "the row names no file"
            report(BadRecord(f"{table.path}:{line}", problem, "mend or remove the row"))
            continue
        rows[cells["file"]] = cells
    for one in sorted(strange):
        problem = f"there is no domain {one!r}; its rows are read as {domain!r}"
        report(BadRecord(str(table.path), problem, meant(one, DOMAINS)))
    return rows


def plain(name: str, folder: Path) -> str:
    r"""How a cell names a file, as a path below the folder.

    >>> plain(r".\img\a.jpg", Path("/data")), plain("/data/img/a.jpg", Path("/data"))
    ('img/a.jpg', 'img/a.jpg')
    """
    name = name.replace("\\", "/").removeprefix(f"{folder.as_posix()}/")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


class Spellings:
    """The files of a folder by each way of naming them: the path below it or the bare name, with or without suffix, in its own
    case or any."""

    def __init__(self, found: Sequence[Path], folder: Path) -> None:
        self.folder = folder
        paths = [file.name if file == folder else file.relative_to(folder).as_posix() for file in found]
        ways = [(whole, names) for whole in (True, False) for names in (paths, [file.name for file in found])]
        exact = [_by_name(found, names, whole) for whole, names in ways]
        self.ways = [*exact, *(_folded(way) for way in exact)]  # the most exact first

    def names(self, key: str) -> tuple[str, str]:
        """How a cell names a file, in its own case and in any."""
        name = plain(key, self.folder)
        return name, name.casefold()

    def of(self, names: tuple[str, str], way: int) -> list[Path]:
        """The files that are so named in one of the `ways`."""
        return self.ways[way].get(names[way >= len(self.ways) // 2], [])

    def fits(self, key: str) -> bool:
        names = self.names(key)
        return any(self.of(names, way) for way in range(len(self.ways)))


def _by_name(found: Sequence[Path], names: Sequence[str], whole: bool) -> dict[str, list[Path]]:
    spelled: dict[str, list[Path]] = {}
    for name, file in zip(names, found, strict=True):
        spelled.setdefault(name if whole else name.removesuffix(file.suffix), []).append(file)
    return spelled


def _folded(way: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    spelled: dict[str, list[Path]] = {}
    for name, of in way.items():
        spelled.setdefault(name.casefold(), []).extend(of)
    return spelled


def fitted(spellings: Spellings, rows: Iterable[str], path: Path, report: Report) -> dict[Path, str]:
    """The row of each file. A row that fits no file, several, or one that another row names, is told."""
    keys: dict[Path, str] = {}
    left, several = {key: spellings.names(key) for key in rows}, list[str]()
    for way in range(len(spellings.ways)):
        for key in [key for key, names in left.items() if any(file not in keys for file in spellings.of(names, way))]:
            if len(of := spellings.of(left.pop(key), way)) == 1:
                keys[of[0]] = key
            else:
                several.append(key)
    below = "name them by their paths below the folder"
    column = f"{below}, in the column that the option columns: {{file: NAME}} names, or remove the rows"
    _tell(path, [key for key in left if not spellings.fits(key)], "name files that are not there", column, report)
    _tell(path, several, "name several files each", below, report)
    _tell(path, [key for key in left if spellings.fits(key)], "name files that other rows name", "remove them", report)
    return keys


def _tell(path: Path, keys: Sequence[str], what: str, hint: str, report: Report) -> None:
    if keys:
        report(BadRecord(str(path), f"{len(keys):,} rows {what}, the first {keys[0]!r}", hint))
