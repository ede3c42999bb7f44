"""The evidence as sentences that can be ranked, and what each says of the finding that a question asks about.

It compares words, not meanings: a paraphrase without a common word is not found.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medrag._util.attributes import location_of, side_of
from medrag._util.polarity import Polarity, clauses, polarity
from medrag._util.text import plain_marks, sentences
from medrag.prompts import unkeyed
from medrag.types import Context, Hit
from medrag.vlms import _words as words

_WHAT = re.compile(r"^(?:what|which|who|when|where|why|how|define|describe|explain|list|name|tell)\b", re.IGNORECASE)
_VERB = r"(?:(?:is|are|was|were|does|do|did|has|have)(?:n't)?|any)\b"
_CLOSED = re.compile(rf"(?:^\W*|[,:;]\s*)(?P<verb>{_VERB})", re.IGNORECASE)
_STOP = re.compile(
    rf"[?!](?=\s|$)|\.(?=\s+(?:[A-Z0-9]|(?i:{_VERB}))|\s*$)|\n(?=[^\S\n]*(?i:{_VERB}))"
)  # "3.5 cm" and "vs." go on
_WHICH = re.compile(r"\b(?:what|which|why|how)\b", re.IGNORECASE)
_REPORT = re.compile(
    r"\b(?:write|generate|draft|compose|give|provide|produce|create|dictate)\b.{0,300}?\b(?:report|findings|impression)\b"
    r"|^\W*(?:findings|impression|report)\b|^what (?:are|is) the (?:findings|impression)\b",
    re.IGNORECASE | re.DOTALL,
)
_DEFINE = re.compile(r"^\W*(?:what(?:'s| is| are)|define|what does .{1,200}? mean|explain)\b", re.IGNORECASE)
_MEANS = re.compile(r"^\W*(?:what(?:'s| is| are) an?|define)\b|\bmean(?:s|t|ing)?\b", re.IGNORECASE)
_OF_PICTURE = re.compile(  # "what is …" asks of the picture: a place, the … of the …, "what is seen", "what is wrong"
    r"\b(?:in|on|at|near|behind) (?:the|his|her)(?: [\w-]+){1,4}\W*$|\bthe(?: [\w-]+){1,3} of (?:the|his|her)(?: [\w-]+){1,4}\W*$"
    r"|^\W*what(?:'s| is| are) (?:in|on|at|near|behind|wrong|seen|shown|visible|present|there|happening|going)\b|\b(?:left|right|here)\b",
    re.IGNORECASE,
)
_DEFINING = re.compile(
    r"\b(?:is|are) (?:an?|the|any|when|caused|defined|called)\b|\b(?:means|refers to|describes|occurs when)\b",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\b(?:yes or no|no or yes|yes/no)\b|\bor not\b", re.IGNORECASE)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_LISTED = re.compile(r",\s*(?:or\b)?|\bor\b", re.IGNORECASE)
_ANOTHER = re.compile(r",\s*(?=(?:an?|any)\b)", re.IGNORECASE)  # "a small, round mass" is one thing
_ADJECTIVE = re.compile(r"(?:.{3}(?:ic|al|ous|ive|ed|ar|ary|able|ible|oid|less|ute|ild|ere|use|ign|(?<!m)ent)|ignant|moderate|new|old)$", re.IGNORECASE)  # fmt: skip
_CONTRACTED = re.compile(r"^\W*(?:is|are|was|were|do|does|did|has|have|had|can|could)n't\b", re.IGNORECASE)
_AWAY = re.compile(
    r"\b(?:in|on|at|of|that|which|indicat\w+|suggest\w*|consistent|due|with|without|from|along|near|throughout|to|as|for|within|over)\b",
    re.IGNORECASE,
)
_BACK = re.compile(r"(?:it|this|these|they|such)\b", re.IGNORECASE)
_ASKS_LOOKS = re.compile(r"\b(?:look|looks|appear|appears|appearance|signs?|recogni[sz]e)\b", re.IGNORECASE)
_LOOKS = re.compile(
    r"\b(?:appears?|looks?|seen as|shows|blunt\w*|lucen\w+|opaci\w+|white|dark|bright|pale|line|shadow|rounded|sign)\b",
    re.IGNORECASE,
)
_PAUSE = re.compile(r"[,;]|\b(?:and|but|while|with)\b")
_SIDES = frozenset({"left", "right"})
_THIRDS = frozenset({"upper", "middle", "lower"})
_VAGUE = _SIDES | {"lung", "chest", "bilater", "bilateral"}
ORDER: tuple[Polarity, ...] = ("present", "uncertain", "absent")  # of several views the first of these counts
READER = "reader"  # the retriever's name of what the expert model said of the question's own images
HISTORY = "history"  # and of the patient's earlier studies
MOST = 8  # alternatives of one question
GIVEN = (READER, HISTORY)  # of this patient
_REPORT_SECTIONS = ("findings", "impression", "indication", "comparison")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, taken apart: what sort it is, the finding and the places that it names."""

    text: str
    sort: str  # closed, define, open or report
    stems: tuple[str, ...]  # all content stems
    finding: tuple[str, ...]
    head: str  # the stem of the finding that must be there ("nodule" of "calcified nodule in the apex")
    sites: frozenset[str]
    negated: bool  # "Are the lungs free of effusion?"
    either: tuple[Ask, ...] = ()  # the findings of "A or B?", each by itself

    @property
    def topic(self) -> tuple[str, ...]:
        """The stems that name something: all but the framing words."""
        return tuple(stem for stem in self.stems if stem not in words.FRAME)

    @property
    def of_a_state(self) -> bool:
        """Whether it asks for a state of a place ("Is the heart enlarged?"), not for a thing."""
        return bool(self.finding) and all(stem in words.STATES for stem in self.finding)


