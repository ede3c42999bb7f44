"""What a user may see of an index: the corpora whose labels he holds, all of them, as an index of its own.

Every part is opened without the rest, so that nothing in front of it (retrievers, agent, server) can forget to filter: the items through a
view, the indexes with the withheld ids deleted in memory, which counts BM25's statistics anew, and the graph made again from the
statements that are left. Approximate indexes are searched to the end; what they learned from all vectors (the codes of PQ and SQ8, the neighbours
of HNSW) stays. Time is not hidden, nor is the recipe.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from medrag._saying import add_said
from medrag._stages import STATEMENTS, Log
from medrag._util.files import sha256_file, sha256_text
from medrag._util.places import in_part
from medrag.errors import IndexMismatch
from medrag.indexes.manifest import build_command
from medrag.indexes.store import ItemStore, Manifest, Store
from medrag.settings import CorpusSettings, IndexSettings, Recipe
from medrag.types import Concept, Triple, item_from_json

STATED = {"concept", "triple", "statement"}  # kinds that the graph is made of


def seen(store: Store, recipe: Recipe, held: Collection[str]) -> tuple[Store, Recipe]:
    """The index and its recipe as one who holds these labels sees them; both as they are where nothing is withheld.

    A corpus that the recipe does not name, such as one that was added later, keeps the labels that it was built with.
    """
    labels = {one.name: one.access for one in (*store.recipe.corpora, *recipe.corpora)}
    corpora = frozenset(name for name, wanted in labels.items() if set(wanted) <= set(held))
    if corpora >= labels.keys():
        return store, recipe
    return Seen(store, corpora), visible(recipe, corpora)


def visible(recipe: Recipe, corpora: Collection[str]) -> Recipe:
    """The recipe without the other corpora, and without indexes that hold nothing else."""
    kept: tuple[CorpusSettings, ...] = tuple(one for one in recipe.corpora if one.name in corpora)
    indexes: dict[str, IndexSettings] = {}
    for name, index in recipe.indexes.items():
        own = tuple(one for one in index.corpora if one in corpora)
        if own or not index.corpora:
            indexes[name] = index.model_copy(update={"corpora": own})
    return recipe.model_copy(update={"corpora": kept, "indexes": indexes, "expected": {}})


class Seen(Store):
    """A `Store` of some of its corpora."""

    def __init__(self, whole: Store, corpora: frozenset[str]) -> None:
        self.folder, self.corpora, self._whole = whole.folder, corpora, whole
        self.recipe = visible(whole.recipe, corpora)
        self._indexes: dict[str, Any] = {}
        self.graph = self._graph()
        self.manifest = self._manifest()

    @functools.cached_property
    def items(self) -> ItemStore:
        return ItemStore.open(self.folder / "items.db", self.corpora)

    @property
    def graph_path(self) -> Path:
        return self.graph

    def _opened(self, name: str, kind: str) -> Any:
        index = super()._opened(name, kind)
        index.delete(self._withheld)
        if exhaust := getattr(index, "exhaust", None):
            exhaust()
        return index

    @functools.cached_property
    def _withheld(self) -> list[str]:
        every = self._whole.items
        names = sorted(every.counts().keys() - self.corpora)
        return every.ids(names) if names else []

    def _graph(self) -> Path:
        """The graph's file: the whole one where no withheld corpus has a part in it, else one of these corpora, made once."""
        counts = self._whole.manifest.counts
        if not any(STATED & kinds.keys() for name, kinds in counts.items() if name not in self.corpora):
            return self._whole.graph_path
        key = sha256_text(self._whole.manifest.content_hash, *sorted(self.corpora))[:24]
        path = in_part(self.folder) / f"{key}.db"
        if not path.exists() and any(STATED & counts[name].keys() for name in self.corpora & counts.keys()):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                if self._make_graph(made := Path(scratch) / "graph.db"):
                    made.replace(path)
        return path

    def _make_graph(self, path: Path) -> bool:
        """Whether there is anything that a graph can be made of."""
        from medrag.graph import GraphStore

        if not (self.folder / STATEMENTS).is_file():
            name = self.recipe.name
            raise IndexMismatch(
                f"the index {name!r} was built before its corpora had labels", build_command(self.folder, name)
            )
        with GraphStore.create(path) as builder:
            if not builder.add(self._statements()):
                return False
            builder.finish()
        if self.recipe.graph.said:
            texts = {
                name: ("", functools.partial(self.items.iterate, (), (name,)))
                for name, kinds in self.items.counts().items()
                if {"study", "passage"} & kinds.keys()
            }
            add_said(self.recipe, path, texts, path.parent / "said", Log(), self._whole.manifest.deleted)
            shutil.rmtree(path.parent / "said", ignore_errors=True)
        return True

    def _statements(self) -> Iterator[Concept | Triple]:
        with gzip.open(self.folder / STATEMENTS, "rt", encoding="utf-8") as lines:
            for line in lines:
                corpus, _, one = line.partition("\t")
                if corpus in self.corpora and isinstance(item := item_from_json(one), Concept | Triple):
                    yield item

    def _manifest(self) -> Manifest:
        """What the manifest says of these corpora; its hash changes with them alone."""
        whole = self._whole.manifest
        counts = {
            name: {kind: number for kind, number in kinds.items() if kind != "statement"}  # those follow the graph
            for name, kinds in whole.counts.items()
            if name in self.corpora
        }
        own = self.graph != self._whole.graph_path and self.graph.exists()
        graph = sha256_file(self.graph) if own else whole.content.get("graph", "")
        return dataclasses.replace(
            whole,
            recipe=self.recipe.model_dump(mode="json", exclude={"pipeline"}),
            counts=counts,
            content={"items": (items := self.items.digest()), "graph": graph},
            content_hash=sha256_text(items, graph),
            skipped=tuple(skip for skip in whole.skipped if skip["corpus"] in self.corpora),
            warnings=(),
            deleted=(),
            files={},
        )
