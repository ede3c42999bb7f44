"""Names and objects → generators."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medrag import models, plugins
from medrag.errors import ModelMissing, SettingsError
from medrag.protocols import Generator
from medrag.testing import FakeGenerator
from medrag.vlms import open_generator
from medrag.vlms.extractive import Extractive
from medrag.vlms.openai import OpenAICompatible
from medrag.vlms.replay import Replay
from medrag.vlms.small import MedragSmall
from medrag.vlms.transformers import Transformers


def test_plain_names() -> None:
    assert isinstance(open_generator("extractive"), Extractive)
    assert isinstance(open_generator("medrag-small"), MedragSmall)
    assert open_generator("extractive", sentences=2).sentences == 2  # type: ignore[attr-defined]


def test_every_generator_of_the_table_and_every_plugin_opens_or_says_what_it_lacks() -> None:
    names = [*plugins.names("vlms"), *(name for name, row in models.table().items() if row.role == "generator")]
    for name in names:
        try:
            assert isinstance(open_generator(name), Generator)
        except SettingsError as error:
            assert name in ("openai", "langchain", "replay", "transformers"), error
        except ModelMissing as error:  # whether it sees is read from files that are not here
            assert models.table()[name].hub and f"medrag models get {name}" in error.hint


def test_prefixes_paths_and_hub_ids(tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text("")
    assert isinstance(open_generator(f"replay:{tmp_path / 'said.jsonl'}"), Replay)
    server = open_generator("openai:org/model:tag", base_url="http://localhost:1/v1")
    assert isinstance(server, OpenAICompatible)
    assert server.name == "org/model:tag"
    assert isinstance(open_generator("org/model"), Transformers)
    assert isinstance(open_generator(str(tmp_path)), Transformers)
    assert isinstance(open_generator("transformers:org/model"), Transformers)
    assert isinstance(open_generator("medrag.vlms.extractive:Extractive"), Extractive)


def test_objects_are_taken_as_they_are() -> None:
    fake = FakeGenerator()
    assert open_generator(fake) is fake
    with pytest.raises(SettingsError, match="options do not apply"):
        open_generator(fake, temperature=1)
    with pytest.raises(SettingsError, match="list is no generator: it has no stream, name, sees_images"):
        open_generator([])


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("extractiv", {}, "did you mean 'extractive'?"),
        ("medrag-smal", {}, "did you mean 'medrag-small'?"),
        ("qqqq", {}, "known: extractive"),
        ("minilm", {}, "known: extractive"),
        ("extractive", {"sentence": 3}, "did you mean 'sentences'?"),
        ("extractive", {"zzz": 3}, "known: floor, sentences"),
        ("transformers", {}, "folder"),
        ("nothing:else", {}, "known: extractive"),
        ("opnai:gpt", {}, "did you mean 'openai:gpt'?"),
        ("medrag.vlms.extractive:Missing", {}, "spelling"),
    ],
)
def test_what_nothing_knows_is_refused(name: str, options: dict[str, int], hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_generator(name, **options)
    assert hint in caught.value.hint


def test_opening_loads_no_heavy_library() -> None:
    code = (
        "import sys; from medrag.vlms import open_generator; open_generator('extractive'); open_generator('medrag-small'); "
        "open_generator('openai:m', base_url='http://localhost:1/v1'); "
        "print(sorted({'torch', 'transformers', 'openai', 'langchain_core', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"


def test_a_folder_that_was_trained_here_is_the_small_model(tmp_path):
    (tmp_path / "medrag_vlm.json").write_text("{}", encoding="utf-8")
    made = open_generator(str(tmp_path))
    assert type(made).__name__ == "MedragSmall" and made.name == str(tmp_path)
