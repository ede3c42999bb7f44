"""The line in front of the models: so many answers at once, so many waiting, and a clear no to the next.

Work is an iterator that is pulled step by step in a thread, so that nothing is made that nobody takes, and so that a client who goes
away, or a clock that runs out, ends it between two steps. It knows nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from medrag.errors import MedragError

PULSE = 0.25  # seconds between two looks whether the client is still there
GRACE = 2.0  # seconds that the end of the server waits for a step that runs
_END = object()


class Busy(MedragError):
    """As many are waiting as may wait."""

    retry_after = 2  # seconds


BUSY = ("as many questions as may wait are waiting", "ask again in a moment")


class TooSlow(MedragError):
    """The clock of a request ran out."""


@dataclass(frozen=True, slots=True)
class Queued:
    """The place in line: 0 is at work already."""

    place: int


class WorkQueue:
    """`enter` takes a place or raises `Busy`; `Ticket.steps` does the work in its turn, `Ticket.leave` gives the place back."""

    def __init__(self, workers: int, waiting: int, timeout: float) -> None:
        self.workers, self.waiting, self.timeout = workers, waiting, timeout
        self.inside = 0  # at work or in line
        self._slots = asyncio.Semaphore(workers)
        self._pool = _Threads(workers)

    @property
    def full(self) -> bool:
        """Whether `enter` would raise."""
        return self.inside >= self.workers + self.waiting

    def enter(self) -> Ticket:
        """A place in line. Raises Busy where there is none."""
        if self.full:
            raise Busy(*BUSY)
        self.inside += 1
        return Ticket(self)

    async def close(self) -> None:
        """Starts no other step, and lets the one that is running end, unless it takes too long: it may be waiting for a model that never answers."""
        await asyncio.to_thread(self._pool.close, GRACE)


class _Threads:
    """Threads that do one job after the other, and that no end of a process waits for."""

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._closed, self._count = False, count
        self._lock = threading.Lock()  # nothing is put in once it is closed
        self._threads: list[threading.Thread] = []

    def submit(self, job: Callable[[], Any]) -> Future[Any]:
        """Begins the threads with the first job. Raises RuntimeError once it is closed."""
        future: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("closed")
            self._jobs.put((future, job))
            while len(self._threads) < self._count:
                self._begin(f"answer_{len(self._threads)}")
        return future

    def _begin(self, name: str) -> None:
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def close(self, seconds: float) -> None:
        """Cancels what has not begun, and waits so long at most for what has."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(Empty):
            while waiting := self._jobs.get_nowait():
                waiting[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))

    def _work(self) -> None:
        while taken := self._jobs.get():
            future, job = taken
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except BaseException as error:
                    future.set_exception(error)
            del taken, future, job  # nothing of a request is kept


class Ticket:
    """A place in line, used once, by `steps`; who took it calls `leave` in the end, whether the work began or not."""

    def __init__(self, queue: WorkQueue) -> None:
        self.queue, self._left, self._holds = queue, False, False
        self._work: Iterator[Any] | None = None
        self._step: Future[Any] | None = None

    def leave(self) -> None:
        """Closes the work and gives the place back, as soon as the step that may still be running in its thread is over.

        A second time does nothing. Called in the loop.
        """
        if self._left:
            return
        self._left = True
        over = functools.partial(self._end, asyncio.get_running_loop())
        if self._step is not None and not self._step.done():
            self._step.add_done_callback(over)
        elif self._work is not None:
            try:
                self.queue._pool.submit(over)
            except RuntimeError:  # the pool is closed: so is the line
                self._give_back()
        else:
            self._give_back()

    def _end(self, loop: asyncio.AbstractEventLoop, step: Future[Any] | None = None) -> None:
        made = self._work
        if made is None and step is not None and not step.cancelled() and step.exception() is None:
            made = step.result()  # `start` ended after we had given up on it
        close = getattr(made, "close", None)
        with contextlib.suppress(Exception):  # what is thrown away may fail as it likes
            if close:
                close()
        with contextlib.suppress(RuntimeError):  # the loop is gone: so is the line
            loop.call_soon_threadsafe(self._give_back)

    def _give_back(self) -> None:
        self.queue.inside -= 1
        if self._holds:
            self.queue._slots.release()

    async def steps(
        self, start: Callable[[], Iterator[Any]], gone: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[Any]:
        """`Queued`, then what the iterator that ``start`` makes yields; it ends early where ``gone()`` says that nobody listens.

        Raises what the work raises, and TooSlow when the queue's time is over.
        """
        loop = asyncio.get_running_loop()
        until, looked = loop.time() + self.queue.timeout, loop.time()
        try:
            yield Queued(max(self.queue.inside - self.queue.workers, 0))
            if not await self._turn(until, gone):
                return
            while True:
                if loop.time() - looked > PULSE:  # short steps are not waited for long enough to look
                    looked = loop.time()
                    if await gone():
                        return
                step = self._step = self.queue._pool.submit(start if self._work is None else _next(self._work))
                if not await _over(step, until, gone):
                    return
                found = step.result()
                if self._work is None:
                    self._work = found
                elif found is _END:
                    return
                else:
                    yield found
        finally:
            self.leave()

    async def _turn(self, until: float, gone: Callable[[], Awaitable[bool]]) -> bool:
        """Whether the turn came; False where the client left."""
        turn = asyncio.ensure_future(self.queue._slots.acquire())
        try:
            self._holds = await _over(turn, until, gone)
        finally:
            if not self._holds and not turn.cancel() and turn.done() and not turn.cancelled():
                self._holds = turn.exception() is None  # it came at the last moment: `leave` gives it on
        return self._holds


def _next(work: Iterator[Any]) -> Callable[[], Any]:
    return lambda: next(work, _END)


async def _over(step: Future[Any] | asyncio.Future[Any], until: float, gone: Callable[[], Awaitable[bool]]) -> bool:
    """Waits for a step; False where the client left before. Raises TooSlow."""
    future = asyncio.wrap_future(step) if isinstance(step, Future) else step
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # who gave up on it does not look
    while True:
        left = until - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait([future], timeout=max(min(PULSE, left), 0))
        if done:
            return True
        if left <= 0:
            raise TooSlow(
                "the answer took longer than it may", "ask again, or start the server with a longer --timeout"
            )
        if await gone():
            return False
