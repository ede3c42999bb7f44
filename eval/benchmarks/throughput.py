"""How many passages and pictures a second a build takes in, beside a plain loop with the same model; and whether its memory grows with the corpus.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/throughput.py [--passages 3000] [--pictures 600]

The passages are MedQuAD's, by `minilm`; the pictures IU X-Ray's films, by `medrag-small`. A build reads, stores, encodes, indexes (FAISS, Flat), writes and checks. A plain loop is what a research script does:
each item in turn is encoded by itself, as the library's own page shows (sentence-transformers, open_clip), and added to a FAISS index in memory, and nothing is written.
"batches" is the same loop with 32 items at a time, as they come. Opening the model is within all three. They take turns, twice, each in a process of its own; items a second are of the better turn.
"memory": builds of 50,000 and of 200,000 made-up passages (as in bm25.py) by words and by meaning, with an encoder that costs next to nothing: the most memory that a build held and could not give back to the
disk, and the bytes of the index. Writes ``eval/results/throughput.json``. About 25 minutes on 2 cores, on which nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from bm25 import passages
from faiss_scale import BLOCK, watched
from grow import Asked

from medrag import models
from medrag._util.files import write_json
from medrag._util.places import share
from medrag.build import build
from medrag.corpora import open_corpus
from medrag.corpora.chunk import chunk
from medrag.encoders.image_text import load_open_clip
from medrag.settings import ChunkSettings, CorpusSettings, Recipe
from medrag.types import Item, Passage

HERE = "throughput"
Encode = Callable[[Sequence[Item]], Any]
KINDS = {"passages": "minilm", "pictures": "medrag-small"}
SMALL, LARGE = 50_000, 200_000


class Given:
    """Passages from a file, a line each."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def signature(self) -> str:
        return str(self.path.stat().st_size)

    def read(self, report: Any) -> Iterator[Item]:
        with self.path.open(encoding="utf-8") as lines:
            for n, line in enumerate(lines):
                yield Passage(f"{self.name}:{n}", f"{self.name}:{n}", line.strip())


class Cheap(Asked):
    """That of grow.py, under a name that a recipe can give here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=3000)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--work", type=Path, help="for the files that are made (default: a temporary folder)")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "throughput.json")
    for name in ("part", "kind", "count"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        sys.modules[HERE] = sys.modules["__main__"]
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        options.work = Path(folder)
        prepare(options)
        found: dict[str, Any] = {"cpus": os.cpu_count()}
        found |= {kind: compared(kind, options) for kind in KINDS}
        found["memory"] = grown(options)
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def prepare(options: Any) -> None:
    """A file of passages and a folder of pictures of the pack, and two files of made-up passages."""
    data = Path(os.environ["MEDRAG_DATA"])
    corpus = open_corpus(CorpusSettings(name="medquad", reader="medquad", path=str(data / "open/medquad")))
    texts = (" ".join(passage.text.split()) for item in corpus.read(print) for passage in chunk(item, ChunkSettings()))
    write_lines(options.work / "passages", islice(texts, options.passages))
    (options.work / "pictures").mkdir()
    for path in islice(sorted((data / "noncommercial/iu_xray/images").iterdir()), options.pictures):
        shutil.copy(path, options.work / "pictures")
    for count in (SMALL, LARGE):
        blocks = (passages(BLOCK, np.random.default_rng(start)) for start in range(0, count, BLOCK))
        write_lines(options.work / str(count), (text for block in blocks for text in block))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def compared(kind: str, options: Any) -> dict[str, Any]:
    """Items a second of each side, the better of two turns."""
    sides = ("loop", "batches", "build")
    seconds = {side: [1e9] for side in sides}
    for _, side in product(range(2), sides):
        told = part(side, options, kind=kind)
        seconds[side].append(told["s"])
        print(kind, side, told, file=sys.stderr, flush=True)
    each = {side: round(told["items"] / min(seconds[side]), 2) for side in sides}
    return {"items": told["items"], "a second": each, "over a plain loop": round(each["build"] / each["loop"], 3)}


def part(name: str, options: Any, **given: str) -> dict[str, Any]:
    """One part in a process of its own, with a home of its own, so that no vector is known before."""
    command = [sys.executable, __file__, "--part", name, "--work", str(options.work)]
    command += [word for key, value in given.items() for word in (f"--{key}", value)]
    with tempfile.TemporaryDirectory(dir=options.work) as home:
        return watched(command, {**os.environ, "MEDRAG_HOME": home}, every=0.1)


def loop(options: Any, size: int = 1) -> dict[str, Any]:
    """Seconds to encode so many items at a time and add them to a FAISS index."""
    import faiss

    items, began = list(open_corpus(corpus_of(options)).read(print)), time.perf_counter()
    encode = PLAIN[options.kind](str(models.resolve(KINDS[options.kind])))
    index = None
    for start in range(0, len(items), size):
        rows = np.asarray(encode(items[start : start + size]), np.float32)
        index = index or faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
    return {"s": round(time.perf_counter() - began, 2), "items": index.ntotal}


def plain_passages(folder: str) -> Encode:
    """As sentence-transformers is called."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder)
    return lambda items: model.encode([item.text for item in items], show_progress_bar=False)


