"""Names of diseases and findings linked to their codes: terms that people annotated, the linker, and where it misses.

MedQuAD's focus terms carry UMLS codes (Ben Abacha & Demner-Fushman, BMC Bioinformatics 2019); HPO's names and synonyms stand for their own
term. A link is right when the node that is named first, or a concept that one of its cross-references names, carries one of the annotated
codes. It measures names that stand alone, not names in running text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag.corpora import open_corpus, realdata
from medrag.errors import SettingsError
from medrag.eval.arms import Arm, one_by_one
from medrag.eval.tasks import Example, Output, Task, check_split
from medrag.graph import GraphStore, Linker
from medrag.graph.words import keys
from medrag.score.overlap import ratio
from medrag.settings import CorpusSettings
from medrag.types import Concept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.pipeline import MedRAG
    from medrag.score import Rows, Weights

Find = Callable[[str], list[str]]  # a name → nodes, the likeliest first
CAUSES = ("code_not_in_graph", "ambiguous", "narrower", "broader", "no_such_name", "another_concept", "not_linked")


def terms(data: Path, split: str, task: Task) -> list[Example]:
    """``split``: "medquad", "hpo", or "all" for both. The reference is a list of codes, any of which is right."""
    parts = {"medquad": _medquad, "hpo": _hpo}
    check_split(task, data, split, (*parts, "all"))
    return [example for name, read in parts.items() if split in (name, "all") for example in read(data)]


def _medquad(data: Path) -> list[Example]:
    """Each focus term once for each set of codes; one focus is one group."""
    found: dict[tuple[str, tuple[str, ...]], Example] = {}
    for term in realdata.medquad_terms(data):
        key = (term.focus.casefold(), tuple(sorted(term.cuis)))
        codes = [f"UMLS:{cui}" for cui in key[1]]
        tags = ("medquad", f"medquad: {term.group}") if term.group else ("medquad",)
        found.setdefault(key, Example(f"medquad/{term.id}", f"medquad/{key[0]}", term.focus, codes, tags=tags))
    return list(found.values())


def _hpo(data: Path) -> list[Example]:
    settings = CorpusSettings(name="hpo", reader="obo", path="open/kg/hp.obo.gz")
    made = []
    for item in open_corpus(settings, data).read(lambda _: None):
        if isinstance(item, Concept):
            code = item.id.removeprefix("hpo:")
            for n, name in enumerate(dict.fromkeys((item.name, *item.synonyms))):
                tags = ("hpo", "hpo: synonym" if n else "hpo: name")
                made.append(Example(f"{code}/{n}", code, name, [code], tags=tags))
    return made


def make_linker(name: str, rag: Callable[[], MedRAG]) -> Arm:
    """The arms ``linker`` (`medrag.graph.Linker`) and ``exact-name`` over the graph of the recipe. Raises SettingsError for others."""
    if name not in LINKERS:
        raise SettingsError(f"there is no arm {name!r} for links", f"known: {', '.join(LINKERS)}, or module:function")
    opened = rag()
    if opened.store is None or not opened.store.graph_path.is_file():
        raise SettingsError("names are linked to a graph, and the recipe has none", "name a recipe with ontologies")
    store = GraphStore.open(opened.store.graph_path)
    settings = {"fingerprint": opened.store.manifest.content_hash, "graph": store.counts()}
    return Arm(name, settings, one_by_one(functools.partial(_linked, Codes(store), LINKERS[name](store))))


def _linked(codes: Codes, find: Find, example: Example) -> Output:
    """What ``find`` makes of the name alone; the details say what the graph could have known, which `Linking` reads for the causes."""
    nodes = find(example.question)
    named = bool(exact(codes.store, example.question))
    wanted = {node for code in example.reference for node in codes.store.by_code(code)}
    details: dict[str, Any] = {"named": named, "known": bool(wanted)}
    if nodes and nodes[0] not in wanted:
        details["narrower"] = not wanted.isdisjoint(codes.above(nodes[0]))
        details["broader"] = any(nodes[0] in codes.above(node) for node in wanted)
    return Output([[node, *codes.of(node)] for node in nodes], details=details)


def by_linker(store: GraphStore) -> Find:
    """The concepts of the longest mention that has a CUI, then those that carry its name as a mere synonym; then the other mentions'."""
    linker = Linker(store)

    def find(text: str) -> list[str]:
        mentions = sorted(linker.link(text), key=lambda mention: (not mention.cuis, mention.start - mention.end))
        return list(dict.fromkeys(node for mention in mentions for node in (*mention.concepts, *mention.also)))

    return find


