"""Findings in British, in short and misspelled."""

from __future__ import annotations

import pytest

from medrag._util.findings import label_of, presence_asked
from medrag._util.spelling import in_full, mended
from medrag.vlms._ask import parse, plain


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("Is there cardiomegally?", "Cardiomegaly"), ("is ther cardiomegally", "Cardiomegaly"), ("Is there a pnuemothorax?", "Pneumothorax"),
        ("any efusion?", "Effusion"), ("Is there pulmonary oedema?", "Edema"), ("Is there a PTX?", "Pneumothorax"), ("any rib fx", "mesh:Fractures, Bone"),
        ("Is there a pacemaker?", "mesh:Implanted Medical Device"), ("Is there an ICD?", "mesh:Implanted Medical Device"),
        ("Is there a central line?", "mesh:Catheters, Indwelling"), ("Is there a pericardial effusion?", ""),
    ],
)  # fmt: skip
def test_a_label_is_known_by_its_other_spellings(question: str, label: str) -> None:
    assert presence_asked(plain(question)) == label


@pytest.mark.parametrize("word", ["empyema", "perfusion", "diffusion", "pneumonitis", "fractured", "infiltrates", "paucity", "sclerosis", "pyopneumothorax", "kyphoscoliosis"])  # fmt: skip
def test_words_of_their_own_stay(word: str) -> None:
    assert mended(word) == in_full(word) == word


@pytest.mark.parametrize(
    ("bare", "full"),
    [
        ("PTX?", "Is there pneumothorax?"), ("pna?", "Is there pneumonia?"), ("COPD?", "Is there COPD?"), ("Lung cancer?", "Is there lung cancer?"),
        ("No fractures?", "Are there no fractures?"), ("no edema right", "Is there no edema?"), ("pneumothorax present?", "Is there pneumothorax?"),
        ("r/o PNA", "Is there pneumonia?"), ("big heart?", "Is the heart enlarged?"), ("pleura ok?", "Is the pleura normal?"),
        ("Could the heart be enlarged?", "Is the heart enlarged?"), ("Could he have pneumonia?", "Does he have pneumonia?"),
        ("The heart isn't enlarged, is it?", "Is the heart enlarged?"), ("There are no fractures, are there?", "Are there fractures?"),
        ("Are the lungs free of disease?", "Are the lungs clear?"),
    ],
)  # fmt: skip
def test_a_bare_question_is_asked_in_full(bare: str, full: str) -> None:
    assert plain(bare) == full and parse(bare).sort == "closed"


@pytest.mark.parametrize(
    "question", ["Modality?", "Side?", "Plane?", "Pneumonia treatment", "Diagnosis?", "and the heart?"]
)
def test_what_is_no_finding_stays(question: str) -> None:
    assert plain(question) == question and not label_of(question.replace("Pneumonia", ""))


def test_of_a_text_a_disease_is_told() -> None:
    assert parse("Asthma?", pictured=False).sort == "open" and parse("Asthma?").sort == "closed"
