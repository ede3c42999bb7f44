"""What one sentence of a report or a textbook states of the things that it mentions. Precision goes before recall: where the words do not fit the
cues of `medrag.graph.cues`, nothing is stated.

A statement is as its mentions are (`medrag.graph.context`): what a sentence denies is an absent statement, never a present one. "May represent"
is the relation itself and so makes it no less certain; what a patient had before is uncertain. The file knows sentences and spots; it knows no documents and no graph.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medrag._util.attributes import gap, own_piece, side_of
from medrag._util.polarity import polarity
from medrag.graph import cues
from medrag.graph.context import aside

if TYPE_CHECKING:
    from medrag._util.polarity import Polarity
    from medrag.graph.kinds import Kind

FAR = 90  # characters between a finding and what it suggests


@dataclass(frozen=True, slots=True)
class Spot:
    """A mention in its sentence: a node (or a code that no ontology has), what it is, and what is said of it."""

    start: int
    end: int
    code: str
    name: str
    kind: Kind
    polarity: Polarity

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.end

    def moved(self, by: int) -> Spot:
        return replace(self, start=self.start + by, end=self.end + by)


@dataclass(frozen=True, slots=True)
class Statement:
    """One relation that one sentence states."""

    subject: Spot
    relation: str
    object: cues.End
    polarity: Polarity


def of_report(sentence: str, spots: Sequence[Spot]) -> Iterator[Statement]:
    """Where each finding is, how it is, and what it suggests; of a relative's findings and of mere risks nothing."""
    findings = [s for s in spots if s.kind == "finding" and aside(sentence, *s.span) not in ("another's", "risk")]
    places = _places(sentence, spots)
    suggesting = list(cues.SUGGESTS.finditer(sentence))
    for finding in findings:
        yield from _located(sentence, finding, findings, places)
        yield from _modified(
            sentence, finding, [*(cue.span() for cue in suggesting), *_others(sentence, finding, findings)]
        )
    for cue in suggesting:
        yield from _suggested(sentence, cue, findings, places)


def of_passage(sentence: str, spots: Sequence[Spot]) -> Iterator[Statement]:
    """What the verb phrases between two mentions state; a question and what is called untrue state nothing."""
    if sentence.rstrip().endswith("?") or cues.UNTRUE.search(sentence):
        return
    for verb in cues.VERBS:
        for cue in verb.pattern.finditer(sentence):
            before = [spot for spot in spots if spot.end <= cue.start()]
            after = [spot for spot in spots if spot.start >= cue.end()]
            if before and after and _joined(sentence, before[-1], cue, after[0]):
                for other in _listed(sentence, after, cues.AND_ALSO):
                    if _fits(verb.relation, *((other, before[-1]) if verb.turned else (before[-1], other))):
                        yield _stated(sentence, verb, before[-1], other, cue)


def _joined(sentence: str, left: Spot, cue: re.Match[str], right: Spot) -> bool:
    """Whether the cue stands between a subject that begins its clause and what follows it, and nothing else does."""
    begins = cues.SUBJECT.search(sentence[: left.start])
    alone = not sentence[left.end : cue.start()].strip() and cues.PHRASE.fullmatch(sentence, cue.end(), right.start)
    return bool(begins and alone)


def _places(sentence: str, spots: Sequence[Spot]) -> list[Spot]:
    """The places that a sentence names: those of a chest film, and mentions of places that lie in none of these."""
    found = [Spot(p.start, p.end, p.what.code, p.what.name, "place", "present") for p in cues.chest_places(sentence)]
    found += [s for s in spots if s.kind == "place" and all(s.end <= p.start or s.start >= p.end for p in found)]
    return sorted(found, key=lambda spot: spot.span)


def _located(sentence: str, finding: Spot, findings: list[Spot], places: list[Spot]) -> Iterator[Statement]:
    """The places inside a finding's name, right before it, or behind it with nothing but a preposition between; "and" adds further ones."""
    last = 0
    for place in places:
        inside = finding.start <= place.start and place.end <= finding.end
        before = place.end <= finding.start and cues.BEFORE.fullmatch(sentence, place.end, finding.start)
        behind = place.start >= finding.end and cues.TO_PLACE.fullmatch(sentence, finding.end, place.start)
        further = (
            last and cues.AND_PLACE.fullmatch(sentence, last, place.start) and not _owned(place, sentence, findings)
        )
        if inside or before or behind or further:
            last = place.end if behind or further else 0
            yield Statement(finding, "located_at", cues.End(place.code, place.name), finding.polarity)


def _owned(place: Spot, sentence: str, findings: list[Spot]) -> bool:
    """Whether the place stands before another finding: "in the left base and right apical scarring"."""
    return any(f.start >= place.end and cues.BEFORE.fullmatch(sentence, place.end, f.start) for f in findings)


def _others(sentence: str, finding: Spot, findings: Iterable[Spot]) -> Iterator[tuple[int, int]]:
    """The findings of other phrases, each with the modifiers right before it: these are its own. "Air space opacity" is one phrase."""
    spaced = sentence.replace("/", " ")
    for other in findings:
        low, high = min(finding.end, other.end), max(finding.start, other.start)
        if other.span != finding.span and not cues.BEFORE.fullmatch(spaced, low, high):
            own = cues.OWNED.search(sentence, 0, other.start)
            yield own.start() if own else other.start, other.end


