"""Vectors that were computed once: one SQLite file, keyed by the encoder's fingerprint and by what it reads of an item.

Knows nothing of indexes. Vectors come back bit for bit. Losing the file costs time only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.files import sha256_text, write_error
from medrag.errors import BadRecord
from medrag.types import Item, item_to_json

if TYPE_CHECKING:
    from medrag.protocols import Encoder, Report, Vectors

MANY = 500
PICTURES = 128  # images encoded at once: one that cannot be read costs at most these twice


class VectorCache:
    """``get_many`` and ``put_many``, each batch in one transaction. A damaged file is set aside and begun anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._connect()
        except sqlite3.OperationalError as error:
            raise write_error(path, OSError(0, str(error))) from error
        except sqlite3.DatabaseError:
            self._set_aside()
        except OSError as error:
            raise write_error(path, error) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=60)
        connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
        )
        return connection

    def _set_aside(self) -> None:
        """A new, empty file in place of a damaged one."""
        self.path.replace(self.path.with_suffix(".damaged"))
        for suffix in ("-wal", "-shm"):
            self.path.with_name(f"{self.path.name}{suffix}").unlink(missing_ok=True)
        self._db = self._connect()

    def get_many(self, keys: Iterable[str]) -> dict[str, Vectors]:
        """The vectors that are there, (d,) float32 each."""
        wanted = list(dict.fromkeys(keys))
        try:
            return self._found(wanted)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # a page in the middle is damaged
            self._db.close()
            self._set_aside()
            return {}

    def _found(self, wanted: Sequence[str]) -> dict[str, Vectors]:
        found: dict[str, Vectors] = {}
        for start in range(0, len(wanted), MANY):
            part = wanted[start : start + MANY]
            rows = self._db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({','.join('?' * len(part))})", part)
            found.update((key, np.frombuffer(blob, dtype="<f4")) for key, blob in rows)
        return found

    def put_many(self, vectors: Mapping[str, Vectors]) -> None:
        rows = [(key, np.asarray(vector, dtype="<f4").tobytes()) for key, vector in vectors.items()]
        try:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            raise write_error(self.path, OSError(0, str(error))) from error

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def close(self) -> None:
        self._db.close()


def cached(encoder: Encoder, items: Sequence[Item], cache: VectorCache, report: Report) -> tuple[list[int], Any]:
    """The positions of the items that have a vector, and their vectors (m, d); m matrices (t, d) from an encoder that
    gives several vectors an item.

    Items of equal content are encoded once. An item that cannot be encoded is reported and left out.
    """
    keys: dict[int, str] = {}
    for n, item in enumerate(items):
        try:
            keys[n] = key_of(encoder, item)
        except BadRecord as problem:
            report(problem)
    known = cache.get_many(keys.values())
    first = {key: n for n, key in reversed(keys.items()) if key not in known}
    fresh = fresh_vectors(encoder, [(keys[n], items[n]) for n in sorted(first.values())], report)
    cache.put_many(fresh)
    known |= fresh
    kept = [n for n, key in keys.items() if key in known]
    if getattr(encoder, "several", False):
        return kept, [known[keys[n]].reshape(-1, encoder.dim) for n in kept]
    vectors = np.stack([known[keys[n]] for n in kept]) if kept else np.zeros((0, 0), dtype=np.float32)
    return kept, vectors


def fresh_vectors(encoder: Encoder, pairs: Sequence[tuple[str, Item]], report: Report) -> dict[str, Vectors]:
    """The vectors of items that have none yet, by their keys."""
    found: dict[str, Vectors] = {}
    step = len(pairs) or 1 if encoder.modality == "text" else PICTURES
    for start in range(0, len(pairs), step):
        found.update(_encoded(encoder, pairs[start : start + step], report))
    return found


def key_of(encoder: Encoder, item: Item) -> str:
    """``content(item)`` of the encoder says what it reads; without it the whole record counts."""
    content = getattr(encoder, "content", None)
    return sha256_text(encoder.fingerprint, content(item) if content else item_to_json(item))


def _encoded(encoder: Encoder, pairs: Sequence[tuple[str, Item]], report: Report) -> dict[str, Vectors]:
    """Vectors by key; a list with a bad item is halved until the bad one stands alone."""
    try:
        vectors = encoder.encode_items([item for _, item in pairs])
        return {key: vector for (key, _), vector in zip(pairs, vectors, strict=True)}
    except BadRecord as problem:
        if len(pairs) == 1:
            report(problem)
            return {}
    middle = len(pairs) // 2
    return {**_encoded(encoder, pairs[:middle], report), **_encoded(encoder, pairs[middle:], report)}
