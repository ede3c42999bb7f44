"""What selectors keep of judged candidates: the arms' bounds, the budget, and the measure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.errors import CorpusError, SettingsError
from medrag.eval import collections, selection, tune_selection
from medrag.eval.rankers import Parts
from medrag.eval.runner import Run, run
from medrag.eval.selection import FIRED, SELECTORS, Selection, make_selector, within
from medrag.eval.tasks import Task, load_task
from medrag.prompts import evidence_tokens
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings, SelectSettings
from medrag.testing import FakeEncoder
from medrag.types import Hit, Passage

DOCS = {
    "D1": "statins lower cholesterol in the blood",
    "D2": "broccoli and cancer of the colon",
    "D3": "salt and blood pressure",
    "D4": "cholesterol is carried in the blood by lipoproteins " * 12,
}


@pytest.fixture
def task() -> Task:
    return load_task("selection")


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "noncommercial/nfcorpus"
    root.mkdir(parents=True)
    (root / "mini.docs.gz").write_text("".join(f"{doc}\t{text}\n" for doc, text in DOCS.items()))
    (root / "mini.3-2-1.qrel").write_text("Q1\t0\tD1\t3\nQ1\t0\tD4\t2\nQ2\t0\tD2\t1\n")
    (root / "mini.titles.queries").write_text("Q1\tcholesterol in the blood\nQ2\tdoes broccoli help\n")
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Parts, "encoder", FakeEncoder())
    return tmp_path


def opened(budget: int = 1200, **changes: Any) -> Any:
    settings = PipelineSettings.model_validate({"select": {"budget": budget}, **changes})
    return lambda: SimpleNamespace(selector=AdaptiveSelector(settings.select), settings=settings)


def kept(name: str, pack: Path, task: Task, budget: int = 1200) -> list[set[str]]:
    arm = make_selector(name, task, pack, "mini", opened(budget))
    return [set(arm(example).value) for example in collections.nfcorpus(pack, "mini").examples]


def test_the_arms_keep_what_their_names_say(pack: Path, task: Task) -> None:
    assert [len(one) for one in kept("fixed-1", pack, task)] == [1, 1]
    assert kept("keep-all", pack, task) == [set(DOCS), set(DOCS)]
    assert kept("oracle", pack, task) == [{"D1", "D4"}, {"D2"}]
    assert "D2" in kept("adaptive", pack, task)[1]


@pytest.mark.parametrize("name", SELECTORS)
def test_no_arm_goes_over_the_budget_and_all_choose_from_the_same_candidates(pack: Path, task: Task, name: str) -> None:
    arm = make_selector(name, task, pack, "mini", opened(40))
    for example in collections.nfcorpus(pack, "mini").examples:
        said = arm(example)
        assert said.details["tokens"] <= 40 and "D4" not in said.value  # it alone is longer
        assert sorted(said.details["candidates"]) == sorted(DOCS) and set(said.value) <= set(DOCS)


def test_candidates_know_their_parents_and_their_corpus(pack: Path) -> None:
    pool = selection.pool("nfcorpus", pack, "mini")
    rankings = pool.rankings(collections.nfcorpus(pack, "mini").examples[0], 20)
    hits = selection.fused(rankings, opened()().settings)
    assert hits[0].item.doc == "D1" and hits[0].item.id == "nfcorpus:D1"
    assert {parent.retriever for hit in hits for parent in hit.parents} == {"lexical", "dense"}
    assert all(parent.item.text == DOCS[hit.item.doc] for hit in hits for parent in hit.parents)


def test_the_oracle_is_marked_and_unknown_arms_are_named(pack: Path, task: Task) -> None:
    assert "upper bound" in make_selector("oracle", task, pack, "mini", opened()).settings
    assert "upper bound" not in make_selector("adaptive", task, pack, "mini", opened()).settings
    with pytest.raises(SettingsError, match="fixed-3"):
        make_selector("fixed-2", task, pack, "mini", opened())


def test_the_task_runs_and_no_arm_beats_the_oracle(pack: Path, task: Task) -> None:
    examples = collections.nfcorpus(pack, "mini").examples
    planned = Run(task, pack, "mini", examples, opened())
    results = {name: run(planned, name, pack / f"{name}.json", draws=100)["scores"] for name in SELECTORS}
    assert results["oracle"]["precision"] == results["oracle"]["recall"] == 1
    assert all(one["f1"] <= results["oracle"]["f1"] for one in results.values())
    assert results["keep-all"]["precision"] == pytest.approx(3 / 8)


TEXTS = st.lists(st.text("ab ", max_size=60), max_size=12)


@given(TEXTS, st.integers(0, 60))
def test_what_is_within_a_budget_fits_and_nothing_more_would(texts: list[str], budget: int) -> None:
    hits = [Hit(Passage(f"c:{n}", f"{n}", text), 1.0, n + 1, "fused") for n, text in enumerate(texts)]
    chosen = within(hits, budget)
    spent = evidence_tokens(*chosen)
    assert spent <= budget
    assert all(evidence_tokens(hit) > budget - spent for hit in hits if hit not in chosen)


SETS = st.sets(st.sampled_from("abcdef"))


@given(st.lists(st.tuples(SETS, SETS, SETS), min_size=1, max_size=8))
def test_precision_recall_and_f1_are_those_of_the_pooled_sets(cases: list[tuple[set[str], set[str], set[str]]]) -> None:
    answers = [dict.fromkeys(candidates & keep, 1.0) for candidates, keep, _ in cases]
    judged = [dict.fromkeys(relevant, 1) for *_, relevant in cases]
    details = [{"candidates": sorted(candidates), "tokens": 7} for candidates, *_ in cases]
    found = Selection().totals(Selection().rows_with(answers, judged, details), np.ones((1, len(cases))))
    pairs = {(n, doc) for n, one in enumerate(answers) for doc in one}
    true = {(n, doc) for n, (candidates, _, relevant) in enumerate(cases) for doc in candidates & relevant}
    for name, part, whole in (("precision", pairs & true, pairs), ("recall", pairs & true, true)):
        expected = len(part) / len(whole) if whole else np.nan
        assert found[name][0] == pytest.approx(expected, nan_ok=True)
    assert found["tokens"][0] == 7 and found["kept"][0] == pytest.approx(len(pairs) / len(cases))


def test_a_document_that_is_judged_not_relevant_and_one_kept_in_vain() -> None:
    rows = Selection().rows_with([{"a": 1.0}, {}], [{"a": 0}, {"b": 2}], [{"candidates": ["a"]}, {"candidates": ["b"]}])
    found = Selection().totals(rows, np.ones((1, 2)))
    assert found["precision"][0] == 0 and found["kept_in_vain"][0] == 1 and found["empty"][0] == 0.5


def test_how_often_each_rule_took_something_out_is_told() -> None:
    dropped = [{"gap": 3, "place": 1}, {"gap": 1, "budget": 2}, {}, {"floor": 4}]
    details = [{"candidates": [], "dropped": one} for one in dropped]
    found = Selection().totals(Selection().rows_with([{}] * 4, [{}] * 4, details), np.ones((1, 4)))
    told = {name: float(value[0]) for name, value in found.items() if name.endswith(("_fired", "_dropped"))}
    assert {name: value for name, value in told.items() if value} == {
        "gap_fired": 0.5, "gap_dropped": 1.0, "budget_fired": 0.25, "budget_dropped": 0.5, "floor_fired": 0.25, "floor_dropped": 1.0,
    }  # fmt: skip
    assert len(told) == 2 * len(FIRED)


def test_the_recipes_selector_says_which_rule_dropped_what_and_a_fixed_number_has_none(pack: Path, task: Task) -> None:
    example = collections.nfcorpus(pack, "mini").examples[0]
    said = make_selector("adaptive", task, pack, "mini", opened(40))(example).details
    assert said["dropped"]["budget"] == 1  # the one that alone is longer
    assert make_selector("fixed-3", task, pack, "mini", opened(40))(example).details["dropped"] == {}


def test_a_choice_keeps_to_the_budget_and_beats_what_it_began_with(
    pack: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relevant are the best hit and what scores nearly as well; the rule that tells them is the gap of the words."""
    asked = collections.nfcorpus(pack, "mini").examples
    examples = [replace(asked[n % 2], id=f"q{n}", group=f"g{n}") for n in range(30)]
    monkeypatch.setattr(tune_selection, "GAPS", (0.1, None))
    settings = opened()().settings
    found = tune_selection.tune_selection(task, pack, "mini", examples, settings, k=2, draws=100)
    assert found["queries"] == [15, 15] and set(found["settings"]) == {"weights", "select"}
    assert set(found["settings"]["select"]) == {"gaps", "shares", "quota", "floors"}
    assert len(found["fixed_anew"]["gained"]) == 3
    assert (
        set(found["chosen"]["fired"]) == set(found["before"]["fired"]) == set(FIRED) and "fired" not in found["fixed"]
    )
    assert all(0 <= share <= 1 and share <= pieces for share, pieces in found["before"]["fired"].values())
    assert found["chosen"]["tokens"][0] <= 1.2 * found["fixed"]["tokens"][0]
    assert found["chosen"]["f1"][0] >= found["before"]["f1"][0] - 0.05 and len(found["fixed"]["gained"]) == 3
    with pytest.raises(CorpusError, match="too few"):
        tune_selection.tune_selection(task, pack, "mini", examples[:5], settings)
    with pytest.raises(SettingsError, match="no judged candidates"):
        tune_selection.tune_selection(load_task("routing"), pack, "mini", examples, settings)


