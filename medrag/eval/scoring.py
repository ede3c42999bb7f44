"""Measures by name, applied to answers, with intervals. The only place of the evaluation where scores are named."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from medrag import plugins
from medrag._util.near import meant
from medrag.errors import SettingsError
from medrag.eval import statistics
from medrag.eval.tasks import Example, Output, Task
from medrag.score import Measure
from medrag.score.closed import parse
from medrag.score.grounding import claims

Scored = list[tuple[Measure, Any]]  # measures with their rows
Line = Mapping[str, Any]  # as the runner keeps it: value, probability, reference, status, evidence, details
Lines = Sequence[Line]
Interval = tuple[float | None, float | None]  # of None where nothing defines it
_FAULTS = ("_per_report", "unparsable", "abstained", "copy_rate", "over_reliance", "aurc", "ece", "ece_mass", "brier", "lost_to_other", "in_vain", "_tokens", "steps")  # fmt: skip


def fault(score: str) -> bool:
    """Whether less of a score is better."""
    return score.startswith("miss/") or score.endswith(_FAULTS)


def rows_of(task: Task, lines: Lines) -> Scored:
    """Each measure of the task with one row per answer. Raises MissingDependency for a scorer that is not installed."""
    found: Scored = []
    for name in task.measures:
        measure = plugins.load("scorers", name)()
        found.append((measure, _ROWS.get(name, _plain)(measure, lines)))
    return found


def check(task: Task, example: Example) -> None:
    """Scores a right answer. Raises SettingsError for a measure or a headline that there is not, MissingDependency as `rows_of` does."""
    line = {"reference": example.reference, **dataclasses.asdict(Output(example.reference, 0.5))}
    names = [name for measure, rows in rows_of(task, [line]) for name in measure.totals(rows, np.ones((1, 1)))]
    if task.headline not in names:
        raise SettingsError(f"{task.name}: no measure gives the score {task.headline!r}", meant(task.headline, names))


def _plain(measure: Any, lines: Lines) -> Any:
    return measure.rows([line["value"] for line in lines], [line["reference"] for line in lines])


def _closed(measure: Any, lines: Lines) -> Any:
    values, references, chances = ([line[key] for line in lines] for key in ("value", "reference", "probability"))
    return measure.rows_with(values, references, chances)


def _detailed(measure: Any, lines: Lines) -> Any:
    return measure.rows_with(*([line[key] for line in lines] for key in ("value", "reference", "details")))


def _hops(measure: Any, lines: Lines) -> Any:
    return measure.rows_with(*([line[key] for line in lines] for key in ("evidence", "reference", "details")))


def _grounding(measure: Any, lines: Lines) -> Any:
    """Of sentences by their words; a bare yes or no has none and counts as the answer's own check says (see `medrag.grounding`)."""
    rows = measure.rows([_as_answer(line) for line in lines])
    rows[:, :3] += [_bare(line) for line in lines]
    return rows


def _bare(line: Line) -> tuple[int, int, int]:
    """Claims of a bare yes or no: how many, with a key, borne out by what they cite."""
    told = [one for one in line.get("details", {}).get("claims", ()) if parse(one["text"]) and not claims(one["text"])]
    return (
        len(told),
        sum(bool(one["keys"]) for one in told),
        sum(bool(one["keys"]) and one["verdict"] == "supported" for one in told),
    )


def _abstention(measure: Any, lines: Lines) -> Any:
    right = [float(parse(line["value"]) == line["reference"]) for line in lines]
    return measure.rows([confidence_of(line) for line in lines], right)


def confidence_of(line: Mapping[str, Any]) -> float:
    """The calibrated confidence of an answer; else how far P(yes) is from a half, as a probability of the likelier answer; else ½."""
    p = 0.5 if line["probability"] is None else float(line["probability"])
    calibrated = line["details"].get("confidence")
    return max(p, 1 - p) if calibrated is None else float(calibrated)


def _cost(measure: Any, lines: Lines) -> Any:
    return measure.rows([line["details"].get("usage", {}) for line in lines])


def _as_answer(line: Mapping[str, Any]) -> Any:
    """What grounding reads of an answer, from what was kept of it."""
    context = [(piece["key"], SimpleNamespace(item=SimpleNamespace(text=piece["text"]))) for piece in line["evidence"]]
    return SimpleNamespace(text=line["details"].get("keyed", line["value"]), status=line["status"], context=context)


_ROWS = {
    "closed": _closed, "grounding": _grounding, "abstention": _abstention, "cost": _cost,
    "linking": _detailed, "routing": _closed, "selection": _detailed, "hops": _hops,
}  # fmt: skip


def spread(interval: Sequence[float | None], form: str = ".3f") -> str:
    """An interval as people read it."""
    low, high = interval
    return "–" if low is None or high is None else f"{low:{form}} – {high:{form}}"


def _interval(low: float, high: float) -> Interval:
    """Both bounds, or none of them: of one group there is nothing to draw."""
    return (None, None) if math.isnan(low) else (round(float(low), 5), round(float(high), 5))


def scores(
    scored: Scored, groups: Sequence[str], draws: int, seed: int
) -> dict[str, tuple[float, float | None, float | None]]:
    """name → (score, low, high); a score that nothing defines is left out, an interval is None."""
    found: dict[str, tuple[float, float | None, float | None]] = {}
    for measure, rows in scored:
        for name, value in statistics.interval(measure, rows, groups, draws=draws, seed=seed).items():
            if not math.isnan(value[0]):
                found[name] = (round(float(value[0]), 5), *_interval(*value[1:]))
    return found


def differences(
    mine: Scored, theirs: Scored, groups: Sequence[str], draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """name → {difference, interval, p} of paired answers, first less second."""
    found: dict[str, dict[str, Any]] = {}
    for (measure, rows), (_, others) in zip(mine, theirs, strict=True):
        for name, value in statistics.difference(measure, rows, others, groups, draws=draws, seed=seed).items():
            if not math.isnan(value["difference"]):
                found[name] = {**value, "interval": [None if math.isnan(v) else v for v in value["interval"]]}
    return found


def parts(
    scored: Scored, tags: Sequence[Sequence[str]], groups: Sequence[str], draws: int, seed: int, headline: str, least: int = 10
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """The scores of the examples under each tag that at least ``least`` of them bear; an interval for the headline alone."""
    found: dict[str, dict[str, Any]] = {}
    for tag in sorted({tag for own in tags for tag in own}):
        places = np.array([n for n, own in enumerate(tags) if tag in own])
        if len(places) < least:
            continue
        names: dict[str, Any] = {}
        for measure, rows in scored:
            own = rows[places]
            total = measure.totals(own, np.ones((1, len(places))))
            names |= {name: round(float(v[0]), 5) for name, v in total.items() if not math.isnan(float(v[0]))}
            if headline in total:
                inside = statistics.interval(measure, own, [groups[n] for n in places], draws=draws, seed=seed)[
                    headline
                ]
                names["interval"] = list(_interval(*inside[1:]))
        found[tag] = {"n": len(places), **names}
    return found
