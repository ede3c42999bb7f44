"""``medrag ask --agent`` and ``medrag chat`` over a tiny index that was built from the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from medrag.cli.app import app

QUESTION = "What is a lung mass?"


def run(*args: str, **options):
    return CliRunner().invoke(app, list(args), **options)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A recipe of three texts, built, searched by words."""
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    (tmp_path / "reports.csv").write_text(
        "uid,findings,impression\n1,The lungs are clear.,Normal chest.\n2,A lung mass is a round opacity larger than 3 cm.,Lung mass.\n",
        encoding="utf-8",
    )
    path = tmp_path / "small.yaml"
    path.write_text(
        f"name: small\ncorpora:\n  - {{name: notes, reader: reports-csv, path: {tmp_path / 'reports.csv'}}}\nindexes:\n  lexical: {{kind: bm25, items: [passage]}}\npipeline: {{retrievers: [lexical]}}\n",
        encoding="utf-8",
    )
    assert run("index", "build", str(path)).exit_code == 0
    return str(path)


def test_the_agent_answers_with_its_steps_and_a_trace_file(index, tmp_path):
    result = run("ask", QUESTION, "--index", index, "--agent", "--trace", str(tmp_path / "t.jsonl"), "--explain")
    assert result.exit_code == 0, result.output
    assert "1. search_text(" in result.stderr and "1. search_text(" not in result.stdout.partition("Steps")[0]
    assert "Steps\n1. search_text(" in result.stdout and "[E1]" in result.stdout
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["tool"] == "answer" and rows[0]["kept"]


def test_json_is_all_there_is_on_stdout(index):
    result = run("ask", QUESTION, "--index", index, "--agent", "--steps", "1", "--json", "--explain")
    value = json.loads(result.stdout)
    assert [row["tool"] for row in value["trace"]] == ["search_text", "answer"]
    assert value["usage"]["steps"] == 1 and value["explanation"].startswith("Steps\n1. ")


def test_misuse_is_one_line(index, tmp_path):
    alone = run("ask", QUESTION, "--index", index, "--trace", str(tmp_path / "t.jsonl"))
    assert alone.exit_code == 1 and "add --agent" in alone.stderr
    for option in (["--policy", "rules"], ["--steps", "2"]):
        alone = run("ask", QUESTION, "--index", index, *option)
        assert (
            alone.exit_code == 1 and f"only the agent reads {option[0]}" in alone.stderr and "--agent" in alone.stderr
        )
    strange = run("ask", QUESTION, "--index", index, "--agent", "--policy", "wild")
    assert strange.exit_code == 1 and "no policy 'wild'" in strange.stderr
    assert run("ask", QUESTION, "--agent", "--steps", "-1").exit_code == 2


def test_a_session_answers_goes_on_after_an_error_and_ends(index):
    typed = f"{QUESTION}\n\n/trace\n/image it's-not-there.png\nWhat is seen?\n/help\n/new\n/trace\nWhat about opacity?\n/quit\nnever\n"
    result = run("chat", "--index", index, input=typed)
    assert result.exit_code == 0, result.output
    assert "lung mass" in result.stdout and "[E1]" in result.stdout
    assert "1. search_text(" in result.stdout  # /trace
    assert "it's-not-there.png" in result.stderr and "Commands: /image" in result.stderr
    assert "never" not in result.stdout


def test_a_session_ends_with_its_input(index):
    assert run("chat", "--index", index, input="").exit_code == 0
    assert run("chat", "--help").exit_code == 0


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_session_that_answers_nothing_for_an_error_ends_with_1(index, monkeypatch, more):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    result = run("chat", "--index", index, "--model", "openai:x", *more, input=f"{QUESTION}\n")
    assert result.exit_code == 1 and "127.0.0.1:9" in result.stderr + result.stdout


def test_a_session_as_json_is_one_list_of_turns(index):
    result = run(
        "chat",
        "--index",
        index,
        "--json",
        input=f"{QUESTION}\n/image nowhere.png\nIs it seen here?\n/quit\n{QUESTION}\n",
    )
    first, second, third = json.loads(result.stdout)
    assert first["answer"]["status"] == "answered" and first["question"] == QUESTION
    assert "nowhere.png" in second["error"] and "answer" in third


def test_a_new_session_has_no_image_of_the_old_one(index, tmp_path, monkeypatch):
    from PIL import Image

    from medrag.agent.chat import Chat

    shown = []
    stream = Chat.stream
    monkeypatch.setattr(Chat, "stream", lambda self, *args: shown.append(args[1]) or stream(self, *args))
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    typed = f"/image {tmp_path / 'a.png'}\n/new\n{QUESTION}\n/image nope.png\n{QUESTION}\n"
    result = run("chat", "--index", index, input=typed)
    assert result.exit_code == 0 and result.stderr.count("error: ") == 1
    assert shown == [None, None]
    assert run("chat", "--index", index, "--image", "nope.png", input="").exit_code == 1
