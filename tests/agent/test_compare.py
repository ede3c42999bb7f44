"""Two readings, or two reports, beside each other; and a question that leans on the one before."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image

from medrag.agent import compare
from medrag.agent.asking import completed, region, sub_questions
from medrag.agent.compare import changes, couples, course, like_views, verdict
from medrag.types import QueryImage, Study

USUAL = {"Effusion": 0.04, "Cardiomegaly": 0.13}


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [(0.01, 0.2, "new"), (0.2, 0.01, "resolved"), (0.2, 0.3, "unchanged"), (0.01, 0.02, "")],
)
def test_likelier_than_usual_is_there(before, after, word):
    assert verdict("Effusion", {"Effusion": before}, {"Effusion": after}, USUAL) == word
    assert verdict("Effusion", {"Effusion": before}, {"Effusion": after}, {}) == ""  # one half, where nothing is known


def test_what_is_asked_stands_first_and_every_finding_is_judged_alike():
    before, after = {"Effusion": 0.01, "Cardiomegaly": 0.3}, {"Effusion": 0.2, "Cardiomegaly": 0.7}
    text, asked = changes(before, after, usual=USUAL), changes(before, after, "Effusion", USUAL)
    assert asked.startswith(
        "Pleural effusion is possibly new: probability 0.01 in the first image, 0.20 in the second."
    )
    assert sorted(text.split(". ")) == sorted(f"{asked[:-1]}.".split(". ")) or set(text.split()) == set(asked.split())
    assert "Cardiomegaly is unchanged or new" in text and "In neither" not in text
    assert "In neither" not in changes(before, after)  # 0.2 is in doubt, whatever is usual


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (0.01, 0.8, "new"), (0.8, 0.01, "resolved"), (0.8, 0.7, "unchanged"), (0.01, 0.02, ""),
        (0.01, 0.3, "possibly new"), (0.3, 0.01, "possibly resolved"), (0.3, 0.3, "possibly unchanged"),
        (0.3, 0.8, "unchanged or new"), (0.8, 0.3, "unchanged or resolved"),
    ],
)  # fmt: skip
def test_a_doubtful_reading_leaves_doubt(before, after, word):
    assert course("Effusion", {"Effusion": before}, {"Effusion": after}, USUAL) == word


@pytest.mark.parametrize("before", [0.01, 0.1, 0.14, 0.3, 0.6])
@pytest.mark.parametrize("after", [0.01, 0.1, 0.14, 0.3, 0.6])
def test_a_reading_beside_a_comparison_says_the_same(before: float, after: float) -> None:
    """What is nowhere stands nowhere, what is new is not on the first film, and what is in the second is not denied of it."""
    was, now = (compare.in_words({"Effusion": p}, USUAL) for p in (before, after))
    word = course("Effusion", {"Effusion": before}, {"Effusion": after}, USUAL)
    denied = ("There is no" in was, "There is no" in now)
    assert {"new": (True, False), "resolved": (False, True), "unchanged": (False, False), "": (True, True)}[
        word.removeprefix("possibly ").partition(" or ")[0]
    ] == denied


def test_images_of_one_day_and_other_questions_are_not_compared() -> None:
    new = "Is the effusion new?"
    assert compare.is_compared(new, ["", ""]) and compare.is_compared(new, ["2020-01-01", "2021-01-01"])
    assert not compare.is_compared(new, ["2020-01-01"] * 2) and not compare.is_compared(new, [""])
    assert not compare.is_compared("Is there an effusion?", ["", ""]) and "no pleural" in compare.in_words(
        {"Effusion": 0.14}
    )


def test_what_is_likelier_than_usual_is_not_denied_where_images_are_compared() -> None:
    assert compare.in_words({"Effusion": 0.14}, USUAL) == "Too faint to tell: pleural effusion (0.14)."


def test_a_faint_finding_is_in_doubt_and_not_in_neither():
    read = {"Effusion": 0.01, "Cardiomegaly": 0.01}, {"Effusion": 0.1, "Cardiomegaly": 0.02}
    assert changes(*read, usual=USUAL) == "In doubt: pleural effusion. In neither image: cardiomegaly."
    assert changes(*read, "Effusion", USUAL).startswith("Pleural effusion is possibly new: probability 0.01")


def test_the_shipped_reader_says_what_is_usual():
    from medrag.encoders.findings import FindingsReader

    usual = FindingsReader("medrag-small").usual
    assert 0.02 < usual["Effusion"] < 0.1 and all(0 < p < 0.5 for p in usual.values())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Right pneumothorax.", "Left pneumothorax. No right pneumothorax.", "new: left pneumothorax; resolved: right pneumothorax"),
        ("Bilateral effusions.", "Left effusion. No right effusion.", "resolved: right effusion; still there: left effusion"),
        ("Left effusion.", "No effusion.", "resolved: effusion"),
        ("Left effusion.", "The effusion is unchanged.", "unchanged: effusion"),
        ("Small effusion.", "The right effusion has markedly increased and is now large.", "increased: effusion"),
        ("Pneumothorax. Edema.", "The pneumothorax has decreased. Worsening pulmonary edema.", "increased: pulmonary edema; decreased: pneumothorax"),
        ("Left effusion.", "No increase in the left effusion.", "still there: left effusion"),
        ("Bilateral effusions.", "Left effusion is larger, right effusion is smaller.", "increased: left effusion; decreased: right effusion"),
        ("Pneumonia.", "Pneumonia is less likely.", "now in doubt: possible pneumonia"),
        ("Effusion.", "Effusion with reduced lung volumes.", "first mentioned: reduced lung volumes; still there: effusion"),
        ("Left effusion.", "Improved inspiration with left effusion.", "still there: left effusion"),
        ("The heart is enlarged.", "The heart is larger than normal.", "still there: enlarged heart"),
        ("Consolidation.", "Consolidation larger than 3 cm.", "still there: consolidation"),
        ("Effusion.", "The effusion is larger than before.", "increased: effusion"),
        ("Effusion.", "The effusion compared with the prior film has decreased.", "decreased: effusion"),
        ("Pneumonia.", "Worsening shortness of breath with pneumonia.", "still there: pneumonia"),
        ("Nodule of 8 mm.", "The nodule now measures 14 mm. Growing nodule.", "increased: nodule"),
        ("The heart is enlarged.", "The heart remains enlarged.", "still there: enlarged heart"),
        ("Possible pneumothorax.", "Pneumothorax.", "now certain: pneumothorax"),
        ("Pneumothorax.", "Question of pneumothorax.", "now in doubt: possible pneumothorax"),
        ("Pneumothorax.", "Edema.", "first mentioned: edema; no longer mentioned: pneumothorax"),
        ("No edema.", "Edema.", "new: edema"),
        ("No edema.", "No edema.", "nothing to compare"),
        ("COPD.", "COPD.", "still there: COPD"),
        ("No edema.", "COPD.", "first mentioned: COPD"),
        ("Clear lungs.", "Infection in the right lung.", "first mentioned: right infection"),
        ("Pneumonia.", "Infection.", "still there: infection (before: pneumonia)"),
        ("Emphysema.", "COPD.", "still there: COPD (before: emphysema)"),
        ("Left pleural effusion.", "LEFT EFFUSION.", "still there: left effusion"),
        ("Cardiomegaly.", "The heart is enlarged.", "still there: enlarged heart"),
        ("Edema.", "Right pneumonia. Left infection. Edema.", "first mentioned: left infection, right pneumonia; still there: edema"),
        ("Heart: enlarged.", "The heart is normal.", "resolved: enlarged heart"),
    ],
)  # fmt: skip
def test_reports_are_compared_by_finding_and_side(before, after, said):
    studies = [Study("a", {"findings": before}, date="2020-01-01"), Study("b", {"findings": after}, date="2021-01-01")]
    assert compare.histories(studies)[1].partition(": ")[2] == said


@pytest.mark.parametrize(
    ("before", "after", "question", "said"),
    [
        ("Left upper lobe nodule. Right effusion.", "Left upper lobe nodule has grown. Right effusion is larger.", "What changed in the left upper lobe?", "increased: left nodule"),
        ("Left upper lobe nodule. Left effusion.", "Left upper lobe nodule. No effusion.", "What changed in the left upper lobe?", "still there: left nodule"),
        ("Left effusion.", "Right effusion. No left effusion.", "What changed on the right?", "first mentioned: right effusion"),
        ("Left effusion.", "Right effusion. No left effusion.", "Has the left effusion gone?", "resolved: left effusion"),
        ("Bilateral effusions.", "Left effusion. No right effusion.", "What changed on the left side?", "still there: left effusion"),
        ("Opacity in the right lower lobe.", "Apical opacity on the right.", "What changed at the right base?", "no longer mentioned: right opacity"),
        ("Nodule in the left apex. Nodule in the left base.", "Left basal nodule has grown.", "What changed in the upper lobes?", "no longer mentioned: left nodule"),
        ("Left upper lobe nodule.", "The nodule has decreased.", "What changed in the left upper lobe?", "decreased: nodule"),
        ("The heart is enlarged. Edema.", "No edema.", "What changed in the left upper lobe?", "nothing to compare"),
        ("Rib fracture.", "The fracture is unchanged.", "Has the rib fracture changed?", "unchanged: fracture"),
        ("The heart is enlarged. Edema.", "No edema.", "What is left of the edema?", "resolved: edema; no longer mentioned: enlarged heart"),
    ],
)  # fmt: skip
def test_where_a_place_is_asked_about_only_what_is_said_of_it_counts(before, after, question, said):
    studies = [Study("a", {"findings": before}, date="2020-01-01"), Study("b", {"findings": after}, date="2021-01-01")]
    assert compare.histories(studies, question)[1].partition(": ")[2] == said


@pytest.mark.parametrize("turned", [False, True])
def test_images_are_compared_by_the_dates_of_their_files(turned):
    old, new = (
        QueryImage(Image.new("L", (4, 4), shade), meta={"study_date": day})
        for shade, day in ((200, "20190101"), (9, "20210101"))
    )
    given = (new, old) if turned else (old, new)
    desk = SimpleNamespace(
        pick=lambda n: (given[n],), usual={}, sources=lambda kind: [], of_one_day=lambda image: (image,),
        see=lambda images: {"Effusion": 0.9 if images[0].getpixel((0, 0)) == 200 else 0.02},
    )  # fmt: skip
    text, _ = compare.images(desk, 0, 1, "Is the effusion new?")
    assert "effusion is resolved" in text
    assert ("By their files' dates the second image" in text) is turned


def test_studies_are_compared_in_the_order_of_their_days_and_undated_images_as_given():
    assert couples(["2021-03-10", "2021-03-10", "2020-01-05", "2022-01-01"]) == [(2, 0), (0, 3)]
    assert couples(["", "", ""]) == [(0, 1), (1, 2)] and couples(["2020-01-05"] * 2) == []


def test_like_is_compared_with_like():
    pa, ap, side, blank = (QueryImage(Image.new("L", (4, 4)), meta={"view": view}) for view in ("PA", "ap", "LL", ""))
    assert like_views((side, pa), (ap, side)) == ((side, pa), (ap, side))
    assert like_views((pa, side), (ap,)) == ((pa,), (ap,)) and like_views((blank,), (ap, side)) == ((blank,), (ap,))
    assert like_views((pa, ap), (pa,)) == ((pa,), (pa,))


def test_films_of_two_patients_are_not_compared():
    films = [QueryImage(Image.new("L", (4, 4)), meta={"patient_id": name}) for name in ("P1", "P5")]
    desk = SimpleNamespace(pick=lambda n: (films[n],))
    with pytest.raises(ValueError, match="images 1 and 2 are of different patients"):
        compare.images(desk, 0, 1, "What has changed?")


def test_reports_of_one_day_are_one_study():
    told = {"2020-01-05T10:15:00Z": "No edema.", "20200105": "Left effusion.", "2021-01-01": "Edema."}
    lines = compare.histories([Study(day, {"findings": text}, date=day) for day, text in told.items()])
    assert lines[0] == "2 earlier studies: 2020-01-05, 2021-01-01" and "new: edema" in lines[1] and len(lines) == 2
    assert compare.histories([Study("a", {"findings": "Edema."})]) == ["1 earlier study: a"]


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
