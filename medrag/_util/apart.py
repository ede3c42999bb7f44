"""Risky work in another process, with limits: a decoder that hangs, eats memory or ends its process costs one record, not the build.

PDF and image decoders are C code over other people's files. A few worker processes do that work for a build and hand back what came of it; one that is
silent for `SECONDS`, asks for more than `MEMORY`, or dies, is replaced, and the piece of work it had is a BadRecord. ``MEDRAG_ISOLATION=0`` does the work in this
process, as systems without POSIX do. This is no sandbox: a worker may do what its user may.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag.errors import BadRecord

if TYPE_CHECKING:
    from medrag.protocols import Report

VARIABLE = "MEDRAG_ISOLATION"
SECONDS = 180.0  # that a worker may be silent: a page, an image
STARTING = 60.0  # seconds that a worker may take to be there
MEMORY = 4 << 30  # bytes that it may ask for beyond what it began with
ENDS = ("took more than", "needs more than", "its decoder ended the process")  # how such a record's problem begins
HINT = "leave the file out, or look at it with MEDRAG_ISOLATION=0"

Told = tuple[str, Any]
_idle: list[_Worker] = []
_lock = threading.Lock()
_here: Connection | None = None  # in a worker: its way to the process that asked


def wanted() -> bool:
    """Whether risky work goes to another process."""
    return os.name == "posix" and _here is None and os.environ.get(VARIABLE, "") != "0"


def each(where: str, work: Callable[..., Iterator[Any]], *args: Any, report: Report) -> Iterator[Any]:
    """What ``work(*args, report)`` yields, worked out in another process; where that ends badly, a BadRecord for ``where`` is reported last."""
    worker = _taken()
    try:
        yield from worker.run(work, args, report)
    except _Ended as ended:
        report(BadRecord(where, str(ended), HINT))
    finally:
        _put_back(worker)


def part(corpus: Any, key: str, report: Report) -> Iterator[Any]:
    """The items of one part of a corpus, read in another process where its reader is one of medrag's."""
    if wanted() and type(corpus).__module__.startswith("medrag."):
        return each(key, type(corpus).read_part, corpus, key, report=report)
    items: Iterator[Any] = corpus.read_part(key, report)
    return items


def items(corpus: Any, report: Report) -> Iterator[Any]:
    """The items of a corpus; where it comes in parts, such as files, each as `part` reads it."""
    if not hasattr(corpus, "parts"):
        return iter(corpus.read(report))
    return (item for key, _ in corpus.parts() for item in part(corpus, key, report))


def done(where: str, work: Callable[..., Any], *args: Any) -> Any:
    """What ``work(*args)`` returns, worked out in another process. Raises BadRecord where that ends badly, and what ``work`` raises."""
    worker = _taken()
    try:
        (found,) = worker.run(_one, (work, *args), _nobody)
    except _Ended as ended:
        raise BadRecord(where, str(ended), HINT) from None
    finally:
        _put_back(worker)
    return found


def beat() -> None:
    """Tells, from within long work, that it goes on; does nothing outside of a worker."""
    if _here is not None:
        _here.send(("beat", None))


class _Ended(Exception):
    """How a worker ended in the middle of its work."""


class _Worker:
    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        code = f"from medrag._util.apart import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        theirs.close()
        if not self._pipe.poll(STARTING):
            self.stop()

    def run(self, work: Callable[..., Iterator[Any]], args: tuple[Any, ...], report: Report) -> Iterator[Any]:
        finished = False
        try:
            self._next()  # it is ready
            self._pipe.send((work, args))
            while True:
                kind, value = self._next()
                if kind == "item":
                    yield value
                elif kind == "bad":
                    report(value)
                elif kind != "beat":
                    finished = True
                    if isinstance(value, MemoryError):
                        raise _Ended(f"needs more than {MEMORY >> 30} GiB of memory")
                    if value is not None:
                        raise value
                    return
        finally:
            if not finished:
                self.stop()

    def _next(self) -> Told:
        try:
            if not self._pipe.poll(SECONDS):
                raise _Ended(f"took more than {SECONDS:.0f} s")
            told: Told = self._pipe.recv()
        except (EOFError, OSError) as error:
            code = self._process.wait()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise _Ended(f"its decoder ended the process ({how})") from error
        return told

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()


def _taken() -> _Worker:
    with _lock:
        while _idle:
            if (worker := _idle.pop()).alive():
                return worker
    return _Worker()


def _put_back(worker: _Worker) -> None:
    """For the next piece of work, unless it was stopped."""
    if worker.alive():
        with _lock:
            _idle.append(worker)


@atexit.register
def close() -> None:
    """Ends the workers that are waiting."""
    while _idle:
        _idle.pop().stop()


def _one(work: Callable[..., Any], *args: Any) -> Iterator[Any]:
    """A function as an iterator of its only result; the last argument is the report, which it does not take."""
    yield work(*args[:-1])


def _nobody(_: BadRecord) -> None:
    raise AssertionError("a function reports nothing")


def serve(number: int) -> None:
    """A worker: pieces of work come through a pipe, what they give goes back, until the pipe ends."""
    global _here
    from medrag._util import offline

    offline.enforce_if_asked()
    _here = pipe = Connection(number)
    _limit()
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(("ready", None))
            work, args = pipe.recv()
            pipe.send(("end", _worked(pipe, work, args)))


def _worked(pipe: Connection, work: Callable[..., Iterator[Any]], args: tuple[Any, ...]) -> Exception | None:
    """Sends what the work gives; the exception that ended it."""
    try:
        for item in work(*args, lambda bad: pipe.send(("bad", bad))):
            pipe.send(("item", item))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an exception of C code or with arguments of its own
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error
    return None


def _limit() -> None:
    """No more memory than `MEMORY` beyond what is there, and no core file."""
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with Path("/proc/self/statm").open(encoding="ascii") as pages:
            limit = int(pages.read().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
