"""medrag's retrieval inside LangChain: any retriever, or a whole MedRAG, as a ``BaseRetriever``.

It hands text on; the images of a hit stay where its metadata says (``source``, ``page``, ``boxes``).

>>> from medrag import MedRAG
>>> retriever = as_retriever(MedRAG.open("sample"), k=4)
>>> documents = retriever.invoke("What does a pleural effusion look like?")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medrag.errors import SettingsError
from medrag.types import Box, Hit, Query

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

Search = Callable[[str, int], list[Hit]]


def as_retriever(source: Any, *, k: int = 6) -> BaseRetriever:
    """A LangChain retriever over ``source``; each call gives at most ``k`` documents, best first.

    ``source`` is told by its ``retrieve`` method: one whose first parameter is called ``question`` takes the words
    (`medrag.MedRAG`), any other takes a `medrag.types.Query` (`medrag.protocols.Retriever`). Raises SettingsError for an
    object without it and for k < 1.
    """
    from langchain_core.retrievers import BaseRetriever

    if k < 1:
        raise SettingsError(f"k is {k}", "ask for at least one document")
    search = _search(source)

    class MedragRetriever(BaseRetriever):
        """Documents from medrag."""

        limit: int = k

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [to_document(hit) for hit in search(query, self.limit)[: self.limit]]

    return MedragRetriever()


def to_document(hit: Hit) -> Document:
    """A hit as a LangChain document; everything but the text is metadata, in plain JSON-able values."""
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
    }
    return Document(id=item.id, page_content=item.text, metadata=metadata)


def _search(source: Any) -> Search:
    retrieve = getattr(source, "retrieve", None)
    if not callable(retrieve):
        raise SettingsError(f"{type(source).__name__} has no method retrieve", "give a medrag retriever or a MedRAG")
    if next(iter(inspect.signature(retrieve).parameters), "") == "question":
        return lambda text, k: list(retrieve(text, k=k))
    return lambda text, k: list(retrieve(Query(text), k))
