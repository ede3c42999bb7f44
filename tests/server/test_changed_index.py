"""A server whose index is changed on disk: what was deleted is not offered any more, what came is found."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
from running import running

from medrag import MedRAG, answer
from medrag.build import build, delete
from medrag.errors import IndexMissing, SettingsError
from medrag.pipeline import open_cached
from medrag.server import served, settings_of
from medrag.server.served import Served
from medrag.settings import load_recipe
from medrag.testing import FakeGenerator, ListRetriever

ASKED = {"question": "What is the zebra sign?"}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(served, "LOOK", 0.05)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "zebra.md").write_text("# Zebra sign\nThe zebra sign is a row of stripes.\n")
    (tmp_path / "notes" / "tiger.md").write_text("# Tiger sign\nThe tiger sign is a striped globus pallidus.\n")
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\ncorpora: [{name: notes, reader: text, path: notes}]\nindexes: {lexical: {kind: bm25}}\n"
    )
    build(load_recipe(path))
    return path


def folder(recipe):
    return recipe.parent / "home" / "indexes" / "own"


def settles(look):
    """Whether it comes to be so."""
    until = time.monotonic() + 20
    while not (there := look()) and time.monotonic() < until:
        time.sleep(0.05)
    return there


def test_what_is_deleted_is_not_offered_and_what_is_added_is_found(recipe):
    with running(MedRAG.open(recipe)) as url:
        first = httpx.post(f"{url}/v1/answer", data=ASKED).json()
        before = httpx.get(f"{url}/v1/index").json()["content_hash"]
        assert first["status"] == "answered"
        delete(folder(recipe), ["notes:zebra.md"])
        assert settles(lambda: httpx.get(f"{url}/v1/items/notes:zebra.md~0").status_code == 404)
        assert httpx.post(f"{url}/v1/answer", data=ASKED).json()["status"] == "abstained"
        assert httpx.get(f"{url}/v1/answers/{first['id']}/page").status_code == 404
        assert httpx.get(f"{url}/v1/index").json()["content_hash"] != before
        (recipe.parent / "notes" / "lion.md").write_text("# Lion sign\nThe lion sign is a mane of white matter.\n")
        build(load_recipe(recipe))
        assert settles(lambda: httpx.get(f"{url}/v1/items/notes:lion.md~0").status_code == 200)
        (folder(recipe) / "manifest.json").unlink()
        assert settles(lambda: httpx.post(f"{url}/v1/answer", data=ASKED).status_code == 503)
        build(load_recipe(recipe), fresh=True)
        assert settles(lambda: httpx.post(f"{url}/v1/answer", data=ASKED).status_code == 200)


def answered(one):
    try:
        return one.rag.answer(None, ASKED["question"]).status
    except IndexMissing:
        return "gone"


def test_an_index_that_comes_back_file_by_file_is_opened_when_it_is_whole(recipe, monkeypatch, caplog):
    monkeypatch.setattr(served, "AGAIN", 0.0)
    one, there, kept = Served(MedRAG.open(recipe), settings_of()), folder(recipe), recipe.parent / "kept"
    one.refresh()
    shutil.move(there, kept)
    one.refresh()
    assert answered(one) == "gone"
    there.mkdir()
    shutil.copy2(kept / "manifest.json", there)
    for _ in range(3):
        one.refresh()
        assert answered(one) == "gone"
    shutil.copytree(kept, there, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
    one.refresh()
    assert answered(one) == "answered"
    assert len(caplog.records) == 2  # gone, not opened anew: the second and third time is not told again


def test_what_was_deleted_stays_so_while_its_index_cannot_be_opened(recipe, monkeypatch):
    monkeypatch.setattr(served, "AGAIN", 0.0)
    one, manifest = Served(MedRAG.open(recipe), settings_of()), folder(recipe) / "manifest.json"
    one.refresh()
    manifest.rename(recipe.parent / "manifest.json")
    one.refresh()
    (recipe.parent / "manifest.json").rename(manifest)
    with monkeypatch.context() as patch:
        patch.setattr(MedRAG, "reopened", missing)
        one.refresh()
        assert answered(one) == "gone"
    one.refresh()
    assert answered(one) == "answered"


def missing(rag):
    raise IndexMissing("a part is missing", "build it")


def test_whatever_fails_a_changed_index_is_tried_again_and_sooner_where_it_changes_or_someone_asks(recipe, monkeypatch):
    one = Served(MedRAG.open(recipe), settings_of())
    one.refresh()
    delete(folder(recipe), ["notes:zebra.md"])
    with monkeypatch.context() as patch:
        patch.setattr(MedRAG, "reopened", lambda rag: 1 / 0)
        one.refresh()
    one.refresh()
    assert answered(one) == "answered"  # not yet
    one.refresh(anew=True)
    assert answered(one) == "abstained"


def test_asked_to_look_again_before_it_looks_at_all_it_opens_anew(recipe, monkeypatch):
    monkeypatch.setattr(served, "LOOK", 60.0)
    one = Served(rag := MedRAG.open(recipe), settings_of())
    one.look_again()
    one.watch()
    assert settles(lambda: one._base is not rag)
    first = one._base
    one.look_again()
    assert settles(lambda: one._base is not first)
    one.end()


def test_an_answer_that_was_under_way_while_the_index_changed_is_not_kept(recipe):
    one = Served(MedRAG.open(recipe), settings_of())
    late = one.rag.answer(None, ASKED["question"])
    assert one.remembered(one.remember(late)) is late
    delete(folder(recipe), ["notes:zebra.md"])
    one.refresh()
    assert one.remembered(one.remember(late)) is None
    fresh = one.rag.answer(None, ASKED["question"])
    assert one.remembered(one.remember(fresh)) is fresh


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files")
def test_the_files_of_the_index_before_are_let_go(recipe):
    one = Served(MedRAG.open(recipe), settings_of())
    one.refresh()
    one.rag.answer(None, ASKED["question"])
    delete(folder(recipe), ["notes:zebra.md"])
    one.refresh()
    one.rag.answer(None, ASKED["question"])
    opened = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]  # noqa: PTH115 - a pipe is no path
    assert len([name for name in opened if name.startswith(str(recipe.parent)) and "items.db" in name]) == 1


def test_the_short_way_opens_a_changed_index_anew(recipe):
    assert answer(None, ASKED["question"], index=str(recipe)).status == "answered"
    delete(folder(recipe), ["notes:zebra.md"])
    assert answer(None, ASKED["question"], index=str(recipe)).status == "abstained"


def test_opened_anew_it_is_asked_as_before(recipe):
    rag = MedRAG.open(recipe, model=FakeGenerator(["Stripes [E1]."]), k=7)
    rag.retrievers["mine"] = mine = Mine([])
    rag.settings = rag.settings.model_copy(update={"model": "named"})
    fresh = rag.reopened()
    assert not rag.outdated and fresh.fingerprint == rag.fingerprint and fresh.retrievers["mine"] is mine
    assert fresh.retrievers["lexical"] is not rag.retrievers["lexical"] and fresh.generator is rag.generator


class Mine(ListRetriever):
    """A retriever of one's own."""


