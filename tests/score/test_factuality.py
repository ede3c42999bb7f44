"""The headline score: what must lower it, what must not change it, and what it explains."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.graph.context import sentence_spans
from medrag.score import Measure
from medrag.score.claims import claims, compare, pair_error
from medrag.score.factuality import Factuality, explain, factuality_score, statement_agreement

STATEMENTS = (
    "Small left pleural effusion.", "No pneumothorax.", "Moderate cardiomegaly.", "Mild right basilar atelectasis.", "The lungs are clear.",
    "Large mass in the right upper lobe.", "There is no focal consolidation.", "Old left rib fracture.", "Possible pneumonia at the left base.",
    "Heart size is normal.", "Right PICC tip in the distal SVC.", "Mild degenerative changes of the spine.",
)  # fmt: skip
SWAPS = {
    "left": "right", "right": "left", "mild": "severe", "severe": "mild", "small": "large", "large": "small", "moderate": "mild", "minimal": "marked",
}  # fmt: skip
reports = st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=8, unique=True).map(" ".join)


def flips(text: str) -> Iterator[str]:
    """The text with one denial taken away or put in, or with one side or degree changed."""
    for match in re.finditer(r"\b(?:left|right|mild|severe|small|large|moderate|minimal)\b", text, re.IGNORECASE):
        yield text[: match.start()] + SWAPS[match.group().lower()] + text[match.end() :]
    for low, high in sentence_spans(text):
        sentence = text[low:high]
        if re.match(r"(?:No|There is no|There are no) (?!XXXX)", sentence):
            yield text[:low] + re.sub(r"\bno ", "", sentence, count=1, flags=re.IGNORECASE) + text[high:]
        elif any(c.polarity == "positive" for c in claims(sentence)):
            yield f"{text[:low]}No {sentence[0].lower()}{sentence[1:]}{text[high:]}"


def shuffled(text: str, seed: int) -> str:
    parts = [text[low:high].strip() for low, high in sentence_spans(text)]
    parts = [part if part[-1:] in ".!?;" else f"{part}." for part in parts if part]
    random.Random(seed).shuffle(parts)
    return " ".join(parts)


@settings(max_examples=25)
@given(reports)
def test_a_flip_lowers_the_score(report: str) -> None:
    assert factuality_score(report, report) == 1
    for other in flips(report):
        assert factuality_score(other, report) < 1, other


@settings(max_examples=25)
@given(reports, reports, st.integers(0, 99))
def test_the_order_of_sentences_does_not_matter(answer: str, reference: str, seed: int) -> None:
    score = factuality_score(answer, reference)
    assert 0 <= score <= 1
    assert factuality_score(shuffled(answer, seed), reference) == score
    assert factuality_score(answer, shuffled(reference, seed)) == score


@pytest.mark.data
def test_flips_and_order_on_500_real_reports() -> None:
    folder = Path(os.environ["MEDRAG_DATA"], "noncommercial/iu_xray")
    train = set(map(str, json.loads((folder / "splits.json").read_text())["train"]))
    with (folder / "reports.csv").open(newline="") as file:
        texts = [f"{r['findings']} {r['impression']}".strip() for r in csv.DictReader(file) if r["uid"] in train]
    chosen = random.Random(0).sample([text for text in texts if len(text) > 40], 500)
    tried = 0
    for seed, text in enumerate(chosen):
        assert factuality_score(text, text) == factuality_score(shuffled(text, seed), text) == 1, text
        changed = list(flips(text))
        for other in random.Random(seed).sample(changed, min(3, len(changed))):
            tried += 1
            assert factuality_score(other, text) < 1, other
    assert tried > 1000


@pytest.mark.parametrize(
    ("better", "worse", "reference"),
    [
        ("Small left effusion.", "Large left effusion.", "Small left effusion."),
        ("Left effusion.", "Right effusion.", "Left effusion."),
        ("Possible pneumonia.", "No pneumonia.", "Pneumonia."),
        ("Consolidation at the left base.", "Clear lungs.", "Left basilar opacity."),
        ("Left basilar opacity.", "Left basilar mass and pneumothorax.", "Left basilar consolidation."),
        ("Cardiomegaly. Effusion.", "Cardiomegaly.", "Cardiomegaly. Effusion. Edema."),
        ("No acute findings.", "Pneumothorax.", "Normal chest."),
    ],
)
def test_what_is_better(better: str, worse: str, reference: str) -> None:
    assert factuality_score(better, reference) > factuality_score(worse, reference)


@pytest.mark.parametrize("answer", ["", "   ", "XXXX", "I cannot answer that.", "{}"])
def test_what_says_nothing_scores_lowest(answer: str) -> None:
    for reference in ("Left effusion.", "Normal chest.", "No pneumothorax."):
        assert factuality_score(answer, reference) == 0


def test_a_reference_without_words_defines_no_score() -> None:
    assert math.isnan(factuality_score("Effusion.", "")) and math.isnan(factuality_score("Effusion.", "XXXX."))
    rows = Factuality().rows(["Effusion.", "Effusion."], ["", "Effusion."])
    assert Factuality().totals(rows, np.ones((1, 2)))["factuality"][0] == 1


def test_the_explanation_lists_each_kind_of_fault() -> None:
    found = explain(
        "Small right effusion. No cardiomegaly. Pneumothorax.", "Small left effusion. Cardiomegaly. Rib fracture."
    )
    assert [(str(p.answer), str(p.reference), p.error) for p in found.matched] == [
        ("mild right pleural effusion", "mild left pleural effusion", 1.0)
    ]
    assert [str(c) for c in found.missing] == ["fracture (rib)"]
    assert [str(c) for c in found.hallucinated] == ["pneumothorax"]
    assert [(str(a), str(b)) for a, b in found.contradicted] == [("no cardiomegaly", "cardiomegaly")]
    assert found.errors == 4


def test_a_clear_lung_contradicts_an_opacity() -> None:
    found = compare("The lungs are clear.", "Right upper lobe opacity.")
    assert [(str(a), str(b)) for a, b in found.contradicted] == [("no lungs abnormality", "right opacity (upper)")]


def test_saying_it_twice_is_one_claim_and_two_sides_are_both() -> None:
    assert claims("Left effusion. The left effusion is small.") == claims("Small left effusion.")
    assert [str(c) for c in claims("Left effusion. Right effusion.")] == ["bilateral pleural effusion"]


def test_it_is_a_measure_with_means_under_weights() -> None:
    assert isinstance(Factuality(), Measure)
    rows = Factuality().rows(["Effusion.", "Edema."], ["Effusion.", "Effusion."])
    totals = Factuality().totals(rows, np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
    assert totals["factuality"][0] == 1
    assert totals["factuality"][1] == pytest.approx(rows[:, 0].mean())
    assert np.isnan(totals["factuality"][2])
    assert totals["missing_claims_per_report"].tolist()[:2] == [0, 0.5]


def test_the_score_is_what_its_definition_says() -> None:
    assert factuality_score("Small right effusion.", "Small left effusion.") == pytest.approx(0.9 / (1 + 1))
    half = statement_agreement("Effusion.", "Effusion. Pneumothorax.")
    assert half == pytest.approx(2 / 3)
    assert factuality_score("Effusion.", "Effusion. Pneumothorax.") == pytest.approx((0.9 + 0.1 * half) / (1 + 1))
    assert statement_agreement("small small mass", "small mass mass") == pytest.approx(2 * 2 / 6)  # as bags
    assert factuality_score("A good day.", "A good night.") == 0.5  # no claims: words alone


def test_rows_and_their_names() -> None:
    rows = Factuality().rows(["Pneumothorax. No edema."], ["Effusion. Edema."])
    assert rows[0, 1:].tolist() == [3, 1, 1, 1]  # errors, missing, hallucinated, contradicted
    totals = Factuality().totals(np.repeat(rows, 2, axis=0), np.array([[1.0, 3.0]]))
    assert {name: float(value[0]) for name, value in totals.items()} == {
        "factuality": pytest.approx(rows[0, 0]),
        "clinical_errors_per_report": 3,
        "missing_claims_per_report": 1,
        "hallucinated_claims_per_report": 1,
        "contradicted_claims_per_report": 1,
    }
    assert Factuality().rows([], []).shape == (0, 5)
    with pytest.raises(ValueError, match="zip"):
        Factuality().rows(["Edema."], [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Possible small left lower lobe consolidation.", ["possible mild left consolidation (lower)"]),
        ("Moderate edema. Severe cardiomegaly.", ["severe cardiomegaly", "moderate edema"]),
        ("No effusion.", ["no pleural effusion"]),
        ("Left upper lobe opacity. Left lower lobe opacity.", ["left opacity (lower, upper)"]),
        ("Small left effusion. Large left effusion.", ["severe left pleural effusion"]),
        ("Effusion. Small left effusion.", ["mild left pleural effusion"]),
        ("Small effusion. Left effusion.", ["mild pleural effusion", "left pleural effusion"]),  # its size is not lost
        ("Possible left effusion. Left effusion.", ["left pleural effusion"]),
        ("Possible effusion. Left effusion.", ["left pleural effusion", "possible pleural effusion"]),
        ("Overexposure limits evaluation for nodules.", []),  # a word on the film
        ("History of pneumonia.", []),
    ],
)
def test_claims_are_joined_and_print_as_phrases(text: str, told: list[str]) -> None:
    assert [str(claim) for claim in claims(text)] == told


@pytest.mark.parametrize(
    ("answer", "reference", "errors"),
    [
        ("", "Effusion.", 1),
        ("Mass.", "Effusion.", 2),
        ("Possible pneumothorax.", "Clear lungs.", 1 / 2),
        ("Opacity.", "Consolidation. Edema.", 1 / 2 + 1),  # the opacity is taken for the consolidation
        ("No effusion.", "Possible effusion.", 1 / 2),
        ("No left effusion.", "Right effusion.", 1),
        ("Left effusion.", "Right effusion.", 1),
        ("Left effusion.", "Bilateral effusions.", 1 / 2),
        ("Left effusion.", "Effusion.", 1 / 8),
        ("Mild cardiomegaly.", "Moderate cardiomegaly.", 1 / 2),
        ("Mild cardiomegaly.", "Severe cardiomegaly.", 1),
        ("Mild cardiomegaly.", "Cardiomegaly.", 1 / 8),
        ("Possible effusion.", "Effusion.", 1 / 4),
        ("Left upper lobe mass.", "Left lower lobe mass.", 1 / 2),
        ("Left mass.", "Left lower lobe mass.", 1 / 8),
        ("Atelectasis.", "Consolidation.", 1 / 2),
        ("Opacity. Atelectasis.", "Consolidation.", 1 / 2 + 1 / 2),  # one is invented, beside a relative
        ("Possible large right effusion.", "Small left effusion.", 1),  # never above 1
    ],
)
def test_errors_by_hand(answer: str, reference: str, errors: float) -> None:
    assert compare(answer, reference).errors == compare(reference, answer).errors == errors


def test_different_things_are_no_pair() -> None:
    (mass,), (effusion,) = claims("Mass."), claims("Effusion.")
    assert pair_error(mass, effusion) is None
    assert pair_error(mass, mass) == 0


def test_a_denial_of_one_side_contradicts_that_side_alone() -> None:
    assert not compare("No left effusion.", "Right effusion.").contradicted
    assert len(compare("No left effusion.", "Left effusion.").contradicted) == 1
    assert len(compare("Left effusion.", "No effusion.").contradicted) == 1


def test_what_was_said_of_a_chest_at_all() -> None:
    found = compare("A good day.", "No effusion.")
    assert (found.answered, found.stated) == (False, True)
    assert (compare("No effusion.", "").answered, compare("No effusion.", "").stated) == (True, False)
