"""The synthetic UMLS of the benchmark, small: everything that is written is found again, linked and walked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "eval/benchmarks/rrf.py"


@pytest.fixture(scope="module")
def rrf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic_umls", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_synthetic_umls_is_built_and_asked(rrf: ModuleType, tmp_path: Path) -> None:
    result = rrf.measure(tmp_path, concepts=400, names=1700, relations=4000)
    assert result["rows"] == {"MRCONSO": 1700, "MRREL": 4000, "MRSTY": 400, "MRDEF": 40}
    assert (result["counts"]["concepts"], result["counts"]["nodes"], result["counts"]["dangling"], result["bad"]) == (400, 400, 0, 0)  # fmt: skip
    from medrag.graph import GraphStore, Linker

    store = GraphStore.open(tmp_path / "graph.db")
    assert all(store.by_cui(rrf.cui(n)) for n in range(400))
    linker = Linker(store)
    for n in (0, 7, 399):
        (mention,) = linker.link(f"Signs of {rrf.word(n)}.")
        assert mention.cuis == (rrf.cui(n),)
    degrees = [store.degree(store.by_cui(rrf.cui(n))[0]) for n in range(400)]
    assert sum(degrees) % 2 == 0 and 4000 / 400 < sum(degrees) / 400 <= 2 * 4000 / 400  # each statement has two ends
