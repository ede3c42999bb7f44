"""Scores the check of claims against labelled pairs of a claim and a text, beside trivial checks, and writes a JSON.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/claims.py [OUT]        default eval/results/claims.json

``eval/claims/labels.jsonl`` holds pairs labelled by its author: sentences of reports that medrag-small wrote about validation studies, and
of reports of their look-alikes, each with the report of another look-alike. Texts of the collection are named by study and sentence, for
they may not be passed on. ``half`` "rules" was read while the rules were written, "untouched" was not. Pairs with ``drawn`` were drawn from
those that the rules called contradicted at the time: they give a precision, and nothing else. Needs ``medrag index build iu``.
To expect: macro-F1 from 0.80, precision of contradicted from 0.85.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util.places import built
from medrag._util.text import sentences
from medrag.eval.statistics import interval
from medrag.indexes.store import open_store
from medrag.score.checked import check
from medrag.score.grounding import supports

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("supported", "contradicted", "absent")
Pairs = Sequence[Mapping[str, Any]]


def by_words(claim: str, evidence: str) -> str:
    """The trivial check: enough shared words of one polarity, or nothing."""
    return "supported" if supports(evidence, claim) else "absent"


SYSTEMS: dict[str, Callable[[str, str], str]] = {
    "medrag": lambda claim, evidence: check(claim, evidence).verdict,
    "shared words": by_words,
    "always supported": lambda claim, evidence: "supported",
}


class Verdicts:
    """Rows: for each class whether it was right, called and meant."""

    name = "verdicts"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Any:
        pairs = zip(answers, references, strict=True)
        return np.array([[f for c in CLASSES for f in (a == r == c, a == c, r == c)] for a, r in pairs], float)

    def totals(self, rows: Any, weights: Any) -> dict[str, Any]:
        sums = (weights @ rows).reshape(-1, 3, 3)
        both, called, meant = sums[..., 0], sums[..., 1], sums[..., 2]
        with np.errstate(invalid="ignore", divide="ignore"):
            f1, precision = 2 * both / (called + meant), both / called
        return {
            "macro_f1": f1.mean(1),
            "contradicted_precision": precision[:, 1],
            **dict(zip(CLASSES, f1.T, strict=True)),
        }


def read() -> list[dict[str, Any]]:
    """The labelled pairs with their texts."""
    pairs = [json.loads(line) for line in (ROOT / "eval/claims/labels.jsonl").read_text(encoding="utf-8").splitlines()]
    store = open_store(built("iu"), name="iu")
    ids = sorted({name for pair in pairs for name in (pair["evidence"], pair.get("of")) if name})
    texts = {item.id: item.text for item in store.items.get(ids)}
    for pair in pairs:
        pair["text"] = texts[pair["evidence"]]
        pair["claim"] = pair.get("claim") or sentences(texts[pair["of"]])[pair["sentence"]]
    return pairs


def measured(pairs: Pairs, system: Callable[[str, str], str]) -> dict[str, Any]:
    said = [system(pair["claim"], pair["text"]) for pair in pairs]
    found = interval(
        Verdicts(), Verdicts().rows(said, [pair["label"] for pair in pairs]), [pair["study"] for pair in pairs]
    )
    return {name: [None if np.isnan(v) else round(v, 4) for v in values] for name, values in found.items()}


def precision(pairs: Pairs) -> dict[str, Any]:
    """Of pairs drawn from those called contradicted, those that still are, and how many of them rightly."""
    called = [pair for pair in pairs if check(pair["claim"], pair["text"]).verdict == "contradicted"]
    right = sum(pair["label"] == "contradicted" for pair in called)
    return {
        "drawn": len(pairs),
        "called": len(called),
        "right": right,
        "precision": round(right / max(1, len(called)), 4),
    }


def main(out: Path) -> None:
    pairs = read()
    result: dict[str, Any] = {
        "command": "python eval/benchmarks/claims.py",
        "score": "[value, low, high], bootstrap over studies",
    }
    for half in ("rules", "untouched"):
        some = [pair for pair in pairs if pair["half"] == half and not pair.get("drawn")]
        result[half] = {"n": len(some), **{name: measured(some, system) for name, system in SYSTEMS.items()}}
        result[half]["drawn from those called contradicted"] = precision(
            [pair for pair in pairs if pair["half"] == half and pair.get("drawn")]
        )
    began = time.perf_counter()
    for pair in pairs:
        check(pair["claim"], pair["text"])
    result["milliseconds_a_pair"] = round(1000 * (time.perf_counter() - began) / len(pairs), 2)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "eval/results/claims.json")
    main(parser.parse_args().out)
