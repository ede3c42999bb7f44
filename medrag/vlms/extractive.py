"""An answerer without a language model: it picks sentences of the evidence, counts what look-alike studies say, and cites.

It does not see the image, does not reason, and writes no fact of its own; what it says of this patient's image is only
what the reports of look-alike studies say, and it says so. Sentences are picked as maximal marginal relevance does
(Carbonell and Goldstein 1998), with a cut where two overlap; reports are written by sentence-wise consensus around the medoid report.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from medrag._util.terms import codes_in
from medrag.prompts import REFUSAL, UNSEEN
from medrag.vlms import _words as words
from medrag.vlms._ask import Ask, parse, sections, which_side
from medrag.vlms._beyond import measured
from medrag.vlms._changed import told_or_refused
from medrag.vlms._classes import Several, classes, is_label, names_all, of_class, of_kind
from medrag.vlms._consensus import consensus, one_report
from medrag.vlms._evidence import (
    HISTORY,
    Sentence,
    about,
    collect,
    defining,
    is_report,
    is_similar,
    rank,
    rarest,
    split,
    subject,
    tells,
    turned,
    usable,
)
from medrag.vlms._history import own_told
from medrag.vlms._modality import kind_is, kind_told
from medrag.vlms._relations import relation_of
from medrag.vlms._several import MOST, Choices, asked, choices, compared, held_by
from medrag.vlms._vote import CAPTIONS, cite_keys, phrase, strongest_view, vote

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt
    from medrag.types import Context, Hit, Labelled

# on the picture itself: "this …", a thing that is there to be seen ("the margins"), or a word or two without a verb ("Grade?")
_HERE = re.compile(
    r"\b(?:this|these|here|seen|shown|visible|pictured|depicted)\b|^\W*\w+(?: \w+)?\s*\?\W*$"
    r"|\bthe (?:lesions?|tumou?rs?|mass|nodule|abnormality|cells?|margins?|borders?|primary|stain(?:ing)?|grade|stage|colou?rs?)\b(?! of (?!(?:the|this) (?:lesion|tumou?r|mass|nodule|abnormality|opacity)s?\b)\w)",
    re.IGNORECASE,
)
_EVER = re.compile(  # asks of a disease, whoever has it
    r"\b(?:caus\w+|treat\w*|therap\w+|prognosis|outlook|complications?|symptoms?|risk factors?|prevent\w*)\b|^\W*why\b",
    re.IGNORECASE,
)
_ROW = re.compile(r"[^:;|]{1,60}: [^;|]+; [^:;|]{1,60}: ")  # "Drug: Heparin; Antidote: protamine."
_MINE = re.compile(r"^\W*(?:do|did|will|am|would) i\b", re.IGNORECASE)  # of a person whom no book knows
CAPTIONED = 3  # captions that are told
REST = "To the rest of the question the evidence has no answer."
_NOT = re.compile(
    r"^\W*(?:what|which|who)\b(?: \w+)? (?:is|are|should|must|can) not\b", re.IGNORECASE
)  # only what denies it says so
_DENIED = re.compile(
    r"\b(?:is|are|was|were|should|must|can|do|does) not\b|\bcannot\b|\bno\b|n't\b|\bnever\b|\bnot recommended\b|\bavoid\b|\bun(?!til|der|ion|its?\b)\w+",
    re.IGNORECASE,
)


class Extractive:
    """Writes answers out of the evidence's own sentences.

    ``sentences`` is the most that are quoted; ``floor`` the least score of a sentence (0–1, see `_evidence.rank`).
    """

    name = "extractive"
    sees_images = False
    follows_instructions = False

    def __init__(self, model: str = "", *, sentences: int = 4, floor: float = 0.5) -> None:
        self.sentences = sentences
        self.floor = floor

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Pieces of the answer; exactly `medrag.prompts.REFUSAL` when no sentence of the evidence is to the point."""
        opening, quotes = self.parts(prompt, bool(images))
        pieces = [*opening, *quotes] or [REFUSAL]
        for n, piece in enumerate(pieces):
            yield f" {piece}" if n and not pieces[n - 1].endswith("\n") else piece

    def parts(self, prompt: Prompt, has_image: bool = False) -> tuple[list[str], list[str]]:
        """What it says itself (counts, drafts, what it cannot see), and the sentences that it quotes. Both may be empty."""
        pictured = has_image or bool(prompt.context.query.images)
        ask, alike = parse(prompt.question, pictured), [pair for pair in prompt.context if is_similar(pair[1])]
        own = any(hit.retriever == HISTORY for _, hit in prompt.context)
        if (pictured or own) and (change := told_or_refused(prompt.question, prompt.context)):
            return [change], []
        if own and not pictured and (history := own_told(ask, prompt.context)):
            return [history], []
        if pictured and not own and ask.sort == "open" and measured(prompt.question):
            return [], []
        if kind := _kind(prompt.question, prompt.context.query.domain if pictured else ""):
            return [kind], []
        labelled = prompt.context.labelled
        if told := of_class(ask, labelled, alike, prompt.question):
            return told, []
        kinds = of_kind(ask, labelled, alike)
        if kinds and not prompt.context.frequency:
            return kinds, []
        if which_side(ask):
            ask = dataclasses.replace(ask, sort="open")
        if ask.sort == "report" or (alike and (ask.broad or not ask.topic)):
            return _report(ask, alike, labelled), []
        written = [pair for pair in alike if not (is_label(pair[1].item) and strongest_view(ask, pair[1]))]
        if ask.sort == "closed" and alike and (said := vote(ask, written)):  # labels are counted, and are no captions
            return said, self._passages(ask, prompt.context, 1, reports=False)
        if kinds:
            return kinds, []
        if ask.sort == "closed" and pictured:
            said = self._passages(ask, prompt.context, 2, reports=False)
            blind = UNSEEN.format(finding="this" if ask.of_a_state else phrase(ask))
            return ([blind, "The sources say:"] if said else []), said
        captioned = alike and all(hit.item.kind == "image" and not is_label(hit.item) for _, hit in alike)
        if captioned and pictured and ask.sort == "open" and names_all(ask):
            return _captions(alike), []
        if ask.sort == "open" and pictured and (ask.broad or _HERE.search(ask.text)):  # what no book knows
            if like := self._passages(ask, prompt.context, self.sentences, books=False):
                return [], like
            said = [] if ask.broad else self._passages(ask, prompt.context, 2, reports=False)
            return ([UNSEEN.format(finding="this"), "The sources say:"] if said else []), said
        if ask.sort == "open" and alike and not _EVER.search(ask.text):
            return [], self._passages(ask, prompt.context, self.sentences)
        return [], self._told(prompt.question, prompt.context) if not pictured else self._quoted(ask, prompt.context)

    def _told(self, question: str, context: Context) -> list[str]:
        """What books tell of each of the questions of a text; where they tell of some alone, that too."""
        if offered := choices(question):
            return self._chosen(offered, context)
        parts = asked(question)
        each = [self._one(part, context) for part in parts[:MOST]]
        found = [piece for said in each for piece in said]
        whole = all(each) and len(parts) <= MOST
        return [*dict.fromkeys(found)] if whole or not found else [*dict.fromkeys(found), REST]

    def _one(self, question: str, context: Context) -> list[str]:
        ask = parse(question, False)
        said = [] if _MINE.match(question) or not _names(ask) else self._quoted(ask, context)
        if said or not (both := compared(question)):
            return said
        each = [self._defined(parse(f"What is {one}?", False), context) for one in both]
        return each if all(each) else []

    def _defined(self, ask: Ask, context: Context) -> str:
        """The best sentence that says what a thing is; empty where there is none."""
        ranked = rank(ask, [s for s in collect(context) if not is_report(s.hit)])
        found = (s for n, s in ranked if n >= self.floor and defining(ask, s) and _to_the_point(ask, s, False))
        best = next(found, None)
        return _quote(best, [best.key]) if best else ""

    def _quoted(self, ask: Ask, context: Context) -> list[str]:
        most = min(self.sentences, 2) if ask.sort == "define" else self.sentences
        said = self._passages(ask, context, most, reports=False)
        return said if said or context.query.images else self._passages(ask, context, most)

    def _chosen(self, offered: Choices, context: Context) -> list[str]:
        """The choice whose words the best sentence holds that holds those of one alone."""
        ask = parse(offered.question, False)
        for _, sentence in rank(ask, [s for s in collect(context) if not is_report(s.hit)]):
            held = [letter for letter, text in offered.options.items() if held_by(text, sentence.stems)]
            if len(held) == 1 and _to_the_point(ask, sentence, False):
                return [f"{held[0]}: {_quote(sentence, [sentence.key])}"]
        return []

    def _passages(self, ask: Ask, context: Context, most: int, reports: bool = True, books: bool = True) -> list[str]:
        """The best sentences that do not repeat each other, in the order of the evidence, each with its keys. A label is no sentence."""
        pool = [s for s in collect(context) if (reports or not is_report(s.hit)) and (books or is_similar(s.hit))]
        pool = [s for s in pool if not is_label(s.hit.item)]
        ranked = rank(ask, pool) if ask.topic else []
        if _NOT.match(ask.text):
            ranked = [(n, s) for n, s in ranked if _DENIED.search(s.text)]
        ranked = [(n, s) for n, s in ranked if _to_the_point(ask, s, bool(context.query.images))]
        if must := rarest(ask, pool):
            ranked = [(n, s) for n, s in ranked if must in s.stems | s.carried | s.heading]
        if ask.sort == "define" and relation_of(ask.text) is None:
            ranked = [(n, s) for n, s in ranked if n >= self.floor and defining(ask, s)] or ranked
        running = [(n, s) for n, s in ranked if not _is_title(s)]
        ranked = running if running and running[0][0] >= self.floor else ranked
        if ask.head in subject(ask):
            ranked = [(n, s) for n, s in ranked if ask.head in s.stems | s.carried | s.heading] or ranked
        chosen: list[Sentence] = []
        for score, sentence in ranked:
            if score < max(self.floor, 0.75 * ranked[0][0]) or len(chosen) >= most:
                break
            if not any(_repeats(sentence, other) for other in chosen):
                chosen += [s for s in _with_antecedent(sentence, pool) if s not in chosen]
        chosen = sorted(chosen[:most], key=lambda s: (int(s.key[1:]), s.place))
        return [_quote(s, [s.key, *_twins(s, pool)]) for s in chosen]


