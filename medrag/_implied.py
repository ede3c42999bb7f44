"""What a recipe that names no indexes gets: the encoders and indexes that its corpora call for, as in the recipes that ship.

Texts are found by meaning and by words, reports whole and by the look of a film too, pictures by look. Ontologies need no index: they
become the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

_REPORTS = frozenset({"study", "image"})
_READ: dict[str, frozenset[str]] = {
    "pdf": frozenset({"passage", "image"}), "text": frozenset({"passage"}), "medquad": frozenset({"passage"}),
    "openi": _REPORTS, "reports-csv": _REPORTS, "reports-jsonl": _REPORTS, "fhir": _REPORTS,
    "images": frozenset({"image"}), "dicom": frozenset({"image"}),
} | dict.fromkeys(("obo", "obo-graph", "rrf", "mesh", "radlex", "hpoa", "sssom", "edges"), frozenset[str]())  # fmt: skip

_ENCODERS: dict[str, dict[str, Any]] = {
    "text": {"model": "minilm"},
    "image": {"model": "medrag-small"},
    "router": {"model": "efficientnet-lite2"},
    "image-words": {"model": "medrag-small", "kind": "open-clip-text"},
}
_INDEXES: dict[str, dict[str, Any]] = {
    "text": {"kind": "faiss", "encoder": "text", "items": ["passage"]},
    "lexical": {"kind": "bm25", "items": ["passage"]},
    "reports": {"kind": "faiss", "encoder": "text", "items": ["study"], "retriever": "reports"},
    "reports-lexical": {"kind": "bm25", "items": ["study"], "retriever": "reports-lexical"},
    "image": {"kind": "faiss", "encoder": "image", "items": ["image"]},
    "similar-reports": {"kind": "faiss", "encoder": "image-words", "items": ["study"], "retriever": "similar-reports"},
}


def kinds_read(readers: Iterable[str]) -> set[str]:
    """The kinds of items that these readers may give and that an index takes; all of them for a reader of the user's own."""
    return {kind for reader in readers for kind in _READ.get(reader, _REPORTS | {"passage"})}


def implied(kinds: Collection[str]) -> dict[str, Any]:
    """``encoders``, ``indexes``, ``chunk`` and ``router`` of a recipe for items of these kinds (passage, study, image)."""
    indexes = {name: index for name, index in _INDEXES.items() if index["items"][0] in kinds}
    used = {index.get("encoder") for index in indexes.values()} | ({"router"} if indexes else set())
    encoders = {name: encoder for name, encoder in _ENCODERS.items() if name in used}
    found: dict[str, Any] = {"encoders": encoders, "indexes": indexes} if indexes else {}
    if "study" in kinds:
        found["chunk"] = {"studies": False}  # a report is short: it is indexed whole
    return found | ({"router": "router-lite2"} if indexes else {})
