"""Concepts whose names mean nearly the same as a term: the second way of linking, where no dictionary match covers the term.

The preferred names of all concepts with a CUI are encoded once for each graph and encoder (SapBERT, Liu et al., NAACL 2021, where it is there; the
shipped sentence encoder otherwise) at the first use and kept in medrag's home, memory-mapped. It links terms, not running text: what is near is always
something, so a least cosine decides whether it is near enough. A question's terms are sought among its short runs of words.
"""

from __future__ import annotations

import functools
import itertools
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medrag._util.files import atomic_open, sha256_text
from medrag._util.places import home
from medrag._util.progress import track
from medrag._util.text import STOPWORDS
from medrag.graph.runs import STOP
from medrag.graph.words import tokens
from medrag.types import Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.graph.store import GraphStore
    from medrag.protocols import Encoder

BATCH = 512
BLOCK = 65_536  # names whose cosines are taken at once
LEAST = 0.8  # cosine of the shipped encoder from which a name counts as the term's; see eval/tasks/linking.yaml for how sure that is
MOST_WORDS = 40  # of a text whose terms are sought: a question, no report
LONGEST = 6  # words of such a term
INSIDE = frozenset("of in on the a an to with".split())  # within a term, not at its ends
_PAUSE = re.compile(r"[.,;:?!()/]")


class NearNames:
    """The names of a graph as unit vectors of one encoder."""

    def __init__(self, store: GraphStore, encoder: Encoder, least: float = LEAST, folder: Path | None = None) -> None:
        self.store, self.encoder, self.least = store, encoder, least
        rows = store.coded_names()
        self.nodes, names = [node for node, _ in rows], [name for _, name in rows]
        self._names, self._folder, self._lock = names, folder, threading.Lock()

    @functools.cached_property
    def vectors(self) -> NDArray[np.float16]:
        """(names, d), read from the file that the first use in any process writes."""
        key = sha256_text(self.encoder.fingerprint, *self.nodes, *self._names)[:24]
        path = (self._folder or home() / "graph") / f"{key}.npy"
        with self._lock:
            if not path.exists():
                self._encode(path, self._names)
        found: NDArray[np.float16] = np.load(path, mmap_mode="r")
        return found

    def nearest(self, terms: Sequence[str], k: int = 1) -> list[list[tuple[str, float]]]:
        """For each term at most k (node, cosine) of at least ``least``, best first."""
        if not terms or not len(self.vectors):
            return [[] for _ in terms]
        asked = self.encoder.encode_queries([Query(term) for term in terms]).astype(np.float32)
        blocks = (self.vectors[n : n + BLOCK].astype(np.float32) for n in range(0, len(self.vectors), BLOCK))
        scores = np.concatenate([asked @ block.T for block in blocks], axis=1)
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


def may_be_terms(text: str) -> list[tuple[int, int]]:
    """(start, end) of each run of up to `LONGEST` words of a question that may be a term; none in a text of more than `MOST_WORDS`.

    >>> [("What is a failing heart?")[start:end] for start, end in may_be_terms("What is a failing heart?")]
    ['failing', 'failing heart', 'heart']
    """
    places = [(start, end) for _, start, end in tokens(text)]
    if len(places) > MOST_WORDS:
        return []
    ends = itertools.combinations_with_replacement(range(len(places)), 2)
    runs = ((places[first][0], places[last][1]) for first, last in ends if last - first < LONGEST)
    return [run for run in runs if _may_be_term(text[slice(*run)])]


def _may_be_term(text: str) -> bool:
    words = text.lower().split()
    said = [word for word in words if word not in INSIDE]
    ends_well = not INSIDE & {words[0], words[-1]} and STOPWORDS.isdisjoint(said) and not _PAUSE.search(text)
    return ends_well and (len(said) > 1 or (len(text) > 4 and text.lower() not in STOP))