def _names(ask: Ask) -> bool:
    """Whether it names anything: a number that is no code, or two letters that are no abbreviation, do not."""
    said = {word.stem: ask.text[word.start : word.end] for word in words.content(ask.text)}
    return bool(codes_in(ask.text)) or any(
        (len(said.get(stem, stem)) > 2 or said[stem].isupper()) and not stem.isdigit()
        for stem in (ask.topic if ask.sort == "define" else subject(ask))
    )


def _kind(question: str, domain: str) -> str:
    """What kind of picture it is, by its file or the router; empty where that is not asked."""
    named = kind_is(question, domain)
    return kind_told(question, domain) if named is None else "Yes." if named else "No."


def _to_the_point(ask: Ask, sentence: Sentence, pictured: bool) -> bool:
    """Whether a sentence speaks of what is asked: no book's about another thing does, nor one that does not tell what is asked of it; a report of a
    look-alike study speaks of what its picture shows."""
    held = sentence.stems | sentence.carried | sentence.heading
    if pictured and is_report(sentence.hit):
        return ask.sort != "closed" or not held.isdisjoint(ask.finding)
    named = [stem for stem in ask.finding if stem in subject(ask) or pictured]
    least = min(len(named), 1) if pictured else len(named) - len(named) // 4
    if ask.sort == "closed" and len(held.intersection(named)) < least:
        return False
    relation = relation_of(ask.text)
    told = relation is not None and ask.head in relation.stems and tells(relation, sentence)
    return (
        about(ask, sentence)
        and not turned(ask, sentence)
        and (ask.head not in words.ASKED or ask.head in sentence.stems | sentence.heading or told)
    )


