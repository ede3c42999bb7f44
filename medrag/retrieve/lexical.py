"""Text → items that share its words: BM25 (Robertson & Zaragoza 2009, doi:10.1561/1500000019)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from medrag.retrieve.search import ranked, search_allowed
from medrag.types import Hit, Query

if TYPE_CHECKING:
    from medrag.indexes.store import Store
    from medrag.retrieve.expand import Expander


class Lexical:
    """BM25 over one index; items that share no word with the query never come back."""

    def __init__(self, store: Store, index: str, name: str = "lexical", expand: Expander | None = None) -> None:
        self.store, self.index, self.name, self.expand = store, index, name, expand

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most k hits; scores are BM25 sums, above 0."""
        if not query.text.strip():
            return []
        index = self.store.index(self.index)
        text = self.expand.for_words(query.text) if self.expand else query.text

        def find(n: int, allowed: Collection[str] | None) -> tuple[list[float], list[str]]:
            scores, ids = index.search(text, n, allowed=allowed)
            return list(scores), list(ids)

        found = search_allowed(find, self.store.items, query, k)
        return ranked(((item, score) for item, score in found if score > 0), self.name)
