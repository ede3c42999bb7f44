"""Token F1 and exact match of short answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.score.open_answers import OpenAnswers, normalised, token_f1


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


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("The right lung.", "right lung", True),
        ("It lies in the right lung.", "Right lung.", True),
        ("It lies in the lung on the right.", "right lung", False),  # other words
        ("There is no pneumonia.", "pneumonia", False),
        ("There may be pneumonia.", "pneumonia", False),
        ("There is no effusion. There is pneumonia.", "pneumonia", True),
        ("No effusion is seen.", "no effusion", True),
        ("", "mass", False),
        ("mass", "", False),
    ],
)
def test_an_answer_is_right_that_says_the_reference_and_does_not_deny_it(answer, reference, right) -> None:
    measure = OpenAnswers()
    assert measure.totals(measure.rows([answer], [reference]), np.ones((1, 1)))["accuracy"][0] == right


WORDS = st.lists(st.sampled_from("the a mass no left lung of is .".split()), max_size=6).map(" ".join)


@given(WORDS, WORDS)
def test_what_is_exactly_right_is_right_in_every_score(answer: str, reference: str) -> None:
    measure = OpenAnswers()
    found = {n: float(v[0]) for n, v in measure.totals(measure.rows([answer], [reference]), np.ones((1, 1))).items()}
    assert found["exact_match"] <= min(found["accuracy"], found["token_f1"])


@given(WORDS, WORDS)
def test_token_f1_is_squads(answer: str, reference: str) -> None:
    """From precision and recall over the bag of words, as the paper defines it."""
    said, true = normalised(answer), normalised(reference)
    shared = sum(min(said.count(word), true.count(word)) for word in set(said))
    if not shared:
        assert token_f1(answer, reference) == (not said and not true)
        return
    precision, recall = shared / len(said), shared / len(true)
    assert token_f1(answer, reference) == pytest.approx(2 * precision * recall / (precision + recall))
