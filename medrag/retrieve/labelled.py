"""How the labelled pictures that look most like a question's picture are labelled: the votes of k nearest neighbours (Fix and Hodges, 1951).

For atlases and folders of pictures whose classes exclude each other (kinds of lesion, grades, organs): a picture of another label counts against
what is asked, where a report that does not mention a finding would only be silent. Counts come out; what they are worth depends on the encoder.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medrag.types import ImageRecord, Item, Labelled, Query, domain_of, names_of
from medrag.vlms._ask import Ask, parse
from medrag.vlms._stance import stance
from medrag.vlms._words import stem_set

if TYPE_CHECKING:
    from medrag.indexes.items import ItemStore
    from medrag.protocols import Retriever

DRAWN = 500  # pictures that tell how often a label is given at all
_GENERAL = stem_set("lesion lesions disease type grade stage class tissue tumor")  # of "Is this lesion a melanoma?"
FEWEST, MOST = 5, 25  # neighbours: the square root of the labelled pictures, within these; fewer say nothing


class Labels:
    """Counts over one index. ``similar`` finds pictures by pictures; ``same`` is the similarity of a picture to itself."""

    def __init__(self, similar: Retriever, items: ItemStore, same: float) -> None:
        self.similar, self.items, self.same = similar, items, same

    def of(self, query: Query) -> Labelled | None:
        """None without a picture or its domain, where fewer than `FEWEST` labelled pictures of the domain are there, and where all have one label,
        which is no class then but the name of their folder."""
        drawn = [item for item in self.drawn if not names_of(item) & query.exclude] if query.exclude else self.drawn
        usual = [label for _, label in _labels(drawn, query.domain)] if query.images and query.domain else []
        if len(usual) < FEWEST or len(set(usual)) < 2:
            return None
        wanted = min(max(round(math.sqrt(len(usual))), FEWEST), MOST)
        hits = self.similar.retrieve(query, 2 * MOST)
        found = _labels((hit.item for hit in hits if hit.score < self.same), query.domain)[:wanted]
        if len(found) < FEWEST:
            return None
        near = [label for _, label in found]
        counted = tuple(sorted(Counter(near).items(), key=lambda pair: (-pair[1], near.index(pair[0]))))
        told = Labelled(counted, len(near), None, len(usual), tuple(id for id, _ in found))
        such = _such(parse(query.text), {*near, *usual})
        if such is None:
            return told
        both = sum(label in such for label in near), sum(label in such for label in usual)
        return replace(told, asked=both, such=tuple(sorted(such)))

    @functools.cached_property
    def drawn(self) -> Sequence[Item]:
        """Some of the index's pictures, the same ones each time."""
        return self.items.sample("image", DRAWN)


def _such(ask: Ask, labels: Collection[str]) -> set[str] | None:
    """The labels that say that what a closed question asks about is there; None where not one speaks of it. Classes differ by every word: a
    label that lacks a word of the question that others have is another class ("moderate" of "Severe retinopathy")."""
    if ask.sort != "closed" or not ask.finding:
        return None
    said = {label: stem_set(label) for label in labels}
    needed = set(ask.finding) & set[str]().union(*said.values()) - _GENERAL
    views = {label: stance(ask, label) for label in labels if needed <= said[label]}
    return {label for label, view in views.items() if view == "present"} if any(views.values()) else None


def _labels(items: Iterable[Item], domain: str) -> list[tuple[str, str]]:
    """Id and label of the pictures among the items that stand for themselves, of the domain or of none."""
    pictures = (one for one in items if isinstance(one, ImageRecord) and one.page is None)
    return [
        (one.id, str(one.meta["label"]))
        for one in pictures
        if one.meta.get("label") and domain_of(one) in ("", "other", domain)
    ]
