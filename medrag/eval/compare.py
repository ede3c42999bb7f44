"""Two finished results of one task, example by example: paired differences with intervals and p-values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medrag.errors import CorpusError, SettingsError
from medrag.eval import scoring
from medrag.eval.lines import latest, read_lines
from medrag.eval.tasks import Output, Task
from medrag.score.reliance import unlike


def load(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A result and one line of each example that it counts: the last of its id, and an empty one where it failed.

    Raises CorpusError where one of the two files is missing or broken, and for an older result that does not name what failed.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        lines = latest(read_lines(path.with_suffix(".jsonl")))
        failures = {one["id"]: _failed(one) for one in result.get("failures", ())}
        Task.model_validate(result["settings"]["task"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is no finished result: {error}", "run it again: medrag eval run …") from error
    if result.get("failed", 0) > len(failures):
        raise CorpusError(
            f"{path} counts {result['failed']} examples that failed and does not name them",
            "run it again: medrag eval run …",
        )
    asked = set(result.get("examples", ()))
    counted = [line for name, line in lines.items() if name not in failures and (not asked or name in asked)]
    return result, [*counted, *failures.values()]


def _failed(example: Mapping[str, Any]) -> dict[str, Any]:
    """The line of an example that failed, from what the result tells of it: its id, group and reference."""
    return {**example, "question": "", "images": [], "tags": [], **dataclasses.asdict(Output("", None, "failed"))}


def compare(first: Path, second: Path, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Differences first − second over the examples that both answered.

    ``differ`` tells of a generator or a fingerprint (index, generator, settings) that is not the same. Raises SettingsError for results of two tasks or splits,
    and where one has another question, picture or right answer than the other.
    """
    (one, mine), (other, theirs) = load(first), load(second)
    for name in ("task", "split"):
        if one[name] != other[name]:
            raise SettingsError(
                f"{first} is of {one[name]}, {second} of {other[name]}", f"compare two results of one {name}"
            )
    task = Task.model_validate(one["settings"]["task"])
    by = {line["id"]: line for line in theirs}
    left = [line for line in mine if line["id"] in by]
    if not left:
        raise SettingsError("the two results have no example in common", "run both on the same split")
    right = [by[line["id"]] for line in left]
    for line, its in zip(left, right, strict=True):
        if what := unlike(line, its):
            raise SettingsError(
                f"{line['id']} has one {what} in {first} and another in {second}", "run both on the same data"
            )
    found = scoring.differences(
        scoring.rows_of(task, left), scoring.rows_of(task, right),
        [line["group"] for line in left], draws, seed,
    )  # fmt: skip
    return {
        "task": one["task"], "split": one["split"], "first": one["arm"], "second": other["arm"], "n": len(left),
        "left_out": len(mine) + len(theirs) - 2 * len(left), "headline": one["headline"], "differences": found,
        "differ": _differ(one["settings"], other["settings"]),
        "scores": {"first": one["scores"], "second": other["scores"]},
    }  # fmt: skip


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[str]]:
    """What both name and is not the same; an arm that asks no generator names none."""
    both = {name: [str(one.get(name, "")), str(other.get(name, ""))] for name in ("generator", "fingerprint")}
    return {name: pair for name, pair in both.items() if all(pair) and pair[0] != pair[1]}
