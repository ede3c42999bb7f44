"""Answers as text and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_answers import chest_answer, hostile_answer

from medrag._util.render import WIDTH, answer_dict, answer_text, clean, explain_text, found, plain
from medrag.types import Context, Hit, Passage, Query


def test_text_has_the_answer_then_each_reference_with_its_place_and_quote():
    lines = answer_text(chest_answer()).splitlines()
    assert lines[0].startswith("Yes: several round opacities")
    references = lines[lines.index("References") + 1 :]
    assert references[0] == "[E1] passage · Reading a chest radiograph · Masses and nodules · page 4 · primer:primer"
    assert references[1].strip() == "“Multiple round masses of differing size favour metastases”"
    assert [line[:4] for line in references if line.startswith("[")] == ["[E1]", "[E2]", "[E3]"]


def test_an_abstention_says_why():
    text = answer_text(
        chest_answer(
            text="I cannot answer this.", status="abstained", reason="nothing relevant was found", citations=()
        )
    )
    assert "[abstained] nothing relevant was found" in text
    assert "References" not in text


def test_explanation_covers_every_stage():
    text = explain_text(chest_answer())
    titles = [line for line in text.splitlines()[1:] if line and not line.startswith(" ")]
    assert titles == ["Route", "Found", "Fused", "Kept", "Dropped", "Time", "Model"]
    for words in (
        "chest-xray, confidence 94 %",
        "DICOM modality CR",
        "dense #2, lexical",
        "below the floor",
        "gap rule fired",
        "generate 21 ms",
        "total 72 ms",
    ):
        assert words in text


@pytest.mark.parametrize("make", [chest_answer, hostile_answer])
def test_no_line_is_wider_than_the_page(make):
    answer = make()
    assert max(map(len, (answer_text(answer) + "\n" + explain_text(answer)).splitlines())) <= WIDTH


def test_hits_before_fusion_are_grouped_by_retriever_and_ranked():
    groups = found(chest_answer().context)
    assert [hit.rank for hit in groups["dense"]] == [2, 9]
    assert [hit.item.id for hit in groups["lexical"]] == ["primer:primer#p4-2"]


def test_explanation_of_an_answer_without_evidence():
    answer = chest_answer(context=Context(Query("Is it raining?")), citations=(), timings={})
    text = explain_text(answer)
    assert "Dropped\n  nothing" in text
    assert "Time\n  not measured" in text


def test_dict_is_complete_and_survives_json():
    answer = chest_answer()
    value = json.loads(json.dumps(answer_dict(answer), allow_nan=False))
    assert {field.name for field in dataclasses.fields(answer)} <= set(value)
    first = value["citations"][0]
    assert (first["key"], first["item"], first["page"], first["boxes"]) == (
        "E1",
        "primer:primer#p4-2",
        4,
        [[72, 200, 520, 260]],
    )
    assert [kept["key"] for kept in value["context"]["kept"]] == ["E1", "E2", "E3", "E4"]
    assert value["context"]["kept"][0]["parents"][1] == {
        "item": "primer:primer#p4-2",
        "retriever": "lexical",
        "rank": 1,
        "score": 11.4,
    }
    assert value["context"]["dropped"][0]["reason"].startswith("below the floor")
    assert value["images"][0]["width"] == 900


def test_numbers_that_json_lacks_become_null():
    item = Passage("a:b", "a:b", "words")
    context = Context(Query("q"), (Hit(item, math.nan, 1, "dense"),))
    kept = answer_dict(chest_answer(context=context))["context"]["kept"][0]
    assert kept["score"] is None


@given(
    st.recursive(
        st.none() | st.floats() | st.text() | st.integers() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.integers(), inner),
    )
)
def test_plain_values_can_always_be_written(value):
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(plain(value))


@given(st.text())
def test_clean_text_cannot_steer_a_terminal(text):
    cleaned = clean(text)
    assert not set(cleaned) & {"\x1b", "\x9b", "\x00", "\r", "\x08", "\u202e"}
    assert clean(cleaned) == cleaned


def test_retrieved_escape_sequences_do_not_reach_the_terminal():
    assert "\u202e" not in answer_text(hostile_answer())
    assert "\x00" not in explain_text(hostile_answer())
