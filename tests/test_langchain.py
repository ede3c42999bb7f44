"""medrag's retrieval as a LangChain retriever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from medrag._util.render import item_dict
from medrag.errors import SettingsError
from medrag.langchain import as_retriever, as_runnable, as_tool, to_document
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


def test_what_a_document_is_filtered_by_and_credited_with_is_in_its_metadata() -> None:
    study = Study(
        "s:1",
        {"findings": "Clear."},
        labels=("normal",),
        patient="P1",
        date="2021-01-01",
        domain="chest-xray",
        meta={"license": "CC0"},
    )
    told = {"domain": "chest-xray", "patient": "P1", "date": "2021-01-01", "license": "CC0", "labels": ["normal"]}
    assert (
        to_document(Hit(study, 1.0, 1, "x")).metadata.items() >= told.items()
        and item_dict(study).items() >= told.items()
    )
    passage = Passage(
        "b:1~0", "b:1", "Fluid.", section="Pleura", meta={"license": "CC BY 4.0", "domain": "ct", "label": "x"}
    )
    told = {"section": "Pleura", "domain": "ct", "license": "CC BY 4.0", "labels": ["x"]}
    assert (
        to_document(Hit(passage, 1.0, 1, "x")).metadata.items() >= told.items()
        and item_dict(passage).items() >= told.items()
    )


def test_a_whole_pipeline_is_asked_with_words_and_k() -> None:
    whole = Whole()
    assert len(as_retriever(whole, k=2).invoke("effusion?")) == 2
    assert whole.asked == [("effusion?", None, 2)]


def test_one_call_may_ask_for_another_number_of_documents() -> None:
    whole = Whole()
    retriever = as_retriever(whole, k=2)
    assert len(retriever.invoke("effusion?", k=1)) == 1 and len(retriever.invoke("effusion?")) == 2
    assert [k for _, _, k in whole.asked] == [1, 2]
    with pytest.raises(SettingsError, match="k is 0"):
        retriever.invoke("effusion?", k=0)


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


def whole(reply="A mass is larger than 3 cm [E1]."):
    """A pipeline over one passage."""
    from medrag.pipeline import MedRAG
    from medrag.route import DomainRouter
    from medrag.select import AdaptiveSelector
    from medrag.testing import FakeGenerator

    book = Passage("book:lung~0", "book:lung", "A pulmonary mass is an opacity larger than 3 cm.", title="Lung")
    router = DomainRouter(["lexical"])
    return MedRAG({"lexical": ListRetriever([book], "lexical")}, router, AdaptiveSelector(), FakeGenerator([reply]))


def test_a_tool_answers_with_its_references_and_tells_failures_in_words():
    tool = as_tool(whole())
    request = {"type": "tool_call", "id": "1", "name": tool.name, "args": {"question": "What is a pulmonary mass?"}}
    message = tool.invoke(request)
    assert "[E1]" in message.content and message.artifact.status == "answered"
    assert set(tool.args) == {"question", "images"}
    lost = tool.invoke({**request, "args": {"question": "What is seen?", "images": ["not/there.dcm"]}})
    assert lost.content.startswith("failed: ") and lost.artifact is None


def test_a_runnable_is_a_link_of_a_chain():
    chain = as_runnable(whole()) | (lambda answer: answer.text)
    assert chain.invoke("What is a pulmonary mass?") == "A mass is larger than 3 cm [E1]."
    assert chain.batch([{"question": "What is a pulmonary mass?"}] * 2) == ["A mass is larger than 3 cm [E1]."] * 2
    excluded = as_runnable(whole()).invoke({"question": "What is a pulmonary mass?", "exclude": ["book:lung"]})
    assert excluded.status == "abstained"
    assert as_runnable(whole(), agent=True).invoke("What is a pulmonary mass?").trace
    with pytest.raises(SettingsError, match="colour"):
        as_runnable(whole()).invoke({"question": "x", "colour": "red"})
