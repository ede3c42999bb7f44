"""In how many documents texts make a statement of the graph, and in what words, without those that are excluded.

An edge that ontologies state too keeps what they say; only documents whose sentence was kept (`medrag.graph.said`) are counted and quoted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medrag.graph.said import MARK
from medrag.types import page_id

if TYPE_CHECKING:
    from medrag.graph.store import Edge, GraphStore, Step

FREQUENCIES = {  # of HPO, with the shares of cases that it gives them
    "HP:0040280": "always: 100 %", "HP:0040281": "very frequent: 80–99 %", "HP:0040282": "frequent: 30–79 %", "HP:0040283": "occasional: 5–29 %",
    "HP:0040284": "very rare: 1–4 %", "HP:0040285": "excluded: 0 %",
}  # fmt: skip
_NOUNS = {"study": ("report", "reports")}
_OTHERS = ("text", "texts")


@dataclass(frozen=True, slots=True)
class Told:
    """``counts``: documents by polarity, those of the edge's own ends and relation; ``quotes``: of the edge itself, {"doc", "quote"}."""

    counts: Mapping[str, int] = field(default_factory=dict)
    quotes: tuple[Mapping[str, str], ...] = ()
    nouns: tuple[str, str] = _OTHERS


def stated(store: GraphStore, edge: Edge, exclude: Collection[str] = ()) -> Told:
    """Who says it in a text; nothing for an edge that no text states."""
    if "quote" not in edge.meta and len(edge.docs) == 1:
        return Told()
    found: dict[str, dict[str, Mapping[str, Any]]] = {polarity: {} for polarity in MARK}
    for step in _steps(store, edge):
        for doc, meta in _quoted(step, exclude):
            found[step.key[3]].setdefault(doc, meta)
    own = found[edge.polarity]
    if not own:
        return Told()
    kinds = {str(meta["text"]) for meta in own.values()}
    quotes = tuple({"doc": doc, "quote": str(meta["quote"])} for doc, meta in own.items())
    return Told(
        {polarity: len(docs) for polarity, docs in found.items()},
        quotes,
        _NOUNS.get(kinds.pop(), _OTHERS) if len(kinds) == 1 else _OTHERS,
    )


def in_words(told: Told, edge: Edge) -> str:
    """How often it is said, as it stands behind a statement: " (stated in 20 reports)"; empty where no text says it."""
    count = told.counts.get(edge.polarity, 0)
    return f" (stated in {count:,} {told.nouns[count != 1]})" if count else ""


def how_often(edge: Edge) -> str:
    """How often a disease has a feature, behind the statement: " (frequent: 30–79 %)", " (in 2 of 4 cases)"; empty where no annotation says."""
    often = str(edge.meta.get("frequency") or "") if edge.relation == "has_phenotype" else ""
    return f" ({'; '.join(map(_often, often.split('; ')))})" if often else ""


def _often(frequency: str) -> str:
    """A frequency of HPO's annotations in words: a term of HPO, a count of cases, or a percentage."""
    some, over, all_ = frequency.partition("/")
    if over:
        return f"in {some} of {all_} cases"
    return f"in {frequency[:-1]} % of cases" if frequency.endswith("%") else FREQUENCIES.get(frequency, frequency)


def left(store: GraphStore, edge: Edge, exclude: Collection[str]) -> Edge | None:
    """The edge as the documents that are not excluded state it, with their words alone; None where no other states it."""
    parts = [one.rpartition("~")[0] or one for one in exclude]
    named = {*exclude, *parts, *(one.rpartition("#")[0] for one in parts)}  # a passage, its page, and the document
    if named.isdisjoint(edge.docs):
        return edge
    step = next(step for step in _steps(store, edge) if step.key[3] == edge.polarity)
    rows = [
        row
        for row in step.rows
        if not {(said := _passage(row[2])), page_id(said), *store.edge(step._replace(rows=[row])).docs} & set(exclude)
    ]
    return store.edge(step._replace(rows=rows)) if rows else None


def _steps(store: GraphStore, edge: Edge) -> Iterator[Step]:
    """The statements of the same relation between the same ends, of whatever polarity, from the end with fewer neighbours."""
    end = min((edge.subject, edge.object), key=store.degree)
    wanted = (edge.subject, edge.relation, edge.object)
    return (step for step in store.steps(end, (edge.relation,)) if step.key[:3] == wanted)


def _quoted(step: Step, exclude: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for _, doc, some in step.rows:
        meta = json.loads(some) if some else {}
        if "quote" in meta and not {doc, said := str(meta.get("passage", "")), page_id(said)} & set(exclude):
            yield doc, meta


def _passage(meta: str | None) -> str:
    return str(json.loads(meta).get("passage", "")) if meta else ""
