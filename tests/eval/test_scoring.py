"""Measures applied to lines of a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from medrag.eval import scoring
from medrag.eval.statistics import interval
from medrag.eval.tasks import Task

TASK = Task(
    name="t",
    about="t",
    kind="closed",
    source="iu_closed",
    split="val",
    licence="t",
    measures=("grounding",),
    headline="claim_support",
)


def line(text: str, *told: tuple[str, tuple[str, ...], str], report: str = "Small left effusion.") -> dict[str, Any]:
    claims = [{"text": one, "keys": list(keys), "verdict": verdict} for one, keys, verdict in told]
    evidence = [{"key": "E1", "id": "c:1", "retriever": "similar", "score": 1.0, "text": report}]
    details = {"keyed": text, "claims": claims}
    return {"value": text, "reference": "yes", "status": "answered", "evidence": evidence, "details": details}


def scores(*lines: dict[str, Any]) -> dict[str, float]:
    ((measure, rows),) = scoring.rows_of(TASK, lines)
    return {name: found[0] for name, found in interval(measure, rows, [str(n) for n in range(len(lines))]).items()}


def test_a_bare_yes_or_no_is_a_claim_about_what_was_asked() -> None:
    found = scores(
        line("Yes [E1].", ("Yes.", ("E1",), "supported")),
        line("No [E1].", ("No.", ("E1",), "contradicted")),
        line("Yes.", ("Yes.", (), "supported")),  # by what it does not cite
    )
    assert found["claim_support"] == 1 / 3 and found["cited_claims"] == 2 / 3 and found["citation_precision"] == 1 / 2


def test_sentences_go_by_their_words_and_are_counted_once() -> None:
    found = scores(
        line("Yes, there is a left effusion [E1].", ("Yes, there is a left effusion.", ("E1",), "supported")),
        line("No, there is no effusion [E1].", ("No, there is no effusion.", ("E1",), "contradicted")),
    )
    assert found["claim_support"] == 1 / 2 and found["cited_claims"] == 1


def test_what_an_answer_says_of_itself_is_no_claim() -> None:
    text = "Yes. Reports of look-alike studies [E1] say otherwise."
    assert scores(line(text, ("Yes.", (), "contradicted")))["cited_claims"] == 0


def test_an_answer_of_another_system_has_no_checked_claims() -> None:
    bare = {**line("There is a left effusion [E1]."), "details": {}} | {"value": "There is a left effusion [E1]."}
    assert scores(bare)["claim_support"] == 1


def test_of_one_group_there_is_a_score_and_no_interval() -> None:
    lines = [line("Yes [E1].", ("Yes.", ("E1",), "supported"))] * 12
    scored = scoring.rows_of(TASK, lines)
    assert scoring.scores(scored, ["g"] * 12, 50, 0)["claim_support"] == (1.0, None, None)
    other = [(measure, np.tile([1.0, 0, 0, 0, 0], (len(rows), 1))) for measure, rows in scored]
    gained = scoring.differences(scored, other, ["g"] * 12, 50, 0)["claim_support"]
    assert gained["difference"] == 1 and gained["interval"] == [None, None]
    tagged = scoring.parts(scored, [("t",)] * 12, ["g"] * 12, 50, 0, "claim_support")
    assert tagged["t"]["interval"] == [None, None]


def test_an_interval_is_written_as_people_read_it() -> None:
    assert scoring.spread([0.25, 0.5]) == "0.250 – 0.500"
    assert scoring.spread([-0.25, 0.5], "+.1f") == "-0.2 – +0.5"
    assert scoring.spread([None, None]) == "–"
