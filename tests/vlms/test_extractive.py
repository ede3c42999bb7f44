"""The answerer without a model: golden answers, abstention, citations that hold, and speed."""

from __future__ import annotations

import csv
import doctest
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_prompts import PRIMER, STUDIES, prompt, said, study

from medrag._util import findings
from medrag.prompts import REFUSAL, make_prompt
from medrag.types import Concept, Context, Hit, ImageRecord, Passage, Query, Triple
from medrag.vlms import _ask, _modality, _revise
from medrag.vlms._ask import parse, which_side
from medrag.vlms._evidence import split
from medrag.vlms._stance import flip, stance
from medrag.vlms.extractive import Extractive

EXTRACTIVE = Extractive()


def ask(question: str, **options: object) -> str:
    return said(EXTRACTIVE, prompt(question, **options))  # type: ignore[arg-type]


def test_a_majority_of_look_alikes_says_yes() -> None:
    text = ask("Are there masses in the lungs?")
    assert text == (
        "Likely yes: 2 of 3 look-alike studies that mention it report masses in the lungs; 1 says the opposite. "
        '"There are multiple lung masses bilaterally" [E1]. "Large right upper lobe mass" [E2]. Against: "Lungs are clear" [E3]. '
        "This rests on their reports, not on the image itself. A lung mass is a rounded opacity larger than 3 centimetres [E5]."
    )


@pytest.mark.parametrize(
    ("question", "start"),
    [
        (
            "Is there a pleural effusion?",
            "Likely no: 3 of 4 look-alike studies that mention it report no pleural effusion; 1 says",
        ),
        (
            "Is the heart enlarged?",
            "Likely no: 3 of 4 look-alike studies that mention it describe the heart as not enlarged",
        ),
        (
            "Is the heart normal?",
            "Likely yes: 3 of 4 look-alike studies that mention it describe the heart as normal",
        ),
        (
            "Is there cardiomegaly?",
            "Likely no: 3 of 4 look-alike studies that mention it report no cardiomegaly",
        ),
        (
            "Are the lungs free of pneumothorax?",
            "Likely yes: 4 of 4 look-alike studies that mention it report no pneumothorax",
        ),
        ("Is there a right pleural effusion?", "Likely no: 3 of 3"),
    ],
)
def test_votes(question: str, start: str) -> None:
    assert ask(question).startswith(start)


def test_scores_outweigh_numbers() -> None:
    """Two studies against one: the one wins when it is much nearer, and not for the words of the question that it holds."""
    import dataclasses

    asked = prompt(
        "Is there a pleural effusion?",
        alike=[study(1, "Large pleural effusion."), study(2, "No effusion."), study(3, "No effusion.")],
    )
    near, *far = asked.context.kept[:3]
    kept = (dataclasses.replace(near, score=0.9), *(dataclasses.replace(hit, score=0.1) for hit in far))
    heavy = dataclasses.replace(asked, context=dataclasses.replace(asked.context, kept=kept))
    assert said(EXTRACTIVE, asked).startswith("Likely no")
    assert said(EXTRACTIVE, heavy).startswith("Likely yes: 1 of 3")
    worded = dataclasses.replace(
        near, score=0.05, parents=(*near.parents, Hit(near.item, 9.0, 1, "lexical"), Hit(near.item, 9.0, 1, "dense"))
    )
    kept = (worded, *(dataclasses.replace(hit, score=0.017) for hit in far))
    asked = dataclasses.replace(asked, context=dataclasses.replace(asked.context, kept=kept))
    assert said(EXTRACTIVE, asked).startswith("Likely no: 2 of 3")


def test_two_parts_of_one_study_have_one_vote() -> None:
    parts = [
        Passage(f"r:1#{name}", "r:1", text, section=name)
        for name, text in (("findings", "No effusion."), ("impression", "Small effusion."))
    ]
    assert ask("Is there an effusion?", alike=parts).startswith(
        'Likely yes: the one look-alike study that mentions it reports effusion. "Small effusion" [E2].'
    )


