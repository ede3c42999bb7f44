"""How long `answer()` takes outside the generator over a million items, with four clients at once; LangChain's FAISS retriever over the same vectors in the same run.

    python eval/benchmarks/answer_scale.py [--count 1000000] [--work DIR]

The index is put together here from medrag's own parts: passages as in bm25.py by words, vectors as in faiss_scale.py by meaning (``factory: auto``) and 20,000 images;
questions are of three real pictures (a 7 MB DICOM film, a fundus photograph, a stain), each with words of a passage. In "first questions" each is about a picture of its own
(a pixel of it is another), as if each came from another patient; in "further questions" the three pictures come again and again, and what was found for the last ones is remembered. They go through
the whole path: read, route, retrieve, fuse, select, cite, with the encoders and the router of the sample (minilm, medrag-small, router-lite2) and the extractive answerer, whose own time is taken out.
LangChain (``pip install langchain-community``; left out with a line where it is not installed) gets the same vectors in its usual exhaustive index, the same question encoder,
and no image, words, graph or selection. Milliseconds; ``cpu_ms`` is of all threads of the process, which other programs on the machine do not change as much.
Writes ``eval/results/answer_scale.json``.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from answer import QUESTIONS
from bm25 import passages
from faiss_scale import DIM, drawn
from PIL import Image
from pydicom import dcmread

from medrag._util.fetch import package_file
from medrag._util.files import write_json
from medrag._util.places import built, share
from medrag.settings import Recipe
from medrag.types import ImageRecord, Passage

BLOCK, IMAGES, CLIENTS = 50_000, 20_000, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=25, help="of the three questions, by each client")
    parser.add_argument("--work", type=Path, help="a folder that is kept: what is made there is not made again")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "answer_scale.json")
    parser.add_argument("--part", choices=("make", "medrag", "langchain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        options.work = options.work or Path(scratch)
        found: dict[str, Any] = {"count": options.count, "images": IMAGES, "clients": CLIENTS, "cpus": os.cpu_count()}
        found["load"] = round(os.getloadavg()[0], 1)
        found |= {part: apart(part, options) for part in PARTS}
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def apart(part: str, options: Any) -> dict[str, Any]:
    """One part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--work", str(options.work)]
    command += ["--count", str(options.count), "--rounds", str(options.rounds)]
    env = {**os.environ, "MEDRAG_HOME": str(options.work / "home")}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def recipe() -> Recipe:
    raw = {
        "name": "scale",
        "corpora": [{"name": "p", "reader": "text", "path": "."}, {"name": "i", "reader": "images", "path": "."}],
        "encoders": {
            "text": {"model": "minilm"},
            "image": {"model": "medrag-small"},
            "router": {"model": "efficientnet-lite2"},
        },
        "indexes": {
            "text": {"kind": "faiss", "encoder": "text"},
            "lexical": {"kind": "bm25"},
            "image": {"kind": "faiss", "encoder": "image", "items": ["image"], "options": {"factory": "Flat"}},
        },
        "router": "router-lite2",
    }
    return Recipe.model_validate(raw)


def texts(count: int) -> Iterator[list[str]]:
    for start in range(0, count, BLOCK):
        yield passages(min(BLOCK, count - start), np.random.default_rng(start))


