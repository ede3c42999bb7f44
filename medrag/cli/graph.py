"""``medrag graph``: build the knowledge graph, look into it, link a text to it, find what joins two concepts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medrag.cli.ask import Access
from medrag.cli.needs import folder_of, recipe_of
from medrag.cli.output import Json, emit, note, say, table
from medrag.errors import IndexMissing, SettingsError

if TYPE_CHECKING:
    from medrag.graph import GraphStore, Mention
    from medrag.retrieve.graph import GraphRetriever
    from medrag.settings import Recipe
    from medrag.types import Triple

app = typer.Typer(no_args_is_help=True, help="The knowledge graph: build, look into, link, walk.")
Index = Annotated[str, typer.Option("--index", help="The name of a built index, or a recipe file.")]
Thing = "a code (HP:0002107), a CUI (C0032326) or a name"


@app.command("build")
def build_graph(
    recipe: Annotated[str, typer.Argument(help="A recipe: the name of a folder under indexes/, or a YAML file.")],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew instead of going on where a build stopped.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a recipe's index with its graph; a recipe without indexes builds the graph alone."""
    from medrag.build import build
    from medrag.cli.index import build_line, report_facts, show_skipped
    from medrag.settings import load_recipe, recipe_file

    report = build(load_recipe(recipe), fresh=fresh, file=recipe_file(recipe))
    facts = report_facts(report)
    if not as_json:
        show_skipped(facts["skipped"])
        for warning in report.warnings:
            note(f"warning: {warning}")
        say(build_line(report))
    every = {label for corpus in load_recipe(recipe).corpora for label in corpus.access}
    counted = facts_of(recipe, sorted(every))
    if as_json:
        emit({**facts, "graph": counted})
    else:
        show(counted)


@app.command("info")
def info(index: Index = "sample", access: Access = None, as_json: Json = False) -> None:
    """Show how many concepts and edges a graph holds, by relation and source."""
    facts = facts_of(index, access)
    if as_json:
        emit(facts)
    else:
        show(facts)


def facts_of(index: str, access: Sequence[str] | None = None) -> dict[str, Any]:
    """Counts of a graph. Raises IndexMissing where the index has none."""
    from medrag.graph.overview import overview

    store = open_graph(index, access)
    return {"index": index, "path": str(store.path), **store.counts(), **overview(store.path)}


def show(facts: dict[str, Any]) -> None:
    """The counts as tables."""
    say(
        f"{facts['path']}: {facts['concepts']:,} concepts in {facts['nodes']:,} nodes, {facts['edges']:,} edges, {facts['cuis']:,} CUIs"
    )
    if lost := facts.get("dangling"):
        say(f"{lost:,} edges lead to codes that none of its ontologies has; they are left out")
    for name in ("relations", "polarities", "sources"):
        table((name, "count"), [(one, f"{count:,}") for one, count in facts[name].items()])


@app.command("link")
def link(
    text: Annotated[str, typer.Argument(help="A text, in quotes.")],
    index: Index = "sample",
    near: Annotated[
        bool,
        typer.Option("--near", help="Terms of a short text that are no name here: by the name nearest in meaning."),
    ] = False,
    access: Access = None,
    as_json: Json = False,
) -> None:
    """Find the concepts that a text mentions, with CUI, polarity and how each was found."""
    from medrag.assemble import near_names
    from medrag.graph import Linker

    store = open_graph(index, access)
    recipe = recipe_of(index)
    mentions = Linker(store, near_names(recipe, store, reads_names(recipe)) if near else None).asked(text)
    if as_json:
        emit([
            {
                "text": mention.surface, "start": mention.start, "end": mention.end, "polarity": mention.polarity,
                "concepts": [{"id": node, "name": store.concept(node).name} for node in mention.concepts], "cuis": list(mention.cuis),
                "by": how(mention),
            }
            for mention in mentions
        ])  # fmt: skip
    elif mentions:
        rows = [
            (m.surface, m.polarity, f"{m.concepts[0]} {store.concept(m.concepts[0]).name}", " ".join(m.cuis), how(m))
            for m in mentions
        ]
        table(("text", "polarity", "concept", "CUIs", "by"), rows)
    else:
        note("nothing that the graph knows is mentioned")


def how(mention: Mention) -> str:
    """How a mention was found: "name", "nearest name, 0.88" or "guess: last word of a name"."""
    if mention.near:
        return f"nearest name, {mention.near:.2f}"
    return "guess: last word of a name" if mention.head else "name"


def reads_names(recipe: Recipe) -> str:
    """The encoder that names are near by: that of ``pipeline.link_near``, else the first of the recipe that indexes passages or reports."""
    indexes = recipe.indexes.values()
    texts = (one.encoder for one in indexes if one.kind == "faiss" and {"passage", "study"} & {*one.items})
    return recipe.pipeline.link_near or next(texts, "minilm")


