"""BM25: bm25s against rank-bm25, filters, ties, deletion, reload, and the words that are counted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.errors import SettingsError
from medrag.indexes.bm25 import Bm25Index, terms

WORDS = ["mass", "lung", "left", "right", "effusion", "clear", "heart", "apex", "nodule", "normal", "pleura"]
texts_of = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), min_size=1, max_size=30)


def pair(texts: list[str]) -> tuple[Bm25Index, Bm25Index]:
    fast, slow = Bm25Index("bm25s"), Bm25Index("rank-bm25")
    for index in (fast, slow):
        index.add([f"t{n:02}" for n in range(len(texts))], texts)
    return fast, slow


def scores_by_id(index: Bm25Index, query: str) -> dict[str, float]:
    scores, ids = index.search(query, 1000)
    return dict(zip(ids, scores.tolist(), strict=True))


@settings(max_examples=100, deadline=None)
@given(texts=texts_of, query=st.lists(st.sampled_from([*WORDS, "unknown"]), max_size=6).map(" ".join))
def test_bm25s_scores_equal_rank_bm25(texts: list[str], query: str) -> None:
    fast, slow = (scores_by_id(index, query) for index in pair(texts))
    assert fast.keys() == slow.keys()
    for name, score in fast.items():
        assert score == pytest.approx(slow[name], abs=1e-4)


@pytest.mark.parametrize(("k1", "b"), [(0, 0.75), (1.5, 1), (0, 1)])
def test_where_rank_bm25_divides_by_nothing(k1: float, b: float) -> None:
    """By texts without the word, or without any: they take no place among the best."""
    texts = [" ".join(WORDS[: n % 5]) for n in range(1000)]
    found = []
    for backend in ("bm25s", "rank-bm25"):
        index = Bm25Index(backend, k1=k1, b=b)  # type: ignore[arg-type]
        index.add([f"t{n:04}" for n in range(1000)], texts)
        found.append(index.search("lung right", 3))
    assert found[0][1] == found[1][1] and len(found[0][1]) == 3
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)


def test_the_formula_of_the_docstring_by_hand() -> None:
    fast, slow = pair(["mass lung lung", "lung clear", "heart"])
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = idf * 2 * 2.5 / (2 + 1.5 * (1 - 0.75 + 0.75 * 3 / 2))
    for index in (fast, slow):
        assert scores_by_id(index, "lung")["t00"] == pytest.approx(expected, abs=1e-6)


def test_a_word_in_every_text_still_counts() -> None:
    for index in pair(["lung mass", "lung", "lung lung"]):
        assert all(score > 0 for score in scores_by_id(index, "lung").values())


@settings(max_examples=40, deadline=None)
@given(texts=texts_of, more=texts_of, data=st.data())
def test_append_and_delete_equal_a_fresh_index(texts: list[str], more: list[str], data: st.DataObject) -> None:
    ids = [f"t{n:02}" for n in range(len(texts) + len(more))]
    gone = set(data.draw(st.lists(st.sampled_from(ids), max_size=len(ids) - 1)))
    for backend in ("bm25s", "rank-bm25"):
        grown, fresh = Bm25Index(backend), Bm25Index(backend)
        grown.add(ids[: len(texts)], texts)
        grown.search("lung", 1)
        grown.add(ids[len(texts) :], more)
        assert grown.delete(sorted(gone)) == len(gone)
        left = [(name, text) for name, text in zip(ids, texts + more, strict=True) if name not in gone]
        fresh.add(*map(list, zip(*left, strict=True)) if left else ([], []))
        for query in ("left lung mass", "normal heart"):
            assert scores_by_id(grown, query) == pytest.approx(scores_by_id(fresh, query), abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(texts=texts_of)
def test_save_and_open_give_the_same_answers(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    for index in pair(texts):
        index.delete(["t00"] if len(texts) > 1 else [])
        folder = tmp_path_factory.mktemp("saved")
        index.save(folder)
        again = Bm25Index.open(folder)
        for query in WORDS:
            np.testing.assert_array_equal(again.search(query, 9)[0], index.search(query, 9)[0])
            assert again.search(query, 9)[1] == index.search(query, 9)[1]
        again.add(["new"], ["zebra stripes"])
        assert again.search("zebra", 3)[1] == ["new"]


@given(texts=texts_of, data=st.data(), k=st.integers(1, 6))
def test_the_best_are_those_of_all_scores(texts: list[str], data: st.DataObject, k: int) -> None:
    """Whatever the blocks, of which only the peaks are looked at first."""
    ids = [f"t{n}" for n in range(len(texts))]
    gone, hidden = (data.draw(st.sets(st.sampled_from(ids))) if ids else set[str]() for _ in range(2))
    index = Bm25Index()
    index.add(ids, texts)
    index.delete(sorted(gone))
    query = " ".join(WORDS)
    scores, found = index.search(query, len(texts) + 1, exclude=hidden)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medrag.indexes.bm25.BLOCK", data.draw(st.integers(1, 3)))
        some, first = index.search(query, k, exclude=hidden)
    assert first == found[:k] and np.array_equal(some, scores[:k])
    assert not {*first} & (gone | hidden)


def test_filters_and_ties() -> None:
    for index in pair(["mass"] * 9 + ["heart"]):
        assert index.search("mass", 3)[1] == ["t00", "t01", "t02"]
        assert index.search("mass", 3, exclude={"t01"})[1] == ["t00", "t02", "t03"]
        assert index.search("mass", 3, allowed={"t05", "t07", "t09"})[1] == ["t05", "t07"]
        scores, ids = index.search(["heart", "mass", "zebra"], 2)
        assert ids == [["t09"], ["t00", "t01"], []]
        assert scores[0, 1] == scores[2, 0] == -np.inf


def test_nothing_to_find(tmp_path: Path) -> None:
    for backend in ("bm25s", "rank-bm25"):
        for texts in ([], ["", "the of"]):
            index = Bm25Index(backend)
            index.add([f"t{n}" for n in range(len(texts))], texts)
            assert index.search("lung", 3)[1] == []
            index.save(tmp_path)
            assert Bm25Index.open(tmp_path).search("lung", 3)[1] == []


def test_only_empty_texts_left() -> None:
    for index in pair(["lung mass effusion", ""]):
        index.delete(["t00"])
        assert index.search("mass effusion", 3)[1] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Masses of the lungs", ["mass", "lung"]),
        ("bilateral opacities", ["bilateral", "opacity"]),
        ("pleural effusions, diagnosis: fibrosis", ["pleural", "effusion", "diagnosis", "fibrosis"]),
        ("thymus gas abscess bus", ["thymus", "gas", "abscess", "bus"]),
    ],
)
def test_the_words_that_count(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


def test_wrong_use_is_refused() -> None:
    with pytest.raises(SettingsError, match="no backend 'lucene'"):
        Bm25Index("lucene")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="2 ids came with 1"):
        Bm25Index().add(["a", "b"], ["x"])
