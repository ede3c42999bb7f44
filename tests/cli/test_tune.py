"""Tuning from the command line: what is asked of its settings, and the report on answers."""

from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medrag._util.places import share
from medrag.cli.app import app
from medrag.errors import SettingsError
from medrag.tune.trainer import metrics, settings_of


def told(*args: str):
    return CliRunner().invoke(app, ["tune", "report", *args])


def write(path: Path, values: Sequence[str], start: int = 0) -> str:
    """Answers to as many questions, all of which are rightly answered with yes, from the id ``start`` on."""
    lines = [
        {"id": f"{n}", "group": f"{n}", "value": value, "reference": "yes", "evidence": [{"text": "one\u2028two"}]}
        for n, value in enumerate(values, start)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def scores(*args: str) -> dict[str, list[float | None]]:
    result = told(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["scores"]


def test_unusual_ends_of_lines_within_an_answer_are_part_of_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["Yes."] * 3)
    assert scores("--without", path, "--with", path)["accuracy"][0] == 1
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "note": "one\u2028two"}\n{"step": 2', encoding="utf-8")
    assert [line["step"] for line in metrics(tmp_path)] == [1]


def test_the_report_counts_the_last_answer_and_what_failed(tmp_path: Path) -> None:
    without, using = write(tmp_path / "a.jsonl", ["Yes."] * 4), write(tmp_path / "b.jsonl", ["No.", "Yes.", "Yes."])
    again = (tmp_path / "b.jsonl").read_text(encoding="utf-8").replace("No.", "Yes.")
    (tmp_path / "b.jsonl").write_text(Path(using).read_text(encoding="utf-8") + again, encoding="utf-8")
    assert scores("--without", without, "--with", using)["accuracy"][0] == 1
    task = {
        "name": "t", "kind": "closed", "about": "t", "source": "iu_closed", "split": "val", "licence": "t",
        "measures": ["closed"], "headline": "accuracy",
    }  # fmt: skip
    failures = [{"id": "3", "group": "3", "reference": "yes"}]
    result = {"settings": {"task": task}, "failed": 1, "failures": failures}
    (tmp_path / "b.json").write_text(json.dumps(result))
    assert scores("--without", without, "--with", using)["accuracy"][0] == 0.75


def test_models_are_paired_by_the_question_whatever_the_order_of_their_answers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["Yes.", "No."] * 10)
    turned = tmp_path / "b.jsonl"
    turned.write_text("\n".join(reversed(Path(path).read_text(encoding="utf-8").split("\n"))), encoding="utf-8")
    before = ["--before", *[str(turned)] * 3]
    result = told("--without", path, "--with", path, "--unseen", path, *before, "--json")
    gained = json.loads(result.stdout)["differences"]["accuracy"]
    assert gained["difference"] == 0 and gained["interval"] == [0, 0] and gained["p"] == 1
    other = told("--without", path, "--with", path, "--before", *[write(turned, ["Yes."] * 20, 1)] * 3)
    assert other.exit_code == 1 and "other questions" in other.stderr
    asked = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n") if line]
    turned.write_text("\n".join(json.dumps(line | {"reference": "no"}) for line in asked), encoding="utf-8")
    other = told("--without", path, "--with", path, "--before", *[str(turned)] * 3)
    assert other.exit_code == 1 and "other questions" in other.stderr


def test_of_one_question_there_is_no_interval(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["Yes."])
    shown = told("--without", path, "--with", path, "--before", *[path] * 3)
    assert shown.exit_code == 0 and "nan" not in shown.stdout and "–" in shown.stdout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("checkpoint", 0),
        ("tokens", 0),
        ("rate", -1),
        ("rate", "nan"),
        ("beta", 0),
        ("epochs", 0),
        ("steps", -1),
        ("clip", 0),
    ],
)
def test_a_number_that_no_training_can_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"{name}: "):
        settings_of({name: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [("--kind", "cmm"), ("--reader", "nosuch"), ("--split", "tset"), ("--unseen", "dark"), ("--judge", "nosuch")],
)
def test_what_is_misspelled_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    (tmp_path / "own.csv").write_text("question,answer,split\nIs there a mass?,yes,train\n")
    command = ["tune", "pairs", str(tmp_path / "out"), "--questions", str(tmp_path / "own.csv"), "--again", "3"]
    said = CliRunner().invoke(app, [*command, option, value])
    assert said.exit_code == 1 and repr(value) in said.stderr and "known: " in said.stderr
    assert not (tmp_path / "out").exists()
    said = CliRunner().invoke(app, [*command, "--low", "2"])
    assert said.exit_code == 1 and "no positive range around 1" in said.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("pipeline", "arguments", "problem"),
    [
        ("03_make_preferences", ["OUT", "--limit", "3"], "MEDRAG_DATA is not set"),
        ("03_make_preferences", ["OUT", "--own", "nope.jsonl"], "nope.jsonl: No such file"),
        ("04_train_preferences", ["nope.jsonl"], "nope.jsonl holds no pairs"),
        ("04_train_preferences", ["nope.jsonl", "--epochs", "0"], "epochs: "),
    ],
)
def test_pipelines_fail_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pipeline: str, arguments: list[str], problem: str
) -> None:  # fmt: skip
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [pipeline, *arguments])
    script = runpy.run_path(str(share() / "pipelines" / f"{pipeline}.py"))
    assert script["main"]() == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and problem in said and said.count("\n") == 1 and not list(tmp_path.iterdir())
