"""What the real-data pack (``MEDRAG_DATA``) holds for training: pictures with words, findings and domains, and who is held back.

Only the split ``train`` of IU X-Ray is read for training. Of every other source each fifth picture (by name) is held back.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medrag._util.places import expand, share
from medrag.corpora import realdata

if TYPE_CHECKING:
    from PIL.Image import Image

MESH_LEAST = 12  # training studies that a MeSH heading needs to be learned beside the findings
CAPTIONS = {
    "AbdomenCT": ("ct", "an axial CT slice of the abdomen"),
    "BreastMRI": ("mr", "a breast MRI slice"),
    "CXR": ("chest-xray", "a chest x-ray"),
    "ChestCT": ("ct", "an axial CT slice of the chest"),
    "Hand": ("other", "an x-ray of the hand"),
    "HeadCT": ("ct", "an axial CT slice of the head"),
}
ULTRASOUND = ("examples_jpeg2k.dcm", "examples_palette.dcm", "examples_rgb_color.dcm", "examples_ybr_color.dcm")
ORGANS = {"HEAD": "brain", "CHEST": "chest", "ABD": "abdomen"}
# pydicom's own files that are further pictures: (file, domain, study). Where the study is one of the sample's atlas, the file is a copy,
# an excerpt or a neighbour of a picture there: whoever measures must leave out the whole study.
FURTHER = (
    ("examples_jpeg2k.dcm", "ultrasound", "us-node"), ("examples_rgb_color.dcm", "ultrasound", "us-node"),
    ("examples_ybr_color.dcm", "ultrasound", "us-heart-2"), ("examples_palette.dcm", "ultrasound", "us-obstetric"),
    ("examples_overlay.dcm", "mr", "mr-abdomen"), ("MR_small.dcm", "mr", "mr-small"),
    ("CT_small.dcm", "ct", "ct-small"), ("J2K_pixelrep_mismatch.dcm", "ct", "ct-head-2"),
)  # fmt: skip
EVERY_FRAME = 8  # of a series, each eighth frame is read
SAID = {  # what a question or an answer of VQA-RAD calls its picture
    "mr": r"mri|mr|flair|t1|t2|dwi|gadolinium",
    "ct": r"ct|computed tomography",
    "x-ray": r"x-?rays?|radiograph|cxr|plain film",
}
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
PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "chessboard_GRAY.png", "clock_motion.png", "coffee.png", "coins.png", "color.png", "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "page.png", "rocket.jpg", "text.png", "chessboard_RGB.png", "motorcycle_right.png", "logo.png", "no_time_for_that_tiny.gif")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A picture with a caption. ``held`` says that it is not trained on."""

    path: Path
    domain: str
    text: str
    held: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """A picture of a registry package. Pictures of one study are copies or neighbours of each other."""

    path: Path
    domain: str
    study: str
    frame: int = 0


def headings(data: Path) -> list[str]:
    """MeSH headings of the training reports that are frequent enough to be learned."""
    counts: dict[str, int] = {}
    for study in realdata.studies(data, "train"):
        for term in study.mesh:
            counts[term] = counts.get(term, 0) + 1
    return sorted(term for term, n in counts.items() if n >= MESH_LEAST and term not in ("normal", "No Indexing"))


def others(data: Path) -> list[Example]:
    """Pictures of the other domains, each fifth of a source held back."""
    free, nc = data / "open", data / "noncommercial"
    found: list[Example] = []

    def add(paths: list[Path], domain: str, text: str) -> None:
        found.extend(Example(path, domain, text, n % 5 == 4) for n, path in enumerate(paths))

    for folder, (domain, text) in CAPTIONS.items():
        add(sorted((free / "mednist" / folder).glob("*.jp*g"))[:150], domain, text)
    for grades in sorted((nc / "fundus").iterdir()):
        grade = grades.name.partition("-")[2].strip().replace("DR", "diabetic retinopathy")
        add(sorted(grades.glob("*.jpg")), "fundus", f"a fundus photograph of the retina, {grade}")
    add(sorted((nc / "derm").glob("*.jpg")), "dermoscopy", "a dermoscopy photograph of a skin lesion")
    smears = sorted((free / "pathology/blood_smear").glob("*.jp*g"))
    add(smears, "blood-smear", "a stained blood smear under the microscope with red and white blood cells")
    tiles = sorted(p for p in (free / "pathology/he").rglob("*") if p.suffix in (".jpg", ".png", ".jpeg", ".tif"))
    add(tiles, "histology", "a histology slide stained with haematoxylin and eosin")
    add(sorted((free / "cxr_hannover").glob("*.jpg")), "chest-xray", "a portable chest x-ray")
    return found + vqa_rad_images(data) + atlas()


