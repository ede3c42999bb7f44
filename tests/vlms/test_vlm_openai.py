"""The client of OpenAI-compatible servers, against a real HTTP server of this process."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import EVENTS, Handler, Scripted, call_piece, calling, event, saying, serving
from PIL import Image
from some_prompts import prompt, said

from medrag.errors import GeneratorError, SettingsError
from medrag.vlms import open_generator
from medrag.vlms.openai import OpenAICompatible

PIECES = ["No ", "effusion", " [E1]."]
OTHERS = {  # what a model of that name says instead, and why it ends
    "thinks": (["<thi", "nk>Is there? [E1]", "</th", "ink>", "\n\n", "No ", "effusion", " [E1]."], "stop"),
    "long": (["No effu", "sion [E1]. The heart ", "is normal. [E2] The ma", "ss is"], "length"),
    "long thought": (["<think>", "Hm. " * 70, "</think>No effu", "sion [E1]. The heart ", "is"], "length"),
    "apart": (["(" + "Hm. " * 70, "No effu", "sion [E1]. The heart ", "is"], "length"),  # "(": in a field of its own
    "apart otherwise": (["(" + "Hm. " * 70, "No effu", "sion [E1]. The heart ", "is"], "length"),
    "endless": (["The ", "mass is"], "length"),
    "lost in thought": (["<think>Is ", "there? A mass."], "length"),
}

WHOLE = {"role": "assistant", "content": "No effusion [E1]."}
BODIES = {  # what a model of that name says, line by line
    "filtered": (EVENTS, event(delta={"content": "No effu"}) + event(delta={}, finish_reason="content_filter")),
    "filtered later": (EVENTS, event(delta={"content": "No effusion."}) + event(delta={"content": " " * 250 + " Also. A"}) + event(delta={}, finish_reason="content_filter")),
    "refuses": (EVENTS, event(delta={"refusal": "I cannot "}) + event(delta={"refusal": "say."}) + event(delta={}, finish_reason="stop")),
    "done": (EVENTS, event(delta={"content": "No effusion [E1]."}) + "data: [DONE]\n\n"),
    "not done": (EVENTS, event(delta={"content": "No effusion [E1]."})),
    "told": (EVENTS, event(delta={"content": "No"}) + 'data: {"error": {"message": "out of memory", "code": 500}}\n\n'),
    "told otherwise": (EVENTS, 'data: {"object": "error", "message": "out of memory"}\n\n'),
    "empty": (EVENTS, ""),
    "web page": ("text/html", "<!doctype html>\n<title>Welcome</title>"),
    "not streamed": ("application/json", json.dumps({"object": "chat.completion", "choices": [{"message": WHOLE, "finish_reason": "stop"}]}, indent=1)),
    "not streamed error": ("application/json", '{"error": "model is not loaded"}'),
    "comments": (EVENTS, ": ping\r\n\r\n" + event(delta=WHOLE, finish_reason="stop") + event(delta=None) + 'data: {"choices": [], "usage": {}}\n\n'),
    "odd ends": (EVENTS, event(delta={"content": "No\u2028effusion\x85[E1]."}, finish_reason="stop")),
    "parts": (EVENTS, event(delta={"content": [{"type": "text", "text": "No effusion "}, {"type": "text", "text": "[E1]."}]}, finish_reason="stop")),
    "odd choices": (EVENTS, 'data: {"choices": {"0": "No effusion."}}\n\n'),
    "odd choice": (EVENTS, 'data: {"choices": ["No effusion."]}\n\n'),
    "odd delta": (EVENTS, event(delta="No effusion.")),
    "odd content": (EVENTS, event(delta={"content": {"no": "effusion"}})),
    "forever": (EVENTS, event(delta={"content": "The lung is clear. And so it"}) * 5000),
}  # fmt: skip


class Misbehaving(Handler):
    """Speaks server-sent events; the model's name says how it misbehaves."""

    def says(self, body: dict[str, Any]) -> None:
        model = body["model"]
        if model.isdigit():
            return self._fail(int(model))
        if model.startswith("later ") and len(self.asked) < 3:
            return self._fail(int(model.split()[1]))
        if model == "slow":
            time.sleep(1.0)
        if model in BODIES:
            return self.send(*BODIES[model])
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if model == "page" else "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if model == "garbage":
            self._chunk("data: {not json\n\n")
        if model == "hums":
            for _ in range(40):
                time.sleep(0.05)
                self._chunk(": ping\n\n")
        pieces, reason = OTHERS.get(model, (PIECES, "stop"))
        for piece in pieces:
            thoughts = "reasoning" if model == "apart otherwise" else "reasoning_content"
            self._event({thoughts if piece.startswith("(") else "content": piece})
            if model in ("cut", "hangup"):
                break
        if model not in ("cut", "hangup"):
            self._event({}, reason)
        if model == "cut":
            self.close_connection = True
            self.connection.shutdown(2)
            return None
        self._chunk("data: [DONE]\n\n")
        self._chunk("")
        return None

    def _fail(self, status: int) -> None:
        body = json.dumps({"error": {"message": f"trouble\nnumber {status}", "type": "x"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status in (429, 503):
            self.send_header("Retry-After", "7")
        if status == 307:
            self.send_header("Location", "/v1/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def _event(self, delta: dict[str, str], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        row = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        self._chunk(f"data: {json.dumps(row)}\n\n")

    def _chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
        self.wfile.flush()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(Misbehaving) as handler:
        yield handler


def test_pieces_come_as_the_server_sends_them(server: Any) -> None:
    generator = open_generator("openai:good", base_url=server.url)
    assert list(generator.stream(prompt("Effusion?", max_tokens=99, seed=7))) == PIECES
    (body,) = server.asked
    assert (body["model"], body["stream"], body["max_tokens"], body["seed"], body["temperature"]) == (
        "good",
        True,
        99,
        7,
        0.0,
    )
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
    assert "Question: Effusion?" in body["messages"][1]["content"]


def test_images_travel_as_small_jpegs(server: Any) -> None:
    big = Image.new("L", (3000, 1500), 77)
    said(OpenAICompatible("good", base_url=server.url), prompt("Effusion?"), [big, big])
    first, _, text = server.asked[0]["messages"][1]["content"]
    head, data = first["image_url"]["url"].split(",")
    sent = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/jpeg;base64"
    assert (sent.format, sent.size, sent.mode) == ("JPEG", (1024, 512), "RGB")
    assert text["type"] == "text"
    assert big.size == (3000, 1500)


def test_a_model_without_eyes_gets_no_image(server: Any) -> None:
    said(
        OpenAICompatible("good", base_url=server.url, sees_images=False), prompt("Effusion?"), [Image.new("L", (9, 9))]
    )
    assert isinstance(server.asked[0]["messages"][1]["content"], str)


def test_key_and_address_may_come_from_the_environment(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert said(OpenAICompatible("good"), prompt("Effusion?")) == "".join(PIECES)
    said(OpenAICompatible("good", api_key="mine"), prompt("Effusion?"))
    assert server.keys == ["Bearer secret", "Bearer mine"]


def test_without_an_address_nothing_is_sent_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "a key alone is no address")
    with pytest.raises(SettingsError, match="base_url"):
        OpenAICompatible("gpt")
    with pytest.raises(SettingsError, match="openai:MODEL"):
        OpenAICompatible("", base_url="http://localhost:1/v1")


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("401", "answered 401 for 401", "OPENAI_API_KEY"),
        ("403", "answered 403", "may not use"),
        ("404", "answered 404", "/v1/models"),
        ("429", "answered 429", "wait"),
        ("400", "answered 400", "sees_images"),
        ("500", "answered 500", "log"),
        ("307", "answered 307", "set base_url to that address"),
        ("hums", "did not answer within 0.3 s", "timeout"),
        ("odd choices", "no answer", "base_url"),
        ("odd choice", "no answer", "base_url"),
        ("odd delta", "no answer", "base_url"),
        ("odd content", "no answer", "base_url"),
        ("slow", "did not answer within 0.3 s", "timeout"),
        ("cut", "hung up", "start the server"),
        ("hangup", "before it was complete", "ask again"),
        ("garbage", "no answer", "base_url"),
        ("endless", "was cut off after 256 tokens", "max_tokens"),
        ("lost in thought", "was cut off", "max_tokens"),
        ("filtered", "content filter", "other words"),
        ("refuses", "refuses refused: I cannot say.", "other words"),
        ("not done", "before it was complete", "ask again"),
        ("told", "reports an error of told: out of memory", "log"),
        ("told otherwise", "out of memory", "log"),
        ("empty", "no answer: nothing", "ends in /v1"),
        ("web page", "no answer: <!doctype html>", "ends in /v1"),
        ("not streamed error", "model is not loaded", "log"),
    ],
)
def test_failures_are_one_line_with_a_hint(server: Any, model: str, message: str, hint: str) -> None:
    generator = OpenAICompatible(model, base_url=server.url, timeout=0.3, retries=0)
    with pytest.raises(GeneratorError, match=message) as caught:
        said(generator, prompt("Effusion?"))
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("done", "No effusion [E1]."),
        ("not streamed", "No effusion [E1]."),
        ("comments", "No effusion [E1]."),
        ("parts", "No effusion [E1]."),
        ("odd ends", "No\u2028effusion\x85[E1]."),
        ("filtered later", "No effusion." + " " * 251 + "Also."),
    ],
)
def test_what_servers_say_otherwise_is_understood(server: Any, model: str, answer: str) -> None:
    assert said(OpenAICompatible(model, base_url=server.url), prompt("Effusion?")) == answer


