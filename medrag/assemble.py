"""A recipe and its built index → the parts of a pipeline. The only place where names become objects.

Encoders and the generator load their weights at the first use, so that opening an index is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util.places import built
from medrag.errors import IndexMismatch, IndexMissing, SettingsError
from medrag.retrieve.search import Memo
from medrag.settings import Recipe, load_recipe, override

if TYPE_CHECKING:
    from medrag.indexes.store import Store
    from medrag.protocols import Retriever
    from medrag.route import DomainRouter


def assemble(source: str | Path | Recipe, model: Any, build: bool, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `medrag.MedRAG`."""
    from medrag.select import AdaptiveSelector
    from medrag.vlms import open_generator

    recipe = source if isinstance(source, Recipe) else load_recipe(source)
    settings = override(recipe.pipeline, dict(overrides))
    store = _store(recipe, build)
    if recipe.fingerprint(corpora=False) != store.recipe.fingerprint(corpora=False):
        raise IndexMismatch(
            f"the recipe {recipe.name!r} has changed since its index was built", f"medrag index build {source}"
        )
    encoders = _encoders(recipe, store)
    found = {
        name: one
        for name, one in _retrievers(recipe, store, encoders).items()
        if name in (settings.retrievers or (name,))
    }
    if strange := set(settings.retrievers) - set(found):
        raise SettingsError(f"there is no retriever {sorted(strange)[0]!r} here", f"known: {', '.join(found)}")
    options = (
        settings.model_options if model is None else overrides.get("model_options", {})
    )  # a recipe's are its model's
    return {
        "retrievers": found,
        "router": _router(recipe, list(found), settings.margin, settings.weights, encoders),
        "selector": AdaptiveSelector(settings.select),
        "generator": open_generator(model or settings.model, **options),
        "settings": settings,
        "store": store,
        "recipe": recipe,
    }


def _store(recipe: Recipe, build: bool) -> Store:
    from medrag.indexes.store import open_store

    try:
        return open_store(built(recipe.name))
    except IndexMissing:
        if not build:
            raise
    from medrag.build import build as build_index

    build_index(recipe)
    return open_store(built(recipe.name))


def _encoders(recipe: Recipe, store: Store) -> dict[str, Memo]:
    """The recipe's encoders that an index uses, each checked against the index built with it."""
    from medrag.encoders import open_encoder

    encoders = {name: Memo(open_encoder(settings)) for name, settings in recipe.encoders.items()}
    for name, index in recipe.indexes.items():
        if index.encoder:
            store.check_encoder(name, encoders[index.encoder].encoder)
    return encoders


def _retrievers(recipe: Recipe, store: Store, encoders: Mapping[str, Memo]) -> dict[str, Retriever]:
    """One retriever for each source that the recipe indexes."""
    from medrag.retrieve.dense import Dense
    from medrag.retrieve.graph import GraphRetriever
    from medrag.retrieve.lexical import Lexical
    from medrag.retrieve.similar import Similar

    found: dict[str, Retriever] = {}
    for name, index in recipe.indexes.items():
        if index.kind == "bm25":
            one: Retriever = Lexical(store, name, index.retriever or "lexical")
        elif encoders[index.encoder].encoder.modality == "image":
            one = Similar(store, name, encoders[index.encoder], index.retriever or "similar")
        else:
            one = Dense(store, name, encoders[index.encoder], index.retriever or "dense")
        if one.name in found:
            raise SettingsError(
                f"two indexes are searched as {one.name!r}", f"give indexes.{name} a retriever name of its own"
            )
        found[one.name] = one
    if store.graph_path.exists():
        from medrag.graph import GraphStore

        found["graph"] = GraphRetriever(GraphStore.open(store.graph_path))
    return found


def _router(
    recipe: Recipe, retrievers: list[str], margin: float, weights: Mapping[str, float], encoders: Mapping[str, Memo]
) -> DomainRouter:
    from medrag.models import resolve
    from medrag.route import DomainRouter, ImageHead

    head = ImageHead.open(resolve(recipe.router)) if recipe.router else None
    eyes = next((memo for memo in encoders.values() if memo.encoder.modality == "image"), None)
    return DomainRouter(retrievers, margin, head, eyes, weights)
