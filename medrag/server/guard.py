"""The gate that every request passes: a name, a token, an origin, a size; and the one log line that it leaves.

Plain ASGI, so that streams stream and a client who leaves is noticed. The log holds ids, routes, times and salted hashes; no question, no
file name, no answer, no address.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
import traceback
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from medrag.server.served import TOKEN
from medrag.server.settings import is_loopback
from medrag.server.work import BUSY, Busy

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from medrag.server.served import Served

ASKING = ("/v1/answer", "/v1/search", "/v1/chat/completions")
OPEN = ("/", "/healthz", "/page/")  # the page itself holds nothing; what it asks for is guarded
NEEDED = ("a bearer token is needed", "send the header Authorization: Bearer TOKEN")
UNKNOWN = ("this token is not known here", "ask whoever runs the server for one that it lets in (its MEDRAG_TOKEN)")
log = logging.getLogger("medrag.server")
SAFE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets a request through to ``app``, or answers it."""

    def __init__(self, app: ASGIApp, served: Served) -> None:
        self.app, self.served = app, served
        self.limit = int(served.settings.upload_mb * 1e6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(self.served, scope, send)
        headers = Headers(scope=scope)
        TOKEN.set(_known(headers.get("authorization", ""), self.served.settings.tokens))
        if refused := self._refused(scope, headers):
            await _problem(*refused, visit.id)(scope, receive, visit.send)
            visit.leave()
            return
        taken = 0

        async def measured() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit:
                visit.oversized = True
                return {"type": "http.disconnect"}
            return message

        try:
            await self._answered(scope, receive, measured, visit)
        finally:
            visit.leave()

    async def _answered(self, scope: Scope, receive: Receive, measured: Receive, visit: _Visit) -> None:
        """What the app says; where it fails, or the body was too large, what is said in its place."""
        try:
            await self.app(scope, measured, visit.send)
            failed = None
        except Exception as error:
            failed = error
        oversized, visit.oversized = visit.oversized, False
        if oversized and not visit.status:
            await _problem(413, *self._too_large(), visit.id)(scope, receive, visit.send)
        elif failed is not None:
            body = failure(failed, visit.id)
            if not visit.status:
                await JSONResponse(body, 500)(scope, receive, visit.send)

    def _refused(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        """Status, problem and hint where the request is not let in."""
        settings = self.served.settings
        if not _called(headers.get("host", ""), [settings.host, *settings.hosts]):
            return 421, "this server is not called that", "start it with --allow-host NAME"
        if (origin := headers.get("origin")) and not _same(origin, headers.get("host", ""), settings.origins):
            return 403, "pages of other sites may not call this server", "start it with --allow-origin ORIGIN"
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.limit:  # of any other the bytes are counted as they come
            return 413, *self._too_large()
        path = scope["path"]
        is_open = path in OPEN or path.startswith(OPEN[-1]) or scope["method"] == "OPTIONS"
        if settings.tokens and not is_open and not TOKEN.get():
            return 401, *(UNKNOWN if _given(headers.get("authorization", "")) else NEEDED)
        if path in ASKING and scope["method"] == "POST" and self.served.queue.full:
            return 429, *BUSY  # before its images are read
        return None

    def _too_large(self) -> tuple[str, str]:
        limit = f"{self.served.settings.upload_mb:g} MB"
        return (
            f"the request is larger than {limit}",
            "send fewer or smaller images, or start the server with a larger --upload-mb",
        )


class _Visit:
    """One request on its way: its id, its status, and the times that are told of it."""

    def __init__(self, served: Served, scope: Scope, send: Send) -> None:
        self.id, self.status, self.first, self.began = uuid.uuid4().hex, 0, 0.0, time.perf_counter()
        self.oversized = False  # what the app makes of a body that was cut off is not sent
        self.served, self.scope, self._send = served, scope, send
        scope.setdefault("state", {}).update(request=self.id, about={}, place=None)

    async def send(self, message: Message) -> None:
        if self.oversized and not self.status:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SAFE.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.id
        elif not self.first:
            self.first = time.perf_counter() - self.began
        await self._send(message)

    def leave(self) -> None:
        if place := self.scope["state"]["place"]:
            place.leave()  # whatever became of the request
        seconds = time.perf_counter() - self.began
        route = getattr(self.scope.get("route"), "path", "none")
        metrics, status = self.served.metrics, self.status or 499  # 499: the client left before anything was said
        metrics.requests.labels(route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        metrics.first.labels(route).observe(self.first or seconds)
        line = {"request": self.id, "method": self.scope["method"], "route": route, "status": status}
        log.info(json.dumps({**line, "seconds": round(seconds, 3), **self.scope["state"]["about"]}))


def _problem(status: int, problem: str, hint: str, request: str) -> JSONResponse:
    headers = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": str(Busy.retry_after)}}.get(status)
    return JSONResponse(problem_values(KINDS.get(status, "refused"), problem, hint, request), status, headers)


KINDS = {401: "authentication_error", 413: "too_large", 429: "busy", 421: "misdirected", 403: "forbidden"}


def problem_values(kind: str, problem: str, hint: str, request: str) -> dict[str, Any]:
    """The body of every failure; the openai client reads it too."""
    return {
        "error": {
            "type": kind,
            "message": f"{problem} → {hint}" if hint else problem,
            "code": kind,
            "hint": hint,
            "request": request,
        }
    }


def failure(error: BaseException, request: str) -> dict[str, Any]:
    """The body for a bug. The log gets its kind and its lines, not its words, which may be a patient's."""
    lines = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in traceback.extract_tb(error.__traceback__)]
    log.error(json.dumps({"request": request, "failed": type(error).__name__, "at": lines[-12:]}))
    return problem_values("server_error", "medrag failed; its log says where", "", request)


def _known(header: str, tokens: Sequence[str]) -> str:
    """The token that a header brings, where it is one of these; else nothing."""
    given = _given(header)
    fits = [hmac.compare_digest(given.encode(), token.encode()) for token in tokens]  # all, whichever fits
    return given if any(fits) else ""


def _given(header: str) -> str:
    """The token that a header brings, whether it is known or not."""
    scheme, _, given = header.partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _called(host: str, names: Sequence[str]) -> bool:
    """Whether a Host header names this server: a name that was rebound to the loopback by a stranger's DNS does not."""
    name = (_split(f"//{host}").hostname or "").lower()
    wild = any(one in ("0.0.0.0", "::") for one in names)
    return is_loopback(name) or name in {one.lower().strip("[]") for one in names} or (wild and bool(name))


def _same(origin: str, host: str, others: Sequence[str]) -> bool:
    return _split(origin).netloc.lower() == host.lower() or origin in others or "*" in others


def _split(url: str) -> SplitResult:
    """The parts of a URL; none of one that cannot be read."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
