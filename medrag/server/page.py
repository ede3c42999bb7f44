"""The web page and what it alone needs: its files, a picture of an upload under a window, an answer as a page of its own, reports.

The page asks this server and nobody else; its policy forbids everything that does not come from here.
"""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, File, Form, UploadFile
from fastapi.responses import HTMLResponse, Response

from medrag._util import render
from medrag._util.html import answer_page, template
from medrag.server.problems import NotHere
from medrag.server.served import Served, served_by

router = APIRouter(tags=["page"])
SERVED = Annotated[Served, Depends(served_by)]
FILES = {"page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
VIEW = 1536  # pixels of an upload's picture at most


@router.get("/", include_in_schema=False)
def page(served: SERVED) -> HTMLResponse:
    """The page; it holds nothing of the index."""
    text = template("page.html.j2").render(rule=render.RULE, guarded=bool(served.settings.tokens))
    return HTMLResponse(text, headers={"content-security-policy": POLICY})


@router.get("/page/{name}", include_in_schema=False)
def file(name: str) -> Response:
    """A script or a style sheet of the page."""
    if name not in FILES:
        raise NotHere("there is no such file", "")
    return Response(_file(name), media_type=FILES[name], headers={"cache-control": "no-cache"})


@router.post("/v1/preview", responses={200: {"content": {"image/jpeg": {}}}}, response_class=Response)
async def preview(
    image: Annotated[UploadFile, File()],
    frame: Annotated[int, Form(ge=0)] = 0,
    center: Annotated[float | None, Form(description="of the window, in the values of the file")] = None,
    width: Annotated[float | None, Form(gt=0)] = None,
) -> Response:
    """An upload as a picture for the eye, JPEG; the headers say how many frames it has and which window was applied.

    What is answered from is the file itself, under its own window.
    """
    body, headers = await anyio.to_thread.run_sync(_viewed, await image.read(), frame, center, width)
    return Response(body, media_type="image/jpeg", headers=headers)


@router.get("/v1/answers/{made}/page", response_class=HTMLResponse)
async def kept_answer(served: SERVED, made: str) -> HTMLResponse:
    """A recent answer with its evidence as one self-contained page."""
    answer = served.remembered(made)
    if answer is None:
        raise NotHere("this answer is not in memory any more", "ask again")
    text = await anyio.to_thread.run_sync(answer_page, [answer], "An answer with its evidence")
    return HTMLResponse(text)


@router.get("/v1/reports")
def reports(served: SERVED) -> dict[str, list[str]]:
    """The evaluation reports that the server was given."""
    return {"reports": [path.name for path in _reports(served)]}


@router.get("/v1/reports/{name}", response_class=HTMLResponse)
def report(served: SERVED, name: str) -> HTMLResponse:
    """One of them."""
    for path in _reports(served):
        if path.name == name:
            return HTMLResponse(path.read_text(encoding="utf-8"), headers={"content-security-policy": "sandbox"})
    raise NotHere("there is no such report", "start the server with --reports FOLDER")


def _reports(served: Served) -> list[Path]:
    """None for who does not see all of the index: they quote evidence."""
    folder = served.settings.reports
    return sorted(folder.glob("*.html")) if folder and served.sees_all else []


@functools.cache
def _file(name: str) -> str:
    folder = Path(__file__).resolve().parent.parent / "presets"
    return (folder / name).read_text(encoding="utf-8")


def _viewed(content: bytes, frame: int, center: float | None, width: float | None) -> tuple[bytes, dict[str, str]]:
    from medrag._util.images import load_image

    wanted: Any = (center - width / 2, center + width / 2) if center is not None and width else None
    shown = load_image(content, frame=frame, max_side=VIEW, window=wanted)
    buffer = io.BytesIO()
    shown.image.convert("RGB").save(buffer, "JPEG", quality=90)
    headers = {"x-frames": str(shown.meta.get("frames", 1))}
    if limits := shown.meta.get("window"):
        headers["x-window"] = f"{limits[0]:g},{limits[1]:g}"
    return buffer.getvalue(), headers
