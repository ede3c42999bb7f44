"""Items, manifest, checksums and content hashes: what was saved comes back equal, and what was changed is noticed.
And a whole index: its parts, its recipe, the copy of it and its end."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.errors import IndexCorrupt, IndexLocked, IndexMismatch, IndexMissing, SettingsError
from medrag.indexes.bm25 import Bm25Index
from medrag.indexes.content import Tally, tables_digest
from medrag.indexes.faiss import FaissIndex
from medrag.indexes.flat import FlatIndex
from medrag.indexes.items import ItemStore
from medrag.indexes.manifest import SMALL, Manifest, guess_name, read_manifest, verify_files
from medrag.indexes.store import TRIES, Store, discard, open_store, recipe_of, snapshot, steadily, workspace
from medrag.testing import FakeEncoder
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
        assert caught.value.hint.startswith("medrag index build ")


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


PASSAGE = Passage("a:1#0", "a:1", "The lungs are clear.")
RECIPE = {
    "name": "tiny",
    "corpora": [],
    "encoders": {"letters": {"model": "fake"}},
    "indexes": {"words": {"kind": "bm25"}, "letters": {"kind": "flat", "encoder": "letters"}},
}


def tiny(**more: object) -> Manifest:
    encoders = {"letters": {"model": "fake", "fingerprint": FakeEncoder().fingerprint, "dim": FakeEncoder().dim}}
    return manifest(**{"recipe": RECIPE, "encoders": encoders, "medrag": "0.1", **more})


def with_parts(**kinds: str) -> Manifest:
    return tiny(recipe={**RECIPE, "indexes": {name: {"kind": kind} for name, kind in kinds.items()}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished index of one passage, found by its words and by its letters."""
    made = tmp_path / "tiny"
    items = ItemStore.create(made / "items.db")
    items.put_many([(PASSAGE, "a")])
    items.close()
    words, letters = Bm25Index(), FlatIndex()
    words.add([PASSAGE.id], [PASSAGE.text])
    letters.add([PASSAGE.id], FakeEncoder().encode_items([PASSAGE]))
    for name, part in {"words": words, "letters": letters}.items():
        (made / name).mkdir()
        part.save(made / name)
    tiny().write(made)
    return made


class Unreadable:
    """An index whose files are not its own."""

    @classmethod
    def open(cls, folder: Path) -> None:
        raise ValueError("bad  header\n" + "x" * 200)


class OnServer:
    """An index that keeps its vectors elsewhere; it remembers what was dropped."""

    dropped: list[tuple[Path, Path | None]] = []  # noqa: RUF012 - shared on purpose

    @classmethod
    def drop(cls, folder: Path, heir: Path | None = None) -> None:
        cls.dropped.append((folder, heir))
        if folder.name == "lost":
            raise ConnectionError("no answer")


def test_a_finished_index_gives_its_items_and_its_parts(folder: Path) -> None:
    opened = open_store(folder)
    assert (opened.folder, opened.manifest, opened.recipe.name) == (folder, read_manifest(folder), "tiny")
    assert list(opened.items.iterate()) == [PASSAGE]
    assert opened.graph_path == folder / "graph.db"
    words = opened.index("words")
    assert words.search("lungs", 1)[1] == [PASSAGE.id]
    assert opened.index("words") is words  # opened once
    letters = opened.index("letters", FakeEncoder())
    assert letters.search(FakeEncoder().encode_items([PASSAGE]), 1)[1] == [[PASSAGE.id]]


@pytest.mark.parametrize(
    ("recipe", "hint"), [(RECIPE, "known: words, letters"), ({**RECIPE, "indexes": {}}, "known: none")]
)
def test_a_part_that_is_not_there_is_told_with_those_that_are(
    recipe: dict[str, Any], hint: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as problem:
        Store(tmp_path, tiny(recipe=recipe)).index("figures")
    assert problem.value.message == "the index 'tiny' has no part 'figures'"
    assert problem.value.hint == hint


def test_another_encoder_than_that_of_the_vectors_is_refused(folder: Path) -> None:
    opened = open_store(folder)
    opened.index("letters")  # that it is open already changes nothing
    with pytest.raises(IndexMismatch) as problem:
        opened.index("letters", FakeEncoder("image", "eyes"))
    assert problem.value.message == (
        "the part 'letters' of index 'tiny' was built with fake (fake/text/1), not with eyes (fake/image/1)"
    )
    assert problem.value.hint == "use that encoder, or: medrag index build tiny"
    with pytest.raises(IndexMismatch) as problem:
        opened.check_encoder("words", FakeEncoder())
    assert problem.value.message == "the part 'words' of index 'tiny' was built without an encoder"
    assert problem.value.hint == "search it by words"


def test_a_part_that_cannot_be_read_is_damage_with_its_place_and_a_short_reason(tmp_path: Path) -> None:
    opened = Store(tmp_path, with_parts(words=f"{__name__}:Unreadable", odd="no-such-kind"))
    with pytest.raises(IndexCorrupt) as problem:
        opened.index("words")
    assert problem.value.message == f"{tmp_path / 'words'} cannot be read: bad header {'x' * 109}"
    assert problem.value.hint == "medrag index build tiny"
    with pytest.raises(SettingsError, match="nothing is named 'no-such-kind'"):
        opened.index("odd")  # what medrag says itself is passed on


def test_what_is_held_needs_its_folder_no_more(folder: Path) -> None:
    held = open_store(folder)
    held.hold()
    shutil.rmtree(folder)
    assert list(held.items.iterate()) == [PASSAGE]
    assert held.index("words").search("lungs", 1)[1] == [PASSAGE.id]
    assert len(held.index("letters")) == 1


def test_how_an_index_is_asked_may_be_unknown_but_not_what_it_is() -> None:
    assert recipe_of(tiny(recipe={**RECIPE, "pipeline": {"k": 7}})).pipeline.k == 7
    odd = tiny(recipe={**RECIPE, "pipeline": {"k": 7, "gone": 1}})
    assert recipe_of(odd).pipeline.k == recipe_of(tiny()).pipeline.k
    assert set(recipe_of(odd).indexes) == {"words", "letters"}
    assert "pipeline" in odd.recipe  # the manifest stays what it was
    with pytest.raises(
        IndexMismatch, match=r"^the recipe inside index 'tiny': chunk.gone: .*by medrag 0.1\)"
    ) as problem:
        recipe_of(tiny(recipe={**RECIPE, "chunk": {"gone": 1}}))
    assert problem.value.hint == "medrag index build tiny"


def test_an_index_is_opened_with_a_look_at_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medrag.indexes.manifest.SMALL", 0)  # every file is a large one
    vectors = folder / "letters" / "vectors.npy"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"?")
    open_store(folder)
    with pytest.raises(IndexCorrupt, match="checksum differs"):
        open_store(folder, verify=True)
    vectors.write_bytes(b"")
    with pytest.raises(IndexCorrupt, match="has 0 bytes"):
        open_store(folder)
    for name, built in {"other": "other", "": "words"}.items():  # without a name that of its folder
        with pytest.raises(IndexMissing) as missing:
            open_store(folder / "words", name=name)
        assert missing.value.hint == f"medrag index build {built}"
    with pytest.raises(IndexMissing, match="'words'"):
        open_store(folder / "words")


