"""``medrag ask``: one question, with or without images."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medrag import hosts
from medrag._util.images import pages_told
from medrag.cli.hosts import DryRun, show
from medrag.cli.needs import is_file_name, recipe_of
from medrag.cli.output import Json, emit, note, say
from medrag.errors import MedragError, SettingsError

if TYPE_CHECKING:
    from medrag.pipeline import Event, MedRAG
    from medrag.types import Answer, Route

Model = Annotated[
    str, typer.Option("--model", help="Who answers: a name of `medrag models list`, openai:NAME, a hub id or a folder.")
]
Private = Annotated[
    bool,
    typer.Option(
        "--private",
        help="Show the model statements of the graph and definitions alone: no report, no passage, no quote.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="KEY=VALUE", help="A part of the index: domain, license, patient, since or until (days)."
    ),
]
Access = Annotated[
    list[str] | None,
    typer.Option("--access", help="A label that you hold; may be repeated. Corpora with further labels are not there."),
]
Policy = Annotated[
    str,
    typer.Option(
        "--policy", help="Who decides on the next search: rules, llm (the model, by tool calls) or follow-up."
    ),
]
Steps = Annotated[int, typer.Option("--steps", min=0, help="Searches for one answer at most.")]


def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="The question, in quotes; - reads it from standard input.")],
    image: Annotated[
        list[str] | None, typer.Option("--image", "-i", help="An image file (DICOM, PNG, JPEG …); may be repeated.")
    ] = None,
    index: Annotated[str, typer.Option("--index", help="The name of a built index, or a recipe file.")] = "sample",
    model: Model = "",
    stream: Annotated[
        bool | None, typer.Option("--stream/--no-stream", help="Show words as they come.", show_default="on a terminal")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write the answer with its evidence as one HTML page.")
    ] = None,
    private: Private = False,
    access: Access = None,
    only: Only = None,
    agent: Annotated[
        bool, typer.Option("--agent", help="Search in several turns: look, check what was found, ask again.")
    ] = False,
    policy: Policy = "rules",
    steps: Steps = 8,
    trace: Annotated[Path | None, typer.Option("--trace", help="Also write the agent's steps as JSON lines.")] = None,
    dry_run: DryRun = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the route, every hit, and why it was kept or dropped.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask a question about an image, or about nothing but the texts."""
    if trace and not agent:
        raise SettingsError("only the agent leaves a trace", "add --agent")
    if given := [f"--{name}" for name in ("policy", "steps") if not agent and _is_given(context, name)]:
        raise SettingsError(f"only the agent reads {' and '.join(given)}", "add --agent")
    if dry_run:
        show(hosts.of_answers(recipe_of(index), model or None), as_json)
        return
    question = sys.stdin.read().strip() if question == "-" else question
    rag = part_of(open_index(index, model, **pipeline_settings(private, access)), only)
    pictures: Any = list(image) if image else None
    for line in pages_told(image or ()):
        note(line)
    streaming = not (as_json or agent) and (sys.stdout.isatty() if stream is None else stream)
    if agent:
        from medrag.cli.agent import agent_answer

        answer = agent_answer(rag, pictures, question, policy, steps, trace, quiet=as_json)
    else:
        answer = streamed(rag, pictures, question) if streaming else rag.answer(pictures, question)
    if as_json:
        emit(answer.to_dict() | ({"explanation": explained(answer)} if explain else {}))
    elif not streaming:
        say(str(answer))
    if explain and not as_json:
        say("\n" + explained(answer))
    if html:
        write_page([answer], "An answer with its evidence", html)


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was named, be it with its default."""
    return getattr(context.get_parameter_source(name), "name", "DEFAULT") != "DEFAULT"


def explained(answer: Answer) -> str:
    """How the answer came about, the agent's steps first where there are some."""
    if not answer.trace:
        return answer.explain()
    from medrag.agent.trace import trace_text

    return f"Steps\n{trace_text(answer.trace)}\n\n{answer.explain()}"


