"""Does retrieval help? Every arm through every task, and one page of results.

    MEDRAG_DATA=/path/to/pack python pipelines/05_evaluate.py --out eval/results
    … --data HELD_OUT --split test      measures other studies with the index of the training ones
    … --tasks mine.csv --recipe mine    your own questions, reports or judged queries (docs/evaluation.md); no pack is needed

Builds the indexes that the tasks ask, where they are not there. A task of which the folder has no data or no such split is left out and told; so is
what fails, which ends the command with 1 when the rest has been run and the page written. Hardware: 2 CPU cores, 6 GB of memory. The header of each result says how long its
arm took; a run that was cut off goes on. --limit draws so many studies of each task; --quick leaves the sanity arms out.
Answers (.jsonl) hold texts of the pack and are not to be passed on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from medrag import MedRAG
from medrag.errors import CorpusError, MedragError
from medrag.eval import own, runner
from medrag.eval.report import write
from medrag.eval.scoring import spread
from medrag.eval.sources import training_data
from medrag.eval.tasks import NoExample, Task, known_tasks

ARMS = {
    "report": ("none", "adaptive", "fixed-k", "adaptive+graph"),
    "closed": ("none", "adaptive", "fixed-k"),
    "open": ("none", "adaptive"),
    "ranking": ("lexical", "dense", "fused"),
    "linking": ("linker",),
    "routing": ("router",),
    "hops": ("adaptive", "fixed-10", "agent"),
    "selection": ("adaptive", "fixed-1", "fixed-3", "fixed-5", "keep-all"),
}
OF_SOURCE = {"pages": ("pages",), "iu_similar": ("similar", "similar-reports", "fused")}


def arms_of(task: Task, quick: bool = False) -> tuple[str, ...]:
    """Whom a task is put to; pages are found by their own retriever, and the others are its baselines, films by what looks at them. A recipe of one's own need have no graph."""
    arms = OF_SOURCE.get(task.source, ARMS[task.kind])
    if task.source == own.SOURCE:
        arms = tuple(arm for arm in arms if arm != "adaptive+graph")
    return (*arms, *(() if quick else task.sanity))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tasks", nargs="*", default=[], help="names of tasks, or files of your own (default: all that ship)"
    )
    parser.add_argument("--recipe", default="", help="index that is asked (default: each task's)")
    parser.add_argument("--data", type=Path, default=None, help="default: MEDRAG_DATA")
    parser.add_argument("--split", default="", help="default: each task's own")
    parser.add_argument("--out", type=Path, default=Path("eval-results"))
    parser.add_argument("--model", default=None)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    try:
        return 0 if evaluate(parser.parse_args()) else 1
    except MedragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def evaluate(options: argparse.Namespace) -> bool:
    """Runs what can be run and writes the page; whether nothing failed and no task that was named is left out."""
    plans, whole = planned_of(options)
    for planned in plans:
        try:
            if recipe := options.recipe or planned.task.recipe:
                MedRAG.open(recipe, build=True)
        except MedragError as error:
            left_out(planned.task.name, error)
            whole = False
            continue
        for arm in arms_of(planned.task, options.quick):
            whole &= answered(planned, arm, options.out)
    print(write([options.out], options.out / "report.html"))
    return whole


def planned_of(options: argparse.Namespace) -> tuple[list[runner.Run], bool]:
    """The tasks that the folder has examples of, before anything is asked; and whether all others merely lack the split."""
    named = options.tasks or [task.name for task in known_tasks()]
    if options.data is None and any(one.source != own.SOURCE for name in named for one in runner.tasks_named(name)):
        training_data()
    asked = {"split": options.split, "model": options.model, "recipe": options.recipe, "limit": options.limit}
    plans, whole = [], True
    for name in named:
        try:
            plans += runner.plans(name, options.data, **asked)
        except CorpusError as error:
            left_out(name, error)
            whole &= isinstance(error, NoExample) and not options.tasks
    if not plans:
        raise CorpusError("there is nothing to ask", "name a folder with --data and a split that it has with --split")
    return plans, whole


def answered(planned: runner.Run, arm: str, folder: Path) -> bool:
    """Puts a task to an arm and prints its first score; false where that cannot be done."""
    name = planned.task.name
    try:
        result = runner.run(planned, arm, folder / f"{name}-{planned.split}-{arm}.json")
    except MedragError as error:
        left_out(f"{name} · {arm}", error)
        return False
    print(f"{name:22} {arm:22} {told(result)}  {result['seconds']:.0f} s", flush=True)
    return True


def left_out(name: str, error: MedragError) -> None:
    place = "" if str(error).startswith(name) else f"{name}: "
    print(f"left out: {place}{error}", file=sys.stderr, flush=True)


def told(result: dict[str, Any]) -> str:
    """The first score with its interval; – where nothing defines it, as an area under the curve of one class."""
    name = result["headline"]
    if name not in result["scores"]:
        return f"{name} –"
    return f"{name} {result['scores'][name]:.3f} [{spread(result['intervals'][name])}]"


if __name__ == "__main__":
    sys.exit(main())
