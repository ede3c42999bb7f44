"""New, resolved or unchanged, told from two films: pairs made of IU X-Ray's validation studies, of one finding present or absent in each.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/history.py

For each finding with ten positive studies and more, as many pairs of each of the four kinds (absent → present, present → absent, both, neither) are
drawn with the seed; "both" and "neither" are unchanged, so the majority answer is right in half of them. The films are two patients': what is tested is
whether both readings are right at once, not registration. The answer is that of the search loop's tool ``compare_images`` (`medrag.agent.compare.verdict`).
Writes ``eval/results/history.json``; bootstrap over pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util.files import write_json
from medrag._util.images import load_image
from medrag._util.places import share
from medrag._util.progress import track
from medrag.agent.compare import verdict
from medrag.corpora.realdata import studies
from medrag.encoders.findings import FindingsReader

TRUTH = {(False, True): "new", (True, False): "resolved", (True, True): "unchanged", (False, False): "unchanged"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default="medrag-small")
    parser.add_argument("--pairs", type=int, default=40, help="of each kind and finding")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "history.json")
    options = parser.parse_args()
    known = [s for s in studies(Path(os.environ["MEDRAG_DATA"]), options.split) if s.images]
    reader = FindingsReader(options.model)
    read = {
        s.uid: reader.findings([load_image(path).image for path, _ in s.images]) for s in track(known, "read films")
    }
    rows = []
    for finding in sorted(set().union(*(s.positive for s in known)) & reader.usual.keys()):
        there = [s for s in known if finding in s.positive]
        gone = [s for s in known if finding not in s.positive]
        if len(there) >= 10:
            rows += drawn(finding, there, gone, options, read, reader.usual)
    found = {"split": options.split, "model": options.model, "seed": options.seed, "all": told(rows, options.seed)}
    found |= {
        name: told([row for row in rows if row[0] == name], options.seed) for name in sorted({row[0] for row in rows})
    }
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def drawn(finding: str, there: Any, gone: Any, options: Any, read: Any, usual: Any) -> list[tuple[str, str, str]]:
    """(finding, truth, said) of the pairs of one finding."""
    draw, rows = random.Random(f"{options.seed}/{finding}"), []
    for kind, truth in TRUTH.items():
        for _ in range(options.pairs):
            first, second = (draw.choice(there if is_there else gone) for is_there in kind)
            rows.append((finding, truth, verdict(finding, read[first.uid], read[second.uid], usual) or "unchanged"))
    return rows


def told(rows: list[tuple[str, str, str]], seed: int) -> dict[str, Any]:
    """Accuracy and macro-F1 with 95 % intervals; the majority answer beside them."""
    rng = np.random.default_rng(seed)
    truth, said = (np.array([row[at] for row in rows]) for at in (1, 2))
    right = truth == said
    draws = rng.integers(0, len(rows), (2000, len(rows)))
    low, high = np.percentile(right[draws].mean(1), [2.5, 97.5])
    names = sorted(set(TRUTH.values()))
    f1 = [2 * (right & (truth == n)).sum() / max(1, (truth == n).sum() + (said == n).sum()) for n in names]
    return {
        "n": len(rows), "accuracy": [round(float(v), 3) for v in (right.mean(), low, high)],
        "majority": round(float(max((truth == n).mean() for n in names)), 3), "macro_f1": round(float(np.mean(f1)), 3),
        "recall": {n: round(float(right[truth == n].mean()), 3) for n in names},
    }  # fmt: skip


if __name__ == "__main__":
    main()
