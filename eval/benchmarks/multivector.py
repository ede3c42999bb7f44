"""Late interaction over synthetic pages: warm latency, recall@10 of exhaustive MaxSim, and size on disk, as JSON.

    python eval/benchmarks/multivector.py [--pages 100000] [--vectors 64] [--dim 128] [--queries 50] [--words 16]
        [--tokens float16|int8] [--candidates 512] [--nprobe 32] [--threads 2] [--torch]

The pages are invented but have structure: a page is about three of 2,000 topics, a topic is a cloud of 16 directions, a
vector is a direction of one of the page's topics, or of any topic (one in five), plus noise. A query is about one page:
noisy copies of some of its vectors, a quarter of them replaced by a random topic's. The exhaustive reference multiplies
every vector with the same query, in float32 over the float16 vectors before they are coded. ``--torch`` measures the path that scores every page
exactly on torch's device (a GPU where there is one). The vectors are held in memory until they are saved: at the default
1.6 GB, and as much on disk. At 5,000 pages, one core: 17 seconds of CPU, most of them for the centroids.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from medrag.indexes.multivector import MultiVectorIndex, TorchTokens, maxsim

K = 10
BATCH = 1000  # pages made at a time


class World:
    """Pages and queries by number, the same every time."""

    def __init__(self, pages: int, vectors: int, dim: int, topics: int = 2000, seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        middles = _unit(chance.standard_normal((topics, 1, dim)))
        self.directions = _unit(middles + 0.8 * _unit(chance.standard_normal((topics, 16, dim)))).astype(np.float32)
        self.about = chance.integers(topics, size=(pages, 3))
        self.vectors, self.dim, self.topics = vectors, dim, topics

    def page(self, number: int) -> np.ndarray:
        """(vectors, dim) float32, rows of unit length."""
        chance = np.random.default_rng((1, number))
        topics = chance.choice(self.about[number], self.vectors)
        stray = chance.random(self.vectors) < 0.2
        topics[stray] = chance.integers(self.topics, size=int(stray.sum()))
        clean = self.directions[topics, chance.integers(16, size=self.vectors)]
        return _unit(clean + 0.6 * _unit(chance.standard_normal(clean.shape))).astype(np.float32)

    def query(self, number: int, words: int) -> np.ndarray:
        """(words, dim): about one page."""
        chance = np.random.default_rng((2, number))
        rows = self.page(int(chance.integers(len(self.about))))[chance.integers(self.vectors, size=words)]
        stray = chance.random(words) < 0.25
        rows[stray] = self.directions[chance.integers(self.topics, size=int(stray.sum())), 0]
        return _unit(rows + 0.6 * _unit(chance.standard_normal(rows.shape))).astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return found


def main() -> None:
    asked = _arguments()
    world = World(asked.pages, asked.vectors, asked.dim)
    queries = [world.query(n, asked.words) for n in range(asked.queries)]
    index = MultiVectorIndex(candidates=asked.candidates, nprobe=asked.nprobe, tokens=asked.tokens, gpu="never")
    exact = np.zeros((asked.queries, asked.pages), np.float32)
    lengths = np.full(BATCH, asked.vectors)
    for start in range(0, asked.pages, BATCH):
        numbers = range(start, min(start + BATCH, asked.pages))
        pages = [world.page(n) for n in numbers]
        index.add([f"p{n}" for n in numbers], pages)
        rows = np.concatenate(pages).astype(np.float16).astype(np.float32)
        for n, query in enumerate(queries):
            exact[n, start : start + len(pages)] = maxsim(query, rows, lengths[: len(pages)])
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        index.save(Path(scratch))
        built = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(scratch).iterdir())
        began = time.perf_counter()
        index = MultiVectorIndex.open(Path(scratch), gpu="never")
        opened = time.perf_counter() - began
        device = TorchTokens(index._tokens, _device()) if asked.torch else None
        if device:
            index._on_gpu, index.gpu = device, "auto"
        index.search(queries, K)  # warm
        times, recalls = [], []
        for query, truth in zip(queries, exact, strict=True):
            began = time.perf_counter()
            ids = index.search([query], K)[1][0]
            times.append((time.perf_counter() - began) * 1e3)
            best = np.argpartition(truth, -K)[-K:]
            recalls.append(len({f"p{n}" for n in best} & set(ids)) / K)
    chance = np.random.default_rng(0)
    means = [np.mean(chance.choice(recalls, len(recalls))) for _ in range(1000)]
    result = {**vars(asked), "disk_gb": round(size / 1e9, 3), "centroids_and_save_s": round(built, 1)}
    result |= {"open_s": round(opened, 2), "device": _device() if asked.torch else "cpu, two stages"}
    result |= {f"ms_p{q}": round(float(np.percentile(times, q)), 1) for q in (50, 95)}
    result |= {
        "recall@10": round(float(np.mean(recalls)), 4),
        "recall@10_95%": [round(float(np.percentile(means, q)), 4) for q in (2.5, 97.5)],
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    json.dump(result, sys.stdout, indent=1)
    print()


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("pages", 100_000), ("vectors", 64), ("dim", 128), ("queries", 50), ("words", 16)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--candidates", type=int, default=512)
    parser.add_argument("--nprobe", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", choices=("float16", "int8"), default="float16")
    parser.add_argument("--torch", action="store_true")
    asked = parser.parse_args()
    import faiss

    faiss.omp_set_num_threads(asked.threads)
    return asked


if __name__ == "__main__":
    main()
