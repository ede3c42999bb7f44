"""A built index on disk, opened: checked against its manifest, its parts loaded when they are asked for.

Knows where the parts lie (``manifest.json``, ``items.db``, ``graph.db``, one folder for each index of the recipe), not
how they are built (medrag/build.py) nor what is asked of them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from medrag import plugins
from medrag._util.files import linked, write_error
from medrag.errors import IndexCorrupt, IndexLocked, IndexMismatch, MedragError, SettingsError
from medrag.indexes.items import ItemStore
from medrag.indexes.manifest import NAME, Manifest, build_command, guess_name, read_manifest, verify_files, workspace
from medrag.protocols import Encoder
from medrag.settings import Recipe, parse

__all__ = ["ItemStore", "Manifest", "Store", "discard", "open_store", "recipe_of", "steadily", "workspace", "writing"]


T = TypeVar("T")
TRIES = 50  # to open an index that others replace


class Store:
    """``items``, ``index(name)``, ``graph_path``, ``manifest`` and ``recipe`` of a built index."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.recipe = recipe_of(manifest)
        self._indexes: dict[str, Any] = {}

    @functools.cached_property
    def items(self) -> ItemStore:
        return ItemStore.open(self.folder / "items.db")

    def hold(self) -> None:
        """Opens every part now, so that later answers come from this state of the index, also after another took its place.

        What an index takes the place of is deleted, but open files stay. See `steadily`.
        """
        len(self.items)
        for name in self.recipe.indexes:
            self.index(name)

    @property
    def graph_path(self) -> Path:
        """The knowledge graph's file; it exists where the recipe brings concepts or statements."""
        return self.folder / "graph.db"

    def index(self, name: str, encoder: Encoder | None = None) -> Any:
        """An index of the recipe, opened once. ``encoder`` is checked: it must be the one that made the vectors.

        Raises SettingsError for a name that the recipe does not have, IndexMismatch for another encoder, IndexCorrupt
        when it cannot be read.
        """
        settings = self.recipe.indexes.get(name)
        if settings is None:
            raise SettingsError(
                f"the index {self.recipe.name!r} has no part {name!r}",
                f"known: {', '.join(self.recipe.indexes) or 'none'}",
            )
        if encoder is not None:
            self.check_encoder(name, encoder)
        if name not in self._indexes:
            self._indexes[name] = self._opened(name, settings.kind)
        return self._indexes[name]

    def _opened(self, name: str, kind: str) -> Any:
        try:
            return plugins.load("indexes", kind).open(self.folder / name)
        except MedragError:
            raise
        except Exception as error:  # what numpy, FAISS and JSON raise on files that are not theirs
            reason = " ".join(str(error).split())[:120]
            raise IndexCorrupt(
                f"{self.folder / name} cannot be read: {reason}", build_command(self.folder, self.recipe.name)
            ) from error

    def check_encoder(self, name: str, encoder: Encoder) -> None:
        """Raises IndexMismatch, naming both, unless the encoder is the one that built the index."""
        role = self.recipe.indexes[name].encoder
        built = self.manifest.encoders.get(role)
        if built is None:
            raise IndexMismatch(
                f"the part {name!r} of index {self.recipe.name!r} was built without an encoder", "search it by words"
            )
        if built["fingerprint"] != encoder.fingerprint:
            raise IndexMismatch(
                f"the part {name!r} of index {self.recipe.name!r} was built with {built['model']} ({built['fingerprint']}), not with {encoder.name} ({encoder.fingerprint})",
                f"use that encoder, or: {build_command(self.folder, self.recipe.name)}",
            )


def recipe_of(manifest: Manifest) -> Recipe:
    """The recipe that an index was built from. How it is asked does not shape it: pipeline settings that this medrag
    does not know any more are left out.

    Raises IndexMismatch when the part that shapes the index cannot be read.
    """
    where, raw = f"the recipe inside index {manifest.name!r}", dict(manifest.recipe)
    with contextlib.suppress(SettingsError):
        known: Recipe = parse(Recipe, raw, where)
        return known
    raw.pop("pipeline", None)
    try:
        shaping: Recipe = parse(Recipe, raw, where)
        return shaping
    except SettingsError as error:
        raise IndexMismatch(
            f"{error.message} (built by medrag {manifest.medrag})", f"medrag index build {manifest.name}"
        ) from error


def open_store(folder: Path, *, verify: bool = False, name: str = "") -> Store:
    """A finished index. Sizes are compared with the manifest, and checksums of files up to 32 MiB (all with ``verify``).

    Raises IndexMissing, IndexMismatch or IndexCorrupt, each with the command that mends it.
    """

    def opened() -> Store:
        manifest = read_manifest(folder, name)
        verify_files(folder, manifest, thorough=verify)
        return Store(folder, manifest)

    return steadily(folder, opened)


def steadily(folder: Path, work: Callable[[], T]) -> T:
    """What ``work`` gives, which opens the index: done again where another took its place meanwhile, so that all of it is of one state.

    Raises what ``work`` raises of an index that stayed, IndexLocked of one that did not stay for long enough.
    """
    for _ in range(TRIES):
        before = _stamp(folder)
        try:
            found = work()
        except MedragError:
            if _stamp(folder) == before:
                raise
        else:
            if _stamp(folder) == before:
                return found
    raise IndexLocked(
        f"the index {guess_name(folder)!r} is replaced faster than it can be opened", "wait until the writing ends"
    )


def _stamp(folder: Path) -> tuple[int, ...] | None:
    """Changes whenever another index takes this place."""
    try:
        state = (folder / NAME).stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_mtime_ns


def snapshot(folder: Path, target: Path) -> None:
    """A second folder with the same files: an index is never changed in place. What its parts keep elsewhere, on a server, is not kept by it.

    Raises SettingsError where the folder is there already or a part lies elsewhere.
    """
    if target.exists():
        raise SettingsError(f"{target} is there already", "name a new folder")
    if far := next(folder.glob("*/elsewhere.json"), None):
        raise SettingsError(f"the part {far.parent.name!r} lies on a server", "medrag index convert NAME --to faiss")
    shutil.copytree(folder, target, copy_function=linked)


def discard(folder: Path, heir: Path | None = None) -> None:
    """Removes the folder of an index, with what its parts keep elsewhere (a collection of a server) unless the heir uses it too.

    Where the server cannot be reached, what lies there stays.
    """
    for place in folder.glob("*/elsewhere.json"):
        with contextlib.suppress(MedragError, OSError, ValueError, KeyError):
            kind = json.loads(place.read_text(encoding="utf-8"))["kind"]
            plugins.load("indexes", kind).drop(place.parent, heir / place.parent.name if heir else None)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Holds the right to write to an index and gives its workspace; the system takes it back when the process ends.

    Raises IndexLocked naming the process that holds it, MedragError where nothing can be written.
    """
    from filelock import FileLock, Timeout

    work = workspace(folder)
    owner, lock = work / "lock.pid", FileLock(work / "lock")
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        owner.write_text(str(os.getpid()))
    except Timeout as error:
        pid = owner.read_text() if owner.is_file() else "unknown"
        raise IndexLocked(
            f"process {pid} is writing to the index {guess_name(folder)!r}", "wait until it ends, or stop it"
        ) from error
    except OSError as error:
        raise write_error(work, error) from error
    try:
        yield work
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
