"""Risk and calibration by hand, against slow definitions, and under weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.score import Measure
from medrag.score.abstention import Abstention, risk_coverage

CASES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.35, 0.5, 0.8, 1.0]), st.integers(0, 1)), min_size=1, max_size=15
)


def total(rows, weights=None, **options) -> dict[str, float]:
    measure = Abstention(**options)
    made = measure.rows([c for c, _ in rows], [r for _, r in rows])
    scores = measure.totals(made, np.ones((1, len(rows))) if weights is None else np.array([weights], float))
    return {name: float(value[0]) for name, value in scores.items()}


def test_by_hand() -> None:
    found = total([(0.9, 1), (0.8, 1), (0.6, 0), (0.3, 1)], coverages=(0.5, 0.75, 1), bins=2)
    # risks at 1, 2, 3 and 4 answers: 0, 0, 1/3, 1/4
    assert found["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)
    assert (found["accuracy@50"], found["accuracy@75"], found["accuracy@100"]) == pytest.approx((1, 2 / 3, 3 / 4))
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.36 + 0.49) / 4)
    # halves by width: {.3: 1} and {.9, .8, .6: 1, 1, 0}; by mass: {.9, .8: 1, 1} and {.6, .3: 0, 1}
    assert found["ece"] == pytest.approx((0.7 + abs(2.3 - 2)) / 4)
    assert found["ece_mass"] == pytest.approx((abs(1.7 - 2) + abs(0.9 - 1)) / 4)


def test_the_curve_ends_at_the_whole_risk_and_ties_are_one_step() -> None:
    coverages, risks = risk_coverage([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 0])
    assert coverages.tolist() == [0.25, 0.75, 1]
    assert risks == pytest.approx([0, 1 / 3, 1 / 2])


@given(CASES)
def test_scores_are_what_their_definitions_say(rows) -> None:
    found, n = total(rows, bins=5), len(rows)
    risks = []
    for threshold, _ in rows:
        kept = [right for sure, right in rows if sure >= threshold]
        risks.append(1 - sum(kept) / len(kept))
    assert found["aurc"] == pytest.approx(np.mean(risks))
    ece = 0.0
    for low in range(5):
        members = [(c, r) for c, r in rows if min(int(c * 5), 4) == low]
        if members:
            ece += len(members) / n * abs(np.mean([c for c, _ in members]) - np.mean([r for _, r in members]))
    assert found["ece"] == pytest.approx(ece)


@given(CASES)
def test_brier_is_scikit_learns(rows) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    sure, right = zip(*rows, strict=True)
    assert total(rows)["brier"] == pytest.approx(metrics.brier_score_loss(right, sure, pos_label=1))


@given(CASES, st.data())
def test_a_weight_counts_as_that_many_copies_in_any_order(rows, data) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)).filter(any))
    copies = data.draw(st.permutations([row for row, count in zip(rows, counts, strict=True) for _ in range(count)]))
    assert total(rows, counts) == pytest.approx(total(copies))


@given(st.lists(st.integers(0, 1), min_size=1, max_size=20))
def test_a_confidence_that_says_nothing_gains_nothing(right) -> None:
    found = total([(0.5, r) for r in right])
    assert found["aurc"] == pytest.approx(1 - found["accuracy"])
    assert found["accuracy@50"] == pytest.approx(found["accuracy"])


@given(st.lists(st.integers(0, 1), min_size=1, max_size=20))
def test_nobody_withholds_better_than_the_one_who_knows(right) -> None:
    knowing, doubting = total([(float(r), r) for r in right]), total([(1.0 - r, r) for r in right])
    assert knowing["aurc"] <= doubting["aurc"] + 1e-12
    assert knowing["ece"] == knowing["ece_mass"] == knowing["brier"] == 0


def test_calibrated_confidences_have_little_error_and_boasting_ones_much() -> None:
    chance = np.random.default_rng(0)
    sure = chance.uniform(0.5, 1, 20_000)
    right = (chance.random(20_000) < sure).astype(float)
    honest = total(list(zip(sure, right, strict=True)))
    boasting = total([(1.0, r) for r in right])
    assert max(honest["ece"], honest["ece_mass"]) < 0.02
    assert boasting["ece"] == boasting["ece_mass"] == pytest.approx(0.25, abs=0.02)


def test_contract_and_refusals() -> None:
    assert isinstance(Abstention(), Measure)
    nothing = Abstention().totals(Abstention().rows([0.5], [1]), np.zeros((1, 1)))
    assert all(np.isnan(value).all() for value in nothing.values())
    assert all(np.isnan(v).all() for v in Abstention().totals(Abstention().rows([], []), np.ones((1, 0))).values())
    for confidence in (1.2, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Abstention().rows([confidence], [1])


def test_the_scores_have_the_names_that_reports_ask_for() -> None:
    names = {"accuracy", "aurc", "accuracy@50", "accuracy@80", "accuracy@90", "ece", "ece_mass", "brier"}
    assert set(total([(0.9, 1)])) == names


def test_what_is_equally_sure_is_taken_in_part() -> None:
    rows = [(0.9, 1), (0.5, 0), (0.5, 1), (0.5, 1)]
    found = total(rows, coverages=(0.25, 0.5, 0.75))
    assert found["accuracy@25"] == 1
    assert found["accuracy@50"] == pytest.approx((1 + 2 / 3) / 2)  # one of the three, which is right twice in three
    assert found["accuracy@75"] == pytest.approx((1 + 4 / 3) / 3)


def test_what_is_equally_sure_stays_in_the_bin_of_its_middle() -> None:
    found = total([(0.9, 1), (0.5, 0), (0.5, 1), (0.1, 0)], bins=2)
    assert found["ece_mass"] == pytest.approx((abs(0.9 - 1) + abs(0.5 + 0.5 + 0.1 - 1)) / 4)


def test_each_line_of_weights_is_scored_by_itself() -> None:
    rows, lines = [(0.9, 1), (0.8, 0), (0.8, 1), (0.3, 0)], [[1, 1, 1, 0], [0, 2, 1, 3], [1, 0, 0, 0]]
    measure = Abstention()
    both = measure.totals(measure.rows(*zip(*rows, strict=True)), np.array(lines, float))
    for n, line in enumerate(lines):
        assert {name: float(value[n]) for name, value in both.items()} == pytest.approx(total(rows, line))


def test_the_ends_of_the_scale_are_allowed_and_no_answer_may_be_missing() -> None:
    assert Abstention().rows([0.0, 1.0], [1, 0]).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match="between 0 and 1"):
        Abstention().rows([-0.1], [1])
    with pytest.raises(ValueError, match="zip"):
        Abstention().rows([0.5, 0.5], [1])
