"""The build: what it keeps, that it resumes after a kill, refuses what is damaged, and equals itself."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from medrag import _filling
from medrag._snapshots import keep, restore
from medrag._util.places import beside
from medrag.build import BuildReport, append, build, compact, delete
from medrag.calibration import Calibration
from medrag.errors import (
    BadRecord,
    CorpusError,
    IndexCorrupt,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    MedragError,
    SettingsError,
)
from medrag.indexes.manifest import read_manifest
from medrag.indexes.store import Store, open_store, workspace, writing
from medrag.pipeline import MedRAG
from medrag.settings import CorpusSettings, PipelineSettings, Recipe, load_recipe
from medrag.types import Concept, ImageRecord, Item, Passage, Query, Triple

WORDS = "mass lung left right effusion clear heart apex nodule normal pleura rib opacity basal".split()


class Notes:
    """A corpus for tests: a JSON file {"first": n, "count": n, "bad": [n], "graph": bool, "sleep": s, "fail": bool}."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.plan = json.loads(path.read_text())

    def signature(self) -> str:
        return json.dumps({**self.plan, "sleep": 0})

    def read(self, report: Any) -> Iterator[Item]:
        with self.path.with_suffix(".reads").open("a") as log:
            log.write("read\n")
        if self.plan.get("fail"):
            raise CorpusError(f"{self.path}: wrong columns", "needs id,text")
        for n in range(self.plan.get("first", 0), self.plan.get("first", 0) + self.plan["count"]):
            time.sleep(self.plan.get("sleep", 0))
            if n in self.plan.get("bad", []):
                report(BadRecord(f"{self.name}:{n}", "is broken"))
                continue
            rng = random.Random(n)
            text = " ".join(rng.choices(WORDS, k=8))
            yield Passage(f"{self.name}:d{n // 3}#{n}", f"{self.name}:d{n // 3}", text, title="Note")
            if self.plan.get("graph"):
                yield Concept(f"{self.name}:c{n}", WORDS[n % len(WORDS)] + str(n), cuis=(f"C{n:07}",))
                yield Triple(
                    f"{self.name}:t{n}",
                    f"{self.name}:d{n // 3}",
                    f"s{n}",
                    "shows",
                    f"o{n}",
                    f"{self.name}:c{n}",
                    f"{self.name}:c0",
                )


class Letters:
    """An encoder for tests: how often each letter comes; refuses texts with ``unreadable`` in them."""

    modality = "text"
    calls = 0

    def __init__(self, model: str, *, batch: int, device: str, sleep: float = 0, version: int = 1) -> None:
        self.name, self.dim, self.fingerprint, self._sleep = model, 26, f"letters/{version}", sleep

    def encode_items(self, items: Any) -> np.ndarray:
        Letters.calls += len(items)
        time.sleep(self._sleep)
        for item in items:
            if item.id in ("notes:d1#3", "notes:d2#7"):
                raise BadRecord(item.id, "cannot be encoded")
        return self._vectors([item.text for item in items])

    def encode_queries(self, queries: Any) -> np.ndarray:
        return self._vectors([query.text for query in queries])

    def _vectors(self, texts: list[str]) -> np.ndarray:
        rows = np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ME = "test_build"


def plan(folder: Path, name: str, **what: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(what))
    return {"name": name, "reader": f"{ME}:Notes", "path": str(path)}


def recipe_of(*corpora: dict[str, Any], **more: Any) -> Recipe:
    indexes = {
        "text": {"kind": "faiss", "encoder": "letters"},
        "words": {"kind": "bm25", "items": ["passage"]},
        "concepts": {"kind": "flat", "encoder": "letters", "items": ["concept"]},
    }
    raw = {
        "name": "tiny",
        "corpora": list(corpora),
        "encoders": {"letters": {"model": "letters", "kind": f"{ME}:Letters", "options": more.pop("options", {})}},
        "indexes": indexes,
        **more,
    }
    return Recipe.model_validate(raw)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    sys.modules.setdefault(ME, sys.modules[__name__])
    Letters.calls = 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "indexes" / "tiny" / "built"


@pytest.fixture
def small(tmp_path: Path) -> Recipe:
    return recipe_of(
        plan(tmp_path, "notes", count=20, bad=[4]),
        plan(tmp_path, "terms", count=9, graph=True),
        expected={"passage": 28, "concept": 9},
    )


def built_store(recipe: Recipe, folder: Path) -> tuple[BuildReport, Store]:
    report = build(recipe, folder)
    return report, open_store(folder, verify=True)


