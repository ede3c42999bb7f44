"""What kind of thing a node is: a finding, a place of the body, a modifier, or another thing (a drug, a procedure, a device).

It goes by the vocabularies of the node's concepts, their semantic types (UMLS names and codes, MeSH tree letters, Hetionet kinds, plain words
such as "finding" and "anatomy") and, in HPO, MONDO and RadLex, by the branch above them. A term without a type, of a vocabulary that this file does
not know (an ontology of one's own, UMLS without MRSTY), is a finding. A node of several kinds is the first of modifier, place, finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from medrag.graph.build import curie_of

if TYPE_CHECKING:
    from medrag.graph.store import GraphStore
    from medrag.types import Concept

Kind = Literal["finding", "place", "modifier", "thing"]

_VOCABULARIES: dict[str, Kind] = {
    "HP": "finding", "MONDO": "finding", "DOID": "finding", "OMIM": "finding", "ORPHA": "finding", "ICD10CM": "finding", "UBERON": "place",
    "FMA": "place",
}  # fmt: skip
# untyped terms of these say nothing of their kind; RadLex has its branches
_OTHERS = frozenset(
    "MESH RADLEX SNOMEDCT_US NCIT LNC LOINC DRUGBANK CHEBI RXNORM ATC NDFRT NCBIGene HGNC UNIPROT PR GO CL SO Pathway SAID".split()
)
_TYPES: dict[str, Kind] = {
    **dict.fromkeys(("A", "Anatomy", "Place", "Body Part, Organ, or Organ Component", "Body Location or Region", "Body Space or Junction", "Body System",
                     "Tissue", "T022", "T023", "T024", "T029", "T030"), "place"),
    **dict.fromkeys(("C", "Disease", "Symptom", "Side Effect", "Disease or Syndrome", "Sign or Symptom", "Finding", "Pathologic Function",
                     "Neoplastic Process", "Injury or Poisoning", "Anatomical Abnormality", "Acquired Abnormality", "Congenital Abnormality",
                     "Mental or Behavioral Dysfunction", "T019", "T020", "T033", "T037", "T046", "T047", "T048", "T184", "T190", "T191"), "finding"),
    **dict.fromkeys(("Modifier", "Qualitative Concept", "Quantitative Concept", "Spatial Concept", "Temporal Concept", "T079", "T080", "T081", "T082"), "modifier"),
}  # fmt: skip
_BRANCHES: dict[str, Kind] = {
    "HP:0012823": "modifier", "HP:0000005": "modifier", "HP:0040279": "modifier", "HP:0032223": "modifier", "MONDO:0021125": "modifier",
    "RADLEX:RID6": "modifier", "RADLEX:RID35977": "modifier", "RADLEX:RID3": "place", "RADLEX:RID5": "finding", "RADLEX:RID34785": "finding",
}  # fmt: skip
_BRANCHED = ("HP", "MONDO", "RADLEX")
MOST_ABOVE = 200  # nodes looked at above a node
_BY_TYPE = {name.lower(): kind for name, kind in _TYPES.items()}


class Kinds:
    """Tells the kind of the nodes of one graph; what it has told is remembered."""

    def __init__(self, store: GraphStore) -> None:
        self.store = store
        self._known: dict[str, Kind] = {}

    def __call__(self, node: str) -> Kind:
        if node not in self._known:
            found = self._of(node)
            order: tuple[Kind, ...] = ("modifier", "place", "finding")
            self._known[node] = next((kind for kind in order if kind in found), "thing")
        return self._known[node]

    def _of(self, node: str) -> set[Kind]:
        members = self.store.members(node)
        found = {kind for member in members if (kind := _stated(member))}
        if any(_vocabulary(member) in _BRANCHED for member in members):
            found |= {_BRANCHES[above] for above in self._above(node) if above in _BRANCHES}
        return found

    def _above(self, node: str) -> set[str]:
        """The node and what it is a kind of, at most `MOST_ABOVE`."""
        seen, ring = {node}, [node]
        while ring and len(seen) < MOST_ABOVE:
            here = ring.pop()
            up = {step.there for step in self.store.steps(here, ("is_a",)) if step.key[0] == here} - seen
            seen |= up
            ring += sorted(up)
        return {curie_of(member.id) for one in seen for member in self.store.members(one)}


def _vocabulary(concept: Concept) -> str:
    return curie_of(concept.id).partition(":")[0]


def _stated(concept: Concept) -> Kind | None:
    """What the concept itself says: its types first, else its vocabulary. A bare end of a statement says nothing."""
    if not concept.types:
        vocabulary = _vocabulary(concept)
        unknown: Kind | None = None if vocabulary in _OTHERS or concept.meta.get("bare") else "finding"
        return _VOCABULARIES.get(vocabulary, unknown)
    kinds = {_BY_TYPE.get(one.lower()) for one in concept.types}
    order: tuple[Kind, ...] = ("modifier", "place", "finding")
    return next((kind for kind in order if kind in kinds), None)
