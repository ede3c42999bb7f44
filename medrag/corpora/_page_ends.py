"""Sentences that the end of a page divides: a page's passages take the rest from the next page, whose passages leave it out.

"… and it is contra-" and "indicated in heart disease." say the opposite of the whole when each stands alone. The blocks of
the pages stay as they are printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from medrag._util.text import sentences
from medrag.corpora._hyphens import join
from medrag.corpora._layout import Piece
from medrag.types import Block, Page

_STOP = re.compile(r"[.!?:;…][\"'”’)\]]*$")
_NOTE = 0.4  # points that footnotes are smaller than the text, at least


def running_on(pages: Sequence[tuple[int, Sequence[Piece]]], body: float) -> dict[int, dict[str, Any]]:
    """What `whole` needs, by the number of the page: ``goes_on`` (the block whose last sentence goes on, its rest) and ``begun`` (the
    block that begins with such a rest, the rest's length)."""
    found: dict[int, dict[str, Any]] = {number: {} for number, _ in pages}
    for (number, above), (following, below) in pairwise(pages):
        last, first = next(_text(above, body, -1), None), next(_text(below, body, 1), None)
        if last is None or first is None or following != number + 1:
            continue
        rest = _rest(above[last], below[first])
        if rest:
            found[number]["goes_on"] = [last, rest]
            found[following]["begun"] = [first, len(rest)]
    return found


def _text(flow: Sequence[Piece], body: float, step: int) -> Iterator[int]:
    """The places of a page's text and headings, without captions, tables and footnotes."""
    places = range(len(flow))[::step]
    return (n for n in places if flow[n].role in ("body", "heading") and flow[n].size > body - _NOTE)


def _rest(last: Piece, first: Piece) -> str:
    """The end of the sentence that ``last`` leaves open and ``first`` begins with; "" where there is none for certain."""
    alike = last.role == first.role == "body" and abs(last.size - first.size) <= _NOTE
    if not alike or _STOP.search(last.text) or len(last.text.split()) < 4 or not first.text[:1].islower():
        return ""
    rest = next(iter(sentences(first.text)), "")
    return rest if _STOP.search(rest) and first.text.startswith(rest) and rest[1:2] != " " else ""


def whole(page: Page) -> tuple[Block, ...]:
    """The blocks of a page with the rest of the sentence that goes on, and without the rest of one that began before."""
    blocks = list(page.blocks)
    if place := page.meta.get("goes_on"):
        block = blocks[place[0]]
        blocks[place[0]] = replace(block, text=join([block.text, place[1]]))
    if place := page.meta.get("begun"):
        block = blocks[place[0]]
        blocks[place[0]] = replace(block, text=block.text[place[1] :].strip())
    return tuple(block for block in blocks if block.text)
