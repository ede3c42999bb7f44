"""What the real-data pack (``MEDRAG_DATA``) holds for training: pictures with words, findings and domains, and who is held back.

Only the split ``train`` of IU X-Ray is read for training. The pictures and who of them is held back are those of
`medrag.corpora.pictures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from medrag.corpora import realdata
from medrag.corpora.pictures import others, photographs, registry, vqa_rad_said

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["everyday", "figures", "figures_by_domain", "headings", "others", "photographs", "registry", "vqa_rad_said"]

MESH_LEAST = 12  # training studies that a MeSH heading needs to be learned beside the findings
NO_PHOTOGRAPH = ("micrograph", "lm ×", "em ×", "smear", "stain", "radiograph", "x-ray", "mri", "ct ", "tomograph", "ultraso", "skin", "mole", "melanom", "lesion", "rash", "histolog", "slide", "angiogram")  # fmt: skip
FIGURES = {  # beginnings of captions of textbook figures that hold one sort of medical picture alone
    "This figure is a view of the regular": "histology",
    "These slides show cross-sections of": "histology", "The epidermis is epithelium composed": "histology",
    "This stained slide shows the two": "histology", "The slide shows a cross-section of a": "histology",
    "In this micrograph of a skin": "histology", "The cell bodies of sensory neurons": "histology",
    "The slide includes both a cross-section": "histology", "Zoom in on this slide of a nerve": "histology",
    "Respiratory epithelium is": "histology", "Peristaltic contractions help to move": "histology",
    "This micrograph shows the structure of the mucous": "histology", "Blood is a fluid connective": "blood-smear",
    "This Wright’s stain of a blood": "blood-smear", "A peripheral blood smear from": "blood-smear",
    "A blood smear (human blood stage)": "blood-smear", "In this blood smear from a patient": "blood-smear",
    "Trypanosoma brucei, the causative": "blood-smear", "A chest radiograph of a patient": "chest-xray",
    "A fungal ball can be observed": "chest-xray", "Brain CT scans of sagittal": "ct",
}  # fmt: skip


def headings(data: Path) -> list[str]:
    """MeSH headings of the training reports that are frequent enough to be learned."""
    counts: dict[str, int] = {}
    for study in realdata.studies(data, "train"):
        for term in study.mesh:
            counts[term] = counts.get(term, 0) + 1
    return sorted(term for term, n in counts.items() if n >= MESH_LEAST and term not in ("normal", "No Indexing"))


def everyday() -> list[Path]:
    """Two ordinary photographs that scikit-learn ships (CC BY)."""
    import sklearn.datasets

    return sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))


def figures_by_domain(data: Path) -> Iterator[tuple[Image, str, bool]]:
    """The textbooks' figures with a domain, and whether they are held back.

    Drawings, charts and photographs of everyday things and people are "other", each fifth figure held back; none of the few
    medical ones of `FIGURES` is. Figures of which neither is certain are left out.
    """
    for number, (image, caption) in enumerate(figures(data)):
        domain = next((kind for start, kind in FIGURES.items() if caption.startswith(start)), "")
        if domain:
            yield image, domain, False
        elif not any(word in caption.lower() for word in NO_PHOTOGRAPH):
            yield image, "other", number % 5 == 4


def figures(data: Path) -> Iterator[tuple[Image, str]]:
    """Every figure of the textbooks with its caption."""
    from medrag.corpora import open_corpus
    from medrag.encoders._shared import picture
    from medrag.settings import CorpusSettings
    from medrag.types import ImageRecord

    corpus = open_corpus(CorpusSettings(name="books", reader="pdf", path=str(data / "open/openstax")), data)
    for item in corpus.read(lambda _: None):
        if isinstance(item, ImageRecord) and len(item.text) > 20:
            yield picture(item), item.text
