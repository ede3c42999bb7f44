"""How long it takes to count how often look-alike studies report what a question asks, on validation films.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/frequency.py [--questions 60]

Needs the built index ``iu``. Each question is about another film and its route and look-alikes are found before, as they are when a question is answered.
Milliseconds of one thread; ``first``: the first time that a finding is asked about, when the studies that tell what is usual are read too.
Writes ``eval/results/frequency.json``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from medrag import MedRAG
from medrag._util.files import write_json
from medrag._util.places import share
from medrag.eval import runner
from medrag.retrieve.frequency import Frequencies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=60, help="films that are asked about")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "frequency.json")
    options = parser.parse_args()
    planned = runner.plan("iu_xray_balanced", Path(os.environ["MEDRAG_DATA"]), limit=options.questions)
    rag, films = MedRAG.open("iu", model="extractive"), {one.group: one for one in planned.examples}
    assert rag.store is not None  # opened from a recipe
    settings = rag.settings
    counts = Frequencies(rag.retrievers["similar"], rag.store.items, settings.alike, settings.select.same_image)
    taken: dict[str, list[float]] = {"first": [], "again": []}
    seen: set[str] = set()
    for one in films.values():
        query = rag.selected([str(path) for path in one.images], "Is the film rotated?", tuple(one.exclude))[0].query
        query = dataclasses.replace(query, text=one.question)
        began = time.perf_counter()
        counts.of(query)
        taken["again" if one.question in seen else "first"].append(1000 * (time.perf_counter() - began))
        seen.add(one.question)
    found: dict[str, Any] = {"alike": settings.alike, "films": len(films), "load": round(os.getloadavg()[0], 1)}
    found |= {name: {f"p{at}": round(float(np.percentile(ms, at)), 1) for at in (50, 95)} for name, ms in taken.items()}
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
