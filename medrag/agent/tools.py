"""What the loop may do, as LangChain tools with checked arguments, over the workbench of one run.

A tool that the opened index or the question cannot serve is left out. Each tells a sentence or two and hands its hits on as
a `Found` as the artifact; whether they are evidence is judged by the loop. Tools of one's own are any LangChain tools, with a coroutine
alone, too: what one tells is evidence of the source "tool NAME", unless it hands on hits of its own (the response format
"content_and_artifact" with a list of `medrag.types.Hit`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from medrag._util.files import sha256_text
from medrag._util.instructions import INSTRUCTS
from medrag.agent import compare
from medrag.agent.desk import Desk, note_hit
from medrag.agent.verify import verify
from medrag.errors import SettingsError
from medrag.latest import days_of, latest, numbered
from medrag.types import Context, Drop, Hit, Passage, QueryImage, as_tuple
from medrag.vlms._evidence import HISTORY, READER

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

OWN_TOOL = "tool "  # begins the name of the source of what a user's tool told
LATEST = 3  # earlier studies of the patient that are read
REFUSED = 5  # hits that a search refused which are noted with their reasons
TERMINAL = ("answer", "abstain")
BUILT_IN = (
    "search_text", "ask_sources", "search_similar", "search_pages", "walk_graph", "link_terms", "zoom", "read_findings",
    "compare_images", "patient_history", "look_up", *TERMINAL,
)  # fmt: skip
LONGEST = 600  # characters of what a model may search for


class Found(NamedTuple):
    """What a tool hands on: hits for the question ``goal``, of the image with this number (-1: none), and what it refused."""

    goal: str
    image: int
    hits: Sequence[Hit] = ()
    refused: Sequence[Drop] = ()


Told = tuple[str, Found]  # the words for the policy's model beside it


class Args(BaseModel):
    """Arguments of a tool: what is not named is refused."""

    model_config = ConfigDict(extra="forbid")


class _Search(Args):
    query: str = Field(min_length=1, max_length=LONGEST, description="a question, or the words to look for")
    goal: str = Field("", max_length=LONGEST, description="the question that is to be answered; empty: the query")
    k: int = Field(5, ge=1, le=10, description="how many pieces at most")


class _Look(Args):
    image: int = Field(-1, ge=-1, description="which image of the question, counted from 0; -1 for all of them")
    goal: str = Field("", max_length=LONGEST, description="the question to be answered; empty: the one asked")


class _Image(_Look):
    k: int = Field(5, ge=1, le=10)


class _Pages(_Search):
    image: int = Field(-2, ge=-2, description="search with this image too, -1 for all, -2 for none")


class _Walk(Args):
    term: str = Field(
        min_length=1, max_length=LONGEST, description="a finding, disease or drug, or a sentence with several"
    )
    goal: str = Field("", max_length=LONGEST, description="the question that is to be answered; empty: the term")
    k: int = Field(5, ge=1, le=10)


class _Text(Args):
    text: str = Field(min_length=1, max_length=LONGEST)


class _Zoom(_Image):
    image: int = Field(0, ge=0)
    left: float = Field(ge=0, le=1, description="share of the width; left of the picture, which is the patient's right")
    top: float = Field(ge=0, le=1)
    right: float = Field(ge=0, le=1)
    bottom: float = Field(ge=0, le=1)


class _Pair(Args):
    first: int = Field(0, ge=0, description="the earlier image")
    second: int = Field(1, ge=0, description="the later image")
    goal: str = Field(
        "", max_length=LONGEST, description="the finding or question to compare by; empty: the question asked"
    )


class _Id(Args):
    id: str = Field(min_length=1, max_length=LONGEST, description="a key such as E2, or the id of an item")


class _Answer(Args):
    text: str = Field(
        "", max_length=6000, description="the answer with keys such as [E1]; empty: it is written from the evidence"
    )


class _Abstain(Args):
    reason: str = Field("", max_length=LONGEST)


class _None(Args):
    pass


def make_tools(desk: Desk, evidence: Callable[[], Sequence[Hit]] = tuple) -> dict[str, BaseTool]:
    """The tools that this run can use, by name. ``evidence`` gives what is kept so far, in the order of its keys."""
    images, similar, texts = bool(desk.images), desk.sources("similar"), desk.sources("text")
    reports = similar and not desk.rag.settings.private  # the comparison by look-alikes tells what their reports say
    rows: list[tuple[bool, Callable[..., Told], type[Args], str]] = [
        (bool(texts), search_text, _Search, "Search books, guidelines and reports by words and meaning."),
        (bool(texts), ask_sources, _Search, "Answer a sub-question from the texts alone, with its evidence."),
        (images and bool(similar), search_similar, _Image, "Find studies whose images look like the question's."),
        (bool(desk.sources("pages")), search_pages, _Pages, "Search pages of books as they look, with their figures."),
        (bool(desk.sources("graph")), walk_graph, _Walk, "Definitions and relations of terms in the knowledge graph."),
        (desk.linker() is not None, link_terms, _Text, "Which concepts a text names, with their other names and CUIs."),
        (images and bool(similar), zoom, _Zoom, "Cut a region out of an image and search with it alone."),
        (desk.see is not None, read_findings, _Look, "What the expert model sees on the question's chest films."),
        (len(desk.images) > 1 and bool(desk.see or reports), compare_images, _Pair, "What differs between two images."),
        (bool(desk.studies), patient_history, _None, "Earlier studies of the same patient, and what changed."),
        (True, functools.partial(look_up, evidence=evidence), _Id, "Read a piece of evidence in full."),
        (True, answer, _Answer, "End: give the answer."),
        (True, abstain, _Abstain, "End: say that the evidence does not answer."),
    ]  # fmt: skip
    made = [_tool(work, schema, about, desk) for fits, work, schema, about in rows if fits]
    return {tool.name: tool for tool in made}


def own_tools(tools: Any) -> tuple[BaseTool, ...]:
    """A user's LangChain tools, or the one. Raises SettingsError for what is none, and for a name that is taken."""
    from langchain_core.tools import BaseTool

    found = as_tuple(tools)
    for one in found:
        if not isinstance(one, BaseTool):
            what = getattr(one, "__name__", None) or type(one).__name__
            raise SettingsError(
                f"{what} is no LangChain tool",
                "wrap the function: from langchain_core.tools import tool; Agent(rag, tools=[tool(function)])",
            )
        if one.name in BUILT_IN or [other.name for other in found].count(one.name) > 1:
            raise SettingsError(f"the name of the tool {one.name!r} is taken", "give yours another name")
    return found


