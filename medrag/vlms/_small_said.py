"""What the small model writes, sentence by sentence, and the evidence that says the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from medrag.vlms import _words as words
from medrag.vlms._ask import Ask
from medrag.vlms._consensus import dice, marked
from medrag.vlms._evidence import is_report, is_similar, split, usable
from medrag.vlms._vote import strongest_view

if TYPE_CHECKING:
    from medrag.prompts import Prompt

LEAST = 0.5  # Dice overlap of marked words from which a sentence counts as saying the same
_NO_THING = words.SITES | words.stem_set("yes no one two both sides sided")  # what says whether or where, not what
_END = re.compile(r"(?<=[.!?])(?:\s+|$)")


def sentences_of(pieces: Iterable[str]) -> Iterator[str]:
    """Whole sentences as they are finished."""
    pending = ""
    for piece in pieces:
        pending += piece
        *whole, pending = _END.split(pending)
        yield from filter(str.strip, whole)
    if pending.strip():
        yield pending


def beginning(decided: str, pieces: Iterable[str]) -> Iterator[str]:
    """The pieces as they are where nothing is decided or the text begins so; otherwise the decided word and a full stop."""
    held, rest = "", iter(pieces)
    if decided:
        for piece in rest:
            held += piece
            if len(held.strip()) > len("Yes"):
                break
        if not re.match(rf"\W*{decided}\b", held, re.IGNORECASE):
            yield f"{decided}."
            return
        yield held
    yield from rest


def views(ask: Ask, prompt: Prompt, wanted: str) -> list[str]:
    """Keys of the reports whose strongest view of the finding is the wanted one; textbooks speak of no patient."""
    views = {key: strongest_view(ask, hit) for key, hit in prompt.context if is_report(hit)}
    return [key for key, said in views.items() if said and said[0] == wanted]


def whose(prompt: Prompt, keys: Iterable[str]) -> str:
    """Whose reports these are: those of look-alike studies speak of other patients."""
    hits = dict(prompt.context)
    return "Reports of look-alike studies" if all(is_similar(hits[key]) for key in keys) else "Reports"


def same(sentence: str, prompt: Prompt) -> list[str]:
    """Keys of the evidence that has a sentence with the same words of the same polarity, one of which says what of: "no" and "right" do not."""
    own = marked(sentence)
    if not _things(own):
        return []
    return [
        key
        for key, hit in prompt.context
        if any(_alike(own, marked(text)) for text in split(hit.item.text) if usable(text))
    ]


def _alike(own: frozenset[str], other: frozenset[str]) -> bool:
    return dice(own, other) >= LEAST and bool(_things(own & other))


def _things(marks: Iterable[str]) -> set[str]:
    return {stem for mark in marks if (stem := mark.rstrip("-?"))} - _NO_THING
