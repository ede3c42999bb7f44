"""The small index, built once, and one server over it."""

from __future__ import annotations

import pytest
from running import at_home, chest, recipe, running

from medrag import MedRAG
from medrag.build import build
from medrag.errors import ModelMissing
from medrag.settings import load_recipe


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory):
    """The recipe of the small index, built; MEDRAG_HOME is the folder ``home`` beside it."""
    folder = tmp_path_factory.mktemp("served")
    try:
        packages = next(p for p in chest().parents if p.name in ("packages", "site-packages"))
    except ModelMissing as missing:
        pytest.skip(str(missing))
    (folder / "home").mkdir()
    if packages.name == "packages":  # what is fetched stays where it is; what is built goes elsewhere
        (folder / "home" / "packages").symlink_to(packages)
    path = recipe(folder)
    with at_home(path):
        build(load_recipe(path))
    return path


@pytest.fixture(scope="session")
def rag(recipe_file):
    with at_home(recipe_file):
        return MedRAG.open(recipe_file)


@pytest.fixture(scope="session")
def url(rag):
    with running(rag) as address:
        yield address
