"""Answers held against their evidence and against the image: what is marked, taken out, or refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from PIL import Image

from medrag import MedRAG
from medrag.grounding import borne_out, checked, held
from medrag.prompts import REFUSAL
from medrag.query import make_query
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Context, Hit, Passage, Query, Study

REPORTS = (
    Study("iu:1", {"findings": "There is a small left pleural effusion. The heart is normal in size."}),
    Study("iu:2", {"findings": "No pleural effusion. Old rib fracture."}),
)


def context(question: str = "Write the findings.", items: tuple[Any, ...] = REPORTS) -> Context:
    return Context(
        Query(question),
        tuple(Hit(item, 1.0, n, "similar" if item.kind == "study" else "dense") for n, item in enumerate(items, 1)),
    )


def test_each_sentence_is_held_against_what_it_cites() -> None:
    text = (
        "There is a pleural effusion [E1]. No pleural effusion [E1]. The heart is normal in size [E2]. There is a mass."
    )
    found = checked(text, context())
    assert [(one.verdict, one.key) for one in found] == [
        ("supported", "E1"),
        ("contradicted", "E1"),
        ("absent", ""),
        ("absent", ""),
    ]
    assert found[0].quote == "There is a small left pleural effusion." and found[0].keys == ("E1",)


def test_of_several_reports_the_sentence_that_says_most_is_quoted() -> None:
    told = ("Calcified granulomas are noted.", "Two calcified granulomas in the right lung.")
    items = tuple(Study(f"iu:{n}", {"findings": text}) for n, text in enumerate(told, 1))
    (found,) = checked("Two calcified granulomas in the right lung [E1][E2].", context(items=items))
    assert (found.verdict, found.key, found.quote) == ("supported", "E2", told[1])


def test_what_cites_nothing_is_held_against_all_that_was_shown() -> None:
    assert [(one.verdict, one.key) for one in checked("The heart is normal in size.", context())] == [
        ("supported", "E1")
    ]


def test_a_bare_yes_is_what_the_reports_say_of_the_finding_asked_about() -> None:
    asked = context("Is there a pleural effusion?")
    assert [one.verdict for one in checked("Yes [E1].", asked)] == ["supported"]
    assert [one.verdict for one in checked("No [E1].", asked)] == ["contradicted"]
    assert [one.verdict for one in checked("Yes [E2].", asked)] == ["contradicted"]
    assert [one.verdict for one in checked("Yes.", context("Are the lungs free of pleural effusion?"))] == [
        "supported"
    ]  # by E2
    book = (Passage("book:1#p1", "book:1", "A pleural effusion is fluid in the pleural space."),)
    assert [one.verdict for one in checked("Yes [E1].", context("Is there a pleural effusion?", book))] == ["absent"]


def test_what_a_textbook_defines_says_nothing_of_a_patient() -> None:
    book = Passage(
        "book:1#p1", "book:1", "A pneumothorax is air in the pleural space. There is often no lung marking beside it."
    )
    film, asked = Image.new("L", (8, 8)), "Is there a pneumothorax?"
    seen = dataclasses.replace(context(asked, (book,)), query=make_query(film, asked))
    for text in (
        "No, there is no pneumothorax [E1].",
        "Yes, there is a pneumothorax [E1].",
        "A pneumothorax is seen [E1].",
    ):
        assert [one.verdict for one in checked(text, seen)] == ["absent"], text
    quoted = "There is often no lung marking beside it [E1]. A pneumothorax is air in the pleural space [E1]."
    assert [one.verdict for one in checked(quoted, seen)] == ["supported", "supported"]
    asks = {
        "What is a pneumothorax?": "supported",
        "Can a pneumothorax be small?": "supported",
        "What abnormality is shown?": "absent",
    }
    for other, verdict in asks.items():
        about = dataclasses.replace(context(other, (book,)), query=make_query(film, other))
        assert [one.verdict for one in checked("In pneumothorax there is air in the pleural space [E1].", about)] == [
            verdict
        ]
    report = Study("iu:1", {"findings": "There is a small pneumothorax."})
    with_report = dataclasses.replace(context(asked, (report,)), query=seen.query)
    assert [one.verdict for one in checked("No, there is no pneumothorax [E1].", with_report)] == ["contradicted"]
    assert [one.verdict for one in checked("There is no pneumothorax [E1].", context(asked, (book,)))] == [
        "contradicted"
    ]


def test_the_image_speaks_apart_from_the_text() -> None:
    text = "There is a pleural effusion [E1]. There is cardiomegaly."
    copied, seen = checked(text, context(), {"Effusion": 0.02, "Cardiomegaly": 0.8})
    assert (copied.verdict, copied.seen) == ("supported", "contradicted") and not borne_out(copied)
    assert (seen.verdict, seen.seen) == ("contradicted", "supported")  # a report says that the heart is normal
    unsure = checked(text, context(), {"Effusion": 0.15})[0]
    assert unsure.seen == "" and borne_out(unsure)


def test_what_medrag_says_of_itself_is_no_claim() -> None:
    text = "Yes [E1]. Reports of look-alike studies [E2] say otherwise. This rests on their reports, not on the image itself."
    assert [one.text for one in checked(text, context("Is there a pleural effusion?"))] == ["Yes."]


def test_taking_out_and_refusing() -> None:
    text = "There is a pleural effusion [E1]. There is a mass."
    found = checked(text, context())
    assert held(text, found, "mark") == text
    assert held(text, found, "remove") == "There is a pleural effusion [E1]."
    assert held(text, found, "abstain") == REFUSAL
    assert held("There is a mass.", checked("There is a mass.", context()), "remove") == REFUSAL


def test_headings_are_no_claims_and_stay_with_the_lines_where_they_stand() -> None:
    text = (
        "Findings:\nThe heart is normal in size [E1]. There is a mass.\nThe bowel is dilated. [E1]\n\n"
        "Impression: There is a mass. Small left pleural effusion. [E1]"
    )
    found = checked(text, context())
    assert not any(one.text in ("Findings:", "Impression:") for one in found)
    left = "Findings:\nThe heart is normal in size [E1].\n\nImpression: Small left pleural effusion. [E1]"
    assert held(text, found, "remove") == left
    assert held(left, checked(left, context()), "abstain") == left


def test_a_heading_goes_with_all_that_stood_under_it() -> None:
    text = "Findings: There is a mass. The bowel is dilated. Impression: Small left pleural effusion [E1]."
    assert held(text, checked(text, context()), "remove") == "Impression: Small left pleural effusion [E1]."
    text = "Findings:\nThere is a small left pleural effusion [E1].\nImpression:\nThere is a mass."
    assert held(text, checked(text, context()), "remove") == "Findings:\nThere is a small left pleural effusion [E1]."


def test_what_speaks_of_a_yes_goes_with_it() -> None:
    text = "No [E2]. There is a small left pleural effusion [E1]. Reports of look-alike studies [E1] say otherwise."
    asked = context("Is there a pleural effusion?", (REPORTS[0], Study("iu:3", {"findings": "Old rib fracture."})))
    found = checked(text, asked)
    assert held(text, found, "remove") == "There is a small left pleural effusion [E1]."


class Looker(FakeGenerator):
    """Sees a mass."""

    def findings(self, images: Any, domain: str = "") -> dict[str, float]:
        return {"Mass": 0.9}


@pytest.mark.parametrize(
    ("unsupported", "text", "status"),
    [
        ("mark", "There is a pleural effusion [E1]. The bowel is dilated. There is a mass.", "answered"),
        ("remove", "There is a pleural effusion [E1]. There is a mass.", "answered"),  # the image bears the mass out
        ("abstain", REFUSAL, "abstained"),
    ],
)
def test_the_pipeline_holds_its_answer_to_the_setting(unsupported: Any, text: str, status: str) -> None:
    said = "There is a pleural effusion [E1]. The bowel is dilated. There is a mass."
    rag = MedRAG(
        {"lexical": ListRetriever(REPORTS[:1], "lexical")}, DomainRouter(["lexical"]), AdaptiveSelector(), Looker([said]),
        PipelineSettings(unsupported=unsupported),  # type: ignore[call-arg]
    )  # fmt: skip
    answer = rag.answer(Image.new("L", (32, 32)), "Is there a pleural effusion and a mass?")
    assert (answer.text, answer.status) == (text, status)
    if status == "abstained":
        assert "borne out" in answer.reason and not answer.claims
    else:
        assert [one.verdict for one in answer.claims if "bowel" in one.text] == (
            ["absent"] if unsupported == "mark" else []
        )
        assert ("“The bowel is dilated.” is not in the evidence" in str(answer)) == (unsupported == "mark")
        assert ("“There is a mass.” is seen in the image; no evidence says so") in str(answer)
        assert ("The bowel is dilated" in answer._repr_html_()) == (unsupported == "mark")
        assert [one["seen"] for one in answer.to_dict()["claims"]][-1] == "supported"


def test_false_claims_of_a_book_do_not_pass() -> None:
    told = (
        "Metformin should be avoided in severe renal failure. About 50 % of patients with sepsis die. "
        "The recommended first-line drug for pneumonia is doxycycline."
    )
    book = (Passage("book:1#p1", "book:1", told),)
    false = (
        "Metformin is recommended in severe renal failure [E1]. About 5 % of patients with sepsis die [E1]. "
        "The recommended first-line drug for pneumonia is amoxicillin [E1]."
    )
    true = "The first-line drug for pneumonia is doxycycline [E1]."
    found = checked(f"{false} {true}", context("Which drugs are recommended?", book))
    assert [one.verdict for one in found] == ["contradicted", "absent", "absent", "supported"]
    assert held(f"{false} {true}", found, "remove") == true
    assert held(f"{false} {true}", found, "abstain") == held(false, found[:3], "remove") == REFUSAL


def test_the_title_of_a_book_is_its_subject() -> None:
    book = (Passage("book:1#p1", "book:1", "It causes lactic acidosis in renal failure.", title="Metformin"),)
    for name, verdict in (("Metformin", "supported"), ("Insulin", "absent")):
        (one,) = checked(f"{name} causes lactic acidosis in renal failure [E1].", context("What is it?", book))
        assert one.verdict == verdict


def test_words_that_are_quoted_are_borne_out_whatever_introduces_them() -> None:
    hit = Hit(Study("c:3", {"findings": "Tubular adenoma with low-grade dysplasia."}), 1.0, 1, "dense")
    said = 'The report of another study reads "Tubular adenoma with low-grade dysplasia" [E1].'
    (claim,) = checked(said, Context(Query("Which cases had adenoma?"), (hit,)))
    assert claim.verdict == "supported"
