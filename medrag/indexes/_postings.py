"""Which word stands in which text how often, by words: a sparse matrix that grows without its texts being read again, and BM25's weights of it.

Lù, *BM25S* (2024): the weight of every word in every text is computed once, and a query adds columns. Knows numbers of words and positions of texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medrag.indexes._ragged import save_array

Bools = NDArray[np.bool_]
LOOKED = 1 << 23  # entries that are looked at when an index is opened
FILES = ("texts", "counts", "bounds", "lengths")


class Postings:
    """Word w stands in ``texts[bounds[w]:bounds[w + 1]]``, ascending, ``counts`` times each; ``lengths`` (n,) are the texts' in words."""

    def __init__(
        self, texts: NDArray[np.int32], counts: NDArray[np.int32], bounds: NDArray[np.int64], lengths: NDArray[np.int32]
    ) -> None:
        self.texts, self.counts, self.bounds, self.lengths = texts, counts, bounds, lengths

    @classmethod
    def of(cls, words: NDArray[np.integer], lengths: NDArray[np.integer], vocabulary: int) -> Postings:
        """Of texts that lie one behind the other, as numbers of words."""
        owners = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
        pairs, counts = np.unique(words.astype(np.int64) * max(1, len(lengths)) + owners, return_counts=True)
        found, texts = np.divmod(pairs, max(1, len(lengths)))
        bounds = np.searchsorted(found, np.arange(vocabulary + 1))
        return cls(texts.astype(np.int32), counts.astype(np.int32), bounds.astype(np.int64), lengths.astype(np.int32))

    def plus(self, later: Postings) -> Postings:
        """With the texts of ``later`` behind these; its vocabulary is this one's, grown."""
        grown = len(later.bounds) - len(self.bounds)
        before = np.concatenate([self.bounds, np.full(grown, self.bounds[-1])])
        bounds = before + later.bounds
        texts, counts = np.empty(bounds[-1], np.int32), np.empty(bounds[-1], np.int32)
        # a column holds the old entries, then the new ones: each moves by what stands before its column of the other
        for part, shift, first in (
            (self, later.bounds[:-1], 0),
            (later, before[1:], len(self.lengths)),
        ):
            widths = np.diff(before if part is self else later.bounds)
            places = np.arange(len(part.texts)) + np.repeat(shift, widths)
            texts[places], counts[places] = part.texts + first, part.counts
        return Postings(texts, counts, bounds, np.concatenate([self.lengths, later.lengths]))

    def weights(self, alive: Bools, k1: float, b: float) -> NDArray[np.float32]:
        """BM25's weight of every entry, by the statistics of the texts that are alive; the others' mean nothing."""
        total = int(alive.sum())
        if total == len(alive):
            frequency = np.diff(self.bounds)
        else:
            held = np.concatenate([[0], np.cumsum(alive[self.texts], dtype=np.int64)])
            frequency = held[self.bounds[1:]] - held[self.bounds[:-1]]
        idf = np.log(1 + (total - frequency + 0.5) / (frequency + 0.5))
        mean = self.lengths[alive].mean() if total else 0.0
        norm = k1 * (1 - b + b * self.lengths / (mean or 1.0))
        found = np.empty(len(self.texts), np.float32)
        for first, last in self._blocks():
            rows = slice(self.bounds[first], self.bounds[last])
            counts = self.counts[rows].astype(np.float64)
            weight = np.repeat(idf[first:last], np.diff(self.bounds[first : last + 1]))
            found[rows] = weight * counts * (k1 + 1) / (counts + norm[self.texts[rows]])
        return found

    def _blocks(self, entries: int = 1 << 22) -> Iterator[tuple[int, int]]:
        """Words, some at a time, so that what is computed of them fits in memory."""
        first, words = 0, len(self.bounds) - 1
        while first < words:
            last = int(np.searchsorted(self.bounds, self.bounds[first] + entries, side="right")) - 1
            yield first, (last := min(max(last, first + 1), words))
            first = last

    def bags(self) -> list[list[int]]:
        """The words of each text, in no order."""
        if not len(self.lengths):
            return []
        words = np.repeat(np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds)), self.counts)
        owners = np.repeat(self.texts, self.counts)
        order = np.argsort(owners, kind="stable")
        return [part.tolist() for part in np.split(words[order], np.cumsum(self.lengths)[:-1])]

    def scores(self, weights: NDArray[np.float32], query: Sequence[int]) -> NDArray[np.float32]:
        """(n,): the summed weights of a query's words, each as often as it comes."""
        found = np.zeros(len(self.lengths), np.float32)
        for word in query:
            column = slice(self.bounds[word], self.bounds[word + 1])
            np.add.at(found, self.texts[column], weights[column])  # a third of the time of an indexed +=
        return found

    def save(self, folder: Path) -> None:
        for name in FILES:
            save_array(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def open(cls, folder: Path) -> Postings:
        """Memory-mapped. What an earlier medrag saved, the words of the texts in order, is read and counted."""
        if (folder / "words.npy").is_file():
            words, ends = np.load(folder / "words.npy"), np.load(folder / "ends.npy")
            import json

            vocabulary = len(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8")))
            return cls.of(words, np.diff(ends, prepend=0), vocabulary)
        found = cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in FILES))
        found.check()
        return found

    def check(self) -> None:
        """Raises ValueError where the parts do not fit each other; what would have to be read for it is looked at up to `LOOKED` entries."""
        fits = len(self.texts) == len(self.counts) == self.bounds[-1] and self.bounds[0] == 0
        if not fits or (np.diff(self.bounds) < 0).any():
            raise ValueError("its words and texts do not fit each other")
        if 0 < len(self.texts) <= LOOKED and not 0 <= self.texts.min() <= self.texts.max() < len(self.lengths):
            raise ValueError("it names texts that are not there")
