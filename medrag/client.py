"""Asking a medrag server from Python, with and without ``await``; the methods mirror the HTTP API.

It needs httpx and nothing else of medrag's packages: no model, no index.

>>> client = Client("http://127.0.0.1:8000")
>>> print(client.answer("chest.dcm", "Are there masses in the lungs?")["text"])
>>> for stage, data in client.stream("chest.dcm", "Are there masses in the lungs?"):
...     ...  # queued, routed, found, selected, token, …, answer
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import httpx

from medrag._util import offline
from medrag.errors import MedragError
from medrag.types import as_tuple

Values = dict[str, Any]


class ServerError(MedragError):
    """The server said no. ``status`` is HTTP's; ``retry_after`` is in seconds where it is busy (429)."""

    def __init__(self, message: str, hint: str = "", status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message, hint)
        self.status, self.retry_after = status, retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.hint, self.status, self.retry_after)


class Client:
    """``image``: a path, bytes, a Pillow image, or several of these. Raises ServerError for every failure, an address or a token that none can be, too."""

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str = "", timeout: float = 130.0) -> None:
        self._http = httpx.Client(**_options(url, token, timeout))

    def answer(self, image: Any = None, question: str = "", **options: Any) -> Values:
        """What `medrag.types.Answer.to_dict` gives, with its ``id``. ``options``: exclude (ids, in any collection), before, agent."""
        return self._json("POST", "/v1/answer", **_form(image, {"question": question, **options}))

    def stream(self, image: Any = None, question: str = "", **options: Any) -> Iterator[tuple[str, Values]]:
        """(stage, data) as the answer is made; the last is ``answer``."""
        form = _form(image, {"question": question, "stream": True, **options})
        try:
            with self._http.stream("POST", "/v1/answer", **form) as reply:
                if reply.is_error:
                    reply.read()
                _check(reply)
                events = _Events()
                for text in reply.iter_text():
                    yield from events.take(text)
                events.end()
        except httpx.HTTPError as error:
            raise _unreached(error) from error

    def search(
        self, question: str = "", image: Any = None, *, k: int = 10, exclude: Iterable[str] = ()
    ) -> list[Values]:
        """The fused hits, best first."""
        form = _form(image, {"question": question, "k": k, "exclude": exclude})
        return _hits(self._json("POST", "/v1/search", **form))

    def item(self, name: str) -> Values:
        """An item of the index by its id."""
        return self._json("GET", _item(name))

    def picture(self, name: str, *, side: int = 800, boxes: Sequence[Sequence[float]] = ()) -> bytes:
        """The picture of an item, PNG, with regions (x0, y0, x1, y1) marked."""
        return _image(self._send("GET", f"{_item(name)}/picture", params=_picture(side, boxes)))

    def index(self) -> Values:
        """What the server answers from and with."""
        return self._json("GET", "/v1/index")

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _json(self, method: str, path: str, **options: Any) -> Values:
        return _values(self._send(method, path, **options).text)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return _check(self._http.request(method, path, **options))
        except httpx.HTTPError as error:
            raise _unreached(error) from error


class AsyncClient:
    """The same, to be awaited."""

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str = "", timeout: float = 130.0) -> None:
        self._http = httpx.AsyncClient(**_options(url, token, timeout))

    async def answer(self, image: Any = None, question: str = "", **options: Any) -> Values:
        """See `Client.answer`."""
        return await self._json("POST", "/v1/answer", **_form(image, {"question": question, **options}))

    async def stream(self, image: Any = None, question: str = "", **options: Any) -> AsyncIterator[tuple[str, Values]]:
        """See `Client.stream`."""
        form = _form(image, {"question": question, "stream": True, **options})
        try:
            async with self._http.stream("POST", "/v1/answer", **form) as reply:
                if reply.is_error:
                    await reply.aread()
                _check(reply)
                events = _Events()
                async for text in reply.aiter_text():
                    for event in events.take(text):
                        yield event
                events.end()
        except httpx.HTTPError as error:
            raise _unreached(error) from error

    async def search(
        self, question: str = "", image: Any = None, *, k: int = 10, exclude: Iterable[str] = ()
    ) -> list[Values]:
        """See `Client.search`."""
        form = _form(image, {"question": question, "k": k, "exclude": exclude})
        return _hits(await self._json("POST", "/v1/search", **form))

    async def item(self, name: str) -> Values:
        """See `Client.item`."""
        return await self._json("GET", _item(name))

    async def picture(self, name: str, *, side: int = 800, boxes: Sequence[Sequence[float]] = ()) -> bytes:
        """See `Client.picture`."""
        return _image(await self._send("GET", f"{_item(name)}/picture", params=_picture(side, boxes)))

    async def index(self) -> Values:
        """See `Client.index`."""
        return await self._json("GET", "/v1/index")

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _json(self, method: str, path: str, **options: Any) -> Values:
        return _values((await self._send(method, path, **options)).text)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return _check(await self._http.request(method, path, **options))
        except httpx.HTTPError as error:
            raise _unreached(error) from error


