"""Retrieval from the graph: definitions first, sentences that read well, exclusion, order, and the contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medrag.graph import GraphStore
from medrag.protocols import Retriever
from medrag.retrieve.graph import GraphRetriever
from medrag.types import Concept, Hit, Query, Triple, item_from_json, item_to_json

CONCEPTS = [
    Concept("hpo:HP:1", "Pulmonary mass", (), ("C0149726",), "A lesion in the lung over 3 cm."),
    Concept("hpo:HP:2", "Mass on thoracic imaging", definition="An opacity."),
    Concept("hpo:HP:3", "Mediastinal mass"),
    Concept("mondo:MONDO:1", "Marfan syndrome", definition="Patients have a Marfan habitus."),
    Concept("mondo:MONDO:2", "lung cancer", ("pulmonary cancer",), ("C0242379",)),
    Concept("mondo:MONDO:3", "rare thing"),
]


def triple(subject: int | str, relation: str, target: str, corpus: str = "hpo", **more: object) -> Triple:
    doc = f"{corpus}:{subject}"
    mark = "!not" if more.get("polarity") == "absent" else ""
    return Triple(f"{doc}#{relation}:{target}{mark}", doc, str(subject), relation, target, str(subject), target, **more)  # type: ignore[arg-type]


TRIPLES = [
    triple("HP:1", "is_a", "HP:2"),
    triple("HP:3", "is_a", "HP:2"),
    triple("MONDO:1", "has_phenotype", "HP:1", "hpoa", meta={"frequency": "1/2"}),
    triple("MONDO:2", "has_phenotype", "HP:1", "hpoa"),
    triple("MONDO:3", "has_phenotype", "HP:1", "hpoa", polarity="absent"),
    Triple("r:s9#1", "r:s9", "lung cancer", "related_to", "Mediastinal mass", "MONDO:2", "HP:3"),
]


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> GraphRetriever:
    path = tmp_path_factory.mktemp("graph") / "g"
    with GraphStore.create(path) as builder:
        builder.add([*CONCEPTS, *TRIPLES])
        builder.finish()
    return GraphRetriever(GraphStore.open(path))


def texts(hits: list[Hit]) -> list[str]:
    return [hit.item.text for hit in hits]


def test_definition_first_then_statements(retriever: GraphRetriever) -> None:
    assert isinstance(retriever, Retriever)
    hits = retriever.retrieve(Query("Are there masses in the lungs?"), 50)
    assert hits[0].item == replace(CONCEPTS[0], meta={**CONCEPTS[0].meta, "asked": "masses in the lungs"})
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {hit.retriever for hit in hits} == {"graph"}
    assert len({hit.item.id for hit in hits}) == len(hits)
    assert texts(hits[1:]).count("Pulmonary mass is a kind of mass on thoracic imaging.") == 1


def test_sentences_read_well(retriever: GraphRetriever) -> None:
    found = set(texts(retriever.retrieve(Query("pulmonary mass"), 50)))
    assert {
        "Pulmonary mass and mediastinal mass are both kinds of mass on thoracic imaging.",
        "Pulmonary mass can be a feature of Marfan syndrome (in 1 of 2 cases).",
        "Pulmonary mass can be a feature of lung cancer, which is related to mediastinal mass.",
        "Pulmonary mass is not a feature of rare thing.",
    } <= found
    assert "Marfan syndrome can present with pulmonary mass (in 1 of 2 cases)." in texts(
        retriever.retrieve(Query("Marfan syndrome"), 50)
    )


def test_single_statements_keep_direction_document_and_polarity(retriever: GraphRetriever) -> None:
    hits = {hit.item.id: hit.item for hit in retriever.retrieve(Query("pulmonary mass"), 50)}
    item = hits["hpoa:MONDO:1#has_phenotype:HP:1"]
    assert isinstance(item, Triple)
    assert (item.subject, item.relation, item.object, item.doc) == (
        "Marfan syndrome",
        "has_phenotype",
        "Pulmonary mass",
        "hpoa:MONDO:1",
    )
    assert item.meta["path"] == ["HP:1", "MONDO:1"] and item.meta["cuis"] == ["C0149726"]
    assert item.meta["sources"] == ["hpoa"] and item.meta["frequency"] == "1/2"
    denied = hits["hpoa:MONDO:3#has_phenotype:HP:1!not"]
    assert isinstance(denied, Triple) and denied.polarity == "absent"
    assert all(item_from_json(item_to_json(hit)) == hit for hit in hits.values())


def test_shorter_paths_and_fewer_neighbours_score_higher(retriever: GraphRetriever) -> None:
    hits = [hit for hit in retriever.retrieve(Query("pulmonary mass"), 50) if isinstance(hit.item, Triple)]
    best = {length: max(h.score for h in hits if len(h.item.meta["path"]) == length) for length in (2, 3)}  # type: ignore[union-attr]
    assert best[2] > best[3]


def test_paths_between_concepts_of_the_question_gain(retriever: GraphRetriever) -> None:
    def score(question: str) -> float:
        hits = retriever.retrieve(Query(question), 50)
        return next(hit.score for hit in hits if hit.item.id == "hpoa:MONDO:2#has_phenotype:HP:1")

    assert score("pulmonary mass in lung cancer") > 1.5 * score("pulmonary mass")


def test_exclusion_by_id_document_and_evidence(retriever: GraphRetriever) -> None:
    question = "pulmonary mass"
    all_ids = {hit.item.id for hit in retriever.retrieve(Query(question), 50)}
    for gone in ("hpo:HP:1", "hpoa:MONDO:1#has_phenotype:HP:1", "hpoa:MONDO:1"):
        hits = retriever.retrieve(Query(question, exclude=frozenset({gone})), 50)
        assert not [h for h in hits if gone in (h.item.id, h.item.doc)] and {h.item.id for h in hits} < all_ids
    assert any("related to" in text for text in texts(retriever.retrieve(Query(question), 50)))
    held_out = retriever.retrieve(Query(question, exclude=frozenset({"r:s9"})), 50)
    assert not any("related to" in text for text in texts(held_out))


def test_a_statement_of_two_documents_names_the_one_that_is_left(tmp_path: Path) -> None:
    said = [
        Triple(f"r:s{n}#1", f"r:s{n}", "lung cancer", "related_to", "Pulmonary mass", "MONDO:2", "HP:1") for n in (1, 2)
    ]
    with GraphStore.create(tmp_path / "g") as builder:
        builder.add([*CONCEPTS, *said])
        builder.finish()
    found = GraphRetriever(GraphStore.open(tmp_path / "g"))
    for gone, left in (("r:s1", "r:s2"), ("r:s2", "r:s1")):
        hits = found.retrieve(Query("pulmonary mass", exclude=frozenset({gone})), 50)
        (item,) = (hit.item for hit in hits if isinstance(hit.item, Triple))
        assert item.doc == left and item.meta["docs"] == [left]


def test_k_and_repeatability(retriever: GraphRetriever) -> None:
    many = retriever.retrieve(Query("pulmonary mass and mediastinal mass"), 50)
    assert retriever.retrieve(Query("pulmonary mass and mediastinal mass"), 50) == many
    for k in (0, 1, 3, len(many)):
        assert retriever.retrieve(Query("pulmonary mass and mediastinal mass"), k) == many[:k]


def test_a_question_without_known_terms_finds_nothing(retriever: GraphRetriever) -> None:
    assert retriever.retrieve(Query("What is the capital of France?"), 10) == []
    assert retriever.retrieve(Query(""), 10) == []


def test_an_empty_graph(tmp_path: Path) -> None:
    with GraphStore.create(tmp_path / "g") as builder:
        builder.finish()
    assert GraphRetriever(GraphStore.open(tmp_path / "g")).retrieve(Query("mass"), 5) == []


def test_what_the_image_shows_is_asked_about_too_but_less(retriever: GraphRetriever) -> None:
    from PIL import Image

    from medrag.types import QueryImage

    seeing = GraphRetriever(retriever.store, see=lambda images: {"Mass": 0.9, "Pneumothorax": 0.2, "normal": 0.9})
    film = (QueryImage(Image.new("L", (8, 8))),)
    seen = seeing.retrieve(Query("Write a report.", film, domain="chest-xray"), 5)
    assert seen and seen[0].item.id == "hpo:HP:1"
    assert retriever.retrieve(Query("Write a report.", film, domain="chest-xray"), 5) == []
    assert seeing.retrieve(Query("Write a report.", film, domain="ct"), 5) == []  # the reader knows chest films alone
    both = seeing.retrieve(Query("What is Marfan syndrome?", film, domain="chest-xray"), 5)
    assert both[0].item.id == "mondo:MONDO:1"


def test_a_statement_is_told_in_the_words_of_its_own_source(tmp_path: Path) -> None:
    """MONDO names the node; what HPO alone says of it is said of HPO's term."""
    heart = ("C0018798",)
    said = ("Cardiomegaly", "is_a", "Abnormal heart morphology", "HP:8", "HP:9")
    with GraphStore.create(tmp_path / "g") as builder:
        builder.add([Concept("mondo:MONDO:9", "congenital heart disease", cuis=heart)])
        builder.add([Concept("hpo:HP:9", "Abnormal heart morphology", cuis=heart), Concept("hpo:HP:8", "Cardiomegaly")])
        builder.add([Triple("hpo:HP:8#is_a:HP:9", "hpo:HP:8", *said)])
        builder.finish()
    (hit,) = GraphRetriever(GraphStore.open(tmp_path / "g")).retrieve(Query("cardiomegaly"), 5)
    assert hit.item.meta["sentence"] == "Cardiomegaly is a kind of abnormal heart morphology."
    assert hit.item.meta["steps"][0]["object"] == "Abnormal heart morphology"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What else is lung cancer called?", "lung cancer: Another name of lung cancer is pulmonary cancer."),
        ("What is the UMLS code of lung cancer?", "lung cancer: The code of lung cancer is UMLS C0242379."),
        ("What is the code of lung cancer?", "lung cancer: The codes of lung cancer are UMLS C0242379 and MONDO MONDO:2."),
        ("Which CUI does the pulmonary mass have?", "Pulmonary mass: The code of pulmonary mass is UMLS C0149726. A lesion in the lung over 3 cm."),
        ("What is C0149726?", "Pulmonary mass: A lesion in the lung over 3 cm."),
        ("What is another name for C0242379?", "lung cancer: Other names of C0242379 are lung cancer and pulmonary cancer."),
    ],
)  # fmt: skip
def test_other_names_and_codes_are_told_where_they_are_asked_for(
    retriever: GraphRetriever, question: str, text: str
) -> None:
    assert text in texts(retriever.retrieve(Query(question), 50))


