"""Two images, or two reports of one patient, set beside each other: new, resolved, still there.

Images are compared by what a findings reader sees on each, or, without one, by what the reports of their look-alikes say;
reports by the chest vocabulary of `medrag.score.claims`. Nothing is registered or subtracted: it knows no pixels and no sizes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from medrag._util.attributes import location_of, side_of
from medrag._util.days import day_of
from medrag._util.findings import ASKED, label_of
from medrag._util.text import plain_marks
from medrag.agent import asking
from medrag.latest import days_of, patients
from medrag.score.claims import Claim, claims
from medrag.score.labeler import Mention, mentions
from medrag.score.observations import CARDIOMEGALY, MEDIASTINUM, words_regex
from medrag.types import Hit, QueryImage, Study
from medrag.vlms._ask import Ask, parse
from medrag.vlms._changed import COURSE, UNTOLD
from medrag.vlms._evidence import split
from medrag.vlms._stance import ORDER, stance
from medrag.vlms._vote import phrase
from medrag.vlms._words import stem_set

if TYPE_CHECKING:
    from medrag.agent.desk import Desk

_PAUSE = re.compile(  # "compared with the prior" is no other finding
    r"[.;,\n](?=\s|$)|\b(?:while|whereas|but|although|and (?:the|a|an|no|there)|(?<!compared )(?<!comparison )(?<!consistent )(?<!compatible )with)\b",
    re.IGNORECASE,
)
_THAN = r"(?! than (?:normal|usual|average|expected|the (?:left|right|other)|about \d|\d))"  # a size, no course
_COURSES = (  # "enlarged" is a state, too
    ("increased", re.compile(rf"\b(?:increas\w+|worsen\w*|worse|progress(?:ed|ing|ion|ive)|enlarging|(?:larger|bigger)\b{_THAN}|gr[eo]w\w*)\b", re.IGNORECASE)),
    ("decreased", re.compile(rf"\b(?:decreas\w+|smaller\b{_THAN}|improv\w+|regress\w+|resolving|shr[iau]nk\w*|diminish\w*|reduced|reduction|(?<!or )less(?! (?:likely|probably|than|certain|clear|clearly|well)\b))\b", re.IGNORECASE)),
    ("unchanged", re.compile(r"\b(?:unchanged|stable|no (?:\w+ ){0,2}change|not (?:\w+ )?changed)\b", re.IGNORECASE)),
)  # fmt: skip
_NOT = re.compile(r"\b(?:no|not|without|never|neither|nor)\s+(?:[\w-]+\s+){0,3}$", re.IGNORECASE)
_NO_SIDE = re.compile(  # "what is left of it", "right now"
    r"(?<!the )\b(?:left|right)\b(?=\s*(?:[?.!,]|$)|\s+(?:of|now|after|away|before)\b)", re.IGNORECASE
)
_ZONES = frozenset({"upper", "middle", "lower"})  # a rib is no place to look in, but what is broken
_MARKS = re.compile(r"[,;:()]")
_LARGE = {CARDIOMEGALY.name: "enlarged heart", MEDIASTINUM.name: "wide mediastinum"}
Views = tuple[QueryImage, ...]
SEEN = 0.5  # probability from which a finding counts as there
DOUBT = 0.2  # and from which it is left open
ALIKE = 8  # look-alikes of each image
PAIRS = 3
_VIEWS = {"PA": "frontal", "AP": "frontal", "LL": "lateral", "RL": "lateral", "LAT": "lateral", "LATERAL": "lateral"}
FIRST = "first mentioned"  # what an earlier report says nothing of, on either side, need not be new
STILL = "still there"  # nobody said whether it grew
_WEIGHT = ("", "negative", "uncertain", "positive")
_CHANGED = {  # what the earlier and the later report say of a finding → how it changed
    **{(was, now): "new" for was in ("", "negative") for now in ("positive", "uncertain")},
    **{(was, "negative"): "resolved" for was in ("positive", "uncertain")},
    **{(same, same): STILL for same in ("positive", "uncertain")},
    ("uncertain", "positive"): "now certain", ("positive", "uncertain"): "now in doubt",
    **{(was, ""): "no longer mentioned" for was in ("positive", "uncertain")},
}  # fmt: skip


def in_words(read: Mapping[str, float], usual: Mapping[str, float] | None = None) -> str:
    """What a reader sees, in sentences that say of each finding whether it is there. With ``usual`` what is likelier than that is not
    denied, as where images are compared: one reading is not told in two ways."""
    least = usual or {}
    named = sorted(((p, label, ASKED[label][0]) for label, p in read.items() if label in ASKED), reverse=True)
    there = [f"There is {name} (the reader's probability: {p:.2f})." for p, _, name in named if p >= SEEN]
    open_ = [f"There is possibly {name} ({p:.2f})." for p, _, name in named if DOUBT <= p < SEEN]
    faint = [f"{_bare(name)} ({p:.2f})" for p, label, name in named if _faint(label, least) <= p < DOUBT]
    open_ += [f"Too faint to tell: {', '.join(faint)}."] if faint else []
    gone = [f"There is no {_bare(name)}." for p, label, name in named if p < _faint(label, least)]
    return " ".join([*there, *open_, *gone]) or "The reader names no finding."


def _faint(label: str, usual: Mapping[str, float]) -> float:
    """The probability under which a finding is not there: `DOUBT`, or what is usual where that is less."""
    return min(usual.get(label, DOUBT), DOUBT)


def is_compared(question: str, days: Sequence[str]) -> bool:
    """Whether a question about images of these days asks how they differ: what was taken on one day has not changed in between."""
    course = COURSE if all(days) else asking.CHANGE
    return len(days) > 1 and not (all(days) and len(set(days)) == 1) and bool(course.search(question))


def couples(days: Sequence[str]) -> list[tuple[int, int]]:
    """The first image of each study and of the next one, by their days; each image and the next, as given, where a day is not known.

    >>> couples(["2021-03-10", "2021-03-10", "2020-01-05"]), couples(["", "2020-01-05"])
    ([(2, 0)], [(0, 1)])
    """
    order = [days.index(day) for day in sorted(set(days))] if all(days) else range(len(days))
    return list(itertools.pairwise(order))


def images(desk: Desk, first: int, second: int, goal: str) -> tuple[str, list[Hit]]:
    """What differs, in words, and studies of pairs that look like this pair; by the dates of the files where they have them.

    Images of one day are one study: like views of both are read together. Raises ValueError for an image that is not there, and
    for two patients.
    """
    earlier, later = desk.pick(max(first, 0)), desk.pick(max(second, 0))
    if len(patients([*earlier, *later])) > 1:
        raise ValueError(f"images {first + 1} and {second + 1} are of different patients, by their files")
    days = days_of([*earlier, *later])
    swapped = all(days) and days[0] > days[1]
    if swapped:
        earlier, later = later, earlier
    if all(days) and days[0] != days[1]:
        earlier, later = like_views(desk.of_one_day(earlier[0]), desk.of_one_day(later[0]))
    if desk.see is not None:
        read = [desk.see([image.image for image in study]) for study in (earlier, later)]
        text = changes(read[0], read[1], label_of(goal), desk.usual)
    else:
        ask = parse(asking.still(goal))
        told = [_alike([study for study, _ in _studies(desk, one)[:ALIKE]], ask) for one in (earlier, later)]
        text = _voted(told, ask) or _untold(desk)
    if all(days) and days[0] != days[1]:
        text = text.replace("in the first image", "in the earlier image").replace("in the second", "in the later")
    if swapped:
        text = f"{text} By their files' dates the second image is the earlier one."
    return text, pairs(desk, earlier, later) if desk.sources("similar") else []


def like_views(one: Views, other: Views) -> tuple[Views, Views]:
    """Of two studies the views that both have, as often as both have them; the first of each where they share none."""
    ours, theirs = ([_view(image) for image in study] for study in (one, other))
    shared = [name for name in dict.fromkeys(ours) if name and name in theirs]
    if not shared:
        return one[:1], other[:1]
    many = {name: min(ours.count(name), theirs.count(name)) for name in shared}
    return tuple(_first_of(one, ours, many)), tuple(_first_of(other, theirs, many))


def _first_of(study: Views, names: Sequence[str], many: Mapping[str, int]) -> list[QueryImage]:
    """So many images of each view, in their order."""
    return [image for n, image in enumerate(study) if names[:n].count(names[n]) < many.get(names[n], 0)]


def _view(image: QueryImage) -> str:
    """frontal, lateral, another name that the file has for its view, or ""."""
    name = str(image.meta.get("view") or "").upper()
    return _VIEWS.get(name, name)


def verdict(label: str, before: Mapping[str, float], after: Mapping[str, float], usual: Mapping[str, float]) -> str:
    """ "new", "resolved", "unchanged" or "" (in neither) for a finding that is asked about: it counts as there where it is likelier than usual.

    By Bayes' rule that is the even threshold where the question itself makes presence and absence equally likely; without
    ``usual`` it is `SEEN`.
    """
    least = usual.get(label, SEEN)
    there = (before.get(label, 0.0) >= least, after.get(label, 0.0) >= least)
    return {(False, True): "new", (True, False): "resolved", (True, True): "unchanged"}.get(there, "")


def changes(
    before: Mapping[str, float], after: Mapping[str, float], asked: str = "", usual: Mapping[str, float] | None = None
) -> str:
    """New, resolved and unchanged findings of two readings, what is in doubt, and what neither shows, by `verdict` with ``usual``.

    The finding that was ``asked`` about stands first, and in a sentence of its own however faint it is.
    """
    said, doubt, absent = [], [], []
    for label in sorted(before.keys() & after.keys() & ASKED.keys(), key=lambda one: (one != asked, one)):
        name, p, q = _bare(ASKED[label][0]), before[label], after[label]
        word = course(label, before, after, usual or {})
        if word and (label == asked or max(p, q) >= DOUBT):
            said.append(
                f"{name.capitalize()} is {word}: probability {p:.2f} in the first image, {q:.2f} in the second."
            )
        elif word:
            doubt.append(name)
        else:
            absent.append(name)
    rest = [f"In doubt: {', '.join(doubt)}."] if doubt else []
    rest += [f"In neither image: {', '.join(absent)}."] if absent else []
    return " ".join([*said, *rest]) or "The reader names no finding."


def course(label: str, before: Mapping[str, float], after: Mapping[str, float], usual: Mapping[str, float]) -> str:
    """`verdict`, with the doubt that readings between faint and `SEEN` leave: "possibly new", "unchanged or new", "in doubt"."""
    word, faint = verdict(label, before, after, usual), _faint(label, usual)
    read = (before[label], after[label])
    if not any(faint <= p < SEEN for p in read):
        return word
    if word == "unchanged" and max(read) >= SEEN:
        return "unchanged or new" if read[0] < SEEN else "unchanged or resolved"
    return f"possibly {word}" if word else "in doubt"


def pairs(desk: Desk, earlier: Any, later: Any) -> list[Hit]:
    """The later studies of pairs of one patient that look like the two images: the sum of both similarities decides.

    After the pairwise image retrieval of TemMed-Bench (arXiv 2509.25143).
    """
    found = [_studies(desk, images) for images in (earlier, later)]
    sums: dict[str, tuple[float, Study]] = {}
    for (one, p), (other, q) in itertools.product(found[0], found[1]):
        if one.patient and one.patient == other.patient and day_of(one.date) < day_of(other.date):
            best = max(p + q, sums.get(other.id, (p + q, other))[0])
            sums[other.id] = (best, other)
    order = sorted(sums.values(), key=lambda row: (-row[0], row[1].id))[:PAIRS]
    return [Hit(study, score / 2, n, "similar-pairs") for n, (score, study) in enumerate(order, 1)]


class Place(NamedTuple):
    """Where in the chest a question asks: a side, zones, or both."""

    side: str  # left, right or "" (either)
    zones: frozenset[str]

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.side, *sorted(self.zones), "zone" if self.zones else "side")))

    def apart(self, one: Claim | Mention) -> bool:
        """Whether a finding is said to be on the other side or in another zone."""
        other = {"left": "right", "right": "left"}.get(self.side)
        return (other is not None and one.side == other) or bool(
            self.zones and one.location.isdisjoint(self.zones) and one.location
        )

    def holds(self, one: Claim | Mention) -> bool:
        """Whether a finding is said to be there, in so many words."""
        return not self.apart(one) and bool(self.zones & one.location if self.zones else one.side)

    def of(self, some: Sequence[Claim], concepts: Collection[str]) -> list[Claim]:
        """The claims on concepts that are not elsewhere; of both sides the one that is meant."""
        own = (claim for claim in some if claim.concept in concepts and not self.apart(claim))
        return [replace(one, side=self.side) if self.side and one.side == "bilateral" else one for one in own]


def place_asked(question: str) -> Place | None:
    """The place that a question names; None where it names none.

    >>> place_asked("What changed in the left upper lobe?").name, place_asked("What is left of it?")
    ('left upper zone', None)
    """
    asked = _NO_SIDE.sub(" ", question)
    side, zones = side_of(asked, (0, len(asked))), location_of(asked, (0, len(asked))) & _ZONES
    return Place("" if side == "bilateral" else side, zones) if zones or side in ("left", "right") else None


def histories(studies: Sequence[Study], question: str = "") -> list[str]:
    """For each day's reports and the next day's: what the later ones name first, deny, keep, and no longer mention; of the place alone that
    the question names: what is said of a finding elsewhere is left out, and so is a finding that no report places there."""
    days: dict[str, list[Study]] = {}
    for study in studies:
        days.setdefault(day_of(study.date) or study.id, []).append(study)
    told = [(day, "\n".join(study.text for study in own)) for day, own in days.items()]
    place = place_asked(question)
    alone = f"; of the {place.name} alone" if place else ""
    lines = [f"{len(told)} earlier stud{'y' if len(told) == 1 else 'ies'}: {', '.join(days)}{alone}"]
    for (one, was), (other, now) in itertools.pairwise(told):
        lines.append(f"{one} → {other}: {_difference(was, now, place)}")
    return lines


def courses(report: str, place: Place | None = None) -> dict[tuple[str, str], str]:
    """increased, decreased or unchanged of each concept and side ("": unsaid) of which a report says so; what it says both ways is left out.

    >>> courses("The left effusion has increased, the pneumothorax is smaller. Edema.")
    {('pleural effusion', 'left'): 'increased', ('pneumothorax', ''): 'decreased'}
    """
    said: dict[tuple[str, str], set[str]] = {}
    for one in _there(report, place):
        for word in _course_of(_clause(report, one.start, one.end)):
            for side in _sides(one):
                said.setdefault((one.concept.name, side), set()).add(word)
    return {key: min(words) for key, words in said.items() if len(words) == 1}


def _there(report: str, place: Place | None) -> list[Mention]:
    """The mentions of a report, without those of other places."""
    return [one for one in mentions(report) if place is None or not place.apart(one)]


def _clause(text: str, start: int, end: int) -> str:
    """The part of a sentence around a phrase that no comma, full stop, "while" or "with" divides; the phrase left out: "reduced lung volumes" is a state."""
    low = max((found.end() for found in _PAUSE.finditer(text, 0, start)), default=0)
    high = _PAUSE.search(text, end)
    return f"{text[low:start]}…{text[end : high.start() if high else len(text)]}"


def _course_of(clause: str) -> set[str]:
    """What a clause says of growth; a denial ("no increase") says none of it."""
    found = ((word, match.start()) for word, pattern in _COURSES for match in pattern.finditer(clause))
    return {word for word, at in found if word == "unchanged" or not _NOT.search(clause, 0, at)}


def _difference(before: str, after: str, place: Place | None) -> str:
    """By concept and side, "possible" apart from certain, in the reports' own words; a side that one of the reports leaves unsaid may be either.
    What the later report says of growth stands in the place of "still there"."""
    told: list[Sequence[Claim]] = [claims(before), claims(after)]
    if place:
        placed = {claim.concept for some in told for claim in some if place.holds(claim)}
        told = [place.of(some, placed) for some in told]
    said, terms = courses(after, place), (_terms(before, place), _terms(after, place))
    order = dict.fromkeys(("new", FIRST, "resolved", *(word for word, _ in _COURSES), *_CHANGED.values()))
    rows: dict[str, list[str]] = {word: [] for word in order}
    for concept in sorted({claim.concept for some in told for claim in some}):
        was, now = (_by_side(concept, some) for some in told)
        if "" in was or "" in now:
            was, now = ({"": max(one.values(), key=_WEIGHT.index)} if one else {} for one in (was, now))
        for side in sorted(was.keys() | now.keys()):
            kinds = (was.get(side, ""), now.get(side, ""))
            if word := _CHANGED.get(kinds):
                doubt = "possible" if (kinds[1] or kinds[0]) == "uncertain" else ""
                word = FIRST if word == "new" and not was else _grown(concept, side, said) if word == STILL else word
                rows[word].append(" ".join(part for part in (doubt, side, _named(concept, side, *terms)) if part))
    return "; ".join(f"{word}: {', '.join(some)}" for word, some in rows.items() if some) or "nothing to compare"


def _terms(report: str, place: Place | None) -> dict[tuple[str, str], str]:
    """The words by which a report first affirms each concept on each side ("": on any)."""
    found: dict[tuple[str, str], str] = {}
    for one in _there(report, place):
        if one.polarity != "negative" and not one.historical:
            for side in (*_sides(one), ""):
                found.setdefault((one.concept.name, side), _term(plain_marks(report), one))
    return found


def _term(report: str, one: Mention) -> str:
    """The phrase of a mention without its side; a heart or mediastinum of which a sentence says that it is large is called so."""
    words = " ".join(_MARKS.sub(" ", report[one.start : one.end]).split())
    if one.concept.name in _LARGE and not re.fullmatch(words_regex(one.concept.patterns), words, re.IGNORECASE):
        return _LARGE[one.concept.name]
    words = words.removeprefix(f"{one.side} ").removeprefix(f"{one.side.capitalize()} ")
    return words if words.isupper() and len(words) < 6 else words.lower()  # "COPD", but "PNEUMONIA"


def _named(concept: str, side: str, was: Mapping[tuple[str, str], str], now: Mapping[tuple[str, str], str]) -> str:
    """What the later report calls it, and what the earlier one does where that is another word: a concept's names need not mean the same."""
    old, new = (terms.get((concept, side)) or terms.get((concept, ""), "") for terms in (was, now))
    stems = stem_set(old), stem_set(new)
    if not old or not new or concept in _LARGE or stems[0] <= stems[1] or stems[1] <= stems[0]:
        return new or old
    return f"{new} (before: {old})"


