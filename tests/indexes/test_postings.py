"""The matrix of words and texts: grown it is the one made at once, and its weights are those of the package bm25s."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.indexes._postings import FILES, Postings

bags_of = st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=12)


def postings(bags: list[list[int]], vocabulary: int = 10) -> Postings:
    words = np.array([word for bag in bags for word in bag], np.int32)
    return Postings.of(words, np.array([len(bag) for bag in bags], np.int32), vocabulary)


def same(one: Postings, other: Postings) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FILES)


@given(bags=bags_of)
def test_the_texts_come_back_as_bags(bags: list[list[int]]) -> None:
    assert [sorted(bag) for bag in postings(bags).bags()] == [sorted(bag) for bag in bags]


@given(first=bags_of, then=bags_of, more=bags_of)
def test_grown_it_is_the_one_made_at_once(first: list[list[int]], then: list[list[int]], more: list[list[int]]) -> None:
    seen = max((word for bag in first for word in bag), default=-1) + 1
    grown = postings(first, seen).plus(postings(then)).plus(postings(more))
    assert same(grown, postings(first + then + more))


@settings(max_examples=60)
@given(bags=bags_of.filter(any), data=st.data())
def test_weights_are_those_of_the_package_and_of_the_living(bags: list[list[int]], data: st.DataObject) -> None:
    from bm25s import BM25

    alive = np.array(data.draw(st.lists(st.booleans(), min_size=len(bags), max_size=len(bags))))
    living = [bag for bag, lives in zip(bags, alive, strict=True) if lives]
    mine = postings(bags)
    weights = mine.weights(alive, 1.5, 0.75)
    if not any(living):
        return
    theirs = BM25(k1=1.5, b=0.75, method="atire", idf_method="lucene", csc_backend="scipy")
    theirs.scores, theirs.nonoccurrence_array = (
        theirs.build_index_from_ids(range(10), living, show_progress=False),
        None,
    )
    for query in ([0], [3, 3, 7], list(range(10))):
        found = mine.scores(weights, query)[alive]
        np.testing.assert_allclose(found, theirs.get_scores_from_ids(query), atol=1e-5)


def test_blocks_of_words_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bags = [rng.integers(0, 10, rng.integers(1, 30)).tolist() for _ in range(50)]
    mine, alive = postings(bags), np.ones(50, bool)
    whole = mine.weights(alive, 1.5, 0.75)
    monkeypatch.setattr(Postings._blocks, "__defaults__", (7,))
    np.testing.assert_array_equal(mine.weights(alive, 1.5, 0.75), whole)
    mine.save(tmp_path)
    assert same(Postings.open(tmp_path), mine)


def test_what_an_earlier_version_saved_is_counted(tmp_path: Path) -> None:
    np.save(tmp_path / "words.npy", np.array([0, 2, 2, 1], np.int32))
    np.save(tmp_path / "ends.npy", np.array([3, 3, 4], np.int64))
    (tmp_path / "vocabulary.json").write_text('["a", "b", "c"]')
    assert same(Postings.open(tmp_path), postings([[0, 2, 2], [], [1]], 3))
