"""The knowledge graph: built from concepts and triples, kept in one SQLite file, linked to text, walked by hops."""

from medrag.graph.link import Linker, Mention
from medrag.graph.store import Edge, GraphStore, Path

__all__ = ["Edge", "GraphStore", "Linker", "Mention", "Path"]
