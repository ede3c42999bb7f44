"""Trains the domain head of the router on frozen image embeddings.

    MEDRAG_DATA=/path/to/pack python pipelines/07_train_router.py medrag/presets/router-lite2.safetensors

Hardware: 2 CPU cores, 2 GB of memory. Reads about 2,900 images of the real-data pack and the registry's DICOM images.
Prints one JSON object: the accuracy on the fifth of the images that it does not train on, and the share of scikit-image's ordinary
photographs that it flags as belonging to no domain. The head is a softmax over unit embeddings with temperature 1;
the threshold is the lowest similarity to the nearest class centroid that 99 % of the training images reach.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from medrag._util.fetch import package_file
from medrag._util.places import expand, share
from medrag.encoders import open_encoder
from medrag.settings import EncoderSettings
from medrag.types import ImageRecord

ENCODER = "efficientnet-lite2"
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "motorcycle_left.png", "rocket.jpg", "page.png", "text.png", "brick.png", "grass.png", "gravel.png", "horse.png", "clock_motion.png", "color.png", "checker_bilevel.png", "chessboard_GRAY.png", "hubble_deep_field.jpg", "moon.png")  # fmt: skip


def folders(data: Path) -> dict[str, list[Path]]:
    """The pack's images by domain."""
    nc, free = data / "noncommercial", data / "open"
    iu = {row["uid"]: [] for row in csv.DictReader((nc / "iu_xray/reports.csv").open())}
    train = set(json.loads((nc / "iu_xray/splits.json").read_text())["train"]) & set(iu)
    chest = [
        nc / "iu_xray/images" / row["image"]
        for row in csv.DictReader((nc / "iu_xray/projections.csv").open())
        if row["uid"] in train
    ]
    mednist = {folder.name: sorted(folder.glob("*.jp*g")) for folder in (free / "mednist").iterdir() if folder.is_dir()}
    found = {
        "chest-xray": [*chest[::7], *mednist.get("CXR", [])[:150], *sorted((free / "cxr_hannover").glob("*.jpg"))],
        "ct": [path for name in ("AbdomenCT", "ChestCT", "HeadCT") for path in mednist.get(name, [])[:150]],
        "mr": mednist.get("BreastMRI", [])[:200],
        "fundus": sorted((nc / "fundus").rglob("*.jpg")),
        "dermoscopy": sorted((nc / "derm").glob("*.jpg")),
        "blood-smear": sorted((free / "pathology/blood_smear").glob("*.jp*g")),
        "histology": sorted(path for path in (free / "pathology/he").rglob("*") if path.suffix in (".jpg", ".png", ".jpeg", ".tif")),
        "other": mednist.get("Hand", [])[:200],
    }  # fmt: skip
    for domain, path in vqa_rad(free / "vqa_rad"):
        found[domain].append(path)
    return found


def vqa_rad(folder: Path) -> list[tuple[str, Path]]:
    """Domains of VQA-RAD images, from the answers to the questions that ask for the modality."""
    named: dict[str, str] = {}
    for row in json.loads((folder / "train.json").read_text()):
        answer = str(row["answer"]).lower()
        if "MODALITY" in row["question_type"]:
            if any(word in answer.split() for word in ("mri", "mr", "flair", "t2", "t1", "dwi")) or "t2" in answer:
                named[row["image_name"]] = "mr"
            elif "ct" in answer.split():
                named[row["image_name"]] = "ct"
            elif "x-ray" in answer or "xray" in answer:
                named[row["image_name"]] = "chest-xray" if row["image_organ"] == "CHEST" else "other"
    return [
        (domain, folder / "images" / name)
        for name, domain in sorted(named.items())
        if (folder / "images" / name).exists()
    ]


def atlas() -> list[tuple[str, Path]]:
    """The registry images of the sample's atlas, with their domains."""
    with (share() / "corpora/sample/images.csv").open() as handle:
        return [(row["domain"], expand(row["file"])) for row in csv.DictReader(handle)]


def photographs() -> list[ImageRecord]:
    """scikit-image's ordinary pictures: none was trained on."""
    folder = package_file("scikit-image/skimage/data/retina.jpg").parent
    return [ImageRecord(f"p:{name}", "p", "", str(folder / name)) for name in PHOTOGRAPHS if (folder / name).exists()]


def main(target: str) -> None:
    """Embeds, splits by position (every fifth image is held back), trains, measures, writes."""
    found = folders(Path(os.environ["MEDRAG_DATA"]))
    for domain, path in atlas():
        if domain == "ultrasound":  # the pack has none
            found.setdefault(domain, []).append(path)
    encoder = open_encoder(EncoderSettings(model=ENCODER))
    rows = [
        (domain, path, n % 5 == 4 and domain != "ultrasound")
        for domain, paths in found.items()
        for n, path in enumerate(paths)
    ]
    vectors = encoder.encode_items(
        [ImageRecord(f"x:{n}", f"x:{n}", "", str(path)) for n, (_, path, _) in enumerate(rows)]
    )
    labels = sorted(found)
    y = torch.tensor([labels.index(domain) for domain, _, _ in rows])
    held = np.array([back for _, _, back in rows])
    x = torch.from_numpy(vectors)

    counts = Counter(y[~held].tolist())
    weights = torch.tensor([1 / counts[n] for n in range(len(labels))])
    model = torch.nn.Linear(x.shape[1], len(labels))
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (
            torch.nn.functional.cross_entropy(model(x[~held]), y[~held], weights) + 2e-4 * model.weight.square().sum()
        )
        loss.backward()
        return loss

    optimiser.step(closure)
    centroids = torch.stack(
        [torch.nn.functional.normalize(x[~held][y[~held] == n].mean(0), dim=0) for n in range(len(labels))]
    )
    nearest = (x @ centroids.T).max(1).values
    threshold = float(nearest[~held].quantile(0.01))

    def share(mask: torch.Tensor) -> float:
        return round(float(mask.float().mean()), 4)

    guess, back = model(x).argmax(1), torch.from_numpy(held)
    domains = {
        label: {
            "held back": int(mine.sum()),
            "accuracy": share(guess[mine] == n),
            "known": share(nearest[mine] >= threshold),
        }
        for n, label in enumerate(labels)
        if (mine := back & (y == n)).any()
    }
    strange = torch.from_numpy(encoder.encode_items(photographs()))
    flagged = ((strange @ centroids.T).max(1).values < threshold) | (model(strange).argmax(1) == labels.index("other"))
    report = {
        "command": "python pipelines/07_train_router.py medrag/presets/router-lite2.safetensors",
        "trained on": int((~back).sum()), "held back": int(back.sum()), "accuracy": share(guess[back] == y[back]),
        "majority baseline": share(y[back] == y[~back].mode().values), "threshold": round(threshold, 4), "domains": domains,
        "photographs": len(strange), "photographs flagged": share(flagged),
        "weaker": "held back images come from the same sources; ultrasound was trained on six images and not measured",
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    tensors = {
        "weight": model.weight,
        "bias": model.bias,
        "centroids": centroids,
        "threshold": torch.tensor([threshold]),
    }
    save_file(
        {
            name: value.detach().numpy().astype("float16" if name != "threshold" else "float32")
            for name, value in tensors.items()
        },
        target,
        metadata={"labels": ",".join(labels), "encoder": ENCODER},
    )


if __name__ == "__main__":
    main(sys.argv[1])
