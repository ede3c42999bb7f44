"""What commands print: results on standard output, notes and errors on standard error, JSON where it was asked for.

Text that was retrieved is printed without control characters and never read as markup.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from medrag.errors import MedragError

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout and nothing else.")]
_machine: ContextVar[TextIO | None] = ContextVar("machine", default=None)


@contextlib.contextmanager
def machine_readable() -> Iterator[None]:
    """Keeps standard output for `emit`: whatever else a library prints goes to standard error."""
    token = _machine.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _machine.reset(token)


def emit(value: Any) -> None:
    """One JSON value on standard output."""
    from medrag._util.render import plain

    stream = _machine.get() or sys.stdout
    json.dump(plain(value), stream, ensure_ascii=False, indent=2, allow_nan=False)
    stream.write("\n")
    stream.flush()


def say(text: str = "") -> None:
    """A line of the result."""
    from medrag._util.render import clean

    typer.echo(clean(text))


def note(text: str) -> None:
    """A line about what is being done, on standard error."""
    from medrag._util.render import clean

    typer.echo(clean(text), err=True)


def fail(error: MedragError, as_json: bool) -> None:
    """An expected failure: one line, and the line that mends it."""
    if as_json:
        emit({"error": error.message, "hint": error.hint})
        return
    note(f"error: {_one_line(error.message)}")
    if error.hint:
        note(f"→ {_one_line(error.hint)}")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def console() -> Console:
    """A terminal for tables; without colour where NO_COLOR, a dumb terminal or a pipe asks for that."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    return Console(highlight=False, markup=False, emoji=False, width=width)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """A table on standard output. Cells that start with ``ok`` or ``missing`` are coloured."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from medrag._util.render import clean

    grid = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for column in columns:
        side: Literal["right", "left"] = "right" if column in _NUMBERS else "left"
        grid.add_column(column, justify=side, no_wrap=column == columns[0], overflow="fold")
    for row in rows:
        cells = [clean(str(cell)) for cell in row]
        grid.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    console().print(grid)


_NUMBERS = {"rank", "score", "count", "memory"}
_STYLES = {
    "ok": "green",
    "present": "green",
    "missing": "bold red",
    "absent": "yellow",
    "optional": "yellow",
    "no": "yellow",
}


def size_text(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def options_of(pairs: Sequence[str]) -> dict[str, Any]:
    """``name=value`` pairs as a mapping; values are read as YAML (numbers, true, lists)."""
    import yaml

    result: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        try:
            result[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise typer.BadParameter(f"{pair!r}: the value is no YAML") from error
    return result
