"""``/v1/answer``: a question with its images; the whole answer as JSON, or stage by stage as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse

from medrag._util.near import meant
from medrag.errors import MedragError, SettingsError
from medrag.server.guard import failure
from medrag.server.problems import problem_of
from medrag.server.served import Served, asks_why, served_by, whole_question
from medrag.server.shapes import AnswerOut
from medrag.server.told import answer_values, told
from medrag.server.work import Queued, Ticket

router = APIRouter(tags=["answers"])
SERVED = Annotated[Served, Depends(served_by)]
Images = Annotated[list[UploadFile], File(description="DICOM, PNG, JPEG, TIFF …; several are one case")]
EVENTS = "text/event-stream"
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


@router.post("/v1/answer", response_model=AnswerOut, responses={200: {"content": {EVENTS: {}}}})
async def answer(
    request: Request,
    served: SERVED,
    question: Annotated[str, Form(examples=["What is a pleural effusion?"])] = "",
    image: Images = [],  # noqa: B006 - FastAPI reads the default, nobody changes it
    exclude: Annotated[list[str], Form(description="ids of studies, documents or items that must not be used")] = [],  # noqa: B006
    before: Annotated[
        list[str], Form(description="the questions before, oldest first, where this one leans on them")
    ] = [],  # noqa: B006 - FastAPI copies it
    agent: Annotated[bool, Form(description="search in several turns")] = False,
    stream: Annotated[bool, Form(description="events; so does the header Accept: text/event-stream")] = False,
    html: Annotated[bool, Form(description="the last event carries the evidence as HTML too")] = False,
) -> Response:
    """The cited answer to a question about images, or about none.

    "How do you know?" with the question ``before`` (the last of several) and its images recites what its answer cites.

    As events: ``queued`` (place), ``routed``, ``found``, ``selected``, ``token`` (text), with the search loop ``step``, and last
    ``answer`` or ``error``.
    """
    await only(request, {"question", "image", "exclude", "before", "agent", "stream", "html"})
    ticket = served.enter(request)
    why = asks_why(question, before)
    asked, images = (
        whole_question(before[-1]) if why else whole_question(question, before, pictured=bool(image)),
        await read_images(image, served),
    )
    request.state.about.update(question=served.digest(asked), images=[served.digest(one) for one in images])
    begin = served.stages(images, asked, exclude, agent)
    stages = stages_of(request, served, ticket, served.recited(question, begin) if why else begin)
    if stream or EVENTS in request.headers.get("accept", ""):
        return StreamingResponse(_events(request, stages, html=html), media_type=EVENTS)
    async for stage, data, made in stages:
        if stage == "answer":
            return JSONResponse(answer_values(data, made))
    return Response(status_code=499)  # nobody is there to read it


async def only(request: Request, known: set[str]) -> None:
    """Raises SettingsError for a body that is no form, and for a field that nothing would read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind not in FORMS:
        raise SettingsError(f"the body is {kind[:60]}", "send a form: curl -F question=… -F image=@film.dcm")
    for name in await request.form() if kind else ():
        if name not in known:
            raise SettingsError(f"nothing reads the field {name[:60]!r}", meant(name, sorted(known)))


async def in_address(request: Request) -> None:
    """Raises SettingsError for a name in the address that its route does not read there; those of a form stand in the form."""
    known = sorted(one.alias for one in request.scope["route"].dependant.query_params)
    for name in request.query_params:
        if name not in known:
            hint = "send it in the form" if request.method == "POST" else meant(name, known)
            raise SettingsError(f"nothing reads {name[:60]!r} in the address", hint)


async def read_images(uploads: list[UploadFile], served: Served) -> list[bytes]:
    """The bytes of what was uploaded; an empty field of a form is none. Raises SettingsError for too many."""
    found = [content for one in uploads if (content := await one.read()) or one.filename]
    if len(found) > served.settings.images:
        raise SettingsError(f"{len(found)} images, more than {served.settings.images}", "send fewer")
    return found


async def stages_of(
    request: Request, served: Served, ticket: Ticket, start: Any
) -> AsyncIterator[tuple[str, Any, str]]:
    """(stage, data, id); the id comes with the answer."""
    async for event in ticket.steps(start, request.is_disconnected):
        if isinstance(event, Queued):
            yield "queued", {"place": event.place}, ""
        elif event.stage == "answer":
            served.metrics.answers.labels(event.data.status).inc()
            yield "answer", event.data, served.remember(event.data)
        else:
            yield event.stage, event.data, ""


async def _events(request: Request, stages: AsyncIterator[tuple[str, Any, str]], *, html: bool) -> AsyncIterator[bytes]:
    try:
        async for stage, data, made in stages:
            yield event_bytes(*((stage, data) if stage == "queued" else told(stage, data, made, html=html)))
    except MedragError as error:
        yield event_bytes("error", problem_of(error, request)[1]["error"])
    except Exception as error:  # a bug: told as such, and kept in the log
        yield event_bytes("error", failure(error, request.state.request)["error"])


def event_bytes(name: str, data: Any) -> bytes:
    """One server-sent event, in ASCII: some clients end a line at U+2028 and the like, too."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
