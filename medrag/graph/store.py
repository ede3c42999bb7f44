"""Reads the graph from its SQLite file: concepts, names, edges between nodes. Opened read-only and memory-mapped.

A node is one or more concepts that mean the same (see `medrag.graph.merge`); it is called by the CURIE of its first
concept. Every method takes a CURIE or a global id. How paths are found and scored stands in `medrag.graph.walk`.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, NamedTuple

from medrag.errors import IndexCorrupt, IndexMismatch, IndexMissing
from medrag.graph.build import FORMAT, GraphBuilder, curie_of, unpacked
from medrag.graph.relations import prior
from medrag.types import Concept

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Edge:
    """A statement between two nodes, merged over the sources that make it."""

    subject: str
    relation: str
    object: str
    polarity: str = "present"
    sources: tuple[str, ...] = ()
    docs: tuple[str, ...] = ()  # the entries or reports that make the statement
    meta: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def other(self, end: str) -> str:
        return self.object if end == self.subject else self.subject


@dataclass(frozen=True, slots=True)
class Path:
    """A walk without repeated nodes: ``edges[i]`` joins ``nodes[i]`` and ``nodes[i + 1]``, in either direction."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    score: float


class Step(NamedTuple):
    """One way from a node to another; sorts the best first, then by the statement."""

    cost: float  # minus the weight
    key: tuple[str, str, str, str]  # subject, relation, object, polarity
    there: str
    rows: list[tuple[int, str, str | None]]  # source, document, meta


class Named(NamedTuple):
    """A node that carries a name. Ranks: 0 preferred name, 1 synonym, 2 last word of a preferred name of two words."""

    node: str
    rank: int
    capitals: bool  # an abbreviation, which a text must write in capitals
    coded: bool  # the node has a CUI


