"""The audit log: a line for every question by every way in, no content, and no change that goes unnoticed but one that was announced."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from server.running import running
from typer.testing import CliRunner

from medrag import audit
from medrag.agent.graph import Agent
from medrag.audit import AuditLog, verify
from medrag.cli.app import app
from medrag.errors import GeneratorError, MedragError
from medrag.pipeline import MedRAG
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Passage

QUESTION = "What is a pleural effusion?"
BOOK = Passage("book:1~0", "book:1", "A pleural effusion is fluid in the pleural space.", title="Chest")
FILM = Image.new("L", (32, 32), 90)


class Down(FakeGenerator):
    def stream(self, prompt: Any, images: Any = ()) -> Any:
        raise GeneratorError("the server is down", "start it")


def rag(path: Path | None, generator: Any = None) -> MedRAG:
    retriever = ListRetriever([BOOK], "lexical")
    made = MedRAG({"lexical": retriever}, DomainRouter(["lexical"]), AdaptiveSelector(), generator or FakeGenerator())
    made.audit = AuditLog.open(path) if path else None
    return made


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_way_in_leaves_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    one = rag(path)
    first = one.answer(FILM, QUESTION)
    list(one.stream(None, QUESTION))
    one.answers([(None, QUESTION, ())] * 2)
    one.answer_from(first.context, first.route)
    one.answer(None, QUESTION, agent=True)
    one.chat().ask(QUESTION)
    one.retrieve(QUESTION)
    one.selected(None, QUESTION)
    found = rows(path)
    streamed = ["begun", "answered"]
    assert [row["status"] for row in found] == [*streamed * 2, *["answered"] * 3, *streamed * 2, "searched", "searched"]
    assert verify(path) == (13, hashlib.sha256(path.read_bytes().splitlines(keepends=True)[-1]).hexdigest())
    for row in found[:2]:
        assert row["question"] == hashlib.sha256(QUESTION.encode()).hexdigest()
        assert row["images"] == [first.context.query.images[0].sha256]
        assert row["evidence"] == hashlib.sha256(BOOK.id.encode()).hexdigest()
    assert found[1]["begun"] == hashlib.sha256(path.read_bytes().splitlines(keepends=True)[0]).hexdigest()
    assert found[1]["answer"] == hashlib.sha256(first.text.encode()).hexdigest() and not found[3]["images"]
    assert found[1]["index"] == first.fingerprint and found[1]["model"] == "fake" and "begun" not in found[4]
    assert path.stat().st_mode & 0o077 == 0


def test_why_is_a_question_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    chat = rag(path).chat()
    chat.ask(QUESTION)
    why = chat.ask("How do you know?")
    found = rows(path)
    assert [row["status"] for row in found] == ["begun", "answered"] * 2
    assert {row["question"] for row in found[2:]} == {hashlib.sha256(b"How do you know?").hexdigest()}
    assert found[3]["begun"] == hashlib.sha256(path.read_bytes().splitlines(keepends=True)[2]).hexdigest()
    assert found[3]["answer"] == hashlib.sha256(why.text.encode()).hexdigest()


def test_no_content_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    rag(path).answer(FILM, QUESTION)
    text = path.read_text().lower()
    assert not [word for word in ("effusion", "pleural", "book", "chest", "fluid") if word in text]


@pytest.mark.parametrize(("agent", "left"), [(False, {"routed"}), (True, set())])
def test_nothing_of_the_index_goes_out_before_its_line_is_written(tmp_path: Path, agent: bool, left: set[str]) -> None:
    one = rag(tmp_path / "log")
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    seen = []
    with pytest.raises(MedragError, match="log"):
        for event in Agent(one).stream(None, QUESTION) if agent else one.stream(None, QUESTION):
            seen.append(event.stage)
    assert set(seen) == left


class Interrupted(FakeGenerator):
    def stream(self, prompt: Any, images: Any = ()) -> Any:
        yield "Fluid "
        raise KeyboardInterrupt


def test_who_stops_the_process_leaves_a_line_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        rag(path, Interrupted()).answer(None, QUESTION)
    assert [(row["status"], row.get("error")) for row in rows(path)] == [
        ("begun", None),
        ("failed", "KeyboardInterrupt"),
    ]
    assert rows(path)[1]["begun"] == rows(path)[1]["before"] and verify(path)[0] == 2


def test_a_line_may_be_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLog.open(path)
    for count in (1, 1000, 1, 4000, 1):
        log.write(images=[f"{n:064x}" for n in range(count)])
    assert verify(path)[0] == 5


def test_failures_and_those_who_left_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with pytest.raises(GeneratorError):
        rag(path, Down()).answer(FILM, QUESTION)
    events = rag(path).stream(None, QUESTION)
    next(events)
    events.close()  # type: ignore[attr-defined]
    with pytest.raises(MedragError):
        rag(path).answer(None, " ")
    assert [(row["status"], row.get("error")) for row in rows(path)] == [
        ("begun", None),
        ("failed", "GeneratorError"),
        ("stopped", None),
        ("failed", "SettingsError"),
    ]


def test_what_fails_where_all_is_handed_over_at_once_is_in_it_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    context, route = rag(None).selected(FILM, QUESTION)
    for fails in (
        lambda one: one.answers([(FILM, QUESTION, ())]),
        lambda one: one.answer_from(context, route),
        lambda one: one.answers([(None, " ", ())]),
    ):
        with pytest.raises(MedragError):
            fails(rag(path, Down()))
    assert [row["error"] for row in rows(path)] == ["GeneratorError", "GeneratorError", "SettingsError"]
    assert {row["status"] for row in rows(path)} == {"failed"}


def test_answers_that_nobody_gets_are_not_in_it(tmp_path: Path) -> None:
    class Second(FakeGenerator):
        asked = 0

        def stream(self, prompt: Any, images: Any = ()) -> Any:
            self.asked += 1
            if self.asked == 2:
                raise ConnectionError
            yield "Fluid [E1]."

    path = tmp_path / "log"
    with pytest.raises(GeneratorError):
        rag(path, Second()).answers([(None, QUESTION, ())] * 3)
    assert [row["status"] for row in rows(path)] == ["failed"] * 3
    rag(path, Second()).answers([(None, QUESTION, ())] * 3, return_errors=True)
    assert [row["status"] for row in rows(path)][3:] == ["begun", "answered", "begun", "failed", "begun", "answered"]


def test_without_it_nothing_is_written(tmp_path: Path) -> None:
    rag(None).answer(None, QUESTION)
    assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_written_stops_the_answer(tmp_path: Path) -> None:
    with pytest.raises(MedragError, match="nowhere"):
        AuditLog.open(tmp_path / "nowhere" / "log")
    one = rag(tmp_path / "log")
    (tmp_path / "log").unlink()
    (tmp_path / "log").mkdir()
    with pytest.raises(MedragError, match="log"):
        one.answer(None, QUESTION)


@pytest.mark.parametrize("where", ["", "nowhere/log"])
def test_a_place_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path, where: str) -> None:
    with pytest.raises(MedragError, match="cannot write") as caught:
        AuditLog.open(tmp_path / where)
    assert caught.value.hint.startswith("name a file in a folder")


@pytest.mark.parametrize("how", ["moved", "emptied"])
def test_a_log_that_is_moved_away_or_emptied_while_open_begins_anew(tmp_path: Path, how: str) -> None:
    path, before = tmp_path / "log", tmp_path / "log.1"
    log, umask = AuditLog.open(path), os.umask(0o022)
    try:
        last = [log.write(n=1), log.write(n=2)][-1]
        before.write_bytes(path.read_bytes())
        path.unlink() if how == "moved" else os.truncate(path, 0)
        first = log.write(n=3)
    finally:
        os.umask(umask)
    assert verify(before) == (2, last) and verify(path) == (1, first)
    assert rows(path)[0]["before"] == audit.START
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(MedragError, match="no line with the hash"):
        verify(path, last)


def test_many_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    AuditLog.open(path)
    work = [threading.Thread(target=lambda: [AuditLog(path).write(n=n) for n in range(12)]) for _ in range(6)]
    for one in work:
        one.start()
    for one in work:
        one.join()
    assert verify(path)[0] == 72


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("audit") / "log"
    for n in range(6):
        AuditLog.open(path).write(question=audit.asked(f"q{n}", ())["question"])
    return path.read_bytes()


@given(st.data())
def test_every_change_shows(whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = whole.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    kind = data.draw(st.sampled_from(["flip", "drop", "double", "swap", "cut"]))
    _, last = verify(_file(tmp_path_factory, whole))
    if kind == "flip":
        place = data.draw(st.integers(0, len(lines[at]) - 1))
        lines[at] = lines[at][:place] + bytes([lines[at][place] ^ 1]) + lines[at][place + 1 :]
    elif kind == "drop":
        del lines[at]
    elif kind == "double":
        lines.insert(at, lines[at])
    elif kind == "swap":
        lines[at - 1], lines[at] = lines[at], lines[at - 1]
    else:
        lines[-1] = lines[-1][: data.draw(st.integers(0, len(lines[-1]) - 1))]
    with pytest.raises(MedragError, match="line"):
        verify(_file(tmp_path_factory, b"".join(lines)), last)


def _file(factory: pytest.TempPathFactory, content: bytes) -> Path:
    path = factory.getbasetemp() / "changed"
    path.write_bytes(content)
    return path


def test_a_line_that_a_power_cut_tore_is_told_and_the_next_stands_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLog.open(path)
    log.write(n=1)
    with path.open("ab") as file:
        file.write(b'{"time": "20')
    log.write(n=2)
    assert len(path.read_text().splitlines()) == 3
    with pytest.raises(MedragError, match="line 2"):
        verify(path)


def test_the_command_checks_it(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(whole)
    told = CliRunner().invoke(app, ["audit", "verify", str(path), "--json"])
    value = json.loads(told.stdout)
    assert told.exit_code == 0 and value["lines"] == 6
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    assert CliRunner().invoke(app, ["audit", "verify", str(path)]).exit_code == 0
    cut = CliRunner().invoke(app, ["audit", "verify", str(path), "--last", value["last"]])
    assert cut.exit_code == 1 and "cut off" in cut.output
    assert CliRunner().invoke(app, ["audit", "verify", str(tmp_path / "none")]).exit_code == 1


def test_the_server_tells_tokens_apart(tmp_path: Path) -> None:
    path, tokens = tmp_path / "log", ("a" * 20, "b" * 20)
    with running(rag(path), tokens=tokens) as url:
        for token in tokens:
            headers = {"authorization": f"Bearer {token}"}
            assert httpx.post(f"{url}/v1/answer", data={"question": QUESTION}, headers=headers).status_code == 200
        httpx.get(f"{url}/v1/search", params={"question": QUESTION}, headers=headers)
    users = [row["user"] for row in rows(path) if row["status"] != "begun"]
    assert users == [hashlib.sha256(token.encode()).hexdigest()[:16] for token in (*tokens, tokens[1])]
    assert not [token for token in tokens if token in path.read_text()]


def test_steps_of_the_loop_are_not_questions(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Agent(rag(path)).answer(None, QUESTION)
    assert [row["status"] for row in rows(path)] == ["begun", "answered"]


def test_assistants_are_in_it_too(tmp_path: Path) -> None:
    import asyncio

    from mcp import Client as Assistant

    from medrag.server.mcp import make_mcp
    from medrag.server.served import Served
    from medrag.server.settings import settings_of

    path = tmp_path / "log"
    one = rag(path)

    async def scene() -> None:
        async with Assistant(make_mcp(one, Served(one, settings_of()), local=True)) as client:
            await client.call_tool("search", {"question": QUESTION})
            await client.call_tool("answer", {"question": QUESTION})

    asyncio.run(scene())
    assert [row["status"] for row in rows(path)] == ["searched", "begun", "answered"]