def run_tool(tool: BaseTool, request: Any) -> Any:
    """The message of a tool that was called; one that has a coroutine alone is run in a thread with a loop of its own."""
    if getattr(tool, "coroutine", None) is None or getattr(tool, "func", None) is not None:
        return tool.invoke(request)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(tool.ainvoke(request))).result()


def words_of(tool: str, text: str) -> Hit:
    """What a tool of one's own told, as evidence; the same words are the same piece."""
    doc = f"tool:{tool}"
    return Hit(
        Passage(f"{doc}~{sha256_text(text)[:12]}", doc, text, title=f"{OWN_TOOL}{tool}"), 1.0, 1, f"{OWN_TOOL}{tool}"
    )


def _tool(work: Callable[..., Told], schema: type[Args], about: str, desk: Desk) -> BaseTool:
    from langchain_core.tools import StructuredTool

    def run(**args: Any) -> Told:
        return work(desk, **args)

    name = getattr(work, "func", work).__name__
    return StructuredTool.from_function(
        run, name=name, description=about, args_schema=schema, response_format="content_and_artifact"
    )


def search_text(desk: Desk, query: str, goal: str, k: int) -> Told:
    """Passages and reports for words."""
    return _search(desk, "text", query, goal or query, k)


def search_similar(desk: Desk, image: int, goal: str, k: int) -> Told:
    """Studies that look like an image of the question."""
    return _search(desk, "similar", "", goal, k, image, desk.pick(image))


def search_pages(desk: Desk, query: str, goal: str, k: int, image: int) -> Told:
    """Pages of books for words, an image (-1: those of the latest day), or both."""
    images = desk.pick(image) if image > -2 else ()
    return _search(desk, "pages", query, goal or query, k, max(image, -1), images)


def walk_graph(desk: Desk, term: str, goal: str, k: int) -> Told:
    """Paths of the knowledge graph from the concepts of a text."""
    return _search(desk, "graph", term, goal or term, k)