def test_doubt_and_a_draw_are_uncertain() -> None:
    doubt = ask(
        "Is there pneumonia?", alike=[study(1, "Possible pneumonia."), study(2, "Pneumonia cannot be excluded.")]
    )
    assert doubt.startswith(
        'Uncertain: 2 of 2 look-alike studies that mention it leave pneumonia open. "Possible pneumonia" [E1].'
    )
    draw = ask("Is there pneumonia?", alike=[study(1, "Right pneumonia."), study(2, "No pneumonia.")])
    assert draw.startswith(
        "Uncertain: 1 of 2 look-alike studies that mention it reports pneumonia; 1 says the opposite."
    )


def test_a_sentence_with_blotted_words_votes_and_is_not_quoted() -> None:
    text = ask("Is there pneumonia?", alike=[study(1, "XXXX pneumonia of the right base.")], general=())
    assert (
        text
        == "Likely yes: the one look-alike study that mentions it reports pneumonia [E1]. This rests on their reports, not on the image itself."
    )


@pytest.mark.parametrize(
    "question",
    ["Are there masses in the lungs?", "Is there a pleural effusion?", "Does the patient have a pneumothorax?"],
)
def test_without_look_alikes_it_says_neither_yes_nor_no(question: str) -> None:
    text = ask(question, alike=())
    assert text.startswith("I do not look at the image itself, so I cannot say whether it shows ")
    assert not re.search(r"\b(?:likely|yes)\b|\bno\b", text, re.IGNORECASE)
    assert re.search(r"\[E\d\]", text)


def test_reports_that_were_not_found_by_their_image_do_not_vote() -> None:
    text = ask("Is there a pleural effusion?", alike=(), general=[*STUDIES, *PRIMER])
    assert text.startswith("I do not look at the image itself")
    assert "fluid in the pleural space [E6]" in text


def test_without_an_image_a_closed_question_is_answered_from_the_sources() -> None:
    text = ask("Is a pneumothorax air in the pleural space?", alike=(), image=False)
    assert text.startswith("A pneumothorax is air in the pleural space [E2].")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is a pneumothorax?", "A pneumothorax is air in the pleural space [E6]."),
        (
            "How does a pleural effusion look on a chest radiograph?",
            "A pleural effusion is fluid in the pleural space [E6]. It blunts the costophrenic angle on the upright film [E6].",
        ),
        (
            "Why do several masses suggest metastases?",
            "Masses may be single or multiple; several masses suggest metastases [E5].",
        ),
    ],
)
def test_open_questions_get_the_sentences_that_answer(question: str, answer: str) -> None:
    assert ask(question) == answer


def test_a_report_is_the_consensus_of_the_look_alikes() -> None:
    text = ask("Write the findings and impression of this chest radiograph.")
    head, _, findings, title, impression = text.split("\n")
    assert head == "Drafted from the reports of 4 look-alike studies, not from the image itself."
    assert findings == "Heart size is normal [E1][E2][E3]. No pleural effusion or pneumothorax [E1][E2][E3][E4]."
    assert title == "Impression:"
    assert impression
    assert "XXXX" not in text
    assert "Findings" not in ask("Write the impression only.")


def test_only_reports_that_have_the_section_are_counted() -> None:
    text = ask(
        "Write the findings.", alike=[study(1, "Clear lungs. Normal heart."), study(2, "", "Normal chest film.")]
    )
    assert (
        text
        == "Drafted from the report of one look-alike study, not from the image itself.\nFindings:\nClear lungs [E1]. Normal heart [E1]."
    )


def test_an_image_without_words_gets_the_consensus_too() -> None:
    assert ask("") == ask("What does this image show?") == ask("Write the findings and impression.")


