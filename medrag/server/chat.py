"""``/v1/chat/completions`` and ``/v1/models``: the OpenAI dialect, so that its clients and Open WebUI work as they are.

Images are data URLs: nothing is fetched for a client. Keys that point at no evidence are taken out while the text streams. What the
dialect offers beyond messages (temperature, tools, max_tokens …) is accepted and has no effect: the index's settings hold.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict

from medrag._util.render import citation_dict
from medrag.agent import asking
from medrag.agent.antecedent import stated
from medrag.cite import strip_invented
from medrag.errors import MedragError, SettingsError
from medrag.server.ask import EVENTS, SERVED, stages_of
from medrag.server.guard import failure
from medrag.server.problems import NotHere, problem_of
from medrag.server.served import MOST, asks_why, references, whole_question
from medrag.server.told import without_paths
from medrag.types import Answer
from medrag.vlms._ask import plain

router = APIRouter(tags=["OpenAI dialect"])
MODELS = ("medrag", "medrag-agent")  # one shot, and the search loop
TURNS = 20  # earlier questions that one may lean on
_LISTED = re.compile(r"\A\s*<attached_files>.*?</attached_files>\s*", re.DOTALL)  # Open WebUI's list of the images
_DATA = re.compile(r"data:(?:image/[\w.+-]+|application/dicom);base64,", re.IGNORECASE)


class Part(BaseModel):
    """A piece of a message: ``text``, or an ``image_url`` that is a data URL."""

    model_config = ConfigDict(extra="allow")
    type: str
    text: str = ""
    image_url: dict[str, Any] | str = ""


class Message(BaseModel):
    """A turn. System messages are accepted and not obeyed: medrag has its own."""

    model_config = ConfigDict(extra="allow")
    role: str
    content: str | list[Part] | None = None


class Completion(BaseModel):
    """What a client asks."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {"model": "medrag", "messages": [{"role": "user", "content": "What is a pleural effusion?"}]}
        },
    )
    model: str = MODELS[0]
    messages: list[Message]
    stream: bool = False
    n: Literal[1] = 1


@router.get("/v1/models")
def models() -> dict[str, Any]:
    """``medrag`` answers from one search, ``medrag-agent`` from several."""
    return {"object": "list", "data": [_model(name) for name in MODELS]}


@router.get("/v1/models/{name}")
def model(name: str) -> dict[str, Any]:
    """One of them."""
    return _model(_known(name))


@router.post("/v1/chat/completions", responses={200: {"content": {EVENTS: {}}}})
async def complete(request: Request, served: SERVED, asked: Completion) -> Response:
    """The last user message, answered; earlier ones complete a question that leans on them, and their images stay in view.

    "How do you know?" recites what the answer before cites. The text ends with its references. The message, or the last chunk of a stream, carries ``medrag``: status, citations, route.
    """
    _known(asked.model)
    question, images, why = _asked(asked.messages, served.settings.images)
    ticket = served.enter(request)
    request.state.about.update(question=served.digest(question), images=[served.digest(one) for one in images])
    begin = served.stages(images, question, (), agent=asked.model == MODELS[1])
    stages = stages_of(
        request,
        served,
        ticket,
        served.recited(_last(asked.messages, "user"), begin, _last(asked.messages, "assistant")) if why else begin,
    )
    if asked.stream:
        return StreamingResponse(_chunks(request, asked, stages), media_type=EVENTS)
    async for stage, data, made in stages:
        if stage == "answer":
            message = {"role": "assistant", "content": data.text + references(data)}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            return JSONResponse(
                {**_head(made, asked, "chat.completion"), "choices": [choice], "usage": _usage(data), "medrag": _about(data, made)}
            )  # fmt: skip
    return Response(status_code=499)


async def _chunks(
    request: Request, asked: Completion, stages: AsyncIterator[tuple[str, Any, str]]
) -> AsyncIterator[bytes]:
    name, keys, said = request.state.request, Keys(), ""

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _data({**_head(name, asked, "chat.completion.chunk"), "choices": [choice], **more})

    try:
        async for stage, data, made in stages:
            if stage == "queued":
                yield chunk({"role": "assistant", "content": ""})
            elif stage == "selected":
                keys.known = {key for key, _ in data}
            elif stage == "token" and (text := keys.take(data)):
                said += text
                yield chunk({"content": text})
            elif stage == "answer":
                yield chunk({"content": _rest(said, data.text) + references(data)})
                yield chunk({}, "stop", usage=_usage(data), medrag=_about(data, made))
                yield b"data: [DONE]\n\n"
    except MedragError as error:
        yield _data(problem_of(error, request)[1])
    except Exception as error:  # a bug: told as such, and kept in the log
        yield _data(failure(error, request.state.request))