@app.command("path")
def path(
    start: Annotated[str, typer.Argument(metavar="A", help=f"{Thing}.")],
    end: Annotated[str, typer.Argument(metavar="B", help=f"{Thing}.")],
    index: Index = "sample",
    hops: Annotated[int, typer.Option("--hops", min=1, max=3, help="Statements between them at most.")] = 3,
    k: Annotated[int, typer.Option("-k", min=1, help="How many paths.")] = 5,
    access: Access = None,
    as_json: Json = False,
) -> None:
    """Show the best paths between two concepts as sentences, with where each comes from."""
    from medrag.graph.between import paths_between
    from medrag.retrieve.graph import GraphRetriever

    store = open_graph(index, access)
    reader = GraphRetriever(store)
    starts, ends = (nodes_of(reader, one, index) for one in (start, end))
    found = paths_between(store, starts, ends, hops, k)
    nothing = f"no path of {f'up to {hops} statements' if hops > 1 else 'one statement'} joins them"
    if same := next((node for node in starts if node in ends), ""):
        nothing = f"both mean {same} {store.concept(same).name}: one concept, which nothing joins with itself"
    give([(one.score, reader.as_item(one)) for one in found], as_json, nothing)


@app.command("neighbours")
def neighbours(
    concept: Annotated[str, typer.Argument(help=f"{Thing}.")],
    index: Index = "sample",
    relation: Annotated[
        list[str] | None, typer.Option("--relation", help="Only these relations; may be repeated.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many statements.")] = 20,
    access: Access = None,
    as_json: Json = False,
) -> None:
    """Show the statements about a concept, the most telling first."""
    from medrag.graph.store import Path
    from medrag.retrieve.graph import GraphRetriever

    store = open_graph(index, access)
    reader = GraphRetriever(store)
    node = store.node(nodes_of(reader, concept, index)[0])
    steps = store.steps(node, relation or None)[:k]
    paths = [Path((node, step.there), (store.edge(step),), -step.cost) for step in steps]
    nothing = f"the graph states nothing about {concept!r}"
    if relation and (others := sorted({store.edge(step).relation for step in store.steps(node)})):
        nothing = f"the graph states no {' or '.join(relation)} of {concept!r}, but {', '.join(others)}"
    give([(one.score, reader.as_item(one)) for one in paths], as_json, nothing)


@app.command("codes")
def codes(
    concept: Annotated[str, typer.Argument(help=f"{Thing}.")],
    index: Index = "sample",
    access: Access = None,
    as_json: Json = False,
) -> None:
    """Show the codes of a concept by vocabulary: UMLS, SNOMED CT, ICD-10, MeSH and what else its ontologies name; of each concept where a name means several."""
    from medrag._util.terms import VOCABULARIES
    from medrag.retrieve.graph import GraphRetriever

    store = open_graph(index, access)
    nodes = nodes_of(GraphRetriever(store), concept, index)
    known = [(node, store.concept(node).name, store.crosswalk(node)) for node in nodes]
    if as_json:
        emit([{"id": node, "name": name, "codes": has} for node, name, has in known])
        return
    for node, name, has in known:
        say(f"{node} {name}")
        table(
            ("vocabulary", "codes"), [(VOCABULARIES.get(one, (one,))[0], " ".join(some)) for one, some in has.items()]
        )


def open_graph(index: str, access: Sequence[str] | None = None) -> GraphStore:
    """The graph of a built index, as one sees it who holds these labels. Raises IndexMissing where there is none."""
    from medrag.access import seen
    from medrag.graph import GraphStore
    from medrag.indexes.store import open_store

    recipe = recipe_of(index)
    store, _ = seen(open_store(folder_of(index), name=index), recipe, access or recipe.pipeline.access)
    if not store.graph_path.exists():
        raise IndexMissing(
            f"the index {index!r} has no graph", "add an ontology to the corpora of its recipe and build it again"
        )
    return GraphStore.open(store.graph_path)


def nodes_of(reader: GraphRetriever, text: str, index: str) -> Sequence[str]:
    """The nodes that a code, a CUI or a name means, the likeliest first. Raises SettingsError for what the graph does not know."""
    found = reader.nodes_named(text)
    if not found:
        raise SettingsError(
            f"the graph of {index!r} knows no {text!r}",
            f"medrag graph link {shlex.quote(text)} --index {shlex.quote(index)} shows what it knows of it",
        )
    return found


def give(found: Sequence[tuple[float, Triple]], as_json: bool, nothing: str) -> None:
    """Statements with their scores and provenance: sources, documents and, for what texts say, the sentences."""
    if as_json:
        emit([{"score": round(score, 4), "sentence": item.text, **facts_of_item(item)} for score, item in found])
        return
    for score, item in found:
        facts = facts_of_item(item)
        say(f"{score:.3f}  {item.text}")
        say(
            f"       from {', '.join(facts['sources'])}: {', '.join(facts['docs'][:4])}{' …' if len(facts['docs']) > 4 else ''}"
        )
        for quote in facts["quotes"]:
            say(f"       “{quote['quote']}” ({quote['doc']})")
    if not found:
        note(nothing)


def facts_of_item(item: Triple) -> dict[str, Any]:
    """What a statement of the graph rests on."""
    names = ("path", "steps", "sources", "docs", "stated", "quotes")
    said = {"polarity": item.polarity, "frequency": item.meta.get("frequency", "")}
    return {name: item.meta.get(name, []) for name in names} | said
