"""A recipe and its built index → the parts of a pipeline. The only place where names become objects.

Encoders and the generator load their weights at the first use, so that opening an index is quick.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from medrag._origin import refuse_to_answer
from medrag._util.near import meant
from medrag._util.places import built, every_built
from medrag.access import seen
from medrag.errors import IndexMismatch, IndexMissing, SettingsError
from medrag.indexes.manifest import noted
from medrag.models import resolve
from medrag.retrieve.search import Memo
from medrag.settings import (
    EncoderSettings,
    IndexSettings,
    PipelineSettings,
    Recipe,
    SelectSettings,
    completed,
    load_recipe,
    override,
    recipe_file,
)

if TYPE_CHECKING:
    from medrag.build import BuildReport
    from medrag.graph import GraphStore
    from medrag.graph.near import NearNames
    from medrag.indexes.store import Store
    from medrag.protocols import Retriever
    from medrag.retrieve.expand import Expander
    from medrag.route import DomainRouter


log = logging.getLogger("medrag")
TOLD = 5  # records left out that a warning names
NONE: Mapping[str, Memo] = MappingProxyType({})


def assemble(
    source: str | Path | Recipe,
    model: Any,
    build: bool,
    overrides: Mapping[str, Any],
    opened: Mapping[str, Memo] = NONE,
) -> dict[str, Any]:
    """The keyword arguments of `medrag.MedRAG`; encoders that are ``opened`` already are taken as they are.

    All parts are of one state of the index, also while others write to it.
    """
    from medrag.indexes.store import steadily

    recipe = completed(source) if isinstance(source, Recipe) else recipe_named(source)
    return steadily(built(recipe.name), lambda: _assembled(source, recipe, model, build, overrides, opened))


def recipe_named(source: str | Path) -> Recipe:
    """A recipe by name or file; also by name from the index that was built from it, asked as its file says where that is still there.

    Raises SettingsError when there is neither.
    """
    from medrag.indexes.store import open_store

    try:
        return load_recipe(source)
    except SettingsError:
        name = str(source)
        if Path(name).suffix in (".yaml", ".yml") or name not in every_built():
            raise
    held, file = open_store(built(name), name=name).recipe, noted(built(name))
    return held.model_copy(update={"pipeline": load_recipe(file).pipeline}) if file else held


def _assembled(
    source: str | Path | Recipe,
    recipe: Recipe,
    model: Any,
    build: bool,
    overrides: Mapping[str, Any],
    opened: Mapping[str, Memo],
) -> dict[str, Any]:
    from medrag.select import AdaptiveSelector
    from medrag.vlms import open_generator

    settings = override(recipe.pipeline, dict(overrides))
    if settings.entailment:
        resolve(settings.entailment)  # that its weights are not here is told now
    named = recipe.name if isinstance(source, Recipe) else str(source)
    file = _file(source)
    store = _store(recipe, build, named, file)
    if recipe.fingerprint(corpora=False) != store.recipe.fingerprint(corpora=False):
        raise IndexMismatch(
            f"the recipe {recipe.name!r} has changed since its index was built",
            f"medrag index build {shlex.quote(named)}",
        )
    if file:
        refuse_to_answer(recipe, store.recipe, store.folder, file)
    whole, (store, recipe) = recipe, seen(store, recipe, settings.access)
    store.hold()
    encoders = _encoders(recipe, store, opened)
    every = _retrievers(recipe, store, encoders, settings)
    if (strange := _named(settings) - every.keys()) and recipe is whole:  # one that is withheld may be named
        raise SettingsError(f"there is no retriever {sorted(strange)[0]!r} here", meant(sorted(strange)[0], every))
    found = {name: one for name, one in every.items() if name in (settings.retrievers or every)}
    options = (
        settings.model_options if model is None else overrides.get("model_options", {})
    )  # a recipe's are its model's
    return {
        "retrievers": found,
        "router": _router(recipe, list(found), settings, encoders),
        "selector": AdaptiveSelector(settings.select),
        "generator": open_generator(model or settings.model, **options),
        "settings": settings,
        "store": store,
        "recipe": whole,
        "encoders": encoders,
    }


def _named(settings: PipelineSettings) -> set[str]:
    """The retrievers that the settings name; those of the defaults need not be there."""
    chosen, usual = settings.select, SelectSettings()  # type: ignore[call-arg]
    cuts = {*chosen.gaps, *chosen.floors, *chosen.shares} - {*usual.gaps, *usual.floors, *usual.shares}
    return {*settings.retrievers, *settings.weights, *cuts, *(("similar",) if settings.graph_alike else ())}


def _file(source: str | Path | Recipe) -> Path | None:
    """The file of a recipe that has one."""
    try:
        return None if isinstance(source, Recipe) else recipe_file(source)
    except SettingsError:
        return None


def _store(recipe: Recipe, build: bool, named: str, file: Path | None) -> Store:
    from medrag.indexes.store import open_store

    try:
        return open_store(built(recipe.name), name=named)
    except IndexMissing:
        if not build:
            raise
    from medrag.build import build as build_index

    _warn(build_index(recipe, file=file))
    return open_store(built(recipe.name))


def _warn(built: BuildReport) -> None:
    """What a build tells that nobody else shows: its warnings, and what it could not read."""
    lines = [f"{skip.corpus}: {skip.source}: {skip.problem}" for skip in built.skipped]
    more = [f"and {len(lines) - TOLD:,} more: see the manifest of the index"] if len(lines) > TOLD else []
    for line in (*built.warnings, *(f"left out: {line}" for line in lines[:TOLD]), *more):
        log.warning("building the index %r: %s", built.name, line)


def _encoders(recipe: Recipe, store: Store, opened: Mapping[str, Memo]) -> dict[str, Memo]:
    """The recipe's encoders that an index uses, each checked against the index built with it."""
    from medrag.encoders import open_encoder

    encoders = {name: opened.get(name) or Memo(open_encoder(settings)) for name, settings in recipe.encoders.items()}
    for name, index in recipe.indexes.items():
        if index.encoder:
            store.check_encoder(name, encoders[index.encoder].encoder)
    return encoders


