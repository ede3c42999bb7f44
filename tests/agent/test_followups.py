"""What a question that leans on the one before is understood as; what cannot be completed is left alone, and a chat says so."""

from __future__ import annotations

import pytest
from small_agent import Script, picture, small_rag

from medrag._util.which_image import of_image
from medrag.agent.asking import WHY, completed, sub_questions, unclear
from medrag.agent.chat import NOT_CLEAR, Chat
from medrag.errors import SettingsError
from medrag.vlms._ask import plain

LEFT = "Is there an effusion on the left?"
HEART = "Is the heart enlarged?"
EFFUSION = "Is there a pleural effusion on the right?"
METFORMIN = "Does metformin treat type 2 diabetes?"
MASSES = "Are there masses in the lungs?"
ASTHMA = "What are the symptoms of asthma?"
ASPIRIN = "What is the dose of aspirin?"
ALONE = None  # left as it is
TABLE = [
    (HEART, "and the lungs?", "Are the lungs normal?"),
    (HEART, "what about the lungs?", "Are the lungs normal?"),
    (HEART, "same question for the lungs", "Are the lungs normal?"),
    (HEART, "And the right atrium?", "Is the right atrium enlarged?"),
    (HEART, "What could cause that?", "What could cause an enlarged heart?"),
    (HEART, "is it normal otherwise?", "is the heart normal otherwise?"),
    (HEART, "Could it be pericardial effusion instead?", "Is it pericardial effusion?"),
    ("Is it pericardial effusion?", "is it normal otherwise?", ALONE),
    (HEART, "and on this one?", HEART),
    (HEART, "and now?", HEART),
    (HEART, "by how much?", ALONE),
    (LEFT, "and in the liver?", ALONE),
    (LEFT, "How big is it?", "How big is an effusion on the left?"),
    ("Is there a pleural effusion?", "What about the second image?", "Is there a pleural effusion in the second image?"),
    (EFFUSION, "what about the previous film?", "Is there a pleural effusion on the right in the previous film?"),
    (EFFUSION, "left?", "Is there a pleural effusion on the left?"),
    (EFFUSION, "same on the left?", "Is there a pleural effusion on the left?"),
    (EFFUSION, "no, I meant the left", "Is there a pleural effusion on the left?"),
    (EFFUSION, "What about both lungs?", "Is there a pleural effusion in both lungs?"),
    (EFFUSION, "And the left side?", "Is there a pleural effusion on the left side?"),
    (EFFUSION, "And before?", ALONE),
    (EFFUSION, "What about edema or consolidation?", "Is there edema or consolidation?"),
    (EFFUSION, "and nodules?", "Are there nodules?"),
    (EFFUSION, "and a mass there?", "Is there a mass?"),
    (EFFUSION, "Does she have one on the left too?", "Does she have a pleural effusion on the left too?"),
    (EFFUSION, "What causes that?", "What causes a pleural effusion on the right?"),
    (EFFUSION, "which side?", "Which side is the pleural effusion on?"),
    ("what has changed?", "what causes it?", ALONE),
    ("What has changed?", "and in the upper lobe?", "What has changed in the upper lobe?"),
    ("What has changed?", "and the lungs?", "What has changed in the lungs?"),
    ("What changed in the left lung?", "and in the right lung?", "What changed in the right lung?"),
    ("What has changed?", "left?", "What has changed on the left?"),
    ("What has changed?", "bilaterally?", "What has changed on both sides?"),
    ("What has changed?", "and in children?", ALONE),
    ("what has changed?", "What about the first film?", ALONE),
    (HEART, "What kind of scan is this?", ALONE),
    (HEART, "Do the ventricles have blood in them?", ALONE),
    (HEART, "Is it possible to see the cerebellum?", ALONE),
    ("Is the segmental air space disease present?", "where is it?", "where is the segmental air space disease?"),
    ("Are there calcified granulomas visible on the film?", "Is the lesion infiltrating?", "Are calcified granulomas infiltrating?"),
    ("what causes it?", "Is it new?", ALONE),
    ("left?", "How big is it?", ALONE),  # nothing leans on what was not understood
    ("what causes a pleural effusion?", "and silicosis?", "what causes silicosis?"),
    ("what causes a pleural effusion?", "how is it treated?", "how is a pleural effusion treated?"),
    (METFORMIN, "does it cause lactic acidosis?", "does metformin cause lactic acidosis?"),
    (METFORMIN, "and insulin?", "Does insulin treat type 2 diabetes?"),
    (METFORMIN, "and type 1?", ALONE),
    ("What is silicosis?", "And its symptoms?", "What are the symptoms of silicosis?"),
    ("What is silicosis?", "symptoms?", "What are the symptoms of silicosis?"),
    ("What is silicosis?", "and in children?", "What is silicosis in children?"),
    ("What is silicosis?", "what about the second image?", ALONE),
    ("What is silicosis?", "Is it contagious?", "Is silicosis contagious?"),
    ("Where is the mass?", "and the nodules?", "Where are the nodules?"),
    ("Where is the mass?", "and in the left lung?", "Is the mass in the left lung?"),
    ("Where is the mass?", "how large?", "How large is the mass?"),
    ("Where is the mass?", "Is there another one?", "Is there another mass?"),
    ("Where is the mass?", "What is its size?", "What is the size of the mass?"),
    (MASSES, "Is one of them cavitating?", "Is one of the masses in the lungs cavitating?"),
    (MASSES, "and in the liver?", ALONE),
    (MASSES, "where?", "Where are the masses in the lungs?"),
    ("Which drugs treat asthma?", "how do they work?", "how do drugs that treat asthma work?"),
    (LEFT, "and the other side?", "Is there an effusion on the right?"),
    (LEFT, "and on the other side?", "Is there an effusion on the right?"),
    (LEFT, "and bilaterally?", "Is there an effusion on both sides?"),
    (LEFT, "and elsewhere?", ALONE),
    (LEFT, "and posteriorly?", ALONE),
    (LEFT, "also describe the heart", ALONE),
    (HEART, "and the other side?", ALONE),
    (EFFUSION, "and cardiomegaly?", "Is there cardiomegaly?"),
    ("Is there a left pleural effusion?", "bilateral?", "Is there a pleural effusion on both sides?"),
    ("Is there a mass in the left lung?", "and in the other lung?", "Is there a mass in the right lung?"),
    ("What causes the left pleural effusion?", "and on the right?", "What causes the right pleural effusion?"),
    ("What does this image show?", "and the second image?", "What does the second image show?"),
    ("How is asthma treated?", "how long?", ALONE),
    (ASTHMA, "And bronchitis?", "What are the symptoms of bronchitis?"),
    (ASTHMA, "and prognosis?", "What is the prognosis of asthma?"),
    (ASTHMA, "and dose?", ALONE),
    (ASTHMA, "and the heart?", ALONE),
    ("What are the symptoms of type 2 diabetes?", "and type 1?", ALONE),
    ("Is the second image normal?", "and the first image?", "Is the first image normal?"),
    (ASPIRIN, "and ibuprofen?", "What is the dose of ibuprofen?"),
    (ASPIRIN, "side effects?", "What are the side effects of aspirin?"),
    (METFORMIN, "and the side effects?", "What are the side effects of metformin?"),
    (EFFUSION, "side effects?", ALONE),
    (HEART, "in German please", ALONE),
    (HEART, "et le poumon gauche?", ALONE),
    (HEART, "no", ALONE),
    (HEART, "Is there a fracture of the left clavicle?", ALONE),
]  # fmt: skip


