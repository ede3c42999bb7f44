"""SIGKILL at random moments of builds, additions and deletions of a small index: is there always a whole index, the old one or the new?

    python eval/benchmarks/kill_many.py --kills 200

A child does one piece of work (a fresh build, a build after reports were added, changed or taken out, a deletion) and is killed after a random part of
the time that such work takes when it is left alone. Then the index must open with every checksum right, hold what it held before or what it was to hold, and
answer a search; and the same work, done again and left alone, must end in the same content as in a folder where nothing was ever killed. Writes
``eval/results/kill_many.json``. Linux; a few minutes.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # children are forked: their parent must have no threads of OpenMP

import argparse
import json
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medrag._util.files import write_json
from medrag._util.places import built, share
from medrag.build import build, delete
from medrag.errors import IndexMissing
from medrag.indexes.store import open_store
from medrag.settings import Recipe
from medrag.testing import FakeEncoder

WORDS = "effusion mass nodule opacity clear heart lung left right small large pleural".split()
ROWS = (120, 121, 150, 90, 140)  # reports of each version of the corpus


class Letters(FakeEncoder):
    """The fake with a recipe's arguments."""

    def __init__(self, model: str, *, batch: int = 0, device: str = "") -> None:
        super().__init__()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "kill_many.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = Trial(Path(folder), random.Random(options.seed)).run(options.kills)
    found["seed"] = options.seed
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


class Trial:
    """A corpus in versions, an index that is worked on and killed, and what it should hold."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.folder, self.draw, self.expected = folder, draw, dict[tuple[int, bool], str]()
        self.state: tuple[int, bool] | None = None  # version, and whether a report was deleted since
        self.took = 0.5
        raw = {
            "name": "killed",
            "corpora": [{"name": "reports", "reader": "reports-csv", "path": str(folder / "reports.csv")}],
            "encoders": {"text": {"model": "letters", "kind": f"{__name__}:Letters"}},
            "indexes": {"words": {"kind": "bm25"}, "text": {"encoder": "text"}},
        }
        self.recipe = Recipe.model_validate(raw)

    def run(self, kills: int) -> dict[str, Any]:
        told: Counter[str] = Counter()
        lost = 0
        while told["killed"] < kills:
            work, after = self.next_work()
            before = self.state
            landed = self.killed(work)
            state, whole = self.looked_at()
            fine = whole and state in {self.hash_of(before), self.hash_of(after)}
            lost += not fine
            told["killed" if landed else "ended before"] += 1
            told["the new one" if state == self.hash_of(after) != self.hash_of(before) else "the old one"] += 1
            work()  # again, left alone
            self.state = after
            lost += self.looked_at() != (self.hash_of(after), True)
            if not fine:
                print(f"{before} → {after} left {state}")
        return {"lost_or_broken": lost, **told}

    def next_work(self) -> tuple[Callable[[], Any], tuple[int, bool]]:
        """A piece of work, and the state that it leads to."""
        if self.state is not None and not self.state[1] and self.draw.random() < 0.3:
            return lambda: delete(built(self.recipe.name), ["reports:3"]), (self.state[0], True)
        version = self.draw.randrange(len(ROWS))
        write(self.folder / "reports.csv", version)
        fresh = self.state is None or self.state[1] or self.draw.random() < 0.3
        return lambda: build(self.recipe, fresh=fresh), (version, False)

    def killed(self, work: Callable[[], Any]) -> bool:
        """Forks, works, and kills; whether the kill came before the end."""
        child = os.fork()
        if child == 0:
            os.environ["MEDRAG_HOME"] = str(self.folder / "home")
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            try:
                work()
            finally:
                os._exit(0)
        time.sleep(self.draw.uniform(0, 1.8 * self.took))
        done, _ = os.waitpid(child, os.WNOHANG)
        if not done:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return not done

    def looked_at(self) -> tuple[str, bool]:
        """The content of the index that is there ("" where none is), and whether it opens whole and answers."""
        os.environ["MEDRAG_HOME"] = str(self.folder / "home")
        try:
            store = open_store(built(self.recipe.name), verify=True)
        except IndexMissing:
            return "", True
        scores, ids = store.index("words").search("pleural effusion", 3)
        return store.manifest.content_hash, len(ids) == len(store.items.get(ids)) == 3 == len(scores)

    def hash_of(self, state: tuple[int, bool] | None) -> str:
        """What a folder holds where nothing was ever killed."""
        if state is None:
            return ""
        if state not in self.expected:
            calm = self.folder / f"calm-{len(self.expected)}"
            kept = (self.folder / "reports.csv").read_bytes()
            write(self.folder / "reports.csv", state[0])
            os.environ["MEDRAG_HOME"] = str(calm)
            began = time.perf_counter()
            build(self.recipe)
            self.took = min(time.perf_counter() - began, 2.0)  # a machine that stood still says nothing
            if state[1]:
                delete(built(self.recipe.name), ["reports:3"])
            self.expected[state] = open_store(built(self.recipe.name)).manifest.content_hash
            os.environ["MEDRAG_HOME"] = str(self.folder / "home")
            (self.folder / "reports.csv").write_bytes(kept)
            shutil.rmtree(calm)
        return self.expected[state]


def write(path: Path, version: int) -> None:
    rows = random.Random(version)
    lines = [
        f"{n},{' '.join(rows.choices(WORDS, k=12))}.,{' '.join(rows.choices(WORDS, k=5))}."
        for n in range(1, ROWS[version] + 1)
    ]
    path.write_text("uid,findings,impression\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
