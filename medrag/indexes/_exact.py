"""The vectors beside an approximate index, in half precision: written as they come, memory-mapped when it is searched.

An approximate index names candidates; these rows give them their true scores (to 3 decimals), and cost memory only for what is looked at.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import linked, write_error
from medrag._util.places import home

if TYPE_CHECKING:
    from medrag.protocols import Vectors

FILE = "vectors.f16"


class ExactRows:
    """Row n is the vector at position n of the index beside it."""

    def __init__(self, dim: int) -> None:
        self.dim, self._path, self._count = dim, Path(), 0
        self._held: Any = None  # the temporary file, while it grows
        self._rows: NDArray[np.float16] | None = None

    @classmethod
    def open(cls, folder: Path, dim: int) -> ExactRows:
        found = cls(dim)
        found._path = folder / FILE
        found._count = found._path.stat().st_size // (2 * dim)
        if found._count:
            found._rows = np.memmap(found._path, dtype="<f2", mode="r", shape=(found._count, dim))
        return found

    def __len__(self) -> int:
        return self._count

    def add(self, vectors: Vectors) -> None:
        """Appends; the first time to an opened file, a copy of it grows. Raises MedragError on a full disk."""
        try:
            if self._held is None:
                folder = home() / "tmp"
                folder.mkdir(parents=True, exist_ok=True)
                held = tempfile.NamedTemporaryFile(dir=folder, suffix=".f16")  # noqa: SIM115 - it lives as long as the index
                if self._count:
                    with self._path.open("rb") as before:
                        shutil.copyfileobj(before, held)
                self._held, self._path = held, Path(held.name)
            self._held.write(np.ascontiguousarray(vectors, dtype="<f2").tobytes())
            self._held.flush()
        except OSError as error:
            raise write_error(self._path, error) from error
        self._count += len(vectors)
        self._rows = None

    @property
    def rows(self) -> NDArray[np.float16]:
        """(n, d), mapped."""
        if self._rows is None or len(self._rows) != self._count:
            self._rows = np.memmap(self._path, dtype="<f2", mode="r", shape=(self._count, self.dim))
        return self._rows

    def scores(self, query: Vectors, positions: NDArray[np.integer]) -> NDArray[np.float32]:
        """Inner products of a query (d,) with the rows at these positions."""
        order = np.argsort(positions)  # the disk is read forwards
        found = np.empty(len(positions), np.float32)
        found[order] = self.rows[positions[order]].astype(np.float32) @ query.astype(np.float32)
        return found

    def save(self, folder: Path) -> None:
        """Puts the rows into the folder; this object then reads them there. What is added later goes into a copy."""
        target = folder / FILE
        if self._path == target:
            return
        try:
            linked(self._path, target)
        except OSError as error:
            raise write_error(target, error) from error
        self._rows = None
        if self._held is not None:
            self._held.close()
        self._held, self._path = None, target
