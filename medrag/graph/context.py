"""Where the sentences of a text lie, and whether a mention in one is present, absent or uncertain.

The rules of negation and doubt are those of `medrag._util.polarity` (ConText); this file gives them one sentence at a time,
with the places of its characters kept.
"""

from __future__ import annotations

import itertools
import re

from medrag._util import polarity as context

_SHORT = "".join(
    rf"(?<!\b[{word[0].upper()}{word[0]}]{word[1:]}\.)" for word in ("neg", "sig", "poss", "prob", "vs", "approx")
)
_BREAK = re.compile(rf"(?<=[.!?;]){_SHORT}[\"')\]]*\s+|\s*\n\s*|(?<=[a-z]{{3}}[.!?])(?=[A-Z][a-z])")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order and without overlap; semicolons and line ends also end one."""
    cuts = [(0, 0), *(match.span() for match in _BREAK.finditer(text)), (len(text), len(text))]
    spans = [(left[1], right[0]) for left, right in itertools.pairwise(cuts)]
    return [span for span in spans if span[0] < span[1]]


def polarity(text: str, start: int, end: int, sentence: tuple[int, int]) -> context.Polarity:
    """What the sentence says of the mention ``text[start:end]`` inside it."""
    low, high = sentence
    return context.polarity(text[low:high], (start - low, end - low))