@pytest.mark.parametrize(("before", "asked", "understood"), TABLE)
def test_a_follow_up_is_a_whole_question_or_left_alone(before, asked, understood):
    assert completed(asked, before) == (plain(asked) if understood is ALONE else understood)


@pytest.mark.parametrize(
    ("before", "whole"),
    [("How is asthma treated?", "How is pneumonia treated?"), ("Is there a mass?", "Is there pneumonia?")],
)
def test_the_same_for_another_thing_is_no_thing_of_its_own(before, whole):
    assert completed("the same for pneumonia", before) == whole


@pytest.mark.parametrize(
    ("asked", "of_it"),
    [
        ("What does the second image show?", "What does this image show?"),
        ("Is the second image normal?", "Is this image normal?"),
        ("Is the first image a CT?", "Is this image a CT?"),
        ("How does the second image look?", "How does this image look?"),
        ("What is in the second image?", "What is in this image?"),
        ("Is the mass in the second image large?", "Is the mass in this image large?"),
        ("Is there a mass on the second film?", "Is there a mass?"),
        ("In the second image, is there a mass?", "Is there a mass?"),
        ("What is seen in the second image?", "What is seen?"),
    ],
)
def test_a_question_of_an_image_by_its_number_stays_a_sentence(asked, of_it):
    assert of_image(asked) == of_it


@pytest.mark.parametrize("before", ["What has changed?", "", "Thanks", "Is there a Y or Z?"])
def test_a_finding_needs_nothing_before_it(before):
    assert completed("What about pneumothorax?", before) in ("Is there a pneumothorax?", "Is there pneumothorax?")


