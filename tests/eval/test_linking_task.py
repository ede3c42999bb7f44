"""Names linked to codes: what counts as right, why the others are missed, and the pack's own terms."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.corpora import realdata
from medrag.errors import CorpusError, SettingsError
from medrag.eval import linking
from medrag.eval.linking import CAUSES, Codes, Linking, exact, make_linker
from medrag.eval.runner import Run, limited, run
from medrag.eval.tasks import Example, load_task
from medrag.graph import GraphStore
from medrag.types import Concept, Triple

FOCUS = "<Document id='1'><Focus>{}</Focus><UMLS><CUIs>{}</CUIs></UMLS><QAPairs></QAPairs></Document>"
OTHER = "<doc><doctitle-focus>Gout</doctitle-focus><cui>C0000008</cui></doc>"
OBO = """format-version: 1.2

[Term]
id: HP:0000002
name: Pleural effusion
synonym: "Fluid around lungs" EXACT []
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    path = tmp_path_factory.mktemp("graph") / "g"
    concepts: list[Concept | Triple] = [
        Concept("hpo:HP:0000002", "Pleural effusion", ("Fluid around lungs",), ("C0000002",)),
        Concept("mondo:MONDO:0000003", "Wandering bone disease", cuis=("C0000003",), xrefs=("MESH:D000004",)),
        Concept(
            "mondo:MONDO:0000007", "Roaming bone disease", xrefs=("MESH:D000004",)
        ),  # two refer to it: no node of one
        Concept("mesh:MESH:D000004", "Another entry altogether", cuis=("C0000004",)),
        Concept("mondo:MONDO:0000005", "Cold sore", cuis=("C0000005",)),
        Concept("doid:DOID:6", "Herpes simplex labialis", ("Cold sore",), ("C0000006",)),
        Concept("mesh:MESH:D000010", "Cats"),  # without a code
        Concept("mondo:MONDO:0000011", "Gout", cuis=("C0000011",)),
        Concept("mondo:MONDO:0000012", "Gout of the toe", cuis=("C0000012",)),
        Concept("mondo:MONDO:0000013", "Gout of the great toe", cuis=("C0000013",)),
    ]
    concepts += [
        Triple(f"t:{a}", "t", a, "is_a", b, f"MONDO:{a}", f"MONDO:{b}")
        for a, b in (("0000013", "0000012"), ("0000012", "0000011"))
    ]
    with GraphStore.create(path) as builder:
        builder.add(concepts)
        builder.finish()
    return GraphStore.open(path)


def opened(store: GraphStore) -> Any:
    manifest = SimpleNamespace(content_hash="test")
    return lambda: SimpleNamespace(store=SimpleNamespace(graph_path=store.path, manifest=manifest))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    root = tmp_path / "open/medquad"
    for place, text in {
        "a/1.xml": FOCUS.format("Pleural  Effusion", "<CUI>C0000002</CUI><CUI>C9999999</CUI>"),
        "a/2.xml": FOCUS.format("No code", ""),
        "b/3.xml": FOCUS.format("pleural effusion", "<CUI>C9999999</CUI><CUI>C0000002</CUI>"),
        "c/4.xml": OTHER,
    }.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)
    (tmp_path / "open/kg").mkdir()
    (tmp_path / "open/kg/hp.obo.gz").write_bytes(gzip.compress(OBO.encode()))
    return tmp_path


def test_a_focus_term_comes_once_whatever_its_case_and_files(pack: Path) -> None:
    found = linking.terms(pack, "medquad", load_task("linking"))
    assert [(e.question, e.reference) for e in found] == [
        ("Pleural Effusion", ["UMLS:C0000002", "UMLS:C9999999"]),
        ("Gout", ["UMLS:C0000008"]),
    ]
    assert found[0].tags == ("medquad", "medquad: a")


def test_names_and_synonyms_of_hpo_stand_for_their_term(pack: Path) -> None:
    found = linking.terms(pack, "hpo", load_task("linking"))
    assert [(e.question, e.group, e.reference) for e in found] == [
        ("Pleural effusion", "HP:0000002", ["HP:0000002"]),
        ("Fluid around lungs", "HP:0000002", ["HP:0000002"]),
    ]
    assert len(linking.terms(pack, "all", load_task("linking"))) == 4


def test_a_folder_without_terms_says_so(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="MedQuAD"):
        realdata.medquad_terms(tmp_path)


def test_a_node_has_its_codes_and_those_that_its_cross_references_name(store: GraphStore) -> None:
    codes = Codes(store)
    assert set(codes.of("HP:0000002")) == {"HP:0000002", "UMLS:C0000002"}
    assert set(codes.of("MONDO:0000003")) == {"MONDO:0000003", "UMLS:C0000003", "UMLS:C0000004"}
    assert set(codes.of("MESH:D000004")) == {
        "MESH:D000004",
        "UMLS:C0000004",
    }  # who refers to it is no reference of its own


