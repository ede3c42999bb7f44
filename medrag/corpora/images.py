"""Image folders, with captions or labels from a table or from the folders' names. DICOM is in dicom.py."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from medrag._util.files import sha256_text
from medrag._util.images import check_image, pages
from medrag._util.places import expand
from medrag.corpora import _files as files
from medrag.corpora import _picture_tables as tables
from medrag.errors import BadRecord, CorpusError, MedragError
from medrag.protocols import Report
from medrag.types import ImageRecord, Item

SLIDES = (".svs", ".ndpi", ".mrxs", ".scn")  # whole slides: gigapixels, of which an encoder would see a thumbnail
TILES = "export tiles as PNG or JPEG, e.g. with QuPath or OpenSlide"
OTHERS = (
    ".heic", ".heif", ".avif", ".jxl", ".j2k", ".jpx", ".psd", ".dng", ".nef", ".cr2", ".arw", ".ppm", ".pgm", ".pnm", ".czi", ".lif",
    ".nd2", ".vsi", ".nii", ".nii.gz", ".mp4", ".avi", ".mov", ".zip", ".dcm", ".dicom",
)  # fmt: skip
EXPORT = "export them as PNG or JPEG, unpack archives, and read DICOM by the reader dicom"
PAGED = (".tif", ".tiff", ".gif", ".webp")
ANY = re.compile(
    r"images?|imgs?|pictures?|photos?|files?|data(set)?|train(ing)?|val(id(ation)?)?|test(ing)?|raw|png|jpe?g|tiff?|\d+"
)
MASKS = re.compile(r"(?:.*_)?(?:masks?|seg(mentations?)?|annotations?|gt|ground_?truth)")
LOOKED = 100  # rows of a table that no option names, to see whether it names pictures


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Every image below a folder. ``table`` is a CSV or JSON whose columns are called file, caption, label, domain, study,
    patient and view, or what people call them (`medrag.corpora._files.USUAL`), or what ``columns`` says; its files may lack
    their suffix, and their folders where the name is that of one file only. Without a table that gives labels, or for a file
    that it does not list, the name of the folder that holds the image is its label (a leading "3 - " is cut; of "mel/2021" or
    "mel/images" it is mel).

    ``path`` may be the table itself: then its rows name the files, as ``package:NAME/file``, ``share:…`` or relative to
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
            named = [self._file(spelling) for spelling in self._rows(self._table(lambda _: None), lambda _: None)]
            return self._read_as(files.signature_of(self, [self.path, *named]), [])
        listed = [files.option_path(self.table, self.path)] if self.table else []
        found = self._found()
        return self._read_as(files.signature_of(self, [*found, *listed]), found)

    def _read_as(self, signature: str, found: Sequence[Path]) -> str:
        """Another signature where an earlier medrag read other labels from the same files."""
        table = self._table(lambda _: None, found)
        if table:
            return sha256_text(signature, "2", *table.columns.values(), *table.classes)
        named = [(names[0], folder) for folder in _parents(found) if (names := self._names(folder))]
        other = {name for name, folder in named if self._class(folder) != name}
        return sha256_text(signature, "2", *sorted(other)) if other else signature

    def read(self, report: Report) -> Iterator[Item]:
        """One record for each readable image, in the order of the paths; of a list, in the order of its rows."""
        if self._is_list():
            yield from self._listed(report)
            return
        found = self._found()
        table = self._table(report, found)
        rows = self._rows(table, report)
        keys = tables.fitted(tables.Spellings(found, self.path), rows, table.path, report) if table else {}
        self._tell_passed_over(report)
        self._tell_tables(found, report)
        self._tell_folders([file for file in found if file not in keys], report)
        classes = {folder: self._class(folder) for folder in _parents(found)}
        paged = list[Path]()
        for file in found:
            try:
                columns, height = check_image(file)
                paged += [file] if file.suffix.lower() in PAGED and pages(file) > 1 else []
            except BadRecord as error:
                report(files.whole(self.path, file, error))
                continue
            inner = files.local_id(file, self.path, keep_suffix=True)
            row = rows[keys[file]] if file in keys else {}
            if not (row and table and table.labelled):
                row = {**row, "label": classes[file.parent]}
            yield self._record(file, inner, row, {"columns": columns, "rows": height})
        _tell_pages(paged, report)

    def _names(self, folder: Path) -> list[str]:
        """The names of a folder and of those that hold it in the corpus, the nearest first."""
        inner = folder.relative_to(self.path).parts if folder.is_relative_to(self.path) else ()
        return [_cut(name) for name in reversed(inner)]

    def _masks(self, folder: Path) -> bool:
        return any(MASKS.fullmatch(files.folded(name)) for name in self._names(folder))

    def _class(self, folder: Path) -> str:
        """What a folder says that its files are: the nearest that names more than a number or a kind of files."""
        names = () if self._masks(folder) else self._names(folder)
        return next((tables.said(name) for name in names if not ANY.fullmatch(files.folded(name))), "")

    def _listed(self, report: Report) -> Iterator[Item]:
        """The files that the rows name. Raises ModelMissing for a package that is not here."""
        paged = list[Path]()
        for spelling, row in self._rows(self._table(report), report).items():
            file = self._file(spelling)
            try:
                columns, height = check_image(file)
                paged += [file] if file.suffix.lower() in PAGED and pages(file) > 1 else []
            except BadRecord as error:
                report(error)
                continue
            inner = files.safe_id(re.sub(r"^(?:package|share):", "", spelling))
            yield self._record(file, inner, row, {"columns": columns, "rows": height})
        _tell_pages(paged, report)

    def _file(self, spelling: str) -> Path:
        """The file that a row of a list names, be it with the backslashes of Windows."""
        file = expand(spelling, self.path.parent)
        return file if files.present(file) else expand(spelling.replace("\\", "/"), self.path.parent)

    def _found(self) -> list[Path]:
        """The pictures. Raises CorpusError where there are none."""
        try:
            return files.discover(self.path, files.RASTER)
        except CorpusError as error:
            if self.path.is_dir() and files.below(self.path, SLIDES):
                raise CorpusError(f"{self.path}: holds whole-slide images alone, which are not read", TILES) from error
            raise

    def _tell_passed_over(self, report: Report) -> None:
        """Tells once the whole-slide images of the folder, and once its other pictures that are not read."""
        if not self.path.is_dir():
            return
        if slides := files.below(self.path, SLIDES):
            problem = f"a whole-slide image is not read, only tiles of it ({len(slides):,} such here)"
            report(BadRecord(str(slides[0]), problem, TILES))
        if others := files.below(self.path, OTHERS):
            kinds = ", ".join(sorted({file.suffix.lower() for file in others}))
            report(BadRecord(str(others[0]), f"is passed over ({len(others):,} such here: {kinds})", EXPORT))

    def _tell_folders(self, found: Sequence[Path], report: Report) -> None:
        """Tells pictures that get no label: those of masks, and those whose folders are called by numbers."""
        masks = {folder for folder in _parents(found) if self._masks(folder)}
        numbers = {
            folder
            for folder in _parents(found)
            if self._names(folder) and folder.name.isdecimal() and not self._class(folder)
        }
        _tell_unlabelled(
            [file for file in found if file.parent in masks], "masks", "move masks out of the corpus", report
        )
        unmasked = [file for file in found if file.parent in numbers - masks]
        hint = "name the folders by class, such as '0 - normal', or give a table with a column label"
        _tell_unlabelled(unmasked, "pictures in folders that numbers name", hint, report)

    def _tell_tables(self, found: Sequence[Path], report: Report) -> None:
        """Tells each table of the folder that names its pictures, where no option says to read it."""
        if self.table or not self.path.is_dir():
            return
        spellings = tables.Spellings(found, self.path)
        for path in files.below(self.path, (".csv", ".tsv", *tables.LINES)):
            with suppress(CorpusError):
                rows = [row for _, row in itertools.islice(tables.read(path, self.encoding, self.delimiter), LOOKED)]
                whole = [row for row in rows if not isinstance(row, BadRecord)]
                names = tables.candidates("file", self._COLUMNS, {}, list(whole[0])) if whole else []
                if any(spellings.fits(row[name]) for row in whole for name in names):
                    option = f"table: {path.relative_to(self.path).as_posix()}"
                    problem = f"names pictures of this folder, and is not read without the option {option}"
                    report(BadRecord(str(path), problem, f"set the option {option}"))

    def _is_list(self) -> bool:
        """Whether the corpus is a table that names its files."""
        return self.path.is_file() and self.path.suffix.lower() in tables.SUFFIXES

    def _table(self, report: Report, found: Sequence[Path] = ()) -> tables.PictureTable | None:
        """The table; none where there is no option for it."""
        if not self.table and not self._is_list():
            return None
        path = self.path if self._is_list() else files.option_path(self.table, self.path)
        columns = files.mapped(self._COLUMNS, self.columns, "columns")
        fits = self._is_there if self._is_list() else tables.Spellings(found, self.path).fits
        return tables.opened(path, columns, self.columns, self.encoding, self.delimiter, fits, report)

    def _is_there(self, spelling: str) -> bool:
        with suppress(MedragError, OSError, ValueError):
            return bool(spelling) and self._file(spelling).is_file()
        return False

    def _rows(self, table: tables.PictureTable | None, report: Report) -> dict[str, dict[str, str]]:
        """What the table's rows say, by the file that they name."""
        return tables.rows_by_file(table, self.domain, report) if table else {}

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


def _parents(found: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(file.parent for file in found))


def _cut(folder: str) -> str:
    """A folder's name without the number before its dash."""
    return re.sub(r"^\d+\s+[-_]\s+", "", folder)


def _tell_unlabelled(found: Sequence[Path], what: str, hint: str, report: Report) -> None:
    if found:
        report(BadRecord(str(found[0].parent), f"{len(found):,} {what} are read without a label", hint))


def _tell_pages(paged: Sequence[Path], report: Report) -> None:
    """Tells once the files of several pages, of which the first alone is read."""
    if paged:
        problem = f"has {pages(paged[0]):,} pages, of which the first alone is read ({len(paged):,} such here)"
        report(BadRecord(str(paged[0]), problem, "export each page as a picture of its own, or a stack as DICOM"))
