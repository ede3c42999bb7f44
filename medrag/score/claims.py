"""Reports as sets of claims, and two such sets set against each other: matched, missing, hallucinated, contradicted.

A claim is a concept with a polarity, a side, a severity and zones; saying it twice makes no second claim. Only what is
called present or possible has to be matched, as radiologists count errors; denials matter where they contradict. Pairs are
the assignment of least total error (Kuhn 1955, by scipy). The file knows no scores of many reports and no weights of them.

An omitted or an invented finding is one error; half an error where the other side has a finding of the same family (an
"opacity" beside a consolidation), and half of it where it is only called possible. Within a pair: wrong side 1 (bilateral for
one side 1/2), related concept 1/2, other severity 1/2 for each step, other zone 1/2, other certainty 1/4, and an attribute that
only one side states 1/8; together never above 1. They are round numbers set by reasoning, but not blindly: the half for what is
only possible, and the leave for limits of the film, came after reading the faults on RadPref's first half, whose figure is
therefore in sample; ``eval/benchmarks/radpref.py`` reports other values and the choice with each case left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from medrag.score.labeler import Label, Mention, mentions

ALONE = 1.0  # omitted or invented
RELATED = 0.5  # an unmatched claim beside a relative; a pair of relatives
POSSIBLE = 0.5  # an unmatched claim that is only possible
SIDE, SEVERITY, ZONE, CERTAINTY, UNSAID = 1.0, 0.5, 0.5, 0.25, 0.125
_LIMITED = re.compile(r"\b(?:limit(?:s|ed|ing)?|preclud\w+|obscur\w+)[ \t]+(?:[\w-]+[ \t]+){0,6}$", re.IGNORECASE)
_RELATIVES = {"atelectasis": "airspace", "scar": "airspace"}  # "consolidation versus atelectasis" is one shadow


@dataclass(frozen=True, slots=True)
class Claim:
    """What a report says of one concept on one side."""

    concept: str
    observation: str | None
    family: str
    polarity: Label
    side: str = ""
    severity: int = 0
    location: frozenset[str] = frozenset()
    cleared: tuple[str, ...] = ()

    def __str__(self) -> str:
        """ "possible mild left pleural effusion (lower)"."""
        how = {"positive": "", "negative": "no", "uncertain": "possible"}[self.polarity]
        zones = f"({', '.join(sorted(self.location))})" if self.location else ""
        parts = (how, ("", "mild", "moderate", "severe")[self.severity], self.side, self.concept, zones)
        return " ".join(part for part in parts if part)

    @property
    def key(self) -> tuple[str, str, str, int, list[str]]:
        """What orders claims, so that the order of sentences never matters."""
        return (self.concept, self.polarity, self.side, self.severity, sorted(self.location))


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim of the answer, the one of the reference it stands for, and how wrong it is: 0 to 1."""

    answer: Claim
    reference: Claim
    error: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The claims of an answer beside those of its reference. Contradicted ones are in no other list of faults."""

    matched: tuple[Pair, ...]
    missing: tuple[Claim, ...]
    hallucinated: tuple[Claim, ...]
    contradicted: tuple[tuple[Claim, Claim], ...]  # (of the answer, of the reference)
    errors: float
    answered: bool  # whether the answer states anything about a chest
    stated: bool  # whether the reference does


def claims(text: str) -> tuple[Claim, ...]:
    """The claims of a text in a fixed order; historical mentions are none.

    >>> [str(claim) for claim in claims("Small left effusion. The effusion is new. No pneumothorax.")]
    ['mild left pleural effusion', 'no pneumothorax']
    """
    return _joined(_merged(_claim(m) for m in mentions(text) if not m.historical and not _out_of_view(text, m)))


def _out_of_view(text: str, mention: Mention) -> bool:
    """ "Overexposure limits evaluation for nodules": a word on the film, not on the patient."""
    return mention.polarity == "uncertain" and bool(_LIMITED.search(text, max(0, mention.start - 60), mention.start))


def _joined(found: Sequence[Claim]) -> tuple[Claim, ...]:
    """Left and right, alike in all else, become bilateral."""
    groups: dict[Claim, set[str]] = {}
    for claim in found:
        groups.setdefault(replace(claim, side=""), set()).add(claim.side)
    both = {bare for bare, sides in groups.items() if {"left", "right"} <= sides}
    whole = {
        replace(claim, side="bilateral") if replace(claim, side="") in both and claim.side else claim for claim in found
    }
    return tuple(sorted(whole, key=lambda claim: claim.key))


def _claim(m: Mention) -> Claim:
    c = m.concept
    return Claim(c.name, c.observation, c.family, m.polarity, m.side, m.severity, m.location, m.cleared)


def _merged(found: Iterable[Claim]) -> tuple[Claim, ...]:
    """One claim for each concept, polarity and side; one without a side joins the others of its concept."""
    by_key: dict[tuple[str, str, str], Claim] = {}
    for claim in sorted(found, key=lambda claim: claim.key):
        key = (claim.concept, claim.polarity, claim.side)
        old = by_key.get(key, claim)
        by_key[key] = replace(old, severity=max(old.severity, claim.severity), location=old.location | claim.location)
    stronger = {(c.concept, c.side) for c in by_key.values() if c.polarity == "positive"}
    sided = {(c.concept, c.polarity) for c in by_key.values() if c.side}
    kept = (
        c
        for c in by_key.values()
        if not (c.polarity == "uncertain" and (c.concept, c.side) in stronger)
        and not (not c.side and c.severity == 0 and (c.concept, c.polarity) in sided)
    )
    return tuple(sorted(kept, key=lambda claim: claim.key))


def compare(answer: str, reference: str) -> Comparison:
    """Sets two texts against each other; deterministic, and the same for any order of their sentences."""
    ours, theirs = claims(answer), claims(reference)
    said, asked = _affirmed(ours), _affirmed(theirs)
    matched = _pairs(said, asked)
    extra = [c for c in said if all(c is not pair.answer for pair in matched)]
    missed = [c for c in asked if all(c is not pair.reference for pair in matched)]
    errors = sum(pair.error for pair in matched) + sum(_weight(c, asked) for c in extra)
    errors += sum(_weight(c, said) for c in missed)
    opposed = [(a, b) for a in extra for b in theirs if _opposite(a, b)]
    opposed += [(a, b) for b in missed for a in ours if _opposite(b, a)]
    hit = {id(claim) for pair in opposed for claim in pair}
    return Comparison(
        matched,
        tuple(c for c in missed if id(c) not in hit),
        tuple(c for c in extra if id(c) not in hit),
        tuple(opposed),
        errors,
        bool(ours),
        bool(theirs),
    )


def _affirmed(some: Sequence[Claim]) -> list[Claim]:
    return [claim for claim in some if claim.polarity != "negative"]


def _pairs(said: list[Claim], asked: list[Claim]) -> tuple[Pair, ...]:
    """The pairing of least total error; a pair must be better than leaving both alone."""
    if not said or not asked:
        return ()
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    alone = 2 * ALONE
    costs = np.array([[alone if (e := pair_error(a, b)) is None else e for b in asked] for a in said])
    places = zip(*linear_sum_assignment(costs), strict=True)
    return tuple(Pair(said[i], asked[j], float(costs[i, j])) for i, j in places if costs[i, j] < alone)


def _family(claim: Claim) -> str:
    return _RELATIVES.get(claim.family, claim.family)


def _weight(claim: Claim, others: Sequence[Claim]) -> float:
    related = any(_family(claim) == _family(other) for other in others)
    return ALONE * (RELATED if related else 1.0) * (POSSIBLE if claim.polarity == "uncertain" else 1.0)


def pair_error(one: Claim, other: Claim) -> float | None:
    """How wrong one claim is for another, 0 to 1; None where they are about different things."""
    if one.concept != other.concept and _family(one) != _family(other):
        return None
    error = 0.0 if one.concept == other.concept else RELATED / (2 if one.observation == other.observation else 1)
    if one.side != other.side:
        error += UNSAID if not (one.side and other.side) else SIDE / (2 if "bilateral" in (one.side, other.side) else 1)
    if one.severity != other.severity:
        error += SEVERITY * abs(one.severity - other.severity) if one.severity and other.severity else UNSAID
    if one.location != other.location:
        error += ZONE if one.location and other.location and not one.location & other.location else UNSAID
    return min(1.0, error + (CERTAINTY if one.polarity != other.polarity else 0.0))


def _opposite(affirmed: Claim, denied: Claim) -> bool:
    """ "Lungs are clear" denies an opacity, "no effusion" an effusion; a denial on one side only that side."""
    if denied.polarity != "negative" or (affirmed.side and denied.side and affirmed.side != denied.side):
        return False
    same = affirmed.concept == denied.concept or (affirmed.observation or "") == denied.observation
    return same or affirmed.family in denied.cleared
