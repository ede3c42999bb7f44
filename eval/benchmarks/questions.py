"""What encoding a question costs: the sample's three encoders by PyTorch and by ONNX Runtime in one run, and whether both give the same vectors.

    python eval/benchmarks/questions.py [--runs 15] [--openvino]

Milliseconds of the processor (all threads of this process) and by the clock, medians; a 7 MB DICOM film and a fundus photograph, already decoded, with a question of ten words.
``--openvino`` runs the two exported image networks by ONNX Runtime and by OpenVINO beside each other, on one thread, as they are and in 8 bits (ranges from noise: for the time, not the
vectors); it needs ``pip install openvino nncf``. Needs ``pip install "medrag[fast]"``. Writes ``eval/results/questions.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util.fetch import package_file
from medrag._util.files import write_json
from medrag._util.images import load_image
from medrag._util.places import share
from medrag.encoders import image_text, open_encoder
from medrag.query import IMAGE_SIDE
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
    parser.add_argument("--openvino", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "models": {}}
    images = {name: load_image(package_file(spec), max_side=IMAGE_SIDE) for name, spec in PICTURES.items()}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDRAG_HOME"] = folder
        for model in MODELS:
            for name, image in images.items() if model != "minilm" else (("words", None),):
                asked = Query("Is there a mass or an opacity in the left lung?", (image,) if image else ())
                found["models"][f"{model}, {name}"] = both(model, asked, options.runs)
        if options.openvino:
            found["openvino"] = beside(Path(folder), options.runs)
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


def beside(folder: Path, runs: int) -> dict[str, Any]:
    """Milliseconds of the processor for each exported image network by its side in pixels, the pixels ready."""
    import nncf
    import onnxruntime
    import openvino

    rows: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.onnx")):
        model = openvino.Core().read_model(path)
        if len(model.inputs) > 1:  # the text tower
            continue
        side = model.inputs[0].partial_shape[3].get_length()
        noise = np.random.default_rng(0).standard_normal((9, 1, 3, side, side)).astype(np.float32)
        model.reshape(noise[0].shape)
        small = nncf.quantize(model, nncf.Dataset(list(noise[1:])), preset=nncf.QuantizationPreset.MIXED)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_free_dimension_override_by_name("n", 1)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        ways = {"onnxruntime": lambda x, run=session: run.run(None, {"pixels": x})}
        for name, network in (("openvino", model), ("openvino, 8 bits", small)):
            ready = openvino.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1})
            ways[name] = ready.create_infer_request().infer
        rows[f"{side} pixels"] = {name: _cpu_ms(way, noise[0], runs) for name, way in ways.items()}
    return rows


def _cpu_ms(way: Callable[[Any], Any], example: Any, runs: int) -> float:
    way(example)
    times = []
    for _ in range(runs):
        start = time.process_time()
        way(example)
        times.append(time.process_time() - start)
    return round(1000 * float(np.median(times)), 1)


if __name__ == "__main__":
    main()
