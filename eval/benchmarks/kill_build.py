"""A build that is killed at random moments and started again, against one that is left alone: is the result the same?

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/kill_build.py full --kills 3 --within 600 --home /some/empty/folder

Both builds start without cached vectors; a build left alone that is there already (``alone.json``, written by an earlier run) is not made again.
``--within`` is the span, in seconds, in which each kill falls. Prints one JSON
object: seconds and peak memory of the build that was left alone, the moments of the kills, the seconds of the last run,
and the content hashes of both indexes (over items, vectors, words and graph rows), which must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from medrag._util.places import home


def run(recipe: str, folder: Path, limit: float | None = None) -> tuple[float, bool]:
    """Seconds of one build in its own process, and whether it was left to finish; SIGKILL after ``limit`` seconds."""
    began = time.perf_counter()
    code = f"from medrag.build import build; from medrag.settings import load_recipe; build(load_recipe({recipe!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "MEDRAG_HOME": str(folder)})
    try:
        if process.wait(limit) != 0:
            sys.exit("the build failed")
        return time.perf_counter() - began, True
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return time.perf_counter() - began, False


def manifest(recipe: str, folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "indexes" / recipe / "manifest.json").read_text())
    return value


def prepared(folder: Path) -> Path:
    """An empty home that shares the packages that are fetched already."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if (home() / "packages").is_dir():
        (folder / "packages").symlink_to((home() / "packages").resolve())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--within", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, required=True)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    alone = options.home / "alone.json"
    whole = options.home / "whole"
    if not alone.exists():
        seconds, _ = run(options.recipe, prepared(whole))
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20)
        alone.write_text(json.dumps({"seconds": round(seconds, 1), "peak memory, GB": round(memory, 2)}))
    broken = prepared(options.home / "broken")
    moments = [round(rng.uniform(2, options.within), 1) for _ in range(options.kills)]
    landed = [not run(options.recipe, broken, moment)[1] for moment in moments]
    last, _ = run(options.recipe, broken)
    one, two = manifest(options.recipe, whole), manifest(options.recipe, broken)
    report = {
        "recipe": options.recipe,
        "counts": one["counts"],
        "skipped": len(one["skipped"]),
        **json.loads(alone.read_text()),
        "killed after, s": moments,
        "kills that landed": sum(landed),
        "last run, s": round(last, 1),
        "content hashes": [one["content_hash"], two["content_hash"]],
        "equal": one["content_hash"] == two["content_hash"],
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
