"""The labeller: CheXpert's own examples, the hand-labelled sentences (both halves), and properties."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.score.labeler import label, mentions
from medrag.score.observations import CONCEPTS, OBSERVATIONS, Concept, _concept, scanner, words_regex

SENTENCES = [json.loads(line) for line in (Path(__file__).parent / "labelled_sentences.jsonl").read_text().splitlines()]
LEVELS = ("", "mild", "moderate", "severe")
NAMED = (
    "pleural effusion", "pneumothorax", "consolidation", "pulmonary edema", "cardiomegaly", "lung mass", "rib fracture", "atelectasis",
)  # fmt: skip


def f1(part: str, polar: bool) -> float:
    both = whole = 0
    for item in SENTENCES:
        if item["part"] == part:
            found = label(item["text"])
            if item["about"] != "report":
                found.pop("No Finding", None)
            ours, theirs = (found.items(), item["labels"].items()) if polar else (found.keys(), item["labels"].keys())
            both, whole = both + len(ours & theirs), whole + len(ours) + len(theirs)
    return 2 * both / whole


@pytest.mark.parametrize("part", ["tune", "check"])
def test_the_hand_labelled_sentences(part: str) -> None:
    assert sum(item["part"] == part for item in SENTENCES) >= 75
    assert f1(part, polar=False) >= 0.95
    assert f1(part, polar=True) >= 0.93


@pytest.mark.parametrize("field", ["side", "severity"])
def test_sides_and_severities_of_the_hand_labelled_sentences(field: str) -> None:
    right = total = 0
    for item in SENTENCES:
        for name, wanted in item[field].items():
            found = [m for m in mentions(item["text"]) if m.observation == name]
            total += 1
            right += any(wanted == (m.side if field == "side" else LEVELS[m.severity]) for m in found)
    assert right / total >= 0.85


@pytest.mark.data
def test_the_labelled_reports_of_chexpert() -> None:
    path = Path(os.environ["MEDRAG_DATA"], "open/factuality/chexpert_labeler/labeled_reports.csv")
    names = {"1.0": "positive", "0.0": "negative", "-1.0": "uncertain"}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            text = row.pop("Reports")
            assert label(text) == {name: names[value] for name, value in row.items() if value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("XXXX XXXX.", {}),
        ("I cannot tell from this image.", {}),
        ("The lungs are clear.", {"No Finding": "positive"}),
        ("No effusion. Small effusion on the left.", {"Pleural Effusion": "positive"}),
        ("No effusion. Possible effusion on the left.", {"Pleural Effusion": "uncertain"}),
        ("Emphysema without effusion.", {"Pleural Effusion": "negative"}),
        ("The heart, pulmonary XXXX and mediastinum are normal.", {"No Finding": "positive", "Enlarged Cardiomediastinum": "negative", "Cardiomegaly": "negative"}),
        ("Enlarged heart, and the lungs are clear.", {"Cardiomegaly": "positive"}),
        ("Bronchovascular markings normal.", {}),
        ("Indication: pneumonia.", {}),
        ("PICC line is no longer present.", {"No Finding": "positive", "Support Devices": "negative"}),
        ("PICC tip is not seen.", {"No Finding": "positive", "Support Devices": "positive"}),
        ("The patient was extubated.", {"No Finding": "positive", "Support Devices": "negative"}),
        ("Heart is not enlarged.", {"No Finding": "positive", "Cardiomegaly": "negative"}),
        ("The heart is not significantly increased in size.", {}),
        ("The heart size is at the upper limits of normal.", {"No Finding": "positive", "Cardiomegaly": "negative"}),
        ("The heart is borderline enlarged.", {"Cardiomegaly": "uncertain"}),
        ("The heart is enlarged but stable.", {"Cardiomegaly": "positive"}),
        ("The mediastinum is widened.", {"Enlarged Cardiomediastinum": "positive"}),
        ("Cardiomegaly is normal.", {"No Finding": "positive", "Cardiomegaly": "negative"}),
        ("The heart is not remarkable.", {"No Finding": "positive", "Cardiomegaly": "negative"}),
        ("The heart is not normal.", {}),
        ("The heart is not within normal limits.", {}),
        ("There is no pleural effusion or the heart is normal.", {"No Finding": "positive", "Cardiomegaly": "negative", "Pleural Effusion": "negative"}),
        ("Hydropneumothorax.", {"Pneumothorax": "positive", "Pleural Effusion": "positive"}),
        ("The heart and mediastinum are normal.", {"No Finding": "positive", "Enlarged Cardiomediastinum": "negative", "Cardiomegaly": "negative"}),
        ("Prior film showed pneumonia.", {}),
        ("History of pneumonia. The lungs are clear.", {"No Finding": "positive"}),
        ("Status post sternotomy with effusion.", {"Pleural Effusion": "positive"}),
        ("The aorta is dilated.", {}),  # no finding of the fourteen, and not none
    ],
)  # fmt: skip
def test_conventions(text: str, expected: dict[str, str]) -> None:
    assert label(text) == expected


@given(st.sampled_from(NAMED), st.sampled_from(["No {}.", "{} has resolved.", "Possible {}.", "There is {}."]))
def test_polarity_and_case(finding: str, pattern: str) -> None:
    text = pattern.format(finding)
    kind = {"N": "negative", "P": "uncertain", "T": "positive"}.get(pattern[0], "negative")
    assert set(label(text).values()) - {"positive"} <= {kind}
    assert kind in label(text).values()
    assert label(text.upper()) == label(text)


@given(st.text(max_size=200))
def test_any_text_has_labels_of_the_fourteen_and_spans_inside(text: str) -> None:
    assert set(label(text)) <= set(OBSERVATIONS)
    assert all(0 <= m.start < m.end <= len(text) for m in mentions(text))


def test_every_concept_belongs_to_an_observation_and_none_matches_nothing() -> None:
    assert {c.observation for c in CONCEPTS} - {None} == set(OBSERVATIONS) - {"No Finding"}
    assert scanner().fullmatch("") is None
    assert len({c.name for c in CONCEPTS}) == len(CONCEPTS)


def test_spans_sides_severity_and_place() -> None:
    text = "Lungs clear. Moderate right pleural effusion."
    mention = mentions(text)[-1]
    assert text[mention.start : mention.end] == "pleural effusion"
    assert (mention.side, mention.severity, mention.sentence) == ("right", 2, 1)
    assert mentions("Opacity in the right upper lobe.")[0].location == {"upper"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Left effusion and right atelectasis.", ["left", "right"]),
        ("Atelectasis and effusion at the left base.", ["left", "left"]),
        ("Small left effusion, no pneumothorax.", ["left", ""]),
        ("Effusion without pneumothorax on the right.", ["", "right"]),
        ("Right and left effusions.", ["bilateral"]),
        ("Atelectasis, left worse than right.", ["bilateral"]),
        ("Left cardiomegaly.", [""]),
    ],
)
def test_a_side_belongs_to_its_own_phrase_first(text: str, expected: list[str]) -> None:
    assert [mention.side for mention in mentions(text)] == expected


CLEAR = ("airspace", "atelectasis", "lesion", "interstitial", "scar")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The lungs are clear.", [("lungs are clear", "lungs abnormality", "negative", CLEAR)]),
        ("Enlarged heart.", [("Enlarged heart", "cardiomegaly", "positive", ())]),
        ("The aorta is dilated.", [("aorta is dilated", "tortuous aorta", "positive", ())]),
        (
            "Costophrenic angles are sharp.",
            [("Costophrenic angles are sharp", "pleura abnormality", "negative", ("effusion", "pleura", "pneumothorax"))],
        ),
        (
            "No edema. Chest is normal.",
            [("edema", "edema", "negative", ()), ("Chest is normal", "chest abnormality", "negative", ())],
        ),
    ],
)  # fmt: skip
def test_a_statement_has_its_words_its_concept_and_what_it_denies(text: str, expected: list[object]) -> None:
    assert [(text[m.start : m.end], m.concept.name, m.polarity, m.cleared) for m in mentions(text)] == expected


@pytest.mark.parametrize(
    ("text", "historical"),
    [
        ("History of pneumonia.", [True]),
        ("Indication: pneumonia.", [True]),
        ("Comparison film showed pneumonia.", [True]),
        ("History of pneumonia, now with effusion.", [True, False]),
        ("Status post removal of PICC line.", [False]),  # a device is there when it is named
        ("There is pneumonia.", [False]),
    ],
)
def test_what_a_patient_had_before_is_historical(text: str, historical: list[bool]) -> None:
    assert [mention.historical for mention in mentions(text)] == historical


def test_degree_and_place_are_those_of_the_mention() -> None:
    (heart,) = mentions("The heart is severely enlarged.")
    assert (heart.severity, heart.side, heart.sentence, heart.observation) == (3, "", 0, "Cardiomegaly")
    upper, lower = mentions("Mild opacity in the right upper lobe. Mass in the left lower lobe.")
    assert (upper.severity, upper.side, upper.location, upper.sentence) == (1, "right", {"upper"}, 0)
    assert (lower.severity, lower.side, lower.location, lower.sentence) == (0, "left", {"lower"}, 1)


def test_a_line_of_the_table_is_a_concept() -> None:
    assert _concept("gas | Lung Lesion | chest | gas(?:es)? ; air | fluid") == Concept(
        "gas", "Lung Lesion", "chest", ("gas(?:es)?", "air | fluid")
    )
    assert _concept("gas | | chest | gas").observation is None


@pytest.mark.parametrize(
    ("text", "found"),
    [("a left\n lung", True), ("an xray", True), ("an x  ray", True), ("xrays", False), ("lung", False)],
)
def test_phrases_match_whole_words_over_any_blanks(text: str, found: bool) -> None:
    assert bool(re.search(words_regex(("left lung", "x ?ray")), text)) is found


@pytest.mark.parametrize(
    ("text", "finding", "said"),
    [
        ("No pneumothorax, left basilar atelectasis.", "Atelectasis", "positive"),
        ("No pneumothorax, left basilar atelectasis.", "Pneumothorax", "negative"),
        ("No focal opacity, right pleural effusion or pneumothorax.", "Pleural Effusion", "negative"),
        ("Neg. for effusion.", "Pleural Effusion", "negative"),
        ("No sig. effusion.", "Pleural Effusion", "negative"),
        ("Mass vs. pneumonia.", "Pneumonia", "uncertain"),
        ("Poss. pneumonia.", "Pneumonia", "uncertain"),
        ("Doubt pneumonia.", "Pneumonia", "uncertain"),
        ("No longer seen is the left pneumothorax.", "Pneumothorax", "negative"),
        ("Pneumothorax has not recurred.", "Pneumothorax", "negative"),
        ("Pneumonia resolved since yesterday; new effusion.", "Pneumonia", "negative"),
        ("Effusion absent on today's exam but small pneumothorax.", "Pleural Effusion", "negative"),
    ],
)
def test_denials_that_end_and_begin_elsewhere(text: str, finding: str, said: str) -> None:
    assert label(text)[finding] == said
