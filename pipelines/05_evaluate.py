"""Does retrieval help? Every arm through every task, and one page of results.

    MEDRAG_DATA=/path/to/pack python pipelines/05_evaluate.py --out eval/results
    … --data HELD_OUT --split test      measures other studies with the index of the training ones

Builds the indexes that the tasks ask first, where they are not there. Hardware: 2 CPU cores, 6 GB of memory. The header of each result says how long its
arm took; a run that was cut off goes on. --limit draws so many studies of each task; --quick leaves the sanity arms out.
Answers (.jsonl) hold texts of the pack and are not to be passed on.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from medrag import MedRAG
from medrag.eval import runner
from medrag.eval.report import write
from medrag.eval.tasks import known_tasks

ARMS = {
    "report": ("none", "adaptive", "fixed-k", "adaptive+graph"),
    "closed": ("none", "adaptive", "fixed-k"),
    "open": ("none", "adaptive"),
    "ranking": ("lexical", "dense", "fused"),
    "linking": ("linker",),
    "routing": ("router",),
    "selection": ("adaptive", "fixed-1", "fixed-3", "fixed-5", "keep-all"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", default=[], help="names of tasks (default: all)")
    parser.add_argument("--data", type=Path, default=Path(os.environ["MEDRAG_DATA"]))
    parser.add_argument("--split", default="", help="default: each task's own")
    parser.add_argument("--out", type=Path, default=Path("eval-results"))
    parser.add_argument("--model", default=None)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    tasks = [task for task in known_tasks() if not options.tasks or task.name in options.tasks]
    for name in dict.fromkeys(task.recipe for task in tasks if task.recipe):
        MedRAG.open(name, build=True)
    for task in tasks:
        planned = runner.plan(task, options.data, split=options.split, model=options.model, limit=options.limit)
        sanity = () if options.quick else task.sanity
        for arm in (*ARMS[task.kind], *sanity):
            out = options.out / f"{task.name}-{planned.split}-{arm}.json"
            result = runner.run(planned, arm, out)
            low, high = result["intervals"][task.headline]
            print(f"{task.name:22} {arm:22} {task.headline} {result['scores'][task.headline]:.3f} [{low:.3f}, {high:.3f}]  {result['seconds']:.0f} s", flush=True)  # fmt: skip
    print(write([options.out], options.out / "report.html"))


if __name__ == "__main__":
    main()
