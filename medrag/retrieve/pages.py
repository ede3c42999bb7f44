"""Text, an image, or both → pages of books, by late interaction, with the regions that matched.

Joint search after Patho-AgenticRAG (arXiv 2508.02258). Knows no encoder in particular: one that has ``sides`` of a query
and ``regions`` of an item will do (medrag/encoders/pages.py, medrag/encoders/late_interaction.py). A page's figures are
the images whose ids are the page's with ``f1``, ``f2`` …; they are rows of the page after its own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medrag._util.text import shorten
from medrag.errors import SettingsError
from medrag.retrieve._words import word_shares
from medrag.retrieve.search import ranked
from medrag.types import Hit, Item, Query, domain_of

if TYPE_CHECKING:
    from medrag.encoders.pages import PageEncoder, Region, Side
    from medrag.indexes.store import Store
    from medrag.protocols import Vectors

Fusion = Literal["sum", "max", "patho"]
Place = Mapping[str, str | frozenset[str]]  # what a part's name is looked for in: a text, or names that are whole
FUSIONS = ("sum", "max", "patho")
AGAIN = 200  # pages whose words are looked at again, at least
POOL = 50  # pages of each side that are scored by both, at least
MARKED = 3  # regions that a hit shows
FIGURES = 64  # of a page, at most
PARTS = ("book", "chapter", "domain")


@dataclass(frozen=True, slots=True, eq=False)
class SimilarityMap:
    """Which region of a page matched which word: cosines (q, t) of the query's parts with the page's regions."""

    labels: tuple[str, ...]
    weights: Vectors  # (q,) of the query's parts, those of text and those of images sum to 1
    regions: tuple[Region, ...]
    values: Vectors


class PagesRetriever:
    """Late interaction over one index of pages.

    Where the encoder has a share for ``words``, the best `AGAIN` pages are ordered anew by (1 − share) · MaxSim of the text + share ·
    BM25 over these pages (`medrag.retrieve._words.word_shares`): what a window of a page means leaves out rare words.
    ``fusion`` of a question that has text and an image: ``sum``, the mean of both scores, which is one late
    interaction; ``max``, the better of them; ``patho``, the statistics of `patho_fusion`. The two latter score `POOL`
    pages or 4k, the best of each side.
    """

    def __init__(
        self, store: Store, index: str, encoder: PageEncoder | Any, name: str = "pages", fusion: Fusion = "sum"
    ) -> None:
        if fusion not in FUSIONS:
            raise SettingsError(f"pages: fusion {fusion!r} is none of {', '.join(FUSIONS)}", "leave it out for 'sum'")
        self.store, self.index, self.encoder, self.name, self.fusion = store, index, encoder, name, fusion

    def retrieve(self, query: Query, k: int, within: Mapping[str, str] | None = None) -> list[Hit]:
        """At most k hits, pages whose ``meta`` holds the best ``regions`` (text, box, cosine, the query's words that
        matched there) and their ``boxes``. Scores are means of cosines and shares of words in [−1, 1], but for ``patho``.

        ``within`` keeps pages of a ``book``, ``chapter`` or ``domain``: see `partition`.
        """
        sides = self.encoder.sides(query)
        if not sides or k < 1:
            return []
        allowed = partition(self._places, within) if within else None
        exclude = self.store.items.ids_of(query.exclude) if query.exclude else set()
        scores, ids = self._found(sides, k, allowed, exclude)
        pages = {item.id: item for item in self.store.items.get(ids)}
        found = [(self._marked(pages[id], sides), score) for id, score in zip(ids, scores, strict=True) if id in pages]
        return ranked(found, self.name)

    def similarity(self, query: Query, page: Item) -> SimilarityMap:
        """Every region of an indexed page against every part of the query. Raises SettingsError for another page."""
        return self._map(self.encoder.sides(query), page)

    def _found(
        self, sides: Mapping[str, Side], k: int, allowed: Collection[str] | None, exclude: Collection[str]
    ) -> tuple[list[float], list[str]]:
        """The k best pages: scores and ids, best first."""
        index, words = self.store.index(self.index), self._share(sides)
        each = {name: side.vectors * (1 - (words if name == "text" else 0)) for name, side in sides.items()}
        if len(sides) == 1 or self.fusion == "sum":
            whole = np.concatenate([rows / len(sides) for rows in each.values()])
            depth = max(k, AGAIN) if words else k
            (scores,), (ids,) = index.search([whole], depth, allowed=allowed, exclude=exclude)
            found = dict(zip(ids, (scores + self._said(sides, ids) * words / len(sides)).tolist(), strict=True))
        else:
            pool = index.search(list(each.values()), max(POOL, 4 * k), allowed=allowed, exclude=exclude)[1]
            ids = sorted({id for one in pool for id in one})
            fuse = self._patho if self.fusion == "patho" else self._better
            found = dict(zip(ids, fuse(each, self._said(sides, ids) * words, ids), strict=True))
        best = sorted(found, key=lambda id: (-round(found[id], 5), id))[:k]
        return [found[id] for id in best], best

    def _share(self, sides: Mapping[str, Side]) -> float:
        """Of the text's score, what a page's words have; none with the statistics of ``patho``, which are of cosines."""
        counted = "text" in sides and not (self.fusion == "patho" and len(sides) > 1)
        return float(getattr(self.encoder, "words", 0.0)) if counted else 0.0

    def _said(self, sides: Mapping[str, Side], ids: list[str]) -> Vectors:
        """(n,): how much of the question's words each page holds."""
        if not self._share(sides):
            return np.zeros(len(ids), np.float32)
        texts = {item.id: item.text for item in self.store.items.get(ids)}
        return word_shares(sides["text"].labels[0], [texts.get(id, "") for id in ids])

    def _better(self, each: Mapping[str, Vectors], said: Vectors, ids: list[str]) -> list[float]:
        """The higher score of the two sides."""
        index = self.store.index(self.index)
        sums = np.array([[index.score(rows, id).max(axis=1).sum() for rows in each.values()] for id in ids])
        higher: list[float] = (sums + np.stack([said, np.zeros_like(said)], axis=1)).max(axis=1).tolist()
        return higher

    def _patho(self, each: Mapping[str, Vectors], _: Vectors, ids: list[str]) -> list[float]:
        index = self.store.index(self.index)
        return [patho_fusion(*(_cosines(index.score(rows, id), rows) for rows in each.values())) for id in ids]

    def _map(self, sides: Mapping[str, Side], page: Item) -> SimilarityMap:
        vectors = np.concatenate([side.vectors for side in sides.values()])
        values = _cosines(self.store.index(self.index).score(vectors, page.id), vectors)
        labels = tuple(label for side in sides.values() for label in side.labels)
        return SimilarityMap(labels, _lengths(vectors), self._regions(page, values.shape[1]), values)

    def _regions(self, page: Item, count: int) -> tuple[Region, ...]:
        """What the rows of a page stand for. Where its figures are not those that were indexed, only its text has places."""
        from medrag.encoders.pages import Region

        own = tuple(self.encoder.regions(page))
        figures = self.store.items.get([f"{page.id}f{n}" for n in range(1, FIGURES + 1)])
        every = own + tuple(region for figure in figures for region in self.encoder.regions(figure))
        if len(every) == count:
            return every
        return (*own[:count], *(Region("", None) for _ in range(count - len(own))))

    def _marked(self, page: Item, sides: Mapping[str, Side]) -> Item:
        """The page with the regions that carry most of its score."""
        found = self._map(sides, page)
        at = found.values.argmax(axis=1)  # the region that each part of the query chose
        gain = np.bincount(at, found.weights * found.values.max(axis=1), found.values.shape[1])
        best = [int(n) for n in np.argsort(-gain, kind="stable")[:MARKED] if gain[n] > 0]
        regions = []
        for n in best:
            region, words = found.regions[n], [found.labels[i] for i in np.flatnonzero(at == n)]
            cosine = round(float(found.values[:, n].max()), 4)
            regions.append(
                {"text": shorten(region.text, 300), "box": list(_corners(region)), "cosine": cosine, "words": words}
            )
        boxes = dict.fromkeys(box for n in best if (box := _corners(found.regions[n])))
        return dataclasses.replace(page, meta={**page.meta, "regions": regions, "boxes": [list(box) for box in boxes]})

    @functools.cached_property
    def _places(self) -> dict[str, Place]:
        """What `partition` asks of every page, in small letters."""
        items = self.store.items
        figures: dict[str, set[str]] = {}
        for item in items.iterate(["image"]):
            figures.setdefault(item.id.rpartition("f")[0], set()).add(domain_of(item))
        return {page.id: place_of(page, figures.get(page.id, ())) for page in items.iterate(["page"])}


