"""What labels say of a closed question: which say that it is so, which that it is not; of the rest nothing is known.

It compares words: "Mild DR" says DR, "No DR" denies it, and "ADED" says nothing of it, whatever the letters stand for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from medrag._util.polarity import OPPOSITE, polarity
from medrag.vlms._ask import Ask
from medrag.vlms._classes import GENERAL, WORTH
from medrag.vlms._stance import stance
from medrag.vlms._words import FRAME, SEEN, STATES, content, stem_set

_OR = re.compile(r"(?<!yes )\bor\b(?! not\b| no\b)", re.IGNORECASE)
_WITHOUT = re.compile(r"\b(?:without|w/o|no|not|lacking|free of)\b", re.IGNORECASE)
_NORMAL = re.compile(
    r"\W*(?:normal|healthy|unremarkable|negative|no (?:findings?|abnormalit\w+|disease|lesions?))\b(?!-)", re.IGNORECASE
)
_ABBREVIATION = re.compile(r"\b[A-Z]{2,}\b")
_SIGN = stem_set("negative")  # of "Is it HER2 negative?": what is asked is not what is named
_DEGREES = stem_set("mild moderate severe")  # of one thing, and each excludes the others
# words beside a class that make no other class of it
_LOOSE = (FRAME | SEEN | GENERAL | stem_set("both all three represent depict favor really actually probably")) - STATES


class Said(NamedTuple):
    """Labels that say what is asked, labels that say that it is not so, and whether the first deny the finding as the question does."""

    such: set[str]
    against: set[str]
    denied: bool = False


def said_of(ask: Ask, labels: Collection[str]) -> Said | None:
    """None where no label says what is asked, or the question is not a closed one. Classes differ by every word, and by "with" and "without": a label
    that lacks a word of the question that others have is another class ("moderate" of "Severe retinopathy")."""
    if ask.sort != "closed" or not ask.finding:
        return None
    if ask.either:
        each = [said for one in ask.either if (said := said_of(one, labels))]
        return Said(set[str]().union(*(said.such for said in each)), set()) if each else None
    texts = {label: _spelt(label, ask.text) for label in labels}
    words = {label: stem_set(text) | stem_set(_apart(text)) for label, text in texts.items()}
    asked = None if _OR.search(ask.text) else _class_of(ask, words)
    if asked is None or (not ask.negated and _SIGN & {*ask.stems}):
        return None
    wanted = {*asked.finding} - GENERAL or {*asked.finding}
    denied = _denied(ask) & wanted
    if denied and asked.head in denied:
        asked = replace(asked, head=next((stem for stem in asked.finding if stem in wanted - denied), asked.head))
    views = {label: _views(text, wanted) for label, text in texts.items()}
    such = {
        label for label, text in texts.items() if wanted <= words[label] and _holds(asked, text, views[label], denied)
    }
    places = asked.sites & set[str]().union(*(words[label] for label in such))  # "basal cell" of a carcinoma
    such = {label for label in such if places <= words[label]}
    against = {label for label in {*labels} - such if _excluded(label, wanted, denied, views, words)}
    if any(
        _is_just(words[label], wanted | places) for label in such
    ):  # one of the classes by its name: the others exclude it
        against = {*labels} - such
    if ask.negated and (none := {label for label in labels if len(wanted) == 1 and "absent" in views[label].values()}):
        return Said(none, such, denied=True)
    return Said(such, against) if such else None


def _views(label: str, wanted: Collection[str]) -> dict[str, str]:
    """What a label says of each word that is asked for, as far as it holds it."""
    text = _apart(label)
    return {word.stem: polarity(text, word[1:]) for word in content(text) if word.stem in wanted}


def _holds(asked: Ask, label: str, views: Mapping[str, str], denied: Collection[str]) -> bool:
    """Whether a label says all that is asked, each word of it as the question has it: with, or without."""
    there = (stance(asked, label) or stance(asked, _apart(label))) == "present"
    return there and all(view == ("absent" if stem in denied else "present") for stem, view in views.items())


def _excluded(
    label: str, wanted: set[str], denied: Collection[str], views: Mapping[str, Mapping[str, str]], words: Mapping[str, frozenset[str]]
) -> bool:  # fmt: skip
    """Whether a label is known to say that it is not so: it denies a word of it, is of another degree, or is a normal one."""
    own = views[label]
    if any(OPPOSITE.get(view) == ("absent" if stem in denied else "present") for stem, view in own.items()):
        return True
    degree = wanted & _DEGREES
    if degree and (own.keys() & wanted - _DEGREES or wanted <= _DEGREES) and words[label] & _DEGREES - degree:
        return True
    if wanted <= WORTH:
        return bool(words[label] & WORTH) and not words[label] & wanted
    return bool(_NORMAL.match(label)) and not wanted & WORTH


def _denied(ask: Ask) -> set[str]:
    """Words that a question wants not to be there: "maculopathy" of "DR without maculopathy"."""
    found = _WITHOUT.search(ask.text)
    if not found:
        return set()
    before = stem_set(ask.text[: found.start()]) & {*ask.finding}
    return set(stem_set(ask.text[found.end() :]) - before) if before else set()


def _spelt(label: str, question: str) -> str:
    """A label with what its abbreviations are kinds of, where that is asked for: "PDR" is a DR, and so is "NPDR", which is no "PDR"; what is no DR is
    no PDR either."""
    asked = {*_ABBREVIATION.findall(question)}

    def kinds(found: re.Match[str]) -> str:
        own, said = found[0], polarity(label, found.span())
        others = [
            one
            for one in asked
            if (_is_kind(own, one) if said == "present" else said == "absent" and _is_kind(one, own))
        ]
        return " ".join([own, *others])

    return _ABBREVIATION.sub(kinds, label)


def _is_kind(one: str, of: str) -> bool:
    return one.endswith(of) and one not in (of, f"N{of}")


def _class_of(ask: Ask, said: Mapping[str, Collection[str]]) -> Ask | None:
    """The question for the words of the labels in it alone; None where they make no class: "carcinoma" of "squamous cell carcinoma" where there is only
    a basal one, "benign" where one label among others holds it."""
    held = set[str]().union(*said.values())
    if {*ask.finding} - held - _LOOSE:  # something else is asked, of the class or beside it: "necrosis in the tumor"
        return None
    wanted = [stem for stem in ask.stems if stem in held and (stem in {*ask.finding} | STATES or stem.isdigit())]
    if wanted and all(map(str.isdigit, wanted)) and not _counts(ask, wanted, said):
        return None
    sites = [stem for stem in ask.stems if stem in ask.sites & held]
    named = {*wanted} - GENERAL - WORTH
    if named or sites:
        wanted = wanted if named else [*wanted, *sites]
        return None if _narrowed(ask, {*wanted}, held) else replace(ask, finding=tuple(wanted), head=_head(ask, wanted))
    whole = any(_is_just({*own}, {*wanted}) for own in said.values())
    divided = bool(WORTH & {*wanted}) and all(WORTH & {*own} for own in said.values())
    if not wanted or not (whole or divided) or ask.sites - held - SEEN - GENERAL:  # "Is the aorta normal?"
        return None
    return replace(ask, finding=tuple(wanted), head=_head(ask, wanted), sites=frozenset())


def _counts(ask: Ask, numbers: Collection[str], said: Mapping[str, Collection[str]]) -> bool:
    """Whether a number is that of a label: "grade 2", not "2 lesions"."""
    return any({*numbers} & {*own} and {*ask.stems} & {*own} - {*numbers} for own in said.values())


def _is_just(label: Collection[str], wanted: Collection[str]) -> bool:
    """Whether a label says that and nothing else: "Benign", "Benign lesion"."""
    return {*label} - GENERAL == {*wanted} - GENERAL if {*wanted} - GENERAL else {*label} == {*wanted}


def _head(ask: Ask, wanted: Sequence[str]) -> str:
    """The word that a label must hold: not the "lesion" of "benign lesion"."""
    own = [stem for stem in wanted if stem not in GENERAL] or list(wanted)
    return ask.head if ask.head in own else own[-1]


def _narrowed(ask: Ask, wanted: Collection[str], held: Collection[str]) -> bool:
    """Whether a word that no label has stands beside one of the class: "squamous cell carcinoma", "dysplastic nevus", "melanoma metastasis"."""
    for one, other in itertools.pairwise(content(ask.text)):
        beside = ask.text[one.end : other.start].isspace()
        strange = [word.stem for word in (one, other) if word.stem not in held and word.stem not in _LOOSE]
        if beside and len(strange) == 1 and {one.stem, other.stem} & {*wanted, *ask.sites}:
            return True
    return False


def _apart(label: str) -> str:
    """A label with its compounds apart: "keratosis-like"."""
    return label.replace("-", " ").replace("_", " ")
