"""Closed answers: what counts as yes and no, and scores equal to scikit-learn's."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.prompts import REFUSAL, UNSEEN
from medrag.score import Measure
from medrag.score.closed import Closed, abstains, auroc, parse


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes.", "yes"), ("**No**, the lungs are clear", "no"), ("no", "no"), ("\"Yes\" it does", "yes"), ("No \u2014 clear", "no"),
        ("Yes there is.", "yes"), ("No there is no mass", "no"), ("[E1] Yes, a mass [E2].", "yes"),
        ("Answer: yes", "yes"), ("It shows a normal heart, so the answer is \"no.\"", "no"), ("The answer to this question is **yes**", "yes"),
        ("The answer is yes. On reflection, the answer is no.", ""), ("Yes or no?", ""), ("yes/no", ""),
        ("There is no pneumothorax.", "no"), ("There is a small effusion. No mass.", "yes"), ("There is a mass without effusion.", ""),
        ("The chest x-ray does not show any focal airspace opacity.", "no"), ("The film shows a fracture.", "yes"),
        ("The film doesn't show a fracture.", "no"), ("There isn\u2019t a mass.", "no"), ("There is no longer a pneumothorax.", "no"),
        ("The film shows no fracture.", "no"), ("No pleural effusion.", "no"), ("No evidence of pneumonia is seen.", "no"),
        ("A nodule is seen.", "yes"), ("Pneumothorax is not identified.", "no"), ("According to the film, there are no masses.", "no"),
        ("There may be a small effusion.", ""), ("There is a possible nodule.", ""), ("The film shows an effusion, probably.", ""),
        ("The film shows a normal heart.", ""), ("The film shows a normal-sized heart.", ""), ("There is no change.", ""),
        ("No information is available.", ""), ("No idea.", ""), ("", ""), ("Nothing can be said.", ""), ("Normal.", ""),
        ("I cannot answer this from the evidence found.", ""), ("I cannot say whether there is a mass.", ""), ("Yesterday's film is better.", ""),
        ("Nodules.", ""), ("Not sure.", ""), ("no/yes", ""), ("The answer is yes. Answer: yes", "yes"), ("Yes, no doubt.", "yes"),
        ("The image reveals a mass.", "yes"), ("It demonstrates no mass.", "no"), ("There was a mass.", "yes"), ("There were no masses.", "no"),
        ("Here, there is a mass.", "yes"), ("A mass is likely.", ""), ("Maybe there is a mass.", ""),
        ("No - it is clear.", "no"), ("The film shows a stable mass.", ""), ("There is a mass. There is no mass.", "yes"),
    ],
)  # fmt: skip
def test_what_an_answer_says(answer: str, said: str) -> None:
    assert parse(answer) == said


@given(st.sampled_from(["mass", "pleural effusion", "rib fracture", "nodule"]), st.booleans())
def test_a_statement_and_its_denial_are_told_apart(finding: str, there: bool) -> None:
    no, not_ = ("", "") if there else ("no ", "not ")
    expected = "yes" if there else "no"
    assert parse(f"There is {no or 'a '}{finding}.") == expected
    assert parse(f"The radiograph shows {no or 'a '}{finding}.") == expected
    assert parse(f"A {finding} is {not_}seen.") == expected


@pytest.mark.data
def test_what_real_answers_say_behind_their_first_word_is_what_that_word_says() -> None:
    """Published answers that begin "Yes, …" or "No, …": the words behind are read alone."""
    path = Path(os.environ["MEDRAG_DATA"]) / "noncommercial" / "iu_xray" / "vqa_train.jsonl"
    answers = [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").splitlines()]
    led = [match for answer in answers if (match := re.match(r"(yes|no), (.+)", answer, re.IGNORECASE | re.DOTALL))]
    read = [(match[1].lower(), said) for match in led if (said := parse(match[2]))]
    assert len(read) >= 0.5 * len(led) > 500
    assert sum(word == said for word, said in read) >= 0.99 * len(read)


def test_an_unparsable_answer_is_wrong_for_both_classes() -> None:
    measure = Closed()
    rows = measure.rows(["Perhaps.", "Perhaps."], ["yes", "no"])
    found = {name: float(value[0]) for name, value in measure.totals(rows, np.ones((1, 2))).items()}
    assert found["accuracy"] == 0 and found["coverage"] == 0 and found["auroc"] == 0.5 and found["unparsable"] == 1


def test_an_abstention_is_unanswered_and_not_unparsable() -> None:
    measure = Closed()
    rows = measure.rows_with([REFUSAL, UNSEEN.format(finding="a mass"), "no", "?"], ["no"] * 4, [None, None, 0.1, 0.2])
    found = {name: float(value[0]) for name, value in measure.totals(rows, np.ones((1, 4))).items()}
    assert (found["abstained"], found["coverage"], found["unparsable"], found["accuracy"]) == (0.5, 0.25, 0.25, 0.25)


def test_what_nothing_defines_is_nan() -> None:
    measure = Closed()
    found = measure.totals(measure.rows(["yes", "yes"], ["yes", "no"]), np.array([[1.0, 0], [0, 0]]))
    assert found["accuracy"][0] == 1 and np.isnan(found["accuracy"][1])
    assert np.isnan(found["auroc"]).all() and np.isnan(found["macro_f1"]).all()
    assert all(np.isnan(value).all() for value in measure.totals(measure.rows([], []), np.ones((1, 0))).values())


def test_a_reference_that_is_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="not yes or no"):
        Closed().rows(["yes"], ["maybe"])


cases = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), st.integers(0, 3)), min_size=2, max_size=40
)


@given(cases)
def test_auroc_equals_scikit_learns_under_weights(rows: list[tuple[bool, float, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, scores, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    drawn = weights > 0
    found = auroc(truth, scores, weights[None])[0]
    if len(set(truth[drawn])) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(metrics.roc_auc_score(truth, scores, sample_weight=weights))


@given(
    st.lists(
        st.tuples(st.sampled_from(["yes", "no", "perhaps"]), st.sampled_from(["yes", "no"])), min_size=1, max_size=40
    )
)
def test_scores_equal_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    said, true = zip(*pairs, strict=True)
    measure = Closed()
    found = measure.totals(measure.rows(said, true), np.ones((1, len(pairs))))
    assert found["accuracy"][0] == pytest.approx(metrics.accuracy_score(true, said))
    if "yes" in said or "yes" in true:
        assert found["f1"][0] == pytest.approx(
            metrics.f1_score(true, said, labels=["yes"], average="macro", zero_division=0)
        )
    if {"yes", "no"} <= {*said, *true}:
        assert found["macro_f1"][0] == pytest.approx(
            metrics.f1_score(true, said, labels=["yes", "no"], average="macro", zero_division=0)
        )


@pytest.mark.parametrize(
    ("answer", "gone"),
    [
        (REFUSAL, True),
        (REFUSAL.upper(), True),
        (f"Sadly, {REFUSAL}", True),
        (UNSEEN.format(finding="a mass"), True),
        ("I cannot answer this.", False),
        ("", False),
    ],
)
def test_what_is_an_abstention(answer: str, gone: bool) -> None:
    assert abstains(answer) is gone


def test_a_row_says_what_is_true_what_was_said_and_how_surely() -> None:
    rows = Closed().rows(["yes", "No.", "?", REFUSAL], ["yes", "yes", "no", "no"])
    assert rows.tolist() == [[1, 1, 0, 1, 0], [1, 0, 1, 0, 0], [0, 0, 0, 0.5, 0], [0, 0, 0, 0.5, 1]]
    assert Closed().rows_with(["yes"], ["no"], [0.25]).tolist() == [[0, 1, 0, 0.25, 0]]
    with pytest.raises(ValueError, match="zip"):
        Closed().rows(["yes", "yes"], ["yes"])


def test_all_scores_by_hand_under_each_line_of_weights() -> None:
    measure = Closed()
    assert isinstance(measure, Measure)
    rows = measure.rows(["yes", "yes", "no", "?", REFUSAL], ["yes", "no", "no", "yes", "no"])
    found = measure.totals(rows, np.array([[1.0] * 5, [2, 0, 0, 0, 1]]))
    assert {name: value.tolist() for name, value in found.items()} == {
        "accuracy": pytest.approx([2 / 5, 2 / 3]),
        "f1": pytest.approx([1 / 2, 1]),
        "macro_f1": pytest.approx([(1 / 2 + 1 / 2) / 2, (1 + 0) / 2]),
        "auroc": pytest.approx([(1 / 2 + 1 + 1 + 0 + 1 + 1 / 2) / 6, 1]),
        "coverage": pytest.approx([3 / 5, 2 / 3]),
        "abstained": pytest.approx([1 / 5, 1 / 3]),
        "unparsable": pytest.approx([1 / 5, 0]),
    }


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Likely yes: 7 of 7 are.", "yes"),
        ("Likely no: 2 of 7 are.", "no"),
        ("Probably no.", "no"),
        ("Likely no effusion.", ""),
    ],
)
def test_a_likely_yes_or_no_is_one(answer: str, said: str) -> None:
    assert parse(answer) == said


@pytest.mark.parametrize("word", ["Present.", "True", "1", "positive", "Y"])
def test_a_label_alone_is_an_answer(word: str) -> None:
    assert parse(word) == "yes" and parse("Absent") == parse("0") == "no"
