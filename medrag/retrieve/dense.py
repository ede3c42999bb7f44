"""Text → items with a similar embedding (Karpukhin et al. 2020, arXiv 2004.04906). Knows nothing of images."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from medrag.retrieve.search import Memo, ranked, search_allowed
from medrag.types import Hit, Query

if TYPE_CHECKING:
    from medrag.indexes.store import Store
    from medrag.retrieve.expand import Expander


class Dense:
    """Cosine similarity of sentence embeddings over one vector index."""

    def __init__(
        self, store: Store, index: str, encoder: Memo, name: str = "dense", expand: Expander | None = None
    ) -> None:
        self.store, self.index, self.encoder, self.name, self.expand = store, index, encoder, name, expand

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most k hits; scores are cosines in [−1, 1]. No text, no hits."""
        if not query.text.strip():
            return []
        asked = replace(query, text=self.expand.for_meaning(query.text)) if self.expand else query
        index, vectors = self.store.index(self.index), self.encoder.query(asked)

        def find(n: int, allowed: Collection[str] | None) -> tuple[list[float], list[str]]:
            scores, ids = index.search(vectors, n, allowed=allowed)
            return list(scores[0]), ids[0]

        return ranked(search_allowed(find, self.store.items, query, k), self.name)
