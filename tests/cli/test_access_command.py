"""``--access``: every command that looks into an index shows the part that one's labels open, and no count of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from labelled import NAMES, QUESTIONS, recipe
from typer.testing import CliRunner

from medrag import MedRAG
from medrag.build import build
from medrag.cli.app import app
from medrag.cli.ask import open_index, tell_unknown
from medrag.cli.serve import labels_of
from medrag.errors import SettingsError

HIDDEN = {"alpha": ["x"], "gamma": ["x"]}
COMMANDS = (
    ("index", "info", "{}"),
    ("index", "search", "{}", QUESTIONS[0], "-k", "100"),
    ("graph", "info", "--index", "{}"),
    ("graph", "path", "pneumonia", "atelectasis", "--index", "{}", "-k", "50"),
    ("graph", "neighbours", "pneumonia", "--index", "{}"),
    ("ask", QUESTIONS[0], "--index", "{}"),
    ("ask", QUESTIONS[0], "--index", "{}", "--agent"),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("labelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        one = recipe(folder, labels=HIDDEN)
        build(one)
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(one.model_dump(mode="json")))
        yield str(path)


def values(*args: str) -> Any:
    result = CliRunner().invoke(app, [*args, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def corpora_in(value: Any) -> set[str]:
    return {name for name in NAMES if name in json.dumps(value)}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_shows_what_the_labels_open(file: str, command: tuple[str, ...]) -> None:
    named = [part.format(file) for part in command]
    assert corpora_in(values(*named)) <= {"beta", "delta", "kappa"}
    assert corpora_in(values(*named, "--access", "x")) & HIDDEN.keys()


def test_a_session_too(file: str) -> None:
    for access, seen in (([], {"beta", "delta", "kappa"}), (["--access", "x"], set(NAMES))):
        asked = "\n".join(QUESTIONS)
        result = CliRunner().invoke(app, ["chat", "--index", file, "--json", *access], input=asked)
        assert corpora_in(json.loads(result.stdout)) <= seen and len(json.loads(result.stdout)) == len(QUESTIONS)


def test_a_file_gives_tokens_their_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("a-token-of-many-letters: [research, clinic]\n")
    assert labels_of(path) == {"a-token-of-many-letters": ["research", "clinic"]} and labels_of(None) == {}
    path.write_text("- research\n")
    with pytest.raises(SettingsError, match="mapping"):
        labels_of(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        labels_of(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("written", "line", "problem"),
    [
        ("ok-token: [x]\nsecret-token: staff\n", 2, "are a list"),
        ("secret-token: {staff: x}\n", 1, "are a list"),
        ("secret-token:\n", 1, "are a list"),
        ("secret-token: [[staff]]\n", 1, "are a list"),
        ("secret-token: [x]\nsecret-token: [y]\n", 2, "has labels already"),
        ("secret-token: [x]: [y]\n", 1, "is not readable YAML"),
    ],
)
def test_a_mistake_in_it_is_told_by_its_line_and_never_by_the_token(
    tmp_path: Path, written: str, line: int, problem: str
) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(written)
    with pytest.raises(SettingsError, match=problem) as caught:
        labels_of(path)
    assert f"line {line}" in str(caught.value) and "secret" not in str(caught.value)


def test_tokens_and_labels_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("12345678901234567890: [2024, yes]\nother-token: []\n")
    assert labels_of(path) == {"12345678901234567890": ["2024", "yes"], "other-token": []}


def test_a_label_that_no_corpus_bears_is_told(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    tell_unknown(MedRAG.open(file), ["x", "stafff"])
    told = "no corpus of this index has the label 'stafff' (it has: x)\n"
    assert capsys.readouterr().err == told
    open_index(file, "", access=("x", "stafff"))
    assert capsys.readouterr().err == told
