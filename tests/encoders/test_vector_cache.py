"""The vector cache: bit for bit, once for twins, one transaction a batch, bad items alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medrag.encoders.cache import VectorCache, cached
from medrag.errors import BadRecord
from medrag.types import Passage


class Counting:
    name, dim, modality, fingerprint = "counting", 2, "text", "counting/1"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def content(self, item: Passage) -> str:
        return item.text

    def encode_items(self, items: list[Passage]) -> np.ndarray:
        for item in items:
            if "bad" in item.text:
                raise BadRecord(item.id, "is bad")
        self.seen += [item.text for item in items]
        return np.array([[len(item.text), 1] for item in items], dtype=np.float32)


def passages(*texts: str) -> list[Passage]:
    return [Passage(f"t:{n}", "t", text) for n, text in enumerate(texts)]


@settings(max_examples=30, deadline=None)
@given(rows=arrays(np.float32, (5, 3), elements=st.floats(width=32, allow_nan=True)))
def test_vectors_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, rows: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("cache") / "deep" / "vectors.db"
    cache = VectorCache(path)
    cache.put_many({f"k{n}": row for n, row in enumerate(rows)})
    cache.close()
    found = VectorCache(path).get_many([f"k{n}" for n in range(9)])
    assert sorted(found) == [f"k{n}" for n in range(5)]
    assert all(found[f"k{n}"].tobytes() == row.tobytes() for n, row in enumerate(rows))


def test_twins_and_known_texts_are_not_encoded_again(tmp_path: Path) -> None:
    encoder, cache, told = Counting(), VectorCache(tmp_path / "v.db"), []
    kept, vectors = cached(encoder, passages("a", "bb", "a", "ccc", "bb"), cache, told.append)
    assert encoder.seen == ["a", "bb", "ccc"]
    assert kept == [0, 1, 2, 3, 4] and vectors[:, 0].tolist() == [1, 2, 1, 3, 2]
    again, more = cached(encoder, passages("ccc", "dddd", "a"), VectorCache(tmp_path / "v.db"), told.append)
    assert encoder.seen == ["a", "bb", "ccc", "dddd"]
    assert again == [0, 1, 2] and more[:, 0].tolist() == [3, 4, 1]
    encoder.fingerprint = "counting/2"
    cached(encoder, passages("a"), cache, told.append)
    assert encoder.seen[-1] == "a" and not told


@pytest.mark.parametrize("bad", [[0], [3], [0, 1, 2, 3, 4, 5], [1, 4], []])
def test_bad_items_are_reported_alone(bad: list[int], tmp_path: Path) -> None:
    told: list[BadRecord] = []
    items = passages(*(f"bad{n}" if n in bad else "x" * (n + 1) for n in range(6)))
    kept, vectors = cached(Counting(), items, VectorCache(tmp_path / "v.db"), told.append)
    assert kept == [n for n in range(6) if n not in bad]
    assert [row[0] for row in vectors] == [n + 1 for n in kept]
    assert [problem.source for problem in told] == [f"t:{n}" for n in bad]


def test_a_damaged_cache_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    path.write_bytes(b"this is no database, and long enough to be read as one" * 50)
    cache = VectorCache(path)
    cache.put_many({"a": np.ones(2, dtype=np.float32)})
    assert len(cache) == 1
    assert (tmp_path / "v.damaged").is_file()


def test_a_cache_with_a_damaged_page_is_begun_anew(tmp_path: Path) -> None:
    path, keys = tmp_path / "v.db", [f"{n:064x}" for n in range(2000)]
    cache = VectorCache(path)
    cache.put_many({key: np.ones(64, dtype=np.float32) for key in keys})
    cache.close()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 4 : 3 * len(raw) // 4] = b"\xa5" * (3 * len(raw) // 4 - len(raw) // 4)
    path.write_bytes(raw)
    cache = VectorCache(path)
    assert cache.get_many(keys) == {}
    cache.put_many({"a": np.ones(2, dtype=np.float32)})
    assert len(cache) == 1 and set(cache.get_many(["a"])) == {"a"}
    assert (tmp_path / "v.damaged").is_file()
