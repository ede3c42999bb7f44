"""Approximate search at a million vectors: recall and time beside exhaustive search, size, memory, and how fast it opens.

    python eval/benchmarks/faiss_scale.py --count 1000000

Vectors of 384 dimensions around centres that themselves lie in clusters (the seed decides), as sentence embeddings do; queries are drawn the same way and are
not in the index. The peers in the same run, over the same vectors and queries, one at a time: exhaustive search by FAISS in single precision, a torch
matmul with top-k (the way of MMed-RAG's scripts), and txtai's FAISS index as it comes, where txtai is installed. ``--recall`` is what `medrag.indexes.tune` must reach on half of the queries; what is told is of the
other half. ``--shards 2`` asks the same index in several, too, each query of both in turn. Each part is a process of its own, so that memory is its own. Writes ``eval/results/faiss_<count>.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util.files import write_json
from medrag._util.places import share

DIM, BLOCK = 384, 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--factory", default="auto")
    parser.add_argument("--recall", type=float, default=0.985)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work", type=Path, help="a folder with room for 4 times the vectors (default: a temporary one)"
    )
    parser.add_argument("--alone", action="store_true", help="without the peers, which need all vectors in memory")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        options.work = Path(folder)
        found = {"count": options.count, "dim": DIM, "seed": options.seed, "threads": os.cpu_count()}
        peers = () if options.alone else ("exhaustive", "torch", "txtai")
        for part in ("make", "build", "search", *(("shards",) if options.shards > 1 else ()), *peers):
            found[part] = apart(part, options)
        if not options.alone:
            found["times_faster_than_exhaustive"] = round(found["exhaustive"]["ms_p50"] / found["search"]["ms_p50"], 1)
    out = options.out or share() / "eval" / "results" / f"faiss_{options.count}.json"
    write_json(out, found)
    print(json.dumps(found, indent=1))


def apart(part: str, options: Any) -> dict[str, Any]:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--part", part]
    for name in ("count", "queries", "factory", "recall", "seed", "work", "shards"):
        command += [f"--{name}", str(getattr(options, name))]
    return watched(command, {**os.environ, "MEDRAG_HOME": str(options.work / "home")})


def watched(command: list[str], env: dict[str, str], every: float = 1.0) -> dict[str, Any]:
    """The last line that a command says, and ``private_peak_mb``: the most memory seen that could not be given back to the disk, looked at ``every`` so many seconds."""
    most = 0.0
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=said, text=True, env=env) as running:
        while running.poll() is None:
            most = max(most, status("RssAnon", running.pid))
            time.sleep(every)
        if running.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {running.returncode}")
        said.seek(0)
        return {**json.loads(said.read().splitlines()[-1]), "private_peak_mb": round(most)}


def make(options: Any) -> dict[str, Any]:
    """Vectors and queries on disk, and the true neighbours of the queries."""
    rng = np.random.default_rng(options.seed)
    centres = rng.normal(size=(64, DIM))
    centres = np.repeat(centres, 64, 0) + 0.7 * rng.normal(size=(4096, DIM))
    rows = np.lib.format.open_memmap(options.work / "rows.npy", "w+", np.float32, (options.count, DIM))
    for start in range(0, options.count, BLOCK):
        rows[start : start + BLOCK] = drawn(rng, centres, min(BLOCK, options.count - start))
    queries = drawn(rng, centres, options.queries)
    np.save(options.work / "queries.npy", queries)
    best, at = np.full((len(queries), 0), -np.inf, np.float32), np.zeros((len(queries), 0), np.int64)
    for start in range(0, options.count, BLOCK):
        best = np.concatenate([best, queries @ rows[start : start + BLOCK].T], 1)
        at = np.concatenate([at, np.broadcast_to(np.arange(start, min(start + BLOCK, options.count)), (len(queries), min(BLOCK, options.count - start)))], 1)  # fmt: skip
        order = np.argpartition(-best, 9, 1)[:, :10]
        best, at = np.take_along_axis(best, order, 1), np.take_along_axis(at, order, 1)
    np.save(options.work / "truth.npy", at)
    return {"clusters": len(centres)}


def drawn(rng: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
    found = (centres[rng.integers(0, len(centres), count)] + 0.8 * rng.standard_normal((count, DIM))).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def build(options: Any) -> dict[str, Any]:
    """The index from the mapped vectors, tuned on half of the queries, saved."""
    from medrag.indexes.faiss import FaissIndex
    from medrag.indexes.tune import tune

    rows = np.load(options.work / "rows.npy", mmap_mode="r")
    index, began = FaissIndex(options.factory), time.perf_counter()
    index.add([f"c:{n}" for n in range(len(rows))], rows)
    index.save(options.work / "index")
    seconds = time.perf_counter() - began
    half = np.load(options.work / "queries.npy")[: options.queries // 2]
    told = tune(index, options.recall, queries=half) if index.effort()[0] else {}
    index.save_settings(options.work / "index")
    size = sum(path.stat().st_size for path in (options.work / "index").iterdir())
    return {
        "seconds": round(seconds, 1),
        "minutes": round(seconds / 60, 1),
        "bytes": size,
        "factory": index.factory,
        "rerank": index.rerank,
        "tuned": told,
        **peak(),
    }


def search(options: Any) -> dict[str, Any]:
    """Opened from disk; the other half of the queries, one at a time."""
    from medrag.indexes.faiss import FaissIndex

    before, began = resident(), time.perf_counter()
    index = FaissIndex.open(options.work / "index")
    opened = time.perf_counter() - began
    told = judged(
        options, lambda query: index.search(query[None], 10), lambda found: {int(one[2:]) for one in found[1][0]}
    )
    return {
        **told,
        "open_s": round(opened, 3),
        "resident_mb": round(resident() - before),
        "private_mb": round(anonymous()),
    }


def judged(options: Any, ask: Any, rows_of: Any) -> dict[str, Any]:
    """The queries that nothing was tuned with, one at a time: the share of the ten nearest rows that is found, and the time."""
    half = slice(options.queries // 2, None)
    queries, truth = np.load(options.work / "queries.npy")[half], np.load(options.work / "truth.npy")[half]
    for query in queries:
        ask(query)  # warm: the pages that are needed are in memory
    times, hits = [], []
    for query, want in zip(queries, truth, strict=True):
        start = time.perf_counter()
        found = ask(query)
        times.append(1000 * (time.perf_counter() - start))
        hits.append(len(rows_of(found) & set(want.tolist())) / 10)
    draws = np.random.default_rng(0).integers(0, len(hits), (2000, len(hits)))
    low, high = np.percentile(np.array(hits)[draws].mean(1), [2.5, 97.5])
    return {"recall@10": [round(float(v), 4) for v in (np.mean(hits), low, high)], **spread(times)}


def shards(options: Any) -> dict[str, Any]:
    """The saved index and one of several shards, opened from disk, asked in turns."""
    from medrag.indexes.faiss import FaissIndex

    whole = FaissIndex.open(options.work / "index")
    parted = FaissIndex(whole.factory, nprobe=whole.nprobe, ef=whole.ef, rerank=whole.rerank, shards=options.shards)
    rows = np.load(options.work / "rows.npy", mmap_mode="r")
    parted.add([f"c:{n}" for n in range(len(rows))], rows)
    parted.save(options.work / "shards")
    indexes = {"whole": whole, "parted": FaissIndex.open(options.work / "shards")}
    times: dict[str, list[float]] = {name: [] for name in indexes}
    same = 0
    for query in np.concatenate([np.load(options.work / "queries.npy")] * 2):  # the first round warms
        answers = []
        for name, index in indexes.items():
            start = time.perf_counter()
            answers.append(index.search(query[None], 10)[1])
            times[name].append(1000 * (time.perf_counter() - start))
        same += answers[0] == answers[1]
    told = {name: spread(some[options.queries :]) for name, some in times.items()}
    ratio = round(told["whole"]["ms_p50"] / told["parted"]["ms_p50"], 2)
    return {"shards": options.shards, **told, "times_faster": ratio, "same_ids": same / (2 * options.queries)}


def exhaustive(options: Any) -> dict[str, Any]:
    import faiss

    index = faiss.IndexFlatIP(DIM)
    rows = np.load(options.work / "rows.npy", mmap_mode="r")
    for start in range(0, len(rows), BLOCK):
        index.add(np.ascontiguousarray(rows[start : start + BLOCK]))
    return timed(options, lambda query: index.search(query[None], 10))


def with_torch(options: Any) -> dict[str, Any]:
    import torch

    rows = torch.from_numpy(np.load(options.work / "rows.npy"))
    return timed(options, lambda query: (rows @ torch.from_numpy(query)).topk(10))


def with_txtai(options: Any) -> dict[str, Any]:
    """txtai's FAISS index as it comes: lists by its own rule, in memory."""
    try:
        from txtai.ann import ANNFactory
    except ModuleNotFoundError as error:
        return {"left out": f"no module {error.name}: pip install txtai"}
    index, began = ANNFactory.create({"backend": "faiss", "dimensions": DIM}), time.perf_counter()
    index.index(np.load(options.work / "rows.npy"))
    seconds = round(time.perf_counter() - began, 1)
    told = judged(options, lambda query: index.search(query[None], 10), lambda found: {row for row, _ in found[0]})
    return {"seconds": seconds, "factory": index.config["build"]["settings"]["components"], **told}


def timed(options: Any, call: Any) -> dict[str, Any]:
    times = []
    for query in np.load(options.work / "queries.npy")[: min(30, options.queries)]:
        start = time.perf_counter()
        call(query)
        times.append(1000 * (time.perf_counter() - start))
    return spread(times[2:])


def spread(times: list[float]) -> dict[str, float]:
    return {f"ms_p{at}": round(float(np.percentile(times, at)), 3) for at in (50, 95)}


def status(name: str, process: int | str = "self") -> float:
    """A line of a process' status in megabytes (Linux); 0 where there is none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{name}:")), 0.0)


def resident() -> float:
    return status("VmRSS")


def anonymous() -> float:
    """What cannot be given back to the disk."""
    return status("RssAnon")


def peak() -> dict[str, float]:
    return {"peak_mb": round(status("VmHWM"))}


PARTS = {
    "make": make,
    "build": build,
    "search": search,
    "shards": shards,
    "exhaustive": exhaustive,
    "torch": with_torch,
    "txtai": with_txtai,
}


if __name__ == "__main__":
    main()