def open_index(index: str, model: str, **settings: Any) -> MedRAG:
    """The built index with its pipeline, some of its settings changed. Raises IndexMissing with the command that builds it."""
    from medrag.pipeline import MedRAG

    source = index if is_file_name(index) else recipe_of(index)  # hints then name the file
    rag = MedRAG.open(source, model=model or None, **settings)
    if access := settings.get("access"):
        tell_unknown(rag, access)
    return rag


def tell_unknown(rag: MedRAG, held: Iterable[str]) -> None:
    """Says which labels no corpus of the index bears: they open nothing."""
    from medrag.indexes.store import open_store

    recipes = [one for one in (rag.recipe, rag.store and open_store(rag.store.folder).recipe) if one]
    known = sorted({label for recipe in recipes for corpus in recipe.corpora for label in corpus.access})
    for label in sorted(set(held) - set(known)):
        note(f"no corpus of this index has the label {label!r} (it has: {', '.join(known) or 'none'})")


def part_of(rag: MedRAG, only: Sequence[str] | None) -> MedRAG:
    """The index, or the part of it that KEY=VALUE options ask for. Raises SettingsError for what is none."""
    pairs = [one.partition("=") for one in only or ()]
    if wrong := next((key for key, sign, _ in pairs if not sign), ""):
        raise SettingsError(f"--only {wrong}: there is no =", "write it as patient=P17 or since=2020-01-05")
    return rag.within(**{key.strip(): value.strip() for key, _, value in pairs}) if pairs else rag


def pipeline_settings(private: bool, access: Sequence[str] | None) -> dict[str, Any]:
    """The settings that these options change."""
    return ({"private": True} if private else {}) | ({"access": tuple(access)} if access else {})


def streamed(rag: MedRAG, image: Any, question: str) -> Answer:
    """Prints the words as they come, then what the check of the citations changed, and the references."""
    from medrag._util.render import clean

    pieces: list[str] = []
    for event in _ending_lines(rag.stream(image, question), pieces):
        if event.stage == "routed":
            note(route_line(event.data) + "\n")
        elif event.stage == "token":
            pieces.append(event.data)
            typer.echo(clean(event.data), nl=False)
        elif event.stage == "answer":
            typer.echo()
            answer: Answer = event.data
    if " ".join("".join(pieces).split()) == " ".join(answer.text.split()):
        say(answer_tail(answer))
    else:
        say(f"\nChecked:\n{answer}")
    return answer


def _ending_lines(events: Iterator[Event], pieces: list[str]) -> Iterator[Event]:
    """The events; where they fail amid a line, it ends."""
    try:
        yield from events
    except MedragError:
        if pieces:
            typer.echo()
        raise


def answer_tail(answer: Answer) -> str:
    """The status when it is not plain, and the references."""
    from medrag._util.render import claim_lines, counted_line, reference_text, status_line

    notes = [f"- {note}" for note in (*claim_lines(answer), counted_line(answer)) if note]
    return "\n".join(
        ["", *filter(None, [status_line(answer)]), *notes, *(reference_text(citation) for citation in answer.citations)]
    )


def route_line(route: Route) -> str:
    """Domain, confidence and the sources that are asked, in one line."""
    from medrag._util.render import percent

    asked = ", ".join(name for name, weight in route.weights.items() if weight > 0)
    return f"{route.domain} (confidence {percent(route.confidence)}); asking: {asked or 'nothing'}"


def write_page(answers: list[Answer], title: str, path: Path) -> None:
    """One self-contained HTML page; says where it lies."""
    from medrag._util.files import atomic_open
    from medrag._util.html import answer_page

    page = answer_page(answers, title)
    try:
        if path.is_dir():
            raise MedragError(f"cannot write {path}: it is a folder")
        with atomic_open(path, "w") as handle:
            handle.write(page)
    except OSError as error:
        raise MedragError(f"cannot write {path}: {error.strerror or error}", "choose another file") from error
    except MedragError as error:
        raise MedragError(error.message, "choose another file") from error
    note(f"page: {path.resolve()}")
