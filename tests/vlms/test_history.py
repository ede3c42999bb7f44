"""A patient's own reports answer what is asked about their course, and whether a finding is there."""

from __future__ import annotations

import pytest
from PIL import Image

from medrag.agent.compare import histories
from medrag.prompts import REFUSAL, Prompt
from medrag.types import Context, Hit, Passage, Query, QueryImage, Study
from medrag.vlms._evidence import HISTORY
from medrag.vlms.extractive import Extractive

REPORTS = (
    ("2020-01-05", "The lungs are clear. No pleural effusion. The heart is normal in size."),
    ("2021-03-10", "There is a small left pleural effusion. The heart is enlarged."),
    ("2022-06-01", "The left pleural effusion has resolved. The heart remains enlarged. New nodule."),
    ("2023-02-01", "The nodule has grown. The heart is enlarged. No effusion."),
)
STUDIES = [Study(f"rep:{day}", {"findings": text}, patient="P1", date=day) for day, text in REPORTS]
BOOK = Passage("book:1~0", "book:1", "Pneumothorax is air in the pleural space. A pleural effusion is fluid in it.")


def answer(question, pictured=False, book=BOOK, studies=STUDIES):
    note = Passage("agent:history#0", "agent:history", "\n".join(histories(studies, question)))
    own = [note, *reversed(studies)]
    hits = [Hit(item, 1.0, n, HISTORY) for n, item in enumerate(own, 1)] + [Hit(book, 1.0, 6, "text")]
    images = (QueryImage(Image.new("L", (8, 8))),) if pictured else ()
    return " ".join(Extractive().stream(Prompt(question, Context(Query(question, images), tuple(hits)))))


@pytest.mark.parametrize(
    ("question", "start", "held"),
    [
        ("Is the effusion new?", "No [E1].", "2021-03-10 → 2022-06-01: resolved: left pleural effusion [E1]."),
        ("Has the effusion resolved?", "Yes [E1].", "resolved"),
        ("Has the nodule grown?", "Yes [E1].", "2022-06-01 → 2023-02-01: increased: nodule [E1]."),
        ("Has the nodule become smaller?", "No [E1].", "increased: nodule"),
        ("Is the cardiomegaly unchanged?", "That is in doubt [E1].", "still there: enlarged heart"),
        ("When was the nodule first seen?", "By the patient's reports, 2021-03-10 → 2022-06-01:", "first mentioned: nodule"),
        ("What has changed?", "By the patient's reports, 2020-01-05 → 2021-03-10: new: enlarged heart", "increased: nodule"),
        ("What has changed on the left?", "By the patient's reports, of the left side, 2020-01-05 → 2021-03-10: new: pleural effusion [E1].", "2022-06-01 → 2023-02-01: nothing is said of it [E1]."),
        ("What is the patient's history?", "By the patient's reports, 2020-01-05", "increased: nodule"),
        ("Does the patient have a pleural effusion?", "No [E2].", 'of 2023-02-01 reads "No effusion" [E2].'),
        ("Is the heart enlarged?", "Yes [E2].", "The heart is enlarged"),
        ("Was there ever a pleural effusion?", "Yes [E4].", "of 2021-03-10 reads"),
    ],
)  # fmt: skip
def test_the_patients_reports_answer(question, start, held):
    text = answer(question)
    assert text.startswith(start) and held in text


@pytest.mark.parametrize(
    ("reports", "question", "start"),
    [
        (("No effusion.", "Left effusion.", "The left effusion has grown."), "Has the pleural effusion grown?", "Yes [E1]."),
        (("No edema.", "Infection.", "Infection."), "Is the pneumonia new?", ""),  # an infection is told as one
        (("No edema.", "COPD.", "COPD."), "Is the emphysema new?", ""),
        (("No edema.", "COPD.", "COPD has worsened."), "Has the COPD worsened?", "Yes [E1]."),
    ],
)  # fmt: skip
def test_a_finding_is_known_by_its_names_and_by_no_other_diseases(reports, question, start):
    studies = [Study(f"a:{n}", {"findings": text}, date=f"202{n}-01-01") for n, text in enumerate(reports)]
    text = answer(question, studies=studies)
    assert text.startswith(start or REFUSAL)


def test_what_they_do_not_speak_of_is_not_answered_by_a_book():
    assert answer("Is there a pneumothorax?") == REFUSAL
    assert "air in the pleural space" in answer("What is a pneumothorax?")


@pytest.mark.parametrize(
    ("question", "known"),
    [
        ("Is there a cure for asthma?", "There is no cure for asthma."),
        ("Is there a link between asthma and eczema?", "There is a link between asthma and eczema."),
        ("Is the MMR vaccine safe?", "The MMR vaccine is safe."),
    ],
)
def test_what_is_asked_of_no_patient_and_no_finding_is_answered_by_the_book(question, known):
    assert known.rstrip(".") in answer(question, book=Passage("book:2~0", "book:2", known))
    assert answer("Does the patient have eczema?", book=Passage("book:2~0", "book:2", known)) == REFUSAL


def test_a_film_is_later_than_its_history():
    assert answer("Has the nodule grown?", pictured=True).startswith("By the patient's reports, 2021-03-10")
