"""How hard an approximate index must search for a wanted recall: measured on its own vectors, against exhaustive search.

Knows `medrag.indexes.faiss.FaissIndex` and nothing of corpora. Recall is that of the k nearest by exact inner product.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medrag.errors import SettingsError

if TYPE_CHECKING:
    from medrag.indexes.faiss import FaissIndex
    from medrag.protocols import Vectors

BLOCK = 65_536  # rows scored at a time
GAIN, MOST_AGAIN = 0.005, 400  # see `tune`
TIE = 1e-5  # a vector as near as the k-th is as good as it


def tune(
    index: FaissIndex, recall: float = 0.98, k: int = 10, queries: Vectors | None = None, sample: int = 200
) -> dict[str, Any]:
    """Sets the least effort (``nprobe`` of IVF, ``ef`` of HNSW) that reaches the recall, and says what was measured. Where more effort gains
    nothing, twice as many candidates are scored again (``rerank``, up to 400 times as many as are wanted).

    ``queries`` (n, d) are real questions' vectors; without them ``sample`` vectors of the index, evenly spaced, ask for their neighbours.
    Raises SettingsError for an index that always searches everything or keeps codes alone, and for a recall that no effort reaches.
    """
    knob, most = index.effort()
    if not knob:
        raise SettingsError(
            f"{index.factory!r} searches everything: there is nothing to tune", "tune an IVF or HNSW index"
        )
    if not index.keeps_vectors():
        raise SettingsError(
            f"{index.factory!r} keeps no vectors to measure recall by", "build it with options: {rerank: 4}"
        )
    own, alive = queries is None, np.asarray(index.positions())
    asked = (
        index.vectors_at(alive[np.linspace(0, len(alive) - 1, min(sample, len(alive))).astype(int)])
        if own
        else np.asarray(queries, np.float32)
    )
    more = min(k + int(own), len(index))  # a vector of the index finds itself first
    worst = nearest(index, asked, more)[0][:, -1]
    tried: list[dict[str, float]] = []

    def measured(effort: int) -> float:
        setattr(index, knob, effort)
        began = time.perf_counter()
        found = [index.search(asked[n : n + 1], more)[1][0] for n in range(len(asked))]
        took = 1000 * (time.perf_counter() - began) / len(asked)
        true = [index.vectors_at(index.positions_of(ids)) @ asked[n] for n, ids in enumerate(found)]
        hit = float(np.mean([(scores >= worst[n] - TIE).sum() / more for n, scores in enumerate(true)]))
        tried.append({knob: effort, "rerank": index.rerank, "recall": round(hit, 4), "ms": round(took, 3)})
        return hit

    low, high, before = 0, 1, 0.0
    while (reached := measured(high)) < recall:
        gained, before = reached - before, reached
        if ((low and gained < GAIN) or high >= most) and 0 < index.rerank < MOST_AGAIN:
            index.rerank, before = min(2 * index.rerank, MOST_AGAIN), 0.0
            continue
        if high >= most:
            raise SettingsError(
                f"recall {recall:g} is not reached: {tried[-1]['recall']:g} with everything searched",
                "build it with a larger rerank, or a finer factory",
            )
        low, high = high, min(2 * high, most)
    while high - low > max(1, high // 8):
        middle = (low + high) // 2
        low, high = (low, middle) if measured(middle) >= recall else (middle, high)
    final = next(row for row in reversed(tried) if row[knob] == high and row["rerank"] == index.rerank)
    setattr(index, knob, high)
    return {
        "factory": index.factory,
        knob: high,
        "rerank": index.rerank,
        "recall": final["recall"],
        "k": k,
        "queries": len(asked),
        "ms": final["ms"],
        "tried": tried,
    }


def nearest(index: FaissIndex, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], list[list[str]]]:
    """Scores (n, k) and ids of the k exactly nearest, by exhaustive search in blocks; deleted ones left out."""
    alive = np.array(index.positions())
    best = np.full((len(queries), 0), -np.inf, np.float32)
    at = np.zeros((len(queries), 0), np.int64)
    for start in range(0, len(alive), BLOCK):
        rows = alive[start : start + BLOCK]
        best = np.concatenate([best, queries @ index.vectors_at(rows).T], axis=1)
        at = np.concatenate([at, np.broadcast_to(rows, (len(queries), len(rows)))], axis=1)
        if k < best.shape[1]:
            near = np.argpartition(-best, k - 1, axis=1)[:, :k]
            best, at = np.take_along_axis(best, near, 1), np.take_along_axis(at, near, 1)
        order = np.lexsort((at, -best), axis=1)
        best, at = np.take_along_axis(best, order, 1), np.take_along_axis(at, order, 1)
    return best, [[index.id_at(int(n)) for n in row] for row in at]
