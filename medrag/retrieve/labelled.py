"""How the labelled pictures that look most like a question's picture are labelled: the votes of k nearest neighbours (Fix and Hodges, 1951).

For atlases and folders of pictures whose classes exclude each other (kinds of lesion, grades, organs): a picture of another label counts against
what is asked, where a report that does not mention a finding would only be silent. Counts come out; what they are worth depends on the encoder.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medrag.types import ImageRecord, Item, Labelled, Query, domain_of, names_of
from medrag.vlms._ask import Ask, parse
from medrag.vlms._classes import GENERAL, WORTH, Several
from medrag.vlms._stance import stance
from medrag.vlms._words import FRAME, SEEN, STATES, content, stem_set

if TYPE_CHECKING:
    from medrag.indexes.items import ItemStore
    from medrag.protocols import Retriever

DRAWN = 500  # pictures that tell how often a label is given at all
_OR = re.compile(r"(?<!yes )\bor\b(?! not\b| no\b)", re.IGNORECASE)
# words beside a class that make no other class of it
_LOOSE = (FRAME | SEEN | GENERAL | stem_set("both all three represent depict favor really actually probably")) - STATES
FEWEST, MOST = 5, 25  # neighbours: the square root of the labelled pictures, within these; fewer say nothing


class Labels:
    """Counts over one index. ``similar`` finds pictures by pictures; ``same`` is the similarity of a picture to itself."""

    def __init__(self, similar: Retriever, items: ItemStore, same: float) -> None:
        self.similar, self.items, self.same = similar, items, same

    def of(self, query: Query) -> Labelled | None:
        """None without a picture or its domain, where fewer than `FEWEST` labelled pictures of the domain are there, and where all have one label,
        which is no class then but the name of their folder. Of several images each is counted by itself."""
        if len(query.images) < 2:
            return self._of(query)
        found = ((n, self._of(replace(query, images=(image,)))) for n, image in enumerate(query.images, 1))
        each = [(n, one) for n, one in found if one]
        if not each:
            return None
        counts = Counter[str]()
        for _, one in each:
            counts.update(dict(one.labels))
        nearest = tuple(dict.fromkeys(id for _, one in each for id in one.nearest))
        return Several(tuple(counts.most_common()), counts.total(), None, each[0][1].drawn, nearest, each=tuple(each))

    def _of(self, query: Query) -> Labelled | None:
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
    """The labels that say that what a closed question asks about is there; None where not one says it. Classes differ by every word: a
    label that lacks a word of the question that others have is another class ("moderate" of "Severe retinopathy")."""
    if ask.sort != "closed" or not ask.finding:
        return None
    if ask.either:
        return set[str]().union(*(_such(one, labels) or () for one in ask.either)) or None
    said = {label: stem_set(label) | stem_set(_apart(label)) for label in labels}
    asked = None if _OR.search(ask.text) else _class_of(ask, said)
    if asked is None:
        return None
    needed = {*asked.finding} - GENERAL or {*asked.finding}
    fit = [label for label in labels if needed <= said[label]]
    return {label for label in fit if (stance(asked, label) or stance(asked, _apart(label))) == "present"} or None


def _class_of(ask: Ask, said: Mapping[str, Collection[str]]) -> Ask | None:
    """The question for the words of the labels in it alone; None where they make no class: "carcinoma" of "squamous cell carcinoma" where there is only
    a basal one, "benign" where one label among others holds it."""
    held = set[str]().union(*said.values())
    if {*ask.finding} - held - _LOOSE:  # something else is asked, of the class or beside it: "necrosis in the tumor"
        return None
    wanted = [stem for stem in ask.stems if stem in held and (stem in {*ask.finding} | STATES or stem.isdigit())]
    if wanted and all(map(str.isdigit, wanted)) and not _counts(ask, wanted, said):
        return None
    sites = [stem for stem in ask.stems if stem in ask.sites & held]
    named = {*wanted} - GENERAL - WORTH
    if named or sites:
        wanted = wanted if named else [*wanted, *sites]
        return None if _narrowed(ask, {*wanted}, held) else replace(ask, finding=tuple(wanted), head=_head(ask, wanted))
    whole = any(_is_just({*own}, {*wanted}) for own in said.values())
    divided = bool(WORTH & {*wanted}) and all(WORTH & {*own} for own in said.values())
    if not wanted or not (whole or divided) or ask.sites - held - SEEN - GENERAL:  # "Is the aorta normal?"
        return None
    return replace(ask, finding=tuple(wanted), head=_head(ask, wanted), sites=frozenset())


def _counts(ask: Ask, numbers: Collection[str], said: Mapping[str, Collection[str]]) -> bool:
    """Whether a number is that of a label: "grade 2", not "2 lesions"."""
    return any({*numbers} & {*own} and {*ask.stems} & {*own} - {*numbers} for own in said.values())


def _is_just(label: set[str], wanted: set[str]) -> bool:
    """Whether a label says that and nothing else: "Benign", "Benign lesion"."""
    return label - GENERAL == wanted - GENERAL if wanted - GENERAL else label == wanted


def _head(ask: Ask, wanted: Sequence[str]) -> str:
    """The word that a label must hold: not the "lesion" of "benign lesion"."""
    own = [stem for stem in wanted if stem not in GENERAL] or list(wanted)
    return ask.head if ask.head in own else own[-1]


def _narrowed(ask: Ask, wanted: Collection[str], held: Collection[str]) -> bool:
    """Whether a word that no label has stands beside one of the class: "squamous cell carcinoma", "dysplastic nevus", "melanoma metastasis"."""
    for one, other in itertools.pairwise(content(ask.text)):
        beside = ask.text[one.end : other.start].isspace()
        strange = [word.stem for word in (one, other) if word.stem not in held and word.stem not in _LOOSE]
        if beside and len(strange) == 1 and {one.stem, other.stem} & {*wanted, *ask.sites}:
            return True
    return False


def _apart(label: str) -> str:
    """A label with its compounds apart: "keratosis-like"."""
    return label.replace("-", " ").replace("_", " ")


def _labels(items: Iterable[Item], domain: str) -> list[tuple[str, str]]:
    """Id and label of the pictures among the items that stand for themselves, of the domain or of none."""
    pictures = (one for one in items if isinstance(one, ImageRecord) and one.page is None)
    return [
        (one.id, str(one.meta["label"]))
        for one in pictures
        if one.meta.get("label") and domain_of(one) in ("", "other", domain)
    ]
