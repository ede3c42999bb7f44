"""The graph on disk: equal to an in-memory reference, the same for the same input, whole or not there, merged by CUI."""

from __future__ import annotations

import math
import sqlite3
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.errors import BadRecord, IndexCorrupt, IndexMismatch, IndexMissing
from medrag.graph import Edge, GraphStore
from medrag.graph.build import curie_of
from medrag.graph.relations import phrase, prior
from medrag.graph.walk import DECAY
from medrag.types import Block, Concept, Document, Triple


def concept(curie: str, name: str = "", corpus: str = "t", **more: tuple[str, ...] | str) -> Concept:
    return Concept(f"{corpus}:{curie}", name or f"name of {curie}", **more)  # type: ignore[arg-type]


def statement(subject: str, relation: str, target: str, corpus: str = "t", **more: object) -> Triple:
    doc = f"{corpus}:{subject}"
    return Triple(
        f"{doc}#{relation}:{target}", doc, f"name of {subject}", relation, f"name of {target}", subject, target, **more
    )  # type: ignore[arg-type]


def built(path: Path, items: Iterable[Concept | Triple]) -> GraphStore:
    with GraphStore.create(path) as builder:
        builder.add(items)
        builder.finish()
    return GraphStore.open(path)


NODES = [f"X:{n}" for n in range(7)]
EDGES = st.lists(
    st.tuples(st.sampled_from(NODES), st.sampled_from(["is_a", "part_of", "odd"]), st.sampled_from(NODES)), max_size=14
)


def reference(edges: list[tuple[str, str, str]]) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(NODES)
    graph.add_edges_from((s, o, r) for s, r, o in edges if s != o)
    return graph


def weight(graph: nx.MultiDiGraph, relation: str, end: str, forward: bool) -> float:
    return prior(relation, forward) / math.log2(1 + len(set(nx.all_neighbors(graph, end))))


def walks(graph: nx.MultiDiGraph, start: str, hops: int) -> dict[tuple[str, ...], float]:
    """Every walk without repeated nodes, as node, relation, direction, node, …, with its score."""
    found: dict[tuple[str, ...], float] = {}
    rings = [((start,), (start,), 1.0)]
    for hop in range(hops):
        grown = []
        for label, nodes, score in rings:
            here = nodes[-1]
            steps = [(o, r, ">") for _, o, r in graph.out_edges(here, keys=True)] + [
                (s, r, "<") for s, _, r in graph.in_edges(here, keys=True)
            ]
            for there, relation, arrow in steps:
                if there not in nodes:
                    worth = score * weight(graph, relation, there, arrow == ">") * (DECAY if hop else 1)
                    grown.append(((*label, relation, arrow, there), (*nodes, there), worth))
        found |= {label: score for label, _, score in grown}
        rings = grown
    return found


