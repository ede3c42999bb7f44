"""Which of the concepts that carry one name a text means: decided by the words around it, then by what kind of thing each is.

Every candidate is described by the words of its names, its definition and its broader concepts; the one that shares most with the rest of
the text comes first. Without such words, diseases, findings and parts of the body come before substances and genes, since texts about
pictures speak of those. It is word overlap in the manner of Lesk (SIGDOC 1986), no model of meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from medrag._util.text import content_words
from medrag.graph.words import stem

if TYPE_CHECKING:
    from medrag.graph.store import GraphStore
    from medrag.types import Concept

# semantic types (UMLS names, MeSH tree letters, Hetionet kinds) and vocabularies that a text about a picture seldom means
_LATER_TYPES = frozenset(
    {"Gene", "Gene or Genome", "Compound", "Pharmacologic Class", "Pharmacologic Substance", "Organic Chemical", "Amino Acid, Peptide, or Protein",
     "Pathway", "Biological Process", "Molecular Function", "Geographic Area", "Intellectual Product", "Quantitative Concept", "D", "G", "H", "I", "J", "K", "L", "M", "N", "V", "Z"}
)  # fmt: skip
_LATER = ("NCBIGene", "DRUGBANK", "GO", "Pathway", "NDFRT")
BROADER = 4  # broader concepts whose names are read


class Senses:
    """Orders candidates; what it has read of a node is remembered."""

    def __init__(self, store: GraphStore) -> None:
        self.store = store
        self._words: dict[str, frozenset[str]] = {}
        self._kind: dict[str, bool] = {}

    def ordered(self, nodes: Sequence[str], said: Collection[str]) -> tuple[str, ...]:
        """The nodes by falling overlap with the stems ``said``; ties by kind, then as given."""
        if len(nodes) < 2:
            return tuple(nodes)
        return tuple(sorted(nodes, key=lambda node: (-len(self._of(node) & set(said)), self._later(node))))

    def _of(self, node: str) -> frozenset[str]:
        if node not in self._words:
            members = self.store.members(node)
            broader = [step.there for step in self.store.steps(node, ("is_a", "part_of")) if step.key[0] == node][
                :BROADER
            ]
            texts = [text for member in members for text in (member.name, *member.synonyms, member.definition)]
            texts += [self.store.concept(one).name for one in broader]
            self._words[node] = frozenset(stem(word) for text in texts for word in content_words(text))
        return self._words[node]

    def _later(self, node: str) -> bool:
        if node not in self._kind:
            self._kind[node] = all(later(member) for member in self.store.members(node))
        return self._kind[node]


def later(concept: Concept) -> bool:
    """Whether it is of a kind that texts about pictures seldom mean: a gene, a substance, a process."""
    vocabulary = concept.id.split(":")[-2] if concept.id.count(":") else ""
    return vocabulary in _LATER or (bool(concept.types) and _LATER_TYPES.issuperset(concept.types))
