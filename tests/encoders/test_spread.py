"""Encoding by several workers: the same vectors as by one, also when workers die; what cannot be encoded is left to the caller."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medrag.build import build
from medrag.encoders.cache import VectorCache, cached
from medrag.encoders.spread import Spread, encode_ahead
from medrag.errors import BadRecord, MedragError, MissingDependency
from medrag.settings import EncoderSettings, Recipe
from medrag.types import Item, Passage

ME = "test_spread"


class Sums:
    """An encoder for tests whose vectors depend on the whole batch, as padding makes them. ``deaths``: a folder; the first workers that
    meet the text "deadly" leave a file there and kill themselves, as long as there are fewer than ``most``."""

    modality, dim, fingerprint = "text", 4, "sums/1"

    def __init__(self, model: str, *, batch: int, device: str, deaths: str = "", most: int = 0) -> None:
        self.name, self._deaths, self._most = model, deaths, most

    def content(self, item: Item) -> str:
        return item.text

    def encode_items(self, items: Sequence[Item]) -> np.ndarray:
        for item in items:
            if item.text == "bad":
                raise BadRecord(item.id, "cannot be encoded")
            if item.text == "deadly" and self._deaths and len(os.listdir(self._deaths)) < self._most:  # noqa: PTH208
                Path(self._deaths, str(os.getpid())).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        whole = float(sum(len(item.text) for item in items))
        rows = np.array([[len(item.text), ord(item.text[0]), whole, 1] for item in items], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    sys.modules.setdefault(ME, sys.modules[__name__])


def passages(count: int) -> list[list[Item]]:
    texts = ["bad" if n == 17 else "deadly" if n == 25 else f"text {n % 30}" * (1 + n % 3) for n in range(count)]
    items: list[Item] = [Passage(f"c:{n}", "c", text) for n, text in enumerate(texts)]
    return [items[start : start + 10] for start in range(0, count, 10)]


def settings(**options: Any) -> EncoderSettings:
    return EncoderSettings(model="sums", kind=f"{ME}:Sums", options=options)


def alone(folder: Path, groups: list[list[Item]]) -> tuple[list[tuple[str, bytes]], list[str]]:
    """What one process makes of the batches, and what it reports."""
    cache, told = VectorCache(folder / "alone.db"), []
    found = []
    for group in groups:
        kept, vectors = cached(
            Sums("sums", batch=1, device=""), group, cache, lambda problem: told.append(problem.source)
        )
        found += [(group[n].id, vector.tobytes()) for n, vector in zip(kept, vectors, strict=True)]
    return found, told


def spread_out(folder: Path, groups: list[list[Item]], spread: Spread, **options: Any) -> None:
    """Several workers give what one gives, bit for bit; then nothing is left to encode but what cannot be."""
    cache = VectorCache(folder / "spread.db")
    expected, told = alone(folder, groups)
    came = encode_ahead(settings(**options), Sums("sums", batch=1, device=""), groups, cache, spread)
    assert came == len(cache) == len(VectorCache(folder / "alone.db")) < len(expected)  # equal texts are encoded once
    found, again = [], []
    for group in groups:
        kept, vectors = cached(
            Sums("sums", batch=1, device=""), group, cache, lambda problem: again.append(problem.source)
        )
        found += [(group[n].id, vector.tobytes()) for n, vector in zip(kept, vectors, strict=True)]
    assert found == expected
    assert again == told == ["c:17"]


def test_two_processes_give_what_one_gives_though_workers_die(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    spread_out(tmp_path, passages(100), Spread(workers=2), deaths=str(deaths), most=2)
    assert len(list(deaths.iterdir())) == 2


def test_a_batch_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    with pytest.raises(MedragError, match="workers ended over the same 10 items, the first c:20"):
        encode_ahead(
            settings(deaths=str(deaths), most=99),
            Sums("sums", batch=1, device=""),
            passages(30)[2:],
            VectorCache(tmp_path / "v.db"),
            Spread(workers=2),
        )


def test_a_spread_build_is_the_same_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes").mkdir()
    for n in range(12):
        (tmp_path / "notes" / f"{n}.txt").write_text(f"Note {n}. The lung is clear in view {n}. " * (n + 1))
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "corpora": [{"name": "notes", "reader": "text", "path": str(tmp_path / "notes")}],
            "encoders": {"text": settings().model_dump()},
            "indexes": {"text": {"kind": "faiss", "encoder": "text"}},
        }
    )
    hashes = []
    for name, spread in (("one", None), ("several", Spread(workers=2))):
        monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / name))
        report = build(recipe, tmp_path / name / "built", spread=spread)
        hashes.append(report.content_hash)
        assert ("encode text" in report.seconds) == bool(spread)
    assert hashes[0] == hashes[1]


def test_without_ray_the_line_that_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"medrag\[ray\]"):
        encode_ahead(settings(), Sums("", batch=1, device=""), [], VectorCache(tmp_path / "v.db"), Spread(ray="auto"))


@pytest.mark.slow
def test_three_nodes_of_ray_give_what_one_process_gives_though_workers_and_a_node_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason='needs pip install "medrag[ray]"')
    from ray.cluster_utils import Cluster

    deaths = tmp_path / "deaths"
    deaths.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        lost, _ = (cluster.add_node(num_cpus=1) for _ in range(2))

        def groups() -> Any:
            for n, group in enumerate(passages(200)):
                if n == 12:
                    cluster.remove_node(lost, allow_graceful=False)
                yield group

        spread_out(tmp_path, passages(200), Spread(ray=cluster.address), deaths=str(deaths), most=2)
        cache = VectorCache(tmp_path / "again.db")
        encode_ahead(settings(), Sums("sums", batch=1, device=""), groups(), cache, Spread(ray=cluster.address))
        assert len(cache) == len(VectorCache(tmp_path / "spread.db"))
    finally:
        cluster.shutdown()