def place_of(page: Item, figures: Iterable[str] = ()) -> Place:
    """The book, the chapter and the domains of a page, in small letters; ``figures`` are the domains of those on it."""
    blocks = getattr(page, "blocks", ())
    runs_on = not blocks or blocks[0].role != "heading"  # the section before it reaches onto the page
    heads = [str(page.meta.get(name, "")) for name in (("chapter", "section") if runs_on else ("chapter",))]
    heads += [block.text for block in blocks if block.role == "heading"]
    book = f"{page.doc}\n{getattr(page, 'title', '')}"
    domains = frozenset(name.casefold() for name in (domain_of(page), *figures) if name)
    return {"book": book.casefold(), "chapter": "\n".join(heads).casefold(), "domain": domains}


def partition(places: Mapping[str, Place], within: Mapping[str, str]) -> set[str]:
    """The pages of a part of the books: ``book`` is in the id or the title of the document, ``chapter`` in the heading that
    runs on or in a new one of the page, ``domain`` is that of the page or of a figure on it. Case does not count.

    Raises SettingsError for another name.
    """
    if strange := sorted(set(within) - set(PARTS)):
        raise SettingsError(f"pages have no {strange[0]!r} to search within", f"known: {', '.join(PARTS)}")
    wanted = {name: text.casefold() for name, text in within.items()}
    return {id for id, place in places.items() if all(text in place[name] for name, text in wanted.items())}


