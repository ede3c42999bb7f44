"""Examples read from the real pack, and from folders that lack something."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from medrag._util.findings import CHEXPERT_TYPE
from medrag.corpora import realdata
from medrag.errors import CorpusError
from medrag.eval import sources
from medrag.eval.tasks import NoExample, load_task


@pytest.fixture
def data() -> Path:
    return Path(os.environ.get("MEDRAG_DATA", "nowhere"))


@pytest.mark.data
def test_no_example_may_retrieve_its_own_study(data: Path) -> None:
    for name in ("iu_xray_report", "iu_xray_balanced", "iu_xray_vqa"):
        task = load_task(name)
        for example in sources.SOURCES[task.source](data, "val", task):
            assert f"iu_xray:{example.group}" in example.exclude


@pytest.mark.data
def test_the_balanced_set_gives_nothing_away(data: Path) -> None:
    task = load_task("iu_xray_balanced")
    by: dict[str, list[str]] = {}
    for example in sources.iu_balanced(data, "val", task):
        by.setdefault(example.question, []).append(example.reference)
    assert all(answers.count("yes") == answers.count("no") for answers in by.values())


@pytest.mark.data
def test_closed_and_open_questions_share_no_example(data: Path) -> None:
    closed, opened = (sources.vqa_rad(data, "held", load_task(name)) for name in ("vqa_rad", "vqa_rad_open"))
    assert not {e.id for e in closed} & {e.id for e in opened}
    assert {e.reference for e in closed} == {"yes", "no"}
    assert all(image.is_file() for e in (*closed, *opened) for image in e.images)


@pytest.mark.data
def test_a_study_finds_others_by_shared_findings(data: Path) -> None:
    examples = sources.iu_similar(data, "val", load_task("retrieval_image_report"))
    assert all(set(e.reference.values()) <= {1, 2} for e in examples)


def test_a_folder_without_the_split_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="--split"):
        sources.vqa_rad(tmp_path, "test", load_task("vqa_rad"))


@pytest.mark.parametrize("name", ["iu_xray_report", "vqa_rad", "retrieval_nfcorpus", "retrieval_page", "multihop", "routing"])  # fmt: skip
def test_a_folder_without_a_tasks_data_has_no_example(tmp_path: Path, name: str) -> None:
    task = load_task(name)
    with pytest.raises(NoExample, match="--data"):
        sources.read(tmp_path / "nowhere", task.split, task)


BOM = b"\xef\xbb\xbf"
COLUMNS = ("filename", *CHEXPERT_TYPE, "normal")


def own_studies(folder: Path, splits: Any = None) -> Path:
    """Two studies with a film and a report in IU X-Ray's layout, each with a question."""
    root = folder / "noncommercial/iu_xray"
    root.mkdir(parents=True)
    (root / "splits.json").write_text(json.dumps(splits or {"mine": ["1", "2"]}))
    (root / "reports.csv").write_text("uid,MeSH,findings,impression\n1,normal,Clear lungs.,\n2,normal,Large heart.,\n")
    labels = "".join(f"CXR{uid}{',0' * len(CHEXPERT_TYPE)},1\n" for uid in (1, 2))
    (root / "labels_negbio14.csv").write_text(",".join(COLUMNS) + "\n" + labels)
    (root / "projections.csv").write_text("uid,image,projection\n1,1.png,Frontal\n2,2.png,Frontal\n")
    asked = [{"uid": uid, "question": "Is there cardiomegaly?", "answer": "No."} for uid in ("1", "2")]
    (root / "vqa_mine.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    return root


def own_questions(folder: Path, **fields: Any) -> Path:
    """One question in VQA-RAD's layout; a field that is None is left out."""
    root = folder / "open/vqa_rad"
    root.mkdir(parents=True, exist_ok=True)
    row = {"qid": "7", "image_name": "a.png", "question": "q?", "answer": "Yes", "image_organ": "CHEST", "question_type": "PRES, SIZE"}  # fmt: skip
    kept = {name: value for name, value in {**row, **fields}.items() if value is not None}
    (root / "mine.json").write_text(json.dumps([kept]))
    return root / "mine.json"


def closed(folder: Path) -> list[tuple[str, str]]:
    realdata.studies.cache_clear()
    return [(one.group, one.reference) for one in sources.iu_closed(folder, "mine", load_task("iu_xray_vqa"))]


def test_files_may_be_saved_with_a_byte_order_mark(tmp_path: Path) -> None:
    root, path = own_studies(tmp_path), own_questions(tmp_path)
    for file in (*root.iterdir(), path):
        file.write_bytes(BOM + file.read_bytes())
    assert closed(tmp_path) == [("1", "no"), ("2", "no")]
    assert len(sources.vqa_rad(tmp_path, "mine", load_task("vqa_rad"))) == 1


def test_a_study_that_is_named_twice_counts_once_and_numbers_name_studies_too(tmp_path: Path) -> None:
    root = own_studies(tmp_path, {"mine": ["1", 2, "1", "2"]})
    assert [study.uid for study in realdata.studies(tmp_path, "mine")] == ["1", "2"]
    (root / "vqa_mine.jsonl").write_text('{"uid": 2, "question": "q?", "answer": true}\n')
    assert closed(tmp_path) == [("2", "yes")]


ASKED = '{"uid": "1", "question": "q?", "answer": "Yes."}\n'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("vqa_mine.jsonl", ASKED + "{", "line 2: Expecting"),
        ("vqa_mine.jsonl", ASKED + "[1]", "line 2: .1. is no object"),
        ("vqa_mine.jsonl", ASKED + '\n{"uid": "1", "question": "q?"}', "line 3: answer is missing"),
        ("vqa_mine.jsonl", ASKED.replace("Yes.", "Unknown"), "line 1: the answer 'Unknown' is neither yes nor no"),
        ("vqa_mine.jsonl", ASKED.replace('"Yes."', "null"), "line 1: the answer None is no text"),
        ("splits.json", "{", "json: Expecting"),
        ("splits.json", "[]", "json: .* is no object"),
        ("splits.json", '{"mine": "1"}', "json: 'mine' is no list"),
        ("splits.json", '{"train": ["1"]}', "/iu_xray has no split 'mine' → known: train"),
        ("reports.csv", None, "csv: No such file"),
        ("reports.csv", "uid,findings\n1,Clear lungs.\n", "csv: line 2 has no MeSH, impression"),
        ("reports.csv", "uid,MeSH,findings,impression\n1,normal\n", "csv: line 2 has no findings, impression"),
        ("labels_negbio14.csv", None, "csv: No such file"),
        ("labels_negbio14.csv", ",".join(COLUMNS), "csv: no row for 1, 2 → add a row"),
        ("projections.csv", "uid,picture\n1,1.png\n", "csv: line 2 has no image, projection"),
    ],
)
def test_what_is_wrong_with_a_file_of_ones_own_is_said_with_its_place(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    path = own_studies(tmp_path) / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(CorpusError, match=told) as caught:
        closed(tmp_path)
    assert str(path.parent) in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"answer": None}, "question 1: answer is missing"),
        ({"image_organ": None}, "question 1: image_organ is missing"),
        ({"answer": ["yes"]}, "question 1: the answer .* is no text"),
    ],
)
def test_a_question_that_lacks_something_is_named(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    own_questions(tmp_path, **fields)
    with pytest.raises(CorpusError, match=rf"mine\.json, {told} → .*--split"):
        sources.vqa_rad(tmp_path, "mine", load_task("vqa_rad"))
    own_questions(tmp_path).write_text('{"1": {}}')
    with pytest.raises(CorpusError, match="is no list of questions"):
        sources.vqa_rad(tmp_path, "mine", load_task("vqa_rad"))


@pytest.mark.parametrize(("answer", "wanted"), [("Yes.", "yes"), ("NO.", "no"), (False, "no"), ("no", "no")])
def test_yes_and_no_are_closed_answers_with_a_full_stop_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, wanted: str
) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    own_questions(tmp_path, answer=answer)
    (found,) = sources.vqa_rad(tmp_path, "mine", load_task("vqa_rad"))
    assert (found.id, found.reference, found.tags) == ("7/0", wanted, ("chest", "pres", "size"))
    assert sources.vqa_rad(tmp_path, "mine", load_task("vqa_rad_open")) == []


def test_questions_about_pictures_that_were_trained_on_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fifth picture of the training part is held back."""
    monkeypatch.setenv("MEDRAG_DATA", str(tmp_path))
    row = json.loads(own_questions(tmp_path).read_text())[0]
    train = [row | {"image_name": f"{name}.png"} for name in "abcde"]
    (tmp_path / "open/vqa_rad/train.json").write_text(json.dumps(train))
    (tmp_path / "open/vqa_rad/mine.json").write_text(json.dumps([*train, row | {"image_name": "f.png"}]))
    found = {e.group: e.tags[-1] for e in sources.vqa_rad(tmp_path, "mine", load_task("vqa_rad"))}
    assert [name for name, tag in found.items() if tag == "picture not trained on"] == ["e.png", "f.png"]
    assert found["a.png"] == "picture trained on"
    assert "trained on" not in str(sources.vqa_rad(tmp_path, "held", load_task("vqa_rad"))[0].tags)


def test_without_the_pack_the_baselines_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    with pytest.raises(CorpusError, match="MEDRAG_DATA"):
        sources.training_data()
