"""Searches on GPUs, by a stand-in for the C++ part of faiss-gpu that has its limits: no filters, 2,048 neighbours, one search at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from unit_rows import unit

from medrag.errors import SettingsError
from medrag.indexes.faiss import FaissIndex
from medrag.indexes.flat import FlatIndex

GPUS = 3


class OnGpu:
    """An index that was copied to some GPUs."""

    made: list[OnGpu] = []  # noqa: RUF012 - those of the test that runs

    def __init__(self, index: Any, devices: list[int], options: Any) -> None:
        if type(index) not in (faiss.IndexFlat, faiss.IndexFlatIP, faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ):  # fmt: skip
            raise RuntimeError("This index type is not implemented on GPU.")
        self.index, self.devices, self.options = index, devices, options
        self.nprobe, self.asked, self.probed = 1, 0, 0
        self.alone, self.wait = threading.Lock(), threading.Event()
        self.wait.set()
        OnGpu.made.append(self)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        assert self.alone.acquire(blocking=False), "two searches at a time"
        try:
            assert k <= 2048 and self.nprobe <= 2048
            self.asked, self.probed = self.asked + 1, self.nprobe
            assert self.wait.wait(10)
            return self._found(queries, k)
        finally:
            self.alone.release()

    def _found(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        if hasattr(self.index, "nlist"):
            return self.index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=self.nprobe))
        rows, kind = (
            self.index.reconstruct_n(0, self.index.ntotal),
            np.float16 if self.options.useFloat16 else np.float32,
        )
        copied = faiss.IndexFlatIP(rows.shape[1])
        copied.add(rows.astype(kind).astype(np.float32))
        return copied.search(queries.astype(kind).astype(np.float32), k)


class Options:
    useFloat16 = shard = allowCpuCoarseQuantizer = False  # noqa: N815 - FAISS' names
    use_cuvs = True


class Space:
    def set_index_parameter(self, index: OnGpu, name: str, value: float) -> None:
        assert name == "nprobe"
        index.nprobe = int(value)


class Pushed(list[Any]):
    push_back = list.append


@pytest.fixture(autouse=True)
def _gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    def copied(resources: Pushed, devices: Pushed, index: Any, options: Any) -> OnGpu:
        assert len(resources) == len(devices)
        return OnGpu(index, list(devices), options)

    for module in (faiss, faiss.gpu_wrappers):
        for name, what in (
            ("get_num_gpus", lambda: GPUS), ("StandardGpuResources", object), ("GpuResourcesVector", Pushed), ("Int32Vector", Pushed),
            ("GpuMultipleClonerOptions", Options), ("GpuParameterSpace", Space), ("index_cpu_to_gpu_multiple", copied),
        ):  # fmt: skip
            monkeypatch.setattr(module, name, what, raising=False)
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    OnGpu.made = []
    yield


def names(count: int) -> list[str]:
    return [f"c:{(n * 7919) % 100_003:05}" for n in range(count)]


def filled(factory: str, vectors: np.ndarray, **options: Any) -> FaissIndex:
    index = FaissIndex(factory, **options)
    index.add(names(len(vectors)), vectors)
    return index


@pytest.mark.parametrize("how", ["auto", "replicas", "shards"])
@pytest.mark.parametrize("half", [False, True])
def test_a_gpu_gives_the_same_results(how: Any, half: bool) -> None:
    vectors, ids = unit(9, 200, twins=50), names(200)
    flat, fast = FlatIndex(), filled("Flat", vectors, gpu=how, gpu_half=half)
    flat.add(ids, vectors)
    for filters in ({}, {"exclude": set(ids[:30])}, {"allowed": set(ids[50:90])}):
        expected, found = flat.search(vectors[:10], 12, **filters), fast.search(vectors[:10], 12, **filters)
        assert found[1] == expected[1]
        np.testing.assert_array_equal(found[0], expected[0])
    assert [one.devices for one in OnGpu.made] == {"auto": [[0]], "replicas": [[0], [1], [2]], "shards": [[0, 1, 2]]}[
        how
    ]
    assert all(one.options.useFloat16 is half and one.options.shard is (how == "shards") for one in OnGpu.made)
    assert sum(one.asked for one in OnGpu.made) >= 3


def test_half_precision_hides_no_vector_that_is_nearer_by_less_than_it_tells_apart() -> None:
    vectors = unit(1, 1, dim=64) + 2e-4 * np.random.default_rng(2).normal(size=(2000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat, fast = FlatIndex(), filled("Flat", vectors, gpu_half=True)
    flat.add(names(2000), vectors)
    assert fast.search(vectors[:20], 5)[1] == flat.search(vectors[:20], 5)[1]
    assert OnGpu.made[0].asked


@pytest.mark.parametrize("factory", ["IVF8,Flat", "IVF8,SQ8", "IVF8,PQ4x4", "IVF8_HNSW8,PQ4x4"])
@pytest.mark.parametrize("rerank", [0, 20])
def test_inverted_files_find_there_what_they_find_here(factory: str, rerank: int) -> None:
    vectors, ids = unit(3, 600), names(600)
    here, there = (filled(factory, vectors, nprobe=2, rerank=rerank, gpu=gpu) for gpu in ("never", "auto"))
    for filters in ({}, {"exclude": set(ids[:30])}, {"allowed": set(ids[50:90])}):
        assert there.search(vectors[:9], 10, **filters)[1] == here.search(vectors[:9], 10, **filters)[1]
    (gpu,) = OnGpu.made
    assert gpu.asked and gpu.probed >= 2 and gpu.options.allowCpuCoarseQuantizer and not gpu.options.use_cuvs
    before = gpu.asked
    there.add(["c:new"], -vectors[:1])  # what is added is copied, too
    assert there.search(-vectors[:1], 1)[1] == [["c:new"]]
    assert len(OnGpu.made) == 2 and gpu.asked == before


@pytest.mark.parametrize("factory", ["HNSW8", "PQ4x4fs", "SQ8", "PCA8,IVF4,Flat", "IVF4,Flat,RFlat"])
def test_what_no_gpu_takes_stays_here(factory: str) -> None:
    index = filled(factory, unit(3, 300))
    assert len(index.search(unit(3, 4), 10)[1][0]) == 10
    assert not OnGpu.made


def test_what_a_gpu_does_not_give_is_searched_here() -> None:
    vectors = unit(3, 5000)
    index = filled("Flat", vectors)
    assert len(index.search(vectors[:1], 3000)[1][0]) == 3000
    lists = filled("IVF8,Flat", vectors, nprobe=8)
    lists.delete(names(5000)[:2100])  # what is hidden counts
    assert len(lists.search(vectors[:1], 10)[1][0]) == 10
    assert not OnGpu.made
    index.search(vectors[:1], 10)
    assert OnGpu.made[0].asked


@pytest.mark.parametrize("when", ["copied", "searched"])
def test_a_gpu_that_is_full_is_left_alone(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def full(*_: Any) -> Any:
        tried.append(1)
        raise RuntimeError("no memory")

    monkeypatch.setattr(OnGpu, "__init__" if when == "copied" else "search", full)
    if when == "searched":
        monkeypatch.setattr(OnGpu, "__init__", lambda *_: None)
    vectors = unit(9, 200, twins=50)
    flat, fast = FlatIndex(), filled("Flat", vectors)
    flat.add(names(200), vectors)
    for _ in range(3):
        assert fast.search(vectors[:5], 3)[1] == flat.search(vectors[:5], 3)[1]
    assert len(tried) == 1


def test_a_copy_serves_one_search_at_a_time() -> None:
    vectors = unit(9, 300)
    index = filled("Flat", vectors)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: index.search(vectors[n : n + 1], 1)[1][0][0], range(200)))
    assert found == names(200) and len(OnGpu.made) == 1


def test_while_one_copy_is_searched_another_answers() -> None:
    vectors = unit(9, 300)
    index = filled("Flat", vectors, gpu="replicas")
    index.search(vectors[:1], 1)
    for one in OnGpu.made[:2]:
        one.wait.clear()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(index.search, vectors[n : n + 1], 1) for n in range(3)]
        assert len(wait(asked, 10, FIRST_COMPLETED).done) == 1
        for one in OnGpu.made:
            one.wait.set()
        assert [one.result()[1] for one in asked] == [[[name]] for name in names(3)]


def test_shards_of_the_index_lie_on_the_gpu_each(tmp_path: Path) -> None:
    vectors = unit(9, 300, twins=40)
    flat, parted = FlatIndex(), filled("Flat", vectors, shards=2, gpu_half=True)
    flat.add(names(300), vectors)
    assert parted.search(vectors[:9], 7)[1] == flat.search(vectors[:9], 7)[1]
    assert [one.index.ntotal for one in OnGpu.made] == [150, 150]


def test_how_it_is_searched_is_kept(tmp_path: Path) -> None:
    filled("Flat", unit(1, 9), gpu="shards", gpu_half=True).save(tmp_path)
    again = FaissIndex.open(tmp_path)
    assert (again.gpu, again.gpu_half) == ("shards", True)
    again.search(unit(1, 1), 1)
    assert OnGpu.made[0].options.useFloat16 and OnGpu.made[0].devices == [0, 1, 2]
    filled("Flat", unit(1, 9), gpu="never").save(tmp_path / "never")
    FaissIndex.open(tmp_path / "never").search(unit(1, 1), 1)
    assert len(OnGpu.made) == 1
    with pytest.raises(SettingsError, match="gpu_half"):
        FaissIndex(gpu_half="yes")  # type: ignore[arg-type]
