"""Findings F1: do an answer and its reference name the same of the fourteen CheXpert observations, with the same polarity?

Labels come from `medrag.score.labeler`. Micro sums over observations, macro averages those that occur in answer or reference, as
with CheXbert's F1 (Smit et al. 2020, arXiv 2004.09167). "No Finding" counts in the F1 as an observation of its own, and never as
a hallucination, omission or contradiction. An answer that says nothing is given no label, so every finding is missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medrag.score.labeler import label
from medrag.score.observations import FIVE, NO_FINDING, OBSERVATIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

POLARITIES = ("positive", "negative", "uncertain")  # coded 1, 2, 3; 0 is not mentioned
_N = len(OBSERVATIONS)
_FIVE = [OBSERVATIONS.index(name) for name in FIVE]
_REAL = [n for n, name in enumerate(OBSERVATIONS) if name != NO_FINDING]


@dataclass(frozen=True, slots=True)
class Findings:
    """Rows hold the codes of the answer's fourteen labels, then those of the reference: (n, 28)."""

    name: str = "findings"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """0 not mentioned, 1 positive, 2 negative, 3 uncertain."""
        pairs = zip(answers, references, strict=True)
        return np.array([_codes(a) + _codes(r) for a, r in pairs], dtype=float).reshape(-1, 2 * _N)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        """(draws,) for each name; NaN for an F1 whose label occurs on neither side."""
        said, asked = rows[:, :_N], rows[:, _N:]
        scores = {}
        counted = {code: _counts(said == code, asked == code, weights) for code in (1, 2, 3)}
        for code, polarity in enumerate(POLARITIES, 1):
            end = "" if code == 1 else f"_{polarity}"
            scores[f"findings_micro_f1{end}"] = _f1(counted[code].sum(2))
            scores[f"findings_macro_f1{end}"] = _mean(_f1(counted[code]))
        scores["findings_micro_f1_all_polarities"] = _f1(sum(counted.values()).sum(2))  # type: ignore[union-attr]
        scores["findings_micro_f1_5"] = _f1(counted[1][:, :, _FIVE].sum(2))
        scores["findings_macro_f1_5"] = _mean(_f1(counted[1][:, :, _FIVE]))
        scores |= _faults(said[:, _REAL], asked[:, _REAL], weights)
        return scores | {f"f1/{name}": column for name, column in zip(OBSERVATIONS, _f1(counted[1]).T, strict=True)}


def table(rows: Rows) -> dict[str, dict[str, int]]:
    """For each observation how often it is positive in the answers, in the references, and in both."""
    said, asked = rows[:, :_N] == 1, rows[:, _N:] == 1
    return {
        name: {
            "answer": int(said[:, n].sum()),
            "reference": int(asked[:, n].sum()),
            "both": int((said & asked)[:, n].sum()),
        }
        for n, name in enumerate(OBSERVATIONS)
    }


def _codes(text: str) -> list[int]:
    labels = label(text)
    return [POLARITIES.index(labels[name]) + 1 if name in labels else 0 for name in OBSERVATIONS]


def _counts(said: NDArray[np.bool_], asked: NDArray[np.bool_], weights: Weights) -> NDArray[np.float64]:
    """(3, draws, observations): both, in the answer, in the reference."""
    return np.stack([weights @ part.astype(float) for part in (said & asked, said, asked)])


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    both, said, asked = counts
    whole = said + asked
    scores = np.full(np.shape(whole), np.nan)
    np.divide(2 * both, whole, out=scores, where=whole > 0)
    return scores


def _mean(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over observations, leaving out NaN; NaN where all are."""
    known = ~np.isnan(columns)
    count = known.sum(1)
    means = np.full(len(columns), np.nan)
    np.divide(np.nansum(columns, 1), count, out=means, where=count > 0)
    return means


def _faults(said: Rows, asked: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
    faults = {
        "hallucinated_per_report": (said == 1) & (asked != 1),
        "omitted_per_report": (asked == 1) & (said != 1),
        "contradictions_per_report": ((said == 1) & (asked == 2)) | ((said == 2) & (asked == 1)),
    }
    total = weights.sum(1)
    counted = {name: weights @ fault.sum(1).astype(float) for name, fault in faults.items()}
    blank = np.full(len(total), np.nan)
    return {name: np.divide(sum_, total, out=blank.copy(), where=total > 0) for name, sum_ in counted.items()}
