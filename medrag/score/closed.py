"""Answers to yes/no questions. An answer that says neither is wrong: it counts for no class and never as a default.

What counts as an answer, in this order:

1. "the answer is yes", "Answer: no", where all such words of the text agree, and one word alone that is a label (`medrag.corpora.questions.LABELS`);
2. a text that begins with yes, or with no before a mark or a pronoun ("No, …", "No there is …"), "likely" before it or not;
3. a first sentence that says of one thing that it is there or not: "there is (no) …", "No …", "… shows …", "… does not show
   …", "… is (not) seen". All its content words must be of one polarity, and none may turn the question round
   (normal, clear, unchanged): whether "the heart is normal" means yes, only the question knows, and it is not looked at.

The refusal and the words of an answerer without eyes are an abstention; whatever else is left is unparsable.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from medrag._util.text import plain_marks, sentences
from medrag.corpora.questions import LABELS
from medrag.prompts import KEYS, REFUSAL, UNSEEN
from medrag.score.grounding import stances
from medrag.score.overlap import ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

Said = Literal["yes", "no", ""]

_ANSWER = re.compile(r"\banswer(?:\s+to\s+[\w\s]{1,40}?)?\s*(?:is\b|:)[\s\"'“*:]*(yes|no)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"\W*(?:(?:most |very )?(?:likely|probably),?\s+)?(?:(yes)\b|(no)(?=[\s\"'”*_]*(?:$|[,.;:!?()\n—–]|-\s|\b(?:there|it|they|this|that|these|the|i|we)\b)))",
    re.IGNORECASE,
)
_BOTH = re.compile(r"\W*yes\s*(?:/|or|and)\s*no\b|\W*no\s*(?:/|or|and)\s*yes\b", re.IGNORECASE)
_SEEN = "(?:seen|identified|noted|present|visible|detected|observed|found|demonstrated|visuali[sz]ed)"
_STATED = re.compile(  # what is said to be there follows the match
    r"(?:^|,\s*)there (?:is|are|was|were)(?:n't)?\b|\b(?:shows?|demonstrates?|reveals?)\b|^\W*(?=no\b)"
    rf"|^(?=[^,;]*\b(?:is|are|was|were)(?:n't)? (?:not )?{_SEEN}\b)",
    re.IGNORECASE,
)
_TURNS = frozenset(
    "normal normally unremarkable clear clearly stable unchanged change changed intact limit resolution improvement "
    "information answer conclusion idea comment image question doubt".split()
)
_DOUBT = re.compile(r"\b(?:probabl|possibl)[ey]\b|\bperhaps\b|\bmaybe\b|\bmight\b|\b(?:un)?likely\b", re.IGNORECASE)
_REFUSALS = tuple(text.rstrip(".").lower() for text in (REFUSAL, UNSEEN.partition("{")[0].strip()))


def parse(answer: str) -> Said:
    """ "yes", "no", or "" for an answer that says neither.

    >>> parse("No, the lungs are clear."), parse("The film does not show a fracture."), parse("It is hard to say.")
    ('no', 'no', '')
    """
    text = plain_marks(KEYS.sub("", answer)).strip()
    said = {match[1].lower() for match in _ANSWER.finditer(text)}
    if said:
        return _word(said.pop()) if len(said) == 1 else ""
    if (label := LABELS.get(text.strip(" .!*\"'").lower())) is not None:
        return _word(label)
    if _BOTH.match(text):
        return ""
    if lead := _LEAD.match(text):
        return _word(lead[1] or lead[2])
    return _stated(next(iter(sentences(text)), ""))


def abstains(answer: str) -> bool:
    """Whether the answer is the refusal, or says that its author does not look at images."""
    return any(refusal in answer.lower() for refusal in _REFUSALS)


def _word(found: str) -> Said:
    return "yes" if found.lower() == "yes" else "no"


def _stated(sentence: str) -> Said:
    match = _STATED.search(sentence)
    if not match or _DOUBT.search(sentence):
        return ""
    said = stances(sentence, match.end())
    kinds = set(said.values())
    if len(kinds) != 1 or "uncertain" in kinds or _TURNS & {part for word in said for part in word.split("-")}:
        return ""
    return "yes" if kinds == {"present"} else "no"


class Closed:
    """accuracy, f1 (of yes), macro_f1, auroc, coverage (share that says yes or no), abstained, unparsable.

    Columns of a row: truth, said yes, said no, P(yes), abstained. Where the arm knows no probability an answer counts as
    1, 0, or ½. A probability counts in ``auroc`` whatever the words say.
    """

    name = "closed"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        return self.rows_with(answers, references, [None] * len(answers))

    def rows_with(
        self, answers: Sequence[str], references: Sequence[str], probabilities: Sequence[float | None]
    ) -> Rows:
        """(n, 5). Raises ValueError for a reference that is neither yes nor no."""
        rows = np.zeros((len(answers), 5))
        for n, (answer, reference, chance) in enumerate(zip(answers, references, probabilities, strict=True)):
            if reference not in ("yes", "no"):
                raise ValueError(f"a closed question's reference is {reference!r}, not yes or no")
            gone = abstains(answer)
            said = "" if gone else parse(answer)
            sure = {"yes": 1.0, "no": 0.0, "": 0.5}[said] if chance is None else chance
            rows[n] = reference == "yes", said == "yes", said == "no", sure, gone
        return rows

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        truth, yes, no, chance, gone = rows.T
        count, f1 = weights.sum(1), _f1(weights, yes, truth)
        return {
            "accuracy": ratio(weights @ (truth * yes + (1 - truth) * no), count),
            "f1": f1,
            "macro_f1": (f1 + _f1(weights, no, 1 - truth)) / 2,
            "auroc": auroc(truth, chance, weights),
            "coverage": ratio(weights @ (yes + no), count),
            "abstained": ratio(weights @ gone, count),
            "unparsable": ratio(weights @ (1 - yes - no - gone), count),
        }


def _f1(weights: Weights, said: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(2 * (weights @ (said * truth)), weights @ said + weights @ truth)


def auroc(truth: NDArray[np.float64], scores: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Area under the ROC curve under each line of weights (draws, n); ties count half; NaN where a class is missing.

    The probability that a positive scores above a negative (Hanley and McNeil 1982). Sorted once for all lines.
    """
    values, place = np.unique(scores, return_inverse=True)
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    positive, negative = (
        np.add.reduceat((weights * mask)[:, order], starts, axis=1) for mask in (truth, 1 - truth)
    )  # (draws, values)
    below = np.cumsum(negative, axis=1) - negative / 2
    return ratio((positive * below).sum(1), positive.sum(1) * negative.sum(1))
