"""The commands under one roof, and what happens when one fails: expected failures are one line, bugs a traceback."""

from __future__ import annotations

import difflib
import errno
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from medrag.cli import examples
from medrag.cli.output import fail, machine_readable, note
from medrag.errors import MedragError

_UsageError: Any = typer.BadParameter.__bases__[0]  # Typer carries Click inside or beside it, depending on its version

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # what a write to the output may fail of


class Guarded(TyperGroup):
    """The top group: turns what a command raises into a message and an exit status (1 failed, 2 misused, 130 stopped)."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> Any:  # type: ignore[override]
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in arguments and "--help" not in arguments
        extra["standalone_mode"] = False
        _forgive_encodings()
        if not as_json:
            sys.exit(self._guarded(arguments, prog_name, extra, as_json))
        with machine_readable():
            sys.exit(self._guarded(arguments, prog_name, extra, as_json))

    def _guarded(self, arguments: list[str], prog_name: str | None, extra: dict[str, Any], as_json: bool) -> int:
        try:
            status = int(super().main(arguments, prog_name or "medrag", **extra) or 0)
        except MedragError as error:
            fail(error, as_json)
            return 1
        except _UsageError as error:
            return _misused(error, as_json)
        except OSError as error:
            if error.errno not in FULL or error.filename is not None:
                raise
            return _full(error)
        except (typer.Abort, KeyboardInterrupt):
            status = 130
        if status == 130:
            _stopped()
        return status


def _misused(error: Any, as_json: bool) -> int:
    """A wrong option or argument: one line, and where to read more. A group without a command shows its help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return 2
    path = context.command_path if context else "medrag"
    message = error.format_message()
    if path == "medrag" and (near := _near(message)):
        message, path = f"{message.partition(' Did you mean')[0]} Did you mean '{near}'?", f"medrag {near}"
    fail(MedragError(message, f"{path} --help"), as_json)
    return 2


def _full(error: OSError) -> int:
    """Where the output goes there is no room: one line, and nothing more is written there."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    fail(MedragError(f"the output cannot be written: {error.strerror}", "make room where it goes"), as_json=False)
    return 1


def _near(message: str) -> str:
    """The command that was meant by one that does not exist, wherever it stands: "bild" is "index build"."""
    named = re.match(r"No such command '([^']+)'", message)
    words = {word: verb for verb in reversed(examples.EXAMPLES) for word in (verb, verb.split()[-1])}
    close = difflib.get_close_matches(named[1], words) if named else []
    return words[close[0]] if close else ""


def _stopped() -> None:
    """After Ctrl-C: the cursor, which a progress bar may have hidden, and one word on a line of its own."""
    if sys.stderr.isatty():
        from rich.console import Console

        Console(stderr=True).show_cursor()
        note("")
    note("stopped")


def _forgive_encodings() -> None:
    """A terminal that lacks a character gets a question mark, not a crash."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


app = typer.Typer(
    cls=Guarded,
    name="medrag",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Questions about medical images, answered from evidence that is cited and checked. For research and education.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from medrag import __version__

        typer.echo(f"medrag {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    from medrag._util import offline

    offline.enforce_if_asked()


def _register() -> None:
    from medrag.cli import (
        agent,
        ask,
        audit,
        calibrate,
        corpus,
        demo,
        doctor,
        evaluate,
        findings,
        graph,
        models,
        serve,
        tune,
        upkeep,
    )

    app.command()(demo.demo)
    app.command()(ask.ask)
    app.command()(agent.chat)
    app.command()(findings.findings)
    app.command()(calibrate.calibrate)
    app.command()(serve.serve)
    app.command()(serve.mcp)
    app.add_typer(corpus.app, name="corpus")
    app.add_typer(upkeep.app, name="index")
    app.add_typer(graph.app, name="graph")
    app.add_typer(models.app, name="models")
    app.add_typer(audit.app, name="audit")
    app.add_typer(evaluate.app, name="eval")
    app.add_typer(tune.app, name="tune")
    app.command()(doctor.doctor)
    examples.show(app)


_register()
