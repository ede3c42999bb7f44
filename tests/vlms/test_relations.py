"""What is asked of a thing, whether a sentence tells it, and the questions of a text one by one."""

from __future__ import annotations

import pytest
from test_extractive import said_of

from medrag.prompts import REFUSAL
from medrag.types import Concept, Context, Hit, Passage, Query, Triple
from medrag.vlms._evidence import collect
from medrag.vlms._relations import ROWS, relation_of
from medrag.vlms._several import asked, choices, compared
from medrag.vlms.extractive import REST


def by_books(question: str, *texts: str, section: str = "", title: str = "") -> str:
    items = (Passage(f"b:{n}~0", f"b:{n}", text, section=section, title=title) for n, text in enumerate(texts, 1))
    return said_of(question, [Hit(item, 1.0, rank, "dense") for rank, item in enumerate(items, 1)])


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Can asthma be cured?", "cure"),
        ("How common is Marfan syndrome?", "frequency"),
        ("Is Huntington disease autosomal recessive?", "inheritance"),
        ("Is measles contagious?", "contagious"),
        ("What are the side effects of radioiodine therapy?", "side effects"),
        ("How long do people with ALS live?", "outlook"),
        ("How long does a cold last?", "duration"),
        ("How many chambers does the heart have?", "count"),
        ("What is a normal heart rate?", "normal"),
        ("Who gets gout?", "risk"),
        ("What is another name for gout?", "names"),
        ("What does COPD stand for?", "names"),
        ("What is the MeSH code of gout?", "codes"),
        ("What does the gene code for?", ""),
        ("What does a pneumothorax look like?", "appearance"),
        ("What mimics a lung nodule?", "look-alikes"),
        ("How much fluid blunts the angle?", "amount"),
        ("What is gout?", ""),
        ("Where is the mitral valve?", ""),
    ],
)
def test_what_is_asked_of_a_thing(question: str, name: str) -> None:
    found = relation_of(question)
    assert (found.name if found else "") == name


def test_names_are_told_apart_by_their_patterns() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("question", "texts", "wanted", "unwanted"),
    [
        ("How common is Marfan syndrome?", ("Marfan syndrome affects connective tissue. The incidence of Marfan syndrome is 1 in 5,000.",), "5,000", "tissue"),
        ("Can asthma be cured?", ("Asthma is a long-term disease that has no cure. Asthma narrows the airways.",), "no cure", "narrows"),
        ("Is tuberculosis contagious?", ("Tuberculosis is spread through the air. Tuberculosis affects the lungs.",), "air", "lungs"),
        ("What is a normal heart rate?", ("Your heart rate depends on your age. A normal heart rate is 60 to 100 beats per minute.",), "100", "depends"),
        ("What is COPD?", ("COPD is not contagious. COPD is a disease of the airways.",), "airways", "contagious"),
        ("Is measles caused by a bacterium?", ("Measles is caused by a virus.",), "virus", "bacterium"),
        ("Is Lyme disease transmitted by mosquitoes?", ("Malaria is transmitted by mosquitoes. Lyme disease is transmitted by ticks.",), "ticks", "Malaria"),
        ("Does smoking cause lung cancer?", ("Smoking causes lung cancer.",), "Smoking", "cannot"),
        ("Does lung cancer cause smoking?", ("Smoking causes lung cancer.",), "cannot", "causes"),
        ("Can children get gout?", ("Gout is common in men. Gout is rare in children.",), "children", "common in men"),
        ("Is Huntington disease recessive?", ("Huntington disease is inherited in an autosomal dominant manner.",), "dominant", "cannot"),
    ],
)  # fmt: skip
def test_a_sentence_is_quoted_that_tells_it(question: str, texts: tuple[str, ...], wanted: str, unwanted: str) -> None:
    answer = by_books(question, *texts)
    assert wanted in answer and unwanted not in answer


def test_the_question_over_a_passage_says_what_it_tells_and_is_not_quoted() -> None:
    section = "What are the treatments for gout?"
    answer = by_books(
        "How is gout treated?",
        f"{section} Colchicine within a day of the first pain helps most people with gout. - Rest.",
        section=section,
        title="Gout",
    )
    assert answer.startswith("Colchicine within")


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What is gout?", ["What is gout?"]),
        ("My patient has gout. What are the symptoms?", ["What are the symptoms of gout?"]),
        ("My patient has gout. How is it treated?", ["How is gout treated?"]),
        ("A man of 54 with cough. What are the symptoms of gout?", ["What are the symptoms of gout?"]),
        ("What is DVT and how is it prevented?", ["What is DVT?", "how is DVT prevented?"]),
        ("What are the causes and symptoms of gout?", ["What are the causes of gout?", "What are the symptoms of gout?"]),
        ("What are the signs and symptoms of gout?", ["What are the signs and symptoms of gout?"]),
        ("What are the types of heart and lung disease?", ["What are the types of heart and lung disease?"]),
        ("Malaria is caused by a virus. True or false?", ["Malaria is caused by a virus"]),
    ],
)  # fmt: skip
def test_what_a_text_asks(question: str, parts: list[str]) -> None:
    assert asked(question) == parts


def test_of_two_questions_what_is_not_told_is_said() -> None:
    answer = by_books("What is gout and how is it prevented?", "Gout is a disease of the joints.")
    assert answer.startswith("Gout is a disease of the joints [E1].") and answer.endswith(REST)


