"""Chooses what is fused and selected on judged queries at a fixed budget, and says what the choice is worth on others.

The queries are of a judged collection, or of one's own for an opened index (`own`), where each domain with enough of them is chosen for by itself too.
The weight of search by words, and of each other retriever, over that by meaning, γ of the gap rule, the share of the best score, the least cosine and the quota of one source are
moved one at a time, for each retriever, as long as the F1 of what is kept rises and no more tokens are kept on average than the first k hits have
(coordinate ascent). Half of the queries choose, the other half judges: its figures are no part of the choice. Queries of one group stay together.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.progress import track
from medrag.calibration import Choice
from medrag.errors import CorpusError, SettingsError
from medrag.eval import selection, statistics
from medrag.eval.selection import RETRIEVERS, Selection, fused, within
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings
from medrag.types import Context, Hit, Query, page_id

if TYPE_CHECKING:
    from medrag.eval.tasks import Example, Task
    from medrag.pipeline import MedRAG
    from medrag.score import Rows

GAPS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.8, None)  # γ; None: the rule is off
SHARES = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
QUOTAS = (1, 2, 3, 4, 5, 7, 10)
FLOORS = (0.0, 0.15, 0.25, 0.35, 0.45)  # cosines; scores of words have no scale of their own
COSINES = ("dense", "reports")  # retrievers whose scores are cosines, beside those of pictures, "similar…"
WEIGHTS = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0)  # of words, where meaning counts 1
FIELDS = ("weights", "quota", "gaps", "shares", "floors")
ROUNDS = 3
LEAST = 20  # queries, below which nothing is chosen
MEASURE: Any = Selection()


@dataclass(frozen=True, slots=True)
class Judged:
    """A query with its candidates by retriever and the documents, or pages, that are relevant to it.

    ``query`` and ``weights`` as the pipeline has them; of a collection the words alone, and 1 for each retriever.
    """

    example: Example
    rankings: Mapping[str, Sequence[Hit]]
    query: Query
    weights: Mapping[str, float] | None = None

    def fused(self, settings: PipelineSettings) -> list[Hit]:
        """The candidates as the settings weigh and fuse them."""
        if self.weights is None:
            return fused(self.rankings, settings)
        return fused(self.rankings, settings, Choice(settings.weights, {}).over(self.weights))

    def name(self, hit: Hit) -> str:
        """What the judgements call a hit: its page where one is judged, else its document."""
        page = page_id(hit.item.id)
        return page if page in self.example.reference else hit.item.doc

    def row(self, chosen: Context) -> Rows:
        """One row, as `Selection` has it."""
        candidates = dict.fromkeys(self.name(hit) for hits in self.rankings.values() for hit in hits)
        details = {"candidates": list(candidates), **selection.details_of(chosen)}
        kept = {self.name(hit): 1.0 for hit in chosen.kept}
        found: Rows = MEASURE.rows_with([kept], [self.example.reference], [details])
        return found


def tune_selection(
    task: Task, data: Path, split: str, examples: Sequence[Example], settings: PipelineSettings, k: int = 3, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:  # fmt: skip
    """The settings that were chosen (fields of `medrag.settings.PipelineSettings`), and the other half's figures.

    ``before``: the settings as they were; ``fixed``: the first ``k`` hits as they were fused; ``fixed_anew``: the first ``k`` with the chosen
    weights, by which the worth of selection alone is told; each with f1 and tokens, and the choice's paired difference in F1 with its interval. ``fired`` of the
    settings, chosen and before: for each rule the share of queries in which it took something out, and how many pieces of a query. Raises SettingsError for a task of another kind, CorpusError for fewer than 20 queries.
    """
    if task.kind != "selection":
        raise SettingsError(f"{task.name} has no judged candidates", "name a task of kind selection")
    if len(examples) < LEAST:
        raise CorpusError(f"{len(examples)} queries are too few to choose settings by", f"judge at least {LEAST}")
    pool = selection.pool(task.source, data, split or task.split)
    judged = [Judged(one, pool.rankings(one, settings.k), Query(one.question)) for one in examples]
    return {"task": task.name, **choose(judged, settings, k, seed, draws)}


def own(
    rag: MedRAG, examples: Sequence[Example], k: int = 3, seed: int = 0, draws: int = 1000
) -> dict[str, dict[str, Any]]:
    """What `tune_selection` tells, by domain ("" for all queries), of judged queries to an opened index; see `choices`.

    A domain is chosen for by itself where twice as many queries are of it as are needed, and some are not. Raises CorpusError for fewer than 20 queries.
    """
    if len(examples) < LEAST:
        raise CorpusError(
            f"{len(examples)} judged queries are too few to choose settings by", f"judge at least {LEAST}"
        )
    judged = [_found(rag, one) for one in track(examples, "search", len(examples))]
    domains = [one.query.domain for one in judged]
    found = {"": choose(judged, rag.settings, k, seed, draws)}
    for domain in sorted({*domains} - {""}):
        if 2 * LEAST <= domains.count(domain) < len(domains):
            mine = [one for one in judged if one.query.domain == domain]
            found[domain] = choose(mine, rag.settings, k, seed, draws)
    return found


def choices(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Choice]:
    """Of what `own` tells the choices that keep better evidence than before on the queries that did not choose."""
    good = {domain: one for domain, one in found.items() if one["before"]["gained"][0] > 0}
    return {
        domain: Choice(**one["settings"], report={name: value for name, value in one.items() if name != "settings"})
        for domain, one in good.items()
    }


def _found(rag: MedRAG, example: Example) -> Judged:
    """A query with what each retriever that is asked finds; nothing is answered."""
    told = {}
    for event in rag.stream([str(path) for path in example.images] or None, example.question, exclude=example.exclude):
        told[event.stage] = event.data
        if event.stage == "selected":
            break
    weights = {name: told["routed"].weights.get(name, 0.0) for name in told["found"]}
    return Judged(example, told["found"], told["selected"].query, weights)


def choose(
    judged: Sequence[Judged], settings: PipelineSettings, k: int = 3, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """The settings that half of the queries choose, and the other half's figures; see `tune_selection`."""
    chooses, judges = halves(judged, seed)
    asked = {name for one in judged for name, hits in one.rankings.items() if hits} - {"graph"}
    retrievers = [name for name in RETRIEVERS if name in asked] + sorted(asked - {*RETRIEVERS})
    most = tokens(fixed(chooses, k, settings))
    chosen = climb(settings, lambda tried: rows(chooses, tried), most, retrievers or RETRIEVERS)
    groups = [one.example.group for one in judges]
    told = {
        "chosen": rows(judges, chosen),
        "before": rows(judges, settings),
        "fixed": fixed(judges, k, settings),
        "fixed_anew": fixed(judges, k, chosen),
    }
    found: dict[str, Any] = {name: _figures(own, groups, draws) for name, own in told.items()}
    for name in ("chosen", "before"):
        found[name]["fired"] = fired(told[name])
    for name in list(told)[1:]:
        change = statistics.difference(MEASURE, told["chosen"], told[name], groups, draws=draws)["f1"]
        found[name]["gained"] = [round(change["difference"], 4), *(round(b, 4) for b in change["interval"])]
    changed = {"weights": chosen.weights, "select": {name: getattr(chosen.select, name) for name in FIELDS[1:]}}
    return {"k": k, "queries": [len(chooses), len(judges)], "settings": changed, **found}


