"""A built index → the same index with its vectors kept by another kind: from FAISS to Milvus and back. Nothing is read or encoded.

Knows the folder of an index and the contract of a vector index (``rows``), not what made the vectors. A kind that keeps vectors in half precision
(FAISS with re-ranking) gives them on as it has them; one that keeps codes alone cannot be converted.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medrag import plugins
from medrag._filling import domains_for, put
from medrag._swap import swap
from medrag._util.files import linked, sha256_text
from medrag.errors import SettingsError
from medrag.indexes.content import Tally
from medrag.indexes.manifest import NAME, Manifest
from medrag.indexes.records import FILE as RECORDS
from medrag.indexes.store import Store, discard, writing
from medrag.settings import Recipe, parse
from medrag.types import domain_of

KINDS = ("faiss", "flat", "milvus")  # one vector an item, and interchangeable


def convert(store: Store, recipe: Recipe, folder: Path) -> Manifest:
    """Builds ``folder`` for a recipe that differs from the store's by its name and by the kinds of its vector indexes.

    Raises SettingsError where an index keeps no vectors, IndexLocked, MedragError where nothing can be written.
    """
    parts = [name for name, one in recipe.indexes.items() if one != store.recipe.indexes[name]]
    with writing(folder) as work:
        new = work / "next"
        discard(new, folder)
        left = shutil.ignore_patterns(NAME, RECORDS, *parts)  # without records the next build is a whole one
        shutil.copytree(store.folder, new, ignore=left, copy_function=linked)
        content = dict(store.manifest.content)
        for name in parts:
            content[f"index {name}"] = _moved(store, name, recipe, new)
        made = dataclasses.replace(
            store.manifest,
            name=recipe.name,
            recipe=recipe.model_dump(mode="json", exclude={"pipeline"}),
            key=sha256_text(store.manifest.key, "converted"),
            content=content,
            content_hash=sha256_text(json.dumps(content, sort_keys=True)),
        ).write(new)
        swap(new, folder, work)
    return made


def with_kind(recipe: Recipe, name: str, kind: str, options: Mapping[str, Any]) -> Recipe:
    """The recipe under another name, its vector indexes of another kind. Raises SettingsError where there is none to change."""
    if kind not in KINDS:
        raise SettingsError(f"an index cannot be converted to kind {kind!r}", f"known: {', '.join(KINDS)}")
    raw = recipe.model_dump(mode="json", exclude_defaults=True)
    known = [one for one, index in recipe.indexes.items() if index.kind in KINDS]
    if not known:
        raise SettingsError(f"{recipe.name!r} has no index of vectors", "build one with kind: faiss")
    for one in known:
        raw["indexes"][one] |= {"kind": kind, "options": dict(options)}
    changed: Recipe = parse(Recipe, {**raw, "name": name}, "the new recipe")
    return changed


def _moved(store: Store, name: str, recipe: Recipe, folder: Path) -> str:
    """Fills ``folder/name`` with the vectors of the store's index of that name; the hash of what it holds."""
    source, settings = store.index(name), recipe.indexes[name]
    if not getattr(source, "keeps_vectors", lambda: True)():
        raise SettingsError(
            f"the part {name!r} keeps codes, no vectors", "build the new recipe from its corpora: medrag index build"
        )
    target = plugins.load("indexes", settings.kind)(**settings.options)
    if hasattr(target, "reserve"):
        target.reserve(folder / name)
    ids: list[str] = []
    domains = domains_for(target)
    raw, tally = folder / f"{name}.raw", Tally()
    with raw.open("wb") as stream:
        for some, vectors in source.rows():
            stream.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
            ids += some
            if domains is not None:
                domains |= {item.id: domain_of(item) for item in store.items.get(some)}
            for item, vector in zip(some, vectors, strict=True):
                tally.add(item, vector.tobytes().hex())
    if ids:  # at once: an index that must be trained sees them all
        put(target, ids, np.memmap(raw, dtype="<f4", mode="r").reshape(len(ids), -1), domains)
    raw.unlink()
    target.save(folder / name)
    return sha256_text(settings.model_dump_json(), tally.digest)