def test_exact_names_differ_in_case_alone_and_preferred_ones_come_first(store: GraphStore) -> None:
    assert exact(store, "PLEURAL effusion") == ["HP:0000002"]
    assert exact(store, "pleural effusions") == exact(store, "effusion, pleural") == []
    assert exact(store, "cold SORE") == ["MONDO:0000005", "DOID:6"]


@pytest.mark.parametrize(
    ("name", "codes", "column"),
    [
        ("fluid around the lungs", ["HP:0000002"], "right"),
        ("Wandering bone disease", ["UMLS:C0000004"], "right"),
        ("Pleural effusion", ["UMLS:C7777777"], "code_not_in_graph"),
        ("Cold sore", ["UMLS:C0000006"], "ambiguous"),
        ("Quite unheard of", ["UMLS:C0000005"], "no_such_name"),
        ("Pleural effusion", ["UMLS:C0000005"], "another_concept"),
        ("Gout of the great toe", ["UMLS:C0000011"], "narrower"),
        ("Gout", ["UMLS:C0000013"], "broader"),
        ("Cats with gout", ["UMLS:C0000011"], "right"),
    ],
)
def test_a_name_is_right_or_missed_for_one_cause(store: GraphStore, name: str, codes: list[str], column: str) -> None:
    said = make_linker("linker", opened(store))(Example("1", "1", name, codes))
    row = Linking().rows_with([said.value], [codes], [said.details])[0]
    assert dict(zip(("right", *CAUSES), row[1:], strict=True)) == {c: float(c == column) for c in ("right", *CAUSES)}


def test_what_the_linker_finds_does_not_depend_on_the_reference(store: GraphStore) -> None:
    arm = make_linker("linker", opened(store))
    values = [arm(Example("1", "1", "Cold sore", codes)).value for codes in (["HP:0000002"], ["UMLS:C0000006"])]
    assert values[0] == values[1]


CODES = st.lists(st.sampled_from(["N:1", "UMLS:C1", "UMLS:C2", "HP:3"]), min_size=1, max_size=3)
ANSWERS = st.one_of(st.sampled_from(["", "C1", "HP:3"]), st.lists(CODES, max_size=3))
FLAGS = st.fixed_dictionaries({}, optional={"known": st.booleans(), "named": st.booleans()})


@given(st.lists(st.tuples(ANSWERS, CODES, FLAGS), min_size=1, max_size=8))
def test_accuracy_and_the_causes_of_misses_sum_to_one(cases: list[Any]) -> None:
    measure = Linking()
    found = measure.totals(measure.rows_with(*zip(*cases, strict=True)), np.ones((1, len(cases))))
    assert found["accuracy"][0] + sum(found[f"miss/{cause}"][0] for cause in CAUSES) == pytest.approx(1)
    assert found["accuracy"][0] <= found["among_candidates"][0] <= 1
    assert found["accuracy"][0] <= found["linked"][0]
    assert np.nan_to_num(found["precision"][0]) * found["linked"][0] == pytest.approx(found["accuracy"][0])


def test_somebody_elses_linker_answers_with_a_code() -> None:
    rows = Linking().rows(["C0000002", "HP:0000002", "", "C1"], [["UMLS:C0000002"], ["HP:0000002"], ["HP:1"], ["HP:1"]])
    assert rows[:, :2].tolist() == [[1, 1], [1, 1], [0, 0], [1, 0]]


def test_the_task_runs_beside_its_baseline(store: GraphStore, pack: Path, tmp_path: Path) -> None:
    task = load_task("linking")
    examples = tuple(linking.terms(pack, "all", task))
    planned = Run(task, pack, "all", examples, opened(store))
    result = run(planned, "linker", tmp_path / "out.json", draws=100)
    assert result["scores"]["accuracy"] == 0.75 and result["scores"]["miss/code_not_in_graph"] == 0.25
    assert set(result["baselines"]) == {"exact-name"}
    assert (
        run(planned, "linker", tmp_path / "out.json", draws=100)["scores"] == result["scores"]
    )  # from the kept answers
    with pytest.raises(SettingsError, match="exact-name"):
        run(planned, "linkers", tmp_path / "other.json")


def test_a_recipe_without_a_graph_is_told_so(tmp_path: Path) -> None:
    bare = SimpleNamespace(store=SimpleNamespace(graph_path=tmp_path / "none"))
    with pytest.raises(SettingsError, match="ontologies"):
        make_linker("linker", lambda: bare)  # type: ignore[arg-type,return-value]


@pytest.mark.data
def test_the_packs_terms() -> None:
    terms = realdata.medquad_terms(Path(os.environ["MEDRAG_DATA"]))
    assert (len(terms), len({cui for term in terms for cui in term.cuis})) == (7727, 5612)
    ids = ["10_MPlus_ADAM_QA/0000001", "10_MPlus_ADAM_QA/0000019", "8_NHLBI_QA_XML/0000139"]
    assert [terms[n].id for n in (0, 9, -1)] == ids
    assert limited([Example(t.id, t.focus, t.focus, list(t.cuis)) for t in terms], 20, 0)
