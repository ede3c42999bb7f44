"""What an answer took: tokens of evidence that a model was shown, tokens of what it wrote, steps of the search loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag.score.overlap import means

if TYPE_CHECKING:
    from medrag.score import Rows, Weights


@dataclass(frozen=True, slots=True)
class Cost:
    """Means over the answers that tell (a row: tokens of evidence, tokens of the answer, steps; NaN where it does not tell).

    ``steps`` are of the search loop; an answer without it tells none.
    """

    name = "cost"
    NAMES = ("context_tokens", "answer_tokens", "steps")

    def rows(self, answers: Sequence[Mapping[str, float]], references: Sequence[Any] = ()) -> Rows:
        """(n, 3) of each answer's ``usage``, as `medrag.types.Answer` has it."""
        told = [[one.get(name, np.nan) for name in self.NAMES] for one in answers]
        return np.array(told, np.float64).reshape(-1, len(self.NAMES))

    def totals(self, rows: Rows, weights: Weights) -> dict[str, Any]:
        return means(self.NAMES, rows, weights)