def _is_title(sentence: Sentence) -> bool:
    """The number and title of a figure, or a cell of a table: they name a thing and say little of it. A row with the names of its columns says more."""
    item = sentence.hit.item
    role = "caption" if item.kind == "image" else item.meta.get("role")
    return (role == "table" and not _ROW.match(sentence.text)) or (role == "caption" and sentence.place <= 1)


def _with_antecedent(sentence: Sentence, pool: Sequence[Sentence]) -> list[Sentence]:
    """A sentence that begins with "it" or "this" together with the one before it."""
    before = [s for s in pool if s.key == sentence.key and s.place == sentence.place - 1]
    return [*before, sentence] if sentence.carried else [sentence]


def _repeats(one: Sentence, other: Sentence) -> bool:
    """Whether most words of both are the same; two statements of a graph differ, however alike they sound."""
    stated = one.hit.item.kind == other.hit.item.kind == "triple"
    alike = len(one.stems & other.stems) >= 0.6 * max(1, len(one.stems | other.stems))
    short, long = sorted((one.text.rstrip("."), other.text.rstrip(".")), key=len)
    return long.startswith(short) if stated else alike


def _twins(sentence: Sentence, pool: Sequence[Sentence]) -> list[str]:
    """Keys of other evidence that holds the same sentence."""
    return list(dict.fromkeys(s.key for s in pool if s.key != sentence.key and s.text.lower() == sentence.text.lower()))


