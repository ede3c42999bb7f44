"""Claims against texts: what bears them out, what contradicts them, and that turning a sentence round turns the verdict."""

from __future__ import annotations

import doctest
import json
import os
from pathlib import Path

import pytest

from medrag._util.text import sentences
from medrag.score import checked
from medrag.score.checked import Checked, check

LABELLED = [json.loads(line) for line in (Path(__file__).parent / "labelled_sentences.jsonl").read_text().splitlines()]
NORMAL = "The heart is normal in size. The mediastinum is unremarkable. The lungs are clear. No pleural effusion or pneumothorax."


def test_the_examples_in_the_docstring() -> None:
    assert doctest.testmod(checked).failed == 0


@pytest.mark.parametrize(
    ("claim", "evidence", "verdict"),
    [
        ("No pneumothorax.", NORMAL, "supported"),
        ("There is no focal consolidation.", NORMAL, "supported"),  # clear lungs have none
        ("The lungs are clear.", "No focal consolidation.", "absent"),  # but the other way round they may have a nodule
        ("No pleural effusion or pneumothorax.", "No pleural effusion.", "absent"),  # half of it is not it
        ("No pleural effusion or pneumothorax.", "No pneumothorax. Small left effusion.", "contradicted"),
        ("There is cardiomegaly.", NORMAL, "contradicted"),
        ("There is cardiomegaly.", "The heart is mildly enlarged.", "supported"),
        ("Mild cardiomegaly.", "Severe cardiomegaly.", "absent"),
        ("The heart is normal in size.", "The cardiomediastinal silhouette is within normal limits.", "supported"),
        ("There is a left pleural effusion.", "There is a right pleural effusion.", "absent"),
        ("There is a left pleural effusion.", "Bilateral pleural effusions.", "supported"),
        ("No left pleural effusion.", "There is a right pleural effusion.", "absent"),
        ("There is pneumonia.", "Pneumonia cannot be excluded.", "absent"),  # what is possible bears out no more
        ("Possible pneumonia.", "There is pneumonia in the left lower lobe.", "supported"),
        ("There is a lung opacity.", "No focal consolidation. There are basilar opacities.", "supported"),
        ("No focal consolidation.", "There are basilar opacities.", "absent"),  # radiologists write both in one report
        ("Right lung is clear.", "There is a mass in the left upper lobe.", "absent"),
        ("The lungs are clear.", "There is a calcified granuloma in the left lung base.", "absent"),
        ("No large pleural effusion.", "There is a small pleural effusion.", "absent"),
        ("No acute bony abnormality.", "No acute cardiopulmonary abnormality.", "absent"),
        ("No acute abnormality.", "There is a right pneumothorax.", "contradicted"),
        ("No acute abnormality.", "Stable cardiomegaly.", "absent"),
        ("Asthma is treated with inhaled steroids.", "Inhaled steroids treat asthma in adults.", "supported"),
        ("There is a cure for asthma.", "There is no cure for asthma.", "contradicted"),
        ("Asthma is treated with inhaled steroids.", "Gout is treated with allopurinol.", "absent"),
        ("Yes.", NORMAL, "absent"),
        ("No pneumothorax.", "", "absent"),
    ],
)  # fmt: skip
def test_verdicts(claim: str, evidence: str, verdict: str) -> None:
    found = check(claim, evidence)
    assert found.verdict == verdict
    assert (found.quote in evidence) and bool(found.quote) == (verdict != "absent")


@pytest.mark.parametrize(
    "finding", ["pleural effusion", "pneumothorax", "cardiomegaly", "pulmonary edema", "hiatal hernia"]
)
@pytest.mark.parametrize("side", ["", "left "])
def test_affirming_and_denying_are_opposites(finding: str, side: str) -> None:
    yes, no = f"There is a {side}{finding}.", f"No {side}{finding} is seen."
    assert check(yes, yes).verdict == check(no, no).verdict == "supported"
    assert check(no, yes).verdict == "contradicted"
    assert check(yes, no).verdict == ("contradicted" if not side else check(yes, no).verdict)
    assert check(yes, no).verdict != "supported"


@pytest.mark.data
def test_a_report_bears_its_own_sentences_out_and_none_is_called_contradicted_by_its_twin() -> None:
    from medrag._util.text import sentences
    from medrag.corpora import realdata

    reports = [s.text for s in realdata.studies(Path(os.environ["MEDRAG_DATA"]), "val")][:150]
    told = [
        (sentence, text)
        for text in reports
        for sentence in sentences(text)
        if check(sentence, sentence).verdict != "absent"
    ]
    verdicts = [check(sentence, text).verdict for sentence, text in told]
    assert len(told) > 500
    assert verdicts.count("supported") / len(verdicts) > 0.95
    assert verdicts.count("contradicted") / len(verdicts) < 0.03  # reports that contradict themselves, or seem to


def test_what_is_quoted_word_for_word_is_borne_out_though_its_own_halves_disagree() -> None:
    said = "Lungs are clear airspace disease."  # as a report has it whose middle word was taken out
    assert check(f"\u201c{said}\u201d", said) == Checked("supported", said)
    assert check(said, "There is a consolidation.").verdict == "contradicted"


def test_a_sentence_bears_itself_out() -> None:
    told = [sentence for one in LABELLED for sentence in sentences(one["text"])]
    assert {check(sentence, sentence).verdict for sentence in told} <= {"supported", "absent"}
