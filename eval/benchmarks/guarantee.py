"""How often the guarantees of `medrag calibrate` are broken: 1,000 calibration draws for each, from a world in which the truth is known.

    python eval/benchmarks/guarantee.py

"depths": five numbers of contexts whose true risks are 0.20 to 0.35, 300 questions a draw; a draw is broken where one is certified whose risk exceeds α = 0.25 (learn then test, RULE's setting).
"threshold": 400 answers a draw, confidences from 0.5 to 1 that are true; broken where the answers from the threshold on are wrong more often than α. "off": the same where an answer is wrong a fifth more often than
its confidence says, as those of a model that is too sure of itself are: the guarantee does not rest on the confidence. δ = 0.1: at most a tenth of the draws may break it.
"answered": the share of answers that a threshold lets through. Writes ``eval/results/guarantee.json``. Seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np

from medrag._util.files import write_json
from medrag._util.places import share
from medrag.score import risk

DRAWS, DELTA, ALPHA = 1000, 0.1, 0.25
RISKS = np.array([0.20, 0.24, 0.26, 0.27, 0.35])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "guarantee.json")
    options = parser.parse_args()
    found: dict[str, Any] = {"draws": DRAWS, "delta": DELTA}
    found["depths"] = {test: depths(test) for test in get_args(risk.Test)}
    for alpha in (0.1, 0.15, 0.2):
        found[f"threshold {alpha}"], found[f"threshold {alpha}, off"] = thresholds(alpha, 0.0), thresholds(alpha, 0.2)
    found["most broken"] = max(one["broken"] for one in (*found["depths"].values(), *(v for k, v in found.items() if k.startswith("threshold"))))  # fmt: skip
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def depths(test: risk.Test) -> dict[str, float]:
    """Shares of the draws in which something was certified, and in which that was wrong."""
    draw, broken, kept = np.random.default_rng(0), 0, 0
    for _ in range(DRAWS):
        certified = risk.certified(draw.random((300, len(RISKS))) < RISKS, ALPHA, DELTA, test)
        broken += any(RISKS[n] > ALPHA for n in certified)
        kept += bool(certified)
    return {"broken": broken / DRAWS, "certified": kept / DRAWS}


def thresholds(alpha: float, off: float) -> dict[str, float]:
    """Share of the draws whose threshold lets too many wrong answers through, and of the answers that the thresholds let through. An answer is wrong
    ``off`` as often again as its confidence says."""
    draw = np.random.default_rng(1)
    sure = draw.uniform(0.5, 1, 100_000)
    wrong = np.minimum((1 - sure) * (1 + off), 1)
    broken = answered = 0.0
    for _ in range(DRAWS):
        some = draw.integers(0, len(sure), 400)
        threshold = risk.certified_threshold(sure[some], draw.random(400) >= wrong[some], alpha, DELTA)
        if threshold is not None:
            through = sure >= threshold
            broken += wrong[through].mean() > alpha
            answered += through.mean()
    return {"broken": broken / DRAWS, "answered": round(answered / DRAWS, 3)}


if __name__ == "__main__":
    main()
