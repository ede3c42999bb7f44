"""The headline score: how far an answer's claims are those of its reference, from 0 to 1.

The score is (0.9 + 0.1 S) / (1 + E). E is the number of clinical errors after `medrag.score.claims`: findings omitted, invented,
or right but on the wrong side, of another severity, zone or certainty. S is the agreement of the two texts' words, each with
its polarity and side, as bags (Dice 1945), which lets any change of a denial, a side or a degree show, also in words that are in
no vocabulary. Both are sums over sets, so the order of sentences cannot matter.

Formulations tried, each recorded by ``eval/benchmarks/radpref.py``: the ratio of matched to all claims (as GREEN, Ostmeier
2024, arXiv 2405.03595), the F1 of entities and of the 14 observations, a sum of 1 / (1 + E) and S, and 1 / (1 + E) alone. A ratio
forgives errors in long reports, whereas radiologists count them; so the count was kept. The count alone agrees with them best;
S costs a little of that and stays, because without it a flipped word outside the vocabulary would go unseen. The share of S
was lowered from 0.2 to 0.1, and made a factor, after the first result on RadPref's first half. An answer that says nothing
about a chest scores 0; a reference without a word gives NaN.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medrag._util.polarity import polarity
from medrag._util.remember import remembered
from medrag._util.text import STOPWORDS
from medrag.graph.context import sentence_spans
from medrag.graph.words import tokens
from medrag.score.attributes import side_of
from medrag.score.claims import Comparison, compare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

WORDS = 0.1  # the share of S
# "xxxx" is a name taken out; the others say nothing of a patient, and "no" stays
_SKIPPED = STOPWORDS | frozenset("xxxx x there evidence definite identified noted".split())


def factuality_score(answer: str, reference: str) -> float:
    """The score of one answer, in [0, 1]; NaN where the reference has no words.

    >>> factuality_score("Small left effusion.", "Small left effusion.")
    1.0
    >>> factuality_score("Small right effusion.", "Small left effusion.") < 0.5
    True
    """
    agreement = statement_agreement(answer, reference)
    compared = compare(answer, reference)
    if math.isnan(agreement) or not compared.stated:
        return agreement
    return (1 - WORDS + WORDS * agreement) / (1 + compared.errors) if compared.answered else 0.0


def explain(answer: str, reference: str) -> Comparison:
    """The claims that matched, and those missing, hallucinated or contradicted; each prints as a phrase."""
    return compare(answer, reference)


def statement_agreement(answer: str, reference: str) -> float:
    """Dice overlap of the bags of (word, polarity, side); NaN where the reference has no words."""
    ours, theirs = _statements(answer), _statements(reference)
    both, all_ = (ours & theirs).total(), ours.total() + theirs.total()
    return 2 * both / all_ if theirs else math.nan


def _statements(text: str) -> Counter[tuple[str, str, str]]:
    bag: Counter[tuple[str, str, str]] = Counter()
    for low, high in sentence_spans(text):
        bag.update(_of_sentence(text[low:high]))
    return bag


@remembered(32768)
def _of_sentence(sentence: str) -> tuple[tuple[str, str, str], ...]:
    found = tokens(sentence)
    kept = ((word, (start, end)) for word, start, end in found if word not in _SKIPPED)
    return tuple((word, polarity(sentence, span), side_of(sentence, span)) for word, span in kept)


@dataclass(frozen=True, slots=True)
class Factuality:
    """The score of many answers: columns score, errors, missing, hallucinated, contradicted."""

    name: str = "factuality"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 5); the score is NaN where the reference has no words."""
        pairs = zip(answers, references, strict=True)
        return np.array([_row(a, r) for a, r in pairs], dtype=float).reshape(-1, 5)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        """The weighted mean score as ``factuality``, and errors of each kind for a report; (draws,) each."""
        known = ~np.isnan(rows[:, 0])
        share = weights[:, known]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = share @ rows[known] / share.sum(1, keepdims=True)
        names = ("factuality", "clinical_errors_per_report", "missing_claims_per_report", "hallucinated_claims_per_report", "contradicted_claims_per_report")  # fmt: skip
        return dict(zip(names, means.T, strict=True))


def _row(answer: str, reference: str) -> tuple[float, ...]:
    found = compare(answer, reference)
    faults = (len(found.missing), len(found.hallucinated), len(found.contradicted))
    return (factuality_score(answer, reference), found.errors, *map(float, faults))
