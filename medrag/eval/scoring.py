"""Measures by name, applied to answers, with intervals. The only place of the evaluation where scores are named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medrag import plugins
from medrag.eval import statistics
from medrag.eval.tasks import Task
from medrag.score import Measure

Scored = list[tuple[Measure, Any]]  # measures with their rows
Triples = Sequence[tuple[Any, float | None, Any]]  # value, probability, reference


def rows_of(task: Task, answers: Triples) -> Scored:
    """Each measure of the task with one row per answer. Raises MissingDependency for a scorer that is not installed."""
    values, chances, references = ([one[n] for one in answers] for n in range(3))
    found: Scored = []
    for name in task.measures:
        measure = plugins.load("scorers", name)()
        with_chances = getattr(measure, "rows_with", None)
        rows = with_chances(values, references, chances) if with_chances else measure.rows(values, references)
        found.append((measure, rows))
    return found


def scores(scored: Scored, groups: Sequence[str], draws: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """name → (score, low, high); what nothing defines is left out."""
    found: dict[str, tuple[float, float, float]] = {}
    for measure, rows in scored:
        for name, value in statistics.interval(measure, rows, groups, draws=draws, seed=seed).items():
            if not math.isnan(value[0]):
                found[name] = tuple(round(float(v), 5) for v in value)  # type: ignore[assignment]
    return found


def differences(
    mine: Scored, theirs: Scored, groups: Sequence[str], draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """name → {difference, interval, p} of paired answers, first less second."""
    found: dict[str, dict[str, Any]] = {}
    for (measure, rows), (_, others) in zip(mine, theirs, strict=True):
        for name, value in statistics.difference(measure, rows, others, groups, draws=draws, seed=seed).items():
            if not math.isnan(value["difference"]):
                found[name] = dict(value)
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
                names["interval"] = [round(float(v), 5) for v in inside[1:]]
        found[tag] = {"n": len(places), **names}
    return found


def line_triples(lines: Sequence[Mapping[str, Any]]) -> list[tuple[Any, float | None, Any]]:
    return [(line["value"], line["probability"], line["reference"]) for line in lines]
