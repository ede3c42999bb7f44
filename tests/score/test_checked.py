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
        ("No acute abnormality.", "No acute bony abnormality.", "absent"),  # of the bones alone
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
        ("Left lung is clear.", "Right lung is clear.", "absent"),
        ("No focal consolidation.", "The right lung is clear.", "absent"),  # of one lung alone
        ("Left lung is clear.", "The lungs are clear.", "supported"),
        ("There is consolidation in the right lower lobe.", "The right hemithorax is clear.", "contradicted"),
        ("Cardiac outline is not enlarged.", "Heart mildly enlarged.", "contradicted"),
        ("There is cardiomegaly.", "The cardiomediastinal silhouette is unremarkable.", "contradicted"),
        ("There is cardiomegaly.", "The mediastinum is normal.", "absent"),
        ("No fractures.", "There are no osseous abnormalities.", "supported"),
        ("No fractures.", "No acute osseous abnormality.", "absent"),  # there may be old ones
        ("There is a rib fracture.", "There are no osseous abnormalities.", "contradicted"),
        ("There is a healed rib fracture.", "No acute osseous abnormality.", "absent"),
        ("There is a pleural effusion.", "There are no osseous abnormalities.", "absent"),
        ("The lungs are clear.", "There is a calcified granuloma in the left lung base.", "absent"),
        ("No large pleural effusion.", "There is a small pleural effusion.", "absent"),
        ("No acute bony abnormality.", "No acute cardiopulmonary abnormality.", "absent"),
        ("No acute abnormality.", "There is a right pneumothorax.", "contradicted"),
        ("No acute abnormality.", "Stable cardiomegaly.", "absent"),
        ("The heart is normal in size.", "The mediastinum is normal.", "absent"),
        ("No acute bony abnormality.", "The bones are intact.", "supported"),
        ("No acute bony abnormality.", "There is a pleural effusion.", "absent"),
        ("The bones are intact.", "There is a rib fracture.", "contradicted"),
        ("The lungs are clear.", "There is a rib fracture.", "absent"),
        ("No airspace disease.", "There is a consolidation.", "contradicted"),
        ("No airspace disease.", "There is atelectasis.", "absent"),
        ("No focal consolidation.", "No airspace disease.", "supported"),
        ("The right lung is clear.", "There is a right lower lobe consolidation.", "contradicted"),
        ("The right lung is clear.", "Bilateral consolidations.", "contradicted"),
        ("The right lung is clear.", "There is a consolidation.", "absent"),  # it may be the left one's
        ("The lungs are well expanded.", "There is a consolidation.", "absent"),
        ("The lungs are expanded and clear.", "There is a consolidation.", "contradicted"),
        ("No significant pleural effusion.", "There is a small pleural effusion.", "absent"),
        ("No significant pleural effusion.", "There is a large pleural effusion.", "contradicted"),
        ("No upper lobe consolidation.", "There is a lower lobe consolidation.", "absent"),
        ("No upper lobe consolidation.", "There is an upper lobe consolidation.", "contradicted"),
        ("Possible pneumonia.", "No pneumonia.", "contradicted"),
        ("Possible pneumonia.", "No consolidation.", "absent"),
        ("There is a small pleural effusion.", "There is a pleural effusion.", "supported"),  # of any size
        ("There is a pleural effusion.", "There is a left pleural effusion.", "supported"),
        ("Bilateral pleural effusions.", "There is a left pleural effusion.", "absent"),
        ("No pleural effusion.", "No left pleural effusion.", "absent"),
        ("No left pleural effusion.", "No pleural effusion.", "supported"),
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


