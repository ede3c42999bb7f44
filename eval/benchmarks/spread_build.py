"""One recipe built by one process, by several, and over a Ray cluster of three nodes on this machine: the same index, and what it costs.

    python eval/benchmarks/spread_build.py [--count 100000] [--model minilm]

Needs ``pip install "medrag[ray]"``. During the two shared builds a worker is killed (SIGKILL), during Ray's a whole node too. The content hash must be equal, and the ten
nearest of 200 questions those of exhaustive search by numpy. Without ``--model`` a cheap encoder stands in (letters of the text through a random
matrix), so that the work around the encoding is what is seen. Writes ``eval/results/spread_build.json``, or ``spread_build_MODEL.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bm25 import passages

from medrag._util.files import write_json
from medrag._util.places import share
from medrag.build import build
from medrag.encoders.spread import Spread
from medrag.indexes.flat import FlatIndex
from medrag.indexes.store import open_store
from medrag.settings import Recipe
from medrag.types import Item, Passage, Query

HERE = "spread_build"


class Made:
    """Texts as in bm25.py."""

    def __init__(self, name: str, path: Path, count: int = 0) -> None:
        self.name, self.count = name, count

    def signature(self) -> str:
        return str(self.count)

    def read(self, report: Any) -> Iterator[Item]:
        for n, text in enumerate(passages(self.count, np.random.default_rng(0))):
            yield Passage(f"{self.name}:{n}", f"{self.name}:{n}", text)


class Cheap:
    """Counts of characters by place modulo 8, through a random matrix: 384 dimensions."""

    modality, dim, fingerprint = "text", 384, "cheap/1"

    def __init__(self, model: str, *, batch: int, device: str) -> None:
        self.name = model
        self._matrix = np.random.default_rng(1).normal(size=(8 * 128, 384)).astype(np.float32)

    def content(self, item: Item) -> str:
        return item.text

    def encode_items(self, items: Sequence[Item]) -> np.ndarray:
        Path(os.environ["MEDRAG_HOME"], "pids", str(os.getpid())).touch()
        return self._vectors([item.text for item in items])

    def encode_queries(self, queries: Sequence[Query]) -> np.ndarray:
        return self._vectors([query.text for query in queries])

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), 8 * 128), np.float32)
        for row, text in zip(rows, texts, strict=True):
            codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64)
            np.add.at(row, (np.arange(len(codes)) % 8) * 128 + codes, 1)
        found = (rows - rows.mean(1, keepdims=True)) @ self._matrix
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--model", default="", help="a text encoder of medrag (default: the cheap one)")
    options = parser.parse_args()
    how = {"model": options.model} if options.model else {"model": "cheap", "kind": f"{HERE}:Cheap"}
    recipe = Recipe.model_validate(
        {
            "name": "spread",
            "corpora": [{"name": "made", "reader": f"{HERE}:Made", "path": ".", "options": {"count": options.count}}],
            "encoders": {"text": how},
            "indexes": {"text": {"kind": "faiss", "encoder": "text", "options": {"factory": "Flat"}}},
        }
    )
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    sys.modules[HERE] = sys.modules["__main__"]
    found: dict[str, Any] = {"count": options.count, "encoder": how["model"], "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one process", "two processes", "ray, three nodes"):
            found[name] = built(recipe, Path(folder), name, kill=not options.model)
            print(name, found[name], flush=True)
        found["same content hash"] = len({found[name]["content_hash"] for name in found if "process" in name or "ray" in name}) == 1  # fmt: skip
        found["same ten nearest as exhaustive search"] = compared(Path(folder) / "one process", options.count)
    target = "spread_build" + (f"_{options.model}" if options.model else "")
    write_json(share() / "eval" / "results" / f"{target}.json", found)
    print(json.dumps(found, indent=1))


def built(recipe: Recipe, folder: Path, name: str, kill: bool) -> dict[str, Any]:
    """One build with a home of its own, so that no vector is known before."""
    home = folder / name
    (home / "pids").mkdir(parents=True)
    os.environ["MEDRAG_HOME"] = str(home)
    if name == "one process":
        return told(build(recipe, home / "built"), 0)
    with Murder(home / "pids", kill) as murder:
        if name == "two processes":
            report = build(recipe, home / "built", spread=Spread(workers=2))
        else:
            from ray.cluster_utils import Cluster

            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
            nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
            murder.then = (lambda: cluster.remove_node(nodes[0], allow_graceful=False)) if kill else None
            report = build(recipe, home / "built", spread=Spread(ray=cluster.address))
            cluster.shutdown()
    return {**told(report, murder.killed), "nodes_lost": murder.nodes}


def told(report: Any, killed: int) -> dict[str, Any]:
    return {"seconds": dict(report.seconds), "content_hash": report.content_hash, "killed": killed}


class Murder:
    """Kills the second worker that says its name, and then does ``then``."""

    def __init__(self, pids: Path, wanted: bool) -> None:
        self.pids, self.killed, self.nodes, self.then = pids, 0, 0, None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch) if wanted else None

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            others = [int(path.name) for path in self.pids.iterdir() if int(path.name) != os.getpid()]
            if len(others) >= 2:
                os.kill(others[-1], signal.SIGKILL)
                self.killed += 1
                if self.then:
                    self.then()
                    self.nodes += 1
                return

    def __enter__(self) -> Murder:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()


def compared(home: Path, count: int) -> dict[str, float]:
    """Of each build, the share of 200 questions whose ten nearest are those of numpy."""
    truth, found = None, {}
    asked = Cheap("", batch=1, device="").encode_queries([Query(t) for t in passages(200, np.random.default_rng(7))])
    for place in sorted(home.parent.iterdir()):
        index = open_store(place / "built").index("text")
        if truth is None:
            flat = FlatIndex()
            for ids, vectors in index.rows():
                flat.add(ids, vectors)
            truth = flat.search(asked, 10)[1]
        found[place.name] = float(np.mean([a == b for a, b in zip(index.search(asked, 10)[1], truth, strict=True)]))
        assert len(index) == count
    return found


if __name__ == "__main__":
    main()
