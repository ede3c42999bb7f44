"""Files that are either there whole or not at all: atomic writes, checksums, safe extraction."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from medrag.errors import MedragError

ELSEWHERE = "free space or choose another folder with MEDRAG_HOME; what was built so far is kept"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


def sha256_file(path: Path, chunk: int = 1 << 20) -> str:
    """Hex SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(chunk):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(*parts: str) -> str:
    """Hex SHA-256 of strings; the boundaries between them count."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def fsync_dir(path: Path) -> None:
    """Makes a rename inside the folder last through a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Makes all that lies in a folder last, each file before the folder that names it."""
    for path in sorted(folder.rglob("*"), reverse=True):
        fsync_dir(path)
    fsync_dir(folder)


def exchange(one: Path, other: Path) -> bool:
    """The two swap their places at one moment, so that there is always something at both. False where the system cannot, or one is not there."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0)


@contextlib.contextmanager
def atomic_open(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A temporary file beside ``path`` that takes its place, synced, when the block ends without an error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
        fsync_dir(path.parent)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise write_error(path, error) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def linked(source: str | Path, target: str | Path) -> None:
    """The same file under a second name where the disk allows it, else a copy: for files that are never changed in place."""
    source, target = Path(source), Path(target)
    if target.exists() and source.samefile(target):
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def write_error(path: Path, error: OSError, hint: str = ELSEWHERE) -> MedragError:
    """A full disk or a read-only folder in one clear line; ``hint`` where the file does not lie under MEDRAG_HOME."""
    return MedragError(f"cannot write {path}: {error.strerror or error}", hint)


@contextlib.contextmanager
def appending(path: Path) -> Iterator[IO[str]]:
    """A text file to add lines to, with its folder. A full disk and a read-only folder are one clear error; what was written is kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            yield stream
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        hint = "free space, or name another place; what was written is kept, and the same command goes on from there"
        raise MedragError(f"cannot write {path}: {error.strerror}", hint) from error


def whole_lines(path: Path) -> list[str]:
    """The lines of a text file that `appending` wrote, none where it is not there; a last one that was cut short is cut off."""
    raw = path.read_bytes() if path.is_file() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return whole.decode("utf-8").split("\n")[:-1]


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """JSON with sorted keys, written atomically. Without ``indent`` on one line, for long lists: json's fast encoder does not indent."""
    with atomic_open(path, "w") as stream:
        stream.write(json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False))
        stream.write("\n")


def inside(folder: Path, name: str) -> Path:
    """``folder / name``, refused when it would leave the folder (archives and manifests are not trusted)."""
    target = (folder / name).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise MedragError(f"{name!r} points outside {folder}", "the archive or manifest is not to be trusted")
    return target
