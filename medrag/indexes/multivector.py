"""Items that are several vectors each (a page's regions or patches), found by late interaction.

    MaxSim(q, p) = Σ_i max_j q_i · p_j

Khattab & Zaharia, *ColBERT* (SIGIR 2020); Faysse et al., *ColPali* (arXiv 2407.01449). Two stages: candidates from the
centroids of all vectors (medrag/indexes/_centroids.py), then exact MaxSim over the candidates' own vectors, read from
disk. Vectors of different items lie one after the other, so there is no padding that could win a maximum. Knows ids and
matrices only: not what a vector stands for, nor whether it has unit length.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import write_json
from medrag.errors import SettingsError
from medrag.indexes._centroids import Centroids
from medrag.indexes._ragged import Ragged
from medrag.indexes.ids import IdTable, Row, matrix, padded

if TYPE_CHECKING:
    from medrag.protocols import Vectors

CHUNK = 256  # items scored at a time
DIGITS = 5  # of a score: below what half precision carries, so that twins tie


class MultiVectorIndex:
    """Late interaction over matrices of (t, d), t ≥ 1 and different for every item. Equal scores are ordered by id.

    Up to ``candidates`` items are all scored exactly; of more, the best ``candidates`` of the first stage are.
    ``nprobe``: the centroids that each query vector looks into. ``tokens``: ``float16``, or ``int8`` with a scale for
    each vector (half the size; a cosine is off by less than 0.005). ``gpu``: ``auto`` scores every item exactly on a
    CUDA device where torch sees one and the vectors fit; ``never`` does not look.

    >>> index = MultiVectorIndex()
    >>> index.add(["a", "b"], [np.eye(2, dtype=np.float32), np.array([[1, 0]], dtype=np.float32)])
    >>> index.search([np.array([[0, 1]], dtype=np.float32)], k=1)[1]
    [['a']]
    """

    def __init__(
        self,
        *,
        candidates: int = 512,
        nprobe: int = 32,
        tokens: Literal["float16", "int8"] = "float16",
        gpu: Literal["auto", "never"] = "auto",
    ) -> None:
        if candidates < 1 or nprobe < 1:
            raise SettingsError("multivector: candidates and nprobe are 1 or more", "leave them out for the defaults")
        self.candidates, self.nprobe, self.gpu = candidates, nprobe, gpu
        self._ids = IdTable()
        self._tokens = Ragged(tokens)
        self._coarse: Centroids | None = None
        self._on_gpu: Any = None
        self._fits = True  # on a GPU, until it is known that it does not

    @property
    def dim(self) -> int | None:
        return self._tokens.dim

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], matrices: Sequence[Vectors]) -> None:
        """Appends; an id that is there already gets its new matrix. Centroids are brought up to date at the next search.

        Raises SettingsError for a matrix without rows or of another width.
        """
        if len(ids) != len(matrices):
            raise SettingsError(f"{len(ids)} ids came with {len(matrices)} matrices", "give one matrix for each id")
        dim = self.dim
        for name, rows in zip(ids, matrices, strict=True):
            dim = matrix(rows, dim).shape[1]
            if not len(rows):
                raise SettingsError(f"{name} has no vectors", "leave out items that hold nothing")
        if len(ids):
            self._tokens.append(matrices)
            self._ids.add(ids)
            self._on_gpu = None

    def delete(self, ids: Sequence[str]) -> int:
        """Tombstones: the vectors stay in the file until the index is built again, and are never found."""
        return self._ids.delete(ids)

    def exhaust(self) -> None:
        """From now on every item is scored: what is found does not depend on what lies beside it."""
        self.candidates = max(self.candidates, len(self))

    def search(
        self,
        queries: Sequence[Vectors],
        k: int,
        *,
        allowed: Collection[str] | None = None,
        exclude: Collection[str] = (),
    ) -> tuple[NDArray[np.float32], list[list[str]]]:
        """For queries of (q, d) each: scores (n, k') best first and as many ids a row, of ``allowed`` (None: all)
        without ``exclude``. A query without vectors finds nothing."""
        mask = self._ids.wanted(allowed, exclude)
        if k < 1 or not len(self._positions(mask)):
            return padded([([], [])] * len(queries))
        return padded([self._one(matrix(query, self.dim), k, mask) if len(query) else ([], []) for query in queries])

    def score(self, query: Vectors, id: str) -> Vectors:
        """(q, t): the similarity of every query vector with every vector of an item, whose row maxima sum to MaxSim.

        Raises SettingsError for an id that is not there.
        """
        at = self._positions(self._ids.wanted([id], ()))
        if not len(at):
            raise SettingsError(f"nothing in this index is named {id!r}", "give the id of an indexed item")
        rows, _ = self._tokens.gather(at)
        similar: Vectors = matrix(query, self.dim).astype(np.float32) @ rows.T
        return similar

    def _positions(self, mask: NDArray[np.bool_] | None) -> NDArray[np.integer]:
        return np.arange(len(self._ids.ids)) if mask is None else np.flatnonzero(mask)

    def _one(self, query: Vectors, k: int, mask: NDArray[np.bool_] | None) -> Row:
        """The k best for one query."""
        query = np.ascontiguousarray(query, dtype=np.float32)
        positions = self._positions(mask)
        if (gpu := self._gpu()) is not None:
            scores = gpu.scores(query)[positions]
        else:
            depth = max(self.candidates, 4 * k)
            if len(positions) > depth:
                positions = self._ready().best(query, self.nprobe, mask, depth)
            scores = self._exact(query, positions)
        return self._ids.best(np.round(scores, DIGITS), positions, k)

    def _exact(self, query: Vectors, positions: NDArray[np.integer]) -> Vectors:
        """MaxSim with the items at some positions. Columns in which the query is zero are not read."""
        used = np.flatnonzero(query.any(axis=0))
        columns = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
        query = np.ascontiguousarray(query[:, columns])
        parts = (positions[start : start + CHUNK] for start in range(0, len(positions), CHUNK))
        return np.concatenate([maxsim(query, *self._tokens.gather(part, columns)) for part in parts])

    def _ready(self) -> Centroids:
        """The first stage, over all vectors that are there; trained anew once they have doubled."""
        known, total = (len(self._coarse.codes) if self._coarse else 0), self._tokens.total
        if self._coarse is None or 2 * known < total:
            self._coarse = Centroids.train(self._tokens)
        elif known < total:
            self._coarse.grow(self._tokens)
        return self._coarse

    def _gpu(self) -> Any:
        """Every vector on the GPU, or None where there is none or they do not fit."""
        import sys

        if (
            self._on_gpu is None and self._fits and self.gpu == "auto" and "torch" in sys.modules
        ):  # what encodes queries has loaded it
            import torch

            if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > 2 * self._tokens.nbytes:
                self._on_gpu = TorchTokens(self._tokens, "cuda")
            else:
                self._fits = False
        return self._on_gpu

    def save(self, folder: Path) -> None:
        """Writes ``tokens.bin``, ``lengths.npy`` (and ``scales.npy``), ``ids.json``, ``settings.json``, and where there are
        more items than candidates ``centroids.npy`` and ``codes.npy``."""
        self._tokens.save(folder)
        if len(self._ids.ids) > self.candidates:
            self._ready().save(folder)
        self._ids.save(folder / "ids.json")
        settings = {"candidates": self.candidates, "nprobe": self.nprobe, "tokens": self._tokens.kind}
        settings |= {"gpu": "never"} if self.gpu == "never" else {}
        write_json(folder / "settings.json", {**settings, "dim": self.dim})

    @classmethod
    def open(cls, folder: Path, *, gpu: Literal["auto", "never"] = "auto") -> MultiVectorIndex:
        """The saved index, its vectors memory-mapped."""
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        dim = settings.pop("dim")
        index = cls(**{"gpu": gpu, **settings})
        index._ids = IdTable.open(folder / "ids.json")
        index._tokens = Ragged.open(folder, settings["tokens"], dim)
        if (folder / "codes.npy").is_file():
            index._coarse = Centroids.open(folder, index._tokens)
        return index


def maxsim(query: Vectors, rows: Vectors, lengths: NDArray[np.integer]) -> Vectors:
    """(n,): Σ_i max_j q_i · p_j for n items whose vectors follow each other in ``rows``; query (q, d), lengths (n,) ≥ 1."""
    starts = np.cumsum(lengths) - lengths
    best: Vectors = np.maximum.reduceat(query @ rows.T, starts, axis=1).sum(axis=0)
    return best


class TorchTokens:
    """All vectors on one device of torch, in half precision: MaxSim with every item, exact."""

    ROWS = 1 << 19  # vectors multiplied at a time

    def __init__(self, tokens: Ragged, device: str) -> None:
        import torch

        self._count = len(tokens.lengths)
        owners = torch.from_numpy(np.repeat(np.arange(self._count), tokens.lengths))
        parts = [torch.from_numpy(rows.astype(np.float16)).to(device) for rows in tokens.chunks(self.ROWS)]
        self._parts = list(zip(parts, owners.to(device).split([len(part) for part in parts]), strict=True))
        self._device = device

    def scores(self, query: Vectors) -> Vectors:
        """(n,) float32, by position."""
        import torch

        asked = torch.from_numpy(query).to(self._device)
        best = torch.full((self._count, len(query)), -torch.inf, device=self._device)
        for rows, owners in self._parts:
            similar = rows.float() @ asked.T
            best.scatter_reduce_(0, owners[:, None].expand_as(similar), similar, "amax")
        found: Vectors = best.sum(dim=1).cpu().numpy()
        return found
