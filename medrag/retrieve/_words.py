"""A second look at a few candidates: how much of a question's words each text holds, by BM25 over the candidates alone.

Okapi BM25 (Robertson & Zaragoza, 2009) with the inverse document frequency of the candidates, so it needs no index. It knows texts only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medrag._util.remember import remembered
from medrag.indexes.bm25 import terms

if TYPE_CHECKING:
    from medrag.protocols import Vectors

K1, B = 1.2, 0.75


def word_shares(question: str, texts: Sequence[str]) -> Vectors:
    """(n,) float32 in [0, 1): a text's BM25 score as a share of what a text with all words, each many times, would have.

    >>> [round(float(share), 1) for share in word_shares("What is croup?", ["Croup is a cough.", "The heart."])]
    [0.4, 0.0]
    """
    wanted = list(dict.fromkeys(terms(question)))
    counts = [_counted(text) for text in texts]
    lengths = np.array([sum(one.values()) for one in counts], np.float32)
    long = K1 * (1 - B + B * lengths / max(float(lengths.mean()) if len(lengths) else 1.0, 1.0))
    total, found = 0.0, np.zeros(len(texts))
    for word in wanted:
        times = np.array([one[word] for one in counts], np.float32)
        known = int((times > 0).sum())
        rare = math.log(1 + (len(texts) - known + 0.5) / (known + 0.5))
        total, found = total + rare, found + rare * times / (times + long)
    shares: Vectors = (found / (total or 1.0)).astype(np.float32)
    return shares


@remembered(4096)
def _counted(text: str) -> Counter[str]:
    return Counter(terms(text))
