"""A new FAISS index of a factory string, trained where its kind has to be: on evenly spaced rows, so that it is the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medrag.errors import SettingsError

if TYPE_CHECKING:
    from medrag.protocols import Vectors

# effort of finding lists by a graph when adding: at 16,384 lists in 64 groups the nearest in 997 of 1,000 cases.
# At 32 a twentieth goes to the lists of another group, where no search finds it
LIST_EF = 128


def trained(factory: str, vectors: Vectors) -> Any:
    """An empty index, ready for vectors such as these. Raises SettingsError where FAISS does not know the factory string or cannot train it by them."""
    import faiss

    try:
        index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise SettingsError(
            f"FAISS cannot make {factory!r} for {vectors.shape[1]} dimensions: {reason(error)}",
            "see FAISS's index factory; 'Flat' always works",
        ) from error
    if isinstance(index, faiss.IndexIDMap):
        raise SettingsError(f"{factory!r} numbers vectors itself, as medrag does", "leave IDMap out")
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None and isinstance(faiss.downcast_index(inverted), faiss.IndexIVFFastScan):
        # asked for its vectors after it was opened, FAISS ends the whole process
        raise SettingsError(
            f"{factory!r} gives no vectors back", "leave fs out: 'IVF1024,PQ48' in place of 'IVF1024,PQ48x4fs'"
        )
    if not index.is_trained:
        try:
            _train(index, vectors)
        except RuntimeError as error:
            raise SettingsError(
                f"{len(vectors)} vectors cannot train {factory!r}: {reason(error)}",
                "take a smaller factory string, or 'Flat'",
            ) from error
    return index


def _train(index: Any, vectors: Vectors) -> None:
    """On 200,000 rows, or 40 for each list."""
    import faiss

    inverted = faiss.try_extract_index_ivf(index)
    lists = int(inverted.nlist) if inverted else 0
    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), max(200_000, 40 * lists))).astype(int)
    sample = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    graph = faiss.downcast_index(inverted.quantizer) if inverted else None
    if isinstance(graph, faiss.IndexHNSW) and lists * 2 <= len(sample):  # of so many lists, one level takes hours
        graph.hnsw.efSearch = LIST_EF
        graph.add(_two_levels(sample, lists))
    index.train(sample)


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


def reason(error: RuntimeError) -> str:
    """The last sentence of a FAISS error, without its C++ signature."""
    text = " ".join(str(error).split())
    return text.rpartition("failed: ")[2] if "failed: " in text else text.rpartition(": ")[2] or text