def test_a_report_from_one_study_is_its_own_sentences() -> None:
    text = ask("Write a report.", alike=STUDIES[3:])
    assert (
        "Findings:\nThe cardiac silhouette is enlarged [E1]. Small left pleural effusion [E1]. No pneumothorax [E1]."
        in text
    )


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("What is the treatment of gout?", {}),
        ("Is there a rib fracture?", {}),
        ("Is there a rib fracture?", {"alike": ()}),
        ("Write a report.", {"alike": ()}),
        ("What does this image show?", {"alike": ()}),
        ("What is a pneumothorax?", {"alike": (), "general": ()}),
        ("", {"alike": ()}),
        ("?!", {"alike": ()}),
        ("What is XXXX?", {"alike": (study(1, "XXXX is seen."),), "general": ()}),
    ],
)
def test_it_refuses_with_exactly_the_refusal(question: str, options: dict[str, object]) -> None:
    assert ask(question, **options) == REFUSAL


def test_the_same_sentence_in_two_places_is_said_once_with_both_keys() -> None:
    twin = Passage("p:2#1", "p:2", "A pneumothorax is air in the pleural space.", "Another primer")
    assert (
        ask("What is a pneumothorax?", alike=(), general=[*PRIMER, twin])
        == "A pneumothorax is air in the pleural space [E2][E4]."
    )


QUESTIONS = st.sampled_from(
    [
        "Are there masses?",
        "What is an effusion?",
        "Is the heart enlarged?",
        "Write the findings.",
        "What is shown?",
        "Where is the mass?",
        "Any pneumothorax?",
    ]
)


@given(
    QUESTIONS,
    st.lists(st.sampled_from(STUDIES), max_size=4, unique_by=id),
    st.lists(st.sampled_from(PRIMER), max_size=3, unique_by=id),
    st.booleans(),
)
@settings(max_examples=60)
def test_every_key_exists_every_quote_stands_in_its_evidence_and_answers_repeat(
    question: str, alike: list, general: list, image: bool
) -> None:
    asked = prompt(question, alike, general, image)
    text = said(EXTRACTIVE, asked)
    evidence = dict(asked.context)
    assert set(re.findall(r"\[(E\d+)\]", text)) <= evidence.keys()
    for quote, key in re.findall(r'"([^"]+)" \[(E\d+)\]', text):
        assert quote in evidence[key].item.text
    assert text == said(Extractive(), asked)
    assert text == REFUSAL or "[E" in text
    assert "XXXX" not in text


@pytest.mark.parametrize(
    ("question", "sentence", "expected"),
    [
        ("Is there a pleural effusion?", "No effusion.", "absent"),
        ("Is there a left pleural effusion?", "Small right pleural effusion.", None),
        ("Is there a left pleural effusion?", "Bilateral pleural effusions.", "present"),
        ("Are there lung nodules?", "The lungs are clear.", "absent"),
        ("Is the trachea deviated?", "The trachea is midline.", "absent"),
        (
            "Is the pulmonary vascularity outside the normal limits?",
            "Pulmonary vascularity is within normal limits.",
            "absent",
        ),
        ("Is the heart enlarged?", "The mediastinum is normal.", None),
        ("Is the heart enlarged?", "Heart size is normal and the lungs are hyperexpanded.", "absent"),
        ("Is the heart enlarged?", "The lungs are clear and the cardiac silhouette is enlarged.", "present"),
        ("Are there calcified granulomas in the right lobe?", "Calcified granulomas are noted.", "present"),
        ("Is there emphysema?", "Emphysematous changes without effusion.", "present"),
        ("Is there emphysema?", "No pneumothorax.", None),
        ("Are the lungs clear?", "Left lung clear.", None),
        ("Is the left lung clear?", "Left lung clear.", "present"),
        ("Are the lungs normal?", "Heart normal and lungs with opacity.", None),
        ("Are the lungs normal?", "Normal heart and lungs.", "present"),
        ("Are the lungs normal?", "Clear lungs, heart enlarged.", None),
        ("Is the heart enlarged?", "Lungs clear, heart enlarged.", "present"),
        ("Is the heart normal?", "Heart size and pulmonary vascularity normal.", "present"),
        ("Is there a left pneumothorax?", "Right-sided pneumothorax noted measuring approximately 1.8 cm.", None),
        ("Is there a left pneumothorax?", "There is a right pneumothorax with shift to the left.", None),
        ("Is there a right effusion?", "There is a left pleural effusion and no right pleural effusion.", "absent"),
        ("Is there a left-sided effusion?", "Left effusion.", "present"),
        ("Is there an effusion? Answer yes or no.", "Small effusion.", "present"),
        ("Are the lungs clear?", "The lungs are not clear.", "absent"),
        ("Is there a mass?", "The lungs are not clear.", None),
        ("Is the heart enlarged?", "Enlarged hila with a normal heart.", "absent"),
        ("Is the heart enlarged?", "Enlarged hila and heart.", "present"),
        ("Is the heart normal?", "Normal lungs and enlarged heart.", "absent"),
        ("Is the heart enlarged?", "Stable normal cardiomediastinal silhouette.", "absent"),
        ("Is the heart enlarged?", "Heart size is normal lungs are clear.", "absent"),
    ],
)
def test_stance_of_a_sentence(question: str, sentence: str, expected: str | None) -> None:
    assert stance(parse(question), sentence) == expected


