"""Other people's clients against the real server: openai's, MCP's from the official SDK over HTTP and stdio, and medrag's own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import pickle
import sys

import httpx
import numpy as np
import openai
import pytest
from PIL import Image
from running import QUESTION, chest, running
from test_api import with_generator

from medrag.audit import AuditLog
from medrag.client import AsyncClient, Client, ServerError
from medrag.errors import GeneratorError, SettingsError
from medrag.server.chat import Keys, _earlier, image_bytes
from medrag.server.served import MOST
from medrag.testing import FakeGenerator


@pytest.fixture(scope="module")
def dialect(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def film() -> str:
    picture = io.BytesIO()
    Image.new("L", (32, 32), 40).save(picture, "PNG")
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()


def said(*turns):
    return [{"role": "user", "content": turn} for turn in turns]


def test_openai_whole(dialect, rag):
    expected = rag.answer(None, QUESTION)
    reply = dialect.chat.completions.create(model="medrag", messages=said(QUESTION))
    content = reply.choices[0].message.content
    assert content.startswith(expected.text) and "[E1] " in content and reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    about = reply.model_extra["medrag"]
    assert about["status"] == "answered" and about["citations"][0]["key"] == "E1"


def test_openai_streaming_with_an_image(dialect, rag):
    parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": film()}}]
    chunks = list(dialect.chat.completions.create(model="medrag", messages=said(parts), stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant" and len(chunks) > 3
    whole = dialect.chat.completions.create(model="medrag", messages=said(parts)).choices[0].message.content
    assert text == whole
    last = chunks[-1]
    assert last.choices[0].finish_reason == "stop" and last.model_extra["medrag"]["citations"]


def test_the_list_of_files_that_open_webui_writes_is_no_question(dialect):
    listed = '<attached_files>\n<file type="file" id="7" url="7" content_type="image/png" name="film.png"/>\n</attached_files>\n\n'
    image = {"type": "image_url", "image_url": {"url": film()}}
    plain, with_list = (
        dialect.chat.completions.create(model="medrag", messages=said([*texts, image])).choices[0].message.content
        for texts in ([{"type": "text", "text": QUESTION}], [{"type": "text", "text": t} for t in (listed, QUESTION)])
    )
    assert with_list == plain


def test_openai_follow_ups_keep_the_image_in_view(dialect):
    first = [
        {"type": "text", "text": "Is there a pleural effusion?"},
        {"type": "image_url", "image_url": {"url": film()}},
    ]
    messages = [
        {"role": "system", "content": "Obey me."}, {"role": "user", "content": first},
        {"role": "assistant", "content": "No."}, {"role": "user", "content": "What about a mass?"},
    ]  # fmt: skip
    reply = dialect.chat.completions.create(model="medrag-agent", messages=messages, temperature=0.7, max_tokens=5)
    assert reply.model == "medrag-agent" and reply.choices[0].message.content


def test_openai_questions_lean_on_all_that_were_asked_before(rag):
    made, long = FakeGenerator(), "effusion " * 1000
    turns = [long, "Is there a pleural effusion on the right?", "and on the left?", "What causes it?"]
    with running(with_generator(rag, made)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        client.chat.completions.create(model="medrag", messages=said(*turns))
    assert "What causes a pleural effusion on the left?" in made.prompts[0].user_text()


@pytest.mark.parametrize("stream", [False, True])
def test_openai_how_do_you_know_recites_what_the_answer_cites(rag, stream):
    made = FakeGenerator(["It is fluid in the pleural space [E1].", "Something else [E2]."])
    with running(with_generator(rag, made)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

        def ask(*messages):
            reply = client.chat.completions.create(model="medrag", messages=messages, stream=stream)
            if not stream:
                return reply.choices[0].message.content
            return "".join(chunk.choices[0].delta.content or "" for chunk in reply)

        first = {"role": "user", "content": QUESTION}
        text = ask(first)
        turns = [first, {"role": "assistant", "content": f"{text}\n"}, {"role": "user", "content": "How do you know?"}]
        told = ask(*turns)
        assert told.startswith("It cites [E1] “") and len(made.prompts) == 1  # no model is asked
        again = ask(
            *turns, {"role": "assistant", "content": told}, {"role": "user", "content": "What is your evidence?"}
        )
        assert again == told
        unknown = ask(first, {"role": "assistant", "content": "words of another server"}, turns[-1])
        assert unknown.startswith("It cites [E2] “") and len(made.prompts) == 2  # it is answered again
    assert _earlier([QUESTION, "How do you know?"]) == [QUESTION]


def test_how_do_you_know_leaves_its_lines_in_the_audit_log(rag, tmp_path):
    made = with_generator(rag, FakeGenerator(["It is fluid in the pleural space [E1]."]))
    with running(made.audited(AuditLog.open(tmp_path / "log"))) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        turns = [{"role": "user", "content": QUESTION}]
        for asked in ("How do you know?", ""):
            text = client.chat.completions.create(model="medrag", messages=turns).choices[0].message.content
            turns += [{"role": "assistant", "content": text}, {"role": "user", "content": asked}]
    found = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [row["status"] for row in found] == ["begun", "answered"] * 2
    assert {row["question"] for row in found[2:]} == {hashlib.sha256(b"How do you know?").hexdigest()}


def test_dicom_comes_as_a_data_url_of_either_type():
    for kind in ("image/dicom", "application/dicom"):
        assert image_bytes(f"data:{kind};base64,{base64.b64encode(b'DICM').decode()}") == b"DICM"
    with pytest.raises(SettingsError, match="no data URL"):
        image_bytes("data:application/pdf;base64,AAAA")


def test_questions_that_lean_never_grow_over_what_may_be_asked():
    long = f"Is there a pleural effusion {'here ' * 1590}on the right?"
    assert len(long) <= MOST < len(long) + 50
    for earlier in (
        [long],
        [long, "and on the left?"],
        [long, "and on the left side of the upper lobe of the lung and also in the lower zone?"] * 3,
    ):
        assert max(map(len, _earlier(earlier)), default=0) <= MOST


def test_openai_keys_that_point_at_nothing_are_taken_out_while_it_streams(rag):
    made = FakeGenerator(["Fluid lies there [E1] and [E99]. It is [sic] so [E1, E77]."])
    with running(with_generator(rag, made)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        chunks = list(client.chat.completions.create(model="medrag", messages=said(QUESTION), stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.startswith("Fluid lies there [E1] and. It is [sic] so [E1].\n\n[E1] ") and "Checked" not in text


@pytest.mark.parametrize("cut", range(1, 12))
def test_keys_are_checked_however_the_text_is_cut(cut):
    text = "One [E1][E2] two [E9]  three [E1, E9]; four [ five [E2]. [E3"
    keys = Keys()
    keys.known = {"E1", "E2"}
    pieces = "".join(keys.take(text[n : n + cut]) for n in range(0, len(text), cut))
    assert pieces == "One [E1][E2] two  three [E1]; four [ five [E2]."


def test_openai_what_cannot_be_done(dialect):
    assert [one.id for one in dialect.models.list()] == ["medrag", "medrag-agent"]
    with pytest.raises(openai.NotFoundError, match="no model"):
        dialect.chat.completions.create(model="gpt-4o", messages=said("x"))
    url = {"type": "image_url", "image_url": {"url": "https://example.org/film.png"}}
    with pytest.raises(openai.UnprocessableEntityError, match="fetches nothing"):
        dialect.chat.completions.create(model="medrag", messages=said([url]))
    with pytest.raises(openai.UnprocessableEntityError, match="base64"):
        bad = {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}
        dialect.chat.completions.create(model="medrag", messages=said([bad]))
    with pytest.raises(openai.UnprocessableEntityError, match="no user message"):
        dialect.chat.completions.create(model="medrag", messages=[{"role": "system", "content": "x"}])
    with pytest.raises(openai.APIError, match="image"):
        url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        list(dialect.chat.completions.create(model="medrag", messages=said([url]), stream=True))


def test_medrags_own_client(url, rag):
    with Client(url) as client:
        assert client.index()["name"] == "served"
        hits = client.search("pleural effusion", k=5)
        assert hits[0]["rank"] == 1 and len(hits) == 5
        passage = next(hit for hit in hits if hit["kind"] == "passage")
        assert client.item(passage["item"])["text"] == passage["text"]
        assert client.picture(passage["item"], side=300, boxes=[(72, 90, 200, 120)]).startswith(b"\x89PNG")
        value = client.answer(chest(), QUESTION)
        assert value["text"] == rag.answer(str(chest()), QUESTION).text
        stages = list(client.stream([Image.new("L", (9, 9))], QUESTION))
        assert stages[0][0] == "queued" and stages[-1][0] == "answer" and stages[-1][1]["status"] == "answered"
        left_out = client.answer(None, QUESTION, exclude=[hit["doc"] for hit in hits if hit["kind"] == "passage"])
        assert passage["doc"] not in {one["doc"] for one in left_out["citations"]}
        for exclude in ({passage["item"]}, (one for one in [passage["item"]]), {passage["item"]: 1}.keys()):
            assert passage["item"] not in {
                hit["item"] for hit in client.search("pleural effusion", k=5, exclude=exclude)
            }
        with pytest.raises(ServerError, match="exclude: 5 is no text"):
            client.answer(None, QUESTION, exclude=[5])
        with pytest.raises(ServerError, match="ndarray"):
            client.answer(np.zeros((8, 8)), QUESTION)
        assert client.answer(None, QUESTION, before=None)["question"] == QUESTION
        with pytest.raises(ServerError) as refused:
            client.item("no:such")
        assert refused.value.status == 404 and refused.value.hint == "ask /v1/search"
        with pytest.raises(ServerError, match="image"):
            client.answer(b"nonsense", QUESTION)
        with pytest.raises(ServerError, match="image"):
            list(client.stream(b"nonsense", QUESTION))
        with pytest.raises(ServerError, match="cannot be read"):
            client.answer("not/there.dcm", QUESTION)
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(ServerError, match="medrag serve"):
        nobody.index()
    for wrong in ({"token": "abc\n"}, {"url": "http://[::1"}):
        with pytest.raises(ServerError):
            Client(**wrong)


def test_what_went_wrong_is_known_in_another_process_too():
    busy = pickle.loads(pickle.dumps(GeneratorError("m", "h", "busy", 3.0)))
    assert (str(busy), busy.kind, busy.retry_after) == ("m → h", "busy", 3.0)
    full = pickle.loads(pickle.dumps(ServerError("m", "h", 429, 2.0)))
    assert (str(full), full.status, full.retry_after) == ("m → h", 429, 2.0)


def test_medrags_own_client_awaited(url, rag):
    async def scene():
        async with AsyncClient(url) as client:
            whole, hits, facts = await asyncio.gather(
                client.answer(None, QUESTION), client.search("mass", k=1), client.index()
            )
            assert whole["text"] == rag.answer(None, QUESTION).text and len(hits) == 1 and facts["name"] == "served"
            stages = [stage async for stage, _ in client.stream(None, QUESTION)]
            assert stages[-1] == "answer" and "token" in stages
            concept = next(hit for hit in await client.search("pleural effusion") if hit["kind"] == "concept")
            assert (await client.item(concept["item"]))["name"]
            assert (await client.picture(concept["item"], side=64)).startswith(b"\x89PNG")
            with pytest.raises(ServerError):
                await client.item("no:such")
            with pytest.raises(ServerError, match="image"):
                _ = [one async for one in client.stream(b"nonsense", QUESTION)]

    asyncio.run(scene())


BREAKS = "Fluid\u2028in the\x85pleural\u2029space [E1]."


def test_ends_of_lines_that_unicode_knows_do_not_break_a_stream(rag):
    with running(with_generator(rag, FakeGenerator([BREAKS]))) as url:
        with Client(url) as client:
            stages = list(client.stream(None, QUESTION))
        assert stages[-1][0] == "answer" and stages[-1][1]["text"] == BREAKS
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as dialect:
            chunks = dialect.chat.completions.create(model="medrag", messages=said(QUESTION), stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).startswith(BREAKS)


def answered(status=200, **reply):
    """A client whose server gives this reply to everything."""
    client = Client("http://server")
    transport = httpx.MockTransport(lambda request: httpx.Response(status, **reply))
    client._http = httpx.Client(base_url="http://server", transport=transport)
    return client


def test_an_event_is_read_whatever_its_text_holds_and_however_it_is_cut():
    raw = f'event: token\r\ndata: {{"text": "{BREAKS}"}}\r\n\r\nevent: answer\ndata: {{}}\n\n'.encode()
    client = answered(content=iter([raw[at : at + 3] for at in range(0, len(raw), 3)]))
    assert list(client.stream(None, QUESTION)) == [("token", {"text": BREAKS}), ("answer", {})]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"status": 502, "json": {"error": "Bad gateway"}}, "said 502: Bad gateway"),
        ({"status": 500, "json": [1]}, "said 500"),
        ({"status": 503, "json": {"error": {"message": "wait"}}, "headers": {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}}, "wait"),
        ({"text": "<html>log in</html>"}, "no answer of a medrag server"),
        ({"json": [1]}, "no answer of a medrag server"),
        ({"text": "event: token\ndata: {cut"}, "no answer of a medrag server"),
        ({"text": "event: error\ndata: []\n\n"}, "no answer of a medrag server"),
    ],
)  # fmt: skip
def test_whatever_a_server_sends_wrong_is_a_server_error(reply, told):
    client = answered(**reply)
    asked = [
        lambda: client.answer(None, QUESTION), lambda: list(client.stream(None, QUESTION)), lambda: client.search(QUESTION),
        lambda: client.picture("x"), client.index,
    ]  # fmt: skip
    for ask in asked:
        with pytest.raises(ServerError, match=told) as caught:
            ask()
        assert caught.value.retry_after == 0.0


async def _tools(client):
    """What an assistant does with the tools."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {"search", "answer", "graph_paths", "similar_cases", "get_page"} == set(tools)
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools.values())
    found = await client.call_tool("search", {"question": "pleural effusion", "k": 3})
    hits = found.structured_content["hits"]
    assert len(hits) == 3 and "<evidence id=" in found.content[0].text
    passage = next(hit for hit in hits if hit["kind"] == "passage")
    page = await client.call_tool("get_page", {"item": passage["item"]})
    assert page.content[0].type == "image" and base64.b64decode(page.content[0].data).startswith(b"\x89PNG")
    joined = await client.call_tool("graph_paths", {"start": "pleural effusion", "end": "Abnormal pleura morphology"})
    assert "pleural effusion" in joined.content[0].text.lower() and joined.structured_content["paths"]
    answer = await client.call_tool("answer", {"question": QUESTION, "images": [film()]})
    assert answer.structured_content["status"] == "answered" and "[E1]" in answer.content[0].text
    lost = await client.call_tool("graph_paths", {"start": "quux", "end": "pneumonia"})
    assert lost.is_error and "knows nothing called 'quux'" in lost.content[0].text
    read = await client.read_resource(f"medrag://items/{passage['item'].replace('#', '%23')}")
    assert json.loads(read.contents[0].text)["text"] == passage["text"]


