"""Arms of ranking tasks: medrag's own indexes over a benchmark's documents, and the retrievers of a built index.

``lexical`` is BM25, ``dense`` an exact search with the text encoder (one vector for a document's first 256 tokens), ``fused`` reciprocal rank
fusion of both (Cormack 2009, c = 60), ``random`` the trivial baseline. With ``+synonyms`` or ``+narrower`` behind its name an arm asks with the
question's concepts under their other names too (`medrag.retrieve.expand`), from the graph of the recipe ``ontologies``. Vectors are kept in medrag's home, so that a
second run starts at once.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.files import atomic_open, sha256_text
from medrag._util.places import built, home
from medrag._util.progress import track
from medrag.encoders import open_encoder
from medrag.errors import IndexMissing, SettingsError
from medrag.eval.arms import Arm, limited_to, one_by_one, study_ids
from medrag.eval.collections import COLLECTIONS, Collection
from medrag.eval.tasks import Example, Output, Task
from medrag.graph import GraphStore
from medrag.indexes.bm25 import Bm25Index
from medrag.indexes.flat import FlatIndex
from medrag.retrieve import fuse
from medrag.retrieve.expand import Expander
from medrag.settings import EncoderSettings
from medrag.types import Hit, Passage, Query, page_id

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG

DEPTH = 100
ENCODER = "minilm"
GRAPH = "ontologies"  # the recipe whose graph expands questions
EXPANSIONS = ("", "synonyms", "narrower")
Ranking = dict[str, float]


def make_ranker(name: str, task: Task, data: Path, split: str, seed: int, encoder: str = "") -> Arm:
    """An arm over the task's own documents. Raises SettingsError for a name that nothing has."""
    plain, _, expand = name.partition("+")
    if plain not in RANKERS or expand not in EXPANSIONS:
        raise SettingsError(
            f"there is no arm {name!r} for rankings", f"known: {', '.join(RANKERS)}, each with +synonyms or +narrower"
        )
    collection = COLLECTIONS[task.source](data, split)
    parts = Parts(collection, encoder or ENCODER, seed, expand)
    settings = {
        "documents": len(collection.texts),
        "depth": DEPTH,
        "encoder": parts.name if plain in ("dense", "fused") else "",
        "graph": parts.expander.store.counts() if parts.expander else {},
        "seed": seed,
    }
    return Arm(name, settings, one_by_one(lambda example: Output(RANKERS[plain](parts, example))))


def make_finder(name: str, rag: MedRAG, seed: int, judged: Sequence[str] = ()) -> Arm:
    """An arm over a built index: one of its retrievers by name, ``fused`` (all that the route asks), or ``random`` studies.

    Of queries of one's own, ``judged`` are the documents and pages that are relevant to any of them: a query to which a page is relevant ranks pages, and ``random``
    draws from all that the index holds.
    """
    if name == "random":
        named = list(rag.store.items.iterate()) if judged and rag.store else []
        ids = sorted({one for item in named for one in (item.doc, page_id(item.id)) if one}) or study_ids(rag)
        return Arm(name, {"seed": seed}, one_by_one(lambda example: Output(_drawn(ids, seed, example))))
    if name != "fused" and name not in rag.retrievers:
        raise SettingsError(
            f"the index has no retriever {name!r}", f"known: fused, random, {', '.join(rag.retrievers)}"
        )
    finder = rag if name == "fused" else limited_to(rag, {name: rag.retrievers[name]}, {name: 1.0})

    def call(example: Example) -> Output:
        found: Ranking = {}
        paged = any(map(page_id, example.reference))
        for hit in finder.retrieve(example.question, list(example.images) or None, k=DEPTH, exclude=example.exclude):
            page = page_id(hit.item.id) if paged else ""
            for one in {page or hit.item.doc, hit.item.doc if hit.item.doc in example.reference else ""} - {""}:
                found.setdefault(one, float(hit.score))
        return Output(found)

    return Arm(name, {"fingerprint": rag.fingerprint, "seed": seed}, one_by_one(call))


class Parts:
    """The indexes of a collection, each made when it is first asked."""

    def __init__(self, collection: Collection, encoder: str, seed: int, expand: str = "") -> None:
        self.collection, self.name, self.seed, self.expand = collection, encoder, seed, expand

    @functools.cached_property
    def expander(self) -> Expander | None:
        if not self.expand:
            return None
        path = built(GRAPH) / "graph.db"
        if not path.exists():
            raise IndexMissing("expansion needs the ontologies' graph", f"medrag index build {GRAPH}")
        return Expander(GraphStore.open(path), narrower=3 if self.expand == "narrower" else 0)

    @functools.cached_property
    def words(self) -> Bm25Index:
        index = Bm25Index()
        index.add(list(self.collection.texts), list(self.collection.texts.values()))
        return index

    @functools.cached_property
    def encoder(self) -> Any:
        return open_encoder(EncoderSettings(model=self.name))  # type: ignore[call-arg]

    @functools.cached_property
    def vectors(self) -> FlatIndex:
        texts = self.collection.texts
        path = home() / "eval" / f"{sha256_text(self.encoder.fingerprint, *texts, *texts.values())[:24]}.npy"
        index = FlatIndex()
        index.add(list(texts), np.load(path) if path.exists() else self._encoded(path))
        return index

    def _encoded(self, path: Path) -> Any:
        items = [Passage(doc, doc, text) for doc, text in self.collection.texts.items()]
        parts = [
            self.encoder.encode_items(items[n : n + 256]) for n in track(range(0, len(items), 256), "encode documents")
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_open(path) as stream:
            np.save(stream, np.concatenate(parts))
        return np.concatenate(parts)


def _lexical(parts: Parts, example: Example) -> Ranking:
    text = parts.expander.for_words(example.question) if parts.expander else example.question
    scores, ids = parts.words.search(text, DEPTH)
    return dict(zip(ids, map(float, scores), strict=False))


def _dense(parts: Parts, example: Example) -> Ranking:
    text = parts.expander.for_meaning(example.question) if parts.expander else example.question
    scores, ids = parts.vectors.search(parts.encoder.encode_queries([Query(text)]), DEPTH)
    return dict(zip(ids[0], map(float, scores[0]), strict=False))


def _fused(parts: Parts, example: Example) -> Ranking:
    both = {"lexical": _hits(_lexical(parts, example)), "dense": _hits(_dense(parts, example))}
    return {hit.item.id: hit.score for hit in fuse.rrf(both, dict.fromkeys(both, 1.0))[:DEPTH]}


def _hits(ranking: Ranking) -> list[Hit]:
    ordered = sorted(ranking, key=lambda document: -ranking[document])
    return [Hit(Passage(doc, doc, ""), ranking[doc], rank, "") for rank, doc in enumerate(ordered, 1)]


def _random(parts: Parts, example: Example) -> Ranking:
    return _drawn(list(parts.collection.texts), parts.seed, example)


def _drawn(documents: Sequence[str], seed: int, example: Example) -> Ranking:
    chosen = random.Random(f"{seed}/{example.id}").sample(documents, min(DEPTH, len(documents)))
    return {document: 1 / rank for rank, document in enumerate(chosen, 1)}


RANKERS: dict[str, Callable[[Parts, Example], Ranking]] = {
    "lexical": _lexical,
    "dense": _dense,
    "fused": _fused,
    "random": _random,
}