def test_what_is_asked_is_sent_to_no_address_that_the_server_names(server: Any) -> None:
    with pytest.raises(GeneratorError):
        said(OpenAICompatible("307", base_url=server.url), prompt("Effusion?"))
    assert len(server.asked) == 1


def test_a_server_that_does_not_stop_is_stopped_at_a_whole_sentence(server: Any) -> None:
    text = said(OpenAICompatible("forever", base_url=server.url), prompt("Effusion?", max_tokens=20))
    assert 200 < len(text) < 400 and text.endswith("clear.")


def test_what_a_model_thinks_is_not_shown_and_the_rest_comes_as_it_is_sent(server: Any) -> None:
    generator = OpenAICompatible("thinks", base_url=server.url)
    assert list(generator.stream(prompt("Effusion?"))) == PIECES


@pytest.mark.parametrize("most", [5, 30])
def test_an_answer_as_long_as_it_may_be_ends_with_its_last_whole_sentence(server: Any, most: int) -> None:
    generator = OpenAICompatible("long", base_url=server.url)
    assert said(generator, prompt("Effusion?", max_tokens=most)) == "No effusion [E1]. The heart is normal. [E2]"


@pytest.mark.parametrize("model", ["long thought", "apart", "apart otherwise"])
def test_what_was_thought_counts_where_an_answer_may_be_cut_off(server: Any, model: str) -> None:
    assert list(OpenAICompatible(model, base_url=server.url).stream(prompt("Effusion?"))) == ["No effusion [E1]."]


