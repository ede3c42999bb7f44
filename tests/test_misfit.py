"""What a picture cannot answer is told as that; what it may answer is let through."""

from __future__ import annotations

import doctest
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medrag import misfit as module
from medrag.agent.graph import Agent
from medrag.misfit import NAMES, SHOWN_IN, looks, misfit, unpictured
from medrag.pipeline import MedRAG
from medrag.prompts import REFUSAL
from medrag.route import DomainRouter, ImageHead
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings, override
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import DOMAINS, Passage, Query, QueryImage, Route

BOOK = Passage(
    "book:1~0", "book:1", "A retinal haemorrhage is blood in the retina. A pleural effusion is fluid in the chest."
)
FILM = {"modality": "CR", "body_part": "CHEST"}


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("question", "shows", "reason"),
    [
        ("Is there a retinal haemorrhage?", "chest-xray", "the retina, which a chest film does not show"),
        ("Are there hard exudates near the macula?", "chest-xray", "the retina"),
        ("Is there bleeding in the brain?", "chest-xray", "the brain"),
        ("Is the mole asymmetric?", "chest-xray", "the skin's pigment"),
        ("How many mitoses are there?", "fundus", "single cells, which a photograph of the retina"),
        ("Is there a pneumothorax?", "fundus", "the chest"),
        ("Is there cardiomegaly?", "dermoscopy", "the chest"),
        ("Is there a liver lesion on this MRI?", "chest-xray", "an MRI, and the picture is a chest film"),
        ("Is there a fracture on this chest x-ray?", "fundus", "a chest film"),
        ("Are the cortical sulci wide?", "chest-xray", "the brain"),
        ("He has a cough. Is there bleeding in the brain?", "chest-xray", "the brain"),
        ("Does this patient with cough have a retinal haemorrhage?", "chest-xray", "the retina"),
        ("Is there a pleural effusion?", "other", "no medical picture"),
        ("What does this image show?", "other", "no medical picture"),
        ("What cell is this?", "fundus", "a kind of cell"),
        ("Which type of cell is shown?", "dermoscopy", "a kind of cell"),
        ("What lesion is this?", "blood-smear", "a lesion"),
        ("What grade of diabetic retinopathy is this?", "dermoscopy", "the retina"),
        ("Is there pneumonia?", "blood-smear", "lungs or bones"),
        ("", "other", "no medical picture"),
        ("Describe the findings.", "other", "no medical picture"),
    ],
)
def test_what_cannot_be_answered(question: str, shows: str, reason: str) -> None:
    assert reason in misfit(question, shows)


@pytest.mark.parametrize(
    ("question", "shows"),
    [
        ("What is a retinal haemorrhage?", "chest-xray"),
        ("What causes retinopathy?", "chest-xray"),
        ("What is a pleural effusion?", "other"),
        ("Why does the retina bleed?", "other"),
        ("Is there a pleural effusion?", "chest-xray"),
        ("Is there a pleural effusion?", "ct"),
        ("Is there a pleural effusion?", ""),
        ("Is there a midline shift?", "chest-xray"),
        ("Is there lung tissue in this slide?", "histology"),
        ("Is there a retinal haemorrhage or a pneumothorax?", "chest-xray"),
        ("Is there papilledema of the optic disc?", "fundus"),
        ("Should a CT be done?", "chest-xray"),
        ("Is this a CT?", "chest-xray"),
        ("Is there a mass?", "dermoscopy"),
        ("Is there a deep sulcus sign?", "chest-xray"),
        ("Is there blunting of the posterior sulcus?", "chest-xray"),
        ("Is there pneumonia in this patient with cerebral palsy?", "chest-xray"),
        ("Does this patient with cerebral palsy have pneumonia?", "chest-xray"),
        ("Are there metastases? History of brain tumor.", "chest-xray"),
        ("History of brain tumor. Are there metastases?", "chest-xray"),
        ("Is the nodule from the prior CT still visible?", "chest-xray"),
        ("Is the nodule seen on the CT visible?", "chest-xray"),
        ("Is it as in this previous MRI?", "chest-xray"),
    ],
)
def test_what_may_be_answered(question: str, shows: str) -> None:
    assert misfit(question, shows) == ""


@settings(max_examples=30)
@given(st.text(max_size=80), st.sampled_from((*DOMAINS, "", "unknown")))
def test_any_text_is_read(question: str, shows: str) -> None:
    assert isinstance(misfit(question, shows), str) and (looks(question) or not misfit(question, shows))


def test_the_table_speaks_of_known_domains() -> None:
    assert set(NAMES) == set(DOMAINS) - {"other"}
    assert all(domains <= set(DOMAINS) for _, domains in SHOWN_IN.values())


def rag(changes: dict[str, Any] | None = None) -> MedRAG:
    chosen = override(PipelineSettings(), changes or {})  # type: ignore[call-arg]
    retriever = ListRetriever([BOOK], "lexical")
    return MedRAG({"lexical": retriever}, DomainRouter(["lexical"]), AdaptiveSelector(), FakeGenerator(["No [E1]."]), chosen)  # fmt: skip


class Film(DomainRouter):
    """Takes every picture for a chest film."""

    def route(self, query: Query) -> Route:
        return Route("chest-xray", 0.9, {"lexical": 1.0}, (), "chest-xray" if query.images else "")


def film_rag(**changes: Any) -> MedRAG:
    made = rag(changes)
    made.router = Film(["lexical"])
    return made


PICTURE, ASKED = Image.new("L", (64, 64), 90), "Is there a retinal haemorrhage?"


