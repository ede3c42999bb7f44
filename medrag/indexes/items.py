"""The items of an index in one SQLite file: by id, by document, by kind and corpus, in the order they came.

Knows nothing of vectors. A finished store is opened read-only and may be shared by threads.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from medrag.errors import IndexCorrupt
from medrag.indexes.content import Tally
from medrag.indexes.manifest import build_command
from medrag.types import Item, item_from_json, item_to_json, page_id

SCHEMA = """
CREATE TABLE items (position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, doc TEXT NOT NULL, kind TEXT NOT NULL,
                    corpus TEXT NOT NULL, json TEXT NOT NULL);
CREATE INDEX items_doc ON items (doc);
CREATE INDEX items_kind ON items (kind, corpus);
"""
MANY = 500  # values in one SQL list


class ItemStore:
    """``get`` by ids, ``iterate`` by kind and corpus; `create` makes a new file, `open` reads a finished one."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db, self.path, self._lock = connection, path, threading.Lock()

    @classmethod
    def create(cls, path: Path) -> ItemStore:
        """An empty store; a file that is there is replaced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
        return cls(connection, path)

    @classmethod
    def open(cls, path: Path, corpora: Collection[str] | None = None) -> ItemStore:
        """A finished store, read-only: nothing is written beside it, so its folder may be read-only too.

        With ``corpora`` the store holds these and no others, whatever it is asked.
        """
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            if corpora is not None:  # a view of the same name, which SQLite finds before the table
                names = ", ".join("'{}'".format(name.replace("'", "''")) for name in sorted(corpora))
                connection.execute(f"CREATE TEMP VIEW items AS SELECT * FROM main.items WHERE corpus IN ({names})")
            return cls(connection, path)
        except sqlite3.Error as error:
            raise _corrupt(path, error) from error

    @classmethod
    def reopen(cls, path: Path) -> ItemStore:
        """A copy of a finished store, to be changed."""
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        return cls(connection, path)

    def put_many(self, items: Iterable[tuple[Item, str]]) -> int:
        """Adds (item, corpus) pairs; an item whose id is there already is replaced where it stands. How many came."""
        rows = [(item.id, item.doc, item.kind, corpus, item_to_json(item)) for item, corpus in items]
        command = (
            "INSERT INTO items (id, doc, kind, corpus, json) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "doc = excluded.doc, kind = excluded.kind, corpus = excluded.corpus, json = excluded.json"
        )
        with self._lock, self._db:
            self._db.executemany(command, rows)
        return len(rows)

    def get(self, ids: Sequence[str]) -> list[Item]:
        """The items in the order of the ids; an id that is not there is left out."""
        found = dict(self._where("id, json", "id", ids))
        return [self._item(found[item]) for item in ids if item in found]

    def by_doc(self, docs: Collection[str]) -> list[Item]:
        """The items of some documents, studies or pages, in the order they came."""
        rows = sorted(self._where("position, json", "doc", docs))
        return [self._item(text) for _, text in rows]

    def ids_of(self, names: Collection[str]) -> set[str]:
        """The ids that these ids and documents name: what `Query.exclude` keeps out of a search. A page names its passages and figures, too."""
        found = {item for column in ("id", "doc") for (item,) in self._where("id", column, names)}
        for name in names:
            if "#p" in name:
                rows = self._all("SELECT id FROM items WHERE id > ? AND id < ?", (name, f"{name}\x7f"))
                found |= {item for (item,) in rows if page_id(item) == name}
        return found

    def ids(self, corpora: Collection[str] = ()) -> list[str]:
        """The ids of the named corpora (none: all), in the order they came."""
        clause, values = _clauses(corpus=corpora)
        return [
            item for (item,) in self._all(f"SELECT id FROM items WHERE position > 0{clause} ORDER BY position", values)
        ]

    def digest(self) -> str:
        """Changes when an item does; the order in which they came does not count."""
        tally = Tally()
        for item in self.iterate():
            tally.add(item.id, item_to_json(item))
        return tally.digest

    def lines(self, corpus: str, docs: Collection[str] | None = None) -> Iterator[str]:
        """The items of a corpus as JSON in the order they came; with ``docs`` those of these documents."""
        if docs is not None:
            rows = (row for row in self._where("position, json, corpus", "doc", docs) if row[2] == corpus)
            yield from (text for _, text, _ in sorted(rows))
            return
        last = 0
        command = "SELECT position, json FROM items WHERE position > ? AND corpus = ? ORDER BY position LIMIT 1000"
        while some := self._all(command, (last, corpus)):
            yield from (text for _, text in some)
            last = some[-1][0]

    def corpora_of(self, ids: Collection[str]) -> dict[str, set[str]]:
        """The ids that are there, by their corpora."""
        found: dict[str, set[str]] = {}
        for item, corpus in self._where("id, corpus", "id", ids):
            found.setdefault(corpus, set()).add(item)
        return found

    def iterate(self, kinds: Collection[str] = (), corpora: Collection[str] = ()) -> Iterator[Item]:
        """Items in the order they came, of the named kinds and corpora (none: all); few are in memory at a time."""
        clause, values = _clauses(kind=kinds, corpus=corpora)
        last = 0
        while rows := self._all(
            f"SELECT position, json FROM items WHERE position > ?{clause} ORDER BY position LIMIT 1000", (last, *values)
        ):
            yield from (self._item(text) for _, text in rows)
            last = rows[-1][0]

    def sample(self, kind: str, most: int) -> list[Item]:
        """At most so many items of a kind, drawn from all of them, the same ones each time."""
        places = [
            place for (place,) in self._all("SELECT position FROM items WHERE kind = ? ORDER BY position", [kind])
        ]
        drawn = random.Random(0).sample(places, min(most, len(places)))
        return [self._item(text) for _, text in sorted(self._where("position, json", "position", drawn))]

    def count(self, kinds: Collection[str] = (), corpora: Collection[str] = ()) -> int:
        clause, values = _clauses(kind=kinds, corpus=corpora)
        return int(self._all(f"SELECT count(*) FROM items WHERE position > 0{clause}", values)[0][0])

    def counts(self) -> dict[str, dict[str, int]]:
        """How many items by corpus and kind."""
        found: dict[str, dict[str, int]] = {}
        for corpus, kind, number in self._all("SELECT corpus, kind, count(*) FROM items GROUP BY 1, 2 ORDER BY 1, 2"):
            found.setdefault(corpus, {})[kind] = number
        return found

    def delete(self, names: Collection[str]) -> int:
        """Deletes the items with these ids or documents; how many there were."""
        gone = sorted(self.ids_of(names))
        with self._lock, self._db:
            self._db.executemany("DELETE FROM items WHERE id = ?", [(item,) for item in gone])
        return len(gone)

    def close(self) -> None:
        self._db.close()

    def __len__(self) -> int:
        return self.count()

    def _where(self, columns: str, column: str, values: Collection[str]) -> Iterator[tuple[Any, ...]]:
        wanted = list(dict.fromkeys(values))
        for start in range(0, len(wanted), MANY):
            part = wanted[start : start + MANY]
            yield from self._all(f"SELECT {columns} FROM items WHERE {column} IN ({','.join('?' * len(part))})", part)

    def _item(self, text: str) -> Item:
        try:
            return item_from_json(text)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _corrupt(self.path, error) from error

    def _all(self, command: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._db.execute(command, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _corrupt(self.path, error) from error


def _clauses(**wanted: Collection[str]) -> tuple[str, list[str]]:
    """``AND column IN (…)`` for every column that is restricted."""
    clauses = [f" AND {column} IN ({','.join('?' * len(values))})" for column, values in wanted.items() if values]
    return "".join(clauses), [value for values in wanted.values() for value in values]


def _corrupt(path: Path, error: Exception) -> IndexCorrupt:
    return IndexCorrupt(f"{path} cannot be read: {error}", build_command(path.parent))