def _grown(concept: str, side: str, said: Mapping[tuple[str, str], str]) -> str:
    """What was said of a concept's growth there, or of it anywhere where its side is left unsaid."""
    told = {word for (name, where), word in said.items() if name == concept and (not side or where in ("", side))}
    return told.pop() if len(told) == 1 else STILL


def _by_side(concept: str, some: Sequence[Claim]) -> dict[str, str]:
    """left, right or "" (unsaid) → what is said of a concept there, the strongest first; bilateral is both."""
    found: dict[str, str] = {}
    for claim in some:
        for side in _sides(claim):
            if claim.concept == concept:
                found[side] = max(claim.polarity, found.get(side, ""), key=_WEIGHT.index)
    return found


def _sides(one: Claim | Mention) -> tuple[str, ...]:
    return ("left", "right") if one.side == "bilateral" else (one.side,)


def _alike(studies: Sequence[Study], ask: Ask) -> tuple[int, int]:
    """Of the look-alikes' reports that speak of the finding: how many say it is there, and how many speak."""
    views = []
    for study in studies:
        said = {stance(ask, text) for text in split(study.text)}
        views.append(next((view for view in ORDER if view in said), ""))
    return views.count("present"), len(views) - views.count("")


def _voted(told: Sequence[tuple[int, int]], ask: Ask) -> str:
    """How a finding went by the reports of look-alikes; empty where none is asked about, and where those of one image do not speak of it."""
    if not ask.finding or not all(spoke for _, spoke in told):
        return ""
    there = [2 * yes > spoke for yes, spoke in told]
    word = {
        (False, True): "new",
        (True, False): "resolved",
        (True, True): "unchanged",
        (False, False): "in neither image",
    }
    counts = "; ".join(f"image {n}: {yes} of {spoke} look-alikes" for n, (yes, spoke) in enumerate(told, 1))
    name = phrase(ask)
    return f"By the reports of look-alikes, {name} is {word[there[0], there[1]]} ({counts} report it)."


def _untold(desk: Desk) -> str:
    """That a comparison without a reader tells nothing, and what lets one read the images."""
    films = desk.query.domain == "chest-xray"
    why = (
        "no encoder of this index reads findings"
        if films
        else "they are not known to be chest films, which alone are read"
    )
    how = (
        "an encoder such as medrag-small reads them"
        if films
        else 'MedRAG.open(…, domain="chest-xray") or `pipeline: {domain: chest-xray}` in the recipe says that they are'
    )
    return f"{UNTOLD}: {why}, and the reports of look-alikes do not both speak of it; {how}."


def _studies(desk: Desk, images: Any) -> list[tuple[Study, float]]:
    """Studies that look like an image, best first, without the image's own."""
    own = desk.rag.settings.select.same_image
    query = replace(desk.query, images=images)
    hits = [hit for name in desk.sources("similar") for hit in desk.rag.retrievers[name].retrieve(query, 10 * ALIKE)]
    return [(hit.item, hit.score) for hit in hits if isinstance(hit.item, Study) and hit.score < own]


def _bare(name: str) -> str:
    return name.removeprefix("a ").removeprefix("an ")