def test_a_failure_is_told_at_once_where_the_index_stayed_and_tried_again_where_it_did_not(folder: Path) -> None:
    tries = []

    def fails(times: int, replaced: bool) -> str:
        tries.append(1)
        if replaced:
            os.utime(folder / "manifest.json", ns=(0, len(tries)))
        if len(tries) <= times:
            raise IndexCorrupt("half of another", "wait")
        return "opened"

    with pytest.raises(IndexCorrupt, match="half of another"):
        steadily(folder, lambda: fails(3, replaced=False))
    assert len(tries) == 1
    assert steadily(folder, lambda: fails(3, replaced=len(tries) < 3)) == "opened"
    assert len(tries) == 4
    with pytest.raises(IndexLocked) as problem:
        steadily(folder, lambda: fails(TRIES + 9, replaced=True))
    assert problem.value.message == "the index 'tiny' is replaced faster than it can be opened"
    assert problem.value.hint == "wait until the writing ends"
    assert len(tries) == 4 + TRIES


def test_the_workspace_lies_beside_the_index() -> None:
    assert workspace(Path("indexes/tiny/built")) == Path("indexes/tiny/built.work")


def test_a_snapshot_is_the_same_files_under_second_names(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    snapshot(folder, kept)
    assert open_store(kept, verify=True).manifest == read_manifest(folder)
    assert (kept / "items.db").samefile(folder / "items.db")
    with pytest.raises(SettingsError) as problem:
        snapshot(folder, kept)
    assert (problem.value.message, problem.value.hint) == (f"{kept} is there already", "name a new folder")


def test_what_lies_on_a_server_has_no_snapshot(folder: Path, tmp_path: Path) -> None:
    (folder / "letters" / "elsewhere.json").write_text("{}")
    with pytest.raises(SettingsError) as problem:
        snapshot(folder, tmp_path / "kept")
    assert problem.value.message == "the part 'letters' lies on a server"
    assert problem.value.hint == "medrag index convert NAME --to faiss"
    assert not (tmp_path / "kept").exists()


def test_an_index_goes_with_what_it_keeps_on_a_server(folder: Path, tmp_path: Path) -> None:
    kept = json.dumps({"kind": f"{__name__}:OnServer"})
    for name, about in {"letters": kept, "lost": kept, "words": "{}", "torn": "{", "odd": '{"kind": "none"}'}.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "elsewhere.json").write_text(about)
    OnServer.dropped.clear()
    heir = tmp_path / "heir"
    discard(shutil.copytree(folder, tmp_path / "old"), heir)
    assert sorted(OnServer.dropped) == [(tmp_path / "old" / name, heir / name) for name in ("letters", "lost")]
    OnServer.dropped.clear()
    discard(folder)
    assert sorted(OnServer.dropped) == [(folder / name, None) for name in ("letters", "lost")]
    assert not folder.exists() and not (tmp_path / "old").exists()
    discard(folder)  # one that is not there is gone already


@pytest.mark.parametrize("wrong", [{"nprobe": -3}, {"ef": 0}, {"rerank": "x"}, {"rerank": -1}, {"rerank": 1.5}, {"factory": 5}, {"gpu": "always"}])  # fmt: skip
def test_options_that_no_vector_index_can_have_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        FaissIndex(**wrong)


@pytest.mark.parametrize("wrong", [{"k1": -1}, {"b": 7}, {"k1": "x"}, {"b": float("nan")}])
def test_options_that_no_word_index_can_have_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="bm25"):
        Bm25Index(**wrong)
