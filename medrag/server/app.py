"""The server as one ASGI app: the guard in front, the routes, and MCP where its package is installed."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from starlette.formparsers import MultiPartParser

from medrag import __version__
from medrag.server import ask, browse, chat, page, problems
from medrag.server.guard import Guard
from medrag.server.mcp import make_mcp
from medrag.server.served import Served
from medrag.server.settings import ServerSettings
from medrag.server.shapes import ProblemOut

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG

SWITCH = 0.0005  # seconds that the thread with the models keeps Python to itself; at the usual 0.005 every piece of an upload waits as long
ABOUT = "Questions about medical images, answered from evidence that is cited and checked. For research and education."
FAILURES: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemOut, "description": text}
    for code, text in {
        401: "no token", 404: "not there", 413: "too large", 422: "cannot be read", 429: "busy: see Retry-After",
        500: "a bug", 502: "the language model failed", 503: "a model or index is missing, or the model is busy", 504: "too slow",
    }.items()
}  # fmt: skip


def create_app(rag: MedRAG, settings: ServerSettings | None = None) -> FastAPI:
    """The app over an opened `medrag.MedRAG`; run it with uvicorn, or `serve`."""
    served = Served(rag, settings or ServerSettings())  # type: ignore[call-arg]
    MultiPartParser.spool_max_size = int(served.settings.upload_mb * 1e6)  # what is uploaded never touches the disk
    tools = make_mcp(rag, served)
    reached = tools.streamable_http_app(streamable_http_path="/", stateless_http=True, json_response=True)

    @contextlib.asynccontextmanager
    async def alive(app: FastAPI) -> AsyncIterator[None]:
        served.watch()
        async with tools.session_manager.run():
            yield
        served.end()
        await served.queue.close()
        served.forget()

    app = FastAPIOffline(
        redoc_url=None, title="medrag", version=__version__, description=ABOUT, lifespan=alive, responses=FAILURES
    )
    app.state.served = served
    problems.install(app)
    for part in (ask, browse):
        app.include_router(part.router, dependencies=[Depends(ask.in_address)])
    for part in (chat, page):
        app.include_router(part.router)

    @app.get("/healthz", tags=["server"])
    def alive_and_well() -> dict[str, str]:
        """That the server is up; nothing else."""
        return {"status": "ok"}

    @app.get("/metrics", tags=["server"], response_class=Response)
    def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(served.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.mount("/mcp", reached)
    if served.settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(served.settings.origins), allow_methods=["*"], allow_headers=["*"],
            expose_headers=["x-request-id", "retry-after"],
        )  # fmt: skip
    app.add_middleware(Guard, served=served)
    return app


def serve(rag: MedRAG, settings: ServerSettings) -> None:
    """Runs until it is stopped; what is being answered then is answered first, for at most 10 seconds. A model that is silent is not waited for longer.

    An index that is changed on disk is opened anew, about a second later or at SIGHUP.
    """
    import uvicorn

    app = create_app(rag, settings)
    with contextlib.suppress(AttributeError, ValueError):  # a system without it, or no main thread
        signal.signal(signal.SIGHUP, lambda *_: app.state.served.look_again())
    _write_log()
    sys.setswitchinterval(SWITCH)
    uvicorn.run(
        app, host=settings.host, port=settings.port, log_level="warning", access_log=False,
        server_header=False, timeout_graceful_shutdown=10,
    )  # fmt: skip


def warm(rag: MedRAG) -> None:
    """Asks a black square once, so that every model is loaded, or its absence told, before anyone waits."""
    from PIL import Image

    anything = rag.audited(None)
    anything.settings = rag.settings.model_copy(update={"misfit": "answer"})
    anything.answer(Image.new("L", (64, 64)), "Is there a pleural effusion?")


def _write_log() -> None:
    """One JSON line a request on standard error."""
    log = logging.getLogger("medrag.server")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('{"time": "%(asctime)s", "level": "%(levelname)s", "said": %(message)s}'))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)
