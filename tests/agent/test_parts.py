"""A question of two parts is answered in both, or says which one is not; a reason is the true one."""

from __future__ import annotations

import pytest
from small_agent import picture, small_rag, talker

from medrag.agent.asking import sub_questions
from medrag.agent.parts import parts_of
from medrag.agent.verify import verify
from medrag.types import Hit, ImageRecord

BOTH = "What is a pleural effusion, and what is a pulmonary mass?"


def test_both_parts_are_answered_and_cited_by_what_each_asks():
    answer = small_rag().answer(None, BOTH, agent=True)
    assert "fluid in the pleural space" in answer.text and "an opacity larger than 3 cm" in answer.text
    assert {one.item.id for one in answer.citations} >= {"book:effusion~0", "book:mass~0"}
    assert answer.status == "answered" and not answer.reason
    assert answer.text == small_rag().chat().ask(BOTH).text


def test_the_part_without_an_answer_is_named():
    answer = small_rag().answer(None, "What is a pleural effusion and who treats measles?", agent=True)
    assert "fluid in the pleural space" in answer.text and answer.status == "answered"
    assert answer.text.endswith("Not answered: “who treats measles?”.")
    assert answer.reason == "not answered: “who treats measles?”"
    none = small_rag().answer(None, "Who treats measles, and who treats mumps?", agent=True)
    assert none.status == "abstained" and "Not answered" not in none.text


def test_a_yes_or_no_stands_after_its_question():
    rag = talker("Yes [E1].", "No [E1].")
    rag.generator.follows_instructions = False
    asked = "Is there a pleural effusion, and is there a mass?"
    answer = rag.answer(picture("both"), asked, agent=True)
    assert answer.text == "Is there a pleural effusion? Yes [E1]. Is there a mass? No [E1]."


def test_a_model_that_is_told_what_to_do_reads_the_whole_question():
    assert parts_of(BOTH, talker("x")) == [BOTH] and len(parts_of(BOTH, small_rag())) == 2
    long = "A man has fever; he coughs. What is it, and how is it treated?"
    assert parts_of(long, small_rag()) == [long]


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ("Is there an infiltrate, and where?", ["Is there an infiltrate?", "Where is the infiltrate?"]),
        ("is there atelectasis and if so which lobe", ["is there atelectasis?", "Which lobe is atelectasis in?"]),
        ("What is leukemia and is it curable?", ["What is leukemia?", "is leukemia curable?"]),
    ],
)
def test_a_part_of_one_word_is_a_question_of_its_own(asked, parts):
    assert sub_questions(asked) == parts


def test_what_was_turned_down_was_found():
    answer = small_rag().answer(None, "Who treats measles?", agent=True)
    assert (answer.status, answer.reason) == ("abstained", "what was found does not answer the question")
    none = small_rag(texts=()).answer(None, "Who treats measles?", agent=True)
    assert none.reason == "nothing relevant was found"


def test_a_picture_with_a_label_alone_is_counted_and_not_read():
    nevus = ImageRecord("atlas:1", "atlas:1", "nevus", "1.png", meta={"label": "nevus"})
    for asked in ("What lesion is this?", "Is this a melanoma?"):
        assert not verify(Hit(nevus, 0.9, 1, "similar"), asked).reason
    told = ImageRecord("atlas:2", "atlas:2", "A drawing of the kidney.", "2.png")
    assert verify(Hit(told, 0.9, 1, "lexical"), "What lesion is this?").reason
