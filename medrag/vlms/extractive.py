"""An answerer without a language model: it picks sentences of the evidence, counts what look-alike studies say, and cites.

It does not see the image, does not reason, and writes no fact of its own; what it says of this patient's image is only
what the reports of look-alike studies say, and it says so. Sentence picking follows maximal marginal relevance
(Carbonell and Goldstein 1998); reports are written by sentence-wise consensus around the medoid report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from medrag._util.polarity import Polarity
from medrag.prompts import REFUSAL
from medrag.vlms import _words as words
from medrag.vlms._consensus import consensus
from medrag.vlms._evidence import Ask, Sentence, collect, is_report, is_similar, parse, rank, split, stance, usable

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt
    from medrag.types import Context, Hit

ORDER: tuple[Polarity, ...] = ("present", "uncertain", "absent")  # of a report's sentences the first of these counts
MARGIN = 0.55  # share of the weight that makes a vote more than a draw
NOTE = "This rests on their reports, not on the image itself."
BLIND = "I do not look at the image itself, so I cannot say whether it shows {finding}."


class Extractive:
    """Writes answers out of the evidence's own sentences.

    ``sentences`` is the most that are quoted; ``floor`` the least score of a sentence (0–1, see `_evidence.rank`).
    """

    name = "extractive"
    sees_images = False

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
        ask, alike = parse(prompt.question), [pair for pair in prompt.context if is_similar(pair[1])]
        if ask.sort == "report" or (alike and not ask.topic):
            return _report(ask, alike), []
        if ask.sort == "closed" and alike and (vote := _vote(ask, alike)):
            return vote, self._passages(ask, prompt.context, 1, reports=False)
        if ask.sort == "closed" and (has_image or prompt.context.query.images):
            said = self._passages(ask, prompt.context, 2, reports=False)
            blind = BLIND.format(finding="this" if ask.of_a_state else phrase(ask))
            return ([blind, "The sources say:"] if said else []), said
        if ask.sort == "open" and alike:
            return [], self._passages(ask, prompt.context, self.sentences)
        general = self._passages(ask, prompt.context, self.sentences, reports=False)
        return [], general or self._passages(ask, prompt.context, self.sentences)

    def _passages(self, ask: Ask, context: Context, most: int, reports: bool = True) -> list[str]:
        """The best sentences that do not repeat each other, in the order of the evidence, each with its keys."""
        pool = [s for s in collect(context) if reports or not is_report(s.hit)]
        if ask.sort == "closed":
            pool = [s for s in pool if set(ask.finding) & (s.stems | s.carried | s.heading)]
        pool = [s for s in pool if ask.head in s.stems | s.carried] or pool
        ranked = rank(ask, pool) if ask.topic else []
        chosen: list[Sentence] = []
        for score, sentence in ranked:
            if score < max(self.floor, 0.75 * ranked[0][0]) or len(chosen) >= most:
                break
            if all(_overlap(sentence.stems, other.stems) < 0.6 for other in chosen):
                chosen += [s for s in _with_antecedent(sentence, pool) if s not in chosen]
        chosen = sorted(chosen[:most], key=lambda s: (int(s.key[1:]), s.place))
        return [_quote(s, [s.key, *_twins(s, pool)]) for s in chosen]


def _with_antecedent(sentence: Sentence, pool: Sequence[Sentence]) -> list[Sentence]:
    """A sentence that begins with "it" or "this" together with the one before it."""
    before = [s for s in pool if s.key == sentence.key and s.place == sentence.place - 1]
    return [*before, sentence] if sentence.carried else [sentence]


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / max(1, len(a | b))


def _twins(sentence: Sentence, pool: Sequence[Sentence]) -> list[str]:
    """Keys of other evidence that holds the same sentence."""
    return list(dict.fromkeys(s.key for s in pool if s.key != sentence.key and s.text.lower() == sentence.text.lower()))


def _quote(sentence: Sentence, keys: Sequence[str]) -> str:
    text = sentence.text.rstrip(" .;")
    if is_report(sentence.hit):
        text = f"The report of {'a look-alike' if is_similar(sentence.hit) else 'another'} study reads “{text}”"
    return f"{text[:1].upper()}{text[1:]} {_cite(keys)}."


def _cite(keys: Sequence[str]) -> str:
    return "".join(f"[{key}]" for key in keys)


def _report(ask: Ask, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    """What most look-alike reports say, section by section."""
    count, sections = consensus(alike, [name for name in ("findings", "impression") if name in ask.text.lower()])
    if not sections:
        return []
    source = f"the reports of {count} look-alike studies" if count > 1 else "the report of one look-alike study"
    parts = [f"Drafted from {source}, not from the image itself.\n"]
    for section, lines in sections:
        parts += [f"{section.capitalize()}:", *(f"{text} {_cite(keys)}." for text, keys in lines)]
        parts[-1] += "\n" if section != sections[-1][0] else ""
    return parts


def _vote(ask: Ask, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    """What look-alike studies say of the finding, weighed by their scores; empty when none speaks of it."""
    strongest: dict[str, tuple[Polarity, str, Hit, str]] = {}  # one view for each study, whatever its parts
    for key, hit in alike:
        found = _view(ask, hit)
        held = strongest.get(hit.item.doc)
        if found and (held is None or ORDER.index(found[0]) < ORDER.index(held[0])):
            strongest[hit.item.doc] = (found[0], key, hit, found[1])
    views = {view: [row[1:] for row in strongest.values() if row[0] == view] for view in ORDER}
    speaking = sum(map(len, views.values()))
    if not speaking:
        return []
    weight = {view: sum(_weight(hit) for _, hit, _ in rows) for view, rows in views.items()}
    lead = max(reversed(ORDER), key=lambda view: weight[view])
    clear = weight[lead] >= MARGIN * sum(weight.values()) and lead != "uncertain"
    opening = ("Likely yes" if (lead == "present") != ask.negated else "Likely no") if clear else "Uncertain"
    others = [view for view in sorted(views, key=lambda view: -weight[view]) if view != lead and views[view]]
    counts = [_main(ask, lead, views[lead], speaking), *(_other(view, views[view]) for view in others)]
    example = [f"One of them reads “{text.rstrip(' .;')}” [{key}]." for key, _, text in views[lead] if usable(text)][:1]
    return [f"{opening}: {'; '.join(counts)}.", *example, NOTE]


def _weight(hit: Hit) -> float:
    return hit.score if hit.score > 0 else 1e-3 / hit.rank


def _view(ask: Ask, hit: Hit) -> tuple[Polarity, str] | None:
    """The strongest view among a report's sentences, and the sentence that holds it."""
    said = [(view, text) for text in split(hit.item.text) if (view := stance(ask, text))]
    for wanted in ORDER:
        if holding := [pair for pair in said if pair[0] == wanted]:
            return min(holding, key=lambda pair: not usable(pair[1]))
    return None


