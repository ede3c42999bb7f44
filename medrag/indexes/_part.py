"""One FAISS index of any kind: searched with filters, on a GPU where there is one; given vectors, written, memory-mapped. Knows positions, no ids."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import linked, write_error
from medrag.indexes._gpu import Gpu
from medrag.indexes._training import reason

if TYPE_CHECKING:
    from medrag.protocols import Vectors

# effort of finding lists by a graph when searching: at 16,384 lists in 64 groups the nearest in 1,000 of 1,000 cases
LIST_EF_ASKED = 256

Near = tuple[NDArray[np.float32], NDArray[np.int64]]  # scores and positions of a query's nearest, best first


class Part:
    """Vectors by position, from 0 on in the order in which they came."""

    def __init__(self, index: Any, gpu: Gpu, mapped: Path | None = None) -> None:
        self.index, self.gpu, self._mapped = index, gpu, mapped
        self._filters = True  # until FAISS says otherwise
        self._numbering = threading.Lock()

    @classmethod
    def open(cls, path: Path, gpu: Gpu) -> Part:
        """Memory-mapped where FAISS can."""
        import faiss

        flags = getattr(faiss, "IO_FLAG_MMAP_IFC", faiss.IO_FLAG_MMAP)
        return cls(faiss.read_index(str(path), flags), gpu, path)

    def save(self, path: Path) -> None:
        """Raises MedragError on a full disk."""
        import faiss

        if self._mapped is not None:
            linked(self._mapped, path)
            return
        try:
            faiss.write_index(self.index, str(path))
        except RuntimeError as error:
            raise write_error(path, OSError(0, reason(error))) from error

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Appends; a mapped index is read into memory first, where it may grow."""
        import faiss

        if self._mapped is not None:
            self.index, self._mapped = faiss.read_index(str(self._mapped)), None
        self.index.add(np.ascontiguousarray(rows))
        self.gpu.forget()

    def search(
        self, queries: Vectors, depth: int, mask: NDArray[np.bool_] | None, *, nprobe: int, ef: int
    ) -> list[Near]:
        """The nearest of each query where ``mask`` is true (None: everywhere): as many as ``depth``, or as are found with that effort."""
        hidden = 0 if mask is None else len(mask) - int(mask.sum())
        depth = min(depth, len(self) - hidden)
        if depth < 1:
            return [(np.empty(0, np.float32), np.empty(0, np.int64))] * len(queries)
        scores, positions = self._searched(queries, depth, hidden, mask, nprobe, ef)
        keep = positions >= 0
        if mask is not None:
            keep &= mask[positions]
        return [(s[one][:depth], p[one][:depth]) for s, p, one in zip(scores, positions, keep, strict=True)]

    def _searched(
        self, queries: Vectors, depth: int, hidden: int, mask: NDArray[np.bool_] | None, nprobe: int, ef: int
    ) -> Any:
        """Scores and positions (n, k), with some that are not wanted, and −1, among them."""
        there = self.gpu.search(
            self.index, queries, depth + hidden, nprobe
        )  # it knows no filters: ask for more, then filter
        if there is not None:
            return there
        if self._filters:
            try:
                with _effort(self.index, mask, nprobe=nprobe, ef=ef) as params:
                    return self.index.search(queries, depth, params=params)
            except RuntimeError:  # PQ alone, fast-scan and refined indexes know none either
                self._filters = False
        return self.index.search(queries, depth + hidden)

    def effort(self) -> tuple[str, int]:
        """What may be raised to find more, ``nprobe`` or ``ef``, and how far that goes; ("", 0) where everything is searched."""
        import faiss

        inner = self.index
        while isinstance(inner, faiss.IndexPreTransform):
            inner = faiss.downcast_index(inner.index)
        if isinstance(inner, faiss.IndexIVF):
            return "nprobe", int(inner.nlist)
        return ("ef", max(inner.ntotal, 16)) if isinstance(inner, faiss.IndexHNSW) else ("", 0)

    def is_flat(self) -> bool:
        import faiss

        return isinstance(self.index, faiss.IndexFlat)

    def keeps_vectors(self) -> bool:
        """Whether `vectors_at` gives what was added, not what a code made of it."""
        import faiss

        return isinstance(self.index, (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexHNSWFlat))

    def vectors_at(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, d)."""
        import faiss

        if self.effort()[0] == "nprobe":  # lists know their vectors, not the other way round
            with self._numbering:
                faiss.extract_index_ivf(self.index).make_direct_map()
        found: NDArray[np.float32] = self.index.reconstruct_batch(positions)
        return found


@contextlib.contextmanager
def _effort(index: Any, mask: NDArray[np.bool_] | None, *, nprobe: int, ef: int) -> Iterator[Any]:
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
