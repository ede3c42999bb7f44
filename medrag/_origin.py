"""Which recipe file an index was built from, noted in its workspace, so that of two recipes with one name neither stands in for the other.

An index whose note is gone, or whose recipe file is gone or was moved, is anybody's.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from medrag.errors import IndexMismatch, SettingsError
from medrag.indexes.manifest import NAME as MANIFEST
from medrag.indexes.manifest import NOTE, noted, workspace
from medrag.settings import Recipe


def remember(folder: Path, file: Path) -> None:
    """Notes the recipe file of an index."""
    note = workspace(folder) / NOTE
    note.write_text(str(file.resolve()), encoding="utf-8", errors="surrogateescape")


def another(folder: Path, file: Path) -> Path | None:
    """The recipe file that the index in a folder was built from, where it is still there and not this one."""
    known = noted(folder)
    return known if known != file.resolve() else None


def refuse_to_replace(name: str, folder: Path, file: Path) -> None:
    """Raises SettingsError where an index is there that another recipe file made."""
    if (folder / MANIFEST).is_file() and (other := another(folder, file)):
        raise SettingsError(
            f"the index {name!r} was built from {other}, not from {file}",
            f"give one of the two another name, or: medrag index build {shlex.quote(str(file))} --replace",
        )


def refuse_to_answer(recipe: Recipe, there: Recipe, folder: Path, file: Path) -> None:
    """Raises IndexMismatch where the index, built from the recipe ``there``, is not that of a recipe file: it lacks one of
    its corpora, or another file made it from other ones. Corpora that were appended to it do no harm."""
    lacking = {(one.name, one.reader) for one in recipe.corpora} - {(one.name, one.reader) for one in there.corpora}
    other = another(folder, file)
    apart = {(one.name, one.path) for one in recipe.corpora} ^ {(one.name, one.path) for one in there.corpora}
    if not lacking and not (other and apart):
        return
    what = f"has no corpus {min(lacking)[0]!r} as {file} says" if lacking else f"holds other files than {file} says"
    raise IndexMismatch(
        f"the index {recipe.name!r} {what}" + (f": it was built from {other}" if other else ""),
        "give one of the two recipes another name" if other else f"medrag index build {shlex.quote(str(file))}",
    )
