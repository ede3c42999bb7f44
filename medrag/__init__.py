"""medrag: a question about a medical image, answered from evidence that is cited and checked.

>>> from medrag import MedRAG, answer
>>> print(answer("chest.dcm", "Are there masses in the lungs?"))
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from medrag._version import __version__

__all__ = ["Answer", "MedRAG", "__version__", "answer"]

if os.environ.get("MEDRAG_OFFLINE"):  # whatever part of medrag is used: nothing of this process reaches another machine
    from medrag._util import offline

    offline.enforce_if_asked()

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG
    from medrag.types import Answer


def answer(image: Any, question: str, *, index: str = "sample", **options: Any) -> Answer:
    """Answers a question about an image from the named index; see `MedRAG.answer`.

    The opened index is kept for the next call, and opened anew where it was changed on disk.
    """
    from medrag.pipeline import open_cached

    rag = open_cached(index)
    if rag.outdated:
        open_cached.cache_clear()
        rag = open_cached(index)
    return rag.answer(image, question, **options)


def __getattr__(name: str) -> Any:
    if name == "MedRAG":
        from medrag.pipeline import MedRAG

        return MedRAG
    if name == "Answer":
        from medrag.types import Answer

        return Answer
    raise AttributeError(f"module 'medrag' has no attribute {name!r}")
