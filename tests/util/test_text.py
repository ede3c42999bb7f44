"""Words and sentences of reports as they are really written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag._util.text import content_words, count_tokens, sentences, shorten, words


def test_sentences_of_reports():
    text = "1. Bullous emphysema. 2. Opacity in the left apex.There is a 3.5 cm mass. Dr. Smith agrees; no change vs. prior."
    assert sentences(text) == [
        "1. Bullous emphysema.",
        "2. Opacity in the left apex.",
        "There is a 3.5 cm mass.",
        "Dr. Smith agrees; no change vs. prior.",
    ]
    assert sentences("Lines break\nin the middle. And end.\nHere.") == [
        "Lines break in the middle.",
        "And end.",
        "Here.",
    ]
    assert sentences("It is shown in Figure 13. The disc is pink.") == [
        "It is shown in Figure 13.",
        "The disc is pink.",
    ]
    assert sentences("No. There is a mass.") == ["No.", "There is a mass."]
    assert sentences("See No. 5 of the list. It takes vitamin D. No fracture.") == [
        "See No. 5 of the list.",
        "It takes vitamin D.",
        "No fracture.",
    ]
    assert sentences("J. Smith read it.") == ["J. Smith read it."]
    assert sentences("  \n ") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Warfarin acts on vitamin K. Side effects are rare.", ["Warfarin acts on vitamin K.", "Side effects are rare."]),
        ("It is alpha-galactosidase A. Enzyme is given.", ["It is alpha-galactosidase A.", "Enzyme is given."]),
        ("By the surgeon A. Vesalius and Franklin D. Roosevelt.", ["By the surgeon A. Vesalius and Franklin D. Roosevelt."]),
        ("As needed (cf. GINA 2023, p. 45). Stop it.", ["As needed (cf. GINA 2023, p. 45).", "Stop it."]),
        ("Give it b.i.d. 5 mg each. Or t.i.d. Children need less.", ["Give it b.i.d. 5 mg each.", "Or t.i.d.", "Children need less."]),
        ("Of use is\nDrug | Dose\nWarfarin | 5 mg\nand no other.", ["Of use is", "Drug | Dose", "Warfarin | 5 mg", "and no other."]),
    ],
)  # fmt: skip
def test_where_a_sentence_ends(text, expected):
    assert sentences(text) == expected


def test_words():
    assert words("T2-weighted, 3.5 cm (X-ray)") == ["t2-weighted", "3", "5", "cm", "x-ray"]
    assert words("Sjo\u0308gren") == words("Sj\u00f6gren") == ["sj\u00f6gren"]
    assert content_words("Is there a mass in the lungs?") == ["mass", "lungs"]


def test_words_are_the_same_with_the_marks_of_a_word_processor():
    assert words("Crohn\u2019s disease, the X\u2011ray") == words("Crohn's disease, the X-ray")


def test_shorten():
    assert shorten("short", 10) == "short"
    assert shorten("one two three four", 12) == "one two…"


@given(st.text(max_size=300))
def test_sentences_lose_no_word(text):
    assert [word for sentence in sentences(text) for word in words(sentence)] == words(" ".join(sentences(text)))
    joined = "".join("".join(sentence.split()) for sentence in sentences(text))
    assert joined == "".join(text.split())


@given(st.text(max_size=200), st.text(max_size=200))
def test_token_counts_add_up(a, b):
    assert count_tokens(f"{a}\n{b}") == count_tokens(a) + count_tokens(b)
