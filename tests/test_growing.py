"""A grown index is the index that a fresh build makes: same content hash, same answers, same order; and it is grown, not built."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medrag.build import BuildReport, append, build, compact, delete
from medrag.errors import BadRecord
from medrag.indexes.store import open_store
from medrag.settings import CorpusSettings, Recipe
from medrag.types import Concept, Item, Passage, Triple

WORDS = "mass lung left right effusion clear heart apex nodule normal pleura rib opacity basal".split()


class Shelf:
    """A corpus for tests: a JSON file {document: [texts]}; "graph" adds a concept and a statement to each document."""

    def __init__(self, name: str, path: Path, **options: Any) -> None:
        self.name, self.path, self.plan = name, path, json.loads(path.read_text())

    def signature(self) -> str:
        return json.dumps(self.plan)

    def read(self, report: Any) -> Iterator[Item]:
        with self.path.with_suffix(".reads").open("a") as log:
            log.write("read\n")
        for doc, texts in self.plan["docs"].items():
            for n, text in enumerate(texts):
                yield Passage(f"{self.name}:{doc}#{n}", f"{self.name}:{doc}", text)
            if self.plan.get("graph"):
                yield Concept(f"{self.name}:c{doc}", doc, cuis=("C0000001",))
                yield Triple(f"{self.name}:t{doc}", f"{self.name}:{doc}", "a", "shows", "b", f"{self.name}:c{doc}", "x")


class Counting:
    """Letters of a text; refuses texts with "unreadable"; counts what it encodes."""

    modality, dim, fingerprint, seen = "text", 26, "counting/1", 0

    def __init__(self, model: str, *, batch: int, device: str) -> None:
        self.name = model

    def content(self, item: Item) -> str:
        return item.text

    def encode_items(self, items: Any) -> np.ndarray:
        Counting.seen += len(items)
        for item in items:
            if "unreadable" in item.text:
                raise BadRecord(item.id, "cannot be encoded")
        rows = np.array([[item.text.count(chr(97 + n)) for n in range(26)] for item in items], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    encode_queries = encode_items


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    Counting.seen = 0


def shelf(folder: Path, name: str, docs: dict[str, list[str]], **more: Any) -> dict[str, Any]:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"docs": docs, **more}))
    return {"name": name, "reader": f"{__name__}:Shelf", "path": str(path)}


def some_docs(seed: int, count: int) -> dict[str, list[str]]:
    rng = random.Random(seed)
    return {f"d{seed}-{n}": [" ".join(rng.choices(WORDS, k=6)) for _ in range(rng.randint(1, 3))] for n in range(count)}


def recipe_of(*corpora: dict[str, Any], **more: Any) -> Recipe:
    raw = {
        "name": "tiny",
        "corpora": list(corpora),
        "encoders": {"letters": {"model": "letters", "kind": f"{__name__}:Counting"}},
        "indexes": {
            "text": {"kind": "faiss", "encoder": "letters"},
            "flat": {"kind": "flat", "encoder": "letters", "corpora": [corpora[0]["name"]]},
            "words": {"kind": "bm25"},
        },
        **more,
    }
    return Recipe.model_validate(raw)


def was_grown(report: BuildReport) -> bool:
    return "grow" in report.seconds and "store" not in report.seconds


def assert_same(grown: Path, fresh: Path) -> None:
    """Content, counts, the order of items within documents, and every answer."""
    one, other = open_store(grown, verify=True), open_store(fresh)
    assert one.manifest.content == other.manifest.content
    assert one.manifest.content_hash == other.manifest.content_hash
    assert one.manifest.counts == other.manifest.counts
    docs = {item.doc for item in other.items.iterate()}
    for doc in docs:
        assert one.items.by_doc([doc]) == other.items.by_doc([doc])
    assert len(one.items) == len(other.items)
    for query in ("left lung mass", "heart", "pleura rib apex opacity"):
        found, expected = (store.index("words").search(query, 50) for store in (one, other))
        assert found[1] == expected[1]
        np.testing.assert_array_equal(found[0], expected[0])
    asked = Counting("", batch=1, device="").encode_queries([Passage("q", "q", "left lung mass")])
    for part in ("text", "flat"):
        found, expected = (store.index(part).search(asked, 50) for store in (one, other))
        assert found[1] == expected[1]
        np.testing.assert_array_equal(found[0], expected[0])


def test_a_new_corpus_is_added_without_the_old_being_touched(tmp_path: Path) -> None:
    old, new = shelf(tmp_path, "old", some_docs(1, 60)), shelf(tmp_path, "new", some_docs(2, 5))
    build(recipe_of(old), tmp_path / "grown")
    before = (tmp_path / "grown" / "flat" / "vectors.npy").stat().st_ino
    Counting.seen = 0
    report = append(recipe_of(old), [CorpusSettings(**new)], tmp_path / "grown")
    assert was_grown(report)
    assert 0 < Counting.seen <= 15
    assert (tmp_path / "grown" / "flat" / "vectors.npy").stat().st_ino == before  # of the old corpus alone
    build(recipe_of(old, new), tmp_path / "fresh")
    assert_same(tmp_path / "grown", tmp_path / "fresh")
    assert not append(recipe_of(old), [CorpusSettings(**new)], tmp_path / "grown").fresh


def test_the_order_of_options_makes_no_corpus_be_read_again(tmp_path: Path) -> None:
    old = shelf(tmp_path, "old", some_docs(1, 60)) | {"options": {"z": {"b": 1, "a": 2}, "a": 3}}
    build(recipe_of(old), tmp_path / "grown")
    append(recipe_of(old), [CorpusSettings(**shelf(tmp_path, "new", some_docs(2, 3)))], tmp_path / "grown")
    assert (tmp_path / "old.reads").read_text() == "read\n"


@pytest.mark.parametrize("seed", range(6))
def test_any_row_of_changes_equals_a_fresh_build(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    docs, other = some_docs(seed, 80), some_docs(100 + seed, 60)
    docs["d0"] = ["an unreadable text"]
    recipe = recipe_of(shelf(tmp_path, "a", docs), shelf(tmp_path, "b", other))
    build(recipe, tmp_path / "grown")
    gone: set[str] = set()
    for step in range(5):
        for _ in range(rng.randint(1, 3)):
            some = rng.choice(sorted(docs))
            change = rng.choice(["new", "drop", "edit", "longer", "delete"])
            if change == "new":
                docs[f"n{step}-{rng.random()}"] = [" ".join(rng.choices(WORDS, k=5))]
            elif change == "drop":
                docs.pop(some)
            elif change == "delete" and f"b:{next(iter(other))}" not in gone:
                gone.add(f"b:{next(iter(other))}")
                assert was_grown(delete(tmp_path / "grown", [f"b:{next(iter(other))}"]))
                other.pop(next(iter(other)))
            else:
                docs[some] = [*docs[some], "rib apex"] if change == "longer" else [f"changed {step} lung", *docs[some]]
        shelf(tmp_path, "a", docs)
        report = build(recipe, tmp_path / "grown")
        assert was_grown(report) or not report.fresh
        assert [skip.source for skip in report.skipped].count("a:d0#0") == 2 * ("a d0" in _names(docs))
    shelf(tmp_path, "b", other)
    fresh = build(recipe, tmp_path / "fresh")
    assert_same(tmp_path / "grown", tmp_path / "fresh")
    compacted = compact(tmp_path / "grown")
    assert not was_grown(compacted)
    assert compacted.content_hash == fresh.content_hash
    assert_same(tmp_path / "grown", tmp_path / "fresh")


def _names(docs: dict[str, list[str]]) -> set[str]:
    return {f"a {doc}" for doc, texts in docs.items() if texts[0] == "an unreadable text"}


def test_a_corpus_that_is_no_longer_named_goes(tmp_path: Path) -> None:
    old, new = shelf(tmp_path, "old", some_docs(1, 60)), shelf(tmp_path, "new", some_docs(2, 5))
    build(recipe_of(old, new), tmp_path / "grown")
    assert was_grown(build(recipe_of(old), tmp_path / "grown"))
    build(recipe_of(old), tmp_path / "fresh")
    assert_same(tmp_path / "grown", tmp_path / "fresh")


def test_what_serves_is_not_touched(tmp_path: Path) -> None:
    old, new = shelf(tmp_path, "old", some_docs(1, 60)), shelf(tmp_path, "new", some_docs(2, 5))
    build(recipe_of(old), tmp_path / "grown")
    serving = open_store(tmp_path / "grown")
    assert len(serving.items) > 60
    before = serving.index("words").search("left lung mass", 500)
    asked = serving.index("text").vectors_at(np.array([0, 5]))
    near = serving.index("text").search(asked, 500)
    append(recipe_of(old), [CorpusSettings(**new)], tmp_path / "grown")
    delete(tmp_path / "grown", ["old:d1-3"])
    after = serving.index("words").search("left lung mass", 500)
    assert after[1] == before[1] and np.array_equal(after[0], before[0])
    assert serving.index("text").search(asked, 500)[1] == near[1]
    assert len(serving.items.by_doc(["old:d1-3"])) > 0


@pytest.mark.parametrize(
    ("why", "corpora"),
    [
        ("the graph changes", lambda f: [shelf(f, "old", some_docs(1, 60)), shelf(f, "new", some_docs(2, 3), graph=True)]),
        ("too much is new", lambda f: [shelf(f, "old", some_docs(1, 60)), shelf(f, "new", some_docs(2, 40))]),
        ("it stands before the old", lambda f: [shelf(f, "new", some_docs(2, 3)), shelf(f, "old", some_docs(1, 60))]),
    ],
)  # fmt: skip
def test_where_growing_would_not_do_everything_is_built(tmp_path: Path, why: str, corpora: Any) -> None:
    build(recipe_of(shelf(tmp_path, "old", some_docs(1, 60))), tmp_path / "grown")
    recipe = recipe_of(*corpora(tmp_path))
    recipe = recipe.model_copy(
        update={"indexes": {n: i.model_copy(update={"corpora": ()}) for n, i in recipe.indexes.items()}}
    )
    report = build(recipe, tmp_path / "grown")
    assert report.fresh and not was_grown(report), why
    assert report.content_hash == build(recipe, tmp_path / "fresh").content_hash


def test_deleting_beside_a_graph(tmp_path: Path) -> None:
    """A document of a corpus without statements goes at once; one that the graph speaks of goes from there too."""
    notes, terms = shelf(tmp_path, "notes", some_docs(1, 60)), shelf(tmp_path, "terms", some_docs(2, 4), graph=True)
    build(recipe_of(notes, terms), tmp_path / "grown")
    assert was_grown(delete(tmp_path / "grown", ["notes:d1-3"]))
    assert open_store(tmp_path / "grown").graph_path.is_file()
    report = delete(tmp_path / "grown", ["terms:d2-1"])
    assert not was_grown(report)
    docs, others = some_docs(1, 60), some_docs(2, 4)
    docs.pop("d1-3"), others.pop("d2-1")
    build(recipe_of(shelf(tmp_path, "notes", docs), terms), tmp_path / "fresh")
    again = delete(tmp_path / "fresh", ["terms:d2-1"])
    assert report.content_hash == again.content_hash


def test_an_id_that_another_corpus_has_is_settled_by_a_whole_build(tmp_path: Path) -> None:
    build(recipe_of(shelf(tmp_path, "old", some_docs(1, 60))), tmp_path / "grown")
    twin = shelf(tmp_path, "new", some_docs(2, 3)) | {"reader": f"{__name__}:Twin"}
    recipe = recipe_of(shelf(tmp_path, "old", some_docs(1, 60)), twin)
    report = build(recipe, tmp_path / "grown")
    assert not was_grown(report)
    assert any("this id came before" in skip.problem for skip in report.skipped)


class Twin(Shelf):
    """Says the ids of the corpus "old" too."""

    def read(self, report: Any) -> Iterator[Item]:
        yield Passage("old:d1-0#0", "old:d1-0", "a twin")


def test_grown_again_and_again_it_is_built_anew(tmp_path: Path) -> None:
    docs = some_docs(1, 40)
    recipe = recipe_of(shelf(tmp_path, "a", docs))
    build(recipe, tmp_path / "grown")
    ways = []
    for n in range(16):
        docs[f"n{n}"] = ["lung mass", "rib"]
        shelf(tmp_path, "a", docs)
        ways.append(was_grown(build(recipe, tmp_path / "grown")))
    assert ways[0] and not all(ways)
