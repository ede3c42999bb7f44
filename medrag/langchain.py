"""medrag inside LangChain: a retriever, a tool for a model that calls tools, and a runnable that answers.

Retrieval hands text on; the images of a hit stay where its metadata says (``source``, ``page``, ``boxes``).

>>> from medrag import MedRAG
>>> retriever = as_retriever(MedRAG.open("sample"), k=4)
>>> documents = retriever.invoke("What does a pleural effusion look like?")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medrag import private
from medrag._util.render import item_facts
from medrag.errors import MedragError, SettingsError
from medrag.types import Box, Hit, Query

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from medrag.pipeline import MedRAG

Search = Callable[[str, int], list[Hit]]


def as_retriever(source: Any, *, k: int = 6) -> BaseRetriever:
    """A LangChain retriever over ``source``; each call gives at most ``k`` documents, best first (``invoke(question, k=…)``: of that call).

    ``source`` is told by its ``retrieve`` method: one whose first parameter is called ``question`` takes the words
    (`medrag.MedRAG`), any other takes a `medrag.types.Query` (`medrag.protocols.Retriever`). Raises SettingsError for an
    object without it and for k < 1. Of a `MedRAG` in privacy mode come statements and definitions alone.
    """
    from langchain_core.retrievers import BaseRetriever

    _at_least_one(k)
    search = _search(source)

    class MedragRetriever(BaseRetriever):
        """Documents from medrag."""

        limit: int = k

        def _get_relevant_documents(self, query: str, *, run_manager: Any, k: int | None = None) -> list[Document]:
            most = self.limit if k is None else _at_least_one(k)
            return [to_document(hit) for hit in search(query, most)[:most]]

    return MedragRetriever()


def as_tool(rag: MedRAG, *, name: str = "medrag_answer") -> BaseTool:
    """A tool that answers a question, about images named by their files or about none, with citations; its artifact is the `Answer`.

    What it returns is data for the model that calls it, not instruction; in privacy mode of the evidence no more than the generator was shown. Failures come back as words, so that the model can go on.
    """
    from langchain_core.tools import StructuredTool

    def work(question: str, images: list[str] | None = None) -> tuple[str, Any]:
        try:
            answer = rag.answer(images or None, question)
        except MedragError as error:
            return f"failed: {error}", None
        answer = private.readable(answer) if rag.settings.private else answer
        return str(answer), answer

    about = "Answer a question about medical images (file names), or about none, from cited evidence. For research and education."
    return StructuredTool.from_function(work, name=name, description=about, response_format="content_and_artifact")


def as_runnable(rag: MedRAG, *, agent: bool = False) -> Runnable[Any, Any]:
    """A runnable from a question, or {"question": …, "image": …, "exclude": …}, to an `Answer`; ``agent`` searches in several turns.

    >>> chain = as_runnable(MedRAG.open("sample")) | (lambda answer: answer.text)
    >>> chain.invoke({"image": "chest.dcm", "question": "Are there masses in the lungs?"})
    """
    from langchain_core.runnables import RunnableLambda

    def work(asked: Any) -> Any:
        given = {"question": asked} if isinstance(asked, str) else dict(asked)
        if strange := given.keys() - {"question", "image", "exclude"}:
            raise SettingsError(f"{sorted(strange)[0]!r} is nothing that is asked", "give question, image and exclude")
        return rag.answer(given.get("image"), given.get("question", ""), exclude=given.get("exclude", ()), agent=agent)

    return RunnableLambda(work, name="medrag")


def to_document(hit: Hit) -> Document:
    """A hit as a LangChain document; where it stands and, as far as they are known, section, domain, patient, date, license and labels are
    metadata, in plain JSON-able values."""
    from langchain_core.documents import Document

    item = hit.item
    box = getattr(item, "box", None)
    boxes: tuple[Box, ...] = getattr(item, "boxes", ()) or ((box,) if box else ())
    metadata = {
        "id": item.id,
        "doc": item.doc,
        "kind": item.kind,
        "score": hit.score,
        "rank": hit.rank,
        "page": getattr(item, "page", None) or getattr(item, "number", None),
        "boxes": [[one.x0, one.y0, one.x1, one.y1] for one in boxes],
        "source": getattr(item, "source", ""),
        "title": getattr(item, "title", ""),
        "retrievers": list(hit.sources),
        **({"section": section} if (section := getattr(item, "section", "")) else {}),
        **item_facts(item),
    }
    return Document(id=item.id, page_content=item.text, metadata=metadata)


def _at_least_one(k: int) -> int:
    if k < 1:
        raise SettingsError(f"k is {k}", "ask for at least one document")
    return k


def _search(source: Any) -> Search:
    retrieve = getattr(source, "retrieve", None)
    if not callable(retrieve):
        raise SettingsError(f"{type(source).__name__} has no method retrieve", "give a medrag retriever or a MedRAG")
    if next(iter(inspect.signature(retrieve).parameters), "") == "question":
        readable = getattr(source, "readable", retrieve)  # what the model that is handed the documents may read
        return lambda text, k: list(readable(text, k=k))
    return lambda text, k: list(retrieve(Query(text), k))
