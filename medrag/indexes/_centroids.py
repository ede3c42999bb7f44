"""The first stage of late interaction: every vector is its nearest centroid; which items lie at which centroid.

Santhanam et al., *PLAID* (CIKM 2022), with the scores that a query vector did not look up set to the lowest that it did:
Lee et al., *XTR* (NeurIPS 2023); Scheerer et al., *WARP* (SIGIR 2025). Knows positions and vectors only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medrag.indexes._ragged import Ragged, save_array

if TYPE_CHECKING:
    from medrag.protocols import Vectors

LIMIT = 1 << 16  # centroids; a code has two bytes
SAMPLE = 48  # vectors a centroid is trained on
ROUNDS = 10  # of k-means


class Centroids:
    """``centroids`` (c, d) and ``codes`` (t,): the centroid of each vector, in the order of the vectors."""

    def __init__(self, centroids: Vectors, codes: NDArray[np.uint16], lengths: NDArray[np.int64]) -> None:
        self.centroids, self.codes = centroids, codes
        self._list(lengths)

    @classmethod
    def train(cls, tokens: Ragged) -> Centroids:
        """4 √t centroids by k-means over evenly spaced vectors, the same every time."""
        import faiss

        count = min(LIMIT, 1 << max(0, round(np.log2(4 * np.sqrt(tokens.total)))), tokens.total)
        step = max(1, tokens.total // (SAMPLE * count))
        sample = np.concatenate([rows[::step] for rows in tokens.chunks()])
        kmeans, near = faiss.Clustering(sample.shape[1], count), faiss.IndexFlatL2(sample.shape[1])
        kmeans.niter, kmeans.seed = ROUNDS, 1
        kmeans.min_points_per_centroid, kmeans.max_points_per_centroid = 1, 4 * SAMPLE
        kmeans.train(sample, near)
        # not kmeans.centroids: a C++ vector, which PyMuPDF, made by the same generator, takes for its own where it was imported later
        centroids = np.ascontiguousarray(near.reconstruct_n(0, count))
        return cls(centroids, _nearest(centroids, tokens, 0), tokens.lengths)

    def grow(self, tokens: Ragged) -> None:
        """Takes in the vectors that were appended since."""
        self.codes = np.concatenate([self.codes, _nearest(self.centroids, tokens, len(self.codes))])
        self._list(tokens.lengths)

    def _list(self, lengths: NDArray[np.int64]) -> None:
        """The items at each centroid, every one once: ``_items[_bounds[c]:_bounds[c + 1]]``."""
        self._count = len(lengths)
        pairs = self.codes.astype(np.int64) * self._count + np.repeat(np.arange(self._count), lengths)
        pairs = np.unique(pairs)
        self._items = (pairs % self._count).astype(np.int32)
        self._bounds = np.searchsorted(pairs // self._count, np.arange(len(self.centroids) + 1))

    def best(self, query: Vectors, nprobe: int, mask: NDArray[np.bool_] | None, count: int) -> NDArray[np.integer]:
        """The positions of the ``count`` items that score best, those of ``mask`` only; query (q, d)."""
        total = np.zeros(self._count, np.float32)
        probes = min(nprobe, len(self.centroids))
        for row in query @ self.centroids.T:
            near = np.argpartition(row, -probes)[-probes:]
            near = near[np.argsort(row[near])]  # the best last: of several writes to one place the last stays
            lists = [self._items[self._bounds[c] : self._bounds[c + 1]] for c in near]
            reached = np.full(self._count, row[near[0]], np.float32)
            reached[np.concatenate(lists)] = np.repeat(row[near], [len(one) for one in lists])
            total += reached
        if mask is not None:
            total[~mask] = -np.inf
        found: NDArray[np.integer] = np.argpartition(total, -count)[-count:]
        return np.sort(found)

    def save(self, folder: Path) -> None:
        """Writes ``centroids.npy`` and ``codes.npy``."""
        save_array(folder / "centroids.npy", self.centroids)
        save_array(folder / "codes.npy", self.codes)

    @classmethod
    def open(cls, folder: Path, tokens: Ragged) -> Centroids:
        return cls(np.load(folder / "centroids.npy"), np.load(folder / "codes.npy"), tokens.lengths)


def _nearest(centroids: Vectors, tokens: Ragged, first: int) -> NDArray[np.uint16]:
    """The number of the nearest centroid of every vector from ``first`` on."""
    import faiss

    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    found = [index.search(rows, 1)[1][:, 0] for rows in tokens.chunks(first=first)]
    return np.concatenate(found).astype(np.uint16)
