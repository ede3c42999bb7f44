"""Entities with polarity and side, by the vocabulary and by a linker."""

from __future__ import annotations

import numpy as np
import pytest

from medrag.graph import Mention
from medrag.score import Measure
from medrag.score.entities import Entities, entities


def scores(answer: str, reference: str, measure: Entities | None = None) -> dict[str, float]:
    measure = measure or Entities()
    rows = measure.rows([answer], [reference])
    return {name: float(value[0]) for name, value in measure.totals(rows, np.ones((1, 1))).items()}


def test_a_side_and_a_denial_count() -> None:
    reference = "Left effusion. No pneumothorax."
    assert scores(reference, reference) == {"entity_precision": 1, "entity_recall": 1, "entity_f1": 1}
    assert scores("Right effusion. No pneumothorax.", reference)["entity_f1"] == 0.5
    assert scores("Left effusion. Pneumothorax.", reference)["entity_f1"] == 0.5
    assert scores("Left effusion.", reference)["entity_recall"] == 0.5


def test_nothing_said_and_nothing_asked() -> None:
    assert scores("", "Left effusion.")["entity_f1"] == 0
    assert np.isnan(scores("", "Left effusion.")["entity_precision"])
    assert np.isnan(scores("", "XXXX")["entity_f1"])


def link(text: str) -> list[Mention]:
    at = text.find("tumour")
    return [Mention(at, at + 6, "tumour", ("C1",), (), "absent" if "No " in text else "present")] if at >= 0 else []


def test_a_linker_gives_the_concepts_and_the_text_the_side() -> None:
    assert entities("Heart normal. No tumour on the left.", link) == {("C1", "absent", "left")}
    measure = Entities(link)
    assert scores("A tumour on the right.", "A tumour on the left.", measure)["entity_f1"] == 0
    assert scores("Left tumour.", "A tumour on the left.", measure)["entity_f1"] == 1


def test_it_is_a_measure_and_weights_scale() -> None:
    assert isinstance(Entities(), Measure)
    rows = Entities().rows(["Left effusion.", "Clear lungs."], ["Left effusion.", "Edema."])
    totals = Entities().totals(rows, np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    assert totals["entity_f1"][:3].tolist() == [1, 1, 0]
    assert np.isnan(totals["entity_f1"][3])
    assert totals["entity_recall"][0] == pytest.approx(1)


def test_the_concepts_of_a_mention_are_one_in_any_order_and_a_side_is_that_of_its_sentence() -> None:
    def both(text: str) -> list[Mention]:
        at = text.index("tumour")
        return [Mention(at, at + 6, "tumour", ("C2", "C1"), (), "present")]

    assert entities("Heart on the right.\nLeft tumour.", both) == {("C1|C2", "present", "left")}
    assert entities("Tumour of the left? A tumour.", both) == {("C1|C2", "present", "")}


def test_no_answer_may_be_missing() -> None:
    with pytest.raises(ValueError, match="zip"):
        Entities().rows(["Edema."], [])
    assert Entities().rows([], []).shape == (0, 3)
