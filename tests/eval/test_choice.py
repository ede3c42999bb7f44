"""Judged queries to one's own index choose how its evidence is fused and kept, and answers are made of what was chosen."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medrag import MedRAG
from medrag.calibration import Calibration, Choice, Logistic, Sort, read_calibration
from medrag.cli.app import app
from medrag.confidence import sort_of
from medrag.errors import CorpusError, SettingsError
from medrag.eval import tune_selection
from medrag.eval.tasks import Example
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Passage, Route

NAMES = [a + b for a in "bcdfghklmn" for b in ("aric", "eron", "ilax", "ovan")]


def run(*args: str) -> Any:
    return CliRunner().invoke(app, list(args))


def judged(folder: Path, n: int = 40) -> Path:
    path = folder / "judged.csv"
    with path.open("w", newline="") as stream:
        rows = [(f"What dose of {name} is given?", f"{name}.txt") for name in NAMES[:n]]
        csv.writer(stream).writerows([("question", "relevant"), *rows])
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One note for each drug, all in much the same words: of what BM25 finds the first alone is relevant."""
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    notes = tmp_path / "notes"
    notes.mkdir()
    for n, name in enumerate(NAMES):
        (notes / f"{name}.txt").write_text(f"The dose of {name} that is given each morning is {n + 10} mg with food.\n")
    recipe = tmp_path / "drugs.yaml"
    recipe.write_text(
        f"name: drugs\ncorpora:\n  - {{name: notes, reader: text, path: {notes}}}\nindexes:\n  lexical: {{kind: bm25}}\n"
        "pipeline: {select: {shares: {}, gaps: {}, quota: 10}}\n"
    )
    assert run("index", "build", str(recipe)).exit_code == 0
    return recipe


def test_answers_are_made_of_what_judged_queries_chose(index: Path, tmp_path: Path) -> None:
    before = MedRAG.open(index).answer(None, "What dose of baric is given?")
    assert len(before.context.kept) > 1
    made = run("calibrate", str(index), "--task", str(judged(tmp_path)), "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)["selection"][""]
    assert told["before"]["gained"][1] > 0 and told["chosen"]["tokens"][0] < told["before"]["tokens"][0]
    rag = MedRAG.open(index)
    after = rag.answer(None, "What dose of baric is given?")
    assert [hit.item.doc for hit in after.context.kept] == [
        "notes:baric.txt"
    ] and after.fingerprint != before.fingerprint
    assert after.confidence is None and rag.calibration and not rag.calibration.sorts
    assert len(MedRAG.open(index, calibration="off").answer(None, "What dose of baric is given?").context.kept) > 1
    searched = rag.answer(None, "What dose of baric is given?", agent=True)
    assert "10 mg" in searched.text


def test_a_risk_needs_confidences(index: Path, tmp_path: Path) -> None:
    assert run("calibrate", str(index), "--task", str(judged(tmp_path))).exit_code == 0
    with pytest.raises(SettingsError, match="risk needs a calibration"):
        MedRAG.open(index, risk=0.2).answer(None, "What dose of baric is given?")


def test_confidences_are_not_lost_to_a_choice(index: Path, tmp_path: Path) -> None:
    queries = judged(tmp_path)
    assert run("calibrate", str(index), "--task", str(queries)).exit_code == 0
    path = next((tmp_path / "home").rglob("*calibration.json"))
    known = read_calibration(path)
    sorts = {"text": Sort(Logistic({}, {}, 0.0), {}, None)}
    Calibration(known.made_for, 0.1, sorts).write(path)
    refused = run("calibrate", str(index), "--task", str(queries))
    assert refused.exit_code == 1 and "holds confidences" in refused.output
    assert read_calibration(path).sorts


@pytest.mark.parametrize("option", [["--depth", "2"], ["--risk", "0.1"], ["--work", "x.jsonl"]])
def test_what_is_of_answers_alone_is_refused(index: Path, tmp_path: Path, option: list[str]) -> None:
    refused = run("calibrate", str(index), "--task", str(judged(tmp_path)), *option)
    assert refused.exit_code == 1 and option[0] in refused.output


def test_few_queries_choose_nothing(index: Path, tmp_path: Path) -> None:
    refused = run("calibrate", str(index), "--task", str(judged(tmp_path, 12)))
    assert refused.exit_code == 1 and "12 judged queries are too few" in refused.output


def pipeline(**settings: Any) -> MedRAG:
    words = [Passage(f"a:{n}~0", f"a:{n}", f"{name} lung") for n, name in enumerate(NAMES)]
    others = [Passage(f"b:{n}~0", f"b:{n}", f"lung {'x' * n}") for n in range(len(NAMES))]
    found = {"lexical": ListRetriever(words, "lexical"), "notes": ListRetriever(others, "notes")}
    router = DomainRouter(list(found))
    return MedRAG(found, router, AdaptiveSelector(), FakeGenerator(("Yes.",)), PipelineSettings(**settings))


def test_every_retriever_that_is_asked_is_weighed() -> None:
    """The retriever whose hits are never relevant loses weight."""
    examples = [Example(f"q{n}", f"g{n}", f"{name} lung", {f"a:{n}": 1}) for n, name in enumerate(NAMES)]
    found = tune_selection.own(pipeline(), examples, draws=50)
    assert set(found) == {""}
    weights = found[""]["settings"]["weights"]
    assert weights.get("notes", 1.0) <= weights.get("lexical", 1.0)
    chosen = tune_selection.choices(found)
    assert set(chosen) == {""} and "settings" not in chosen[""].report
    with pytest.raises(CorpusError, match="at least 20"):
        tune_selection.own(pipeline(), examples[:5])


def test_a_choice_that_keeps_nothing_better_is_none() -> None:
    one = {"settings": {"weights": {}, "select": {}}, "before": {"gained": [0.0, -0.1, 0.1]}}
    assert tune_selection.choices({"": one, "ct": {**one, "before": {"gained": [0.1, 0.0, 0.2]}}}).keys() == {"ct"}


def test_a_domain_has_its_own_choice_and_what_is_not_asked_stays_unasked(tmp_path: Path) -> None:
    every, ct = Choice({"lexical": 2.0}, {"quota": 1}), Choice({"notes": 0.0}, {"quota": 5})
    known = Calibration({"generator": "x"}, 0.1, {}, {}, {"": every, "ct": ct})
    known.write(tmp_path / "c.json")
    read = read_calibration(tmp_path / "c.json")
    assert read.choice("ct") == ct and read.choice("mr") == read.choice("") == every
    assert every.over({"lexical": 1.0, "notes": 0.5}) == {"lexical": 2.0, "notes": 0.5}
    assert every.over({"lexical": 0.0}) == {"lexical": 0.0}
    rag = pipeline()
    rag.__dict__["calibration"] = read
    route = Route("ct", 1.0, {"lexical": 1.0, "notes": 1.0}, ())
    assert rag._weights(route) == {"lexical": 1.0, "notes": 0.0}
    kept = rag.answer(None, "lung").context
    assert sort_of(kept) == "text" and len(kept.kept) <= 2


def test_files_without_choices_are_read_and_written_as_before(tmp_path: Path) -> None:
    Calibration({"generator": "x"}, 0.1, {}).write(tmp_path / "c.json")
    assert "choices" not in json.loads((tmp_path / "c.json").read_text())
    assert read_calibration(tmp_path / "c.json").choice("ct") is None
