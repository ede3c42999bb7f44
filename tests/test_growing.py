"""A grown index is the index that a fresh build makes: same content hash, same answers, same order; and it is grown, not built."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image

from medrag._snapshots import keep, restore
from medrag._util.draw import picture_of
from medrag.build import BuildReport, append, build, compact, delete
from medrag.convert import convert, with_kind
from medrag.encoders._shared import picture, picture_key
from medrag.errors import BadRecord
from medrag.indexes.faiss import FaissIndex
from medrag.indexes.multivector import MultiVectorIndex
from medrag.indexes.store import ItemStore, open_store, writing
from medrag.settings import CorpusSettings, Recipe
from medrag.types import Concept, Item, Page, Passage, Triple

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


class Bright:
    """How bright each quarter of a picture is."""

    modality, dim, fingerprint, seen = "image", 4, "bright/1", 0

    def __init__(self, model: str, *, batch: int, device: str) -> None:
        self.name = model

    def content(self, item: Item) -> str:
        return picture_key(item)

    def encode_items(self, items: Any) -> np.ndarray:
        Bright.seen += len(items)
        rows = np.array([picture(item).convert("L").resize((2, 2)).tobytes() for item in items]).view(np.uint8)
        rows = rows.reshape(len(items), 4).astype(np.float32) + 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    encode_queries = encode_items


def test_a_picture_that_took_the_place_of_another_is_looked_at_again(tmp_path: Path) -> None:
    def draw(n: int, seed: int) -> None:
        grey = np.random.default_rng(seed).integers(0, 255, (8, 8)).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / "films" / f"{n}.png")

    (tmp_path / "films").mkdir()
    for n in range(24):
        draw(n, n)
    whole = (tmp_path / "films" / "7.png").read_bytes()
    (tmp_path / "films" / "7.png").write_bytes(whole[: len(whole) // 2])
    raw = {
        "name": "films", "corpora": [{"name": "c", "reader": "images", "path": str(tmp_path / "films")}],
        "encoders": {"bright": {"model": "bright", "kind": f"{__name__}:Bright"}},
        "indexes": {"look": {"kind": "faiss", "encoder": "bright", "items": ["image"]}},
    }  # fmt: skip
    recipe = Recipe.model_validate(raw)
    build(recipe, tmp_path / "grown")
    (tmp_path / "films" / "7.png").write_bytes(whole)
    draw(3, 50)
    Bright.seen = 0
    report = build(recipe, tmp_path / "grown")
    assert was_grown(report) and not report.skipped and Bright.seen == 2
    assert report.content_hash == build(recipe, tmp_path / "fresh").content_hash
    assert open_store(tmp_path / "grown").items.by_doc(["c:3.png"]) == open_store(tmp_path / "fresh").items.by_doc(["c:3.png"])  # fmt: skip


def test_a_deleted_image_is_gone_from_its_study_and_a_deleted_page_from_its_passages(tmp_path: Path) -> None:
    (tmp_path / "rep" / "images").mkdir(parents=True)
    for name, grey in (("face", 200), ("side", 20)):
        Image.fromarray(np.full((20, 20), grey, np.uint8)).save(tmp_path / "rep" / "images" / f"{name}.png")
    rows = "".join(f"{n},The lungs are clear in case {n}.,Normal chest {n}.\n" for n in range(1, 15))
    (tmp_path / "rep" / "reports.csv").write_text(f"uid,findings,impression\n{rows}")
    (tmp_path / "rep" / "views.csv").write_text("uid,image,projection\n1,face.png,Frontal\n1,side.png,Lateral\n")
    (tmp_path / "books").mkdir()
    book = pymupdf.open()
    for word in ("background", "effusion", "trauma"):
        text = f"This page speaks of {word} of the chest, and of the lungs, the heart and the ribs of patients who have it."
        book.new_page().insert_textbox(pymupdf.Rect(72, 100, 500, 400), text)
    book.save(tmp_path / "books" / "a.pdf")
    raw = {
        "name": "both",
        "corpora": [
            {"name": "rep", "reader": "reports-csv", "path": str(tmp_path / "rep"), "options": {"projections": "views.csv"}},
            {"name": "books", "reader": "pdf", "path": str(tmp_path / "books")},
        ],
        "indexes": {"words": {"kind": "bm25", "items": ["passage"]}},
    }  # fmt: skip
    build(Recipe.model_validate(raw), tmp_path / "grown")
    assert was_grown(delete(tmp_path / "grown", ["rep:1#face", "books:a#p2"]))
    report = compact(tmp_path / "grown")
    for store in (open_store(tmp_path / "grown"), open_store(report.folder)):
        (study,) = store.items.get(["rep:1"])
        assert study.images == ("rep:1#side",) and [Path(p).name for p in study.meta["paths"]] == ["side.png"]
        assert np.asarray(picture_of(study))[0, 0, 0] == 20
        assert not [one for one in store.items.ids() if one.startswith("books:a#p2")]
        assert store.index("words").search("effusion", 5)[1] == []
    assert not any("effusion" in path.read_text() for path in tmp_path.rglob("*.jsonl"))


def test_an_excluded_page_keeps_its_passages_out(tmp_path: Path) -> None:
    with closing(ItemStore.create(tmp_path / "items.db")) as store:
        pages = [Page(f"b:a#p{n}", "b:a", n, (), 600, 800, "a.pdf") for n in (2, 21)]
        store.put_many((one, "b") for one in [*pages, *(Passage(f"{page.id}~0", "b:a", "text") for page in pages)])
        assert store.ids_of(["b:a#p2"]) == {"b:a#p2", "b:a#p2~0"}
        assert len(store.ids_of(["b:a"])) == 4


def test_what_came_twice_is_told_again_when_others_are_added(tmp_path: Path) -> None:
    docs = some_docs(1, 60) | {"d": ["heart"]}
    old = shelf(tmp_path, "old", docs) | {"reader": f"{__name__}:Twice"}
    first = build(recipe_of(old), tmp_path / "grown")
    report = append(recipe_of(old), [CorpusSettings(**shelf(tmp_path, "new", some_docs(2, 3)))], tmp_path / "grown")
    assert was_grown(report) and first.skipped and report.skipped == first.skipped


class Twice(Shelf):
    """Says the last of its items again."""

    def read(self, report: Any) -> Iterator[Item]:
        items = list(super().read(report))
        yield from [*items, items[-1]]


def test_a_tuned_effort_outlives_a_whole_build(tmp_path: Path) -> None:
    options = {"factory": "IVF4,Flat"}
    indexes = {"text": {"kind": "faiss", "encoder": "letters", "options": options}}
    old = shelf(tmp_path, "old", some_docs(1, 300))
    recipe = recipe_of(old, indexes=indexes)
    folder = build(recipe, tmp_path / "tuned").folder
    store = open_store(folder)
    index = store.index("text")
    index.nprobe = 3
    with writing(folder):
        index.save_settings(folder / "text")
        store.manifest.write(folder)
    assert compact(folder).warnings == ()
    assert open_store(folder).index("text").nprobe == 3
    changed = recipe_of(old, indexes={"text": {**indexes["text"], "options": {**options, "nprobe": 2}}})
    build(changed, folder)
    assert open_store(folder).index("text").nprobe == 2  # what the recipe says anew counts


def test_an_index_that_is_to_keep_off_the_gpu_stays_off_it(tmp_path: Path) -> None:
    for index in (FaissIndex("Flat", gpu="never"), MultiVectorIndex(gpu="never")):
        rows: Any = np.eye(4, dtype=np.float32)
        index.add(["a"], rows[:1] if isinstance(index, FaissIndex) else [rows])
        index.save(tmp_path / "index")
        assert type(index).open(tmp_path / "index").gpu == "never"


def test_shards_grow_are_kept_and_are_converted_as_one_index(tmp_path: Path) -> None:
    old, new = shelf(tmp_path, "old", some_docs(1, 60)), shelf(tmp_path, "new", some_docs(2, 5))
    plain = recipe_of(old).model_dump(mode="json")["indexes"]
    parted = {**plain, "text": {**plain["text"], "options": {"factory": "Flat", "shards": 3}}}
    build(recipe_of(old, indexes=parted), tmp_path / "grown")
    before = len(open_store(tmp_path / "grown").index("text"))
    keep(tmp_path / "grown", tmp_path / "kept")
    assert was_grown(append(recipe_of(old, indexes=parted), [CorpusSettings(**new)], tmp_path / "grown"))
    assert was_grown(delete(tmp_path / "grown", ["old:d1-3"]))
    assert len(list((tmp_path / "grown" / "text").glob("*.faiss"))) == 3
    whole = recipe_of(old, new, indexes=plain)
    build(whole, tmp_path / "fresh")
    delete(tmp_path / "fresh", ["old:d1-3"])
    store = open_store(tmp_path / "grown")
    convert(store, with_kind(store.recipe, "one", "faiss", {"factory": "Flat"}), tmp_path / "one")
    asked = open_store(tmp_path / "fresh").index("text").search(np.eye(26, dtype=np.float32), 50)
    for folder in ("grown", "one"):
        found = open_store(tmp_path / folder, verify=True).index("text").search(np.eye(26, dtype=np.float32), 50)
        assert found[1] == asked[1]
        np.testing.assert_array_equal(found[0], asked[0])
    restore(tmp_path / "kept", tmp_path / "grown", "tiny")
    assert len(open_store(tmp_path / "grown", verify=True).index("text")) == before


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
