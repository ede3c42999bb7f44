"""Numbers of the report's drawings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.eval import charts

units = st.floats(0, 1)


@given(st.lists(st.tuples(units, st.booleans()), min_size=1, max_size=60))
def test_coverage_ends_with_everything_answered(pairs: list[tuple[float, bool]]) -> None:
    points = charts.coverage([p for p, _ in pairs], [y for _, y in pairs])
    assert points[-1] == (1.0, pytest.approx(sum(y for _, y in pairs) / len(pairs)))
    assert all(0 < x <= 1 and 0 <= y <= 1 for x, y in points)


@given(st.lists(st.tuples(units, st.booleans()), min_size=1, max_size=60))
def test_calibration_rises_along_the_probabilities(pairs: list[tuple[float, bool]]) -> None:
    points = charts.calibration([p for p, _ in pairs], [y for _, y in pairs])
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_intervals_lie_on_the_sheet() -> None:
    drawn = charts.forest([("a", 0.1, -0.2, 0.4), ("b", -0.4, -0.5, -0.3)], "difference")
    for mark in drawn["marks"]:
        assert charts.LEFT < mark["x1"] <= mark["x"] <= mark["x2"] < charts.WIDTH
    assert [mark["sure"] for mark in drawn["marks"]] == [False, True]


def test_first_ranks() -> None:
    lines = [
        {"value": {"a": 3.0, "b": 2.0}, "reference": {"a": 1}},
        {"value": {"a": 3.0, "b": 2.0}, "reference": {"b": 2}},
        {"value": {}, "reference": {"b": 2}},
    ]
    assert charts.first_ranks(lines) == {"1": 1, "2–3": 1, "4–10": 0, "11–100": 0, "later or never": 1}


def test_answers_of_equal_confidence_count_the_same_in_any_order() -> None:
    one, other = (charts.coverage([0.5] * 20, right) for right in ([1] * 10 + [0] * 10, [0] * 10 + [1] * 10))
    assert one == other and {y for _, y in one} == {0.5}


@pytest.mark.parametrize(("reach", "low", "high"), [(0.4, "-0.42", "0.42"), (0.002, "-0.0021", "0.0021")])
def test_a_scale_is_never_from_nothing_to_nothing(reach: float, low: str, high: str) -> None:
    drawn = charts.forest([("a", reach / 2, 0, reach)], "difference")
    assert (drawn["low"], drawn["high"]) == (low, high)
