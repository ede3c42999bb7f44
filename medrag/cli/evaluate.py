"""``medrag eval``: tasks, arms, comparisons and the report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medrag.cli.output import Json, emit, note, options_of, table

if TYPE_CHECKING:
    from medrag.eval.runner import Run

app = typer.Typer(
    no_args_is_help=True, help="Measure what retrieval gains, beside trivial baselines and with intervals."
)


@app.command("list")
def list_tasks(as_json: Json = False) -> None:
    """The tasks that ship and the arms that can be put to them."""
    from medrag.eval.arms import ABOUT
    from medrag.eval.baselines import BASELINES
    from medrag.eval.linking import ABOUT as LINKERS
    from medrag.eval.rankers import RANKERS
    from medrag.eval.routing import ABOUT as ROUTERS
    from medrag.eval.selection import ABOUT as SELECTORS
    from medrag.eval.tasks import known_tasks

    tasks = known_tasks()
    parts = {"arms of linking": LINKERS, "arms of routing": ROUTERS, "arms of selection": SELECTORS}
    if as_json:
        named = {"arms": ABOUT, "baselines": list(BASELINES), "arms of rankings": list(RANKERS), **parts}
        emit({"tasks": {task.name: task.about for task in tasks}, **named})
        return
    table(("task", "split", "first score", "what it asks"), [(t.name, t.split, t.headline, t.about) for t in tasks])
    table(("arm", "what answers"), list(ABOUT.items()))
    note(f"trivial baselines, which stand in every result and are arms too: {', '.join(BASELINES)}")
    note(f"arms of rankings: {', '.join(RANKERS)}; over a built index also its retrievers by name")
    for of, arms in parts.items():
        table((of, "what is measured"), list(arms.items()))


@app.command("run")
def run(
    task: Annotated[
        str,
        typer.Argument(
            help="A task by name, its YAML file, or a file of your own questions or reports (.csv, .tsv, .jsonl, .json)."
        ),
    ],
    arm: Annotated[
        list[str], typer.Option("--arm", help="What answers: an arm, or module:function. Repeat for several.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with the pack's layout (default: MEDRAG_DATA).")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="A split that the folder lists (default: the task's).")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Result of a single arm, or a folder for several.")] = None,
    model: Annotated[str, typer.Option("--model", help="Generator (default: the recipe's).")] = "",
    recipe: Annotated[str, typer.Option("--recipe", help="Index that is asked (default: the task's).")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many studies, drawn with the seed.")] = 0,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of the pipeline. Repeat for several.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Resamplings of the intervals.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Examples at a time, for generators behind a server.")
    ] = 1,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Examples that the generator is given together.")
    ] = 8,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what an earlier run answered.")] = False,
    as_json: Json = False,
) -> None:
    """Run arms through a task. A run that was cut off goes on where it stopped."""
    from medrag.errors import SettingsError
    from medrag.eval import runner

    plans = runner.plans(
        task, data, split=split, model=model or None, recipe=recipe, limit=limit, seed=seed, options=options_of(option or [])
    )  # fmt: skip
    _check_arms(plans, arm)
    pairs = [
        (one, name) for one, name in itertools.product(plans, arm) if len(plans) == 1 or runner.fits(one.task, name)
    ]
    several, found, unfit = len(pairs) > 1, {}, 0
    for planned, name in pairs or [(plans[0], arm[0])]:
        path = _path(out, planned, name, several)
        try:
            result = runner.run(planned, name, path, draws=draws, at_once=at_once, workers=workers, restart=restart)
        except SettingsError as error:  # an arm that the task has no use for takes no other with it
            if not several:
                raise
            note(f"left out: {planned.task.name} · {name}: {error}")
            unfit += 1
            continue
        found[name if len(plans) == 1 else f"{planned.task.kind} {name}"] = result
        if not as_json:
            _show(result)
            note(f"written: {path}")
        if failed := result["failed"]:
            note(f"{failed} of {result['n']} failed and count as wrong, the first with: {result['problem']}")
    if as_json:
        emit(found if several else next(iter(found.values())))
    if unfit:
        raise typer.Exit(1)


def _check_arms(plans: Sequence[Run], names: Sequence[str]) -> None:
    """Tells of the name of an arm that there is not before the first question, rather than when those before it have answered."""
    from medrag.eval.arms import check_named, make_arm
    from medrag.eval.baselines import BASELINES
    from medrag.eval.runner import PICTURED

    for name in names:
        if ":" in name:
            make_arm(name, plans[0].rag, ())
        elif name not in BASELINES and all(one.task.kind in PICTURED for one in plans):
            check_named(name)


def _path(out: Path | None, planned: Any, arm: str, several: bool) -> Path:
    usual = f"{planned.task.name}-{planned.split}-{arm.replace(':', '.')}.json"
    if out is None:
        return Path("eval-results") / usual
    if out.suffix != ".json":
        return out / usual
    if several:
        raise typer.BadParameter("--out names one file, but there are several results: name a folder")
    return out


def _show(result: dict[str, Any]) -> None:
    """Every score beside the baselines, and how sure the difference is."""
    from medrag.eval.own import untaught
    from medrag.eval.scoring import spread

    lone = untaught(result)
    names = [name for name in result["baselines"] if name not in lone]
    report = result["settings"]["task"]["kind"] == "report"  # with a score of each finding
    rows = []
    for score, value in result["scores"].items():
        if report and score.startswith("f1/"):
            continue
        cells = [score, f"{value:.3f}", spread(result["intervals"][score])]
        for name in names:
            base = result["baselines"][name].get(score)
            gain = result["over_baselines"][name].get(score)
            cells.append(f"{base[0]:.3f} ({gain['difference']:+.3f}, p {gain['p']:.3f})" if base and gain else "")
        rows.append(tuple(cells))
    note(
        f"{result['task']} · {result['arm']} · {result['split']} · {result['n']} examples of {result['groups']} groups · {result['seconds']} s"
    )
    table(("score", "value", "95 %", *names), rows)
    if lone:
        note(f"without {', '.join(lone)}: all examples are of one group, and no other is there to learn from")


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(help="A result (.json), its answers (.jsonl) beside it.")],
    second: Annotated[Path, typer.Argument(help="Another result of the same task and split.")],
    draws: Annotated[int, typer.Option("--draws", min=100)] = 1000,
    as_json: Json = False,
) -> None:
    """First less second, paired: difference, 95 % interval, p-value of approximate randomisation."""
    from medrag.eval.compare import compare as compared
    from medrag.eval.scoring import spread

    result = compared(first, second, draws)
    if as_json:
        emit(result)
        return
    note(f"{result['task']} · {result['first']} − {result['second']} · {result['n']} examples")
    for what, both in result["differ"].items():
        note(f"{what}s differ: {', '.join(both)}")
    rows = [
        (name, f"{d['difference']:+.4f}", spread(d["interval"], "+.4f"), f"{d['p']:.4f}")
        for name, d in result["differences"].items()
    ]
    table(("score", "difference", "95 %", "p"), rows)


@app.command("report")
def report(
    results: Annotated[
        list[Path], typer.Argument(help="Results (.json) of one or more tasks and arms, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The page.")] = Path("eval-report.html"),
    as_json: Json = False,
) -> None:
    """One self-contained page: tables, plots, and cases that were won and lost with their evidence."""
    from medrag.eval.report import write

    page = write(results, out, note)
    if as_json:
        emit({"page": str(page)})
    else:
        note(f"written: {page}")
