"""How much a pair matters clinically, as a weight in a positive range (MMedPO, arXiv 2412.06141).

MMedPO lets several medical models score a pair and normalises the scores; taken as plain z-scores they would turn pairs with a
low score round, so here they are clipped between two positive bounds. The default score is the urgency of what is at stake. The three
degrees are medrag's own: what may need action within hours, within days, or not at all. No clinician has reviewed them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medrag.errors import SettingsError
from medrag.score.labeler import mentions

Relevance = Callable[[str, str, str], float]  # (question, chosen, rejected) → any number; more is more urgent
URGENT = frozenset(
    {"Pneumothorax", "Edema", "Pneumonia", "Consolidation", "Pleural Effusion", "Lung Lesion", "Fracture"}
)
NOTABLE = frozenset({"Cardiomegaly", "Atelectasis", "Lung Opacity", "Enlarged Cardiomediastinum", "Pleural Other"})


def urgency(question: str, chosen: str, rejected: str) -> float:
    """3, 2 or 1: the most urgent of the CheXpert observations that question or answers name; 1 where they name none.

    >>> urgency("Is there a pneumothorax?", "No.", "Yes."), urgency("What plane is this?", "Axial.", "Coronal.")
    (3.0, 1.0)
    """
    named = {mention.concept.observation for text in (question, chosen, rejected) for mention in mentions(text)}
    return 3.0 if named & URGENT else 2.0 if named & NOTABLE else 1.0


def weights(scores: Sequence[float], low: float = 0.5, high: float = 1.5) -> list[float]:
    """Scores as weights: 1 + z/2, clipped to [low, high]; all 1 where the scores are equal. Their order is kept.

    Raises SettingsError unless 0 < low ≤ 1 ≤ high.
    """
    if not 0 < low <= 1 <= high:
        raise SettingsError(
            f"weights between {low} and {high} are no positive range around 1", "for example 0.5 and 1.5"
        )
    values = np.asarray(scores, float)
    spread = values.std() if len(values) else 0.0
    if spread < 1e-12:
        return [1.0] * len(values)
    found: list[float] = np.round((1 + (values - values.mean()) / spread / 2).clip(low, high), 4).tolist()
    return found
