"""``medrag audit``: check the log of `medrag serve --audit FILE` and `MedRAG.open(…, audit=FILE)`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medrag.cli.output import Json, emit, say

app = typer.Typer(no_args_is_help=True, help="The audit log: check that nothing in it was changed.")


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="The log.")],
    last: Annotated[str, typer.Option("--last", help="A hash that was noted before: its line must be there.")] = "",
    as_json: Json = False,
) -> None:
    """Check that every line follows from the one before. Note the last hash elsewhere: it shows whether lines were cut off."""
    from medrag import audit

    count, hash_ = audit.verify(file, last)
    if as_json:
        emit({"lines": count, "last": hash_})
    else:
        say(f"{count} lines, each follows from the one before; the last is {hash_}")
