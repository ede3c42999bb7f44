"""Questions as they are really asked of the small model: bare, denied, of a side, of what no film tells, two at once."""

from __future__ import annotations

import dataclasses

import pytest
from test_medrag_small import Reads, Says, Weighs, context, film, on_chest, prompt, said

from medrag.prompts import REFUSAL, Prompt
from medrag.vlms._ask import parse
from medrag.vlms._small_named import named
from medrag.vlms._small_said import same
from medrag.vlms._small_several import apart, tangled
from medrag.vlms._small_sides import finding_of
from medrag.vlms._stance import stance
from medrag.vlms.small import MedragSmall


def answer(question: str, *reports: str, chance: float = 0.5, words: str = "Yes.", **seen: float) -> str:
    asked = on_chest(question)
    asked = dataclasses.replace(asked, context=dataclasses.replace(asked.context, kept=context(*reports).kept))
    model = Weighs(Reads(**seen), chance, words)
    model.__dict__["_usual"] = {
        "Effusion": 0.05,
        "Cardiomegaly": 0.05,
        "Pneumothorax": 0.05,
        "Pleural_Thickening": 0.05,
    }
    (text,) = model.batch([asked], [[film(1)]])
    assert text == "".join(MedragSmall.stream(model, asked, [film(1)]))
    return text


@pytest.mark.parametrize("seen", [0.5, 0.001])
@pytest.mark.parametrize("question", ["effusion?", "efusion present?", "any effusion", "r/o effusion", "Effusion?"])
def test_a_bare_question_is_answered_by_the_reader(question: str, seen: float) -> None:
    assert answer(question, Effusion=seen).startswith("Yes" if seen > 0.1 else "No")


@pytest.mark.parametrize(
    ("question", "there", "not_there"),
    [
        ("There's no effusion, right?", "Yes, there is an effusion.", "No, there is no effusion."),
        ("There isn't an effusion, is there?", "Yes, there is an effusion.", "No, there is no effusion."),
        ("No effusion?", "No, there is an effusion.", "Yes, there is no effusion."),
        ("Is it free of effusion?", "No, there is an effusion.", "Yes, there is no effusion."),
        ("The heart isn't enlarged, is it?", "Yes, the heart is enlarged.", "No, the heart is not enlarged."),
        ("Is the heart not enlarged?", "Yes, the heart is enlarged.", "No, the heart is not enlarged."),
        ("Is the heart enlarged?", "Yes.", "No."),
    ],
)
def test_who_denies_gets_a_verdict_that_names_its_thing(question: str, there: str, not_there: str) -> None:
    assert answer(question, Effusion=0.6, Cardiomegaly=0.6) == there
    assert answer(question, Effusion=0.001, Cardiomegaly=0.001) == not_there


def test_a_word_alone_is_borne_out_by_no_other_finding() -> None:
    asked = prompt("COPD", "No pneumothorax.", "Right-sided pneumonia.", "No effusion.")
    assert same("No.", asked) == same("Right.", asked) == same("On the right side.", asked) == []
    assert same("No effusion.", asked) == ["E3"]


def test_a_finding_that_is_not_there_is_on_no_side_and_one_that_is_has_its_side_in_doubt() -> None:
    for side in ("left", "right"):
        question = f"Is the effusion on the {side}?"
        assert answer(question, chance=0.7, Effusion=0.001) == "No."
        assert (
            answer(question, chance=0.7, Effusion=0.6)
            == "Yes. In doubt: the side, which the findings reader does not tell."
        )
    where = answer("Which side is the effusion on?", words="Right.", Effusion=0.6)
    assert "which side" in where and where.endswith(REFUSAL)


@pytest.mark.parametrize(
    "question",
    [
        "What is the patient's blood pressure?", "Which rib is broken?", "Is the fracture acute or old?", "How far is the tube tip from the carina?",
        "How severe is the oedema?", "Should this patient get diuretics?", "Can this patient go home?", "Could cardiac failure cause this?",
        "Is it better or worse?", "Are there any lines or tubes?", "How many chest tubes?", "asdf", "What is the capital of France?",
    ],
)  # fmt: skip
def test_what_is_not_told_is_refused_with_its_reason(question: str) -> None:
    text = answer(question, "Old right rib fractures.", "The lungs are clear.", words="Axial five.", Effusion=0.6)
    assert text.endswith(REFUSAL) and text != REFUSAL and "look at" not in text


def test_a_report_in_one_sentence_is_one_sentence() -> None:
    draft = "Findings: The lungs are clear. The aorta is tortuous. Impression: No acute disease."
    for question in ("Describe this film in one sentence.", "Write a report in one line"):
        assert answer(question, words=draft, Effusion=0.6, Cardiomegaly=0.6) == "Pleural effusion and cardiomegaly."


def test_a_film_is_normal_where_nothing_abnormal_is_there() -> None:
    for chance, word, told in ((0.8, "No.", "No, the film is not normal."), (0.2, "Yes.", "Yes, the film is normal.")):
        assert answer("Is this film normal?", chance=chance) == word
        assert answer("The film isn't normal, is it?", chance=chance) == told


def test_another_part_of_the_body_is_not_what_a_chest_film_shows() -> None:
    assert answer("Is this the abdomen?", chance=0.8) == "No." and answer("Is this a chest film?", chance=0.3) == "Yes."


