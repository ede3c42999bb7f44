"""Each test reads its sentences anew: what an earlier one had read hides no change of a scorer from it."""

from __future__ import annotations

import pytest

from medrag.score import checked, factuality, grounding, labeler


@pytest.fixture(autouse=True)
def forget_sentences() -> None:
    for read in (checked._told, factuality._of_sentence, grounding.stances, labeler._of_sentence):
        read.cache_clear()
