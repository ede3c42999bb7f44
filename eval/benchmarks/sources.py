"""The sources of a question asked at a time, in threads, beside one after the other; over the sample index and where each source waits for a server.

    python eval/benchmarks/sources.py [--rounds 40] [--wait 30]

Four questions to the index ``sample`` (``medrag index build sample``), three in words and one about a film of the sample, by `MedRAG.retrieve`; the ways take turns. In "waits" each source sleeps ``--wait`` milliseconds before it
answers, as one that lies on another machine does. Milliseconds a question. Writes ``eval/results/sources.json``. A minute.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medrag import MedRAG, _around, pipeline
from medrag._util.fetch import package_file
from medrag._util.files import write_json
from medrag._util.places import share

ASKED = [
    (None, "what is pneumonia"),
    (None, "drusen of the macula"),
    (None, "Kerley lines and septa"),
    (package_file("pydicom-data/data_store/data/RG1_UNCR.dcm"), "Is there an effusion?"),
]


def one_by_one(ask: Callable[[str], Any], names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        yield name, ask(name)


class Waiting:
    """A source that is far away."""

    def __init__(self, retriever: Any, seconds: float) -> None:
        self.retriever, self.seconds = retriever, seconds

    def retrieve(self, *given: Any, **named: Any) -> Any:
        time.sleep(self.seconds)
        return self.retriever.retrieve(*given, **named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--wait", type=float, default=30, help="milliseconds")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "sources.json")
    options = parser.parse_args()
    near = MedRAG.open("sample", model="extractive")
    far = MedRAG.open("sample", model="extractive")
    far.retrievers = {name: Waiting(one, options.wait / 1000) for name, one in far.retrievers.items()}
    found = {"cpus": os.cpu_count(), "sources": len(near.retrievers), "wait_ms": options.wait}
    found |= {"here": timed(near, options.rounds), "waits": timed(far, options.rounds)}
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def timed(rag: MedRAG, rounds: int) -> dict[str, Any]:
    """p50 and p90 of each way, by whether the question is about a picture."""
    ways = {"threads": _around.as_they_come, "one by one": one_by_one}
    took = defaultdict[str, list[float]](list)
    for n in range(rounds + 1):
        for way, source in ways.items():
            pipeline.as_they_come = source  # type: ignore[assignment]
            for image, question in ASKED:
                for memo in rag.encoders.values():
                    memo.forget()
                began = time.perf_counter()
                rag.retrieve(question, image, k=10)
                if n:  # the first opens what is used
                    took[f"{'film' if image else 'words'}, {way}"].append(1000 * (time.perf_counter() - began))
    return {name: {f"p{q}": round(float(np.percentile(some, q)), 1) for q in (50, 90)} for name, some in took.items()}


if __name__ == "__main__":
    main()
