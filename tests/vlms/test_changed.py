"""What changed between two images: told by the evidence that compares them, or not at all."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from PIL import Image
from some_prompts import STUDIES

from medrag.agent.compare import changes, images
from medrag.cite import cite
from medrag.prompts import REFUSAL, Prompt
from medrag.score.grounding import claims
from medrag.types import Context, Hit, Passage, Query, QueryImage
from medrag.vlms._changed import UNTOLD, asks_change, change_told, told_or_refused
from medrag.vlms._evidence import HISTORY
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


def compared(*texts: str) -> Context:
    """Evidence that compares image 1 with 2, 2 with 3 …"""
    notes = [Passage(f"compare{n}", f"compare{n}", text, title=f"Image {n} beside image {n + 1} (by a model)") for n, text in enumerate(texts, 1)]  # fmt: skip
    return Context(Query("", (QueryImage(FILM),) * (len(texts) + 1)), tuple(Hit(note, 1.0, n, "reader") for n, note in enumerate(notes, 1)))  # fmt: skip


def test_open_and_closed_questions_say_the_same_of_a_doubtful_reading() -> None:
    context = compared(changes({"Effusion": 0.0, "Mass": 0.0}, {"Effusion": 0.2, "Mass": 0.02}, usual={"Effusion": 0.04, "Mass": 0.01}))  # fmt: skip
    said = "Pleural effusion is possibly new: probability 0.00 in the first image, 0.20 in the second [E1]."
    assert change_told("What has changed?", context) == f"{said} In doubt: mass in the lungs [E1]."
    assert change_told("Is the pleural effusion new?", context) == f"Yes, but in doubt [E1]. {said}"
    assert change_told("Is the mass new?", context).startswith("That is in doubt [E1].")


def test_every_comparison_is_told_and_the_last_decides() -> None:
    context = compared(changes({"Effusion": 0.0}, {"Effusion": 0.8}), changes({"Effusion": 0.8}, {"Effusion": 0.9}))
    told = change_told("Is the effusion new?", context)
    assert told.startswith("No [E2]. Image 1 beside image 2: Pleural effusion is new") and "is unchanged" in told
    told = change_told("What has changed?", context)
    assert "Image 1 beside image 2: Pleural effusion is new" in told and told.endswith("[E2].") and "[E1]" in told


def test_what_changed_is_not_told_from_what_compares_nothing() -> None:
    two, one = Context(Query("", (QueryImage(FILM),) * 2)), Context(Query("", (QueryImage(FILM),)))
    told = told_or_refused("What has changed?", two)
    assert "agent=True" in told and told.endswith(REFUSAL)
    assert not told_or_refused("What has changed?", one)
    assert not told_or_refused("What is seen?", two) and not told_or_refused("Is there a new effusion?", one)
    for context in (one, two):  # no one film shows a course
        assert all(
            told_or_refused(text, context).endswith(REFUSAL)
            for text in ("Is the effusion new?", "Is it worse?", "Any change?", "Did the pneumothorax resolve?")
        )
        assert not any(
            told_or_refused(text, context)
            for text in ("Is it larger than 3 cm?", "Is the fracture stable?", "Is the nodule smaller than the mass?")
        )
    own = dataclasses.replace(one, kept=(Hit(STUDIES[0], 1.0, 1, HISTORY),))
    assert not told_or_refused("Is the effusion new?", own)
    assert told_or_refused("What has changed?", compared(READ)).startswith("Cardiomegaly is unchanged")


def test_the_small_model_does_not_guess_what_changed() -> None:
    model = MedragSmall("nowhere", reader="")
    asked = Prompt("What has changed?", context())
    told = change_told(asked.question, asked.context)
    assert "".join(model.stream(asked, [FILM, FILM])) == told == model.batch([asked], [[FILM, FILM]])[0]
    bare = dataclasses.replace(asked, context=Context(Query(""), (Hit(STUDIES[0], 1.0, 1, "similar"),)))
    assert "".join(model.stream(bare, [FILM, FILM])) == REFUSAL
    closed = dataclasses.replace(asked, question="Is the effusion new?")
    assert model.probabilities_yes([closed], [[FILM, FILM]]) == [None]


def test_what_is_too_faint_to_tell_is_counted_and_no_claim_of_the_evidence() -> None:
    names = ("Mass", "Nodule", "Fibrosis")
    faint = dict.fromkeys(names, 0.05)
    context = compared(
        changes({"Effusion": 0.0, **faint}, {"Effusion": 0.9, **faint}, usual=dict.fromkeys(names, 0.01))
    )
    told = change_told("What has changed?", context)
    assert told.endswith("3 other findings are too faint to tell [E1].")
    assert all("faint" not in claim.text for claim in claims(told))


@pytest.mark.parametrize(
    ("question", "course"),
    [
        ("What degenerative changes are seen in the spine?", False),
        ("Where are the emphysematous changes?", False),
        ("What changes do you see?", False),
        ("What interval changes are there?", True),
        ("What changes are seen between the two films?", True),
    ],
)
def test_changes_that_one_picture_shows_are_no_course(question: str, course: bool) -> None:
    assert asks_change(question) is course


@pytest.mark.parametrize("question", ["What has changed?", "Is the effusion new?", "Has it worsened?"])
@pytest.mark.parametrize(
    ("domain", "helps"), [("", 'domain="chest-xray"'), ("chest-xray", "an encoder such as medrag-small reads them")]
)
def test_a_comparison_that_cannot_tell_says_so_and_what_helps(question: str, domain: str, helps: str) -> None:
    films = tuple(QueryImage(FILM) for _ in range(2))
    rag = SimpleNamespace(settings=SimpleNamespace(select=SimpleNamespace(same_image=1.0)))
    desk = SimpleNamespace(
        pick=lambda n: (films[n],), see=None, sources=lambda kind: [], query=Query(question, films, domain=domain), rag=rag
    )  # fmt: skip
    text, _ = images(desk, 0, 1, question)  # type: ignore[arg-type]
    note = Hit(Passage("agent:compare0-1#0", "agent:compare0-1", text), 1.0, 1, "reader")
    told = told_or_refused(question, Context(Query(question, films), (note,)))
    assert told.startswith(UNTOLD) and helps in told and told.endswith(REFUSAL) and "agent=True" not in told
    answer = cite(told, Context(Query(question, films), (note,)))
    assert answer[1] == "abstained" and helps in answer[3]
