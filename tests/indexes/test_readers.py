"""Readers during writes see whole states; a power cut at any moment finds the files before the manifest, and an index at its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medrag import _swap
from medrag._util.files import exchange
from medrag._util.places import checkout
from medrag.build import build
from medrag.errors import IndexLocked, IndexMissing
from medrag.indexes import manifest, store
from medrag.indexes.store import open_store, steadily
from medrag.settings import Recipe

SCRIPT = (checkout() or Path()) / "eval/benchmarks/readers.py"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    (tmp_path / "a.txt").write_text("The lungs are clear.")
    raw = {"name": "read", "corpora": [{"name": "notes", "reader": "text", "path": str(tmp_path / "a.txt")}], "indexes": {"words": {"kind": "bm25"}}}  # fmt: skip
    return Recipe.model_validate(raw)


def test_every_answer_comes_from_one_committed_state(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--readers", "4", "--changes", "12", "--pause", "0.05", "--out", str(tmp_path / "r.json")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "r.json").read_text())
    assert (found["from_no_state"], found["errors"], found["first_errors"]) == (0, 0, [])
    assert found["answers"] >= 12 and found["states_seen"] >= 3


def test_the_files_last_before_the_manifest_and_the_manifest_before_the_index_takes_its_place(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Path]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        told.append(("sync", Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def replaced(self: Path, target: Path) -> Path:
        told.append(("rename", Path(target)))
        return replace(self, target)

    def exchanged(one: Path, other: Path) -> bool:
        told.append(("exchange", one))
        return exchange(one, other)

    build(recipe, tmp_path / "built")
    (tmp_path / "a.txt").write_text("The heart is large.")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(_swap, "exchange", exchanged)
    build(recipe, tmp_path / "built")
    new = store.workspace(tmp_path / "built") / "next"
    written = told.index(("rename", new / manifest.NAME))
    taken = told.index(("exchange", new))
    before = {path for what, path in told[:written] if what == "sync"}
    names = manifest.read_manifest(tmp_path / "built").files
    assert {"items.db"} < names.keys()
    assert {new / name for name in names} | {new, *((new / name).parent for name in names)} <= before
    assert any(what == "sync" and path.name.startswith(f".{manifest.NAME}") for what, path in told[:written])
    assert ("sync", new) in told[written:taken] and ("sync", tmp_path) in told[taken:]


def test_the_two_are_exchanged_at_one_moment(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    if exchange(tmp_path / "one", tmp_path / "two"):
        assert (tmp_path / "one" / "x").read_text() == "two" and (tmp_path / "two" / "x").read_text() == "one"
    assert not exchange(tmp_path / "one", tmp_path / "three") and (tmp_path / "one").exists()


@pytest.mark.parametrize("swaps", [True, False])
def test_a_new_index_takes_the_old_ones_place_with_and_without_the_system_s_help(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool
) -> None:
    if not swaps:
        monkeypatch.setattr(_swap, "exchange", lambda one, other: False)
    first = build(recipe, tmp_path / "built")
    (tmp_path / "a.txt").write_text("The heart is large.")
    second = build(recipe, tmp_path / "built")
    assert (
        open_store(tmp_path / "built", verify=True).manifest.content_hash == second.content_hash != first.content_hash
    )
    assert {path.name for path in store.workspace(tmp_path / "built").iterdir()} <= {"lock", "items", "said"}


def test_what_is_opened_is_opened_again_where_the_index_was_replaced(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "built"
    build(recipe, folder)
    times = []

    def work() -> str:
        opened = open_store(folder)
        if not times:
            (tmp_path / "a.txt").write_text("The heart is large.")
            build(recipe, folder)
        times.append(opened.manifest.content_hash)
        opened.hold()
        return opened.manifest.content_hash

    assert steadily(folder, work) == times[-1] == open_store(folder).manifest.content_hash and len(times) == 2


def test_one_that_is_replaced_all_the_time_and_one_that_is_not_there(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "built"
    with pytest.raises(IndexMissing):
        open_store(folder)
    build(recipe, folder)
    with pytest.raises(IndexLocked, match="replaced faster"):
        steadily(folder, lambda: (folder / manifest.NAME).write_bytes((folder / manifest.NAME).read_bytes() + b" "))


def test_what_is_held_answers_after_another_took_its_place(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "built"
    build(recipe, folder)
    held = open_store(folder)
    held.hold()
    (tmp_path / "a.txt").write_text("The heart is large.")
    build(recipe, folder)
    (found,) = held.items.get(held.index("words").search("lungs", 1)[1])
    assert found.text == "The lungs are clear."
