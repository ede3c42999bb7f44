"""Items, manifest, checksums and content hashes: what was saved comes back equal, and what was changed is noticed."""

from __future__ import annotations

import doctest
import importlib
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.errors import IndexCorrupt, IndexMissing
from medrag.indexes.content import Tally, tables_digest
from medrag.indexes.items import ItemStore
from medrag.indexes.manifest import SMALL, Manifest, guess_name, read_manifest, verify_files
from medrag.types import Block, Box, Concept, ImageRecord, Item, Page, Passage, Study, Triple

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
number = st.floats(0, 1e6, allow_nan=False)
box = st.builds(lambda a, b, c, d: Box(min(a, c), min(b, d), max(a, c), max(b, d)), number, number, number, number)
meta = st.dictionaries(text, text | st.integers() | st.booleans() | st.none(), max_size=3)
item_of = st.one_of(
    st.builds(
        Passage, id=text, doc=text, text=text, page=st.none() | st.integers(1, 99), boxes=st.tuples(box), meta=meta
    ),
    st.builds(
        Page,
        id=text,
        doc=text,
        number=st.integers(1, 9),
        blocks=st.tuples(st.builds(Block, text=text, box=st.none() | box)),
        width=number,
        height=number,
        source=text,
    ),
    st.builds(ImageRecord, id=text, doc=text, text=text, source=text, box=st.none() | box),
    st.builds(
        Study, id=text, sections=st.dictionaries(text, text, max_size=3), images=st.tuples(text, text), meta=meta
    ),
    st.builds(Concept, id=text, name=text, synonyms=st.tuples(text), cuis=st.tuples(text, text)),
    st.builds(Triple, id=text, doc=text, subject=text, relation=text, object=text),
)


@settings(max_examples=40, deadline=None)
@given(items=st.lists(item_of, max_size=8, unique_by=lambda item: item.id))
def test_items_come_back_equal_and_in_order(tmp_path_factory: pytest.TempPathFactory, items: list[Item]) -> None:
    path = tmp_path_factory.mktemp("items") / "items.db"
    store = ItemStore.create(path)
    assert store.put_many((item, "c") for item in items) == len(items)
    store.close()
    again = ItemStore.open(path)
    assert list(again.iterate()) == items
    ids = [item.id for item in items]
    assert again.get([*ids[::-1], "no such id \ue000"]) == items[::-1]
    assert len(again) == len(items)


def some() -> list[tuple[Item, str]]:
    return [
        *[(Passage(f"a:d{n // 2}#{n}", f"a:d{n // 2}", f"text {n}"), "a") for n in range(2500)],
        (Study("b:s1", {"findings": "clear"}), "b"),
        (ImageRecord("b:s1/1", "b:s1", "", "x.png"), "b"),
    ]


@pytest.fixture
def store(tmp_path: Path) -> ItemStore:
    made = ItemStore.create(tmp_path / "items.db")
    made.put_many(some())
    return made


def test_by_kind_corpus_and_document(store: ItemStore) -> None:
    assert store.counts() == {"a": {"passage": 2500}, "b": {"image": 1, "study": 1}}
    assert [item.id for item in store.iterate(["image", "study"])] == ["b:s1", "b:s1/1"]
    assert store.count(["passage"], ["b"]) == 0 and store.count([], ["b"]) == 2
    assert [item.id for item in store.by_doc(["b:s1", "a:d1"])] == ["a:d1#2", "a:d1#3", "b:s1", "b:s1/1"]
    assert store.ids_of({"b:s1", "a:d0#1", "nothing"}) == {"b:s1", "b:s1/1", "a:d0#1"}
    many = [f"a:d{n // 2}#{n}" for n in range(2500)]
    assert [item.id for item in store.get(many)] == many  # more than one SQL statement takes


def test_replace_keeps_the_place_and_delete_takes_documents(store: ItemStore) -> None:
    store.put_many([(Passage("a:d0#0", "a:d0", "new text"), "a")])
    assert next(iter(store.iterate())).text == "new text"
    assert store.delete(["b:s1", "a:d1#2", "nothing"]) == 3
    assert len(store) == 2499


