"""An audit log of JSON lines with hashes in place of content, each line holding the hash of the one before.

An answer that goes out piece by piece has two: one before the first piece, one before its end that names the first by its hash. Everything else
has one. A line that was changed, taken out or put in between breaks the chain. What was cut off the end does not: note the last hash elsewhere and ask
`verify` for it. Hashes of short questions can be guessed by one who tries them all, so the file is its owner's alone.
"""

from __future__ import annotations

import dataclasses
import datetime
import getpass
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from medrag._util.files import write_error
from medrag.errors import MedragError
from medrag.types import Answer, Context, Hit, Query

START = "0" * 64  # what the first line holds in place of a hash
BLOCK = 1 << 16  # bytes that are read at once for the last line
MEND = "name a file in a folder that is there and may be written to, on a disk with free space"


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
            _opened(where).close()
        except OSError as error:
            raise write_error(where, error, MEND) from error
        return cls(where, _account())

    def write(self, **facts: Any) -> str:
        """Adds a line, waits until it is on the disk, and gives its hash. Raises MedragError where it cannot be."""
        from filelock import FileLock

        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        row = {"time": time, "user": _of(self.user)[:16], **facts}
        try:
            with FileLock(f"{self.path}.lock"), _opened(self.path) as file:
                last, torn = _last(file)
                line = json.dumps({**row, "before": last}, ensure_ascii=True).encode() + b"\n"
                file.write(b"\n" * torn + line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self.path, error, MEND) from error
        return _hash(line)

    def answered(self, answer: Answer, labels: Sequence[str], begun: str = "") -> None:
        """The line of an answer; ``begun`` is the hash of the line that it began with."""
        found = of_search(answer.context.query, answer.context.kept, answer.fingerprint, labels)
        self.write(**found, status=answer.status, model=answer.model, answer=_of(answer.text), **_after(begun))

    def recited(self, question: str, answer: Answer, labels: Sequence[str]) -> None:
        """The two lines of a question that is answered by what an earlier answer rests on: "How do you know?"."""
        begun = self.write(**asked(question, labels), status="begun")
        query = dataclasses.replace(answer.context.query, text=question)
        about = dataclasses.replace(answer, context=dataclasses.replace(answer.context, query=query))
        self.answered(about, labels, begun)

    def searched(self, query: Query, hits: Sequence[Hit], fingerprint: str, labels: Sequence[str]) -> None:
        """The line of a search without an answer."""
        self.write(**of_search(query, hits, fingerprint, labels), status="searched")

    @contextmanager
    def failing(self, questions: Sequence[str], labels: Sequence[str]) -> Iterator[None]:
        """Where what is done inside fails, a line for each question that says so."""
        try:
            yield
        except BaseException as error:
            for question in questions:
                self.write(**asked(question, labels), status="failed", error=type(error).__name__)
            raise

    def watched(self, question: str, labels: Sequence[str], events: Iterator[Any]) -> Iterator[Any]:
        """The events as they come. A line is written before anything of the index goes out, and another before the answer does, or when it
        fails, or when nobody listens any more. What was found waits for what is selected of it, which the first line names."""
        begun, done, held = "", False, []
        try:
            for event in events:
                held.append(event)
                if event.stage == "found":
                    continue
                if event.stage == "answer":
                    done = True
                    self.answered(event.data, labels, begun)
                elif event.stage != "routed" and not begun:
                    begun = self.write(**_begun(question, labels, event.data), status="begun")
                yield from held
                held.clear()
        except BaseException as error:
            if not done:
                left = isinstance(error, GeneratorExit)
                how = {"status": "stopped"} if left else {"status": "failed", "error": type(error).__name__}
                self.write(**asked(question, labels), **how, **_after(begun))
            raise
        finally:
            with suppress(AttributeError):
                events.close()  # type: ignore[attr-defined]


def asked(question: str, labels: Sequence[str]) -> dict[str, str]:
    """A question and the labels of who asks it, as hashes."""
    return {"labels": _of(*sorted(labels))[:16], "question": _of(question)}


def of_search(query: Query, hits: Sequence[Hit], fingerprint: str, labels: Sequence[str]) -> dict[str, Any]:
    """Who was shown what for what, as hashes."""
    return {**asked(query.text, labels), **_seen(query, hits), "index": fingerprint}


def _seen(query: Query, hits: Sequence[Hit]) -> dict[str, Any]:
    images = [image.sha256 for image in query.images]
    return {"images": images, "evidence": _of(*(hit.item.id for hit in hits))}


def _begun(question: str, labels: Sequence[str], found: Any) -> dict[str, Any]:
    """What is known of an answer as it begins; the search loop has found nothing yet."""
    shown = _seen(found.query, found.kept) if isinstance(found, Context) else {}
    return {**asked(question, labels), **shown}


def _after(begun: str) -> dict[str, str]:
    return {"begun": begun} if begun else {}


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


def _opened(path: Path) -> IO[bytes]:
    """The file to add lines to; made, also where somebody moved it away, as its owner's alone."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600), "ab+")


def _last(file: IO[bytes]) -> tuple[str, bool]:
    """The hash of a file's last line, and whether that line was cut off."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return START, False
    text, start = b"", size
    while start and b"\n" not in text.rstrip(b"\n"):  # the line may be longer than a block
        start = max(start - max(BLOCK, len(text)), 0)
        file.seek(start)
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
