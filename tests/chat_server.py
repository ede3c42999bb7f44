"""A server of the OpenAI chat protocol on this machine, for tests: a real one, over HTTP, whose replies are written beforehand."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EVENTS = "text/event-stream"


def event(**choice: Any) -> str:
    """A line of a stream; raw as some servers write it."""
    return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n"


def call_piece(
    index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    """A piece of a native tool call, without what is not given."""
    told = {"name": name, "arguments": arguments}
    row = {"index": index, "id": id, "function": {key: value for key, value in told.items() if value is not None}}
    return {key: value for key, value in row.items() if value is not None}


def calling(*calls: tuple[str, Any], text: str | None = None) -> str:
    """A stream that calls tools by name with arguments (an object, or the text that stands for one), each in three pieces."""
    lines = [event(delta={"role": "assistant", "content": text})]
    for n, (name, args) in enumerate(calls):
        told = args if isinstance(args, str) else json.dumps(args)
        half = len(told) // 2
        pieces = [
            call_piece(n, f"call_{name}{n}", name, ""),
            call_piece(n, arguments=told[:half]),
            call_piece(n, arguments=told[half:]),
        ]
        lines += [event(delta={"tool_calls": [one]}) for one in pieces]
    return "".join(lines) + event(delta={}, finish_reason="tool_calls") + "data: [DONE]\n\n"


def saying(text: str) -> str:
    """A stream of a text alone."""
    return event(delta={"content": text}) + event(delta={}, finish_reason="stop") + "data: [DONE]\n\n"


class Handler(BaseHTTPRequestHandler):
    """Notes what it is asked; `says` is what it answers."""

    protocol_version = "HTTP/1.1"
    asked: list[dict[str, Any]]
    keys: list[str]
    url: str

    def log_message(self, *_: Any) -> None:
        """Silence."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        self.keys.append(self.headers["Authorization"])
        self.says(body)

    def says(self, body: dict[str, Any]) -> None:
        raise NotImplementedError

    def send(self, kind: str, text: str, status: int = 200) -> None:
        """A whole body."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


class Scripted(Handler):
    """Gives its replies in turn, the last one for ever: the text of a stream, one object, or a status with the message of an error. One that ``refuses``
    answers every request with tools so."""

    replies: list[Any]
    refuses: tuple[int, str] | None = None

    def says(self, body: dict[str, Any]) -> None:
        reply = self.refuses if self.refuses and "tools" in body else self.replies[0]
        if reply is self.replies[0] and len(self.replies) > 1:
            del self.replies[0]
        if isinstance(reply, tuple):
            return self.send("application/json", json.dumps({"error": {"message": reply[1]}}), reply[0])
        return self.send(EVENTS, reply) if isinstance(reply, str) else self.send("application/json", json.dumps(reply))


@contextlib.contextmanager
def serving(handler: type[Handler], **told: Any) -> Iterator[Any]:
    """The handler with what it is told and its address, while it serves."""
    made: Any = type("Asked", (handler,), {"asked": [], "keys": [], **told})
    served = ThreadingHTTPServer(("127.0.0.1", 0), made)
    served.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that has given up is no error here
    threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
    made.url = f"http://127.0.0.1:{served.server_port}/v1"
    try:
        yield made
    finally:
        served.shutdown()
        served.server_close()