def vqa_rad_images(data: Path) -> list[Example]:
    """Pictures of VQA-RAD whose modality an answer names (chest pictures are radiographs)."""
    named: dict[str, tuple[str, str]] = {}
    for row in realdata.vqa_rad(data):
        answer, organ = str(row["answer"]).lower(), row["image_organ"]
        place = ORGANS.get(organ, organ.lower())
        words = set(answer.replace(",", " ").replace("-", " ").split())
        if "MODALITY" in row["question_type"]:
            if words & {"mri", "mr", "flair", "t2", "t1", "dwi"}:
                named[row["image_name"]] = ("mr", f"an MRI slice of the {place}")
            elif "ct" in words and organ != "CHEST":
                named[row["image_name"]] = ("ct", f"a CT slice of the {place}")
            elif "ray" in words or "xray" in words:
                chest = organ == "CHEST"
                named[row["image_name"]] = ("chest-xray" if chest else "other", f"an x-ray of the {place}")
    held, root = realdata.vqa_rad_held(data), data / "open/vqa_rad/images"
    return [
        Example(root / name, domain, text, name in held)
        for name, (domain, text) in sorted(named.items())
        if (root / name).exists()
    ]


def atlas() -> list[Example]:
    """Ultrasound of the registry, since the pack has none: pydicom-data's files are trained on, pydicom's own are held back.

    Those held back are of the same studies (see `FURTHER`), so nothing can be measured on them: `registry` tells studies apart.
    """
    import pydicom

    with (share() / "corpora/sample/images.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["domain"] == "ultrasound"]
    text = "an ultrasound image"
    folder = Path(pydicom.__file__).parent / "data/test_files"
    kept = [Example(expand(row["file"]), "ultrasound", text) for row in rows]
    return kept + [Example(folder / name, "ultrasound", text, True) for name in ULTRASOUND if (folder / name).exists()]


def registry() -> list[Scan]:
    """Every picture of the sample's atlas and of `FURTHER`; of a series each eighth frame."""
    import pydicom

    own = Path(pydicom.__file__).parent / "data/test_files"
    with (share() / "corpora/sample/images.csv").open(encoding="utf-8") as stream:
        found = [(expand(row["file"]), row["domain"], row["study"]) for row in csv.DictReader(stream)]
    found += [(own / name, domain, study) for name, domain, study in FURTHER if (own / name).exists()]
    return [Scan(path, domain, study, frame) for path, domain, study in found for frame in _frames(path)]


def _frames(path: Path) -> range:
    if path.suffix != ".dcm":
        return range(1)
    import pydicom

    return range(0, int(pydicom.dcmread(path, stop_before_pixels=True).get("NumberOfFrames") or 1), EVERY_FRAME)


def vqa_rad_said(data: Path) -> list[Example]:
    """VQA-RAD's pictures whose modality any question or answer says: more than `vqa_rad_images`, without captions."""
    votes: dict[tuple[str, str], dict[str, int]] = {}
    for row in realdata.vqa_rad(data):
        question, answer = row["question"].lower(), str(row["answer"]).lower()
        for kind, pattern in SAID.items():
            says = 3 * bool(re.search(rf"\b({pattern})\b", answer))
            says = says or int(bool(re.search(rf"\b({pattern})\b", question)) and not answer.startswith("no"))
            votes.setdefault((row["image_name"], row["image_organ"]), {}).setdefault(kind, 0)
            votes[row["image_name"], row["image_organ"]][kind] += says
    held, root, found = realdata.vqa_rad_held(data), data / "open/vqa_rad/images", []
    for (name, organ), counts in sorted(votes.items()):
        kind = max(counts, key=lambda one: counts[one])
        if counts[kind] and (root / name).exists():
            film = "chest-xray" if organ == "CHEST" else "other"
            found.append(Example(root / name, film if kind == "x-ray" else kind, "", name in held))
    return found


def photographs() -> list[Path]:
    """scikit-image's pictures that are not medical. Nothing of medrag's is trained on them: they measure the router."""
    import skimage

    return [path for name in PHOTOGRAPHS if (path := Path(skimage.__file__).parent / "data" / name).exists()]


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
