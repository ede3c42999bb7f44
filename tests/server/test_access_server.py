"""Two tokens of one server: neither sees by any way in what only the other's labels open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from labelled import NAMES, QUESTIONS, recipe
from running import running

from medrag import MedRAG
from medrag.build import build
from medrag.errors import SettingsError
from medrag.server import page, settings_of
from medrag.server.served import TOKEN, Served
from medrag.testing import FakeGenerator
from medrag.types import Triple

MANY, FEW = "m" * 20, "f" * 20
HIDDEN = {"alpha": ["x"], "gamma": ["x"]}
LEFT = {"beta", "delta", "kappa"}
READS = (
    "/v1/index",
    *(f"/v1/search?question={question}&k=200" for question in QUESTIONS),
)
ITEMS = ("alpha:s0", "alpha:book0%230", "alpha:s0%231", "alpha:ALPHA:1", "ALPHA:1", "gamma:s1", "alpha:atlas%23p1")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("labelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        build(recipe(folder, labels=HIDDEN))
        rag = MedRAG.open(recipe(folder, labels=HIDDEN), model=FakeGenerator(), access=["x"])
        with running(rag, tokens=(MANY, FEW), labels={FEW: []}) as address:
            yield address


def http(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60)


def corpora_in(text: str) -> set[str]:
    return {name for name in NAMES if f'"{name}' in text or f"{name}:" in text or f"as {name}" in text}


def problem(reply: httpx.Response) -> dict[str, Any]:
    """What a failure says, without the name of its request."""
    return {name: value for name, value in reply.json()["error"].items() if name != "request"}


def answers(client: httpx.Client, question: str) -> list[str]:
    """The answer in every form that the server has."""
    turn = {"messages": [{"role": "user", "content": question}]}
    return [
        client.post("/v1/answer", data={"question": question}).text,
        client.post("/v1/answer", data={"question": question, "stream": "true", "html": "true"}).text,
        client.post("/v1/answer", data={"question": question, "agent": "true"}).text,
        client.post("/v1/chat/completions", json=turn).text,
        client.post("/v1/chat/completions", json={**turn, "stream": True, "model": "medrag-agent"}).text,
    ]


def test_each_token_sees_its_own_part(url: str) -> None:
    with http(url, MANY) as many, http(url, FEW) as few:
        for path in READS:
            assert corpora_in(many.get(path).text) == set(NAMES)
            assert corpora_in(few.get(path).text) == LEFT
        for question in QUESTIONS:
            assert corpora_in("".join(answers(few, question))) <= LEFT
        assert corpora_in("".join(answers(many, QUESTIONS[0]))) - LEFT
        for item in ITEMS:
            assert many.get(f"/v1/items/{item}").status_code == 200, item
            assert problem(few.get(f"/v1/items/{item}")) == problem(few.get("/v1/items/no:such"))
            assert few.get(f"/v1/items/{item}").status_code == few.get(f"/v1/items/{item}/picture").status_code == 404
        assert corpora_in(few.get("/metrics").text) == set()


def test_a_kept_answer_is_not_handed_to_who_may_not_see_its_evidence(url: str) -> None:
    with http(url, MANY) as many, http(url, FEW) as few:
        made = {
            client: client.post("/v1/answer", data={"question": QUESTIONS[0]}).json()["id"] for client in (many, few)
        }
        assert few.get(f"/v1/answers/{made[many]}/page").status_code == 404
        assert few.get(f"/v1/answers/{made[few]}/page").status_code == 200
        assert many.get(f"/v1/answers/{made[many]}/page").status_code == 200


def test_a_statement_stays_with_who_was_given_it_whoever_asks_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    build(recipe(tmp_path, labels=HIDDEN))
    rag = MedRAG.open(recipe(tmp_path, labels=HIDDEN), model=FakeGenerator(), access=["x"])
    (tmp_path / "r.html").write_text("quotes alpha")
    one = Served(rag, settings_of(tokens=(MANY, FEW), labels={FEW: []}, reports=tmp_path))
    short, long = Triple("kappa:t1", "kappa", "A", "is a", "B"), Triple("kappa:t1", "alpha", "A", "is a", "B")
    only = Triple("alpha:t2", "alpha", "A", "is a", "C")
    found, reports = {}, {}
    for token, items in ((FEW, [short]), (MANY, [long, only])):
        asking = TOKEN.set(token)
        one.lend(items)
        TOKEN.reset(asking)
    for token in (FEW, MANY):
        asking = TOKEN.set(token)
        found[token], reports[token] = (
            [one.lent(name) for name in ("kappa:t1", "alpha:t2", "nothing")],
            page._reports(one),
        )
        TOKEN.reset(asking)
    assert found[FEW] == [short, None, None] and found[MANY][1:] == [only, None]
    assert reports == {FEW: [], MANY: [tmp_path / "r.html"]}  # an evaluation quotes what it was shown


def test_tools_over_mcp_see_the_part_of_their_token(url: str) -> None:
    import httpx2
    from mcp import Client as Assistant
    from mcp.client.streamable_http import streamable_http_client

    async def told(token: str) -> str:
        client = httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=60)
        async with client, Assistant(streamable_http_client(f"{url}/mcp/", http_client=client)) as assistant:
            said: list[Any] = []
            for question in QUESTIONS:
                for name in ("search", "answer"):
                    said.append((await assistant.call_tool(name, {"question": question})).structured_content)
            walk = {"start": "pneumonia", "end": "atelectasis", "k": 20}
            said.append((await assistant.call_tool("graph_paths", walk)).structured_content)
            said.append((await assistant.call_tool("get_page", {"item": "alpha:s0"})).is_error)
            return json.dumps(said)

    few = asyncio.run(told(FEW))
    assert corpora_in(few) == LEFT and "true" in few[-6:]
    assert corpora_in(asyncio.run(told(MANY))) == set(NAMES)


def test_labels_are_of_tokens_that_are_let_in() -> None:
    with pytest.raises(SettingsError, match="not let in"):
        settings_of(tokens=(MANY,), labels={FEW: ["x"]})
    with pytest.raises(SettingsError, match="labels") as caught:
        settings_of(tokens=(MANY,), labels={MANY: "x"})
    assert MANY not in str(caught.value)
