"""The reference: inner products with every vector in double precision, by numpy. Slow, exact, and easy to believe."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import atomic_open
from medrag.indexes.ids import IdTable, matrix, padded

if TYPE_CHECKING:
    from medrag.protocols import Vectors


class FlatIndex:
    """Exact search by inner product. Equal scores are ordered by id.

    >>> index = FlatIndex()
    >>> index.add(["a", "b"], np.eye(2, dtype=np.float32))
    >>> index.search(np.array([[1, 0]], dtype=np.float32), k=1)[1]
    [['a']]
    """

    def __init__(self) -> None:
        self._ids = IdTable()
        self._parts: list[Vectors] = []

    @property
    def dim(self) -> int | None:
        return self._parts[0].shape[1] if self._parts else None

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Appends; an id that is there already gets its new vector."""
        if len(ids):
            self._parts.append(np.array(matrix(vectors, self.dim, len(ids)), dtype=np.float32))
            self._ids.add(ids)

    def delete(self, ids: Sequence[str]) -> int:
        return self._ids.delete(ids)

    def search(
        self, vectors: Vectors, k: int, *, allowed: Collection[str] | None = None, exclude: Collection[str] = ()
    ) -> tuple[NDArray[np.float32], list[list[str]]]:
        """Scores (n, k') best first and as many ids a row, of ``allowed`` (None: all) without ``exclude``."""
        matrix(vectors, self.dim)
        mask = self._ids.wanted(allowed, exclude)
        positions = np.arange(len(self._ids.ids)) if mask is None else np.flatnonzero(mask)
        if not len(positions) or k < 1:
            return padded([([], [])] * len(vectors))
        scores = vectors.astype(np.float64) @ self._matrix()[positions].astype(np.float64).T
        return padded([self._ids.best(row, positions, k) for row in scores])

    def rows(self, size: int = 8192) -> Iterator[tuple[list[str], Vectors]]:
        """Ids and vectors of what was not deleted, in order, some at a time."""
        alive = self._ids.alive()
        for start in range(0, len(alive), size):
            some = alive[start : start + size]
            yield [self._ids.ids[n] for n in some], np.asarray(self._matrix()[some])

    def _matrix(self) -> Vectors:
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    def save(self, folder: Path) -> None:
        """Writes ``vectors.npy`` and ``ids.json``."""
        with atomic_open(folder / "vectors.npy") as stream:
            np.save(stream, self._matrix() if self._parts else np.zeros((0, 0), dtype=np.float32))
        self._ids.save(folder / "ids.json")

    @classmethod
    def open(cls, folder: Path) -> FlatIndex:
        """The saved index, memory-mapped."""
        index = cls()
        index._ids = IdTable.open(folder / "ids.json")
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        if len(vectors) != len(index._ids.ids):
            raise ValueError(f"{len(vectors)} vectors for {len(index._ids.ids)} ids")
        index._parts = [vectors] if vectors.shape[1] else []
        return index
