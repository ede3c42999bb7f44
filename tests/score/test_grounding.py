"""A claim counts as borne out where its citation says the same, and never where it says the contrary or is not cited."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.cite import keys_in
from medrag.score import Measure
from medrag.score.grounding import Claim, Grounding, Reliance, claims, ngrams, stances, statements, supports
from medrag.types import Answer, Context, Hit, Passage, Query, Route

EVIDENCE = (
    "There is a small left pleural effusion. The heart is normal in size.",
    "No pneumothorax is seen. Pneumonia cannot be excluded.",
)
HITS = tuple(Hit(Passage(f"c:{n}", f"c:{n}", text), 1.0, n, "dense") for n, text in enumerate(EVIDENCE, 1))


def answer(text: str, status: str = "answered") -> Answer:
    return Answer(text, status, (), Context(Query("?"), HITS), Route("other", 1.0, {}))  # type: ignore[arg-type]


def total(measure, answers, references=()) -> dict[str, float]:
    scores = measure.totals(measure.rows(answers, references), np.ones((1, len(answers))))
    return {name: float(value[0]) for name, value in scores.items()}


@pytest.mark.parametrize(
    ("claim", "borne"),
    [
        ("There is a left pleural effusion.", True),
        ("Small left pleural effusions are present.", True),
        ("There is no left pleural effusion.", False),
        ("There may be a left pleural effusion.", False),
        ("A right basal pleural mass.", False),  # one word in four is there
        ("Heart size is normal.", True),
        ("The left heart effusion is normal.", False),  # its words stand in two sentences
        ("Yes.", False),  # says nothing that could be borne out
    ],
)
def test_a_claim_needs_its_words_and_the_same_polarity(claim: str, borne: bool) -> None:
    assert supports(EVIDENCE[0], claim) is borne


def test_a_doubt_bears_out_neither_yes_nor_no() -> None:
    assert not supports(EVIDENCE[1], "There is pneumonia.")
    assert not supports(EVIDENCE[1], "There is no pneumonia.")
    assert supports(EVIDENCE[1], "There is possibly pneumonia.")


@given(st.sampled_from(EVIDENCE))
def test_what_is_quoted_is_borne_out(text: str) -> None:
    assert all(supports(text, claim.text) for claim in claims(text))


def test_claims_are_sentences_with_their_keys_and_without_empty_ones() -> None:
    found = claims("Yes. There is an effusion. [E1] No pneumothorax [E2, E1]; fine. The heart is large [E1-E2].")
    assert found == [
        Claim("There is an effusion.", ("E1",)),
        Claim("No pneumothorax; fine.", ("E2", "E1")),
        Claim("The heart is large.", ("E1", "E2")),
    ]


@given(st.lists(st.sampled_from(["[E1]", "[E2, E3]", "[E1-E3]", " effusion", ". A mass"]), max_size=8).map("".join))
def test_every_key_of_a_claim_is_a_key_of_the_answer(text: str) -> None:
    assert {key for claim in claims(text) for key in claim.keys} <= set(keys_in(text))


def test_shares_are_over_all_claims_of_all_answers() -> None:
    found = total(
        Grounding(),
        [
            answer("There is a left pleural effusion [E1]. No pneumothorax [E1]."),  # the second is in E2
            answer("The heart is normal in size. No pneumothorax [E2]."),
            answer("I cannot answer this from the evidence found.", "abstained"),
        ],
    )
    assert found["claim_support"] == pytest.approx(2 / 4)
    assert found["cited_claims"] == pytest.approx(3 / 4)
    assert found["citation_precision"] == pytest.approx(2 / 3)


def test_copying_is_counted_in_runs_of_five_words() -> None:
    assert total(Grounding(), [answer(EVIDENCE[0] + " [E1]")])["copy_rate"] == 1
    # of 4 runs two stand in the evidence: "there is a small left", "is a small left pleural"
    found = total(Grounding(), [answer("There is a small left pleural thickening [E1] today.")])
    assert found["copy_rate"] == pytest.approx(2 / 4)
    assert ngrams("a b c", 5) == []
    assert np.isnan(total(Grounding(), [answer("Too short [E1].")])["copy_rate"])


def test_a_key_that_points_at_nothing_bears_nothing_out() -> None:
    assert total(Grounding(), [answer("There is a left pleural effusion [E7].")])["citation_precision"] == 0


def test_reliance_by_hand() -> None:
    told = [
        ("yes", "no", "no"),  # misled
        ("no", "no", "no"),  # wrong both times
        ("no", "yes", "yes"),  # helped, and copied: right without its image
        ("yes", "yes", "no"),
    ]
    found = total(Reliance(), told, ["yes"] * 4)
    assert found == pytest.approx({"over_reliance": 1 / 2, "help": 1 / 2, "copy_reference": 1 / 4})


def test_without_a_second_image_no_copying_is_claimed() -> None:
    found = total(Reliance(right=lambda answer, truth: truth in answer), [("a yes", "a no", None)], ["yes"])
    assert found["over_reliance"] == 1
    assert np.isnan(found["help"])
    assert np.isnan(found["copy_reference"])


@given(st.lists(st.tuples(*[st.sampled_from(["yes", "no"])] * 3), min_size=1, max_size=12))
def test_turning_retrieval_round_turns_misled_into_helped(told) -> None:
    """Taking a_r for a_0 and wrong for right, over-reliance is the mirror."""
    truth = ["yes"] * len(told)
    wrong = Reliance(right=lambda answer, t: answer != t)
    assert total(Reliance(), told, truth)["help"] == pytest.approx(
        total(wrong, told, truth)["over_reliance"], nan_ok=True
    )


def test_contract() -> None:
    for measure in (Grounding(), Reliance()):
        assert isinstance(measure, Measure)
        assert len(measure.rows([], [])) == 0


def test_the_share_of_words_and_the_length_of_runs_are_settings() -> None:
    one = [answer("A left basal pleural mass [E1].")]  # two words of four are in the evidence
    assert total(Grounding(), one)["claim_support"] == 0
    assert total(Grounding(share=0.5), one)["claim_support"] == 1
    assert total(Grounding(ngram=2), [answer("There is pus [E1].")])["copy_rate"] == 1 / 2
    assert supports("There is a left mass.", "left mass, right lung, apex", share=0.4)


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("No effusion, but a mass.", {"effusion": "absent", "mass": "present"}),
        ("Effusions and masses", {"effusion": "present", "masse": "present"}),
        ("Possible pus.", {"pus": "uncertain"}),  # its s is no plural
        ("Lungs, gas, bus, mass, pelvis", dict.fromkeys(["lung", "gas", "bus", "mass", "pelvis"], "present")),
        ("A mass. No mass.", {"mass": "present"}),  # the first time counts
        ("Yes, it is present.", {}),
        ("X-ray of the lung", dict.fromkeys(["x-ray", "lung"], "present")),
    ],
)
def test_what_a_sentence_says_of_each_word(sentence: str, found: dict[str, str]) -> None:
    assert stances(sentence) == found


def test_a_sentence_may_be_read_from_a_place_on() -> None:
    assert stances("No effusion, but a mass.", 12) == {"mass": "present"}


def test_statements_keep_a_bare_yes_and_the_words_as_they_stand() -> None:
    assert statements("Yes [E2–E3]. A  mass.[E1][E2]") == [
        (Claim("Yes.", ("E2", "E3")), "Yes [E2–E3]."),
        (Claim("A mass.", ("E1", "E2")), "A mass[E1][E2]."),
    ]


def test_words_run_in_order_and_lower_case() -> None:
    assert ngrams("A b, C d") == []
    assert ngrams("A b, C d", 3) == [("a", "b", "c"), ("b", "c", "d")]


def test_a_row_counts_claims_keys_and_runs() -> None:
    rows = Grounding().rows([answer("There is a small left effusion [E1]. It hurts."), answer("No.", "abstained")])
    assert rows.tolist() == [[2, 1, 1, 4, 1], [0, 0, 0, 0, 0]]
    with pytest.raises(ValueError, match="zip"):
        Reliance().rows([("yes", "yes", None)], [])
