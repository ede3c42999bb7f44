"""Questions that need two documents: the file is sound, and the measure counts what the evidence holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medrag.errors import CorpusError
from medrag.eval.hops import HopsFound, questions
from medrag.eval.statistics import interval
from medrag.eval.tasks import load_task

GOLD = {"first": ["medquad:a/1", "medquad:a/2"], "second": ["openstax:micro#p7", "openstax:micro#p8"]}


def piece(name):
    return {"key": "E1", "id": name, "text": "two words"}


@pytest.mark.parametrize(
    ("ids", "row"),
    [
        ((), (0, 0, 0, 0, 0, 1)),
        (("medquad:a/2~0",), (0, 1, 0, 1, 2, 1)),
        (("medquad:a/2#3~0",), (0, 1, 0, 1, 2, 1)),
        (("openstax:micro#p7~2", "medquad:a/1"), (1, 1, 1, 2, 4, 1)),
        (("openstax:micro#p8f1", "openstax:micro#p77"), (0, 0, 1, 2, 4, 1)),
        (("openstax:micro", "medquad:a/11#0"), (0, 0, 0, 2, 4, 1)),
    ],
)
def test_a_piece_counts_for_its_document_and_its_page(ids, row):
    found = HopsFound().rows_with([[piece(name) for name in ids]], [GOLD], [{}])
    assert tuple(found[0]) == row


def test_searches_are_those_of_the_loop_and_totals_are_means():
    measure = HopsFound()
    rows = measure.rows_with([[piece("medquad:a/1")], []], [GOLD, GOLD], [{"usage": {"steps": 5}}, {}])
    total = interval(measure, rows, ["a", "b"], draws=100)
    assert total["first"][0] == 0.5 and total["searches"][0] == 3.0 and total["both"][0] == 0.0


def test_the_folder_must_hold_the_documents(tmp_path):
    with pytest.raises(CorpusError, match="medquad"):
        questions(tmp_path, "all", load_task("multihop"))


@pytest.mark.data
def test_every_gold_document_is_in_the_pack_and_no_question_names_its_disease():
    from medrag.corpora.qa import MedQuad

    data = Path(os.environ["MEDRAG_DATA"])
    asked = questions(data, "all", load_task("multihop"))
    titles = {item.id: item.title for item in MedQuad("medquad", data / "open/medquad").read(lambda _: None)}
    assert len(asked) >= 60 and len({one.id for one in asked}) == len(asked)
    for one in asked:
        assert set(one.reference["first"]) <= titles.keys()
        for name in one.reference["first"]:
            assert titles[name].lower() not in one.question.lower(), one.question
        assert all(page.startswith("openstax:") and "#p" in page for page in one.reference["second"])
