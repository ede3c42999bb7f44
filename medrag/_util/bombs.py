"""Small files that would unpack into large ones, told before they are unpacked: deflated DICOM, compressed frames, gzip.

It reads lengths and sizes, and knows nothing of what is unpacked.
"""

from __future__ import annotations

import gzip
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Self, cast

from medrag.errors import ImageError

INFLATED = 1 << 29  # bytes that a deflated data set may hold
RATIO = 200  # times its packed size that an archive may hold; text packs 5 to 30 times
FREE = 64 << 20  # bytes that any archive may hold
PIECE = 1 << 30  # bytes of it in one piece: a JSON document, a line
JP2 = b"\x00\x00\x00\x0cjP  "
_SIZED = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG's markers that carry a size; the last is JPEG-LS


class Bounded:
    """A stream of which no more is asked than there is, whatever length a header claims; ``read()`` is what pydicom inflates."""

    def __init__(self, stream: Any, where: str) -> None:
        self._stream, self._where = stream, where
        at = stream.tell()
        self._size = stream.seek(0, os.SEEK_END)
        stream.seek(at)

    def read(self, size: int = -1) -> bytes:
        if size >= 0:
            return bytes(self._stream.read(min(size, self._size)))
        rest: bytes = self._stream.read()
        if _inflates_to_more(rest, INFLATED):
            problem = f"its deflated data set unpacks to more than {INFLATED >> 20} MiB"
            raise ImageError(self._where, problem, "store it without deflation")
        return rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _inflates_to_more(packed: bytes, limit: int) -> bool:
    unpacker, total, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, packed
    try:
        while rest and not unpacker.eof:
            total += len(unpacker.decompress(rest, 1 << 20))
            if total > limit:
                return True
            rest = unpacker.unconsumed_tail
    except zlib.error:  # no deflated data at all, or damaged: for the reader to say
        pass
    return False


def codestream_pixels(frame: bytes) -> int:
    """How many pixels a JPEG, JPEG-LS or JPEG 2000 frame says it has; 0 for anything else."""
    if frame.startswith(JP2):
        frame = _jp2_codestream(frame)
    if frame.startswith(b"\xff\x4f\xff\x51") and len(frame) >= 24:
        width, height, left, top = struct.unpack(">4I", frame[8:24])
        return int(max(0, width - left) * max(0, height - top))
    return _jpeg_pixels(frame) if frame.startswith(b"\xff\xd8") else 0


def _jp2_codestream(frame: bytes) -> bytes:
    """What the box ``jp2c`` of a JP2 file holds."""
    at = 0
    while at + 8 <= len(frame):
        length, kind = struct.unpack(">I4s", frame[at : at + 8])
        head = 8
        if length == 1 and at + 16 <= len(frame):
            length, head = struct.unpack(">Q", frame[at + 8 : at + 16])[0], 16
        if kind == b"jp2c":
            return frame[at + head :]
        if length < head:
            break
        at += length
    return b""


def _jpeg_pixels(frame: bytes) -> int:
    """The largest size that a marker before the first scan states."""
    at, found = 2, 0
    while at + 9 <= len(frame):
        if frame[at] != 0xFF:
            at += 1
            continue
        marker = frame[at + 1]
        if marker in _SIZED:
            height, width = struct.unpack(">HH", frame[at + 5 : at + 9])
            found = max(found, height * width)
        if marker == 0xDA:
            break
        at += (
            1
            if marker == 0xFF
            else 2
            if marker in (0x01, *range(0xD0, 0xD9))
            else 2 + max(2, int.from_bytes(frame[at + 2 : at + 4]))
        )
    return found


class Unpacked(gzip.GzipFile):
    """A gzip file that gives no more than `RATIO` times its own size, nor `PIECE` at once. Raises gzip.BadGzipFile."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._left = max(FREE, RATIO * path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        return self._counted(super().read, size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._counted(super().readline, size)

    def _counted(self, take: Callable[[int], bytes], size: int | None) -> bytes:
        least = min(self._left, PIECE) + 1
        block = take(least if size is None or size < 0 else min(size, least))
        self._left -= len(block)
        if len(block) == least:
            raise gzip.BadGzipFile(f"it unpacks to more than {RATIO} times its size, or to {PIECE >> 20} MiB at once")
        return block


def unpacked(path: Path) -> IO[bytes]:
    """A file, unpacked on the way when it is gzip. Raises OSError."""
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", Unpacked(path)) if packed else path.open("rb")


class Member(tarfile.TarInfo):
    """The head of a member of a tar; one whose name or notes would fill the memory is refused. Raises tarfile.ReadError."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if not found.isreg() and found.size > FREE:
            raise tarfile.ReadError("a member's name or notes are too long")
        return found
