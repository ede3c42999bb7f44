"""Models behind any server that speaks the OpenAI chat protocol: vLLM, Ollama, TGI, llama.cpp, LM Studio, or a cloud.

The address must be given: questions about patients' images go nowhere by default. It knows the protocol, not the model.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medrag.errors import GeneratorError, SettingsError
from medrag.vlms._messages import (
    CUT,
    NO_TOOLS,
    Asked,
    Said,
    is_whole,
    one_line,
    spoken,
    user_content,
    whole_sentences,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt

# what a status means to the person who asked; other statuses are told as they are
_HINTS = {
    400: "the server refused the request: see that the model takes images (sees_images) and max_tokens fits",
    401: "set api_key or OPENAI_API_KEY",
    403: "this key may not use the model",
    404: "see which models the server has at {url}/models, and that base_url ends in /v1",
    413: "lower image_size",
    **dict.fromkeys(
        (301, 302, 303, 307, 308),
        "it sends on to another address, which is not followed: set base_url to that address if it is trusted",
    ),
    429: "wait, or raise the limit at the server",
}


BUSY = (429, 503)
NO_CALLS = (400, 404, 422, 500, 501)  # with these a server refuses tools (500: llama.cpp), in words that name them
_NAMES_TOOLS = re.compile(r"\btool|\bfunction.?call", re.IGNORECASE)
ROOM = 16  # characters of an answer for each of max_tokens: a server that sends more has not kept to it
HINDSIGHT = 16  # so many times as much may be thought in a field of its own, which some servers do not count


class OpenAICompatible:
    """A chat model of a server, streamed.

    ``base_url`` (or OPENAI_BASE_URL) is the server's address with its version, such as ``http://localhost:8000/v1``;
    without it SettingsError is raised. ``timeout`` is in seconds; images are sent as JPEG of at most ``image_size``
    pixels a side, or not at all with ``sees_images=False``. ``retries``: so often a server is asked again that is busy, fails (5xx), is late or cannot
    be reached, after what its Retry-After says, or after a time that doubles and is shortened at random; not once its answer has begun. With
    ``many_images`` pages of the evidence go with them (vLLM: ``--limit-mm-per-prompt image=8``). Raises GeneratorError with one line when the server fails.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        temperature: float = 0.0,
        image_size: int = 1024,
        sees_images: bool = True,
        many_images: bool = False,
        retries: int = 2,
    ) -> None:
        url = base_url or os.environ.get("OPENAI_BASE_URL", "")
        if not model:
            raise SettingsError("no model of the server is named", "write openai:MODEL")
        if not url:
            raise SettingsError(
                f"openai:{model} needs the address of its server",
                "set base_url (model_options) or OPENAI_BASE_URL, such as http://localhost:8000/v1",
            )
        self.name, self.url, self.sees_images, self.many_images = model, url, sees_images, many_images and sees_images
        self.timeout, self.temperature, self.image_size, self.retries = timeout, temperature, image_size, retries
        self._key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._client: Any = None

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Pieces of the answer as the server sends them, without what stands between <think> tags; closing the iterator closes the connection.

        An answer that is cut off (finish_reason "length" or "content_filter", or far more than ``max_tokens``) ends with its last whole sentence: text
        is passed on sentence by sentence once the model has written ``max_tokens`` characters, for a token is a character or more. GeneratorError is
        raised where there is no whole sentence, where the unfinished one was passed on before, where the model refuses (in its words), and where
        a model whose thoughts the server keeps to itself was cut off before its answer.
        """
        import openai

        try:
            with contextlib.closing(
                self._pieces(_Reply(), self._turns(prompt, images), prompt.max_tokens, seed=prompt.seed)
            ) as pieces:
                yield from whole_sentences(pieces, prompt.max_tokens)
        except (openai.OpenAIError, ValueError) as error:
            raise self._told(error) from error

    def call_tools(self, turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], most: int) -> Said:
        """The whole reply to a conversation in the protocol's own messages, with its calls of ``tools`` (their JSON schemas, as the protocol has them),
        as far as it goes in ``most`` tokens. Raises GeneratorError, of the kind `NO_TOOLS` where the server names tools as what it refuses.
        """
        import openai

        reply, text = _Reply(), ""
        try:
            for piece in spoken(self._pieces(reply, turns, most, seed=0, tools=tools, tool_choice="auto")):
                text += piece
        except GeneratorError as error:
            if error.kind != CUT:
                error.kind = NO_TOOLS if _NAMES_TOOLS.search(reply.problem) else error.kind
                raise
            return Said(text, tuple(reply.calls.values()), cut=True)
        except (openai.OpenAIError, ValueError) as error:
            told = self._told(error)
            told.kind = NO_TOOLS if _refuses_tools(error) else told.kind
            raise told from error
        return Said(text, tuple(reply.calls.values()))

    def _turns(self, prompt: Prompt, images: Sequence[Image]) -> list[dict[str, Any]]:
        content = user_content(prompt, images if self.sees_images else (), self.image_size)
        return [{"role": "system", "content": prompt.system}, {"role": "user", "content": content}]

    def _pieces(self, reply: _Reply, turns: Sequence[Mapping[str, Any]], most: int, **more: Any) -> Generator[str]:
        """The pieces of the text as they come; what else comes is noted in ``reply``."""
        with self._connect().chat.completions.with_streaming_response.create(
            model=self.name, messages=turns, stream=True, temperature=self.temperature, max_tokens=most, **more
        ) as response:
            for row in reply.rows(_body(response, reply, self.timeout)):
                yield from reply.pieces(row)
                if reply.problem or reply.written > ROOM * most:
                    break
        if why := self._unfinished(reply, most):
            raise why

    def _unfinished(self, reply: _Reply, most: int) -> GeneratorError | None:
        """Why a reply is no whole answer; None where it is one."""
        if reply.problem:
            return GeneratorError(
                f"{self.url} reports an error of {self.name}: {reply.problem}", "see the server's log"
            )
        if not reply.begun:
            return GeneratorError(
                f"{self.url} sent what is no answer: {reply.strange or 'nothing'}",
                "see that base_url is a chat server's address, which mostly ends in /v1",
            )
        if reply.refusal:
            return GeneratorError(
                f"{self.name} refused: {one_line(reply.refusal)}", "ask in other words, or another model"
            )
        if reply.finished == "content_filter":
            return GeneratorError(
                f"the answer of {self.name} was cut off by the server's content filter",
                "ask in other words, or another model",
                CUT,
            )
        if reply.written > ROOM * most:
            return GeneratorError(
                f"{self.name} wrote on after {most} tokens: the server keeps to no max_tokens",
                "set a limit at the server, or take another model",
                CUT,
            )
        if reply.finished == "length":
            return GeneratorError(
                f"the answer of {self.name} was cut off after {most} tokens", "raise max_tokens, or ask for less", CUT
            )
        if not (reply.finished or (reply.ended and (is_whole(reply.text) or reply.calls))):
            return GeneratorError(
                f"{self.url} ended the answer of {self.name} before it was complete", "ask again; see the server's log"
            )
        return None

    def _connect(self) -> Any:
        if self._client is None:
            import openai

            self._client = openai.OpenAI(
                base_url=self.url, api_key=self._key, timeout=self.timeout, max_retries=self.retries,
                http_client=openai.DefaultHttpxClient(follow_redirects=False),  # what is asked goes to this address alone
            )  # fmt: skip
        return self._client

    def _told(self, error: Exception) -> GeneratorError:
        """The failure in one line, with what mends it."""
        import openai

        if isinstance(error, openai.APITimeoutError):
            return GeneratorError(
                f"{self.url} did not answer within {self.timeout:g} s",
                "raise timeout, or take a smaller model",
                "timeout",
            )
        if isinstance(error, openai.APIConnectionError):
            cause = one_line(error.__cause__ or error)
            return GeneratorError(
                f"{self.url} cannot be reached or hung up ({cause})", "start the server, or mend base_url", "down"
            )
        if isinstance(error, openai.APIStatusError):
            hint = _HINTS.get(error.status_code, "see the server's log").format(url=self.url)
            busy = error.status_code in BUSY
            return GeneratorError(
                f"{self.url} answered {error.status_code} for {self.name}: {one_line(error)}", hint,
                "busy" if busy else "failed", _wait(error.response.headers.get("retry-after", "")) if busy else 0.0,
            )  # fmt: skip
        return GeneratorError(
            f"{self.url} sent what is no answer: {one_line(error)}",
            "see that base_url is a chat server's address, which mostly ends in /v1",
        )


class _Reply:
    """What a server sends, read as it comes: server-sent events or, from one that does not stream, a single JSON body."""

    def __init__(self) -> None:
        self.begun = False  # something of a chat came
        self.ended = False  # so the server said
        self.finished = self.refusal = self.problem = self.text = self.strange = ""
        self.heard = time.monotonic()  # when something was last said
        self.written = 0.0  # characters, those of thoughts in a field of their own as a small part
        self.calls: dict[tuple[Any, str], Asked] = {}  # by the server's index and id

    def rows(self, parts: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
        """Each event's object; the body where it is one object. Raises ValueError for an event that is no JSON."""
        other: list[str] = []
        for line in _lines(parts):
            if not line.startswith("data:"):
                other.append(line)
                continue
            if (data := line.removeprefix("data:").strip()) == "[DONE]":
                self.ended = True
                return
            other.clear()
            if data:
                yield _object(json.loads(data))
        body = "".join(line for line in other if not line.startswith((":", "event:", "id:", "retry:"))).strip()
        self.strange = self.strange or " ".join(body.split())[:100]
        if not self.begun and body.startswith("{"):
            self.ended = True
            yield _object(json.loads(body))

    def pieces(self, row: Mapping[str, Any]) -> Iterator[str]:
        """The text of an object, thoughts between <think> tags; what else it says is noted."""
        if (error := row.get("error")) or row.get("object") == "error":
            told = error.get("message") if isinstance(error, dict) else error
            self.problem = one_line(str(told or row.get("message") or row))
            return
        for choice in _list(row.get("choices"))[:1]:
            self.begun = True
            said = _object(_object(choice).get("delta") or choice.get("message") or {})
            self.finished = self.finished or str(choice.get("finish_reason") or "")
            self.refusal += _text(said.get("refusal"))
            for one in _list(said.get("tool_calls")):
                self._hear(_object(one))
            thought, text = _thought(said), _text(said.get("content"))
            if thought or text:
                self.heard = time.monotonic()
            if thought:
                self.written += len(thought) / HINDSIGHT
                yield f"<think>{thought}</think>"
            if text:
                self.text = (self.text + text)[-400:]
                self.written += len(text)
                yield text

    def _hear(self, row: Mapping[str, Any]) -> None:
        """A call or a piece of one. What is a piece of which is told by the index, by the id where servers number all of them 0, and
        where there is neither by the name, which the later pieces of a call lack."""
        told = _object(row.get("function") or {})
        name, wrote = str(told.get("name") or ""), told.get("arguments")
        piece = wrote if isinstance(wrote, str) else "" if wrote is None else json.dumps(wrote)
        index, id = row.get("index"), str(row.get("id") or "")
        index = index if isinstance(index, int) else None
        key = next(
            (key for key in reversed(self.calls) if _same_call(key, index, id, name)),
            (index, id or f"#{len(self.calls)}"),
        )
        held = self.calls.get(key, Asked(id, name, ""))
        self.calls[key] = Asked(held.id or id, held.name or name, held.arguments + piece)
        self.written += len(name) + len(piece)
        self.heard = time.monotonic()


