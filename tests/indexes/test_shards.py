"""An index of several FAISS indexes against one of one: same ids, same scores, same order, whatever is done to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_rows import unit

from medrag.errors import SettingsError
from medrag.indexes.faiss import FaissIndex
from medrag.indexes.tune import nearest, tune


def names(count: int) -> list[str]:
    return [f"c:{(n * 7919) % 100_003:05}" for n in range(count)]  # not in the order of their positions


def same(one: FaissIndex, other: FaissIndex, queries: np.ndarray, k: int, **filters: object) -> None:
    expected, ids = one.search(queries, k, **filters)  # type: ignore[arg-type]
    scores, found = other.search(queries, k, **filters)  # type: ignore[arg-type]
    assert found == ids
    np.testing.assert_array_equal(scores, expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_shards_find_what_one_index_finds(data: st.DataObject) -> None:
    count, shards = data.draw(st.integers(1, 120)), data.draw(st.integers(2, 5))
    vectors, ids = (
        unit(data.draw(st.integers(0, 10_000)), count, twins=data.draw(st.integers(0, count // 2))),
        names(count),
    )
    whole, parted = FaissIndex("Flat"), FaissIndex("Flat", shards=shards)
    first = data.draw(st.integers(0, count))
    gone = data.draw(st.lists(st.sampled_from(ids), unique=True, max_size=count))
    for index in (whole, parted):
        for some in (slice(first), slice(first, count)):  # appended, at any place
            index.add(ids[some], vectors[some])
        index.add(ids[:1], vectors[-1:])  # and replaced
        assert index.delete(gone) == len(gone)
    exclude = set(data.draw(st.lists(st.sampled_from(ids), max_size=5)))
    allowed = data.draw(st.none() | st.sets(st.sampled_from(ids)))
    queries = np.concatenate([unit(5, 3), vectors[:2]])
    same(whole, parted, queries, data.draw(st.integers(0, count + 3)), allowed=allowed, exclude=exclude)
    where = np.array(whole.positions(), np.int64)
    np.testing.assert_array_equal(parted.vectors_at(where), whole.vectors_at(where))


def test_ties_over_all_shards_are_settled_by_id() -> None:
    vectors = np.repeat(unit(1, 1), 300, axis=0)
    index = FaissIndex("Flat", shards=3)
    index.add(names(300), vectors)
    assert index.search(vectors[:1], 5)[1] == [sorted(names(300))[:5]]


@pytest.mark.parametrize(
    "factory", ["Flat", "IVF8,Flat", "IVF8,SQ8", "IVF8_HNSW8,PQ4x4", "SQ8", "PCA8,IVF4,Flat", "PQ4x4fs"]
)
def test_shards_of_one_training_find_the_same(factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    vectors, ids = unit(3, 600), names(600)
    indexes = [FaissIndex(factory, rerank=300, nprobe=2, shards=shards) for shards in (1, 3)]
    for n, index in enumerate(indexes):
        index.add(ids, vectors)
        index.delete(ids[:40])
        index.save(tmp_path / str(n))
    opened = [FaissIndex.open(tmp_path / str(n)) for n in range(2)]
    for whole, parted in (indexes, opened):
        assert parted.effort() == whole.effort() and len(parted) == 560
        same(whole, parted, vectors[:9], 10, exclude=ids[50:60])
        same(whole, parted, vectors[:9], 600, allowed=ids[30:90])
        assert [found for found, _ in parted.rows(100)] == [found for found, _ in whole.rows(100)]
        for index in (whole, parted):
            index.add(["c:new"], -vectors[:1])  # a mapped one grows, too
        same(whole, parted, -vectors[:1], 3)


def test_graphs_in_shards_find_their_own() -> None:
    vectors = unit(3, 500)
    index = FaissIndex("HNSW16", shards=4)
    index.add(names(500), vectors)
    assert np.mean([index.search(vectors[n : n + 1], 5)[1][0][0] == names(500)[n] for n in range(100)]) > 0.97
    flat = FaissIndex("Flat")
    flat.add(names(500), vectors)
    assert nearest(index, vectors[:5], 3)[1] == flat.search(vectors[:5], 3)[1]


def test_shards_are_tuned_together(tmp_path: Path) -> None:
    vectors = unit(3, 3000, dim=24)
    told = []
    for shards in (1, 3):
        index = FaissIndex("IVF32,Flat", nprobe=1, shards=shards)
        index.add(names(3000), vectors)
        found = tune(index, 0.95)
        told.append((found["nprobe"], found["recall"]))
        index.save(tmp_path / str(shards))
    assert told[0] == told[1]
    assert FaissIndex.open(tmp_path / "3").nprobe == told[0][0]


def test_fewer_vectors_than_shards(tmp_path: Path) -> None:
    for factory in ("Flat", "HNSW8"):
        index = FaissIndex(factory, shards=5)
        index.save(tmp_path / factory)
        assert len(FaissIndex.open(tmp_path / factory)) == 0
        index.add(names(2), unit(1, 2))
        index.save(tmp_path / factory)
        again = FaissIndex.open(tmp_path / factory)
        assert again.shards == 5 and [row[0] for row in again.search(unit(1, 2), 2)[1]] == names(2)


def test_a_copied_folder_is_the_same_index(tmp_path: Path) -> None:
    index = FaissIndex("Flat", shards=2)
    index.add(names(9), unit(1, 9))
    index.save(tmp_path / "one")
    FaissIndex.open(tmp_path / "one").save(tmp_path / "two")
    shutil.rmtree(tmp_path / "one")
    same(index, FaissIndex.open(tmp_path / "two"), unit(1, 9), 4)


@pytest.mark.parametrize("shards", [0, -1, "2", 1.5, None])
def test_a_number_of_shards_that_is_none_is_told(shards: object) -> None:
    with pytest.raises(SettingsError, match="shards is"):
        FaissIndex(shards=shards)  # type: ignore[arg-type]
