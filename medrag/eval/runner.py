"""One arm through one task: every answer is kept as it comes, then scored beside the baselines.

``<out>.jsonl`` holds one line per example; a run that finds lines of the same settings goes on behind them. ``<out>.json`` is written
last. Scores, intervals and differences come from `medrag.score` and `medrag.eval.statistics`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from medrag import __version__
from medrag._util.files import appending, sha256_text, write_error, write_json
from medrag._util.progress import track
from medrag.corpora import twins
from medrag.errors import IndexMissing, MedragError, SettingsError
from medrag.eval import linking, own, page_questions, routing, scoring, selection
from medrag.eval.arms import ARMS, Arm, check_named, make_arm, one_by_one
from medrag.eval.baselines import BASELINES, SEARCHING, learned_from
from medrag.eval.collections import COLLECTIONS
from medrag.eval.lines import latest, whole_lines
from medrag.eval.rankers import make_finder, make_ranker
from medrag.eval.sources import read, training_data
from medrag.eval.tasks import Example, NoExample, Output, Task, load_task
from medrag.pipeline import MedRAG

PICTURED = ("report", "closed", "open")  # kinds of tasks whose examples may show pictures that the index holds


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What is measured on what."""

    task: Task
    data: Path
    split: str
    examples: tuple[Example, ...]
    rag: Callable[[], MedRAG]
    seed: int = 0


def plan(
    task: str | Path | Task, data: Path | None = None, *, split: str = "", model: Any = None, recipe: str = "", limit: int = 0,
    seed: int = 0, options: Mapping[str, Any] | None = None,
) -> Run:  # fmt: skip
    """Reads the examples; the pipeline is opened when an arm first needs it. ``limit`` keeps a part drawn with the seed, whole groups at once.

    ``task`` may be a file of questions of one kind (`tasks_named` tells several apart). ``data`` is the folder that MEDRAG_DATA names where none is given.
    """
    found, *more = [task] if isinstance(task, Task) else tasks_named(task)
    if more:
        kinds = ", ".join(one.kind for one in (found, *more))
        raise SettingsError(f"{task} holds questions of several kinds: {kinds}", "plan each of its tasks_named(…)")
    split, recipe = split or found.split, recipe or found.recipe
    if found.source == own.SOURCE:
        data = data or Path(found.options.get("file", "")).parent
        if not recipe:
            raise SettingsError(f"{found.name} names no index that is asked", "name one with --recipe")
    data = data or training_data()
    examples = limited(read(data, split, found), limit, seed)
    opened = functools.cache(lambda: MedRAG.open(recipe, model=model, **(options or {})))
    return Run(found, data, split, tuple(examples), opened, seed)


def tasks_named(task: str | Path) -> list[Task]:
    """The task of a name or a YAML file; of a file of questions one for each kind that it holds."""
    return own.own_tasks(task) if own.is_file(task) else [load_task(task)]


def plans(task: str | Path, data: Path | None = None, **options: Any) -> list[Run]:
    """`plan` of each task of a name; of a file of several kinds of questions those that the split has any of."""
    tasks = tasks_named(task)
    found, problem = [], None
    for one in tasks:
        try:
            found.append(plan(one, data, **options))
        except NoExample as error:
            problem = error
    if problem and not found:
        raise problem
    return found


def fits(task: Task, arm: str) -> bool:
    """Whether an arm answers what a task of a file of several kinds asks: retrievers rank documents, all others answer in words."""
    return (arm in ARMS or arm in BASELINES or ":" in arm) != (task.kind == "ranking")


def limited(examples: Sequence[Example], limit: int, seed: int) -> list[Example]:
    """At most ``limit`` groups, in their order; all of them for 0."""
    import random

    if limit < 0:
        raise SettingsError(f"a limit of {limit} examples", "give a number above 0, or 0 for all")
    groups = list(dict.fromkeys(example.group for example in examples))
    if not limit or limit >= len(groups):
        return list(examples)
    chosen = set(random.Random(seed).sample(groups, limit))
    return [example for example in examples if example.group in chosen]


