"""Milvus against the flat reference, over Milvus Lite: same ids, same scores, same order, with twins, filters, deletions and a reload."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_rows import unit

from medrag.build import build
from medrag.convert import convert, with_kind
from medrag.errors import OfflineError, SettingsError
from medrag.indexes._partitions import looks, partition_of
from medrag.indexes.flat import FlatIndex
from medrag.indexes.milvus import FILE, MilvusIndex
from medrag.indexes.store import open_store
from medrag.settings import Recipe
from medrag.types import Item, Passage


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
    spelled += [
        partition_of("a:1", "b"),
        partition_of("aDb:1"),
        partition_of("a:1", "x" * 300),
        partition_of("x" * 300 + ":1", "y" * 300),
    ]
    assert len(set(spelled)) == 9
    assert all(name.isascii() and len(name) < 256 for name in spelled)


def far_of(uri: str, vectors: np.ndarray, domains: dict[str, str], **options: Any) -> MilvusIndex:
    far = MilvusIndex(uri, **options)
    far.add(names(len(vectors)), vectors, domains)
    return far


def asked_of(far: MilvusIndex, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str] | None, str]]:
    """Where Milvus is asked to look, and for what, from now on."""
    asked, search = [], far._client.search

    def told(*args: Any, **options: Any) -> Any:
        asked.append((options["partition_names"], options["filter"]))
        return search(*args, **options)

    monkeypatch.setattr(far._client, "search", told)
    return asked


def test_a_filter_by_domain_looks_into_partitions_alone(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medrag.indexes.milvus.NAMES", 5)
    vectors, ids = unit(9, 80, twins=20), names(80)
    domains = {item: ("chest x-ray", "skin", "")[n % 3] for n, item in enumerate(ids)}
    flat, far = FlatIndex(), far_of(uri, vectors, domains)
    flat.add(ids, vectors)
    asked = asked_of(far, monkeypatch)
    wanted = frozenset(item for item in ids if domains[item] != "skin")
    for allowed in (wanted, wanted | {"umls:C1", "a:not in this index"}):
        expected, found = flat.search(vectors[:4], 9, allowed=allowed), far.search(vectors[:4], 9, allowed=allowed)
        assert found[1] == expected[1]
        np.testing.assert_array_equal(found[0], expected[0])
    assert {(tuple(there or ()), some) for there, some in asked} == {
        (("p_a", "p_aDchest_20_x_2d_ray", "p_b", "p_bDchest_20_x_2d_ray"), "")
    }


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_partitions_by_domain_change_no_answer(uri: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    vectors, ids = (
        unit(data.draw(st.integers(0, 10_000)), count, twins=data.draw(st.integers(0, count // 2))),
        names(count),
    )
    domains = data.draw(st.dictionaries(st.sampled_from(ids), st.sampled_from(["x", "y", ""])))
    flat, far = FlatIndex(), far_of(uri, vectors, domains)
    flat.add(ids, vectors)
    gone = data.draw(st.lists(st.sampled_from(ids), unique=True))
    again = data.draw(st.lists(st.sampled_from(ids), unique=True))
    for index in (flat, far):
        index.delete(gone)
        if again:  # with new vectors, and in other domains
            index.add(again, -vectors[: len(again)], *([dict.fromkeys(again, "y")] if index is far else []))
    allowed = data.draw(st.none() | st.frozensets(st.sampled_from(ids)))
    exclude = data.draw(st.sets(st.sampled_from(ids), max_size=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medrag.indexes.milvus.NAMES", 0)
        for corpora in ((), ("a",)):
            own = frozenset(item for item in (ids if allowed is None else allowed) if not corpora or item[0] == "a")
            expected = flat.search(vectors[:3], 7, allowed=own, exclude=exclude)
            found = far.search(vectors[:3], 7, allowed=allowed, exclude=exclude, corpora=corpora)
            assert found[1] == expected[1]
            np.testing.assert_array_equal(found[0], expected[0])
    assert len(far) == len(flat)


def test_what_changes_its_domain_is_there_once(uri: str, tmp_path: Path) -> None:
    vectors, ids = unit(7, 12), names(12)
    far = far_of(uri, vectors, dict.fromkeys(ids, "x"))
    far.save(tmp_path)
    grown = MilvusIndex.open(tmp_path)
    grown.delete(ids[:2])
    grown.add(ids[:3], -vectors[:3], {ids[0]: "y"})
    grown.save(tmp_path)
    again = MilvusIndex.open(tmp_path)
    assert len(again) == 12 == sum(len(some) for some, _ in again.rows())
    assert again.search(-vectors[:3], 1)[1] == [[item] for item in ids[:3]]


def test_what_is_withheld_by_the_thousand_is_left_out_by_partitions(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medrag.indexes.milvus.NAMES", 5)
    vectors = unit(9, 60)
    far = both(uri, vectors)[1]
    assert far.delete([item for item in names(60) if item[0] == "b"]) == 30
    asked = asked_of(far, monkeypatch)
    assert {item[0] for item in far.search(vectors[:1], 60)[1][0]} == {"a"}
    assert asked[0] == (["p_a"], "")
    far.add(["b:new"], vectors[1:2])
    assert far.search(vectors[1:2], 1)[1] == [["b:new"]]


class Notes:
    """A corpus of passages that say their domains: a letter of theirs."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def signature(self) -> str:
        return "1"

    def read(self, report: Any) -> Iterator[Item]:
        for n in range(12):
            yield Passage(
                f"notes:{n}", f"notes:{n}", f"note {'abc'[n % 3] * (n + 1)}", meta={"domain": ("x", "y", "")[n % 3]}
            )


