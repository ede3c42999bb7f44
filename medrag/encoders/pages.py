"""The shipped page encoder: a page is the vectors of its regions, so that late interaction needs no hub.

A region is a window of sentences of one block, or a figure. Two spaces lie side by side in every vector: ``[words | looks]``.

    text region    [ text encoder of the window      | 0                              ]
    figure         [ text encoder of its caption     | image encoder of its picture   ]    each part of unit length
    query, text    [ the question and its phrases    | 0                              ]    see `Side` for their weights
    query, image   [ 0                               | image encoder of the picture   ]

So words are matched with text and captions, and a picture with figures. The encoder reads pages with their blocks and
figures as a corpus gives them; it does not find them, and a scan without OCR has none. Models that look at the page's
picture are in medrag/encoders/late_interaction.py.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medrag._util.files import sha256_text
from medrag._util.text import STOPWORDS, content_words, count_tokens, sentences
from medrag.encoders._shared import picture_key
from medrag.types import Block, Box, ImageRecord, Item, Page, Passage, Query

if TYPE_CHECKING:
    from medrag.encoders.image_text import OpenClipImages
    from medrag.encoders.text import SentenceEncoder
    from medrag.protocols import Encoder, Vectors

WINDOW = 64  # estimated tokens of a text region; a longer sentence stays whole
PHRASES = 0.3  # share of the score that the question's phrases have; the whole question has the rest
LONGEST = 3  # words of a phrase
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Region:
    """What one vector of a page stands for: its words, its place (None: the page as a whole), and how it is headed."""

    text: str
    box: Box | None
    heading: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The vectors of a query that come from its text or from its images, (q, d), and what each stands for.

    Their lengths are their weights and sum to 1, so that MaxSim is a weighted mean of cosines in [−1, 1].
    """

    labels: tuple[str, ...]
    vectors: Vectors


class PageEncoder:
    """Pages and figures as (t, d) matrices, t = 0 where there is nothing to read or see.

    ``model`` is a sentence-transformers model, ``eyes`` an open_clip model, each a name, a folder or a ready encoder;
    without ``eyes`` figures are their captions.
    """

    modality = "page"
    several = True  # vectors an item
    words = 0.4  # share of a page's score that its words have when the best pages are looked at again

    def __init__(
        self, model: str | Encoder, *, eyes: str | Encoder = "medrag-small", batch: int = 32, device: str = "auto"
    ) -> None:
        self._words, self._eyes = _words(model, batch, device), _eyes(eyes, batch, device)
        self.name = self._words.name + (f" + {self._eyes.name}" if self._eyes else "")

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of both encoders and of how pages are cut."""
        eyes = self._eyes.fingerprint if self._eyes else ""
        return sha256_text("pages/1", self._words.fingerprint, eyes, str(WINDOW))[:16]

    @functools.cached_property
    def dim(self) -> int:
        return self._words.dim + (self._eyes.dim if self._eyes else 0)

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        text = sha256_text(*(part for region in self.regions(item) for part in (region.heading, region.text)))
        return f"{text}:{picture_key(item)}" if self._eyes and isinstance(item, ImageRecord) else text

    def regions(self, item: Item) -> tuple[Region, ...]:
        """What the rows of an item's matrix stand for, in their order; nothing of items that are no page and no figure."""
        if isinstance(item, ImageRecord):
            return (Region(item.text, item.box),) if self._eyes or item.text.strip() else ()
        return tuple(_text_regions(item)) if isinstance(item, Page) else ()

    def encode_items(self, items: Sequence[Item]) -> list[Vectors]:
        """A (t, d) float32 matrix for each item. Raises ImageError for a figure that cannot be drawn."""
        regions = [self.regions(item) for item in items]
        owners = np.repeat(np.arange(len(items)), [len(some) for some in regions])
        flat = [region for some in regions for region in some]
        rows = np.zeros((len(flat), self.dim), np.float32)
        worded = [n for n, region in enumerate(flat) if region.text.strip()]
        if worded:
            passages = [_passage(items[owners[n]], flat[n]) for n in worded]
            rows[worded, : self._words.dim] = self._words.encode_items(passages)
        seen = [n for n in range(len(flat)) if isinstance(items[owners[n]], ImageRecord)]
        if seen and self._eyes:
            rows[seen, self._words.dim :] = self._eyes.encode_items([items[owners[n]] for n in seen])
        return np.split(rows, np.cumsum([len(some) for some in regions])[:-1])

    def sides(self, query: Query) -> dict[str, Side]:
        """The query's ``text`` and ``image`` vectors, those that it has."""
        found = {}
        if labels := phrases(query.text):
            words = self._words.encode_queries([Query(label) for label in labels])
            share = PHRASES / (len(labels) - 1) if len(labels) > 1 else 0.0
            weights = np.array([1 - share * (len(labels) - 1), *[share] * (len(labels) - 1)], np.float32)
            found["text"] = Side(labels, _beside(words * weights[:, None], 0, self.dim))
        if query.images and self._eyes:
            looks = self._eyes.encode_queries([Query("", (image,)) for image in query.images])
            labels = tuple(image.source or "image" for image in query.images)
            found["image"] = Side(labels, _beside(looks / np.float32(len(looks)), self._words.dim, self.dim))
        return found

    def encode_queries(self, queries: Sequence[Query]) -> list[Vectors]:
        """A (q, d) float32 matrix for each query: text and images in one, so that their scores add up."""
        none = np.zeros((0, self.dim), np.float32)
        return [np.concatenate([none, *(side.vectors for side in self.sides(query).values())]) for query in queries]


