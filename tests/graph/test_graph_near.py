"""Linking by meaning: only terms that no name covers, only names that are near enough, encoded once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medrag.graph import GraphStore, Linker
from medrag.graph.near import NearNames, may_be_terms
from medrag.types import Concept, Query


class Letters:
    """Counts of letter pairs: near in spelling stands for near in meaning."""

    name, dim, modality, fingerprint = "letters", 676, "text", "letters/1"

    def __init__(self) -> None:
        self.encoded = 0

    def encode_queries(self, queries: Sequence[Query]) -> np.ndarray:
        self.encoded += len(queries)
        out = np.zeros((len(queries), self.dim), np.float32)
        for row, query in zip(out, queries, strict=True):
            text = [c for c in query.text.lower() if c.isascii() and c.isalpha()]
            for a, b in itertools.pairwise(text):
                row[(ord(a) - 97) * 26 + ord(b) - 97] += 1
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)

    encode_items = encode_queries


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    path = tmp_path_factory.mktemp("near") / "g"
    with GraphStore.create(path) as builder:
        builder.add([Concept("t:D:1", "Pneumothorax", (), ("C1",)), Concept("t:D:2", "Pneumonia", (), ("C2",)), Concept("t:D:3", "Pneumoconiosis")])  # fmt: skip
        builder.finish()
    return GraphStore.open(path)


def test_a_term_is_linked_by_name_then_by_meaning_then_not_at_all(store: GraphStore, tmp_path: Path) -> None:
    linker = Linker(store, NearNames(store, Letters(), 0.7, tmp_path))
    by_name, by_meaning = linker.term("pneumonia"), linker.term("pneumotorax")
    assert by_name and by_name.concepts == ("D:2",)
    assert by_meaning and (by_meaning.concepts, by_meaning.cuis) == (("D:1",), ("C1",))
    assert linker.term("zebra") is None and linker.term("  ") is None
    assert Linker(store).term("pneumotorax") is None
    assert linker.link("A pneumotorax is seen.") == []  # running text is linked by names alone


def test_names_are_encoded_once_and_those_without_a_cui_not_at_all(store: GraphStore, tmp_path: Path) -> None:
    encoder = Letters()
    first = NearNames(store, encoder, 0.0, tmp_path)
    assert encoder.encoded == 0  # opening an index is quick
    assert first.vectors.dtype == np.float16 and encoder.encoded == 2
    again = NearNames(store, encoder, 0.0, tmp_path)
    assert np.array_equal(first.vectors, again.vectors)
    assert encoder.encoded == 2
    assert [[node for node, _ in row] for row in again.nearest(["pneumonia", "thorax"], k=2)] == [["D:2", "D:1"], ["D:1", "D:2"]]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "surface", "node", "polarity"),
    [
        ("A pneumotorax is seen.", "pneumotorax", "D:1", "present"),
        ("No pneumotorax in the film.", "pneumotorax", "D:1", "absent"),
        ("No pneumonia. There is a pneumotoraxx.", "pneumotoraxx", "D:1", "present"),
    ],
)
def test_terms_of_a_question_that_no_name_covers(
    store: GraphStore, tmp_path: Path, question: str, surface: str, node: str, polarity: str
) -> None:
    linker = Linker(store, NearNames(store, Letters(), 0.8, tmp_path))
    found = linker.asked(question)[-1]
    assert (found.surface, found.concepts, found.polarity) == (surface, (node,), polarity) and 0.8 <= found.near < 1
    assert linker.link(question) == Linker(store).asked(question)  # without near names, names alone


def test_a_name_that_only_adds_words_is_another_thing(tmp_path: Path) -> None:
    with GraphStore.create(tmp_path / "g") as builder:
        builder.add(
            [Concept("t:D:1", "Mitral valve disorder", (), ("C1",)), Concept("t:D:2", "Heart failure", (), ("C2",))]
        )
        builder.finish()
    store = GraphStore.open(tmp_path / "g")
    linker = Linker(store, NearNames(store, Letters(), 0.5, tmp_path))
    assert linker.asked("Where is the mitral valve?") == []
    assert [m.concepts for m in linker.asked("How is a failing heart treated?")] == [("D:2",)]


def test_no_term_is_sought_at_a_small_word_over_a_pause_or_in_a_report() -> None:
    text = "What is the stone, of a kidney?"
    assert [text[start:end] for start, end in may_be_terms(text)] == ["stone", "kidney"]
    assert may_be_terms("stone of a kidney " * 20) == []


def test_an_empty_graph_has_no_names(tmp_path: Path) -> None:
    with GraphStore.create(tmp_path / "g") as builder:
        builder.finish()
    assert NearNames(GraphStore.open(tmp_path / "g"), Letters(), 0.5, tmp_path).nearest(["x"]) == [[]]
