"""The ids of an index by position, with tombstones, and the one order of results: best score first, then id.

Knows nothing of vectors. Positions only grow: a deleted id leaves a tombstone, an id that is added again leaves its
old position, so the structures beside it (a FAISS index, a matrix) need not support deletion themselves.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import write_json
from medrag.errors import SettingsError

if TYPE_CHECKING:
    from medrag.protocols import Vectors

Row = tuple[list[float], list[str]]


class IdTable:
    """Which id stands at which position, and which positions are dead."""

    def __init__(self, ids: Sequence[str] = (), dead: Iterable[int] = ()) -> None:
        self.ids: list[str] = list(ids)
        self._alive = np.ones(len(self.ids), dtype=bool)  # by position
        self._alive[list(dead)] = False
        self._at = {item: n for n, (item, here) in enumerate(zip(self.ids, self._alive, strict=True)) if here}

    def __len__(self) -> int:
        return len(self._at)

    def add(self, ids: Sequence[str]) -> None:
        """Appends; an id that is there already moves to its new position."""
        left = []
        for item in ids:
            if item in self._at:
                left.append(self._at[item])
            self._at[item] = len(self.ids)
            self.ids.append(item)
        self._alive = np.concatenate([self._alive, np.ones(len(ids), dtype=bool)])
        self._alive[left] = False

    def delete(self, ids: Iterable[str]) -> int:
        """How many of the ids were there and are gone now."""
        gone = [self._at.pop(item) for item in set(ids) & self._at.keys()]
        self._alive[gone] = False
        return len(gone)

    def at(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The positions of ids that are there."""
        return np.array([self._at[item] for item in ids], np.int64)

    def alive(self) -> list[int]:
        """The positions of the living, in order."""
        living: list[int] = np.flatnonzero(self._alive).tolist()
        return living

    def wanted(self, allowed: Collection[str] | None, exclude: Collection[str]) -> NDArray[np.bool_] | None:
        """A mask over positions, not to be written to; None where every position is wanted."""
        if allowed is None and not exclude:
            return None if len(self) == len(self.ids) else self._alive
        if allowed is None:
            mask = self._alive.copy()
        else:
            mask = np.zeros(len(self.ids), dtype=bool)
            mask[[self._at[item] for item in allowed if item in self._at]] = True
        mask[[self._at[item] for item in exclude if item in self._at]] = False
        return None if mask.all() else mask

    def best(self, scores: NDArray[np.floating], positions: NDArray[np.integer], k: int) -> Row:
        """The k best of some positions, ties in the order of their ids, whatever order they came in."""
        scores = scores.astype(np.float32)
        if 0 < k < len(scores):
            near = scores >= np.partition(scores, -k)[-k]
            scores, positions = scores[near], positions[near]
        pairs = sorted((-float(score), self.ids[at]) for score, at in zip(scores, positions, strict=True))[:k]
        return [-score for score, _ in pairs], [item for _, item in pairs]

    def save(self, path: Path) -> None:
        write_json(path, {"ids": self.ids, "dead": np.flatnonzero(~self._alive).tolist()}, indent=None)

    @classmethod
    def open(cls, path: Path) -> IdTable:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(raw["ids"], raw["dead"])


def padded(rows: Sequence[Row]) -> tuple[NDArray[np.float32], list[list[str]]]:
    """Rows of different lengths as (n, k') scores; where a row is shorter its scores end in -inf."""
    width = max((len(ids) for _, ids in rows), default=0)
    scores = np.full((len(rows), width), -np.inf, dtype=np.float32)
    for n, (found, _) in enumerate(rows):
        scores[n, : len(found)] = found
    return scores, [ids for _, ids in rows]


def matrix(vectors: Vectors, dim: int | None, count: int | None = None) -> Vectors:
    """Vectors as (n, d) float32 rows; SettingsError when they do not fit the index or the ids."""
    if vectors.ndim != 2 or (dim is not None and vectors.shape[1] != dim):
        raise SettingsError(
            f"vectors of shape {vectors.shape} do not fit an index of {dim} dimensions",
            "use the encoder that built the index",
        )
    if count is not None and len(vectors) != count:
        raise SettingsError(f"{count} ids came with {len(vectors)} vectors", "give one vector for each id")
    return vectors