def _modified(sentence: str, finding: Spot, cuts: Iterable[tuple[int, int]]) -> Iterator[Statement]:
    """Of each kind of modifier the one nearest to the finding, between the commas, conjunctions, cues and other findings around it."""
    low, high = own_piece(sentence, finding.span)
    low = max([low, *(end for _, end in cuts if end <= finding.start)])
    high = min([high, *(start for start, _ in cuts if start >= finding.end)])
    for rows in cues.MODIFIERS.values():
        found = [
            (gap(m, finding.span), m.start(), end) for end, words in rows for m in words.finditer(sentence, low, high)
        ]
        if found:
            yield Statement(finding, "modified_by", min(found)[2], finding.polarity)
    if side := side_of(sentence[low:high], (max(finding.start, low) - low, min(finding.end, high) - low)):
        yield Statement(finding, "modified_by", cues.SIDES[side], finding.polarity)
    if size := cues.MEASURE.search(sentence, low, high):
        yield Statement(finding, "modified_by", cues.measured(size), finding.polarity)


def _suggested(sentence: str, cue: re.Match[str], findings: list[Spot], places: list[Spot]) -> Iterator[Statement]:
    """What the last finding before the cue suggests: the findings behind it, those after an "or" too."""
    before = [spot for spot in findings if spot.end <= cue.start()]
    after = [spot for spot in findings if spot.start >= cue.end()]
    if not before or not after or cue.start() - before[-1].end > FAR:
        return
    finding = before[-1]
    bare = _blank(sentence, _runs(sentence, places))[finding.end : cue.start()]
    if not cues.FILLER.fullmatch(bare) or not cues.ADJECTIVES.fullmatch(sentence, cue.end(), after[0].start):
        return
    listed = _listed(sentence, after, cues.OR_ELSE, ends=False)
    joints = [cues.OR_ELSE.match(sentence, left.end, right.start) for left, right in itertools.pairwise(listed)]
    relating = [cue.span(), *(joint.span() for joint in joints if joint)]
    for diagnosis in listed:
        told = _least((finding.polarity, _said_of(sentence, diagnosis, relating)))
        yield Statement(finding, "suggestive_of", cues.End(diagnosis.code, diagnosis.name), told)


def _runs(sentence: str, places: Sequence[Spot]) -> Iterator[tuple[int, int]]:
    """The places, those that an "and" joins with the word between them."""
    yield from (place.span for place in places)
    for left, right in itertools.pairwise(places):
        if cues.AND_PLACE.fullmatch(sentence, left.end, right.start):
            yield left.end, right.start


def _listed(sentence: str, spots: Sequence[Spot], joint: re.Pattern[str], *, ends: bool = True) -> list[Spot]:
    """The first spot and those that the joint adds to it. With ``ends`` only those that their noun phrase ends with; else, after a comma,
    only where an "or" follows."""
    kept: list[Spot] = []
    sure = 0
    for spot in spots:
        if ends and not cues.OBJECT.match(sentence, spot.end):
            break
        found = joint.match(sentence, kept[-1].end, spot.start) if kept else None
        reached = found and (
            spot.start == found.end() if ends else cues.ADJECTIVES.fullmatch(sentence, found.end(), spot.start)
        )
        if kept and not reached:
            break
        kept.append(spot)
        if ends or found is None or found["joint"].strip() != ",":
            sure = len(kept)
    return kept[:sure]


def _fits(relation: str, subject: Spot, object: Spot) -> bool:
    """Whether a relation can hold between two kinds of things."""
    if relation == "treats":
        return subject.kind == "thing" and object.kind == "finding"
    if relation == "presents":
        return subject.kind == object.kind == "finding"
    caused = object if relation == "causes" else subject
    return caused.kind == "finding" and {subject.kind, object.kind} <= {"finding", "thing"}


def _stated(sentence: str, verb: cues.Verb, left: Spot, right: Spot, cue: re.Match[str]) -> Statement:
    subject, target = (right, left) if verb.turned else (left, right)
    denied = any(cue.groupdict().values())
    told: Polarity = "absent" if denied else _least(_said_of(sentence, spot, [cue.span()]) for spot in (left, right))
    return Statement(subject, verb.relation, cues.End(target.code, target.name), told)


def _said_of(sentence: str, spot: Spot, relating: Iterable[tuple[int, int]]) -> Polarity:
    """What the sentence says of a mention without the words that relate it: "may represent" is no doubt about it."""
    return polarity(_blank(sentence, relating), spot.span)


def _blank(sentence: str, spans: Iterable[tuple[int, int]]) -> str:
    for start, end in spans:
        sentence = f"{sentence[:start]}{' ' * (end - start)}{sentence[end:]}"
    return sentence


def _least(told: Iterable[Polarity]) -> Polarity:
    """Absent where anything is, else uncertain where anything is."""
    found = set(told)
    order: tuple[Polarity, ...] = ("absent", "uncertain")
    return next((one for one in order if one in found), "present")
