"""BM25: bm25s and rank-bm25 over the same passages in one run: time to index, time a query, largest score difference.

    python eval/benchmarks/bm25.py [--passages 100000] [--queries 20] [--alone]

Hardware: 2 CPU cores, about 3 GB of memory. Time: about 2 minutes, most of it rank-bm25's queries; ``--alone`` leaves rank-bm25 out, for a million passages.
Expect: scores equal to 1e-4, bm25s about a hundred times faster a query. Passages are made here: words drawn from Zipf's
law over 60,000 words, lengths as of report sections and textbook passages (40 to 140 words), one in five a repetition
of a normal text, as radiology reports have them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from medrag.indexes.bm25 import Bm25Index

SYLLABLES = [a + b for a, b in itertools.product("bcdfghlmnprstvz", "aeiouy")]


def passages(count: int, rng: np.random.Generator) -> list[str]:
    """Texts as the docstring says; the same for the same generator."""
    words = np.array(["".join(parts) for parts in itertools.islice(itertools.product(SYLLABLES, repeat=3), 60_000)])
    rng.shuffle(words)
    chance = 1 / np.arange(1, len(words) + 1)
    lengths = rng.integers(40, 141, count)
    drawn = words[rng.choice(len(words), lengths.sum(), p=chance / chance.sum())]
    texts = [" ".join(part) for part in np.split(drawn, np.cumsum(lengths)[:-1])]
    normal = texts[: max(1, count // 100)]
    return [normal[n % len(normal)] if n % 5 == 0 else text for n, text in enumerate(texts)]


def timed(index: Bm25Index, texts: list[str], queries: list[str]) -> tuple[float, float, list[dict[str, float]]]:
    """(seconds to index, milliseconds a query, scores by id of each query's best 100)."""
    start = time.perf_counter()
    index.add([f"p:{n}" for n in range(len(texts))], texts)
    index.search("", 1)
    indexed, start = time.perf_counter() - start, time.perf_counter()
    found = [index.search(query, 100) for query in queries]
    asked = (time.perf_counter() - start) / len(queries) * 1000
    return indexed, asked, [dict(zip(ids, scores.tolist(), strict=True)) for scores, ids in found]


def opened(index: Bm25Index, queries: list[str]) -> tuple[float, float]:
    """(seconds to open the saved index, milliseconds a query on the memory-mapped one)."""
    with TemporaryDirectory() as name:
        index.save(Path(name))
        start = time.perf_counter()
        again = Bm25Index.open(Path(name))
        seconds, start = time.perf_counter() - start, time.perf_counter()
        for query in queries:
            again.search(query, 100)
        return seconds, (time.perf_counter() - start) / len(queries) * 1000


def beside(texts: list[str], queries: list[str], fast: list[dict[str, float]]) -> dict[str, Any]:
    """The figures of rank-bm25, and how far the scores ``fast`` are from its own."""
    seconds, query, slow = timed(Bm25Index("rank-bm25"), texts, queries)
    shared = [(a[key], b[key]) for a, b in zip(fast, slow, strict=True) for key in a.keys() & b.keys()]
    return {
        "rank-bm25": {"index_s": round(seconds, 1), "query_ms": round(query, 1)},
        "largest_score_difference": float(max(abs(a - b) for a, b in shared)),
        "same_ids": sum(a.keys() == b.keys() for a, b in zip(fast, slow, strict=True)) / len(queries),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--alone", action="store_true", help="without rank-bm25")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    texts = passages(given.passages, rng)
    queries = [" ".join(rng.choice(texts[n].split(), 12)) for n in rng.integers(0, len(texts), given.queries)]
    fast = Bm25Index("bm25s")
    fast_index, fast_query, fast_scores = timed(fast, texts, queries)
    open_seconds, mapped_query = opened(fast, queries)
    result: dict[str, Any] = {
        "passages": given.passages,
        "bm25s": {
            "index_s": round(fast_index, 1),
            "query_ms": round(fast_query, 2),
            "open_s": round(open_seconds, 3),
            "mapped_query_ms": round(mapped_query, 2),
        },
    }
    if not given.alone:
        result |= beside(texts, queries, fast_scores)
    result["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
