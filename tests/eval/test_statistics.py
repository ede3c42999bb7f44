"""Intervals cover what they claim to, p-values are uniform under chance, and pairs stay pairs."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.eval import statistics
from medrag.score.abstention import Abstention
from medrag.score.closed import Closed


class Mean:
    """The plain mean of one column."""

    name = "mean"

    def rows(self, answers: Any, references: Any) -> Any:
        return np.array(answers, dtype=float)[:, None]

    def totals(self, rows: Any, weights: Any) -> Any:
        return {"mean": (weights @ rows)[:, 0] / weights.sum(1)}


def column(values: Any) -> Any:
    return np.asarray(values, dtype=float)[:, None]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for n in range(200):
        _, low, high = statistics.interval(Mean(), column(draw.normal(3, 1, 60)), draws=300, seed=n)["mean"]
        hits += low <= 3 <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_whole_groups_are_drawn() -> None:
    """Ten copies of each value make an interval no narrower when they are one study."""
    draw = np.random.default_rng(1)
    single = draw.normal(0, 1, 40)
    once = statistics.interval(Mean(), column(single), draws=2000)["mean"]
    many = statistics.interval(
        Mean(), column(np.repeat(single, 10)), np.repeat(np.arange(40), 10).tolist(), draws=2000
    )["mean"]
    naive = statistics.interval(Mean(), column(np.repeat(single, 10)), draws=2000)["mean"]
    assert many[2] - many[1] == pytest.approx(once[2] - once[1], rel=0.15)
    assert naive[2] - naive[1] < 0.5 * (many[2] - many[1])


def test_p_is_uniform_when_the_sides_are_alike() -> None:
    draw = np.random.default_rng(2)
    found = []
    for n in range(150):
        left, right = draw.normal(0, 1, (2, 50))
        found.append(statistics.difference(Mean(), column(left), column(right), draws=200, seed=n)["mean"]["p"])
    assert 0.4 <= float(np.mean(found)) <= 0.6
    assert float(np.mean(np.array(found) <= 0.05)) <= 0.11


def test_a_real_difference_is_found_and_its_interval_excludes_zero() -> None:
    draw = np.random.default_rng(3)
    base = draw.normal(0, 1, 100)
    found = statistics.difference(Mean(), column(base + 0.2), column(base), draws=500)["mean"]
    assert found["difference"] == pytest.approx(0.2)
    assert found["interval"] == pytest.approx((0.2, 0.2))  # paired: every draw has the same difference
    assert found["p"] < 0.01


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=30))
def test_exchanging_the_sides_changes_the_sign_and_nothing_else(pairs: list[tuple[float, float]]) -> None:
    left, right = (column([pair[n] for pair in pairs]) for n in (0, 1))
    one, other = (statistics.difference(Mean(), a, b, draws=100)["mean"] for a, b in ((left, right), (right, left)))
    assert one["difference"] == pytest.approx(-other["difference"], abs=1e-9)
    assert one["p"] == pytest.approx(other["p"])
    assert one["interval"][0] == pytest.approx(-other["interval"][1], abs=1e-9)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_equal_sides_differ_by_nothing(values: list[float]) -> None:
    found = statistics.difference(Mean(), column(values), column(values), draws=100)["mean"]
    assert found["difference"] == 0 and found["p"] == 1
    assert found["interval"] == (0, 0) or len(values) == 1  # one group leaves nothing to draw


def test_small_chunks_give_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = column(np.random.default_rng(4).normal(0, 1, 50))
    whole = statistics.difference(Mean(), values, values[::-1], draws=100)
    monkeypatch.setattr(statistics, "CELLS", 500)
    parts = statistics.difference(Mean(), values, values[::-1], draws=100)
    assert parts["mean"]["difference"] == whole["mean"]["difference"]
    assert parts["mean"]["interval"] == pytest.approx(whole["mean"]["interval"])  # the same draws, a few at a time
    assert parts["mean"]["p"] == whole["mean"]["p"]


def test_what_is_not_defined_is_nan_and_does_not_spoil_the_rest() -> None:
    rows = Closed().rows(["yes", "no", "yes"], ["yes", "yes", "yes"])
    found = statistics.interval(Closed(), rows, draws=100)
    assert math.isnan(found["auroc"][0]) and found["accuracy"][0] == pytest.approx(2 / 3)
    difference = statistics.difference(Closed(), rows, rows, draws=100)
    assert math.isnan(difference["auroc"]["p"]) and difference["accuracy"]["p"] == 1


def test_sides_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="do not pair"):
        statistics.difference(Mean(), column([1, 2]), column([1]))
    with pytest.raises(ValueError, match="1 groups are named for 2 rows"):
        statistics.interval(Mean(), column([1, 2]), ["a"])


def calibrated(n: int, over: float, seed: int) -> Any:
    """Rows of confidences above ½ of which ``over`` is too much."""
    chance = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * chance.beta(4, 2, n)
    return Abstention().rows(list(sure), list((chance.random(n) < sure - over).astype(float)))


def test_the_interval_of_a_calibration_error_holds_it_and_takes_its_bias_off() -> None:
    """Percentiles lay above the score in every one of these, and never held the true error of 0."""
    zeros = 0
    for n in range(30):
        found = statistics.interval(Abstention(), calibrated(80, 0.0, n), draws=200, seed=n)
        for name in ("ece", "ece_mass"):
            score, low, high = found[name]
            assert 0 <= low <= score <= high
        zeros += found["ece"][1] == 0
    assert zeros >= 15
    _, low, high = statistics.interval(Abstention(), calibrated(2000, 0.2, 0), draws=200)["ece"]
    assert 0.15 < low < 0.2 < high < 0.25


def test_intervals_of_other_scores_are_percentiles_still() -> None:
    rows = calibrated(80, 0.1, 1)
    weights = next(statistics._bootstrap(np.arange(80), 80, 200, 0))
    found, drawn = statistics.interval(Abstention(), rows, draws=200), Abstention().totals(rows, weights)
    for name in ("accuracy", "aurc", "brier"):
        assert found[name][1:] == pytest.approx(np.percentile(drawn[name], [2.5, 97.5]))


def test_an_undefined_calibration_error_has_no_interval() -> None:
    alone = statistics.interval(Abstention(), calibrated(2, 0.0, 0), ["x", "x"])["ece"]
    assert alone[0] > 0 and all(math.isnan(bound) for bound in alone[1:])


class Ratio(Mean):
    """Column 0 over column 1: not defined where column 1 has nothing."""

    def totals(self, rows: Any, weights: Any) -> Any:
        part, whole = (weights @ rows).T
        return {"ratio": np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)}


def test_p_is_that_of_the_exact_test_over_all_swaps() -> None:
    """Seven pairs have 128 swaps: the share of them that differ as much is the exact p."""
    gaps = np.array([0.9, 0.4, -0.1, 0.7, 0.3, -0.2, 0.5])
    swaps = np.array(list(itertools.product([1, -1], repeat=7)))
    exact = np.mean(np.abs((swaps * gaps).mean(1)) >= gaps.mean() - 1e-12)
    found = statistics.difference(Mean(), column(gaps), column(np.zeros(7)), draws=20_000)["mean"]["p"]
    assert found == pytest.approx(exact, abs=0.01)


def test_whole_groups_are_swapped() -> None:
    """A hundred answers about three patients are three pieces of evidence: p cannot fall below 1/4."""
    groups = [f"patient {n % 3}" for n in range(99)]
    good, bad = column(np.ones(99)), column(np.zeros(99))
    assert statistics.difference(Mean(), good, bad, groups, draws=400)["mean"]["p"] == pytest.approx(1 / 4, abs=0.08)
    assert statistics.difference(Mean(), good, bad, draws=400)["mean"]["p"] < 0.01


def test_a_paired_interval_covers_the_true_difference() -> None:
    chance, covered = np.random.default_rng(11), 0
    for n in range(150):
        shared = chance.normal(0, 3, 60)
        left, right = shared + 0.5 + chance.normal(0, 0.7, 60), shared + chance.normal(0, 0.7, 60)
        low, high = statistics.difference(Mean(), column(left), column(right), draws=300, seed=n)["mean"]["interval"]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 150 <= 0.995


def test_no_more_weights_than_allowed_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Watching(Mean):
        def totals(self, rows: Any, weights: Any) -> Any:
            sizes.append(weights.size)
            return super().totals(rows, weights)

    monkeypatch.setattr(statistics, "CELLS", 1000)
    statistics.interval(Watching(), column(np.ones(100)), draws=55)
    statistics.difference(Watching(), column(np.ones(100)), column(np.ones(100)), draws=55)
    assert max(sizes) == 1000
    assert sum(sizes) == 100 + 55 * 100 + 2 * (100 + 55 * 100 + 55 * 200)  # no draw is lost


def test_one_group_has_no_interval_and_is_no_evidence() -> None:
    score, low, high = statistics.interval(Mean(), column([1, 1]), ["x", "x"])["mean"]
    assert score == 1 and math.isnan(low) and math.isnan(high)
    found = statistics.difference(Mean(), column([1, 1]), column([0, 0]), ["x", "x"], draws=50)["mean"]
    assert (found["difference"], found["p"]) == (1, 1) and math.isnan(found["interval"][0])


def test_draws_without_a_score_are_left_out_and_swaps_without_one_count_against() -> None:
    mostly = np.array([[1.0, 2]] + [[0.0, 0]] * 9)  # defined in the draws that hold the first row
    assert statistics.interval(Ratio(), mostly)["ratio"] == pytest.approx((0.5, 0.5, 0.5))
    assert all(math.isnan(value) for value in statistics.interval(Ratio(), np.empty((0, 2)))["ratio"])
    left, right = np.array([[1.0, 1], [0, 0]]), np.array([[0.0, 0], [0, 1]])  # swapping one pair empties a side
    found = statistics.difference(Ratio(), left, right, draws=99)["ratio"]
    assert (found["difference"], found["p"]) == (1, 1)
