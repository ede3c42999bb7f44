"""Vectors for the tests of indexes."""

import numpy as np


def unit(seed: int, count: int, dim: int = 16, twins: int = 0) -> np.ndarray:
    """Random unit rows of which the last ``twins`` repeat the first."""
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if twins:
        rows[-twins:] = rows[:twins]
    return rows
