"""Two readings beside each other: what is asked about counts as there where it is likelier than usual."""

from __future__ import annotations

import pytest

from medrag.agent.compare import changes, verdict

USUAL = {"Effusion": 0.04, "Cardiomegaly": 0.13}


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [(0.01, 0.2, "new"), (0.2, 0.01, "resolved"), (0.2, 0.3, "unchanged"), (0.01, 0.02, "")],
)
def test_likelier_than_usual_is_there(before, after, word):
    assert verdict("Effusion", {"Effusion": before}, {"Effusion": after}, USUAL) == word
    assert verdict("Effusion", {"Effusion": before}, {"Effusion": after}, {}) == ""  # one half, where nothing is known


def test_what_is_asked_stands_first_and_others_are_judged_by_one_half():
    before, after = {"Effusion": 0.01, "Cardiomegaly": 0.3}, {"Effusion": 0.2, "Cardiomegaly": 0.7}
    text = changes(before, after, "Effusion", USUAL)
    assert text.startswith("Pleural effusion is new") and "Cardiomegaly is new" in text
    assert "In neither image: pleural effusion." in changes(before, after)
    assert "Cardiomegaly is unchanged" in changes(before, after, "Cardiomegaly", USUAL)


def test_the_shipped_reader_says_what_is_usual():
    from medrag.encoders.findings import FindingsReader

    usual = FindingsReader("medrag-small").usual
    assert 0.02 < usual["Effusion"] < 0.1 and all(0 < p < 0.5 for p in usual.values())