def _options(url: str, token: str, timeout: float) -> dict[str, Any]:
    offline.enforce_if_asked()
    if not (token.isascii() and token.isprintable()):
        raise ServerError("the token has signs that no header carries", "take line ends and blanks off it")
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ServerError(f"{url!r} is no address: {error}", "write http://HOST:PORT") from error
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url, "headers": headers, "timeout": timeout, "trust_env": False}  # no proxy sees an image


def _form(image: Any, fields: Values) -> dict[str, Any]:
    """A multipart form of images and fields, collections repeated; None is left out."""
    images = [("image", _upload(one)) for one in as_tuple(image)] if image is not None else []
    data = {name: _field(name, value) for name, value in fields.items() if value is not None}
    return {"data": data, "files": images} if images else {"data": data}


def _field(name: str, value: Any) -> str | list[str]:
    """A value as a form has it. Raises ServerError for a collection of other things than texts."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value).lower() if isinstance(value, bool) else str(value)
    found = list(value)
    for one in found:
        if not isinstance(one, str):
            raise ServerError(f"{name}: {one!r:.60} is no text", "give a collection of texts")
    return found


def _upload(image: Any) -> tuple[str, bytes]:
    """A file name without its folder, and the bytes. Raises ServerError for a file that is not there, and for what is no image."""
    if isinstance(image, bytes | bytearray | memoryview):
        return "image", bytes(image)
    if hasattr(image, "save"):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return "image.png", buffer.getvalue()
    if not isinstance(image, str | PathLike):
        raise ServerError(f"an image is a {type(image).__name__}", "give a path, bytes or a Pillow image")
    path = Path(image).expanduser()
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise ServerError(f"{image} cannot be read: {error.strerror or error}", "check the path") from error


def _item(name: str) -> str:
    return f"/v1/items/{quote(name, safe='')}"


def _picture(side: int, boxes: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {"side": side, "box": [",".join(f"{value:g}" for value in box) for box in boxes]}


def _check(reply: httpx.Response) -> httpx.Response:
    if not reply.is_error:
        return reply
    try:
        problem = reply.json()["error"]
    except (ValueError, KeyError, TypeError):
        problem = None
    if not isinstance(problem, dict):  # of something that stands in front of the server
        problem = {"message": f"the server said {reply.status_code}{f': {problem}' if problem else ''}"}
    wait = _seconds(reply.headers.get("retry-after", ""))
    raise ServerError(*_problem(problem), reply.status_code, wait)


def _problem(told: Values) -> tuple[str, str]:
    """What a server says of a failure, and its hint."""
    message, hint = str(told.get("message", "")), str(told.get("hint", ""))
    return message.removesuffix(f" → {hint}") if hint else message, hint


def _seconds(told: str) -> float:
    """Of a Retry-After header; 0 for a date."""
    return float(told) if told.strip().isdecimal() else 0.0


def _values(text: str) -> Values:
    """A JSON object. Raises ServerError for what is none, such as the page of a login."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else _raise_strange()


def _hits(values: Values) -> list[Values]:
    found = values.get("hits")
    return found if isinstance(found, list) else _raise_strange()


def _image(reply: httpx.Response) -> bytes:
    return reply.content if reply.headers.get("content-type", "").startswith("image/") else _raise_strange()


def _raise_strange() -> NoReturn:
    raise ServerError("what was sent is no answer of a medrag server", "see that the address is the server's own")


def _unreached(error: httpx.HTTPError) -> ServerError:
    return ServerError(f"the server cannot be reached: {error}", "is medrag serve running, and at this address?")


class _Events:
    """Server-sent events out of pieces of text. A line ends with a line feed alone: other ends that Unicode knows may stand in a text."""

    def __init__(self) -> None:
        self._held = self._name = ""

    def take(self, text: str) -> Iterator[tuple[str, Values]]:
        """The events that the text completes. Raises ServerError for one that tells of a failure."""
        *lines, self._held = (self._held + text).split("\n")
        for line in lines:
            field, _, value = line.rstrip("\r").partition(": ")
            if field == "event":
                self._name = value
            elif field == "data":
                yield self._name, self._data(value)

    def end(self) -> None:
        """Raises ServerError where the answer did not come."""
        if self._name != "answer":
            _raise_strange()

    def _data(self, value: str) -> Values:
        data = _values(value)
        if self._name == "error":
            raise ServerError(*_problem(data))
        return data
