"""Settings: strict, frozen, hashed; a wrong name is answered with the near one."""

import pytest
import yaml

from medrag.errors import SettingsError
from medrag.settings import PipelineSettings, Recipe, load_recipe, override, parse

PLAIN = {
    "name": "mine",
    "corpora": [{"name": "notes", "reader": "text", "path": "/data/notes"}],
    "encoders": {"text": {"model": "minilm"}},
    "indexes": {"text": {"encoder": "text"}, "lexical": {"kind": "bm25"}},
}


def test_recipe_reads_and_hashes():
    recipe = parse(Recipe, PLAIN, "test")
    assert recipe.fingerprint() == parse(Recipe, PLAIN, "test").fingerprint()
    other = parse(Recipe, {**PLAIN, "chunk": {"tokens": 99}}, "test")
    assert other.fingerprint() != recipe.fingerprint()


def test_fingerprint_ignores_what_does_not_shape_the_index():
    recipe = parse(Recipe, PLAIN, "test")
    faster = parse(
        Recipe,
        {**PLAIN, "encoders": {"text": {"model": "minilm", "batch": 8, "device": "cpu"}}, "pipeline": {"k": 3}},
        "t",
    )
    assert faster.fingerprint() == recipe.fingerprint()


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ({"corpara": []}, "corpara", "did you mean 'corpora'?"),
        ({"pipeline": {"modle": "small"}}, "pipeline.modle", "did you mean 'model'?"),
        ({"pipeline": {"k": 0}}, "pipeline.k", "mend the file"),
        ({"pipeline": {"weights": {"dense": -1}}}, "pipeline.weights.dense", "mend the file"),
        ({"pipeline": {"weights": {"dense": float("nan")}}}, "pipeline.weights.dense", "mend the file"),
        ({"pipeline": {"weights": {"dense": float("inf")}}}, "pipeline.weights.dense", "mend the file"),
        ({"indexes": {"text": {"encoder": "txt"}}}, "no encoder is named 'txt'", "mend the file"),
        ({"corpora": PLAIN["corpora"] * 2}, "same name", "mend the file"),
        ({"indexes": {"text": {"encoder": "text", "corpora": ["nots"]}}}, "no corpus is named 'nots'", "mend the file"),
        ({"pipeline": {"domain": "chest xray"}}, "pipeline.domain: 'chest xray' is not", "did you mean 'chest-xray'?"),
        ({"indexes": {"text": {"items": ["passages"]}}}, "items.0: 'passages' is not", "did you mean 'passage'?"),
        ({"zzqx": 1}, "zzqx", "take it out"),
        ({"pipeline": {"k_max": 3}}, "pipeline.k_max", "it belongs under select: {k_max: …}"),
        ({"pipeline": {"corpora": []}}, "pipeline.corpora", "take it out"),
    ],
)
def test_wrong_settings_are_named(change, said, hint):
    with pytest.raises(SettingsError) as caught:
        parse(Recipe, {**PLAIN, **change}, "recipe.yaml")
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def test_load_recipe_by_path_and_by_name(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(PLAIN))
    assert load_recipe(path).name == "mine"
    assert load_recipe("sample").name == "sample"
    with pytest.raises(SettingsError, match="did you mean 'sample'"):
        load_recipe("smaple")
    with pytest.raises(SettingsError, match="no recipe"):
        load_recipe(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["name: [", "just words", "- a\n- b", "\x00"])
def test_unreadable_recipes_give_one_line(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)
    assert "bad.yaml" in str(caught.value)


def test_override_checks_and_reaches_into_select():
    settings = override(PipelineSettings(), {"k": 5, "select": {"k_max": 2}})
    assert (settings.k, settings.select.k_max, settings.select.budget) == (5, 2, PipelineSettings().select.budget)
    with pytest.raises(SettingsError, match="did you mean 'fusion'"):
        override(PipelineSettings(), {"fusoin": "rrf"})
    with pytest.raises(SettingsError):
        override(PipelineSettings(), {"select": {"k_mx": 2}})
    with pytest.raises(SettingsError, match="pipeline: domain: 'xyz' is not known → known: chest-xray, ct, mr"):
        override(PipelineSettings(), {"domain": "xyz"})
    with pytest.raises(SettingsError, match=r"pipeline: k: .* → give another value"):  # there is no file to mend
        override(PipelineSettings(), {"k": 0})