def _body(response: Any, reply: _Reply, timeout: float) -> Iterator[bytes]:
    """A reply in parts; what breaks it off is told as openai's own errors, whichever HTTP library that stands on. One that says
    nothing for ``timeout`` seconds is late, for all the comments that keep its connection open."""
    import openai

    try:
        for part in response.iter_bytes():
            yield part
            if time.monotonic() - reply.heard > timeout:
                raise TimeoutError
    except Exception as error:
        late = "Timeout" in type(error).__name__
        kind = openai.APITimeoutError if late else openai.APIConnectionError
        raise kind(request=response.http_request) from error


def _lines(parts: Iterable[bytes]) -> Iterator[str]:
    """The lines of a body that comes in parts."""
    held = b""
    for part in parts:
        *whole, held = (held + part).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
    yield held.decode(errors="replace")


def _same_call(key: tuple[Any, str], index: Any, id: str, name: str) -> bool:
    """Whether a piece with this index, id and name goes on with the call of the key."""
    if id and id != key[1] and not key[1].startswith("#"):
        return False
    return key[0] == index if index is not None else id == key[1] or not name


def _refuses_tools(error: Exception) -> bool:
    """Whether a server's refusal is of the tools that it was sent."""
    return getattr(error, "status_code", 0) in NO_CALLS and bool(_NAMES_TOOLS.search(str(error)))


def _list(value: Any) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ValueError(f"{value!r:.80}")
    return value or []


def _text(value: Any) -> str:
    """What is said: a text, or the texts of a list of parts."""
    if isinstance(value, list):
        return "".join(_text(_object(part).get("text")) for part in value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r:.80}")
    return value or ""


def _thought(said: Mapping[str, Any]) -> str:
    """What is thought in a field of its own: ``reasoning_content`` (DeepSeek, older vLLM) or ``reasoning`` (vLLM, OpenRouter), once where both say it."""
    other = said.get("reasoning")
    return _text(said.get("reasoning_content")) or (other if isinstance(other, str) else "")


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.80}")
    return value


def _wait(told: str) -> float:
    """Seconds of a Retry-After header; 0 for a date or nothing."""
    try:
        return max(0.0, min(float(told), 3600.0))
    except ValueError:
        return 0.0
