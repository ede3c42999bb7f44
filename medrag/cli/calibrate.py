"""``medrag calibrate``: how far answers can be believed, learned from questions with known answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medrag.cli.output import Json, emit, note, options_of, table

if TYPE_CHECKING:
    from medrag.eval.tasks import Example, Task
    from medrag.pipeline import MedRAG


def calibrate(
    index: Annotated[str, typer.Argument(help="The name of a built index, or a recipe file.")],
    task: Annotated[
        list[str],
        typer.Option(
            "--task",
            help="Labelled questions: a task of `medrag eval list`, its YAML file, or a file of your own (.csv, .jsonl …); NAME=NUMBER for so many patients. Repeat for several. Queries with their relevant documents choose how evidence is fused and kept.",
        ),
    ],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with the pack's layout (default: MEDRAG_DATA).")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="A split that the folder lists (default: each task's).")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many patients of each task (0: all).")] = 0,
    model: Annotated[str, typer.Option("--model", help="Generator (default: the recipe's).")] = "",
    depth: Annotated[
        list[int] | None, typer.Option("--depth", help="Pieces of evidence that are tried (default: 0, 3, 6).")
    ] = None,
    risk: Annotated[
        list[float] | None,
        typer.Option("--risk", help="Shares of wrong answers to keep to (default: 0.05, 0.1, 0.15, 0.2, 0.3)."),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="Error that reading so many pieces may have (default: 0.3).")
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Chance that a guarantee fails (default: 0.1).")
    ] = None,
    guarantee: Annotated[
        str,
        typer.Option(
            "--guarantee",
            help="What a risk promises: certified (answers are wrong no more often, but with a chance of delta) or conformal (no more of all questions are answered wrongly, on average).",
        ),
    ] = "certified",
    out: Annotated[
        Path | None, typer.Option("--out", help="The calibration (default: beside the index, where it is found).")
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="File of observations, to go on from (default: beside --out).")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of the pipeline. Repeat for several.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    as_json: Json = False,
) -> None:
    """Learn when answers are right: a confidence, how much evidence to read and which, and when to abstain. A run that was cut off goes on."""
    from medrag._util.places import beside
    from medrag.calibration import NAME, Calibration, read_calibration
    from medrag.cli.ask import open_index
    from medrag.corpora import twins
    from medrag.errors import SettingsError
    from medrag.eval import own, runner, tune_selection
    from medrag.eval.calibrate import KINDS, calibrated, check_asked, check_numbers
    from medrag.eval.observed import observe

    named = [_named(one, limit) for one in task]
    found_tasks = [(runner.tasks_named(name), most) for name, most in named]
    kinds = (*KINDS, "ranking")
    tasks = [(one, most) for some, most in found_tasks for one in some if len(some) == 1 or one.kind in kinds]
    risks = risk or [0.05, 0.1, 0.15, 0.2, 0.3]
    depths = sorted(set(depth or (0, 3, 6)))
    chosen = {
        "--out": out,
        "--work": work,
        "--depth": depth,
        "--risk": risk,
        "--alpha": alpha,
        "--delta": delta,
        "--guarantee": guarantee != "certified",
    }
    alpha, delta = 0.3 if alpha is None else alpha, 0.1 if delta is None else delta
    check_numbers(depths, risks, delta, alpha, guarantee)
    selects = tasks[0][0].kind == "selection"
    if selects and (named_too := [name for name, value in chosen.items() if value]):
        raise SettingsError(
            "a task of kind selection chooses settings and writes no calibration", f"leave out {', '.join(named_too)}"
        )
    asks = any(one.kind != "ranking" for one, _ in tasks)
    if not asks and (named_too := [name for name, value in chosen.items() if value and name != "--out"]):
        raise SettingsError("judged queries alone say nothing of answers", f"leave out {', '.join(named_too)}")
    rag = open_index(index, model, **{**options_of(option or []), "calibration": "off", "risk": None})
    recipe = rag.recipe.name if rag.recipe else index
    path = out or beside(recipe, NAME)
    if selects:
        _selection(rag, tasks, data, split, seed, as_json)
        return
    if not asks and path.is_file() and read_calibration(path).sorts:
        raise SettingsError(
            f"{path} holds confidences, which were learned with the evidence that is kept now",
            "name their questions with --task too, or another --out",
        )
    examples: list[Example] = []
    judged: list[Example] = []
    files: dict[str, list[dict[str, Any]]] = {}
    for wanted, most in tasks:
        one = runner.plan(wanted, data, split=split, recipe=index, limit=most, seed=seed)
        if one.task.kind == "ranking" and one.task.source == own.SOURCE and rag.store:
            judged += own.in_index(twins.apart_in(rag.store, one.examples), rag.store.items.iterate())
            continue
        if one.task.kind not in KINDS:
            raise SettingsError(
                f"{wanted.name} asks for no answer that is right or wrong", f"name a task of kind {', '.join(KINDS)}"
            )
        name = _told_apart(one.task, files)
        examples += [replace(example, id=f"{name}/{example.id}") for example in one.examples]
    if asks:
        check_asked(examples)
        examples = twins.apart_in(rag.store, examples)
    tuned = tune_selection.own(rag, judged, seed=seed) if judged else {}
    found = Calibration(rag.calibrated_for, delta, {}, {"seed": seed}, tune_selection.choices(tuned))
    if asks:
        rag.__dict__["calibration"] = found  # confidences are learned with the evidence that will be kept
        observed = observe(rag, examples, work or path.with_suffix(".observed.jsonl"), depths)
        learned = calibrated(observed, rag.calibrated_for, depths, risks, delta, alpha, seed, guarantee)
        found = replace(learned, choices=found.choices)
    if found.sorts or found.choices:
        found.write(path)
    if as_json:
        sorts = {n: {"thresholds": s.thresholds, "depth": s.depth, **s.report} for n, s in found.sorts.items()}
        emit(sorts | ({"selection": tuned} if tuned else {}))
        return
    for domain, told in tuned.items():
        _told(f"queries about {domain}" if domain else "all queries", told)
        if domain not in found.choices:
            note("the choice keeps no better evidence on queries that did not choose: it is not used")
    for name, sort in found.sorts.items():
        table((f"questions: {name}", ""), list(_lines(sort.report)))
    if found.sorts:
        note(f"risk under pipeline keeps to what is {guarantee}")
    written = found.sorts or found.choices
    note(
        f"written: {path}; {_used(path, recipe, bool(found.sorts))}"
        if written
        else "nothing is written: all stays as it is"
    )


def _used(path: Path, recipe: str, sure: bool) -> str:
    """How answers come to use a calibration: by itself where it is looked for, else by its name."""
    from medrag._util.places import beside, share
    from medrag.calibration import NAME

    usual = (beside(recipe, NAME), share() / "indexes" / recipe / NAME)
    found = next((place for place in usual if place.is_file()), None)
    if found and found.samefile(path):
        return f"answers from this index and model now {'say how sure they are' if sure else 'are made of what it chooses'}"
    return f"name it where answers should {'say how sure they are' if sure else 'be made of what it chooses'}: calibration: {path.resolve()} under pipeline of the recipe, or medrag eval run … --set calibration={path}"


def _named(task: str, limit: int) -> tuple[str, int]:
    """A task and how many of its patients are asked; raises BadParameter for a number that is none."""
    name, sign, most = task.partition("=")
    if sign and not (most.isascii() and most.isdigit()):
        raise typer.BadParameter(f"{task!r} is not NAME or NAME=NUMBER")
    return name, int(most) if sign else limit


def _told_apart(task: Task, files: dict[str, list[dict[str, Any]]]) -> str:
    """The task's name, with a number where another file was called so; one that is named twice is one. ``files`` remembers them."""
    alike = files.setdefault(task.name, [])
    if task.options not in alike:
        alike.append(task.options)
    place = alike.index(task.options)
    return f"{task.name}@{place}" if place else task.name


