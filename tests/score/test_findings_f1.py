"""Findings F1: against scikit-learn where it is there, by hand, and under weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.score import Measure
from medrag.score.findings import Findings, table
from medrag.score.observations import NO_FINDING, OBSERVATIONS

SAID = [
    "Small left effusion. No pneumothorax.",
    "No pleural effusion. Cardiomegaly.",
    "Normal chest.",
    "I do not know.",
    "Possible pneumonia. Rib fracture.",
]
ASKED = [
    "Left effusion and atelectasis. No pneumothorax.",
    "Pleural effusion. The heart is normal in size.",
    "Clear lungs. No effusion.",
    "Mild edema.",
    "Possible pneumonia.",
]


def one(rows: np.ndarray) -> dict[str, float]:
    return {k: float(v[0]) for k, v in Findings().totals(rows, np.ones((1, len(rows)))).items()}


def test_by_hand() -> None:
    scores = one(Findings().rows(SAID, ASKED))
    # positive: both {effusion, No Finding}; said {effusion, cardiomegaly, No Finding, fracture}; asked {effusion ×2, atelectasis, No Finding, edema}
    assert scores["findings_micro_f1"] == pytest.approx(2 * 2 / (4 + 5))
    assert scores["hallucinated_per_report"] == pytest.approx(2 / 5)  # cardiomegaly, fracture
    assert scores["omitted_per_report"] == pytest.approx(3 / 5)  # atelectasis, effusion, edema
    assert scores["contradictions_per_report"] == pytest.approx(2 / 5)
    assert scores["f1/Pleural Effusion"] == pytest.approx(2 / 3)
    assert np.isnan(scores["f1/Lung Lesion"])
    assert scores["findings_micro_f1_uncertain"] == 1


def test_as_scikit_learn_counts() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rows = Findings().rows(SAID, ASKED)
    said, asked = rows[:, : len(OBSERVATIONS)] == 1, rows[:, len(OBSERVATIONS) :] == 1
    used = (said | asked).any(0)
    assert one(rows)["findings_micro_f1"] == pytest.approx(metrics.f1_score(asked, said, average="micro"))
    expected = metrics.f1_score(asked[:, used], said[:, used], average="macro", zero_division=0)
    assert one(rows)["findings_macro_f1"] == pytest.approx(expected)


def test_the_same_text_is_perfect_and_an_empty_answer_lowest() -> None:
    same = one(Findings().rows(ASKED, ASKED))
    assert same["findings_micro_f1_all_polarities"] == same["findings_macro_f1"] == 1
    assert same["hallucinated_per_report"] == same["omitted_per_report"] == same["contradictions_per_report"] == 0
    empty = one(Findings().rows([""] * len(ASKED), ASKED))
    assert empty["findings_micro_f1"] == empty["findings_micro_f1_all_polarities"] == 0


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_weights_count_like_repeated_rows(times: list[int]) -> None:
    rows = Findings().rows(SAID, ASKED)
    weighted = Findings().totals(rows, np.array([times, [1] * 5], dtype=float))
    repeated = np.repeat(rows, times, axis=0)
    plain = Findings().totals(repeated, np.ones((1, len(repeated))))
    for name, values in weighted.items():
        assert values.shape == (2,)
        np.testing.assert_allclose(values[0], plain[name][0], err_msg=name)


def test_nothing_at_all_and_the_table() -> None:
    assert isinstance(Findings(), Measure)
    assert Findings().rows([], []).shape == (0, 28)
    assert all(np.isnan(v).all() for v in Findings().totals(Findings().rows([], []), np.ones((2, 0))).values())
    counts = table(Findings().rows(SAID, ASKED))
    assert counts["Pleural Effusion"] == {"answer": 1, "reference": 2, "both": 1}
    assert counts[NO_FINDING] == {"answer": 1, "reference": 1, "both": 1}


def test_the_scores_have_the_names_that_reports_ask_for() -> None:
    names = {f"findings_{kind}_f1{end}" for kind in ("micro", "macro") for end in ("", "_negative", "_uncertain", "_5")}
    names |= {"findings_micro_f1_all_polarities", *(f"f1/{name}" for name in OBSERVATIONS)}
    names |= {"hallucinated_per_report", "omitted_per_report", "contradictions_per_report"}
    assert set(one(Findings().rows(SAID, ASKED))) == names


def test_denials_and_doubts_by_hand() -> None:
    scores = one(Findings().rows(["No effusion. Possible edema.", "Mass."], ["No effusion. No pneumothorax.", "Mass."]))
    assert scores["findings_micro_f1_negative"] == pytest.approx(2 / 3)
    assert scores["findings_macro_f1_negative"] == pytest.approx((1 + 0) / 2)  # of those that one side names
    assert scores["findings_micro_f1_uncertain"] == scores["findings_macro_f1_uncertain"] == 0
    assert scores["findings_micro_f1_all_polarities"] < 1
    assert np.isnan(scores["findings_micro_f1_5"]) and np.isnan(scores["findings_macro_f1_5"])  # none of the five
    assert one(Findings().rows(["Edema. Mass."], ["Edema."]))["findings_micro_f1_5"] == 1


def test_no_answer_may_be_missing() -> None:
    with pytest.raises(ValueError, match="zip"):
        Findings().rows(["Edema."], [])
