"""Questions without their manners: what is asked stays, what is around it goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag._util.findings import ASKED, presence_asked
from medrag._util.manner import plainly
from medrag.route import question_kind
from medrag.vlms._ask import parse, plain
from medrag.vlms._beyond import beyond
from medrag.vlms._modality import kind_is, kind_told, misplaced


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Hello, could you please tell me whether there is a pleural effusion? Thank you!", "Is there a pleural effusion?"),
        ("I would like to know if the heart is enlarged.", "Is the heart enlarged?"),
        ("Please check if the patient has pneumonia", "Does the patient have pneumonia?"),
        ("Let me know whether this film shows a mass", "Does this film show a mass?"),
        ("Can you see any effusion?", "Is there any effusion?"),
        ("Can you see both kidneys?", "Are both kidneys seen?"),
        ("Can a pleural effusion be appreciated on the right side?", "Is there a pleural effusion on the right side?"),
        ("Can the liver be seen in this image?", "Is the liver seen in this image?"),
        ("Could this be pneumonia?", "Is this pneumonia?"),
        ("Rule out rib fracture.", "Is there rib fracture?"),
        ("Please evaluate this film for pneumothorax", "Is there pneumothorax?"),
        ("There is a nodule, right?", "Is there a nodule?"),
        ("I think this is pneumonia. Do you agree?", "Is this pneumonia?"),
        ("A man with cough. Can you tell me if there is consolidation?", "A man with cough. Is there consolidation?"),
        ("Would you please describe the film?", "describe the film?"),
        ("I need you to write a report.", "write a report."),
    ],
)  # fmt: skip
def test_what_is_around_a_question_goes(question: str, expected: str) -> None:
    assert plainly(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Is there a nodule in the right lung?", "What do you see?", "Where is the mass?", "Thanks", "", "Would you describe the mass as cystic?",
        "Can you see how many nodules there are?", "Does this film show pneumonia, yes or no?", "If there is a nodule, where is it?",
        "What is the size of the heart?", "Should the patient have a CT?", "Dr. Smith asks if there is a nodule", "No effusion?",
    ],
)  # fmt: skip
def test_a_plain_question_stays_as_it_is(question: str) -> None:
    assert plainly(question) == question


@pytest.mark.parametrize("wording", [wording for wordings in ASKED.values() for wording in wordings])
@pytest.mark.parametrize(
    "form",
    ["Could you tell me if there is {}?", "Hi, can you see {}?", "Please check for {}.", "Do you see {}? Thanks."],
)
def test_a_finding_asked_for_politely_is_the_same_finding(form: str, wording: str) -> None:
    question, direct = form.format(wording), f"Is there {wording}?"
    assert presence_asked(question) == presence_asked(direct) != ""
    assert question_kind(question) == parse(question).sort == "closed"


@given(
    st.text(max_size=80)
    | st.sampled_from(["Hi! ", "Please ", "Can you see ", "Rule out "]).flatmap(
        lambda lead: st.text(max_size=40).map(lambda rest: lead + rest)
    )
)
def test_any_text_keeps_something_and_is_parsed(text: str) -> None:
    assert bool(plainly(text).strip()) == bool(text.strip())
    assert isinstance(parse(text).sort, str) and isinstance(question_kind(text), str)


def test_names_alone_are_questions_where_the_reader_knows_them() -> None:
    assert [parse(q).sort for q in ("Pneumothorax?", "Normal?", "Enlarged heart?")] == ["closed"] * 3
    assert plain("No effusion?").endswith("no effusion?") and parse("No effusion?").negated
    assert [parse(q).sort for q in ("Modality?", "Side?")] == ["open"] * 2 and parse("Findings?").sort == "report"


@pytest.mark.parametrize(
    ("answer", "domain", "wrong"),
    [("MRI.", "chest-xray", True), ("Axial", "chest-xray", True), ("Axial.", "ct", False), ("X-ray.", "mr", True), ("T2 weighted image.", "ct", True), ("Right lung.", "chest-xray", False), ("CT", "", False)],
)  # fmt: skip
def test_a_picture_is_not_said_to_be_of_another_kind(answer: str, domain: str, wrong: bool) -> None:
    assert misplaced(answer, domain) is wrong


def test_politely_asked_kinds_and_reports() -> None:
    assert kind_told("Could you tell what the modality is?", "ct") == ""  # no question of a form that is known
    assert (
        kind_told("Hi, what is the modality?", "ct") == "CT."
        and kind_is("Can you tell me if this is a CT scan?", "ct") is True
    )
    assert (
        question_kind("Could you please describe this image?")
        == parse("Could you please describe this image?").sort
        == "report"
    )


@pytest.mark.parametrize(
    "question",
    [
        "What treatment do you recommend?",
        "Should I be worried?",
        "Is it serious?",
        "Thanks!",
        "How certain are you?",
        "What should be done next?",
        "What do you think?",
        "How large is it?",
        "And how big is the liver lesion?",
        "What is the size of the mass?",
        "How wide is it in cm?",
    ],
)
def test_what_no_look_tells(question: str) -> None:
    assert beyond(question)


@pytest.mark.parametrize(
    "question",
    [
        "Are there surgical clips?",
        "Has the patient had surgery?",
        "Is there a nodule?",
        "What do you see?",
        "Is this an emergency department film?",
        "Can you see the ribs?",
        "What can you make out?",
        "How large is the heart?",
        "What is the size of the heart?",
        "How many nodules are there?",
    ],
)
def test_what_a_look_may_tell(question: str) -> None:
    assert not beyond(question)


def test_what_books_exclude_is_not_turned() -> None:
    for text in (
        "Can an embolism be excluded by a D-dimer?",
        "Are children excluded from the study?",
        "Is there no cure?",
    ):
        assert plainly(text) == text
    assert plain("Pneumonia treatment") == "Pneumonia treatment" and plain("Pneumonia") == "Is there pneumonia?"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("The heart is enlarged and there is no effusion, right?", "Is the heart enlarged and is there no effusion?"),
        ("The heart is not enlarged but there is an effusion, right?", "Is the heart not enlarged and is there an effusion?"),
        ("I think there's no effusion but there's a mass, agreed?", "Is there no effusion and is there a mass?"),
        ("There is no effusion but a mass, right?", "Is there no effusion but a mass?"),
        ("There is no effusion, no pneumothorax, right?", "Is there no effusion, no pneumothorax?"),
        ("The heart and lungs aren't normal, right?", "Are the heart and lungs not normal?"),
        ("It is not only a mass, right?", "Is it not only a mass?"),
        ("Is the heart not enlarged and the lungs clear?", "Is the heart not enlarged and the lungs clear?"),
        ("Is there no effusion and mass?", "Is there no effusion and mass?"),
        ("The film doesn't show an effusion, right?", "Does the film show an effusion?"),
        ("He doesn't have pneumonia, does he?", "Does he have pneumonia?"),
        ("There is a small, round mass, right?", "Is there a small, round mass?"),
    ],
)  # fmt: skip
def test_of_several_clauses_none_loses_its_denial(statement: str, expected: str) -> None:
    assert plainly(statement) == expected


@pytest.mark.parametrize("pictured", [True, False])
@pytest.mark.parametrize(
    "question",
    [
        "Can the disease be cured?", "Can his gout be treated?", "Can measles be detected by blood test?", "Can measles be detected?", "Can gout be found in women?",
        "Can children be found to have measles?", "Could the heart not be enlarged?", "Can it be prevented?", "Can this also be treated?",
    ],
)  # fmt: skip
def test_what_can_be_done_is_not_asked_as_what_is(question: str, pictured: bool) -> None:
    assert plainly(question, pictured) == question


def test_what_can_be_found_is_there_only_on_a_picture() -> None:
    for question in ("Can a mass be detected?", "Could the heart be enlarged?", "Can the ribs be seen?"):
        assert plainly(question).startswith(("Is ", "Are ")) and plainly(question, pictured=False) == question
    for pictured in (True, False):
        assert plainly("Can pneumonia be found on this film?", pictured) == "Is there pneumonia on this film?"
    assert plainly("Can clips be seen overlying the ribs?") == "Are there clips overlying the ribs?"
    assert plain("Can the ribs be seen?", pictured=False) == "Can the ribs be seen?"