def _quote(sentence: Sentence, keys: Sequence[str]) -> str:
    text = sentence.text.rstrip(" .;")
    if is_report(sentence.hit):
        whose = "a look-alike" if is_similar(sentence.hit) else "another"
        what = f"The caption of {whose} image" if sentence.hit.item.kind == "image" else f"The report of {whose} study"
        text = f'{what} reads "{text}"'
    first = text.split(maxsplit=1)[0] if text else ""
    text = f"{text[:1].upper()}{text[1:]}" if first.isalpha() and first.islower() else text  # "pT3" and "mRNA" stay
    return f"{text} {cite_keys(keys)}."


def _captions(alike: Sequence[tuple[str, Hit]]) -> list[str]:
    """How the captions of look-alike pictures begin, each by itself: a caption is of one picture, and not of this one."""
    said: dict[str, list[str]] = {}
    for key, hit in alike:
        if begins := next((text for text in split(hit.item.text) if usable(text)), ""):
            said.setdefault(begins.rstrip(" .;"), []).append(key)
    read = [f'The caption of a look-alike image reads "{text}" {cite_keys(keys)}.' for text, keys in said.items()]
    differ = ["The pictures that look most alike have different captions."] if len(read) > 1 else []
    return [*differ, *read[:CAPTIONED], CAPTIONS] if read else []


def _report(ask: Ask, alike: Sequence[tuple[str, Hit]], labelled: Labelled | None) -> list[str]:
    """What most look-alike reports say, section by section; beside labelled pictures, which are of several sorts, one report that fits their labels."""
    reports, wanted = [pair for pair in alike if not is_label(pair[1].item)], sections(ask.text)
    if labelled:
        reports = [] if isinstance(labelled, Several) else one_report(reports, wanted, labelled)
    if reports and all(hit.item.kind == "image" for _, hit in reports):
        return _captions(reports)
    count, drafted = consensus(reports, wanted)
    if not drafted:
        return classes(labelled, alike) if labelled and ask.sort == "report" else []
    source = f"the reports of {count} look-alike studies" if count > 1 else "the report of one look-alike study"
    parts = [f"Drafted from {source}, not from the image itself.\n"]
    for section, lines in drafted:
        parts += [f"{section.capitalize()}:\n", *(f"{text} {cite_keys(keys)}." for text, keys in lines)]
        parts[-1] += "\n" if section != drafted[-1][0] else ""
    return parts