@settings(max_examples=40, deadline=None)
@given(EDGES, st.sampled_from(NODES), st.integers(1, 3))
def test_neighbours_and_paths_equal_the_networkx_reference(
    edges: list[tuple[str, str, str]], start: str, hops: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = built(Path(folder) / "g", [*(concept(n) for n in NODES), *(statement(*e) for e in edges)])
        graph = reference(edges)
        near = {(e.subject, e.relation, e.object) for e in store.neighbours(start)}
        assert near == {e for e in edges if start in (e[0], e[2]) and e[0] != e[2]}
        assert store.degree(start) == len(set(nx.all_neighbors(graph, start)))
        expected = walks(graph, start, hops)
        paths = store.paths([start], hops, limit=10**6)
        found = {}
        for path in paths:
            label = [path.nodes[0]]
            for edge, here, there in zip(path.edges, path.nodes, path.nodes[1:], strict=False):
                label += [edge.relation, ">" if edge.subject == here else "<", there]
            found[tuple(label)] = path.score
        assert len(found) == len(paths)
        assert found == pytest.approx(expected)
        scores = [path.score for path in paths]
        assert scores == sorted(scores, reverse=True)
        assert store.paths([start], hops, limit=3) == paths[:3]
        view = store.view([start], hops)
        assert set(view.nodes) == set(nx.ego_graph(graph.to_undirected(), start, radius=hops).nodes)
        store.close()


@settings(max_examples=15, deadline=None)
@given(EDGES, st.integers(1, 4))
def test_the_same_items_give_the_same_file(edges: list[tuple[str, str, str]], batches: int) -> None:
    items = [*(concept(n, cuis=(f"C000000{i % 3}",)) for i, n in enumerate(NODES)), *(statement(*e) for e in edges)]
    with tempfile.TemporaryDirectory() as folder:
        built(Path(folder) / "a", items).close()
        with GraphStore.create(Path(folder) / "b") as builder:
            for n in range(batches):  # the number of calls does not matter
                builder.add(items[n * len(items) // batches : (n + 1) * len(items) // batches])
            builder.finish()
        dumps = ["\n".join(sqlite3.connect(Path(folder) / name).iterdump()) for name in "ab"]
        assert dumps[0] == dumps[1]


def test_concepts_come_back_equal(tmp_path: Path) -> None:
    one = Concept(
        "hpo:HP:1",
        "Mass, lung",
        ("a", "b c"),
        ("C0000001",),
        "A definition.",
        ("T1",),
        ("MESH:D1",),
        {"alt_ids": ["HP:9"]},
    )
    store = built(tmp_path / "g", [one, concept("HP:2")])
    assert store.concept("hpo:HP:1") == store.concept("HP:1") == one
    assert store.by_cui("C0000001") == ["HP:1"] and store.by_cui("C9999999") == []
    assert len(store) == 2 and "HP:1" in store and "HP:3" not in store
    assert store.counts()["nodes"] == 2
    with pytest.raises(KeyError):
        store.concept("HP:3")
    assert store.neighbours("HP:3") == [] and store.paths(["HP:3"]) == []


def test_concepts_of_several_ontologies_with_one_cui_are_one_node(tmp_path: Path) -> None:
    items = [
        concept("HP:1", "Effusion", "hpo", cuis=("C1111111",)),
        concept("MONDO:1", "effusion disease", "mondo", cuis=("C1111111", "C2222222"), synonyms=("effusion", "third")),
        concept("MONDO:2", "another", "mondo", cuis=("C2222222",)),  # MONDO keeps 1 and 2 apart
        concept("DOID:1", "third", "doid", cuis=("C2222222",)),
        statement("MONDO:1", "is_a", "MONDO:2", "mondo"),
        statement("DOID:1", "part_of", "MONDO:2", "doid"),
        statement("MONDO:1", "is_a", "HP:1", "mondo"),
    ]
    store = built(tmp_path / "g", items)
    assert [store.node(id) for id in ("HP:1", "MONDO:1", "DOID:1", "MONDO:2")] == ["HP:1", "HP:1", "HP:1", "MONDO:2"]
    assert [c.id for c in store.members("doid:DOID:1")] == ["hpo:HP:1", "mondo:MONDO:1", "doid:DOID:1"]
    edges = store.neighbours("HP:1")
    assert [(e.subject, e.relation, e.object) for e in edges] == [
        ("HP:1", "is_a", "MONDO:2"),
        ("HP:1", "part_of", "MONDO:2"),
    ]
    assert edges[0].docs == ("mondo:MONDO:1",) and edges[1].sources == ("doid",)


def test_one_of_several_cuis_joins_only_what_shares_a_name(tmp_path: Path) -> None:
    several = ("C0000001", "C0000002")
    store = built(
        tmp_path / "g",
        [
            concept("H:1", "Erysipelas", "h", cuis=several), concept("M:1", "ergot poisoning", "m", cuis=("C0000001",)),
            concept("M:2", "erysipelas of the skin", "m", cuis=("C0000002",), synonyms=("erysipelas",)),
        ],
    )  # fmt: skip
    assert [one.id for one in store.members("H:1")] == ["h:H:1", "m:M:2"]
    assert [one.id for one in store.members("M:1")] == ["m:M:1"]


def test_one_to_one_references_and_exact_matches_join(tmp_path: Path) -> None:
    items = [
        concept("A:1", corpus="a", xrefs=("M:1",)),
        concept("A:2", corpus="a", xrefs=("M:2", "M:3")),  # refers to two: joins none
        concept("M:1", corpus="m"), concept("M:2", corpus="m"), concept("M:3", corpus="m"),
        statement("A:2", "exact_match", "UMLS:C3333333"), statement("A:2", "exact_match", "B:1"), concept("B:1", corpus="b"),
    ]  # fmt: skip
    store = built(tmp_path / "g", items)
    assert store.node("M:1") == "A:1" and store.node("M:2") == "M:2" and store.node("B:1") == "A:2"
    assert store.by_cui("C3333333") == ["A:2"] and store.concept("A:2").cuis == ("C3333333",)


def test_a_bare_name_with_a_code_gives_it_to_the_concept_of_that_name(tmp_path: Path) -> None:
    items = [
        concept("MESH:1", "Fecal Impaction", "mesh"),
        concept("HP:1", "Bruise", "hpo", cuis=("C0000001",)),  # has a code of its own
        concept("MESH:2", "Torpor", "mesh"),
        concept("UMLS:C0000011", "Faecal impaction", "net", cuis=("C0000011",)),
        concept("UMLS:C0000012", "Bruise", "net", cuis=("C0000012",)),
        concept("UMLS:C0000013", "Torpor", "net", cuis=("C0000013",)),
        concept("UMLS:C0000014", "torpor", "net", cuis=("C0000014",)),  # which of the two it is, nobody knows
    ]
    store = built(tmp_path / "g", items)
    assert [store.node(f"UMLS:C000001{n}") for n in (1, 2, 3)] == ["MESH:1", "UMLS:C0000012", "UMLS:C0000013"]
    assert store.by_code("C0000011") == ["MESH:1"] and not store.concept("MESH:2").cuis


def test_two_cuis_keep_no_ontologies_apart(tmp_path: Path) -> None:
    items = [
        concept("HP:1", "Scotoma", "hpo", cuis=("C0000001", "C0000003")),
        concept("UMLS:C0000001", "Scotoma", "net", cuis=("C0000001",)),
        concept("UMLS:C0000002", "Blind spot", "net", cuis=("C0000002",)),
        concept("MONDO:1", "scotoma", "mondo", cuis=("C0000002", "C0000003")),
    ]
    store = built(tmp_path / "g", items)
    assert [store.node(id) for id in ("MONDO:1", "UMLS:C0000001", "UMLS:C0000002")] == ["HP:1", "HP:1", "UMLS:C0000002"]


def test_a_concept_of_two_corpora_adds_up(tmp_path: Path) -> None:
    store = built(
        tmp_path / "g",
        [
            concept("HP:1", "Mass", "a", synonyms=("lump",)),
            concept("HP:1", "Masses", "b", synonyms=("lump", "bump"), definition="D.", cuis=("C1234567",)),
        ],
    )
    assert len(store) == 1
    assert store.concept("HP:1") == Concept("a:HP:1", "Mass", ("lump", "Masses", "bump"), ("C1234567",), "D.")
    assert set(store.named(["bump", "mass"])) == {"bump", "mass"}


def test_ends_that_no_corpus_holds(tmp_path: Path) -> None:
    items = [
        concept("MONDO:1", corpus="mondo", xrefs=("OMIM:1",)),
        statement("OMIM:1", "has_phenotype", "HP:1", "hpoa"),
        statement("OMIM:1", "has_phenotype", "HP:2", "hpoa"),
        Triple("hpoa:OMIM:2#x", "hpoa:OMIM:2", "OMIM:2", "has_phenotype", "nameless end", "OMIM:2", "HP:1"),
        concept("HP:1", corpus="hpo"),
    ]
    store = built(tmp_path / "g", items)
    assert {e.object for e in store.neighbours("MONDO:1")} == {"HP:1", "HP:2"}
    assert store.concept("HP:2").name == "name of HP:2" and store.concept("HP:2").meta == {"bare": True}
    assert store.counts()["dangling"] == 1 and "OMIM:2" not in store
    assert {e.docs for e in store.neighbours("MONDO:1")} == {("hpoa:OMIM:1",)}


def test_a_former_id_is_the_concept_that_has_it(tmp_path: Path) -> None:
    now = Concept("t:X:1", "now", meta={"alt_ids": ["X:0"]})
    annotated = Triple("a:Y:1#has_phenotype:X:0", "a:Y:1", "disease", "has_phenotype", "X:0", "Y:1", "X:0")
    store = built(tmp_path / "g", [now, concept("Z:1", corpus="z", xrefs=("X:0",)), annotated])
    assert [(edge.subject, edge.object) for edge in store.neighbours("X:1")] == [("Y:1", "X:1")]
    assert store.by_code("X:0")[0] == "X:1" and store.counts()["dangling"] == 0


def test_statements_of_several_sources_are_one_edge(tmp_path: Path) -> None:
    report = Triple("r:s1#t", "r:s1", "name of X:0", "is_a", "name of X:1", "X:0", "X:1", meta={"n": 1})
    absent = statement("X:0", "is_a", "X:1", polarity="absent")
    store = built(tmp_path / "g", [concept("X:0"), concept("X:1"), statement("X:0", "is_a", "X:1"), report, absent])
    edges = store.neighbours("X:0")
    assert [(e.polarity, e.sources, e.docs) for e in edges] == [
        ("absent", ("t",), ("t:X:0",)),
        ("present", ("t", "r"), ("t:X:0", "r:s1")),
    ]
    assert edges[1].meta == {"n": 1} and edges[0] == Edge("X:0", "is_a", "X:1", "absent", ("t",), ("t:X:0",))


def test_relations_and_limit(tmp_path: Path) -> None:
    items = [*(concept(n) for n in NODES), *(statement("X:0", r, n) for n in NODES[1:] for r in ("is_a", "odd"))]
    store = built(tmp_path / "g", items)
    assert {e.relation for e in store.neighbours("X:0", ["odd"])} == {"odd"}
    assert [e.object for e in store.neighbours("X:0", limit=3)] == ["X:1", "X:2", "X:3"]


def test_an_error_leaves_the_old_graph_and_no_litter(tmp_path: Path) -> None:
    built(tmp_path / "g", [concept("X:0")]).close()
    with pytest.raises(BadRecord), GraphStore.create(tmp_path / "g") as builder:
        builder.add([concept("X:1"), Document("d:1", "t", (Block("b"),))])  # type: ignore[list-item]
    assert [p.name for p in tmp_path.iterdir()] == ["g"]
    assert "X:0" in GraphStore.open(tmp_path / "g")


def test_missing_corrupt_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(IndexMissing):
        GraphStore.open(tmp_path / "none")
    (tmp_path / "junk").write_bytes(b"no database" * 100)
    with pytest.raises(IndexCorrupt):
        GraphStore.open(tmp_path / "junk")
    base = sqlite3.connect(tmp_path / "other")
    base.executescript("CREATE TABLE about (key, value); INSERT INTO about VALUES ('format', 'x/9');")
    base.close()
    with pytest.raises(IndexMismatch, match="x/9"):
        GraphStore.open(tmp_path / "other")


def test_an_edge_to_a_node_that_is_not_there_is_damage(tmp_path: Path) -> None:
    """Found by the fuzzer in a graph whose checksums were forged to fit."""
    built(tmp_path / "g", [concept("X:0"), concept("X:1"), statement("X:0", "is_a", "X:1")]).close()
    base = sqlite3.connect(tmp_path / "g")
    base.execute("UPDATE concepts SET node = 99 WHERE curie = 'X:1'")
    base.commit()
    base.close()
    store = GraphStore.open(tmp_path / "g")
    assert store.degree("X:0") == 1
    with pytest.raises(IndexCorrupt, match="X:1"):
        store.degree("X:1")
    with pytest.raises(IndexCorrupt, match="X:1"):
        store.paths(["X:0"])


def test_what_a_graph_does_not_know_is_no_damage(tmp_path: Path) -> None:
    store = built(tmp_path / "g", [concept("X:0"), concept("X:1"), statement("X:0", "is_a", "X:1")])
    for ask in (store.degree, store.node, store.concept):
        with pytest.raises(KeyError, match="X:7"):
            ask("X:7")


def test_one_start_may_be_given_as_it_is_and_without_a_hop_there_is_no_path(tmp_path: Path) -> None:
    store = built(tmp_path / "g", [concept("X:0"), concept("X:1"), statement("X:0", "is_a", "X:1")])
    assert store.paths("X:0") == store.paths(["X:0"]) != []
    assert set(store.view("X:0").nodes) == set(store.view(["X:0"]).nodes) == {"X:0", "X:1"}
    assert store.paths(["X:0"], hops=0) == store.paths(["X:0"], hops=-1) == []


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = built(tmp_path / "g", [*(concept(n) for n in NODES), *(statement("X:0", "is_a", n) for n in NODES[1:])])
    results: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: results.append([len(store.paths(["X:1"], 2)) for _ in range(20)]))
        for _ in range(4)
    ]
    [t.start() for t in threads], [t.join() for t in threads]
    assert results == [[6] * 20] * 4


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("hpo:HP:1", "HP:1"),
        ("HP:1", "HP:1"),
        ("my-corpus:Gene::5", "Gene::5"),
        ("Gene::5", "Gene::5"),
        ("plain", "plain"),
    ],
)
def test_curie_of(id: str, expected: str) -> None:
    assert curie_of(id) == expected


def test_phrases_of_unknown_relations_are_readable() -> None:
    assert phrase("drains_into") == "drains into" and "drains into" in phrase("drains_into", forward=False)


def test_what_a_killed_build_left_does_not_hinder_the_next(tmp_path: Path) -> None:
    GraphStore.create(tmp_path / "g").add([concept("X:0")])  # neither finished nor closed
    assert [p.name for p in tmp_path.iterdir()] == [".g.part"]
    store = built(tmp_path / "g", [concept("X:1")])
    assert [p.name for p in tmp_path.iterdir()] == ["g"] and len(store) == 1 and "X:1" in store