@pytest.mark.parametrize("question", ["What is the ICD-10 code of lung cancer?", "What is the genetic code of lung cancer?", "lung cancer", "What is C9999999?"])  # fmt: skip
def test_no_term_is_told_where_none_is_known_or_asked_for(retriever: GraphRetriever, question: str) -> None:
    assert not [text for text in texts(retriever.retrieve(Query(question), 50)) if "code" in text or "name" in text]


def test_an_abbreviation_is_told_in_full(tmp_path: Path) -> None:
    with GraphStore.create(tmp_path / "g") as builder:
        builder.add([Concept("hpo:HP:9", "Pneumothorax", ("Collapsed lung", "Pneumothorax (disease)"))])
        builder.finish()
    hits = GraphRetriever(GraphStore.open(tmp_path / "g")).retrieve(Query("What does PTX stand for?"), 5)
    assert texts(hits) == ["Pneumothorax: PTX can stand for pneumothorax. Another name of PTX is collapsed lung."]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((("orpha:1", "HP:0040282"),), "frequent: 30–79 %"),
        ((("orpha:1", "HP:0040280"),), "always: 100 %"),
        ((("omim:1", "2/4"), ("orpha:1", "HP:0040283")), "in 2 of 4 cases; occasional: 5–29 %"),
        ((("omim:1", ""), ("orpha:1", "30%")), "in 30 % of cases"),
        ((("omim:1", "2/4"), ("orpha:1", "2/4")), "in 2 of 4 cases"),
    ],
)
def test_how_often_a_disease_has_a_feature_is_told_by_every_row(
    tmp_path: Path, rows: tuple[tuple[str, str], ...], said: str
) -> None:
    told = [
        Triple(f"{doc}#p", doc, "Marfan syndrome", "has_phenotype", "Pulmonary mass", "MONDO:1", "HP:1", meta={"frequency": often} if often else {})
        for doc, often in rows
    ]  # fmt: skip
    with GraphStore.create(tmp_path / "g") as builder:
        builder.add([CONCEPTS[0], CONCEPTS[3], *told])
        builder.finish()
    found = GraphRetriever(GraphStore.open(tmp_path / "g")).retrieve(Query("Marfan syndrome"), 9)
    (hit,) = [hit for hit in found if isinstance(hit.item, Triple)]
    assert hit.item.text == f"Marfan syndrome can present with pulmonary mass ({said})."
    assert hit.item.meta["frequency"] == "; ".join(dict.fromkeys(often for _, often in rows if often))


