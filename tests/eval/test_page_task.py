"""Page questions: what the print of a book gives, how pages are ranked and scored, and that written golds hold."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_pdfs import with_glossary

from medrag.corpora.page_questions import derived, drawn
from medrag.corpora.pdf import PdfPages
from medrag.errors import CorpusError, SettingsError
from medrag.eval import page_questions, sources
from medrag.eval.page_questions import PageRanking, make_page_finder, near_pages, page_ids
from medrag.eval.tasks import Example, load_task
from medrag.score.ranking import Ranking
from medrag.settings import load_recipe
from medrag.types import Hit, ImageRecord, Page, Passage

TASK = load_task("retrieval_page")


def test_a_definition_asks_for_the_chapter_and_leaves_the_glossary_out(tmp_path: Path) -> None:
    found = derived(with_glossary(tmp_path / "book.pdf"))
    definitions = [one for one in found if one.kind == "definition"]
    assert [(one.text, one.pages, one.leave_out) for one in definitions] == [
        ("space between the two layers that wrap the organs of breathing", (1,), (3,))
    ]
    terms = {one.text: one.pages for one in found if one.kind == "term"}
    assert terms == {"pleural cavity": (1, 3), "carina": (2, 3)}
    assert [(one.text, one.pages) for one in found if one.kind == "caption"] == [
        ("The bronchial tree seen from the front with its branches.", (2,))
    ]


def test_what_is_drawn_does_not_depend_on_the_order(tmp_path: Path) -> None:
    found = derived(with_glossary(tmp_path / "book.pdf"))
    most = {"definition": 1, "term": 1, "caption": 1}
    assert drawn(found, most) == drawn(found[::-1], most) and len(drawn(found, most)) == 3


def test_hits_count_for_the_page_they_stand_on_at_its_best_rank() -> None:
    items = [Passage("b:x#p12~3", "b:x", ""), ImageRecord("b:x#p2f1", "b:x", "", ""), Passage("b:x#p12~0", "b:x", ""), Page("b:x#p1", "b:x", 1, (), 1, 1, ""), Passage("iu:7~0", "iu:7", "")]  # fmt: skip
    assert page_ids([Hit(item, 1.0, n, "") for n, item in enumerate(items, 1)]) == ["b:x#p12", "b:x#p2", "b:x#p1"]


def _index(**found: list[str]) -> SimpleNamespace:
    """Retrievers that always find the same pages, over an index of nine."""

    def one(pages: list[str]) -> SimpleNamespace:
        hits = [Hit(Passage(f"{page}~0", "b:x", ""), 9.0 - n, n, "") for n, page in enumerate(pages, 1)]
        return SimpleNamespace(retrieve=lambda query, k: hits[:k])

    pages = [Page(f"b:x#p{n}", "b:x", n, (), 1, 1, "") for n in range(1, 10)]
    store = SimpleNamespace(items=SimpleNamespace(iterate=lambda kinds: iter(pages)))
    return SimpleNamespace(retrievers={name: one(ids) for name, ids in found.items()}, fingerprint="f", store=store)


def test_the_page_with_the_very_words_is_not_found() -> None:
    example = Example("a", "b:x#p2", "what?", {"b:x#p2": 1}, exclude=("b:x#p3",))
    arm = make_page_finder("dense", _index(dense=["b:x#p3", "b:x#p2"]), 0)  # type: ignore[arg-type]
    assert arm(example).value == {"b:x#p2": 1.0}
    chance = make_page_finder("random", _index(), 0)(example).value  # type: ignore[arg-type]
    assert set(chance) == {f"b:x#p{n}" for n in range(1, 10) if n != 3}


def test_several_retrievers_are_fused_and_an_unknown_one_is_named() -> None:
    example = Example("a", "g", "what?", {})
    rag = _index(dense=["b:x#p1", "b:x#p2"], lexical=["b:x#p2", "b:x#p4"])
    value = make_page_finder("dense+lexical", rag, 0)(example).value  # type: ignore[arg-type]
    assert max(value, key=value.__getitem__) == "b:x#p2" and set(value) == {"b:x#p1", "b:x#p2", "b:x#p4"}
    with pytest.raises(SettingsError, match="page-lexical"):
        make_page_finder("page-lexical", rag, 0)  # type: ignore[arg-type]


def test_near_counts_a_neighbour_in_the_same_document() -> None:
    gold = {"b:x#p7": 1}
    found = [{"b:x#p8": 1.0}, {"b:y#p8": 1.0}, {"b:x#p9": 1.0}]
    rows = PageRanking().rows(found, [gold] * 3)
    near = PageRanking.NAMES.index("near@5")
    assert rows[:, near].tolist() == [1.0, 0.0, 0.0] and not rows[:, :near].any()
    assert near_pages("b:x#p1") == {"b:x#p0", "b:x#p1", "b:x#p2"} and near_pages("other") == {"other"}


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, 30), unique=True, max_size=20),
            st.sets(st.integers(1, 30), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_scores_are_those_of_trec_eval(cases: list[tuple[list[int], set[int]]]) -> None:
    pytest.importorskip("ir_measures")
    answers = [{f"b:x#p{page}": 1 / rank for rank, page in enumerate(order, 1)} for order, _ in cases]
    references = [{f"b:x#p{page}": 1 for page in gold} for _, gold in cases]
    ours, theirs = PageRanking(), Ranking()
    ones = np.ones((1, len(cases)))
    mine = ours.totals(ours.rows(answers, references), ones)
    other = theirs.totals(theirs.rows(answers, references), ones)
    for name in ("recall@10", "ndcg@10"):
        assert mine[name][0] == pytest.approx(other[name][0])
    assert mine["near@5"][0] >= mine["recall@5"][0] >= mine["recall@1"][0]


def test_a_folder_without_books_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="--data"):
        sources.SOURCES[TASK.source](tmp_path, "all", TASK)


def test_written_questions_are_enough_and_each_stands_once() -> None:
    rows = page_questions.written().questions
    assert len(rows) >= 80 and len({row.q for row in rows}) == len(rows)
    assert min(Counter(row.kind for row in rows).values()) >= 10
    assert {row.doc for row in rows} <= set(page_questions.written().docs)


def test_the_recipe_has_what_the_task_asks() -> None:
    recipe = load_recipe(TASK.recipe)
    found = {index.retriever or {"bm25": "lexical"}.get(index.kind, "dense") for index in recipe.indexes.values()}
    assert {*TASK.baselines, "pages"} - {"random"} <= found
    assert {corpus.name for corpus in recipe.corpora} == set(page_questions.FOLDERS)


@pytest.fixture
def data() -> Path:
    return Path(os.environ.get("MEDRAG_DATA", "nowhere"))


@pytest.mark.data
def test_the_task_asks_enough_and_no_gold_page_is_left_out(data: Path) -> None:
    examples = sources.SOURCES[TASK.source](data, "all", TASK)
    assert len(examples) >= 200 and len({one.id for one in examples}) == len(examples)
    assert not any(set(one.reference) & set(one.exclude) for one in examples)
    assert Counter(tag for one in examples for tag in one.tags)["derived"] == sum(page_questions.DRAWN.values())


@pytest.mark.data
def test_gold_pages_hold_the_words_that_answer(data: Path) -> None:
    import pymupdf

    found = page_questions.written()
    paths = {path.stem: path for folder in page_questions.FOLDERS.values() for path in (data / folder).glob("*.pdf")}
    texts: dict[tuple[str, int], str] = {}
    for name, stem in found.docs.items():
        with pymupdf.open(paths[stem]) as document:
            for number in {page for row in found.questions if row.doc == name for page in row.pages}:
                texts[name, number] = " ".join(
                    document[number - 1].get_text(flags=0).lower().replace("-\n", "").split()
                )
    wrong = [
        (row.q, page, word)
        for row in found.questions
        for page in row.pages
        for word in row.says
        if word.lower() not in texts[row.doc, page]
    ]
    assert not wrong


@pytest.mark.slow
@pytest.mark.data
def test_page_ids_are_those_of_the_reader(data: Path) -> None:
    pages = {item.id for item in PdfPages("guidelines", data / "open/pdfs", figures=False).read(lambda _: None)}
    gold = {page for one in sources.SOURCES[TASK.source](data, "written", TASK) for page in one.reference}
    assert {page for page in gold if page.startswith("guidelines")} <= pages
