"""A small index from the command line: built, looked into, searched, asked, deleted from, deleted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from medrag.cli.app import app
from medrag.cli.index import _nothing_found
from medrag.testing import FakeEncoder

ROOT = Path(__file__).resolve().parents[2]


class Letters(FakeEncoder):
    """The fake with a recipe's arguments."""

    def __init__(self, model: str, *, batch: int = 0, device: str = "") -> None:
        super().__init__()


def run(*args: str, **options):
    return CliRunner().invoke(app, list(args), **options)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe of two reports and a broken one, searched by words."""
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    (tmp_path / "reports.csv").write_text(
        "uid,findings,impression\n1,The lungs are clear.,Normal chest.\n2,A round mass in the right lung.,Lung mass.\n,No name.,None.\n",
        encoding="utf-8",
    )
    path = tmp_path / "small.yaml"
    path.write_text(
        f"name: small\ncorpora:\n  - {{name: notes, reader: reports-csv, path: {tmp_path / 'reports.csv'}}}\nindexes:\n  lexical: {{kind: bm25, items: [passage]}}\npipeline: {{retrievers: [lexical]}}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def built(recipe):
    result = run("index", "build", str(recipe), "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_build_counts_and_a_second_build_has_nothing_to_do(built, recipe):
    assert built["counts"]["study"] >= 2 and built["fresh"] is True
    again = run("index", "build", str(recipe))
    assert "nothing has changed" in again.stdout


def test_info_by_name_and_by_file(built, recipe):
    for name in ("small", str(recipe)):
        facts = json.loads(run("index", "info", name, "--json").stdout)
        assert facts["name"] == "small" and facts["verified"] and facts["bytes"] > 0
    assert "every checksum is right" in run("index", "info", "small").stdout


def test_info_notices_a_changed_file(built, tmp_path):
    path = tmp_path / "home" / "indexes" / "small" / "items.db"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    result = run("index", "info", "small")
    assert result.exit_code == 1 and "items.db" in result.stderr and "medrag index build" in result.stderr


def test_search_and_ask(built, recipe, tmp_path):
    hits = json.loads(run("index", "search", "small", "mass in the lung", "-k", "1", "--json").stdout)
    assert "mass" in hits[0]["text"].lower()
    page = tmp_path / "answer.html"
    answer = json.loads(
        run("ask", "Is there a mass in the lung?", "--index", "small", "--html", str(page), "--json").stdout
    )
    assert answer["status"] in ("answered", "abstained", "uncited") and page.exists()
    result = run("ask", "Is there a mass in the lung?", "--index", str(recipe))
    assert result.exit_code == 0, result.output


def test_a_question_comes_from_standard_input(built):
    asked = run("ask", "-", "--index", "small", "--json", input="Is there a mass in the lung?\n")
    assert json.loads(asked.stdout)["question"] == "Is there a mass in the lung?"
    assert "neither an image nor a question" in run("ask", "-", "--index", "small", input="").stderr


def test_a_search_without_a_hit_says_so_and_hints_stand_beside_what_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    Image.new("L", (8, 8)).save(tmp_path / "a.tiff", save_all=True, append_images=[Image.new("L", (8, 8), 200)])
    (tmp_path / "t.csv").write_text("file,label\na,nevus\ngone,wart\n", encoding="utf-8")
    corpus = f"{{name: c, reader: images, path: '{tmp_path}', options: {{table: t.csv}}}}"
    recipe = tmp_path / "look.yaml"
    recipe.write_text(f"name: look\ncorpora: [{corpus}]\nindexes: {{lexical: {{kind: bm25, items: [image]}}}}\n")
    for command in (("index", "build"), ("corpus", "check")):
        told = run(*command, str(recipe)).stderr
        assert "'gone' → name them by their paths" in told and "has 2 pages" in told
    found = run("index", "search", "look", "nevus")
    assert "c:a.tiff" in found.stdout and not found.stderr
    assert run("index", "search", "look", "malaria").stderr == "nothing was found by these words\n"
    assert "searched by images alone" in _nothing_found(["similar"], False)


def test_search_with_a_broken_image_is_an_expected_failure(built, tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    result = run("ask", "q", "--index", "small", "--image", str(tmp_path / "x.png"))
    assert result.exit_code == 1 and "x.png" in result.stderr and "Traceback" not in result.output


def test_delete_asks_first_and_takes_a_document_out(built):
    assert run("index", "delete", "small", "--doc", "notes:2", input="n\n").exit_code == 130
    silent = run("index", "delete", "small", "--doc", "notes:2", "--json")
    assert silent.exit_code == 1 and json.loads(silent.stdout)["hint"] == "add --yes"
    result = run("index", "delete", "small", "--doc", "notes:2", "--yes", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["deleted"] >= 1
    hits = json.loads(run("index", "search", "small", "round mass", "--json").stdout)
    assert all("mass" not in hit["text"].lower() for hit in hits)
    assert run("index", "delete", "small", "--doc", "no-such", "--yes").exit_code == 1


def test_delete_all_leaves_nothing(built, tmp_path):
    assert run("index", "delete", "small", "--all", "--yes").exit_code == 0
    assert not list((tmp_path / "home" / "indexes").iterdir())
    assert run("index", "info", "small").exit_code == 1


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs one of the pipelines' scripts as a user would."""
    command = [sys.executable, str(ROOT / "pipelines" / name), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )


