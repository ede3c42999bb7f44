"""One report out of several: the sentences of the medoid report that most of the others share, and what most others add.

It counts sentences; it does not know whether they hold for the image in question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medrag._util.polarity import polarity
from medrag._util.remember import remembered
from medrag.types import Hit, Study
from medrag.vlms._evidence import split, usable
from medrag.vlms._words import content

_MARK = {"present": "", "absent": "-", "uncertain": "?"}
Line = tuple[str, tuple[str, ...]]  # a sentence and the keys of the reports that say it


@dataclass(frozen=True, slots=True)
class _Said:
    """A sentence of a report, with its stems marked by polarity, so that "no effusion" is not like "effusion"."""

    key: str
    text: str
    place: float  # 0–1 within its report
    tags: frozenset[str]


def consensus(alike: Iterable[tuple[str, Hit]], wanted: Sequence[str] = ()) -> tuple[int, list[tuple[str, list[Line]]]]:
    """How many reports were read, and for each section the lines that at least half of them (by score) share.

    ``wanted`` names the sections; empty: findings and impression. Where no sentence is shared the medoid report stands
    alone. Sections that no report has are left out.
    """
    reports: dict[str, list[tuple[str, Hit]]] = {}
    for key, hit in alike:
        reports.setdefault(hit.item.doc, []).append((key, hit))
    sections: list[tuple[str, list[Line]]] = []
    read: set[str] = set()
    for name in wanted or ("findings", "impression"):
        said = {doc: lines for doc, pairs in reports.items() if (lines := _said(pairs, name))}
        if said:
            weights = {doc: max(reports[doc][0][1].score, 1e-9) for doc in said}
            read |= said.keys()
            sections.append((name, _shared(said, weights)))
    return len(read), sections


def _said(pairs: Sequence[tuple[str, Hit]], section: str) -> list[_Said]:
    found = [(key, text) for key, hit in pairs for text in split(_section(hit, section)) if usable(text)]
    return [_Said(key, text.rstrip(" .;"), n / len(found), marked(text)) for n, (key, text) in enumerate(found)]


def _section(hit: Hit, name: str) -> str:
    """The text of a section; a part of a report that names no section counts as findings."""
    if isinstance(hit.item, Study):
        return hit.item.sections.get(name, "")
    return hit.item.text if (str(getattr(hit.item, "section", "")).lower() or "findings") == name else ""


@remembered(4096)
def marked(text: str) -> frozenset[str]:
    """The content words of a text, each marked with its polarity."""
    return frozenset(word.stem + _MARK[polarity(text, (word.start, word.end))] for word in content(text))


def dice(a: frozenset[str], b: frozenset[str]) -> float:
    """Dice overlap, 0–1."""
    return 2 * len(a & b) / max(1, len(a) + len(b))


def _shared(said: dict[str, list[_Said]], weights: dict[str, float]) -> list[Line]:
    whole = {doc: frozenset().union(*(line.tags for line in lines)) for doc, lines in said.items()}
    medoid = max(whole, key=lambda doc: sum(weights[other] * dice(whole[doc], tags) for other, tags in whole.items()))
    chosen: list[tuple[_Said, tuple[str, ...]]] = []
    for doc in sorted(said, key=lambda doc: doc != medoid):
        for line in said[doc]:
            backing = {o: next((x.key for x in said[o] if dice(line.tags, x.tags) >= 0.5), "") for o in said}
            docs = [o for o, key in backing.items() if key]
            enough = len(docs) >= min(2, len(said)) and sum(weights[o] for o in docs) * 2 >= sum(weights.values())
            if enough and all(dice(line.tags, other.tags) < 0.5 for other, _ in chosen):
                chosen.append((line, tuple(dict.fromkeys([line.key, *(backing[o] for o in docs)]))))
    if not chosen:
        return [(line.text, (line.key,)) for line in said[medoid]]
    chosen.sort(key=lambda pair: pair[0].place)
    return [(line.text, tuple(sorted(keys, key=lambda key: int(key[1:])))) for line, keys in chosen]
