"""What reports say against each other, and what is no such thing."""

from __future__ import annotations

import pytest

from medrag.disagree import disagreement
from medrag.types import Context, Hit, Passage, Query, Study


@pytest.mark.parametrize(
    ("retriever", "told"),
    [("similar", "the evidence disagrees: E1 for it, E2 against it"), ("history", "")],
)
def test_reports_disagree_but_not_one_patients_of_several_days(retriever: str, told: str) -> None:
    said = ("A small pleural effusion.", "No pleural effusion.")
    hits = [
        Hit(Study(f"s:{n}", {"findings": text}), 1.0, n, retriever, (Hit(Study(f"s:{n}", {}), 1.0, n, retriever),))
        for n, text in enumerate(said, 1)
    ]
    assert disagreement(Context(Query("Is there a pleural effusion?"), tuple(hits))) == told


def test_a_book_takes_no_side() -> None:
    said = ("A pleural effusion is there in heart failure.", "There is no pleural effusion in health.")
    hits = [Hit(Passage(f"b:{n}~0", f"b:{n}", text), 1.0, n, "dense") for n, text in enumerate(said, 1)]
    assert not disagreement(Context(Query("Is there a pleural effusion?"), tuple(hits)))
