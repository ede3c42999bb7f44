"""A run's trace as JSON lines and as text for a terminal: what was done, why, what was kept of it and what was not."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medrag._util.files import atomic_open
from medrag._util.render import WIDTH, clean, plain
from medrag._util.text import shorten
from medrag.agent.tools import TERMINAL

Rows = Sequence[Mapping[str, Any]]


def write_jsonl(trace: Rows, path: Path | str) -> None:
    """One step a line, whole or not at all. Raises MedragError where the file cannot be written."""
    with atomic_open(Path(path), "w") as handle:
        handle.writelines(f"{json.dumps(plain(row), ensure_ascii=False)}\n" for row in trace)


def trace_text(trace: Rows) -> str:
    """The whole trace, 100 columns, without control characters."""
    return clean("\n".join(step_text(row) for row in trace))


def step_text(row: Mapping[str, Any]) -> str:
    """One step in a few lines."""
    return clean("\n".join(_wrapped(_lines(row))))


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    seconds, tokens = float(row.get("seconds", 0.0)), int(row.get("tokens", 0))
    cost = f"{seconds * 1000:.0f} ms{f', {tokens} tokens' if tokens else ''}"
    yield f"{row.get('step', '?')}. {_called(row)}  [{cost}]"
    if row.get("thought"):
        yield f"   why: {shorten(str(row['thought']), 200)}"
    if row.get("fault"):
        yield f"   fault: {shorten(str(row['fault']), 200)}"
    elif row.get("said") and not row.get("kept"):
        yield f"   told: {shorten(str(row['said']), 200)}"
    for piece in row.get("kept", ()):
        view = f" ({piece['view']})" if piece.get("view") else ""
        yield f"   + [{piece['key']}] {piece['label']}{view}: “{shorten(str(piece['quote']), 160)}”"
    dropped = row.get("dropped", ())
    for reason in dict.fromkeys(one["reason"] for one in dropped):
        yield f"   - {sum(one['reason'] == reason for one in dropped)} left out: {reason}"
    yield from (f"   ! {conflict}" for conflict in row.get("conflicts", ()))


def _called(row: Mapping[str, Any]) -> str:
    """The call as it would be written, without what was left at its default."""
    if not row.get("tool"):
        return "a reply that was no call"
    args = {} if row["tool"] in TERMINAL else row.get("args", {})
    said = ", ".join(f"{name}={value!r}" for name, value in args.items() if value not in ("", -1, None))
    return f"{row['tool']}({shorten(said, 160)})"


def _wrapped(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="       ") or [line]