def test_a_question_that_has_what_it_speaks_of_is_not_completed():
    asked = "Is the heart enlarged? Are the lungs clear? If there is an effusion, which side is it on?"
    assert sub_questions(asked)[-1] == "If there is an effusion, which side is it on?"
    both = ["Is there a pneumothorax or an effusion?", "where is a pneumothorax or an effusion?"]
    assert sub_questions("Is there a pneumothorax or an effusion, and where is it?") == both


@pytest.mark.parametrize(
    "text",
    ["left?", "no", "Thanks", "and before?", "and in the liver?", "in German please", "et le poumon gauche?", "by how much?", "where?",
     "What about the second image?", "Ist das Herz vergrößert?", "what causes it?", "Is it new?", "same question",
     "also", "only in the left?", "D'accord", "L'image est normale?"],
)  # fmt: skip
def test_what_asks_nothing_is_not_clear(text):
    assert unclear(text)


@pytest.mark.parametrize(
    "text",
    ["Modality?", "Diagnosis?", "Heart size?", "Any acute findings?", "Is it normal?", "What is this?", "Describe the image.", "COPD",
     "treatment of silicosis", "Left lower lobe opacity?", "Is this malignant?", "What is seen?", "pneumothorax left", "Is it worse?", "The image shows what abnormality?", "Was LA enlarged?",
     "Also describe the heart", "Just describe it", "C'mon, is there a mass?", "D'accord, is there a mass?"],
)  # fmt: skip
def test_a_short_question_is_clear(text):
    assert not unclear(text)


@pytest.mark.parametrize("text", ["left?", "in German please", "and before?", "what causes it?"])
def test_a_chat_says_what_it_does_not_understand_and_builds_nothing_on_it(text):
    rag = small_rag()
    chat = rag.chat()
    chat.ask(
        "Is there a pleural effusion on the right?" if text != "what causes it?" else "What is seen?", picture("right")
    )
    if text == "left?":
        chat.turns.clear()
    turns = list(chat.turns)
    answer = chat.ask(text)
    assert (answer.status, answer.reason, answer.citations) == (
        "abstained",
        NOT_CLEAR,
        (),
    ) and f"“{text}”" in answer.text
    assert chat.turns == turns and not answer.trace and not answer.model


def test_a_model_that_reads_the_session_is_asked_whatever_the_words():
    chat = Chat(small_rag(), policy=Script())
    chat.ask("Is there a pleural effusion?", picture("right"))
    assert chat.ask("in German please").trace and chat.ask("Is there a mass on the third film?").trace


def test_another_film_and_a_film_by_its_number_are_asked_the_same():
    chat = small_rag().chat()
    first, second = picture("both"), picture("clear")
    chat.ask("Is there a pleural effusion?", first)
    answer = chat.ask("and on this one?", second)
    assert answer.context.query.text == "Is there a pleural effusion?" and chat._current[0] is second
    answer = chat.ask("What about the first image?")
    assert answer.context.query.text == "Is there a pleural effusion?" and chat._current[0] is first
    assert len(answer.context.query.images) == 1 and len(chat.images) == 2
    none = chat.ask("and the third image?")
    assert none.status == "abstained" and "has 2 images" in none.reason and chat._current[0] is first
    assert none.reason in none.text and "do not understand" not in none.text


@pytest.mark.parametrize(
    "asked",
    [
        "Was there an effusion in the previous study?",
        "What did the previous film show?",
        "Is there an effusion on the earlier film?",
    ],
)
def test_a_film_before_the_session_is_answered_by_the_patients_reports_or_not_at_all(asked):
    answer = small_rag().chat(patient="p0").ask(asked, picture("right"))
    assert answer.text.startswith("By the patient's reports, 2020-01-01")
    none = small_rag().chat().ask(asked, picture("right"))
    assert none.status == "abstained" and "has 1 image and none like that" in none.text and not none.trace


@pytest.mark.parametrize(
    "text",
    [
        "Why do you say there is an effusion?",
        "Explain why",
        "Why do you think it is enlarged?",
        "Are you sure?",
        "How sure are you?",
    ],
)
def test_why_in_other_words_searches_nothing(text):
    assert WHY.match(text)
    chat = small_rag().chat()
    first = chat.ask("What is a pleural effusion?")
    assert chat.ask(text).citations == first.citations and len(chat.turns) == 1


@pytest.mark.parametrize("text", ["Why is the heart enlarged?", "Explain pneumothorax.", "How sure is this sign?"])
def test_why_of_a_thing_is_a_question(text):
    assert not WHY.match(text)


def test_no_question_and_no_place_for_a_session_are_errors():
    with pytest.raises(SettingsError, match="no question"):
        small_rag().chat().ask(None)
    with pytest.raises(SettingsError, match=r"takes no checkpoint.*thread=NAME"):
        small_rag().chat(checkpoint="runs.db")
