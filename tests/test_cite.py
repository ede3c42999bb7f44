"""Evidence keys: what is cited is there, what is invented goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.cite import cite, claims_of, keys_in, strip_invented
from medrag.prompts import REFUSAL, UNSEEN
from medrag.types import Block, Box, Context, Hit, ImageRecord, Page, Passage, Query, Study

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


def cited(item, answer):
    """The one citation of an answer that has this item alone."""
    (citation,) = cite(answer, Context(Query("q"), (Hit(item, 1.0, 1, "dense"),)))[2]
    return citation


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("lungs[E1, E9].", "lungs[E1]."),  # no blank where there was none
        ("lungs \t[E1].", "lungs [E1]."),
        ("[E2]", "[E2]"),
        ("lungs [E1, E2].", "lungs [E1][E2]."),
        ("lungs [E1-E2].", "lungs [E1][E2]."),
        ("lungs [E12].", "lungs."),
    ],
)
def test_keys_are_written_each_in_its_own_brackets(text, mended):
    assert strip_invented(text, {"E1", "E2"}) == mended


def test_what_hides_a_key_too_deep_loses_its_brackets_alone():
    assert strip_invented("[E" * 12 + "9" + "]9" * 12, set()) == "EE999"


@pytest.mark.parametrize("text", [REFUSAL.upper(), f"Sadly, {REFUSAL.rstrip('.')}", f"Lungs are clear. {REFUSAL}"])
def test_a_refusal_in_other_letters_or_with_more_words_abstains(text):
    assert cite(text, CONTEXT) == (text, "abstained", (), "the evidence does not answer the question")


@pytest.mark.parametrize(
    "text",
    [
        f"Lungs are clear [E1]. Of the right side: {REFUSAL}",
        f"{REFUSAL} Lungs are clear [E1].",
        f"Lungs are clear [E1]. {REFUSAL}",
    ],
)
def test_an_answer_that_rests_on_evidence_is_none_that_refuses(text):
    assert cite(text, CONTEXT)[1] == "answered"
    assert cite(f"{REFUSAL.rstrip('.')} alone, but the lungs are clear.", CONTEXT)[1] == "uncited"


def test_what_a_model_thinks_first_is_no_part_of_its_answer():
    text, status, citations, _ = cite(f"<think>{REFUSAL} [E2] is of no use.</think>\n\nA mass is large [E1].", CONTEXT)
    assert (text, status, [citation.key for citation in citations]) == ("A mass is large [E1].", "answered", ["E1"])
    assert cite("<think>E1 says", CONTEXT) == (REFUSAL, "abstained", (), "the model wrote no answer")
    assert cite("A mass <think> is large [E1].", CONTEXT)[0] == "A mass <think> is large [E1]."


@pytest.mark.parametrize(
    ("claim", "text", "quote", "support"),
    [
        (
            "No pleural effusion [E1].",
            "Small left pleural effusion. There is no evidence of a pleural effusion on the right.",
            "There is no evidence of a pleural effusion on the right.",
            1.0,
        ),
        (
            "There is a pneumothorax [E1].",
            "No pneumothorax is seen on the left. A small pneumothorax remains in the right apex after all.",
            "A small pneumothorax remains in the right apex after all.",
            1.0,
        ),
        (
            "There is a pneumothorax [E1].",
            "No pneumothorax is seen on the left.",
            "No pneumothorax is seen on the left.",
            0.0,
        ),
        (
            "There is no pleural effusion on the right [E1].",
            "Right pleural effusion has increased. The right lung shows no effusion.",
            "The right lung shows no effusion.",
            1 / 3,
        ),
    ],
)
def test_the_sentence_that_says_the_same_is_quoted_before_one_that_says_the_opposite(claim, text, quote, support):
    citation = cited(Passage("c:1", "c:1", text), claim)
    assert (citation.quote, citation.support) == (quote, pytest.approx(support))


def test_an_answer_that_names_none_of_its_evidence_is_uncited():
    assert cite("Clear lungs.", CONTEXT)[1:] == ("uncited", (), "the answer names no evidence")


def test_the_shorter_of_two_equal_sentences_is_quoted():
    two = Passage("c:1", "c:1", "A mass was seen in the lung of this man. A mass was seen. No mass was seen there.")
    assert cited(two, "It is a mass [E1].").quote == "A mass was seen."


def test_each_claim_has_its_quote_and_support_is_their_mean():
    answer = "A nodule is small [E1]. The mass weighs 3 kg [E1]. It is [E1]. A nodule is small [E1]."
    citation = cited(ONE, answer)
    assert citation.quote == "A nodule is small. … A mass is an opacity larger than 3 cm."
    assert citation.support == pytest.approx((1 + 2 / 4 + 1) / 3)  # nothing is counted of words that say nothing
    assert cited(ONE, "It is [E1].").support is None


def test_what_has_no_text_is_cited_without_a_quote():
    citation = cited(ImageRecord("a:1", "a:1", "", "a.png"), "A mass [E1].")
    assert (citation.quote, citation.support, citation.boxes) == ("", 0.0, ())


def test_a_counted_label_has_no_share_of_words():
    melanoma = ImageRecord("a:1", "a:1", "Melanoma", "a.png", meta={"label": "Melanoma"})
    said = "Uncertain, most often Melanoma: 3 of the 6 pictures that look most alike are labelled so [E1]."
    assert (cited(melanoma, said).quote, cited(melanoma, said).support) == ("Melanoma", None)


@pytest.mark.parametrize(
    ("item", "boxes"),
    [
        (ImageRecord("a:1", "a:1", "A mass.", "a.pdf", page=3, box=Box(1, 2, 3, 4)), (Box(1, 2, 3, 4),)),
        (ImageRecord("a:1", "a:1", "A mass.", "a.png"), ()),
        (Study("a:1", {"findings": "A mass."}), ()),
        (Page("b:1#p1", "b:1", 1, (Block("A mass."),), 9, 9, "b.pdf"), ()),
        (
            Page("b:1#p1", "b:1", 1, (Block("A mass."),), 9, 9, "b.pdf", meta={"boxes": [[0, 1, 2, 3]]}),
            (Box(0, 1, 2, 3),),
        ),
    ],
)
def test_the_region_is_that_of_the_figure_or_of_what_the_page_was_found_by(item, boxes):
    assert cited(item, "A mass [E1].").boxes == boxes


@pytest.mark.parametrize(
    ("answer", "question", "quote"),
    [
        ("Yes [E1].", "Is there a pleural effusion?", "There is a small left pleural effusion."),
        ("No [E1].", "Is there a pneumothorax?", "No pneumothorax is seen."),
        ("No [E1].", "Are the lungs free of effusion?", "There is a small left pleural effusion."),
        ("Yes [E1].", "Is there pleural fluid?", "There is a small left pleural effusion."),  # the nearest in words
    ],
)
def test_a_bare_yes_or_no_quotes_what_was_asked(answer, question, quote):
    item = Study(
        "c:1", {"findings": "Heart size is normal. No pneumothorax is seen. There is a small left pleural effusion."}
    )
    citation = cite(answer, Context(Query(question), (Hit(item, 1.0, 1, "similar"),)))[2][0]
    assert citation.quote == quote and citation.support is None


def test_a_range_of_keys_may_be_written_backwards():
    assert keys_in("Clear [E3-E1].") == ["E1", "E2", "E3"]


def test_evidence_that_says_otherwise_is_quoted_where_it_does():
    hit = Hit(Study("s:1", {"findings": "There is a left pneumothorax. Clear."}), 1.0, 1, "similar")
    context = Context(Query("Is there a pneumothorax?"), (hit,))
    _, status, (citation,), _ = cite("No. Reports of look-alike studies [E1] say otherwise.", context)
    assert (status, citation.quote, citation.support) == ("answered", "There is a left pneumothorax.", None)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can’t assist with that.", "I don't know.", "The evidence does not contain the answer.", "I cannot answer this question.", "Sorry.",
        "As an AI language model, I am unable to give medical advice. Please see a doctor.", "There is not enough information to answer.",
        "Unfortunately, the passages do not mention this.", "The evidence doesn't say whether it recurs.", "Insufficient evidence.", "I am unable to tell.",
        "It is not possible to say from this film.", "We are afraid that we could not find it.", "The retrieved documents are not sufficient.",
        "Based on the provided context, there is no information about the dose.", "I can't see the image.", "No image was provided.", "This cannot be determined from the film.",
        "The context does not mention the dose. It only describes symptoms. Please consult a doctor.",
    ],
)  # fmt: skip
def test_a_refusal_in_words_of_the_model_s_own_is_one(text: str) -> None:
    assert cite(text, CONTEXT) == (text, "abstained", (), "the evidence does not answer the question")
    assert cite(f"{text} [E1]", CONTEXT)[1] == "answered"  # it rests on something


@pytest.mark.parametrize(
    "text",
    [
        "I cannot determine the age, but there is a large effusion.", "The image does not show a pneumothorax.", "I do not see an effusion.",
        "There is no evidence of effusion.", "The evidence is not conclusive.", "I'm sorry, but the film shows a mass.", "Unfortunately, the patient does not have a spleen.",
        "I don't know the date. The heart is large. There is an effusion. Both lungs are grey.", "The heart is large. I don't know more.",
        "I cannot tell whether the effusion is old. There is a left effusion.", "I cannot find any fracture.", "I could not find a pneumothorax.", "I can see a right effusion.",
        "I cannot say that the heart is large; it is normal.", "It is not possible to determine its side; there is a small effusion.", "We do not know the cause of gout.",
        "There is no evidence on this film of a fracture.", "There is no evidence to support antibiotics.", "Insufficient evidence supports screening.", "Pneumonia cannot be excluded.",
        "The evidence is not sufficient to recommend screening.", "The sources do not give a dose for children. In adults it is 5 mg.", "There is no information about the age. The heart is large.",
        "It is not possible to distinguish pneumonia from atelectasis.",
    ],
)  # fmt: skip
def test_what_says_something_is_no_refusal(text: str) -> None:
    assert cite(text, CONTEXT)[1] == "uncited"
