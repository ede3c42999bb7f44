"""BM25 over words: bm25s' way (a matrix of weights) as the fast backend, rank-bm25 as the reference, with equal scores.

Robertson & Zaragoza, *The Probabilistic Relevance Framework* (2009); Lù, *BM25S* (2024); Trotman et al. (2014).
Both backends compute the same function of a query q and a text d of length |d|:

    Σ_{t in q} idf(t) · tf(t,d)·(k1 + 1) / (tf(t,d) + k1·(1 − b + b·|d| / avgdl)),   idf(t) = ln(1 + (N − n_t + ½) / (n_t + ½))

That is Okapi's term weight (the package bm25s calls it ``atire``) with Lucene's idf. rank-bm25's own idf becomes negative for words
in more than half of the texts and is then replaced by a share of the average; that floor depends on the whole
vocabulary and can rank a common word above a rarer one, so it is not used. Knows ids and texts only.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import write_json
from medrag._util.text import content_words
from medrag.errors import SettingsError
from medrag.indexes._postings import Postings
from medrag.indexes._ragged import save_array
from medrag.indexes.ids import IdTable, padded

Scores = NDArray[np.floating]
Score = Callable[[Sequence[int]], Scores]
BACKENDS = ("bm25s", "rank-bm25")
BLOCK = 256  # texts
AT_ONCE = 50_000  # texts whose words are held before they are counted


def terms(text: str) -> list[str]:
    """The words that BM25 counts: content words, plurals folded (Harman's S-stemmer, 1991, with "masses" → "mass")."""
    return [_singular(word) for word in content_words(text)]


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(("us", "ss", "is")):
        return word
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    return word[:-1]


class Bm25Index:
    """Texts by the words they share with a query. Equal scores are ordered by id; texts without a shared word never come.

    >>> index = Bm25Index()
    >>> index.add(["a", "b"], ["Clear lungs.", "A mass in the left lung."])
    >>> index.search("lung masses", k=1)[1]
    ['b']
    """

    def __init__(self, backend: Literal["bm25s", "rank-bm25"] = "bm25s", *, k1: float = 1.5, b: float = 0.75) -> None:
        if backend not in BACKENDS:
            raise SettingsError(f"bm25: there is no backend {backend!r}", f"known: {', '.join(BACKENDS)}")
        if not (type(k1) in (int, float) and 0 <= k1 < math.inf and type(b) in (int, float) and 0 <= b <= 1):
            raise SettingsError(f"bm25: k1 is {k1!r} and b {b!r}", "give a k1 from 0 (1.5) and a b from 0 to 1 (0.75)")
        self.backend, self.k1, self.b = backend, k1, b
        self._ids = IdTable()
        self._vocabulary: dict[str, int] = {}
        self._added: list[list[int]] = []  # the words of each text since the last search, as numbers
        self._postings = Postings.of(np.zeros(0, np.int32), np.zeros(0, np.int32), 0)
        self._score: Score | None = None
        self._weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Appends; an id that is there already gets its new text. Statistics are counted at the next search."""
        if len(ids) != len(texts):
            raise SettingsError(f"{len(ids)} ids came with {len(texts)} texts", "give one text for each id")
        known = self._vocabulary
        self._added += [[known.setdefault(word, len(known)) for word in terms(text)] for text in texts]
        self._ids.add(ids)
        self._score = self._weights = None
        if len(self._added) > AT_ONCE:
            self._grow()

    def delete(self, ids: Sequence[str]) -> int:
        """How many of the ids were there. Word statistics are then those of the remaining texts."""
        gone = self._ids.delete(ids)
        if gone:
            self._score = self._weights = None
        return gone

    @overload
    def search(  # type: ignore[overload-overlap]  # a string is a sequence too; it is one query
        self, queries: str, k: int, *, allowed: Collection[str] | None = ..., exclude: Collection[str] = ...
    ) -> tuple[NDArray[np.float32], list[str]]: ...
    @overload
    def search(
        self, queries: Sequence[str], k: int, *, allowed: Collection[str] | None = ..., exclude: Collection[str] = ...
    ) -> tuple[NDArray[np.float32], list[list[str]]]: ...
    def search(
        self,
        queries: str | Sequence[str],
        k: int,
        *,
        allowed: Collection[str] | None = None,
        exclude: Collection[str] = (),
    ) -> tuple[NDArray[np.float32], Any]:
        """One query: scores (k',) best first and as many ids. Several: (n, k') and a list of ids a row; a row that is
        shorter ends in -inf."""
        if isinstance(queries, str):
            scores, ids = self.search([queries], k, allowed=allowed, exclude=exclude)
            return scores[0], ids[0]
        if not len(self._ids) or k < 1:
            return padded([([], [])] * len(queries))
        score, mask = self._compiled(), self._ids.wanted(allowed, exclude)
        found = []
        for query in queries:
            scores = score([self._vocabulary[word] for word in terms(query) if word in self._vocabulary])
            keep = _hopeful(scores if mask is None else scores * mask, k)
            found.append(self._ids.best(scores[keep], keep, k))
        return padded(found)

    def _compiled(self) -> Score:
        """Scores of all texts for the words of a query; what a dead one gets means nothing."""
        if self._score is None:
            self._grow()
            alive = np.zeros(len(self._ids.ids), np.bool_)
            alive[self._ids.alive()] = True
            if self.backend == "rank-bm25":
                self._score = _reference(self._postings, alive, self.k1, self.b)
            else:
                if self._weights is None:
                    self._weights = self._postings.weights(alive, self.k1, self.b)
                self._score = functools.partial(self._postings.scores, self._weights)
        return self._score

    def _grow(self) -> None:
        """Counts the words of what was added."""
        if self._added:
            lengths = np.array([len(words) for words in self._added], np.int32)
            words = np.fromiter(itertools.chain.from_iterable(self._added), np.int32, int(lengths.sum()))
            self._postings = self._postings.plus(Postings.of(words, lengths, len(self._vocabulary)))
            self._added = []

    def save(self, folder: Path) -> None:
        """Writes the counts of the words, the vocabulary, the ids and, for bm25s, the weights."""
        self._compiled()
        self._postings.save(folder)
        write_json(folder / "vocabulary.json", list(self._vocabulary), indent=None)
        self._ids.save(folder / "ids.json")
        write_json(folder / "settings.json", {"backend": self.backend, "k1": self.k1, "b": self.b})
        if self._weights is not None:
            save_array(folder / "weights.npy", self._weights)

    @classmethod
    def open(cls, folder: Path) -> Bm25Index:
        """The saved index, memory-mapped."""
        index = cls(**json.loads((folder / "settings.json").read_text(encoding="utf-8")))
        index._ids = IdTable.open(folder / "ids.json")
        words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        index._vocabulary = {word: n for n, word in enumerate(words)}
        index._postings = Postings.open(folder)
        if (folder / "weights.npy").is_file():
            index._weights = np.load(folder / "weights.npy", mmap_mode="r")
        postings, weights = index._postings, index._weights
        parts = (
            len(postings.bounds) - 1,
            len(postings.lengths),
            len(postings.texts) if weights is None else len(weights),
        )
        if parts != (len(words), len(index._ids.ids), len(postings.texts)):
            raise ValueError("its words, texts and ids do not fit each other")
        return index


def _hopeful(scores: Scores, k: int) -> NDArray[np.intp]:
    """Where scores above 0 are that may be among the k best: of blocks of texts the k-th highest peak is no higher than the k-th best score."""
    count = len(scores) // BLOCK
    if count < k:
        return np.flatnonzero(scores > 0)
    peaks = scores[: count * BLOCK].reshape(count, BLOCK).max(1)
    least = np.partition(peaks, count - k)[count - k]
    return np.flatnonzero(scores >= least if least > 0 else scores > 0)


def _reference(postings: Postings, alive: NDArray[np.bool_], k1: float, b: float) -> Score:
    """rank-bm25's BM25Okapi with the idf above. It visits every text for every word: for small corpora and for tests."""
    from rank_bm25 import BM25Okapi

    class Okapi(BM25Okapi):  # type: ignore[misc]
        def _calc_idf(self, nd: dict[int, int]) -> None:
            self.idf = {word: math.log(1 + (self.corpus_size - n + 0.5) / (n + 0.5)) for word, n in nd.items()}

    living = [bag for bag, lives in zip(postings.bags(), alive, strict=True) if lives]
    # at a k1 of 0 it divides 0 by 0 for every text without the word, at a b of 1 for every empty text
    okapi = Okapi(living, k1=k1 or np.finfo(float).tiny, b=b) if any(living) else None

    def score(query: Sequence[int]) -> Scores:
        found = np.zeros(len(alive), np.float32)
        if okapi is not None:
            with np.errstate(invalid="ignore"):
                found[alive] = np.nan_to_num(okapi.get_scores(query))
        return found

    return score
