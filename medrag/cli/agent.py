"""``medrag chat``: questions in turn about the same images, and the steps of the search loop as they are done."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medrag.cli.ask import Access, Model, Policy, Private, Steps, open_index, pipeline_settings
from medrag.cli.output import Json, emit, note, say
from medrag.errors import MedragError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from medrag.agent.chat import Chat
    from medrag.agent.graph import Event
    from medrag.pipeline import MedRAG
    from medrag.types import Answer

HELP = "Commands: /image FILE …, /trace, /new, /quit"


def chat(
    image: Annotated[
        list[str] | None, typer.Option("--image", "-i", help="An image file (DICOM, PNG, JPEG …); may be repeated.")
    ] = None,
    index: Annotated[str, typer.Option("--index", help="The name of a built index, or a recipe file.")] = "sample",
    model: Model = "",
    policy: Policy = "rules",
    steps: Steps = 8,
    private: Private = False,
    access: Access = None,
    as_json: Json = False,
) -> None:
    """Ask one question after another; later ones may lean on earlier ones ("and on the left?").

    With --json the questions are read from standard input and the turns are one list at the end. Where questions were piped in and none could
    be answered for an error, the exit status is 1.
    """
    from medrag.agent.chat import Chat
    from medrag.agent.state import Budget

    shown = _pictures(image or ())
    rag = open_index(index, model, **pipeline_settings(private, access))
    session = Chat(rag, policy=policy, budget=Budget(steps=steps))
    turns: list[dict[str, Any]] = []
    note(HELP)
    for line in _lines():
        if line.startswith("/"):
            words = _words(line)
            if words[0] in ("/quit", "/exit"):
                break
            if words[0] == "/new":
                session.close()
                session, shown = Chat(rag, policy=policy, budget=Budget(steps=steps)), []
        try:
            if line.startswith("/"):
                shown = _command(words, session, shown)
                continue
            answer = followed(session.stream(line, shown or None), quiet=as_json)
            shown = []
            turns.append({"question": line, "answer": answer.to_dict()})
            if not as_json:
                say(f"\n{answer}\n")
        except MedragError as error:  # the session goes on
            turns.append({"question": line, "error": str(error)})
            note(f"error: {error}")
    session.close()
    if as_json:
        emit(turns)
    if turns and all("error" in one for one in turns) and not sys.stdin.isatty():
        raise typer.Exit(1)


def agent_answer(
    rag: MedRAG, image: Any, question: str, policy: str, steps: int, trace: Path | None, *, quiet: bool
) -> Answer:
    """What ``medrag ask --agent`` does: the steps as they are done on standard error unless ``quiet``, and the trace's file."""
    from medrag.agent.graph import Agent
    from medrag.agent.state import Budget
    from medrag.agent.trace import write_jsonl

    answer = followed(Agent(rag, policy=policy, budget=Budget(steps=steps)).stream(image, question), quiet=quiet)
    if trace:
        write_jsonl(answer.trace, trace)
        note(f"trace: {trace.resolve()}")
    return answer


def followed(events: Iterator[Event], *, quiet: bool = False) -> Answer:
    """The answer of a run whose steps are told as they are done."""
    from medrag.agent.trace import step_text

    for event in events:
        if event.stage == "answer":
            answer: Answer = event.data
        elif not quiet and (event.stage == "verified" or (event.stage == "planned" and event.data.get("fault"))):
            note(step_text(event.data))
    return answer


def _words(line: str) -> list[str]:
    """The words of a command; quotes hold a file's name together."""
    try:
        return shlex.split(line)
    except ValueError:  # an apostrophe
        return line.split()


def _pictures(names: Iterable[str]) -> list[str]:
    """The files, each of them looked at. Raises ImageError for one that is no picture."""
    from medrag._util.images import check_image

    for name in names:
        check_image(Path(name))
    return list(names)


def _command(words: list[str], session: Chat, shown: list[str]) -> list[str]:
    """Does what a line that begins with "/" says; the images for the next question."""
    from medrag.agent.trace import trace_text

    if words[0] == "/image":
        return [*shown, *_pictures(words[1:])]
    if words[0] == "/trace" and session.turns:
        say(trace_text(session.turns[-1][1].trace))
    elif words[0] not in ("/new", "/trace"):
        note(HELP)
    return shown


def _lines() -> Iterator[str]:
    """Lines that are typed, or piped in, without empty ones; the end of input ends the session."""
    while True:
        if sys.stdin.isatty():
            typer.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