def phrases(text: str) -> tuple[str, ...]:
    """A question as it stands, then its runs of content words; a run of more than three words in windows of three.

    >>> phrases("What spreads Lyme disease in the deer tick?")
    ('What spreads Lyme disease in the deer tick?', 'spreads Lyme disease', 'deer tick')
    """
    if not text.strip():
        return ()
    found: dict[str, None] = {}
    for run in _runs(text):
        for start in range(max(1, len(run) - LONGEST + 1)):
            found[" ".join(run[start : start + LONGEST])] = None
    whole = " ".join(text.split())
    found.pop(whole, None)
    return (whole, *found)


def _runs(text: str) -> Iterator[list[str]]:
    """Content words that follow each other with nothing but blanks between."""
    run: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        breaks = match.group().lower() in STOPWORDS
        if run and (breaks or text[end : match.start()].strip()):
            yield run
            run = []
        if not breaks:
            run.append(match.group())
        end = match.end()
    if run:
        yield run


def _text_regions(page: Page) -> Iterator[Region]:
    """Headings, and windows of every other block under the heading before it."""
    heading = str(page.meta.get("section", ""))
    for block in page.blocks:
        if block.role == "heading":
            heading = block.text
        for text in _windows(block):
            yield Region(text, block.box, "" if block.role == "heading" else heading)


def _windows(block: Block) -> Iterator[str]:
    """Whole sentences, or rows of a table, up to `WINDOW`; what has no content word is left out."""
    window: list[str] = []
    tokens = 0
    for piece in block.text.splitlines() if block.role == "table" else sentences(block.text):
        cost = count_tokens(piece)
        if window and tokens + cost > WINDOW:
            yield " ".join(window)
            window, tokens = [], 0
        if content_words(piece):
            window.append(piece)
            tokens += cost
    if window:
        yield " ".join(window)


def _passage(item: Item, region: Region) -> Passage:
    """A region as the text encoder reads it: after its heading."""
    return Passage(item.id, item.doc, region.text, section=region.heading)


def _beside(rows: Vectors, start: int, dim: int) -> Vectors:
    """Rows in their place among zeros."""
    wide = np.zeros((len(rows), dim), np.float32)
    wide[:, start : start + rows.shape[1]] = rows
    return wide


def _words(model: str | Encoder, batch: int, device: str) -> Encoder | SentenceEncoder:
    from medrag.encoders.text import SentenceEncoder

    return SentenceEncoder(model, batch=batch, device=device) if isinstance(model, str) else model


def _eyes(model: str | Encoder, batch: int, device: str) -> Encoder | OpenClipImages | None:
    from medrag.encoders.image_text import OpenClipImages

    if isinstance(model, str):
        return OpenClipImages(model, batch=batch, device=device) if model else None
    return model
