"""``medrag serve`` and ``medrag mcp``: the server with its web page, and the tools for assistants over standard input and output."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from medrag import hosts
from medrag.cli.ask import Access, Model, Private, open_index, pipeline_settings, tell_unknown
from medrag.cli.hosts import DryRun, show
from medrag.cli.needs import recipe_of
from medrag.cli.output import note
from medrag.errors import MissingDependency, SettingsError

if TYPE_CHECKING:
    pass

Audit = Annotated[
    Path | None, typer.Option("--audit", help="A file that gets two lines for each question: hashes, no content.")
]
Index = Annotated[str, typer.Option("--index", help="The name of a built index, or a recipe file.")]


def serve(
    index: Index = "sample",
    model: Model = "",
    private: Private = False,
    access: Access = None,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; others than this machine need MEDRAG_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: one that is free.")] = 8000,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Answers made at once; one uses all cores.")] = 1,
    waiting: Annotated[
        int, typer.Option("--waiting", min=0, help="Questions in line; the next is told to come again.")
    ] = 16,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds that an answer may take.")] = 120,
    upload_mb: Annotated[float, typer.Option("--upload-mb", min=0.1, help="Largest request.")] = 64,
    allow_host: Annotated[list[str] | None, typer.Option("--allow-host", help="A further name of this server.")] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow-origin", help="A site whose pages may call it.")
    ] = None,
    reports: Annotated[Path | None, typer.Option("--reports", help="A folder of evaluation reports to show.")] = None,
    dry_run: DryRun = False,
    audit: Audit = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="YAML: the labels of each token; the others hold those of --access.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print one JSON value.")] = False,
) -> None:
    """Serve a web page, an HTTP API, the OpenAI dialect and MCP (at /mcp). Tokens: MEDRAG_TOKEN, several with commas."""
    if dry_run:
        note(f"listens on {host}:{port}")
        show(hosts.of_answers(recipe_of(index), model or None), as_json)
        return
    if as_json:
        raise SettingsError("a server gives no JSON value, for it does not end", "add --dry-run, or leave --json out")
    server = _needs("medrag.server")
    tokens = tuple(filter(None, map(str.strip, os.environ.get("MEDRAG_TOKEN", "").split(","))))
    settings = server.settings_of(
        host=host, port=port, tokens=tokens, workers=workers, waiting=waiting, timeout=timeout, upload_mb=upload_mb,
        hosts=tuple(allow_host or ()), origins=tuple(allow_origin or ()), reports=reports,
        labels=labels_of(labels),
    )  # fmt: skip
    settings = settings.model_copy(update={"port": _free(host, port)})
    if reports and not reports.is_dir():
        raise SettingsError(f"{reports} is no folder", "name the folder that holds the reports")
    rag = open_index(index, model, audit=audit, **pipeline_settings(private, access))
    tell_unknown(rag, {label for held in settings.labels.values() for label in held})
    note("loading the models")
    server.warm(rag)
    shown = f"[{host}]" if ":" in host else host
    note(f"medrag answers at http://{shown}:{settings.port} from {index!r}; API at /docs, Ctrl-C ends it")
    try:
        server.serve(rag, settings)
    except SystemExit as error:  # uvicorn has said why
        raise typer.Exit(1 if error.code else 0) from error


def _free(host: str, port: int) -> int:
    """The port, or one that is free in place of 0. Raises SettingsError where nobody can listen there."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family) as tried:
            if os.name == "posix":  # as the server does: what a server that has ended held is free
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            return int(tried.getsockname()[1])
    except OSError as error:
        why = "the address is in use" if error.errno == errno.EADDRINUSE else error.strerror or error
        raise SettingsError(f"cannot listen at {host}:{port}: {why}", "name another --port or --host") from error


def labels_of(path: Path | None) -> dict[str, list[str]]:
    """The labels that a file gives to each token, which is text whatever it looks like. Raises SettingsError, which names a line and never a token."""
    found: dict[str, list[str]] = {}
    for token, labels in _lines(path) if path else ():
        where = f"{path} line {token.start_mark.line + 1}"
        if not isinstance(token, yaml.ScalarNode) or not _is_list(labels):
            raise SettingsError(f"{where}: the labels of a token are a list", "write TOKEN: [LABEL, …], or TOKEN: []")
        if token.value in found:
            raise SettingsError(f"{where}: this token has labels already", "keep one line for each token")
        found[token.value] = [label.value for label in labels.value]
    return found


def _lines(path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    try:
        whole = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}", "check the path") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # what it quotes may be a token
        line = f" line {mark.line + 1}" if (mark := getattr(error, "problem_mark", None)) else ""
        raise SettingsError(
            f"{path}{line} is not readable YAML", "write a line TOKEN: [LABEL, …] for each token"
        ) from None
    if not isinstance(whole, yaml.MappingNode):
        raise SettingsError(f"{path} is no mapping", "write a line TOKEN: [LABEL, …] for each token")
    return list(whole.value)


def _is_list(labels: yaml.Node) -> bool:
    return isinstance(labels, yaml.SequenceNode) and all(isinstance(one, yaml.ScalarNode) for one in labels.value)


def mcp(
    index: Index = "sample", model: Model = "", private: Private = False, access: Access = None, audit: Audit = None
) -> None:
    """Give an assistant on this machine search, similar cases, pages, graph paths and answers, over MCP (stdio)."""
    made = _needs("medrag.server.mcp")
    from medrag.server.served import Served
    from medrag.server.settings import settings_of

    rag = open_index(index, model, audit=audit, **pipeline_settings(private, access))
    served = Served(rag, settings_of())
    served.watch()
    made.make_mcp(rag, served, local=True).run()


def _needs(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("medrag"):
            raise
        raise MissingDependency(f"the server needs the package {error.name}", 'pip install "medrag[server]"') from error
