"""Examples read from the real pack, and from folders that lack something."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medrag.errors import CorpusError
from medrag.eval import sources
from medrag.eval.tasks import load_task


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


def test_without_the_pack_the_baselines_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDRAG_DATA", raising=False)
    with pytest.raises(CorpusError, match="MEDRAG_DATA"):
        sources.training_data()