def test_the_pipeline_abstains_with_the_reason_and_asks_nobody() -> None:
    made = film_rag()
    events = list(made.stream(PICTURE, ASKED))
    answer = events[-1].data
    assert [event.stage for event in events] == ["routed", "found", "selected", "token", "answer"]
    assert (answer.status, answer.text) == ("abstained", REFUSAL) and "a chest film does not show" in answer.reason
    assert made.generator.prompts == [] and not answer.context.kept  # type: ignore[attr-defined]
    assert [one.reason for one in made.answers([(PICTURE, ASKED, ())] * 2)] == [answer.reason] * 2


class Colours(DomainRouter):
    """Takes a dark picture for a chest film, and a bright one for an everyday photograph."""

    def _image_witness(self, query: Query) -> list[tuple[dict[str, float], str]]:
        return [({"chest-xray" if query.images[0].image.getpixel((0, 0)) < 128 else "other": 1.0}, "a test")]  # type: ignore[operator]


def test_of_several_pictures_each_must_fit() -> None:
    made, bright = rag(), Image.new("L", (64, 64), 250)
    made.router = Colours(["lexical"])
    both = made.answer([PICTURE, bright], "Is there a pleural effusion?")
    assert both.status == "abstained" and both.reason.startswith("image 2: the picture is like no medical picture")
    assert made.answer([PICTURE, PICTURE], "Is there a pleural effusion?").status == "answered"


@pytest.mark.parametrize(
    "question",
    ["Is this benign?", "Is it a melanoma?", "What lesion is this?", "What cell is shown in the picture?", "Describe this image.", "What is seen here?",
     "Are these films normal?", "What do you see?"],
)  # fmt: skip
def test_a_question_that_points_at_a_picture_needs_one(question: str) -> None:
    made = rag()
    for answer in (made.answer(None, question), made.answer(None, question, agent=True)):
        assert (answer.status, answer.reason) == ("abstained", "the question points at an image, and none was given")
    assert rag({"misfit": "answer"}).answer(None, question).reason != answer.reason


@pytest.mark.parametrize(
    "question",
    ["What is a retinal haemorrhage?", "A man of 54 has a mole that bleeds. Is this benign?", "Is it safe to fly with a pneumothorax?", "What is it called when blood is in the retina?",
     "Is this medicine safe in pregnancy?", "What determines how sharp the picture of an MRI is?",
     "Is it normal to have headaches?", "Is it a contagious disease?", "How is this scan done?", "What do you see on a chest x-ray in heart failure?"],
)  # fmt: skip
def test_others_need_none(question: str) -> None:
    assert unpictured(question) == ""


def test_so_does_the_search_loop() -> None:
    made = film_rag()
    answer = Agent(made).answer(PICTURE, ASKED)
    assert answer.status == "abstained" and "a chest film does not show" in answer.reason
    assert made.generator.prompts == []  # type: ignore[attr-defined]


def test_without_a_picture_or_where_it_is_let_through_it_is_answered() -> None:
    assert film_rag().answer(None, ASKED).status == "answered"
    assert film_rag(misfit="answer").answer(PICTURE, ASKED).status == "answered"


def image(**meta: str) -> QueryImage:
    return QueryImage(PICTURE, meta=meta)


class Head:
    """A head that sees everyday pictures everywhere."""

    encoder = ""

    def probabilities(self, vector: Any) -> dict[str, float]:
        return {"other": 1.0}


class Eyes:
    def query(self, query: Query) -> list[None]:
        return [None]


def test_what_a_picture_surely_is() -> None:
    plain = DomainRouter(["lexical"])
    assert plain.route(Query(ASKED, (image(**FILM),))).shows == "chest-xray"
    assert plain.route(Query(ASKED, (image(modality="MR"),))).shows == "mr"
    assert plain.route(Query(ASKED, (image(),))).shows == "" == plain.route(Query(ASKED)).shows
    assert plain.route(Query(ASKED, (image(**FILM), image(modality="MR")))).shows == ""
    head: ImageHead = Head()  # type: ignore[assignment]
    looking = DomainRouter(["lexical"], head=head, encoder=Eyes())  # type: ignore[arg-type]
    assert looking.route(Query(ASKED, (image(),))).shows == "other"
    assert looking.route(Query(ASKED, (image(modality="ES"),))).shows == ""  # an endoscope's file is medical


@pytest.mark.data
def test_it_lets_questions_about_their_own_pictures_through() -> None:
    """Of 1,579 questions about chest films and 1,216 about heads, chests and abdomens, as if every picture were known for what it is."""
    folder = Path(os.environ["MEDRAG_DATA"])
    with (folder / "noncommercial/iu_xray/vqa_train.jsonl").open(encoding="utf-8") as lines:
        asked = [(json.loads(line)["question"], "chest-xray") for line in lines]
    rows = json.loads((folder / "open/vqa_rad/train.json").read_text(encoding="utf-8"))
    kinds = {"CHEST": ("chest-xray",), "HEAD": ("ct", "mr"), "ABD": ("ct", "mr")}
    own = [(row["question"], kind) for row in rows for kind in kinds[row["image_organ"]]]
    assert len(asked) > 1500 and len(rows) > 1700
    refused = [(question, shows) for question, shows in (*asked, *own) if misfit(question, shows)]
    # those name the other of CT and MRI themselves, which is what they were asked of
    assert [one for one in refused if not {"mri", "ct"} & set(one[0].lower().strip("?").split())] == []
    assert len(refused) < 10


@pytest.mark.parametrize(
    ("question", "shows"),
    [("Are the caudate nuclei normal on this image?", "mr"), ("Is there a macular rash?", "dermoscopy")],
)
def test_words_with_a_second_meaning_are_let_through(question: str, shows: str) -> None:
    assert misfit(question, shows) == ""
