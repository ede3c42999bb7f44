"""What the retrievers share: asking an index for k items that the query does not exclude."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from medrag.retrieve.within import allowed
from medrag.types import Hit, Item, Query, names_of

if TYPE_CHECKING:
    from medrag.indexes.items import ItemStore
    from medrag.protocols import Encoder, Vectors

KEPT = 8  # queries that are remembered: several clients may ask in turns
Found = tuple[Sequence[float], Sequence[str]]  # scores, ids, best first


class Memo:
    """An encoder that remembers the vectors of the last queries, which the router and several retrievers ask for.

    Several threads may ask: what one has begun, the others wait for. Images are told apart by their ``sha256``; one without it is encoded every time.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._lock = threading.Lock()
        self._last: OrderedDict[Any, _Once] = OrderedDict()
        self._sorts: set[tuple[bool, bool]] = set()  # with an image or not, with words or not: what was asked before

    def query(self, query: Query) -> Vectors:
        """(1, d) float32."""
        self._sorts.add(_sort(query))
        return self._begun(query)()

    def ahead(self, query: Query) -> None:
        """Begins in another thread, if this encoder was asked for such a query before: a network is loaded by who needs it."""
        if _sort(query) in self._sorts and all(image.sha256 for image in query.images):
            _threads().submit(self._begun(query))

    def forget(self) -> None:
        """Nothing of the last queries is kept."""
        with self._lock:
            self._last.clear()

    def _begun(self, query: Query) -> _Once:
        seen = tuple(image.sha256 for image in query.images)
        if "" in seen:
            return _Once(self.encoder, query)
        key = seen if self.encoder.modality == "image" else (query.text, *seen)  # text encoders may read images too
        with self._lock:
            once = self._last.pop(key, None) or _Once(self.encoder, query)
            self._last[key] = once
            while len(self._last) > KEPT:
                self._last.popitem(last=False)
        return once


class _Once:
    """The vectors of one query, encoded by the first thread that asks; where that fails, the next tries again."""

    def __init__(self, encoder: Encoder, query: Query) -> None:
        self._lock = threading.Lock()
        self._asked: tuple[Encoder, Query] | None = (encoder, query)  # let go once it is answered: it holds pictures
        self._vectors: Vectors

    def __call__(self) -> Vectors:
        with self._lock:
            if self._asked:
                encoder, query = self._asked
                self._vectors, self._asked = encoder.encode_queries([query]), None
            return self._vectors


def _sort(query: Query) -> tuple[bool, bool]:
    return bool(query.images), bool(query.text.strip())


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="medrag-encode")


def search_allowed(
    find: Callable[[int, Collection[str] | None], Found], store: ItemStore, query: Query, k: int
) -> list[tuple[Item, float]]:
    """The k best items whose id and document the query does not exclude.

    ``find(n, allowed)`` gives the n best of the index, of the allowed ids (None: of all). Where exclusion leaves fewer than k, more are asked for
    until the index has no more to give.
    """
    ask, ids_allowed = k + 2 * len(query.exclude), allowed(store, query.where) if query.where else None
    while True:
        scores, ids = find(ask, ids_allowed)
        items = {item.id: item for item in store.get(ids)}
        kept = [
            (items[id_], float(score))
            for score, id_ in zip(scores, ids, strict=True)
            if id_ in items and query.exclude.isdisjoint(names_of(items[id_]))
        ]
        if len(kept) >= k or len(ids) < ask:
            return kept[:k]
        ask *= 4


def ranked(found: Iterable[tuple[Item, float]], retriever: str) -> list[Hit]:
    """Hits with ranks from 1 in the order given."""
    return [Hit(item, score, rank, retriever) for rank, (item, score) in enumerate(found, start=1)]