@pytest.mark.parametrize(
    ("claim", "evidence", "found"),
    [
        (
            "Gout is treated with allopurinol.",
            "It hurts. Gout can be treated with allopurinol.",
            Checked("supported", "Gout can be treated with allopurinol."),
        ),
        ("There is a cure for gout.", "A cure for gout is known.", Checked("supported", "A cure for gout is known.")),
        (
            "There is a cure for gout.",
            "There is no cure for gout. No cure for gout is known.",
            Checked("contradicted", "There is no cure for gout."),
        ),
        (  # of findings a contradiction counts first, of words what bears the claim out
            "There is a cure for gout.",
            "There is no cure for gout. There is a cure for gout.",
            Checked("supported", "There is a cure for gout."),
        ),
        ("There is a cure for gout.", "There may be a cure for gout.", Checked("absent")),
        ("There is a cure for gout.", "Gout hurts.", Checked("absent")),
        ("Yes.", "Yes.", Checked("absent")),
    ],
)
def test_what_names_no_finding_is_compared_by_its_words(claim: str, evidence: str, found: Checked) -> None:
    assert check(claim, evidence) == found


def test_both_sides_are_borne_out_by_a_sentence_for_each() -> None:
    halves = "There is a left pleural effusion. Heart normal. There is a right pleural effusion."
    assert check("Bilateral pleural effusions.", halves) == Checked("supported", "There is a left pleural effusion.")
    assert check("Bilateral pleural effusions.", halves.replace("right", "left")).verdict == "absent"


def test_words_about_the_other_side_bear_nothing_out() -> None:
    assert check("The left hip replacement is loose.", "The right hip replacement is loose.").verdict == "absent"


@pytest.mark.parametrize(
    ("claim", "evidence", "verdict"),
    [
        ("Right lower lobe pneumonia.", "Right upper lobe pneumonia.", "absent"),
        ("Nodule in the right apex.", "Nodule in the right base.", "absent"),
        ("Rt pleural effusion.", "Lt pleural effusion.", "absent"),
        ("Right pneumonia.", "Rt upper lobe pneumonia.", "supported"),
        ("Right basilar opacity.", "Right lower lobe opacity.", "supported"),
        ("Edema has worsened.", "Edema has improved.", "absent"),
        ("The effusion is larger.", "The effusion is smaller.", "absent"),
        ("The pneumothorax is new.", "The pneumothorax is unchanged.", "absent"),
        ("There is an effusion.", "The effusion is unchanged.", "supported"),
        ("No effusion.", "No large effusion.", "absent"),
        ("No large effusion.", "No large effusion is seen.", "supported"),
        ("No effusion.", "No small effusion.", "supported"),
        ("Granulomatous calcifications in the paratracheal region.", "Calcified granulomas noted.", "absent"),
        ("Paratracheal granuloma.", "Calcified granuloma, para-tracheal.", "supported"),
        ("Calcified granuloma in the right middle lobe.", "Multiple calcified granulomas bilaterally.", "absent"),
        ("Right lower and middle lobe opacity.", "Right midlung opacity.", "absent"),
        ("Calcified granulomas noted.", "Granulomatous calcifications in the paratracheal region.", "supported"),
    ],
)
def test_another_zone_course_or_bears_nothing_out(claim: str, evidence: str, verdict: str) -> None:
    assert check(claim, evidence).verdict == verdict


@pytest.mark.parametrize(
    ("claim", "evidence", "quote"),
    [
        ("There is cardiomegaly.", "The heart is enlarged. Stable cardiomegaly. The heart is large.", "Stable cardiomegaly."),
        ("Right effusion.", "Small right fluid collection. Heart normal. Small right effusion.", "Small right effusion."),
        ("No effusion or pneumothorax.", "No effusion. No pneumothorax or effusion.", "No pneumothorax or effusion."),
        ("Gout is treated with allopurinol.", "Allopurinol treated gout. Gout is treated with allopurinol.",
         "Gout is treated with allopurinol."),
        ("Gout is treated with allopurinol.", "Gout is treated with drugs such as allopurinol. Gout is treated with allopurinol.",
         "Gout is treated with allopurinol."),
    ],
)  # fmt: skip
def test_the_sentence_that_says_most_of_a_claim_is_quoted(claim: str, evidence: str, quote: str) -> None:
    assert check(claim, evidence) == Checked("supported", quote)
