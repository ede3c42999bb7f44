"""Query expansion: other names of what is asked about, never of a mere place, and the question always outweighs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from medrag.graph import GraphStore
from medrag.graph.words import TOKEN
from medrag.retrieve.expand import WEIGHT, Expander
from medrag.types import Concept, Triple


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    path: Path = tmp_path_factory.mktemp("expand") / "g"
    with GraphStore.create(path) as builder:
        builder.add(
            [
                Concept("t:D:1", "Myocardial infarction", ("heart attack", "cardiac infarct", "MI"), ("C0027051",)),
                Concept("t:D:2", "Inferior wall infarction", (), ("C0340305",)),
                Concept("t:D:3", "Chest", ("thorax",)),
                Triple("t:1", "t:D:2", "", "is_a", "", "t:D:2", "t:D:1"),
            ]
        )
        builder.finish()
    return GraphStore.open(path)


def test_other_names_are_added_behind_the_question(store: GraphStore) -> None:
    asked = "Is there a heart attack?"
    words = Expander(store).for_words(asked)
    assert words.startswith(" ".join([asked] * WEIGHT))
    added = TOKEN.findall(words.lower())[WEIGHT * len(TOKEN.findall(asked)) :]
    assert added == ["myocardial", "infarction", "cardiac", "infarct", "mi"]
    assert Expander(store).for_meaning(asked) == f"{asked} (myocardial infarction; cardiac infarct; mi)"


def test_narrower_concepts_only_when_asked(store: GraphStore) -> None:
    asked = "Signs of myocardial infarction?"
    assert "Inferior" not in Expander(store).for_meaning(asked)
    assert "Inferior wall infarction" in Expander(store, narrower=2).for_meaning(asked)


@pytest.mark.parametrize("text", ["", "What is seen in the chest?", "zebra crossing", "???"])
def test_nothing_known_nothing_added(store: GraphStore, text: str) -> None:
    expander = Expander(store, narrower=3)
    assert expander.for_words(text) == text and expander.for_meaning(text) == text


def test_synonyms_can_be_limited(store: GraphStore) -> None:
    assert Expander(store, synonyms=0).for_words("heart attack") == "heart attack"
    assert Expander(store, synonyms=1).for_meaning("heart attack") == "heart attack (myocardial infarction)"


def test_the_name_that_was_asked_takes_no_others_place(store: GraphStore) -> None:
    assert Expander(store, synonyms=1).for_meaning("myocardial infarction") == "myocardial infarction (heart attack)"
