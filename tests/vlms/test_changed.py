"""What changed between two images: told by the evidence that compares them, or not at all."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image
from some_prompts import STUDIES

from medrag.agent.compare import changes
from medrag.prompts import REFUSAL, Prompt
from medrag.types import Context, Hit, Passage, Query
from medrag.vlms._changed import asks_change, change_told
from medrag.vlms.small import MedragSmall

FILM = Image.new("L", (8, 8))
READ = changes({"Effusion": 0.9, "Nodule": 0.02, "Cardiomegaly": 0.7}, {"Effusion": 0.03, "Nodule": 0.8, "Cardiomegaly": 0.6, "Mass": 0.0})  # fmt: skip


def context(text: str = READ) -> Context:
    compared = Hit(Passage("compare0-1", "compare0-1", text), 1.0, 2, "reader")
    return Context(Query(""), (Hit(STUDIES[0], 1.0, 1, "similar"), compared))


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("Is the effusion new?", "No [E2]. Pleural effusion is resolved"),
        ("Has the pleural effusion resolved?", "Yes [E2]."),
        ("Is the nodule new?", "Yes [E2]. Pulmonary nodule is new"),
        ("Is the cardiomegaly unchanged?", "Yes [E2]."),
        ("Has the cardiomegaly changed?", "No [E2]."),
        ("Is the effusion larger?", ""),  # sizes are not compared
        ("Is the pneumothorax new?", ""),  # not read
        ("Is there an effusion?", ""),
    ],
)
def test_the_course_of_a_finding(question: str, start: str) -> None:
    told = change_told(question, context())
    assert told.startswith(start) and bool(told) == bool(start)


@pytest.mark.parametrize(
    "question", ["How do you know that they are on different sides?", "Is the effusion new?", "What is seen?"]
)
def test_what_compares_no_images(question: str) -> None:
    assert not asks_change(question)


@pytest.mark.parametrize(
    "question",
    [
        "What has changed?",
        "Compare the two films.",
        "What is different?",
        "What is different from before?",
        "What is the difference between the two films?",
    ],
)
def test_what_has_changed(question: str) -> None:
    assert asks_change(question)
    told = change_told(question, context())
    assert "effusion is resolved" in told and "nodule is new" in told and told.count("[E2]") == 3
    nothing = changes({"Effusion": 0.01}, {"Effusion": 0.02})
    assert change_told(question, context(nothing)) == "No finding comes or goes [E2]."
    assert not change_told(question, Context(Query(""), (Hit(STUDIES[0], 1.0, 1, "similar"),)))


def test_the_small_model_does_not_guess_what_changed() -> None:
    model = MedragSmall("nowhere", reader="")
    asked = Prompt("What has changed?", context())
    told = change_told(asked.question, asked.context)
    assert "".join(model.stream(asked, [FILM, FILM])) == told == model.batch([asked], [[FILM, FILM]])[0]
    bare = dataclasses.replace(asked, context=Context(Query(""), (Hit(STUDIES[0], 1.0, 1, "similar"),)))
    assert "".join(model.stream(bare, [FILM, FILM])) == REFUSAL
    closed = dataclasses.replace(asked, question="Is the effusion new?")
    assert model.probabilities_yes([closed], [[FILM, FILM]]) == [None]
