"""What Markdown and HTML have in common: paragraphs, lists, tables and headings as blocks that can be quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from medrag.types import Block

FEW, SHORT = 60, 6  # words of a list that is read as one sentence, and of each item where nothing introduces it
_SENTENCE = re.compile(r"[.!?;:]\s*$|[.!?]\s")
_ENDED = re.compile(r"[.!?:;…][\"'”’)\]]*$")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text. An item of a list follows its neighbours directly; ``level`` is that of a heading."""

    kind: Literal["text", "heading", "item", "table", "caption"]
    text: str
    level: int = 0


def blocks(parts: Iterable[Part]) -> Iterator[tuple[int, Block]]:
    """The parts as blocks, headings with their level. A list of few words is one sentence, with what introduces it ("Causes: gout;
    sepsis."); else each item is a block by itself."""
    items: list[str] = []
    intro = ""
    for part in [*(part for part in parts if part.text), Part("text", "")]:
        if part.kind == "item":
            items.append(part.text)
            continue
        yield from ((0, Block(text)) for text in _listed(intro, items))
        items, intro = [], ""
        if part.kind == "heading":
            yield part.level, Block(part.text, role="heading")
        elif part.kind == "text":
            intro = part.text
        else:
            yield 0, Block(part.text, role=part.kind)


def _listed(intro: str, items: list[str]) -> Iterator[str]:
    """A paragraph and the list that follows it."""
    sizes = [len(item.split()) for item in items]
    brief = items and sum(sizes) <= FEW and (intro.endswith(":") or max(sizes) <= SHORT)
    if brief and not any(map(_SENTENCE.search, items)):
        told = f"{'; '.join(_unnumbered(item) for item in items)}."
        yield from [f"{intro} {told}"] if intro.endswith(":") else filter(None, (intro, told))
        return
    yield from filter(None, (intro, *(item if _ENDED.search(item) else f"{item}." for item in items)))


def _unnumbered(item: str) -> str:
    return re.sub(r"^\d{1,3}[.)]\s+", "", item)
