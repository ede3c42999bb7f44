"""Milvus against the flat reference, over Milvus Lite: same ids, same scores, same order, with twins, filters, deletions and a reload."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_rows import unit

from medrag.errors import OfflineError, SettingsError
from medrag.indexes.flat import FlatIndex
from medrag.indexes.milvus import FILE, MilvusIndex, partition_of


def names(count: int) -> list[str]:
    return [f"{'ab'[n % 2]}:{(n * 7919) % 100_003:05}" for n in range(count)]  # not in the order of their positions


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("milvus") / "lite.db")


def both(uri: str, vectors: np.ndarray) -> tuple[FlatIndex, MilvusIndex]:
    flat, far = FlatIndex(), MilvusIndex(uri)
    for index in (flat, far):
        index.add(names(len(vectors)), vectors)
    return flat, far


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_it_equals_the_reference(uri: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 120))
    vectors = unit(data.draw(st.integers(0, 10_000)), count, twins=data.draw(st.integers(0, count // 2)))
    flat, far = both(uri, vectors)
    ids = names(count)
    gone = data.draw(st.lists(st.sampled_from(ids), unique=True, max_size=count))
    assert flat.delete([*gone, "never:1"]) == far.delete([*gone, "never:1"]) == len(gone)
    exclude = set(data.draw(st.lists(st.sampled_from(ids), max_size=5)))
    allowed = data.draw(st.none() | st.sets(st.sampled_from(ids)))
    k = data.draw(st.integers(0, count + 3))
    queries = np.concatenate([unit(5, 3), vectors[:2]])
    expected, names_expected = flat.search(queries, k, allowed=allowed, exclude=exclude)
    scores, found = far.search(queries, k, allowed=allowed, exclude=exclude)
    assert found == names_expected
    np.testing.assert_array_equal(scores, expected)
    assert len(far) == len(flat)


def test_ties_across_the_cut_are_settled_by_id(uri: str) -> None:
    vectors = np.repeat(unit(1, 1), 300, axis=0)
    flat, far = both(uri, vectors)
    assert far.search(vectors[:1], 5)[1] == flat.search(vectors[:1], 5)[1] == [sorted(names(300))[:5]]


def test_what_was_saved_comes_back_and_grows(uri: str, tmp_path: Path) -> None:
    vectors = unit(7, 40)
    flat, far = both(uri, vectors)
    for index in (flat, far):
        index.delete(names(40)[:9])
    far.save(tmp_path)
    again = MilvusIndex.open(tmp_path)
    assert len(again) == 31
    assert again.search(vectors, 7)[1] == flat.search(vectors, 7)[1]
    again.add([names(40)[3], "b:new"], -vectors[3:5])
    assert len(again) == 33
    assert again.search(-vectors[3:5], 1)[1] == [[names(40)[3]], ["b:new"]]
    assert sorted(item for ids, _ in again.rows(8) for item in ids) == sorted([*names(40)[9:], names(40)[3], "b:new"])


def test_hiding_in_one_process_takes_nothing_from_the_collection(uri: str, tmp_path: Path) -> None:
    far = both(uri, unit(8, 20))[1]
    far.save(tmp_path)
    reader = MilvusIndex.open(tmp_path)
    reader.delete(names(20)[:15])
    assert len(reader) == 5
    assert len(MilvusIndex.open(tmp_path)) == 20


def test_a_corpus_is_a_partition(uri: str) -> None:
    vectors = unit(9, 60)
    far = both(uri, vectors)[1]
    found = far.search(vectors[:4], 60, corpora=["b"])[1]
    assert all(len(row) == 30 and {item[0] for item in row} == {"b"} for row in found)
    assert far.search(vectors[:1], 3, corpora=["no-such"])[1] == [[]]
    spelled = [partition_of(f"{name}:1") for name in ("a-b", "a_b", "ab", "ä b", "x" * 300)]
    assert len(set(spelled)) == 5
    assert all(name.isascii() and len(name) < 256 for name in spelled)


def test_ids_may_hold_any_sign(uri: str) -> None:
    odd = ['a:"q"', "a:b\\n", "a:it's", "a:ü\nline", "a:%_", "no corpus", "a:tab\t}"]
    far = MilvusIndex(uri)
    far.add(odd, unit(2, len(odd)))
    assert far.search(unit(2, len(odd)), 1)[1] == [[one] for one in odd]
    assert far.search(unit(2, len(odd)), 1, allowed=odd)[1] == [[one] for one in odd]
    assert far.delete(odd[:4]) == 4
    assert {item for row in far.search(unit(2, 3), 9)[1] for item in row} == set(odd[4:])


def test_other_kinds_of_index_find_nearly_the_same(uri: str) -> None:
    vectors = unit(3, 500)
    far = MilvusIndex(uri, index="HNSW", params={"M": 16, "efConstruction": 100}, search={"ef": 100})
    far.add(names(500), vectors)
    assert np.mean([far.search(vectors[n : n + 1], 5)[1][0][0] == names(500)[n] for n in range(50)]) > 0.95


def test_an_empty_index_finds_nothing(uri: str, tmp_path: Path) -> None:
    far = MilvusIndex(uri)
    assert far.search(unit(1, 2), 3)[1] == [[], []]
    far.save(tmp_path)
    assert len(MilvusIndex.open(tmp_path)) == 0


def test_a_folder_that_goes_takes_its_collection_along_but_not_its_heirs(uri: str, tmp_path: Path) -> None:
    far = both(uri, unit(4, 10))[1]
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        far.save(tmp_path / name)
    MilvusIndex.drop(tmp_path / "old", tmp_path / "new")
    assert len(MilvusIndex.open(tmp_path / "new")) == 10
    MilvusIndex.drop(tmp_path / "new")
    with pytest.raises(SettingsError, match="has no collection"):
        MilvusIndex.open(tmp_path / "new")


def test_what_does_not_work_is_told_in_one_line(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"Milvus at http://127\.0\.0\.1:1"):
        MilvusIndex("http://127.0.0.1:1").add(["a"], unit(1, 1))
    far = both(uri, unit(1, 4))[1]
    with pytest.raises(SettingsError, match="do not fit an index of 16"):
        far.search(unit(1, 1, dim=8), 1)
    with pytest.raises(SettingsError, match="2 ids came with 1"):
        far.add(["a", "b"], unit(1, 1))
    monkeypatch.setenv("MEDRAG_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"milvus\.example\.org"):
        MilvusIndex("http://milvus.example.org:19530").add(["a"], unit(1, 1))


def test_no_secret_is_written(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_MILVUS_TOKEN", "root:secret")
    far = both(uri, unit(1, 4))[1]
    far.save(tmp_path)
    assert "secret" not in (tmp_path / FILE).read_text()
    assert json.loads((tmp_path / FILE).read_text())["uri"] == uri
