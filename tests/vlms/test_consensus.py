"""Drafts out of several reports: what they share is written, and cited for no more than each of them says."""

from __future__ import annotations

import pytest

from medrag.types import Hit, Study
from medrag.vlms._consensus import consensus


def draft(*findings: str) -> list[tuple[str, tuple[str, ...]]]:
    """The lines of the findings that reports share, of which the first is most alike, each with its keys."""
    reports = [Study(f"r:{n}", {"findings": text}) for n, text in enumerate(findings, 1)]
    alike = [(f"E{n}", Hit(one, 1 / n, n, "similar-reports")) for n, one in enumerate(reports, 1)]
    return consensus(alike, ["findings"])[1][0][1]


@pytest.mark.parametrize(
    ("line", "other", "keys"),
    [
        ("Granulomatous calcifications in the paratracheal region", "Calcified granulomas noted", ("E1",)),
        ("Left base atelectasis", "Atelectasis is seen", ("E1",)),
        ("Left base atelectasis", "Left lower atelectasis", ("E1", "E2")),
        ("Left base atelectasis", "Right base atelectasis", ("E1",)),
        ("Right atelectasis", "Bilateral atelectasis", ("E1", "E2")),
        ("No left effusion", "No effusion", ("E1", "E2")),  # it denies more, not less
        ("Atelectasis is seen", "Left base atelectasis", ("E1", "E2")),
    ],
)
def test_a_report_is_cited_for_a_place_that_it_names(line: str, other: str, keys: tuple[str, ...]) -> None:
    said = dict(draft(f"Heart size is normal. {line}.", f"{other}. Heart size is normal."))
    assert said == {"Heart size is normal": ("E1", "E2"), line: keys}


def test_of_two_alike_sentences_of_a_report_the_one_that_names_the_place_is_its_word() -> None:
    said = draft("Left base atelectasis.", "Atelectasis is seen. Left base atelectasis.")
    assert ("Left base atelectasis", ("E1", "E2")) in said
