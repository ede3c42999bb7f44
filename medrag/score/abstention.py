"""Does a system know when it does not know? Risk against coverage, and calibration, from confidences and correctness.

Answers of equal confidence are kept or withheld together, so the order of the examples never matters. This file knows
neither questions nor answers: only how sure each was, 0 to 1, and whether it was right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medrag.score.overlap import ratio

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from medrag.score import Rows, Weights

    Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Abstention:
    """Scores of confidences (a row: confidence, right).

    ``accuracy``; ``aurc``, the mean risk over all coverages (Geifman and El-Yaniv 2017; lower is better, ``accuracy``
    alone gives 1 − accuracy); ``accuracy@80`` the accuracy of the surest 80 %; ``ece`` and ``ece_mass``, the expected
    calibration error (Guo et al. 2017) over bins of equal width and of equal mass; ``brier`` (Brier 1950).
    """

    name = "abstention"
    coverages: tuple[float, ...] = (0.5, 0.8, 0.9)
    bins: int = 15

    def rows(self, answers: Sequence[float], references: Sequence[float]) -> Rows:
        """(n, 2) of confidences of the answers, 0 to 1, and whether each is right, 0 or 1. Raises ValueError for others."""
        rows = np.array(list(zip(answers, references, strict=True)), float).reshape(-1, 2)
        if not ((rows >= 0) & (rows <= 1)).all():
            raise ValueError("confidences and correctness lie between 0 and 1")
        return rows

    def totals(self, rows: Rows, weights: Weights) -> dict[str, Array]:
        blocks = _blocks(rows, weights)
        scores = {"accuracy": ratio(weights @ rows[:, 1], weights.sum(1)), "aurc": _aurc(*blocks)}
        scores |= {f"accuracy@{share:.0%}".rstrip("%"): _accuracy_at(share, *blocks) for share in self.coverages}
        scores["ece"] = _ece_width(rows, weights, self.bins)
        scores["ece_mass"] = _ece_mass(np.unique(rows[:, 0])[::-1], *blocks, self.bins)
        scores["brier"] = ratio(weights @ (rows[:, 0] - rows[:, 1]) ** 2, weights.sum(1))
        return scores


def risk_coverage(confidences: ArrayLike, right: ArrayLike) -> tuple[Array, Array]:
    """The curve as (coverages, risks), each (thresholds,): the share answered and the share of these that is wrong."""
    rows = np.stack([np.asarray(confidences, float), np.asarray(right, float)], axis=1)
    mass, correct = _blocks(rows, np.ones((1, len(rows))))
    covered = mass[0].cumsum()
    return covered / len(rows), 1 - correct[0].cumsum() / covered


def _blocks(rows: Rows, weights: Weights) -> tuple[Array, Array]:
    """The weight and the weight that is right of each distinct confidence, surest first: (draws, values) each."""
    _, place = np.unique(-rows[:, 0], return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    if not len(starts):
        return np.zeros((len(weights), 0)), np.zeros((len(weights), 0))
    sorted_ = weights[:, order]
    return np.add.reduceat(sorted_, starts, axis=1), np.add.reduceat(sorted_ * rows[order, 1], starts, axis=1)


def _aurc(mass: Array, right: Array) -> Array:
    covered, correct = mass.cumsum(1), right.cumsum(1)
    risk = np.where(covered > 0, 1 - np.nan_to_num(ratio(correct, covered)), 0.0)
    return ratio((mass * risk).sum(1), mass.sum(1))


def _accuracy_at(share: float, mass: Array, right: Array) -> Array:
    """The last block is taken in part where it does not fit."""
    room = share * mass.sum(1, keepdims=True) - (mass.cumsum(1) - mass)
    taken = np.clip(room, 0, mass)
    return ratio((taken * np.nan_to_num(ratio(right, mass))).sum(1), taken.sum(1))


def _ece_width(rows: Rows, weights: Weights, bins: int) -> Array:
    place = np.minimum((rows[:, 0] * bins).astype(int), bins - 1)
    member = np.eye(bins)[place]  # (n, bins)
    gaps = np.abs(weights @ (member * (rows[:, :1] - rows[:, 1:])))  # |Σ confidence − Σ right| of each bin
    return ratio(gaps.sum(1), weights.sum(1))


def _ece_mass(values: Array, mass: Array, right: Array, bins: int) -> Array:
    """Bins by rank under each line's own weights; equal confidences stay in one bin, that of their middle."""
    total = mass.sum(1, keepdims=True)
    middle = np.nan_to_num(ratio(mass.cumsum(1) - mass / 2, np.broadcast_to(total, mass.shape)))
    place = np.minimum((middle * bins).astype(int), bins - 1)
    gap = mass * values - right
    gaps = sum(np.abs((gap * (place == number)).sum(1)) for number in range(bins))
    return ratio(np.asarray(gaps), total[:, 0])