def test_a_guessed_concept_gives_a_term_no_names(retriever: GraphRetriever) -> None:
    """ "mass" alone is a guess at one of the longer names."""
    found = texts(retriever.retrieve(Query("What is another name for mass? Which CUI does a mass have?"), 50))
    assert not [text for text in found if "name of" in text or "code of" in text]


def test_an_abbreviation_of_several_things_is_told_with_all_of_them(tmp_path: Path) -> None:
    with GraphStore.create(tmp_path / "g") as builder:
        builder.add(
            [
                Concept("hpo:HP:7", "Mitral stenosis", ("MS",)),
                Concept("hpo:HP:8", "Multiple sclerosis", ("MS", "Disseminated sclerosis")),
            ]
        )
        builder.finish()
    hits = GraphRetriever(GraphStore.open(tmp_path / "g")).retrieve(Query("What does MS stand for?"), 5)
    assert not any("name of MS" in text or "names of MS" in text for text in texts(hits))
    assert any("MS can stand for " in text and "sclerosis" in text and "stenosis" in text for text in texts(hits))


def test_names_are_told_of_what_the_question_names_alone(retriever: GraphRetriever) -> None:
    """Not of what a findings reader sees, or reports of look-alikes state, in words of their own."""
    cancer = retriever.linker.term("lung cancer")
    assert cancer
    seeing = GraphRetriever(retriever.store, reported=lambda query, linker: {cancer: 1.0})  # type: ignore[arg-type]
    found = texts(seeing.retrieve(Query("What is another name for a pulmonary mass?"), 50))
    assert any("lung cancer" in text for text in found)
    assert not [text for text in found if "name of lung cancer" in text]
