"""Token F1 and exact match of short answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.score import Measure
from medrag.score.open_answers import OpenAnswers, normalised, stated, token_f1


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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The right lung.", ["right", "lung"]),
        ("A mass, an apex; the X-ray!", ["mass", "apex", "xray"]),
        ("Anatomy", ["anatomy"]),  # no article of its own
        ("the", ["the"]),
        ("A.", ["a"]),  # an option
        ("5.5 cm, 1/2 and <1 cm.", ["5.5", "cm", "1/2", "and", "<1", "cm"]),
        ("", []),
    ],
)
def test_words_without_marks_and_articles(text: str, found: list[str]) -> None:
    assert normalised(text) == found


def test_each_score_is_a_column_and_a_mean() -> None:
    measure = OpenAnswers()
    assert isinstance(measure, Measure)
    rows = measure.rows(["The left lung.", "There is no mass.", "lung left"], ["left lung", "mass", "left lung"])
    assert rows.tolist() == [[1, 1, 1, 1], [pytest.approx(2 / 5), 0, 1, 0], [1, 0, 1, 0]]
    found = measure.totals(rows, np.array([[1.0, 0, 1], [0, 1, 0]]))
    assert list(found) == ["token_f1", "exact_match", "contains", "accuracy"]
    assert (found["exact_match"].tolist(), found["accuracy"].tolist()) == ([0.5, 0], [0.5, 0])
    assert measure.rows([], []).shape == (0, 4)
    with pytest.raises(ValueError, match="zip"):
        measure.rows(["mass"], [])


@pytest.mark.parametrize(
    ("answer", "reference", "said"),
    [
        ("There is no mass. A mass is seen.", "mass", True),  # one sentence is enough
        ("Perhaps a mass.", "mass", False),
        ("This is an MRI.", " MRI. ", True),
        ("An MRI was made.", "MRI.", True),
        ("This is a CT.", "MRI", False),
    ],
)
def test_what_an_answer_states(answer: str, reference: str, said: bool) -> None:
    assert stated(answer, reference) is said


def test_an_empty_answer_is_never_right() -> None:
    assert not OpenAnswers().rows(["", "the"], ["A", "A"]).any()
