"""``medrag index convert`` and its neighbours: what is done to a built index as a whole."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from medrag.cli.index import Name, app, build_line, report_facts
from medrag.cli.needs import folder_of, is_file_name, recipe_of
from medrag.cli.output import Json, emit, say
from medrag.errors import SettingsError

__all__ = ["app"]


@app.command("convert")
def convert_index(
    name: Name,
    kind: Annotated[str, typer.Option("--to", help="The kind that keeps the vectors: milvus, faiss or flat.")],
    out: Annotated[Path, typer.Option("--out", help="The recipe that is written; its name is the new index's.")],
    uri: Annotated[str, typer.Option("--uri", help="Where Milvus is (http://HOST:19530), or a file for Milvus Lite.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Copy an index, its vectors kept by another kind; nothing is read or encoded again."""
    made = converted(name, kind, out, {"uri": uri} if uri else {})
    if as_json:
        emit(made)
    else:
        say(f"{made['vectors']:,} vectors moved to {kind}: {made['folder']}, recipe {out}")


@app.command("compact")
def compact_index(name: Name, as_json: Json = False) -> None:
    """Build a grown index anew from what was read: deleted items take no room, approximate indexes are trained on all that is there."""
    from medrag.build import compact

    report = compact(folder_of(name))
    if as_json:
        emit(report_facts(report))
    else:
        say(build_line(report))


@app.command("snapshot")
def snapshot_index(
    name: Name, to: Annotated[Path, typer.Option("--to", help="A new folder.")], as_json: Json = False
) -> None:
    """Keep an index as it is now, with what was read for it; files are shared with the index as long as both are on one disk."""
    from medrag._snapshots import keep
    from medrag.indexes.store import open_store

    store = open_store(folder_of(name), name=name)
    keep(store.folder, to)
    facts = {"index": name, "snapshot": str(to), "content_hash": store.manifest.content_hash}
    if as_json:
        emit(facts)
    else:
        again = f"medrag index restore {shlex.quote(name)} --from {shlex.quote(str(to))}"
        say(f"{name} as it is now: {to}; it comes back with: {again}")


@app.command("restore")
def restore_index(
    name: Name,
    source: Annotated[Path, typer.Option("--from", help="The folder of a snapshot.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Also where it is a snapshot of another index.")] = False,
    as_json: Json = False,
) -> None:
    """Put a snapshot in the place of an index."""
    from medrag._snapshots import restore

    folder = folder_of(name)
    restore(source, folder, "" if yes else recipe_of(name).name if is_file_name(name) else name)
    if as_json:
        emit({"index": name, "snapshot": str(source)})
    else:
        say(f"{name} is as it was in {source}")


def converted(name: str, kind: str, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """The new index's folder and counts. Raises SettingsError where the recipe is there already or is no name for an index."""
    import yaml

    from medrag._util.files import atomic_open
    from medrag._util.places import built
    from medrag.convert import KINDS, convert, with_kind
    from medrag.indexes.store import open_store

    if out.exists() or out.suffix not in (".yaml", ".yml"):
        raise SettingsError(f"{out} is there already, or is no .yaml file", "name a new recipe file")
    store = open_store(folder_of(name), name=name)
    asked = recipe_of(name)
    recipe = with_kind(store.recipe.model_copy(update={"pipeline": asked.pipeline}), out.stem, kind, options)
    folder = built(recipe.name)
    made = convert(store, recipe, folder)
    with atomic_open(out, "w") as stream:
        yaml.safe_dump(recipe.model_dump(mode="json", exclude_defaults=True), stream, sort_keys=False)
    parts = [part for part, one in recipe.indexes.items() if one.kind in KINDS]
    again = open_store(folder, name=recipe.name)
    return {
        "name": recipe.name,
        "folder": str(folder),
        "recipe": str(out),
        "vectors": sum(len(again.index(part)) for part in parts),
        "content_hash": made.content_hash,
    }
