"""How the labelled pictures that look most like a question's picture are labelled: the votes of k nearest neighbours (Fix and Hodges, 1951).

For atlases and folders of pictures whose classes exclude each other (kinds of lesion, grades, organs): a picture of another label counts against
what is asked, where a report that does not mention a finding would only be silent. Counts come out; what they are worth depends on the encoder.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag.types import Hit, ImageRecord, Item, Labelled, Query, domain_of, names_of
from medrag.vlms._ask import parse
from medrag.vlms._classes import NAMED, Asked, Several
from medrag.vlms._labels import said_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.indexes.items import ItemStore
    from medrag.protocols import Retriever

DRAWN = 500  # pictures that tell how often a label is given at all
FEWEST, MOST = 5, 25  # neighbours: the square root of the labelled pictures, within these; fewer say nothing
DEEPEST = 3200  # hits that are looked through for them
# of the similarity between neighbours within an atlas, what a picture must have to count as look-alike. By medrag-small's cosines that is 0.73–0.75: of
# atlases of MedNIST, fundus, skin and blood cells no neighbour that was counted lies below, but for 0.5 % of the cells', and of pictures of another kind
# the fifth neighbour hardly ever lies above (only cells look like hands and films to it)
FAR = 0.75


class Labels:
    """Counts over one index. ``similar`` finds pictures by pictures; ``same`` is the similarity of a picture to itself."""

    def __init__(self, similar: Retriever, items: ItemStore, same: float, index: Any = None) -> None:
        self.similar, self.items, self.same, self.index = similar, items, same, index
        self._floors: dict[str, float] = {}

    def of(self, query: Query, domains: Sequence[str] = ()) -> Labelled | None:
        """None without a picture or its domain, where fewer than `FEWEST` labelled pictures of the domain are there or look alike, and where all have
        one label, which is no class then but the name of their folder. Of several images each is counted by
        itself, among the pictures of its own domain where ``domains`` has it."""
        if len(query.images) < 2:
            return self._of(query)
        found = ((n, self._of(one)) for n, one in enumerate(_each(query, domains), 1))
        each = [(n, one) for n, one in found if one]
        if not each:
            return None
        counts = Counter[str]()
        for _, one in each:
            counts.update(dict(one.labels))
        nearest = tuple(dict.fromkeys(id for _, one in each for id in one.nearest))
        silent = tuple(n for n in range(1, len(query.images) + 1) if n not in dict(each))
        drawn = each[0][1].drawn
        return Several(
            tuple(counts.most_common()), counts.total(), None, drawn, nearest, each=tuple(each), silent=silent
        )

    def evidence(self, query: Query, labelled: Labelled, kept: Sequence[Hit], domains: Sequence[str] = ()) -> list[Hit]:
        """Of each label that an answer may name and no counted picture among ``kept`` bears the picture that looks most alike, for each image."""
        each = labelled.each if isinstance(labelled, Several) else ((1, labelled),)
        found = (hit for n, one in each for hit in self._bearers(_each(query, domains)[n - 1], one, kept))
        return [*{hit.item.id: hit for hit in found}.values()]

    def _bearers(self, query: Query, labelled: Labelled, kept: Sequence[Hit]) -> list[Hit]:
        borne = {label_of(hit.item) for hit in kept if hit.item.id in labelled.nearest}
        named = {*labelled.such, *(label for label, _ in labelled.labels[:NAMED])} - borne
        first: dict[str, Hit] = {}
        for hit in self._near(query, labelled.alike):
            first.setdefault(label_of(hit.item), hit)
        return [hit for label, hit in first.items() if label in named]

    def _of(self, query: Query) -> Labelled | None:
        usual = [label_of(one) for one in self._usual(query)] if query.images and query.domain else []
        if len(usual) < FEWEST or len(set(usual)) < 2:
            return None
        found = self._near(query, min(max(round(math.sqrt(len(usual))), FEWEST), MOST))
        if len(found) < FEWEST:
            return None
        near = [label_of(hit.item) for hit in found]
        counted = tuple(sorted(Counter(near).items(), key=lambda pair: (-pair[1], near.index(pair[0]))))
        told = Labelled(counted, len(near), None, len(usual), tuple(hit.item.id for hit in found))
        said = said_of(parse(query.text), {*near, *usual})
        if said is None:
            return told
        both = sum(label in said.such for label in near), sum(label in said.such for label in usual)
        such, against = tuple(sorted(said.such)), tuple(sorted(said.against))
        return Asked(told.labels, told.alike, both, told.drawn, told.nearest, such, against, said.denied)

    def _usual(self, query: Query) -> list[Item]:
        return [one for one in self.drawn if _votes(one, query.domain) and not names_of(one) & query.exclude]

    def _near(self, query: Query, wanted: int) -> list[Hit]:
        """The pictures that vote, the most alike first: pictures of other domains and those without a label take no place among them."""
        floor, most = self._floor(query), 2 * MOST
        while True:
            hits = self.similar.retrieve(query, most)
            found = [hit for hit in hits if floor <= hit.score < self.same and _votes(hit.item, query.domain)]
            if len(found) >= wanted or len(hits) < most or hits[-1].score < floor or most >= DEEPEST:
                return found[:wanted]
            most *= 4

    def _floor(self, query: Query) -> float:
        """The similarity below which a picture does not look alike: `FAR` of what a picture of the atlas has to the one next to it, in the median. −1
        where the index does not give its vectors back."""
        if query.domain not in self._floors:
            ids = [one.id for one in self.drawn if _votes(one, query.domain)]
            known = self.index is not None and hasattr(self.index, "vectors_at") and len(ids) > 1
            self._floors[query.domain] = (
                FAR * _typical(self.index.vectors_at(self.index.positions_of(ids))) if known else -1.0
            )
        return self._floors[query.domain]

    @functools.cached_property
    def drawn(self) -> Sequence[Item]:
        """Some of the index's pictures, the same ones each time."""
        return self.items.sample("image", DRAWN)


def label_of(item: Item) -> str:
    """The class of a picture; empty where none is given."""
    return str(item.meta.get("label") or "")


def _votes(item: Item, domain: str) -> bool:
    """Whether an item is a picture with a label that stands for itself, of the domain or of none."""
    own = isinstance(item, ImageRecord) and item.page is None
    return own and bool(label_of(item)) and domain_of(item) in ("", "other", domain)


def _each(query: Query, domains: Sequence[str]) -> list[Query]:
    """The question of each of its images; one whose domain is not known is of no domain, where others are of several."""
    unlike = len({*domains} - {""}) > 1
    own = [domain or ("" if unlike else query.domain) for domain in domains or [""] * len(query.images)]
    return [replace(query, images=(image,), domain=one) for image, one in zip(query.images, own, strict=True)]


def _typical(vectors: NDArray[np.float32]) -> float:
    """The median, over the vectors, of the cosine to the next one."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -1.0)
    return float(np.median(alike.max(axis=1)))
