"""BM25 over words: bm25s as the fast backend, rank-bm25 as the reference, with equal scores.

Robertson & Zaragoza, *The Probabilistic Relevance Framework* (2009); Lù, *BM25S* (2024); Trotman et al. (2014).
Both backends compute the same function of a query q and a text d of length |d|:

    Σ_{t in q} idf(t) · tf(t,d)·(k1 + 1) / (tf(t,d) + k1·(1 − b + b·|d| / avgdl)),   idf(t) = ln(1 + (N − n_t + ½) / (n_t + ½))

That is Okapi's term weight (bm25s calls it ``atire``) with Lucene's idf. rank-bm25's own idf becomes negative for words
in more than half of the texts and is then replaced by a share of the average; that floor depends on the whole
vocabulary and can rank a common word above a rarer one, so it is not used. Knows ids and texts only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import atomic_open, write_json
from medrag._util.text import content_words
from medrag.errors import SettingsError
from medrag.indexes.ids import IdTable, padded

Scores = NDArray[np.floating]
BACKENDS = ("bm25s", "rank-bm25")


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


class Engine(Protocol):
    """A backend: scores of all texts for the words of a query, given as numbers of a vocabulary."""

    def scores(self, query: Sequence[int]) -> Scores: ...


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
        self.backend, self.k1, self.b = backend, k1, b
        self._ids = IdTable()
        self._vocabulary: dict[str, int] = {}
        self._texts: list[NDArray[np.int32]] = []  # the words of each text, as numbers
        self._rows: list[int] = []  # the position of each text that the engine scores
        self._engine: Engine | None = None
        self._folder: Path | None = None  # where the words lie until they are needed

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Appends; an id that is there already gets its new text. Statistics are counted at the next search."""
        if len(ids) != len(texts):
            raise SettingsError(f"{len(ids)} ids came with {len(texts)} texts", "give one text for each id")
        self._thaw()
        known = self._vocabulary
        self._texts += [
            np.array([known.setdefault(word, len(known)) for word in terms(text)], np.int32) for text in texts
        ]
        self._ids.add(ids)
        self._engine = None

    def delete(self, ids: Sequence[str]) -> int:
        """How many of the ids were there. Word statistics are then those of the remaining texts."""
        self._thaw()
        gone = self._ids.delete(ids)
        self._engine = None if gone else self._engine
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
        engine = self._compiled()
        mask = self._ids.wanted(allowed, exclude)
        rows = np.array(self._rows)
        found = []
        for query in queries:
            weights = engine.scores([self._vocabulary[word] for word in terms(query) if word in self._vocabulary])
            keep = weights > 0 if mask is None else (weights > 0) & mask[rows]
            found.append(self._ids.best(weights[keep], rows[keep], k))
        return padded(found)

    def _compiled(self) -> Engine:
        if self._engine is None:
            self._rows = self._ids.alive()
            make = _Bm25s.build if self.backend == "bm25s" else _Reference
            self._engine = make([self._texts[n] for n in self._rows], self._vocabulary, self.k1, self.b)
        return self._engine

    def _thaw(self) -> None:
        """Reads the words back before the index changes."""
        if self._folder is not None:
            flat, ends = np.load(self._folder / "words.npy"), np.load(self._folder / "ends.npy")
            self._texts, self._folder = np.split(flat, ends[:-1]) if len(ends) else [], None

    def save(self, folder: Path) -> None:
        """Writes the words, the vocabulary, the ids and, for bm25s, its score matrix."""
        self._thaw()
        words = np.concatenate(self._texts) if self._texts else np.zeros(0, np.int32)
        _save_array(folder / "words.npy", words.astype(np.int32))
        _save_array(folder / "ends.npy", np.cumsum([len(text) for text in self._texts], dtype=np.int64))
        with atomic_open(folder / "vocabulary.json", "w") as stream:
            json.dump(list(self._vocabulary), stream, ensure_ascii=False)
        self._ids.save(folder / "ids.json")
        write_json(folder / "settings.json", {"backend": self.backend, "k1": self.k1, "b": self.b})
        if len(self) and isinstance(engine := self._compiled(), _Bm25s):
            engine.save(folder)

    @classmethod
    def open(cls, folder: Path) -> Bm25Index:
        """The saved index; bm25s's matrix is memory-mapped, the words are read when the index changes."""
        index = cls(**json.loads((folder / "settings.json").read_text(encoding="utf-8")))
        index._ids = IdTable.open(folder / "ids.json")
        words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        index._vocabulary = {word: n for n, word in enumerate(words)}
        index._folder = folder
        if (folder / "indptr.npy").is_file():
            index._rows = index._ids.alive()
            index._engine = _Bm25s.open(folder, len(index._rows))
        else:
            index._thaw()
        return index


class _Bm25s:
    """bm25s: the weight of every word in every text is computed once; a query adds columns of a sparse matrix."""

    FILES = ("data", "indices", "indptr")

    def __init__(self, matrix: dict[str, Any]) -> None:
        from bm25s import BM25

        self._bm25 = BM25(method="atire", idf_method="lucene", backend="numpy")
        self._bm25.scores, self._bm25.nonoccurrence_array = matrix, None

    @classmethod
    def build(cls, texts: Sequence[NDArray[np.int32]], vocabulary: dict[str, int], k1: float, b: float) -> _Bm25s:
        from bm25s import BM25

        bm25 = BM25(k1=k1, b=b, method="atire", idf_method="lucene", backend="numpy", csc_backend="scipy")
        if not any(len(text) for text in texts):
            return cls(_nothing(len(texts), len(vocabulary)))
        return cls(
            bm25.build_index_from_ids(list(vocabulary.values()), [text.tolist() for text in texts], show_progress=False)
        )

    def scores(self, query: Sequence[int]) -> Scores:
        found: Scores = self._bm25.get_scores_from_ids(list(query))
        return found

    def save(self, folder: Path) -> None:
        for name in self.FILES:
            _save_array(folder / f"{name}.npy", self._bm25.scores[name])

    @classmethod
    def open(cls, folder: Path, count: int) -> _Bm25s:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in cls.FILES}
        return cls({**arrays, "num_docs": count})


def _nothing(texts: int, words: int) -> dict[str, Any]:
    """The matrix of texts without a single word, which bm25s cannot build."""
    return {
        "data": np.zeros(0, np.float32),
        "indices": np.zeros(0, np.int32),
        "indptr": np.zeros(words + 2, np.int64),
        "num_docs": texts,
    }


def _Reference(texts: Sequence[NDArray[np.int32]], vocabulary: dict[str, int], k1: float, b: float) -> Engine:  # noqa: N802
    """rank-bm25's BM25Okapi with the idf above. It visits every text for every word: for small corpora and for tests."""
    import math

    from rank_bm25 import BM25Okapi

    class Okapi(BM25Okapi):  # type: ignore[misc]
        def _calc_idf(self, nd: dict[int, int]) -> None:
            self.idf = {word: math.log(1 + (self.corpus_size - n + 0.5) / (n + 0.5)) for word, n in nd.items()}

        def scores(self, query: Sequence[int]) -> Scores:
            found: Scores = self.get_scores(query)
            return found

    engine: Engine = (
        Okapi([text.tolist() for text in texts], k1=k1, b=b)
        if any(map(len, texts))
        else _Bm25s(_nothing(len(texts), len(vocabulary)))
    )
    return engine


def _save_array(path: Path, array: NDArray[Any]) -> None:
    with atomic_open(path) as stream:
        np.save(stream, array)