class Keys:
    """Text in pieces, without the keys that point at nothing; what may be the beginning of one is held back."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self._held = ""

    def take(self, piece: str) -> str:
        self._held += piece
        start = self._held.rfind("[")
        cut = len(self._held) if start < 0 or "]" in self._held[start:] or len(self._held) - start > 40 else start
        cut = len(self._held[:cut].rstrip(" \t"))  # the blank before an invented key goes with it
        ready, self._held = self._held[:cut], self._held[cut:]
        return strip_invented(ready, self.known)


def _rest(said: str, text: str) -> str:
    """What the checked text has beyond what was streamed; the whole, marked, where it is another."""
    if text.startswith(said):
        return text[len(said) :]
    if text.split() == said.split():
        return ""
    return f"\n\nChecked: {text}" if said.strip() else text


def _asked(messages: list[Message], most: int) -> tuple[str, list[bytes], bool]:
    """The question of the last user message, the images that it is about, and whether it asks what the answer before rests on: then the question
    is the one before. Raises SettingsError."""
    turns = [(_text(one), _images(one)) for one in messages if one.role == "user"]
    if not turns:
        raise SettingsError("there is no user message", "ask something")
    question, images = turns[-1]
    earlier = _earlier(text for text, _ in turns[:-1])
    why = not images and asks_why(question, earlier)
    if not images:
        images = next((shown for _, shown in reversed(turns[:-1]) if shown), [])
    if len(images) > most:
        raise SettingsError(f"{len(images)} images, more than {most}", "send fewer")
    return (earlier[-1] if why else whole_question(question, earlier, pictured=bool(images))), images, why


def _last(messages: list[Message], role: str) -> str:
    """What the user, or the assistant, said last."""
    return next((_text(one) for one in reversed(messages) if one.role == role), "")


def _earlier(earlier: Iterable[str]) -> list[str]:
    """The questions before, each completed from those before it; one that was too long was refused, and nothing leans on it."""
    asked = [text for text in earlier if text.strip() and len(text) <= MOST and not asking.WHY.match(plain(text))]
    whole: list[str] = []
    for text in asked[-TURNS:]:
        found = text if stated(text) else whole_question(text, whole)
        whole.append(found if len(found) <= MOST else text)
    return whole


def _text(message: Message) -> str:
    content = message.content or ()
    text = content if isinstance(content, str) else "\n".join(part.text for part in content if part.type == "text")
    return _LISTED.sub("", text)


def _images(message: Message) -> list[bytes]:
    if not isinstance(message.content, list):
        return []
    return [image_bytes(part.image_url) for part in message.content if part.type == "image_url"]


def image_bytes(url: dict[str, Any] | str) -> bytes:
    """The bytes of a data URL, as OpenAI's dialect sends images. Raises SettingsError for any other address: nothing is fetched."""
    text = str(url.get("url", "")) if isinstance(url, dict) else url
    head = _DATA.match(text)
    if head is None:
        raise SettingsError("an image is no data URL, and medrag fetches nothing", "send data:image/png;base64,…")
    try:
        return base64.b64decode(text[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError("an image is no base64", "encode it again") from error


def _known(name: str) -> str:
    if name not in MODELS:
        raise NotHere(f"there is no model {name[:60]!r}", f"known: {', '.join(MODELS)}")
    return name


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "medrag"}


def _head(made: str, asked: Completion, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{made}", "object": kind, "created": int(time.time()), "model": asked.model}


def _usage(answer: Answer) -> dict[str, int]:
    read, written = (int(answer.usage.get(name) or 0) for name in ("context_tokens", "answer_tokens"))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _about(answer: Answer, made: str) -> dict[str, Any]:
    cited = [without_paths(citation_dict(citation)) for citation in answer.citations]
    return {
        "id": made, "text": answer.text, "status": answer.status, "reason": answer.reason, "citations": cited,
        "domain": answer.route.domain, "fingerprint": answer.fingerprint,
    }  # fmt: skip


def _data(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()  # in ASCII, as `event_bytes` says
