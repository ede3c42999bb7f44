"""What a selector keeps of a query's fused candidates, against relevance judgements. Nothing is answered.

Candidates are the best of lexical and dense search over the documents of a judged collection, fused as the recipe fuses them; a document
is one piece of evidence of one corpus. Every arm has the budget of the recipe. A document without a judgement counts as not relevant.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag.errors import SettingsError
from medrag.eval.arms import Arm, one_by_one
from medrag.eval.collections import COLLECTIONS
from medrag.eval.rankers import ENCODER, RANKERS, Parts
from medrag.eval.tasks import Example, Output, Task
from medrag.prompts import evidence_tokens
from medrag.retrieve import fuse
from medrag.retrieve.search import ranked
from medrag.score.overlap import ratio
from medrag.select import rule_of
from medrag.types import Context, Hit, Passage, Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.pipeline import MedRAG
    from medrag.score import Rows, Weights
    from medrag.settings import PipelineSettings

RETRIEVERS = ("lexical", "dense")
FIRED = ("gap", "floor", "share", "quota", "budget")  # the rules whose firing is told
Choose = Callable[["MedRAG", Example, list[Hit]], Context]


def make_selector(name: str, task: Task, data: Path, split: str, rag: Callable[[], MedRAG]) -> Arm:
    """An arm of ``SELECTORS`` with the settings of the recipe. Raises SettingsError for another name."""
    if name not in SELECTORS:
        raise SettingsError(f"there is no arm {name!r} for selection", f"known: {', '.join(SELECTORS)}")
    opened, choose, judged = rag(), SELECTORS[name], pool(task.source, data, split)
    s = opened.settings

    def call(example: Example) -> Output:
        hits = fused(judged.rankings(example, s.k), s)
        chosen = choose(opened, example, hits)
        details = {"candidates": [hit.item.doc for hit in hits], **details_of(chosen)}
        return Output({hit.item.doc: hit.score for hit in chosen.kept}, details=details)

    settings: dict[str, Any] = {
        "k": s.k,
        "fusion": s.fusion,
        "rrf_c": s.rrf_c,
        "weights": fusion_weights(s),
        "select": s.select.model_dump(),
        "encoder": ENCODER,
    }
    return Arm(
        name, settings | ({"upper bound": "it is shown the judgements"} if name == "oracle" else {}), one_by_one(call)
    )


class Pool:
    """The candidates of a collection's queries, each found once."""

    def __init__(self, parts: Parts, corpus: str) -> None:
        self.parts, self.corpus = parts, corpus
        self._found: dict[tuple[str, int], dict[str, list[Hit]]] = {}

    def rankings(self, example: Example, k: int) -> dict[str, list[Hit]]:
        """At most ``k`` hits of each retriever."""
        key = (example.id, k)
        if key not in self._found:
            self._found[key] = {name: self._ranked(name, example, k) for name in RETRIEVERS}
        return self._found[key]

    def _ranked(self, retriever: str, example: Example, k: int) -> list[Hit]:
        scores, texts = RANKERS[retriever](self.parts, example), self.parts.collection.texts
        best = sorted(scores, key=lambda doc: (-scores[doc], doc))[:k]
        # the id names the corpus, whose share of the evidence a selector may bound
        return ranked(((Passage(f"{self.corpus}:{doc}", doc, texts[doc]), scores[doc]) for doc in best), retriever)


@functools.lru_cache(maxsize=2)
def pool(source: str, data: Path, split: str) -> Pool:
    """The candidates of a judged collection."""
    return Pool(Parts(COLLECTIONS[source](data, split), ENCODER, 0), source)


def fusion_weights(settings: PipelineSettings) -> dict[str, float]:
    """What each retriever counts: 1 where the settings do not say."""
    return {name: settings.weights.get(name, 1.0) for name in RETRIEVERS}


def fused(
    rankings: Mapping[str, Sequence[Hit]], settings: PipelineSettings, weights: Mapping[str, float] | None = None
) -> list[Hit]:
    """The rankings as one, as the settings fuse them, or with other weights; each hit with its parents."""
    weights = fusion_weights(settings) if weights is None else weights
    if settings.fusion == "weighted":
        return fuse.weighted(rankings, weights)
    return fuse.rrf(rankings, weights, settings.rrf_c)