def parse(question: str) -> Ask:
    """What a question asks for, from its first words and its content words; a closed one from its own clause alone."""
    lead, part = closed_part(question)
    if _REPORT.search(question):
        return _ask(question, "report")
    if part:
        place = words.stem_set(lead)  # "In the left lung, is there …" says where; what else is said before is not asked
        return _ask(part, "closed", place if place <= words.SITES | words.FRAME else frozenset())
    return _ask(question, "define" if defines(question) else "open")


def defines(question: str) -> bool:
    """Whether it asks what something is, not what this picture shows.

    >>> [defines(text) for text in ("What is the optic disc?", "What is the size of the heart?", "What is wrong?")]
    [True, False, False]
    """
    if not _DEFINE.match(question) or re.search(r"\b(?:this|these)\b", question, re.IGNORECASE):
        return False
    return bool(_MEANS.search(question)) or not (
        _OF_PICTURE.search(question) or words.stem_set(question) <= words.FRAME
    )


def closed_part(question: str) -> tuple[str, str]:
    """What a sentence says before its question, and the question from its verb on; both empty where none wants yes or no.

    >>> closed_part("A man with cough. No prior film, is there an effusion? He has no fever.")
    ('No prior film, ', 'is there an effusion?')
    """
    if _WHAT.match(question.strip()):
        return "", ""
    plain = plain_marks(question)
    edges = [0, *(found.end() for found in _STOP.finditer(plain)), len(plain)]
    begun = [
        (*edge, verb.start("verb"))
        for edge in itertools.pairwise(edges)
        if (verb := _CLOSED.search(plain[slice(*edge)]))
    ]
    begun = [(low, low + at, high) for low, high, at in begun if not _WHICH.search(plain, low, low + at)]
    asked = [one for one in begun if plain[one[2] - 1] == "?"] or [
        one for one in begun if "?" not in plain or not plain[one[0] : one[1]].strip()
    ]
    low, at, high = asked[0] if asked else (0, 0, 0)
    return question[low:at].lstrip(), question[at:high]


def _ask(text: str, sort: str, places: frozenset[str] = frozenset()) -> Ask:
    said = (word.stem for word in words.content(plain_marks(text)) if not word.stem.endswith("n't"))
    stems = tuple(dict.fromkeys([*said, *sorted(places)]))
    things = [s for s in stems if s in words.STATES or not (s in words.FRAME or s in words.SITES or s.isdigit())]
    states = [s for s in things if s in words.STATES]
    named = [s for s in things if s not in words.STATES] or [s for s in states if s in words.ILL] or states
    sites = frozenset(s for s in stems if s in words.SITES)
    head = _head(text, named)
    either = _either(text, places) if sort == "closed" else ()
    return Ask(text, sort, stems, tuple(named), head, sites, _negated(text, head), either)


