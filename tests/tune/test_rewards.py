"""Rewards by hand, their bounds, and that TRL's trainer takes them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from medrag.cli.app import app
from medrag.errors import SettingsError
from medrag.tune import grpo
from medrag.tune.answers import Piece, Told
from medrag.tune.asked import Asked
from medrag.tune.rewards import (
    answer_reward,
    call_reward,
    citation_reward,
    format_reward,
    pattern_reward,
    ranking_reward,
    search_reward,
    use_reward,
)
from medrag.vlms import open_generator

EVIDENCE = {"E1": "There is a small left pleural effusion.", "E2": "The heart is normal in size."}


def test_answers_by_hand() -> None:
    assert answer_reward("Yes, there is.", "yes") == 1 and answer_reward("Perhaps.", "yes") == 0
    assert answer_reward("It is an axial MRI.", "MRI") == 1
    assert answer_reward("left lung", "left lower lobe") == pytest.approx(2 * 1 / (2 + 3))
    report = "There is a small left pleural effusion. The heart is enlarged. No pneumothorax is seen."
    assert answer_reward(report, report) == 1 > answer_reward("No pneumothorax is seen.", report)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes, there is an effusion [E1].", 1),
        ("No.", 1),
        ("Yes, an effusion [E3].", 0),  # nobody gave E3
        ("Yes, an effusion [see E1].", 0),
        ("It is hard to say.", 0),
        ("I cannot answer this from the evidence found.", 1),
        ("", 0),
    ],
)
def test_format(answer: str, expected: float) -> None:
    assert format_reward(answer, "closed", EVIDENCE) == expected


def test_citations_by_hand() -> None:
    assert citation_reward("A left pleural effusion [E1]. The heart is normal in size [E2].", EVIDENCE) == 1
    assert citation_reward("A left pleural effusion [E2]. The heart is normal in size [E2].", EVIDENCE) == 0
    assert citation_reward("A left pleural effusion [E9].", EVIDENCE) == -1
    assert citation_reward("A left pleural effusion. The heart is normal in size [E2].", EVIDENCE) == 0.5
    assert citation_reward("Yes.", EVIDENCE) == 0


def test_use_of_retrieval() -> None:
    assert [
        use_reward(a, "yes", b) for a, b in [("Yes.", "No."), ("No.", "Yes."), ("Yes.", "Yes."), ("No.", "No.")]
    ] == [1, -1, 0, 0]


def test_ranking_equals_ndcg() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    grades = [0, 1, 0, 1, 1, 0]
    found = [f"d{n}" for n in range(6)]
    relevant = [name for name, grade in zip(found, grades, strict=True) if grade]
    expected = metrics.ndcg_score([grades], [np.arange(6)[::-1]])
    assert ranking_reward(found, relevant) == pytest.approx(expected)
    assert ranking_reward(relevant, relevant) == pytest.approx(1)
    assert ranking_reward(["d1", "d1", "d1"], ["d1", "d9"]) == pytest.approx(1 / (1 + 1 / np.log2(3)))
    assert ranking_reward(found, []) == 0


TURNS = ["<think>look it up</think><search>effusion</search>", "<think>now I know</think>\n<answer>Yes.</answer>"]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (TURNS, 1),
        (TURNS[:1], 0),  # never answers
        (TURNS[::-1], 0),  # searches after it answered
        (["<answer>Yes.</answer>"], 0),
        (["<think></think><answer>Yes.</answer>"], 0),
        (["<think>a</think><answer>Yes.</answer> and more"], 0),
        ([], 0),
    ],
)
def test_pattern(turns: list[str], expected: float) -> None:
    assert pattern_reward(turns) == expected


def test_a_search_by_hand() -> None:
    assert search_reward(TURNS, ["d1"], ["d1"], "yes") == pytest.approx(1)
    assert search_reward(TURNS, ["d2"], ["d1"], "yes") == pytest.approx(0.8)
    assert search_reward(TURNS, ["d1"], ["d1"], "no") == pytest.approx(0.3)
    assert search_reward(TURNS[1:] + TURNS[:1], ["d1"], ["d1"], "yes") == pytest.approx(0.2)
    with pytest.raises(ValueError, match="shares of 1"):
        search_reward(TURNS, [], [], "yes", ranking=0.9)


def call(name: str, **arguments: object) -> dict[str, object]:
    return {"name": name, "arguments": arguments}


def test_tool_calls_by_hand() -> None:
    wanted = [call("search", text="pleural effusion", k=3), call("zoom", region="left")]
    assert call_reward(wanted[::-1], wanted) == 1
    assert call_reward([call("search", text="Pleural  Effusion", k=3), wanted[1]], wanted) == 1
    assert call_reward([], wanted) == -1 and call_reward(wanted, []) == -1 and call_reward([], []) == 1
    assert call_reward(wanted[:1], wanted) == 0  # one of two
    assert call_reward([call("graph", text="pleural effusion", k=3)], wanted[:1]) == -1
    # names agree (1), one of two values: 0.75 of 1
    assert call_reward([call("search", text="mass", k=3)], wanted[:1]) == pytest.approx(2 * 0.75 - 1)


CALLS = st.lists(st.builds(call, st.sampled_from(["a", "b"]), k=st.integers(0, 1)), max_size=3)


@settings(max_examples=40)
@given(CALLS, CALLS)
def test_only_the_same_calls_are_perfect(one: list[dict[str, object]], other: list[dict[str, object]]) -> None:
    value = call_reward(one, other)
    assert -1 <= value <= 1
    same = sorted(map(str, one)) == sorted(map(str, other))
    assert (value == 1) == same


def told(n: int) -> Told:
    asked = Asked(f"{n}", f"{n}", "Is there a pleural effusion?", "yes", (), "closed")
    return Told(asked, "No.", "Yes.", None, (Piece("a", "study", "a", EVIDENCE["E1"]),), "", "key")


def test_rewards_as_trl_calls_them() -> None:
    columns = {
        "reference": ["yes"] * 2,
        "kind": ["closed"] * 2,
        "evidence": [[EVIDENCE["E1"]]] * 2,
        "without": ["No."] * 2,
    }
    texts = ["Yes, a left pleural effusion [E1].", "No [E2]."]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    found = {}
    for reward in grpo.rewards():
        found[reward.__name__] = reward(completions=texts, prompts=["", ""], completion_ids=[[], []], **columns)
        assert reward(completions=messages, **columns) == found[reward.__name__]
    assert found == {
        "answer_reward": [1, 0], "format_reward": [0.2, 0], "citation_reward": [0.5, 0], "use_reward": [0.5, 0]
    }  # fmt: skip
    assert [reward.__name__ for reward in grpo.rewards({"answer": 1, "use": 0})] == ["answer_reward"]
    with pytest.raises(SettingsError, match="speed"):
        grpo.rewards({"speed": 1})


def test_trl_takes_a_step(tmp_path: Path) -> None:
    pytest.importorskip("trl"), pytest.importorskip("peft")
    from vlms import tiny_models

    trainer = grpo.grpo_trainer(
        str(tiny_models.llama(tmp_path / "tiny")), [told(n) for n in range(4)], tmp_path / "out", rank=4, use_cpu=True,
        bf16=False, max_steps=1, num_generations=2, per_device_train_batch_size=2, max_completion_length=4, logging_steps=1,
        save_strategy="no", disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    trainer.train()
    logged = trainer.state.log_history[0]
    assert {f"rewards/{name}_reward/mean" for name in ("answer", "format", "citation", "use")} <= logged.keys()


def test_the_small_model_is_refused_under_either_of_its_names(tmp_path: Path) -> None:
    pytest.importorskip("trl"), pytest.importorskip("peft")
    for name in ("medrag-small", "medrag-small-vlm"):
        with pytest.raises(SettingsError, match=f"{name} cannot be trained by GRPO"):
            grpo.grpo_trainer(name, [], tmp_path)


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """Answers to four questions, two of them on a film, as `medrag tune pairs` keeps them."""
    Image.new("L", (28, 28), 90).save(tmp_path / "film.png")
    seen = [(), (str(tmp_path / "film.png"),)]
    lines = [dataclasses.replace(told(n), asked=dataclasses.replace(told(n).asked, images=seen[n % 2])).line() for n in range(4)]  # fmt: skip
    (tmp_path / "answers.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return tmp_path / "answers.jsonl"


def tuned(answered: Path, *more: str) -> Any:
    numbers = ("method=grpo", "steps=2", "generations=2", "tokens=4", "checkpoint=1")
    command = ["tune", "train", str(answered), "--out", str(answered.parent / "tuned"), "--json"]
    return CliRunner().invoke(app, [*command, *(word for one in numbers for word in ("--set", one)), *more])


def test_a_model_by_name_is_tuned_by_rewards_from_the_command_line(answered: Path) -> None:
    pytest.importorskip("trl"), pytest.importorskip("peft")
    from vlms import tiny_models

    model, out = str(tiny_models.llava(answered.parent / "tiny")), answered.parent / "tuned"
    (answered.parent / "full").mkdir()
    out.mkdir()
    (out / "TRAINING").symlink_to(answered.parent / "full")  # the end cannot be written
    said = tuned(answered, "--model", model, "--set", "questions=2")
    assert said.exit_code == 1 and "cannot share a step" in json.loads(said.stdout)["error"]
    said = tuned(answered, "--model", model)
    assert said.exit_code == 1 and "cannot write" in json.loads(said.stdout)["error"]
    other = tuned(answered, "--model", model, "--set", "rate=1")
    assert other.exit_code == 1 and "of a run with other settings" in json.loads(other.stdout)["error"]
    (out / "TRAINING").unlink()
    said = tuned(answered, "--model", model)  # goes on from the checkpoint
    assert said.exit_code == 0, said.output
    result = json.loads(said.stdout)
    assert result["steps"] == 2 and result["used"] == 4
    assert result["reward"] == pytest.approx(sum(result[name] for name in grpo.WEIGHTS), abs=1e-3)
    assert "GrpoTraining" in (out / "TRAINING").read_text() and not list(answered.parent.glob("tuned.work/checkpoint*"))
    assert len((answered.parent / "tuned.work/metrics.jsonl").read_text().splitlines()) >= 2
    assert open_generator(str(out), device="cpu").name  # answers like any other


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--model", "medrag-small"], "medrag-small cannot be trained by GRPO"),
        (["--model", "NONE", "--set", "generations=1"], "generations: "),
        (["--model", "NONE", "--set", "speed=1"], "training has no setting 'speed'"),
        (["--model", "NONE", "--kind", "cm"], "of no kind of pair"),
    ],
)
def test_what_grpo_cannot_do_is_told_before_anything_is_written(answered: Path, more: list[str], problem: str) -> None:
    said = tuned(answered, *more)
    assert said.exit_code == 1 and problem in json.loads(said.stdout)["error"]
    assert not (answered.parent / "tuned").exists() and not (answered.parent / "tuned.work").exists()


def test_pairs_are_no_questions_for_grpo(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"id": "1/cm"}\n')
    for name in ("pairs.jsonl", "nope.jsonl"):
        said = json.loads(tuned(tmp_path / name).stdout)
        assert "holds no answers" in said["error"] and "answers.jsonl" in said["hint"]
