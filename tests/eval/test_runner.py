"""The runner: it asks each example once, goes on where it was cut off, and never lets a failure become an answer."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medrag import MedRAG
from medrag.cli.app import app
from medrag.errors import CorpusError, GeneratorError, IndexMissing, MedragError, SettingsError
from medrag.eval import runner
from medrag.eval.arms import ARMS, Arm, make_arm, one_by_one
from medrag.eval.compare import compare, load
from medrag.eval.lines import whole_lines
from medrag.eval.report import cases, drawings, labels, section, write
from medrag.eval.runner import Run, answers, limited, plan, run
from medrag.eval.tasks import Example, Output, Task, known_tasks, load_task
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import ImageRecord, Study


def film(folder: Path, grey: int) -> Path:
    path = folder / f"{grey}.png"
    Image.new("L", (32, 32), grey).save(path)
    return path


def task(**changes: Any) -> Task:
    raw = {
        "name": "closed-test", "kind": "closed", "about": "a test", "source": "iu_balanced", "split": "val",
        "measures": ("closed",), "headline": "accuracy", "licence": "none",
    }  # fmt: skip
    return Task.model_validate(raw | changes)


def pipeline(replies: tuple[str, ...] = ("Yes, there is an effusion.", "No.")) -> MedRAG:
    reports = [Study(f"iu:{n}", {"findings": f"There is a pleural effusion, number {n}."}) for n in range(6)]
    retrievers = {"dense": ListRetriever(reports, "dense"), "lexical": ListRetriever(reports[::-1], "lexical")}
    return MedRAG(retrievers, DomainRouter(list(retrievers)), AdaptiveSelector(), FakeGenerator(replies))


@pytest.fixture
def planned(tmp_path: Path) -> Run:
    examples = tuple(
        Example(
            f"{n}/0", str(n), "Is there a pleural effusion?", "yes" if n % 2 == 0 else "no", (film(tmp_path, 20 * n),),
            (f"iu:{n}",), ("even",) if n % 2 == 0 else ("odd",), "Pleural effusion.",
        )
        for n in range(12)
    )  # fmt: skip
    rag = pipeline()
    return Run(task(), tmp_path, "val", examples, lambda: rag)


def test_an_arm_is_scored_with_intervals_and_its_answers_are_kept(planned: Run, tmp_path: Path) -> None:
    result = run(planned, "none", tmp_path / "out.json", draws=100)
    assert result["scores"]["accuracy"] == 1.0
    assert result["intervals"]["accuracy"] == [1.0, 1.0]
    assert result["n"] == 12 and result["failed"] == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [example.id for example in planned.examples]
    assert json.loads((tmp_path / "out.json").read_text())["scores"] == result["scores"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_and_a_read_only_folder_are_one_clear_line(planned: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    for path, problem in (
        (tmp_path / "a.jsonl", "No space left on device"),
        (Path("/sys/medrag/a.jsonl"), "cannot write"),
    ):
        with pytest.raises(MedragError, match=problem) as caught:
            answers(planned, make_arm("none", planned.rag, planned.examples), path)
        assert "\n" not in str(caught.value) and "free space" in caught.value.hint


def test_a_run_that_was_cut_off_asks_only_what_is_left(planned: Run, tmp_path: Path) -> None:
    asked: list[str] = []
    arm = make_arm("none", planned.rag, planned.examples)
    counted = Arm(arm.name, arm.settings, lambda some: (asked.extend(one.id for one in some), arm.together(some))[1])
    whole = answers(planned, counted, tmp_path / "a.jsonl", at_once=3)
    text = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(b"".join(text[:5]) + text[5][:20])  # killed while it wrote the sixth
    asked.clear()
    again = answers(planned, counted, tmp_path / "a.jsonl")
    assert asked == [example.id for example in planned.examples[5:]]
    assert [line["id"] for line in again] == [line["id"] for line in whole]
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 12


def test_answers_of_other_settings_are_neither_taken_over_nor_thrown_away(planned: Run, tmp_path: Path) -> None:
    arm = make_arm("none", planned.rag, planned.examples)
    answers(planned, arm, tmp_path / "a.jsonl")
    before = (tmp_path / "a.jsonl").read_bytes()
    for other in (dataclasses.replace(planned, split="test"), dataclasses.replace(planned, seed=1)):
        with pytest.raises(SettingsError, match=r"split or seed → .* --restart"):
            answers(other, arm, tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == before
    answers(dataclasses.replace(planned, split="test"), arm, tmp_path / "a.jsonl", restart=True)
    assert (tmp_path / "a.jsonl").read_bytes() != before


def test_an_example_that_changed_is_asked_again(planned: Run, tmp_path: Path) -> None:
    asked: list[str] = []
    arm = Arm("none", {}, one_by_one(lambda one: (asked.append(one.id), Output(one.reference))[1]))
    answers(planned, arm, tmp_path / "a.jsonl")
    changed = dataclasses.replace(planned.examples[2], question="Is there a mass?")
    asked.clear()
    answers(
        dataclasses.replace(planned, examples=(*planned.examples[:2], changed, *planned.examples[3:])),
        arm,
        tmp_path / "a.jsonl",
    )
    assert asked == [changed.id]


def test_an_example_is_asked_again_where_its_pictures_or_what_it_must_not_find_changed(
    planned: Run, tmp_path: Path
) -> None:
    asked: list[str] = []
    arm = Arm("none", {}, one_by_one(lambda one: (asked.append(one.id), Output(one.reference))[1]))
    answers(planned, arm, tmp_path / "a.jsonl")
    asked.clear()
    again = answers(planned, arm, tmp_path / "a.jsonl")
    assert asked == [] and len(again) == 12
    narrower = dataclasses.replace(planned.examples[2], exclude=("iu:2", "iu:3"))
    moved = tmp_path / "moved.png"
    moved.write_bytes(planned.examples[5].images[0].read_bytes())
    same = dataclasses.replace(planned.examples[5], images=(moved,))
    Image.new("L", (32, 32), 255).save(planned.examples[4].images[0])
    examples = (*planned.examples[:2], narrower, *planned.examples[3:5], same, *planned.examples[6:])
    answers(dataclasses.replace(planned, examples=examples), arm, tmp_path / "a.jsonl")
    assert asked == ["2/0", "4/0"]  # not the picture that only lies elsewhere
    early = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line | {"pictures": None}) + "\n" for line in early))
    asked.clear()
    answers(planned, arm, tmp_path / "a.jsonl")
    assert len(asked) == 12


def test_answers_of_a_baseline_are_of_its_index_and_its_training_data(
    planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = {
        name: ListRetriever([Study(f"iu:{name}", {"findings": name})], "similar") for name in ("normal", "effusion")
    }
    opened = {name: pipeline() for name in reports}
    for name, rag in opened.items():
        rag.retrievers = {"similar": reports[name]}
        rag.router = DomainRouter(["similar"])
        rag.fingerprint = f"index {name}"
    free = dataclasses.replace(planned, task=task(kind="report", measures=["rouge-l"], headline="rouge_l"))
    one = dataclasses.replace(free, rag=lambda: opened["normal"])
    run(one, "nearest-report", tmp_path / "a.json", draws=10)
    with pytest.raises(SettingsError, match="--restart"):
        run(dataclasses.replace(free, rag=lambda: opened["effusion"]), "nearest-report", tmp_path / "a.json", draws=10)
    assert run(one, "nearest-report", tmp_path / "a.json", draws=10)["settings"]["fingerprint"] == "index normal"

    monkeypatch.setitem(runner.BASELINES, "majority", lambda task, some, rag: [Output("no", 0.2)] * len(some))
    splits = tmp_path / "noncommercial/iu_xray/splits.json"
    splits.parent.mkdir(parents=True)
    splits.write_text('{"train": ["1"]}')
    monkeypatch.setenv("MEDRAG_DATA", str(tmp_path))
    run(planned, "majority", tmp_path / "b.json", draws=10)
    run(planned, "majority", tmp_path / "b.json", draws=10)
    splits.write_text('{"train": ["2"]}')
    with pytest.raises(SettingsError, match="--restart"):
        run(planned, "majority", tmp_path / "b.json", draws=10)


def test_a_baseline_is_an_arm_and_is_fitted_once(planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_DATA", str(tmp_path))
    fitted: list[int] = []
    says_no = lambda task, examples, rag: (fitted.append(1), [Output("no", 0.2)] * len(examples))[1]  # noqa: E731
    monkeypatch.setitem(runner.BASELINES, "majority", says_no)
    assert run(planned, "majority", tmp_path / "out.json", draws=100)["scores"]["accuracy"] == 0.5
    assert len(fitted) == 1


def test_bad_input_gets_one_clear_line(planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="iu_reports"):
        plan(task(source="iu_report"), tmp_path)
    with pytest.raises(SettingsError, match="oracle-context needs"):
        make_arm("oracle-context", planned.rag, [dataclasses.replace(e, truth="") for e in planned.examples])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MedragError, match="cannot write"):
        run(planned, "none", tmp_path / "file" / "out.json")
    (tmp_path / "mine3.py").write_text("def breaks(images, question):\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MedragError, match="ZeroDivisionError"):
        run(planned, "mine3:breaks", tmp_path / "out.json")


def test_a_failure_is_wrong_and_is_tried_again(planned: Run, tmp_path: Path) -> None:
    broken = {"3/0"}

    def call(example: Example) -> Any:
        if example.id in broken:
            raise GeneratorError("the model fell over", "start it again")
        return Output(example.reference)

    arm = Arm("none", {}, one_by_one(call))
    lines = answers(planned, arm, tmp_path / "a.jsonl")
    assert [line["status"] for line in lines].count("failed") == 1
    result = runner.summary(planned, arm, lines, 100)
    assert result["failed"] == 1 and result["scores"]["accuracy"] < 1
    broken.clear()
    assert all(line["status"] != "failed" for line in answers(planned, arm, tmp_path / "a.jsonl"))


def test_a_short_run_that_always_fails_ends_too(planned: Run, tmp_path: Path) -> None:
    def call(example: Example) -> Any:
        raise GeneratorError("no server", "start one")

    few = dataclasses.replace(planned, examples=planned.examples[:3])
    with pytest.raises(MedragError, match="3 examples in a row failed, the last with: no server"):
        answers(few, Arm("none", {}, one_by_one(call)), tmp_path / "a.jsonl")


def test_an_arm_that_there_is_not_is_told_before_an_index_is_opened(planned: Run, tmp_path: Path) -> None:
    def closed() -> MedRAG:
        raise IndexMissing("the index was not built", "build it")

    unbuilt = dataclasses.replace(planned, rag=closed)
    with pytest.raises(SettingsError, match="no arm 'adaptve'"):
        run(unbuilt, "adaptve", tmp_path / "a.json")
    with pytest.raises(IndexMissing):
        run(unbuilt, "adaptive", tmp_path / "a.json")


def test_a_smaller_run_over_the_same_answers_is_compared_by_what_it_asked(planned: Run, tmp_path: Path) -> None:
    run(planned, "none", tmp_path / "a.json", draws=100)
    few = dataclasses.replace(planned, examples=planned.examples[3:7])
    assert run(few, "none", tmp_path / "a.json", draws=100)["n"] == 4
    assert compare(tmp_path / "a.json", tmp_path / "a.json", draws=100)["n"] == 4
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 12


def test_what_failed_counts_as_wrong_in_a_comparison_and_on_the_page_too(
    planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arm that is right or raises gains nothing by raising."""
    (tmp_path / "mine4.py").write_text(
        "import itertools\n"
        "turn = itertools.count()\n"
        "def picky(images, question):\n"
        "    return 'Yes.' if next(turn) % 2 == 0 else 1 / 0\n"
        "def says_no(images, question):\n"
        "    return 'No.'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    first, second = tmp_path / "r" / "a.json", tmp_path / "r" / "b.json"
    result = runner.run(planned, "mine4:picky", first, draws=100, at_once=1)
    run(planned, "mine4:says_no", second, draws=100)
    assert result["failed"] == 6 and result["failures"][0] == {"id": "1/0", "group": "1", "reference": "no"}
    found = compare(first, second, draws=100)
    assert found["n"] == 12 and found["left_out"] == 0
    assert found["differences"]["accuracy"]["difference"] == 0  # both are right about half
    assert write([tmp_path / "r"], tmp_path / "page.html").is_file()
    older = json.loads(first.read_text())
    del older["failures"]
    first.write_text(json.dumps(older))
    with pytest.raises(CorpusError, match="6 examples that failed and does not name them → run it again"):
        compare(first, second, draws=100)


def test_an_example_that_was_asked_again_counts_once_with_its_last_answer(planned: Run, tmp_path: Path) -> None:
    """Of a run of which a question, and later its right answer too, was corrected."""
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    corrected = dataclasses.replace(planned.examples[2], question="Is there a mass?")
    for example in (planned.examples[2], corrected, dataclasses.replace(corrected, reference="no")):
        asked = dataclasses.replace(planned, examples=(*planned.examples[:2], example, *planned.examples[3:]))
        result = run(asked, "none", first, draws=10)
        run(asked, "fixed-k", second, draws=10)
        _, lines = load(first)
        assert len(lines) == result["n"] == 12 and "examples" not in result
        assert {line["id"]: line["reference"] for line in lines}["2/0"] == example.reference
        assert compare(first, second, draws=10)["n"] == 12
    assert len(first.with_suffix(".jsonl").read_text().splitlines()) == 14


def test_an_answer_that_a_later_one_stands_behind_is_not_taken_over(planned: Run, tmp_path: Path) -> None:
    asked: list[str] = []
    arm = Arm("none", {}, one_by_one(lambda one: (asked.append(one.question), Output(one.reference))[1]))
    once, other = planned.examples[0], dataclasses.replace(planned.examples[0], question="Is there a mass?")
    for example in (once, other, once, once):
        answers(dataclasses.replace(planned, examples=(example,)), arm, tmp_path / "a.jsonl")
    assert asked == [once.question, other.question, once.question]


@pytest.mark.parametrize(
    "text", ["notes of mine\nand more", '{"text": "a question"}\n{"text": "cut', "{\n}\n", "[1]", "word"]
)
def test_a_file_of_something_else_is_left_as_it_is(planned: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(text)
    for restart in (False, True):
        with pytest.raises(SettingsError, match=r"mine\.jsonl holds something else → name another --out"):
            run(planned, "none", tmp_path / "mine.json", draws=10, restart=restart)
    assert path.read_text() == text


def test_lines_of_a_run_are_its_own_wherever_it_was_cut_off(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.jsonl", b'{"id": "1", "key": "k"}\n'
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        assert whole_lines(path) == ([whole[:-1]] if end == len(whole) else [])
        assert path.read_bytes() == (whole if end == len(whole) else b"")
    for foreign in (b"broken\n", b"[" * 100_000 + b"\n"):
        path.write_bytes(foreign + whole)
        assert len(whole_lines(path)) == 2


def test_a_folder_in_the_place_of_a_file_is_told_before_anything_is_asked(planned: Run, tmp_path: Path) -> None:
    for name in ("a.json", "b.jsonl"):
        (tmp_path / name).mkdir()
        with pytest.raises(SettingsError, match=f"{name} is a folder"):
            run(planned, "none", (tmp_path / name).with_suffix(".json"), draws=10)
    assert not planned.rag().generator.images  # type: ignore[attr-defined]


def test_what_a_task_lacks_is_told_before_anything_is_asked(
    planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    for changes, problem in (
        ({"measures": ("closd",)}, "did you mean 'closed'"),
        ({"headline": "acuracy"}, "no measure gives the score 'acuracy' → did you mean 'accuracy'"),
        ({"baselines": ("majority",)}, "MEDRAG_DATA is not set"),
    ):
        with pytest.raises(MedragError, match=problem):
            run(dataclasses.replace(planned, task=task(**changes)), "none", tmp_path / "a.json", draws=10)
    assert not planned.rag().generator.images and not (tmp_path / "a.jsonl").exists()  # type: ignore[attr-defined]


def test_a_ranking_is_not_asked_of_what_answers_in_words(planned: Run, tmp_path: Path) -> None:
    pytest.importorskip("ir_measures")
    ranked = tuple(dataclasses.replace(one, reference={"iu:1": 1}) for one in planned.examples)
    made = task(kind="ranking", measures=("ranking",), headline="ndcg@10")
    with pytest.raises(SettingsError, match="ranks documents, and json:dumps answers in words"):
        run(dataclasses.replace(planned, task=made, examples=ranked), "json:dumps", tmp_path / "a.json", draws=10)


def test_of_one_group_no_difference_is_sure(planned: Run, tmp_path: Path) -> None:
    one = dataclasses.replace(planned, examples=tuple(dataclasses.replace(e, group="g") for e in planned.examples))
    for arm, name in (("none", "a"), ("adaptive", "b")):
        assert run(one, arm, tmp_path / "r" / f"{name}.json", draws=10)["intervals"]["accuracy"] == [None, None]
    other = tmp_path / "r" / "b.jsonl"
    other.write_text(other.read_text().replace('"value": "Yes', '"value": "No'))
    found = compare(tmp_path / "r" / "a.json", other.with_suffix(".json"), draws=10)
    gain = found["differences"]["accuracy"]
    assert gain["difference"] != 0 and gain["interval"] == [None, None]
    drawn = drawings(one.task, [load(tmp_path / "r" / f"{name}.json") for name in "ab"])[0]
    assert drawn["marks"] and not any(mark["sure"] for mark in drawn["marks"])
    assert "[–]" in write([tmp_path / "r"], tmp_path / "page.html").read_text()


def test_a_generator_that_always_fails_ends_the_run(planned: Run, tmp_path: Path) -> None:
    def call(example: Example) -> Any:
        raise GeneratorError("no server", "start one")

    arm = Arm("none", {}, one_by_one(call))
    with pytest.raises(MedragError, match="10 examples in a row"):
        answers(planned, arm, tmp_path / "a.jsonl")


FREE = sorted(
    set(ARMS) - {"adaptive+graph", "random-context", "tuned"}
)  # what needs no graph, no reports and no weights


@pytest.mark.parametrize("name", FREE)
def test_every_arm_answers(planned: Run, name: str) -> None:
    output = make_arm(name, planned.rag, planned.examples)(planned.examples[0])
    assert isinstance(output.value, str) and output.value


def test_no_arm_but_the_oracle_sees_the_study_itself(planned: Run) -> None:
    for name in sorted(set(FREE) - {"oracle-context"}):
        arm = make_arm(name, planned.rag, planned.examples)
        for example in planned.examples[:6]:
            assert not {piece["id"] for piece in arm(example).evidence} & set(example.exclude), name


def test_the_tuned_model_answers_its_arm(planned: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "medrag.vlms.open_generator", lambda name: (asked.append(name), FakeGenerator(["Tuned [E1]."]))[1]
    )
    output = make_arm("tuned", planned.rag, planned.examples)(planned.examples[0])
    assert asked == ["medrag-small-pt"] and output.value == "Tuned." and output.evidence


def test_wrong_patient_evidence_was_found_for_somebody_else(planned: Run) -> None:
    arm = make_arm("wrong-patient-context", planned.rag, planned.examples)
    output = arm(planned.examples[1])
    assert output.evidence and "iu:1" not in {piece["id"] for piece in output.evidence}


def test_noise_is_the_same_each_time_and_no_look_at_the_image(planned: Run) -> None:
    generator = planned.rag().generator
    for _ in range(2):
        make_arm("noise-image", planned.rag, planned.examples)(planned.examples[0])
    first, second = (np.asarray(images[0]) for images in generator.images[-2:])  # type: ignore[attr-defined]
    assert (first == second).all() and first.std() > 10


def test_a_callable_is_an_arm(planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("def says_yes(images, question):\n    return 'Yes.'\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = run(planned, "mine:says_yes", tmp_path / "out.json", draws=100)
    assert result["scores"]["accuracy"] == 0.5
    with pytest.raises(SettingsError, match="mine:nothing"):
        run(planned, "mine:nothing", tmp_path / "out.json")


def test_a_callable_whose_file_has_changed_is_asked_again(
    planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for answer in ("Yes.", "No, there is none."):
        (tmp_path / "mine4.py").write_text(f"def says(images, question):\n    return {answer!r}\n")
        sys.modules.pop("mine4", None)
        importlib.invalidate_caches()
        if answer != "Yes.":
            with pytest.raises(SettingsError, match="another model"):
                run(planned, "mine4:says", tmp_path / "out.json", draws=10)
        run(planned, "mine4:says", tmp_path / "out.json", draws=10, restart=True)
        lines = [json.loads(line) for line in whole_lines(tmp_path / "out.jsonl")]
        assert {line["value"] for line in lines} == {answer}


@pytest.mark.parametrize("said", [None, {"answer": "yes"}, True])
def test_what_is_no_answer_is_a_failure_with_a_reason(
    said: Any, planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine5.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("mine5.says", lambda images, question: said, raising=False)
    with pytest.raises(GeneratorError, match=r"mine5:says returned .*, which is no answer"):
        make_arm("mine5:says", planned.rag, planned.examples)(planned.examples[0])


def test_the_result_may_be_named_by_a_string_and_never_as_its_own_answers(planned: Run, tmp_path: Path) -> None:
    for name in ("out.jsonl", "out", "out.txt"):
        with pytest.raises(SettingsError, match=r"does not end in \.json"):
            run(planned, "none", tmp_path / name)
    assert run(planned, "none", str(tmp_path / "out.json"), draws=10)["n"] == 12
    assert len(whole_lines(tmp_path / "out.jsonl")) == 12


def test_a_function_in_the_place_of_a_name_and_a_limit_below_0_are_refused(planned: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="module:function"):
        run(planned, lambda images, question: "Yes.", tmp_path / "out.json")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="-1"):
        limited(planned.examples, -1, 0)


def test_an_unknown_arm_names_the_near_one(planned: Run) -> None:
    with pytest.raises(SettingsError, match="adaptive"):
        make_arm("adaptiv", planned.rag, planned.examples)


def test_limits_keep_whole_groups(planned: Run) -> None:
    some = limited(planned.examples, 4, 0)
    assert len(some) == 4 and some == [example for example in planned.examples if example in some]
    assert limited(planned.examples, 0, 0) == list(planned.examples)


def test_two_results_are_compared_pairwise(planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine2.py").write_text("def says_yes(images, question):\n    return 'Yes.'\n")
    monkeypatch.syspath_prepend(tmp_path)
    run(planned, "none", tmp_path / "a.json", draws=100)
    run(planned, "mine2:says_yes", tmp_path / "b.json", draws=100)
    found = compare(tmp_path / "a.json", tmp_path / "b.json", draws=200)
    assert found["differences"]["accuracy"]["difference"] == pytest.approx(0.5)
    assert found["differences"]["accuracy"]["p"] < 0.1
    same = compare(tmp_path / "a.json", tmp_path / "a.json", draws=200)
    assert same["differences"]["accuracy"]["difference"] == 0 and same["differences"]["accuracy"]["p"] == 1
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(CorpusError, match="finished result"):
        compare(tmp_path / "a.json", tmp_path / "c.json")


def test_results_of_two_splits_or_of_other_right_answers_are_not_compared(planned: Run, tmp_path: Path) -> None:
    run(planned, "none", tmp_path / "a.json", draws=10)
    run(dataclasses.replace(planned, split="test"), "none", tmp_path / "split.json", draws=10)
    with pytest.raises(SettingsError, match=r"is of val, .* of test → compare two results of one split"):
        compare(tmp_path / "a.json", tmp_path / "split.json", draws=10)
    turned = tuple(dataclasses.replace(one, reference="no") for one in planned.examples)
    run(dataclasses.replace(planned, examples=turned), "none", tmp_path / "turned.json", draws=10)
    with pytest.raises(SettingsError, match=r"0/0 has one right answer .* → run both on the same data"):
        compare(tmp_path / "a.json", tmp_path / "turned.json", draws=10)


@pytest.mark.parametrize("what", ["question", "picture"])
def test_rows_of_one_number_that_ask_something_else_are_not_compared(planned: Run, tmp_path: Path, what: str) -> None:
    run(planned, "none", tmp_path / "a.json", draws=10)
    change = {"question": {"question": "Is there a mass?"}, "picture": {"images": (film(tmp_path, 7),)}}[what]
    other = (dataclasses.replace(planned.examples[0], **change), *planned.examples[1:])
    run(dataclasses.replace(planned, examples=other), "none", tmp_path / "b.json", draws=10)
    with pytest.raises(SettingsError, match=rf"0/0 has one {what} in .* → run both on the same data"):
        compare(tmp_path / "a.json", tmp_path / "b.json", draws=10)


def test_a_comparison_names_the_generators_that_differ(planned: Run, tmp_path: Path) -> None:
    run(planned, "none", tmp_path / "a.json", draws=10)
    rag = pipeline()
    rag.generator.name = "another"
    run(dataclasses.replace(planned, rag=lambda: rag), "none", tmp_path / "b.json", draws=10)
    differ = compare(tmp_path / "a.json", tmp_path / "b.json", draws=10)["differ"]
    assert differ["generator"] == [planned.rag().generator.name, "another"] and set(differ) >= {"generator"}
    assert compare(tmp_path / "a.json", tmp_path / "a.json", draws=10)["differ"] == {}
    said = CliRunner().invoke(app, ["eval", "compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert "generators differ: " in said.stderr and "another" in said.stderr


def test_unusual_ends_of_lines_within_an_answer_are_part_of_it(planned: Run, tmp_path: Path) -> None:
    text = "Yes.\u2028There\u2029is\u0085an effusion."
    rag = pipeline((text,))
    strange = dataclasses.replace(planned, rag=lambda: rag)
    run(strange, "none", tmp_path / "r" / "a.json", draws=10)
    assert compare(tmp_path / "r" / "a.json", tmp_path / "r" / "a.json", draws=10)["n"] == 12
    assert write([tmp_path / "r"], tmp_path / "page.html").is_file()
    path = tmp_path / "r" / "a.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as an editor on Windows leaves it
    assert compare(tmp_path / "r" / "a.json", tmp_path / "r" / "a.json", draws=10)["n"] == 12


def test_the_report_reaches_nothing_outside_itself(planned: Run, tmp_path: Path) -> None:
    evil = Run(task(), tmp_path, "val", planned.examples, lambda: evil_rag)
    evil_rag = pipeline(("Yes <script>alert(1)</script>.", "Yes."))
    run(evil, "none", tmp_path / "r" / "none.json", draws=100)
    run(planned, "adaptive", tmp_path / "r" / "adaptive.json", draws=100)
    page = write([tmp_path / "r"], tmp_path / "page.html").read_text()
    assert "<script" not in page and "http" not in page.split("</style>")[-1]
    assert "Gain by score: adaptive − none" in page and "won" in page
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no finished result"):
        write([tmp_path / "empty"], tmp_path / "x.html")


def result_of(arm: str, generator: str = "g", n: int = 12) -> Any:
    return {"arm": arm, "n": n, "settings": {"generator": generator} if generator else {}}, []


def test_results_on_a_page_are_called_what_tells_them_apart() -> None:
    none, adaptive = result_of("none"), result_of("adaptive")
    assert labels([none, adaptive, result_of("mine:f", "")]) == ["none", "adaptive", "mine:f"]
    assert labels([none, result_of("adaptive", n=4)]) == ["none (12)", "adaptive (4)"]
    assert labels([none, result_of("none", "h"), result_of("majority", "")]) == ["none · g", "none · h", "majority"]
    assert labels([none, adaptive, adaptive]) == ["none", "adaptive #1", "adaptive #2"]


def test_a_page_of_arms_of_different_size_says_so(planned: Run, tmp_path: Path) -> None:
    run(planned, "none", tmp_path / "none.json", draws=10)
    run(dataclasses.replace(planned, examples=planned.examples[:4]), "adaptive", tmp_path / "adaptive.json", draws=10)
    told = section("t", [load(tmp_path / f"{name}.json") for name in ("none", "adaptive")])
    assert told["n"] == told["groups"] == "4–12" and told["table"]["columns"] == ["none (12)", "adaptive (4)"]
    assert told["charts"][0]["title"].startswith("Gain by score: adaptive (4) − none (12), 4 examples")


def test_a_gain_of_nothing_is_no_case_and_one_above_one_is_told(
    planned: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arm in ("none", "adaptive"):
        run(planned, arm, tmp_path / f"{arm}.json", draws=10)
    found = [load(tmp_path / f"{arm}.json") for arm in ("none", "adaptive")]
    gains = iter([np.array([0.004, -0.003, 0.2, -0.5, *[0.0] * 8]), np.zeros(12)])
    monkeypatch.setattr("medrag.eval.report.single", lambda task, lines: next(gains))
    assert [one["gain"] for one in cases(planned.task, found)] == ["+0.20", "-0.50"]
    gain = {"difference": 0.1, "interval": [0.0, 0.2], "p": 0.5}
    monkeypatch.setattr(
        "medrag.eval.scoring.differences", lambda *_: {"cider": gain | {"difference": 1.5}, "accuracy": gain}
    )
    drawn = drawings(planned.task, found)[0]
    assert drawn["title"].endswith("not drawn, above 1 in size: cider +1.50") and len(drawn["marks"]) == 1


def test_every_task_that_ships_is_whole() -> None:
    from medrag.eval.sources import SOURCES
    from medrag.plugins import BUILTIN

    tasks = known_tasks()
    assert len(tasks) >= 8
    for one in tasks:
        assert one.source in SOURCES and set(one.measures) <= set(BUILTIN["scorers"])
        assert one.licence and one.about
    with pytest.raises(SettingsError, match="vqa_rad"):
        load_task("vqa-rad")


def test_a_copy_of_the_picture_in_the_index_is_left_out_and_counted(planned: Run, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)
    picture = tmp_path / "film.png"
    Image.fromarray(values).resize((256, 256)).save(picture)
    Image.fromarray(values).resize((128, 128)).save(tmp_path / "copy.png")
    items = [ImageRecord("iu:twin#0", "iu:twin", "", str(tmp_path / "copy.png"))]

    class Items:
        def iterate(self, kinds: Any) -> list[ImageRecord]:
            return items

    rag = planned.rag()
    rag.store = SimpleNamespace(items=Items(), manifest=SimpleNamespace(content_hash="", content={}, recipe={}))  # type: ignore[assignment]
    examples = tuple(dataclasses.replace(one, images=(picture,)) for one in planned.examples[:2])
    result = run(dataclasses.replace(planned, examples=examples), "none", tmp_path / "twins.json", draws=100)
    assert result["twins_left_out"] == 2
    baseline = task(kind="report", measures=["rouge-l"], headline="rouge_l")
    rag.retrievers = {"similar": ListRetriever([Study("iu:twin", {"findings": "Of the twin."})], "similar")}
    rag.router = DomainRouter(["similar"])
    copied = run(
        dataclasses.replace(planned, task=baseline, examples=examples), "nearest-report", tmp_path / "b.json", draws=10
    )
    assert copied["twins_left_out"] == 2 and "Of the twin" not in (tmp_path / "b.jsonl").read_text()
    items.clear()
    again = run(dataclasses.replace(planned, examples=examples), "none", tmp_path / "no_twins.json", draws=100)
    assert again["twins_left_out"] == 0