def _either(text: str, places: frozenset[str]) -> tuple[Ask, ...]:
    """The findings of "A, B or C?", each asked for by itself; none where there is but one ("focal or diffuse opacity")."""
    text = _CHOICE.sub("", text)
    pieces = (_LISTED if _OR.search(text) else _ANOTHER).split(text)
    if len(pieces) < 2:
        return ()
    tail = re.split(r"\b(?:in|on|at|within)\b", pieces[-1], maxsplit=1)[1:]
    where = words.stem_set(" ".join(tail)) & words.SITES  # "a mass or nodule in the right lung": both there
    own = [words.stem_set(piece) & words.SITES for piece in pieces]
    found = [
        _ask(piece, "closed", places | (frozenset() if sites else where))
        for piece, sites in zip(pieces, own, strict=True)
    ]
    found = [one for one in found if _is_whole(one)]
    return tuple(found) if 1 < len(found) <= MOST else ()


def _is_whole(ask: Ask) -> bool:
    """Whether it names a thing, or a state and its place, and no mere adjective."""
    last = [ask.text[word.start : word.end] for word in words.content(ask.text) if word.stem in ask.finding][-1:]
    return bool(last) and (bool(ask.sites) if ask.of_a_state else not _ADJECTIVE.search(last[0]))


def _negated(question: str, head: str) -> bool:
    """Whether "yes" denies the finding ("Are the lungs free of effusion?"); "yes or no" and "isn't there" turn nothing round."""
    span = next((word[1:] for word in words.content(question) if word.stem == head), None)
    if span is None:
        return False
    text = _CONTRACTED.sub(lambda found: f"{found[0][:-3]}   ", plain_marks(question))
    text = _CHOICE.sub(lambda found: " " * len(found[0]), text)  # every letter keeps its place
    low = max(text.rfind(mark, 0, span[0]) for mark in ".?!:") + 1
    high = min((at + 1 for mark in ".?!" if (at := text.find(mark, span[1])) >= 0), default=len(text))
    return polarity(text[low:high], (span[0] - low, span[1] - low)) == "absent"


