"""What stands around the path of a question: its clock, the checks of what was given, and errors of other people's code told as medrag's own.

It knows no index and no model.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from medrag._util.near import meant
from medrag.errors import GeneratorError, MedragError, SettingsError

if TYPE_CHECKING:
    from medrag.protocols import Generator, Retriever

T = TypeVar("T")
THREAD = "medrag-source"
MOST = 32  # sources asked at a time, by all questions together
Asked = tuple[Any, str, Sequence[str]]  # image, question, exclude


def as_they_come(ask: Callable[[str], T], names: Sequence[str]) -> Iterator[tuple[str, T]]:
    """What each of the names gives, in the order in which it comes; several are asked at a time, each with the caller's context variables."""
    nested = threading.current_thread().name.startswith(THREAD)  # a source that asks itself must wait for no thread
    if len(names) < 2 or nested:
        yield from ((name, ask(name)) for name in names)
        return
    waiting = {_threads().submit(contextvars.copy_context().run, ask, name): name for name in names}
    try:
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:  # nobody is left at work on what its owner may close
        for one in waiting:
            one.cancel()
        wait(waiting)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST, thread_name_prefix=THREAD)


def name_of(value: Any) -> str:
    """An option that is no plain value, such as a function or a client, by the name of what it is."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


class Closed(dict[str, Any]):
    """The retrievers of a pipeline that was closed: whoever asks for one is told."""

    def _told(self, *_: Any) -> Any:
        raise SettingsError("this index was closed", "open it again: MedRAG.open(…)")

    __getitem__ = __iter__ = __len__ = get = items = keys = values = _told


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


@contextlib.contextmanager
def telling(generator: Generator) -> Iterator[None]:
    """Whatever else a generator raises, as GeneratorError: its kind and place, not its words, which may be a patient's."""
    try:
        yield
    except MedragError:
        raise
    except Exception as error:  # somebody's own code, or a library's
        raise GeneratorError(
            f"the generator {generator.name} failed: {place_of(error)}",
            "mend it there, or take another model; the error's __cause__ says more",
        ) from error


@contextlib.contextmanager
def naming(name: str, retriever: Retriever) -> Iterator[None]:
    """Whatever else a retriever of one's own raises, as MedragError that names it."""
    try:
        yield
    except MedragError:
        raise
    except Exception as error:
        if type(retriever).__module__.startswith("medrag."):
            raise
        hint = "mend it there; the error's __cause__ says more"
        raise MedragError(f"the retriever {name!r} failed: {place_of(error)}", hint) from error


def place_of(error: Exception) -> str:
    """The kind of an error and where it was raised."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"


def check_options(
    loop: Any, options: Mapping[str, Any], agent: Any = True, also: Sequence[str] = ("patient", "thread")
) -> None:
    """Raises SettingsError for an option that the search loop does not read, and for more than a yes or no to ``agent``."""
    if agent not in (True, False):
        raise SettingsError(f"agent is {agent!r}, not True or False", f"add agent=True, policy={agent!r}")
    known = {*inspect.signature(loop).parameters, *also} - {"rag"}
    for name in options.keys() - known:
        raise SettingsError(f"nothing reads the option {name!r}", meant(name, sorted(known)))


def check_asked(asked: Sequence[Asked]) -> None:
    """Raises SettingsError for what is no (image, question, exclude)."""
    for one in asked:
        if isinstance(one, str) or not isinstance(one, Sequence) or len(one) != 3:
            raise SettingsError(
                f"{one!r:.80} is no (image, question, exclude)", "give three of each: (None, question, ())"
            )
