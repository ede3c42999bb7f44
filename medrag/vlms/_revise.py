"""A report as it is written, held against what the findings reader sees: findings first, and nothing behind them that denies them.

Revising a draft by what is known otherwise is RARR's idea (Gao et al., arXiv 2210.08726). A finding counts as seen from a probability
of a quarter: half of the F1 that such a reader reaches is where F1 is best (Lipton et al., arXiv 1402.1892). It looks at no image itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from medrag._util.findings import ASKED
from medrag.vlms._ask import Ask, parse
from medrag.vlms._consensus import marked
from medrag.vlms._stance import stance

SEEN = 0.25
SECTIONS = ("findings", "impression")
_ALL_WELL = re.compile(
    r"\b(?:no|without|negative for) (?!(?:\w+ ){0,2}(?:bony|osseous|skeletal)\b)(?:\w+ ){0,3}(?:disease|abnormalit\w+|findings?|process)\b"
    r"|\bnormal (?:chest|exam\w*|study)\b|\blungs (?:are|appear) (?:clear|free)\b",
    re.IGNORECASE,
)
INCIDENTAL = frozenset(  # beside these the lungs may be clear, and nothing acute
    {"mesh:Calcified Granuloma", "mesh:Granulomatous Disease", "mesh:Scoliosis", "mesh:Fractures, Bone", "mesh:Catheters, Indwelling",
     "mesh:Implanted Medical Device", "mesh:Hernia, Hiatal", "mesh:Atherosclerosis"}
)  # fmt: skip
_DENIAL = re.compile(r"^((?:there (?:is|are) )?no (?:evidence of )?)(.+?)((?: (?:is|are) \w+)?\.?)$", re.IGNORECASE)
_HEAD = re.compile(r"^((?:findings|impression):\s*)", re.IGNORECASE)


def seen(probabilities: Mapping[str, float], least: float = SEEN) -> dict[str, Ask]:
    """The labels that the reader finds likely enough, the likeliest first, each with the question about it."""
    named = sorted(((p, label) for label, p in probabilities.items() if label in ASKED and p >= least), reverse=True)
    return {label: parse(f"Is there {ASKED[label][0]}?") for _, label in named}


def headed(sentence: str) -> bool:
    """Whether it begins a report: "Findings: …"."""
    return bool(_HEAD.match(sentence))


def revised(sentences: Iterable[str], found: Mapping[str, Ask], wanted: Collection[str] = SECTIONS) -> Iterator[str]:
    """A sentence for each finding, then the draft's sentences without those that deny one, repeat another of their section or, unless all are incidental, call all well.

    "Findings:" stands at the beginning once; "Impression:" goes with the next sentence that is kept, or names the findings where none is.
    ``wanted``: the sections that are written; a draft without the only one that is wanted stands for it.
    """
    texts = _of_both(sentences, found)
    if set(SECTIONS) <= {*wanted}:
        yield from texts
        return
    drafted = list(texts)
    start = next((n for n, text in enumerate(drafted) if text.lower().startswith("impression")), len(drafted))
    yield from (drafted[start:] if "impression" in wanted else drafted[:start]) or drafted


def _of_both(sentences: Iterable[str], found: Mapping[str, Ask]) -> Iterator[str]:
    for n, label in enumerate(found):
        yield f"{'' if n else 'Findings: '}There is {ASKED[label][0]}."
    head, ill, said = "", not found.keys() <= INCIDENTAL, list[frozenset[str]]()
    for sentence in sentences:
        if opening := _HEAD.match(sentence):
            head, sentence, said = opening[1], sentence[opening.end() :], []
        sentence = "" if ill and _ALL_WELL.search(sentence) else _undenied(sentence, found.values())
        tags = marked(sentence)
        if not sentence or (tags and any(tags <= other for other in said)):
            continue
        said.append(tags)
        yield sentence if found and head.lower().startswith("findings") else head + sentence
        head = ""
    if head.lower().startswith("impression"):
        yield f"{head}{summary(found)}"


def _undenied(sentence: str, asks: Collection[Ask]) -> str:
    """The sentence without what it denies of these; empty where nothing is left."""
    if not any(stance(ask, sentence) == "absent" for ask in asks):
        return sentence
    listed = _DENIAL.match(sentence)
    parts = re.split(r",? or |, ", listed[2]) if listed else []
    left = [part for part in parts if not any(stance(ask, f"There is no {part}.") == "absent" for ask in asks)]
    return f"{listed[1]}{' or '.join(left)}{listed[3]}" if listed and left else ""


def summary(found: Iterable[str]) -> str:
    """The labels in a line; that nothing is seen where there is none.

    >>> summary(["Effusion", "Cardiomegaly"]), summary([])
    ('Pleural effusion and cardiomegaly.', 'No abnormality is seen.')
    """
    names = [re.sub(r"^an? ", "", ASKED[label][0]) for label in found]
    if not names:
        return "No abnormality is seen."
    text = " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    return f"{text[:1].upper()}{text[1:]}."
