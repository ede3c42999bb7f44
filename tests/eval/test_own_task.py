"""A user's own file as a task: measured without the data pack, beside baselines made of the file itself."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from medrag import MedRAG
from medrag.cli.app import app
from medrag.cli.calibrate import _told_apart
from medrag.cli.evaluate import _show
from medrag.corpora.twins import apart_from_kin
from medrag.errors import CorpusError, SettingsError
from medrag.eval import own
from medrag.eval.baselines import BASELINES
from medrag.eval.compare import load
from medrag.eval.rankers import make_finder
from medrag.eval.report import section
from medrag.eval.runner import fits, plan, plans, run, tasks_named
from medrag.eval.tasks import Example
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import ImageRecord, Passage, Study

HEAD = ("patient", "image", "question", "answer", "split")


@pytest.fixture(autouse=True)
def no_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)


def table(folder: Path, rows: list[tuple[str, ...]], head: tuple[str, ...] = HEAD) -> Path:
    path = folder / "mine.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([head, *rows])
    return path


def questions(folder: Path, more: list[tuple[str, ...]] | None = None) -> Path:
    Image.effect_noise((64, 64), 60).save(folder / "a.png")
    rows = [
        (f"p{n % 6}", "a.png", "Is there a mass?", "yes" if n % 3 else "no", "val" if n < 6 else "test")
        for n in range(12)
    ]
    return table(folder, [*rows, *(more or [])])


def pipeline() -> MedRAG:
    retrievers = {"reports": ListRetriever([Study("films:1", {"findings": "There is a mass."})], "reports")}
    return MedRAG(retrievers, DomainRouter(list(retrievers)), AdaptiveSelector(), FakeGenerator(("Yes.",)))


def test_a_file_is_measured_without_the_pack(tmp_path: Path) -> None:
    planned = plan(questions(tmp_path), recipe="mine")
    planned = dataclasses.replace(planned, rag=pipeline)
    result = run(planned, "none", tmp_path / "out.json", draws=100)
    assert result["n"] == 12 and result["groups"] == 6
    assert result["scores"]["accuracy"] == pytest.approx(8 / 12, abs=1e-4)
    assert result["baselines"]["majority"]["accuracy"][0] == pytest.approx(8 / 12, abs=1e-4)
    assert set(result["baselines"]) == {"majority", "question-only"}


def test_questions_of_two_kinds_are_two_tasks(tmp_path: Path) -> None:
    path = questions(tmp_path, [("p9", "a.png", "Where is it?", "left lung", "val")])
    closed, open_ = tasks_named(path)
    assert (closed.name, open_.name) == ("mine-closed", "mine-open")
    assert len(plan(open_, recipe="mine").examples) == 1
    with pytest.raises(SettingsError, match="several kinds: closed, open"):
        plan(path, recipe="mine")


def test_splits_are_those_of_the_column(tmp_path: Path) -> None:
    path = questions(tmp_path)
    assert len(plan(path, recipe="mine", split="val").examples) == 6
    with pytest.raises(CorpusError, match=r"no split 'train' → known: all, test, val"):
        plan(path, recipe="mine", split="train")
    with pytest.raises(SettingsError, match=r"no index.*--recipe"):
        plan(path)


def test_a_task_file_maps_columns_and_names_the_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "films/a.png")
    (tmp_path / "q.tsv").write_text("pic\task\tdx\na\tq?\tyes\n".replace("\na\t", "\na.png\t"), encoding="utf-8")
    text = """