def test_a_build_keeps_what_can_be_read_and_tells_the_rest(small: Recipe, folder: Path) -> None:
    heard: list[BadRecord] = []
    report = build(small, folder, report=heard.append)
    store = open_store(folder, verify=True)
    assert report.counts == {"concept": 9, "passage": 28, "triple": 9}
    assert [(skip.corpus, skip.source) for skip in report.skipped] == [
        ("notes", "notes:4"),
        ("index text", "notes:d1#3"),
        ("index text", "notes:d2#7"),
    ]
    assert [one.source for one in heard] == [skip.source for skip in report.skipped]
    assert report.warnings == ()
    assert [item.id for item in store.items.iterate(["passage"])][:4] == [
        "notes:d0#0",
        "notes:d0#1",
        "notes:d0#2",
        "notes:d1#3",
    ]
    assert (len(store.index("text")), len(store.index("words")), len(store.index("concepts"))) == (26, 28, 9)
    assert store.graph_path.is_file()
    assert store.recipe == small
    assert sorted(path.name for path in folder.iterdir()) == [
        "concepts",
        "graph.db",
        "items.db",
        "manifest.json",
        "records.db",
        "text",
        "words",
    ]
    first = store.items.get(["terms:d0#1"])[0]
    letters = Letters("letters", batch=1, device="cpu")
    assert store.index("text", letters).search(letters.encode_items([first]), 1)[1][0][0] in {
        "terms:d0#1",
        "notes:d0#1",
    }
    assert store.index("words").search(first.text, 2)[1][0] in {"terms:d0#1", "notes:d0#1"}


def test_an_unchanged_recipe_is_done_at_once(small: Recipe, folder: Path, tmp_path: Path) -> None:
    first = build(small, folder)
    made = (folder / "manifest.json").stat()
    again = build(small, folder)
    assert first.fresh and not again.fresh
    assert (again.counts, again.content_hash, again.skipped) == (first.counts, first.content_hash, first.skipped)
    found = (folder / "manifest.json").stat()
    assert (found.st_ino, found.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert (tmp_path / "notes.reads").read_text().count("read") == 1


def test_only_what_changed_is_read_and_encoded_again(small: Recipe, folder: Path, tmp_path: Path) -> None:
    build(small, folder)
    calls = Letters.calls
    plan(tmp_path, "notes", count=22, bad=[4])
    report = build(small, folder)
    assert report.fresh and report.counts["passage"] == 30
    assert report.warnings == ("expected 28 of kind passage, found 30",)
    assert (tmp_path / "notes.reads").read_text().count("read") == 2
    assert (tmp_path / "terms.reads").read_text().count("read") == 1
    assert Letters.calls - calls <= 10  # the two new ones and, a few times, the two that cannot be encoded
    assert build(small, folder, fresh=True).content_hash == report.content_hash
    assert (tmp_path / "terms.reads").read_text().count("read") == 2


def test_append_and_delete_equal_a_fresh_build(tmp_path: Path) -> None:
    notes, terms = plan(tmp_path, "notes", count=20), plan(tmp_path, "terms", count=9, graph=True)
    whole = build(recipe_of(notes, terms), tmp_path / "whole")
    grown = tmp_path / "grown"
    build(recipe_of(notes), grown)

    report = append(recipe_of(notes), [CorpusSettings(**terms)], grown)
    assert report.content_hash == whole.content_hash
    assert (tmp_path / "notes.reads").read_text().count("read") == 2  # once for each folder

    report = delete(grown, ["notes:d6", "notes:d5#17"])  # the last document, and one passage
    plan(tmp_path, "notes", count=17)
    fresh = build(recipe_of(notes, terms), tmp_path / "fresh")
    assert report.content_hash == fresh.content_hash != whole.content_hash
    assert report.counts == fresh.counts
    store = open_store(grown)
    assert store.items.get(["notes:d6#18", "notes:d5#17"]) == []
    assert "notes:d5#17" not in store.index("words").search("lung mass heart clear", 100)[1]


def test_where_the_files_lie_is_no_content(tmp_path: Path) -> None:
    from PIL import Image

    hashes = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        for n in range(4):
            Image.new("L", (8, 8), 20 + n).save(tmp_path / place / f"{n}.png")
        hashes.add(build(pictures(tmp_path / place), tmp_path / place / "built").content_hash)
    assert len(hashes) == 1
    Image.new("L", (8, 8), 99).save(tmp_path / "there" / "0.png")
    assert build(pictures(tmp_path / "there"), tmp_path / "there" / "built", fresh=True).content_hash not in hashes


def test_deleting_needs_no_corpus(small: Recipe, folder: Path, tmp_path: Path) -> None:
    whole = build(small, folder)
    (tmp_path / "notes.json").rename(tmp_path / "elsewhere.json")
    report = delete(folder, ["notes:d0"])
    assert report.counts["passage"] == whole.counts["passage"] - 3
    assert [skip.source for skip in report.skipped] == [skip.source for skip in whole.skipped]
    with pytest.raises(CorpusError, match="does not exist"):
        build(small, folder)
    (tmp_path / "elsewhere.json").rename(tmp_path / "notes.json")
    assert not build(small, folder).fresh


def test_deleted_items_stay_out_until_a_fresh_build(small: Recipe, folder: Path, tmp_path: Path) -> None:
    whole = build(small, folder)
    gone = delete(folder, ["notes:d0"])
    assert gone.counts["passage"] == whole.counts["passage"] - 3 and not any("stays" in one for one in gone.warnings)
    again, stays = build(small, folder), "1 document or item stays deleted: notes:d0 (--fresh brings it back)"
    assert not again.fresh and again.warnings[-1] == stays
    plan(tmp_path, "terms", count=10, graph=True)
    grown = build(small, folder)
    assert grown.counts["passage"] == gone.counts["passage"] + 1 and stays in grown.warnings
    assert build(small, folder).warnings.count(stays) == 1
    with pytest.raises(SettingsError, match="nothing in the index 'tiny' is named 'notes:zz'"):
        delete(folder, ["notes:zz"])
    (folder / "items.db").write_bytes(b"damaged")
    assert build(small, folder).counts["passage"] == gone.counts["passage"] + 1  # mending forgets no deletion
    anew = build(small, folder, fresh=True)
    assert anew.counts["passage"] == whole.counts["passage"] + 1
    assert "1 deletion is forgotten: notes:d0" in anew.warnings and stays not in anew.warnings


KILLED = """
import sys
sys.path[:0] = {paths!r}
import test_build
from medrag.build import build
from medrag.settings import Recipe
build(Recipe.model_validate_json(open({recipe!r}).read()), __import__("pathlib").Path({folder!r}))
"""


def test_killed_three_times_it_equals_an_uninterrupted_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_filling, "BATCH", 16)
    corpora = [plan(tmp_path, name, count=60, sleep=0.004, graph=name == "b") for name in "abc"]
    recipe = recipe_of(*corpora, options={"sleep": 0.02})
    whole = build(recipe, tmp_path / "whole")
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "other"))
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    root = str(Path(_filling.__file__).parent.parent)
    script = KILLED.format(
        paths=[root, str(Path(__file__).parent)], recipe=str(tmp_path / "recipe.json"), folder=str(tmp_path / "killed")
    )
    script = script.replace(
        "from medrag.build import build",
        "from medrag import _filling; _filling.BATCH = 16; from medrag.build import build",
    )
    killed = 0
    for moment in random.Random(os.getpid()).sample([0.15, 0.3, 0.45, 0.6, 0.75, 0.9], 3):
        killed += run_and_kill(script, tmp_path / "killed.work" / "lock.pid", moment)
    assert killed >= 1
    last = build(recipe, tmp_path / "killed")
    assert last.content_hash == whole.content_hash
    ours, theirs = (open_store(tmp_path / name, verify=True).manifest for name in ("whole", "killed"))
    exact = [name for name in ours.files if not name.endswith(".db")]
    assert {name: ours.files[name] for name in exact} == {name: theirs.files[name] for name in exact}
    assert ours.counts == theirs.counts


