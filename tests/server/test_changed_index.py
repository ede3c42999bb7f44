"""A server whose index is changed on disk: what was deleted is not offered any more, what came is found."""

from __future__ import annotations

import time

import httpx
import pytest
from running import running

from medrag import MedRAG, answer
from medrag.build import build, delete
from medrag.errors import SettingsError
from medrag.server import served
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
    rag.close()
    for ask in (rag.answer, lambda *asked: rag.answer(*asked, agent=True), lambda _, question: rag.retrieve(question)):
        with pytest.raises(SettingsError, match="was closed → open it again"):
            ask(None, ASKED["question"])