name: ours
kind: closed
about: our questions
source: own
split: all
recipe: mine
options: {file: q.tsv, images: films, columns: {image: pic, question: ask, answer: dx}}
measures: [closed]
headline: accuracy
licence: ours
"""
    (tmp_path / "ours.yaml").write_text(text, encoding="utf-8")
    (example,) = plan(tmp_path / "ours.yaml").examples
    assert example.images == (tmp_path / "films/a.png",) and example.reference == "yes"
    (tmp_path / "ours.yaml").write_text(text.replace("images: films", "imges: films"), encoding="utf-8")
    with pytest.raises(SettingsError, match="no option 'imges'"):
        plan(tmp_path / "ours.yaml")


def test_reports_are_measured_against_reports(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 60).save(tmp_path / "a.png")
    rows = [(f"s{n}", "a.png", "A mass in the left lung." if n % 2 else "The lungs are clear.", "") for n in range(10)]
    (task,) = tasks_named(table(tmp_path, rows, ("study", "image", "findings", "impression")))
    assert (task.kind, task.headline) == ("report", "factuality")
    planned = plan(task, recipe="mine")
    assert planned.examples[0].truth == planned.examples[0].reference == "The lungs are clear."
    said = BASELINES["constant-report"](task, planned.examples, pipeline)
    assert {one.value for one in said} <= {one.reference for one in planned.examples} and len(said) == 10


def some(n: int, **changes: Any) -> Example:
    return dataclasses.replace(Example(str(n), f"g{n}", f"question {n}", "yes" if n % 2 else "no"), **changes)


@pytest.mark.parametrize("groups", [2, 7, 23])
def test_no_group_is_answered_from_itself(groups: int) -> None:
    examples = [some(n, group=f"g{n % groups}") for n in range(40)]

    def answer(others: Any, these: Any) -> list[str]:
        assert others and not {one.group for one in others} & {one.group for one in these}
        return [one.id for one in these]

    assert own.out_of_fold(examples, answer) == [one.id for one in examples]


def test_the_question_only_baseline_sees_other_groups_alone() -> None:
    task = own.Task(name="t", kind="closed", about="", source=own.SOURCE, split="all", measures=("closed",), headline="accuracy", licence="")  # fmt: skip
    unlike = [some(n, question=f"word{n}") for n in range(10)]
    assert len({one.probability for one in BASELINES["question-only"](task, unlike, pipeline)}) <= own.FOLDS
    alone = [some(n, reference="yes") for n in range(10)]
    assert {one.value for one in BASELINES["question-only"](task, alone, pipeline)} == {"yes"}
    few = own.Task.model_validate(task.model_dump() | {"kind": "open"})
    said = BASELINES["question-only"](few, [some(1, reference="left"), some(2, reference="right")], pipeline)
    assert [one.value for one in said] == ["right", "left"]


def test_studies_of_the_same_patient_and_the_study_itself_are_no_evidence() -> None:
    items = [
        Study("films:1", {"findings": "x"}, patient="p1"),
        Study("films:2", {"findings": "x"}, patient="p1"),
        Study("films:3", {"findings": "x"}, patient="p2", meta={"uid": "CXR3"}),
        ImageRecord("shots:a", "shots:a", "", "a.png", meta={"patient": "p2"}),
        Study("films:4", {"findings": "x"}),
    ]
    asked = [
        some(1, patient="p1"),
        some(2, study="3"),
        some(3, study="CXR3", patient="p2"),
        some(4),
        some(5, patient="p9"),
    ]
    found = [one.exclude for one in apart_from_kin(asked, items)]
    assert found == [("films:1", "films:2"), ("films:3",), ("films:3", "shots:a"), (), ()]
    assert apart_from_kin([some(1, patient="p1", exclude=("films:1",))], items)[0].exclude == ("films:1", "films:2")


def test_judged_queries_measure_the_retrievers_of_an_index(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        [("effusion?", "a#p2", ""), ("nodule?", "book:a#p3;films:1", ""), ("Is there a mass?", "2", "yes")],
        ("question", "relevant", "answer"),
    )
    closed, ranking = tasks_named(path)
    assert (closed.kind, ranking.kind, ranking.baselines) == ("closed", "ranking", ("random",))
    items = [Passage(f"book:a#p{n}~0", "book:a", f"page {n}", page=n) for n in range(1, 5)]
    items += [Study(f"films:{n}", {"findings": "x"}) for n in (1, 2)]
    planned = plan(ranking, recipe="mine")
    assert len(planned.examples) == 3
    rag = pipeline()
    held = SimpleNamespace(iterate=lambda kinds=(): [one for one in items if not kinds or one.kind in kinds])
    rag.store = SimpleNamespace(items=held, manifest=SimpleNamespace(content_hash="x", content={}))  # type: ignore[assignment]
    rag.retrievers = {"dense": ListRetriever(items, "dense")}
    rag.router = DomainRouter(["dense"])
    result = run(dataclasses.replace(planned, rag=lambda: rag), "dense", tmp_path / "out.json", draws=100)
    assert result["scores"]["recall@10"] == 1.0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["reference"] for line in lines] == [{"book:a#p2": 1}, {"book:a#p3": 1, "films:1": 1}, {"films:2": 1}]
    assert set(lines[0]["value"]) == {"book:a#p1", "book:a#p2", "book:a#p3", "book:a#p4", "films:1", "films:2"}
    assert (
        fits(ranking, "dense")
        and not fits(ranking, "adaptive")
        and fits(closed, "majority")
        and not fits(closed, "fused")
    )


def test_a_judged_document_that_the_index_lacks_or_holds_twice_is_told() -> None:
    items = [Study("a:1", {"findings": "x"}), Study("b:1", {"findings": "x"})]
    with pytest.raises(CorpusError, match="does not hold '7'"):
        own.in_index([some(1, reference={"7": 1})], items)
    with pytest.raises(CorpusError, match="the very study"):
        own.in_index([some(1, reference={"a:1": 1}, exclude=("a:1",))], items)
    with pytest.raises(CorpusError, match="in several corpora"):
        own.in_index([some(1, reference={"1": 1})], items)
    assert own.in_index([some(1, reference={"a:1": 2, "b:1": 1}, exclude=("b:1",))], items)[0].reference == {"a:1": 2}


def test_a_query_about_a_document_is_not_lost_beside_one_about_a_page(tmp_path: Path) -> None:
    items = [Passage(f"book:a#p{n}~0", "book:a", f"page {n}", page=n) for n in (1, 2)]
    rag = pipeline()
    rag.retrievers, rag.router = {"dense": ListRetriever(items, "dense")}, DomainRouter(["dense"])
    arm = make_finder("dense", rag, 0, ["book:a", "book:a#p2"])
    assert set(arm(some(1, question="effusion?", reference={"book:a": 1})).value) == {"book:a"}
    assert set(arm(some(2, question="effusion?", reference={"book:a#p2": 1})).value) == {"book:a#p1", "book:a#p2"}


def test_a_split_that_holds_one_kind_alone_is_one_task(tmp_path: Path) -> None:
    path = questions(tmp_path, [("p9", "a.png", "Where is it?", "left lung", "train")])
    assert [one.task.kind for one in plans(path, recipe="mine", split="val")] == ["closed"]
    assert [one.task.kind for one in plans(path, recipe="mine")] == ["closed", "open"]


def test_answers_are_kept_and_their_groups_are_those_of_now(tmp_path: Path) -> None:
    path = table(tmp_path, [("Is it there?", "yes")] * 4, ("question", "answer"))
    run(dataclasses.replace(plan(path, recipe="mine"), rag=pipeline), "none", tmp_path / "out.json", draws=100)
    rows = [("Is it there?", "yes", patient, "x") for patient in ("p1", "p1", "p1", "p2")]
    path = table(tmp_path, rows, ("question", "answer", "patient", "tags"))
    before = (tmp_path / "out.jsonl").read_text()
    result = run(dataclasses.replace(plan(path, recipe="mine"), rag=pipeline), "none", tmp_path / "out.json", draws=100)
    assert result["groups"] == 2 and (tmp_path / "out.jsonl").read_text().startswith(before)
    assert [one["group"] for one in load(tmp_path / "out.json")[1]] == ["p1", "p1", "p1", "p2"]


def test_reports_over_an_index_without_pictures_have_no_nearest_one(tmp_path: Path) -> None:
    path = table(tmp_path, [(f"s{n}", "Clear lungs." if n else "A mass.") for n in range(4)], ("study", "report"))
    planned = dataclasses.replace(plan(path, recipe="mine"), rag=lambda: stored())
    result = run(planned, "none", tmp_path / "out.json", draws=100)
    assert set(result["baselines"]) == {"constant-report"}


def stored() -> MedRAG:
    rag = pipeline()
    held = SimpleNamespace(iterate=lambda kinds=(): [])
    rag.store = SimpleNamespace(items=held, manifest=SimpleNamespace(content_hash="x", content={}))  # type: ignore[assignment]
    return rag


def test_files_of_one_name_are_told_apart_when_they_calibrate(tmp_path: Path) -> None:
    tasks = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tasks += tasks_named(table(tmp_path / name, [("Is it there?", "yes")], ("question", "answer")))
    files: dict[str, list[dict[str, Any]]] = {}
    assert [_told_apart(one, files) for one in (*tasks, tasks[0], tasks[1])] == ["mine", "mine@1", "mine", "mine@1"]


def test_the_command_takes_a_file(tmp_path: Path) -> None:
    path = questions(tmp_path, [("p9", "a.png", "Where is it?", "left lung", "val")])
    said = CliRunner().invoke(app, ["eval", "run", str(path), "--recipe", "sample", "--arm", "majority", "--out", str(tmp_path / "r"), "--json"])  # fmt: skip
    assert said.exit_code == 0, said.output
    assert set(json.loads(said.stdout)) == {"closed majority", "open majority"}
    assert {one.name for one in (tmp_path / "r").glob("*.json")} == {
        "mine-closed-all-majority.json",
        "mine-open-all-majority.json",
    }


def test_the_name_of_an_arm_is_checked_before_the_first_question(tmp_path: Path) -> None:
    for wrong in ("adaptve", "nowhere_at_all:answer"):
        words = ["--recipe", "sample", "--arm", "majority", "--arm", wrong, "--out", str(tmp_path / "r")]
        said = CliRunner().invoke(app, ["eval", "run", str(questions(tmp_path)), *words])
        assert said.exit_code == 1 and wrong in str(said.stderr) and not (tmp_path / "r").exists()


def test_an_arm_that_a_task_has_no_use_for_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = dataclasses.replace(plan(questions(tmp_path), recipe="mine"), rag=pipeline)
    monkeypatch.setattr("medrag.eval.runner.plans", lambda *args, **options: [planned])
    words = ["--arm", "none", "--arm", "oracle-context", "--arm", "adaptive", "--out", str(tmp_path / "r"), "--json"]
    said = CliRunner().invoke(app, ["eval", "run", "mine.csv", *words])
    assert said.exit_code == 1 and "left out: mine · oracle-context" in said.stderr, said.output
    assert set(json.loads(said.stdout)) == {"none", "adaptive"}


def test_one_patient_alone_teaches_no_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would be answered from its own right answers, and score perfectly."""
    Image.effect_noise((64, 64), 60).save(tmp_path / "a.png")
    rows = [("p1", "a.png", f"Is there a mass{n}?", "yes" if n % 3 else "no", "") for n in range(12)]
    planned = dataclasses.replace(plan(table(tmp_path, rows), recipe="mine"), rag=pipeline)
    result = run(planned, "none", tmp_path / "out.json", draws=100)
    assert result["baselines"]["question-only"]["accuracy"][0] == 0.0 and own.untaught(result) == ["question-only"]
    _show(result)
    told = capsys.readouterr()
    assert "without question-only" in told.err and "majority" in told.out and "question-only" not in told.out
    shown = section("mine", [load(tmp_path / "out.json")])
    assert shown["untaught"] == "question-only" and shown["table"]["columns"] == ["none", "majority (baseline)"]
    several = dataclasses.replace(plan(questions(tmp_path), recipe="mine"), rag=pipeline)
    assert own.untaught(run(several, "none", tmp_path / "more.json", draws=100)) == []