def make(options: Any) -> dict[str, Any]:
    """The built index, unless it is there."""
    folder = built("scale")
    if (folder / "manifest.json").is_file():
        return {"seconds": 0.0}
    from medrag.encoders import open_encoder
    from medrag.indexes.bm25 import Bm25Index
    from medrag.indexes.faiss import FaissIndex
    from medrag.indexes.items import ItemStore
    from medrag.indexes.manifest import Manifest

    began, rng, whole = time.perf_counter(), np.random.default_rng(0), recipe()
    store, words = ItemStore.create(folder / "items.db"), Bm25Index()
    for n, block in enumerate(texts(options.count)):
        items = [Passage(f"p:{n * BLOCK + m}", f"p:{n * BLOCK + m}", text) for m, text in enumerate(block)]
        store.put_many((item, "p") for item in items)
        words.add([item.id for item in items], block)
    words.save(folder / "lexical")
    del words
    pictures = [ImageRecord(f"i:{n}", f"i:{n}", f"picture {n}", source=f"{n}.png") for n in range(IMAGES)]
    store.put_many((item, "i") for item in pictures)
    store.close()
    centres = rng.normal(size=(64, DIM))
    centres = np.repeat(centres, 64, 0) + 0.7 * rng.normal(size=(4096, DIM))
    rows = np.lib.format.open_memmap(options.work / "rows.npy", "w+", np.float32, (options.count, DIM))
    for start in range(0, options.count, BLOCK):
        rows[start : start + BLOCK] = drawn(rng, centres, min(BLOCK, options.count - start))
    meaning = FaissIndex()
    meaning.add([f"p:{n}" for n in range(options.count)], rows)
    meaning.save(folder / "text")
    encoders = {name: open_encoder(one) for name, one in whole.encoders.items()}
    seen = rng.normal(size=(IMAGES, encoders["image"].dim)).astype(np.float32)
    looks = FaissIndex("Flat")
    looks.add([item.id for item in pictures], seen / np.linalg.norm(seen, axis=1, keepdims=True))
    looks.save(folder / "image")
    about = {
        n: {"model": e.name, "fingerprint": e.fingerprint, "dim": e.dim} for n, e in encoders.items() if n != "router"
    }
    counts = {"p": {"passage": options.count}, "i": {"image": IMAGES}}
    Manifest("scale", whole.model_dump(mode="json", exclude={"pipeline"}), "made here", about, counts, {}, "made here").write(folder)  # fmt: skip
    return {"seconds": round(time.perf_counter() - began, 1)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question. ``name`` is its picture's."""

    name: str
    picture: Any
    words: str


def asked(options: Any, turn: int, own: bool = False) -> list[Asked]:
    """Pictures with words of passages, each its own; of another ``turn`` others. ``own``: each picture is another, too."""
    some, rng = next(texts(min(options.count, BLOCK))), np.random.default_rng(5 + turn)
    found = []
    for n, (spec, question) in enumerate(itertools.islice(itertools.cycle(QUESTIONS), 3 * options.rounds)):
        words = " ".join(rng.choice(some[int(rng.integers(len(some)))].split(), 5))
        path = package_file(spec)
        picture = altered(path, turn * 3 * options.rounds + n) if own else path
        found.append(Asked(path.name, picture, f"{question} {words}"))
    return found


def altered(path: Path, n: int) -> bytes:
    """The file with another value in its n-th pixel."""
    written = io.BytesIO()
    if path.suffix == ".dcm":
        film = dcmread(path)
        pixels = bytearray(film.PixelData)
        pixels[2 * n] ^= 1
        film.PixelData = bytes(pixels)
        film.save_as(written)
    else:
        picture = Image.open(path).convert("RGB")
        picture.putpixel((8 * n % picture.width, 0), (8 * n // picture.width, 255, 0))
        picture.save(written, "JPEG" if path.suffix == ".jpg" else "PNG", quality=95)
    return written.getvalue()


def with_medrag(options: Any) -> dict[str, Any]:
    from medrag import MedRAG

    rag, stages = MedRAG.open(recipe()), defaultdict(list)

    def ask(one: Asked) -> float:
        timings = dict(rag.answer(one.picture, one.words).timings)
        for name, seconds in timings.items():
            stages[name].append(1000 * seconds)
        return 1000 * (sum(timings.values()) - timings["generate"])

    found: dict[str, Any] = {
        "first questions": measured(ask, [asked(options, n, own=True) for n in range(CLIENTS + 2)])
    }
    found["first questions"]["stages_ms"] = {name: round(float(np.median(took)), 1) for name, took in stages.items()}
    found["further questions"] = measured(ask, [asked(options, n) for n in range(CLIENTS + 2)])
    alone = [[replace(one, name="words alone", picture=None) for one in asked(options, n)] for n in range(CLIENTS + 2)]
    return found | {"words alone": measured(ask, alone)}


def measured(ask: Callable[[Asked], float], questions: list[list[Asked]]) -> dict[str, Any]:
    """One client asks, then four at once, each its own; with the last of the lists everything is made warm."""
    for one in questions[-1][:9]:
        ask(one)
    found: dict[str, Any] = {}
    for clients, lists in ((1, questions[:1]), (CLIENTS, questions[1:-1])):
        taken: list[tuple[str, float]] = []

        def client(own: list[Asked], taken: list[tuple[str, float]] = taken) -> None:
            for one in own:
                taken.append((one.name, ask(one)))

        cpu, wall = time.process_time(), time.perf_counter()
        threads = [threading.Thread(target=client, args=(own,)) for own in lists]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        row = spread([took for _, took in taken])
        row |= {"cpu_ms": round(1000 * cpu / len(taken), 1), "answers_per_s": round(len(taken) / wall, 1)}
        by_picture = {name: spread([took for which, took in taken if which == name]) for name in {n for n, _ in taken}}
        found[f"{clients} clients"] = row | ({"by picture": by_picture} if len(by_picture) > 1 else {})
    return found


def with_langchain(options: Any) -> dict[str, Any]:
    """Its retriever: the question's vector, then exhaustive search by FAISS and the documents."""
    try:
        from langchain_community.docstore.in_memory import InMemoryDocstore
        from langchain_community.vectorstores import FAISS
    except ModuleNotFoundError as error:
        return {"left out": f"no module {error.name}: pip install langchain-community"}
    import faiss
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    from medrag.encoders import open_encoder
    from medrag.types import Query

    encoder = open_encoder(recipe().encoders["text"])

    class Same(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise NotImplementedError

        def embed_query(self, text: str) -> list[float]:
            return encoder.encode_queries([Query(text)])[0].tolist()  # type: ignore[no-any-return]

    index = faiss.IndexFlatL2(DIM)
    rows = np.load(options.work / "rows.npy", mmap_mode="r")
    for start in range(0, len(rows), BLOCK):
        index.add(np.ascontiguousarray(rows[start : start + BLOCK]))
    documents = (Document(page_content=text) for block in texts(options.count) for text in block)
    store = FAISS(Same(), index, InMemoryDocstore({str(n): d for n, d in enumerate(documents)}), {n: str(n) for n in range(len(rows))})  # fmt: skip
    retriever = store.as_retriever(search_kwargs={"k": 20})

    def ask(one: Asked) -> float:
        start = time.perf_counter()
        retriever.invoke(one.words)
        return 1000 * (time.perf_counter() - start)

    return measured(ask, [[replace(one, name="words alone") for one in asked(options, n)] for n in range(CLIENTS + 2)])


def spread(times: list[float]) -> dict[str, float]:
    return {f"p{at}": round(float(np.percentile(times, at)), 1) for at in (50, 95, 99)}


PARTS = {"make": make, "medrag": with_medrag, "langchain": with_langchain}


if __name__ == "__main__":
    main()