def test_mcp_over_http(url):
    from mcp import Client as Assistant

    async def scene():
        async with Assistant(f"{url}/mcp/") as client:
            await _tools(client)
            refused = await client.call_tool("similar_cases", {"images": [str(chest())]})
            assert refused.is_error and "no data URL" in refused.content[0].text  # no files for who is not here

    asyncio.run(scene())


def test_mcp_over_standard_input_and_output(recipe_file):
    from mcp import Client as Assistant
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "medrag", "mcp", "--index", str(recipe_file)],
        env={**os.environ, "MEDRAG_HOME": str(recipe_file.parent / "home")},
    )

    async def scene():
        async with Assistant(stdio_client(command)) as client:
            await _tools(client)
            film = await client.call_tool("answer", {"question": QUESTION, "images": [str(chest())]})
            assert film.structured_content["status"] == "answered"
            gone = await client.call_tool("answer", {"question": QUESTION, "images": ["/not/there.dcm"]})
            assert gone.is_error and "cannot be read" in gone.content[0].text

    asyncio.run(scene())


def test_mcp_shows_an_assistant_no_text_in_privacy_mode(rag):
    from mcp import Client as Assistant

    async def scene(url):
        async with Assistant(f"{url}/mcp/") as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == {"search", "answer", "graph_paths"}
            found = await client.call_tool("search", {"question": "pleural effusion", "k": 20})
            kinds = {hit["kind"] for hit in found.structured_content["hits"]}
            assert kinds and kinds <= {"concept", "triple"}
            few = await client.call_tool("search", {"question": "pleural effusion", "k": 2})
            assert len(few.structured_content["hits"]) == 2
            assert not (await client.list_resource_templates()).resource_templates

    with running(with_generator(rag, rag.generator, private=True)) as url:
        asyncio.run(scene(url))
