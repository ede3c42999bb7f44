"""The contracts between medrag's parts. Nothing inherits from them: an object that has the methods fits.

Each contract shows the smallest thing that keeps it; `medrag.testing` ships ready-made fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from medrag.errors import BadRecord
    from medrag.types import Context, Hit, Item, Query, Route

    Vectors = NDArray[np.float32]  # (n, d), rows of unit length

Report = Callable[["BadRecord"], None]  # called once for each record that is skipped


@runtime_checkable
class Corpus(Protocol):
    """A source of items, read in a fixed order. A recipe's ``reader: module:Class`` is made as ``Class(name, path, **options)``.

    >>> class Notes:
    ...     def __init__(self, name, path):  # of the recipe's corpus; its options are further parameters
    ...         self.name, self.path = name, path
    ...     def signature(self): return hashlib.sha256(self.path.read_bytes()).hexdigest()
    ...     def read(self, report):
    ...         for n, line in enumerate(self.path.read_text().splitlines(), start=1):
    ...             yield Document(f"{self.name}:{n}", f"Note {n}", (Block(line),))

    (``import hashlib`` and ``from medrag.types import Block, Document``)
    """

    name: str
    # parts() -> [(key, signature)] and read_part(key, report) may stand beside read: what has not changed is then not read again

    def signature(self) -> str:
        """A string that changes when the content does (settings, file names, sizes and times)."""
        ...

    def read(self, report: Report) -> Iterator[Item]:
        """Yields every readable item; a record that cannot be read goes to ``report`` and is skipped.

        Raises CorpusError when the corpus as a whole cannot be read.
        """
        ...


@runtime_checkable
class Encoder(Protocol):
    """Turns queries and items into unit vectors of one space. A recipe's ``kind: module:Class`` is made as
    ``Class(model, *, batch, device, **options)``; what it takes of options are further parameters.

    >>> class Letters:
    ...     dim, modality, fingerprint = 26, "text", "letters/1"
    ...     def __init__(self, model, *, batch, device): self.name = model
    ...     def encode_queries(self, queries): return self._rows([query.text for query in queries])
    ...     def encode_items(self, items): return self._rows([item.text for item in items])
    ...     def _rows(self, texts):
    ...         rows = [[text.count(letter) for letter in string.ascii_lowercase] for text in texts]
    ...         rows = np.array(rows, dtype=np.float32).reshape(-1, 26) + 0.01  # a text without letters has a direction too
    ...         return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    (``import string`` and ``import numpy as np``)
    """

    name: str
    dim: int
    modality: str  # "text" or "image": what encode_items reads of an item
    fingerprint: str  # changes when the vectors would

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """(n, d) float32, rows of unit length."""
        ...

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length. Raises BadRecord for an item that cannot be encoded."""
        ...


@runtime_checkable
class Index(Protocol):
    """Nearest neighbours by inner product over ids.

    >>> index.add(["a", "b"], vectors); scores, ids = index.search(queries, k=1)
    """

    def add(self, ids: Sequence[str], vectors: Vectors) -> None: ...

    def search(self, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], list[list[str]]]:
        """Scores (n, k') best first and as many ids a row; k' may be smaller than k."""
        ...

    def delete(self, ids: Sequence[str]) -> int:
        """How many of the ids were there and are gone now."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class Retriever(Protocol):
    """Finds items for a query.

    >>> class Nothing:
    ...     name = "nothing"
    ...     def retrieve(self, query, k): return []
    """

    name: str

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most k hits, best first, ranks 1, 2, …; never an item that ``query.exclude`` names."""
        ...


@runtime_checkable
class Router(Protocol):
    """Decides where to look.

    >>> class Everywhere:
    ...     def route(self, query): return Route("other", 0.0, {"lexical": 1.0})
    """

    def route(self, query: Query) -> Route: ...


@runtime_checkable
class Selector(Protocol):
    """Keeps what helps, within a budget of tokens, and says why the rest was dropped."""

    def select(self, query: Query, hits: Sequence[Hit], budget: int) -> Context: ...


@runtime_checkable
class Generator(Protocol):
    """A language model, with or without eyes: an object, ``MedRAG.open(…, model=Parrot())``, or ``model="module:Class"``, which is made as
    ``Class(model, **options)`` with an empty model and the ``model_options``.

    >>> class Parrot:
    ...     name, sees_images = "parrot", False
    ...     def __init__(self, model=""): ...
    ...     def stream(self, prompt, images=()): yield f"You asked: {prompt.question}"
    """

    name: str
    sees_images: bool
    # many_images: bool may stand beside it: pages of the evidence are then shown after the question's images

    def stream(self, prompt: Any, images: Sequence[Image] = ()) -> Iterator[str]:
        """Pieces of the answer as they come. ``prompt`` is a `medrag.prompts.Prompt`. Raises GeneratorError."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A pure function from an answer and its reference to named numbers."""

    def score(self, answer: str, reference: str) -> Mapping[str, float]: ...
