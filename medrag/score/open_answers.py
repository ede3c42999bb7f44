"""Short open answers: exact match and token F1 after SQuAD's normalisation (Rajpurkar et al. 2016, arXiv 1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medrag._util.polarity import mentions, polarity
from medrag._util.text import sentences
from medrag.score.overlap import means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

_MARKS = str.maketrans("", "", string.punctuation)
_NUMBERS = re.compile(r"(?<=\d)[./:](?=\d)|(?<!\S)[<>-](?=\s?\d)")
_SIGNS = "./:<>-"
_KEPT = str.maketrans(_SIGNS, "\ue000\ue001\ue002\ue003\ue004\ue005")  # while marks are taken out
_BACK = str.maketrans("\ue000\ue001\ue002\ue003\ue004\ue005", _SIGNS)


def normalised(text: str) -> list[str]:
    """Lower-case words without punctuation and articles, as SQuAD's evaluation has them; but marks within a number stay, and articles where nothing else
    is said ("A" of two options).

    >>> normalised("The 5.5 cm mass."), normalised("A")
    (['5.5', 'cm', 'mass'], ['a'])
    """
    kept = _NUMBERS.sub(lambda match: match[0].translate(_KEPT), text.lower())
    words = kept.translate(_MARKS).translate(_BACK).split()
    return [word for word in words if word not in ("a", "an", "the")] or words


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of the shares of shared words; two empty texts are equal."""
    said, true = normalised(answer), normalised(reference)
    if not said or not true:
        return float(said == true)
    shared = sum((Counter(said) & Counter(true)).values())
    return 2 * shared / (len(said) + len(true))


def stated(answer: str, reference: str) -> bool:
    """Whether a sentence of the answer says the reference, word behind word, and neither denies nor doubts it.

    >>> stated("This is an axial MRI.", "MRI"), stated("There is no pneumonia.", "pneumonia")
    (True, False)
    """
    phrase = reference.strip().rstrip(".")
    return any(polarity(s, phrase) == "present" for s in sentences(answer) if mentions(s, phrase))


class OpenAnswers:
    """token_f1, exact_match, accuracy and contains.

    ``accuracy`` counts an answer that equals the reference or, in a sentence, states it. ``contains`` asks only that every
    word of the reference stands in the answer: what the answer denies it takes for said.
    """

    name = "open"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        return np.array(
            [
                (
                    token_f1(a, r),
                    normalised(a) == normalised(r),
                    bool(normalised(r)) and set(normalised(r)) <= set(normalised(a)),
                    normalised(a) == normalised(r) or stated(a, r),
                )
                for a, r in zip(answers, references, strict=True)
            ],
            dtype=float,
        ).reshape(len(answers), 4)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        return means(("token_f1", "exact_match", "contains", "accuracy"), rows, weights)