@pytest.mark.parametrize(
    ("question", "sentence", "expected"),
    [
        ("Is there a right upper lobe nodule?", "Right lower lobe nodule.", None),
        ("Is there a right upper lobe nodule?", "Right lower lobe nodule and upper lobe emphysema.", None),
        ("Is there a right upper lobe nodule?", "Right apical nodule.", "present"),
        ("Is there a right upper lobe nodule?", "Nodule in the RUL.", "present"),
        ("Is there an opacity in the right upper lung?", "Right upper lobe opacity.", "present"),
        ("Is there a nodule in the left base?", "Left lower lobe nodule.", "present"),
        ("Is there a nodule in the right lung?", "Right lower lobe nodule.", "present"),
        ("Is there a pleural effusion?", "Moderate pericardial effusion.", None),
        ("Is there a pleural effusion?", "Pericardial effusion, no pleural effusion.", "absent"),
        ("Is there a pericardial effusion?", "Small left pleural effusion.", None),
        ("Is there a pleural effusion?", "Left base effusion.", "present"),
        ("Is there a pleural effusion?", "Bibasilar airspace disease with small effusions.", "present"),
        ("Is there a pleural effusion?", "Effusion blunting the right costophrenic angle.", "present"),
        ("Is there a right pleural effusion?", "Left base effusion.", None),
        ("Is there pleural thickening?", "Interstitial thickening in the bases.", None),
    ],
)
def test_a_finding_in_another_place_is_not_the_one_asked_about(
    question: str, sentence: str, expected: str | None
) -> None:
    assert stance(parse(question), sentence) == expected


@pytest.mark.parametrize(
    ("question", "sentence", "expected"),
    [
        ("Is there pneumonia or pneumothorax?", "Pneumonia without pneumothorax.", "present"),
        ("Is there pneumonia or pneumothorax?", "No pneumothorax.", "absent"),
        ("Is there pneumonia or pneumothorax?", "Possible pneumonia, no pneumothorax.", "uncertain"),
        ("Is there pneumonia or pneumothorax?", "The heart is normal.", None),
        ("Is there any consolidation, effusion or pneumothorax?", "Effusion without pneumothorax.", "present"),
        ("Is there a pneumothorax, a mass?", "Mass but no pneumothorax.", "present"),
        ("Is there cardiomegaly or pleural effusion?", "The heart is enlarged. ", "present"),
        ("Are the lungs free of effusion or pneumothorax?", "Large effusion, no pneumothorax.", "present"),
        ("Is there a mass or nodule in the right lung?", "Left lung mass.", None),
        ("Is there a focal or diffuse opacity?", "Focal atelectasis.", None),
        ("Is there a small, round mass?", "Small effusion.", None),
        ("Is there an effusion on the left or right?", "Right effusion.", "present"),
    ],
)
def test_of_several_findings_one_that_is_there_is_enough(question: str, sentence: str, expected: str | None) -> None:
    assert stance(parse(question), sentence) == expected


def test_a_vote_on_two_findings_counts_either() -> None:
    alike = [
        study(1, "Large pleural effusion. No pneumothorax."),
        study(2, "Left pneumothorax."),
        study(3, "No pneumothorax."),
    ]
    assert ask("Is there a pleural effusion or a pneumothorax?", alike=alike).startswith(
        "Likely yes: 2 of 3 look-alike studies that mention it report pleural effusion or a pneumothorax; 1 says"
    )


