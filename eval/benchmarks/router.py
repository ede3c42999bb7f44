"""How often the router's head names the domain of a picture, and how often it takes an ordinary photograph for medical.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/router.py --work FOLDER

FOLDER is what `pipelines/07_train_router.py --work FOLDER` left: its embeddings, and what its cross-validation said. Writes
eval/results/router.json. Four sorts of pictures, none of them trained on by the head that judges it: held back (each fifth of a
source, and IU X-Ray val); elsewhere (a DICOM film and scikit-image's medical pictures); left out by group (the trained-on pictures,
judged in cross-validation, so that the few DICOM studies count too); scikit-image's ordinary photographs.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from medrag import models
from medrag.route import ImageHead

ROOT = Path(__file__).resolve().parents[2]
WEAKER = (
    "held back pictures come from the sources trained on (MedNIST's may share patients, fundus photographs and H&E tiles do; medrag eval run routing leaves those out); the number of means and the share "
    "that the threshold keeps were chosen among a few settings with the photographs' figures in view"
)
LATER = (
    "chessboard_RGB.png",
    "motorcycle_right.png",
    "logo.png",
    "no_time_for_that_tiny.gif",
)  # twins, and no photographs
TRAIN = runpy.run_path(str(ROOT / "pipelines/07_train_router.py"))


def share(right: Sequence[bool]) -> dict[str, Any]:
    """n, share and Wilson's 95 % interval."""
    found = binomtest(int(sum(right)), len(right))
    low, high = found.proportion_ci(method="wilson")
    return {"n": len(right), "share": round(found.statistic, 4), "interval": [round(low, 4), round(high, 4)]}


def by_domain(truth: Sequence[str], said: Sequence[str]) -> dict[str, Any]:
    """Share that is named rightly, by domain and over all; the mean over the domains."""
    right = {name: [s == t for t, s in zip(truth, said, strict=True) if t == name] for name in sorted(set(truth))}
    shares = {name: share(values) for name, values in right.items()}
    every = share([s == t for t, s in zip(truth, said, strict=True)])
    return {"all": every, "mean of domains": round(float(np.mean([one["share"] for one in shares.values()])), 4), **shares}  # fmt: skip


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over equally wide bins (Guo et al., ICML 2017)."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[place == n].mean() - right[place == n].mean()) * (place == n).mean() for n in set(place.tolist())]  # fmt: skip
    return round(float(sum(gaps)), 4)


def main(data: Path, work: Path, name: str) -> dict[str, Any]:
    rows, x = TRAIN["features"](data, work)
    head = ImageHead.open(models.resolve(name))
    labels = list(head.labels)
    truth = np.array([row.domain for row in rows])
    part = np.array([row.part for row in rows])
    plain = np.array([row.copy == 0 for row in rows])
    scores = [head.probabilities(vector) for vector in x]
    said = np.array([max(one, key=lambda label: one[label]) for one in scores])
    sure = np.array([max(one.values()) for one in scores])
    report: dict[str, Any] = {"command": f"python eval/benchmarks/router.py --work FOLDER --name {name}"}

    learned = part == "train"
    trained = Counter(truth[learned & plain].tolist())
    means = np.stack([x[learned & plain & (truth == label)].mean(0) for label in labels if trained[label]])
    named = np.array([label for label in labels if trained[label]])
    nearest = named[(x @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)]
    majority = np.full(len(rows), trained.most_common(1)[0][0])

    for sort in ("held", "elsewhere"):
        mine = part == sort
        report[sort] = by_domain(truth[mine], said[mine])
        medical = mine & (truth != "other")
        report[sort]["medical pictures taken for other"] = share((said[medical] == "other").tolist())
        report[sort]["baselines"] = {
            "majority class": share((majority == truth)[mine].tolist()),
            "nearest class mean": share((nearest == truth)[mine].tolist()),
        }
    report["left out by group"] = left_out(rows, np.load(work / "left_out.npy"), head)
    seen = part == "photograph"
    report["photographs"] = {
        "flagged": share((said[seen] == "other").tolist()),
        "not flagged": {rows[n].group: said[n] for n in np.flatnonzero(seen & (said != "other"))},
        "baselines": {
            "majority class": share((majority == "other")[seen].tolist()),
            "nearest class mean": share((nearest == "other")[seen].tolist()),
        },
    }
    report["photographs of the earlier list"] = share(
        [said[n] == "other" for n in np.flatnonzero(seen) if rows[n].group not in LATER]
    )
    asked = np.isin(part, ("held", "elsewhere", "photograph"))
    report["expected calibration error"] = calibration_error(sure[asked], (said == truth)[asked])
    report["threshold"] = round(head.threshold, 4)
    report["weaker"] = WEAKER
    return report


def left_out(rows: list[Any], values: np.ndarray, head: ImageHead) -> dict[str, Any]:
    """Pictures trained on, each judged by a head that saw nothing of its group: a study of the registry, a figure, a file."""
    kept = [row for row in rows if row.part == "train"]
    said = np.array(head.labels)[values[:, :-1].argmax(1)]
    said[values[:, -1] < head.threshold] = "other"
    plain = [n for n, row in enumerate(kept) if row.copy == 0]
    dicom = [n for n in plain if kept[n].source == "registry"]
    first = list({kept[n].group: n for n in reversed(dicom)}.values())
    book = [n for n in plain if kept[n].source == "textbook"]
    found = {name: by_domain([kept[n].domain for n in some], said[some].tolist()) for name, some in (("all", plain), ("DICOM pictures", dicom), ("one picture a DICOM study", first), ("textbook figures", book))}  # fmt: skip
    medical = [n for n in plain if kept[n].domain != "other"]
    found["medical pictures under the threshold"] = share((values[medical, -1] < head.threshold).tolist())
    found["wrong DICOM studies"] = {kept[n].group: str(said[n]) for n in first if said[n] != kept[n].domain}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--name", default="router-lite2")
    parser.add_argument("--out", type=Path, default=ROOT / "eval/results/router.json")
    options = parser.parse_args()
    found = main(Path(os.environ["MEDRAG_DATA"]), options.work, options.name)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
