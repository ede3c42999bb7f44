"""Corpora from the command line: cards, trying, checking, and adding to a recipe file."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from medrag.cli.app import app
from medrag.cli.corpus import card_paths
from medrag.cli.recipes import add_to_recipe, fragment
from medrag.errors import SettingsError
from medrag.settings import CorpusSettings, load_recipe
from medrag.types import Passage


def run(*args: str):
    return CliRunner().invoke(app, list(args))


class Twice:
    """A corpus that gives one id to two passages."""

    def __init__(self, name, path):
        self.name = name

    def signature(self):
        return "twice"

    def read(self, report):
        yield from [Passage(f"{self.name}:a", f"{self.name}:a", text) for text in ("A mass.", "No mass.")]


@pytest.fixture
def reports(tmp_path):
    path = tmp_path / "reports.csv"
    path.write_text(
        "uid,findings,impression\n1,Clear lungs.,Normal.\n2,A mass in the right lung.,Mass.\n", encoding="utf-8"
    )
    return path


def test_check_counts_and_speaks_json(reports):
    result = run("corpus", "check", "reports-csv", str(reports), "--json")
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)
    assert report["counts"]["study"] == 2 and report["skipped"] == []
    assert "study" in run("corpus", "check", "reports-csv", str(reports)).stdout


def test_check_of_a_recipe_reads_paths_beside_it(reports):
    recipe = reports.with_name("mine.yaml")
    recipe.write_text("name: mine\ncorpora:\n  - {name: r, reader: reports-csv, path: reports.csv}\n", encoding="utf-8")
    (report,) = json.loads(run("corpus", "check", str(recipe), "--json").stdout)
    assert report["name"] == "r" and report["counts"]["study"] == 2


def test_check_goes_on_after_a_corpus_that_cannot_be_read_and_agrees_with_a_build(reports, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(reports.parent / "home"))
    recipe = reports.with_name("mine.yaml")
    text = (
        "name: mine\ncorpora:\n  - {name: bad, reader: reports-csv, path: reports.csv, options: {columns: {uid: nobody}}}\n"
        "  - {name: r, reader: reports-csv, path: reports.csv}\n  - {name: twice, reader: "
        f"'{__name__}:Twice', path: reports.csv}}\nindexes: {{}}\n"
    )
    recipe.write_text(text)
    result = run("corpus", "check", str(recipe), "--json")
    good, twice, bad = json.loads(result.stdout)
    assert result.exit_code == 1 and bad["name"] == "bad" and "no column 'nobody'" in bad["error"]
    assert good["counts"]["study"] == 2
    assert "the corpus 'bad'" in run("corpus", "check", str(recipe)).stderr
    recipe.write_text("".join(line for line in text.splitlines(keepends=True) if "bad" not in line))
    assert run("corpus", "check", str(recipe)).exit_code == 0
    built = json.loads(run("index", "build", str(recipe), "--json").stdout)
    before = "this id came before; the first record is kept"
    assert [bad["problem"] for bad in twice["skipped"]] == [before]
    assert [bad["problem"] for bad in built["skipped"]] == [before]


def test_add_prints_a_fragment_that_can_be_pasted(reports):
    result = run("corpus", "add", "mine", "reports-csv", str(reports))
    assert result.exit_code == 0, result.output
    assert yaml.safe_load(result.stdout)["corpora"] == [{"name": "mine", "reader": "reports-csv", "path": str(reports)}]


def test_add_makes_a_recipe_and_then_adds_to_it(reports):
    recipe = reports.with_name("My recipe.yaml")
    first = run("corpus", "add", "one", "reports-csv", str(reports), "--recipe", str(recipe))
    assert first.exit_code == 0, first.output
    assert "made:" in first.stdout
    recipe.write_text("# mine, do not touch\n" + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    second = run("corpus", "add", "two", "reports-csv", str(reports), "--recipe", str(recipe), "--json")
    assert json.loads(second.stdout)["counts"]["study"] == 2
    assert [corpus.name for corpus in load_recipe(recipe).corpora] == ["two", "one"]
    assert load_recipe(recipe).name == "my-recipe" and set(load_recipe(recipe).indexes) == {
        "reports", "reports-lexical", "similar-reports",
    }  # fmt: skip
    assert recipe.read_text(encoding="utf-8").startswith("# mine, do not touch\n")


def test_add_refuses_a_name_that_is_there_and_bad_names(reports):
    recipe = reports.with_name("r.yaml")
    run("corpus", "add", "one", "reports-csv", str(reports), "--recipe", str(recipe))
    before = recipe.read_text(encoding="utf-8")
    again = run("corpus", "add", "one", "reports-csv", str(reports), "--recipe", str(recipe))
    assert again.exit_code == 1 and "already" in again.stderr
    assert run("corpus", "add", "Bad Name", "reports-csv", str(reports)).exit_code == 1
    assert run("corpus", "add", "x", "reports-csv", str(reports), "--option", "nonsense").exit_code == 2
    assert recipe.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("indent", ["", "  ", "    "])
def test_a_corpus_goes_into_lists_of_any_indent_and_leaves_the_rest(tmp_path, indent):
    path = tmp_path / "r.yaml"
    text = f"name: r\ncorpora: # what is read\n{indent}# the first\n{indent}- name: a\n{indent}  reader: pdf\n{indent}  path: x\nabout: end\n"
    path.write_text(text, encoding="utf-8")
    settings = CorpusSettings(name="b", reader="pdf", path="y", options={"pages": [1, 2]})
    assert add_to_recipe(path, settings, {"page"}) == "added to"
    assert [corpus.name for corpus in load_recipe(path).corpora] == ["b", "a"]
    assert load_recipe(path).corpora[0] == settings.model_copy(update={"path": str(tmp_path / settings.path)})
    assert all(line in path.read_text(encoding="utf-8") for line in text.splitlines())


def test_a_recipe_written_otherwise_is_left_alone(tmp_path):
    path = tmp_path / "r.yaml"
    text = "{name: r, corpora: [{name: a, reader: pdf, path: x}]}\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        add_to_recipe(path, CorpusSettings(name="b", reader="pdf", path="y"), set())
    assert "by hand" in error.value.hint
    put = yaml.safe_load(error.value.hint.partition("by hand: ")[2])
    assert put == {"name": "b", "reader": "pdf", "path": "y"}
    assert path.read_text(encoding="utf-8") == text


def test_a_recipe_for_images_has_an_image_index(tmp_path):
    path = tmp_path / "r.yaml"
    add_to_recipe(path, CorpusSettings(name="b", reader="images", path="y"), {"image"})
    assert set(load_recipe(path).indexes) == {"image"}


def test_fragment_is_yaml():
    settings = CorpusSettings(name="b", reader="pdf", path="a: b # c", options={"x": True})
    assert yaml.safe_load(fragment(settings))["corpora"][0] == {
        "name": "b",
        "reader": "pdf",
        "path": "a: b # c",
        "options": {"x": True},
    }


def test_cards_are_listed():
    result = run("corpus", "list", "--json")
    assert result.exit_code == 0
    for card in json.loads(result.stdout):
        assert card["name"] and card["here"] in ("present", "absent")


def test_a_broken_card_or_option_is_an_expected_failure(tmp_path, monkeypatch):
    (tmp_path / "corpora" / "x").mkdir(parents=True)
    (tmp_path / "corpora" / "x" / "card.yaml").write_text("a: b: c", encoding="utf-8")
    monkeypatch.setattr("medrag._util.places.share", lambda: tmp_path)
    listed = run("corpus", "list")
    assert listed.exit_code == 1 and "card.yaml is not readable YAML" in listed.stderr
    added = run("corpus", "add", "x", "text", "y", "--option", "a=[")
    assert added.exit_code == 2 and "'a=['" in added.stderr and "Traceback" not in added.output


def test_paths_are_found_anywhere_in_a_card():
    assert card_paths({"a": [{"path": "x"}, {"b": {"paths": ["y", "z"]}}], "path": "w"}) == ["w", "x", "y", "z"]
