"""Rankings against judgements: nDCG, recall, reciprocal rank, by trec_eval's code through ir-measures (MacAvaney et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from medrag.errors import MissingDependency
from medrag.score.overlap import means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

METRICS = {
    "ndcg@10": "nDCG@10",
    "recall@10": "R@10",
    "recall@100": "R@100",
    "mrr@10": "RR@10",
    "success@1": "Success@1",
}


def _by_place(found: Mapping[str, float]) -> dict[str, float]:
    """Scores that say the same order without a tie."""
    order = sorted(found, key=lambda doc: (-float(found[doc]), str(doc)))
    return {str(doc): float(len(order) - place) for place, doc in enumerate(order)}


class Ranking:
    """Mean over the queries of each of ``METRICS``.

    A query for which nothing came back, or no ranking at all, counts as 0, one that judges nothing relevant as not asked. Gains are the grades
    themselves, and grade 1 and above is relevant. Documents of equal score are ordered by id, as medrag returns them: left to themselves, trec_eval's measures order them in two ways.
    """

    name = "ranking"

    def rows(self, answers: Sequence[Mapping[str, float]], references: Sequence[Mapping[str, int]]) -> Rows:
        """(n, metrics). ``answers``: {document: score} of each query; ``references``: {document: grade}.

        Raises MissingDependency without ir-measures.
        """
        try:
            import ir_measures
        except ModuleNotFoundError as error:
            raise MissingDependency("rankings are scored with ir-measures", 'pip install "medrag[eval]"') from error
        judged = {str(n): {str(d): int(g) for d, g in one.items()} for n, one in enumerate(references)}
        found_by = [one if isinstance(one, Mapping) else {} for one in answers]  # an example that failed has a text
        ranked = {str(n): _by_place(one) for n, one in enumerate(found_by)}
        wanted = [ir_measures.parse_measure(name) for name in METRICS.values()]
        columns = {str(measure): n for n, measure in enumerate(wanted)}
        rows = np.zeros((len(answers), len(METRICS)))
        for found in ir_measures.iter_calc(wanted, judged, ranked):
            rows[int(found.query_id), columns[str(found.measure)]] = found.value
        rows[[n for n, one in enumerate(references) if not any(grade > 0 for grade in one.values())]] = np.nan
        return rows

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        return means(tuple(METRICS), rows, weights)
