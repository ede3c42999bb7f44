"""Answers made by hand, with every kind of evidence, for the tests of rendering."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from medrag.types import (
    Answer,
    Box,
    Citation,
    Context,
    Drop,
    Hit,
    ImageRecord,
    Passage,
    Query,
    QueryImage,
    Route,
    Study,
    Triple,
)

PASSAGE = Passage(
    "primer:primer#p4-2",
    "primer:primer",
    "A mass is an opacity larger than three centimetres. Multiple round\nmasses of differing size favour metastases over "
    "a primary tumour. Look for a pleural effusion and for destroyed ribs beside them.",
    title="Reading a chest radiograph",
    section="Masses and nodules",
    page=4,
    boxes=(Box(72, 200, 520, 260),),
    source="primer.pdf",
)
STUDY = Study(
    "openi:2841",
    {
        "findings": "Multiple bilateral pulmonary masses. No pneumothorax.",
        "impression": "Findings consistent with metastases.",
    },
    labels=("Mass/lung/bilateral/multiple", "Neoplasms"),
    domain="chest-xray",
)
PATH = Triple(
    "graph:path-1",
    "mondo",
    "lung metastasis",
    "has finding",
    "pulmonary nodule",
    meta={
        "cuis": ["C0153676", "C0024121", "C0149726"],
        "path": ["mondo:1", "mondo:2", "hp:3"],
        "steps": [
            {
                "subject": "lung metastasis",
                "relation": "is_a",
                "object": "lung neoplasm",
                "subject_cui": "C0153676",
                "object_cui": "C0024121",
            },
            {
                "subject": "lung neoplasm",
                "relation": "has_finding",
                "object": "pulmonary mass",
                "subject_cui": "C0024121",
                "object_cui": "C0149726",
            },
        ],
        "sentence": "Lung metastasis is a lung neoplasm, which has the finding pulmonary mass.",
    },
)
PARENTS = (Hit(PASSAGE, 0.61, 2, "dense"), Hit(PASSAGE, 11.4, 1, "lexical"))
LOST = Passage("openi:17#findings", "openi:17", "The heart is normal in size.", title="Report 17", section="findings")


def chest_answer(picture: Image.Image | None = None, source: str = "", **changes: object) -> Answer:
    """An answered question with a passage, a similar case, a graph path, and a drop."""
    image = QueryImage(
        picture or Image.new("L", (900, 700), 90),
        "folder/RG1_UNCR.dcm",
        "ab" * 32,
        {"modality": "CR", "body_part": "CHEST"},
    )
    figure = ImageRecord(
        "primer:fig-2",
        "primer:primer",
        "Two round masses in the right lung.",
        source,
        "chest-xray",
        page=4 if source else None,
    )
    hits = (
        Hit(PASSAGE, 0.0325, 1, "rrf", PARENTS),
        Hit(STUDY, 0.016, 2, "rrf", (Hit(STUDY, 0.8, 1, "similar"),)),
        Hit(PATH, 0.015, 3, "rrf", (Hit(PATH, 2.0, 1, "graph"),)),
        Hit(figure, 0.01, 4, "rrf"),
    )
    dropped = (
        Drop(
            Hit(LOST, 0.004, 5, "rrf", (Hit(LOST, 0.2, 9, "dense"),)),
            "below the floor: 0.12 of the best score, 0.15 needed",
        ),
    )
    context = Context(
        Query("Are there masses in the lungs?", (image,)), hits, dropped, 212, ("gap rule fired after rank 4",)
    )
    values = {
        "text": "Yes: several round opacities larger than three centimetres are masses [E1]. Masses of differing size on both sides favour metastases [E1, E2], which are lung neoplasms [E3].",
        "status": "answered",
        "citations": (
            Citation(
                "E1", PASSAGE, "Multiple round masses of differing size favour metastases", 4, PASSAGE.boxes, 0.83
            ),
            Citation("E2", STUDY, "Multiple bilateral pulmonary masses.", None, (), 0.75),
            Citation("E3", PATH, "", None, (), None),
        ),
        "context": context,
        "route": Route(
            "chest-xray",
            0.94,
            {"dense": 1.0, "lexical": 1.0, "similar": 0.8, "graph": 0.5},
            ("DICOM modality CR, body part CHEST", "the question says “lungs”"),
        ),
        "model": "extractive",
        "usage": {"context_tokens": 212, "answer_tokens": 41},
        "timings": {
            "read": 0.031,
            "route": 0.002,
            "retrieve dense": 0.014,
            "retrieve lexical": 0.003,
            "generate": 0.021,
            "cite": 0.001,
        },
        "fingerprint": "5f1c0de5f1c0de55",
        **changes,
    }
    return Answer(**values)  # type: ignore[arg-type]


def hostile_answer() -> Answer:
    """Retrieved text, titles, names and the question carry markup and control characters."""
    bad = '<script>alert("x")</script><img src=http://example.org/x onerror=alert(1)>\u202e&amp;\x00'
    item = Passage(
        f"x:{bad}", bad, f"{bad} and more", title=bad, section=bad, page=1, source=str(Path("gone") / "x.pdf")
    )
    triple = Triple("x:t", bad, bad, bad, bad, bad, bad)
    image = QueryImage(Image.new("RGB", (8, 8)), bad, "", {"modality": bad})
    hits = (Hit(item, 1.0, 1, bad), Hit(triple, 0.5, 2, bad))
    context = Context(Query(bad, (image,)), hits, (Drop(hits[0], bad),), 3, (bad,))
    citations = (Citation("E1", item, bad, 1, (Box(0, 0, 1, 1),), 0.5),)
    return Answer(
        f"{bad} [E1] [E9]",
        "uncited",
        citations,
        context,
        Route(bad, 0.5, {bad: 1.0}, (bad,)),
        bad,
        bad,
        {bad: bad},
        {bad: 0.1},
        bad,
    )
