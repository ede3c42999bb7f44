"""Everything that medrag raises on purpose. Each message says what is wrong and names what mends it.

MedragError
├── SettingsError         a setting, recipe or name that does not exist or does not fit
├── MissingDependency     a package that an option needs is not installed
├── ModelMissing          weights or data that must be fetched first
├── CorpusError           a corpus as a whole cannot be read (missing, empty, wrong layout)
├── BadRecord             one record of a corpus cannot be read: reported and skipped by a build
│   └── ImageError        an image cannot be read
├── IndexProblem          an index on disk cannot be used
│   ├── IndexMissing      it was never built
│   ├── IndexMismatch     it was built with another encoder or format
│   ├── IndexCorrupt      a file is gone, cut short or changed
│   └── IndexLocked       somebody else is writing to it
├── GeneratorError        the language model failed or cannot be reached
└── OfflineError          something wanted to reach another machine, which is forbidden
"""

from __future__ import annotations

from typing import Any


class MedragError(Exception):
    """Base of all expected failures. ``hint`` is the command or setting that mends it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.hint)

    def __str__(self) -> str:
        return f"{self.message} → {self.hint}" if self.hint else self.message


class SettingsError(MedragError):
    """A setting, recipe or name that does not exist or does not fit."""


class MissingDependency(MedragError):
    """A package that an option needs is not installed."""


class ModelMissing(MedragError):
    """Weights or data that must be fetched first."""


class CorpusError(MedragError):
    """A corpus as a whole cannot be read."""


class BadRecord(MedragError):
    """One record of a corpus cannot be read; a build reports it and goes on."""

    def __init__(
        self, source: str, problem: str, hint: str = "mend this record; the others are read without it"
    ) -> None:
        super().__init__(f"{source}: {problem}", hint)
        self.source = source
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.source, self.problem, self.hint)


class ImageError(BadRecord):
    """An image cannot be read."""


class IndexProblem(MedragError):
    """An index on disk cannot be used."""


class IndexMissing(IndexProblem):
    """The index was never built."""


class IndexMismatch(IndexProblem):
    """The index was built with another encoder, recipe or format."""


class IndexCorrupt(IndexProblem):
    """A file of the index is gone, cut short or changed."""


class IndexLocked(IndexProblem):
    """Another process is writing to the index."""


class GeneratorError(MedragError):
    """The language model failed or cannot be reached. ``kind``: "down", "timeout", "busy" (``retry_after`` seconds where it says so),
    "cut" (its limit of tokens was reached before a whole sentence), "no tools" (it takes no native tool calls), or "failed"."""

    def __init__(self, message: str, hint: str = "", kind: str = "failed", retry_after: float = 0.0) -> None:
        super().__init__(message, hint)
        self.kind, self.retry_after = kind, retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.hint, self.kind, self.retry_after)


class OfflineError(MedragError):
    """Something wanted to reach another machine, which MEDRAG_OFFLINE forbids."""
