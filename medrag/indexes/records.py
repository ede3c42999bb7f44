"""What an index holds, record by record, in one SQLite file: so that some can be taken out or put in and the content hash be known without the rest.

A part is the items of a recipe or one of its indexes; of each record of an index the hash is kept, by the item's id, and of each picture in what state
its file was: an item says nothing of a picture's pixels. Knows hashes, not what was hashed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medrag.indexes.content import Tally

FILE = "records.db"
SCHEMA = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS records (part TEXT, id TEXT, digest BLOB NOT NULL, PRIMARY KEY (part, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
MANY = 2000  # rows written at a time


class Kept(Tally):
    """A `Tally` whose records can be taken out again by the id that came first in each."""

    def __init__(self, db: sqlite3.Connection, part: str, count: int = 0, total: int = 0) -> None:
        super().__init__(count, total)
        self._db, self._part, self._rows = db, part, list[tuple[str, str, bytes]]()

    def add(self, *parts: str) -> None:
        self._rows.append((self._part, parts[0], self.count_in(*parts)))
        if len(self._rows) >= MANY:
            self.flush()

    def remove(self, ids: Collection[str]) -> set[str]:
        """Takes records out; the ids of those that were there."""
        self.flush()
        there = set()
        for item in ids:
            row = self._db.execute(
                "SELECT digest FROM records WHERE part = ? AND id = ?", (self._part, item)
            ).fetchone()
            if row:
                self.count_out(row[0])
                there.add(item)
        self._db.executemany("DELETE FROM records WHERE part = ? AND id = ?", [(self._part, item) for item in there])
        return there

    def flush(self) -> None:
        self._db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", self._rows)
        self._rows = []


class Records:
    """``records.db`` of a folder: `part` counts the records of one index, `about` keeps a few plain values."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        self._db.executescript(SCHEMA)

    @contextmanager
    def part(self, name: str) -> Iterator[Kept]:
        """The records of one part, written when the block ends."""
        count, total = self.tally(name)
        kept = Kept(self._db, name, count, total)
        yield kept
        kept.flush()
        self.keep(name, kept)

    def tally(self, name: str) -> tuple[int, int]:
        count, total = self.about(f"tally {name}", ["0", "0"])
        return int(count), int(total)

    def keep(self, name: str, tally: Tally) -> None:
        self.tell(f"tally {name}", [str(one) for one in tally.state])

    def about(self, name: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def tell(self, name: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, json.dumps(value)))

    def states(self) -> dict[str, str]:
        """The state of its file when an item came, by the item's id (see `note`)."""
        return dict(self._db.execute("SELECT id, state FROM files"))

    def note(self, states: Mapping[str, str], gone: Collection[str] = ()) -> None:
        """Keeps in what state the files of items are, and forgets those of items that are ``gone``."""
        self._db.executemany("DELETE FROM files WHERE id = ?", [(one,) for one in gone])
        self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", states.items())

    def close(self) -> None:
        self._db.commit()
        self._db.close()
