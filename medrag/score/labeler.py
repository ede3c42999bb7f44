"""A labeller of chest reports: which of the fourteen CheXpert observations a text states, denies or leaves open.

Rules after CheXpert's labeller (Irvin et al. 2019, arXiv 1901.07031): phrases are found, each is given a polarity, and the
report takes positive before uncertain before negative. Phrases are those of `medrag.score.observations`, polarity is
ConText's (`medrag._util.polarity`), and each mention also carries its side, zones and severity, read from its own noun
phrase first. What a patient had before ("history of", "the prior film showed") is no statement about this film. The file
reads sentence by sentence: it resolves no pronouns and does no dependency parsing. spaCy is not used: its general models
are not installed with medrag, and what the rules miss here is vocabulary and convention rather than syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from medrag._util.polarity import clauses, polarity
from medrag._util.remember import remembered
from medrag._util.text import plain_marks
from medrag.graph.context import sentence_spans
from medrag.score.attributes import location_of, severity_of, side_of
from medrag.score.observations import (
    CLEARED,
    CONCEPTS,
    DEVICES,
    NO_FINDING,
    OBSERVATIONS,
    SUBJECTS,
    Concept,
    Subject,
    subject_scanner,
)
from medrag.score.observations import scanner as concept_scanner

Label = Literal["positive", "negative", "uncertain"]
_LABEL: dict[str, Label] = {"present": "positive", "absent": "negative", "uncertain": "uncertain"}
_ORDER: tuple[Label, ...] = ("positive", "uncertain", "negative")

_NORMAL = re.compile(
    r"\b(?:normal|unremarkable|non-?enlarged|clear|intact|within limits|no(?:t)? (?:acute )?abnormal\w*|negative|midline|sharp|well[- ](?:expanded|aerated|inflated)|not remarkable)\b"
    r"|\bupper limits?\b",
    re.IGNORECASE,
)
_LARGE = re.compile(
    r"\b(?:enlarge(?:d|ment)?|prominen(?:t|ce)|widen(?:ed|ing)|increased?(?: in size)?|dilat(?:ed|ion)|large|larger|bulky|borderline)\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\bnot (?:\w+ ){0,2}$", re.IGNORECASE)
_HISTORY = re.compile(
    r"(?:\bhistory (?:of|significant for)|\bh/o|\bhx (?:of)?|\bstatus[ -]post|\bs/p|\bprevious(?:ly)? treated)\b"
    r"(?!.*\b(?:with|no|without|now|but|shows?|demonstrates?|is|are)\b)[^.;:]*$"
    r"|\b(?:prior|previous|comparison|old|earlier)\s+(?:\w+ )?(?:stud(?:y|ies)|exam\w*|films?|radiographs?|x-?rays?|ct)\s+(?:had |was |has )?(?:show\w*|demonstrat\w*|reveal\w*|with|positive for)\b.*$",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"\s*(?:clinical )?(?:history|indications?|reason (?:for|of) (?:the )?(?:exam\w*|study)|clinical (?:information|data|indication)|comparison|technique|procedure)\s*:",
    re.IGNORECASE,
)
_AND = re.compile(r",?\s*and\b|,", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|appears?|remains?|stable|unchanged|within|normal|clear)\b", re.IGNORECASE
)
_FINE = re.compile(
    r"\s+(?:(?:is|are|appears?|remains?)\s+)?(?:grossly\s+)?(?:within\s+)?(?:normal|unremarkable)\b", re.IGNORECASE
)
_TIP = re.compile(r"(?:'s)?\s+(?:\w+ )?(?:tip|end|course|side ?port)\b", re.IGNORECASE)
_GONE = re.compile(r"\bextubat", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mention:
    """A statement about one concept: ``text[start:end]`` is its phrase."""

    start: int
    end: int
    concept: Concept
    polarity: Label
    side: str = ""  # left, right, bilateral or unknown ("")
    severity: int = 0  # 1 mild, 2 moderate, 3 severe, 0 unsaid
    location: frozenset[str] = frozenset()
    historical: bool = False
    sentence: int = 0
    cleared: tuple[str, ...] = ()  # for "lungs are clear": the families that this denies

    @property
    def observation(self) -> str | None:
        """The CheXpert observation it counts for, if any."""
        return self.concept.observation


def label(text: str) -> dict[str, Label]:
    """The observations that a report states, denies or leaves open; what it does not mention has no key.

    "No Finding" is positive as in CheXpert: nothing but devices is positive or uncertain, and no other abnormality either.
    A text that says nothing about a chest gets no label at all.

    >>> label("Heart size is normal. Possible small left effusion. No pneumothorax.")
    {'Cardiomegaly': 'negative', 'Pneumothorax': 'negative', 'Pleural Effusion': 'uncertain'}
    """
    return labels_of(mentions(text))


def labels_of(found: Iterable[Mention]) -> dict[str, Label]:
    """The same of mentions found before."""
    said: dict[str, set[Label]] = {}
    abnormal, some = False, False
    for mention in found:
        if mention.historical:
            continue
        some = True
        if mention.observation:
            said.setdefault(mention.observation, set()).add(mention.polarity)
        abnormal |= mention.polarity != "negative" and mention.observation != DEVICES
    labels = {name: next(kind for kind in _ORDER if kind in said[name]) for name in OBSERVATIONS if name in said}
    return {NO_FINDING: "positive", **labels} if some and not abnormal else labels


def mentions(text: str) -> list[Mention]:
    """Every statement in order, also those on concepts outside the fourteen and the historical ones."""
    found, text = [], plain_marks(text)
    for number, (low, high) in enumerate(sentence_spans(text)):
        for mention in _of_sentence(text[low:high]):
            found.append(replace(mention, start=mention.start + low, end=mention.end + low, sentence=number))
    return found


@remembered(32768)
def _of_sentence(sentence: str) -> tuple[Mention, ...]:
    """The mentions of one sentence; sentences repeat, so this is where the time is saved."""
    if not sentence.strip():
        return ()
    header = bool(_HEADER.match(sentence))
    found = [*_phrases(sentence), *_subjects(sentence)]
    found.sort(key=lambda mention: (mention.start, mention.end))
    return tuple(replace(mention, historical=header or _is_history(sentence, mention)) for mention in found)


def _phrases(sentence: str) -> Iterator[Mention]:
    for match in concept_scanner().finditer(sentence):
        concept = CONCEPTS[int(str(match.lastgroup)[1:])]
        stated = "negative" if _FINE.match(sentence, match.end()) else _LABEL[polarity(sentence, match.span())]
        if concept.observation == DEVICES:
            stated = _of_device(sentence, match, stated)
        yield _mention(sentence, match.span(), concept, stated)
        if concept.name == "hydropneumothorax":
            effusion = next(c for c in CONCEPTS if c.name == "pleural effusion")
            yield _mention(sentence, match.span(), effusion, stated)


def _of_device(sentence: str, match: re.Match[str], stated: Label) -> Label:
    """Devices are there when named: extubation takes one away, a tip that is not seen does not."""
    if _GONE.match(match.group()):
        return "negative"
    return "positive" if stated == "negative" and _TIP.match(sentence, match.end()) else stated


def _mention(sentence: str, span: tuple[int, int], concept: Concept, stated: Label) -> Mention:
    side = side_of(sentence, span) if concept.sided else ""
    return Mention(*span, concept, stated, side, severity_of(sentence, span), location_of(sentence, span))


def _subjects(sentence: str) -> Iterator[Mention]:
    """ "Heart size is normal", "the mediastinum is widened": a subject and the nearest word of size in its clause."""
    taken = [match.span() for match in concept_scanner().finditer(sentence)]

    def free(match: re.Match[str]) -> bool:
        return all(match.end() <= a or match.start() >= b for a, b in taken)

    for match in filter(free, subject_scanner().finditer(sentence)):
        low, high = _clause(sentence, match.span())
        subject = SUBJECTS[int(str(match.lastgroup)[1:])]
        rules = (_NORMAL, _LARGE) if subject.large else (_NORMAL,)
        if words := [word for rule in rules for word in rule.finditer(sentence, low, high) if free(word)]:
            nearest = min(words, key=lambda w: max(w.start() - match.end(), match.start() - w.end()))
            yield from _size(sentence, match, nearest, subject)


def _clause(sentence: str, subject: tuple[int, int]) -> tuple[int, int]:
    """Its clause, and the next one where it stops at the subject: "the heart | and mediastinum are normal"."""
    spans = clauses(sentence)
    at = next((n for n, (low, high) in enumerate(spans) if low <= subject[0] < high), 0)
    low, high = spans[at]
    for _, end in spans[at + 1 :]:
        if _VERB.search(sentence, subject[1], high) or not _AND.match(sentence, high):
            break
        high = end
        subject = (subject[0], high)
    return low, high


def _size(sentence: str, subject: re.Match[str], word: re.Match[str], meant: Subject) -> Iterator[Mention]:
    span = (min(subject.start(), word.start()), max(subject.end(), word.end()))
    concept = meant.large or Concept(f"{meant.name} abnormality", None, meant.family, ())
    said = _LABEL[polarity(sentence, word.span())]
    denied = _NOT.search(sentence, 0, word.start())  # "no effusion or the heart is normal" does not deny it
    if word.re is _NORMAL:
        if said != "negative" or (word.group().lower().startswith("no") and not denied):
            yield Mention(*span, concept, "negative", cleared=_cleared(meant))
        return
    if word.group().lower().startswith("increase") and denied:
        return
    doubted = "borderline" in sentence[max(0, word.start() - 14) : word.end() + 1].lower()
    stated: Label = "uncertain" if doubted and said == "positive" else said
    yield Mention(*span, concept, stated, severity=severity_of(sentence, word.span()))


def _cleared(meant: Subject) -> tuple[str, ...]:
    return CLEARED.get(meant.name, ())


def _is_history(sentence: str, mention: Mention) -> bool:
    return mention.observation != DEVICES and bool(_HISTORY.search(sentence[: mention.start]))
