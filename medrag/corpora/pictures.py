"""The real-data pack's pictures with their domains, those of registry packages, and who is held back.

Of every source each fifth picture (by name) is held back from training; of IU X-Ray the split ``val`` is. Names do not follow patients: of
one, some pictures may be trained on and others held back (see `patient_of`). It draws nothing and trains nothing.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from medrag._util.places import expand, share
from medrag.corpora import realdata
from medrag.errors import MissingDependency

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
FIXED = ("chest-xray", "fundus", "histology")  # domains whose registry pictures are never trained on
EVERY_FRAME = 8  # of a series, each eighth frame is read
SAID = {  # what a question or an answer of VQA-RAD calls its picture
    "mr": r"mri|mr|flair|t1|t2|dwi|gadolinium",
    "ct": r"ct|computed tomography",
    "x-ray": r"x-?rays?|radiograph|cxr|plain film",
}
SLIDES = {  # of the H&E tiles, and of what was made of them: what a name holds -> whose they are
    "TCGA-3X-AAVA": "TCGA-3X-AAVA", "liver_cancer_types": "TCGA-3X-AAVA", "TCGA-AD-6964": "TCGA-AD-6964", "crc_msi": "TCGA-AD-6964",
    "norm_to_tumor": "TCGA-YLVCMEHK",
}  # fmt: skip
PHOTOGRAPHS = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "chessboard_GRAY.png", "clock_motion.png", "coffee.png", "coins.png", "color.png", "grass.png", "gravel.png", "horse.png", "hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "page.png", "rocket.jpg", "text.png", "chessboard_RGB.png", "motorcycle_right.png", "logo.png", "no_time_for_that_tiny.gif")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
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


def patient_of(path: Path) -> str:
    """Whose picture a file of `folders` is, where its name says it: of a fundus photograph the patient, of an H&E tile the slide."""
    if eye := re.fullmatch(r"(Patient\d+)_[LR]", path.stem):
        return eye[1]
    return next((slide for part, slide in SLIDES.items() if part in path.stem), "")


def others(data: Path) -> list[Picture]:
    """Pictures of the other domains, each fifth of a source held back."""
    return folders(data) + vqa_rad_images(data) + atlas()


def folders(data: Path) -> list[Picture]:
    """The pictures that lie in folders of their own; a folder that is not there holds none."""
    free, nc = data / "open", data / "noncommercial"
    found: list[Picture] = []

    def add(paths: list[Path], domain: str, text: str) -> None:
        found.extend(Picture(path, domain, text, n % 5 == 4) for n, path in enumerate(paths))

    for folder, (domain, text) in CAPTIONS.items():
        add(sorted((free / "mednist" / folder).glob("*.jp*g"))[:150], domain, text)
    for grades in sorted((nc / "fundus").glob("*")):
        grade = grades.name.partition("-")[2].strip().replace("DR", "diabetic retinopathy")
        add(sorted(grades.glob("*.jpg")), "fundus", f"a fundus photograph of the retina, {grade}")
    add(sorted((nc / "derm").glob("*.jpg")), "dermoscopy", "a dermoscopy photograph of a skin lesion")
    smears = sorted((free / "pathology/blood_smear").glob("*.jp*g"))
    add(smears, "blood-smear", "a stained blood smear under the microscope with red and white blood cells")
    tiles = sorted(p for p in (free / "pathology/he").rglob("*") if p.suffix in (".jpg", ".png", ".jpeg", ".tif"))
    add(tiles, "histology", "a histology slide stained with haematoxylin and eosin")
    add(sorted((free / "cxr_hannover").glob("*.jpg")), "chest-xray", "a portable chest x-ray")
    return found


def vqa_rad_images(data: Path) -> list[Picture]:
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
        Picture(root / name, domain, text, name in held)
        for name, (domain, text) in sorted(named.items())
        if (root / name).exists()
    ]


def atlas() -> list[Picture]:
    """Ultrasound of the registry, since the pack has none: pydicom-data's files are trained on, pydicom's own are held back.

    Those held back are of the same studies (see `FURTHER`), so nothing can be measured on them: `registry` tells studies apart.
    """
    import pydicom

    with (share() / "corpora/sample/images.csv").open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["domain"] == "ultrasound"]
    text = "an ultrasound image"
    folder = Path(pydicom.__file__).parent / "data/test_files"
    kept = [Picture(expand(row["file"]), "ultrasound", text) for row in rows]
    return kept + [Picture(folder / name, "ultrasound", text, True) for name in ULTRASOUND if (folder / name).exists()]


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


def vqa_rad_said(data: Path, split: str = "train") -> list[Picture]:
    """VQA-RAD's pictures whose modality any question or answer says: more than `vqa_rad_images`, without captions.

    Those of another split than ``train`` are all held back.
    """
    votes: dict[tuple[str, str], dict[str, int]] = {}
    for row in realdata.vqa_rad(data, split):
        question, answer = row["question"].lower(), str(row["answer"]).lower()
        for kind, pattern in SAID.items():
            says = 3 * bool(re.search(rf"\b({pattern})\b", answer))
            says = says or int(bool(re.search(rf"\b({pattern})\b", question)) and not answer.startswith("no"))
            votes.setdefault((row["image_name"], row["image_organ"]), {}).setdefault(kind, 0)
            votes[row["image_name"], row["image_organ"]][kind] += says
    held = realdata.vqa_rad_held(data) if split == "train" else {name for name, _ in votes}
    root, found = data / "open/vqa_rad/images", []
    for (name, organ), counts in sorted(votes.items()):
        kind = max(counts, key=lambda one: counts[one])
        if counts[kind] and (root / name).exists():
            film = "chest-xray" if organ == "CHEST" else "other"
            found.append(Picture(root / name, film if kind == "x-ray" else kind, "", name in held))
    return found


def unseen() -> list[Scan]:
    """Of `registry` what nothing is trained on: scikit-image's medical pictures, and the domains that other sources teach."""
    return [scan for scan in registry() if scan.domain in FIXED or "skimage" in scan.path.parts]


def photographs() -> list[Path]:
    """scikit-image's pictures that are not medical. Nothing of medrag's is trained on them: they measure the router.

    Raises MissingDependency without scikit-image.
    """
    try:
        import skimage
    except ModuleNotFoundError as error:
        raise MissingDependency("the photographs are those of scikit-image", 'pip install "medrag[sample]"') from error
    return [path for name in PHOTOGRAPHS if (path := Path(skimage.__file__).parent / "data" / name).exists()]
