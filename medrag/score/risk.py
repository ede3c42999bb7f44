"""Choosing a setting with a guarantee: pure functions of losses and confidences. What a confidence is worth is `medrag.score.abstention`'s.

Learn then test (Angelopoulos et al., arXiv 2110.01052): each candidate is a hypothesis "its risk exceeds α", rejected by the
Hoeffding-Bentkus p-value; what is rejected with the family-wise error at δ has, all at once, a risk of at most α with probability 1 − δ.
RULE (arXiv 2407.05131) chooses the number of contexts so. `conformal` is conformal risk control (arXiv 2208.02814), which bounds the
expected risk alone. All need calibration examples that are drawn as the later ones are, one by one: several questions about one patient
are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Test = Literal["bonferroni", "fixed-sequence"]


def p_value(risk: float, n: int, alpha: float) -> float:
    """Hoeffding-Bentkus: how likely a mean loss of at most ``risk`` over n losses in 0–1 is where the true mean exceeds ``alpha``.

    min(exp(−n·h(min(risk, α), α)), e·P(Bin(n, α) ≤ ⌈n·risk⌉)), h(a, b) = a log(a/b) + (1−a) log((1−a)/(1−b)).

    >>> round(p_value(0.05, 100, 0.1), 4), p_value(0.2, 100, 0.1)
    (0.1565, 1.0)
    """
    from scipy.stats import binom

    if n == 0:
        return 1.0
    hoeffding = math.exp(-n * _divergence(min(risk, alpha), alpha))
    bentkus = math.e * float(binom.cdf(math.ceil(n * risk - 1e-9), n, alpha))
    return min(1.0, hoeffding, bentkus)


def _divergence(a: float, b: float) -> float:
    """Kullback-Leibler divergence of two coins."""
    first = a * math.log(a / b) if a > 0 else 0.0
    return first + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)


def rejected(p_values: Sequence[float], delta: float, test: Test = "bonferroni") -> list[int]:
    """Which hypotheses fall with a family-wise error of at most ``delta``, by place.

    ``fixed-sequence`` takes them in the order given, which must not depend on the data, and ends at the first that stands.

    >>> rejected([0.01, 0.2, 0.03], 0.1), rejected([0.01, 0.2, 0.03], 0.1, "fixed-sequence")
    ([0, 2], [0])
    """
    if test == "bonferroni":
        return [n for n, p in enumerate(p_values) if p <= delta / len(p_values)]
    last = next((n for n, p in enumerate(p_values) if p > delta), len(p_values))
    return list(range(last))


def certified(losses: ArrayLike, alpha: float, delta: float, test: Test = "bonferroni") -> list[int]:
    """The candidates whose risk is at most ``alpha``, all at once with probability 1 − ``delta``; ``losses`` is (examples, candidates), 0–1."""
    table = np.asarray(losses, float)
    return rejected([p_value(float(column.mean()), len(column), alpha) for column in table.T], delta, test)


def conformal(losses: ArrayLike, alpha: float) -> int | None:
    """The first candidate whose expected risk is at most ``alpha``: losses in 0–1, (examples, candidates), falling from left to right.

    None where no candidate is safe enough. The bound is (n·R̂ + 1)/(n + 1) ≤ α.
    """
    table = np.asarray(losses, float)
    bounds = (table.sum(axis=0) + 1) / (len(table) + 1)
    return next((n for n, bound in enumerate(bounds) if bound <= alpha), None)


def certified_threshold(
    confidence: ArrayLike, right: ArrayLike, alpha: float, delta: float, steps: int = 20
) -> float | None:
    """The lowest threshold from which on answers are wrong in at most ``alpha`` of cases, with probability 1 − ``delta``; None: there is none.

    Thresholds are quantiles of the confidences, so that the grid does not look at whether answers are right; they are tried downwards in
    fixed sequence, from where enough are answered that a few mistakes could be borne. What is withheld is no loss.
    """
    sure, good = np.asarray(confidence, float), np.asarray(right, float)
    fewest = 4 * math.log(delta) / math.log(1 - alpha)
    if len(sure) < fewest:
        return None
    grid = np.quantile(sure, np.linspace(1 - fewest / len(sure), 0, steps))
    kept = None
    for threshold in sorted({float(v) for v in grid}, reverse=True):
        answered = good[sure >= threshold]
        if p_value(1 - float(answered.mean()), len(answered), alpha) > delta:
            break
        kept = threshold
    return kept
