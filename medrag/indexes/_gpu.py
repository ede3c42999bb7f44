"""A FAISS index on one GPU or on several, copied when it is first asked. The CPU searches where there is none, where it does not fit, or more is asked than it gives.

Johnson, Douze, Jégou, *Billion-scale similarity search with GPUs* (2017). FAISS' GPU indexes know no filters and serve one search at a time. Written
after the library's sources and tested with a stand-in that has its limits, not on a GPU.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from medrag.protocols import Vectors

HOW = ("auto", "never", "replicas", "shards")
MOST = 2048  # the most neighbours that a search gives, and the most lists that it looks into
# how far scores may be off for unit vectors: in single precision, and in half, where each of the two numbers in a product is off by at most 2⁻¹¹ of it
SLACK, HALF = 1e-5, 2e-3


class Gpu:
    """Where an index is searched. ``auto``: on the first GPU; ``replicas``: a copy on each, for searches at the same time; ``shards``: a part on each,
    for what one cannot hold; ``never``. ``half``: vectors of ``Flat``, and the tables of product codes, in half precision."""

    def __init__(self, how: str = "auto", half: bool = False) -> None:
        self.how, self.half = how, half
        self._making = threading.Lock()
        self._copies: SimpleQueue[Any] | None = None  # those that nobody searches
        self._fits = how != "never"  # until it says otherwise

    def forget(self) -> None:
        """The index has changed: it is copied anew."""
        self._copies = None

    @property
    def slack(self) -> float:
        """How far scores may be off."""
        return HALF if self.half and self.how != "never" and _count() else SLACK

    def search(self, index: Any, queries: Vectors, k: int, nprobe: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """Scores and positions (n, k) of an index' nearest; None where the CPU has to search."""
        lists = getattr(index, "nlist", 0)
        if k > MOST or min(nprobe, lists) > MOST or (copies := self._copied(index)) is None:
            return None
        copy = copies.get()
        try:
            return _asked(copy, queries, k, min(nprobe, lists))
        except RuntimeError:  # such as memory that does not do for the search
            self._fits, self._copies = False, None
            return None
        finally:
            copies.put(copy)

    def _copied(self, index: Any) -> SimpleQueue[Any] | None:
        with self._making:
            if not self._fits or not _count() or not _takes(index):
                return None
            if self._copies is None:
                try:
                    made = _copies(index, self.how, self.half)
                except (RuntimeError, AttributeError):
                    self._fits = False
                    return None
                self._copies = SimpleQueue()
                for one in made:
                    self._copies.put(one)
            return self._copies


def _count() -> int:
    import faiss

    return int(getattr(faiss, "get_num_gpus", int)())


def _takes(index: Any) -> bool:
    """Whether FAISS' GPU code has this kind of index; others it would take for what they are made of."""
    import faiss

    lists = (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ)
    return isinstance(index, faiss.IndexFlat) or type(index) in lists


def _copies(index: Any, how: str, half: bool) -> list[Any]:
    """An index that lies on the first GPU, on each, or on all together. Raises RuntimeError where it does not fit."""
    import faiss as untyped

    faiss: Any = untyped
    options = faiss.GpuMultipleClonerOptions()
    options.useFloat16, options.shard = half, how == "shards"
    options.use_cuvs = False  # which knows no 8-bit codes
    options.allowCpuCoarseQuantizer = True  # lists that a graph finds
    every = list(range(_count()))
    groups = {"replicas": [[n] for n in every], "shards": [every]}.get(how, [[0]])
    return [faiss.index_cpu_to_gpus_list(index, co=options, gpus=some) for some in groups]


def _asked(copy: Any, queries: Vectors, k: int, nprobe: int) -> tuple[NDArray[Any], NDArray[Any]]:
    import faiss as untyped

    faiss: Any = untyped
    if nprobe:
        faiss.GpuParameterSpace().set_index_parameter(copy, "nprobe", nprobe)
    scores, positions = copy.search(np.ascontiguousarray(queries), k)
    return scores, positions
