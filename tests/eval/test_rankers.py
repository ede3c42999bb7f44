"""Collections and rankers on a small folder with the pack's layout."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import pytest

from medrag.errors import CorpusError, GeneratorError, SettingsError
from medrag.eval import collections, runner
from medrag.eval.arms import Arm, one_by_one
from medrag.eval.rankers import Parts, make_ranker
from medrag.eval.tasks import Example, NoExample, Output, load_task
from medrag.testing import FakeEncoder


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    root = tmp_path / "noncommercial/nfcorpus"
    root.mkdir(parents=True)
    (root / "mini.docs.gz").write_bytes(gzip.compress(b"D1\tstatins lower cholesterol\nD2\tbroccoli and cancer\n"))
    (root / "mini.3-2-1.qrel").write_text("Q1\t0\tD1\t3\nQ2\t0\tD2\t1\n")
    (root / "mini.titles.queries").write_text("Q1\tcholesterol drugs\nQ2\tdoes broccoli help\nQ3\tnot judged\n")
    bio = tmp_path / "open/bioasq"
    bio.mkdir(parents=True)
    snippet = {"text": "VPS4A is mutated.", "document": "http://x/pubmed/7"}
    question = {"id": "a", "body": "Is VPS4A mutated?", "type": "yesno", "snippets": [snippet, snippet]}
    (bio / "9B1_golden.json").write_text(json.dumps({"questions": [question]}))
    return tmp_path


def test_nfcorpus_reads_what_is_judged(pack: Path) -> None:
    found = collections.nfcorpus(pack, "mini")
    assert found.texts == {"D1": "statins lower cholesterol", "D2": "broccoli and cancer"}
    assert [(e.group, e.reference) for e in found.examples] == [("Q1", {"D1": 3}), ("Q2", {"D2": 1})]
    with pytest.raises(CorpusError, match="--split"):
        collections.nfcorpus(pack, "nothing")


def test_unusual_ends_of_lines_within_a_text_are_part_of_it(pack: Path) -> None:
    root = pack / "noncommercial/nfcorpus"
    text = "one\u2028two\tthree\u0085four"
    (root / "odd.docs.gz").write_bytes(gzip.compress(f"D1\t{text}\r\nD2\tother\r\n".encode()))
    (root / "odd.3-2-1.qrel").write_bytes(b"Q1\t0\tD1\t3\r\n")
    (root / "odd.titles.queries").write_text("Q1\twhat is\u2028meant\n", encoding="utf-8")
    found = collections.nfcorpus(pack, "odd")
    assert found.texts == {"D1": text, "D2": "other"}
    assert [(e.question, e.reference) for e in found.examples] == [("what is\u2028meant", {"D1": 3})]


def test_bioasq_joins_snippets_by_article(pack: Path) -> None:
    found = collections.bioasq(pack, "9B")
    assert found.texts == {"7": "VPS4A is mutated."}
    assert found.examples[0].reference == {"7": 1}


@pytest.mark.parametrize(
    ("task", "known"),
    [("retrieval_nfcorpus", "known: mini"), ("retrieval_bioasq", "known: all, 9B1_golden"), ("retrieval_medquad", "known: all, 1_QA")],
)  # fmt: skip
def test_a_split_that_a_collection_lacks_is_told_with_those_it_has(pack: Path, task: str, known: str) -> None:
    (pack / "open/medquad/1_QA").mkdir(parents=True)
    with pytest.raises(NoExample, match=f"no split 'test' → {known}"):
        runner.plan(task, pack, split="test")
    assert runner.plan("retrieval_bioasq", pack, split="9").examples  # how names of files begin


def test_rankers_find_the_document(pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Parts, "encoder", FakeEncoder())
    examples = collections.nfcorpus(pack, "mini").examples
    for name in ("lexical", "dense", "fused"):
        arm = make_ranker(name, load_task("retrieval_nfcorpus"), pack, "mini", 0)
        ranking = arm(examples[0]).value
        assert max(ranking, key=ranking.__getitem__) == "D1", name
    assert set(make_ranker("random", load_task("retrieval_nfcorpus"), pack, "mini", 0)(examples[0]).value) == {
        "D1",
        "D2",
    }
    with pytest.raises(SettingsError, match="fused"):
        make_ranker("fusion", load_task("retrieval_nfcorpus"), pack, "mini", 0)


def test_a_query_that_failed_counts_as_one_for_which_nothing_came_back(pack: Path, tmp_path: Path) -> None:
    pytest.importorskip("ir_measures")
    planned = runner.plan(load_task("retrieval_nfcorpus"), pack, split="mini")
    planned = dataclasses.replace(planned, task=planned.task.model_copy(update={"baselines": ()}))

    def call(example: Example) -> Output:
        if example.group == "Q1":
            raise GeneratorError("the server was away", "start it")
        return Output({"D2": 1.0})

    arm = Arm("mine", {}, one_by_one(call))
    lines = runner.answers(planned, arm, tmp_path / "a.jsonl", at_once=1)
    assert runner.summary(planned, arm, lines, 10)["scores"]["success@1"] == 0.5
