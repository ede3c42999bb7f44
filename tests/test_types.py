"""Records: every item survives JSON; ids, texts and boxes keep their promises."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.types import (
    Block,
    Box,
    Concept,
    Context,
    Document,
    Hit,
    ImageRecord,
    Page,
    Passage,
    Query,
    Study,
    Triple,
    as_tuple,
    domain_of,
    item_from_json,
    item_to_json,
)  # fmt: skip

TEXT = st.text(max_size=30)
NUMBERS = st.floats(0, 1000, allow_nan=False)
BOXES = st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).map(
    lambda t: Box(min(t[0], t[2]), min(t[1], t[3]), max(t[0], t[2]), max(t[1], t[3]))
)
META = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(), st.none(), st.lists(TEXT, max_size=2)), max_size=2)
BLOCKS = st.lists(
    st.builds(
        Block, TEXT, st.none() | st.integers(1, 9), st.none() | BOXES, st.sampled_from(["body", "heading", "caption"])
    ),
    max_size=3,
).map(tuple)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
ITEMS = st.one_of(
    st.builds(Document, TEXT, TEXT, BLOCKS, TEXT, META),
    st.builds(Passage, TEXT, TEXT, TEXT, TEXT, TEXT, st.none() | st.integers(1, 99), st.lists(BOXES, max_size=2).map(tuple), TEXT, META),
    st.builds(Page, TEXT, TEXT, st.integers(1, 99), BLOCKS, NUMBERS, NUMBERS, TEXT, TEXT, META),
    st.builds(ImageRecord, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.integers(0, 5), st.none() | st.integers(1, 9), st.none() | BOXES, META),
    st.builds(Study, TEXT, st.dictionaries(TEXT, TEXT, max_size=2), TEXTS, TEXTS, TEXT, TEXT, TEXT, TEXT, META),
    st.builds(Concept, TEXT, TEXT, TEXTS, TEXTS, TEXT, TEXTS, TEXTS, META),
    st.builds(Triple, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.sampled_from(["present", "absent", "uncertain"]), META),
)  # fmt: skip


@given(ITEMS)
def test_every_item_survives_json(item):
    assert item_from_json(item_to_json(item)) == item


@given(ITEMS)
def test_every_item_has_the_common_face(item):
    assert isinstance(item.id, str)
    assert isinstance(item.doc, str)
    assert isinstance(item.text, str)
    assert item.kind in ("document", "passage", "page", "image", "study", "concept", "triple")


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown item kind 'song'"):
        item_from_json('{"kind": "song"}')


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Passage("a", "a", "text").text = "other"  # type: ignore[misc]


def test_box_refuses_swapped_corners_and_unites():
    with pytest.raises(ValueError, match="swapped"):
        Box(2, 0, 1, 1)
    assert Box(0, 0, 1, 1).union(Box(3, 2, 4, 5)) == Box(0, 0, 4, 5)
    assert Box(1, 2, 3, 4).scaled(2) == Box(2, 4, 6, 8)
    assert Box(0, 0, 2, 3).area == 6


def test_study_text_is_findings_then_impression():
    study = Study("c:1", {"impression": "Normal.", "indication": "Cough.", "findings": "Clear lungs."})
    assert study.text == "Clear lungs.\nNormal."


def test_context_gives_keys_in_order():
    hits = tuple(Hit(Passage(f"c:{n}", "c", "t"), 1.0, n, "dense") for n in (1, 2))
    assert [(key, hit.item.id) for key, hit in Context(Query("q"), hits)] == [("E1", "c:1"), ("E2", "c:2")]


def test_domain_is_read_from_field_or_meta():
    assert domain_of(Study("s", {}, domain="chest-xray")) == "chest-xray"
    assert domain_of(Passage("p", "p", "t", meta={"domain": "fundus"})) == "fundus"
    assert domain_of(Study("s", {})) == domain_of(Passage("p", "p", "t")) == ""


def test_bytes_of_any_sort_are_one_value():
    for value in (b"ab", bytearray(b"ab"), memoryview(b"ab"), "ab"):
        assert as_tuple(value) == (value,)
    assert as_tuple([1, 2]) == (1, 2)
