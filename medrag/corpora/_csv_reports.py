"""Reports in a table, with tables of their images, labels and splits beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from medrag._util.files import sha256_text
from medrag._util.images import check_image
from medrag._util.places import expand
from medrag.corpora import _files as files
from medrag.corpora._report_parts import SECTIONS, bare_uid, clean, sections_of
from medrag.errors import BadRecord, CorpusError
from medrag.protocols import Report
from medrag.types import ImageRecord, Item, Study


@dataclass(frozen=True, slots=True)
class CsvReports:
    """Studies from a table, their images from a second one (``projections``) or from a column of the same: ``path`` is the reports' CSV, or a
    folder that holds it.

    ``columns`` maps uid, findings, impression, text (a whole report, divided by its headings), indication, comparison, labels, patient, date and image to column
    names, ``image_columns`` uid, image, view; what neither maps goes by its usual names (`medrag.corpora._files.USUAL`). Without a uid a study is called as its
    image; rows that repeat a study with another image add it. ``images`` is the folder of the files; those of the same table may also lie beside it. ``labels`` is a table of 0/1
    columns whose positive names go to ``meta["positive"]``. ``split`` keeps, ``exclude_split`` leaves out the uids
    that ``splits`` (JSON: name → list of uids) lists; ``uids`` keeps those of a list. All of these may write a uid with
    CXR before it or without. Other files are named relative to the corpus' folder. ``prefix`` goes before the uid in ids.
    """

    name: str
    path: Path
    table: str = "reports.csv"
    projections: str = ""
    images: str = "images"
    labels: str = ""
    splits: str = ""
    split: str = ""
    exclude_split: str = ""
    uids: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    image_columns: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    domain: str = "chest-xray"
    encoding: str = "utf-8"
    delimiter: str = ","
    label_separator: str = ";"
    license: str = ""

    _COLUMNS: ClassVar[dict[str, str]] = {
        "uid": "uid", "findings": "findings", "impression": "impression", "indication": "indication",
        "comparison": "comparison", "labels": "MeSH", "patient": "patient", "date": "date", "text": "report", "image": "image",
    }  # fmt: skip
    _IMAGE_COLUMNS: ClassVar[dict[str, str]] = {"uid": "uid", "image": "image", "view": "projection"}

    def signature(self) -> str:
        named = [spelling for spelling in (self.projections, self.labels, self.splits, self.uids) if spelling]
        listed = [self._table(), *(files.option_path(spelling, self.path) for spelling in named)]
        pictures = {self._placed(name) for rows in self._views(lambda _: None).values() for name, _ in rows}
        signature, columns = files.signature_of(self, [*listed, *sorted(pictures)]), self._columns()
        plain = columns == files.mapped(self._COLUMNS, self.columns, "columns") and (self.projections or not pictures)
        # an earlier medrag passed over columns of other names
        return signature if plain else sha256_text(signature, *columns.values())

    def _columns(self) -> dict[str, str]:
        """The column of each role; of a study without a uid that of its image."""
        header = files.header_of(self._table(), self.encoding, self.delimiter)
        columns = files.called(files.mapped(self._COLUMNS, self.columns, "columns"), self.columns, header)
        if (
            "uid" not in self.columns
            and columns["uid"] not in header
            and columns["image"] in header
            and not self.projections
        ):
            columns["uid"] = columns["image"]
        return columns

    def read(self, report: Report) -> Iterator[Item]:
        """Each study, followed by its images; then what the other tables say of reports that are not there."""
        limits = self._limits()
        views, positive = self._views(report), self._positive(report)
        columns, seen = self._columns(), dict[str, list[str]]()
        for where, row in self._rows(self._table(), columns, self._needed(columns), "columns", report):
            uid, said = self._uid(row, columns), self._said(row, columns)
            if uid and seen.get(uid) == said and not self.projections and self._names(row, columns):
                continue  # one more image of the study
            if not uid or uid in seen:
                problem = f"the uid {uid} comes a second time" if uid else "the row has no uid"
                report(BadRecord(where, problem, "mend or remove the row"))
                continue
            seen[uid] = said
            bare = bare_uid(uid)
            if all((bare in uids) == (option != "exclude_split") for option, (_, uids) in limits.items()):
                yield from self._study(uid, row, columns, views.get(bare, ()), positive.get(bare, ()), report)
        named = [*limits.values(), (self.projections, frozenset(views))]
        _tell_strangers(named, {bare_uid(uid) for uid in seen}, report)

    def _study(
        self,
        uid: str,
        row: Mapping[str, str],
        columns: Mapping[str, str],
        views: list[tuple[str, str]] | tuple[()],
        positive: tuple[str, ...],
        report: Report,
    ) -> Iterator[Item]:
        identity = f"{self.name}:{files.safe_id(self.prefix + uid)}"
        cells = {role: row.get(column, "") for role, column in columns.items()}
        stems = Counter(Path(image).stem for image in {image for image, _ in views})
        pictures = [
            record
            for image, view in views
            if (record := self._image(identity, uid, image, view, report, whole=stems[Path(image).stem] > 1))
        ]
        labels = tuple(dict.fromkeys(filter(None, (x.strip() for x in cells["labels"].split(self.label_separator)))))
        sections = {name: cells[name] for name in SECTIONS if cells[name]}
        if not cells["findings"] and not cells["impression"]:
            sections |= sections_of(cells["text"])
        yield Study(
            id=identity,
            sections=sections,
            images=tuple(record.id for record in pictures),
            labels=labels,
            patient=cells["patient"],
            date=cells["date"],
            domain=self.domain,
            source=str(self._table()),
            meta=clean(
                {"uid": uid, "positive": list(positive), "paths": [p.source for p in pictures], "license": self.license}
            ),
        )
        yield from pictures

    def _image(self, study: str, uid: str, name: str, view: str, report: Report, *, whole: bool) -> ImageRecord | None:
        """One view, or None when its file cannot be read (reported). Its id holds the ``whole`` name where the study has
        another file of the same stem."""
        path = self._placed(name)
        try:
            columns, rows = check_image(path)
        except BadRecord as error:
            report(error)
            return None
        return ImageRecord(
            id=f"{study}#{files.safe_id(name if whole else Path(name).stem)}",
            doc=study,
            text="",
            source=str(path),
            domain=self.domain,
            view=view,
            meta=clean({"uid": uid, "columns": columns, "rows": rows, "license": self.license}),
        )

    def _table(self) -> Path:
        return self.path if self.path.is_file() else files.option_path(self.table, self.path)

    def _folder(self) -> Path:
        root = self.path if self.path.is_dir() else self.path.parent
        return expand(self.images, root)

    def _placed(self, name: str) -> Path:
        """Where an image lies: in the folder of images, or beside the table that names it."""
        if self.projections:
            return self._folder() / name
        return files.picture_named(name, (self._folder(), self._table().parent)) or self._folder() / name

    def _uid(self, row: Mapping[str, str], columns: Mapping[str, str]) -> str:
        uid = row[columns["uid"]]
        return (
            Path(uid.split(";")[0].strip()).with_suffix("").as_posix()
            if uid and columns["uid"] == columns["image"]
            else uid
        )

    def _said(self, row: Mapping[str, str], columns: Mapping[str, str]) -> list[str]:
        """What rows of one study have in common."""
        return [row.get(columns[name], "") for name in ("patient", "findings", "impression", "text")]

    def _names(self, row: Mapping[str, str], columns: Mapping[str, str]) -> list[str]:
        """The image files that a row of the reports' table names; words about an image are none."""
        named = filter(None, (one.strip() for one in row.get(columns["image"], "").split(";")))
        return [one for one in named if one.lower().endswith(files.PICTURES) or files.present(self._placed(one))]

    def _needed(self, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The roles without which the table holds no reports: findings and impression, of which a usual name of one, or a whole text, is enough."""
        header = files.header_of(self._table(), self.encoding, self.delimiter)
        some = any(columns[role] in header for role in ("findings", "impression", "text"))
        return ("uid", *self.columns) if some else ("uid", "findings", "impression")

    def _rows(
        self, path: Path, columns: Mapping[str, str], needed: tuple[str, ...], option: str, report: Report
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """(where, row) of a table whose columns were checked."""
        for line, row in files.read_table(path, self.encoding, self.delimiter):
            if isinstance(row, BadRecord):
                report(row)
                continue
            files.need_columns(path, row, columns, needed, option)
            yield f"{path}:{line}", row

    def _views(self, report: Report) -> dict[str, list[tuple[str, str]]]:
        """uid without a CXR prefix → (file name, view) of its images, in the table's order."""
        views: dict[str, list[tuple[str, str]]] = {}
        if not self.projections:
            named, first = self._columns(), dict[str, list[str]]()
            for _, row in self._rows(self._table(), named, ("uid",), "columns", lambda _: None):
                uid, said = self._uid(row, named), self._said(row, named)
                if uid and first.setdefault(uid, said) == said and (some := self._names(row, named)):
                    views.setdefault(bare_uid(uid), []).extend((name, "") for name in some)
        else:
            columns = files.mapped(self._IMAGE_COLUMNS, self.image_columns, "image_columns")
            path = files.option_path(self.projections, self.path)
            columns = files.called(columns, self.image_columns, files.header_of(path, self.encoding, self.delimiter))
            for _, row in self._rows(path, columns, ("uid", "image"), "image_columns", report):
                view = row.get(columns["view"], "")
                views.setdefault(bare_uid(row[columns["uid"]]), []).append((row[columns["image"]], view))
        return views

    def _positive(self, report: Report) -> dict[str, tuple[str, ...]]:
        """uid without a CXR prefix → names of the label columns that say 1. The first column is the uid, with or without it."""
        result: dict[str, tuple[str, ...]] = {}
        if self.labels:
            for _, row in files.read_table(files.option_path(self.labels, self.path), self.encoding, self.delimiter):
                if isinstance(row, BadRecord):
                    report(row)
                    continue
                (_, uid), *values = row.items()
                result[bare_uid(uid)] = tuple(name for name, value in values if value in ("1", "1.0"))
        return result

    def _limits(self) -> dict[str, tuple[str, frozenset[str]]]:
        """Option → (the list that it names, its uids without a CXR prefix), for ``uids``, ``split`` and ``exclude_split``."""
        limits = {}
        if self.uids:
            limits["uids"] = self.uids, _bare(files.read_ids(files.option_path(self.uids, self.path)))
        if not (self.split or self.exclude_split):
            return limits
        if not self.splits:
            raise CorpusError(
                f"{self.path}: split is set, but not the file of the splits",
                "set the option splits, e.g. splits: splits.json",
            )
        path = files.option_path(self.splits, self.path)
        try:
            splits = files.load_json(files.read_text(path, "utf-8"), str(path))
        except BadRecord as error:
            raise CorpusError(error.message, error.hint) from error
        for option, name in (("split", self.split), ("exclude_split", self.exclude_split)):
            if not name:
                continue
            if not isinstance(splits, dict) or not isinstance(splits.get(name), list):
                known = ", ".join(splits) if isinstance(splits, dict) else "none"
                raise CorpusError(f"{path}: has no split {name!r}", f"known: {known}")
            limits[option] = f"{self.splits}, {name}", _bare(map(str, splits[name]))
        return limits


def _bare(uids: Iterable[str]) -> frozenset[str]:
    return frozenset(map(bare_uid, uids))


def _tell_strangers(lists: Iterable[tuple[str, frozenset[str]]], known: set[str], report: Report) -> None:
    """Reports, in one line a list, its uids that no report has."""
    for where, uids in lists:
        if strange := sorted(uids - known, key=files.natural):
            problem = f"{len(strange):,} of its uids are those of no report, the first {strange[0]!r}"
            report(BadRecord(where, problem, "mend the uids, or add their reports"))