@pytest.mark.parametrize(
    "question",
    [
        "The patient has no fever, is there pneumonia?", "No prior films available, is there pneumonia?", "Without contrast, is there pneumonia?",
        "In a patient with no fever, is there pneumonia?", "A 60-year-old man with cough and fever. Is there pneumonia?", "no fever. is there pneumonia?",
        "History: no effusion\nIs there pneumonia?", "Is there pneumonia? He has no fever.", "After left lower lobectomy, is there pneumonia?",
    ],
)  # fmt: skip
def test_what_is_said_beside_a_closed_question_is_not_asked(question: str) -> None:
    asked = parse(question)
    assert (asked.sort, asked.finding, asked.sites, asked.negated) == (
        "closed",
        parse("pneumonia").finding,
        set(),
        False,
    )
    assert ask(question, alike=[study(1, "Right pneumonia.")]).startswith(
        "Likely yes: the one look-alike study that mentions it reports pneumonia."
    )


def test_a_place_before_a_closed_question_is_asked() -> None:
    assert parse("In the left lung, is there a nodule?").sites == {"left", "lung"}
    assert parse("Which is it, if present, is it new?").sort == "open"
    assert parse("A man has cough. Which of these, if any, is most likely?").sort == "open"


def test_examples() -> None:
    for module in (_ask, _modality, _revise, findings):
        assert doctest.testmod(module).failed == 0 < doctest.testmod(module).attempted


@pytest.mark.parametrize(
    ("question", "negated"),
    [
        ("Are the lungs free of effusion?", True), ("Is there no pneumothorax?", True), ("Has the pleural effusion resolved?", True),
        ("Is pleural effusion absent?", True), ("Is the heart not enlarged?", False), ("Is the chest negative for effusion?", True),
        ("Is there an effusion, yes or no?", False), ("Yes or no: is there an effusion?", False), ("Is there an effusion without fever?", False),
        ("Is there an effusion with no pneumothorax?", False), ("Isn't there an effusion?", False), ("Is the heart enlarged or not?", False),
        ("No film was taken before. Is there an effusion?", False), ("", False),
    ],
)  # fmt: skip
def test_whether_yes_denies_the_finding(question: str, negated: bool) -> None:
    assert parse(question).negated is negated


@pytest.mark.parametrize(
    ("question", "sort"),
    [
        ("Is there a mass?", "closed"),
        ("In this film, is there a mass?", "closed"),
        ("And is there a mass?", "closed"),
        ("Ok, so is it a mass?", "closed"),
        ("What is a mass?", "define"),
        ("Where is the mass?", "open"),
        ("What is the optic disc?", "define"),
        ("What does a mass mean?", "define"),
        ("What is a mass in the lung?", "define"),
        ("What is in the right lung?", "open"),
        ("What is the size of the heart?", "open"),
        ("What is wrong?", "open"),
        ("What is the location of the effusion?", "open"),
        ("What is the abnormality in this film?", "open"),
        ("What is seen at the left base?", "open"),
        ("What is the abnormality?", "open"),
        ("What is the heart size?", "open"),
        ("What is the imaging modality?", "open"),
        ("What is the most likely diagnosis?", "open"),
        ("What are the multiple round hyperdensities?", "open"),
        ("What is abnormal about the hila?", "open"),
        ("What is the silhouette sign?", "define"),
        ("What is the treatment of pneumonia?", "define"),
        ("What are the symptoms of asthma?", "define"),
        ("What is the hilum?", "define"),
        ("What is pneumothorax?", "define"),
        ("Please write the findings", "report"),
        ("Impression?", "report"),
        ("Summarize this X-ray for the patient in plain language.", "report"),
        ("Describe this CT.", "report"),
        ("Describe the image quality.", "open"),
        ("", "report"),
    ],
)
def test_sorts_of_questions(question: str, sort: str) -> None:
    assert parse(question).sort == sort


