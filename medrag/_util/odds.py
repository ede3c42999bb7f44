"""Probabilities and their log odds."""

from __future__ import annotations

import math

LEAST = 1e-4  # probabilities are held this far from 0 and 1


def logit(p: float) -> float:
    """Log odds of a probability, within those of `LEAST`."""
    p = min(max(p, LEAST), 1 - LEAST)
    return math.log(p / (1 - p))


def chance(odds: float) -> float:
    """The probability of log odds.

    >>> chance(logit(0.25))
    0.25
    """
    return 1 / (1 + math.exp(-min(max(odds, -500.0), 500.0)))