def test_a_difference_is_told_by_what_each_is() -> None:
    texts = ("Asthma is a disease of the airways.", "Emphysema is a loss of alveolar walls.")
    answer = by_books("What is the difference between asthma and emphysema?", *texts)
    assert "[E1]" in answer and "[E2]" in answer
    assert "cannot" in by_books("What is the difference between asthma and emphysema?", texts[0])
    assert compared("What is asthma?") is None


def test_of_choices_the_one_that_the_evidence_names() -> None:
    asks = "Malaria is caused by: A) a virus B) a bacterium C) a parasite"
    assert by_books(asks, "Malaria is caused by a parasite of mosquitoes.").startswith(
        "C: Malaria is caused by a parasite"
    )
    assert "cannot" in by_books(asks, "Malaria is common in Africa.")
    assert choices("What is vitamin A?") is None


@pytest.mark.parametrize("question", ["hi", "What is 2+2?", "Do I have malaria?", "Will I die of malaria?"])
def test_what_no_book_can_answer(question: str) -> None:
    assert "cannot" in by_books(question, "Malaria is a disease. She said hi to 2 people with malaria who die.")


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        (
            "What does PTX stand for?",
            "PTX can stand for pneumothorax [E1]. Another name of PTX is collapsed lung [E1].",
        ),
        ("What is the code of PTX?", "The code of PTX is UMLS C0032326 [E1]."),
        ("Which CUI does PTX have?", "The code of PTX is UMLS C0032326 [E1]."),
        ("What is PTX?", "Pneumothorax: Air in the pleural space [E1]."),
    ],
)
def test_a_term_is_told_without_its_definition(question: str, wanted: str) -> None:
    names = "PTX can stand for pneumothorax. Another name of PTX is collapsed lung." if "stand" in question else ""
    codes = "The code of PTX is UMLS C0032326." if "is PTX?" not in question and not names else ""
    told = " ".join(filter(None, (names, codes, "Air in the pleural space.")))
    concept = Concept("hpo:HP:9", "Pneumothorax", ("Collapsed lung",), ("C0032326",), told, meta={"asked": "PTX"})
    assert said_of(question, [Hit(concept, 1.0, 1, "graph")]) == wanted


EFFUSION = (
    "Definition. A pleural effusion is fluid in the pleural space. Appearance. The costophrenic angle is blunted (Figure 8). "
    "About 200 mL are needed to blunt the angle. Pitfalls. Pleural thickening imitates a small effusion."
)


@pytest.mark.parametrize(
    ("question", "wanted", "unwanted"),
    [
        ("What does a pleural effusion look like?", "angle is blunted", "fluid in the pleural space"),
        ("pleural effusion appearance", "angle is blunted", "in the pleural space"),
        ("What mimics a pleural effusion?", "thickening", "200 mL"),
        ("What are the pitfalls of a pleural effusion?", "thickening", "200 mL"),
        ("How much fluid blunts the angle in pleural effusion?", "200 mL", "Figure 8"),
    ],
)
def test_a_heading_within_the_text_promises_what_follows(question: str, wanted: str, unwanted: str) -> None:
    said = by_books(question, EFFUSION, section="Pleural effusion")
    assert wanted in said
    assert unwanted not in said


def test_what_has_a_thing_as_its_feature_is_none_of_its_signs() -> None:
    stated = [
        Triple(f"g:{n}#", "g:1", one, "has_phenotype", other, meta={"sentence": f"{one} can be a feature of {other}."})
        for n, (one, other) in enumerate([("Glaucoma", "Marfan syndrome"), ("A large cup", "glaucoma")])
    ]
    said = said_of("What are the signs of glaucoma?", [Hit(item, 1.0, n, "graph") for n, item in enumerate(stated, 1)])
    assert "large cup" in said
    assert "Marfan" not in said


def test_signs_of_a_disease_are_not_how_the_normal_looks() -> None:
    glaucoma, question = (
        "A thin rim of the optic disc is seen, and a large cup.",
        "What does a normal optic disc look like?",
    )
    lens = "Normal pressure is 10 to 21 mmHg. A normal lens is clear. A normal pupil is round."
    assert "thin rim" not in by_books(question, glaucoma, lens, section="The optic disc and glaucoma")
    assert by_books(question.replace("normal ", ""), glaucoma, section="The optic disc and glaucoma") != REFUSAL
    assert "sharp edge" in by_books(question, "The optic disc is round, with a sharp edge.", section="Normal fundus")


@pytest.mark.parametrize(
    ("question", "texts", "wanted"),
    [
        ("Can asthma be cured?", "Asthma is incurable. Inhalers relieve asthma.", "Asthma is incurable"),
        ("Is rabies fatal?", "Rabies is fatal. A vaccine prevents rabies.", "Rabies is fatal"),
        ("How much ibuprofen is dangerous?", "Ibuprofen is sold in bottles of 100 ml.", REFUSAL),
        ("What causes a child to be short for its age?", "A lack of growth hormone causes a child to be short for its age.", "growth hormone"),
    ],
)  # fmt: skip
def test_a_short_sentence_is_no_heading_and_a_price_is_no_dose(question: str, texts: str, wanted: str) -> None:
    assert wanted in by_books(question, texts)


def test_a_short_finding_is_no_heading() -> None:
    book = Passage("b:1~0", "b:1", "Appearance. Large effusion. The costophrenic angle is blunted.")
    found = collect(Context(Query("?"), (Hit(book, 1.0, 1, "dense"),)))
    assert [(one.text, one.lead) for one in found] == [
        ("Large effusion.", "Appearance."),
        ("The costophrenic angle is blunted.", "Appearance."),
    ]
