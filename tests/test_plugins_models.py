"""Names become classes and weights, or one clear line."""

import pytest

from medrag import models, plugins
from medrag._util import fetch
from medrag.errors import ModelMissing, SettingsError


def test_every_builtin_name_loads():
    for kind, table in plugins.BUILTIN.items():
        for name in table:
            assert callable(plugins.load(kind, name)), (kind, name)


def test_module_and_class_are_taken_as_written():
    assert plugins.load("corpora", "medrag.types:Box").__name__ == "Box"


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("pfd", SettingsError, "did you mean 'pdf'"),
        ("nothing-like-it", SettingsError, "known: "),
        ("medrag.types:Bxo", SettingsError, "has no Bxo"),
        ("medrag.nowhere:Box", SettingsError, "does not exist"),
        ("package_that_is_absent:Box", SettingsError, "PYTHONPATH="),
    ],
)
def test_wrong_names_say_what_mends_them(name, error, said):
    with pytest.raises(error, match=said):
        plugins.load("corpora", name)


def test_the_model_table_is_whole():
    known = fetch.packages()
    for model in models.table().values():
        assert model.kind in {*plugins.BUILTIN["encoders"], *plugins.BUILTIN["vlms"], "router"}, model.name
        assert model.licence, model.name
        assert sum(map(bool, (model.package, model.share, model.hub))) == 1, model.name
        if model.package:
            assert model.package.partition("/")[0] in known


def test_resolve_never_downloads(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "_download", lambda *_: pytest.fail("resolve reached the network"))
    with monkeypatch.context() as nothing_installed:
        nothing_installed.setattr("importlib.metadata.distribution", _absent)
        with pytest.raises(ModelMissing, match="medrag models get minilm"):
            models.resolve("minilm")
    with pytest.raises(SettingsError, match="did you mean 'minilm'"):
        models.resolve("minlm")
    with pytest.raises(ModelMissing, match="medrag models get some/model"):
        models.resolve("some/model")


def _absent(name):
    import importlib.metadata

    raise importlib.metadata.PackageNotFoundError(name)


def test_a_folder_is_its_own_model(tmp_path):
    assert models.resolve(str(tmp_path)) == tmp_path


def test_a_folder_named_like_a_model_does_not_hide_it(tmp_path, monkeypatch):
    (tmp_path / "minilm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert models.resolve("router-lite2").name == "router-lite2.safetensors"
    assert models.resolve("./minilm").resolve() == (tmp_path / "minilm").resolve()
    (tmp_path / "router-lite2").mkdir()
    assert models.resolve("router-lite2").name == "router-lite2.safetensors"
