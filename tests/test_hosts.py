"""Which hosts a configuration would contact: what is listed is what is contacted, and nothing is contacted to list it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labelled import QUESTIONS, recipe
from typer.testing import CliRunner

from medrag import MedRAG, hosts
from medrag.build import build
from medrag.cli.app import app
from medrag.errors import GeneratorError, ModelMissing
from medrag.hosts import UNKNOWN, Contact
from medrag.settings import Recipe, override

NOWHERE = "http://models.example.invalid:8000/v1"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *hosts.PROXIES,
        *hosts.TRACING,
        "OPENAI_BASE_URL",
        "HF_ENDPOINT",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The names that were looked up or connected to, none of which is reached."""
    found: set[str] = set()

    def refuse(host: Any, *rest: Any, **more: Any) -> Any:
        found.add(host.decode() if isinstance(host, bytes) else str(host))
        raise OSError("blocked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "gethostbyname", refuse)
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: refuse(address[0]))
    yield found


def names(contacts: list[Contact]) -> list[str]:
    return [one.host.partition(":")[0] for one in contacts]


def small(**pipeline: Any) -> Recipe:
    one = Recipe.model_validate({
        "name": "hosts", "corpora": [{"name": "a", "reader": "text", "path": "x"}], "indexes": {"lexical": {"kind": "bm25"}},
    })  # fmt: skip
    return one.model_copy(update={"pipeline": override(one.pipeline, pipeline)})


def test_what_is_listed_is_what_an_answer_contacts(tmp_path: Path, reached: set[str]) -> None:
    (tmp_path / "x.txt").write_text("A pleural effusion is fluid in the pleural space.")
    raw = small(model="openai:m", model_options={"base_url": NOWHERE, "retries": 0}).model_dump()
    raw["corpora"][0]["path"] = str(tmp_path)
    one = Recipe.model_validate(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
        build(one)
        assert not reached and not hosts.of_build(one)
        with pytest.raises(GeneratorError):
            MedRAG.open(one).answer(None, "What is a pleural effusion?")
        assert reached == set(names(hosts.of_answers(one)))
        reached.clear()
        MedRAG.open(one, model="extractive").answer(None, "What is a pleural effusion?", agent=True)
    assert not reached and not hosts.of_answers(one, "extractive")


def test_what_is_listed_is_what_a_download_contacts(reached: set[str], tmp_path: Path) -> None:
    from medrag import models

    name = "someone/some-model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        patch.setattr(models, "resolve", lambda one: (_ for _ in ()).throw(ModelMissing(one)))
        with pytest.raises((ModelMissing, OSError)):
            models.get(name)
    assert reached and reached <= set(names(hosts.of_fetch([name])))


def test_what_is_not_medrags_own_is_unknown() -> None:
    one = small()
    assert names(hosts.of_answers(one, "langchain:openai:gpt")) == [UNKNOWN]
    assert names(hosts.of_answers(one, "mine.module:Writer")) == [UNKNOWN]
    assert names(hosts.of_answers(one, object())) == [UNKNOWN]
    assert names(hosts.of_answers(one, "openai:m")) == [UNKNOWN]
    assert not hosts.of_answers(one, "medrag-small") and not hosts.of_answers(one, "someone/some-model")
    raw = recipe_with("mine:Reader", "mine:Encoder", "mine:Index")
    assert [one.by.partition(":")[0] for one in hosts.of_build(raw)] == ["corpus a", "encoder e", "index i"]


def recipe_with(reader: str, encoder: str, index: str, **options: Any) -> Recipe:
    return Recipe.model_validate({
        "name": "hosts", "corpora": [{"name": "a", "reader": reader, "path": "x"}], "encoders": {"e": {"model": "m", "kind": encoder}},
        "indexes": {"i": {"kind": index, "encoder": "e", "options": options}},
    })  # fmt: skip


def test_servers_of_vectors_tracing_and_proxies_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    server = recipe_with("text", "pages", "milvus", uri="http://vectors.example:19530")
    assert [one.host for one in hosts.of_build(server)] == ["vectors.example:19530"]
    assert not hosts.of_build(recipe_with("text", "pages", "milvus", uri="folder/milvus.db"))
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    assert [one.host for one in hosts.of_answers(small())] == ["api.smith.langchain.com"]
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    assert [one.host for one in hosts.of_answers(small())] == ["api.smith.langchain.com", "proxy.example:3128"]
    assert not hosts.of_build(small())
    assert hosts.of_build(small(), "ray://cluster.example:10001")[0].host == "cluster.example:10001"


def test_registries_are_those_that_their_clients_are_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hosts.of_fetch(["minilm"])[0].by == "pip"
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@mirror.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.example/simple")
    assert {one.host for one in hosts.of_fetch(["minilm"]) if one.by == "pip"} == {"mirror.example", "more.example"}
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    assert {one.host for one in hosts.of_fetch(["someone/model"])} == {"hub.example"}


def test_every_command_that_can_reach_out_has_a_dry_run(tmp_path: Path, reached: set[str]) -> None:
    path = tmp_path / "r.yaml"
    import yaml

    path.write_text(
        yaml.safe_dump(small(model="openai:m", model_options={"base_url": NOWHERE}).model_dump(mode="json"))
    )
    for command in (
        ["ask", "q", "--index", str(path), "--dry-run", "--json"],
        ["index", "build", str(path), "--dry-run", "--json"],
        ["models", "get", "biomedclip", "minilm", "--dry-run", "--json"],
        ["doctor", "--hosts", "--index", str(path), "--json"],
    ):
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 0, told.output
        value = json.loads(told.stdout)
        assert bool(value["contacts"]) == (command[0] != "index")
    served = CliRunner().invoke(app, ["serve", "--index", str(path), "--dry-run"])
    assert served.exit_code == 0 and "models.example.invalid:8000" in served.output
    assert "no host is contacted" in CliRunner().invoke(app, ["ask", "q", "--index", str(path), "--model", "extractive", "--dry-run"]).output  # fmt: skip
    assert not reached and not (tmp_path / "home").exists()


def test_the_whole_of_a_larger_recipe_reaches_nobody(tmp_path: Path, reached: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
        rag = MedRAG.open(recipe(tmp_path), build=True)
        for question in QUESTIONS:
            rag.answer(None, question)
    assert not reached
