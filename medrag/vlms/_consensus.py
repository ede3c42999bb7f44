"""One report out of several: the sentences of the medoid report that most of the others share, and what most others add.

It counts sentences; it does not know whether they hold for the image in question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medrag._util.polarity import polarity
from medrag._util.remember import remembered
from medrag.types import Hit, Labelled, Study
from medrag.vlms._ask import parse
from medrag.vlms._classes import GENERAL
from medrag.vlms._evidence import split, usable
from medrag.vlms._stance import stance
from medrag.vlms._words import BESIDE, content, stem_set

_PLACES = stem_set(  # where a finding lies
    "left right upper middle lower base apex lingula hilum hila hilar perihilar paratracheal subcarinal retrocardiac retrosternal costophrenic"
)
_BOTH = stem_set("bilateral both biapical")
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
    reports = _by_study(alike)
    sections: list[tuple[str, list[Line]]] = []
    read: set[str] = set()
    for name in wanted or ("findings", "impression"):
        said = {doc: lines for doc, pairs in reports.items() if (lines := _said(pairs, name))}
        if said:
            weights = {doc: max(reports[doc][0][1].score, 1e-9) for doc in said}
            read |= said.keys()
            sections.append((name, _shared(said, weights)))
    return len(read), sections


def one_report(
    alike: Iterable[tuple[str, Hit]], wanted: Sequence[str], labelled: Labelled
) -> list[tuple[str, Hit]]:  # fmt: skip
    """The parts of the medoid of whole reports; of those alone that say the label which all look-alike pictures bear, where all bear one."""
    reports = _by_study(alike)
    if len(labelled.labels) == 1:
        label = labelled.labels[0][0]
        reports = {doc: pairs for doc, pairs in reports.items() if _says(label, pairs)}
    whole = {
        doc: [line for name in wanted for line in _said(pairs, name)]
        for doc, pairs in reports.items()
    }  # fmt: skip
    whole = {doc: lines for doc, lines in whole.items() if lines}
    weights = {doc: max(reports[doc][0][1].score, 1e-9) for doc in whole}
    return reports[_medoid(whole, weights)] if whole else []


def _says(label: str, pairs: Sequence[tuple[str, Hit]]) -> bool:
    """Whether the impression of a report, or its findings where it has none, names the class that a label names."""
    said = _said(pairs, "impression") or _said(pairs, "findings")
    ask, own = parse(f"Is there {label}?"), stem_set(label) - GENERAL
    return any(
        stance(ask, line.text) == "present" and (ask.of_a_state or own <= stem_set(line.text)) for line in said
    )  # fmt: skip


def _by_study(alike: Iterable[tuple[str, Hit]]) -> dict[str, list[tuple[str, Hit]]]:
    reports: dict[str, list[tuple[str, Hit]]] = {}
    for key, hit in alike:
        reports.setdefault(hit.item.doc, []).append((key, hit))
    return reports


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
    medoid = _medoid(said, weights)
    chosen: list[tuple[_Said, tuple[str, ...]]] = []
    for doc in sorted(said, key=lambda doc: doc != medoid):
        for line in said[doc]:
            backing = {o: one for o in said if (one := _alike(line, said[o]))}
            docs = list(backing)
            enough = len(docs) >= min(2, len(said)) and sum(weights[o] for o in docs) * 2 >= sum(weights.values())
            if enough and all(dice(line.tags, other.tags) < 0.5 for other, _ in chosen):
                keys = [line.key, *(one.key for one in backing.values() if _places(line) <= _places(one))]
                chosen.append((line, tuple(dict.fromkeys(keys))))
    if not chosen:
        return [(line.text, (line.key,)) for line in said[medoid]]
    chosen.sort(key=lambda pair: pair[0].place)
    return [(line.text, tuple(sorted(keys, key=lambda key: int(key[1:])))) for line, keys in chosen]


def _alike(line: _Said, others: Sequence[_Said]) -> _Said | None:
    """The sentence of a report that says much the same; of several one that says where, too."""
    found = [other for other in others if dice(line.tags, other.tags) >= 0.5]
    return next((one for one in found if _places(line) <= _places(one)), found[0] if found else None)


def _places(line: _Said) -> frozenset[str]:
    """Where a sentence puts what it affirms, so that "granulomas" alone is not cited for one at the left base."""
    named = line.tags & _PLACES | ({"left", "right"} if line.tags & _BOTH else set())
    return named.union(*(BESIDE.get(place, ()) for place in named))


def _medoid(said: dict[str, list[_Said]], weights: dict[str, float]) -> str:
    """The report that is most like the others."""
    whole = {doc: frozenset().union(*(line.tags for line in lines)) for doc, lines in said.items()}
    return max(whole, key=lambda doc: sum(weights[other] * dice(whole[doc], tags) for other, tags in whole.items()))
