"""The manifest of an index on disk: what was built from what, with a checksum for every file. Written last.

Its presence means that the index is complete. It carries a seal, a hash of itself, so that a changed manifest is
noticed like any other changed file. Knows nothing of what the files hold.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medrag._util.files import fsync_tree, inside, sha256_file, sha256_text, write_json
from medrag.errors import IndexCorrupt, IndexMismatch, IndexMissing, MedragError

FORMAT = 1
NAME = "manifest.json"
NOTE = "recipe.txt"  # in the workspace
SMALL = 32 << 20  # bytes; files up to here are hashed whenever an index is opened


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an index folder says about itself. ``content_hash`` says what was indexed, whenever and wherever it was built:
    two builds are equal when it is."""

    name: str
    recipe: Mapping[str, Any]
    key: str  # of recipe, corpora and encoders: a build with the same key has nothing to do
    encoders: Mapping[str, Mapping[str, Any]]  # model, fingerprint and dim by the recipe's name
    counts: Mapping[str, Mapping[str, int]]  # by corpus and kind, as read
    content: Mapping[str, str]  # hash of the items, of the graph, and of each index
    content_hash: str
    skipped: tuple[Mapping[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()  # ids and documents taken out since
    created: str = ""
    medrag: str = ""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # size and sha256 by path
    format: int = FORMAT

    def write(self, folder: Path, before: Path | None = None) -> Manifest:
        """Checksums every file of the folder and writes the manifest; a file that is one of the folder ``before`` under a second name keeps its own."""
        known = read_manifest(before).files if before else {}
        files = {}
        for path in _files(folder):
            name = str(path.relative_to(folder))
            same = before and name in known and (before / name).is_file() and path.samefile(before / name)
            files[name] = known[name] if same else _entry(path)
        fsync_tree(folder)
        sealed = dataclasses.replace(self, files=files)
        raw = dataclasses.asdict(sealed)
        write_json(folder / NAME, {**raw, "seal": _seal(raw)})
        return sealed


def read_manifest(folder: Path, name: str = "") -> Manifest:
    """The manifest of a folder.

    Raises IndexMissing where there is none, IndexMismatch for another format, IndexCorrupt when it was changed.
    """
    name = name or guess_name(folder)
    path = folder / NAME
    if not path.is_file():
        raise IndexMissing(f"the index {name!r} was not built ({folder} has no {NAME})", build_command(folder, name))
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        seal = raw.pop("seal")
        if raw.get("format") != FORMAT:
            raise IndexMismatch(
                f"the index {name!r} has format {raw.get('format')}, this medrag reads {FORMAT}",
                build_command(folder, name),
            )
        if seal != _seal(raw):
            raise ValueError("its seal does not fit")
        raw.update({key: tuple(raw[key]) for key in ("skipped", "warnings", "deleted")})
        return Manifest(**raw)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexCorrupt(f"{path} is damaged", build_command(folder, name)) from error


def verify_files(folder: Path, manifest: Manifest, *, thorough: bool = False) -> None:
    """Compares the files with the manifest: sizes always, checksums of files up to 32 MiB, and of all when ``thorough``.

    Raises IndexCorrupt naming the first file that differs.
    """
    command = build_command(folder, manifest.name)
    for name, expected in manifest.files.items():
        try:
            path = inside(folder, name)
            size = path.stat().st_size
        except (OSError, MedragError) as error:
            raise IndexCorrupt(f"{folder / name} is gone", command) from error
        if size != expected["size"]:
            raise IndexCorrupt(f"{path} has {size:,} bytes, expected {expected['size']:,}", command)
        if (thorough or size <= SMALL) and sha256_file(path) != expected["sha256"]:
            raise IndexCorrupt(f"{path} was changed (its checksum differs)", command)


def workspace(folder: Path) -> Path:
    """The folder beside an index where it is built: what was read so far, and the lock. It may be deleted at any time."""
    return folder.with_name(f"{folder.name}.work")


def noted(folder: Path) -> Path | None:
    """The recipe file that the index in a folder was built from, where it is still there."""
    try:
        known = Path((workspace(folder) / NOTE).read_text(encoding="utf-8", errors="surrogateescape"))
        return known if known.is_file() else None
    except (OSError, ValueError):
        return None


def build_command(folder: Path, name: str = "") -> str:
    """The command that builds the index in a folder again, with the recipe file that it was built from where that is known. Deletions hold,
    unless it is the manifest that is damaged, which the build tells."""
    return f"medrag index build {shlex.quote(str(noted(folder) or name or guess_name(folder)))}"


def guess_name(folder: Path) -> str:
    """The recipe that a folder was built from, by where it lies: ``indexes/NAME/built`` or ``indexes/NAME``."""
    return folder.parent.name if folder.name == "built" else folder.name


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)


def _entry(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_file(path)}


def _seal(raw: Mapping[str, Any]) -> str:
    return sha256_text(json.dumps(raw, sort_keys=True, ensure_ascii=True))