def run_and_kill(script: str, started: Path, after: float) -> bool:
    """Starts a build, waits until it holds the lock, then kills it; whether it was still running."""
    started.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while process.poll() is None and not started.is_file():
        time.sleep(0.01)
    time.sleep(after)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def test_a_kill_between_the_renames_loses_nothing(small: Recipe, folder: Path) -> None:
    first = build(small, folder)
    folder.rename(workspace(folder) / "previous")
    report = build(small, folder)
    assert not report.fresh and report.content_hash == first.content_hash


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
@pytest.mark.parametrize(
    "name", ["items.db", "graph.db", "text/index.faiss", "words/weights.npy", "concepts/ids.json", "manifest.json"]
)
def test_a_damaged_file_is_named_with_the_command_that_mends_it(
    harm: str, name: str, small: Recipe, folder: Path
) -> None:
    build(small, folder)
    path = folder / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 0xFF
    path.write_bytes(content[: len(content) - 7] if harm == "cut" else content)
    if harm == "gone":
        path.unlink()
    if (harm, name) == ("gone", "manifest.json"):
        with pytest.raises(IndexMissing, match="'tiny' was not built") as missing:
            open_store(folder)
        assert missing.value.hint == "medrag index build tiny"
        return
    with pytest.raises(IndexCorrupt) as caught:
        open_store(folder)
    assert str(path) in caught.value.message
    assert caught.value.hint == "medrag index build tiny"
    assert build(small, folder).fresh  # and the command does mend it
    open_store(folder, verify=True)


def test_another_encoder_is_refused_with_both_names(small: Recipe, folder: Path) -> None:
    _, store = built_store(small, folder)
    store.index("text", Letters("letters", batch=1, device="cpu"))
    with pytest.raises(IndexMismatch, match=r"built with letters \(letters/1\), not with capitals \(letters/2\)"):
        store.index("text", Letters("capitals", batch=1, device="cpu", version=2))
    with pytest.raises(SettingsError, match="no part 'images'"):
        store.index("images")


