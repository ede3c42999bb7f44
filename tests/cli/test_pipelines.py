"""The scripts under pipelines/ that ask and evaluate: where they go on, whom they ask, and what they say of bad input."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from medrag.eval.tasks import known_tasks, load_task
from medrag.testing import FakeGenerator

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "pipelines" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Answers lines of questions; (exit status, questions that were asked)."""
    from medrag import MedRAG
    from medrag.route import DomainRouter
    from medrag.select import AdaptiveSelector

    rag = MedRAG({}, DomainRouter([]), AdaptiveSelector(), FakeGenerator(("Yes.",)))
    module = script("02_answer")
    monkeypatch.setattr(module.MedRAG, "open", lambda *args, **options: rag)

    def answered(*lines: object) -> tuple[int, list[str]]:
        asked: list[str] = []
        monkeypatch.setattr(module, "summary", lambda row, result: asked.append(row["question"]))
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (tmp_path / "q.jsonl").write_text(text, encoding="utf-8")
        monkeypatch.setattr(
            "sys.argv", ["02_answer", "any", str(tmp_path / "q.jsonl"), "--out", str(tmp_path / "a.jsonl")]
        )
        return module.main(), asked

    return answered


def test_a_question_that_was_put_first_is_the_one_that_is_asked(ask) -> None:
    first, second, new = ({"question": f"What is {word}\u2028?"} for word in ("a mass", "a nodule", "an effusion"))
    assert ask(first, second) == (0, [first["question"], second["question"]])
    assert ask(new, first, second) == (0, [new["question"]])
    assert ask(new, first, second, second) == (0, [second["question"]])


def test_a_line_that_is_no_question_and_a_file_of_something_else_are_one_line(
    ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in ([], ["a"], None, 1):
        assert ask(line) == (1, [])
        assert "is no question" in capsys.readouterr().err
    (tmp_path / "a.jsonl").write_text("notes of mine")
    assert ask({"question": "What is a mass?"}) == (1, [])
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "a.jsonl").read_text() == "notes of mine"


def test_help_writes_no_card() -> None:
    cards = {path: path.stat().st_mtime_ns for path in (ROOT / "medrag/presets").rglob("*.md")}
    told = subprocess.run([sys.executable, ROOT / "pipelines/09_write_cards.py", "--help"], capture_output=True, text=True)  # fmt: skip
    assert told.returncode == 0 and "Writes the model cards" in told.stdout
    assert {path: path.stat().st_mtime_ns for path in cards} == cards


def test_every_task_has_arms_and_pages_have_their_own() -> None:
    module = script("05_evaluate")
    for task in known_tasks():
        assert module.arms_of(task, quick=True) and set(task.sanity) <= set(module.arms_of(task))
    assert module.arms_of(load_task("retrieval_page")) == ("pages",)
    assert "lexical" not in module.arms_of(load_task("retrieval_image_report"))  # one question for all films


def test_bad_input_to_the_evaluation_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    module = script("05_evaluate")
    for words, problem in (
        ([], "MEDRAG_DATA is not set"),
        (["--data", str(tmp_path), "--tasks", "vqa_radd"], "vqa_radd"),
    ):
        monkeypatch.setattr("sys.argv", ["05_evaluate", *words])
        assert module.main() == 1 and problem in capsys.readouterr().err


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a small ranking task and names of diseases to their arms; the exit status, with further words of the command line."""
    pytest.importorskip("ir_measures")
    root = tmp_path / "noncommercial/nfcorpus"
    root.mkdir(parents=True)
    (root / "mini.docs.gz").write_text("D1\tstatins lower cholesterol\nD2\tbroccoli and cancer\n")
    (root / "mini.3-2-1.qrel").write_text("Q1\t0\tD1\t3\nQ2\t0\tD2\t1\n")
    (root / "mini.titles.queries").write_text("Q1\tcholesterol drugs\nQ2\tdoes broccoli help\n")
    module = script("05_evaluate")
    tasks = [load_task("linking"), load_task("retrieval_nfcorpus")]
    monkeypatch.setattr(module, "known_tasks", lambda: tasks)
    monkeypatch.setitem(module.ARMS, "ranking", ("lexical",))

    def run(*words: str) -> int:
        usual = ["05_evaluate", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--quick"]
        monkeypatch.setattr("sys.argv", [*usual, *words])
        return module.main()

    return run


def test_a_task_without_the_split_is_left_out_and_told_and_the_page_is_written(
    evaluated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluated("--split", "mini") == 0
    told = capsys.readouterr()
    assert "left out: linking" in told.err and "known: medquad, hpo, all" in told.err and "ndcg@10" in told.out
    assert "retrieval_nfcorpus · mini" in (tmp_path / "out/report.html").read_text()
    assert evaluated("--split", "mini", "--tasks", "linking", "retrieval_nfcorpus") == 1  # one that was named
    assert evaluated("--split", "nosuch") == 1
    assert "nothing to ask" in capsys.readouterr().err


def test_an_arm_that_fails_takes_no_other_with_it(
    evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("05_evaluate")
    monkeypatch.setattr(module, "arms_of", lambda task, quick: ("nosuch", "lexical"))
    monkeypatch.setattr("sys.argv", ["05_evaluate", "--data", str(tmp_path), "--tasks", "retrieval_nfcorpus", "--split", "mini", "--out", str(tmp_path / "out")])  # fmt: skip
    assert module.main() == 1
    assert "left out: retrieval_nfcorpus · nosuch" in capsys.readouterr().err
    assert (tmp_path / "out/report.html").is_file()


def test_a_score_that_nothing_defines_is_a_dash() -> None:
    told = script("05_evaluate").told
    assert told({"headline": "auroc", "scores": {}, "intervals": {}}) == "auroc –"
    assert told({"headline": "a", "scores": {"a": 0.5}, "intervals": {"a": [None, None]}}) == "a 0.500 [–]"
