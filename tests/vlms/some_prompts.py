"""Prompts over a little evidence: four look-alike studies and pages of a primer, written for these tests."""

from __future__ import annotations

from typing import Any

from PIL import Image

from medrag.prompts import Prompt, make_prompt
from medrag.types import Context, Hit, Passage, Query, QueryImage, Study, Triple


def study(number: int, findings: str, impression: str = "") -> Study:
    return Study(f"r:{number}", {"findings": findings, "impression": impression})


STUDIES = (
    study(
        1,
        "Heart size is normal. There are multiple lung masses bilaterally. No pleural effusion or pneumothorax.",
        "Multiple pulmonary masses, suspicious for metastases.",
    ),
    study(
        2,
        "The heart is normal in size. Large right upper lobe mass. No pneumothorax or pleural effusion. XXXX clips.",
        "Right lung mass.",
    ),
    study(
        3,
        "Lungs are clear. No focal consolidation, pleural effusion, or pneumothorax. Heart size within normal limits.",
        "No acute cardiopulmonary abnormality.",
    ),
    study(
        4,
        "The cardiac silhouette is enlarged. Small left pleural effusion. No pneumothorax.",
        "Cardiomegaly with small effusion.",
    ),
)
PRIMER = (
    Passage(
        "p:1#1",
        "p:1",
        "A lung mass is a rounded opacity larger than 3 centimetres. Smaller ones are called nodules. "
        "Masses may be single or multiple; several masses suggest metastases.",
        "Chest primer",
        "Masses and nodules",
        4,
    ),
    Passage(
        "p:1#2",
        "p:1",
        "A pneumothorax is air in the pleural space. It shows as a thin white line of visceral pleura without lung markings beyond it. "
        "A pleural effusion is fluid in the pleural space. It blunts the costophrenic angle on the upright film.",
        "Chest primer",
        "Pleura",
        5,
    ),
    Triple("t:1", "mondo", "lung neoplasm", "is_a", "respiratory system disorder"),
)


def prompt(question: str, alike: Any = STUDIES, general: Any = PRIMER, image: bool = True, **options: Any) -> Prompt:
    """A prompt whose evidence is the look-alike studies first, then the general sources."""
    found = [*((item, "similar") for item in alike), *((item, "dense") for item in general)]
    hits = [
        Hit(item, 1 / (60 + rank), rank, "fused", (Hit(item, 0.9, rank, source),))
        for rank, (item, source) in enumerate(found, start=1)
    ]
    images = (QueryImage(Image.new("L", (8, 8))),) if image else ()
    return make_prompt(question, Context(Query(question, images), tuple(hits)), **options)


def said(generator: Any, asked: Prompt, images: Any = ()) -> str:
    return "".join(generator.stream(asked, images))
