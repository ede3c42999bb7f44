"""What relations are called in a sentence, and how much a step along each is worth. The one table of both.

A prior is between 0 and 1. They were set by hand, by one thought: how often a step along the relation helps to answer
a question about a finding. Relations that the table does not hold get `UNKNOWN`.
"""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """``A forward B`` and ``B backward A``; ``back`` is the worth of a step from B to A."""

    prior: float
    forward: str
    backward: str
    back: float | None = None  # None: as forward


UNKNOWN = 0.4
TABLE: dict[str, Words] = {
    "is_a": Words(0.8, "is a kind of", "includes", 0.4),
    "narrower_than": Words(0.7, "is narrower than", "is broader than", 0.4),
    "part_of": Words(0.7, "is part of", "has the part", 0.5),
    "has_phenotype": Words(0.6, "can present with", "can be a feature of"),
    "has_finding_site": Words(0.9, "is found in", "can be the site of"),
    "has_associated_morphology": Words(0.8, "has the morphology", "is the morphology of"),
    "due_to": Words(0.9, "is caused by", "can cause"),
    "has_causative_agent": Words(0.9, "is caused by", "can cause"),
    "causes": Words(0.9, "can cause", "can be caused by"),
    "disease_has_feature": Words(0.9, "can present with", "can be a feature of"),
    "disease_has_major_feature": Words(1.0, "typically presents with", "is a major feature of"),
    "disease_arises_from_feature": Words(0.9, "arises from", "can give rise to"),
    "disease_causes_feature": Words(0.9, "causes", "can be caused by"),
    "disease_shares_features_of": Words(0.7, "shares features with", "shares features with"),
    "predisposes_towards": Words(0.9, "predisposes to", "can follow from"),
    "part_of_progression_of_disease": Words(0.8, "is a stage of", "can progress through"),
    "manifestation_of": Words(0.9, "can be a manifestation of", "can manifest as"),
    "presents": Words(0.9, "can present with", "can be a symptom of"),
    "localizes_to": Words(0.9, "occurs in", "can be the site of"),
    "resembles": Words(0.7, "resembles", "resembles"),
    "associates_with": Words(0.5, "is associated with", "is associated with"),
    "treats": Words(0.7, "is used to treat", "can be treated with"),
    "palliates": Words(0.6, "is used to relieve", "can be relieved with"),
    "may_treat": Words(0.7, "may treat", "may be treated with"),
    "may_prevent": Words(0.6, "may prevent", "may be prevented with"),
    "has_characteristic": Words(0.2, "is characterised as", "characterises", 0.05),
    # what reports say (medrag.graph.said)
    "located_at": Words(0.7, "is seen at", "can be the site of", 0.3),
    "suggestive_of": Words(0.9, "can suggest", "can show as"),
    "modified_by": Words(0.2, "is described as", "can be said of", 0.05),
    "exact_match": Words(1.0, "is the same as", "is the same as"),
    "related_to": Words(0.3, "is related to", "is related to"),
}


def prior(relation: str, forward: bool = True) -> float:
    """The worth of a step along the relation or against it, 0–1."""
    words = TABLE.get(relation)
    if words is None:
        return UNKNOWN
    return words.prior if forward or words.back is None else words.back


def phrase(relation: str, forward: bool = True) -> str:
    """The words between subject and object; a relation without backward words of its own says so plainly."""
    if relation in TABLE:
        return TABLE[relation].forward if forward else TABLE[relation].backward
    plain = relation.replace("_", " ")
    return plain if forward else f"is the object of “{plain}” from"
