"""The evaluation from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medrag.cli.app import app


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "noncommercial/nfcorpus"
    root.mkdir(parents=True)
    (root / "mini.docs.gz").write_text("D1\tstatins lower cholesterol\nD2\tbroccoli and cancer\nD3\tsalt\n")
    (root / "mini.3-2-1.qrel").write_text("Q1\t0\tD1\t3\nQ2\t0\tD2\t1\n")
    (root / "mini.titles.queries").write_text("Q1\tcholesterol drugs\nQ2\tdoes broccoli help\n")
    return tmp_path


def run(*args: str):
    return CliRunner().invoke(app, list(args))


def asked(pack: Path, *options: str):
    """Two arms of the small ranking task."""
    words = "eval run retrieval_nfcorpus --arm lexical --arm random --split mini --data".split()
    return run(*words, str(pack), *options)


def test_tasks_and_arms_are_listed() -> None:
    listed = json.loads(run("eval", "list", "--json").stdout)
    assert "iu_xray_report" in listed["tasks"] and "oracle-context" in listed["arms"]
    assert "iu_xray_report" in run("eval", "list").stdout


def test_a_run_a_comparison_and_a_page(pack: Path) -> None:
    pytest.importorskip("ir_measures")
    out = pack / "results"
    assert asked(pack, "--out", str(out), "--draws", "100").exit_code == 0
    first, second = (str(out / f"retrieval_nfcorpus-mini-{arm}.json") for arm in ("lexical", "random"))
    assert json.loads(Path(first).read_text())["scores"]["success@1"] == 1
    compared = json.loads(run("eval", "compare", first, second, "--json").stdout)
    assert compared["differences"]["success@1"]["difference"] >= 0
    page = pack / "page.html"
    assert run("eval", "report", str(out), "--out", str(page)).exit_code == 0
    assert json.loads(run("eval", "report", str(out), "--out", str(page), "--json").stdout) == {"page": str(page)}
    assert "Rank of the first relevant document" in page.read_text()
    Path(second).with_suffix(".jsonl").unlink()
    told = run("eval", "report", str(out), "--out", str(page))  # what is not finished is left out, and told
    assert told.exit_code == 0 and "left out" in told.stderr
    assert run("eval", "report", second, "--out", str(page)).exit_code == 1
    Path(first).with_suffix(".jsonl").unlink()
    assert run("eval", "report", str(out), "--out", str(page)).exit_code == 1


def test_several_arms_do_not_go_into_one_file(pack: Path) -> None:
    assert asked(pack, "--out", str(pack / "one.json")).exit_code == 2
    assert run("eval", "run", "nfcorpus", "--arm", "lexical", "--data", str(pack)).exit_code == 1


def test_bad_input_is_told_before_anything_is_asked(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(pack, "--out", str(pack / "results"), "--seed", "-1").exit_code == 2
    (pack / "results").mkdir()
    other = pack / "results" / "mine.jsonl"
    other.write_text('{"question": "mine"}\n{"quest')
    words = "eval run retrieval_nfcorpus --arm random --split mini --data".split()
    told = run(*words, str(pack), "--out", str(other.with_suffix(".json")))
    assert told.exit_code == 1 and "holds something else" in told.stderr and "Traceback" not in told.output
    assert other.read_text() == '{"question": "mine"}\n{"quest'


def test_what_nothing_defines_an_interval_of_is_shown_as_a_dash(pack: Path) -> None:
    pytest.importorskip("ir_measures")
    (pack / "noncommercial/nfcorpus/mini.3-2-1.qrel").write_text("Q1\t0\tD1\t3\n")  # one query is one group
    out = pack / "results"
    shown = asked(pack, "--out", str(out), "--draws", "100")
    assert shown.exit_code == 0, shown.output
    first, second = (str(out / f"retrieval_nfcorpus-mini-{arm}.json") for arm in ("lexical", "random"))
    assert json.loads(Path(first).read_text())["intervals"]["success@1"] == [None, None]
    compared = run("eval", "compare", first, second)
    assert compared.exit_code == 0 and " – " in compared.stdout
