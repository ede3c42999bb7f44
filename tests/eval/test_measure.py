"""What is claimed can be measured again: every claim has its command and figure, the page says what the results say, what fails changes nothing."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MEASURES: dict[str, Any] = yaml.safe_load((ROOT / "eval/measures.yaml").read_text(encoding="utf-8"))
CLAIMS = [claim for claims in MEASURES["claims"].values() for claim in claims]


@pytest.fixture(scope="module")
def measure() -> Any:
    spec = importlib.util.spec_from_file_location("measure", ROOT / "eval/measure.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["measure"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["measure"]


@pytest.fixture(scope="module")
def newest(measure: Any) -> Any:
    days = sorted(path for path in measure.RESULTS.glob("*.json") if measure.TODAY.fullmatch(path.name))
    return json.loads(days[-1].read_text(encoding="utf-8"))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["what"][:60])
def test_a_claim_has_its_command_and_its_figure(measure: Any, claim: dict[str, Any]) -> None:
    assert claim["run"] in MEASURES["runs"]
    file = claim["figure"].partition(" ")[0]
    assert measure.figure_of(claim) or not (measure.RESULTS / file).exists()
    for where in claim.get("beside", {}).values():
        assert measure.read(where) or not (measure.RESULTS / where.partition(" ")[0]).exists(), where
    if measure.met(claim, measure.figure_of(claim)) is False:
        assert claim["why"]


def test_scripts_that_are_run_exist() -> None:
    words = [word for run in MEASURES["runs"].values() for word in run["command"].split() if word.endswith(".py")]
    assert words and all((ROOT / word).is_file() for word in words)


def test_medrag_commands_exist() -> None:
    from shown import check

    for run in MEASURES["runs"].values():
        for step in run["command"].split(" && "):
            if step.startswith("medrag "):
                check(step.partition(" > ")[0])


def test_the_page_says_what_the_results_say(measure: Any, newest: Any) -> None:
    kept = [(claim["what"], claim["figure"], claim["met"]) for claim in newest["claims"]]
    now = json.loads(json.dumps([(c["what"], c["figure"], c["met"]) for c in measure.judged(MEASURES, newest["runs"])]))
    assert kept == [tuple(one) for one in now], "python eval/measure.py --table"
    assert measure.PAGE.read_text(encoding="utf-8") == measure.page(MEASURES, newest["claims"])


@pytest.mark.parametrize(
    ("claim", "value", "low", "holds"),
    [
        ({"at_least": 0.5}, 0.5, None, True),
        ({"at_least": 0.5}, 0.49, None, False),
        ({"at_most": 10}, 11, None, False),
        ({"equals": 0}, 0, None, True),
        ({"low_above": 0}, 0.2, -0.1, False),
        ({"low_above": 0}, 0.2, 0.1, True),
        ({"low_above": 0}, 0.2, None, False),
        ({}, 0.2, None, None),
    ],
)
def test_what_is_asked_is_what_is_judged(
    measure: Any, claim: dict[str, float], value: float, low: float | None, holds: bool | None
) -> None:
    assert measure.met(claim, measure.Figure(value, low, 1.0)) is holds
    assert measure.met(claim, None) is None


def test_a_key_may_hold_slashes(measure: Any) -> None:
    found = {"a": {"b/c": [1, 2], "b": {"c": 0}}, "formula: 1 / (1 + E)": {"tau": 3}}
    assert measure.at(found, "a/b/c/1") == 2
    assert measure.at([{"a": [5, 6]}], "0/a/1") == 6
    assert measure.at(found, "formula: 1 / (1 + E)/tau") == 3
    with pytest.raises(KeyError):
        measure.at(found, "a/x")


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (100, "100"), (2000.0, "2,000"), (12.5, "12.5"), (0, "0"), (True, "yes"), (4e-6, "4.0e-06")]
)  # fmt: skip
def test_numbers_as_people_write_them(measure: Any, value: float, text: str) -> None:
    assert measure.plain(value) == text


def test_a_command_that_fails_leaves_its_earlier_result(
    measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    (tmp_path / "kept.json").write_text("{}")
    before = {"day": "2020-01-01", "commit": "abc", "minutes": 1}
    failed = measure.ran("x", {"command": "echo 1 > new.json && echo half; false > kept.json"}, before, False)
    assert failed["day"] == before["day"] and failed["failed"]
    assert (tmp_path / "kept.json").read_text() == "{}" and (tmp_path / "new.json").read_text() == "1\n"
    done = measure.ran("x", {"command": "echo 2 > kept.json"}, failed, False)
    assert (tmp_path / "kept.json").read_text() == "2\n" and "failed" not in done
    assert measure.ran("x", {"command": "echo 3 > kept.json"}, done, False) == done  # this day has run it
    assert (tmp_path / "kept.json").read_text() == "2\n"


def test_what_cannot_be_run_here_is_left_out(measure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    assert measure.ran("x", {"command": "false", "needs": "data"}, {}, False) == {}