def test_what_is_on_the_picture_stands_in_no_book() -> None:
    told = ask("What is this rounded opacity?", alike=())
    assert told.startswith("I do not look at the image itself") and "[E" in told
    assert ask("What is wrong?", alike=()) == REFUSAL
    assert ask("What is wrong?").startswith(
        "Drafted from the reports of 4 look-alike studies, not from the image itself."
    )
    assert not ask("Where does a pneumothorax show?", alike=()).startswith("I do not look")


def test_without_a_picture_the_thing_is_one_of_books() -> None:
    assert (
        parse("What is the lesser sac?").sort == "open"
        and parse("What is the lesser sac?", pictured=False).sort == "define"
    )
    assert parse("What is the size of the heart?", pictured=False).sort == "open"


@pytest.mark.data
def test_it_reads_real_reports() -> None:
    """Yes/no questions put to the report that they were made from: right in 95 % of what is decided, and 90 % decided."""
    root = os.environ.get("MEDRAG_DATA")
    if not root:
        pytest.skip("MEDRAG_DATA is not set")
    folder = Path(root) / "noncommercial" / "iu_xray"
    with (folder / "reports.csv").open(encoding="utf-8", newline="") as stream:
        reports = {row["uid"]: f"{row['findings']}\n{row['impression']}" for row in csv.DictReader(stream)}
    right = decided = count = 0
    for line in (folder / "vqa_train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        truth = {"yes": "present", "no,": "absent", "no ": "absent"}.get(row["answer"].lower()[:3])
        if truth is None or str(row["uid"]) not in reports:
            continue
        asked = parse(row["question"])
        said_of_it = [view for text in split(reports[str(row["uid"])]) if (view := stance(asked, text))]
        view = next((view for view in ("present", "uncertain", "absent") if view in said_of_it), None)
        count += 1
        decided += view in ("present", "absent")
        right += truth == (flip(view) if view and asked.negated else view)
    assert count > 1200
    assert decided > 0.9 * count
    assert right > 0.95 * decided


def test_keys_inside_the_evidence_are_not_taken_for_ours() -> None:
    spoiled = Passage("p:9#1", "p:9", "A lung mass is a rounded opacity [E2], [E1 and E3]. It grows [E2].")
    cited = re.findall(r"\[E\d+\]", ask("What is a lung mass?", alike=(), general=(spoiled, *PRIMER)))
    assert cited and "rounded opacity (E2)" in ask("What is a lung mass?", alike=(), general=(spoiled, *PRIMER))
    report = study(9, "Large right lung mass [E4].")
    said = ask("Is there a lung mass?", alike=(report,), general=())
    assert set(re.findall(r"\[E\d+\]", said)) == {"[E1]"}


def test_a_very_long_question_ends_and_is_not_said_back() -> None:
    answer = ask("Is there a breast mass? " * 3000, alike=())
    assert len(answer) < 2000
    ask("write " * 20_000)  # what takes the square of this does not end today
    assert len(split("A. " * 20_000)) == 20_000


def test_figures_of_a_book_are_no_look_alike_studies() -> None:
    figure = ImageRecord("p:1#f1", "p:1", "Chest radiograph with a lung mass in the left lung.", "p.pdf", page=3)
    case = ImageRecord("a:1", "a:1", "Chest radiograph with a lung mass.", "a.png")
    assert "look-alike" not in ask("Is there a lung mass?", alike=(figure,))
    assert "look-alike picture whose caption mentions it reports lung mass" in ask(
        "Is there a lung mass?", alike=(case,)
    )
    assert 'caption of a look-alike image reads "Chest' in ask("Where is the lung mass?", alike=(case,), general=())


@pytest.mark.parametrize(
    ("question", "sentence", "view"),
    [
        ("Is there perineural invasion?", "Lymphovascular invasion is present.", None),
        ("Is there perineural invasion?", "No perineural invasion.", "absent"),
        ("Is there high-grade dysplasia?", "Tubular adenoma with low-grade dysplasia.", None),
        ("Is there perineural invasion?", "Extensive invasion is present.", "present"),
        ("Is there a calcified granuloma?", "Scattered granulomas.", "present"),
    ],
)
def test_another_kind_of_what_is_asked_for_says_nothing_of_it(question: str, sentence: str, view: str | None) -> None:
    assert stance(parse(question), sentence) == view


NOTES = (
    Passage(
        "n:1#0", "n:1", "A melanocytic nevus is a benign proliferation. No treatment is needed.", "Melanocytic nevus"
    ),
    Passage("n:2#0", "n:2", "Basal cell carcinoma is common. It is CK7 negative.", "Basal cell carcinoma"),
    Passage("n:3#0", "n:3", "Melanoma is a malignant tumour. Streaks are a sign of melanoma.", "Melanoma"),
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Is melanoma benign?", REFUSAL),
        ("Is melanoma CK7 negative?", REFUSAL),
        ("Is treatment of melanoma needed?", REFUSAL),
        ("What is not a sign of melanoma?", REFUSAL),
        ("Is melanoma malignant?", "Melanoma is a malignant tumour [E3]."),
        ("Is basal cell carcinoma CK7 negative?", "Basal cell carcinoma is common [E2]. It is CK7 negative [E2]."),
    ],
)
def test_what_is_said_of_another_disease_answers_no_closed_question(question: str, answer: str) -> None:
    assert ask(question, alike=[], general=NOTES, image=False) == answer


