"""``--dry-run`` and ``medrag doctor --hosts``: which hosts a command would contact, told without contacting any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from medrag.cli.output import emit, note, say, table

if TYPE_CHECKING:
    from medrag.hosts import Contact

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Contact nothing and do nothing: list the hosts that this would contact.")
]


def show(contacts: Sequence[Contact], as_json: bool = False) -> None:
    """The contacts as a table, or as values."""
    from medrag._util import offline

    if as_json:
        emit({"offline": offline.asked(), "contacts": [asdict(one) for one in contacts]})
        return
    if not contacts:
        say("no host is contacted")
        return
    table(("host", "by", "what it is sent"), [(one.host, one.by, one.what) for one in contacts])
    if offline.asked():
        note(f"{offline.VARIABLE} is set: whatever is not this machine is refused")
