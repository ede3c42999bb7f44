"""Documents, pages and reports to passages: whole sentences, one section each, with the boxes that they stand in.

Sizes are `medrag._util.text.count_tokens`, an estimate; no tokenizer is loaded. A sentence that runs on to the next page
belongs to the page that it begins on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from medrag._util.text import count_tokens, sentences, words
from medrag.corpora._page_ends import whole
from medrag.settings import ChunkSettings
from medrag.types import Block, Document, Item, Page, Passage, Study

_NAMED = ("findings", "impression", "indication", "comparison", "technique")  # sections of a report
_REFERENCES = re.compile(
    r"[\d.\s]*(?:(?:key|selected|suggested)\s(?!reading))?"
    r"(references?|bibliography|literature(?: cited)?|works cited|citations|sources|literatur(?:verzeichnis)?|"
    r"(?:further|suggested|recommended|additional) readings?)\s*:?\s*$",
    re.IGNORECASE,
)
_CITES = re.compile(r"\b(?:19|20)\d\d\b|https?://|\bdoi\b", re.IGNORECASE)
_OF_ITEM = ("section", "qtypes", "heading_levels", "goes_on", "begun")  # meta that is not a passage's


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a row of a table, with the blocks that it stands in."""

    text: str
    blocks: tuple[Block, ...] = ()

    @property
    def tokens(self) -> int:
        return count_tokens(self.text)


def chunk(item: Item, settings: ChunkSettings) -> Iterator[Passage]:
    """The passages of a Document, Page or Study, in order; nothing for other items.

    A sentence is never split unless it is longer than ``settings.tokens`` alone; then it is cut between words (a
    single longer word stays whole). A heading begins a new passage and becomes its ``section``; a caption and a table
    are passages of their own; one of a list of references has the ``role`` references. Ids are ``{item.id}~0``,
    ``~1`` …; equal input gives equal ids. Pages without more than headings or boilerplate give nothing. An answer's
    passages begin with its question.
    """
    if isinstance(item, Study):
        yield from _study(item, settings)
    elif isinstance(item, Page):
        if not _is_boilerplate(item.blocks):
            yield from _blocks(item, whole(item), str(item.meta.get("section", "")), item.number, settings)
    elif isinstance(item, Document):
        yield from _blocks(item, item.blocks, "", None, settings)


def _study(study: Study, settings: ChunkSettings) -> Iterator[Passage]:
    """A section a passage where they fit: findings, impression, then those that medrag has no name for. What a report asks or
    compares with is no evidence of what is seen."""
    meta = {
        "labels": list(study.labels),
        **{k: v for k, v in study.meta.items() if k != "paths"},
        "domain": study.domain,
    }
    if study.patient:
        meta["patient"] = study.patient
    count = 0
    for section in ("findings", "impression", *(name for name in study.sections if name not in _NAMED)):
        units = [_Unit(sentence) for sentence in sentences(study.sections.get(section, ""))]
        for group in _packed(units, settings.tokens, settings.overlap):
            yield Passage(f"{study.id}~{count}", study.id, _joined(group), "", section, source=study.source, meta=meta)
            count += 1


def _blocks(
    item: Document | Page, blocks: Sequence[Block], section: str, page: int | None, settings: ChunkSettings
) -> Iterator[Passage]:
    """Passages of blocks in reading order."""
    count = 0
    asks = bool(item.meta.get("qa"))
    for title, heading, role, run in _titled(item, blocks, section):
        prefix = heading if asks and heading and count_tokens(heading) <= settings.tokens // 2 else ""
        room = settings.tokens - count_tokens(prefix)
        units = _rows(run) if role == "table" else _sentences(run)
        glue = "\n" if role == "table" else " "
        for group in _packed(units, room, settings.overlap if role == "body" else 0):
            used = _distinct([block for unit in group for block in unit.blocks])
            yield Passage(
                id=f"{item.id}~{count}",
                doc=item.doc,
                text=" ".join(filter(None, (prefix, _joined(group, glue)))),
                title=title,
                section=heading,
                page=page if page is not None else next((b.page for b in used if b.page is not None), None),
                boxes=tuple(_distinct([block.box for block in used if block.box is not None])),
                source=item.source,
                meta=_meta(item, "references" if role in ("body", "table") and _refers(heading, group) else role),
            )
            count += 1


def _refers(heading: str, group: Sequence[_Unit]) -> bool:
    """Whether a passage is of a list of references, by its headings; what is called sources must look like one."""
    names = {name[1].lower() for part in heading.split(" – ") if (name := _REFERENCES.match(part))}
    return bool(names - {"sources"}) or ("sources" in names and any(_CITES.search(unit.text) for unit in group))


def _meta(item: Document | Page, role: str) -> dict[str, Any]:
    """The item's meta without what the passage says itself."""
    meta = {key: value for key, value in item.meta.items() if key not in _OF_ITEM}
    return meta if role == "body" else {**meta, "role": role}


