"""Labels: one who does not hold those of a corpus finds what he would find in an index that was built without it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from labelled import NAMES, QUESTIONS, recipe
from PIL import Image

from medrag import MedRAG
from medrag.agent.graph import Agent
from medrag.build import append, build, delete
from medrag.errors import IndexMismatch, SettingsError
from medrag.graph.overview import overview
from medrag.indexes.faiss import FaissIndex
from medrag.indexes.flat import FlatIndex
from medrag.indexes.multivector import MultiVectorIndex
from medrag.query import make_query
from medrag.settings import Recipe
from medrag.testing import FakeGenerator

PICTURE = Image.fromarray(np.random.default_rng(20).integers(0, 255, (8, 8), np.uint8)).resize((32, 32))
LABELS = st.fixed_dictionaries({name: st.sets(st.sampled_from("xy")) for name in NAMES})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("labelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        build(recipe(folder, labels={name: ["x"] for name in NAMES}))
        yield folder


def opened(home: Path, labels: dict[str, Any], held: Collection[str], **options: Any) -> MedRAG:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home / "home"))
        return MedRAG.open(recipe(home, labels=labels), model=FakeGenerator(), access=sorted(held), **options)


@functools.cache
def without(home: Path, corpora: tuple[str, ...]) -> MedRAG:
    """The index of these corpora alone, built anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home / "-".join(corpora)))
        return MedRAG.open(recipe(home, corpora), model=FakeGenerator(), build=True)


def of_all(rag: MedRAG) -> dict[str, Any]:
    """What each retriever finds for each question and a picture: ids, scores and texts; and what is fused of it."""
    found: dict[str, Any] = {}
    for question in QUESTIONS:
        query = make_query(PICTURE, question)
        for name, one in rag.retrievers.items():
            hits = one.retrieve(query, 9)
            found[f"{name}: {question}"] = [(hit.item.id, round(hit.score, 5), hit.rank, hit.item.text) for hit in hits]
        found[question] = [(hit.item.id, round(hit.score, 6)) for hit in rag.retrieve(question, PICTURE, k=30)]
    return found


def corpora_in(value: Any) -> set[str]:
    """The names of the corpora that stand anywhere in a value, as it is printed."""
    return {name for name in NAMES if name in repr(value)}


@example({"alpha": {"x"}, "beta": set(), "gamma": {"x", "y"}, "delta": set(), "kappa": {"y"}}, {"x"})
@example({name: {"x"} for name in NAMES}, {"y"})
@settings(max_examples=3)
@given(LABELS, st.sets(st.sampled_from("xy")))
def test_a_restricted_user_finds_what_an_index_without_the_rest_gives(
    home: Path, labels: dict[str, set[str]], held: set[str]
) -> None:
    left = tuple(name for name in NAMES if labels[name] <= held)
    rag = opened(home, {name: sorted(wanted) for name, wanted in labels.items()}, held)
    assert rag.store is not None
    if not left:
        assert not any(any(hits) for hits in of_all(rag).values())
        return
    other = without(home, left)
    assert of_all(rag) == of_all(other)
    mine, theirs = rag.answer(PICTURE, QUESTIONS[0]), other.answer(PICTURE, QUESTIONS[0])
    assert [h.item.id for h in mine.context.kept] == [h.item.id for h in theirs.context.kept]
    assert [(d.hit.item.id, d.reason) for d in mine.context.dropped] == [
        (d.hit.item.id, d.reason) for d in theirs.context.dropped
    ]
    assert corpora_in(mine.to_dict()) <= set(left)
    assert other.store is not None
    assert rag.store.items.counts() == other.store.items.counts()
    assert overview(rag.store.graph_path) == overview(other.store.graph_path)
    assert set(rag.store.manifest.counts) == set(left)


