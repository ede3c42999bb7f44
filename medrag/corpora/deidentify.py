"""DICOM files without their patient: the header by the standard's basic profile, and text that is burnt into the pixels painted over.

The header's rules are those of PS3.15 annex E (basic application level confidentiality profile), from the tables of the package
dicom-anonymizer, at every depth; private elements go. A key of your own turns a patient's id into the same pseudonym every time, so that
studies of one patient stay together, and moves the dates of a patient's studies by one number of days (the option to retain longitudinal temporal
information with modified dates), so that they stay in order and as far apart; without it ids are random and dates gone. Text is looked for in
`medrag.corpora.deidentify_pixels`; what it does not find stays, so no copy is marked as free of burnt-in text. Overlays go, also those that lie in unused
bits of pixels that are looked at. A face that a volume shows is not touched.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util.dicom import PIXELS, looks_like_dicom, quiet, read_dataset, sound
from medrag._util.files import atomic_open, write_error
from medrag._util.progress import track
from medrag.corpora.deidentify_pixels import paint
from medrag.errors import BadRecord, CorpusError, MissingDependency

if TYPE_CHECKING:
    from medrag.protocols import Report

EDITION = "dicomfields_2024b"
OVERLAYS = 0x6000  # groups from here to 60FF: drawn over the picture
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")  # several, or what is none, name no file
METHOD, LOOKED = "PS3.15 basic profile", "printed text found by OCR painted over"
MOVED = "study dates moved by days of a key and the patient"
YEARS = 100, 110  # that a date goes back: nobody takes it for a true one


@dataclass
class Deidentified:
    """What was done: files written, regions painted over by file, and what was left out with its reason."""

    written: int = 0
    painted: dict[str, int] = field(default_factory=dict)
    skipped: list[dict[str, str]] = field(default_factory=list)


def deidentify(
    source: Path, target: Path, *, key: str = "", pixels: bool = True, report: Report | None = None
) -> Deidentified:
    """Writes a clean copy of every DICOM file under ``source`` into ``target``, named by its new instance UID (and a number
    where several files have the same).

    A file that cannot be read, or whose pixels cannot be decoded to be looked at, is left out and reported. Raises CorpusError where ``target`` holds
    something already or cannot be made, or ``source`` is not there or has no DICOM file, MissingDependency without the packages.
    """
    if not source.exists():
        raise CorpusError(f"{source} does not exist", "check the path")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        problem = "is not empty" if target.is_dir() else "is a file"
        raise CorpusError(f"{target} {problem}", "name a new folder: nothing is overwritten")
    files = sorted(path for path in ([source] if source.is_file() else source.rglob("*")) if path.is_file())
    secret, done = key or secrets.token_hex(16), Deidentified()
    made = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(target, error, "name another folder") from error
    for path in track(files, "de-identify"):
        try:
            regions = _one(path, target, secret, pixels=pixels, dates=bool(key))
        except BadRecord as bad:
            done.skipped.append({"source": str(path), "problem": bad.problem})
            if report:
                report(bad)
            continue
        done.written += 1
        if regions:
            done.painted[str(path)] = regions
    if not done.written:
        if made:
            target.rmdir()
        why = f": {done.skipped[0]['source']}: {done.skipped[0]['problem']}" if done.skipped else ""
        raise CorpusError(f"{source} holds no DICOM file that can be read{why}", "check the path")
    return done


def _one(path: Path, target: Path, secret: str, *, pixels: bool, dates: bool) -> int:
    with path.open("rb") as stream:
        if not looks_like_dicom(stream):
            raise BadRecord(str(path), "is no DICOM image", "leave it out")
        stream.seek(0)
        data = read_dataset(stream, str(path))
    painted = paint(data, str(path)) if pixels else 0
    with sound(str(path)):
        day = clean(data, secret, dates=dates)
    if pixels and any(
        tag in data for tag in PIXELS
    ):  # what was done, not what is so: a label may have been overlooked, so BurnedInAnnotation says nothing
        data.DeidentificationMethod = [METHOD, LOOKED, *([MOVED] if day else [])]
        data.pop("BurnedInAnnotation", None)
    uid = str(data.get("SOPInstanceUID"))
    name = _free(target, uid if _UID.fullmatch(uid) else secrets.token_hex(16))
    try:
        with atomic_open(name) as stream, quiet():
            data.save_as(stream, enforce_file_format=True)
    except (
        ValueError,
        AttributeError,
        KeyError,
        TypeError,
        NotImplementedError,
    ) as error:  # headers that no writer takes
        raise BadRecord(str(path), f"cannot be written again: {error}", "export it again") from error
    return painted


def _free(target: Path, uid: str) -> Path:
    """A file that is not there yet: named by the UID, with a number where several files share it."""
    names = (f"{uid}{number}.dcm" for number in chain([""], (f"-{n}" for n in count(2))))
    return next(target / name for name in names if not (target / name).exists())


def clean(data: Any, secret: str, *, dates: bool = False) -> str:
    """Applies the profile to a data set and all in it; the patient's id becomes a pseudonym of ``secret``, and with ``dates`` the study's
    date another one, which is given back. In place."""
    patient = str(data.get("PatientID") or data.get("PatientName") or "")
    with quiet():
        day = moved(str(data.get("StudyDate") or ""), patient, secret) if dates else ""
        for part in reversed(list(_parts(data))):  # the inner ones first: an outer rule may take them away
            _profile(part)
            for tag in [element.tag for element in part if element.tag.group & 0xFF00 == OVERLAYS]:
                del part[tag]
        data.PatientID = _keyed(secret, patient).hex()[:16] if patient else ""
        data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", [METHOD, MOVED] if day else METHOD
        data.LongitudinalTemporalInformationModified = "MODIFIED" if day else "REMOVED"
        if day:
            data.StudyDate = day
        meta = getattr(data, "file_meta", None)
        if meta is not None and data.get("SOPInstanceUID"):
            meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        if hasattr(data, "preamble"):
            data.preamble = b"\0" * 128
    return day


def moved(day: str, patient: str, secret: str) -> str:
    """A date as DICOM writes it, about a century earlier (`YEARS`), by as many days for every date of a patient; empty for what is no date, or nobody's.

    >>> moved("20200105", "", "secret"), moved("2020", "P1", "secret")
    ('', '')
    """
    least, most = (365 * years for years in YEARS)
    days = least + int.from_bytes(_keyed(secret, f"days of {patient}")[:8], "big") % (most - least)
    try:
        whole = date.fromisoformat(day) if patient and re.fullmatch(r"[12]\d{7}", day) else None
        return f"{(whole - timedelta(days)).isoformat().replace('-', '')}" if whole else ""
    except (ValueError, OverflowError):
        return ""


def _keyed(secret: str, text: str) -> bytes:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()


def _parts(data: Any) -> Iterator[Any]:
    """The data set and every one inside its sequences."""
    yield data
    for element in list(data):
        if element.VR == "SQ":
            for item in element.value:
                yield from _parts(item)


def _profile(part: Any) -> None:
    try:
        from dicomanonymizer.simpledicomanonymizer import anonymize_dataset, initialize_actions
    except ImportError as error:
        raise MissingDependency(
            "de-identifying needs the package dicom-anonymizer", 'pip install "medrag[deid]"'
        ) from error
    anonymize_dataset(part, base_rules_gen=lambda: initialize_actions(EDITION))