def within(hits: Sequence[Hit], budget: int) -> list[Hit]:
    """The hits that fit, in their order; one that is too long is passed over."""
    kept: list[Hit] = []
    for hit in hits:
        needed = evidence_tokens(hit)
        if needed <= budget:
            kept.append(hit)
            budget -= needed
    return kept


def details_of(context: Context) -> dict[str, Any]:
    """The tokens of what is kept, and how many pieces each rule dropped."""
    return {
        "tokens": evidence_tokens(*context.kept),
        "dropped": dict(Counter(rule_of(drop.reason) for drop in context.dropped)),
    }


def _adaptive(rag: MedRAG, example: Example, hits: list[Hit]) -> Context:
    return rag.selector.select(Query(example.question), hits, rag.settings.select.budget)


def _first(k: int | None, rag: MedRAG, example: Example, hits: list[Hit]) -> Context:
    return Context(Query(example.question), tuple(within(hits[:k], rag.settings.select.budget)))


def _oracle(rag: MedRAG, example: Example, hits: list[Hit]) -> Context:
    """As many relevant candidates as fit: the shortest first."""
    relevant = [hit for hit in hits if example.reference.get(hit.item.doc, 0) > 0]
    return _first(None, rag, example, sorted(relevant, key=evidence_tokens))


SELECTORS: dict[str, Choose] = {
    "adaptive": _adaptive,
    **{f"fixed-{k}": functools.partial(_first, k) for k in (1, 3, 5)},
    "keep-all": functools.partial(_first, None),
    "oracle": _oracle,
}
ABOUT = {
    "adaptive": "the recipe's selector",
    "fixed-1": "the first fused hit (fixed-3, fixed-5: the first three, five)",
    "keep-all": "all candidates that fit into the budget",
    "oracle": "upper bound: the relevant candidates that fit into the budget; it is shown the judgements",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """precision, recall and f1 of what is kept, over all queries together; kept, tokens, empty and candidates as means of the queries.

    Relevant is a grade above 0. ``recall`` is of the relevant candidates: what retrieval missed counts against no selector.
    ``kept_in_vain`` is the mean number kept where no candidate is relevant, ``empty`` the share of queries with nothing kept. Of each rule of
    ``FIRED``, ``gap_fired`` and the like are the share of queries in which it took something out, ``gap_dropped`` what it took out of each on average.
    """

    name: str = "selection"

    def rows(self, answers: Sequence[Mapping[str, float]], references: Sequence[Mapping[str, int]]) -> Rows:
        return self.rows_with(answers, references, [{}] * len(answers))

    def rows_with(
        self, answers: Sequence[Any], references: Sequence[Mapping[str, int]], details: Sequence[Mapping[str, Any]]
    ) -> Rows:
        """(n, 5 + rules): kept, relevant kept, relevant candidates, tokens, candidates, and what each rule dropped. An answer is {document: score} of what is kept.

        ``details`` have ``candidates``, ``tokens`` and ``dropped``; without candidates (an example that failed) all judged ones count.
        """
        rows = np.zeros((len(answers), 5 + len(FIRED)))
        for n, (answer, reference, about) in enumerate(zip(answers, references, details, strict=True)):
            relevant = {doc for doc, grade in reference.items() if grade > 0}
            found, kept = {*about.get("candidates", reference)}, {*answer}
            dropped = [about.get("dropped", {}).get(rule, 0) for rule in FIRED]
            rows[n] = (
                len(kept),
                len(kept & relevant),
                len(found & relevant),
                about.get("tokens", 0),
                len(found),
                *dropped,
            )
        return rows

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        kept, right, relevant, tokens, candidates = (weights @ rows[:, :5]).T
        count, barren = weights.sum(1), weights * (rows[:, 2] == 0)
        by_rule = list(zip(FIRED, rows[:, 5:].T, strict=True))
        return {
            "precision": ratio(right, kept),
            "recall": ratio(right, relevant),
            "f1": ratio(2 * right, kept + relevant),
            "kept": ratio(kept, count),
            "tokens": ratio(tokens, count),
            "empty": ratio(weights @ (rows[:, 0] == 0), count),
            "kept_in_vain": ratio(barren @ rows[:, 0], barren.sum(1)),
            "candidates": ratio(candidates, count),
            "relevant_candidates": ratio(relevant, count),
            **{f"{rule}_fired": ratio(weights @ (dropped > 0), count) for rule, dropped in by_rule},
            **{f"{rule}_dropped": ratio(weights @ dropped, count) for rule, dropped in by_rule},
        }
