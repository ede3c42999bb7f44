"""Entity agreement: precision, recall and F1 over concepts with their polarity and side.

Concepts are those of `medrag.score.observations`, or what a linker finds: any callable that gives mentions with ``start``,
``end``, ``concepts`` and ``polarity``, such as ``medrag.graph.Linker(store).link``. An entity counts as right when concept,
polarity (present, absent, uncertain) and side are the same, in the manner of RadGraph's F1 (Jain 2021, arXiv 2106.14463) without
its relations. Nothing is loaded here and no synonyms beyond the vocabulary's are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from medrag.graph.context import sentence_spans
from medrag.score.attributes import side_of
from medrag.score.claims import claims

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

Entity = tuple[str, str, str]  # concept, polarity, side


class Linked(Protocol):
    """A mention as a linker gives it; the fields of `medrag.graph.Mention`."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def concepts(self) -> tuple[str, ...]: ...
    @property
    def polarity(self) -> str: ...


def entities(text: str, link: Callable[[str], Iterable[Linked]] | None = None) -> frozenset[Entity]:
    """The entities of a text.

    >>> sorted(entities("Small left effusion, no pneumothorax."))
    [('pleural effusion', 'positive', 'left'), ('pneumothorax', 'negative', '')]
    """
    if link is None:
        return frozenset((claim.concept, claim.polarity, claim.side) for claim in claims(text))
    spans = sentence_spans(text)
    return frozenset(
        ("|".join(sorted(mention.concepts)), mention.polarity, _side(text, spans, mention)) for mention in link(text)
    )


def _side(text: str, spans: Sequence[tuple[int, int]], mention: Linked) -> str:
    low, high = next(((a, b) for a, b in spans if a <= mention.start < b), (0, len(text)))
    return side_of(text[low:high], (mention.start - low, mention.end - low))


@dataclass(frozen=True, slots=True)
class Entities:
    """Rows: entities in both, in the answer, in the reference."""

    link: Callable[[str], Iterable[Linked]] | None = None
    name: str = "entities"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 3) counts."""
        found = ((entities(a, self.link), entities(r, self.link)) for a, r in zip(answers, references, strict=True))
        return np.array([(len(a & r), len(a), len(r)) for a, r in found], dtype=float).reshape(-1, 3)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        """Micro precision, recall and F1, (draws,) each; NaN where nothing is there to divide by."""
        both, said, asked = (weights @ rows).T
        return {
            "entity_precision": _share(both, said),
            "entity_recall": _share(both, asked),
            "entity_f1": _share(2 * both, said + asked),
        }


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
