"""What goes wrong, as a status and one body: the problem, its hint, and the id of the request in the log."""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from medrag._util.render import clean
from medrag.errors import BadRecord, GeneratorError, IndexProblem, MedragError, ModelMissing, SettingsError
from medrag.server.guard import problem_values
from medrag.server.work import Busy, TooSlow

_STATUS: tuple[tuple[type[MedragError], int, str], ...] = (
    (Busy, 429, "busy"),
    (TooSlow, 504, "timeout"),
    (BadRecord, 422, "invalid_request_error"),
    (SettingsError, 422, "invalid_request_error"),
    (GeneratorError, 502, "generator_error"),
    (ModelMissing, 503, "model_missing"),
    (IndexProblem, 503, "index_error"),
)
_GENERATOR = {"timeout": (504, "generator_timeout"), "busy": (503, "generator_busy")}


class NotHere(MedragError):
    """A name that the server does not know."""


def problem_of(error: MedragError, request: Request) -> tuple[int, dict[str, Any]]:
    """The status and the body of an expected failure."""
    if isinstance(error, NotHere):
        status, kind = 404, "not_found"
    else:
        status, kind = next(((s, k) for cls, s, k in _STATUS if isinstance(error, cls)), (500, "server_error"))
    if isinstance(error, GeneratorError):
        status, kind = _GENERATOR.get(error.kind, (status, kind))
    message = error.problem if isinstance(error, BadRecord) else error.message  # a record's source is a path
    if isinstance(error, BadRecord):
        message = f"the image {message}"
    return status, problem_values(kind, clean(message), clean(error.hint), request.state.request)


def install(app: FastAPI) -> None:
    """Makes the app answer every failure in this shape."""

    async def expected(request: Request, error: MedragError) -> JSONResponse:
        status, body = problem_of(error, request)
        wait = float(getattr(error, "retry_after", 0.0))  # what a line or a language model asks for
        return JSONResponse(body, status, {"retry-after": f"{math.ceil(wait)}"} if wait > 0 else {})

    async def misused(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        spot = ".".join(str(part) for part in first["loc"])
        body = problem_values("invalid_request_error", f"{spot}: {first['msg']}", "see /docs", request.state.request)
        return JSONResponse(body, 422)

    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        hint = "see /docs" if error.status_code in (404, 405) else ""
        body = problem_values("invalid_request_error", str(error.detail), hint, request.state.request)
        return JSONResponse(body, error.status_code, error.headers)

    handlers: Any = {MedragError: expected, RequestValidationError: misused, HTTPException: refused}
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
