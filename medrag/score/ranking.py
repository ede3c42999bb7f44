"""Rankings against judgements: nDCG, recall, reciprocal rank, through ranx (Bassani 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from medrag.errors import MissingDependency

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

METRICS = ("ndcg@10", "recall@10", "recall@100", "mrr@10", "hit_rate@1")


class Ranking:
    """Mean over the queries of each of ``METRICS``. A query for which nothing came back counts as 0."""

    name = "ranking"

    def rows(self, answers: Sequence[Mapping[str, float]], references: Sequence[Mapping[str, int]]) -> Rows:
        """``answers``: {document: score} of each query; ``references``: {document: grade}. Raises MissingDependency without ranx."""
        try:
            from ranx import Qrels, Run, evaluate
        except ModuleNotFoundError as error:
            raise MissingDependency("rankings are scored with ranx", 'pip install "medrag[eval]"') from error
        if not answers:
            return np.zeros((0, len(METRICS)))
        names = [f"q{n:07d}" for n in range(len(answers))]
        judged = {name: {str(d): int(g) for d, g in one.items()} for name, one in zip(names, references, strict=True)}
        ranked = {
            name: {str(d): float(s) for d, s in one.items()} or {"": 0.0}
            for name, one in zip(names, answers, strict=True)
        }
        run = Run(ranked)
        evaluate(Qrels(judged), run, list(METRICS), make_comparable=True)
        return np.array([[float(run.scores[metric][name]) for metric in METRICS] for name in names])

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        means = weights @ rows / weights.sum(1, keepdims=True)
        return {metric: means[:, n] for n, metric in enumerate(METRICS)}
