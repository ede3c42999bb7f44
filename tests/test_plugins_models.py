"""Names become classes and weights, or one clear line."""

import doctest
import importlib.metadata
import sys

import pytest

from medrag import MedRAG, models, plugins, protocols
from medrag._util import fetch
from medrag.corpora import check, open_corpus
from medrag.encoders import open_encoder
from medrag.errors import ModelMissing, SettingsError
from medrag.settings import CorpusSettings, EncoderSettings, Recipe
from medrag.vlms import open_generator


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


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported in this test alone."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    yield write
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(file.stem, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("None.missing", "cannot be imported: AttributeError: 'NoneType' object has no attribute 'missing'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("class Readr: ...", "has no Reader"),
        ("def (", "cannot be imported: SyntaxError"),
        ("import package_that_is_absent", "needs the module package_that_is_absent"),
        ("Reader = 3", "is a int, no class"),
    ],
)
def test_what_is_wrong_inside_a_plug_in_is_told_as_that(text, said, module, monkeypatch):
    module("mine_broken", text)
    entry = importlib.metadata.EntryPoint("installed", "mine_broken:Reader", "medrag.corpora")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group, name=None: [entry] if group == entry.group else []
    )
    for name in ("mine_broken:Reader", "installed"):
        with pytest.raises(SettingsError, match=said) as caught:
            plugins.load("corpora", name)
        assert "\n" not in str(caught.value)


def test_a_class_that_is_made_otherwise_is_told_how_it_is_made(module, tmp_path):
    name = module(
        "mine_odd", "class Odd:\n    def __init__(self): ...\n\nclass Silent:\n    def __init__(self, model): ..."
    )
    with pytest.raises(SettingsError, match=r"Class\(name, path, \*\*options\)"):
        open_corpus(CorpusSettings(name="c", reader=f"{name}:Odd", path=str(tmp_path)))
    with pytest.raises(SettingsError, match=r"Class\(model, \*, batch, device, \*\*options\)"):
        open_encoder(EncoderSettings(model="m", kind=f"{name}:Odd"))
    with pytest.raises(SettingsError, match=r"Class\(model, \*\*options\)"):
        open_generator(f"{name}:Odd")
    with pytest.raises(SettingsError, match="is no generator: it has no stream"):
        open_generator(f"{name}:Silent")


def test_the_examples_of_the_contracts_work_as_they_are_written(module, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    examples = [doctest.DocTestParser().get_examples(cls.__doc__) for cls in (
        protocols.Corpus, protocols.Encoder, protocols.Generator,
    )]  # fmt: skip
    imports = "import hashlib, string\nimport numpy as np\nfrom medrag.types import Block, Document\n"
    name = module("mine_examples", imports + "\n\n".join(example.source for (example,) in examples))
    notes = tmp_path / "notes.txt"
    notes.write_text("Clear lungs.\nA pleural effusion blunts the angle.\n")
    corpus = CorpusSettings(name="notes", reader=f"{name}:Notes", path=str(notes))
    assert check(open_corpus(corpus)).counts == {"document": 2}
    recipe = Recipe.model_validate(
        {
            "name": "own",
            "corpora": [corpus.model_dump()],
            "encoders": {"letters": {"model": "letters", "kind": f"{name}:Letters"}},
            "indexes": {"text": {"kind": "flat", "encoder": "letters"}},
        }
    )
    rag = MedRAG.open(recipe, build=True, model=f"{name}:Parrot", select={"floors": {}})
    answer = rag.answer(None, "What is a pleural effusion?")
    assert "You asked: What is a pleural effusion?" in answer.text
    assert "notes:2" in {hit.item.doc for hit in rag.retrieve("A pleural effusion blunts the angle.", k=1)}


READER = """
from medrag.types import Block, Document
class Mine:
    def __init__(self, name, path): self.name = name
    def signature(self): return "1"
    def read(self, report):
        yield Document("x:1", "A", (Block("A pleural effusion is fluid."),))
        {then}
"""


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ('raise RuntimeError("db lost")', "'mine_reader:Mine' of the corpus 'mine' failed: RuntimeError: db lost"),
        ('yield {"id": 1}', "'mine_reader:Mine' of the corpus 'mine' failed: AttributeError"),
    ],
)
def test_what_a_reader_of_ones_own_raises_is_told_with_its_name(then, told, module, tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match=told):
        opened(module("mine_reader", READER.format(then=then)), tmp_path, monkeypatch)


def test_what_a_build_leaves_out_is_told_where_nobody_asked_for_a_report(module, tmp_path, monkeypatch, caplog):
    again = 'yield Document("x:1", "B", (Block("A pneumothorax is air."),))'
    opened(module("mine_reader", READER.format(then=again)), tmp_path, monkeypatch)
    assert "left out: mine: x:1~0: this id came before" in caplog.text


def opened(name, folder, monkeypatch):
    """A pipeline over an index that is built from a reader."""
    monkeypatch.setenv("MEDRAG_HOME", str(folder / "home"))
    corpus = CorpusSettings(name="mine", reader=f"{name}:Mine", path=str(folder))
    return MedRAG.open(Recipe(name="own", corpora=(corpus,), indexes={"lexical": {"kind": "bm25"}}), build=True)


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


def test_a_mistake_inside_ones_own_class_is_no_wrong_signature() -> None:
    class Broken:
        def __init__(self, model: str) -> None:
            self.told = 1 + "a"  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand"):
        plugins.make("vlms", "own:Broken", Broken, "m")
    with pytest.raises(SettingsError, match="unexpected keyword"):
        plugins.make("vlms", "own:Broken", Broken, "m", other=1)