def test_another_encoder_in_the_recipe_builds_anew(small: Recipe, folder: Path) -> None:
    build(small, folder)
    other = small.model_copy(
        update={"encoders": {"letters": small.encoders["letters"].model_copy(update={"options": {"version": 2}})}}
    )
    assert build(other, folder).fresh


def test_missing_and_locked(small: Recipe, folder: Path) -> None:
    with pytest.raises(IndexMissing) as missing:
        open_store(folder)
    assert missing.value.hint == "medrag index build tiny"
    with writing(folder), pytest.raises(IndexLocked, match=f"process {os.getpid()} is writing"):
        build(small, folder)
    build(small, folder)


def test_a_format_of_the_future_is_refused(small: Recipe, folder: Path) -> None:
    build(small, folder)
    raw = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**raw, "format": 99}))
    with pytest.raises(IndexMismatch, match="format 99"):
        open_store(folder)


def test_settings_that_came_and_went(small: Recipe, folder: Path) -> None:
    """How an index is asked may change between versions; what shapes it may not."""
    build(small, folder)
    manifest = read_manifest(folder)
    for part, value in (("pipeline", {"no_longer_known": 1}), ("chunk", {"no_longer_known": 1})):
        dataclasses.replace(manifest, recipe={**manifest.recipe, part: value}).write(folder)
        if part == "pipeline":
            assert open_store(folder).recipe.pipeline == PipelineSettings()
            continue
        with pytest.raises(IndexMismatch, match=r"no_longer_known|chunk") as caught:
            open_store(folder)
        assert caught.value.hint == "medrag index build tiny"


def test_a_corpus_that_cannot_be_read_is_left_out_and_told(tmp_path: Path, folder: Path) -> None:
    good, bad, empty = (
        plan(tmp_path, "good", count=5),
        plan(tmp_path, "bad", count=5, fail=True),
        plan(tmp_path, "empty", count=0),
    )
    report = build(recipe_of(good, bad, empty), folder)
    assert report.counts == {"passage": 5}
    assert any("'bad' was left out" in one and "wrong columns" in one for one in report.warnings)
    assert any("'empty' has no item" in one for one in report.warnings)
    with pytest.raises(CorpusError, match=r"no corpus of 'tiny' has an item: bad: .*wrong columns"):
        build(recipe_of(bad, empty), tmp_path / "nothing")


def test_a_first_build_tells_what_is_wrong_with_the_corpus_and_what_mends_it(tmp_path: Path, folder: Path) -> None:
    """A record that was skipped on the way is not the reason."""
    (tmp_path / "own.obo").write_text("[Term]\nid: T:1\n\n[Term]\nid: T:2\nname: cough\n")
    own = {"name": "own", "reader": "obo", "path": str(tmp_path / "own.obo"), "options": {"roots": ["T:9"]}}
    with pytest.raises(CorpusError, match=r"has an item: own: the root T:9 is not a term of this file") as caught:
        build(recipe_of(own), folder)
    assert caught.value.hint == "correct the option 'roots' of the corpus"


def test_an_empty_folder_beside_others_ends_no_build(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "none").mkdir()
    empty = {"name": "none", "reader": "text", "path": str(tmp_path / "none")}
    report = build(recipe_of(plan(tmp_path, "good", count=5), empty), folder)
    assert report.counts == {"passage": 5}
    assert any("'none' was left out" in one and "no files" in one for one in report.warnings)
    with pytest.raises(CorpusError, match="no files"):
        build(recipe_of(empty), tmp_path / "nothing")
    with pytest.raises(CorpusError, match="does not exist"):
        build(recipe_of(plan(tmp_path, "good", count=5), {**empty, "path": str(tmp_path / "typo")}), folder)
    (tmp_path / "none" / "a.md").write_text("# A\nFluid in the pleural space.")
    assert build(recipe_of(plan(tmp_path, "good", count=5), empty), folder).counts["passage"] > 5


@pytest.mark.parametrize("bad", [{"fail": True}, {"bad": [0, 1, 2, 3, 4]}])
def test_a_corpus_that_the_index_holds_is_not_lost_to_a_fault(
    tmp_path: Path, folder: Path, bad: dict[str, Any]
) -> None:
    notes, more = plan(tmp_path, "notes", count=5), plan(tmp_path, "more", count=5)
    recipe = recipe_of(notes, more)
    build(recipe, folder)
    before = (folder / "manifest.json").read_bytes()
    plan(tmp_path, "more", **{"count": 5, **bad})
    for fresh in (False, True):
        with pytest.raises(CorpusError, match="'more' cannot be read any more, so the index stays as it was"):
            build(recipe, folder, fresh=fresh)
    assert (folder / "manifest.json").read_bytes() == before
    assert delete(folder, ["notes:d0"]).counts == {"passage": 7}  # what was read before is still there
    plan(tmp_path, "more", count=6)
    assert build(recipe, folder).counts == {"passage": 8}


