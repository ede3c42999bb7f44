"""Readers during writes: does every answer that anybody gets while an index is added to and deleted from equal that of one state that was committed?

    python eval/benchmarks/readers.py --readers 24 --changes 1000

One process adds documents to an index and deletes documents from it, one at a time. Others, each a process of its own, open it whenever they like, keep it open for a
few questions and ask: by words, by meaning, and the texts of what was found. Every question is met by all documents, so that an answer says exactly
which state it comes from. What the writer's own list held after each change is the truth; an answer that is no such state, or any error, counts. The versions
that readers saw are counted too: many must have been seen, or nothing was tried. Writes ``eval/results/readers.json``. Linux; half an hour.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # readers are forked: their parent must have no threads of OpenMP

import argparse
import json
import random
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from medrag._util.files import sha256_text, write_json
from medrag._util.places import built, share
from medrag.build import append, build, delete
from medrag.indexes.store import Store, open_store, steadily
from medrag.settings import Recipe
from medrag.testing import FakeEncoder
from medrag.types import Query

WORDS = "effusion mass nodule opacity clear heart lung left right small large pleural".split()
AT_FIRST, AT_MOST = 20, 40  # documents
QUESTION = "film"  # a word of every document


class Letters(FakeEncoder):
    """The fake with a recipe's arguments."""

    def __init__(self, model: str, *, batch: int = 0, device: str = "") -> None:
        super().__init__()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=24)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument(
        "--pause", type=float, default=0.5, help="seconds that a reader rests between two openings, at most"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "readers.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDRAG_HOME"] = str(Path(folder) / "home")
        found = trial(Path(folder), options.readers, options.changes, options.pause, options.seed)
    write_json(options.out, {**found, "readers": options.readers, "changes": options.changes, "seed": options.seed})
    print(json.dumps(found, indent=1))


def trial(folder: Path, readers: int, changes: int, pause: float, seed: int) -> dict[str, Any]:
    """Writes and lets others read; how many answers there were, and how many of them came from no state at all."""
    began = time.perf_counter()
    writer = Writer(folder, random.Random(seed))
    children = [_forked(folder, n, pause) for n in range(readers)]
    try:
        for _ in range(changes):
            writer.change()
    finally:
        (folder / "stop").touch()
        for child in children:
            os.waitpid(child, 0)
    told = [json.loads(line) for path in sorted(folder.glob("reader-*")) for line in path.read_text().splitlines()]
    answers = [one for one in told if "error" not in one]
    wrong = [
        one for one in answers if one["answer"] not in writer.states or one["version"] != writer.states[one["answer"]]
    ]
    errors = [one["error"] for one in told if "error" in one]
    return {
        "answers": len(answers), "from_no_state": len(wrong), "errors": len(errors), "first_errors": errors[:3],
        "states": len(writer.states), "states_seen": len({one["answer"] for one in answers}), "seconds": round(time.perf_counter() - began, 1),
    }  # fmt: skip


class Writer:
    """A folder of texts, the index of it, and what it held after each change."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.folder, self.draw, self.count = folder / "notes", draw, 0
        self.texts: dict[str, str] = {}
        self.states: dict[str, str] = {}  # what an answer must be → the version of the index
        self.folder.mkdir()
        for _ in range(AT_FIRST):
            self._add()
        raw = {
            "name": "read",
            "corpora": [{"name": "notes", "reader": "text", "path": str(self.folder)}],
            "encoders": {"text": {"model": "letters", "kind": f"{__name__}:Letters"}},
            "indexes": {"words": {"kind": "bm25"}, "text": {"encoder": "text", "options": {"gpu": "never"}}},
        }
        self.recipe = Recipe.model_validate(raw)
        build(self.recipe)
        self._committed()

    def change(self) -> None:
        """Adds a document or deletes one."""
        few, many = len(self.texts) <= AT_FIRST // 2, len(self.texts) >= AT_MOST
        if few or (not many and self.draw.random() < 0.5):
            self._add()
            append(self.recipe, self.recipe.corpora)
        else:
            name = self.draw.choice(sorted(self.texts))
            (self.folder / name).unlink()
            del self.texts[name]
            delete(built(self.recipe.name), [f"notes:{name}"])
        self._committed()

    def _add(self) -> None:
        self.count += 1
        name, text = f"{self.count}.txt", f"The film {self.count} shows {' '.join(self.draw.choices(WORDS, k=12))}."
        self.texts[name] = text
        (self.folder / name).write_text(text, encoding="utf-8")

    def _committed(self) -> None:
        version = open_store(built(self.recipe.name)).manifest.content_hash
        self.states[answer_of(self.texts.values())] = version


def answer_of(texts: Any) -> str:
    return sha256_text(*sorted(texts))


def _forked(folder: Path, number: int, pause: float) -> int:
    child = os.fork()
    if child == 0:
        try:
            with (folder / f"reader-{number}").open("w", encoding="utf-8") as told:
                while not (folder / "stop").exists():
                    told.writelines(
                        json.dumps(one) + "\n" for one in _asked(random.Random(f"{number} {time.time()}"), pause)
                    )
                    told.flush()
        finally:
            os._exit(0)
    return child


def _asked(draw: random.Random, pause: float) -> list[dict[str, str]]:
    """Opens the index, asks a few questions, and tells the answers; or the error."""
    told = []
    try:
        store = steadily(built("read"), _opened)
        for _ in range(draw.randrange(1, 4)):
            told.append({"answer": ask(store), "version": store.manifest.content_hash})
            time.sleep(draw.uniform(0, pause))
        store.items.close()
    except Exception:
        told.append({"error": traceback.format_exc()[-400:]})
    return told


def _opened() -> Store:
    store = open_store(built("read"))
    store.hold()
    return store


def ask(store: Store) -> str:
    """The texts of all that is found by words and by meaning, which must be the same."""
    by_words = store.index("words").search(QUESTION, 1000)[1]
    vector = Letters("").encode_queries([Query(QUESTION)])
    by_meaning = store.index("text").search(vector, 1000)[1][0]
    items = store.items.get(by_words)
    if sorted(by_words) != sorted(by_meaning) or len(items) != len(by_words):
        return f"{len(by_words)} by words, {len(by_meaning)} by meaning, {len(items)} texts"
    return answer_of(item.text for item in items)


if __name__ == "__main__":
    main()
