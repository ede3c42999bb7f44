"""Several FAISS indexes (`Part`) as one: the vector at position p lies in part p % n, at p // n; a search goes through all parts at the same time.

All parts are copies of one that was trained, so that of inverted lists the same ones are looked at, and the same is found, as in one part.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medrag.indexes._gpu import Gpu
from medrag.indexes._part import Near, Part

if TYPE_CHECKING:
    from medrag.protocols import Vectors


class Parts:
    """Parts with one count of positions; none as long as there are no vectors."""

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self.parts = parts

    @classmethod
    def of(cls, index: Any, count: int, how: str, half: bool) -> Parts:
        """So many parts, each a copy of an empty index; ``how`` and ``half`` as `Gpu` has them."""
        import faiss

        copies = [faiss.deserialize_index(faiss.serialize_index(index)) for _ in range(count - 1)]
        return cls([Part(one, Gpu(how, half)) for one in (index, *copies)])

    @classmethod
    def open(cls, folder: Path, count: int, how: str, half: bool) -> Parts:
        there = (folder / _file(0)).is_file()
        return cls([Part.open(folder / _file(n), Gpu(how, half)) for n in range(count)] if there else ())

    def save(self, folder: Path) -> None:
        for n, part in enumerate(self.parts):
            part.save(folder / _file(n))

    @property
    def dim(self) -> int | None:
        return int(self.parts[0].index.d) if self.parts else None

    def effort(self) -> tuple[str, int]:
        """As `Part.effort`."""
        return self.parts[0].effort() if self.parts else ("", 0)

    def is_flat(self) -> bool:
        return bool(self.parts) and self.parts[0].is_flat()

    @property
    def slack(self) -> float:
        """How far scores may be off for unit vectors."""
        return max(part.gpu.slack for part in self.parts)

    def keeps_vectors(self) -> bool:
        """As `Part.keeps_vectors`."""
        return all(part.keeps_vectors() for part in self.parts)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Appends (n, d)."""
        count, there = len(self.parts), sum(map(len, self.parts))
        for n, part in enumerate(self.parts):
            part.add(rows[(n - there) % count :: count])

    def search(
        self, queries: Vectors, depth: int, mask: NDArray[np.bool_] | None, *, nprobe: int, ef: int
    ) -> list[Near]:
        """As `Part.search`."""
        count = len(self.parts)
        # FAISS does not share out a single query over a flat index: other threads would only wait
        alone = len(queries) == 1 and self.is_flat()

        def one(n: int) -> list[Near]:
            with _threads(1 if alone else 0, count):
                own = None if mask is None else mask[n::count]
                return self.parts[n].search(queries, depth, own, nprobe=nprobe, ef=ef)

        if count == 1:
            return one(0)
        return [_merged(rows, depth) for rows in zip(*self._pool.map(one, range(count)), strict=True)]

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(len(self.parts), thread_name_prefix="medrag-part")

    def vectors_at(self, positions: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n, d)."""
        at, count = np.asarray(positions, np.int64), len(self.parts)
        found = np.empty((len(at), self.dim or 0), np.float32)
        for n, part in enumerate(self.parts):
            here = at % count == n
            if here.any():
                found[here] = part.vectors_at(at[here] // count)
        return found


def _file(number: int) -> str:
    return f"index.{number}.faiss" if number else "index.faiss"


def _merged(parts: Sequence[Near], depth: int) -> Near:
    """The best of what each part has found."""
    scores = np.concatenate([scores for scores, _ in parts])
    positions = np.concatenate([at * len(parts) + n for n, (_, at) in enumerate(parts)])
    best = np.argsort(-scores, kind="stable")[:depth]
    return scores[best], positions[best]


@contextlib.contextmanager
def _threads(most: int, shares: int) -> Iterator[None]:
    """So many threads of FAISS in this thread (0: what there is, by ``shares`` that run at the same time)."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(most or max(1, before // shares))
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
