"""README stays true: its recipe is one, its commands and options exist, its readers and names are all there are."""

import re
from pathlib import Path

import pytest
import yaml
from shown import check

from medrag import plugins
from medrag._util.places import checkout
from medrag.settings import Recipe, parse

ROOT = checkout() or Path()
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def commands() -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks("") for line in block.splitlines()]
    return [line for line in lines if line.startswith("medrag ")]


def test_the_recipe_is_one():
    (text,) = blocks("yaml")
    recipe = parse(Recipe, yaml.safe_load(text), "README.md")
    assert all(plugins.load("corpora", corpus.reader) for corpus in recipe.corpora)


def test_all_readers_are_named():
    named = set(re.findall(r"`([a-z-]+)`", README.split("Readers:")[1].split("\n\n")[0]))
    assert named == set(plugins.BUILTIN["corpora"])


@pytest.mark.parametrize("line", commands())
def test_commands_and_options_exist(line):
    check(line)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_python_blocks_name_what_exists():
    from medrag import MedRAG
    from medrag.types import Answer

    for block in blocks("python"):
        compile(block, "README.md", "exec")
        for name in re.findall(r"\brag\.(\w+)\(", block):
            assert callable(getattr(MedRAG, name)), name
        for name in re.findall(r"\bresult\.(\w+)", block):
            assert hasattr(Answer, name), name


def test_files_that_are_named_are_there():
    for name in re.findall(r"`((?:medrag|pipelines|indexes|eval|corpora)/[\w./-]+)`|\]\(((?!http)[\w./-]+)\)", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
