"""Intervals and paired tests for any measure: whole groups are drawn or swapped, and the measure is asked with weights.

A group is what is independent: a patient or a study, never one of its several questions. Nothing here knows what a score
means, but that a calibration error is biased; it only weighs rows. The same seed gives the same numbers on every machine.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Measure, Rows

    Values = dict[str, NDArray[np.float64]]  # name → (draws,)

CALIBRATION = ("ece", "ece_mass")
CELLS = 2_000_000  # weights held at once, 16 MB


class Difference(TypedDict):
    """First less second, its interval, and how often chance alone would differ as much."""

    difference: float
    interval: tuple[float, float]
    p: float


def interval(
    measure: Measure, rows: Rows, groups: Sequence[Hashable] | None = None, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float, float]]:  # fmt: skip
    """name → (score, low, high): the percentile bootstrap over groups (Efron and Tibshirani 1993).

    Of a calibration error (``CALIBRATION``) the basic bootstrap (Davison and Hinkley 1997, section 5.2): resampling makes it greater, so that
    its percentiles may all lie above the score. Reflected at the score they take that bias off; they are cut at 0 and always hold the score.
    ``rows`` is (n, columns), ``groups`` names the group of each row, each its own where None. Draws in which a score is
    not defined are left out. Both bounds are NaN where fewer than two groups leave nothing to draw.
    """
    of, count = _numbered(groups, len(rows))
    scores = measure.totals(rows, np.ones((1, len(rows))))
    drawn = _collected(measure.totals(rows, weights) for weights in _bootstrap(of, count, draws, seed))
    found = {name: (float(value[0]), *_bounds(drawn.get(name), level)) for name, value in scores.items()}
    return {name: _basic(*one) if name in CALIBRATION else one for name, one in found.items()}


def _basic(score: float, low: float, high: float) -> tuple[float, float, float]:
    """The score with its percentiles reflected at it, from 0 on and drawn out to the score itself; NaN stays NaN."""
    if np.isnan(score) or np.isnan(low):
        return score, low, high
    return score, max(0.0, min(score, 2 * score - high)), max(score, 2 * score - low)


def difference(
    measure: Measure, rows_a: Rows, rows_b: Rows, groups: Sequence[Hashable] | None = None, draws: int = 1000, seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:  # fmt: skip
    """name → the score of A less that of B on the same examples, in the same order.

    The interval is the paired bootstrap's (both systems get the same drawn groups), ``p`` that of approximate
    randomisation (Noreen 1989): the answers of whole groups are swapped at random, and p = (1 + hits) / (1 + draws) with
    as hits the swaps that differ as much in either direction. An undefined swap counts as a hit; an undefined
    difference has p NaN. Raises ValueError where the rows do not pair.
    """
    if rows_a.shape != rows_b.shape:
        raise ValueError(f"rows do not pair: {rows_a.shape} and {rows_b.shape}")
    of, count = _numbered(groups, len(rows_a))
    both, ones = np.concatenate([rows_a, rows_b]), np.ones((1, len(rows_a)))
    seen = _less(measure.totals(rows_a, ones), measure.totals(rows_b, ones))
    drawn = _collected(
        _less(measure.totals(rows_a, weights), measure.totals(rows_b, weights))
        for weights in _bootstrap(of, count, draws, seed)
    )
    swapped = _collected(
        _less(measure.totals(both, np.hstack([1 - s, s])), measure.totals(both, np.hstack([s, 1 - s])))
        for s in _swaps(of, count, draws, seed)
    )
    return {
        name: {
            "difference": float(value[0]),
            "interval": _bounds(drawn.get(name), level),
            "p": _p_value(float(value[0]), swapped.get(name)),
        }
        for name, value in seen.items()
    }


def _numbered(groups: Sequence[Hashable] | None, n: int) -> tuple[NDArray[np.intp], int]:
    """The number of each row's group, (n,), and how many groups there are."""
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups are named for {n} rows")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups], np.intp), len(numbers)


def _chunks(draws: int, n: int) -> Iterator[int]:
    """How many draws at a time, so that their weights stay within CELLS."""
    size = max(1, CELLS // max(1, n))
    yield from (min(size, draws - start) for start in range(0, draws, size))


def _bootstrap(of: NDArray[np.intp], count: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Weights (chunk, n): how often the group of each row was drawn. Nothing where there is no second group."""
    if count < 2:
        return
    chance = np.random.default_rng([seed, 0])
    for size in _chunks(draws, len(of)):
        yield chance.multinomial(count, np.full(count, 1 / count), size=size)[:, of].astype(float)


def _swaps(of: NDArray[np.intp], count: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """1 where the group of a row is swapped, else 0, (chunk, n)."""
    chance = np.random.default_rng([seed, 1])
    for size in _chunks(draws, 2 * len(of)):
        yield (chance.random((size, count)) < 0.5)[:, of].astype(float)


def _less(first: Values, second: Values) -> Values:
    return {name: first[name] - second[name] for name in first if name in second}


def _collected(chunks: Iterator[Values]) -> Values:
    """The values of all chunks, name by name."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for chunk in chunks:
        for name, values in chunk.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def _bounds(values: NDArray[np.float64] | None, level: float) -> tuple[float, float]:
    if values is None:
        return float("nan"), float("nan")
    tail = 100 * (1 - level) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN
        low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _p_value(seen: float, swapped: NDArray[np.float64] | None) -> float:
    if np.isnan(seen) or swapped is None:
        return float("nan")
    rounding = 1e-9 * max(1.0, abs(seen))
    hits = np.count_nonzero(~(np.abs(swapped) < abs(seen) - rounding))
    return (1 + hits) / (1 + len(swapped))
