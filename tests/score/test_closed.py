"""Closed answers: what counts as yes and no, and scores equal to scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.score.closed import Closed, auroc, parse


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes.", "yes"), ("**No**, the lungs are clear", "no"), ("no", "no"), ("\"Yes\" it does", "yes"),
        ("There is no pneumothorax.", "no"), ("There is a small effusion. No mass.", "yes"),
        ("The chest x-ray does not show any focal airspace opacity.", "no"), ("The film shows a fracture.", "yes"),
        ("", ""), ("Nothing can be said.", ""), ("Normal.", ""), ("I cannot answer this from the evidence found.", ""), ("Yesterday's film is better.", ""),
    ],
)  # fmt: skip
def test_what_an_answer_says(answer: str, said: str) -> None:
    assert parse(answer) == said


def test_an_unparsable_answer_is_wrong_for_both_classes() -> None:
    measure = Closed()
    rows = measure.rows(["Perhaps.", "Perhaps."], ["yes", "no"])
    found = {name: float(value[0]) for name, value in measure.totals(rows, np.ones((1, 2))).items()}
    assert found["accuracy"] == 0 and found["coverage"] == 0 and found["auroc"] == 0.5


def test_a_reference_that_is_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="not yes or no"):
        Closed().rows(["yes"], ["maybe"])


cases = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), st.integers(0, 3)), min_size=2, max_size=40
)


@given(cases)
def test_auroc_equals_scikit_learns_under_weights(rows: list[tuple[bool, float, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, scores, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    drawn = weights > 0
    found = auroc(truth, scores, weights[None])[0]
    if len(set(truth[drawn])) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(metrics.roc_auc_score(truth, scores, sample_weight=weights))


@given(
    st.lists(
        st.tuples(st.sampled_from(["yes", "no", "perhaps"]), st.sampled_from(["yes", "no"])), min_size=1, max_size=40
    )
)
def test_scores_equal_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    said, true = zip(*pairs, strict=True)
    measure = Closed()
    found = measure.totals(measure.rows(said, true), np.ones((1, len(pairs))))
    assert found["accuracy"][0] == pytest.approx(metrics.accuracy_score(true, said))
    if "yes" in said or "yes" in true:
        assert found["f1"][0] == pytest.approx(
            metrics.f1_score(true, said, labels=["yes"], average="macro", zero_division=0)
        )
