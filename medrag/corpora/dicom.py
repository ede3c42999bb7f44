"""DICOM files to studies and images, grouped by StudyInstanceUID, from headers alone: pixels are not decoded here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medrag._util.days import NONE, day_of
from medrag._util.dicom import (
    PIXELS,
    frames_of,
    header_meta,
    is_decodable,
    looks_like_dicom,
    quiet,
    read_dataset,
    sound,
)
from medrag._util.images import is_dicom
from medrag.corpora import _files as files
from medrag.errors import BadRecord, ImageError
from medrag.protocols import Report
from medrag.types import ImageRecord, Item, Study

_BY_MODALITY = {
    "CT": "ct", "MR": "mr", "US": "ultrasound", "IVUS": "ultrasound", "OP": "fundus", "OPT": "other",
    "SM": "histology", "GM": "histology", "DMS": "dermoscopy",
}  # fmt: skip
_DIRECTORY = "1.2.840.10008.1.3.10"  # the SOP class of a DICOMDIR
_CHEST = ("CHEST", "THORAX", "LUNG", "RIB")


def domain_of(meta: dict[str, Any]) -> str:
    """medrag's domain of a header: CT, MR … by modality, a radiograph by its body part or description."""
    modality = str(meta.get("modality", "")).upper()
    if modality in ("CR", "DX", "RG", "DR", "RF"):
        part = " ".join(str(meta.get(key, "")) for key in ("body_part", "study_description", "series_description"))
        return "chest-xray" if any(word in part.upper() for word in _CHEST) else "other"
    return _BY_MODALITY.get(modality, "other")


@dataclass(frozen=True, slots=True)
class DicomFolder:
    """Every DICOM file below a folder (told by content, DICOMDIR left out), or one file.

    A study comes first, then its instances by series and instance number. ``frames``: the first frame of each
    instance, the middle one, or all. ``domain`` overrides what the header says.
    """

    name: str
    path: Path
    frames: Literal["first", "middle", "all"] = "first"
    domain: str = ""
    license: str = ""

    def signature(self) -> str:
        return files.signature_of(self, files.discover(self.path, ("",)))

    def read(self, report: Report) -> Iterator[Item]:
        """Studies (without text) and their images, in the order of the first file of each study."""
        studies: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
        for file in files.discover(self.path, ("",)):
            try:
                meta = self._header(file)
            except BadRecord as error:
                report(files.whole(self.path, file, error))
                continue
            if meta is not None:
                alone = f"file-{files.local_id(file, self.path, keep_suffix=True)}"  # names no study: is one of its own
                studies.setdefault(str(meta.get("study_uid") or alone), []).append((file, meta))
        for uid, instances in studies.items():
            yield from self._study(uid, sorted(instances, key=_place), report)

    def _header(self, file: Path) -> dict[str, Any] | None:
        """What the header says; None for a file that is no DICOM and does not claim to be. Raises BadRecord."""
        try:
            with file.open("rb") as handle:
                head = handle.read(132)
        except OSError as error:
            raise files.os_problem(file, error) from error
        claims = file.suffix.lower() in (".dcm", ".dicom", ".ima") or file == self.path
        if not (is_dicom(head) or claims or _is_bare(file, head)):
            return None
        if not head:
            raise ImageError(str(file), "is empty", "fetch the file again")
        with sound(str(file)):
            return self._told(file, head)

    def _told(self, file: Path, head: bytes) -> dict[str, Any] | None:
        where = str(file)
        data = read_dataset(where, where, header_only=True)
        if data.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
            return None
        if not any(tag in data for tag in PIXELS):
            if not is_dicom(head) and "SOPClassUID" not in data:
                raise ImageError(where, "is not a DICOM file", "leave it out, or use the reader images")
            raise ImageError(where, "the DICOM file holds no pixels", "leave out reports, plans and headers")
        is_decodable(data, where, file.stat().st_size)
        with quiet():
            numbers = [_number(data.get(tag)) for tag in ("SeriesNumber", "InstanceNumber")]
            accession = str(data.get("AccessionNumber") or "").strip()
        told = {**header_meta(data), **({"accession": accession} if accession else {})}
        return {**told, "frames": frames_of(data), "place": numbers}

    def _study(self, uid: str, instances: list[tuple[Path, dict[str, Any]]], report: Report) -> Iterator[Item]:
        identity = f"{self.name}:{files.safe_id(uid)}"
        images: dict[str, ImageRecord] = {}
        for file, meta in instances:
            for record in self._images(identity, file, meta):
                if record.id in images:
                    report(
                        BadRecord(
                            str(file),
                            f"its SOP instance is in {images[record.id].source} already",
                            "remove one of the two",
                        )
                    )
                else:
                    images[record.id] = record
        meta = instances[0][1]
        keys = ("modality", "body_part", "study_description", "study_uid", "accession")
        yield Study(
            id=identity,
            sections={},
            images=tuple(images),
            patient=str(meta.get("patient_id", "")),
            date=_iso(str(meta.get("study_date", ""))),
            domain=self.domain or domain_of(meta),
            source=str(instances[0][0].parent),
            meta={**{key: meta[key] for key in keys if key in meta}, "paths": [r.source for r in images.values()]},
        )
        yield from images.values()

    def _images(self, study: str, file: Path, meta: dict[str, Any]) -> Iterator[ImageRecord]:
        """A record for each frame that the option asks for."""
        count = meta["frames"]
        chosen = {"first": [0], "middle": [count // 2], "all": list(range(count))}[self.frames]
        part = files.safe_id(str(meta.get("sop_uid") or file.stem))
        kept = {key: value for key, value in meta.items() if key not in ("place", "photometric")}
        if self.license:
            kept["license"] = self.license
        for frame in chosen:
            yield ImageRecord(
                id=f"{study}#{part}f{frame}" if count > 1 else f"{study}#{part}",
                doc=study,
                text="",
                source=str(file),
                domain=self.domain or domain_of(meta),
                view=str(meta.get("view", "")),
                frame=frame,
                meta=kept,
            )


def _is_bare(file: Path, head: bytes) -> bool:
    """Whether a file is a data set without the DICOM preamble: it begins with a tag of group 2 or 8."""
    if head[:2] not in (b"\x02\0", b"\x08\0"):
        return False
    with file.open("rb") as handle:
        return looks_like_dicom(handle)


def _place(instance: tuple[Path, dict[str, Any]]) -> tuple[Any, ...]:
    """Sorts by series number, instance number, path."""
    return (*instance[1]["place"], files.natural(str(instance[0])))


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _iso(date: str) -> str:
    """20040119 as 2004-01-19, empty for the day that stands for a date that was taken out; anything else as it is."""
    plain = len(date) == 8 and date.isdecimal()
    return day_of(date) or (
        f"{date[:4]}-{date[4:6]}-{date[6:]}" if plain and date[:4] not in NONE else "" if plain else date
    )
