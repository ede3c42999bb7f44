"""Guarantees by simulation, and p-values against what they bound."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from medrag.score import risk


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(risk).failed == 0


@pytest.mark.parametrize(("n", "alpha"), [(20, 0.3), (100, 0.1), (400, 0.25)])
def test_the_p_value_is_a_p_value(n: int, alpha: float) -> None:
    """Where the risk is just alpha, p ≤ u with probability at most u, exactly, over all outcomes of n coins."""
    outcomes = [(binom.pmf(wrong, n, alpha), risk.p_value(wrong / n, n, alpha)) for wrong in range(n + 1)]
    for level in (0.01, 0.05, 0.1, 0.5):
        assert sum(chance for chance, p in outcomes if p <= level) <= level


@given(st.integers(1, 300), st.floats(0.02, 0.98), st.floats(0, 1), st.floats(0, 1))
def test_more_mistakes_are_never_stronger_evidence_of_safety(n: int, alpha: float, a: float, b: float) -> None:
    low, high = sorted((round(a * n) / n, round(b * n) / n))
    assert 0 <= risk.p_value(low, n, alpha) <= risk.p_value(high, n, alpha) <= 1
    assert risk.p_value(0.0, 0, alpha) == 1.0


@pytest.mark.parametrize("test", ["bonferroni", "fixed-sequence"])
def test_the_guarantee_holds_over_a_thousand_draws(test: risk.Test) -> None:
    """RULE's setting: of several numbers of contexts those are kept whose risk is at most alpha; some truly lie just above it."""
    truth, alpha, delta = np.array([0.20, 0.24, 0.26, 0.27, 0.35]), 0.25, 0.1
    draw = np.random.default_rng(0)
    broken = kept = 0
    for _ in range(1000):
        found = risk.certified(draw.random((300, 5)) < truth, alpha, delta, test)
        broken += any(truth[n] > alpha for n in found)
        kept += bool(found)
    assert broken / 1000 <= delta and kept > 100


def test_a_threshold_keeps_its_promise_over_a_thousand_draws() -> None:
    alpha, delta, draw = 0.15, 0.1, np.random.default_rng(1)
    sure = draw.uniform(0.5, 1, 200_000)
    broken = answered = 0.0
    for _ in range(1000):
        some = draw.choice(sure, 400)
        threshold = risk.certified_threshold(some, draw.random(400) < some, alpha, delta)
        if threshold is None:
            continue
        left = sure[sure >= threshold]  # the chance of being right is the confidence itself
        broken += 1 - left.mean() > alpha
        answered += len(left) / len(sure)
    assert broken / 1000 <= delta and answered / 1000 > 0.3
    assert risk.certified_threshold([0.9] * 10, [1] * 10, alpha, delta) is None  # too few to promise anything


def test_conformal_risk_is_kept_on_average() -> None:
    """Losses fall as more is answered less boldly; the chosen candidate's mean loss on a new example is at most alpha."""
    alpha, draw = 0.2, np.random.default_rng(2)
    levels = np.linspace(0.6, 0.0, 13)
    met = []
    for _ in range(500):
        hard = draw.random((80, 1))
        chosen = risk.conformal(hard < levels, alpha)
        met.append(0.0 if chosen is None else float(draw.random() < levels[chosen]))
    assert np.mean(met) <= alpha + 0.03
    assert risk.conformal([[1, 1], [1, 1]], 0.2) is None


@pytest.mark.parametrize(
    ("losses", "alpha", "chosen"),
    [
        ([[1, 0], [1, 0], [0, 0]], 0.25, 1),  # (0 + 1) / (3 + 1) is just safe enough
        ([[1, 0], [1, 0], [0, 0]], 0.75, 0),
        ([[1, 0], [1, 0], [0, 0]], 0.24, None),
        ([[0.5, 0.0]] * 9, 0.55, 0),  # (4.5 + 1) / 10
        ([[0.5, 0.0]] * 9, 0.54, 1),
    ],
)
def test_conformal_by_hand(losses: list[list[float]], alpha: float, chosen: int | None) -> None:
    assert risk.conformal(losses, alpha) == chosen


@pytest.mark.parametrize(
    ("p_values", "test", "found"),
    [
        ([0.05, 0.051, 0.05], "bonferroni", []),
        ([0.05, 0.05], "bonferroni", [0, 1]),  # just delta / 2 each
        ([0.1, 0.1, 0.11, 0.0], "fixed-sequence", [0, 1]),
        ([0.0, 0.1], "fixed-sequence", [0, 1]),
        ([], "bonferroni", []),
        ([], "fixed-sequence", []),
    ],
)
def test_what_falls_by_hand(p_values: list[float], test: risk.Test, found: list[int]) -> None:
    assert risk.rejected(p_values, 0.1, test) == found


def test_p_values_by_their_formula() -> None:
    assert risk.p_value(0.0, 50, 0.1) == pytest.approx(0.9**50)  # Hoeffding's; Bentkus' is e times that
    bentkus = np.e * binom.cdf(2, 60, 0.2)
    divergence = 1 / 30 * np.log(1 / 6) + 29 / 30 * np.log((29 / 30) / 0.8)
    assert risk.p_value(2 / 60, 60, 0.2) == pytest.approx(min(bentkus, np.exp(-60 * divergence)))
    assert risk.p_value(1.0, 10, 0.5) == 1.0


def test_candidates_are_certified_by_their_column() -> None:
    losses = [[0, 1, 0]] * 50 + [[0, 1, 1]] * 50
    assert risk.certified(losses, 0.2, 0.1) == [0]
    assert risk.certified(losses, 0.7, 0.1) == [0, 2]
    assert risk.certified(losses, 0.7, 0.1, "fixed-sequence") == [0]


def test_a_threshold_by_hand() -> None:
    sure, right = [0.9] * 60 + [0.1] * 60, [1] * 60 + [0] * 60
    assert risk.certified_threshold(sure, right, 0.2, 0.1) == 0.9
    assert risk.certified_threshold(sure, [1] * 120, 0.2, 0.1) == 0.1  # as far down as it is true
    assert risk.certified_threshold(sure, [0] * 120, 0.2, 0.1) is None