def test_what_came_before_the_cut_was_passed_on(server: Any) -> None:
    pieces = OpenAICompatible("cut", base_url=server.url, retries=0).stream(prompt("Effusion?"))
    assert next(pieces) == PIECES[0]
    with pytest.raises(GeneratorError):
        next(pieces)


def test_a_server_that_is_not_there() -> None:
    generator = OpenAICompatible("good", base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(GeneratorError, match=r"http://127.0.0.1:9/v1 cannot be reached") as caught:
        said(generator, prompt("Effusion?"))
    assert "base_url" in caught.value.hint


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited before it asked again."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_server_that_recovers_is_asked_again(server: Any, waits: list[float], status: int) -> None:
    generator = OpenAICompatible(f"later {status}", base_url=server.url)
    assert said(generator, prompt("Effusion?")) == "".join(PIECES)
    assert len(server.asked) == 3
    asked = [wait for wait in waits if wait > 0.1]
    if status == 500:
        assert (
            len(asked) == 2 and 0.3 < asked[0] <= 0.5 < asked[1] <= 1.0 and asked[0] != 0.5
        )  # doubled, with a share at random
    else:
        assert asked == [7.0, 7.0]


@pytest.mark.parametrize(("status", "times"), [(429, 3), (500, 3), (503, 3), (400, 1), (401, 1), (404, 1)])
def test_it_is_asked_so_often_and_no_more(server: Any, waits: list[float], status: int, times: int) -> None:
    with pytest.raises(GeneratorError) as caught:
        said(OpenAICompatible(str(status), base_url=server.url), prompt("Effusion?"))
    assert len(server.asked) == times
    busy = status in (429, 503)
    assert (caught.value.kind, caught.value.retry_after) == (("busy", 7.0) if busy else ("failed", 0.0))


def test_an_answer_that_has_begun_is_not_asked_for_again(server: Any, waits: list[float]) -> None:
    with pytest.raises(GeneratorError):
        said(OpenAICompatible("cut", base_url=server.url), prompt("Effusion?"))
    assert len(server.asked) == 1


def test_kinds_of_failure(server: Any) -> None:
    kinds = {"slow": "timeout", "hangup": "failed", "garbage": "failed"}
    for model, kind in kinds.items():
        with pytest.raises(GeneratorError) as caught:
            said(OpenAICompatible(model, base_url=server.url, timeout=0.3, retries=0), prompt("Effusion?"))
        assert caught.value.kind == kind
    with pytest.raises(GeneratorError) as caught:
        said(OpenAICompatible("good", base_url="http://127.0.0.1:9/v1", retries=0), prompt("Effusion?"))
    assert caught.value.kind == "down"


TURNS = [{"role": "system", "content": "Call a tool."}, {"role": "user", "content": "What is it?"}]
SCHEMA = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
ONE, TWO = '{"query": "mass"}', '{"query": "effusion"}'
CALLED = {
    "message": {
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "find", "arguments": ONE}}],
    }
}


