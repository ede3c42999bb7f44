"""Matrices of different heights in one file, in half precision or in bytes; gathered back as float32.

Knows positions only. Parts are appended in memory; a saved file is mapped, and what is appended later lies beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medrag._util.files import atomic_open
from medrag.errors import SettingsError

if TYPE_CHECKING:
    from medrag.protocols import Vectors

KINDS = {"float16": np.float16, "int8": np.int8}
ROWS = 1 << 15  # read or written at a time


class Ragged:
    """``lengths`` (n,) by position; ``gather`` gives the rows of some positions, one matrix after the other."""

    def __init__(self, kind: str = "float16") -> None:
        if kind not in KINDS:
            raise SettingsError(f"multivector: tokens {kind!r} is none of {', '.join(KINDS)}", "leave it out")
        self.kind, self.dim = kind, None  # type: tuple[str, int | None]
        self.lengths = np.zeros(0, np.int64)
        self._parts: list[tuple[NDArray[Any], Vectors | None]] = []  # codes (t, d), and scales (t,) of bytes
        self._starts: list[NDArray[np.int64]] = []  # where each matrix begins in its part

    @property
    def total(self) -> int:
        """How many rows there are."""
        return int(self.lengths.sum())

    @property
    def nbytes(self) -> int:
        """In half precision."""
        return 2 * self.total * (self.dim or 0)

    def append(self, matrices: Sequence[Vectors]) -> None:
        """Each (t, d), t ≥ 1, of one d."""
        lengths = np.array([len(rows) for rows in matrices], np.int64)
        coded = [_coded(rows, self.kind) for rows in matrices]
        scales = np.concatenate([scale for _, scale in coded]) if self.kind == "int8" else None
        self.dim = int(matrices[0].shape[1])
        self._put(np.concatenate([codes for codes, _ in coded]), scales, lengths)

    def _put(self, codes: NDArray[Any], scales: Vectors | None, lengths: NDArray[np.int64]) -> None:
        self._parts.append((codes, scales))
        self._starts.append(np.cumsum(lengths) - lengths)
        self.lengths = np.concatenate([self.lengths, lengths])

    def gather(self, positions: NDArray[np.integer], columns: slice = slice(None)) -> tuple[Vectors, NDArray[np.int64]]:
        """(Σ t, d') float32 rows of the matrices at ``positions``, and the lengths (n,)."""
        lengths = self.lengths[positions]
        ends = np.cumsum(lengths)
        firsts = np.cumsum([0, *(len(starts) for starts in self._starts)])
        rows = np.empty((int(ends[-1]), len(range(*columns.indices(self.dim or 0)))), np.float32)
        for at, length, end in zip(positions.tolist(), lengths.tolist(), ends.tolist(), strict=True):
            n = int(np.searchsorted(firsts, at, side="right")) - 1 if len(firsts) > 2 else 0
            codes, scales = self._parts[n]
            start = self._starts[n][at - firsts[n]]
            rows[end - length : end] = codes[start : start + length, columns]
            if scales is not None:
                rows[end - length : end] *= scales[start : start + length, None]
        return rows, lengths

    def chunks(self, size: int = ROWS, first: int = 0) -> Iterator[Vectors]:
        """All rows from number ``first`` on, in order, (≤ size, d) float32 each."""
        for codes, scales in self._parts:
            for start in range(first, len(codes), size):
                rows = codes[start : start + size].astype(np.float32)
                yield rows if scales is None else rows * scales[start : start + size, None]
            first = max(0, first - len(codes))

    def save(self, folder: Path) -> None:
        """Writes ``tokens.bin``, ``lengths.npy`` and, for bytes, ``scales.npy``."""
        with atomic_open(folder / "tokens.bin") as stream:
            for codes, _ in self._parts:
                for start in range(0, len(codes), ROWS):
                    stream.write(np.ascontiguousarray(codes[start : start + ROWS]).tobytes())
        save_array(folder / "lengths.npy", self.lengths)
        if scales := [scale for _, scale in self._parts if scale is not None]:
            save_array(folder / "scales.npy", np.concatenate(scales))

    @classmethod
    def open(cls, folder: Path, kind: str, dim: int | None) -> Ragged:
        """What was saved, mapped."""
        found = cls(kind)
        if dim:
            codes = np.asarray(np.memmap(folder / "tokens.bin", KINDS[kind], mode="r")).reshape(-1, dim)
            scales = np.load(folder / "scales.npy") if kind == "int8" else None
            found.dim = dim
            found._put(codes, scales, np.load(folder / "lengths.npy"))
        return found


def _coded(rows: Vectors, kind: str) -> tuple[NDArray[Any], Vectors | None]:
    """A matrix as it is stored: half precision, or bytes whose largest is the row's largest, and the rows' scales."""
    if kind == "float16":
        return np.asarray(rows, dtype=np.float16), None
    scales = np.abs(rows).max(axis=1).astype(np.float32) / 127
    return np.round(rows / np.maximum(scales, 1e-12)[:, None]).astype(np.int8), scales


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array whole or not at all (npy)."""
    with atomic_open(path) as stream:
        np.save(stream, array)
