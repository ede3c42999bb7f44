"""Which concepts are one node: those that share a CUI, are stated to match, or refer to each other one to one.

Three kinds of evidence, in this order, each in the order of the concepts:
1. ``exact_match`` statements between concepts (SSSOM);
2. a CUI that both carry (CUIs from ``exact_match`` statements included); where it is one of several of either, they must share a name too,
   since an ontology gives its general terms the CUIs of narrower and of neighbouring things;
3. a cross-reference from A to B, where A refers to no other term of B's ontology and no other term of A's ontology to B;
4. the same preferred name (`medrag.graph.words.keys`), where one concept is nothing but a name with a CUI (a row of a node table) and the other
   has no CUI at all: "Contusions" of MeSH gets the CUI of Hetionet's "Contusion".

A node holds at most one concept of each ontology: two terms that an ontology keeps apart stay apart, even when it gives
both the same CUI. That also keeps chains of doubtful references from joining unrelated things. Concepts that are CUIs themselves join
last, so that two ontologies that agree are not kept apart by the two CUIs that UMLS has for it.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from collections.abc import Iterator

from medrag.graph.words import keys

UMLS = "UMLS"  # the ontology of concepts that are CUIs themselves


def join_concepts(base: sqlite3.Connection) -> None:
    """Sets ``concepts.node`` to the first concept of each node, and adds the CUIs that statements give."""
    _stated_cuis(base)
    groups = _Groups(base)
    umls = []
    for left, right in _pairs(base):
        if UMLS in groups.of(left) or UMLS in groups.of(right):
            umls.append((left, right))
        else:
            groups.join(left, right)
    for left, right in itertools.chain(umls, _named_alike(base, groups)):
        groups.join(left, right)
    base.executemany("UPDATE concepts SET node = ? WHERE n = ?", sorted(groups.nodes()))


def _stated_cuis(base: sqlite3.Connection) -> None:
    base.execute("INSERT INTO stage.cuis SELECT c.cui, k.n FROM stage.cui_of c JOIN concepts k ON k.curie = c.curie")
    rows = base.execute(
        "SELECT k.n, k.cuis, c.cui FROM stage.cui_of c JOIN concepts k ON k.curie = c.curie ORDER BY k.n, c.cui"
    ).fetchall()
    added: dict[int, dict[str, None]] = {}
    for n, cuis, cui in rows:
        added.setdefault(n, dict.fromkeys(cuis.split("\n") if cuis else ()))[cui] = None
    base.executemany("UPDATE concepts SET cuis = ? WHERE n = ?", [("\n".join(cuis), n) for n, cuis in added.items()])


def _pairs(base: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    yield from base.execute(
        "SELECT DISTINCT a.n, b.n FROM stage.same s JOIN concepts a ON a.curie = s.left JOIN concepts b ON b.curie = s.right ORDER BY 1, 2"
    ).fetchall()
    shared = "SELECT cui FROM (SELECT DISTINCT cui, concept FROM stage.cuis) GROUP BY cui HAVING count(*) > 1"
    rows = base.execute(
        f"SELECT DISTINCT cui, concept FROM stage.cuis WHERE cui IN ({shared}) ORDER BY cui, concept"
    ).fetchall()
    several = {n for (n,) in base.execute(_SEVERAL)}
    names: dict[int, set[str]] = {}
    first: dict[str, list[int]] = defaultdict(list)
    for cui, concept in rows:
        for other in first[cui]:
            if several.isdisjoint((other, concept)) or _names(base, other, names) & _names(base, concept, names):
                yield other, concept
        first[cui].append(concept)
    yield from _references(base)


_SEVERAL = "SELECT concept FROM stage.cuis GROUP BY concept HAVING count(DISTINCT cui) > 1"


def _names(base: sqlite3.Connection, n: int, known: dict[int, set[str]]) -> set[str]:
    """The keys of all names of a concept."""
    if n not in known:
        name, synonyms = base.execute("SELECT name, synonyms FROM concepts WHERE n = ?", (n,)).fetchone()
        known[n] = {key for one in (name, *synonyms.split("\n")) for key in keys(one)}
    return known[n]


def _references(base: sqlite3.Connection) -> list[tuple[int, int]]:
    """One-to-one cross-references as (smaller, larger) concept."""
    rows = base.execute(
        "SELECT DISTINCT a.n, a.curie, b.n, b.curie FROM stage.xrefs x JOIN concepts b ON b.curie = x.curie JOIN concepts a ON a.n = x.concept WHERE a.n != b.n"
    ).fetchall()
    away: dict[tuple[int, str], set[int]] = defaultdict(set)
    back: dict[tuple[int, str], set[int]] = defaultdict(set)
    for a, a_curie, b, b_curie in rows:
        away[a, _ontology(b_curie)].add(b)
        back[b, _ontology(a_curie)].add(a)
    single = ((a, b) for a, ac, b, bc in rows if len(away[a, _ontology(bc)]) == 1 == len(back[b, _ontology(ac)]))
    return sorted({(min(pair), max(pair)) for pair in single})


def _named_alike(base: sqlite3.Connection, groups: _Groups) -> list[tuple[int, int]]:
    """(concept without a CUI, bare concept with one) of the same preferred name; a name that two bare concepts have says nothing."""
    coded = {n for (n,) in base.execute("SELECT n FROM concepts WHERE cuis != ''") if n in groups}
    without: dict[str, list[int]] = defaultdict(list)
    for n, name in base.execute("SELECT n, name FROM concepts WHERE cuis = '' ORDER BY n"):
        if n not in groups or coded.isdisjoint(groups.of(n).values()):
            for key in keys(name):
                without[key].append(n)
    bare: dict[str, list[int]] = defaultdict(list)
    rows = (
        "SELECT n, name FROM concepts WHERE cuis != '' AND synonyms = '' AND definition = '' AND xrefs = '' ORDER BY n"
    )
    for n, name in base.execute(rows) if without else ():
        for key in keys(name):
            if key in without:
                bare[key].append(n)
    return [(n, ns[0]) for key, ns in bare.items() if len(ns) == 1 for n in without[key]]


def _ontology(curie: str) -> str:
    return curie.partition(":")[0]


class _Groups:
    """Disjoint sets of concepts with at most one of each ontology."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base
        self._group: dict[int, dict[str, int]] = {}  # concept → its group: ontology → concept

    def __contains__(self, concept: object) -> bool:
        return concept in self._group

    def of(self, concept: int) -> dict[str, int]:
        """The concepts that are one with this one, itself among them, by ontology."""
        if concept not in self._group:
            (curie,) = self._base.execute("SELECT curie FROM concepts WHERE n = ?", (concept,)).fetchone()
            self._group[concept] = {_ontology(curie): concept}
        return self._group[concept]

    def join(self, left: int, right: int) -> None:
        a, b = self.of(left), self.of(right)
        if a is not b and not a.keys() & b.keys():
            a.update(b)
            for concept in b.values():
                self._group[concept] = a

    def nodes(self) -> Iterator[tuple[int, int]]:
        """(node, concept) of every concept that is not a node of its own."""
        for concept, group in self._group.items():
            if (node := min(group.values())) != concept:
                yield node, concept
