"""Image folders, with captions or labels from a table or from the folders' names. DICOM is in dicom.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from medrag._util.images import check_image
from medrag._util.places import expand
from medrag.corpora import _files as files
from medrag.errors import BadRecord
from medrag.protocols import Report
from medrag.types import ImageRecord, Item

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Every image below a folder. ``table`` is a CSV whose ``columns`` file, caption, label, domain, study, patient
    and view are mapped to column names; its files may lack their suffix. Without a table, or for a file that it does
    not list, the name of the folder that holds the image is its label (a leading "3 - " is cut).

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
            return files.signature_of(self, [self.path, *named])
        listed = [files.option_path(self.table, self.path)] if self.table else []
        return files.signature_of(self, [*files.discover(self.path, SUFFIXES), *listed])

    def read(self, report: Report) -> Iterator[Item]:
        """One record for each readable image, in the order of the paths; of a list, in the order of its rows."""
        if self._is_list():
            yield from self._listed(report)
            return
        rows = self._rows(report)
        for file in files.discover(self.path, SUFFIXES):
            row = self._row_of(file, rows)
            try:
                columns, height = check_image(file)
            except BadRecord as error:
                report(files.whole(self.path, file, error))
                continue
            inner = files.local_id(file, self.path, keep_suffix=True)
            folder = "" if self.path in (file, file.parent) else re.sub(r"^\d+\s*[-_.]\s*", "", file.parent.name)
            yield self._record(file, inner, row or {"label": folder}, {"columns": columns, "rows": height})
        if unused := [key for key, (_, used) in rows.items() if not used]:
            problem = f"{len(unused):,} rows name files that are not there, the first {unused[0]!r}"
            hint = "check the option columns: {file: …}, or remove the rows"
            report(BadRecord(str(files.option_path(self.table, self.path)), problem, hint))

    def _listed(self, report: Report) -> Iterator[Item]:
        """The files that the rows name. Raises ModelMissing for a package that is not here."""
        for spelling, (row, _) in self._rows(report).items():
            file = expand(spelling, self.path.parent)
            try:
                columns, height = check_image(file)
            except BadRecord as error:
                report(error)
                continue
            inner = files.safe_id(re.sub(r"^(?:package|share):", "", spelling))
            yield self._record(file, inner, row, {"columns": columns, "rows": height})

    def _is_list(self) -> bool:
        """Whether the corpus is a table that names its files."""
        return self.path.is_file() and self.path.suffix.lower() == ".csv"

    def _rows(self, report: Report) -> dict[str, tuple[dict[str, str], list[Path]]]:
        """The table's rows by the file that they name, each with the files that used it."""
        rows: dict[str, tuple[dict[str, str], list[Path]]] = {}
        if not self.table and not self._is_list():
            return rows
        columns = files.mapped(self._COLUMNS, self.columns, "columns")
        path = self.path if self._is_list() else files.option_path(self.table, self.path)
        for line, row in files.read_table(path, self.encoding, self.delimiter):
            if isinstance(row, BadRecord):
                report(row)
                continue
            files.need_columns(path, row, columns, ("file", *self.columns), "columns")
            cells = {role: row.get(column, "") for role, column in columns.items()}
            if not cells["file"] or cells["file"] in rows:
                problem = f"{cells['file']!r} is named a second time" if cells["file"] else "the row names no file"
                report(BadRecord(f"{path}:{line}", problem, "mend or remove the row"))
                continue
            rows[cells["file"]] = (cells, [])
        return rows

    def _row_of(self, file: Path, rows: dict[str, tuple[dict[str, str], list[Path]]]) -> dict[str, str]:
        """The row of a file, by its path below the folder, its name, or its name without suffix."""
        inner = file.name if file == self.path else file.relative_to(self.path).as_posix()
        for key in (inner, file.name, inner.removesuffix(file.suffix), file.stem):
            if key in rows:
                rows[key][1].append(file)
                return rows[key][0]
        return {}

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
