"""Mutation testing of what decides about evidence and scores: which share of small faults do the tests notice?

    pip install mutmut
    python eval/benchmarks/mutants.py [--each 40]

Clones the commit that is checked out, has mutmut change `medrag.select`, `medrag.retrieve.fuse`, `medrag.cite`, `medrag.route`, `medrag.indexes.store` and `medrag.score` in one place
at a time, and runs the tests that [tool.mutmut] in pyproject.toml names against each mutant; ``--each`` draws so many of a file with the seed (0: all, hours). A mutant that
makes the tests run over their time counts as killed, and is told apart. Writes ``eval/results/mutants.json``; mutants of equal meaning cannot be killed and count as survivors.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from medrag._util.files import write_json

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=40, help="mutants of a file (0: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="files whose path holds this")
    parser.add_argument("--out", type=Path, default=ROOT / "eval" / "results" / "mutants.json")
    options = parser.parse_args()
    found: dict[str, Any] = {"each": options.each, "seed": options.seed, "modules": {}}
    with tempfile.TemporaryDirectory() as held:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), held], check=True)
        run(Path(held), ["medrag.retrieve.fuse.none"])  # makes the mutants and learns which test reaches which
        for path, names in drawn(Path(held), options).items():
            run(Path(held), names)
            found["modules"][path] = counted(Path(held), path, names)
            found["least of score"] = min((one["share"] for name, one in found["modules"].items() if "/score/" in name), default=None)  # fmt: skip
            write_json(options.out, found)
    print(json.dumps(found, indent=1))


def run(folder: Path, names: list[str]) -> None:
    """Has mutmut try these mutants."""
    words = [str(Path(sys.executable).parent / "mutmut"), "run", "--max-children", "1", *names]
    env = {k: v for k, v in os.environ.items() if k != "MEDRAG_DATA"} | {"OMP_NUM_THREADS": "1"}
    subprocess.run(words, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def metas(folder: Path) -> dict[str, dict[str, int | None]]:
    """File → the exit code of the tests for each of its mutants; None for one that was not tried."""
    made = sorted((folder / "mutants").rglob("*.meta"))
    codes = {str(p.relative_to(folder / "mutants"))[:-5]: json.loads(p.read_text("utf-8")) for p in made}
    return {path: meta["exit_code_by_key"] for path, meta in codes.items() if meta["exit_code_by_key"]}


def drawn(folder: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """The mutants that are tried, by file. Ends the program where mutmut made none."""
    chance = random.Random(options.seed)
    chosen = {
        path: sorted(chance.sample(sorted(codes), min(options.each or len(codes), len(codes))))
        for path, codes in metas(folder).items()
        if options.only in path
    }
    if not chosen:
        sys.exit("there are no mutants: pip install mutmut, then see that its tests pass")
    return chosen


def counted(folder: Path, path: str, names: list[str]) -> dict[str, Any]:
    """How many were killed (1), ran over their time (-24, 36), or survived (0); untested ones (33) survive."""
    codes = Counter(metas(folder)[path][name] for name in names)
    late = codes[-24] + codes[36]
    killed = codes[1] + codes[3] + late
    return {"mutants": len(names), "killed": killed, "of them late": late, "share": round(killed / len(names), 3)}


if __name__ == "__main__":
    main()
