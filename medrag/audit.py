"""An audit log: one JSON line a question, with hashes in place of content, each line holding the hash of the one before.

A line that was changed, taken out or put in between breaks the chain. What was cut off the end does not: note the last hash elsewhere and ask
`verify` for it. Hashes of short questions can be guessed by one who tries them all, so the file is its owner's alone.
"""

from __future__ import annotations

import datetime
import getpass
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrag._util.files import write_error
from medrag.errors import MedragError
from medrag.types import Answer, Hit, Query

START = "0" * 64  # what the first line holds in place of a hash
TAIL = 1 << 16  # bytes that a line has at most


@dataclass(frozen=True, slots=True)
class AuditLog:
    """A file that lines are added to, by several threads and processes at once; ``user`` is told as a hash."""

    path: Path
    user: str = ""

    @classmethod
    def open(cls, path: str | Path) -> AuditLog:
        """The log of a file, which is made where it is not there. Raises MedragError where it cannot be written."""
        where = Path(path).expanduser()
        try:
            os.close(os.open(where, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        except OSError as error:
            raise write_error(where, error) from error
        return cls(where, _account())

    def write(self, **facts: Any) -> None:
        """Adds a line and waits until it is on the disk. Raises MedragError where it cannot be."""
        from filelock import FileLock

        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        row = {"time": time, "user": _of(self.user)[:16], **facts}
        try:
            with FileLock(f"{self.path}.lock"), self.path.open("ab+") as file:
                last, torn = _last(file)
                line = json.dumps({**row, "before": last}, ensure_ascii=True)
                file.write(b"\n" * torn + line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error

    def answered(self, answer: Answer, labels: Sequence[str]) -> None:
        """The line of an answer."""
        found = of_search(answer.context.query, answer.context.kept, answer.fingerprint, labels)
        self.write(**found, status=answer.status, model=answer.model)

    def searched(self, query: Query, hits: Sequence[Hit], fingerprint: str, labels: Sequence[str]) -> None:
        """The line of a search without an answer."""
        self.write(**of_search(query, hits, fingerprint, labels), status="searched")

    def watched(self, question: str, labels: Sequence[str], events: Iterator[Any]) -> Iterator[Any]:
        """The events as they come. The line is written before the answer goes out, or when it fails, or when nobody listens any more."""
        done = False
        try:
            for event in events:
                if event.stage == "answer":
                    done = True
                    self.answered(event.data, labels)
                yield event
        except GeneratorExit:
            if not done:
                self.write(**asked(question, labels), status="stopped")
            raise
        except Exception as error:
            if not done:
                self.write(**asked(question, labels), status="failed", error=type(error).__name__)
            raise
        finally:
            with suppress(AttributeError):
                events.close()  # type: ignore[attr-defined]


def asked(question: str, labels: Sequence[str]) -> dict[str, str]:
    """A question and the labels of who asks it, as hashes."""
    return {"labels": _of(*sorted(labels))[:16], "question": _of(question)}


def of_search(query: Query, hits: Sequence[Hit], fingerprint: str, labels: Sequence[str]) -> dict[str, Any]:
    """Who was shown what for what, as hashes."""
    return {
        **asked(query.text, labels),
        "images": [image.sha256 for image in query.images],
        "index": fingerprint,
        "evidence": _of(*(hit.item.id for hit in hits)),
    }


def verify(path: Path, last: str = "") -> tuple[int, str]:
    """How many lines there are, and the hash of the last one. Raises MedragError naming the first line that does not fit.

    ``last`` is a hash that was noted before: some line must have it.
    """
    before, count, found = START, 0, not last
    try:
        with path.open("rb") as file:
            for count, line in enumerate(file, start=1):
                if not line.endswith(b"\n") or _told(line) != before:
                    raise MedragError(
                        f"{path}: line {count} does not follow from the one before", "somebody changed the file"
                    )
                before = _hash(line)
                found = found or before == last
    except OSError as error:
        raise MedragError(f"{path} cannot be read: {error.strerror or error}", "check the path") from error
    if not found:
        raise MedragError(f"{path} has no line with the hash {last}", "lines were cut off, or it is another file")
    return count, before


def _last(file: Any) -> tuple[str, bool]:
    """The hash of a file's last line, and whether that line was cut off."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return START, False
    file.seek(max(size - TAIL, 0))
    text = file.read()
    torn = not text.endswith(b"\n")
    return _hash(text.rstrip(b"\n").rpartition(b"\n")[2] + b"\n"), torn


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _of(*texts: str) -> str:
    """The SHA-256 of texts with line ends between them."""
    return _hash("\n".join(texts).encode("utf-8", "surrogatepass"))


def _told(line: bytes) -> Any:
    """The hash that a line holds of the one before; nothing where it is no record."""
    try:
        return json.loads(line)["before"]
    except (ValueError, KeyError, TypeError):
        return None


def _account() -> str:
    """Who runs this process, as the system names them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else ""