def test_of_two_things_each_is_answered_by_its_name() -> None:
    question = "Is there a pleural effusion, and is the heart big?"
    assert answer(question, Effusion=0.001, Cardiomegaly=0.6) == "Pleural effusion: no. Enlarged heart: yes."
    assert (
        answer(question, "No effusion.", Effusion=0.001, Cardiomegaly=0.6)
        == "Pleural effusion: no [E1]. Enlarged heart: yes."
    )
    assert answer("Is there an effusion, and where?", Effusion=0.6).startswith("This asks two things")
    assert answer("Is there an effusion or cardiomegaly?", Effusion=0.6, Cardiomegaly=0.1) == "Yes."


def test_partly_normal_is_not_normal_and_the_heart_s_sac_is_not_the_lungs() -> None:
    whole = parse("Is this film normal?")
    assert [stance(whole, text) for text in ("No pneumothorax or large effusions.", "Heart size is normal.")] == [
        None,
        None,
    ]
    assert stance(whole, "Normal chest x-ray.") == "present" and stance(whole, "Abnormal chest radiograph.") == "absent"
    sac = parse("Is this a pericardial effusion?")
    assert stance(sac, "No large effusion.") is None and stance(sac, "There is a pericardial effusion.") == "present"
    assert stance(parse("Is there an effusion?"), "There is a pericardial effusion.") is None


def test_an_unseeing_word_is_not_said_by_a_model_that_looks() -> None:
    model = Says("Yes.")
    asked = Prompt("Is this COVID-19?", on_chest("Is this COVID-19?").context)
    assert "look at" not in "".join(MedragSmall.stream(model, asked, [film(1)]))
    assert said(["No."], "Is the film rotated?") == "No."


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("The heart is enlarged and there is no effusion, right?", "Enlarged heart: yes. Pleural effusion: no [E1]."),
        ("The heart is not enlarged and there is an effusion, right?", "Enlarged heart: yes. Pleural effusion: no [E1]."),
        ("Isn't the heart enlarged and isn't there an effusion?", "Enlarged heart: yes. Pleural effusion: no [E1]."),
        ("Is there no effusion, no pneumothorax?", "Pleural effusion: no [E1]. Pneumothorax: no."),
        ("There is neither effusion nor pneumothorax, right?", "Pleural effusion: no [E1]. Pneumothorax: no."),
        ("Is the film free of effusion and pneumothorax?", "Pleural effusion: no [E1]. Pneumothorax: no."),
        ("Can effusion or a pneumothorax be excluded?", "Pleural effusion: no [E1]. Pneumothorax: no."),
        ("There's no effusion, but is there a pneumothorax?", "No, there is no pneumothorax."),
    ],
)  # fmt: skip
def test_of_several_that_are_said_or_denied_each_is_answered_by_name(question: str, told: str) -> None:
    assert answer(question, "No effusion.", Effusion=0.001, Cardiomegaly=0.6, Pneumothorax=0.001) == told


@pytest.mark.parametrize(
    "question",
    [
        "There is no effusion but a mass, right?", "Is the heart not enlarged and the lungs clear?", "It is not only a mass, right?", "No effusion and a big heart, right?",
        "The lungs are clear and there is no effusion, correct?", "The heart and lungs are not normal, right?", "There is cardiomegaly without effusion, right?",
    ],
)  # fmt: skip
def test_no_verdict_on_a_part_that_was_not_looked_for(question: str) -> None:
    text = answer(question, "No effusion.", "The lungs are clear.", Effusion=0.001, Cardiomegaly=0.6)
    assert text == f"This asks two things: ask one at a time. {REFUSAL}"


@pytest.mark.parametrize(
    "question",
    [
        "Is there no border between the grey matter and white matter?", "No prior film, is there an effusion?", "A man with no fever and a cough. Is there a mass?",
        "Is there no effusion in the left and right lung?", "Is there no acute cardiac or pulmonary process?", "Isn't there an effusion?", "Is the effusion no longer seen?",
    ],
)  # fmt: skip
def test_one_denial_of_one_thing_is_one_question(question: str) -> None:
    assert not tangled(question)


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        ("The heart and lungs are normal, right?", "Yes.", "No."),
        ("The effusion is resolved, right?", "Yes, the effusion is resolved.", "No, the effusion is not resolved."),
        ("Are there no acute findings?", "Yes, there are no acute findings.", "No, there are acute findings."),
        ("Does he have no fever?", "Yes, he has no fever.", "No, he has fever."),
    ],
)
def test_a_verdict_says_what_its_question_says(question: str, yes: str, no: str) -> None:
    assert (named(question, "Yes"), named(question, "No")) == (yes, no)


def test_words_of_how_a_film_is_taken_are_understood() -> None:
    for question in ("Portable?", "Kerley?"):
        assert answer(question).startswith("I was not taught")
    assert answer("Inspiration adequate?") == "Yes." and answer("asdf").startswith("I have not understood")


@pytest.mark.parametrize("run", [" ", "\t", "\n", ", ", "- "])
def test_a_long_run_of_blanks_or_marks_is_no_question_of_several(run: str) -> None:
    question = f"Is there an effusion on the left {run * 20_000}?"
    assert apart(question) == () and finding_of(question) == ""