def link_terms(desk: Desk, text: str) -> Told:
    """The concepts that a text names, with codes and polarity."""
    linker = desk.linker()
    lines = []
    for mention in linker.link(text):
        members = linker.store.members(mention.concepts[0])
        names = dict.fromkeys(name for one in members for name in (one.name, *one.synonyms))
        lines.append(
            f"{mention.surface} ({mention.polarity}): {'; '.join(list(names)[:5])} {' '.join(mention.cuis[:3])}".strip()
        )
    return "\n".join(lines) or "no known term", Found(text, -1)


def zoom(desk: Desk, image: int, goal: str, k: int, left: float, top: float, right: float, bottom: float) -> Told:
    """Studies that look like a part of an image: left, top, right, bottom as shares of its sides, 0–1."""
    return _search(desk, "similar", "", goal, k, image, (desk.crop(image, (left, top, right, bottom)),))


def ask_sources(desk: Desk, query: str, goal: str, k: int) -> Told:
    """A question of its own, answered from what a search for it finds."""
    words, found = search_text(desk, query, goal, k)
    if not found.hits:
        return words, found
    context = Context(dataclasses.replace(desk.query, text=query, images=()), tuple(found.hits))
    return desk.rag.answer_from(context).text, found


def read_findings(desk: Desk, image: int, goal: str) -> Told:
    """Probabilities of the findings reader for one image, or for those of the latest day."""
    assert desk.see is not None
    read = desk.see([one.image for one in desk.pick(image)])
    compared = compare.is_compared(desk.asked.text, days_of(desk.images))
    text = compare.in_words(read, desk.usual if compared else None)
    return text, Found(
        goal or desk.asked.text,
        image,
        [note_hit(f"findings{image}", f"Findings reader (a model): {_which(desk, image)}", text, READER)],
    )


def _which(desk: Desk, image: int) -> str:
    """Which image a reading is of, where there are others beside it."""
    seen = latest(desk.images) if image < 0 else [image]
    return "this image" if len(seen) == len(desk.images) else numbered(seen)


def compare_images(desk: Desk, first: int, second: int, goal: str) -> Told:
    """What differs between two images of the question."""
    text, hits = compare.images(desk, first, second, goal or desk.asked.text)
    note = note_hit(
        f"compare{first}-{second}", f"Image {first + 1} beside image {second + 1} (by a model)", text, READER
    )
    return text, Found(goal or desk.asked.text, second, [note, *hits])


def patient_history(desk: Desk) -> Told:
    """Earlier studies of the same patient."""
    lines = compare.histories(desk.studies, desk.asked.text)
    note = note_hit("history", "The patient's earlier reports compared", "\n".join(lines), HISTORY)
    hits = [Hit(study, 1.0, n, HISTORY) for n, study in enumerate(desk.studies[: -LATEST - 1 : -1], 1)]
    return "\n".join(lines), Found(desk.asked.text, -1, [*([note] if len(lines) > 1 else []), *hits])


def look_up(desk: Desk, id: str, evidence: Callable[[], Sequence[Hit]]) -> Told:
    """One piece of evidence in full."""
    kept = {f"E{n}": hit for n, hit in enumerate(evidence(), 1)}
    hit = kept.get(id.strip("[] ").upper()) or next((h for h in kept.values() if h.item.id == id), None)
    if hit is not None:
        return hit.item.text, Found(desk.asked.text, -1)
    items = desk.rag.store.items.get([id]) if desk.rag.store else []
    if not items or {items[0].id, items[0].doc} & desk.asked.exclude:
        return f"there is no item {id!r}; keys: {', '.join(kept) or 'none yet'}", Found(desk.asked.text, -1)
    return "found", Found(desk.asked.text, -1, [Hit(items[0], 1.0, 1, "look_up")])


def answer(desk: Desk, text: str) -> Told:
    """Ends the search with an answer."""
    return text, Found(desk.asked.text, -1)


def abstain(desk: Desk, reason: str) -> Told:
    """Ends the search without one."""
    return reason, Found(desk.asked.text, -1)


def _search(
    desk: Desk, kind: str, text: str, goal: str, k: int, image: int = -1, images: tuple[QueryImage, ...] = ()
) -> Told:
    """One kind of source, searched with a text and images; a hit must bear on the goal to be chosen."""
    goal = goal or desk.asked.text
    context = desk.search(kind, text or goal, k, images, judge=lambda hit: verify(hit, goal).reason)
    refused = sorted(context.dropped, key=lambda drop: not drop.reason.startswith(INSTRUCTS))
    words = f"{len(context.kept)} found; {len(refused)} looked at and refused"
    return words, Found(goal, image, context.kept, refused[:REFUSED])
