"""Which finding a question asks about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag._util.findings import ASKED, label_of, presence_asked, reading_asked


@pytest.mark.parametrize("label", sorted(ASKED))
def test_every_wording_of_a_label_leads_back_to_it(label: str) -> None:
    for wording in ASKED[label]:
        for frame in ("Is there {}?", "Does the chest X-ray show {}?", "{}, is it present?"):
            assert label_of(frame.format(wording)) == label


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("Is the heart enlarged?", "Cardiomegaly"),
        ("Is there a nodule?", "Nodule"),
        ("Is there a calcified granuloma?", "mesh:Calcified Granuloma"),
        ("Is there an effusion or a pneumothorax?", ""),  # two
        ("Is there a pleural or pericardial effusion?", "Effusion"),
        ("Is there a pleural effusion without pericardial effusion?", "Effusion"),
        ("Is there a pericardial effusion?", ""),
        ("Is the film rotated?", ""),
        ("Is there massive change?", ""),  # "massive" is no mass
        ("", ""),
    ],
)
def test_questions(question: str, label: str) -> None:
    assert label_of(question) == label


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert label_of(text) == "" or label_of(text)[0].isalpha()


@pytest.mark.parametrize("label", sorted(ASKED))
def test_the_frames_of_presence_ask_for_presence(label: str) -> None:
    for wording in ASKED[label]:
        for frame in (
            "Is there {}?",
            "Does the chest X-ray show {}?",
            "Is there any evidence of {}?",
            "Is the film free of {}?",
        ):
            assert presence_asked(frame.format(wording)) == label


@pytest.mark.parametrize(
    "question",
    ["Is the pleural effusion on the left?", "Is there a pleural or pericardial effusion?", "Is there a large pleural effusion?", "Has the effusion resolved?", "Is the nodule calcified?", "Was the pneumothorax treated?"],
)  # fmt: skip
def test_side_size_and_change_are_other_questions(question: str) -> None:
    assert label_of(question) and presence_asked(question) == ""


@pytest.mark.parametrize(
    ("question", "label", "against"),
    [
        ("Does this patient have cardiomegaly?", "Cardiomegaly", False),
        ("Do you see a nodule?", "Nodule", False),
        ("Is the cardiac silhouette enlarged?", "Cardiomegaly", False),
        ("Is the heart larger than normal?", "Cardiomegaly", False),
        ("Is the heart within normal limits?", "Cardiomegaly", True),
        ("Is the chest X-ray normal?", "normal", False),
        ("Is there any abnormality?", "normal", True),
        ("Any acute findings?", "normal", True),
        ("Is there acute cardiopulmonary disease?", "normal", True),
        ("Is this an acute process?", "", False),
        ("Is the film free of abnormality?", "", False),
        ("Is the heart normal or enlarged?", "", False),
        ("Are the lungs normal?", "", False),
        ("Is the heart on the left?", "", False),
        ("Is the film rotated?", "", False),
    ],
)
def test_states_of_the_heart_and_of_the_whole_film(question: str, label: str, against: bool) -> None:
    assert reading_asked(question) == (label, against)
    assert presence_asked(question) == (label if label in ASKED and not against else "")