def streamed(*pieces: dict[str, Any], reason: str = "tool_calls") -> str:
    """A stream of pieces of calls."""
    return "".join(event(delta={"tool_calls": [one]}) for one in pieces) + event(delta={}, finish_reason=reason)


def asked_for(reply: Any, **more: Any) -> Any:
    """What a server's reply is read as, and what the server was asked."""
    with serving(Scripted, replies=[reply], **more) as server:
        return OpenAICompatible("m", base_url=server.url, retries=0).call_tools(TURNS, [SCHEMA], 50), server.asked


@pytest.mark.parametrize(
    ("reply", "calls"),
    [
        (calling(("find", ONE)), [("call_find0", "find", ONE)]),
        (calling(("find", ONE), ("find", TWO)), [("call_find0", "find", ONE), ("call_find1", "find", TWO)]),
        (streamed(call_piece(0, "a", "find", '{"query": '), call_piece(1, "b", "find", '{"query": '), call_piece(0, arguments='"mass"}'), call_piece(1, arguments='"effusion"}')), [("a", "find", ONE), ("b", "find", TWO)]),
        (streamed(call_piece(0, "a", "find", ONE), call_piece(0, "b", "find", TWO)), [("a", "find", ONE), ("b", "find", TWO)]),
        (streamed(call_piece(None, "a", "find", ONE), call_piece(None, "b", "find", TWO)), [("a", "find", ONE), ("b", "find", TWO)]),
        (streamed(call_piece(None, "a", "find", '{"query": '), call_piece(arguments='"mass"}')), [("a", "find", ONE)]),
        (streamed(call_piece(0, "a", "find", '{"query": '), call_piece(0, "a", "find", '"mass"}')), [("a", "find", ONE)]),
        (streamed(call_piece(None, None, "find", ONE), call_piece(None, None, "find", TWO), reason="stop"), [("", "find", ONE), ("", "find", TWO)]),
        (streamed(call_piece(0, "a", "find", {"query": "mass"})), [("a", "find", ONE)]),
        (streamed(call_piece(0, "a", "find")), [("a", "find", "")]),
        (event(delta={"tool_calls": [call_piece(0, "a", "find", ONE)]}) + "data: [DONE]\n\n", [("a", "find", ONE)]),
        ({"choices": [CALLED | {"finish_reason": "tool_calls"}]}, [("a", "find", ONE)]),
        (event(delta={"content": None, "tool_calls": None}) + saying("It is fluid."), []),
    ],
)  # fmt: skip
def test_native_calls_are_put_together_from_their_pieces(reply: Any, calls: list[tuple[str, str, str]]) -> None:
    said, (body,) = asked_for(reply)
    assert list(said.calls) == calls and not said.cut
    assert said.text == ("" if calls else "It is fluid.")
    assert (body["tools"], body["tool_choice"], body["messages"], body["max_tokens"]) == ([SCHEMA], "auto", TURNS, 50)


def test_text_beside_calls_is_kept_without_its_thoughts_and_a_cut_is_told() -> None:
    said, _ = asked_for(calling(("find", ONE), text="<think>Hm.</think>I look."))
    assert (said.text, said.calls[0].arguments) == ("I look.", ONE)
    said, _ = asked_for(streamed(call_piece(0, "a", "find", ONE[:9]), reason="length"))
    assert said.cut and said.calls[0].arguments == ONE[:9]
    said, _ = asked_for(
        streamed(call_piece(0, "a", "find", '{"query": "'), *[call_piece(0, arguments="mass " * 50)] * 500)
    )
    assert said.cut and len(said.calls[0].arguments) < 2000


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((400, '"auto" tool choice requires --enable-auto-tool-choice'), "no tools"),
        ((400, "m does not support tools"), "no tools"),
        ((404, "No endpoints found that support tool use"), "no tools"),
        ((422, "body.tools: extra fields not permitted"), "no tools"),
        ((500, "tools param requires --jinja flag"), "no tools"),
        ('data: {"error": {"message": "tools are not supported"}}\n\n', "no tools"),
        ((400, "the context is too long"), "failed"),
        ((401, "no tool for you"), "failed"),
        ('data: {"error": {"message": "out of memory"}}\n\n', "failed"),
        (event(delta={"tool_calls": "find"}), "failed"),
        (event(delta={"tool_calls": ["find"]}), "failed"),
    ],
)
def test_a_server_that_takes_no_tools_is_told_from_one_that_fails(reply: Any, kind: str) -> None:
    with pytest.raises(GeneratorError) as caught:
        asked_for(reply)
    assert caught.value.kind == kind
