"""FAISS behind medrag's index contract: any factory string, filters pushed into the search, a GPU where there is one.

Johnson, Douze, Jégou, *Billion-scale similarity search with GPUs* (2017); Douze et al., *The Faiss library* (2024).
Knows ids and vectors only. ``Flat`` returns exactly what `medrag.indexes.flat.FlatIndex` returns: candidates come from
FAISS in single precision and are scored again in double precision, so that twins tie and ties are ordered by id.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import linked, write_error, write_json
from medrag.errors import SettingsError
from medrag.indexes._exact import ExactRows
from medrag.indexes.ids import IdTable, Row, matrix, padded

if TYPE_CHECKING:
    from medrag.protocols import Vectors

CHUNK = 8192  # rows handed to FAISS at a time
FLAT_UP_TO, PQ_FROM = 50_000, 3_000_000  # vectors; see `factory_for`
# effort of finding lists by a graph, when adding and when searching: at 16,384 lists in 64 groups the nearest in 997 and in 1,000 of 1,000 cases.
# At 32 a twentieth goes to the lists of another group, where no search finds it
LIST_EF, LIST_EF_ASKED = 128, 256
SLACK = 1e-5  # how far single precision may be off for unit vectors
GPU_K = 2048  # the most neighbours a FAISS GPU search returns


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
    ``gpu``: ``auto`` searches ``Flat`` on a GPU when faiss-gpu and a device are there; ``never`` does not look.
    ``nprobe`` (IVF) and ``ef`` (HNSW) set the effort of a search; it is raised by itself while fewer than k are found.
    """

    def __init__(
        self, factory: str = "auto", *, gpu: Literal["auto", "never"] = "auto", nprobe: int = 16, ef: int = 64,
        rerank: int = 0,
    ) -> None:  # fmt: skip
        for name, value, least in (("nprobe", nprobe, 1), ("ef", ef, 1), ("rerank", rerank, 0)):
            if type(value) is not int or value < least:
                raise SettingsError(f"{name} is {value!r}", f"give a whole number from {least}")
        if type(factory) is not str or not factory:
            raise SettingsError(f"factory is {factory!r}", "give a FAISS factory string, or auto")
        if gpu not in ("auto", "never"):
            raise SettingsError(f"gpu is {gpu!r}", "known: auto, never")
        self.factory, self.gpu, self.nprobe, self.ef, self.rerank = factory, gpu, nprobe, ef, rerank
        self._exact: ExactRows | None = None
        self._ids = IdTable()
        self._index: Any = None
        self._on_gpu: Any = None
        self._fits = True  # on a GPU, until it says otherwise
        self._mapped: Path | None = None
        self._filters = True  # until FAISS says otherwise

    @property
    def dim(self) -> int | None:
        return None if self._index is None else int(self._index.d)

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
        self._open_for_writing(vectors.shape[1])
        if self.rerank and self._exact is None:
            self._exact = ExactRows(vectors.shape[1])
        if not self._index.is_trained:
            self._train(vectors)
        for start in range(0, len(ids), CHUNK):
            rows = np.ascontiguousarray(vectors[start : start + CHUNK], dtype=np.float32)
            self._index.add(rows)
            if self._exact is not None:
                self._exact.add(rows)
        self._ids.add(ids)
        self._on_gpu = None

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
        self, query: Vectors, k: int, total: int, mask: NDArray[np.bool_] | None, depth: int, near: tuple[Any, Any]
    ) -> Row:
        """The k best; asks again, for more, until the k-th is clearly better than the worst that came."""
        effort = 1
        while True:
            scores, positions = near
            exhausted = len(positions) < depth
            if exhausted and effort < len(self._ids.ids) and not self._is_flat():
                effort *= 4
            else:
                if self._exact is not None:
                    return self._ids.best(self._exact.scores(query, positions), positions, k)
                worst = float(scores[-1]) if len(scores) else -np.inf
                if self._is_flat():
                    worst += SLACK
                    scores = self._index.reconstruct_batch(positions).astype(np.float64) @ query.astype(np.float64)
                found = self._ids.best(scores, positions, k)
                if depth >= total or exhausted or (len(found[0]) == k and found[0][-1] > worst):
                    return found
                depth = min(total, depth * 4)
            near = self._nearest(query[None], depth, mask, effort)[0]

    def _nearest(
        self, queries: Vectors, depth: int, mask: NDArray[np.bool_] | None, effort: int = 1
    ) -> list[tuple[Any, Any]]:
        """Scores and positions from FAISS for each query, wanted ones only."""
        with _alone(len(queries) == 1 and self._is_flat()):
            return self._searched(queries, depth, mask, effort)

    def _searched(
        self, queries: Vectors, depth: int, mask: NDArray[np.bool_] | None, effort: int
    ) -> list[tuple[Any, Any]]:
        hidden = 0 if mask is None else len(mask) - int(mask.sum())
        gpu = self._gpu_index()
        if gpu is not None and depth + hidden <= GPU_K:  # GPU indexes know no filters: ask for more, then filter
            scores, positions = gpu.search(queries, depth + hidden)
        elif self._filters:
            try:
                with _effort(self._index, mask, nprobe=self.nprobe * effort, ef=max(self.ef, depth) * effort) as params:
                    scores, positions = self._index.search(queries, depth, params=params)
            except RuntimeError:  # PQ alone, fast-scan and refined indexes know none either
                self._filters = False
                return self._searched(queries, depth, mask, effort)
        else:
            scores, positions = self._index.search(queries, depth + hidden)
        keep = positions >= 0
        if mask is not None:
            keep &= mask[positions]
        return [(s[one][:depth], p[one][:depth]) for s, p, one in zip(scores, positions, keep, strict=True)]

    def effort(self) -> tuple[str, int]:
        """What may be raised to find more, ``nprobe`` or ``ef``, and how far that goes; ("", 0) where everything is searched."""
        import faiss

        inner = self._index
        while isinstance(inner, faiss.IndexPreTransform):
            inner = faiss.downcast_index(inner.index)
        if isinstance(inner, faiss.IndexIVF):
            return "nprobe", int(inner.nlist)
        return ("ef", max(inner.ntotal, 16)) if isinstance(inner, faiss.IndexHNSW) else ("", 0)

    def exhaust(self) -> None:
        """From now on every list and every neighbour is looked at: what is found does not depend on what lies beside it."""
        name, most = self.effort()
        if name:
            setattr(self, name, most)

    def keeps_vectors(self) -> bool:
        """Whether `vectors_at` gives what was added, not what a code made of it."""
        import faiss

        whole = (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexHNSWFlat)
        return self._exact is not None or self._index is None or isinstance(self._index, whole)

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
        import faiss

        if self._exact is not None:
            return np.asarray(self._exact.rows[positions], np.float32)
        if self.effort()[0] == "nprobe":  # lists know their vectors, not the other way round
            faiss.extract_index_ivf(self._index).make_direct_map()
        found: NDArray[np.float32] = self._index.reconstruct_batch(np.asarray(positions, np.int64))
        return found

    def _is_flat(self) -> bool:
        import faiss

        return isinstance(self._index, faiss.IndexFlat)

    def _gpu_index(self) -> Any:
        """The same index on the GPU, or None: for ``Flat`` only, whose results are the same there. Falls back to the CPU
        when it does not fit."""
        import faiss

        if not self._is_flat():
            return None
        if self._on_gpu is None and self._fits and self.gpu == "auto" and getattr(faiss, "get_num_gpus", int)() > 0:
            with contextlib.suppress(RuntimeError, AttributeError):
                self._resources = faiss.StandardGpuResources()
                self._on_gpu = faiss.index_cpu_to_gpu(self._resources, 0, self._index)
                return self._on_gpu
            self._fits = False
        return self._on_gpu

    def _open_for_writing(self, dim: int) -> None:
        """A new index, or the mapped one read into memory, where it may grow."""
        import faiss

        if self._mapped is not None:
            self._index, self._mapped = faiss.read_index(str(self._mapped)), None
        elif self._index is None:
            try:
                self._index = faiss.index_factory(dim, self.factory, faiss.METRIC_INNER_PRODUCT)
            except RuntimeError as error:
                raise SettingsError(
                    f"FAISS cannot make {self.factory!r} for {dim} dimensions: {_reason(error)}",
                    "see FAISS's index factory; 'Flat' always works",
                ) from error
            if isinstance(self._index, faiss.IndexIDMap):
                raise SettingsError(f"{self.factory!r} numbers vectors itself, as medrag does", "leave IDMap out")

    def _train(self, vectors: Vectors) -> None:
        """On evenly spaced rows, 200,000 or 40 for each list, so that training is the same every time."""
        lists = self.effort()[1] if self.effort()[0] == "nprobe" else 0
        rows = np.linspace(0, len(vectors) - 1, min(len(vectors), max(200_000, 40 * lists))).astype(int)
        sample = np.ascontiguousarray(vectors[rows], dtype=np.float32)
        try:
            if lists * 2 <= len(sample):
                self._place_lists(sample, lists)
            self._index.train(sample)
        except RuntimeError as error:
            raise SettingsError(
                f"{len(vectors)} vectors cannot train {self.factory!r}: {_reason(error)}",
                "take a smaller factory string, or 'Flat'",
            ) from error

    def _place_lists(self, sample: NDArray[np.float32], lists: int) -> None:
        """The centres of lists that a graph finds, clustered in two levels: of so many, one level takes hours."""
        import faiss

        inverted = faiss.try_extract_index_ivf(self._index) if lists else None
        graph = faiss.downcast_index(inverted.quantizer) if inverted else None
        if isinstance(graph, faiss.IndexHNSW):
            graph.hnsw.efSearch = LIST_EF
            graph.add(_two_levels(sample, lists))

    def save(self, folder: Path) -> None:
        """Writes ``index.faiss``, ``ids.json`` and ``settings.json``."""
        import faiss

        folder.mkdir(parents=True, exist_ok=True)
        if self._mapped is not None:
            linked(self._mapped, folder / "index.faiss")
        elif self._index is not None:
            try:
                faiss.write_index(self._index, str(folder / "index.faiss"))
            except RuntimeError as error:
                raise write_error(folder / "index.faiss", OSError(0, _reason(error))) from error
        if self._exact is not None:
            self._exact.save(folder)
        self._ids.save(folder / "ids.json")
        self.save_settings(folder)

    def save_settings(self, folder: Path) -> None:
        """What is searched with; `medrag.indexes.tune` changes it."""
        kept = {"factory": self.factory, "nprobe": self.nprobe, "ef": self.ef}
        kept |= {"rerank": self.rerank} if self.rerank else {}
        write_json(folder / "settings.json", kept | ({"gpu": "never"} if self.gpu == "never" else {}))

    def tuned_as(self, folder: Path) -> bool:
        """Takes over the effort of the index in the folder; False where that is of another factory, and its effort says nothing here."""
        known = _settings(folder)
        if known.get("factory", self.factory) != self.factory:
            return (known["nprobe"], known["ef"]) == (self.nprobe, self.ef)
        self.nprobe, self.ef = known.get("nprobe", self.nprobe), known.get("ef", self.ef)
        self.rerank = (known.get("rerank") or self.rerank) if self.rerank else 0
        return True

    @classmethod
    def open(cls, folder: Path, *, gpu: Literal["auto", "never"] = "auto") -> FaissIndex:
        """The saved index, memory-mapped where FAISS can; ``gpu``: "never" here or when it was built."""
        import faiss

        settings = _settings(folder)
        index = cls(**{**settings, "gpu": settings.get("gpu", gpu)})
        index._ids = IdTable.open(folder / "ids.json")
        path = folder / "index.faiss"
        if path.is_file():
            flags = getattr(faiss, "IO_FLAG_MMAP_IFC", faiss.IO_FLAG_MMAP)
            index._index, index._mapped = faiss.read_index(str(path), flags), path
            if index.rerank:
                index._exact = ExactRows.open(folder, index.dim or 0)
        return index


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "settings.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _two_levels(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(count, d) centres: of √count groups first, then within each as many as its share of the sample."""
    first = _clustered(sample, round(count**0.5))
    groups = first.search(sample, 1)[1][:, 0]
    ends = np.cumsum(np.bincount(groups, minlength=first.ntotal)) * count // len(sample)
    found = [
        _clustered(sample[groups == n], int(k)).reconstruct_n(0, int(k))
        for n, k in enumerate(np.diff(ends, prepend=0))
        if k
    ]
    return np.concatenate(found)


