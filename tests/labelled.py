"""Five small corpora that share words, pictures, patients and concepts, so that each would show in what is found of the others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medrag.encoders.pages import PageEncoder
from medrag.settings import Recipe
from medrag.testing import FakeEncoder
from medrag.types import Block, Concept, ImageRecord, Item, Page, Passage, Study, Triple, item_from_json, item_to_json

ME = "labelled"
NAMES = ("alpha", "beta", "gamma", "delta", "kappa")
TERMS = ("pneumothorax", "pleural effusion", "pneumonia", "atelectasis", "cardiomegaly", "rib fracture", "lung opacity")
WORDS = ("lung", "left", "right", "clear", "heart", "apex", "nodule", "pleura", "opacity", "basal", "small", "large")
QUESTIONS = (
    "Is there a pleural effusion on the left?",
    "What suggests pneumonia?",
    "Where is the pneumothorax?",
    "lung opacity",
)


class Lines:
    """A reader of items as they are stored, one a line."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def signature(self) -> str:
        return self.path.read_text()

    def read(self, report: Any) -> Iterator[Item]:
        for line in self.path.read_text().splitlines():
            yield item_from_json(line)


def texts(model: str, *, batch: int, device: str) -> FakeEncoder:
    return FakeEncoder(name=model)


def eyes(model: str, *, batch: int, device: str) -> FakeEncoder:
    return FakeEncoder("image", model)


def pages(model: str, *, batch: int, device: str) -> PageEncoder:
    return PageEncoder(FakeEncoder(name=model), eyes="")


def content(name: str, folder: Path) -> list[Item]:
    """The items of a corpus: concepts that other corpora's merge with, statements, passages, pages, studies with their images."""
    rng, own = random.Random(name), NAMES.index(name)
    found: list[Item] = []
    for n, term in enumerate(TERMS):
        if (n + own) % 3:  # every term stands in some corpora and not in others, under one CUI
            other = f"{NAMES[own - 1].upper()}:{n}"
            code = f"{name.upper()}:{n}"
            said = f"{term} of {rng.choice(WORDS)}, as {name} has it." if n % 2 else ""
            synonyms = (f"{rng.choice(WORDS)} {term.split()[-1]}",)
            found.append(Concept(f"{name}:{code}", term, synonyms, (f"C{n:07}",) if n % 2 else (), said, (), (other,)))
    codes = [(one.id.partition(":")[2], one.name) for one in found if isinstance(one, Concept)]
    for n in range(8):
        (left, left_name), (right, right_name) = rng.sample(codes, 2)
        relation = rng.choice(("is_a", "has_phenotype", "suggestive_of"))
        found.append(Triple(f"{name}:{n}#{relation}", f"{name}:{left}", left_name, relation, right_name, left, right))
    for n in range(6):
        text = (
            f"{rng.choice(TERMS)} {' '.join(rng.choices(WORDS, k=9))}. {rng.choice(TERMS)} in the {rng.choice(WORDS)}."
        )
        found.append(Passage(f"{name}:book{n // 2}#{n}", f"{name}:book{n // 2}", text, title="A book"))
    for n in range(1, 4):
        blocks = tuple(Block(f"{rng.choice(TERMS)} {' '.join(rng.choices(WORDS, k=8))}", n) for _ in range(3))
        found.append(Page(f"{name}:atlas#p{n}", f"{name}:atlas", n, blocks, 100, 100, ""))
    for n in range(4):
        study = f"{name}:s{n}"
        sections = {
            "findings": f"There is {rng.choice(TERMS)} at the left lung base. No {rng.choice(TERMS)}. {rng.choice(WORDS)}."
        }
        patient = "P1" if n == 0 else f"{name}{n}"
        found.append(
            Study(study, sections, (f"{study}#1",), patient=patient, date=f"2020-01-0{own + 1}", domain="chest-xray")
        )
        values = np.random.default_rng(own * 10 + n).integers(0, 255, (8, 8), np.uint8)
        path = folder / f"{name}{n}.png"
        Image.fromarray(values).resize((32, 32)).save(path)
        found.append(ImageRecord(f"{study}#1", study, "", str(path), "chest-xray"))
    return found


def recipe(folder: Path, corpora: Sequence[str] = NAMES, labels: dict[str, Sequence[str]] | None = None) -> Recipe:
    """The corpora with their labels, indexed in every way; their files are written where they are not there."""
    for name in corpora:
        if not (path := folder / f"{name}.jsonl").is_file():
            path.write_text("".join(f"{item_to_json(item)}\n" for item in content(name, folder)))
    letters, looks = {"encoder": "text", "kind": "faiss"}, {"encoder": "image", "kind": "faiss", "items": ["image"]}
    return Recipe.model_validate({
        "name": "labelled",
        "corpora": [{"name": n, "reader": f"{ME}:Lines", "path": str(folder / f"{n}.jsonl"), "access": (labels or {}).get(n, ())} for n in corpora],
        "chunk": {"studies": False},
        "encoders": {name: {"model": name, "kind": f"{ME}:{make}"} for name, make in (("text", "texts"), ("image", "eyes"), ("pages", "pages"))},
        "indexes": {
            "text": {**letters, "options": {"factory": "Flat"}},
            "lists": {**letters, "retriever": "lists", "options": {"factory": "IVF4,Flat", "nprobe": 1}},
            "lexical": {"kind": "bm25", "items": ["passage"]},
            "reference": {"kind": "bm25", "items": ["study"], "retriever": "reports-lexical", "options": {"backend": "rank-bm25"}},
            "reports": {**letters, "kind": "flat", "items": ["study"], "retriever": "reports"},
            "image": looks,
            "pages": {"kind": "multivector", "encoder": "pages", "items": ["page"], "options": {"candidates": 3}},
        },
        "graph": {"said": ["reports", "passages"]},
    })  # fmt: skip