def plain_pictures(folder: str) -> Encode:
    """As open_clip is called."""
    import torch
    from PIL import Image

    model, transform, _ = load_open_clip(Path(folder), "cpu")

    def encode(items: Sequence[Item]) -> Any:
        with torch.inference_mode():
            pixels = torch.stack([transform(Image.open(item.source)) for item in items])
            return torch.nn.functional.normalize(model.encode_image(pixels)).numpy()

    return encode


def built(options: Any) -> dict[str, Any]:
    """Seconds of a whole build."""
    recipe, began = recipe_of(options, KINDS[options.kind]), time.perf_counter()
    report = build(recipe, options.work / f"built-{time.time_ns()}")
    return {"s": round(time.perf_counter() - began, 2), "items": sum(report.counts.values())}


def corpus_of(options: Any) -> CorpusSettings:
    reader = "images" if options.kind == "pictures" else f"{HERE}:Given"
    return CorpusSettings(name="c", reader=reader, path=str(options.work / (options.count or options.kind)))


def recipe_of(options: Any, model: str) -> Recipe:
    item = "image" if options.kind == "pictures" else "passage"
    how = {"model": model} if model != "cheap" else {"model": model, "kind": f"{HERE}:Cheap"}
    dense = {"kind": "faiss", "encoder": "e", "items": [item], "options": {"factory": "Flat"}}
    words = {"words": {"kind": "bm25", "items": [item]}} if options.count else {}
    raw = {"name": "throughput", "corpora": [corpus_of(options).model_dump(mode="json")], "encoders": {"e": how}}
    return Recipe.model_validate(raw | {"indexes": {"dense": dense, **words}})


def held(options: Any) -> dict[str, Any]:
    """The bytes of an index of made-up passages."""
    place = options.work / f"built-{options.count}"
    build(recipe_of(options, "cheap"), place)
    return {"index_mb": round(sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1e6)}


def grown(options: Any) -> dict[str, Any]:
    """What four times the passages take: MB of memory more over MB of index more."""
    small, large = (part("held", options, count=str(count)) for count in (SMALL, LARGE))
    more = {name: large[name] - small[name] for name in ("private_peak_mb", "index_mb")}
    return {
        str(SMALL): small,
        str(LARGE): large,
        "memory_over_index": round(more["private_peak_mb"] / more["index_mb"], 3),
    }


PLAIN = {"passages": plain_passages, "pictures": plain_pictures}
PARTS = {"loop": loop, "batches": lambda options: loop(options, 32), "build": built, "held": held}

if __name__ == "__main__":
    main()
