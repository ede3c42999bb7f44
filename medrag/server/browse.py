"""``/v1/search``, ``/v1/items/…`` and ``/v1/index``: what the index holds, without an answer."""

from __future__ import annotations

import io
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Form, Query, Request, UploadFile
from fastapi.responses import Response

from medrag._util.render import hit_dict, plain
from medrag.errors import SettingsError
from medrag.server.ask import Images, only, read_images
from medrag.server.problems import NotHere
from medrag.server.served import Served, served_by, whole_question
from medrag.server.shapes import IndexOut, ItemOut, SearchOut
from medrag.server.told import item_values, without_paths
from medrag.server.work import Queued
from medrag.types import Box, Hit, Item

router = APIRouter(tags=["index"])
SERVED = Annotated[Served, Depends(served_by)]
SIDE = 1600  # pixels of a picture at most


@router.get("/v1/search", response_model=SearchOut)
async def search(
    request: Request,
    served: SERVED,
    question: Annotated[str, Query(examples=["pleural effusion"])],
    k: Annotated[int, Query(ge=1, le=200)] = 10,
    exclude: Annotated[list[str], Query()] = [],  # noqa: B006
) -> dict[str, Any]:
    """The fused hits for a question, best first."""
    await only(request, set())
    return await _found(request, served, question, [], k, exclude)


@router.post("/v1/search", response_model=SearchOut)
async def search_with_images(
    request: Request,
    served: SERVED,
    question: Annotated[str, Form()] = "",
    image: Images = [],  # noqa: B006
    k: Annotated[int, Form(ge=1, le=200)] = 10,
    exclude: Annotated[list[str], Form()] = [],  # noqa: B006
) -> dict[str, Any]:
    """The same for images, with or without words."""
    await only(request, {"question", "image", "k", "exclude"})
    return await _found(request, served, question, image, k, exclude)


async def _found(
    request: Request, served: Served, question: str, uploads: list[UploadFile], k: int, exclude: list[str]
) -> dict[str, Any]:
    ticket = served.enter(request)
    asked, images = whole_question(question), await read_images(uploads, served)
    request.state.about.update(question=served.digest(asked), images=[served.digest(one) for one in images])

    rag = served.rag

    def work() -> Any:
        yield rag.retrieve(asked, images or None, k=k, exclude=exclude)

    hits: list[Hit] = []
    async for step in ticket.steps(work, request.is_disconnected):
        hits = hits if isinstance(step, Queued) else step
    served.lend(hit.item for hit in hits)
    return {"hits": [plain(without_paths(hit_dict(hit))) for hit in hits]}


@router.get("/v1/items/{item:path}/picture", responses={200: {"content": {"image/png": {}}}}, response_class=Response)
async def picture(
    served: SERVED,
    item: str,
    side: Annotated[int, Query(ge=16, le=SIDE, description="pixels of the longer side at most")] = 800,
    box: Annotated[list[str], Query(description="x0,y0,x1,y1 to mark: points of a page, pixels of an image")] = [],  # noqa: B006
) -> Response:
    """The page, the image, the first image of a study, or a card of text, as PNG; regions are marked."""
    boxes = tuple(_box(one) for one in box)
    return Response(await anyio.to_thread.run_sync(drawn, item_of(served, item), boxes, side), media_type="image/png")


@router.get("/v1/items/{item:path}", response_model=ItemOut)
def one_item(served: SERVED, item: str) -> dict[str, Any]:
    """A piece of the index by its id (a # in it is written %23)."""
    return item_values(item_of(served, item))


@router.get("/v1/index", response_model=IndexOut)
def index(served: SERVED) -> dict[str, Any]:
    """What the server answers from and with."""
    rag = served.rag
    manifest = rag.store.manifest if rag.store else None
    return {
        "name": rag.recipe.name if rag.recipe else "",
        "about": rag.recipe.about if rag.recipe else "",
        "model": rag.generator.name.rpartition("/")[2],
        "sees_images": rag.generator.sees_images,
        "private": rag.settings.private,
        "retrievers": list(rag.retrievers),
        "counts": {corpus: dict(kinds) for corpus, kinds in manifest.counts.items()} if manifest else {},
        "created": manifest.created if manifest else "",
        "content_hash": manifest.content_hash if manifest else "",
        "fingerprint": rag.fingerprint,
    }


def item_of(served: Served, name: str) -> Item:
    """Raises NotHere for an id that the index does not have."""
    rag = served.rag
    found: list[Item] = list(rag.store.items.get([name])) if rag.store else []
    graph = getattr(rag.retrievers.get("graph"), "store", None)
    if not found and graph is not None and name in graph:
        found = [graph.concept(name)]
    made = found[0] if found else served.lent(name)
    if made is None:
        raise NotHere("the index holds no such item", "ask /v1/search")
    return made


def drawn(item: Item, boxes: tuple[Box, ...], side: int) -> bytes:
    """A PNG of an item, its boxes marked, at most ``side`` pixels wide and high."""
    from medrag._util.draw import thumbnail

    buffer = io.BytesIO()
    thumbnail(item, boxes, side).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _box(text: str) -> Box:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
        return Box(x0, y0, x1, y1)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"box: {text[:40]!r} is no box", "write x0,y0,x1,y1 with x0 ≤ x1 and y0 ≤ y1") from error