def test_approximate_indexes_are_searched_to_the_end() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 16)).astype(np.float32)
    ids, asked = [f"{n:03}" for n in range(len(rows))], rng.normal(size=(40, 16)).astype(np.float32)
    flat, lists, several = FlatIndex(), FaissIndex("IVF16,Flat", nprobe=1), MultiVectorIndex(candidates=8, nprobe=1)
    flat.add(ids, rows)
    lists.add(ids, rows)
    several.add(ids, [row[None] for row in rows])
    exact, matrices = flat.search(asked, 5)[1], [row[None] for row in asked]
    assert lists.search(asked, 5)[1] != exact and several.search(matrices, 1)[1] != [row[:1] for row in exact]
    lists.exhaust()
    several.exhaust()
    assert lists.search(asked, 5)[1] == exact and several.search(matrices, 1)[1] == [row[:1] for row in exact]


HIDDEN = {"alpha": ["x"], "gamma": ["x"]}


def test_nobody_holds_a_label_unless_it_is_given(home: Path) -> None:
    assert corpora_in(of_all(opened(home, HIDDEN, ()))) == set(NAMES) - set(HIDDEN)
    assert corpora_in(of_all(opened(home, HIDDEN, ["x"]))) == set(NAMES)


def test_the_recipe_may_give_labels(home: Path) -> None:
    one = recipe(home, labels=HIDDEN)
    given_ = one.model_copy(update={"pipeline": one.pipeline.model_copy(update={"access": ("x",)})})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home / "home"))
        assert MedRAG.open(given_).store.items.count(corpora=["alpha"])  # type: ignore[union-attr]
        assert not MedRAG.open(given_, access=[]).store.items.count(corpora=["alpha"])  # type: ignore[union-attr]


def test_items_are_not_there_under_any_name(home: Path) -> None:
    store = opened(home, HIDDEN, ()).store
    assert store is not None
    whole = opened(home, HIDDEN, ["x"]).store
    assert whole is not None
    ids = [item.id for item in whole.items.iterate(corpora=["alpha"])]
    assert ids and not store.items.get(ids) and not store.items.by_doc(ids) and not store.items.ids_of(ids)
    assert not [item for item in store.items.iterate() if item.id.startswith(("alpha", "gamma"))]
    assert len(store.items) < len(whole.items)
    assert {len(store.index(name)) for name in store.recipe.indexes} <= {27, 12, 9}  # of three corpora


def test_the_loop_and_its_tools_see_no_more(home: Path) -> None:
    rag = opened(home, HIDDEN, ())
    answer = Agent(rag).answer(PICTURE, QUESTIONS[0], patient="P1")
    assert corpora_in(answer.to_dict()) == corpora_in(answer.to_dict()) - set(HIDDEN)
    assert [row["name"] for row in answer.trace if row.get("name")] or answer.trace
    from medrag.agent.desk import Desk
    from medrag.agent.tools import look_up, make_tools, patient_history

    desk = Desk(rag, make_query(PICTURE, QUESTIONS[0]), patient="P1")
    assert {study.id.partition(":")[0] for study in desk.studies} == {"beta", "delta", "kappa"}
    assert corpora_in(patient_history(desk)) == {"beta", "delta", "kappa"}
    for id_ in ("alpha:s0", "alpha:book0#0", "alpha:atlas#p1"):
        assert not look_up(desk, id_, tuple)[1].hits
    for name, tool in make_tools(desk).items():
        fields = tool.args_schema.model_fields  # type: ignore[union-attr]
        words = {field: QUESTIONS[0] for field in ("query", "term", "text") if field in fields}
        box = {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0} if name == "zoom" else {}
        if name not in ("answer", "abstain", "look_up", "compare_images"):
            told = tool.run({**words, **box}, tool_call_id="1")
            assert not corpora_in((told.content, told.artifact)) & set(HIDDEN), name