def _clustered(rows: NDArray[np.float32], count: int) -> Any:
    """An index of the centres. Not by ``faiss.Kmeans``: that cannot read its centres once PyMuPDF is imported, whose vectors have the same name."""
    import faiss

    rows, centres = np.ascontiguousarray(rows), faiss.IndexFlatIP(rows.shape[1])
    clustering = faiss.Clustering(rows.shape[1], count)
    clustering.spherical, clustering.min_points_per_centroid = True, 1
    clustering.train(rows, centres)
    return centres


@contextlib.contextmanager
def _alone(wanted: bool) -> Iterator[None]:
    """One thread for a single query over a flat index, which FAISS does not share out: others would only wait."""
    import faiss

    before = faiss.omp_get_max_threads()
    if wanted:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextlib.contextmanager
def _effort(index: Any, mask: NDArray[np.bool_] | None, *, nprobe: int, ef: int) -> Any:
    """The search parameters of FAISS for an index of any kind; what they point at lives while the block runs."""
    import faiss as untyped

    faiss: Any = untyped
    extra: dict[str, Any] = {}
    if mask is not None:
        bits = np.packbits(mask, bitorder="little")
        extra["sel"] = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
    if isinstance(index, faiss.IndexPreTransform):
        inner = faiss.downcast_index(index.index)
        with _effort(inner, mask, nprobe=nprobe, ef=ef) as params:
            yield faiss.SearchParametersPreTransform(index_params=params) if params is not None else None
    elif isinstance(index, faiss.IndexIVF):
        if isinstance(faiss.downcast_index(index.quantizer), faiss.IndexHNSW):
            extra["quantizer_params"] = faiss.SearchParametersHNSW(efSearch=max(LIST_EF_ASKED, nprobe))
        yield faiss.SearchParametersIVF(nprobe=min(nprobe, index.nlist), **extra)
    elif isinstance(index, faiss.IndexHNSW):
        yield faiss.SearchParametersHNSW(efSearch=min(ef, max(index.ntotal, 1)), **extra)
    else:
        yield faiss.SearchParameters(**extra) if extra else None


def _reason(error: RuntimeError) -> str:
    """The last sentence of a FAISS error, without its C++ signature."""
    text = " ".join(str(error).split())
    return text.rpartition("failed: ")[2] if "failed: " in text else text.rpartition(": ")[2] or text
