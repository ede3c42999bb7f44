"""Image folders, with captions or labels from a table or from the folders' names. DICOM is in dicom.py."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from medrag._util.files import sha256_text
from medrag._util.images import check_image
from medrag._util.near import meant
from medrag._util.places import expand
from medrag.corpora import _files as files
from medrag.errors import BadRecord, CorpusError
from medrag.protocols import Report
from medrag.types import DOMAINS, ImageRecord, Item

SLIDES = (".svs", ".ndpi", ".mrxs", ".scn")  # whole slides: gigapixels, of which an encoder would see a thumbnail
TILES = "export tiles as PNG or JPEG, e.g. with QuPath or OpenSlide"
LOOKED = 100  # rows of a table that no option names, to see whether it names pictures


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Every image below a folder. ``table`` is a CSV whose columns are called file, caption, label, domain, study, patient
    and view, or what people call them (`medrag.corpora._files.USUAL`), or what ``columns`` says; its files may lack their suffix, and their folders where each name is that of
    one file only. Without a table, or for a file that it does not list, the name of the folder that holds the image is
    its label (a leading "3 - " is cut).

    ``path`` may be the CSV itself: then its rows name the files, as ``package:NAME/file``, ``share:…`` or relative to
    it, DICOM files (their first frame) included.
    """

    name: str
    path: Path
    table: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    domain: str = "other"
    encoding: str = "utf-8"
    delimiter: str = ","
    license: str = ""

    _COLUMNS: ClassVar[dict[str, str]] = {
        "file": "file", "caption": "caption", "label": "label", "domain": "domain", "study": "study",
        "patient": "patient", "view": "view",
    }  # fmt: skip

    def signature(self) -> str:
        if self._is_list():
            named = [expand(spelling, self.path.parent) for spelling in self._rows(lambda _: None)]
            return self._read_as(files.signature_of(self, [self.path, *named]))
        listed = [files.option_path(self.table, self.path)] if self.table else []
        return self._read_as(files.signature_of(self, [*self._found(), *listed]))

    def _read_as(self, signature: str) -> str:
        """Another signature where columns are read that go by other names: an earlier medrag passed over them."""
        if not self.table and not self._is_list():
            return signature
        plain = files.mapped(self._COLUMNS, self.columns, "columns")
        columns = self._table()[1]
        return signature if columns == plain else sha256_text(signature, *columns.values())

    def read(self, report: Report) -> Iterator[Item]:
        """One record for each readable image, in the order of the paths; of a list, in the order of its rows."""
        if self._is_list():
            yield from self._listed(report)
            return
        found, rows = self._found(), self._rows(report)
        self._tell_slides(report)
        self._tell_tables(found, report)
        keys = self._keys(found, rows, report)
        for file in found:
            try:
                columns, height = check_image(file)
            except BadRecord as error:
                report(files.whole(self.path, file, error))
                continue
            inner = files.local_id(file, self.path, keep_suffix=True)
            folder = "" if self.path in (file, file.parent) else re.sub(r"^\d+\s+[-_]\s+", "", file.parent.name)
            row = rows[keys[file]] if file in keys else {"label": folder}
            yield self._record(file, inner, row, {"columns": columns, "rows": height})

    def _listed(self, report: Report) -> Iterator[Item]:
        """The files that the rows name. Raises ModelMissing for a package that is not here."""
        for spelling, row in self._rows(report).items():
            file = expand(spelling, self.path.parent)
            try:
                columns, height = check_image(file)
            except BadRecord as error:
                report(error)
                continue
            inner = files.safe_id(re.sub(r"^(?:package|share):", "", spelling))
            yield self._record(file, inner, row, {"columns": columns, "rows": height})

    def _found(self) -> list[Path]:
        """The pictures. Raises CorpusError where there are none."""
        try:
            return files.discover(self.path, files.RASTER)
        except CorpusError as error:
            if self.path.is_dir() and files.below(self.path, SLIDES):
                raise CorpusError(f"{self.path}: holds whole-slide images alone, which are not read", TILES) from error
            raise

    def _tell_slides(self, report: Report) -> None:
        """Tells once the whole-slide images of the folder, which are not read."""
        if self.path.is_dir() and (slides := files.below(self.path, SLIDES)):
            problem = f"a whole-slide image is not read, only tiles of it ({len(slides):,} such here)"
            report(BadRecord(str(slides[0]), problem, TILES))

    def _tell_tables(self, found: Sequence[Path], report: Report) -> None:
        """Tells each table of the folder that names its pictures, where no option says to read it."""
        if self.table or not self.path.is_dir():
            return
        named = {name for spelled in self._spellings(found, bare=True) for name in spelled}
        for path in files.below(self.path, (".csv",)):
            with suppress(CorpusError):
                header = files.header_of(path, self.encoding, self.delimiter)
                column = files.called(self._COLUMNS, {}, header)["file"]
                rows = itertools.islice(files.read_table(path, self.encoding, self.delimiter), LOOKED)
                if any(not isinstance(row, BadRecord) and row.get(column) in named for _, row in rows):
                    option = f"table: {path.relative_to(self.path).as_posix()}"
                    problem = f"names pictures of this folder, and is not read without the option {option}"
                    report(BadRecord(str(path), problem, f"set the option {option}"))

    def _is_list(self) -> bool:
        """Whether the corpus is a table that names its files."""
        return self.path.is_file() and self.path.suffix.lower() == ".csv"

    def _table(self) -> tuple[Path, dict[str, str]]:
        """The table, and its column of each role."""
        path = self.path if self._is_list() else files.option_path(self.table, self.path)
        columns = files.mapped(self._COLUMNS, self.columns, "columns")
        return path, files.called(columns, self.columns, files.header_of(path, self.encoding, self.delimiter))

    def _rows(self, report: Report) -> dict[str, dict[str, str]]:
        """The table's rows by the file that they name."""
        rows: dict[str, dict[str, str]] = {}
        if not self.table and not self._is_list():
            return rows
        path, columns = self._table()
        strange = set[str]()
        for line, row in files.read_table(path, self.encoding, self.delimiter):
            if isinstance(row, BadRecord):
                report(row)
                continue
            files.need_columns(path, row, columns, ("file", *self.columns), "columns")
            cells = {role: row.get(column, "") for role, column in columns.items()}
            if cells["domain"] not in ("", *DOMAINS):
                strange.add(cells["domain"])
                cells["domain"] = ""
            if not cells["file"] or cells["file"] in rows:
                problem = f"{cells['file']!r} is named a second time" if cells["file"] else "the row names no file"
                report(BadRecord(f"{path}:{line}", problem, "mend or remove the row"))
                continue
            rows[cells["file"]] = cells
        for domain in sorted(strange):
            hint = meant(domain, DOMAINS)
            report(BadRecord(str(path), f"there is no domain {domain!r}; its rows are read as {self.domain!r}", hint))
        return rows

    def _keys(self, found: Sequence[Path], rows: Collection[str], report: Report) -> dict[Path, str]:
        """The row of each file: that of its path below the folder, else of its bare name, each with or without suffix.
        In a table that names paths a bare name is a path too. Rows that fit no file, or several, are reported."""
        keys: dict[Path, str] = {}
        left, several = dict.fromkeys(rows), list[str]()
        for spelled in self._spellings(found, bare=not any("/" in key for key in rows)):
            for key in [key for key in left if any(file not in keys for file in spelled.get(key, ()))]:
                del left[key]
                if len(spelled[key]) == 1:
                    keys[spelled[key][0]] = key
                else:
                    several.append(key)
        hint = "check the option columns: {file: …}, or remove the rows"
        self._tell(list(left), "name files that are not there", hint, report)
        self._tell(several, "name several files each", "name them by their paths below the folder", report)
        return keys

    def _spellings(self, found: Sequence[Path], *, bare: bool) -> Iterator[dict[str, list[Path]]]:
        """The files by each way of naming them, the most exact first."""
        paths = [file.name if file == self.path else file.relative_to(self.path).as_posix() for file in found]
        for whole in (True, False):
            for names in (paths, [file.name for file in found])[: 1 + bare]:
                spelled: dict[str, list[Path]] = {}
                for name, file in zip(names, found, strict=True):
                    spelled.setdefault(name if whole else name.removesuffix(file.suffix), []).append(file)
                yield spelled

    def _tell(self, keys: Sequence[str], what: str, hint: str, report: Report) -> None:
        if keys:
            problem = f"{len(keys):,} rows {what}, the first {keys[0]!r}"
            report(BadRecord(str(files.option_path(self.table, self.path)), problem, hint))

    def _record(self, file: Path, inner: str, row: dict[str, str], meta: dict[str, object]) -> ImageRecord:
        identity = f"{self.name}:{inner}"
        label = row.get("label", "")
        extra = {"label": label, "patient": row.get("patient", ""), "license": self.license}
        return ImageRecord(
            id=identity,
            doc=f"{self.name}:{files.safe_id(row['study'])}" if row.get("study") else identity,
            text=row.get("caption") or label,
            source=str(file),
            domain=row.get("domain") or self.domain,
            view=row.get("view", ""),
            meta={**meta, **{key: value for key, value in extra.items() if value}},
        )