@pytest.mark.parametrize(
    ("question", "side"),
    [
        ("Is the pneumothorax on the right or left?", True),
        ("Is it in the left or right lung?", True),
        ("Is there an effusion on the left or right?", False),
        ("Are the left or right costophrenic angles blunted?", False),
    ],
)
def test_which_side_is_no_question_of_yes_or_no(question: str, side: bool) -> None:
    assert which_side(parse(question)) is side
    assert not side or "Likely" not in ask(
        question, alike=[study(1, "Large left pneumothorax."), study(2, "Left pneumothorax.")]
    )


@pytest.mark.parametrize("question", ["What are the margins?", "Grade?", "What colour is the lesion?"])
def test_a_thing_that_is_there_to_be_seen_is_not_answered_by_a_book_alone(question: str) -> None:
    book = Passage("n:1#0", "n:1", "The margins, grade and colour of a lesion are described.", "Lesions")
    assert ask(question, alike=[], general=[book]).startswith(("I do not look at the image", REFUSAL))


def graphed(question: str) -> str:
    """The answer by a concept that the question means, and statements about it."""
    asked = question.removeprefix("What is ").removeprefix("What are the symptoms of ").rstrip("?")
    dyspnea = Concept(
        "x:1", "Dyspnea", ("Breathlessness",), ("C1",), "Difficult or labored breathing.", meta={"asked": asked}
    )
    told = [
        Triple(f"t:{n}", "x:1", "", "", "", meta={"sentence": f"Dyspnea {text}."})
        for n, text in enumerate(("is a kind of abnormality", "can present with cough", "can present with wheezing"))
    ]
    hits = [Hit(item, 1.0, rank, "graph") for rank, item in enumerate((dyspnea, *told), 1)]
    return said_of(question, hits)


def said_of(question: str, hits: list[Hit]) -> str:
    return said(EXTRACTIVE, make_prompt(question, Context(Query(question), tuple(hits))))


def test_a_concept_is_asked_for_by_any_of_its_names() -> None:
    for name in ("SOB", "dyspnoea", "Dyspnea"):
        assert graphed(f"What is {name}?").startswith("Dyspnea: Difficult or labored breathing [E1].")


def test_symptoms_are_what_a_disease_presents_with() -> None:
    text = graphed("What are the symptoms of SOB?")
    assert "[E3]" in text and "[E4]" in text and "Difficult" not in text


def by_book(question: str, *texts: str, title: str = "") -> str:
    """The answer by passages, the first of a chapter with that title."""
    titles = (title, *("" for _ in texts[1:]))
    items = (Passage(f"b:{n}~0", f"b:{n}", *one) for n, one in enumerate(zip(texts, titles, strict=True)))
    hits = [Hit(item, 1.0, rank, "dense") for rank, item in enumerate(items, 1)]
    return said_of(question, hits)


