"""Two readings, or two reports, beside each other; and a question that leans on the one before."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image

from medrag.agent import compare
from medrag.agent.asking import completed, region, sub_questions
from medrag.agent.compare import changes, verdict
from medrag.types import QueryImage, Study

USUAL = {"Effusion": 0.04, "Cardiomegaly": 0.13}


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [(0.01, 0.2, "new"), (0.2, 0.01, "resolved"), (0.2, 0.3, "unchanged"), (0.01, 0.02, "")],
)
def test_likelier_than_usual_is_there(before, after, word):
    assert verdict("Effusion", {"Effusion": before}, {"Effusion": after}, USUAL) == word
    assert verdict("Effusion", {"Effusion": before}, {"Effusion": after}, {}) == ""  # one half, where nothing is known


def test_what_is_asked_stands_first_and_others_are_judged_by_one_half():
    before, after = {"Effusion": 0.01, "Cardiomegaly": 0.3}, {"Effusion": 0.2, "Cardiomegaly": 0.7}
    text = changes(before, after, "Effusion", USUAL)
    assert text.startswith("Pleural effusion is new") and "Cardiomegaly is new" in text
    assert "In neither image: pleural effusion." in changes(before, after)
    assert "Cardiomegaly is unchanged" in changes(before, after, "Cardiomegaly", USUAL)


def test_the_shipped_reader_says_what_is_usual():
    from medrag.encoders.findings import FindingsReader

    usual = FindingsReader("medrag-small").usual
    assert 0.02 < usual["Effusion"] < 0.1 and all(0 < p < 0.5 for p in usual.values())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Right pneumothorax.", "Left pneumothorax. No right pneumothorax.", "new: left pneumothorax; resolved: right pneumothorax"),
        ("Bilateral effusions.", "Left effusion. No right effusion.", "resolved: right pleural effusion; unchanged: left pleural effusion"),
        ("Left effusion.", "No effusion.", "resolved: pleural effusion"),
        ("Left effusion.", "The effusion is unchanged.", "unchanged: pleural effusion"),
        ("Possible pneumothorax.", "Pneumothorax.", "now certain: pneumothorax"),
        ("Pneumothorax.", "Question of pneumothorax.", "now in doubt: possible pneumothorax"),
        ("Pneumothorax.", "Edema.", "new: edema; no longer mentioned: pneumothorax"),
        ("No edema.", "No edema.", "nothing to compare"),
    ],
)  # fmt: skip
def test_reports_are_compared_by_finding_and_side(before, after, said):
    studies = [Study("a", {"findings": before}, date="2020-01-01"), Study("b", {"findings": after}, date="2021-01-01")]
    assert compare.histories(studies)[1].partition(": ")[2] == said


@pytest.mark.parametrize("turned", [False, True])
def test_images_are_compared_by_the_dates_of_their_files(turned):
    old, new = (
        QueryImage(Image.new("L", (4, 4), shade), meta={"study_date": day})
        for shade, day in ((200, "20190101"), (9, "20210101"))
    )
    given = (new, old) if turned else (old, new)
    desk = SimpleNamespace(
        pick=lambda n: (given[n],), usual={}, sources=lambda kind: [],
        see=lambda images: {"Effusion": 0.9 if images[0].getpixel((0, 0)) == 200 else 0.02},
    )  # fmt: skip
    text, _ = compare.images(desk, 0, 1, "Is the effusion new?")
    assert "effusion is resolved" in text
    assert ("By their files' dates the second image" in text) is turned


@pytest.mark.parametrize(
    ("before", "question", "whole"),
    [
        ("Is there a left pleural effusion?", "and on the right?", "Is there a right pleural effusion?"),
        ("Is there a left-sided pleural effusion?", "What about the right side?", "Is there a right pleural effusion?"),
        ("Is the left lung clear?", "and the right lung?", "Is the right lung clear?"),
        ("Is there a left nodule?", "and in the right lower lobe?", "Is there a nodule in the right lower lobe?"),
        ("Is there a nodule in the left upper lobe?", "and in the lower lobe?", "Is there a nodule in the lower lobe?"),
        ("Is there a left pleural effusion?", "What about the heart?", "Is the heart normal?"),
        ("Is there a pleural effusion?", "on the left?", "Is there a pleural effusion on the left?"),
        ("Is there a nodule?", "in the heart?", "in the heart?"),
    ],
)
def test_a_follow_up_takes_the_new_side(before, question, whole):
    assert completed(question, before) == whole


@pytest.mark.parametrize(
    ("before", "question", "whole"),
    [
        ("What is a pleural effusion?", "And is there one on the left?", "is there a pleural effusion on the left?"),
        ("Is there a left pleural effusion?", "Is it on the right?", "Is a pleural effusion on the right?"),
        ("Is there a pleural effusion?", "Is this an AP or PA view?", "Is this an AP or PA view?"),
        ("Is there a pleural effusion?", "Is it a CT scan?", "Is it a CT scan?"),
        ("Is there a pleural effusion?", "Is this a pneumothorax?", "Is this a pneumothorax?"),
        ("Is there a pleural effusion?", "Is it pneumonia?", "Is it pneumonia?"),
        ("Is there a pleural effusion?", "Does it show a mass?", "Does it show a mass?"),
        ("Is there a pleural effusion?", "How does it look on a film?", "How does a pleural effusion look on a film?"),
        ("Is there a pleural effusion?", "Is it a medical emergency?", "Is a pleural effusion a medical emergency?"),
        ("Is a pleural effusion new?", "and a mass?", "Is a mass new?"),
        ("How large is a pleural effusion?", "How is it treated?", "How is a pleural effusion treated?"),
    ],
)
def test_it_stands_for_what_was_asked_before_unless_it_is_the_picture(before, question, whole):
    assert completed(question, before) == whole


def test_each_question_of_several_is_about_the_first_thing():
    asked = "What is a pleural effusion? Is it new? How is it treated?"
    whole = ["What is a pleural effusion?", "Is a pleural effusion new?", "How is a pleural effusion treated?"]
    assert sub_questions(asked) == whole


def test_sides_are_turned_where_the_patient_is_faced_and_unknown_pictures_are_not_cut():
    asked = "Is there a lesion in the left kidney?"
    boxes = [region(asked, domain) for domain in ("chest-xray", "ct", "mr", "fundus", "other", "")]
    left, right = (0.0, 0.0, 0.55, 1.0), (0.45, 0.0, 1.0, 1.0)
    assert boxes == [right, right, right, left, None, None]