class _Rows(sqlite3.Cursor):
    """A cursor that tells of a file that is damaged in the middle as IndexCorrupt, and moves while no other of its connection does."""

    connection: _Base

    def _sound(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            with self.connection.moving:
                return step(*args)
        except sqlite3.DatabaseError as error:
            raise IndexCorrupt(f"the graph is damaged: {error}", "build the index again") from error

    def execute(self, *args: Any) -> _Rows:
        self._sound(super().execute, *args)
        return self

    def fetchone(self) -> Any:
        return self._sound(super().fetchone)

    def fetchall(self) -> list[Any]:
        return list(self._sound(super().fetchall))

    def __next__(self) -> Any:
        return self._sound(super().__next__)


class _Base(sqlite3.Connection):
    """A connection that threads share: from Python 3.12 on they would else get each other's rows."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.moving = threading.Lock()

    def execute(self, *args: Any) -> _Rows:
        return _Rows(self).execute(*args)


class GraphStore:
    """A finished graph. ``GraphStore.create(path)`` builds one, ``GraphStore.open(path)`` reads it."""

    def __init__(self, path: FilePath, base: sqlite3.Connection) -> None:
        self.path, self._base = path, base
        about = dict(base.execute("SELECT key, value FROM about"))
        if about.get("format") != FORMAT:
            raise IndexMismatch(
                f"{path} is a graph of the format {about.get('format')!r}, not {FORMAT!r}", "build the index again"
            )
        self._counts: dict[str, int] = json.loads(about["counts"])
        self.proper = frozenset(unpacked(about["proper"]))  # first words of names that keep their capital
        self._relations = dict(base.execute("SELECT r, name FROM relations"))
        self._sources = dict(base.execute("SELECT source, name FROM sources"))

    @staticmethod
    def create(path: str | FilePath) -> GraphBuilder:
        """A builder for a new graph at ``path``: ``add`` items, then ``finish``."""
        return GraphBuilder(path)

    @classmethod
    def open(cls, path: str | FilePath) -> GraphStore:
        """A finished graph, read-only; threads may share it.

        Raises IndexMissing, IndexCorrupt, or IndexMismatch for another format.
        """
        path = FilePath(path)
        if not path.is_file():
            raise IndexMissing(f"there is no graph at {path}", "medrag index build NAME")
        try:
            base = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False, factory=_Base
            )
            base.execute("PRAGMA mmap_size=8589934592")
            return cls(path, base)
        except (sqlite3.DatabaseError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise IndexCorrupt(f"{path} is not a readable graph ({error})", "build the index again") from error

    def close(self) -> None:
        self._base.close()

    def __len__(self) -> int:
        """The number of concepts."""
        return self._counts["concepts"]

    def counts(self) -> dict[str, int]:
        """Concepts, nodes, edges, names (keys), CUIs, and edges that were left out for want of a named end."""
        return dict(self._counts)

    # concepts ------------------------------------------------------------------------------------------------

    def __contains__(self, id: str) -> bool:
        return self._number(id) is not None

    def concept(self, id: str) -> Concept:
        """The concept of a CURIE or global id. Raises KeyError."""
        row = self._base.execute(f"SELECT {_COLUMNS} FROM concepts WHERE curie = ?", (curie_of(id),)).fetchone()
        if row is None:
            raise KeyError(id)
        return _concept(row)

    def node(self, id: str) -> str:
        """The node that a concept belongs to. Raises KeyError."""
        row = self._base.execute(
            "SELECT k.curie FROM concepts c JOIN concepts k ON k.n = c.node WHERE c.curie = ?", (curie_of(id),)
        ).fetchone()
        if row is None and id in self:
            raise IndexCorrupt(f"the graph is damaged: {id} has no node", "build the index again")
        if row is None:
            raise KeyError(id)
        return str(row[0])

    def members(self, id: str) -> list[Concept]:
        """All concepts of the node that ``id`` belongs to, the node's own first. Empty for an unknown id."""
        columns = ", ".join(f"k.{column}" for column in _COLUMNS.split(", "))
        rows = self._base.execute(
            f"SELECT {columns} FROM concepts c JOIN concepts k ON k.n = c.node WHERE c.curie = ?1 UNION "
            f"SELECT {columns} FROM concepts c JOIN concepts k ON k.node = c.node AND k.node != k.n WHERE c.curie = ?1 ORDER BY 1",
            (curie_of(id),),
        )
        return [_concept(row) for row in rows]

    def by_cui(self, cui: str) -> list[str]:
        """The concepts that carry a CUI, as CURIEs."""
        rows = self._base.execute(
            "SELECT c.curie FROM cuis u JOIN concepts c ON c.n = u.concept WHERE u.cui = ? ORDER BY c.n", (cui,)
        )
        return [curie for (curie,) in rows]

    def named(self, keys: Collection[str]) -> dict[str, list[Named]]:
        """For each key of `medrag.graph.words` that is a name: the nodes that carry it, best first."""
        found: dict[str, list[Named]] = {}
        wanted = json.dumps(list(keys), ensure_ascii=False)
        rows = self._base.execute(
            "SELECT k.key, n.curie, k.rank, k.cased, n.coded FROM json_each(?) j CROSS JOIN keys k ON k.key = j.value "
            "JOIN concepts c ON c.n = k.concept JOIN concepts n ON n.n = c.node ORDER BY k.key, k.rank, c.node, c.n",
            (wanted,),
        )
        for key, curie, rank, cased, coded in rows:
            found.setdefault(key, []).append(Named(curie, rank, bool(cased), bool(coded)))
        return found

    def coded_names(self) -> list[tuple[str, str]]:
        """(node, preferred name) of every concept of a node that has a CUI, in the graph's order."""
        return self._base.execute(
            "SELECT k.curie, c.name FROM concepts c JOIN concepts k ON k.n = c.node WHERE k.coded ORDER BY c.n"
        ).fetchall()

    def crosswalk(self, id: str) -> dict[str, tuple[str, ...]]:
        """The codes of a node by vocabulary: {"UMLS": ("C0032227",), "SNOMEDCT_US": …, "ICD10CM": …, "HP": …}; empty for an unknown id."""
        found: dict[str, dict[str, None]] = {}
        for member in self.members(id):
            for code in (curie_of(member.id), *member.xrefs, *(f"UMLS:{cui}" for cui in member.cuis)):
                vocabulary, _, local = code.partition(":")
                found.setdefault(vocabulary, {})[local] = None
        return {vocabulary: tuple(codes) for vocabulary, codes in sorted(found.items())}

    def by_code(self, code: str) -> list[str]:
        """The nodes of a CURIE, a global id, a CUI, a former id or a cross-reference ("ICD10CM:J90"), without repetition."""
        code = curie_of(code)
        if code in self:
            return [self.node(code)]
        rows = self._base.execute(
            "SELECT DISTINCT k.curie FROM xrefs x JOIN concepts c ON c.n = x.concept JOIN concepts k ON k.n = c.node WHERE x.curie = ? ORDER BY k.n",
            (code,),
        ).fetchall()
        found = [curie for (curie,) in rows] or [self.node(one) for one in self.by_cui(code.removeprefix("UMLS:"))]
        return list(dict.fromkeys(found))

    def degree(self, id: str) -> int:
        """How many other nodes a node has edges with. Raises KeyError for an unknown id, IndexCorrupt for a concept whose node is not there."""
        row = self._base.execute(
            "SELECT k.degree FROM concepts c JOIN concepts k ON k.n = c.node WHERE c.curie = ?", (curie_of(id),)
        ).fetchone()
        if row is None and (
            id in self or self._base.execute("SELECT 1 FROM concepts WHERE curie = ?", (id,)).fetchone()
        ):
            raise IndexCorrupt(f"the graph is damaged: {id} has no node", "build the index again")
        if row is None:
            raise KeyError(id)
        return int(row[0])

    def _number(self, id: str) -> int | None:
        row = self._base.execute("SELECT node FROM concepts WHERE curie = ?", (curie_of(id),)).fetchone()
        return int(row[0]) if row else None

    # edges ---------------------------------------------------------------------------------------------------

    def neighbours(self, id: str, relations: Collection[str] | None = None, limit: int | None = 64) -> list[Edge]:
        """The edges of a node in both directions, the most telling first: by prior and by how few neighbours the other has.

        An unknown id has none.
        """
        return [self.edge(step) for step in self.steps(id, relations)[:limit]]

    def steps(self, id: str, relations: Collection[str] | None = None) -> list[Step]:
        """All edges of a node, not yet made into objects, by falling weight (see `step_weight`), then by their ends."""
        if (number := self._number(id)) is None:
            return []
        name = self.node(id)
        merged: dict[tuple[str, str, str, str], Step] = {}
        for s, r, _, polarity, source, doc, meta, curie, degree in self._base.execute(_STEPS, (number, number)):
            relation = self._relations[r]
            if relations is None or relation in relations:
                forward = s == number
                key = (name, relation, curie, polarity) if forward else (curie, relation, name, polarity)
                if key not in merged:
                    merged[key] = Step(-step_weight(relation, degree, forward), key, curie, [])
                merged[key].rows.append((source, doc, meta))
        return sorted(merged.values())

    def edge(self, step: Step) -> Edge:
        """The statement of a step, with its sources; frequencies that differ all stand in ``meta["frequency"]``, "2/4; HP:0040282"."""
        subject, relation, target, polarity = step.key
        sources = tuple(dict.fromkeys(self._sources[source] for source, _, _ in step.rows))
        meta: dict[str, Any] = next((json.loads(some) for _, _, some in step.rows if some), {})
        if often := _frequencies(step):
            meta["frequency"] = often
        docs = tuple(dict.fromkeys(doc or f"{self._sources[source]}:{subject}" for source, doc, _ in step.rows))
        return Edge(subject, relation, target, polarity, sources, docs, meta)

    def paths(self, starts: str | Iterable[str], hops: int = 2, limit: int = 50) -> list[Path]:
        """The best walks of at most ``hops`` edges from a start or any of several; none for less than one. See `medrag.graph.walk`."""
        from medrag.graph.walk import best_paths

        return best_paths(self, [starts] if isinstance(starts, str) else starts, hops, limit)

    def view(self, ids: str | Iterable[str], hops: int = 1) -> nx.MultiDiGraph:
        """The neighbourhood of a node or several as a networkx graph: nodes with name and cuis, edges keyed by relation."""
        import networkx as nx

        graph = nx.MultiDiGraph()
        ring = {self.node(id) for id in ([ids] if isinstance(ids, str) else ids) if id in self}
        seen: set[str] = set()
        for _ in range(hops):
            edges = [edge for id in sorted(ring) for edge in self.neighbours(id, limit=None)]
            graph.add_edges_from(
                (e.subject, e.object, e.relation, {"polarity": e.polarity, "sources": e.sources}) for e in edges
            )
            seen |= ring
            ring = {end for e in edges for end in (e.subject, e.object)} - seen
        for id in sorted(seen | ring):
            concept = self.concept(id)
            graph.add_node(id, name=concept.name, cuis=concept.cuis)
        return graph


def _frequencies(step: Step) -> str:
    told = (json.loads(some).get("frequency") for _, _, some in step.rows if some and '"frequency"' in some)
    return "; ".join(dict.fromkeys(str(one) for one in told if one))


def step_weight(relation: str, degree: int, forward: bool = True) -> float:
    """What one step is worth, 0–1: the relation's prior, less the more neighbours the node has that it leads to."""
    return prior(relation, forward) / math.log2(1 + max(1, degree))


_COLUMNS = "n, id, name, synonyms, cuis, definition, types, xrefs, meta"
_STEPS = (
    "SELECT e.s, e.r, e.o, e.polarity, e.source, e.doc, e.meta, c.curie, c.degree FROM edges e JOIN concepts c ON c.n = e.o WHERE e.s = ? "
    "UNION ALL SELECT e.s, e.r, e.o, e.polarity, e.source, e.doc, e.meta, c.curie, c.degree FROM edges e JOIN concepts c ON c.n = e.s WHERE e.o = ?"
)


def _concept(row: Sequence[Any]) -> Concept:
    _, id, name, synonyms, cuis, definition, types, xrefs, meta = row
    return Concept(
        id,
        name,
        unpacked(synonyms),
        unpacked(cuis),
        definition,
        unpacked(types),
        unpacked(xrefs),
        json.loads(meta) if meta else {},
    )