def _titled(
    item: Document | Page, blocks: Sequence[Block], section: str
) -> Iterator[tuple[str, str, str, list[Block]]]:
    """(title, section, role, blocks) in reading order. Where the document tells the levels of its headings, a heading of the highest is the title of what
    stands under it, and those between are its section."""
    levels = list(item.meta.get("heading_levels", ()))
    if not levels:
        yield from ((item.title, *run) for run in _runs(blocks, section))
        return
    top, rest, path = min(levels), iter(levels), dict[int, str]()
    for is_heading, group in groupby(blocks, key=lambda block: block.role == "heading"):
        if is_heading:
            for block, level in zip(group, rest, strict=False):
                path = {one: text for one, text in path.items() if one < level} | {level: block.text.strip()}
            continue
        title = path.get(top, item.title)
        under = " – ".join(text for level, text in path.items() if level > top)
        yield from ((title, *run) for run in _runs(list(group), under or path.get(top, "")))


def _runs(blocks: Sequence[Block], section: str) -> Iterator[tuple[str, str, list[Block]]]:
    """(section, role, blocks): body text of a section together (captions and tables between do not cut it), captions
    and tables each alone, after the text that they stand in."""
    body: list[Block] = []
    apart: list[Block] = []

    def flush() -> Iterator[tuple[str, str, list[Block]]]:
        if body:
            yield section, "body", list(body)
        yield from ((section, block.role, [block]) for block in apart)
        body.clear()
        apart.clear()

    for is_heading, group in groupby(blocks, key=lambda block: block.role == "heading"):
        if is_heading:
            yield from flush()
            section = " – ".join(block.text.strip() for block in group)
            continue
        for block in group:
            (body if block.role == "body" else apart).append(block)
    yield from flush()


def _sentences(blocks: Sequence[Block]) -> list[_Unit]:
    """The sentences of blocks; one that runs on from a block to the next (a new column) belongs to both."""
    units: list[_Unit] = []
    for group in _continued(blocks):
        ends: list[int] = []  # words up to the end of each block
        for block in group:
            ends.append((ends[-1] if ends else 0) + len(words(block.text)))
        at = 0
        for sentence in sentences(
            "\n\n".join(b.text for b in group) if len(group) == 1 else " ".join(b.text for b in group)
        ):
            last = at + len(words(sentence))
            inside = [
                b
                for b, end, begin in zip(group, ends, [0, *ends], strict=False)
                if begin < max(last, at + 1) and end > at
            ]
            units.append(_Unit(sentence, tuple(inside or group[:1])))
            at = last
    return units


def _continued(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks grouped where a sentence goes on: no full stop at the end, a small letter at the beginning."""
    groups: list[list[Block]] = []
    for block in blocks:
        text = block.text.strip()
        goes_on = groups and text[:1].islower() and not re.search(r"[.!?:;][\"')\]]*$", groups[-1][-1].text.strip())
        if goes_on:
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def _rows(blocks: Sequence[Block]) -> list[_Unit]:
    """The rows of tables."""
    return [_Unit(row.strip(), (block,)) for block in blocks for row in block.text.split("\n") if row.strip()]


def _packed(units: Sequence[_Unit], limit: int, overlap: int) -> Iterator[list[_Unit]]:
    """Units in groups of at most ``limit`` tokens, as full as they can be; each begins with the last units of the one
    before, up to ``overlap`` tokens."""
    group: list[_Unit] = []
    size = fresh = 0
    for unit in chain.from_iterable(_cut(one, limit) for one in units):
        if group and size + unit.tokens > limit:
            yield group
            group = _last(group, min(overlap, limit - unit.tokens))
            size, fresh = sum(one.tokens for one in group), 0
        group.append(unit)
        size += unit.tokens
        fresh += 1
    if fresh:
        yield group


def _last(group: Sequence[_Unit], room: int) -> list[_Unit]:
    """The last whole units of a group that fit into ``room`` tokens; never all of it."""
    kept: list[_Unit] = []
    for unit in reversed(group[1:]):
        if unit.tokens > room:
            break
        kept.insert(0, unit)
        room -= unit.tokens
    return kept


def _cut(unit: _Unit, limit: int) -> Iterator[_Unit]:
    """A unit as it is, or cut between words where it is longer than the limit alone."""
    if unit.tokens <= limit:
        yield unit
        return
    part: list[str] = []
    size = 0
    for word in unit.text.split():
        tokens = count_tokens(word)
        if part and size + tokens > limit:
            yield _Unit(" ".join(part), unit.blocks)
            part, size = [], 0
        part.append(word)
        size += tokens
    yield _Unit(" ".join(part), unit.blocks)


def _joined(group: Sequence[_Unit], glue: str = " ") -> str:
    return glue.join(unit.text for unit in group)


def _distinct(things: Sequence[Any]) -> list[Any]:
    """Equal things once, in order."""
    kept: list[Any] = []
    for thing in things:
        if thing not in kept:
            kept.append(thing)
    return kept


def _is_boilerplate(blocks: Sequence[Block]) -> bool:
    """Whether a page says nothing: no word, an "intentionally blank", a table of contents."""
    body = [block for block in blocks if block.role != "heading"]
    text = "\n".join(block.text for block in body)
    if not re.search(r"[^\W\d_]{2}", text):
        return True
    if re.search(r"intentionally (?:left )?blank", text, re.IGNORECASE) and len(words(text)) < 15:
        return True
    lines = [line for line in text.split("\n") if line.strip()]
    numbered = sum(1 for line in lines if re.search(r"\D[\s.|]\d{1,4}$|\.{4,}", line))
    contents = any(
        re.search(r"\bcontents\b", line, re.IGNORECASE) for block in blocks[:3] for line in block.text.split("\n")[:2]
    )
    return contents and numbered >= 0.5 * len(lines)