def test_a_relative_path_means_the_folder_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for project in ("one", "two"):
        (tmp_path / project / "notes").mkdir(parents=True)
        (tmp_path / project / "notes" / f"{project}.txt").write_text("A mass in the left lung is seen.")
        raw = {"name": project, "corpora": [{"name": "notes", "reader": "text", "path": "notes"}]}
        (tmp_path / project / "r.yaml").write_text(json.dumps(raw))
    monkeypatch.chdir(tmp_path / "one")
    report = build(load_recipe("../two/r.yaml"))
    items = list(open_store(report.folder).items.iterate())
    assert items and {item.source for item in items} == {str(tmp_path / "two" / "notes" / "two.txt")}
    monkeypatch.chdir(tmp_path)
    assert not build(load_recipe("two/r.yaml")).fresh


def test_a_path_without_a_recipe_file_means_the_folder_of_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    made = build(recipe_of({**plan(Path(), "cards", count=6), "path": "cards.json"}))
    workspace(made.folder).joinpath("items", "cards.json").unlink()
    monkeypatch.chdir(tmp_path)
    assert delete(made.folder, ["cards:d0"]).counts == {"passage": 3}  # it finds the corpus again


def recipe_file(path: Path, *corpora: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    words = {"words": {"kind": "bm25", "items": ["passage"]}}
    path.write_text(json.dumps(recipe_of(*corpora, indexes=words).model_dump(mode="json")))
    return path


def test_two_recipes_of_one_name_do_not_stand_in_for_each_other(tmp_path: Path) -> None:
    one, two = (
        recipe_file(tmp_path / where / "r.yaml", {**plan(tmp_path / where, "notes", count=3), "path": "notes.json"})
        for where in ("one", "two")
    )
    build(load_recipe(one), file=one)
    with pytest.raises(SettingsError, match=f"was built from {one}, not from {two}") as caught:
        build(load_recipe(two), file=two)
    assert "another name" in caught.value.hint and caught.value.hint.endswith("--replace")
    with pytest.raises(IndexMismatch, match="holds other files than"):
        MedRAG.open(two)
    assert MedRAG.open(one).store
    recipe_file(one, *load_recipe(one).model_dump()["corpora"], plan(tmp_path / "one", "more", count=2))
    with pytest.raises(IndexMismatch, match="has no corpus 'more'"):
        MedRAG.open(one)
    assert build(load_recipe(one), file=one).counts == {"passage": 5}
    build(load_recipe(two), file=two, replace=True)
    assert MedRAG.open(two).store
    two.unlink()  # moved, or gone
    assert build(load_recipe(one), file=one).counts == {"passage": 5}


def test_an_index_is_opened_by_its_name_and_named_among_those_that_are_known(tmp_path: Path) -> None:
    file = recipe_file(tmp_path / "r.yaml", plan(tmp_path, "notes", count=3))
    build(load_recipe(file), file=file)
    assert MedRAG.open("tiny").store
    with pytest.raises(SettingsError) as caught:
        MedRAG.open("films")
    assert "tiny" in caught.value.hint and "sample" in caught.value.hint


def test_each_index_has_a_calibration_of_its_own(tmp_path: Path) -> None:
    places = []
    for name in ("one", "two"):
        recipe = recipe_of(plan(tmp_path, "notes", count=3), name=name, indexes={"words": {"kind": "bm25"}})
        build(recipe)
        places.append(beside(name, "calibration.json"))
        rag = MedRAG.open(recipe)
        Calibration(rag.calibrated_for, 0.1, {}).write(places[-1])
        assert rag.calibration is not None
    assert places[0] != places[1] and all(path.is_file() for path in places)


def test_what_was_appended_does_no_harm(tmp_path: Path) -> None:
    file = recipe_file(tmp_path / "r.yaml", plan(tmp_path, "notes", count=3))
    build(load_recipe(file), file=file)
    append(load_recipe(file), [CorpusSettings(**plan(tmp_path, "more", count=2))])
    assert MedRAG.open(file).store


def test_what_is_done_to_a_restored_index_is_done_to_it(tmp_path: Path, folder: Path) -> None:
    recipe = recipe_of(plan(tmp_path, "notes", count=30))
    build(recipe, folder)
    keep(folder, tmp_path / "kept")
    plan(tmp_path, "notes", count=40)
    build(recipe, folder)
    for act in (lambda: delete(folder, ["notes:d0"]), lambda: compact(folder)):
        restore(tmp_path / "kept", folder, "tiny")
        restored = read_manifest(folder).content_hash
        assert not (folder / "items.d").exists()
        assert sum(act().counts.values()) in (27, 30)
        assert restored == read_manifest(tmp_path / "kept").content_hash
    shutil.rmtree(tmp_path / "kept" / "items.d")  # as a snapshot of an earlier medrag
    build(recipe, folder)
    restore(tmp_path / "kept", folder)
    with pytest.raises(IndexMismatch, match="its corpora have changed since"):
        compact(folder)
    assert read_manifest(folder).content_hash == restored


def test_only_a_snapshot_of_the_same_index_is_restored(small: Recipe, tmp_path: Path, folder: Path) -> None:
    build(small, folder)
    keep(folder, tmp_path / "kept")
    with pytest.raises(SettingsError, match="is a snapshot of the index 'tiny', not of 'other'"):
        restore(tmp_path / "kept", folder, "other")
    with pytest.raises(SettingsError, match="is no snapshot"):
        restore(tmp_path, folder, "tiny")


@pytest.mark.parametrize(
    ("put", "problem"),
    [
        (lambda kept, other: (kept / "away").symlink_to(other), "away is a link"),
        (lambda kept, other: (kept / "words" / "away").symlink_to(other, target_is_directory=True), "away is a link"),
        (lambda kept, other: (kept / "items.d" / "notes.json").unlink() or (kept / "items.d" / "notes.json").symlink_to(other / "x"), "notes.json is a link"),
        (lambda kept, other: (kept / "words" / "more.bin").write_text("x"), "more.bin is no file of this snapshot"),
        (lambda kept, other: (kept / "items.d" / "more.json").write_text("{}"), "more.json is no file of this snapshot"),
    ],
)  # fmt: skip
def test_a_snapshot_brings_no_file_but_its_own(tmp_path: Path, folder: Path, put: Any, problem: str) -> None:
    build(recipe_of(plan(tmp_path, "notes", count=6)), folder)
    kept, other = tmp_path / "kept", tmp_path / "other"
    keep(folder, kept)
    other.mkdir()
    (other / "x").write_text("a secret")
    before = sorted(folder.rglob("*"))
    put(kept, other)
    with pytest.raises(SettingsError, match=problem):
        restore(kept, folder, "tiny")
    assert sorted(folder.rglob("*")) == before


def test_what_is_deleted_is_nowhere_in_the_workspace(tmp_path: Path, folder: Path) -> None:
    recipe = recipe_of(plan(tmp_path, "notes", count=6))
    whole = build(recipe, folder)
    text = open_store(folder).items.get(["notes:d0#0"])[0].text

    def held() -> bool:
        return any(text.encode() in path.read_bytes() for path in tmp_path.rglob("indexes/**/*") if path.is_file())

    assert held()
    delete(folder, ["notes:d0"])
    assert not held()
    assert not build(recipe, folder).fresh
    assert compact(folder).counts == {"passage": 3}
    plan(tmp_path, "notes", count=7)
    assert build(recipe, folder).counts == {"passage": 4} and not held()  # also after the corpus was read again
    plan(tmp_path, "notes", count=6)
    (folder / "manifest.json").write_text("{}")  # what was deleted is forgotten with it, as the build says
    assert build(recipe, folder).content_hash == whole.content_hash


def test_an_id_that_comes_twice_is_kept_once(tmp_path: Path, folder: Path) -> None:
    one = plan(tmp_path, "notes", count=3)
    two = {**plan(tmp_path, "more", count=3), "reader": f"{ME}:Twins"}
    report = build(recipe_of(one, two), folder)
    assert report.counts == {"passage": 3}
    assert [skip.problem for skip in report.skipped] == ["this id came before; the first record is kept"] * 3


class Twins(Notes):
    def read(self, report: Any) -> Iterator[Item]:
        self.name = "notes"
        yield from super().read(report)


def test_a_full_disk_is_one_line_and_the_old_index_stays(
    small: Recipe, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build(small, folder)
    plan(tmp_path, "notes", count=25)

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(MedragError, match="No space left on device") as caught:
            build(small, folder)
    assert "\n" not in str(caught.value) and "free space" in caught.value.hint
    assert open_store(folder, verify=True).manifest.content_hash == before.content_hash
    assert build(small, folder).counts["passage"] == 34


def test_a_full_disk_while_adding_or_deleting(
    small: Recipe, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build(small, folder)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for work in (
        lambda: append(small, [CorpusSettings(**plan(tmp_path, "more", count=3))], folder),
        lambda: delete(folder, ["notes:d5"]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(MedragError, match="No space left on device") as caught:
                work()
        assert "\n" not in str(caught.value) and "free space" in caught.value.hint
        assert open_store(folder, verify=True).manifest.content_hash == before.content_hash


@pytest.mark.skipif(not Path("/sys").is_dir(), reason="a folder that not even root may write to is Linux's")
def test_a_folder_that_nobody_may_write_to(small: Recipe) -> None:
    with pytest.raises(MedragError, match="cannot write"):
        build(small, Path("/sys/medrag/built"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(small: Recipe, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(MedragError, match="cannot write"):
        build(small, locked / "built")


def test_a_wrong_recipe_is_refused_before_anything_is_read(small: Recipe, folder: Path) -> None:
    for indexes, problem in (
        ({"text": {"kind": "faiss"}}, "needs an encoder"),
        ({"text": {"kind": "bm25", "encoder": "letters"}}, "takes no encoder"),
        ({"../text": {"kind": "bm25"}}, "not a name for a folder"),
        ({"text": {"kind": "faiss", "encoder": "letters", "options": {"factroy": "Flat"}}}, "factroy"),
    ):
        raw = {**small.model_dump(mode="json"), "indexes": indexes}
        with pytest.raises(SettingsError, match=problem):
            build(Recipe.model_validate(raw), folder)


@pytest.mark.parametrize(
    ("change", "near"),
    [
        ({"indexes": {"words": {"kind": "bm26"}}}, "did you mean 'bm25'"),
        ({"encoders": {"letters": {"model": "minillm"}}}, "did you mean 'minilm'"),
    ],
)
def test_near_names_of_kinds_and_models_are_told(tmp_path: Path, change: dict[str, Any], near: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build(recipe_of(plan(tmp_path, "notes", count=3), **change))
    assert near in caught.value.hint


def test_images_that_cannot_be_decoded_are_left_out(tmp_path: Path, folder: Path) -> None:
    """The real image path, without weights: `content` fails for one, `encode_items` for another."""
    from PIL import Image

    for n in range(4):
        Image.new("L", (8, 8), n * 20).save(tmp_path / f"{n}.png")
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "3.png").unlink()
    report = build(pictures(tmp_path), folder)
    assert [skip.source for skip in report.skipped] == [str(tmp_path / "3.png"), str(tmp_path / "2.png")]
    assert len(open_store(folder).index("images")) == 2


def pictures(path: Path) -> Recipe:
    raw = {
        "name": "tiny",
        "corpora": [{"name": "pictures", "reader": f"{ME}:Pictures", "path": str(path)}],
        "encoders": {"grey": {"model": "grey", "kind": f"{ME}:Grey"}},
        "indexes": {"images": {"encoder": "grey", "items": ["image"]}},
    }
    return Recipe.model_validate(raw)


class Pictures:
    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def signature(self) -> str:
        return "1"

    def read(self, report: Any) -> Iterator[Item]:
        for n in range(4):
            yield ImageRecord(f"pictures:{n}", f"pictures:{n}", "", str(self.path / f"{n}.png"))


class Wrong:
    """An encoder whose vectors are wrong in the way that its model is named."""

    modality, dim, fingerprint = "text", 3, "wrong/1"

    def __init__(self, model: str, *, batch: int, device: str) -> None:
        self.name = model

    def encode_items(self, items: Any) -> Any:
        count = len(items) - (self.name == "few")
        row = {"nan": [np.nan, 0, 1], "long": [0, 3, 4], "zero": [0, 0, 0], "wide": [1, 0, 0, 0]}.get(
            self.name, [1, 0, 0]
        )
        return np.zeros(count) if self.name == "flat" else np.array([row] * count, dtype=np.float32)

    encode_queries = encode_items


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", "NaN"),
        ("long", "of the length 5, not 1"),
        ("zero", "of the length 0"),
        ("wide", r"\(4,\), and its dim is 3"),
        ("flat", r"shape \(\)"),
        ("few", "27 vectors for 28 items"),
    ],
)
def test_an_encoder_that_gives_no_unit_vectors_is_named(tmp_path: Path, folder: Path, how: str, said: str) -> None:
    notes = plan(tmp_path, "notes", count=28)
    raw = {
        "name": "tiny", "corpora": [notes], "encoders": {"wrong": {"model": how, "kind": f"{ME}:Wrong"}},
        "indexes": {"text": {"kind": "flat", "encoder": "wrong"}},
    }  # fmt: skip
    for _ in range(2):  # nor is it remembered
        with pytest.raises(SettingsError, match=f"the encoder '{how}' gave .*{said}") as caught:
            build(Recipe.model_validate(raw), folder)
        assert "encode_items" in caught.value.hint
    assert not (folder / "manifest.json").exists()


class Grey:
    modality, dim, fingerprint, name = "image", 2, "grey/1", "grey"

    def __init__(self, model: str, *, batch: int, device: str) -> None: ...

    def content(self, item: Item) -> str:
        from medrag.encoders._shared import picture_key

        return picture_key(item)

    def encode_items(self, items: Any) -> np.ndarray:
        from medrag.encoders._shared import picture, unit

        rows = np.array([[1, np.asarray(picture(item)).mean() / 255] for item in items], dtype=np.float32)
        return unit(rows, [item.id for item in items])

    def encode_queries(self, queries: Any) -> np.ndarray:
        return np.zeros((len(queries), 2), dtype=np.float32)


def test_query_exclusion_is_turned_into_ids(small: Recipe, folder: Path) -> None:
    _, store = built_store(small, folder)
    query = Query("lung mass", exclude=frozenset({"notes:d0", "terms:d1#4"}))
    gone = store.items.ids_of(query.exclude)
    assert gone == {"notes:d0#0", "notes:d0#1", "notes:d0#2", "terms:d1#4"}
    assert not gone & set(store.index("words").search(query.text, 100, exclude=gone)[1])


def test_deleting_after_a_build_of_another_recipe_was_cut_off(small: Recipe, folder: Path, tmp_path: Path) -> None:
    whole = build(small, folder)
    other = recipe_of(plan(tmp_path / "other", "notes", count=5), plan(tmp_path, "terms", count=9, graph=True))
    broken = other.model_copy(update={"indexes": {"bad": other.indexes["text"].model_copy(update={"kind": "nothing"})}})
    with pytest.raises(SettingsError):
        build(broken, folder)  # it read the other notes into the workspace
    report = delete(folder, ["notes:d0"])
    assert report.counts["passage"] == whole.counts["passage"] - 3
    assert not build(small, folder).fresh


def test_a_damaged_manifest_is_said_to_lose_the_deletions(small: Recipe, folder: Path) -> None:
    build(small, folder)
    delete(folder, ["notes:d0"])
    (folder / "manifest.json").write_text("{}")
    assert any("what was deleted from it comes back" in warning for warning in build(small, folder).warnings)


class Gone(Notes):
    def read(self, report: Any) -> Iterator[Item]:
        yield from super().read(report)
        (self.path.parent / "vanished.txt").read_text()


def test_a_file_that_vanishes_is_told_as_the_corpus_own(tmp_path: Path, folder: Path) -> None:
    gone = {**plan(tmp_path, "gone", count=3), "reader": f"{ME}:Gone"}
    report = build(recipe_of(plan(tmp_path, "notes", count=3), gone), folder)
    assert report.counts == {"passage": 3}
    assert any("vanished.txt: cannot be read" in one and "MEDRAG_HOME" not in one for one in report.warnings)


def test_a_broken_file_whose_name_is_no_utf8_is_only_skipped(tmp_path: Path, folder: Path) -> None:
    from PIL import Image

    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe4.png")).write_bytes(b"no picture")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    raw = {"name": "tiny", "corpora": [{"name": "im", "reader": "images", "path": str(tmp_path)}]}
    report = build(Recipe.model_validate(raw), folder)
    assert report.counts == {"image": 1} and "\\udce4.png" in report.skipped[0].source
    assert read_manifest(folder).skipped[0]["source"] == report.skipped[0].source


def test_what_a_recipe_no_longer_names_is_told(tmp_path: Path, folder: Path) -> None:
    notes, terms = plan(tmp_path, "notes", count=3), plan(tmp_path, "terms", count=3)
    build(recipe_of(notes, terms), folder)
    report = build(recipe_of(notes), folder)
    assert report.counts == {"passage": 3}
    assert "the old index held terms, which the recipe does not name" in report.warnings


def test_a_delete_that_fails_leaves_no_half_graph(small: Recipe, folder: Path) -> None:
    build(small, folder)
    with pytest.raises(SettingsError):
        delete(folder, ["nothing:of:this:name"])
    assert not list(workspace(folder).rglob("*.part"))


class Locked(Notes):
    def signature(self) -> str:
        return "the same before and after: neither size nor time of a file change with its rights"


def test_a_corpus_that_was_left_out_is_tried_again(tmp_path: Path, folder: Path) -> None:
    locked = {**plan(tmp_path, "locked", count=3, fail=True), "reader": f"{ME}:Locked"}
    recipe = recipe_of(plan(tmp_path, "notes", count=3), locked)
    assert build(recipe, folder).counts == {"passage": 3}
    plan(tmp_path, "locked", count=3)
    mended = build(recipe, folder)
    assert mended.fresh and mended.counts == {"passage": 6}
    assert (tmp_path / "notes.reads").read_text().count("read") == 1
    assert not build(recipe, folder).fresh


def test_an_index_that_is_opened_by_its_name_is_asked_as_its_recipe_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("A pleural effusion is fluid in the pleural space.")
    recipe = {
        "name": "guarded", "corpora": [{"name": "notes", "reader": "text", "path": "notes"}],
        "indexes": {"lexical": {"kind": "bm25", "items": ["passage"]}},
        "pipeline": {"private": True, "unsupported": "abstain", "model_options": {"sentences": 2}},
    }  # fmt: skip
    file = tmp_path / "guarded.yaml"
    file.write_text(yaml.safe_dump(recipe))
    MedRAG.open(file, build=True)
    asked = MedRAG.open("guarded").settings
    assert asked.private and asked.unsupported == "abstain" and asked.model_options == {"sentences": 2}
    file.unlink()  # then as the index knows it, without options that may hold a key
    asked = MedRAG.open("guarded").settings
    assert asked.private and asked.unsupported == "abstain" and asked.model_options == {}
