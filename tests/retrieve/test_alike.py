"""The graph is asked about what most reports of look-alike studies state as present, and about nothing else of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from medrag.graph import GraphStore
from medrag.retrieve.alike import Reported
from medrag.retrieve.graph import GraphRetriever
from medrag.types import Concept, Hit, Item, Query, QueryImage, Study, Triple

ILL, WELL = "Left pneumothorax. The heart is normal.", "No pneumothorax. There may be a pleural effusion."
FILM = QueryImage(Image.new("L", (8, 8)), sha256="a", meta={"patient_id": "P1"})


class Similar:
    """Studies by likeness; one film is the question's own."""

    name = "similar"

    def __init__(self, studies: Sequence[Item], best: float = 0.9) -> None:
        self.studies, self.best = studies, best

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        found = [one for one in self.studies if one.id not in query.exclude][:k]
        return [Hit(one, self.best - n / 1000, n + 1, self.name) for n, one in enumerate(found)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    path = tmp_path_factory.mktemp("alike") / "g"
    with GraphStore.create(path) as builder:
        builder.add(
            [
                Concept("hpo:HP:1", "Pneumothorax", definition="Air in the pleura."),
                Concept("hpo:HP:2", "Pleural effusion", definition="Fluid in the pleura."),
                Concept("mondo:MONDO:1", "Marfan syndrome"),
                Concept("uberon:UBERON:1", "heart", definition="An organ."),
            ]
        )
        builder.add([Triple("m:1", "m:1", "Marfan syndrome", "has_phenotype", "Pneumothorax", "MONDO:1", "HP:1")])
        builder.finish()
    return GraphStore.open(path)


def studies(*texts: str, patient: str = "", domain: str = "chest-xray") -> list[Item]:
    return [Study(f"r:{n}", {"findings": text}, domain=domain, patient=patient) for n, text in enumerate(texts)]


def asked_about(store: GraphStore, near: Sequence[Item], best: float = 0.9, exclude: Sequence[str] = ()) -> list[str]:
    retriever = GraphRetriever(store, reported=Reported(Similar(near, best), 0.9995))
    query = Query("Write a report.", (FILM,), frozenset(exclude), "chest-xray")
    return [hit.item.id for hit in retriever.retrieve(query, 9)]


def test_walks_start_at_what_most_reports_state(store: GraphStore) -> None:
    found = asked_about(store, studies(ILL, ILL, WELL))
    assert found[0] == "hpo:HP:1" and any("MONDO:1" in id for id in found)
    assert "hpo:HP:2" not in found and "uberon:UBERON:1" not in found  # doubtful; a place


@pytest.mark.parametrize(
    ("near", "best", "exclude"),
    [
        (studies(ILL, WELL, WELL), 0.9, ()),  # a third of them
        (studies(ILL, ILL), 0.9, ()),  # too few to say anything
        (studies(ILL, ILL, ILL, patient="p1"), 0.9, ()),  # the patient's own
        (studies(ILL, ILL, ILL), 1.002, ()),  # the question's own picture
        (studies(ILL, ILL, ILL), 0.9, ("r:0",)),
        (studies(ILL, ILL, ILL, domain="ct"), 0.9, ()),
    ],
)
def test_nothing_is_asked_of_few_of_ones_own_or_of_another_domain(
    store: GraphStore, near: Sequence[Item], best: float, exclude: Sequence[str]
) -> None:
    assert asked_about(store, near, best, exclude) == []


def test_what_they_state_weighs_half_of_what_is_asked(store: GraphStore) -> None:
    def score(question: str, reported: Reported | None) -> float:
        hits = GraphRetriever(store, reported=reported).retrieve(Query(question, (FILM,), domain="chest-xray"), 9)
        return next(hit.score for hit in hits if hit.item.id == "hpo:HP:1")

    alike = Reported(Similar(studies(ILL, ILL, ILL)), 0.9995)
    assert score("Write a report.", alike) == pytest.approx(
        score("pneumothorax", None)
    )  # 0.5: a single word is half sure
    assert GraphRetriever(store, reported=alike).retrieve(Query("Write a report."), 9) == []  # without a picture


def test_the_setting_needs_an_index_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medrag import MedRAG
    from medrag.errors import SettingsError

    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    (tmp_path / "t.obo").write_text("format-version: 1.2\n\n[Term]\nid: HP:1\nname: Pneumothorax\n")
    (tmp_path / "r.yaml").write_text(
        f"name: r\ncorpora: [{{name: hpo, reader: obo, path: {tmp_path / 't.obo'}}}]\nindexes: {{}}\n"
    )
    MedRAG.open(tmp_path / "r.yaml", build=True).close()
    with pytest.raises(SettingsError, match="similar"):
        MedRAG.open(tmp_path / "r.yaml", graph_alike=True)
