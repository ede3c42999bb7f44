"""What it costs to add 1 % of new documents to an index and to take one out, beside building it anew; and whether that gives the same index.

    python eval/benchmarks/grow.py [--count 100000] [--model minilm]

Texts as in bm25.py, in an index by words and one by meaning (``factory: auto``). Without ``--model`` a cheap encoder stands in, so that the costs beside the encoding are
seen: with a real one a rebuild from nothing takes longer, and the shares fall. Seconds are of `medrag.build`, from the call to the finished index, by the clock and of the processor.
"The same" is the content hash of a fresh build of the same documents, and the ten best of 200 questions: by words with their scores, by meaning as recall
against exhaustive search (an inverted file keeps the centroids that it was trained with). Writes ``eval/results/grow.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bm25 import passages
from spread_build import Cheap

from medrag._util.files import write_json
from medrag._util.places import share
from medrag.build import append, build, delete
from medrag.indexes.flat import FlatIndex
from medrag.indexes.store import Store, open_store
from medrag.settings import CorpusSettings, Recipe
from medrag.types import Item, Passage, Query

HERE = "grow"


class Made:
    """Texts number ``first`` to ``first + count``, three passages a document."""

    def __init__(self, name: str, path: Path, first: int = 0, count: int = 0) -> None:
        self.name, self.first, self.count = name, first, count

    def signature(self) -> str:
        return f"{self.first}+{self.count}"

    def read(self, report: Any) -> Iterator[Item]:
        texts = passages(self.count, np.random.default_rng(self.first))
        for n, text in enumerate(texts, self.first):
            yield Passage(f"{self.name}:d{n // 3}#{n}", f"{self.name}:d{n // 3}", text)


class Asked(Cheap):
    """`Cheap` without the notes of who encodes."""

    def encode_items(self, items: Any) -> np.ndarray:
        return self._vectors([item.text for item in items])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--model", default="")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sys.modules[HERE] = sys.modules["__main__"]
    more = options.count // 100
    found: dict[str, Any] = {"count": options.count, "added": more, "encoder": options.model or "cheap"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDRAG_HOME"] = str(Path(folder) / "home")
        place, recipe = Path(folder) / "grown", recipe_of(options, corpus("old", 0, options.count))
        new = corpus("new", options.count, more)
        timed(found, "build", lambda: build(recipe, place))
        timed(found, "append", lambda: append(recipe, [new], place))
        timed(found, "nothing_new", lambda: append(recipe, [new], place))
        grown = open_store(place)
        os.environ["MEDRAG_HOME"] = str(Path(folder) / "other")  # no vector is known there
        timed(found, "rebuild", lambda: build(recipe_of(options, corpus("old", 0, options.count), new), Path(folder) / "fresh"))  # fmt: skip
        fresh = open_store(Path(folder) / "fresh")
        found["append_share_of_cpu"] = round(found["append"]["cpu_s"] / found["rebuild"]["cpu_s"], 4)
        found["same content hash"] = grown.manifest.content_hash == fresh.manifest.content_hash
        found["searched"] = compared(grown, fresh, options)
        os.environ["MEDRAG_HOME"] = str(Path(folder) / "home")
        timed(found, "delete", lambda: delete(place, ["old:d7"]))
        found["delete_share_of_cpu"] = round(found["delete"]["cpu_s"] / found["rebuild"]["cpu_s"], 4)
        left = open_store(place)
        found["deleted is gone"] = not left.items.by_doc(["old:d7"]) and len(left.index("text")) == options.count + more - 3  # fmt: skip
    out = options.out or share() / "eval" / "results" / f"grow{'_' + options.model if options.model else ''}.json"
    write_json(out, found)
    print(json.dumps(found, indent=1))


def corpus(name: str, first: int, count: int) -> CorpusSettings:
    return CorpusSettings(name=name, reader=f"{HERE}:Made", path=".", options={"first": first, "count": count})


def recipe_of(options: Any, *corpora: CorpusSettings) -> Recipe:
    how = {"model": options.model} if options.model else {"model": "cheap", "kind": f"{HERE}:Asked"}
    raw = {
        "name": "grow",
        "corpora": [one.model_dump(mode="json") for one in corpora],
        "encoders": {"text": how},
        "indexes": {
            "text": {"kind": "faiss", "encoder": "text", "options": {"nprobe": 256}},
            "words": {"kind": "bm25"},
        },
    }
    return Recipe.model_validate(raw)


def timed(found: dict[str, Any], name: str, call: Callable[[], Any]) -> None:
    """Seconds by the clock and of the processor; the latter do not grow with what else the machine does."""
    start, cpu = time.perf_counter(), time.process_time()
    report = call()
    took = {"s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    found[name] = {**{unit: round(number, 2) for unit, number in took.items()}, "stages": dict(report.seconds)}
    print(name, found[name], file=sys.stderr, flush=True)


def compared(grown: Store, fresh: Store, options: Any) -> dict[str, float]:
    """By words: the share of questions with equal ids and scores. By meaning: recall@10 of each against exhaustive search."""
    texts = passages(200, np.random.default_rng(options.count + 1))
    same = []
    for text in texts:
        question = " ".join(text.split()[:12])
        one, other = (store.index("words").search(question, 10) for store in (grown, fresh))
        same.append(one[1] == other[1] and bool(np.array_equal(one[0], other[0])))
    found = {"words: equal ids and scores": float(np.mean(same))}
    if options.model:
        return found
    asked, flat = Asked("", batch=1, device="").encode_queries([Query(text) for text in texts]), FlatIndex()
    for ids, vectors in fresh.index("text").rows():
        flat.add(ids, vectors)
    truth = flat.search(asked, 10)[1]
    for name, store in (("grown", grown), ("fresh", fresh)):
        rows = store.index("text").search(asked, 10)[1]
        recall = np.mean([len(set(row) & set(want)) / 10 for row, want in zip(rows, truth, strict=True)])
        found[f"meaning: recall@10, {name}"] = round(float(recall), 4)
    return found


if __name__ == "__main__":
    main()