@pytest.mark.parametrize(
    ("question", "texts", "title", "wanted"),
    [
        ("Is warfarin teratogenic?", ("Warfarin acts on vitamin K. Heparin is not teratogenic.",), "Warfarin", ""),
        ("Is Fabry disease recessive?", ("Wilson disease is a recessive disorder.",), "", ""),
        ("Does Wilson disease affect the liver?", ("Wilson disease does not affect the kidney.",), "", ""),
        ("Is theophylline recommended in asthma?", ("Oral theophylline is no longer recommended.",), "Asthma", "no longer"),
        ("How is scabies treated?", ("Hypothyroidism is treated with levothyroxine.",), "", ""),
        ("How is scabies treated?", ("Permethrin cream is applied for 8 hours.", "Gout is treated with rest."), "Scabies", "Permethrin"),
        ("What is the dose of colchicine?", ("Dose reduction of colchicine is rarely needed.",), "", ""),
        ("What is the dose of colchicine?", ("Attacks are treated with colchicine 0.5 mg a day.",), "", "0.5 mg"),
        ("What is the mortality of sepsis?", ("Sepsis is a dangerous reaction to infection.",), "", ""),
        ("What are the side effects of apixaban?", ("Side effects include bleeding.",), "Warfarin", ""),
        ("What is the target INR in embolism?", ("The target INR in fibrillation is 2.0 to 3.0.",), "", ""),
        ("How is hepatitis C spread?", ("Hepatitis B, Hepatitis C and HIV are spread by blood.",), "", "by blood"),
        ("What is the mortality of Ebola?", ("The mortality of Ebola is up to 90%. See http://example.org/ebola for more.",), "", "90%"),
    ],
)  # fmt: skip
def test_a_book_answers_only_of_what_is_asked(question: str, texts: tuple[str, ...], title: str, wanted: str) -> None:
    text = by_book(question, *texts, title=title)
    assert text == REFUSAL if not wanted else wanted in text and "Gout" not in text and "http" not in text


def test_no_other_patient_tells_how_large_a_finding_is_or_what_caused_it() -> None:
    for question in ("How large is the effusion?", "What could cause the effusion?", "Why is there an effusion?"):
        assert ask(question, general=()) == REFUSAL


def test_a_row_of_a_table_says_what_it_says_and_a_reference_nothing() -> None:
    row = Passage(
        "b:1~0",
        "b:1",
        "Drug: Heparin; Dose: 5000 units; Antidote: protamine.\nDrug: Warfarin; Dose: 5 mg; Antidote: vitamin K.",
        meta={"role": "table"},
    )
    listed = Passage(
        "b:2~0", "b:2", "The antidote of heparin is protamine, a study of forty dogs.", meta={"role": "references"}
    )
    question = "What is the antidote of heparin?"
    assert (
        said_of(question, [Hit(row, 1.0, 2, "dense"), Hit(listed, 2.0, 1, "dense")])
        == "Drug: Heparin; Dose: 5000 units; Antidote: protamine [E1]."
    )


def test_captions_of_other_pictures_are_no_report_of_this_one() -> None:
    captions = (
        "Lymphocyte, reactive. Treated with ibuprofen.",
        "Neutrophil with toxic granulation.",
        "Malaria in an enlarged red cell.",
    )
    alike = tuple(ImageRecord(f"c:{n}", f"c:{n}", text, f"{n}.png") for n, text in enumerate(captions))
    for question in ("Describe this image", "What cell is this?", "What is this?", "Write a report."):
        answer = ask(question, alike=alike, general=())
        assert answer.startswith("The pictures that look most alike have different captions.")
        assert 'reads "Lymphocyte, reactive" [E1].' in answer and "Malaria" in answer
        assert "ibuprofen" not in answer and "Drafted" not in answer
    one = ask("What is this?", alike=alike[:1], general=())
    assert (
        one
        == 'The caption of a look-alike image reads "Lymphocyte, reactive" [E1]. This rests on their captions, not on the image itself.'
    )
