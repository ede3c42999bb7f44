"""Answers to yes/no questions. An answer that says neither is wrong: it counts for no class and never as a default.

What counts as an answer: the first word is yes or no; or the first sentence says "there is no …", "… does not show …"
or "there is …", "… shows …" (the words of a report). Anything else, an abstention among it, is unparsable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

_LEAD = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"^\W*there (?:is|are|was|were) no(?:t|ne)?\b|\b(?:does|do|did) not (?:show|demonstrate|reveal)\b", re.IGNORECASE
)
_STATED = re.compile(r"^\W*there (?:is|are|was|were)\b|\b(?:shows?|demonstrates?|reveals?)\b", re.IGNORECASE)


def parse(answer: str) -> str:
    """ "yes", "no", or "" for an answer that says neither.

    >>> parse("No, the lungs are clear."), parse("The film does not show a fracture."), parse("It is hard to say.")
    ('no', 'no', '')
    """
    if lead := _LEAD.match(answer):
        return lead[1].lower()
    first = re.split(r"(?<=[.!?])\s", answer.strip(), maxsplit=1)[0]
    if _DENIED.search(first):
        return "no"
    return "yes" if _STATED.search(first) else ""


class Closed:
    """accuracy, f1 (of yes), macro_f1, auroc, coverage (share that says yes or no).

    Columns of a row: truth, said yes, said no, P(yes). Where the arm knows no probability an answer counts as 1, 0, or ½.
    """

    name = "closed"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        return self.rows_with(answers, references, [None] * len(answers))

    def rows_with(
        self, answers: Sequence[str], references: Sequence[str], probabilities: Sequence[float | None]
    ) -> Rows:
        """(n, 4). Raises ValueError for a reference that is neither yes nor no."""
        rows = np.zeros((len(answers), 4))
        for n, (answer, reference, chance) in enumerate(zip(answers, references, probabilities, strict=True)):
            if reference not in ("yes", "no"):
                raise ValueError(f"a closed question's reference is {reference!r}, not yes or no")
            said = parse(answer)
            rows[n] = (
                reference == "yes",
                said == "yes",
                said == "no",
                {"yes": 1.0, "no": 0.0}.get(said, 0.5) if chance is None else chance,
            )
        return rows

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        truth, yes, no, chance = rows.T
        right = truth * yes + (1 - truth) * no
        count = weights.sum(1)
        f1 = _f1(weights, yes, truth)
        return {
            "accuracy": weights @ right / count,
            "f1": f1,
            "macro_f1": (f1 + _f1(weights, no, 1 - truth)) / 2,
            "auroc": auroc(truth, chance, weights),
            "coverage": weights @ (yes + no) / count,
        }


def _f1(weights: Weights, said: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    both = weights @ said + weights @ truth
    with np.errstate(invalid="ignore", divide="ignore"):
        value: NDArray[np.float64] = np.where(both > 0, 2 * (weights @ (said * truth)) / both, np.nan)
    return value


def auroc(truth: NDArray[np.float64], scores: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Area under the ROC curve under each line of weights (draws, n); ties count half; NaN where a class is missing.

    The probability that a positive scores above a negative (Hanley and McNeil 1982).
    """
    values, place = np.unique(scores, return_inverse=True)
    positive, negative = (np.zeros((len(weights), len(values))) for _ in range(2))
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    for target, mask in ((positive, truth), (negative, 1 - truth)):
        target[:] = np.add.reduceat((weights * mask)[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(1) * negative.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: NDArray[np.float64] = np.where(pairs > 0, (positive * below).sum(1) / pairs, np.nan)
    return area
