"""What the retrievers share: asking an index for k items that the query does not exclude."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from medrag.types import Hit, Item, Query

if TYPE_CHECKING:
    from medrag.protocols import Encoder, Vectors

Found = tuple[Sequence[float], Sequence[str]]  # scores, ids, best first


class Memo:
    """An encoder that remembers the vectors of the last query, which the router and several retrievers ask for.

    Images are told apart by their ``sha256``; one without it is encoded every time.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._last: tuple[Any, Vectors] | None = None

    def query(self, query: Query) -> Vectors:
        """(1, d) float32."""
        seen = tuple(image.sha256 for image in query.images)
        key = seen if self.encoder.modality == "image" else (query.text, *seen)  # text encoders may read images too
        last = self._last  # read once: another thread may ask at the same time
        if last is None or last[0] != key or "" in seen:
            last = self._last = (key, self.encoder.encode_queries([query]))
        return last[1]

    def forget(self) -> None:
        """Nothing of the last query is kept."""
        self._last = None


def search_allowed(
    find: Callable[[int], Found], load: Callable[[Sequence[str]], list[Item]], query: Query, k: int
) -> list[tuple[Item, float]]:
    """The k best items whose id and document the query does not exclude.

    ``find(n)`` gives the n best of the index. Where exclusion leaves fewer than k, more are asked for until the
    index has no more to give.
    """
    ask = k + 2 * len(query.exclude)
    while True:
        scores, ids = find(ask)
        items = {item.id: item for item in load(ids)}
        kept = [
            (items[id_], float(score))
            for score, id_ in zip(scores, ids, strict=True)
            if id_ in items and id_ not in query.exclude and items[id_].doc not in query.exclude
        ]
        if len(kept) >= k or len(ids) < ask:
            return kept[:k]
        ask *= 4


def ranked(found: Iterable[tuple[Item, float]], retriever: str) -> list[Hit]:
    """Hits with ranks from 1 in the order given."""
    return [Hit(item, score, rank, retriever) for rank, (item, score) in enumerate(found, start=1)]