def patho_fusion(text: Vectors, image: Vectors) -> float:
    """Patho-AgenticRAG's score of a page: std(std S_t) · mean(κ S_t)² · mean(κ S_v) + mean(max S_t).

    ``text`` and ``image``: cosines (q, t) of both sides of the query with the page's regions. std, κ (Pearson's
    kurtosis, 0 where all values are equal) and max go over the regions of each part of the query.
    """
    spread = float(text.std(axis=1).std())
    return spread * _kurtosis(text) ** 2 * _kurtosis(image) + float(text.max(axis=1).mean())


def _kurtosis(values: Vectors) -> float:
    """The mean over rows."""
    apart = values - values.mean(axis=1, keepdims=True)
    square = (apart**2).mean(axis=1)
    flat = square < 1e-12
    return float(np.where(flat, 0.0, (apart**4).mean(axis=1) / np.where(flat, 1.0, square) ** 2).mean())


def _corners(region: Region) -> tuple[float, ...]:
    """x0, y0, x1, y1 in points; nothing for a region without a place."""
    return (region.box.x0, region.box.y0, region.box.x1, region.box.y1) if region.box else ()


def _cosines(similar: Vectors, query: Vectors) -> Vectors:
    """Similarities without the weights of the query's vectors."""
    found: Vectors = (similar / np.maximum(_lengths(query), 1e-12)[:, None]).astype(np.float32)
    return found


def _lengths(rows: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(rows, axis=1).astype(np.float32)
    return lengths