def run(
    planned: Run,
    arm: str,
    out: str | Path,
    *,
    draws: int = 1000,
    at_once: int = 8,
    workers: int = 1,
    restart: bool = False,
) -> dict[str, Any]:
    """Runs, scores, and writes ``out`` (a .json path) and the answers beside it; returns what it wrote.

    ``at_once`` examples are given to the generator together. One that fails is scored as wrong; a generator that always
    fails ends the run. Examples of an earlier run that this one does not ask for stay in the file of answers, and ``examples``
    of the result names those that count; ``failures`` tells what failed, which the file of answers lacks. What the task or its baselines
    lack is told before anything is asked. ``arm`` is a name, also ``module:function`` of a system of one's own, whose answers are asked anew when its
    file has changed. Raises SettingsError for a path that does not end in .json.
    """
    began = time.time()
    if not isinstance(arm, str):
        raise SettingsError(f"the arm is a {type(arm).__name__}, not a name", "write a function as 'module:function'")
    out = _result_file(out)
    scoring.check(planned.task, planned.examples[0])
    if planned.task.kind in PICTURED and arm not in BASELINES and ":" not in arm:
        check_named(arm)
    planned, left_out = _apart(planned, arm)
    made, _ = _arm(planned, arm), [_arm(planned, name) for name in planned.task.baselines]
    try:
        lines = answers(planned, made, out.with_suffix(".jsonl"), at_once, workers, restart)
    except OSError as error:
        raise write_error(out, error) from error
    result = summary(planned, made, lines, draws)
    result["twins_left_out"] = left_out
    failed = [line for line in lines if line["status"] == "failed"]
    result["problem"] = next((line["problem"] for line in failed), "")
    result["failures"] = [{name: line[name] for name in ("id", "group", "reference")} for line in failed]
    asked = [line["id"] for line in lines]
    if latest(_read(out.with_suffix(".jsonl"))).keys() - set(asked):
        result["examples"] = asked
    result["seconds"] = round(sum(line["seconds"] for line in lines), 1)
    result["seconds_of_this_run"] = round(time.time() - began, 1)
    write_json(out, result)
    return result


def _result_file(out: str | Path) -> Path:
    """The path of a result; another ending than .json could name the file of its own answers."""
    out = Path(out)
    if out.is_dir():
        raise SettingsError(f"{out} is a folder", "name a file with --out")
    if out.suffix != ".json":
        raise SettingsError(f"{out} does not end in .json", f"name the result {out.with_suffix('.json')}")
    return out


def _apart(planned: Run, arm: str) -> tuple[Run, int]:
    """The examples without near-duplicates of their pictures in the index, and how many documents that leaves out beside those of the same patient."""
    names = (arm, *planned.task.baselines)
    judged = planned.task.source == own.SOURCE and planned.task.kind == "ranking"
    asks = judged or (
        planned.task.kind in PICTURED and any(name not in BASELINES or name in SEARCHING for name in names)
    )
    try:
        store = planned.rag().store if asks else None
    except IndexMissing:
        if ":" not in arm:
            raise
        store = None  # a function of one's own need not ask an index
    if store is None:
        return planned, 0
    known = twins.apart_from_kin(planned.examples, store.items.iterate(["study", "image"]))
    pictured = any(example.images for example in known)
    examples, count = twins.apart(known, store.items.iterate(["image"])) if pictured else (known, 0)
    if planned.task.source == own.SOURCE and not any(name.startswith("similar") for name in planned.rag().retrievers):
        # no film is alike another there
        baselines = tuple(name for name in planned.task.baselines if name != "nearest-report")
        planned = dataclasses.replace(planned, task=planned.task.model_copy(update={"baselines": baselines}))
    if judged:
        examples = own.in_index(examples, store.items.iterate())
    return dataclasses.replace(planned, examples=tuple(examples)), count


def _arm(planned: Run, name: str) -> Arm:
    task = planned.task
    if task.kind == "ranking" and ":" in name:
        raise SettingsError(
            f"{task.name} ranks documents, and {name} answers in words", "medrag eval list names arms of rankings"
        )
    if name in BASELINES:
        return _baseline(planned, name)
    if task.kind == "selection":
        return selection.make_selector(name, task, planned.data, planned.split, planned.rag)
    if task.kind == "linking" and ":" not in name:
        return linking.make_linker(name, planned.rag)
    if task.kind == "routing" and ":" not in name:
        return routing.make_router(name, planned.rag)
    if task.source == "pages" and ":" not in name:
        return page_questions.make_page_finder(name, planned.rag(), planned.seed)
    if task.source in COLLECTIONS and ":" not in name:
        return make_ranker(name, task, planned.data, planned.split, planned.seed)
    if task.kind == "ranking" and ":" not in name:
        mine = task.source == own.SOURCE
        judged = {document for one in planned.examples for document in one.reference} if mine else ()
        return make_finder(name, planned.rag(), planned.seed, sorted(judged))
    return make_arm(name, planned.rag, planned.examples, planned.seed)


def answers(
    planned: Run, arm: Arm, path: Path, at_once: int = 8, workers: int = 1, restart: bool = False
) -> list[dict[str, Any]]:
    """One line per example, in the examples' order; those that the file has are not asked again.

    Raises SettingsError where the file holds answers of other settings: they are not thrown away unasked.
    """
    about = [planned.task.model_dump(mode="json"), planned.split, arm.name, dict(arm.settings), planned.seed]
    key = sha256_text(json.dumps(about, sort_keys=True))[:16]
    if restart:
        whole_lines(path)  # not what is somebody else's
        path.unlink(missing_ok=True)
    done = kept(path, key, planned.examples)
    wanted = [example for example in planned.examples if example.id not in done]
    failed = 0
    with appending(path) as stream:
        # intervals are drawn over what the groups are now, not what they were when the question was asked
        for example in planned.examples:
            now = {"group": example.group, "tags": list(example.tags)}
            if (line := done.get(example.id)) and not now.items() <= line.items():
                done[example.id] = line | now
                stream.write(json.dumps(done[example.id], ensure_ascii=False) + "\n")
        for line in track(_lines(arm, wanted, key, at_once, workers), f"{planned.task.name}: {arm.name}", len(wanted)):
            failed = failed + 1 if line["status"] == "failed" else 0
            if failed >= min(10, len(planned.examples)):
                raise MedragError(
                    f"{failed} examples in a row failed, the last with: {line['problem']}",
                    "mend that, then run again: what was answered is kept",
                )
            if line["status"] != "failed":  # a failure is tried again by the next run
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                stream.flush()
            done[line["id"]] = line
    return [done[example.id] for example in planned.examples]