def _retrievers(
    recipe: Recipe, store: Store, encoders: Mapping[str, Memo], settings: PipelineSettings
) -> dict[str, Retriever]:
    """One retriever for each source that the recipe indexes."""
    from medrag.graph import GraphStore
    from medrag.retrieve.alike import Reported
    from medrag.retrieve.dense import Dense
    from medrag.retrieve.graph import GraphRetriever
    from medrag.retrieve.lexical import Lexical
    from medrag.retrieve.pages import PagesRetriever
    from medrag.retrieve.similar import Similar

    found: dict[str, Retriever] = {}
    graph = GraphStore.open(store.graph_path) if store.graph_path.exists() else None
    expander = _expander(settings.expand, graph, recipe.name)
    for name, index in recipe.indexes.items():
        if index.kind == "bm25":
            one: Retriever = Lexical(store, name, index.retriever or "lexical", expander)
        elif index.kind == "multivector":
            one = PagesRetriever(
                store, name, encoders[index.encoder].encoder, index.retriever or "pages", settings.page_fusion
            )
        elif encoders[index.encoder].encoder.modality == "image" or _looks(index, encoders):
            one = Similar(store, name, _eyes(encoders, encoders[index.encoder]), index.retriever or "similar")
        else:
            one = Dense(store, name, encoders[index.encoder], index.retriever or "dense", expander)
        if one.name.startswith("similar") != isinstance(one, Similar):  # routes and selection go by the name
            raise SettingsError(
                f"indexes.{name}: {one.name!r} is no name for this retriever",
                "those that search with the image, and no others, have names that begin with 'similar'",
            )
        if one.name in found:
            raise SettingsError(
                f"two indexes are searched as {one.name!r}", f"give indexes.{name} a retriever name of its own"
            )
        found[one.name] = one
    if graph is not None:
        near = near_names(recipe, graph, settings.link_near, encoders)
        similar = found.get("similar") if settings.graph_alike else None
        reported = Reported(similar, settings.select.same_image) if similar else None
        found["graph"] = GraphRetriever(graph, see=_see(settings.graph_sees), near=near, reported=reported)
    return found


def near_names(recipe: Recipe, graph: GraphStore, name: str, opened: Mapping[str, Memo] = NONE) -> NearNames | None:
    """The names of a graph under a text encoder, one of the recipe or a model by its name; none for no name.

    Raises SettingsError for what reads no text, and where nothing says how a model is loaded; ModelMissing for weights that are not here.
    """
    from medrag.encoders import open_encoder
    from medrag.graph.near import NearNames

    if not name:
        return None
    memo = opened.get(name)
    encoder = memo.encoder if memo else open_encoder(recipe.encoders.get(name) or EncoderSettings(model=name))  # type: ignore[call-arg]
    if encoder.modality != "text":
        raise SettingsError(
            f"link_near={name!r} reads images, no names", "name a text encoder, such as minilm or sapbert"
        )
    return NearNames(graph, encoder)


def _see(name: str) -> Any:
    """What looks at chest films for the graph: the findings reader of an encoder, or nothing."""
    if not name:
        return None
    from medrag.encoders.findings import FindingsReader

    return FindingsReader(name).read


def _expander(expand: str, graph: GraphStore | None, recipe: str) -> Expander | None:
    from medrag.retrieve.expand import Expander

    if expand == "none":
        return None
    if graph is None:
        raise SettingsError(
            f"expand={expand!r} needs a graph, and {recipe!r} has none", "add an ontology to its corpora"
        )
    return Expander(graph, narrower=3 if expand == "narrower" else 0)


def _eyes(encoders: Mapping[str, Memo], memo: Memo) -> Memo:
    """The image side of the same model where the recipe has it, so that a question's image is encoded once."""
    same = [
        m
        for m in encoders.values()
        if m.encoder.fingerprint == memo.encoder.fingerprint and m.encoder.modality == "image"
    ]
    return same[0] if same else memo


def _looks(index: IndexSettings, encoders: Mapping[str, Memo]) -> bool:
    """Whether words are searched with the question's image: both lie in one space, and the index is named for it."""
    joint = getattr(encoders[index.encoder].encoder, "cross_modal", False)
    return bool(joint) and (index.retriever or "").startswith("similar")


def _router(
    recipe: Recipe, retrievers: list[str], settings: PipelineSettings, encoders: Mapping[str, Memo]
) -> DomainRouter:
    from medrag.route import DomainRouter, ImageHead

    head = ImageHead.open(resolve(recipe.router)) if recipe.router else None
    eyes = [memo for memo in encoders.values() if memo.encoder.modality == "image"]
    if head and head.encoder:
        eyes = [memo for memo in eyes if memo.encoder.name == head.encoder]
        if not eyes:
            raise SettingsError(
                f"router {recipe.router!r} reads the images of the encoder {head.encoder!r}, which the recipe lacks",
                f"add {head.encoder!r} to the encoders, or leave the router out",
            )
    s = settings
    return DomainRouter(retrievers, s.margin, head, eyes[0] if eyes else None, s.weights, s.domain)
