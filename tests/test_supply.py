"""The locked environment: every package pinned by hash, nothing taken from an address, nothing that medrag needs left out."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from medrag._util.places import checkout

ROOT = checkout() or Path()
LOCK = ROOT / ".ci/lock.txt"


def entries() -> dict[str, list[str]]:
    """The hashes of each pinned package."""
    found: dict[str, list[str]] = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if pinned := re.match(r"([a-z0-9][a-z0-9._-]*)(?:\[[\w,-]+\])?==[\w.+!-]+", line):
            found[pinned[1]] = hashes = []
        hashes += re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
    return found


def test_every_package_is_pinned_by_hash_and_none_by_address() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert "://" not in text and "index-url" not in text and " @ " not in text
    assert len(entries()) > 100 and [name for name, hashes in entries().items() if not hashes] == []


def test_what_medrag_needs_is_in_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = re.search(r'--editable "\.\[(sample,test[^]]*)\]"', (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert installed
    wanted = [*project["dependencies"], *(one for extra in installed[1].split(",") for one in project["optional-dependencies"][extra])]  # fmt: skip
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", one)[0]).lower() for one in wanted}
    assert names - entries().keys() == set(), "run: .ci/supply lock"


def test_the_script_says_what_it_does() -> None:
    told = subprocess.run([str(ROOT / ".ci/supply")], capture_output=True, text=True)
    assert told.returncode == 2 and "sbom.json" in told.stdout


def test_links_of_the_threat_model_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert all((ROOT / name).exists() for name in re.findall(r"\]\((?!http)([\w./-]+)\)", text))


def test_the_licence_of_every_package_that_is_named_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=~!; ]", one)[0].lower() for one in wanted} - {"medrag"}
    rows = re.findall(r"^\|(.+)\|$", (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {word for row in rows for word in re.findall(r"[a-z0-9][a-z0-9._-]*", row.lower())}
    assert names - listed == set()