def test_threads_may_share_a_finished_store(store: ItemStore, tmp_path: Path) -> None:
    store.close()
    shared, failures = ItemStore.open(tmp_path / "items.db"), []

    def read(start: int) -> None:
        for n in range(start, start + 200):
            if [item.id for item in shared.get([f"a:d{n // 2}#{n}"])] != [f"a:d{n // 2}#{n}"]:
                failures.append(n)

    threads = [threading.Thread(target=read, args=(n * 200,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_read_only_folder_is_enough_to_read(store: ItemStore, tmp_path: Path) -> None:
    store.close()
    before = sorted(tmp_path.iterdir())
    assert len(ItemStore.open(tmp_path / "items.db")) == 2502
    assert sorted(tmp_path.iterdir()) == before  # nothing is written beside it


def manifest(**more: object) -> Manifest:
    base = {
        "name": "tiny",
        "recipe": {"name": "tiny"},
        "key": "k",
        "encoders": {},
        "counts": {"a": {"passage": 1}},
        "content": {},
        "content_hash": "h",
    }
    return Manifest(**{**base, **more})


def test_a_manifest_comes_back_equal(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.bin").write_bytes(b"abc")
    written = manifest(
        skipped=({"corpus": "a", "source": "x", "problem": "ü"},), warnings=("w",), deleted=("d",)
    ).write(tmp_path)
    assert read_manifest(tmp_path) == written
    assert written.files["deep/a.bin"]["size"] == 3
    verify_files(tmp_path, written, thorough=True)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_the_manifest_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifest(warnings=("one",)).write(folder)
    path = folder / "manifest.json"
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    value = data.draw(st.integers(33, 126).filter(lambda byte: byte != raw[at]))
    before = json.loads(raw)
    raw[at] = value
    path.write_bytes(raw)
    try:
        same = json.loads(raw) == before  # a changed blank between two values is no change
    except ValueError:
        same = False
    if not same:
        with pytest.raises(Exception, match=r"damaged|format") as caught:
            read_manifest(folder)
        assert "--fresh" in caught.value.hint


def test_large_files_are_hashed_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(SMALL + 10))
    written = manifest().write(tmp_path)
    with path.open("r+b") as stream:
        stream.seek(SMALL // 2)
        stream.write(b"x")
    verify_files(tmp_path, written)  # the size is right
    with pytest.raises(IndexCorrupt, match="checksum differs"):
        verify_files(tmp_path, written, thorough=True)


def test_a_manifest_that_points_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "tiny"
    folder.mkdir()
    written = manifest(files={"../secret": {"size": 1, "sha256": ""}})
    with pytest.raises(IndexCorrupt):
        verify_files(folder, written)


@pytest.mark.parametrize("name", ["flat", "bm25"])
def test_the_examples_of_the_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"medrag.indexes.{name}"), extraglobs={"np": np})
    assert result.attempted >= 3 and not result.failed


@pytest.mark.parametrize(("path", "name"), [("indexes/sample/built", "sample"), ("home/indexes/full", "full")])
def test_the_name_is_guessed_from_the_place(path: str, name: str, tmp_path: Path) -> None:
    assert guess_name(tmp_path / path) == name
    with pytest.raises(IndexMissing) as missing:
        read_manifest(tmp_path / path)
    assert missing.value.hint == f"medrag index build {name}"


@given(rows=st.lists(st.tuples(text, text), max_size=8), data=st.data())
def test_a_tally_forgets_order_but_not_content(rows: list[tuple[str, str]], data: st.DataObject) -> None:
    one, two, three = Tally(), Tally(), Tally()
    for row in rows:
        one.add(*row)
    for row in data.draw(st.permutations(rows)):
        two.add(*row)
    for row in [*rows, ("", "")]:
        three.add(*row)
    assert one.digest == two.digest != three.digest


def test_the_digest_of_a_database_is_that_of_its_rows(store: ItemStore, tmp_path: Path) -> None:
    other = ItemStore.create(tmp_path / "other.db")
    for pair in some():
        other.put_many([pair])  # other transactions, same rows
    for one in (store, other):
        one.close()
    assert tables_digest(tmp_path / "items.db") == tables_digest(tmp_path / "other.db")
