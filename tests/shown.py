"""Commands as README and the pages under docs/ show them."""

import shlex
from typing import Any

from typer.main import get_command

from medrag.cli.app import app


def check(line: str) -> None:
    """Fails where a line's commands or options do not exist."""
    words = shlex.split(line)[1:]
    found: Any = get_command(app)
    while words and hasattr(found, "commands"):
        assert words[0] in found.commands, line
        found = found.commands[words.pop(0)]
    options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options, line
