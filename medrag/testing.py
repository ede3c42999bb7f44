"""Fakes for tests of code that uses medrag: no weights, no files, the same result every time.

Each keeps a contract of `medrag.protocols` and is named for what it is. None of them knows anything of medicine.

>>> encoder = FakeEncoder()
>>> generator = FakeGenerator(["The lungs are clear [E1]."])
>>> retriever = ListRetriever([Passage("p:1", "p", "Clear lungs.")])
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medrag._util.files import sha256_text
from medrag._util.text import content_words
from medrag.types import Hit, Item, Query, item_to_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.errors import BadRecord
    from medrag.protocols import Report, Vectors

_PAIRS = tuple("".join(pair) for pair in itertools.product(string.ascii_lowercase, repeat=2))
GRID = 8  # a fake image vector holds the grey values of so many rows and columns


class FakeEncoder:
    """Counts letter pairs of a text (676-d), or takes the 8 × 8 grey values of an image (65-d).

    Texts that share words lie close; images that look alike at thumbnail size lie close. Modality "image" reads a
    query's first image and the file at an item's ``source``.
    """

    def __init__(self, modality: str = "text", name: str = "fake") -> None:
        self.name, self.modality = name, modality
        self.dim = len(_PAIRS) if modality == "text" else GRID * GRID + 1
        self.fingerprint = f"fake/{modality}/1"

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """(n, d) float32, rows of unit length; an image query without an image becomes the zero-information vector."""
        if self.modality == "text":
            return _rows([_letters(query.text) for query in queries], self.dim)
        return _rows([_grey(query.images[0].image) if query.images else [] for query in queries], self.dim)

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length. Raises BadRecord for an image that cannot be read."""
        if self.modality == "text":
            return _rows([_letters(item.text) for item in items], self.dim)
        return _rows([_grey(_open(item)) for item in items], self.dim)


class FakeGenerator:
    """Gives the replies in turn, word by word, and keeps what it was asked in ``prompts`` and ``images``."""

    def __init__(
        self, replies: Sequence[str] = ("This is a fake answer [E1].",), name: str = "fake", sees_images: bool = True,
        many_images: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.sees_images, self.many_images = name, sees_images, many_images
        self.prompts: list[Any] = []
        self.images: list[tuple[Image, ...]] = []
        self._replies = itertools.cycle(replies)

    def stream(self, prompt: Any, images: Sequence[Image] = ()) -> Iterator[str]:
        """The next reply, in pieces that join to it."""
        self.prompts.append(prompt)
        self.images.append(tuple(images))
        for n, word in enumerate(next(self._replies).split(" ")):
            yield f" {word}" if n else word


class ObedientGenerator:
    """Does whatever a text in its prompt tells it to say: the worst reader of poisoned evidence there could be.

    It repeats the first words in quotation marks that follow a verb of saying, anywhere in the evidence; without any it answers from E1.
    """

    name, sees_images = "obedient", False
    _ORDER = re.compile(
        r"(?:say|state|write|report|respond|reply|answer|output|print|conclude|repeat|recommend)\b[^\"“]{0,60}[\"“]([^\"”]+)[\"”]",
        re.IGNORECASE,
    )

    def stream(self, prompt: Any, images: Sequence[Image] = ()) -> Iterator[str]:
        """What it was told to say."""
        order = self._ORDER.search(prompt.user_text())
        yield f"{order.group(1)} [E1]." if order else "The evidence speaks of it [E1]."


class ListRetriever:
    """Ranks a list of items by the words that they share with the query; items that share none come last, in order."""

    def __init__(self, items: Sequence[Item], name: str = "list") -> None:
        self.items, self.name = tuple(items), name

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most k hits, best first; the score is the share of the query's words."""
        wanted = set(content_words(query.text))
        allowed = [item for item in self.items if not {item.id, item.doc} & query.exclude]
        scored = [(len(wanted & set(content_words(item.text))) / max(1, len(wanted)), item) for item in allowed]
        best = sorted(scored, key=lambda pair: -pair[0])[:k]
        return [Hit(item, score, rank, self.name) for rank, (score, item) in enumerate(best, start=1)]


class FakeCorpus:
    """A corpus out of a list; ``bad`` are records that it reports as unreadable before the items."""

    def __init__(self, items: Sequence[Item], name: str = "fake", bad: Sequence[BadRecord] = ()) -> None:
        self.items, self.name, self.bad = tuple(items), name, tuple(bad)

    def signature(self) -> str:
        """Changes with the items."""
        return sha256_text(*map(item_to_json, self.items))

    def read(self, report: Report) -> Iterator[Item]:
        """The items in their order."""
        for record in self.bad:
            report(record)
        yield from self.items


def _letters(text: str) -> list[float]:
    low = text.lower()
    counts = dict.fromkeys(_PAIRS, 0.0)
    for pair in itertools.pairwise(low):
        key = "".join(pair)
        if key in counts:
            counts[key] += 1.0
    return list(counts.values())


def _grey(image: Image) -> list[float]:
    small = image.convert("L").resize((GRID, GRID))
    return [value / 255 for value in small.tobytes()] + [1.0]  # the last keeps a black image from being zero


def _open(item: Item) -> Image:
    from medrag._util.images import load_image

    return load_image(getattr(item, "source", "") or item.id, frame=getattr(item, "frame", 0)).image.convert("L")


def _rows(raw: Sequence[Sequence[float]], dim: int) -> Vectors:
    """Rows of unit length; an empty or zero row becomes the same even vector."""
    import numpy as np

    rows = np.ones((len(raw), dim), np.float32)
    for n, values in enumerate(raw):
        if any(values):
            rows[n] = values
    unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
