"""The graph from the command line: built with what reports say, looked into, linked to, walked; and questions in privacy mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medrag.cli.app import app
from medrag.errors import SettingsError
from medrag.pipeline import MedRAG
from medrag.types import Query

TERMS = {
    "HP:0002202": ("Pleural effusion", "HP:0002103"), "HP:0002107": ("Pneumothorax", "HP:0002103"), "HP:0002103": ("Abnormal pleura morphology", ""),
    "HP:0002090": ("Pneumonia", ""), "HP:0031457": ("Pulmonary opacity", ""),
}  # fmt: skip
REPORTS = [
    "Small left pleural effusion.",
    "Left pleural effusion. Pulmonary opacity suggesting pneumonia.",
    "No left pleural effusion.",
]


def run(*args: str) -> Any:
    return CliRunner().invoke(app, list(args))


def values(*args: str) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built index of three reports and five terms."""
    folder = tmp_path_factory.mktemp("graph")
    terms = [
        f"[Term]\nid: {id}\nname: {name}\nxref: UMLS:C{id[3:]}\n{f'is_a: {above}' if above else ''}\n"
        for id, (name, above) in TERMS.items()
    ]
    (folder / "terms.obo").write_text("format-version: 1.2\n\n" + "\n".join(terms))
    rows = "".join(f"{n},{text},\n" for n, text in enumerate(REPORTS))
    (folder / "reports.csv").write_text(f"uid,findings,impression\n{rows}")
    (folder / "phenotype.hpoa").write_text(
        "database_id\tdisease_name\tqualifier\thpo_id\treference\tevidence\tonset\tfrequency\tsex\tmodifier\taspect\tbiocuration\n"
        "OMIM:1\tStiff lung disease\t\tHP:0002107\tPMID:1\tPCS\t\tHP:0040282\t\t\tP\tHPO\n"
    )
    (folder / "letters_of.py").write_text(
        "from medrag.testing import FakeEncoder\n\nclass Letters(FakeEncoder):\n"
        "    def __init__(self, model, *, batch, device): super().__init__(name=model)\n"
    )
    (folder / "small.yaml").write_text(
        f"name: small\npipeline: {{link_near: letters}}\nencoders: {{letters: {{model: letters, kind: 'letters_of:Letters'}}}}\ncorpora:\n"
        f"  - {{name: notes, reader: reports-csv, path: {folder / 'reports.csv'}, options: {{domain: chest-xray}}}}\n"
        f"  - {{name: hpo, reader: obo, path: {folder / 'terms.obo'}}}\n"
        f"  - {{name: hpoa, reader: hpoa, path: {folder / 'phenotype.hpoa'}}}\n"
        f"indexes:\n  lexical: {{kind: bm25, items: [passage]}}\n"
        f"  statements: {{kind: flat, encoder: letters, items: [triple], retriever: statements}}\ngraph: {{said: [reports]}}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        patch.syspath_prepend(str(folder))
        built = values("graph", "build", str(folder / "small.yaml"))
        assert built["counts"]["statement"] == built["graph"]["sources"]["notes"]
    return folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(home / "home"))
    monkeypatch.syspath_prepend(str(home))


def test_info_counts_by_relation_polarity_and_source() -> None:
    facts = values("graph", "info", "--index", "small")
    assert facts["relations"]["is_a"] == facts["sources"]["hpo"] == 2
    assert sum(facts["relations"].values()) == sum(facts["polarities"].values()) == facts["edges"]
    assert facts["polarities"]["absent"] >= 1 and facts["concepts"] > len(TERMS)
    shown = run("graph", "info", "--index", "small").stdout
    assert "suggestive_of" in shown and "small" in shown


def test_link_gives_concepts_with_cui_and_polarity() -> None:
    found = values("graph", "link", "No pneumothorax, but a pleural effusion.", "--index", "small")
    assert [(m["text"], m["polarity"], m["concepts"][0]["id"], m["cuis"]) for m in found] == [
        ("pneumothorax", "absent", "HP:0002107", ["C0002107"]), ("pleural effusion", "present", "HP:0002202", ["C0002202"]),
    ]  # fmt: skip
    assert "HP:0002107 Pneumothorax" in run("graph", "link", "no pneumothorax", "--index", "small").stdout
    assert run("graph", "link", "nothing", "--index", "small").exit_code == 0


def test_link_says_that_a_last_word_is_a_guess() -> None:
    asked = ("graph", "link", "Pneumonia; the lung shows an opacity.", "--index", "small")
    assert [one["by"] for one in values(*asked)] == ["name", "guess: last word of a name"]
    assert (
        "guess" in run(*asked).stdout and "guess" not in run("graph", "link", "Pneumonia.", "--index", "small").stdout
    )


@pytest.mark.parametrize("concept", ["HP:0002107", "C0002107", "pneumothorax", "UMLS:C0002107", "PTX"])
def test_codes_of_a_concept_by_vocabulary(concept: str) -> None:
    (found,) = values("graph", "codes", concept, "--index", "small")
    assert found == {"id": "HP:0002107", "name": "Pneumothorax", "codes": {"HP": ["0002107"], "UMLS": ["C0002107"]}}
    shown = run("graph", "codes", concept, "--index", "small").stdout
    assert "HPO" in shown and "C0002107" in shown
    assert run("graph", "codes", "zzyzx", "--index", "small").exit_code == 1


def test_link_by_the_nearest_name_and_says_that_it_did(home: Path) -> None:
    asked = ("graph", "link", "pneumotoraxx and pneumonia", "--index", str(home / "small.yaml"))
    assert [one["by"] for one in values(*asked)] == ["name"]
    near, named = values(*asked, "--near")
    assert near["concepts"][0]["id"] == "HP:0002107" and near["by"].startswith("nearest name, 0.")
    assert named["by"] == "name" and "nearest name" in run(*asked, "--near").stdout


