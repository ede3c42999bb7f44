"""Two finished results of one task, example by example: paired differences with intervals and p-values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medrag.errors import CorpusError, SettingsError
from medrag.eval import scoring
from medrag.eval.lines import read_lines
from medrag.eval.tasks import Task


def load(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A result and the lines of the examples that it counts. Raises CorpusError where one of the two files is missing or broken."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        lines = read_lines(path.with_suffix(".jsonl"))
        Task.model_validate(result["settings"]["task"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is no finished result: {error}", "run it again: medrag eval run …") from error
    asked = set(result.get("examples", ()))
    return result, [line for line in lines if not asked or line["id"] in asked]


def compare(first: Path, second: Path, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Differences first − second over the examples that both answered.

    Raises SettingsError for results of two tasks or splits, and where one has another right answer than the other.
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
        if line["reference"] != its["reference"]:
            raise SettingsError(
                f"{line['id']} has one right answer in {first} and another in {second}", "run both on the same data"
            )
    found = scoring.differences(
        scoring.rows_of(task, left), scoring.rows_of(task, right),
        [line["group"] for line in left], draws, seed,
    )  # fmt: skip
    return {
        "task": one["task"], "split": one["split"], "first": one["arm"], "second": other["arm"], "n": len(left),
        "left_out": len(mine) + len(theirs) - 2 * len(left), "headline": one["headline"], "differences": found,
        "scores": {"first": one["scores"], "second": other["scores"]},
    }  # fmt: skip
