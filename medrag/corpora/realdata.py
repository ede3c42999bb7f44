"""IU X-Ray, VQA-RAD and MedQuAD's terms as the real-data pack lays them out: studies with labels and pictures, questions, codes.

Of VQA-RAD's training part each fifth picture (by name) is held back. It draws nothing and trains nothing.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medrag._util.findings import CHEXPERT_TYPE
from medrag.corpora._report_parts import parse_xml
from medrag.errors import CorpusError


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


@functools.cache
def studies(data: Path, split: str) -> tuple[Study, ...]:
    """The studies of a split that have a report, in the split's order. Raises CorpusError where the pack is not there."""
    root = data / "noncommercial/iu_xray"
    try:
        splits = json.loads((root / "splits.json").read_text())
    except OSError as error:
        raise CorpusError(f"{root} holds no splits.json", "name the folder of the data pack: MEDRAG_DATA") from error
    if split not in splits:
        raise CorpusError(f"{root}: no split {split!r} of IU X-Ray", f"known: {', '.join(splits)}")
    uids = splits[split]
    reports = {row["uid"]: row for row in _rows(root / "reports.csv")}
    labels = {row["filename"].removeprefix("CXR"): row for row in _rows(root / "labels_negbio14.csv")}
    views: dict[str, list[tuple[Path, str]]] = {}
    for row in _rows(root / "projections.csv"):
        views.setdefault(row["uid"], []).append((root / "images" / row["image"], row["projection"]))
    return tuple(_study(uid, reports[uid], labels[uid], views.get(uid, [])) for uid in uids if uid in reports)


def _study(uid: str, report: dict[str, str], labels: dict[str, str], views: list[tuple[Path, str]]) -> Study:
    findings, impression = (" ".join(report[name].replace("XXXX", " ").split()) for name in ("findings", "impression"))
    positive = frozenset(name for name in (*CHEXPERT_TYPE, "normal") if labels[name] == "1")
    mesh = frozenset(term.split("/")[0].strip() for term in report["MeSH"].split(";") if term.strip())
    return Study(uid, f"{findings} {impression}".strip(), findings, impression, positive, mesh, tuple(views))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def vqa_rad_held(data: Path) -> frozenset[str]:
    """Names of the VQA-RAD pictures that are held back: each fifth by name."""
    names = sorted({str(row["image_name"]) for row in vqa_rad(data)})
    return frozenset(names[4::5])


def vqa_rad(data: Path, split: str = "train") -> list[dict[str, str]]:
    """The questions of a part of VQA-RAD."""
    rows: list[dict[str, str]] = json.loads((data / f"open/vqa_rad/{split}.json").read_text())
    return rows


def iu_vqa(data: Path) -> list[dict[str, str]]:
    """The published closed questions about training studies, with worded answers."""
    path = data / "noncommercial/iu_xray/vqa_train.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


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
