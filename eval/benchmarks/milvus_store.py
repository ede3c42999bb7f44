"""Milvus beside FAISS over the same vectors in one run: the same ten neighbours, and the milliseconds that a server costs.

    python eval/benchmarks/milvus_store.py [--count 100000] [--uri http://127.0.0.1:19530]

Without ``--uri`` a server is started from the package ``milvus`` (2.3.5: ``pip install milvus``) with its data in a temporary folder; ``--uri FILE.db`` is
Milvus Lite. Exact kinds (FAISS ``Flat``, Milvus ``FLAT``) must agree in every id; then an approximate one of each (``IVF1024,SQ8`` with re-ranking, ``HNSW``),
with recall against the exact. Single queries, one client; then four at once. Vectors as in faiss_scale.py. Writes ``eval/results/milvus.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from faiss_scale import DIM, drawn, spread

from medrag._util.files import write_json
from medrag._util.places import share
from medrag.indexes.faiss import FaissIndex
from medrag.indexes.milvus import MilvusIndex

CORPORA = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--uri", default="")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "milvus.json")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    centres = rng.normal(size=(64, DIM))
    centres = np.repeat(centres, 64, 0) + 0.7 * rng.normal(size=(4096, DIM))
    rows, queries = drawn(rng, centres, options.count), drawn(rng, centres, options.queries)
    ids = [f"c{n % CORPORA}:{n}" for n in range(options.count)]
    found: dict[str, Any] = {"count": options.count, "dim": DIM, "queries": options.queries, "seed": options.seed}
    with server(options.uri) as uri:
        made = {
            "faiss Flat": FaissIndex("Flat"),
            "milvus FLAT": MilvusIndex(uri),
            "faiss IVF1024,SQ8": FaissIndex("IVF1024,SQ8", rerank=4, nprobe=8),
            "milvus HNSW": MilvusIndex(uri, index="HNSW", params={"M": 16, "efConstruction": 200}, search={"ef": 64}),
        }
        found["server"] = made["milvus FLAT"]._client.get_server_version()
        truth: list[list[str]] = []
        for name, index in made.items():
            began = time.perf_counter()
            index.add(ids, rows)
            asked(index, queries[:5])
            built = round(time.perf_counter() - began, 1)
            answers, times = asked(index, queries)
            truth = truth or answers
            found[name] = {"build_s": built, **compared(answers, truth), **spread(times), **at_once(index, queries)}
        found["filters"] = filters(made["faiss Flat"], made["milvus FLAT"], ids, queries)
        found["deletions"] = deletions(made["faiss Flat"], made["milvus FLAT"], truth, queries)
        for name in ("milvus FLAT", "milvus HNSW"):
            made[name]._client.drop_collection(made[name].collection)
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


@contextlib.contextmanager
def server(uri: str) -> Iterator[str]:
    """The address of a server; one is started where none is named."""
    if uri:
        yield uri
        return
    from milvus import default_server

    with tempfile.TemporaryDirectory() as folder:
        default_server.set_base_dir(folder)
        default_server.start()
        try:
            yield f"http://127.0.0.1:{default_server.listen_port}"
        finally:
            default_server.stop()


def asked(index: Any, queries: np.ndarray) -> tuple[list[list[str]], list[float]]:
    """The ten best of each query, and milliseconds."""
    answers, times = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(index.search(query[None], 10)[1][0])
        times.append(1000 * (time.perf_counter() - start))
    return answers, times


def at_once(index: Any, queries: np.ndarray) -> dict[str, float]:
    """Queries a second of four clients."""
    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda query: index.search(query[None], 10), queries))
    return {"four_clients_qps": round(len(queries) / (time.perf_counter() - start), 1)}


def compared(answers: list[list[str]], truth: list[list[str]]) -> dict[str, float]:
    recall = np.mean([len(set(a) & set(t)) / 10 for a, t in zip(answers, truth, strict=True)])
    equal = np.mean([a == t for a, t in zip(answers, truth, strict=True)])
    return {"recall@10": round(float(recall), 4), "same_ids_in_order": round(float(equal), 4)}


def filters(flat: FaissIndex, far: MilvusIndex, ids: list[str], queries: np.ndarray) -> dict[str, float]:
    """One corpus of four: by its partition in Milvus, by an id filter in FAISS."""
    one = {item for item in ids if item.startswith("c1:")}
    pairs = []
    for query in queries[:50]:
        start = time.perf_counter()
        near = flat.search(query[None], 10, allowed=one)[1][0]
        middle = time.perf_counter()
        away = far.search(query[None], 10, corpora=["c1"])[1][0]
        pairs.append((near == away, middle - start, time.perf_counter() - middle))
    same, here, there = np.mean([p[0] for p in pairs]), *(1000 * np.median([p[n] for p in pairs]) for n in (1, 2))
    return {"same_ids": float(same), "faiss_ms_p50": round(float(here), 2), "milvus_ms_p50": round(float(there), 2)}


def deletions(flat: FaissIndex, far: MilvusIndex, truth: list[list[str]], queries: np.ndarray) -> dict[str, float]:
    """The nearest of every query is deleted from both; how long that takes until nobody finds it, and what is found then."""
    gone = sorted({row[0] for row in truth})
    flat.delete(gone)
    start = time.perf_counter()
    far.delete(gone)
    with tempfile.TemporaryDirectory() as folder:
        far.save(Path(folder))
        took = time.perf_counter() - start
        again = MilvusIndex.open(Path(folder))
        answers = asked(again, queries)[0]
    return {"deleted": len(gone), "seconds": round(took, 2), **compared(answers, asked(flat, queries)[0])}


if __name__ == "__main__":
    main()
