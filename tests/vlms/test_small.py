"""The small model: what it is asked and when it is not; its real weights only where they were fetched."""

from __future__ import annotations

import re

import pytest
from some_prompts import prompt, said

from medrag import models
from medrag.errors import ModelMissing
from medrag.prompts import REFUSAL
from medrag.vlms.small import EXAMPLE, Small


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("What is the treatment of gout?", {}),
        ("What is a pneumothorax?", {"alike": (), "general": ()}),
        ("Is there a fracture?", {}),
    ],
)
def test_where_there_is_nothing_to_read_it_refuses_without_loading(question: str, options: dict[str, object]) -> None:
    small = Small()
    assert said(small, prompt(question, **options)) == REFUSAL  # type: ignore[arg-type]
    assert small._inner._loaded is None


def test_it_is_given_picked_sentences_with_their_keys_after_one_example() -> None:
    turns = Small()._layout(prompt("What is a pneumothorax?"))
    assert [role for role, _ in turns] == ["system", "user", "assistant", "user"]
    assert turns[1:3] == list(EXAMPLE)
    assert turns[-1][1] == "[E6] A pneumothorax is air in the pleural space.\n\nQuestion: What is a pneumothorax?"


def test_counts_and_drafts_are_not_left_to_the_model() -> None:
    text = next(Small().stream(prompt("Is there a pleural effusion?")))
    assert text.startswith("Likely no: 3 of 4 look-alike studies")
    assert "Findings:" in said(Small(), prompt("Write a report."))


@pytest.mark.slow
def test_the_real_weights_answer_with_a_key() -> None:
    try:
        models.resolve("small")
    except ModelMissing as error:
        pytest.skip(str(error))
    small = Small(device="cpu", max_new_tokens=40)
    text = said(small, prompt("What is a pneumothorax?"))
    assert "air" in text
    assert set(re.findall(r"\[E\d+\]", text)) == {"[E6]"}
    assert text == said(small, prompt("What is a pneumothorax?"))
