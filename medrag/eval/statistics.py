"""How sure a score is: intervals by the bootstrap, differences of paired answers with p-values.

What is drawn are groups (studies, pictures, queries), never single questions of one study. It knows measures only by their
contract: rows, and totals under weights.

Efron 1979 (percentile bootstrap); Noreen 1989 (approximate randomisation).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from medrag.score import Measure

CHUNK = 4_000_000  # weights in memory at a time
Floats = NDArray[np.float64]


class Difference(TypedDict):
    """First less second: the difference, its 95 % interval, and how often chance alone does as much."""

    difference: float
    interval: list[float]
    p: float


def interval(
    measure: Measure, rows: Floats, groups: Sequence[Any] | None = None, *, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float, float]]:  # fmt: skip
    """Each score of (n, columns) rows with its interval: name → (value, low, high). NaN where nothing defines it."""
    places = members(groups, len(rows))
    drawn = _collect(measure, rows, resampled(places, draws, seed))
    values = measure.totals(rows, np.ones((1, len(rows))))
    return {name: (float(value[0]), *_quantiles(drawn[name], level)) for name, value in values.items()}


def difference(
    measure: Measure, rows: Floats, others: Floats, groups: Sequence[Any] | None = None, *, draws: int = 1000, seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:  # fmt: skip
    """Paired: the same draws for both sides; p from exchanging the two answers of whole groups at random, (1 + hits) / (1 + draws).

    Raises ValueError for sides of unequal length.
    """
    if rows.shape != others.shape:
        raise ValueError(f"the two sides differ in shape: {rows.shape} and {others.shape}")
    n, places = len(rows), members(groups, len(rows))
    one, two = (measure.totals(side, np.ones((1, n))) for side in (rows, others))
    observed = {name: float(one[name][0] - two[name][0]) for name in one}
    left, right = (_collect(measure, side, resampled(places, draws, seed)) for side in (rows, others))
    chance = _exchanged(measure, rows, others, places, draws, seed)
    found: dict[str, Difference] = {}
    for name, value in observed.items():
        low, high = _quantiles(left[name] - right[name], level)
        hits = int((np.abs(chance[name]) >= abs(value) - 1e-12).sum())
        p = float("nan") if np.isnan(value) else (1 + hits) / (1 + draws)
        found[name] = {"difference": value, "interval": [low, high], "p": p}
    return found


def _exchanged(
    measure: Measure, rows: Floats, others: Floats, places: NDArray[np.int64], draws: int, seed: int
) -> dict[str, Floats]:
    """Differences under the hypothesis that the two sides are alike: each group's answers swapped or not."""
    n, stacked = len(rows), np.concatenate([rows, others])
    count = int(places.max()) + 1
    sides: list[dict[str, Floats]] = [{}, {}]
    for side in (0, 1):
        draw = np.random.default_rng([seed, 1])  # the same swaps for both sides
        weights = (
            np.concatenate([keep, 1 - keep] if side == 0 else [1 - keep, keep], axis=1)
            for keep in (draw.integers(0, 2, (size, count))[:, places].astype(float) for size in _sizes(draws, 2 * n))
        )
        sides[side] = _collect(measure, stacked, weights)
    return {name: sides[0][name] - sides[1][name] for name in sides[0]}


def members(groups: Sequence[Any] | None, n: int) -> NDArray[np.int64]:
    """The group's number of each row (n,); without groups each row is its own. Raises ValueError for another length."""
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} rows")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[name] for name in groups], dtype=np.int64)


def resampled(places: NDArray[np.int64], draws: int, seed: int) -> Iterator[Floats]:
    """Weights (some draws, n): how often each row's group was drawn, as many groups with replacement as there are."""
    draw, count = np.random.default_rng([seed, 0]), int(places.max()) + 1
    for size in _sizes(draws, len(places)):
        yield draw.multinomial(count, np.full(count, 1 / count), size)[:, places].astype(float)


def _sizes(draws: int, width: int) -> list[int]:
    """Draws cut into parts whose weights fit in memory."""
    step = max(1, CHUNK // max(1, width))
    return [min(step, draws - start) for start in range(0, draws, step)]


def _collect(measure: Measure, rows: Floats, weights: Iterator[Floats]) -> dict[str, Floats]:
    parts = [measure.totals(rows, one) for one in weights]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _quantiles(values: Floats, level: float) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