def halves(judged: Sequence[Judged], seed: int) -> tuple[list[Judged], list[Judged]]:
    """Two halves with no group in both."""
    groups = list(dict.fromkeys(one.example.group for one in judged))
    random.Random(seed).shuffle(groups)
    first = set(groups[: len(groups) // 2])
    return [one for one in judged if one.example.group in first], [
        one for one in judged if one.example.group not in first
    ]


def climb(
    start: PipelineSettings,
    measured: Callable[[PipelineSettings], Rows],
    most: float,
    retrievers: Sequence[str] = RETRIEVERS,
) -> PipelineSettings:
    """The best settings by F1 that keep at most ``most`` tokens on average; ``start`` where none does better."""
    best = start
    top = f1(measured(start)) if tokens(measured(start)) <= most else -1.0
    for _ in range(ROUNDS):
        before = top
        for tried in itertools.chain.from_iterable(_moves(best, field, retrievers) for field in FIELDS):
            own = measured(tried)
            if tokens(own) <= most and f1(own) > top:
                best, top = tried, f1(own)
        if top == before:
            break
    return best


def _moves(
    settings: PipelineSettings, field: str, retrievers: Sequence[str] = RETRIEVERS
) -> Iterator[PipelineSettings]:
    """The settings with one field moved, of one retriever where it has a value for each."""
    if field == "weights":
        fixed = "dense" if "dense" in retrievers else retrievers[0]  # it stays, and so does what others weigh beside it
        weight = settings.weights.get(fixed, 1.0) or 1.0
        others = [name for name in retrievers if name != fixed]
        moved_weights = [{name: value * weight, fixed: weight} for name, value in itertools.product(others, WEIGHTS)]
        yield from (settings.model_copy(update={"weights": settings.weights | own}) for own in moved_weights)
        return
    select = settings.select
    if field == "quota":
        moved = [select.model_copy(update={"quota": value}) for value in QUOTAS]
    else:
        values = {"gaps": GAPS, "shares": SHARES, "floors": FLOORS}[field]
        moved = [
            select.model_copy(update={field: _held(getattr(select, field), retriever, value)})
            for retriever, value in itertools.product(_cosines(retrievers) if field == "floors" else retrievers, values)
        ]
    yield from (settings.model_copy(update={"select": one}) for one in moved)


def _cosines(retrievers: Sequence[str]) -> list[str]:
    return [name for name in retrievers if name in COSINES or name.startswith("similar")]


def _held(values: Mapping[str, float], retriever: str, value: float | None) -> dict[str, float]:
    """The values with that of one retriever changed, or taken out."""
    others = {name: held for name, held in values.items() if name != retriever}
    return others if value is None else others | {retriever: value}


def rows(judged: Sequence[Judged], settings: PipelineSettings) -> Rows:
    """What is kept of each query with these settings, a row each as `Selection` has it."""
    selector = AdaptiveSelector(settings.select)
    chosen = (selector.select(one.query, one.fused(settings)) for one in judged)
    return np.concatenate([one.row(own) for one, own in zip(judged, chosen, strict=True)])


def fixed(judged: Sequence[Judged], k: int, settings: PipelineSettings) -> Rows:
    """The same of the first k fused hits."""
    budget = settings.select.budget
    first = (Context(one.query, tuple(within(one.fused(settings)[:k], budget))) for one in judged)
    return np.concatenate([one.row(own) for one, own in zip(judged, first, strict=True)])


def tokens(own: Rows) -> float:
    """Mean tokens of what is kept."""
    return float(MEASURE.totals(own, np.ones((1, len(own))))["tokens"][0])


def f1(own: Rows) -> float:
    """F1 of what is kept, over all queries together."""
    return float(MEASURE.totals(own, np.ones((1, len(own))))["f1"][0])


def fired(own: Rows) -> dict[str, list[float]]:
    """By rule the share of queries in which it took something out, and the pieces that it took out of a query on average."""
    means = {name: float(value[0]) for name, value in MEASURE.totals(own, np.ones((1, len(own)))).items()}
    return {rule: [round(means[f"{rule}_{what}"], 4) for what in ("fired", "dropped")] for rule in selection.FIRED}


def _figures(own: Rows, groups: Sequence[str], draws: int) -> dict[str, Any]:
    scores = statistics.interval(MEASURE, own, groups, draws=draws)
    return {name: [round(value, 4) for value in scores[name]] for name in ("f1", "precision", "recall", "tokens")}