def kept(path: Path, key: str, examples: Sequence[Example]) -> dict[str, dict[str, Any]]:
    """The finished lines of the same settings that answer these very examples; a last line that was cut short is cut off.

    The last line of an example counts, here as for all who read the file: where it answers something else, the example is asked again.
    """
    lines = _read(path)
    if any(line["key"] != key for line in lines):
        raise SettingsError(
            f"{path} holds answers of another model, index, setting, task, split or seed",
            "name another --out, or start again with --restart",
        )
    examples_by = {example.id: example for example in examples}
    known = {name: line for name, line in latest(lines).items() if name in examples_by}
    return {name: line for name, line in known.items() if examples_by[name].asked().items() <= line.items()}


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in whole_lines(path) if line.strip()]
    except ValueError as error:
        raise SettingsError(
            f"{path} has a broken line: {error}", "name another --out, or start again with --restart"
        ) from error


def _lines(arm: Arm, examples: Sequence[Example], key: str, at_once: int, workers: int) -> Iterator[dict[str, Any]]:
    parts = [examples[n : n + at_once] for n in range(0, len(examples), at_once)]
    some = functools.partial(_some, arm, key)
    if workers <= 1:
        for part in parts:
            yield from some(part)
        return
    with ThreadPoolExecutor(workers) as pool:
        for lines in pool.map(some, parts):
            yield from lines


def _some(arm: Arm, key: str, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """The lines of a few examples that are asked together; where that fails, each is asked alone."""
    began = time.perf_counter()
    try:
        outputs, problem = arm.together(examples), ""
    except MedragError as error:
        if len(examples) > 1:
            return [line for example in examples for line in _some(arm, key, [example])]
        outputs, problem = [Output("", None, "failed")], str(error)
    seconds = round((time.perf_counter() - began) / len(examples), 3)
    return [_line(example, output, problem, seconds, key) for example, output in zip(examples, outputs, strict=True)]


def _line(example: Example, output: Output, problem: str, seconds: float, key: str) -> dict[str, Any]:
    line = {"id": example.id, "group": example.group, **example.asked()}
    line |= dataclasses.asdict(output) | {"images": [str(path) for path in example.images], "tags": list(example.tags)}
    return line | {"problem": problem, "seconds": seconds, "key": key}


def summary(planned: Run, arm: Arm, lines: Sequence[Mapping[str, Any]], draws: int) -> dict[str, Any]:
    """The result without its times."""
    task = planned.task
    mine = scoring.rows_of(task, lines)
    groups = [line["group"] for line in lines]
    scores = scoring.scores(mine, groups, draws, planned.seed)
    result: dict[str, Any] = {
        "task": task.name, "arm": arm.name, "split": planned.split, "n": len(lines), "groups": len(set(groups)),
        "headline": task.headline, "scores": {name: v[0] for name, v in scores.items()},
        "intervals": {name: [v[1], v[2]] for name, v in scores.items()},
        "parts": scoring.parts(mine, [line["tags"] for line in lines], groups, draws, planned.seed, task.headline),
        "baselines": {}, "over_baselines": {},
    }  # fmt: skip
    for name in task.baselines:
        pairs = zip(_arm(planned, name).together(planned.examples), planned.examples, strict=True)
        theirs = scoring.rows_of(task, [{"reference": e.reference, **dataclasses.asdict(o)} for o, e in pairs])
        found = scoring.scores(theirs, groups, draws, planned.seed)
        result["baselines"][name] = {key: list(value) for key, value in found.items()}
        result["over_baselines"][name] = scoring.differences(mine, theirs, groups, draws, planned.seed)
    return result | {
        "failed": sum(line["status"] == "failed" for line in lines), "abstained": sum(line["status"] == "abstained" for line in lines),
        "settings": {**arm.settings, "task": task.model_dump(mode="json"), "draws": draws, "seed": planned.seed},
        "versions": versions(),
    }  # fmt: skip


def _baseline(planned: Run, name: str) -> Arm:
    """A trivial baseline as an arm: it answers all examples at once, when the first is asked."""
    said = functools.cache(
        lambda: dict(
            zip(
                (example.id for example in planned.examples),
                BASELINES[name](planned.task, planned.examples, planned.rag),
                strict=True,
            )
        )
    )
    settings = learned_from(name, planned.task, planned.examples, planned.rag)
    return Arm(name, settings, one_by_one(lambda example: said()[example.id]))


def versions() -> dict[str, str]:
    """What the figures depend on."""
    found = {"medrag": __version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "faiss-cpu", "open_clip_torch", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
