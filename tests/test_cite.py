"""Evidence keys: what is cited is there, what is invented goes."""

from hypothesis import given
from hypothesis import strategies as st

from medrag.cite import cite, claims_of, keys_in, strip_invented
from medrag.prompts import REFUSAL, UNSEEN
from medrag.types import Block, Box, Context, Hit, Page, Passage, Query

ONE = Passage(
    "c:1#p2~0", "c:1", "A nodule is small. A mass is an opacity larger than 3 cm.", page=2, boxes=(Box(1, 2, 3, 4),)
)
TWO = Passage("c:2~0", "c:2", "No pleural effusion was seen.")
CONTEXT = Context(Query("what is a mass?"), tuple(Hit(item, 1.0, n, "dense") for n, item in enumerate((ONE, TWO), 1)))


def test_citation_has_item_quote_page_and_boxes():
    text, status, citations, reason = cite("A mass is an opacity over 3 cm [E1].", CONTEXT)
    assert (text, status, reason) == ("A mass is an opacity over 3 cm [E1].", "answered", "")
    (citation,) = citations
    assert (citation.key, citation.item, citation.page, citation.boxes) == ("E1", ONE, 2, ONE.boxes)
    assert citation.quote == "A mass is an opacity larger than 3 cm."
    assert citation.support == 4 / 5  # mass, opacity, 3, cm of mass, opacity, over, 3, cm


def test_invented_keys_go_and_known_ones_stay():
    assert strip_invented("Yes [E1, E9], and [E7] no.", {"E1"}) == "Yes [E1], and no."
    text, status, citations, _ = cite("Clear lungs [E5].", CONTEXT)
    assert (text, status, citations) == ("Clear lungs.", "uncited", ())


def test_refusal_is_abstention_even_with_keys():
    assert cite(REFUSAL, CONTEXT)[1] == "abstained"
    assert cite(f"{REFUSAL} [E1]", CONTEXT)[1:3] == ("abstained", ())
    assert cite("  ", CONTEXT)[:2] == (REFUSAL, "abstained")


def test_what_was_not_looked_at_is_abstention_with_its_sources():
    text = f"{UNSEEN.format(finding='a mass')} The sources say: A mass is larger than 3 cm [E1]."
    _, status, citations, reason = cite(text, CONTEXT)
    assert (status, [citation.key for citation in citations]) == ("abstained", ["E1"])
    assert "does not look" in reason


def test_without_context_an_answer_is_uncited():
    text, status, citations, reason = cite("Yes [E1].", Context(Query("q")))
    assert (text, status, citations, reason) == ("Yes.", "uncited", (), "no evidence was given")


def test_claims_are_the_sentences_that_carry_the_key():
    text = "A mass is large [E1]. No effusion was seen. [E2] Done."
    assert claims_of(text, "E1") == ["A mass is large."]
    assert claims_of(text, "E2") == ["No effusion was seen."]


@given(
    st.lists(st.sampled_from(["A mass [E1].", "[E3]", "[E2; E4]", "[E12]", "words", "[e1]", "[E 1]", "E1", "[E1][E9]"]))
)
def test_only_known_keys_are_left(pieces):
    text, status, citations, _ = cite(" ".join(pieces), CONTEXT)
    assert set(keys_in(text)) <= {"E1", "E2"}
    assert [citation.key for citation in citations] == (keys_in(text) if status == "answered" else [])
    assert cite(text, CONTEXT)[0] == text or status == "abstained"


def test_keys_in_words_and_ranges_are_keys_too():
    assert keys_in("Yes [E1 and E2], [E4-E6].") == ["E1", "E2", "E4", "E5", "E6"]
    assert strip_invented("Yes [E1 and E9], [E2–E7], [E8 & E9].", {"E1", "E2"}) == "Yes [E1], [E2],."


def test_keys_without_words_are_no_answer():
    assert cite("[E1][E2].", CONTEXT) == (REFUSAL, "abstained", (), "the model wrote no answer")


def test_a_whole_page_is_cited_by_its_number():
    page = Page("b:1#p7", "b:1", 7, (Block("A mass is large."),), 100, 100, "b.pdf")
    (citation,) = cite("A mass is large [E1].", Context(Query("q"), (Hit(page, 1.0, 1, "dense"),)))[2]
    assert citation.page == 7


def test_a_key_that_appears_when_another_is_taken_out():
    assert strip_invented("It is [E[E9]7].", {"E1"}) == "It is."
    assert strip_invented("It is [E[E9]1].", {"E1"}) == "It is [E1]."
    deep = strip_invented("[E" * 40 + "9" + "]9" * 40, {"E1"})
    assert "[" not in deep and keys_in(deep) == []
