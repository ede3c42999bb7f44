"""Rankings: hand-computed values, and weights."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ir_measures")

from medrag.errors import MissingDependency
from medrag.score import Measure
from medrag.score.ranking import METRICS, Ranking


def test_hand_computed() -> None:
    run = [{"a": 3.0, "b": 2.0, "c": 1.0}, {"x": 1.0}, {}]
    judged = [{"b": 1, "c": 2}, {"y": 1}, {"z": 1}]
    rows = Ranking().rows(run, judged)
    names = list(METRICS)
    ideal = 2 + 1 / math.log2(3)
    assert rows[0, names.index("ndcg@10")] == pytest.approx((1 / math.log2(3) + 2 / math.log2(4)) / ideal)
    assert rows[0, names.index("mrr@10")] == 0.5 and rows[0, names.index("success@1")] == 0
    assert rows[0, names.index("recall@10")] == 1
    assert not rows[1:].any()  # a query that found nothing, or nothing relevant, counts as 0


def test_weights_choose_queries() -> None:
    measure = Ranking()
    rows = measure.rows([{"a": 1.0}, {"b": 1.0}], [{"a": 1}, {"a": 1}])
    found = measure.totals(rows, np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert found["success@1"].tolist() == [0.5, 1.0]


def test_a_query_without_anything_relevant_is_not_asked() -> None:
    measure = Ranking()
    rows = measure.rows([{"a": 1.0}, {"a": 1.0}, {"a": 1.0}], [{"a": 1}, {"a": 0}, {}])
    found = measure.totals(rows, np.array([[1.0, 1, 1], [0, 1, 1], [0, 0, 0]]))
    assert found["success@1"][0] == 1
    assert np.isnan(found["success@1"][1:]).all()


def test_equal_scores_are_ordered_by_document_whatever_the_order_given() -> None:
    one, other = ({"a": 1.0, "b": 1.0}, {"b": 1.0, "a": 1.0})
    assert (Ranking().rows([one], [{"a": 1}]) == Ranking().rows([other], [{"a": 1}])).all()


@given(
    st.dictionaries(st.sampled_from("abcdefghijklmn"), st.integers(0, 3), min_size=1, max_size=12),
    st.permutations("abcdefghijklmn"),
)
def test_ndcg_and_the_others_are_what_their_definitions_say(grades: dict[str, int], order: list[str]) -> None:
    if not any(grades.values()):
        grades["a"] = 1
    run = {doc: float(-place) for place, doc in enumerate(order)}
    found = dict(zip(METRICS, Ranking().rows([run], [grades])[0], strict=True))
    gains = [grades.get(doc, 0) for doc in order]
    best = sorted(grades.values(), reverse=True)
    discounted = [sum(g / math.log2(place + 2) for place, g in enumerate(one[:10])) for one in (gains, best)]
    relevant = sum(grade > 0 for grade in grades.values())
    first = next(place for place, gain in enumerate(gains, 1) if gain)
    assert found["ndcg@10"] == pytest.approx(discounted[0] / discounted[1])
    assert found["recall@10"] == pytest.approx(sum(gain > 0 for gain in gains[:10]) / relevant)
    assert found["mrr@10"] == pytest.approx(1 / first if first <= 10 else 0)


def test_depths_are_ten_and_a_hundred() -> None:
    run = {f"d{n:03}": float(-n) for n in range(1, 121)}
    rows = Ranking().rows([run], [{"d010": 1, "d011": 1, "d100": 1, "d101": 1}])
    found = dict(zip(METRICS, rows[0], strict=True))
    assert (found["recall@10"], found["recall@100"], found["mrr@10"]) == (1 / 4, 3 / 4, 1 / 10)
    assert not Ranking().rows([run], [{"d011": 1}])[0, list(METRICS).index("mrr@10")]


def test_ids_scores_and_grades_may_be_numbers_of_any_kind() -> None:
    rows = Ranking().rows([{7: np.float32(2), 8: 1}], [{7: True}])  # type: ignore[dict-item]
    assert rows[0].tolist() == [1] * len(METRICS)


def test_it_is_a_measure_and_names_the_package_that_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(Ranking(), Measure)
    assert list(Ranking().totals(np.ones((1, len(METRICS))), np.ones((1, 1)))) == list(METRICS)
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingDependency) as caught:
        Ranking().rows([], [])
    assert caught.value.message == "rankings are scored with ir-measures"
    assert caught.value.hint == 'pip install "medrag[eval]"'


def test_all_measures_see_ties_in_the_same_order() -> None:
    found = dict(zip(METRICS, Ranking().rows([{"b": 1.0, "a": 1.0}], [{"a": 1}])[0], strict=True))
    assert found["ndcg@10"] == found["mrr@10"] == found["success@1"] == 1