def test_the_pipelines_build_and_answer_and_go_on_where_they_stopped(recipe, tmp_path):
    done = script("01_build_indexes.py", str(recipe))
    assert done.returncode == 0, done.stderr
    assert "study" in done.stdout and "GB at most" in done.stdout
    rows = [
        {"question": "Is there a lung mass?"},
        {"question": "Is it clear?", "image": "gone.png"},
        {"question": "Is the chest normal?", "exclude": ["notes:1"]},
    ]
    questions, out, page = tmp_path / "q.jsonl", tmp_path / "a.jsonl", tmp_path / "a.html"
    questions.write_text("\n".join(map(json.dumps, rows[:1])), encoding="utf-8")
    assert script("02_answer.py", str(recipe), str(questions), "--out", str(out), "--page", str(page)).returncode == 0
    assert page.read_text(encoding="utf-8").count("<article") == 1
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with out.open("a", encoding="utf-8") as stream:
        stream.write('{"question": "Is it cl')  # a run that was killed while it wrote
    done = script("02_answer.py", str(recipe), str(questions), "--out", str(out))
    assert done.returncode == 1  # the second question has no image
    answers = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [answer["question"] for answer in answers] == [row["question"] for row in rows]
    assert "gone.png" in answers[1]["error"]
    assert not [kept for kept in answers[2]["context"]["kept"] if kept["doc"] == "notes:1"]


def test_a_pipeline_names_counts_that_are_not_as_expected(recipe):
    recipe.write_text(recipe.read_text(encoding="utf-8") + "expected: {study: 99}\n", encoding="utf-8")
    done = script("01_build_indexes.py", str(recipe))
    assert done.returncode == 1 and "expected 99 of kind study" in done.stderr


def test_effort_is_tuned_and_the_manifest_still_fits(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    rows = [
        f"{n},The {word} of lung {n % 7} measures {n} cm.,Seen."
        for n, word in enumerate(["mass", "nodule", "cavity"] * 40)
    ]
    (tmp_path / "reports.csv").write_text("uid,findings,impression\n" + "\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "many.yaml"
    path.write_text(
        f"name: many\ncorpora:\n  - {{name: notes, reader: reports-csv, path: {tmp_path / 'reports.csv'}}}\n"
        f"encoders:\n  text: {{model: fake, kind: '{__name__}:Letters'}}\n"
        "indexes:\n  text: {kind: faiss, encoder: text, items: [passage], options: {factory: 'IVF16,Flat', nprobe: 1}}\n"
        "  exact: {kind: faiss, encoder: text, items: [study], retriever: exact}\n",
        encoding="utf-8",
    )
    made = run("index", "build", str(path))
    assert made.exit_code == 0, made.output
    (tmp_path / "questions.txt").write_text("a mass of the lung\n\nhow large is the nodule?\n", encoding="utf-8")
    (tmp_path / "judged.csv").write_text("question,relevant\na mass of the lung,notes:1\n", encoding="utf-8")
    asked = [("--questions", str(tmp_path / name)) for name in ("questions.txt", "judged.csv")]
    for more in ((), *asked, ("--part", "text")):
        result = run("index", "tune", str(path), "--recall", "0.95", "--json", *more)
        assert result.exit_code == 0, result.output
        told = json.loads(result.stdout)
        assert list(told) == ["text"] and told["text"]["recall"] >= 0.95 and told["text"]["knob"] == "nprobe"
    settings = tmp_path / "home" / "indexes" / "many" / "text" / "settings.json"
    assert json.loads(settings.read_text())["nprobe"] == told["text"]["effort"]
    assert run("index", "info", str(path)).exit_code == 0  # every checksum is right
    assert "nprobe" in run("index", "tune", str(path)).stdout
    nothing = run("index", "tune", str(path), "--part", "exact")
    assert nothing.exit_code == 1 and "can be tuned" in nothing.stderr
    lost = run("index", "tune", str(path), "--questions", str(tmp_path / "none.txt"))
    assert lost.exit_code == 1 and "cannot be read" in lost.stderr
