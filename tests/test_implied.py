"""Recipes that name no indexes get those that their corpora call for, and a corpus that nothing can find is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from medrag._implied import implied, kinds_read
from medrag._shortfalls import shortfalls
from medrag.build import build
from medrag.cli.recipes import new_recipe
from medrag.settings import CorpusSettings, Recipe, completed, load_recipe, parse

TEXTS, REPORTS = {"text", "lexical"}, {"reports", "reports-lexical", "similar-reports"}


def written(folder: Path, **more: object) -> Path:
    (folder / "notes").mkdir(exist_ok=True)
    (folder / "notes/a.md").write_text("# Effusion\nA pleural effusion is fluid in the pleural space.\n")
    values = {"name": "mine", "corpora": [{"name": "notes", "reader": "text", "path": "notes"}], **more}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("readers", "expected"),
    [
        (["text"], TEXTS),
        (["images"], {"image"}),
        (["pdf", "obo"], TEXTS | {"image"}),
        (["reports-csv"], REPORTS | {"image"}),
        (["somebody.elses:Reader"], TEXTS | REPORTS | {"image"}),
        (["obo", "sssom"], set()),
    ],
)
def test_indexes_follow_the_readers(readers: list[str], expected: set[str]) -> None:
    assert set(implied(kinds_read(readers)).get("indexes", {})) == expected


def test_a_recipe_that_says_nothing_of_indexes_gets_them_and_keeps_what_it_says(tmp_path: Path) -> None:
    own = {"text": {"model": "some/other"}}
    recipe = load_recipe(written(tmp_path, encoders=own, pipeline={"k": 7}))
    assert set(recipe.indexes) == TEXTS and recipe.implied and recipe.pipeline.k == 7
    assert recipe.encoders["text"].model == "some/other" and recipe.router == "router-lite2"
    none = load_recipe(written(tmp_path, indexes={}))
    assert not none.indexes and not none.implied and not none.router


def test_a_recipe_made_in_python_gets_them_too(tmp_path: Path) -> None:
    loaded = load_recipe(written(tmp_path))
    made = completed(Recipe(name="mine", corpora=loaded.corpora))
    assert made.fingerprint() == loaded.fingerprint() and made.implied and completed(made) is made
    none = Recipe(name="mine", corpora=loaded.corpora, indexes={})
    assert completed(none) is none


def test_a_new_recipe_means_the_same_as_one_that_leaves_them_out(tmp_path: Path) -> None:
    corpus = CorpusSettings(name="r", reader="reports-csv", path="r.csv")
    made = parse(Recipe, yaml.safe_load(new_recipe(tmp_path / "x.yaml", corpus, {"study", "image"})), "x")
    (tmp_path / "x.yaml").write_text("name: x\ncorpora: [{name: r, reader: reports-csv, path: r.csv}]\n")
    assert made.indexes == load_recipe(tmp_path / "x.yaml").indexes
    assert made.encoders == load_recipe(tmp_path / "x.yaml").encoders
    assert made.chunk == load_recipe(tmp_path / "x.yaml").chunk


def test_a_corpus_that_no_index_takes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    unfound = [line for line in build(load_recipe(written(tmp_path, indexes={}))).warnings if "can be found" in line]
    assert len(unfound) == 1 and "'notes'" in unfound[0] and "passage" in unfound[0]
    said = load_recipe(written(tmp_path, indexes={}, graph={"said": ["passages"]}, corpora=[
        {"name": "notes", "reader": "text", "path": "notes"},
    ]))  # fmt: skip
    assert shortfalls(said, {"notes": {"passage": 1, "statement": 2}}) == []  # the graph finds it
    lexical = {"lexical": {"kind": "bm25"}, "pictures": {"kind": "bm25", "items": ["image"]}}
    (warning,) = build(load_recipe(written(tmp_path, indexes=lexical))).warnings
    assert "'pictures' is empty" in warning
