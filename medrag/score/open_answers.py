"""Short open answers: exact match and token F1 after SQuAD's normalisation (Rajpurkar et al. 2016, arXiv 1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

_MARKS = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> list[str]:
    """Lower-case words without punctuation and articles."""
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_MARKS)).split()


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of the shares of shared words; two empty texts are equal."""
    said, true = normalised(answer), normalised(reference)
    if not said or not true:
        return float(said == true)
    shared = sum((Counter(said) & Counter(true)).values())
    return 2 * shared / (len(said) + len(true))


class OpenAnswers:
    """token_f1, exact_match, and contains: whether every word of the reference stands in the answer (for answers in sentences)."""

    name = "open"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        return np.array(
            [
                (
                    token_f1(a, r),
                    normalised(a) == normalised(r),
                    bool(normalised(r)) and set(normalised(r)) <= set(normalised(a)),
                )
                for a, r in zip(answers, references, strict=True)
            ],
            dtype=float,
        ).reshape(len(answers), 3)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        means = weights @ rows / weights.sum(1, keepdims=True)
        return {"token_f1": means[:, 0], "exact_match": means[:, 1], "contains": means[:, 2]}
