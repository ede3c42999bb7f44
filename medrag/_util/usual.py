"""How closed questions about pictures like one are usually answered, by their words alone: log odds of yes by TF-IDF and logistic regression.

Nothing is answered by it. An answer against what is usual is more often wrong, so that it is one of the signals of how sure an answer is (`medrag.confidence`).
Learned by pipelines/10_learn_usual.py from training questions; ``presets/usual.json`` holds each word, or pair of words, with its inverse document frequency and its weight.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

PATH = Path(__file__).parents[1] / "presets" / "usual.json"


def log_odds(question: str) -> float:
    """Log odds of yes.

    >>> log_odds("Is the heart enlarged?") < log_odds("Is the heart normal?")
    True
    """
    bias, known = _learned()
    words = re.findall(r"\b\w\w+\b", question.lower())
    counts = Counter(word for word in (*words, *map(" ".join, pairwise(words))) if word in known)
    seen = [(count * known[word][0], known[word][1]) for word, count in counts.items()]
    length = math.hypot(*(value for value, _ in seen)) or 1.0
    return bias + sum(value * weight for value, weight in seen) / length


@functools.cache
def _learned() -> tuple[float, dict[str, tuple[float, float]]]:
    found = json.loads(PATH.read_text(encoding="utf-8"))
    return found["bias"], found["words"]
