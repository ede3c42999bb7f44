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
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from medrag.errors import MedragError
from medrag.types import as_tuple

Values = dict[str, Any]


class ServerError(MedragError):
    """The server said no. ``status`` is HTTP's; ``retry_after`` is in seconds where it is busy (429)."""

    def __init__(self, message: str, hint: str = "", status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message, hint)
        self.status, self.retry_after = status, retry_after


class Client:
    """``image``: a path, bytes, a Pillow image, or several of these. Raises ServerError for every failure."""

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str = "", timeout: float = 130.0) -> None:
        self._http = httpx.Client(**_options(url, token, timeout))

    def answer(self, image: Any = None, question: str = "", **options: Any) -> Values:
        """What `medrag.types.Answer.to_dict` gives, with its ``id``. ``options``: exclude, before, agent."""
        return self._json("POST", "/v1/answer", **_form(image, {"question": question, **options}))

    def stream(self, image: Any = None, question: str = "", **options: Any) -> Iterator[tuple[str, Values]]:
        """(stage, data) as the answer is made; the last is ``answer``."""
        form = _form(image, {"question": question, "stream": True, **options})
        try:
            with self._http.stream("POST", "/v1/answer", **form) as reply:
                if reply.is_error:
                    reply.read()
                _check(reply)
                yield from _told(reply.iter_lines())
        except httpx.HTTPError as error:
            raise _unreached(error) from error

    def search(
        self, question: str = "", image: Any = None, *, k: int = 10, exclude: Sequence[str] = ()
    ) -> list[Values]:
        """The fused hits, best first."""
        form = _form(image, {"question": question, "k": k, "exclude": exclude})
        hits: list[Values] = self._json("POST", "/v1/search", **form)["hits"]
        return hits

    def item(self, name: str) -> Values:
        """An item of the index by its id."""
        return self._json("GET", _item(name))

    def picture(self, name: str, *, side: int = 800, boxes: Sequence[Sequence[float]] = ()) -> bytes:
        """The picture of an item, PNG, with regions (x0, y0, x1, y1) marked."""
        return self._send("GET", f"{_item(name)}/picture", params=_picture(side, boxes)).content

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
        return self._send(method, path, **options).json()  # type: ignore[no-any-return]

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
                name = ""
                async for line in reply.aiter_lines():
                    name, event = _line(name, line)
                    if event is not None:
                        yield event
        except httpx.HTTPError as error:
            raise _unreached(error) from error

    async def search(
        self, question: str = "", image: Any = None, *, k: int = 10, exclude: Sequence[str] = ()
    ) -> list[Values]:
        """See `Client.search`."""
        form = _form(image, {"question": question, "k": k, "exclude": exclude})
        hits: list[Values] = (await self._json("POST", "/v1/search", **form))["hits"]
        return hits

    async def item(self, name: str) -> Values:
        """See `Client.item`."""
        return await self._json("GET", _item(name))

    async def picture(self, name: str, *, side: int = 800, boxes: Sequence[Sequence[float]] = ()) -> bytes:
        """See `Client.picture`."""
        return (await self._send("GET", f"{_item(name)}/picture", params=_picture(side, boxes))).content

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
        return (await self._send(method, path, **options)).json()  # type: ignore[no-any-return]

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return _check(await self._http.request(method, path, **options))
        except httpx.HTTPError as error:
            raise _unreached(error) from error


def _options(url: str, token: str, timeout: float) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url, "headers": headers, "timeout": timeout, "trust_env": False}  # no proxy sees an image


def _form(image: Any, fields: Values) -> dict[str, Any]:
    """A multipart form of images and fields, lists repeated."""
    images = [("image", _upload(one)) for one in as_tuple(image)] if image is not None else []
    data = {
        name: [str(one) for one in value] if isinstance(value, list | tuple) else str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in fields.items()
    }  # fmt: skip
    return {"data": data, "files": images} if images else {"data": data}


def _upload(image: Any) -> tuple[str, bytes]:
    """A file name without its folder, and the bytes. Raises ServerError for a file that is not there."""
    if isinstance(image, bytes | bytearray | memoryview):
        return "image", bytes(image)
    if hasattr(image, "save"):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return "image.png", buffer.getvalue()
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
        problem = {"message": f"the server said {reply.status_code}"}
    message, hint = str(problem.get("message", "")), str(problem.get("hint", ""))
    message = message.removesuffix(f" → {hint}") if hint else message
    raise ServerError(message, hint, reply.status_code, float(reply.headers.get("retry-after") or 0))


def _unreached(error: httpx.HTTPError) -> ServerError:
    return ServerError(f"the server cannot be reached: {error}", "is medrag serve running, and at this address?")


def _told(lines: Iterator[str]) -> Iterator[tuple[str, Values]]:
    name = ""
    for line in lines:
        name, event = _line(name, line)
        if event is not None:
            yield event


def _line(name: str, line: str) -> tuple[str, tuple[str, Values] | None]:
    """The event's name so far, and the event once its data is there. Raises ServerError for one that says so."""
    field, _, value = line.partition(": ")
    if field == "event":
        return value, None
    if field != "data":
        return name, None
    data = json.loads(value)
    if name == "error":
        hint = str(data.get("hint", ""))
        raise ServerError(str(data["message"]).removesuffix(f" → {hint}"), hint)
    return name, (name, data)
