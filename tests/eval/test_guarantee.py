"""What a calibration is made for, what it promises, and files of observations that something else wrote."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medrag import MedRAG
from medrag._util import usual
from medrag.calibration import Calibration, open_calibration, read_calibration
from medrag.cli.calibrate import _lines
from medrag.errors import IndexMismatch, SettingsError
from medrag.eval.calibrate import calibrated
from medrag.eval.observed import Observed, observe
from medrag.eval.tasks import Example
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Passage


def opened(graph: str = "", **settings: Any) -> MedRAG:
    store: Any = SimpleNamespace(
        manifest=SimpleNamespace(content_hash="c", content={"items": "i" * 64, **({"graph": graph} if graph else {})})
    )
    words = ListRetriever([Passage("b:1#0", "b:1", "Gout hurts.")], "lexical")
    return MedRAG(
        {"lexical": words}, DomainRouter(["lexical"]), AdaptiveSelector(), FakeGenerator(["Gout hurts [E1]."]),
        PipelineSettings(**{"calibration": "off", **settings}), store,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"unsupported": "remove"}, {"unsupported": "abstain"}, {"select": {"mmr": 0.5}}, {"link_near": "x"}],
)
def test_a_setting_that_changes_what_is_judged_is_another_calibration(changes: Any) -> None:
    assert opened(**changes).calibrated_for != opened().calibrated_for
    assert opened(unsupported="mark", select={"mmr": None}).calibrated_for == opened().calibrated_for


def test_another_graph_is_another_index_but_to_what_was_made_before_graphs_were_named(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    Calibration(opened("a" * 64).calibrated_for, 0.1, {}).write(path)
    assert open_calibration(str(path), None, opened("a" * 64).calibrated_for)
    for other in ("b" * 64, ""):
        with pytest.raises(IndexMismatch, match="made for another graph"):
            open_calibration(str(path), None, opened(other).calibrated_for)
    Calibration(opened().calibrated_for, 0.1, {}).write(path)
    with pytest.raises(IndexMismatch, match="made for another graph"):
        open_calibration(str(path), None, opened("a" * 64).calibrated_for)
    early = {name: value for name, value in opened().calibrated_for.items() if name != "graph"}
    Calibration(early, 0.1, {}).write(path)
    assert open_calibration(str(path), None, opened("a" * 64).calibrated_for)
    with pytest.raises(IndexMismatch, match="made for another settings"):
        open_calibration(str(path), None, opened("a" * 64, k=3).calibrated_for)


def observed(n: int = 200) -> list[Observed]:
    """Sure answers are right nine times in ten, others half the time."""
    draw = np.random.default_rng(0)
    found = []
    for k in range(n):
        given = 2.0 if k % 2 else 0.1
        good = bool(draw.random() < (0.9 if k % 2 else 0.5))
        found.append(Observed(f"q{k}", f"g{k}", "closed", (good,), (10,), (0.8,), ({"given": given},)))
    return found


def test_a_risk_may_promise_the_mean_over_all_questions() -> None:
    certain, on_average = (
        calibrated(observed(), {}, (1,), (0.2, 0.35), alpha=0.5, guarantee=name).sorts["closed"]
        for name in ("certified", "conformal")
    )
    assert certain.thresholds == certain.report["certified"] == on_average.report["certified"]
    assert on_average.thresholds == certain.report["conformal"] == on_average.report["conformal"]
    assert certain.thresholds != on_average.thresholds and certain.depth == on_average.depth
    told = [line for line, _ in _lines(certain.report)]
    assert "at most 0.2 wrong" in told and "conformal: at most 0.2 of all wrong, on average" in told


def test_another_guarantee_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'conformal'"):
        calibrated(observed(), {}, (1,), (0.2,), guarantee="conforml")


def test_deeply_nested_calibrations_are_no_calibrations(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("[" * 200_000)
    with pytest.raises(IndexMismatch, match="is no calibration"):
        read_calibration(path)


def test_lines_of_a_work_file_that_hold_something_else_are_asked_again(tmp_path: Path) -> None:
    path, examples = tmp_path / "work.jsonl", [Example("q", "g", "Does gout hurt?", "yes")]
    first = observe(opened(), examples, path, (1,))
    raw = json.loads(path.read_text())
    lines = [{name: value for name, value in raw.items() if name != gone} for gone in ("signals", "sort", "right")]
    lines += [
        {**raw, **bad} for bad in ({"right": 5}, {"right": []}, {"tokens": None}, {"id": ["q"]}, {"domain": None})
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert observe(opened(), examples, path, (1,)) == first


def test_another_table_of_usual_answers_is_another_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, table = tmp_path / "calibration.json", tmp_path / "usual.json"
    Calibration(opened().calibrated_for, 0.1, {}).write(path)
    table.write_text('{"bias": 0, "words": {}}')
    monkeypatch.setattr(usual, "PATH", table)
    with pytest.raises(IndexMismatch, match="made for another usual"):
        open_calibration(str(path), None, opened().calibrated_for)
