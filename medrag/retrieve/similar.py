"""Image → studies with look-alike images, or whose words lie near the image in a common space.

An image that belongs to no study stands for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medrag.retrieve.search import Memo, ranked, search_allowed
from medrag.types import Hit, Item, Query

if TYPE_CHECKING:
    from medrag.indexes.store import Store

PER_STUDY = 3  # images asked for each study wanted: a study has one to four views


class Similar:
    """Cosine similarity of image embeddings; the best image of a study gives the study its score."""

    def __init__(self, store: Store, index: str, encoder: Memo, name: str = "similar") -> None:
        self.store, self.index, self.encoder, self.name = store, index, encoder, name

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most k hits, one a study; scores are cosines in [−1, 1]. No image, no hits."""
        if not query.images:
            return []
        index, vectors = self.store.index(self.index), self.encoder.query(query)

        def find(n: int) -> tuple[list[float], list[str]]:
            scores, ids = index.search(vectors, n)
            return list(scores[0]), ids[0]

        ask = PER_STUDY * k
        while True:
            images = search_allowed(find, self.store.items.get, query, ask)
            best = self._by_study(images)
            if len(best) >= k or len(images) < ask:
                return ranked(best[:k], self.name)
            ask *= 4  # a series of slices: many images, few studies

    def _by_study(self, images: Sequence[tuple[Item, float]]) -> list[tuple[Item, float]]:
        """The studies of the images, or an image that has none, each with the score of its best image."""
        docs = self.store.items.get([image.doc for image, _ in images])
        studies = {item.id: item for item in docs if item.kind == "study"}
        best: dict[str, tuple[Item, float]] = {}
        for image, score in images:
            item = studies.get(image.doc, image)
            best.setdefault(item.id, (item, score))
        return list(best.values())
