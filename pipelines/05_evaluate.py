"""Does retrieval help? Every arm through every task, and one page of results.

    MEDRAG_DATA=/path/to/pack python pipelines/05_evaluate.py --out eval/results
    … --data HELD_OUT --split test      measures other studies with the index of the training ones
    … --tasks mine.csv --recipe mine    your own questions, reports or judged queries (docs/evaluation.md); no pack is needed

Builds the indexes that the tasks ask first, where they are not there. Hardware: 2 CPU cores, 6 GB of memory. The header of each result says how long its
arm took; a run that was cut off goes on. --limit draws so many studies of each task; --quick leaves the sanity arms out.
Answers (.jsonl) hold texts of the pack and are not to be passed on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from medrag import MedRAG
from medrag.errors import MedragError
from medrag.eval import own, runner
from medrag.eval.report import write
from medrag.eval.scoring import spread
from medrag.eval.tasks import Task, known_tasks

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


def arms_of(task: Task, quick: bool = False) -> tuple[str, ...]:
    """Whom a task is put to; pages are found by their own retriever, and the others are its baselines. A recipe of one's own need have no graph."""
    arms = ("pages",) if task.source == "pages" else ARMS[task.kind]
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
        evaluate(parser.parse_args())
    except MedragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def evaluate(options: argparse.Namespace) -> None:
    """Runs everything and writes the page."""
    named = options.tasks or [task.name for task in known_tasks()]
    tasks = [task for name in named for task in runner.tasks_named(name)]
    for recipe in dict.fromkeys(options.recipe or task.recipe for task in tasks):
        if recipe:
            MedRAG.open(recipe, build=True)
    asked = {"split": options.split, "model": options.model, "recipe": options.recipe, "limit": options.limit}
    for planned in (one for name in named for one in runner.plans(name, options.data, **asked)):
        task = planned.task
        for arm in arms_of(task, options.quick):
            out = options.out / f"{task.name}-{planned.split}-{arm}.json"
            result = runner.run(planned, arm, out)
            print(f"{task.name:22} {arm:22} {told(result)}  {result['seconds']:.0f} s", flush=True)
    print(write([options.out], options.out / "report.html"))


def told(result: dict[str, Any]) -> str:
    """The first score with its interval; – where nothing defines it, as an area under the curve of one class."""
    name = result["headline"]
    if name not in result["scores"]:
        return f"{name} –"
    return f"{name} {result['scores'][name]:.3f} [{spread(result['intervals'][name])}]"


if __name__ == "__main__":
    sys.exit(main())
