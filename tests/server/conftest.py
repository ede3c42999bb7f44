"""The small index, built once, and one server over it."""

from __future__ import annotations

import pytest
from running import chest, recipe, running

from medrag import MedRAG
from medrag.build import build
from medrag.errors import ModelMissing
from medrag.settings import load_recipe


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    try:
        packages = next(p for p in chest().parents if p.name in ("packages", "site-packages"))
    except ModelMissing as missing:
        pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        if packages.name == "packages":  # what is fetched stays where it is; what is built goes elsewhere
            (folder / "home").mkdir()
            (folder / "home" / "packages").symlink_to(packages)
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        path = recipe(folder)
        build(load_recipe(path))
        yield path


@pytest.fixture(scope="session")
def rag(recipe_file):
    return MedRAG.open(recipe_file)


@pytest.fixture(scope="session")
def url(rag):
    with running(rag) as address:
        yield address