def exact(store: GraphStore, text: str) -> list[str]:
    """The nodes that carry this very name, but for its case: those that prefer it first."""
    wanted = text.casefold()
    found = {one.node: None for some in store.named(keys(text)).values() for one in some if one.rank < 2}
    members = {node: store.members(node) for node in found}
    preferred = [n for n, some in members.items() if any(wanted == one.name.casefold() for one in some)]
    other = [n for n, some in members.items() if any(wanted == s.casefold() for one in some for s in one.synonyms)]
    return list(dict.fromkeys((*preferred, *other)))


class Codes:
    """The codes that a node stands for: its concepts' own, its CUIs, and the CUIs of concepts that its cross-references name."""

    def __init__(self, store: GraphStore) -> None:
        self.store = store
        self._known: dict[str, list[str]] = {}
        self._parents: dict[str, list[str]] = {}

    def of(self, node: str) -> list[str]:
        if node not in self._known:
            codes = [f"{name}:{code}" for name, some in self.store.crosswalk(node).items() for code in some]
            nodes = {code: self.store.node(code) for code in codes if code in self.store}
            own = [code for code, of in nodes.items() if of == node]
            walks = (self.store.crosswalk(one) for one in (node, *sorted({*nodes.values()} - {node})))
            cuis = (f"UMLS:{cui}" for walk in walks for cui in walk.get("UMLS", ()))
            self._known[node] = list(dict.fromkeys((*own, *cuis)))
        return self._known[node]

    def above(self, node: str) -> set[str]:
        """Every broader concept of a node, by ``is_a`` all the way up."""
        found: set[str] = set()
        front = [node]
        while front:
            front = [
                there for there in dict.fromkeys(p for one in front for p in self._is_a(one)) if there not in found
            ]
            found.update(front)
        return found - {node}

    def _is_a(self, node: str) -> list[str]:
        if node not in self._parents:
            self._parents[node] = [s.there for s in self.store.steps(node, ("is_a",)) if s.key[0] == node]
        return self._parents[node]


LINKERS: dict[str, Callable[[GraphStore], Find]] = {
    "linker": by_linker,
    "exact-name": lambda store: functools.partial(exact, store),
}
ABOUT = {
    "linker": "the linker of the knowledge graph",
    "exact-name": "a name or synonym of the graph that is the same but for its case (baseline)",
}


@dataclass(frozen=True, slots=True)
class Linking:
    """accuracy (share of names linked rightly), linked (share linked at all), precision (share right among the linked),
    among_candidates (share whose right concept was found, first or not), and the causes of misses as shares of all names, of which the
    first that holds counts; accuracy and causes sum to 1.

    ``miss/code_not_in_graph``: no concept carries an annotated code; ``miss/ambiguous``: the right one is among the candidates, not first;
    ``miss/narrower``, ``miss/broader``: the first candidate stands below or above an annotated concept ("Charcot-Marie-Tooth disease type 2O",
    annotated as the disease of all types); ``miss/no_such_name``: no concept has the name; ``miss/another_concept``; ``miss/not_linked``: nothing was found though the name is there.
    """

    name: str = "linking"

    def rows(self, answers: Sequence[Any], references: Sequence[Sequence[str]]) -> Rows:
        return self.rows_with(answers, references, [{}] * len(answers))

    def rows_with(
        self, answers: Sequence[Any], references: Sequence[Sequence[str]], details: Sequence[Mapping[str, Any]]
    ) -> Rows:
        """(n, 2 + causes) of 0 and 1: linked, right, one column for each cause.

        An answer is a list of candidates, each a list of a concept and its codes, or one code as text ("C0032227", "HP:0002202").
        Where the details do not say what the graph knows, code and name count as known.
        """
        rows = np.zeros((len(answers), 2 + len(CAUSES)))
        for n, (answer, reference, about) in enumerate(zip(answers, references, details, strict=True)):
            found = [bool({*one} & {*reference}) for one in _candidates(answer)]
            rows[n, :2] = bool(found), bool(found) and found[0]
            if not rows[n, 1]:
                holds = (
                    not about.get("known", True), any(found), about.get("narrower"), about.get("broader"),
                    not about.get("named", True), bool(found), True,
                )  # fmt: skip
                rows[n, 2 + [bool(one) for one in holds].index(True)] = 1
        return rows

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        linked, right, *causes = (weights @ rows).T
        count = weights.sum(1)
        found = right + causes[CAUSES.index("ambiguous")]
        scores = {"accuracy": ratio(right, count), "linked": ratio(linked, count), "precision": ratio(right, linked)}
        scores["among_candidates"] = ratio(found, count)
        return scores | {f"miss/{name}": ratio(cause, count) for name, cause in zip(CAUSES, causes, strict=True)}


def _candidates(answer: Any) -> list[list[str]]:
    if not isinstance(answer, str):
        return [list(one) for one in answer]
    code = answer.strip()
    return [[code, f"UMLS:{code}"]] if code else []
