"""Query expansion: a question's concepts by their other names, so that "heart attack" also finds "myocardial infarction".

Added words stand behind the question, which is repeated for a search by words so that it outweighs them; a search by meaning gets the
other names of each concept once. Only concepts that the question names are expanded, never parts of the body alone. What it gains is
measured by the arms ``lexical+synonyms``, ``lexical+narrower`` and ``dense+synonyms`` of the retrieval tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from medrag.graph.link import Linker
from medrag.graph.words import TOKEN

if TYPE_CHECKING:
    from medrag.graph.store import GraphStore

WEIGHT = 5  # how often the question itself is said where words count


class Expander:
    """Adds up to ``synonyms`` other names of each concept, and the names of up to ``narrower`` concepts below it."""

    def __init__(self, store: GraphStore, synonyms: int = 4, narrower: int = 0) -> None:
        self.store, self.synonyms, self.narrower = store, synonyms, narrower
        self._linker = Linker(store)

    def for_words(self, text: str) -> str:
        """The question `WEIGHT` times, then the words of other names that it does not hold; a text without concepts as it is."""
        said = {word.lower() for word in TOKEN.findall(text)}
        words = [word for name in self._names(text) for word in TOKEN.findall(name.lower())]
        added = [word for word in dict.fromkeys(words) if word not in said]
        return " ".join([*[text] * WEIGHT, *added]) if added else text

    def for_meaning(self, text: str) -> str:
        """The question, then the other names in brackets."""
        names = list(self._names(text))
        return f"{text} ({'; '.join(names)})" if names else text

    def _names(self, text: str) -> Iterator[str]:
        """Other names of the concepts that the text names, each once."""
        mentions = self._linker.link(text)
        seen = {mention.surface.lower() for mention in mentions}
        for mention in mentions:
            if mention.head or mention.place:
                continue
            for name in self._of(mention.concepts[0], seen):
                if name.lower() not in seen:
                    seen.add(name.lower())
                    yield name

    def _of(self, node: str, said: Collection[str]) -> Iterator[str]:
        names = (name.lower() for member in self.store.members(node) for name in (member.name, *member.synonyms))
        yield from [name for name in dict.fromkeys(names) if name not in said][: self.synonyms]
        below = (
            [s for s in self.store.steps(node, ("is_a", "narrower_than")) if s.key[2] == node] if self.narrower else []
        )
        for step in below[: self.narrower]:
            yield self.store.concept(step.there).name