def _selection(
    rag: MedRAG, tasks: list[tuple[Task, int]], data: Path | None, split: str, seed: int, as_json: bool
) -> None:
    """Settings of fusion and selector, chosen on judged queries; nothing is written: they are for the recipe's ``pipeline``."""
    from medrag.eval import runner
    from medrag.eval.tune_selection import tune_selection

    results = []
    for task, most in tasks:
        one = runner.plan(task, data, split=split, limit=most, seed=seed)
        results.append(tune_selection(one.task, one.data, split, one.examples, rag.settings, seed=seed))
    if as_json:
        emit(results)
        return
    for found in results:
        _told(found["task"], found)
        note(f"for the recipe, under pipeline: {json.dumps(found['settings'])[1:-1]}")


def _told(title: str, found: Any) -> None:
    """What was chosen, beside what was before and the first hits, on the queries that did not choose."""
    sides = (
        ("chosen", "chosen"),
        ("before", "as it was"),
        ("fixed", f"the first {found['k']}"),
        ("fixed_anew", f"the first {found['k']}, fused as chosen"),
    )
    heads = (f"{title}, {found['queries'][1]} queries that did not choose", "F1", "tokens", "F1 gained by the choice")
    table(heads, [(label, *_selected(found[name])) for name, label in sides])
    table(("rule, within the same budget", "chosen: fired, dropped", "as it was"), list(_fired(found)))


def _fired(found: Any) -> Iterator[tuple[str, str, str]]:
    """For each rule in how many queries it took something out, and how many pieces of one."""
    for rule, (share, pieces) in found["chosen"]["fired"].items():
        before, then = found["before"]["fired"][rule]
        yield rule, f"{share:.0%} of queries, {pieces:.1f} a query", f"{before:.0%}, {then:.1f}"


def _selected(one: Any) -> tuple[str, str, str]:
    gained = one.get("gained")
    change = f"{gained[0]:+.3f} ({gained[1]:+.3f} – {gained[2]:+.3f})" if gained else ""
    return f"{one['f1'][0]:.3f} ({one['f1'][1]:.3f} – {one['f1'][2]:.3f})", f"{one['tokens'][0]:.0f}", change


def _lines(report: Any) -> Any:
    yield "questions, patients", f"{report['n']}, {report['groups']}"
    yield "accuracy", f"{report['accuracy']:.3f}"
    for name in ("calibrated", "generator", "constant"):
        if name in report:
            one = report[name]
            yield (
                f"{name}: calibration error, errors of the surest 70 %",
                f"{one['ece'][0]:.3f}, {1 - one['accuracy@70'][0]:.3f}",
            )
    for depth, error in report["errors_by_depth"].items():
        kept = "certified" if int(depth) in report["certified_depths"] else "not certified"
        yield f"errors with {depth} pieces ({report['tokens_by_depth'][depth]:.0f} words)", f"{error:.3f}, {kept}"
    for risk, threshold in report["certified"].items():
        tried = report["halves"].get(risk)
        told = _least(threshold)
        kept = f"; on the other half {tried['error']:.2f} wrong of {tried['answered']:.0%} answered" if tried else ""
        yield f"at most {risk} wrong", told + kept
    for risk, threshold in report["conformal"].items():
        yield f"conformal: at most {risk} of all wrong, on average", _least(threshold)


def _least(threshold: float | None) -> str:
    return "no confidence is enough" if threshold is None else f"from a confidence of {threshold:.2f}"
