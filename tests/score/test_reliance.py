"""Right and alike are judged by what is said, and the rates are those of the papers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.errors import SettingsError
from medrag.score import Measure
from medrag.score.reliance import ReferenceUse, paired, right, same_meaning

REPORT = "The heart is enlarged. There is a small left pleural effusion. No pneumothorax."


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("Yes, the chest X-ray shows an effusion.", "yes", True),
        ("No, there is no effusion.", "yes", False),
        ("An effusion cannot be judged.", "yes", False),  # says neither: never right by default
        ("This is an axial MRI.", "MRI", True),
        ("This is not an MRI.", "MRI", False),
        ("There is a small left pleural effusion. The heart is enlarged.", REPORT, True),
        ("The lungs are clear. The heart is normal.", REPORT, False),
        ("", REPORT, False),
        ("no", " No ", True),
        ("It is the left upper lobe of the lung, behind the heart.", "the left upper lobe of the lung behind", False),
        ("It is the left upper lobe of the lung.", "the left upper lobe of the lung.", True),
        ("The heart is enlarged. Small left effusion. Rib fracture.", REPORT, True),  # about one error
        ("The heart is enlarged. Small left effusion. Rib fracture. Mass.", REPORT, False),
    ],
)
def test_right_is_clinical(answer: str, reference: str, expected: bool) -> None:
    assert right(answer, reference) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Yes.", "Yes, there is a pleural effusion.", True),
        ("Yes, there is an effusion.", "No, there is no effusion.", False),
        ("There is a left pleural effusion.", "There is a right pleural effusion.", False),
        ("The lungs are clear. The heart is normal in size.", "Heart size is normal. Lungs are clear.", True),
        ("There is no pneumothorax.", "There is a pneumothorax.", False),
        ("in the left lobe", "in the right lobe", False),
        ("An axial CT", "the axial CT.", True),
        ("An axial CT", "An axial MRI", False),
        ("Yes.", "yes", True),
        ("Yes.", "No.", False),
        ("Perhaps.", "Yes.", False),
    ],
)
def test_same_meaning(one: str, other: str, expected: bool) -> None:
    assert same_meaning(one, other) is expected
    assert same_meaning(other, one) is expected


@given(st.sampled_from([REPORT, "Yes.", "An axial MRI.", "", "No, the lungs are clear."]))
def test_a_text_means_what_it_means(text: str) -> None:
    assert same_meaning(text, text)


def lines(*values: str, reference: str = "yes") -> list[dict[str, str]]:
    return [{"id": str(n), "value": v, "reference": reference, "group": str(n // 2)} for n, v in enumerate(values)]


def test_rates_by_hand() -> None:
    told = paired(
        lines("Yes.", "No.", "No.", "Yes."), lines("No.", "No.", "Yes.", "Yes."), lines("No.", "No.", "Yes.", "No.")
    )
    assert told.groups == ["0", "0", "1", "1"] and told.ids == ["0", "1", "2", "3"]
    measure = ReferenceUse()
    assert isinstance(measure, Measure)
    found = measure.totals(measure.rows(told.answers, told.references), np.ones((1, 4)))
    expected = {
        "over_reliance": 1 / 2, "help": 1 / 2, "copy_reference": 1 / 4, "copied_of_right": 1 / 2, "accuracy": 1 / 2,
        "accuracy_without": 1 / 2,
    }  # fmt: skip
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(expected)


def test_only_shared_questions_count_and_nothing_is_claimed_without_a_second_image() -> None:
    told = paired(lines("Yes.", "Yes."), lines("No.", "Yes.", "Yes."))
    assert told.answers == [("Yes.", "No.", None), ("Yes.", "Yes.", None)]
    measure = ReferenceUse()
    found = measure.totals(measure.rows(told.answers, told.references), np.ones((1, 2)))
    assert np.isnan(found["copy_reference"]) and np.isnan(found["copied_of_right"])


def test_results_that_do_not_pair_are_refused() -> None:
    for unseen in ([], lines("Yes.")):
        with pytest.raises(SettingsError) as problem:
            paired(lines("Yes."), lines("Yes.", reference="no"), unseen)
        assert problem.value.message == "0 has two right answers"
        assert problem.value.hint == "name results of one task, split and version"
    with pytest.raises(SettingsError, match="two right answers"):
        paired(lines("Yes."), lines("Yes."), lines("Yes.", reference="no"))
    with pytest.raises(SettingsError) as problem:
        paired([], lines("Yes."))
    assert problem.value.message == "the results share no question"
    assert problem.value.hint == "name results of one task and split"


def test_answers_to_two_questions_of_one_id_are_no_pair() -> None:
    """Ids of a file of one's own are numbers of its rows."""
    line = {"id": "1", "value": "Yes.", "reference": "yes", "question": "A mass?", "images": ["a/1.png"]}
    assert paired([line], [line | {"images": ["b/1.png"]}]).ids == ["1"]  # the same file somewhere else
    for other, what in (({"question": "An effusion?"}, "questions"), ({"images": ["2.png"]}, "pictures")):
        with pytest.raises(SettingsError, match=f"1 has two {what}"):
            paired([line], [line | other])
        with pytest.raises(SettingsError, match=f"1 has two {what}"):
            paired([line], [line], [line | other])
    failed = line | {"question": "", "images": [], "value": "", "status": "failed"}
    assert paired([failed], [line]).answers == [("", "Yes.", None)]


def test_pairs_have_the_group_of_their_line_or_their_own() -> None:
    line = {"id": 7, "value": "Yes.", "reference": "yes"}
    told = paired([line], [line], [{**line, "value": "No."}])
    assert told == ([("Yes.", "Yes.", "No.")], ["yes"], ["7"], ["7"])
    assert paired([line], [{**line, "group": 3}]).groups == ["3"]


def test_what_is_right_may_be_judged_otherwise() -> None:
    measure = ReferenceUse(right=lambda answer, truth: answer == truth)
    rows = measure.rows([("yes", "Yes.", None), ("no", "yes", "yes")], ["yes", "yes"])
    assert rows[:, :2].tolist() == [[1, 0], [0, 1]]
    assert np.isnan(rows[0, 2]) and rows[1, 2] == 1
    found = {n: v.tolist() for n, v in measure.totals(rows, np.array([[1.0, 0], [0, 1]])).items()}
    assert (found["accuracy"], found["accuracy_without"]) == ([0, 1], [1, 0])
    assert found["copied_of_right"][1] == 1 and np.isnan(found["copied_of_right"][0])
