"""FAISS against the flat reference: same ids, same scores, same order, with twins, filters, deletions and a reload."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_rows import unit

from medrag.errors import SettingsError
from medrag.indexes.faiss import FaissIndex
from medrag.indexes.flat import FlatIndex

FACTORIES = ["Flat", "IVF8,Flat", "HNSW16", "PQ4x4", "SQ8", "PCA8,HNSW16", "PQ4x4fs", "Flat,Refine(Flat)"]


def names(count: int) -> list[str]:
    return [f"c:{(n * 7919) % 100_003:05}" for n in range(count)]  # not in the order of their positions


def both(vectors: np.ndarray) -> tuple[FlatIndex, FaissIndex]:
    flat, fast = FlatIndex(), FaissIndex()
    for index in (flat, fast):
        index.add(names(len(vectors)), vectors)
    return flat, fast


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flat_equals_the_reference(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 120))
    vectors = unit(data.draw(st.integers(0, 10_000)), count, twins=data.draw(st.integers(0, count // 2)))
    flat, fast = both(vectors)
    ids = names(count)
    gone = data.draw(st.lists(st.sampled_from(ids), unique=True, max_size=count))
    assert flat.delete(gone) == fast.delete(gone) == len(gone)
    exclude = set(data.draw(st.lists(st.sampled_from(ids), max_size=5)))
    allowed = data.draw(st.none() | st.sets(st.sampled_from(ids)))
    k = data.draw(st.integers(0, count + 3))
    queries = np.concatenate([unit(5, 3), vectors[:2]])
    expected, names_expected = flat.search(queries, k, allowed=allowed, exclude=exclude)
    scores, found = fast.search(queries, k, allowed=allowed, exclude=exclude)
    assert found == names_expected
    np.testing.assert_array_equal(scores, expected)
    wanted = (set(ids) if allowed is None else set(allowed)) - exclude - set(gone)
    assert all(len(row) == min(k, len(wanted)) and set(row) <= wanted for row in found)


def test_ties_across_the_cut_are_settled_by_id() -> None:
    vectors = np.repeat(unit(1, 1), 300, axis=0)
    flat, fast = both(vectors)
    assert fast.search(vectors[:1], 5)[1] == flat.search(vectors[:1], 5)[1] == [sorted(names(300))[:5]]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 60))
def test_save_and_open_give_the_same_answers(tmp_path_factory: pytest.TempPathFactory, seed: int, count: int) -> None:
    vectors = unit(seed, count, twins=count // 3)
    for index in both(vectors):
        index.delete(names(count)[: count // 4])
        folder = tmp_path_factory.mktemp("saved")
        index.save(folder)
        again = type(index).open(folder)
        np.testing.assert_array_equal(again.search(vectors, 7)[0], index.search(vectors, 7)[0])
        assert again.search(vectors, 7)[1] == index.search(vectors, 7)[1]
        assert len(again) == len(index)
        again.add(["c:new"], unit(seed + 1, 1))  # a mapped index can still grow
        assert again.search(unit(seed + 1, 1), 1)[1] == [["c:new"]]


@pytest.mark.parametrize("factory", FACTORIES)
def test_filters_hold_for_every_kind(factory: str, tmp_path: Path) -> None:
    vectors, ids = unit(3, 400), names(400)
    index = FaissIndex(factory)
    index.add(ids, vectors)
    index.delete(ids[:20])
    allowed = set(ids[10:60])
    exclude = set(ids[50:55])
    index.save(tmp_path)
    for one in (index, FaissIndex.open(tmp_path)):
        scores, found = one.search(vectors[:8], 10, allowed=allowed, exclude=exclude)
        assert all(len(row) == 10 and set(row) <= allowed - exclude - set(ids[:20]) for row in found)
        assert (np.diff(scores, axis=1) <= 0).all()
    recall = np.mean([ids[n] in index.search(vectors[n : n + 1], 10)[1][0] for n in range(20, 120)])
    assert recall > 0.85  # the item itself is among its neighbours; PQ at 2 bytes a vector may miss a few


def test_adding_an_id_again_replaces_its_vector() -> None:
    for index in both(unit(4, 10)):
        index.add([names(10)[3]], -unit(4, 10)[3:4])
        assert len(index) == 10
        assert index.search(-unit(4, 10)[3:4], 1)[1] == [[names(10)[3]]]
        assert names(10)[3] not in index.search(unit(4, 10)[3:4], 9)[1][0]


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    for index in (FlatIndex(), FaissIndex()):
        assert index.search(unit(1, 2), 3)[1] == [[], []]
        index.save(tmp_path)
        assert len(type(index).open(tmp_path)) == 0


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match="cannot make 'Nope'"):
        FaissIndex("Nope").add(["a"], unit(1, 1))
    with pytest.raises(SettingsError, match="cannot train"):
        FaissIndex("IVF64,Flat").add(names(8), unit(1, 8))
    flat, fast = both(unit(1, 4))
    for index in (flat, fast):
        with pytest.raises(SettingsError, match="do not fit an index of 16"):
            index.search(unit(1, 1, dim=8), 1)
        with pytest.raises(SettingsError, match="2 ids came with 1"):
            index.add(["a", "b"], unit(1, 1))


def clustered(seed: int, count: int, dim: int = 32) -> np.ndarray:
    """Unit rows around 50 centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(50, dim))
    rows = (centres[rng.integers(0, 50, count)] + 0.3 * rng.normal(size=(count, dim))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def recall_of(index: FaissIndex, vectors: np.ndarray, queries: np.ndarray, k: int = 10) -> float:
    flat = FlatIndex()
    flat.add(names(len(vectors)), vectors)
    pairs = zip(flat.search(queries, k)[1], index.search(queries, k)[1], strict=True)
    return float(np.mean([len(set(want) & set(got)) / k for want, got in pairs]))


@pytest.mark.parametrize("factory", ["IVF4,PQ8x4fs", "OPQ8,IVF4,PQ8x4fs"])
def test_lists_that_give_no_vectors_back_are_refused(factory: str) -> None:
    with pytest.raises(SettingsError, match="gives no vectors back → leave fs out"):
        FaissIndex(factory).add(names(200), unit(1, 200))


def test_auto_takes_the_factory_for_the_size() -> None:
    from medrag.indexes.faiss import factory_for

    assert factory_for(50_000, 384) == ("Flat", 0)
    assert factory_for(1_000_000, 384) == ("IVF4096,SQ8", 4)
    assert factory_for(10_000_000, 384) == ("IVF16384_HNSW32,PQ48", 100)
    assert factory_for(5_000_000, 30)[0].endswith("SQ8")
    index = FaissIndex()
    index.add(["a"], unit(1, 1))
    assert index.factory == "Flat"


def test_lists_of_a_large_index_are_found_by_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pymupdf  # noqa: F401 - its vectors hide those of FAISS

    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    vectors, queries = clustered(0, 4000), clustered(1, 40)
    index = FaissIndex("IVF64_HNSW32,PQ8x4", nprobe=16, rerank=20)
    index.add(names(4000), vectors)
    assert index.effort() == ("nprobe", 64) and recall_of(index, vectors, queries) > 0.95
    index.save(tmp_path / "built")
    opened = FaissIndex.open(tmp_path / "built")
    assert opened.search(queries, 5)[1] == index.search(queries, 5)[1]
    opened.add(["new"], queries[:1])
    assert opened.search(queries[:1], 1)[1] == [["new"]]


def test_tuning_scores_more_candidates_again_where_effort_gains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medrag.indexes.tune import tune

    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    vectors, queries = clustered(0, 3000), clustered(1, 40)
    index = FaissIndex("IVF16,PQ4x4", rerank=1)
    index.add(names(3000), vectors)
    told = tune(index, 0.95, queries=queries)
    assert told["rerank"] == index.rerank > 8 and told["recall"] >= 0.95
    assert recall_of(index, vectors, queries) >= 0.95
    index.save(tmp_path / "built")
    assert FaissIndex.open(tmp_path / "built").rerank == index.rerank


def test_candidates_are_scored_again_by_the_vectors_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    vectors, queries = clustered(0, 3000), clustered(1, 40)
    coarse, fine = FaissIndex("IVF16,PQ8x4", nprobe=16), FaissIndex("IVF16,PQ8x4", nprobe=16, rerank=20)
    for index in (coarse, fine):
        index.add(names(3000), vectors)
    assert recall_of(fine, vectors, queries) > max(0.85, recall_of(coarse, vectors, queries) + 0.2)
    scores, ids = fine.search(queries, 5)
    at = {name: n for n, name in enumerate(names(3000))}
    for row, found, query in zip(scores, ids, queries, strict=True):
        np.testing.assert_allclose(row, [query @ vectors[at[name]] for name in found], atol=2e-3)
    fine.delete([ids[0][0]])
    fine.save(tmp_path / "saved")
    assert not list((tmp_path / "home" / "tmp").iterdir())  # nothing is left lying about
    again = FaissIndex.open(tmp_path / "saved")
    assert again.rerank == 20 and again.search(queries, 5)[1] == fine.search(queries, 5)[1]
    assert ids[0][0] not in again.search(queries, 5)[1][0]
    again.add(["c:new"], queries[:1])  # an opened one grows, with its rows
    assert again.search(queries[:1], 1)[1] == [["c:new"]]
    again.save(tmp_path / "other")
    assert FaissIndex.open(tmp_path / "other").search(queries[:1], 1)[1] == [["c:new"]]


@pytest.mark.parametrize("factory", ["IVF32,Flat", "IVF32,SQ8", "HNSW8"])
def test_effort_is_tuned_to_a_recall(factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medrag.indexes.tune import nearest, tune

    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    vectors = unit(3, 4000, dim=24)
    index = FaissIndex(factory, rerank=4 if "SQ8" in factory else 0, nprobe=1, ef=1)
    index.add(names(4000), vectors)
    gone = names(4000)[:50]
    index.delete(gone)
    flat = FlatIndex()
    flat.add(names(4000), vectors)
    flat.delete(gone)
    queries = unit(4, 30, dim=24)
    pairs = list(zip(nearest(index, queries, 5)[1], flat.search(queries, 5)[1], strict=True))
    assert np.mean([len(set(one) & set(other)) for one, other in pairs]) > 4.9  # half precision may change the fifth
    told = tune(index, 0.95, queries=queries)
    knob = index.effort()[0]
    assert told["recall"] >= 0.95 and told[knob] == getattr(index, knob) > 1
    harder = tune(index, 0.99)  # its own vectors ask
    assert harder["recall"] >= 0.99
    with pytest.raises(SettingsError, match="nothing to tune"):
        tune(both(vectors)[1])


def test_a_recall_that_is_out_of_reach_or_cannot_be_known_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medrag.indexes.tune import tune

    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    coarse, blind = FaissIndex("IVF8,PQ2x4", rerank=1), FaissIndex("IVF8,PQ2x4")
    for index in (coarse, blind):
        index.add(names(2000), unit(3, 2000))
    monkeypatch.setattr("medrag.indexes.tune.MOST_AGAIN", 2)
    with pytest.raises(SettingsError, match="not reached"):
        tune(coarse, 1.0)
    with pytest.raises(SettingsError, match="rerank"):
        tune(blind, 0.9)


def test_a_graph_that_holds_withheld_vectors_is_searched_to_the_end() -> None:
    """What few vectors find among many that are gone is what they find alone."""
    rows, queries = np.concatenate([unit(2, 4000, dim=32), unit(1, 100, dim=32)]), unit(3, 40, dim=32)
    ids = names(len(rows))
    graph, flat = FaissIndex("HNSW16", gpu="never"), FlatIndex()
    for index in (graph, flat):
        index.add(ids, rows)
        index.delete(ids[:4000])
    graph.exhaust()
    assert graph.effort() == ("ef", len(rows)) and graph.search(queries, 10)[1] == flat.search(queries, 10)[1]


@pytest.mark.parametrize("options", [{"ef": "64"}, {"nprobe": None}, {"nprobe": 1.5}])
def test_an_effort_that_is_no_number_is_told_when_the_index_is_made(options: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="whole number"):
        FaissIndex(**options)  # type: ignore[arg-type]


def test_vectors_are_put_in_their_nearest_list_where_a_graph_finds_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """With lists in groups far from each other a graph that is searched too little ends in a wrong group."""
    import faiss

    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(32, 96)), 64, 0) + 0.35 * rng.normal(size=(2048, 96))
    centres = (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32)
    rows = (centres[rng.integers(0, 2048, 5000)] + 0.1 * rng.normal(size=(5000, 96))).astype(np.float32)
    monkeypatch.setattr("medrag.indexes._training._two_levels", lambda sample, count: centres)
    index = FaissIndex("IVF2048_HNSW32,PQ8x4", nprobe=1, rerank=20)
    index.add([str(n) for n in range(len(rows))], rows)
    inner = faiss.extract_index_ivf(index._parts.parts[0].index)
    placed = np.full(len(rows), -1)
    for number in range(inner.nlist):
        if size := inner.invlists.list_size(number):
            placed[faiss.rev_swig_ptr(inner.invlists.get_ids(number), size)] = number
    assert (placed == (rows @ centres.T).argmax(1)).mean() > 0.99
    found = index.search(rows[:300], 1)[1]
    assert np.mean([ids == [str(n)] for n, ids in enumerate(found)]) > 0.98


def test_several_threads_may_ask_an_inverted_file_for_its_vectors_first() -> None:
    """FAISS numbers the vectors of the lists then, once."""
    vectors, at = clustered(1, 300_000, 8), np.arange(0, 300_000, 30_000)
    for _ in range(4):
        index = FaissIndex("IVF64,Flat")
        index.add([str(n) for n in range(len(vectors))], vectors)
        together = Barrier(6)

        def asked(index: FaissIndex = index, together: Barrier = together) -> bool:
            together.wait()
            return np.array_equal(index.vectors_at(at), vectors[at])

        with ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(asked) for _ in range(6)]
            assert all(one.result() for one in futures)
