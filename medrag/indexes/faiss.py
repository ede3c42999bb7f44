"""FAISS behind medrag's index contract: any factory string, filters pushed into the search, a GPU where there is one.

Johnson, Douze, Jégou, *Billion-scale similarity search with GPUs* (2017); Douze et al., *The Faiss library* (2024).
Knows ids and vectors only. ``Flat`` returns exactly what `medrag.indexes.flat.FlatIndex` returns: candidates come from
FAISS in single precision and are scored again in double precision, so that twins tie and ties are ordered by id.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import write_json
from medrag.errors import SettingsError
from medrag.indexes._exact import ExactRows
from medrag.indexes._gpu import HOW
from medrag.indexes._part import Near
from medrag.indexes._parts import Parts
from medrag.indexes._training import trained
from medrag.indexes.ids import IdTable, Row, matrix, padded

if TYPE_CHECKING:
    from medrag.protocols import Vectors

OnGpu = Literal["auto", "never", "replicas", "shards"]  # see `medrag.indexes._gpu.Gpu`
CHUNK = 8192  # rows handed to FAISS at a time
FLAT_UP_TO, PQ_FROM = 50_000, 3_000_000  # vectors; see `factory_for`


def factory_for(count: int, dim: int) -> tuple[str, int]:
    """The factory string and the re-ranking for so many vectors: what ``auto`` takes.

    Up to 50,000 ``Flat``, exact and quick enough; up to three million an inverted file of 8-bit codes (one byte a dimension in memory), above
    it of product codes (one byte for eight dimensions) whose lists are found by a graph (HNSW: a thirteenth of the time at 16,384 lists). About 4 √n
    lists; four or a hundred times as many candidates as are wanted are scored again from the vectors on disk. docs/measured.md has the recall at a
    million, docs/scaling.md at ten; `medrag.indexes.tune` sets the effort on your own vectors.
    """
    if count <= FLAT_UP_TO:
        return "Flat", 0
    lists = min(1 << round(np.log2(4 * np.sqrt(count))), 16_384)
    if count < PQ_FROM or dim % 8:
        return f"IVF{lists},SQ8", 4
    return f"IVF{lists}_HNSW32,PQ{dim // 8}", 100


class FaissIndex:
    """Inner-product search with an index of FAISS's factory (``Flat``, ``IVF1024,Flat``, ``HNSW32``, ``PQ48`` …), or ``auto``: `factory_for`.

    ``rerank`` r > 0 keeps the vectors in half precision on disk and scores the r·k best candidates again by them.
    ``gpu``: ``auto`` searches ``Flat`` and inverted files (IVF with ``Flat``, ``SQ8``, ``PQ``) on a GPU when faiss-gpu and a device are there;
    ``replicas`` on several, each with a copy, ``shards`` each with a part; ``never`` does not look. ``gpu_half``: there in half precision.
    ``shards`` n > 1 keeps the vectors in n indexes, which are searched at the same time by a thread each.
    ``nprobe`` (IVF) and ``ef`` (HNSW) set the effort of a search; it is raised by itself while fewer than k are found.
    """

    def __init__(
        self, factory: str = "auto", *, gpu: OnGpu = "auto", nprobe: int = 16, ef: int = 64,
        rerank: int = 0, shards: int = 1, gpu_half: bool = False,
    ) -> None:  # fmt: skip
        for name, value, least in (("nprobe", nprobe, 1), ("ef", ef, 1), ("rerank", rerank, 0), ("shards", shards, 1)):
            if type(value) is not int or value < least:
                raise SettingsError(f"{name} is {value!r}", f"give a whole number from {least}")
        if type(factory) is not str or not factory:
            raise SettingsError(f"factory is {factory!r}", "give a FAISS factory string, or auto")
        if gpu not in HOW:
            raise SettingsError(f"gpu is {gpu!r}", f"known: {', '.join(HOW)}")
        if type(gpu_half) is not bool:
            raise SettingsError(f"gpu_half is {gpu_half!r}", "give true or false")
        self.factory, self.nprobe, self.ef, self.rerank, self.shards = factory, nprobe, ef, rerank, shards
        self.gpu, self.gpu_half = gpu, gpu_half
        self._exact: ExactRows | None = None
        self._ids = IdTable()
        self._parts = Parts()

    @property
    def dim(self) -> int | None:
        return self._parts.dim

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Appends; an id that is there already gets its new vector. An index that must be trained is trained on these
        vectors first (memory-mapped arrays are fine: they are read in chunks).

        Raises SettingsError for a factory string that FAISS does not know or that these vectors cannot train.
        """
        if not len(ids):
            return
        matrix(vectors, self.dim, len(ids))
        if self.factory == "auto":
            self.factory, self.rerank = factory_for(len(ids), vectors.shape[1])
        if not self._parts.parts:
            self._parts = Parts.of(trained(self.factory, vectors), self.shards, self.gpu, self.gpu_half)
        if self.rerank and self._exact is None:
            self._exact = ExactRows(vectors.shape[1])
        for start in range(0, len(ids), CHUNK):
            rows = np.ascontiguousarray(vectors[start : start + CHUNK], dtype=np.float32)
            self._parts.add(rows)
            if self._exact is not None:
                self._exact.add(rows)
        self._ids.add(ids)

    def delete(self, ids: Sequence[str]) -> int:
        """Tombstones: the vectors stay in the file until the index is built again, and are never found."""
        return self._ids.delete(ids)

    def search(
        self, vectors: Vectors, k: int, *, allowed: Collection[str] | None = None, exclude: Collection[str] = ()
    ) -> tuple[NDArray[np.float32], list[list[str]]]:
        """Scores (n, k') best first and as many ids a row, of ``allowed`` (None: all) without ``exclude``.

        Filters take part in the search, so k results come back where there are k. Ties are ordered by id.
        """
        mask = self._ids.wanted(allowed, exclude)
        total = len(self._ids.ids) if mask is None else int(mask.sum())
        if min(k, total) < 1 or not len(vectors):
            return padded([([], [])] * len(vectors))
        queries = np.ascontiguousarray(matrix(vectors, self.dim), dtype=np.float32)
        depth = min(total, max(min(k, total) + 16, self.rerank * k))
        near = self._nearest(queries, depth, mask)
        return padded(
            [
                self._settled(query, min(k, total), total, mask, depth, one)
                for query, one in zip(queries, near, strict=True)
            ]
        )

    def _settled(
        self, query: Vectors, k: int, total: int, mask: NDArray[np.bool_] | None, depth: int, near: Near
    ) -> Row:
        """The k best; asks again, for more, until the k-th is clearly better than the worst that came."""
        effort = 1
        scores: NDArray[np.floating]
        while True:
            scores, positions = near
            exhausted = len(positions) < depth
            if exhausted and effort < len(self._ids.ids) and not self._parts.is_flat():
                effort *= 4
            else:
                if self._exact is not None:
                    return self._ids.best(self._exact.scores(query, positions), positions, k)
                worst = float(scores[-1]) if len(scores) else -np.inf
                if self._parts.is_flat():
                    worst += self._parts.slack
                    scores = self._parts.vectors_at(positions).astype(np.float64) @ query.astype(np.float64)
                found = self._ids.best(scores, positions, k)
                if depth >= total or exhausted or (len(found[0]) == k and found[0][-1] > worst):
                    return found
                depth = min(total, depth * 4)
            near = self._nearest(query[None], depth, mask, effort)[0]

    def _nearest(self, queries: Vectors, depth: int, mask: NDArray[np.bool_] | None, effort: int = 1) -> list[Near]:
        """Scores and positions from FAISS for each query, wanted ones only."""
        return self._parts.search(queries, depth, mask, nprobe=self.nprobe * effort, ef=max(self.ef, depth) * effort)

    def effort(self) -> tuple[str, int]:
        """What may be raised to find more, ``nprobe`` or ``ef``, and how far that goes; ("", 0) where everything is searched."""
        return self._parts.effort()

    def exhaust(self) -> None:
        """From now on every list and every neighbour is looked at: what is found does not depend on what lies beside it."""
        name, most = self.effort()
        if name:
            setattr(self, name, most)

    def keeps_vectors(self) -> bool:
        """Whether `vectors_at` gives what was added, not what a code made of it."""
        return self._exact is not None or self._parts.keeps_vectors()

    def rows(self, size: int = CHUNK) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Ids and vectors of what was not deleted, in order, some at a time."""
        alive = self._ids.alive()
        for start in range(0, len(alive), size):
            some = alive[start : start + size]
            yield [self._ids.ids[n] for n in some], self.vectors_at(np.array(some))

    def positions(self) -> list[int]:
        """Those of the vectors that were not deleted."""
        return self._ids.alive()

    def positions_of(self, ids: Sequence[str]) -> NDArray[np.int64]:
        return self._ids.at(ids)

    def id_at(self, position: int) -> str:
        return self._ids.ids[position]

    def vectors_at(self, positions: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n, d): the vectors as they came, as exactly as they are kept."""
        if self._exact is not None:
            return np.asarray(self._exact.rows[positions], np.float32)
        return self._parts.vectors_at(positions)

    def save(self, folder: Path) -> None:
        """Writes ``index.faiss`` (of several shards ``index.1.faiss`` … too), ``ids.json`` and ``settings.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        self._parts.save(folder)
        if self._exact is not None:
            self._exact.save(folder)
        self._ids.save(folder / "ids.json")
        self.save_settings(folder)

    def save_settings(self, folder: Path) -> None:
        """What is searched with; `medrag.indexes.tune` changes it."""
        kept = {"factory": self.factory, "nprobe": self.nprobe, "ef": self.ef}
        kept |= {"rerank": self.rerank} if self.rerank else {}
        kept |= {"shards": self.shards} if self.shards > 1 else {}
        kept |= {"gpu": self.gpu} if self.gpu != "auto" else {}
        write_json(folder / "settings.json", kept | ({"gpu_half": True} if self.gpu_half else {}))

    def tuned_as(self, folder: Path) -> bool:
        """Takes over the effort of the index in the folder; False where that is of another factory, and its effort says nothing here."""
        known = _settings(folder)
        if known.get("factory", self.factory) != self.factory:
            return (known["nprobe"], known["ef"]) == (self.nprobe, self.ef)
        self.nprobe, self.ef = known.get("nprobe", self.nprobe), known.get("ef", self.ef)
        self.rerank = (known.get("rerank") or self.rerank) if self.rerank else 0
        return True

    @classmethod
    def open(cls, folder: Path, *, gpu: OnGpu = "auto") -> FaissIndex:
        """The saved index, memory-mapped where FAISS can; ``gpu``: "never" here or when it was built."""
        settings = _settings(folder)
        index = cls(**{**settings, "gpu": settings.get("gpu", gpu)})
        index._ids = IdTable.open(folder / "ids.json")
        index._parts = Parts.open(folder, index.shards, index.gpu, index.gpu_half)
        if index._parts.parts and index.rerank:
            index._exact = ExactRows.open(folder, index.dim or 0)
        return index


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "settings.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