def test_what_shows_of_the_index_changes_with_what_is_seen_alone(home: Path, tmp_path: Path) -> None:
    before = opened(home, HIDDEN, ())
    assert before.fingerprint != opened(home, HIDDEN, ["x"]).fingerprint
    manifest = before.store.manifest  # type: ignore[union-attr]
    assert not corpora_in(manifest) & set(HIDDEN) and not manifest.files and not manifest.deleted
    folder = tmp_path / "again"
    folder.mkdir()
    for name in NAMES:
        source = (home / f"{name}.jsonl").read_text()
        changed = source.replace("nodule", "lump") if name == "alpha" else source
        (folder / f"{name}.jsonl").write_text(changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        other = MedRAG.open(recipe(folder, labels=HIDDEN), model=FakeGenerator(), build=True)
        assert other.store.manifest.content_hash == manifest.content_hash  # type: ignore[union-attr]


def test_another_user_of_the_same_pipeline(home: Path) -> None:
    rag = opened(home, HIDDEN, ["x"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home / "home"))
        less = rag.seen_by(())
        more = less.seen_by(["x"])
    assert less.generator is rag.generator and less.encoders["text"] is rag.encoders["text"]
    assert of_all(less) == of_all(opened(home, HIDDEN, ()))
    assert of_all(more) == of_all(rag)


def test_one_label_is_no_list_of_letters(home: Path) -> None:
    with pytest.raises(SettingsError, match=r"access is the text 'research'"):
        opened(home, {}, ()).seen_by("research")


def test_a_pipeline_without_a_recipe_has_no_labels(home: Path) -> None:
    rag = opened(home, {}, ())
    with pytest.raises(SettingsError, match="recipe"):
        MedRAG(rag.retrievers, rag.router, rag.selector, rag.generator).seen_by(["x"])


def test_an_index_of_withheld_corpora_alone_is_no_source(home: Path) -> None:
    raw = recipe(home, labels=HIDDEN).model_dump()
    raw["indexes"]["own"] = {"kind": "bm25", "items": ["study"], "corpora": ["alpha"], "retriever": "own"}
    raw["pipeline"]["weights"] = {"own": 2.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home / "own"))
        one = Recipe.model_validate(raw)
        assert "own" in MedRAG.open(one, build=True, access=["x"]).retrievers
        less = MedRAG.open(one)
    assert "own" not in less.retrievers and "own" not in less.answer(None, QUESTIONS[0]).route.weights


def test_a_corpus_that_was_added_keeps_its_labels(home: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home / "added"))
        base, grown = recipe(home, ["beta", "delta"]), recipe(home, ["kappa"], {"kappa": ["x"]})
        build(base)
        append(base, grown.corpora)
        assert corpora_in(of_all(MedRAG.open(base))) == {"beta", "delta"}
        assert corpora_in(of_all(MedRAG.open(base, access=["x"]))) == {"beta", "delta", "kappa"}


def test_labels_that_came_after_the_build_ask_for_another_where_the_graph_is_concerned(home: Path) -> None:
    without(home, NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(home / "-".join(NAMES)))
        with pytest.raises(IndexMismatch, match="medrag index build labelled"):
            MedRAG.open(recipe(home, labels=HIDDEN))


def test_what_was_made_for_one_who_sees_less_goes_with_what_is_deleted(home: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(tmp_path))
        whole = recipe(home, labels=HIDDEN)
        folder = build(whole).folder
        opened_less = MedRAG.open(whole, model=FakeGenerator())
        made = list((tmp_path / "seen").rglob("*.db"))
        assert made and opened_less.retrievers
        delete(folder, [next(iter(opened_less.store.items.ids()))])  # type: ignore[union-attr]
        assert not list((tmp_path / "seen").rglob("*.db"))


def test_labels_alone_read_nothing_again(home: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(tmp_path))
        first = build(recipe(home, ["alpha", "beta"]))
        again = build(recipe(home, ["alpha", "beta"], {"alpha": ["x"]}))
        assert again.fresh and again.content_hash == first.content_hash
        assert not build(recipe(home, ["alpha", "beta"], {"beta": ["y"]})).fresh
