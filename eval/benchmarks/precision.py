"""What bfloat16 saves the small vision-language model on this processor, and what it changes: time of closed questions, of a report and of a step of tuning.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/precision.py

Each film is asked one closed question beside three pieces of evidence: one after the other, then eight at once. ``p_yes`` is how far the probability of yes lies from
that in single precision. Seconds, means; the two precisions take turns in one process. Writes ``eval/results/precision.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medrag._util.files import write_json
from medrag._util.hardware import native_bf16
from medrag._util.images import load_image
from medrag._util.places import share
from medrag.tune.pairs import Pair, Piece, Side
from medrag.tune.policy import open_policy
from medrag.tune.trainer import PreferenceTraining, train
from medrag.vlms.small import MedragSmall

PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
QUESTION, REPORT, AT_ONCE = "Is there a pleural effusion?", "Write the findings and the impression.", 8
TEXT = "The heart is normal in size. The lungs are clear. There is no pleural effusion or pneumothorax. Degenerative changes of the spine. "  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=24)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "precision.json")
    options = parser.parse_args()
    folder = Path(os.environ["MEDRAG_DATA"]) / "noncommercial" / "iu_xray" / "images"
    paths = [str(path) for path in sorted(folder.glob("*.jpg"))[: options.films]]
    found: dict[str, Any] = {"cpus": os.cpu_count(), "native bfloat16": native_bf16(), "films": len(paths)}
    chances = {}
    for precision in PRECISIONS:
        found[precision], chances[precision] = answering(paths, precision)
        found[precision]["step"] = tuning(paths, precision)
    moved = np.abs(np.subtract(*chances.values()))
    found["p_yes"] = {"mean": round(float(moved.mean()), 4), "most": round(float(moved.max()), 4)}
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def evidence() -> tuple[Piece, ...]:
    return tuple(Piece(f"r{n}", "study", f"Report {n}", 3 * TEXT) for n in range(3))


def answering(paths: list[str], precision: str) -> tuple[dict[str, float], list[float]]:
    """Seconds for each, and P(yes) of each film."""
    model = MedragSmall(dtype=precision)
    films = [load_image(path).image for path in paths]
    closed, report = (Side((paths[0],), evidence(), "").prompt(text, "chest-xray") for text in (QUESTION, REPORT))
    for film in films:
        model.findings([film])  # the reader's part is the same in both
    model.probabilities_yes([closed], [[films[0].rotate(180)]])
    alone, chances = timed(lambda: [model.probabilities_yes([closed], [[film]])[0] for film in films])
    some = [[film] for film in films[:AT_ONCE]]
    together, _ = timed(lambda: model.inner.first_words([closed] * len(some), some, ("Yes",), ("No",)))
    written, _ = timed(lambda: ["".join(model.stream(report, [film])) for film in films[:3]])
    seconds = {
        "closed question": alone / len(films),
        "eight at once, each": together / len(some),
        "report": written / 3,
    }
    return {name: round(value, 3) for name, value in seconds.items()}, chances


def tuning(paths: list[str], precision: Literal["float32", "bfloat16"]) -> float:
    """Seconds of a step."""
    pairs = [
        Pair(str(n), "oa1", QUESTION, "chest-xray", Side((path,), evidence(), "No."), Side((path,), evidence(), "Yes."))
        for n, path in enumerate(paths[:8])
    ]
    with tempfile.TemporaryDirectory() as work:
        settings = PreferenceTraining(steps=6, precision=precision, balance=False)
        train(open_policy("medrag-small"), pairs, settings, Path(work), board=False)
        lines = [json.loads(line) for line in (Path(work) / "metrics.jsonl").read_text("utf-8").splitlines()]
    return round(60 * (lines[-1]["minutes"] - lines[0]["minutes"]) / (len(lines) - 1), 2)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    made = call()
    return time.perf_counter() - began, made


if __name__ == "__main__":
    main()
