"""IU X-Ray, VQA-RAD and MedQuAD's terms as the real-data pack lays them out: studies with labels and pictures, questions, codes.

A file of one's own in the same layout may be broken: `told` says where. Of VQA-RAD's training part each fifth picture (by name) is held back.
It draws nothing and trains nothing.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrag._util.findings import CHEXPERT_TYPE
from medrag.corpora._report_parts import parse_xml
from medrag.errors import CorpusError, MedragError

MENDS = "mend it, or name another folder with the data pack's layout (MEDRAG_DATA, --data) and a split it has (--split)"


@dataclass(frozen=True, slots=True)
class Study:
    """One IU X-Ray study: its words without the blotted ones, its labels, its pictures with their views."""

    uid: str
    text: str
    findings: str
    impression: str
    positive: frozenset[str]  # NegBio findings and "normal"
    mesh: frozenset[str]
    images: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True)
class Term:
    """What a MedQuAD file is about, with its UMLS codes; ``group`` is the collection it comes from."""

    id: str
    focus: str
    cuis: tuple[str, ...]
    group: str


@contextlib.contextmanager
def told(place: Path | str, mends: str = MENDS, kind: type[MedragError] = CorpusError) -> Iterator[None]:
    """What is wrong with a file, as one error that names its place and what mends it."""
    try:
        yield
    except RecursionError as error:
        raise kind(f"{place}: is JSON nested too deeply", mends) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, csv.Error) as error:
        problem = (
            f"{error.args[0]} is missing" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        )
        raise kind(f"{place}: {problem}", mends) from error


def json_file(path: Path) -> Any:
    """What a JSON file holds. Raises CorpusError for one that cannot be read."""
    with told(path):
        return json.loads(path.read_text(encoding="utf-8-sig"))


def json_lines(
    path: Path, mends: str = MENDS, kind: type[MedragError] = CorpusError
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of each line of a file, after the line's place: file and number. Raises ``kind`` for one that cannot be read."""
    with told(path, mends, kind):
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{path}, line {number}"
            with told(place, mends, kind):
                fields = _object(json.loads(line))
            yield place, fields


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{json.dumps(value)[:40]} is no object with fields")
    return value


@functools.cache
def studies(data: Path, split: str) -> tuple[Study, ...]:
    """The studies of a split that have a report, in the split's order, each once. Raises CorpusError where the pack is not there, or broken."""
    root = data / "noncommercial/iu_xray"
    uids = _uids(root / "splits.json", split)
    reports = {row["uid"]: row for row in _rows(root / "reports.csv", "uid", "MeSH", "findings", "impression")}
    named = root / "labels_negbio14.csv"
    labels = {row["filename"].removeprefix("CXR"): row for row in _rows(named, "filename", "normal", *CHEXPERT_TYPE)}
    if lacking := [uid for uid in uids if uid in reports and uid not in labels]:
        raise CorpusError(f"{named}: no row for {', '.join(lacking[:5])}", "add a row with the labels of each study")
    views: dict[str, list[tuple[Path, str]]] = {}
    for row in _rows(root / "projections.csv", "uid", "image", "projection"):
        views.setdefault(row["uid"], []).append((root / "images" / row["image"], row["projection"]))
    return tuple(_study(uid, reports[uid], labels[uid], views.get(uid, [])) for uid in uids if uid in reports)


def _uids(path: Path, split: str) -> list[str]:
    splits = json_file(path)
    with told(path):
        if split not in _object(splits):
            raise CorpusError(f"{path.parent}: no split {split!r} of IU X-Ray", f"known: {', '.join(splits)}")
        if not isinstance(splits[split], list):
            raise TypeError(f"{split!r} is no list of studies")
    return list(dict.fromkeys(map(str, splits[split])))


def _study(uid: str, report: dict[str, str], labels: dict[str, str], views: list[tuple[Path, str]]) -> Study:
    findings, impression = (" ".join(report[name].replace("XXXX", " ").split()) for name in ("findings", "impression"))
    positive = frozenset(name for name in (*CHEXPERT_TYPE, "normal") if labels[name] == "1")
    mesh = frozenset(term.split("/")[0].strip() for term in report["MeSH"].split(";") if term.strip())
    return Study(uid, f"{findings} {impression}".strip(), findings, impression, positive, mesh, tuple(views))


def _rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """The rows of a table, each with these columns."""
    with told(path), path.open(encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            if lacking := [name for name in columns if row.get(name) is None]:
                raise ValueError(f"line {reader.line_num} has no {', '.join(lacking)}")
            yield row


def vqa_rad_held(data: Path) -> frozenset[str]:
    """Names of the VQA-RAD pictures that are held back: each fifth by name."""
    names = sorted({str(row["image_name"]) for row in vqa_rad(data)})
    return frozenset(names[4::5])


def vqa_rad(data: Path, split: str = "train") -> list[dict[str, Any]]:
    """The questions of a part of VQA-RAD, each with a picture and an answer. Raises CorpusError for a file that is not there, or holds others."""
    path = data / f"open/vqa_rad/{split}.json"
    rows = json_file(path)
    with told(path):
        if not isinstance(rows, list):
            raise TypeError("it is no list of questions")
    for number, row in enumerate(rows, 1):
        with told(f"{path}, question {number}"):
            if lacking := [name for name in ("image_name", "question", "answer") if name not in _object(row)]:
                raise KeyError(", ".join(lacking))
    return rows


def iu_vqa(data: Path) -> list[dict[str, str]]:
    """The published closed questions about training studies, with worded answers."""
    return [row for _, row in json_lines(iu_vqa_file(data, "train"))]


def iu_vqa_file(data: Path, split: str) -> Path:
    """Where the closed questions about the studies of a split are, if there are any."""
    return data / f"noncommercial/iu_xray/vqa_{split}.jsonl"


def medquad_terms(data: Path) -> list[Term]:
    """The focus terms of all MedQuAD files that have a code, answered or not. Raises CorpusError where the pack is not there."""
    root = data / "open/medquad"
    files = sorted(root.rglob("*.xml"))
    if not files:
        raise CorpusError(f"{root} holds no file of MedQuAD", "set MEDRAG_DATA to the folder of the data pack")
    found = []
    for file in files:
        focus, cuis = "", []
        for node in parse_xml(file.read_bytes(), str(file)).iter():
            tag, text = str(node.tag).lower(), " ".join((node.text or "").split())
            if tag in ("focus", "doctitle-focus"):  # five files spell their elements otherwise
                focus = text
            elif tag == "cui" and text:
                cuis.append(text)
        if focus and cuis:
            place = file.relative_to(root)
            found.append(Term(str(place.with_suffix("")), focus, tuple(dict.fromkeys(cuis)), place.parts[0]))
    return found
