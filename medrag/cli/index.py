"""``medrag index``: build an index from a recipe, look into it, search it, delete from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medrag import hosts
from medrag._util.images import pages_told
from medrag.cli.ask import Access, Only
from medrag.cli.hosts import DryRun, show
from medrag.cli.needs import folder_of, recipe_of
from medrag.cli.output import Json, emit, note, say, size_text, table
from medrag.errors import BadRecord, SettingsError

if TYPE_CHECKING:
    from medrag.build import BuildReport
    from medrag.indexes.manifest import Manifest
    from medrag.pipeline import MedRAG
    from medrag.types import Hit

app = typer.Typer(no_args_is_help=True, help="Indexes: build, look into, search, delete.")
Name = Annotated[str, typer.Argument(help="The name of an index, or its recipe file.")]
_LISTED = 20  # skipped records that are printed; --json has all


@app.command("build")
def build_index(
    recipe: Annotated[str, typer.Argument(help="A recipe: the name of a folder under indexes/, or a YAML file.")],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew instead of going on where a build stopped.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Build over an index of the same name that another recipe file made.")
    ] = False,
    dry_run: DryRun = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many processes encode.")] = 1,
    ray: Annotated[str, typer.Option("--ray", help="The address of a Ray cluster that encodes, such as auto.")] = "",
    as_json: Json = False,
) -> None:
    """Build an index; a build that was stopped goes on where it was."""
    from medrag.build import build
    from medrag.encoders.spread import Spread
    from medrag.settings import load_recipe, recipe_file

    if dry_run:
        show(hosts.of_build(load_recipe(recipe), ray), as_json)
        return
    file, spread = recipe_file(recipe), Spread(workers, ray)
    told: list[BadRecord] = []
    report = build(load_recipe(recipe), fresh=fresh, report=told.append, spread=spread, file=file, replace=replace)
    if as_json:
        emit(report_facts(report))
        return
    table(("kind", "count"), [(kind, f"{number:,}") for kind, number in report.counts.items()])
    hints = {(one.source, one.problem): one.hint for one in told}
    show_skipped([asdict(skip) | {"hint": hints.get((skip.source, skip.problem), "")} for skip in report.skipped])
    for warning in report.warnings:
        note(f"warning: {warning}")
    say(build_line(report))


def report_facts(report: BuildReport) -> dict[str, Any]:
    """What a build did, as plain values."""
    return {**asdict(report), "folder": str(report.folder)}


def build_line(report: BuildReport) -> str:
    """How long it took and where it lies, in one line."""
    seconds = sum(report.seconds.values())
    return f"built in {seconds:.1f} s: {report.folder}" if report.fresh else f"nothing has changed: {report.folder}"


def show_skipped(skipped: Sequence[Mapping[str, Any]]) -> None:
    """Each skipped record (``source``, ``problem``) with its reason, as far as they fit; a ``hint`` stands beside the first that has it."""
    if skipped:
        note(f"skipped {len(skipped)}:")
    said = {"", BadRecord("", "").hint}
    for record in skipped[:_LISTED]:
        hint = record.get("hint", "")
        note(f"  {record['source']}: {record['problem']}" + (f" → {hint}" if hint not in said else ""))
        said.add(hint)
    if len(skipped) > _LISTED:
        note(f"  and {len(skipped) - _LISTED} more (all with --json)")


@app.command("info")
def info(name: Name, access: Access = None, as_json: Json = False) -> None:
    """Show what an index holds and check every file against its checksum."""
    from medrag.access import seen
    from medrag.indexes.store import open_store

    folder = folder_of(name)
    recipe = recipe_of(name)
    store, _ = seen(open_store(folder, verify=True, name=name), recipe, access or recipe.pipeline.access)
    facts = manifest_facts(store.manifest, folder)
    if as_json:
        emit(facts)
        return
    say(f"{name}: {folder}")
    size = f"{size_text(facts['bytes'])}, " if facts["bytes"] else ""  # of a part that one sees nothing is told
    say(f"built {facts['created']} with medrag {facts['medrag']}, {size}every checksum is right")
    rows = [(corpus, kind, f"{n:,}") for corpus, kinds in facts["counts"].items() for kind, n in kinds.items()]
    table(("corpus", "kind", "count"), rows)
    table(
        ("encoder", "model", "dim", "fingerprint"),
        [(n, e["model"], e["dim"], e["fingerprint"]) for n, e in facts["encoders"].items()],
    )
    show_skipped(facts["skipped"])
    for warning in facts["warnings"]:
        note(f"warning: {warning}")


def manifest_facts(manifest: Manifest, folder: Path) -> dict[str, Any]:
    """What a manifest says, as plain values."""
    return {
        "name": manifest.name,
        "folder": str(folder),
        "created": manifest.created,
        "medrag": manifest.medrag,
        "bytes": sum(entry["size"] for entry in manifest.files.values()),
        "counts": {corpus: dict(kinds) for corpus, kinds in manifest.counts.items()},
        "encoders": {name: dict(encoder) for name, encoder in manifest.encoders.items()},
        "skipped": [dict(record) for record in manifest.skipped],
        "warnings": list(manifest.warnings),
        "deleted": list(manifest.deleted),
        "content_hash": manifest.content_hash,
        "verified": True,
    }


@app.command("search")
def search(
    name: Name,
    query: Annotated[str, typer.Argument(help="What to look for; may be empty with --image.")] = "",
    image: Annotated[list[str] | None, typer.Option("--image", "-i", help="An image file; may be repeated.")] = None,
    retriever: Annotated[
        str, typer.Option("--retriever", help="Ask only this one, such as dense, lexical, similar or graph.")
    ] = "",
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    access: Access = None,
    only: Only = None,
    as_json: Json = False,
) -> None:
    """Search an index without asking a model."""
    from medrag.cli.ask import open_index, part_of, pipeline_settings

    rag = part_of(open_index(name, "", **pipeline_settings(False, access)), only)
    hits = find(rag, name, query, list(image) if image else None, retriever, k)
    for line in pages_told(image or ()):
        note(line)
    if not hits:
        note(_nothing_found(list(rag.retrievers), bool(image)))
    if as_json:
        from medrag._util.render import hit_dict

        emit([hit_dict(hit) for hit in hits])
        return
    table(("rank", "score", "what", "found by", "id"), [hit_row(hit) for hit in hits])


def _nothing_found(retrievers: Sequence[str], pictured: bool) -> str:
    """Why a search may have found nothing."""
    if not pictured and all(name.startswith("similar") for name in retrievers):
        return "this index is searched by images alone: give --image, or index captions and labels by words (indexes: {lexical: {kind: bm25, items: [image]}})"
    return "nothing was found" if pictured else "nothing was found by these words"


def find(rag: MedRAG, name: str, query: str, image: Any, retriever: str, k: int) -> list[Hit]:
    """The hits of one retriever, or of all of them fused."""
    from medrag.query import make_query

    if not retriever:
        return rag.retrieve(query, image, k=k)
    if retriever not in rag.retrievers:
        raise SettingsError(f"the index {name!r} has no retriever {retriever!r}", f"known: {', '.join(rag.retrievers)}")
    return rag.retrievers[retriever].retrieve(make_query(image, query), k)


def hit_row(hit: Hit) -> tuple[str, ...]:
    """A hit as a row of a table."""
    from medrag._util.cards import found_by
    from medrag._util.render import label

    return str(hit.rank), f"{hit.score:.4f}", label(hit.item, 60), found_by(hit), hit.item.id


@app.command("tune")
def tune_index(
    name: Name,
    part: Annotated[
        str, typer.Option("--part", help="Which index of the recipe (default: each that can be tuned).")
    ] = "",
    recall: Annotated[
        float, typer.Option("--recall", min=0.5, max=1.0, help="Of the 10 nearest, by exhaustive search.")
    ] = 0.98,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            help="A text with a question a line, or a file as `medrag eval run` takes it (default: the index's own vectors ask).",
        ),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=10, help="Vectors or questions that are tried.")] = 200,
    as_json: Json = False,
) -> None:
    """Set the least search effort that reaches a recall, measured on the index itself."""
    asked = _questions(questions)[:sample] if questions else []
    found = tuned(name, part, recall, asked, sample)
    if as_json:
        emit(found)
        return
    columns = ("part", "factory", "effort", "recall", "ms a query")
    table(columns, [(n, f["factory"], f"{f['knob']} {f['effort']}", f["recall"], f["ms"]) for n, f in found.items()])


def tuned(name: str, part: str, recall: float, asked: list[str], sample: int) -> dict[str, Any]:
    """What was measured, by part; the settings and the manifest are written. Raises SettingsError where nothing can be tuned."""
    from medrag.encoders import open_encoder
    from medrag.indexes.store import open_store, writing
    from medrag.indexes.tune import tune
    from medrag.types import Query

    folder = folder_of(name)
    store = open_store(folder, name=name)
    parts = [part] if part else [n for n, one in store.recipe.indexes.items() if one.kind == "faiss"]
    found: dict[str, Any] = {}
    with writing(folder):
        for one in parts:
            index = store.index(one)
            knob = index.effort()[0] if hasattr(index, "effort") else ""
            if not knob:
                continue
            encoder: Any = open_encoder(store.recipe.encoders[store.recipe.indexes[one].encoder]) if asked else None
            queries = encoder.encode_queries([Query(text) for text in asked]) if asked else None
            told = tune(index, recall, queries=queries, sample=sample)
            index.save_settings(folder / one)
            found[one] = {**told, "knob": knob, "effort": told[knob]}
        if found:
            store.manifest.write(folder)
    if not found:
        raise SettingsError(
            f"{name!r} has no index {part!r} that can be tuned"
            if part
            else f"every index of {name!r} searches everything",
            "an index of kind faiss takes options: {factory: auto}, from 50,000 vectors on",
        )
    return found


def _questions(path: Path) -> list[str]:
    from medrag.corpora.own import SUFFIXES, only_questions

    if path.suffix.lower() in SUFFIXES:
        return only_questions(path)
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", "give a text file with a question a line") from error


@app.command("delete")
def delete(
    name: Name,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Delete this item; may be repeated.")] = None,
    docs: Annotated[
        list[str] | None, typer.Option("--doc", help="Delete this document or study; may be repeated.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete the whole index.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete items, documents or a whole index, for good."""
    wanted = [*(ids or ()), *(docs or ())]
    if everything == bool(wanted):
        raise typer.BadParameter("name what to delete: --id, --doc or --all")
    if as_json and not yes:
        raise SettingsError("with --json nobody is asked whether to delete", "add --yes")
    confirm(f"delete {'the whole index' if everything else ', '.join(wanted)} of {name!r}?", yes)
    count = delete_all(name) if everything else delete_some(name, wanted)
    if as_json:
        emit({"index": name, "deleted": count, "all": everything})
    else:
        say(f"deleted {count:,} item{'' if count == 1 else 's'} of {name!r}")


def confirm(question: str, yes: bool) -> None:
    """Asks, unless ``--yes`` was given; anything but yes stops."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def delete_all(name: str) -> int:
    """Deletes a built index and what was read for it; how many items it held. Raises IndexMissing, IndexLocked."""
    import shutil

    from medrag._util.places import in_part
    from medrag.indexes.store import discard, open_store, writing

    folder = folder_of(name)
    count = len(open_store(folder, name=name).items)
    with writing(folder) as work:
        (folder / "manifest.json").unlink()  # first: what is half deleted must not look whole
        discard(folder)
    for made in (work, in_part(folder)):
        shutil.rmtree(made, ignore_errors=True)
    return count


def delete_some(name: str, wanted: list[str]) -> int:
    """Deletes items by id or document from every part of an index, concepts and statements too; how many there were."""
    from medrag.build import delete as delete_items
    from medrag.indexes.store import open_store

    folder = folder_of(name)
    before = open_store(folder, name=name).manifest.counts
    after = delete_items(folder, wanted).counts
    return sum(number for kinds in before.values() for number in kinds.values()) - sum(after.values())