def test_an_index_that_was_closed_says_so(recipe):
    with MedRAG.open(recipe) as rag:
        assert rag.answer(None, ASKED["question"]).status == "answered"
        copies = rag.audited(None), rag.seen_by(()), rag.seen_by(()).audited(None)
    rag.close()
    for one in (rag, *copies):
        for ask in (one.answer, partial(one.answer, agent=True), lambda _, text, one=one: one.retrieve(text)):
            with pytest.raises(SettingsError, match="was closed → open it again"):
                ask(None, ASKED["question"])
    for again in (rag.reopened, lambda: rag.seen_by(())):
        with pytest.raises(SettingsError, match="was closed → open it again"):
            again()


def test_closing_what_others_see_leaves_the_index_open_and_so_does_closing_the_one_before(recipe):
    rag = MedRAG.open(recipe)
    fresh = rag.reopened()
    rag.seen_by(()).close()
    assert rag.answer(None, ASKED["question"]).status == "answered"
    rag.close()
    assert fresh.answer(None, ASKED["question"]).status == "answered"
    fresh.audited(None).close()
    assert fresh.closed


def test_the_short_way_opens_a_closed_index_anew(recipe):
    open_cached(str(recipe)).close()
    assert answer(None, ASKED["question"], index=str(recipe)).status == "answered"
