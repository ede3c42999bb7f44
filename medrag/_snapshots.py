"""Snapshots of an index, with what was read for it, and their way back."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

from medrag._swap import one_line, swap
from medrag._util.files import linked
from medrag.errors import IndexMissing, SettingsError
from medrag.indexes.manifest import NAME, Manifest, read_manifest, verify_files
from medrag.indexes.records import FILE as RECORDS
from medrag.indexes.records import Records
from medrag.indexes.store import discard, snapshot, workspace, writing

READ = "items.d"  # in a snapshot: what was read for the index


def keep(folder: Path, target: Path) -> None:
    """A snapshot of an index as it is now, with what was read for it. Raises IndexMissing, SettingsError (see `snapshot`)."""
    read_manifest(folder)
    snapshot(folder, target)
    readings = workspace(folder) / "items"
    if not (told := _signatures_of(folder)) or any(_signature(readings, name) != told[name] for name in told):
        return  # an early index, or another build has begun since: what was read is not this index's
    (target / READ).mkdir()
    for name in told:
        for suffix in (".jsonl", ".json"):
            linked(readings / f"{name}{suffix}", target / READ / f"{name}{suffix}")


def _signatures_of(folder: Path) -> dict[str, str]:
    """What an index was made of, by corpus; nothing where it does not know."""
    if not (folder / RECORDS).is_file():
        return {}
    with closing(Records(folder / RECORDS)) as records:
        return dict(records.about("signatures", {}))


def _signature(readings: Path, name: str) -> str | None:
    """Of what was read of a corpus; None where nothing was."""
    try:
        return str(json.loads((readings / f"{name}.json").read_text(encoding="utf-8"))["signature"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def restore(source: Path, folder: Path, name: str = "") -> None:
    """Puts a snapshot in the place of an index, and what was read for it in the workspace; the snapshot stays.

    ``name`` is the recipe's whose index it has to be. Raises SettingsError where it is another's, no snapshot at all, or holds a link or
    a file that no snapshot has, IndexCorrupt where it is damaged.
    """
    try:
        manifest = read_manifest(source)
    except IndexMissing as error:
        hint = "name the folder that `medrag index snapshot` made"
        raise SettingsError(f"{source} is no snapshot of an index", hint) from error
    if name and manifest.name != name:
        raise SettingsError(
            f"{source} is a snapshot of the index {manifest.name!r}, not of {name!r}", "--yes restores it all the same"
        )
    _only_known(source, manifest)
    verify_files(source, manifest, thorough=True)
    with writing(folder) as work, one_line(folder):
        discard(work / "next", folder)
        snapshot(source, work / "next")
        (work / "items").mkdir(exist_ok=True)
        for path in sorted((work / "next" / READ).glob("*"), reverse=True):  # the lines before what is said of them
            linked(path, work / "items" / path.name)
        shutil.rmtree(work / "next" / READ, ignore_errors=True)
        swap(work / "next", folder, work)


def _only_known(source: Path, manifest: Manifest) -> None:
    """Refuses links, which may lead anywhere, and files that neither the manifest names nor `keep` writes."""
    read = {f"{READ}/{name}{suffix}" for name in manifest.counts for suffix in (".jsonl", ".json")}
    known = {NAME, *manifest.files, *read}
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_symlink():
            raise SettingsError(
                f"{path} is a link: what it leads to is not of this snapshot", "take it out, or make a new snapshot"
            )
        if not path.is_dir() and name not in known:
            raise SettingsError(f"{path} is no file of this snapshot: its manifest does not name it", "take it out")
