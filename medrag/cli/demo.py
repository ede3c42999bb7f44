"""``medrag demo``: three questions about three real images, and one page with all of it."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medrag.cli.ask import Model, open_index, route_line, write_page
from medrag.cli.index import build_line
from medrag.cli.needs import DEMO_IMAGES, fetch_missing, models_of, packages_of
from medrag.cli.output import Json, emit, note, say

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG
    from medrag.types import Answer

QUESTIONS = {
    "chest": "Are there masses in the lungs?",
    "retina": "Where is the optic disc?",
    "tissue": "What does the brown stain mark?",
}
_DROPS = 4  # shown; the page has all


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the HTML page is written.")] = Path("medrag-demo.html"),
    model: Model = "",
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing; fail where something is missing.")] = False,
    as_json: Json = False,
) -> None:
    """Answer three questions about three real images; builds the sample index first."""
    started = time.perf_counter()
    rag = open_sample(model, offline)
    warm_up(rag)
    answers = [ask_one(rag, name, question, quiet=as_json) for name, question in QUESTIONS.items()]
    write_page(answers, "medrag demo: three questions about three images", out)
    note(f"{time.perf_counter() - started:.1f} s")
    if as_json:
        emit({"answers": [answer.to_dict() for answer in answers], "page": str(out.resolve())})


def open_sample(model: str, offline: bool) -> MedRAG:
    """The sample index; what it needs is fetched and what is not built is built, each with a notice."""
    from medrag._util.places import built
    from medrag.build import build
    from medrag.settings import load_recipe

    recipe = load_recipe("sample")
    fetch_missing(models_of(recipe, model), DEMO_IMAGES.values(), offline=offline)
    fetch_missing((), packages_of(recipe), offline=offline)
    if not is_built(built(recipe.name)):
        note(f"building the index {recipe.name!r} (once) …")
    report = build(recipe)
    if report.fresh:
        note(build_line(report))
    return open_index("sample", model)


def warm_up(rag: MedRAG) -> None:
    """Loads the encoders and the DICOM reader, so that the times of the first answer are those of every answer."""
    from medrag._util.fetch import package_file

    note("loading the encoders …")
    rag.retrieve("loading", package_file(DEMO_IMAGES["chest"]), k=1)


def is_built(folder: Path) -> bool:
    """Whether there is a complete index: its manifest is written last."""
    return (folder / "manifest.json").is_file()


def ask_one(rag: MedRAG, name: str, question: str, *, quiet: bool) -> Answer:
    """One of the demo's questions, printed unless ``quiet``."""
    from medrag._util.fetch import package_file

    path = package_file(DEMO_IMAGES[name])
    answer = rag.answer(path, question)
    if not quiet:
        say("\n".join(("", "─" * 100, f"{path.name}: {question}", *compact_lines(answer))))
    return answer


def compact_lines(answer: Answer) -> list[str]:
    """Route, answer with references, what was dropped and why, and times, in a few lines."""
    from medrag._util.render import dropped_lines, timing_line

    dropped = dropped_lines(answer.context)
    more = [f"  and {len(dropped) - _DROPS} more"] if len(dropped) > _DROPS else []
    shown = [f"  - {line}" for line in dropped[:_DROPS]]
    head = [f"Not used ({len(dropped)}):"] if dropped else []
    return [
        route_line(answer.route),
        "",
        str(answer),
        "",
        *head,
        *shown,
        *more,
        *textwrap.wrap(f"Time: {timing_line(answer)}", 100),
    ]
