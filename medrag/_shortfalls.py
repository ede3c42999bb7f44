"""What a build found too little of, one line each: kinds that the recipe expects, corpora that nothing can find, indexes that hold nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from medrag._stages import by_kind

if TYPE_CHECKING:
    from medrag.settings import Recipe

_IN_GRAPH = ("concept", "triple", "statement")


def shortfalls(recipe: Recipe, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The warnings about what went in, by corpus and kind of item."""
    return [*_unexpected(recipe, by_kind(counts)), *_unfound(recipe, counts), *_empty(recipe, counts)]


def _unexpected(recipe: Recipe, counts: Mapping[str, int]) -> list[str]:
    """One line for each kind of which there are more or fewer than the recipe says."""
    return [
        f"expected {number:,} of kind {kind}, found {counts.get(kind, 0):,}"
        for kind, number in recipe.expected.items()
        if counts.get(kind, 0) != number
    ]


def _unfound(recipe: Recipe, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One line for each corpus of which nothing went into an index or the graph."""
    indexed = {
        (kind, name) for index in recipe.indexes.values() for kind in index.items for name in index.corpora or counts
    }
    return [
        f"nothing of the corpus {name!r} can be found: no index of the recipe takes its {' or '.join(found)}; add one under indexes:, "
        "or leave indexes: out for those that the corpora call for"
        for name, found in counts.items()
        if found and not any(kind in _IN_GRAPH or (kind, name) in indexed for kind in found)
    ]


def _empty(recipe: Recipe, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One line for each index that the recipe's file asks for and that holds nothing."""
    return [
        f"the index {name!r} is empty: nothing read is one of {', '.join(index.items)}"
        for name, index in recipe.indexes.items()
        if not recipe.implied
        and not any(counts[corpus].get(kind) for corpus in index.corpora or counts for kind in index.items)
    ]
