"""Times the selection of evidence among 100 candidates, and writes a JSON.

    python eval/benchmarks/candidates.py [OUT]        default eval/results/candidates.json

Candidates are made of a seed: passages of some 120 words, each found by one or two of four retrievers. Beside it the first ten, unselected.
To expect: under 10 ms a question on one slow core, the words of the candidates not seen before.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from medrag.select import AdaptiveSelector
from medrag.types import Context, Hit, Passage, Query

ROOT = Path(__file__).resolve().parents[2]
RETRIEVERS = ("dense", "lexical", "reports", "similar")
WORDS = [
    f"{a}{b}"
    for a in "pleural cardiac hilar basal apical costal renal septal".split()
    for b in ("", "ly", "opathy", "itis", "oma")
]


def candidates(seed: int, n: int = 100) -> list[Hit]:
    draw = random.Random(seed)
    found = []
    for rank in range(1, n + 1):
        text = " ".join(draw.choices(WORDS, k=120))
        item = Passage(f"book:{seed}/{rank}#p", f"book:{seed}/{rank}", text, page=rank)
        parents = tuple(Hit(item, 1 - rank / 120, rank, name) for name in draw.sample(RETRIEVERS, draw.randint(1, 2)))
        found.append(Hit(item, 1 / (60 + rank), rank, "fused", parents))
    return found


def timed(selector: Any, runs: int = 100) -> dict[str, float]:
    spent = []
    for seed in range(runs):
        hits = candidates(seed)
        began = time.perf_counter()
        selector.select(Query("Is there a pleural effusion?"), hits, 1200)
        spent.append(1000 * (time.perf_counter() - began))
    return {
        name: round(float(np.percentile(spent, p)), 2) for name, p in (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99))
    }


class First:
    """The first ten."""

    def select(self, query: Query, hits: list[Hit], budget: int) -> Context:
        return Context(query, tuple(hits[:10]))


def main(out: Path) -> None:
    result = {
        "command": "python eval/benchmarks/candidates.py",
        "candidates": 100,
        "adaptive": timed(AdaptiveSelector()),
        "first ten": timed(First()),
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "eval/results/candidates.json")
    main(parser.parse_args().out)
