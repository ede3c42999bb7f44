"""One number for a bag of records, whatever their order: how two builds are compared without looking at bytes of files.

The sum, modulo 2²⁵⁶, of the SHA-256 of each record. Accidental changes show; it is no defence against forgery.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from medrag._util.files import sha256_text

MODULUS = 1 << 256


class Tally:
    """``add`` records, each a few strings; ``digest`` is the same in whatever order they came."""

    def __init__(self, count: int = 0, total: int = 0) -> None:
        self._count, self._sum = count, total

    def add(self, *parts: str) -> None:
        self.count_in(*parts)

    def count_in(self, *parts: str) -> bytes:
        """Counts a record; its hash."""
        digest = bytes.fromhex(sha256_text(*parts))
        self._sum = (self._sum + int.from_bytes(digest)) % MODULUS
        self._count += 1
        return digest

    def count_out(self, digest: bytes) -> None:
        """Takes a record back, by its hash."""
        self._sum = (self._sum - int.from_bytes(digest)) % MODULUS
        self._count -= 1

    @property
    def state(self) -> tuple[int, int]:
        """What a tally that goes on is made of."""
        return self._count, self._sum

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self._count}:{self._sum:x}".encode()).hexdigest()


def tables_digest(path: Path) -> str:
    """Of all rows of all tables of an SQLite file; the graph's builder writes the same rows for the same items."""
    tally = Tally()
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in sorted(name for name in names if not name.startswith("sqlite_")):
            _add_rows(tally, name, connection.execute(f'SELECT * FROM "{name}"'))
    finally:
        connection.close()
    return tally.digest


def _add_rows(tally: Tally, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    for row in rows:
        tally.add(table, repr(row))
