"""What a sentence says of the finding that a question asks about: that it is present, absent or uncertain, or nothing.

It compares words, not meanings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

from medrag._util.attributes import location_of, side_of
from medrag._util.findings import label_of
from medrag._util.polarity import Polarity, clauses, polarity
from medrag.vlms import _words as words
from medrag.vlms._ask import Ask

_PAUSE = re.compile(r"[,;]|\b(?:and|but|while|with)\b")
_SIDES = frozenset({"left", "right"})
_THIRDS = frozenset({"upper", "middle", "lower"})
_PERICARDIAL = words.stem_set("pericardial")
_OVERALL = words.stem_set("normal abnormal unremarkable remarkable")
_WHOLE = words.stem_set(
    "chest radiograph film study view pa ap lateral frontal portable cardiopulmonary intrathoracic cardiothoracic active acute process disease significant otherwise essentially brain head abdomen knee hand this patient two single no not definite"
)
_VAGUE = _SIDES | {"lung", "chest", "bilater", "bilateral"}
_DEGREES = words.stem_set(
    "mild moderate severe small large tiny minimal marked extensive focal diffuse subtle slight scattered multiple single few several new "
    "old acute chronic stable prominent definite obvious significant gross early advanced possible probable clear further other"
)
ORDER: tuple[Polarity, ...] = ("present", "uncertain", "absent")  # of several views the first of these counts


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
    if not ask.finding or _elsewhere(ask, within.keys()) or _other_sac(ask, within.keys()):
        return None
    if ask.of_a_state:
        return _state(ask, sentence, within)
    found = [stem for stem in ask.finding if stem in within]
    if ask.head in found or len(found) * 2 > len(ask.finding):
        named = ask.head if ask.head in found else found[-1]
        said = {
            polarity(sentence, word[1:])
            for word in here
            if word.stem == named and not _across(ask, sentence, word) and not _other_kind(ask, sentence, word, within)
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


def _other_sac(ask: Ask, stems: Set[str]) -> bool:
    """Whether one speaks of fluid around the heart and the other of fluid around the lungs."""
    if ask.head not in words.FLUID:
        return False
    if _PERICARDIAL & ask.sites:
        return not _PERICARDIAL & stems
    return bool(_PERICARDIAL & stems) and not words.PLEURA & stems


def _across(ask: Ask, sentence: str, finding: words.Word) -> bool:
    """Whether a finding is said to be on the other side, or in another place, than the question asks about."""
    asked, thirds = ask.sites & _SIDES, _zones(ask.sites)
    if len(asked) == 1 and side_of(sentence, finding[1:]) in _SIDES - asked:
        return True
    if thirds and _apart(thirds, location_of(sentence, finding[1:]) & _THIRDS):
        return True
    near = _near(ask)
    return bool(near) and _apart(near, _before(sentence, finding) - _VAGUE)


def _other_kind(ask: Ask, sentence: str, finding: words.Word, within: dict[str, words.Word]) -> bool:
    """Whether a sentence names another kind of what is asked for: "lymphovascular" is not "perineural invasion". Findings of the lungs, and those of
    chest films that have a label, have no such kinds: reports call one of them by many names."""
    kinds = [stem for stem in ask.finding if stem != finding.stem]
    if not kinds or within.keys() & set(kinds) or finding.stem in words.LUNG_FINDINGS or label_of(ask.text):
        return False
    before = [word for word in words.content(sentence) if word.end < finding.start]
    return bool(before) and sentence[before[-1].end : finding.start].isspace() and before[-1].stem not in _DEGREES


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
    if not ask.sites and {*ask.finding} <= _OVERALL and not _of_the_whole(within.keys()):
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


def _of_the_whole(stems: Set[str]) -> bool:
    """Whether a clause calls a picture normal or abnormal as a whole: neither "no pneumothorax" nor "heart size is normal" does."""
    return bool(_OVERALL & stems) and stems <= _OVERALL | _WHOLE | words.FRAME


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
