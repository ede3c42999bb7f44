"""What look-alike studies say of a finding, counted and weighed, each with the sentence that its vote rests on.

It speaks of the reports of other patients' images and says so; whether they resemble this one is the retriever's matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from medrag._util.polarity import Polarity
from medrag.types import Hit
from medrag.vlms import _words as words
from medrag.vlms._ask import Ask
from medrag.vlms._evidence import split, usable
from medrag.vlms._stance import ORDER, stance

MARGIN = 0.55  # share of the weight that makes a vote more than a draw
RANKS = 60  # as reciprocal rank fusion counts ranks (`medrag.retrieve.fuse`)
LONGEST = 120  # characters of a finding that is named back
NOTE = "This rests on their reports, not on the image itself."
CAPTIONS = "This rests on their captions, not on the image itself."


def vote(ask: Ask, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    """What look-alike studies say of the finding, weighed by their scores; empty when none speaks of it.

    A caption that does not mention the finding speaks of something else: it takes weight from either view, as a silent report does not.
    """
    strongest: dict[str, tuple[Polarity, str, Hit, str]] = {}  # one view for each study, whatever its parts
    for key, hit in alike:
        found = strongest_view(ask, hit)
        held = strongest.get(hit.item.doc)
        if found and (held is None or ORDER.index(found[0]) < ORDER.index(held[0])):
            strongest[hit.item.doc] = (found[0], key, hit, found[1])
    views = {view: [row[1:] for row in strongest.values() if row[0] == view] for view in ORDER}
    speaking = sum(map(len, views.values()))
    if not speaking:
        return []
    weight = {view: sum(_weight(hit) for _, hit, _ in rows) for view, rows in views.items()}
    lead = max(ORDER, key=lambda view: weight[view])
    silent = [hit for _, hit in alike if hit.item.kind == "image" and hit.item.doc not in strongest]
    clear = weight[lead] >= MARGIN * (sum(weight.values()) + sum(map(_weight, silent))) and lead != "uncertain"
    opening = ("Likely yes" if (lead == "present") != ask.negated else "Likely no") if clear else "Uncertain"
    others = [view for view in sorted(views, key=lambda view: -weight[view]) if view != lead and views[view]]
    counts = [_main(ask, lead, views[lead], speaking), *(_other(view, views[view]) for view in others)]
    quotes = [_said(row, "") for row in views[lead]]
    for view in others:
        label = (
            "In doubt: "
            if view == "uncertain"
            else "For: "
            if (lead, view) == ("uncertain", "present")
            else "Against: "
        )
        quotes += [_said(row, label) for row in views[view]]
    note = NOTE if any(hit.item.kind != "image" for _, hit in alike) else CAPTIONS
    return [f"{opening}: {'; '.join(counts)}.", *filter(None, quotes), note]


def _said(row: tuple[str, Hit, str], label: str) -> str:
    """The sentence that a study's vote rests on, unless words of it are blotted out."""
    key, _, text = row
    return f'{label}"{text.rstrip(" .;")}" [{key}].' if usable(text) else ""


def _weight(hit: Hit) -> float:
    """Its score, as far as its picture's likeness gave it: a hit that the question's words found as well weighs no more for it."""
    ranks = {one.retriever: 1 / (RANKS + one.rank) for one in hit.parents}
    alike = sum(share for name, share in ranks.items() if name.startswith("similar"))
    score = hit.score * alike / sum(ranks.values()) if alike else hit.score
    return score if score > 0 else 1e-3 / hit.rank


def strongest_view(ask: Ask, hit: Hit) -> tuple[Polarity, str] | None:
    """The strongest view among a report's sentences, and the sentence that holds it."""
    said = [(view, text) for text in split(hit.item.text) if (view := stance(ask, text))]
    for wanted in ORDER:
        if holding := [pair for pair in said if pair[0] == wanted]:
            return min(holding, key=lambda pair: not usable(pair[1]))
    return None


def _main(ask: Ask, view: str, rows: Sequence[tuple[str, Hit, str]], total: int) -> str:
    """What the leading view says: "3 of 4 look-alike studies that mention it report no pleural effusion [E1][E2][E4]"."""
    one = len(rows) == 1
    captions = all(hit.item.kind == "image" for _, hit, _ in rows)
    things, mention = (
        ("look-alike pictures", "whose captions mention it") if captions else ("look-alike studies", "that mention it")
    )
    single = (
        "the one look-alike picture whose caption mentions it"
        if captions
        else "the one look-alike study that mentions it"
    )
    who = f"{len(rows)} of {total} {things} {mention}" if total > 1 else single
    thing = phrase(ask)
    if view == "uncertain":
        said = f"{'leaves' if one else 'leave'} {thing} open"
    elif ask.of_a_state and " as " in thing:
        thing = thing if view == "present" else thing.replace(" as ", " as not ", 1)
        said = f"{'describes' if one else 'describe'} {thing}"
    else:
        said = f"{'reports' if one else 'report'} {'' if view == 'present' else 'no '}{thing}"
    return f"{who} {said}{_unquoted(rows)}"


def _other(view: str, rows: Sequence[tuple[str, Hit, str]]) -> str:
    """What a minority says, in short."""
    if view == "uncertain":
        say, says = "leave it open", "leaves it open"
    else:
        say, says = "say the opposite", "says the opposite"
    return f"{len(rows)} {says if len(rows) == 1 else say}{_unquoted(rows)}"


def _unquoted(rows: Sequence[tuple[str, Hit, str]]) -> str:
    """Keys of the studies whose sentence is not quoted below."""
    keys = cite_keys([key for key, _, text in rows if not usable(text)])
    return f" {keys}" if keys else ""


def phrase(ask: Ask) -> str:
    """The finding in the question's own words: from the first content word that names something to the last."""
    wanted = set(ask.finding) | ask.sites | (set(ask.topic) & words.STATES)
    named = [word for word in words.content(ask.text) if word.stem in wanted]
    if named and (stop := re.search(r"[?!](?=\s)", ask.text[named[0].end :])):  # of several questions the first
        named = [word for word in named if word.end <= named[0].end + stop.start()]
    if not named or named[-1].end - named[0].start > LONGEST:
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


def cite_keys(keys: Sequence[str]) -> str:
    """Evidence keys as an answer cites them: [E1][E2]."""
    return "".join(f"[{key}]" for key in keys)
