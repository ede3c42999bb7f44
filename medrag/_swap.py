"""A finished index folder takes the place of the old one, and what a full disk says meanwhile is one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medrag._util.files import UNWRITABLE, exchange, fsync_dir, write_error
from medrag.indexes.store import discard


def recover(folder: Path, work: Path) -> None:
    """After a kill between the two renames of `swap`: the old index takes its place again."""
    previous = work / "previous"
    if previous.is_dir() and not folder.exists():
        previous.rename(folder)


def swap(new: Path, folder: Path, work: Path) -> None:
    """The finished folder takes the place of the old one."""
    previous = work / "previous"
    discard(previous, folder)
    if exchange(new, folder):
        new.rename(previous)
    else:
        if folder.exists():
            folder.rename(previous)
        new.rename(folder)
    fsync_dir(folder.parent)
    discard(previous, folder)


@contextmanager
def one_line(folder: Path) -> Iterator[None]:
    """A full disk or a read-only folder in one line, from wherever it was noticed."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise write_error(Path(error.filename or folder), error) from error
    except sqlite3.OperationalError as error:
        raise write_error(folder, OSError(0, str(error))) from error