def _head(question: str, named: Sequence[str]) -> str:
    """The last word of the finding before "in", "of", "that", "suggesting" and the like lead away from it."""
    found = [word for word in words.content(question) if word.stem in named]
    if not found:
        return ""
    turn = _AWAY.search(question, found[0].end)
    return [word.stem for word in found if turn is None or word.start < turn.start()][-1]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One usable sentence of the evidence."""

    key: str
    hit: Hit
    text: str
    place: int  # within its item
    stems: frozenset[str]
    heading: frozenset[str]  # stems of the item's title and section
    carried: frozenset[str]  # stems of the sentence before, where this one begins with "it" or "this"


def is_similar(hit: Hit) -> bool:
    """Whether the hit is a study (or a part of one) that was found because its image looks alike; a figure of a book is none."""
    if hit.item.kind == "image" and hit.item.page:
        return False
    return hit.item.kind in ("study", "passage", "image") and any(s.startswith("similar") for s in hit.sources)


def is_report(hit: Hit) -> bool:
    """Whether the hit speaks of one patient: a study, or a section of a report."""
    return (
        hit.item.kind == "study" or is_similar(hit) or str(getattr(hit.item, "section", "")).lower() in _REPORT_SECTIONS
    )


def collect(context: Context) -> list[Sentence]:
    """The sentences of the evidence in order, without questions, fragments and de-identified ones ("XXXX")."""
    found: list[Sentence] = []
    for key, hit in context:
        heading = words.stem_set(f"{getattr(hit.item, 'title', '')} {getattr(hit.item, 'section', '')}") - words.FRAME
        whole = hit.item.kind in ("triple", "concept", "image")
        before: frozenset[str] = frozenset()
        for place, text in enumerate(split(hit.item.text)):
            stems = words.stem_set(text)
            if whole or usable(text):
                found.append(
                    Sentence(key, hit, text, place, stems, heading, before if _BACK.match(text) else frozenset())
                )
            before = stems
    return found


def split(text: str) -> list[str]:
    """Sentences without list numbers, bullets, and what could be mistaken for an evidence key."""
    return [clean for s in sentences(unkeyed(text)) if (clean := re.sub(r"^(?:\d{1,2}[.)]|[-•*–])\s*", "", s).strip())]


def usable(text: str) -> bool:
    """A sentence that can be shown: whole words, no question, nothing blotted out."""
    count = len(text.split())
    letters = sum(char.isalpha() or char.isspace() for char in text)
    return 2 <= count <= 70 and "XXXX" not in text and not text.endswith(("?", ":")) and letters > 0.75 * len(text)


def rank(ask: Ask, pool: Sequence[Sentence]) -> list[tuple[float, Sentence]]:
    """Sentences with their scores, best first: the share of the question's weight that a sentence holds, and bonuses.

    Words weigh by their rarity in this evidence (the idf of BM25), framing words a quarter; a title that holds a word
    counts half; sentences that define, and hits of high rank, gain up to 0.2 and 0.05.
    """
    topic = set(ask.topic)
    weight = _weights(ask, pool)
    total = sum(weight.values()) or 1.0
    scored = []
    for sentence in pool:
        held = sum(
            w
            * (1.0 if s in sentence.stems else 0.8 if s in sentence.carried else 0.5 if s in sentence.heading else 0.0)
            for s, w in weight.items()
        )
        if topic & (sentence.stems | sentence.heading):
            scored.append((held / total + _bonus(ask, sentence, topic), sentence))
    return sorted(scored, key=lambda pair: (-pair[0], pair[1].hit.rank, pair[1].place))


def _weights(ask: Ask, pool: Sequence[Sentence]) -> dict[str, float]:
    df = Counter(stem for sentence in pool for stem in sentence.stems)
    n = len(pool)
    rarity = {stem: math.log(1 + (n - df[stem] + 0.5) / (df[stem] + 0.5)) + 0.2 for stem in ask.stems}
    return {
        stem: value * (0.25 if stem in words.FRAME else 1.5 if stem in ask.finding else 1.0)
        for stem, value in rarity.items()
    }


def _bonus(ask: Ask, sentence: Sentence, topic: set[str]) -> float:
    bonus = 0.05 / sentence.hit.rank
    if is_report(sentence.hit):
        bonus -= 0.2
    if ask.sort in ("define", "closed") and (match := _DEFINING.search(sentence.text)):
        bonus += 0.2 if topic & words.stem_set(sentence.text[: match.start()]) else 0.05
    if _ASKS_LOOKS.search(ask.text) and _LOOKS.search(sentence.text):
        bonus += 0.15
    return bonus


def stance(ask: Ask, sentence: str) -> Polarity | None:
    """What one sentence says of the finding that is asked for; None when it does not speak of it."""
    views = (
        [stance(one, sentence) for one in ask.either]
        if ask.either
        else [_clause_stance(ask, sentence, span) for span in clauses(sentence)]
    )
    return next((view for view in ORDER if view in views), None)


def _clause_stance(ask: Ask, sentence: str, span: tuple[int, int]) -> Polarity | None:
    here = [word for word in words.content(sentence) if span[0] <= word.start < span[1]]
    within = {word.stem: word for word in reversed(here)}
    if not ask.finding or _elsewhere(ask, within.keys()):
        return None
    if ask.of_a_state:
        return _state(ask, sentence, within)
    found = [stem for stem in ask.finding if stem in within]
    if ask.head in found or len(found) * 2 > len(ask.finding):
        named = ask.head if ask.head in found else found[-1]
        said = {
            polarity(sentence, word[1:]) for word in here if word.stem == named and not _across(ask, sentence, word)
        }
        return next((view for view in ORDER if view in said), None)
    if ask.head in words.LUNG_FINDINGS and {"lung", "clear"} <= within.keys():
        view = flip(polarity(sentence, within["clear"][1:]))
        return None if view == "present" else view  # a lung that is not clear may hold any of them
    return None


def _elsewhere(ask: Ask, stems: Iterable[str]) -> bool:
    """Whether a clause speaks of other places, or of the other side, than the question does."""
    named = set(stems) & words.SITES
    if ask.sites & _SIDES and named & _SIDES and "bilateral" not in named and not ask.sites & named & _SIDES:
        return True
    return _apart(_zones(ask.sites), _zones(named)) or _apart(_near(ask), named - _VAGUE)


def _across(ask: Ask, sentence: str, finding: words.Word) -> bool:
    """Whether a finding is said to be on the other side, or in another place, than the question asks about."""
    asked, thirds = ask.sites & _SIDES, _zones(ask.sites)
    if len(asked) == 1 and side_of(sentence, finding[1:]) in _SIDES - asked:
        return True
    if thirds and _apart(thirds, location_of(sentence, finding[1:]) & _THIRDS):
        return True
    near = _near(ask)
    return bool(near) and _apart(near, _before(sentence, finding) - _VAGUE)


def _before(sentence: str, finding: words.Word) -> set[str]:
    """The places that stand right before a finding ("right upper lobe opacity")."""
    start, found = finding.start, set[str]()
    for word in reversed(words.content(sentence)):
        if word.end > start:
            continue
        if word.stem not in words.SITES or not sentence[word.end : start].isspace():
            break
        start = word.start
        found.add(word.stem)
    return found


def _zones(sites: Iterable[str]) -> set[str]:
    return {words.ZONES[site] for site in sites if site in words.ZONES}


def _near(ask: Ask) -> set[str]:
    """The places that are asked about, and those that go with them."""
    asked = set(ask.sites - _VAGUE)
    fluid = words.ABOUT_PLEURA if ask.head in words.FLUID and asked & words.PLEURA else frozenset()
    return asked.union(fluid, *(words.BESIDE.get(site, ()) for site in asked))


def _apart(asked: Iterable[str], said: Iterable[str]) -> bool:
    """Whether places are named on both sides, and none of them is the same."""
    return bool(asked) and bool(said) and set(asked).isdisjoint(said)


def _state(ask: Ask, sentence: str, within: dict[str, words.Word]) -> Polarity | None:
    """A state of a place: said itself, or through its opposite ("normal in size" answers "enlarged")."""
    if ask.sites and not ask.sites & within.keys():
        return None
    one_side = len(_SIDES & within.keys()) == 1 and not _SIDES & ask.sites  # a clear left lung is not "the lungs"
    within = {stem: word for stem, word in within.items() if not _of_another(ask, sentence, word, within)}
    for stem in ask.finding:
        if stem in within and not (one_side and stem in words.WELL):
            return polarity(sentence, within[stem][1:])
    for stem, word in within.items():
        if not (one_side and stem in words.WELL) and any(stem in words.OPPOSITES[asked] for asked in ask.finding):
            return flip(polarity(sentence, word[1:]))
    return None


def _of_another(ask: Ask, sentence: str, state: words.Word, within: dict[str, words.Word]) -> bool:
    """Whether a state is that of another place: "heart normal, lungs with opacity" says nothing normal of the lungs, and "lungs clear, heart
    enlarged" nothing enlarged."""
    own = [word for stem, word in within.items() if stem in ask.sites - _SIDES]
    others = [
        word for stem, word in within.items() if stem in words.SITES - ask.sites - _SIDES and word.end <= state.start
    ]
    states = [word for stem, word in within.items() if stem in words.STATES]
    places = [word for stem, word in within.items() if stem in words.SITES - _SIDES]
    theirs = _bound(sentence, state, set(places) - set(own)) and not _bound(sentence, state, own)
    if theirs and any(_together(sentence, one, place, places) for one in states if one != state for place in own):
        return True  # "enlarged hila with a normal heart"
    if not own or not others:
        return False
    if min(own).start > state.end:  # the one that is asked about comes only after a pause
        return bool(_PAUSE.search(sentence[state.end : min(own).start]))
    return max(own).end <= max(others).start and any(word.end <= max(others).start for word in states)


def _bound(sentence: str, state: words.Word, places: Iterable[words.Word]) -> bool:
    """Whether a state stands right before one of the places ("enlarged left hilum")."""
    return any(re.sub(r"\b(?:left|right)\b", "", sentence[state.end : place.start]).isspace() for place in places)


def _together(sentence: str, state: words.Word, place: words.Word, places: Iterable[words.Word]) -> bool:
    """Whether neither a pause nor another place parts a state from its place."""
    first, second = sorted((state, place), key=lambda word: word.start)
    between = any(first.end <= other.start < second.start for other in places if other != place)
    return not between and not _PAUSE.search(sentence[first.end : second.start])


def flip(view: Polarity) -> Polarity:
    """The opposite view; what is left open stays open."""
    return "absent" if view == "present" else "present" if view == "absent" else view


def says(ask: Ask, answer: str) -> str:
    """What an answer's first word says of the finding: "present", "absent" or ""; "free of" turns it round."""
    first = re.match(r"\W*(yes|no)\b", answer, re.IGNORECASE)
    if not first:
        return ""
    return "present" if (first[1].lower() == "yes") != ask.negated else "absent"
