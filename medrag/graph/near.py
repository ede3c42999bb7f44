"""Concepts whose names mean nearly the same as a term: the second way of linking, where no dictionary match covers the term.

The preferred names of all concepts with a CUI are encoded once for each graph and encoder (SapBERT, Liu et al., NAACL 2021, where it is there; the
shipped sentence encoder otherwise) and kept in medrag's home, memory-mapped. It links terms, not running text: what is near is always
something, so a least cosine decides whether it is near enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medrag._util.files import atomic_open, sha256_text
from medrag._util.places import home
from medrag._util.progress import track
from medrag.types import Query

if TYPE_CHECKING:
    from medrag.graph.store import GraphStore
    from medrag.protocols import Encoder

BATCH = 512
LEAST = 0.8  # cosine of the shipped encoder from which a name counts as the term's; see eval/tasks/linking.yaml for how sure that is


class NearNames:
    """The names of a graph as unit vectors of one encoder."""

    def __init__(self, store: GraphStore, encoder: Encoder, least: float = LEAST, folder: Path | None = None) -> None:
        self.store, self.encoder, self.least = store, encoder, least
        rows = store.coded_names()
        self.nodes, names = [node for node, _ in rows], [name for _, name in rows]
        key = sha256_text(encoder.fingerprint, *self.nodes, *names)[:24]
        path = (folder or home() / "graph") / f"{key}.npy"
        if not path.exists():
            self._encode(path, names)
        self.vectors = np.load(path, mmap_mode="r")

    def nearest(self, terms: Sequence[str], k: int = 1) -> list[list[tuple[str, float]]]:
        """For each term at most k (node, cosine) of at least ``least``, best first."""
        if not terms or not len(self.vectors):
            return [[] for _ in terms]
        asked = self.encoder.encode_queries([Query(term) for term in terms]).astype(np.float32)
        scores = asked @ np.asarray(self.vectors, np.float32).T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [(self.nodes[n], float(row[n])) for n in order if row[n] >= self.least]
            for row, order in zip(scores, best, strict=True)
        ]

    def _encode(self, path: Path, names: Sequence[str]) -> None:
        parts = [
            self.encoder.encode_queries([Query(name) for name in names[n : n + BATCH]]).astype(np.float16)
            for n in track(range(0, len(names), BATCH), "encode names")
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_open(path) as stream:
            np.save(stream, np.concatenate(parts) if parts else np.zeros((0, self.encoder.dim), np.float16))