def test_questions_are_linked_by_the_nearest_name_where_the_recipe_says_so(
    home: Path,
) -> None:
    question, ids = "What is a pneumotoraxx?", []
    for name in ("letters", ""):
        with MedRAG.open(home / "small.yaml", link_near=name) as rag:
            ids.append([hit.item.id for hit in rag.retrievers["graph"].retrieve(Query(question), 5)])
            changed = rag.calibrated_for["settings"]
        ids.append([changed])
    assert any("HP:0002107" in one for one in ids[0]) and not ids[2] and ids[1] != ids[3]
    with pytest.raises(SettingsError, match="no_such"):
        MedRAG.open(home / "small.yaml", link_near="no_such")
    with pytest.raises(SettingsError, match="reads images"):
        MedRAG.open(home / "small.yaml", link_near="efficientnet-lite2")


@pytest.mark.parametrize(
    "ends", [("HP:0002202", "C0002107"), ("pleural effusions", "hpo:HP:0002107"), ("Pleural effusion", "pneumothorax")]
)
def test_path_by_code_cui_or_name(ends: tuple[str, str]) -> None:
    first = values("graph", "path", *ends, "--index", "small")[0]
    assert first["sentence"] == "Pleural effusion and pneumothorax are both kinds of abnormal pleura morphology."
    assert first["path"] == ["HP:0002202", "HP:0002103", "HP:0002107"] and first["sources"] == ["hpo"]


def test_path_quotes_the_reports_that_state_it() -> None:
    result = run("graph", "path", "opacity in the lung", "pneumonia", "--index", "small")
    result = run("graph", "path", "pulmonary opacity", "pneumonia", "--index", "small") if result.exit_code else result
    assert "Pulmonary opacity can suggest pneumonia (stated in 1 report)." in result.stdout
    assert "notes:1" in result.stdout and "“Pulmonary opacity suggesting pneumonia.”" in result.stdout


def test_no_path_is_no_failure_and_an_unknown_name_is_one() -> None:
    result = run("graph", "path", "pneumothorax", "pneumonia", "--index", "small")
    assert result.exit_code == 0 and "no path of up to 3 statements" in result.stderr and not result.stdout
    one = run("graph", "path", "pneumothorax", "pneumonia", "--hops", "1", "--index", "small")
    assert "no path of one statement" in one.stderr
    same = run("graph", "path", "pneumothorax", "HP:0002107", "--index", "small")
    assert same.exit_code == 0 and "both mean HP:0002107 Pneumothorax" in same.stderr and not same.stdout
    result = run("graph", "path", "pneumothorax", "zzyzx", "--index", "small")
    assert result.exit_code == 1 and "zzyzx" in result.stderr and "medrag graph link" in result.stderr


def test_neighbours_say_how_often() -> None:
    (found,) = values("graph", "neighbours", "pneumothorax", "--index", "small", "--relation", "has_phenotype")
    assert found["frequency"] == "HP:0040282"
    assert found["sentence"] == "Pneumothorax can be a feature of stiff lung disease (frequent: 30–79 %)."


def test_statements_are_found_by_meaning_too(home: Path) -> None:
    with MedRAG.open(home / "small.yaml") as rag:
        found = rag.retrieve("stif lungs diseas", k=20)
    assert any(hit.item.kind == "triple" and "tiff lung disease" in hit.item.text for hit in found)


def test_neighbours_with_polarity_and_counts() -> None:
    found = values("graph", "neighbours", "pleural effusion", "--index", "small", "--relation", "modified_by")
    said = {(one["sentence"], one["polarity"]) for one in found}
    assert ("Pleural effusion is described as left (stated in 2 reports).", "present") in said
    assert ("Pleural effusion is denied as left (stated in 1 report).", "absent") in said
    assert len(values("graph", "neighbours", "pleural effusion", "--index", "small", "-k", "1")) == 1


def test_a_relation_that_a_concept_has_not_is_told_with_those_it_has() -> None:
    told = run("graph", "neighbours", "pleural effusion", "--index", "small", "--relation", "foo").stderr
    assert "the graph states no foo of 'pleural effusion', but " in told and "modified_by" in told


def test_an_index_without_a_graph_says_so(home: Path) -> None:
    (home / "bare.yaml").write_text(
        f"name: bare\ncorpora:\n  - {{name: notes, reader: reports-csv, path: {home / 'reports.csv'}}}\n"
        "indexes:\n  lexical: {kind: bm25, items: [passage]}\n"
    )
    assert run("index", "build", str(home / "bare.yaml")).exit_code == 0
    result = run("graph", "info", "--index", "bare")
    assert result.exit_code == 1 and "has no graph" in result.stderr and "add an ontology" in result.stderr


def test_ask_in_privacy_mode_cites_the_graph_alone(home: Path) -> None:
    question = "Can a pulmonary opacity suggest pneumonia?"
    source = str(home / "small.yaml")
    plain = values("ask", question, "--index", source)
    hidden = values("ask", question, "--index", source, "--private")
    kinds = [{hit["kind"] for hit in one["context"]["kept"]} for one in (plain, hidden)]
    assert "passage" in kinds[0] and kinds[1] and kinds[1] <= {"concept", "triple"}


def test_private_reaches_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []

    def fake(source: Any, **settings: Any) -> Any:
        opened.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(MedRAG, "open", fake)
    for flag in ([], ["--private"]):
        run("ask", "What is it?", "--index", "small", *flag)
    assert "private" not in opened[0] and opened[1]["private"] is True
