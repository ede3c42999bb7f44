"""Rankings: hand-computed values, and weights."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("ir_measures")

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
