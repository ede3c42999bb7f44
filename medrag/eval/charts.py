"""Numbers laid out for the report's drawings: places on a sheet of fixed width. It writes no markup and computes no score."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from medrag.score.abstention import risk_coverage

WIDTH, LEFT, ROW = 720, 220, 24


def forest(rows: Sequence[tuple[str, float, float, float]], unit: str, falls: Collection[str] = ()) -> dict[str, Any]:
    """Differences with their intervals about a line at zero: (name, value, low, high). Less is better of those in ``falls``."""
    reach = max([abs(v) for row in rows for v in row[1:]] + [1e-3]) * 1.05
    digits = ".2f" if reach >= 0.1 else ".2g"
    middle, half = LEFT + (WIDTH - LEFT) / 2, (WIDTH - LEFT) / 2 - 52

    def x(value: float) -> float:
        return round(middle + value / reach * half, 1)

    marks = [
        {
            "name": name,
            "y": ROW * n + 20,
            "x": x(v),
            "x1": x(low),
            "x2": x(high),
            "sure": low > 0 or high < 0,
            "good": (v > 0) != (name in falls),
            "words": f"{v:+.3f}",
        }
        for n, (name, v, low, high) in enumerate(rows)
    ]
    return {
        "kind": "forest",
        "width": WIDTH,
        "height": ROW * len(rows) + 40,
        "zero": middle,
        "marks": marks,
        "unit": unit,
        "low": f"{-reach:{digits}}",
        "high": f"{reach:{digits}}",
    }


def bars(counts: Mapping[str, float], label: str) -> dict[str, Any]:
    """Horizontal bars from zero."""
    most = max([*counts.values(), 1e-9])
    marks = [
        {"name": name, "y": ROW * n + 8, "w": round((WIDTH - LEFT - 70) * value / most, 1), "words": f"{value:g}"}
        for n, (name, value) in enumerate(counts.items())
    ]
    return {
        "kind": "bars",
        "width": WIDTH,
        "height": ROW * len(counts) + 14,
        "marks": marks,
        "unit": label,
        "left": LEFT,
    }


def curve(
    lines: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str, diagonal: bool = False
) -> dict[str, Any]:
    """Lines in the unit square."""
    side, left, top = 260.0, 46.0, 10.0

    def place(x: float, y: float) -> str:
        return f"{left + x * side:.1f},{top + (1 - y) * side:.1f}"

    drawn = [
        {"name": name, "points": " ".join(place(x, y) for x, y in points), "n": n}
        for n, (name, points) in enumerate(lines.items())
    ]
    return {
        "kind": "curve",
        "width": 520,
        "height": side + 50,
        "side": side,
        "left": left,
        "top": top,
        "lines": drawn,
        "across": across,
        "up": up,
        "diagonal": diagonal,
    }


def calibration(chances: Sequence[float], truth: Sequence[bool], bins: int = 10) -> list[tuple[float, float]]:
    """(mean probability, share that is true) of equally filled bins."""
    order = np.argsort(chances)
    p, y = np.asarray(chances, dtype=float)[order], np.asarray(truth, dtype=float)[order]
    return [
        (float(a.mean()), float(b.mean()))
        for a, b in zip(np.array_split(p, bins), np.array_split(y, bins), strict=True)
        if len(a)
    ]


def coverage(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """(share answered, share of these that is right), the surest first, at no more than 50 places; those of equal confidence together."""
    covered, risk = risk_coverage(confidence, right)
    first = int(np.searchsorted(covered, min(10, len(right)) / len(right) - 1e-9))
    places = np.unique(np.linspace(first, len(covered) - 1, 50).astype(int))
    return [(float(covered[n]), float(1 - risk[n])) for n in places]


def first_ranks(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How many queries have their first relevant document at rank 1, 2–3, 4–10, 11–100, later or never."""
    named = {"1": 0.0, "2–3": 0.0, "4–10": 0.0, "11–100": 0.0, "later or never": 0.0}
    for line in lines:
        order = sorted(line["value"], key=lambda doc: -line["value"][doc])
        rank = next((n for n, doc in enumerate(order, 1) if line["reference"].get(doc, 0) > 0), 10**6)
        place = (
            "1"
            if rank == 1
            else "2–3"
            if rank <= 3
            else "4–10"
            if rank <= 10
            else "11–100"
            if rank <= 100
            else "later or never"
        )
        named[place] += 1
    return named
