"""Trains the small vision-language model ``medrag-small-vlm`` over the registry's language model and the shipped encoder.

    MEDRAG_DATA=/path/to/pack python pipelines/08_train_vlm.py medrag/presets/medrag-small-vlm --minutes 240

Needs ``pip install "medrag[tune]"`` and ``medrag models get smollm2``. Hardware: a GPU where there is one (--device; bfloat16 on CUDA; not measured), or 2 CPU cores,
12 GB of memory, 12 to 14 s for a batch of about 7 studies with 6 questions each; one epoch is about 365 batches (85 minutes). --minutes sets the clock that the learning
rate follows to its end. With glibc, MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 in the environment keeps memory between
steps: without it a third of the time went into page faults. What ships was trained for the minutes that its card states. Measured by
`medrag eval run` (see the card). A run that was cut off goes on from --work; --start goes on from weights that were shipped. Trains on IU X-Ray train, its published questions, and VQA-RAD without each fifth picture.

    MEDRAG_DATA=/path/to/pack python pipelines/08_train_vlm.py medrag/presets/medrag-small-vlm --evidence iu

trains nothing: it measures on balanced questions about training studies what a piece of evidence adds to the log odds of "yes" whatever it says,
and writes that into the model's folder, where answers take it off again. It needs the index `iu`; 184 questions took 4 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from medrag import models
from medrag._util.progress import track
from medrag.confidence import log_odds
from medrag.encoders.findings import FindingsReader
from medrag.eval import runner
from medrag.prompts import make_prompt
from medrag.tune.device import NAMES
from medrag.tune.device import option as device_option
from medrag.tune.sequences import Features, Sequences
from medrag.tune.vlm import VlmTraining, train
from medrag.vlms.medrag_small import ADAPTER, IMAGE_TOKEN, RECIPE, blank
from medrag.vlms.small import EVIDENCE, MedragSmall, evidence_sort

BASE, ENCODER, SORTS = "smollm2", "medrag-small", ("report", "passage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=Path, default=Path("vlm-work"))
    parser.add_argument("--start", type=Path, help="folder of an earlier model whose adapter the training begins from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0.0, help="end by then (0: when the epochs are over)")
    parser.add_argument("--normal", type=float, default=0.5, help="share of the normal studies that an epoch holds")
    parser.add_argument("--studies", type=float, default=1.0, help="share of the chest studies that an epoch holds")
    parser.add_argument("--vqa-rad", type=int, default=1, help="how often an epoch holds VQA-RAD's pictures")
    parser.add_argument("--rate", type=float, default=1.0, help="factor of the learning rates")
    parser.add_argument("--evidence", metavar="INDEX", help="only measure what evidence of this index adds to a yes")
    parser.add_argument("--limit", type=int, default=90, help="training studies that --evidence asks about")
    parser.add_argument("--device", type=device_option, default="auto", help=NAMES)
    options = parser.parse_args()
    if options.evidence:
        print(json.dumps(weigh_evidence(options.folder, options.evidence, options.limit, options.device), indent=1))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    data, settings = Path(os.environ["MEDRAG_DATA"]), VlmTraining(epochs=options.epochs, seed=options.seed)
    settings = replace(
        settings,
        adapter_rate=settings.adapter_rate * options.rate,
        projector_rate=settings.projector_rate * options.rate,
    )
    model, processor = blank(models.resolve(BASE))
    reader = FindingsReader(ENCODER)
    features = Features.of(data, ENCODER, options.device)
    sequences = Sequences(data, features, reader, reader.names, settings.seed)
    epochs = (sequences.epoch(n, options.normal, options.studies, options.vqa_rad) for n in range(options.epochs))
    began = time.time()
    start = load_file(options.start / ADAPTER) if options.start else None
    tensors = train(
        model, processor.tokenizer, epochs, IMAGE_TOKEN, settings, options.work, options.minutes, start, options.device
    )
    minutes = (time.time() - began) / 60
    about = (
        f"at most {options.epochs} epochs, {minutes:.0f} minutes on {hardware(options.device)}, seed {settings.seed}"
    )
    about += f", {options.studies:.0%} of the chest studies, VQA-RAD {options.vqa_rad} times an epoch"
    if options.start:
        earlier = json.loads((options.start / RECIPE).read_text(encoding="utf-8"))["training"]
        about += f"; begun from the weights of: {earlier}"
    ship(tensors, options.folder, settings, about, usual(features, reader))


def hardware(device: str) -> str:
    """What the training ran on, for the card."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads" if device == "cpu" else device


def usual(features: Features, reader: FindingsReader) -> dict[str, float]:
    """The reader's mean probability of each label over the training studies: what a single study is compared with."""
    means = [reader.probabilities(features.logits[rows].mean(0)) for rows in features.rows("train").values()]
    return {name: round(float(p), 5) for name, p in zip(reader.names, np.mean(means, axis=0), strict=True)}


def weigh_evidence(folder: Path, index: str, limit: int, device: str) -> dict[str, Any]:
    """Writes ``evidence`` into the recipe of the model: log odds by sort of evidence, least squares over the questions."""
    planned = runner.plan(
        "iu_xray_balanced", Path(os.environ["MEDRAG_DATA"]), split="train", recipe=index, limit=limit,
        model=MedragSmall(str(folder.resolve()), device=device), options={"calibration": "off", "alike": 0},
    )  # fmt: skip
    rag, counts, added = planned.rag(), [], []
    for one in track(planned.examples, "weigh evidence"):
        context, _ = rag.selected([str(path) for path in one.images], one.question, tuple(one.exclude))
        given, alone = log_odds(rag.generator, [context, replace(context, kept=())])
        sorts = [evidence_sort(hit) for hit in context.kept[:EVIDENCE]]
        if given is not None and alone is not None and sorts:
            taken_off = rag.generator.evidence_shift(make_prompt(one.question, context))
            counts.append([sorts.count(sort) for sort in SORTS])
            added.append(given - alone + taken_off)
    if not added:
        raise SystemExit(
            f"no question found evidence in {index!r}: build it with the training studies (medrag index build iu)"
        )
    found = np.linalg.lstsq(np.array(counts, float), np.array(added), rcond=None)[0]
    evidence = {sort: round(float(value), 2) for sort, value in zip(SORTS, found, strict=True)}
    recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8")) | {"evidence": evidence}
    (folder / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    return {"questions": len(added), "evidence": evidence, "mean": round(float(np.mean(added)), 3)}


def ship(tensors: dict[str, Any], folder: Path, settings: VlmTraining, training: str, means: dict[str, float]) -> None:
    """The adapter in half precision, and what it is put together with."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: t.half().contiguous() for name, t in tensors.items()}, folder / ADAPTER)
    recipe = {
        "base": BASE,
        "encoder": ENCODER,
        "rank": settings.rank,
        "alpha": settings.alpha,
        "training": training,
        "usual": means,
    }
    (folder / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
