"""What an answer took, over the answers that tell."""

from __future__ import annotations

import numpy as np
import pytest

from medrag.eval.scoring import fault
from medrag.score.cost import Cost


def test_means_are_over_the_answers_that_tell() -> None:
    measure = Cost()
    rows = measure.rows([{"context_tokens": 30, "answer_tokens": 4, "steps": 3}, {"context_tokens": 10}, {}])
    found = measure.totals(rows, np.ones((1, 3)))
    assert {name: float(value[0]) for name, value in found.items()} == {
        "context_tokens": 20.0,
        "answer_tokens": 4.0,
        "steps": 3.0,
    }


def test_nobody_tells() -> None:
    rows = Cost().rows([{}, {}])
    assert rows.shape == (2, 3) and all(np.isnan(value[0]) for value in Cost().totals(rows, np.ones((1, 2))).values())


@pytest.mark.parametrize("score", Cost.NAMES)
def test_less_is_better(score: str) -> None:
    assert fault(score)
