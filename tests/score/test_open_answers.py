"""Token F1 and exact match of short answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.score.open_answers import OpenAnswers, token_f1


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("The right lung.", "right lung", 1.0),
        ("left lung", "right lung", 0.5),
        ("", "lung", 0.0),
        ("", "", 1.0),
        ("MRI", "x-ray", 0.0),
    ],
)
def test_token_f1(answer: str, reference: str, score: float) -> None:
    assert token_f1(answer, reference) == score


@given(st.text(), st.text())
def test_token_f1_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert token_f1(one, other) == token_f1(other, one)
    assert 0 <= token_f1(one, other) <= 1


def test_an_answer_in_a_sentence_contains_its_reference() -> None:
    measure = OpenAnswers()
    found = measure.totals(measure.rows(["This is an axial MRI."], ["MRI"]), np.ones((1, 1)))
    assert found["contains"][0] == 1 and found["exact_match"][0] == 0
    assert measure.totals(measure.rows(["Anything"], [""]), np.ones((1, 1)))["contains"][0] == 0
