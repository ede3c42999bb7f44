"""The fakes keep the contracts that they stand in for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medrag.errors import BadRecord
from medrag.protocols import Corpus, Encoder, Generator, Retriever
from medrag.testing import FakeCorpus, FakeEncoder, FakeGenerator, ListRetriever
from medrag.types import ImageRecord, Passage, Query, QueryImage

NOTES = [
    Passage("n:1", "n", "Pleural effusion blunts the angle."),
    Passage("n:2", "n", "A mass is rounded."),
    Passage("m:1", "m", "Large pleural effusion."),
]


def test_each_fits_its_protocol() -> None:
    assert isinstance(FakeEncoder(), Encoder)
    assert isinstance(FakeGenerator(), Generator)
    assert isinstance(ListRetriever([]), Retriever)
    assert isinstance(FakeCorpus([]), Corpus)


@given(st.lists(st.text(), max_size=5))
def test_text_vectors_are_unit_rows_and_queries_match_items(texts: list[str]) -> None:
    encoder = FakeEncoder()
    vectors = encoder.encode_items([Passage(f"n:{n}", "n", text) for n, text in enumerate(texts)])
    assert vectors.shape == (len(texts), encoder.dim)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors, encoder.encode_queries([Query(text) for text in texts]))


def test_near_texts_lie_near() -> None:
    query = FakeEncoder().encode_queries([Query("pleural effusion")])
    assert (FakeEncoder().encode_items(NOTES) @ query[0]).argmin() == 1


def test_image_vectors(tmp_path: Path) -> None:
    encoder = FakeEncoder("image")
    dark, light = Image.new("L", (30, 20), 10), Image.linear_gradient("L")
    dark.save(tmp_path / "dark.png")
    items = encoder.encode_items([ImageRecord("i:1", "i", "", str(tmp_path / "dark.png"))])
    queries = encoder.encode_queries(
        [Query("", (QueryImage(dark),)), Query("", (QueryImage(light),)), Query("no image")]
    )
    assert queries.shape == (3, encoder.dim)
    assert np.allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
    near, far, _ = queries @ items[0]
    assert near == pytest.approx(1, abs=1e-5)
    assert far < 0.99
    with pytest.raises(BadRecord, match=r"gone\.png"):
        encoder.encode_items([ImageRecord("i:2", "i", "", str(tmp_path / "gone.png"))])


def test_generator_replies_in_turn_and_remembers() -> None:
    fake, image = FakeGenerator(["One two [E1].", "Three"]), Image.new("L", (2, 2))
    assert list(fake.stream("a", [image])) == ["One", " two", " [E1]."]
    assert "".join(fake.stream("b")) == "Three"
    assert "".join(fake.stream("c")) == "One two [E1]."
    assert fake.prompts == ["a", "b", "c"]
    assert fake.images == [(image,), (), ()]


def test_retriever_ranks_by_shared_words_and_leaves_out_what_is_excluded() -> None:
    retriever = ListRetriever(NOTES)
    hits = retriever.retrieve(Query("large pleural effusion"), 2)
    assert [(hit.item.id, hit.rank) for hit in hits] == [("m:1", 1), ("n:1", 2)]
    assert hits[0].score == 1
    assert [hit.item.id for hit in retriever.retrieve(Query("effusion", exclude=frozenset({"n"})), 9)] == ["m:1"]
    assert [hit.item.id for hit in retriever.retrieve(Query("effusion", exclude=frozenset({"m:1"})), 1)] == ["n:1"]


def test_corpus_reads_reports_and_signs() -> None:
    reported: list[BadRecord] = []
    corpus = FakeCorpus(NOTES, bad=[BadRecord("x.txt", "broken")])
    assert list(corpus.read(reported.append)) == NOTES
    assert [record.source for record in reported] == ["x.txt"]
    assert corpus.signature() == FakeCorpus(NOTES).signature() != FakeCorpus(NOTES[:2]).signature()
