"""Log odds of yes by a question's words: as scikit-learn computes them from the same table."""

from __future__ import annotations

import doctest
import json

import numpy as np
import pytest

from medrag._util import usual

QUESTIONS = [
    "Is there a pleural effusion?", "Is the heart normal in size?", "is THE the heart, heart?", "Are there drusen?", "Is there", "?", "", "a b c",
    "Zebra quagga okapi", "Does the film show a pneumothorax or a fracture of the left rib?",
]  # fmt: skip


def test_the_example() -> None:
    assert doctest.testmod(usual).failed == 0


@pytest.mark.parametrize("question", QUESTIONS)
def test_as_scikit_learn_has_it(question: str) -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    table = json.loads(usual.PATH.read_text(encoding="utf-8"))
    words = list(table["words"])
    counts = text.CountVectorizer(ngram_range=(1, 2), vocabulary=words).transform([question]).toarray()[0]
    rows = np.array([table["words"][word] for word in words])
    weighed = counts * rows[:, 0]
    length = np.linalg.norm(weighed) or 1.0
    assert usual.log_odds(question) == pytest.approx(table["bias"] + weighed @ rows[:, 1] / length)


def test_words_that_it_does_not_know_say_nothing() -> None:
    assert usual.log_odds("Zebra quagga okapi?") == usual.log_odds("")
