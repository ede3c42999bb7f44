"""What encoding a question costs: the sample's three encoders by PyTorch and by ONNX Runtime in one run, and whether both give the same vectors.

    python eval/benchmarks/questions.py [--runs 15]

Milliseconds of the processor (all threads of this process) and by the clock, medians; a 7 MB DICOM film and a fundus photograph, already decoded, with a question of ten words.
Needs ``pip install "medrag[fast]"``. Writes ``eval/results/questions.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from typing import Any

import numpy as np

from medrag._util.fetch import package_file
from medrag._util.files import write_json
from medrag._util.images import load_image
from medrag._util.places import share
from medrag.encoders import image_text, open_encoder
from medrag.pipeline import IMAGE_SIDE
from medrag.settings import EncoderSettings
from medrag.types import Query

PICTURES = {
    "film": "pydicom-data/data_store/data/RG1_UNCR.dcm",
    "fundus photograph": "scikit-image/skimage/data/retina.jpg",
}
MODELS = ("efficientnet-lite2", "medrag-small", "minilm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    found: dict[str, Any] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "models": {}}
    images = {name: load_image(package_file(spec), max_side=IMAGE_SIDE) for name, spec in PICTURES.items()}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDRAG_HOME"] = folder
        for model in MODELS:
            for name, image in images.items() if model != "minilm" else (("words", None),):
                asked = Query("Is there a mass or an opacity in the left lung?", (image,) if image else ())
                found["models"][f"{model}, {name}"] = both(model, asked, options.runs)
    write_json(share() / "eval" / "results" / "questions.json", found)
    print(json.dumps(found, indent=1))


def both(model: str, asked: Query, runs: int) -> dict[str, Any]:
    """Milliseconds of both ways, one after the other, and the cosine of their vectors."""
    row: dict[str, Any] = {}
    vectors = []
    for name, wish in (("pytorch", "0"), ("onnx", "1")):
        os.environ["MEDRAG_ONNX"] = wish
        image_text._fast_tower.cache_clear()
        encoder, times = open_encoder(EncoderSettings(model=model)), []
        encoder.encode_queries([asked])
        for _ in range(runs):
            cpu, wall = time.process_time(), time.perf_counter()
            found = encoder.encode_queries([asked])[0]
            times.append((time.process_time() - cpu, time.perf_counter() - wall))
        cpu, wall = 1000 * np.median(np.array(times), axis=0)
        row[name] = {"cpu_ms": round(float(cpu), 1), "ms": round(float(wall), 1)}
        vectors.append(found)
    return row | {"cosine": round(float(vectors[0] @ vectors[1]), 7)}


if __name__ == "__main__":
    main()