class Letters:
    dim, modality, fingerprint = 26, "text", "letters/1"

    def __init__(self, model: str, *, batch: int, device: str) -> None:
        self.name = model

    def encode_items(self, items: Any) -> np.ndarray:
        rows = np.array([[item.text.count(chr(97 + n)) for n in range(26)] for item in items], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_what_is_built_and_what_is_converted_lies_by_domain(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    raw = {
        "name": "built",
        "corpora": [{"name": "notes", "reader": f"{__name__}:Notes", "path": str(tmp_path)}],
        "encoders": {"letters": {"model": "letters", "kind": f"{__name__}:Letters"}},
        "indexes": {"text": {"kind": "milvus", "encoder": "letters", "options": {"uri": uri}}},
    }
    build(Recipe.model_validate(raw), tmp_path / "built")
    store = open_store(tmp_path / "built")
    convert(store, with_kind(store.recipe, "moved", "milvus", {"uri": uri}), tmp_path / "moved")
    wanted = frozenset(f"notes:{n}" for n in range(12) if n % 3 != 1)
    monkeypatch.setattr("medrag.indexes.milvus.NAMES", 5)
    for folder in ("built", "moved"):
        index = open_store(tmp_path / folder).index("text")
        asked = asked_of(index, monkeypatch)
        assert set(index.search(np.eye(26, dtype=np.float32)[:1], 12, allowed=wanted)[1][0]) == wanted
        assert asked == [(["p_notes", "p_notesDx"], "")]
    store = open_store(tmp_path / "moved")
    monkeypatch.setattr(store.items, "get", None)  # other kinds are not told domains, and no item is read for them
    convert(store, with_kind(store.recipe, "flat", "flat", {}), tmp_path / "flat")
    assert len(open_store(tmp_path / "flat").index("text")) == 12


def test_the_shorter_list_is_sent() -> None:
    members = {"p_a": {f"a:{n}" for n in range(9)}, "p_b": {"b:1", "b:2"}, "p_c": {"c:1"}}
    assert looks(members, frozenset({"a:3", "b:1", "b:2"}), set()) == [(["p_b"], ""), (["p_a"], 'id in ["a:3"]')]
    assert looks(members, None, {"a:3", "c:1"}) == [(["p_b"], ""), (["p_a"], 'not (id in ["a:3"])')]
    assert looks(members, frozenset({"d:1"}), set()) == []


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
