"""How the labelled pictures that look most like a question's picture are labelled: the votes of k nearest neighbours (Fix and Hodges, 1951).

For atlases and folders of pictures whose classes exclude each other (kinds of lesion, grades, organs): a picture of another label counts against
what is asked, where a report that does not mention a finding would only be silent. Counts come out; what they are worth depends on the encoder.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from medrag.types import ImageRecord, Item, Labelled, Query, domain_of
from medrag.vlms._ask import Ask, parse
from medrag.vlms._stance import stance

if TYPE_CHECKING:
    from medrag.indexes.items import ItemStore
    from medrag.protocols import Retriever

DRAWN = 500  # pictures that tell how often a label is given at all
FEWEST, MOST = 5, 25  # neighbours: the square root of the labelled pictures, within these; fewer say nothing


class Labels:
    """Counts over one index. ``similar`` finds pictures by pictures; ``same`` is the similarity of a picture to itself."""

    def __init__(self, similar: Retriever, items: ItemStore, same: float) -> None:
        self.similar, self.items, self.same = similar, items, same

    def of(self, query: Query) -> Labelled | None:
        """None without a picture or its domain, and where fewer than `FEWEST` labelled pictures of the domain are there."""
        usual = [label for _, label in _labels(self.drawn, query.domain)] if query.images and query.domain else []
        if len(usual) < FEWEST:
            return None
        wanted = min(max(round(math.sqrt(len(usual))), FEWEST), MOST)
        hits = self.similar.retrieve(query, 2 * MOST)
        found = _labels((hit.item for hit in hits if hit.score < self.same), query.domain)[:wanted]
        if len(found) < FEWEST:
            return None
        near = [label for _, label in found]
        counted = tuple(sorted(Counter(near).items(), key=lambda pair: (-pair[1], near.index(pair[0]))))
        return Labelled(
            counted, len(near), _asked(parse(query.text), near, usual), len(usual), tuple(id for id, _ in found)
        )

    @functools.cached_property
    def drawn(self) -> Sequence[Item]:
        """Some of the index's pictures, the same ones each time."""
        return self.items.sample("image", DRAWN)


def _asked(ask: Ask, near: Sequence[str], usual: Sequence[str]) -> tuple[int, int] | None:
    """How many of the labels say that what a closed question asks about is there; None where not one speaks of it."""
    if ask.sort != "closed" or not ask.finding:
        return None
    views = {label: stance(ask, label) for label in {*near, *usual}}
    if not any(views.values()):
        return None
    return sum(views[label] == "present" for label in near), sum(views[label] == "present" for label in usual)


def _labels(items: Iterable[Item], domain: str) -> list[tuple[str, str]]:
    """Id and label of the pictures among the items that stand for themselves, of the domain or of none."""
    pictures = (one for one in items if isinstance(one, ImageRecord) and one.page is None)
    return [
        (one.id, str(one.meta["label"]))
        for one in pictures
        if one.meta.get("label") and domain_of(one) in ("", "other", domain)
    ]
