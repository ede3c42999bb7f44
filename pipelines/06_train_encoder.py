"""Trains the image-text encoder ``medrag-small`` with its findings reader, and measures both.

    MEDRAG_DATA=/path/to/pack python pipelines/06_train_encoder.py medrag/presets/medrag-small --work /tmp/encoder
    MEDRAG_DATA=/path/to/pack python pipelines/06_train_encoder.py medrag/presets/medrag-small --measure

Hardware: 2 CPU cores, 6 GB of memory, or a GPU (--device, taken where there is one; bfloat16 on CUDA;
not measured). On 2 cores one epoch over 4,674 chest films and half of 1,491 other pictures at 192 px took 360–400 s;
eight epochs 52 minutes. A run that is stopped goes on from the last epoch in --work. Expect, on the 400 validation studies,
what eval/results/encoder.json says. The validation split is used to calibrate probabilities and for nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util.findings import CHEXPERT_TYPE
from medrag.corpora import realdata
from medrag.encoders.findings import FindingsReader
from medrag.encoders.image import TimmEncoder
from medrag.encoders.image_text import OpenClipImages, OpenClipTexts
from medrag.tune import encoder, finish
from medrag.tune.device import NAMES
from medrag.tune.device import option as device_option
from medrag.types import ImageRecord, Passage


def train(data: Path, folder: Path, work: Path, device: str) -> None:
    """Trains, exports, calibrates."""
    work.mkdir(parents=True, exist_ok=True)
    names = encoder.outputs(data)
    parts = encoder.train(encoder.gather(data), names, encoder.EncoderTraining(), work, device)
    finish.export(parts, names, folder)
    studies = [study for study in realdata.studies(data, "val") if study.images]
    reader = FindingsReader(str(folder), device=device)
    finish.calibrate(folder, finish.scores_of(reader, studies), finish.truth(studies, names))


def records(studies: list[realdata.Study]) -> list[ImageRecord]:
    return [ImageRecord(f"{s.uid}#{n}", s.uid, "", str(path)) for s in studies for n, (path, _) in enumerate(s.images)]


def by_study(encode: Any, studies: list[realdata.Study]) -> np.ndarray:
    """(studies, d) unit means over the views."""
    pictures = records(studies)
    vectors, place = encode.encode_items(pictures), {s.uid: n for n, s in enumerate(studies)}
    sums = np.zeros((len(studies), vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, [place[r.doc] for r in pictures], vectors)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def measure(data: Path, folder: Path, device: str) -> dict[str, Any]:
    """The findings reader's AUC and the findings F1 of the first report that a picture finds."""
    began, reader = time.time(), FindingsReader(str(folder), device=device)
    val, train_ = ([s for s in realdata.studies(data, split) if s.images] for split in ("val", "train"))
    scores, labels = finish.scores_of(reader, val), finish.truth(val, reader.names)
    images, texts = OpenClipImages(str(folder), device=device), OpenClipTexts(str(folder), device=device)
    frozen = TimmEncoder("efficientnet-lite2", architecture="tf_efficientnet_lite2", size=260, device=device)
    asked, pool = by_study(images, val), by_study(images, train_)
    words = texts.encode_items([Passage(s.uid, s.uid, s.text or "none") for s in train_])
    similar, said = asked @ pool.T, asked @ words.T
    both = (similar - similar.mean()) / similar.std() + (said - said.mean()) / said.std()
    ranks = {
        "image to report text": said.argmax(1), "image to image": similar.argmax(1), "both": both.argmax(1),
        "frozen ImageNet, image to image": (by_study(frozen, val) @ by_study(frozen, train_).T).argmax(1),
    }  # fmt: skip
    found, true = (finish.truth(studies, CHEXPERT_TYPE) for studies in (train_, val))
    return {
        "command": f"python pipelines/06_train_encoder.py {folder} --measure",
        "findings reader": finish.findings_report(scores, labels, reader.names),
        "image to report, IU val": finish.retrieval_report(ranks, found, true),
        "seconds": round(time.time() - began),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, default=Path("encoder-work"))
    parser.add_argument("--measure", action="store_true", help="only measure what is there")
    parser.add_argument("--device", type=device_option, default="auto", help=NAMES)
    options = parser.parse_args()
    data = Path(os.environ["MEDRAG_DATA"])
    if not options.measure:
        train(data, options.folder, options.work, options.device)
    print(json.dumps(measure(data, options.folder, options.device), indent=1))


if __name__ == "__main__":
    main()
