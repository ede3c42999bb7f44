"""Readers of real data, each from files to medrag's records. This file opens them by name and checks them.

A reader is constructed ``Reader(name, path, **options)``; it yields every readable item and reports the rest.
"""

from __future__ import annotations

import inspect
import typing
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medrag import plugins
from medrag._util import apart
from medrag._util.images import one_line
from medrag._util.near import meant
from medrag._util.places import expand
from medrag.corpora._files import check_domain
from medrag.errors import BadRecord, CorpusError, SettingsError
from medrag.protocols import Corpus
from medrag.settings import CorpusSettings


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a corpus holds: items by kind, the first ids, and each record that cannot be read."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    skipped: tuple[BadRecord, ...] = ()


def open_corpus(settings: CorpusSettings, base: Path | None = None) -> Corpus:
    """The reader that a recipe names, ready to read; a relative path starts from ``base``, or from the working directory.

    Raises SettingsError for an unknown reader, option or a value of the wrong type, CorpusError for a path that is
    not there, ModelMissing for a registry package that was not fetched.
    """
    reader = plugins.load("corpora", settings.reader)
    _check_options(reader, settings)
    hint = f"check the path of the corpus {settings.name}"
    try:
        path = expand(settings.path, base)
        gone = "" if path.exists() else "is a link to nowhere" if path.is_symlink() else "does not exist"
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a NUL, of a home that nobody has
        raise CorpusError(f"{settings.path[:200]!r}: is no path: {one_line(error)}", hint) from error
    if gone:
        raise CorpusError(f"{path}: {gone}", hint)
    corpus: Corpus = plugins.make("corpora", settings.reader, reader, settings.name, path, **settings.options)
    check_domain(str(getattr(corpus, "domain", "")))
    return corpus


def check(corpus: Corpus, limit: int = 3) -> CheckReport:
    """Reads the whole corpus and tells what came. Raises CorpusError when nothing came.

    What a build leaves out is skipped here too, such as a file whose decoder ends its process, or an item whose id came before. A concept or statement may come
    again, as UMLS states a fact from both ends: the graph joins them.
    """
    counts: Counter[str] = Counter()
    first: list[str] = []
    skipped: list[BadRecord] = []
    seen: set[str] = set()
    for item in apart.items(corpus, skipped.append):
        if item.id in seen and item.kind not in ("concept", "triple"):
            hint = "rename one of the files or records"
            skipped.append(BadRecord(item.id, "this id came before; the first record is kept", hint))
            continue
        seen.add(item.id)
        counts[item.kind] += 1
        if len(first) < limit:
            first.append(item.id)
    if not counts:
        why = f": {skipped[0].message}" if skipped else ""
        raise CorpusError(f"{corpus.name}: no record can be read{why}", "check the corpus' path and its reader")
    return CheckReport(corpus.name, dict(counts), tuple(first), tuple(skipped))


def _check_options(reader: Any, settings: CorpusSettings) -> None:
    """Refuses options that the reader does not have and values that do not fit."""
    from pydantic import TypeAdapter, ValidationError

    parameters = list(inspect.signature(reader).parameters.values())
    known = [p.name for p in parameters[2:] if p.kind is not p.VAR_KEYWORD]
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    hints = _hints(reader)
    for name, value in settings.options.items():
        where = f"corpora.{settings.name}.options.{name}"
        if name not in known and not anything:
            raise SettingsError(f"{where}: the reader {settings.reader!r} has no such option", meant(name, known))
        if name in hints:
            try:
                TypeAdapter(hints[name]).validate_python(value)
            except ValidationError as error:
                raise SettingsError(f"{where}: {error.errors()[0]['msg']}", f"got {value!r}") from error


def _hints(reader: Any) -> dict[str, Any]:
    """The types of a reader's options, as far as they can be told."""
    try:
        return {**typing.get_type_hints(reader), **typing.get_type_hints(reader.__init__)}
    except (NameError, TypeError, AttributeError):
        return {}
