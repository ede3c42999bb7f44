"""Scores the check of claims against phrases that others labelled: the examples of RadFact (Bannur et al. 2024, arXiv 2406.04449).

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/radfact.py [OUT]        default eval/results/radfact.json

Each phrase of one report is set against all phrases of the other, both ways; RadFact calls it entailed, contradicted or neutral. Beside it
stand trivial checks. ``first`` is what the rules scored before any of them was changed with these phrases in view. Seconds.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from claims import ROOT, SYSTEMS, measured

LABELS = {"entailment": "supported", "contradiction": "contradicted", "neutral": "absent"}
FIRST = {"macro_f1": 0.858, "contradicted_precision": 0.929}  # on 2026-12-01


def read(data: Path) -> list[dict[str, str]]:
    """Pairs of a phrase and the other report, by the example that they are of."""
    examples = json.loads((data / "open/factuality/radfact_examples/test_examples.json").read_text(encoding="utf-8"))
    return [
        {
            "study": example["example_id"],
            "claim": phrase["phrase"],
            "text": " ".join(example["input"][f"phrases_{other}"]),
            "label": LABELS[phrase["status"]],
        }
        for example in examples
        for side, other in (("A", "B"), ("B", "A"))
        for phrase in example["output"][f"phrases_{side}_evidenced"]
    ]


def main(out: Path) -> None:
    pairs = read(Path(os.environ["MEDRAG_DATA"]))
    systems = {**SYSTEMS, "always absent": lambda claim, evidence: "absent"}
    result: dict[str, Any] = {
        "command": "python eval/benchmarks/radfact.py",
        "score": "[value, low, high], bootstrap over examples",
        "n": len(pairs),
        "first": FIRST,
        **{name: measured(pairs, system) for name, system in systems.items()},
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "eval/results/radfact.json")
    main(parser.parse_args().out)
