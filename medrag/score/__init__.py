"""Scores: what an answer got right, by pure functions that know nothing of pipelines, files or tasks.

A `Measure` turns each example into a row of numbers, and rows with weights into scores. Weights of one give the score itself; a
bootstrap's counts give its interval; two systems' rows stacked, with weights that pick one of each pair, give a
randomisation test. So a measure is written once and every score of it can be trusted with an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]  # (n, columns)
    Weights = NDArray[np.float64]  # (draws, n), zero or more


@runtime_checkable
class Measure(Protocol):
    """What turns answers and references into scores.

    >>> import numpy as np
    >>> class Exact:
    ...     name = "exact"
    ...     def rows(self, answers, references):
    ...         return np.array([[a == r] for a, r in zip(answers, references)], dtype=float)
    ...     def totals(self, rows, weights):
    ...         return {"exact_match": (weights @ rows)[:, 0] / weights.sum(1)}
    >>> rows = Exact().rows(["yes", "no"], ["yes", "yes"])
    >>> float(Exact().totals(rows, np.ones((1, 2)))["exact_match"][0])
    0.5
    """

    name: str

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """One row for each example; raises MissingDependency or ModelMissing where it needs what is not installed."""

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        """Scores by name, one value for each line of weights: (draws,). NaN where nothing defines it."""