def test_climbing_takes_what_is_better_and_affordable_alone() -> None:
    """F1 rises with the quota, and so do the tokens: the largest quota that the budget bears is chosen."""

    def measured(tried: PipelineSettings) -> Any:  # kept, relevant kept, relevant, tokens, candidates, dropped
        quota = tried.select.quota
        return np.array([[quota, quota, 10, 100 * quota, 10, *[0] * len(FIRED)]], float)

    start = PipelineSettings(select=SelectSettings(quota=3))
    assert tune_selection.climb(start, measured, 450).select.quota == 4
    assert tune_selection.climb(start, measured, 300) == start
    assert tune_selection.climb(start, measured, 50) == start


def test_climbing_weighs_words_and_meaning_and_finds_the_least_cosine() -> None:
    """F1 rises with the weight of words up to 2, and with the floor up to 0.35."""

    def measured(tried: PipelineSettings) -> Any:
        worth = 5 - abs(tried.weights.get("lexical", 1.0) - 2) - 10 * abs(tried.select.floors["dense"] - 0.35)
        return np.array([[10, worth, 10, 100, 10, *[0] * len(FIRED)]], float)

    chosen = tune_selection.climb(PipelineSettings(), measured, 100)  # type: ignore[call-arg]
    assert chosen.weights == {"lexical": 2.0, "dense": 1.0} and chosen.select.floors["dense"] == 0.35


def test_settings_weigh_what_is_fused(pack: Path) -> None:
    example = collections.nfcorpus(pack, "mini").examples[0]
    rankings = selection.pool("nfcorpus", pack, "mini").rankings(example, 20)
    words = opened(weights={"lexical": 1.0, "dense": 0.0})().settings
    assert {p.retriever for hit in selection.fused(rankings, words) for p in hit.parents} == {"lexical"}


def test_a_choice_of_weights_leaves_those_of_other_retrievers_as_they_are() -> None:
    settings = PipelineSettings(weights={"graph": 0.0, "reports": 0.3, "dense": 2.0, "lexical": 1.0})
    for moved in tune_selection._moves(settings, "weights"):
        assert {**moved.weights, "lexical": 1.0} == settings.weights
    tried = [moved.weights["lexical"] / 2 for moved in tune_selection._moves(settings, "weights")]
    assert tried == list(tune_selection.WEIGHTS)
