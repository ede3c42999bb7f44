"""What goes into the wheel: the data it needs, and nothing that was built from other people's text."""

import zipfile

import pytest

from medrag import __version__
from medrag._util.places import checkout

ROOT = checkout()


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    from hatchling.builders.wheel import WheelBuilder

    assert ROOT is not None
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    assert f"medrag-{__version__}" in wheel
    with zipfile.ZipFile(wheel) as bundle:
        return set(bundle.namelist())


def test_the_wheel_holds_what_the_demo_needs(names):
    share = "medrag/_share"
    for name in (
        "medrag/py.typed", "medrag/presets/packages.yaml", "medrag/presets/models.yaml", "medrag/presets/answer.html.j2",
        "medrag/presets/router-lite2.safetensors", f"{share}/indexes/sample/recipe.yaml", f"{share}/corpora/sample/iu_uids.txt",
        f"{share}/corpora/sample/images.csv", f"{share}/corpora/sample/primer/primer.pdf", f"{share}/pipelines/02_answer.py", f"{share}/eval/tasks/iu_xray_report.yaml",
    ):  # fmt: skip
        assert name in names, name


def test_the_wheel_holds_nothing_that_was_built_or_fetched(names):
    assert not [
        name for name in names if "/built" in name or name.endswith((".jsonl", ".db", ".faiss", ".tgz", ".dcm"))
    ]
    assert not [name for name in names if name.startswith(("tests/", "eval/", ".venv/"))]
