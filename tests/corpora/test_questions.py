"""Closed questions made from labels and reports."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.corpora import questions
from medrag.corpora.realdata import Study, iu_vqa


def study(uid: str, text: str = "", positive: set[str] = frozenset(), mesh: set[str] = frozenset()) -> Study:  # type: ignore[assignment]
    return Study(uid, text, text, "", frozenset(positive), frozenset(mesh), ())


@given(
    st.lists(st.sets(st.sampled_from(["Effusion", "Cardiomegaly", "Nodule"])), min_size=30, max_size=80),
    st.integers(0, 9),
)
def test_a_balanced_set_says_yes_as_often_as_no_to_each_question(labels: list[set[str]], seed: int) -> None:
    pool = [study(str(n), positive=own) for n, own in enumerate(labels)]
    made = questions.balanced(pool, seed, ("Effusion", "Cardiomegaly", "Nodule"))
    by = Counter((one.question, one.answer) for one in made)
    for question in {one.question for one in made}:
        assert by[question, "yes"] == by[question, "no"] >= questions.LEAST
    truth = {s.uid: s.positive for s in pool}
    assert all((one.topic in truth[one.uid]) == (one.answer == "yes") for one in made)


@pytest.mark.parametrize(("having", "asked"), [(4, 0), (5, 5), (12, 8), (15, 5), (16, 0)])
def test_what_most_studies_have_is_asked_of_as_many_as_lack_it(having: int, asked: int) -> None:
    pool = [study(str(n), positive={"Effusion"} if n < having else set()) for n in range(20)]
    by = Counter(one.answer for one in questions.balanced(pool, 0, ["Effusion"]))
    assert by == Counter({"yes": asked, "no": asked}) - Counter()
    assert len({one.uid for one in questions.balanced(pool, 0, ["Effusion"])}) == 2 * asked


def test_a_published_question_may_hold_an_unusual_end_of_line(tmp_path: Path) -> None:
    path = tmp_path / "noncommercial/iu_xray/vqa_train.jsonl"
    path.parent.mkdir(parents=True)
    rows = [{"uid": "1", "question": "Is there\u2028an effusion?\u0085", "answer": "Yes."}, {"uid": "2"}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert iu_vqa(tmp_path) == rows


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("No pneumothorax or pleural effusion.", {"pneumothorax": "no", "pleural effusion": "no"}),
        ("Small left pleural effusion. No pneumothorax.", {"pleural effusion": "yes", "pneumothorax": "no"}),
        ("Possible pneumonia.", {}),
        ("No nodule. There is a nodule in the left apex.", {"nodule": "yes"}),
        ("The heart is normal.", {}),
    ],
)
def test_reports_become_questions_with_their_polarity(text: str, wanted: dict[str, str]) -> None:
    assert {one.topic: one.answer for one in questions.from_report(study("1", text))} == wanted


def test_questions_for_training_hold_a_study_s_own_findings_and_absent_ones() -> None:
    own = study("1", positive={"Effusion"}, mesh={"Scoliosis"})
    made = questions.from_labels(own, {"Cardiomegaly": 0.5}, random.Random(1), 4)
    answers = {one.topic: one.answer for one in made}
    assert answers["Effusion"] == answers["mesh:Scoliosis"] == "yes"
    assert "no" in answers.values()
    assert all(questions.answer_of(questions.sentence(one, random.Random(2))) == one.answer for one in made)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("Yes, there is.", "yes"),
        ("The chest x-ray does not show any opacity.", "no"),
        ("The arteries appear to be calcified.", "yes"),
        ("No.", "no"),
    ],
)
def test_worded_answers_begin_with_yes_or_no(answer: str, wanted: str) -> None:
    assert questions.answer_of(questions.worded(answer)) == wanted


YES = ("yes", "Yes.", "TRUE", "Present.", "positive", "1", 1, True, "The heart is large.")
NO = ("no", "No.", "False", "ABSENT", "Negative.", "0", 0, False, "It is not seen.")


@pytest.mark.parametrize(("yes", "no"), zip(YES, NO, strict=True))
def test_an_answer_of_one_word_is_a_label(yes: object, no: object) -> None:
    assert (questions.meant(yes), questions.meant(no)) == ("yes", "no")


@pytest.mark.parametrize("other", ["Unknown", "nein", "Nope", "", "2", "Yes/No"])
def test_a_word_that_is_no_label_is_refused(other: str) -> None:
    with pytest.raises(ValueError, match="neither yes nor no; known: yes, no, true"):
        questions.meant(other)


@pytest.mark.parametrize("other", [None, ["yes"], {"answer": "yes"}])
def test_what_is_no_text_is_no_answer(other: object) -> None:
    for read in (questions.meant, questions.as_text):
        with pytest.raises(TypeError, match="is no text"):
            read(other)


def test_an_answer_that_says_neither_is_no_default() -> None:
    assert questions.answer_of("Northern views are missing") == ""
