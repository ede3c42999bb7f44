"""A report as it is written, held against what the findings reader sees: findings first, and nothing behind them that denies them.

Revising a draft by what is known otherwise is RARR's idea (Gao et al., arXiv 2210.08726). A finding counts as seen from a probability
of a quarter: half of the F1 that such a reader reaches is where F1 is best (Lipton et al., arXiv 1402.1892). It looks at no image itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from medrag._util.findings import ASKED
from medrag.vlms._evidence import Ask, parse, stance

SEEN = 0.25
_ALL_WELL = re.compile(
    r"\b(?:no|without|negative for) (?:\w+ ){0,3}(?:disease|abnormalit\w+|findings?|process)\b"
    r"|\bnormal (?:chest|exam\w*|study)\b|\blungs are clear\b",
    re.IGNORECASE,
)
INCIDENTAL = frozenset(  # beside these the lungs may be clear, and nothing acute
    {"mesh:Calcified Granuloma", "mesh:Granulomatous Disease", "mesh:Scoliosis", "mesh:Fractures, Bone", "mesh:Catheters, Indwelling",
     "mesh:Implanted Medical Device", "mesh:Hernia, Hiatal", "mesh:Atherosclerosis"}
)  # fmt: skip
_HEAD = re.compile(r"^((?:findings|impression):\s*)", re.IGNORECASE)


def seen(probabilities: Mapping[str, float], least: float = SEEN) -> dict[str, Ask]:
    """The labels that the reader finds likely enough, the likeliest first, each with the question about it."""
    named = sorted(((p, label) for label, p in probabilities.items() if label in ASKED and p >= least), reverse=True)
    return {label: parse(f"Is there {ASKED[label][0]}?") for _, label in named}


def revised(sentences: Iterable[str], found: Mapping[str, Ask]) -> Iterator[str]:
    """A sentence for each finding, then the draft's sentences without those that deny one or, unless all are incidental, call all well.

    "Findings:" stands at the beginning once; "Impression:" goes with the next sentence that is kept.
    """
    if not found:
        yield from sentences
        return
    for n, label in enumerate(found):
        yield f"{'' if n else 'Findings: '}There is {ASKED[label][0]}."
    head, ill = "", not found.keys() <= INCIDENTAL
    for sentence in sentences:
        if opening := _HEAD.match(sentence):
            head, sentence = opening[1], sentence[opening.end() :]
        if (ill and _ALL_WELL.search(sentence)) or any(stance(ask, sentence) == "absent" for ask in found.values()):
            continue
        yield sentence if head.lower().startswith("findings") else head + sentence
        head = ""
