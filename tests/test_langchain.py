"""medrag's retrieval as a LangChain retriever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from medrag.errors import SettingsError
from medrag.langchain import as_retriever, to_document
from medrag.testing import ListRetriever
from medrag.types import Box, Hit, ImageRecord, Page, Passage, Study, Triple

NOTES = [
    Passage(
        "n:1",
        "n",
        "Pleural effusion blunts the angle.",
        "Primer",
        page=4,
        boxes=(Box(1, 2, 3, 4),),
        source="primer.pdf",
    ),
    Passage("n:2", "n", "A mass is rounded."),
    Study("s:1", {"findings": "Large pleural effusion."}),
]


class Whole:
    """Stands in for a MedRAG: ``retrieve`` takes the words."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def retrieve(self, question: str = "", image: Any = None, *, k: int | None = None) -> list[Hit]:
        self.asked.append((question, image, k))
        return [Hit(item, 0.5, rank, "fused") for rank, item in enumerate(NOTES, start=1)]


def test_a_retriever_becomes_a_langchain_retriever() -> None:
    retriever = as_retriever(ListRetriever(NOTES), k=2)
    assert isinstance(retriever, BaseRetriever)
    documents = retriever.invoke("large pleural effusion")
    assert [document.id for document in documents] == ["s:1", "n:1"]
    assert documents[1].page_content == "Pleural effusion blunts the angle."
    assert documents[1].metadata == {
        "id": "n:1", "doc": "n", "kind": "passage", "score": pytest.approx(2 / 3), "rank": 2, "page": 4, "boxes": [[1, 2, 3, 4]],
        "source": "primer.pdf", "title": "Primer", "retrievers": ["list"],
    }  # fmt: skip


def test_a_whole_pipeline_is_asked_with_words_and_k() -> None:
    whole = Whole()
    assert len(as_retriever(whole, k=2).invoke("effusion?")) == 2
    assert whole.asked == [("effusion?", None, 2)]


def test_medrag_itself_is_told_as_a_pipeline() -> None:
    import inspect

    from medrag.pipeline import MedRAG

    assert list(inspect.signature(MedRAG.retrieve).parameters)[1] == "question"
    assert "k" in inspect.signature(MedRAG.retrieve).parameters


def test_it_composes_with_runnables() -> None:
    chain = as_retriever(ListRetriever(NOTES), k=1) | RunnableLambda(lambda documents: documents[0].metadata["id"])
    assert chain.invoke("mass") == "n:2"
    assert chain.batch(["mass", "large"]) == ["n:2", "s:1"]


@pytest.mark.parametrize(
    ("item", "page", "boxes"),
    [
        (Page("p:1", "p", 7, (), 100, 200, "a.pdf"), 7, []),
        (ImageRecord("i:1", "i", "a figure", "a.pdf", page=3, box=Box(0, 0, 9, 9)), 3, [[0, 0, 9, 9]]),
        (Triple("t:1", "t", "a", "is_a", "b"), None, []),
        (NOTES[2], None, []),
    ],
)
def test_every_kind_of_item_gives_plain_metadata(item: Any, page: int | None, boxes: list[Any]) -> None:
    document = to_document(Hit(item, 1.0, 1, "x"))
    assert (document.metadata["page"], document.metadata["boxes"]) == (page, boxes)
    assert json.loads(json.dumps(document.metadata)) == document.metadata


def test_what_cannot_retrieve_is_refused() -> None:
    with pytest.raises(SettingsError, match="dict has no method retrieve"):
        as_retriever({})
    with pytest.raises(SettingsError, match="k is 0"):
        as_retriever(ListRetriever([]), k=0)
