"""Chunking: nothing lost, nothing too long, sections kept apart, boxes and ids as promised."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag._util.text import count_tokens, sentences, words
from medrag.corpora.chunk import chunk
from medrag.settings import ChunkSettings
from medrag.types import Block, Box, Document, ImageRecord, Page, Study

WORD = st.text("abcdefghijklmnopqrstuvwxyzABCDEéß0123456789-'", min_size=1, max_size=14)
SENTENCE = st.builds(
    lambda ws, end: " ".join(ws) + end,
    st.lists(WORD, min_size=1, max_size=30),
    st.sampled_from([".", "?", "!", "", ":", " (3)."]),
)
TEXT = st.builds(" ".join, st.lists(SENTENCE, max_size=8))
BOX = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 400),
    st.integers(0, 600),
    st.integers(0, 195),
    st.integers(0, 200),
)
BLOCK = st.builds(
    Block, TEXT, st.just(3), BOX, st.sampled_from(["body", "body", "body", "heading", "caption", "table"])
)


def page(blocks: list[Block], **meta: object) -> Page:
    return Page("c:d#p3", "c:d", 3, tuple(blocks), 595, 842, "/x/d.pdf", "T", meta)


@settings(max_examples=200, deadline=None)
@given(st.lists(BLOCK, max_size=8), st.integers(16, 80))
def test_every_word_is_kept_in_order_and_nothing_is_too_long(blocks: list[Block], limit: int) -> None:
    document = Document("c:d", "T", tuple(blocks))
    passages = list(chunk(document, ChunkSettings(tokens=limit)))
    for role in ("body", "table", "caption"):
        expected = [word for block in blocks if block.role == role for word in words(block.text)]
        assert [w for p in passages if p.meta.get("role", "body") == role for w in words(p.text)] == expected
    assert all(count_tokens(p.text) <= limit or len(p.text.split()) == 1 for p in passages)
    assert [p.id for p in passages] == [f"c:d~{n}" for n in range(len(passages))]
    assert passages == list(chunk(document, ChunkSettings(tokens=limit)))
    assert all(p.page == 3 and p.boxes and set(p.boxes) <= {b.box for b in blocks} for p in passages)


@settings(max_examples=100, deadline=None)
@given(TEXT, st.integers(16, 60), st.integers(0, 30))
def test_sentences_are_whole_and_overlap_is_made_of_sentences(text: str, limit: int, overlap: int) -> None:
    passages = list(chunk(Document("c:d", "T", (Block(text),)), ChunkSettings(tokens=limit, overlap=overlap)))
    assert all(count_tokens(p.text) <= limit or len(p.text.split()) == 1 for p in passages)
    whole = [s for s in sentences(text) if count_tokens(s) <= limit]
    assert all(any(s in p.text for p in passages) for s in whole)


def test_sections_are_never_mixed() -> None:
    blocks = [
        Block("Before."),
        Block("One", role="heading"),
        Block("First."),
        Block("Two", role="heading"),
        Block("Sub", role="heading"),
        Block("Second."),
    ]
    found = [(p.section, p.text) for p in chunk(Document("c:d", "T", tuple(blocks)), ChunkSettings())]
    assert found == [("", "Before."), ("One", "First."), ("Two – Sub", "Second.")]


def test_a_page_passage_says_where_it_stands() -> None:
    left, right, low = Box(0, 0, 9, 9), Box(20, 0, 29, 9), Box(0, 50, 29, 60)
    blocks = [
        Block("The pleural effusion on the left", 3, left),
        Block("side is large. It displaces the heart.", 3, right),
        Block("Figure 1 A film.", 3, low, "caption"),
    ]
    first, second = chunk(page(blocks, section="Effusion", license="CC0"), ChunkSettings())
    assert first.text == "The pleural effusion on the left side is large. It displaces the heart."
    assert first.boxes == (left, right) and (first.doc, first.page, first.source, first.section) == (
        "c:d",
        3,
        "/x/d.pdf",
        "Effusion",
    )
    assert second.boxes == (low,) and second.meta == {"license": "CC0", "role": "caption"}
    assert first.meta == {"license": "CC0"} and first.title == "T"


def test_a_sentence_over_two_columns_belongs_to_both_and_the_next_to_one() -> None:
    left, right = Box(0, 0, 9, 9), Box(20, 0, 29, 9)
    text = "It displaces the heart and the mediastinum to the other side of the thorax in nearly all of the cases."
    blocks = [Block("The pleural effusion on the left", 3, left), Block(f"side is large. {text}", 3, right)]
    passages = list(chunk(page(blocks), ChunkSettings(tokens=25)))
    assert [p.boxes for p in passages] == [(left, right), (right,)]


def test_pages_without_anything_to_say_give_nothing() -> None:
    assert not list(chunk(page([Block("Chapter 3", role="heading")]), ChunkSettings()))
    assert not list(chunk(page([Block("This page intentionally left blank.")]), ChunkSettings()))
    contents = Block("Contents\nThe lungs | 3\nThe heart | 12\nThe pleura | 30\nThe bones | 44", role="table")
    assert not list(chunk(page([contents]), ChunkSettings()))
    assert not list(chunk(ImageRecord("c:i", "c:i", "A caption.", "/x.png"), ChunkSettings()))


@pytest.mark.parametrize(
    "text",
    ["No pneumothorax seen.", "Contraindicated: MRI.", "Hb | 7.9\nK | 6.8", "右侧大量胸腔积液伴纵隔左移。心影增大。"],
)
def test_a_short_page_that_says_something_is_a_passage(text: str) -> None:
    assert [p.text for p in chunk(page([Block(text)]), ChunkSettings())] == [" ".join(text.split())]
    assert not list(chunk(page([Block("12 – 14")]), ChunkSettings()))


def test_a_study_gives_findings_and_impression_with_its_labels() -> None:
    study = Study(
        "o:CXR1",
        {"indication": "cough", "impression": "Normal.", "findings": "Clear. No XXXX."},
        labels=("normal",),
        patient="P",
        domain="chest-xray",
        meta={"uid": "1", "paths": ["x"]},
    )
    first, second = chunk(study, ChunkSettings())
    assert (first.id, first.section, first.text) == ("o:CXR1~0", "findings", "Clear. No XXXX.")
    assert (second.id, second.doc, second.section, second.text) == ("o:CXR1~1", "o:CXR1", "impression", "Normal.")
    assert first.meta == {"labels": ["normal"], "uid": "1", "domain": "chest-xray", "patient": "P"}


def test_sections_of_other_names_can_be_found_too() -> None:
    sections = {"procedure": "A probe was used.", "impression": "Normal.", "indication": "cough", "technique": "AP"}
    found = [(passage.section, passage.text) for passage in chunk(Study("o:1", sections), ChunkSettings())]
    assert found == [("impression", "Normal."), ("procedure", "A probe was used.")]


def test_each_passage_of_an_answer_begins_with_its_question() -> None:
    answer = " ".join(f"Sentence number {n} is about the optic nerve." for n in range(12))
    blocks = (
        Block("What is glaucoma?", role="heading"),
        Block(answer),
        Block("Who gets it?", role="heading"),
        Block("Many."),
    )
    passages = list(
        chunk(
            Document("m:1", "Glaucoma", blocks, meta={"qa": True, "cuis": ["C1"], "qtypes": ["a"]}),
            ChunkSettings(tokens=40),
        )
    )
    assert len(passages) > 3 and all(p.text.startswith("What is glaucoma? Sentence") for p in passages[:-1])
    assert passages[-1].text == "Who gets it? Many." and all(count_tokens(p.text) <= 40 for p in passages)
    assert passages[0].meta == {"qa": True, "cuis": ["C1"]}


def test_a_long_table_is_cut_between_rows() -> None:
    rows = [f"Finding {n} | lung | opacity" for n in range(10)]
    passages = list(chunk(page([Block("\n".join(rows), 3, Box(0, 0, 1, 1), "table")]), ChunkSettings(tokens=30)))
    assert [row for p in passages for row in p.text.split("\n")] == rows and len(passages) > 1


@pytest.mark.parametrize(
    ("heading", "text", "role"),
    [
        ("References", "Elston CW. Pathological factors. Histopathology 1991.", "references"),
        ("7 Further reading:", "A book.", "references"),
        ("8 Sources", "Danzer CS. The cardiothoracic ratio. 1919.", "references"),
        ("Reading", "A film is read from the centre.", None),
        ("Selected references", "A book.", "references"),
        ("Suggested reading", "A book.", "references"),
        ("Sources", "Fish and eggs hold vitamin D.", None),
        ("Reference values", "Potassium 3.5 mmol/L.", None),
    ],
)
def test_a_list_of_references_is_told_by_its_role(heading: str, text: str, role: str | None) -> None:
    (passage,) = chunk(page([Block(heading, role="heading"), Block(text)]), ChunkSettings())
    assert passage.meta.get("role") == role