def _main(ask: Ask, view: str, rows: Sequence[tuple[str, Hit, str]], total: int) -> str:
    """What the leading view says: "3 of 4 look-alike studies that mention it report no pleural effusion [E1][E2][E4]"."""
    one = len(rows) == 1
    who = (
        f"{len(rows)} of {total} look-alike studies that mention it"
        if total > 1
        else "the one look-alike study that mentions it"
    )
    thing = phrase(ask)
    if view == "uncertain":
        said = f"{'leaves' if one else 'leave'} {thing} open"
    elif ask.of_a_state and " as " in thing:
        thing = thing if view == "present" else thing.replace(" as ", " as not ", 1)
        said = f"{'describes' if one else 'describe'} {thing}"
    else:
        said = f"{'reports' if one else 'report'} {'' if view == 'present' else 'no '}{thing}"
    return f"{who} {said} {_cite([key for key, _, _ in rows])}"


def _other(view: str, rows: Sequence[tuple[str, Hit, str]]) -> str:
    """What a minority says, in short."""
    if view == "uncertain":
        say, says = "leave it open", "leaves it open"
    else:
        say, says = "say the opposite", "says the opposite"
    return f"{len(rows)} {says if len(rows) == 1 else say} {_cite([key for key, _, _ in rows])}"


def phrase(ask: Ask) -> str:
    """The finding in the question's own words: from the first content word that names something to the last."""
    wanted = set(ask.finding) | ask.sites | (set(ask.topic) & words.STATES)
    named = [word for word in words.content(ask.text) if word.stem in wanted]
    if not named:
        return "this"
    if ask.negated:  # "Are the lungs free of effusion?" asks about effusion
        named = [word for word in named if word.stem in ask.finding] or named
    start, end = min(word.start for word in named), max(word.end for word in named)
    text = ask.text[start:end]
    if ask.of_a_state and ask.sites:
        state = ask.text[slice(*next(word for word in named if word.stem in ask.finding)[1:])]
        site = re.sub(rf"\b{re.escape(state)}\b", "", text).strip(" ,")
        return f"the {site} as {state}" if site else state
    return text[:1].lower() + text[1:] if not text[:2].isupper() else text
