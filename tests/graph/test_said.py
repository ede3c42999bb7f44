"""What texts state: the relations of reports and textbooks, what is denied, who says it, and that the graph grows by just that."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import negex
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medrag._util import polarity as context
from medrag._util.text import sentences
from medrag.build import build, delete
from medrag.errors import BadRecord, SettingsError
from medrag.graph import GraphStore, Linker
from medrag.graph.between import paths_between
from medrag.graph.extend import extend
from medrag.graph.kinds import Kinds
from medrag.graph.said import Said, Statements
from medrag.indexes.manifest import read_manifest
from medrag.indexes.store import workspace
from medrag.retrieve.graph import GraphRetriever
from medrag.settings import Recipe
from medrag.types import Concept, Passage, Query, Study, Triple

FINDINGS = ("pneumothorax", "pleural effusion", "pneumonia", "atelectasis", "pulmonary edema", "cardiomegaly", "pulmonary nodule",
            "heart failure", "fever", "cough", "asthma", "fracture", "lung opacity")  # fmt: skip
NODES = {name: f"HP:{1000000 + n}" for n, name in enumerate(FINDINGS)}
CONCEPTS = [
    *(Concept(f"hpo:{node}", name, cuis=(f"C{n:07}",)) for n, (name, node) in enumerate(NODES.items())),
    Concept("mesh:MESH:D1", "penicillin", types=("D",)),
    Concept("mesh:MESH:D2", "lung", types=("A",)),
    Concept("hpo:HP:0012823", "clinical modifier"),
    Concept("hpo:HP:0012825", "mild"),
    Triple("hpo:m", "hpo:HP:0012825", "mild", "is_a", "clinical modifier", "HP:0012825", "HP:0012823"),
]


def made(path: Path, items: Iterable[Concept | Triple]) -> GraphStore:
    with GraphStore.create(path) as builder:
        builder.add(items)
        builder.finish()
    return GraphStore.open(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    return made(tmp_path_factory.mktemp("graph") / "g", CONCEPTS)


@pytest.fixture(scope="module")
def said(store: GraphStore) -> Said:
    return Said(Linker(store).link, Kinds(store))


def report(text: str, id: str = "iu:1") -> Study:
    return Study(id, {"findings": text}, domain="chest-xray")


def stated(said: Said, text: str) -> set[str]:
    return {f"{t.polarity} {t.subject} {t.relation} {t.object}".lower() for t in said.of(report(text))}


def taught(said: Said, text: str) -> set[str]:
    return {f"{t.polarity} {t.subject} {t.relation} {t.object}".lower() for t in said.of(Passage("b:1~0", "b:1", text))}


REPORTS = {
    "There is a small left pleural effusion.": {"pleural effusion modified_by small", "pleural effusion modified_by left"},
    "Patchy opacity in the left lower lobe, which may represent atelectasis or pneumonia.": {
        "opacity located_at left lower lobe", "opacity modified_by left", "opacity suggestive_of atelectasis", "opacity suggestive_of pneumonia",
    },
    "Opacities in the right lower lobe and left lung base are consistent with atelectasis versus pneumonia.": {
        "opacities located_at right lower lobe", "opacities located_at left lung base", "opacities modified_by right", "opacities suggestive_of atelectasis",
        "opacities suggestive_of pneumonia",
    },
    "1.2 cm nodule in RUL.": {"nodule located_at right upper lobe", "nodule modified_by right", "nodule modified_by 12 mm in size"},
    "No change in the right effusion.": {"effusion modified_by unchanged", "effusion modified_by right"},
    "Bibasilar atelectasis is stable.": {"atelectasis located_at lung base", "atelectasis modified_by bilateral", "atelectasis modified_by unchanged"},
    "Cardiomegaly and vascular crowding which may be secondary to pulmonary edema.": set(),  # the crowding, not the heart
    "Opacity compatible with pulmonary edema and pleural effusion.": {"opacity suggestive_of pulmonary edema"},  # "and" may begin anew
    "Opacity is unlikely to represent pneumonia.": set(),
    "Mild.": set(),
    "This is most concerning for pneumonia.": set(),
}  # fmt: skip
DENIED = {
    "No pneumothorax.": set(),
    "No focal airspace opacity to suggest pneumonia.": {"opacity suggestive_of pneumonia", "opacity modified_by focal"},
    "There is no pleural effusion at the left base.": {
        "pleural effusion located_at left lung base",
        "pleural effusion modified_by left",
    },
    "The lungs are clear without large pleural effusion.": {"pleural effusion modified_by large"},
}
DOUBTED = {
    "Possible pneumonia in the left lower lobe.": {"pneumonia located_at left lower lobe", "pneumonia modified_by left"}
}
TAUGHT = {
    "Pneumonia can cause pleural effusion, fever and cough.": {f"present pneumonia causes {x}" for x in ("pleural effusion", "fever", "cough")},
    "Asthma does not cause pneumonia.": {"absent asthma causes pneumonia"},
    "Pulmonary edema is most often caused by heart failure.": {"present pulmonary edema due_to heart failure"},
    "Cough is a common symptom of asthma.": {"present asthma presents cough"},
    "Pneumonia presents with fever.": {"present pneumonia presents fever"},
    "Pneumonia is usually treated with penicillin.": {"present penicillin treats pneumonia"},
    "It is unclear whether asthma causes pneumonia.": set(),  # the subject does not begin its clause
    "Treatment of pneumonia causes fever.": set(),
    "Pneumonia causes fever blisters.": set(),
    "Can pneumonia cause fever?": set(),
    "Pneumonia is treated with fever.": set(),
    "Fever, which is a symptom of old age, and pneumonia cause cough.": set(),
}  # fmt: skip


@pytest.mark.parametrize("text", [*REPORTS, *DENIED, *DOUBTED])
def test_reports(said: Said, text: str) -> None:
    for cases, polarity in ((REPORTS, "present"), (DENIED, "absent"), (DOUBTED, "uncertain")):
        if text in cases:
            assert stated(said, text) == {f"{polarity} {one}" for one in cases[text]}


@pytest.mark.parametrize("text", TAUGHT)
def test_passages(said: Said, text: str) -> None:
    assert taught(said, text) == TAUGHT[text]


def test_a_statement_names_its_document_and_quotes_its_sentence(said: Said) -> None:
    (one,) = said.of(report("The heart is fine. Mild  cardiomegaly. Mild cardiomegaly again.", "iu:7"))
    assert (one.doc, one.subject_id, one.object_id) == ("iu:7", NODES["cardiomegaly"], "HP:0012825")
    assert one.meta == {"quote": "Mild cardiomegaly.", "text": "study"}
    (other,) = said.of(Passage("b:1~3", "b:1", "Pneumonia causes fever."))
    assert (other.doc, other.meta["passage"]) == ("b:1", "b:1~3")


def test_only_what_the_linker_gives_is_used() -> None:
    """Any callable that finds mentions will do; without mentions nothing is stated."""
    assert list(Said(lambda text: [], lambda node: "finding").of(report("Left pleural effusion."))) == []


# denial ----------------------------------------------------------------------------------------------------------


def phrases(patterns: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Texts that a list of ConText phrases matches, without those that look at what follows."""
    plain = [one for one in patterns if "(?=" not in one and "(?!" not in one and "(?<" not in one]
    assert 3 * len(plain) >= len(patterns)
    compiled = [re.compile(one.replace(r"\w", "[a-z]"), re.ASCII) for one in plain]
    return st.sampled_from(compiled).flatmap(lambda one: st.from_regex(one, fullmatch=True))


BEFORE = ("{t} {f}.", "{t} {f} at the left base.", "{t} small left {f} to suggest pneumonia.", "{t} acute {f} in the right lung, which may represent pneumonia.")  # fmt: skip
AFTER = ("{f} {t}.", "Left basilar {f} {t}.", "Mild {f} {t}.")


@settings(max_examples=150)
@given(phrases(context.ABSENT_BEFORE), st.sampled_from(BEFORE), st.sampled_from(FINDINGS[:7]))
def test_what_is_denied_before_is_never_present(said: Said, trigger: str, form: str, finding: str) -> None:
    text = form.format(t=trigger, f=finding)
    for one in said.of(report(text)):
        assert one.polarity != "present" or one.subject == "pneumonia" != finding, text


@settings(max_examples=100)
@given(phrases(context.ABSENT_AFTER), st.sampled_from(AFTER), st.sampled_from(FINDINGS[:7]))
def test_what_is_denied_behind_is_never_present(said: Said, trigger: str, form: str, finding: str) -> None:
    text = form.format(t=trigger, f=finding)
    assert all(one.polarity != "present" for one in said.of(report(text))), text


@settings(max_examples=100)
@given(phrases(context.UNCERTAIN_BEFORE), st.sampled_from(FINDINGS[:7]))
@example("hard to yet rule out", "pneumothorax")
def test_what_is_doubted_is_no_sure_place_or_modifier(said: Said, trigger: str, finding: str) -> None:
    for one in said.of(report(f"{trigger} small {finding} at the left base.")):
        assert one.polarity != "present" or one.relation == "suggestive_of"


@pytest.mark.parametrize("finding", FINDINGS[:2])
def test_no_listed_phrase_that_denies_or_doubts_states_a_presence(said: Said, finding: str) -> None:
    """The phrases of NegEx and ConText, in a list that knows nothing of medrag's own."""
    texts = [form.format(t=phrase, f=finding) for phrase in negex.BEFORE for form in BEFORE[:2]]
    texts += [form.format(t=phrase, f=finding) for phrase in negex.AFTER for form in AFTER[1:]]
    assert [text for text in texts for one in said.of(report(text)) if one.polarity == "present"] == []


NOT_NOW = {  # ConText's experiencer, its hypothetical and its historical statements
    "Family history of pneumonia in the left lung.": set(),
    "No family history of left pneumonia.": set(),
    "Mother has left pneumonia.": set(),
    "His sister had pneumonia in the right lung, and asthma.": set(),
    "Left pneumonia in her father.": set(),
    "Risk of left pneumothorax was discussed.": set(),
    "Risk factors for pneumonia of the left lower lobe.": set(),
    "History of left pneumothorax.": {"uncertain pneumothorax modified_by left"},
    "History: left pneumothorax.": {"uncertain pneumothorax modified_by left"},
    "Prior left pneumothorax.": {"uncertain pneumothorax modified_by left"},
    "Left pneumonia two years ago.": {"uncertain pneumonia modified_by left"},
    "No history of left pneumothorax.": {"absent pneumothorax modified_by left"},
}  # fmt: skip
NOW = {
    "History of asthma with left pneumothorax.": {"present pneumothorax modified_by left"},
    "No history was given, left pneumothorax.": {"present pneumothorax modified_by left"},
    "Compared to prior, left pneumothorax.": {"present pneumothorax modified_by left"},
    "Prior exam showed no effusion, there is a left pneumothorax.": {"present pneumothorax modified_by left"},
    "The mother reports that the patient has left pneumothorax.": {"present pneumothorax modified_by left"},
    "Left pneumothorax, relative lucency.": {"present pneumothorax modified_by left"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "polarity"),
    [
        ("family history of pneumothorax", "uncertain"),
        ("Her mother had a pneumothorax.", "uncertain"),
        ("risk of pneumothorax", "uncertain"),
        ("History of pneumothorax.", "uncertain"),
        ("No history of pneumothorax.", "absent"),
        ("History of asthma, now with pneumothorax.", "present"),
    ],
)
def test_a_mention_that_is_another_s_past_or_a_risk_is_not_present(store: GraphStore, text: str, polarity: str) -> None:
    assert [one.polarity for one in Linker(store).link(text) if one.surface == "pneumothorax"] == [polarity]


@pytest.mark.parametrize("text", [*NOT_NOW, *NOW])
def test_what_a_relative_has_is_no_statement_and_what_was_is_no_presence(said: Said, text: str) -> None:
    assert stated(said, text) == {**NOT_NOW, **NOW}[text]


def test_textbooks_speak_of_no_patient(said: Said) -> None:
    assert taught(said, "Where a mother smokes, asthma causes fever.") == {"present asthma causes fever"}


@pytest.fixture(scope="module")
def chexpert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Said, list[str]]:
    """A graph whose concepts are the CheXpert labeler's phrases, and these phrases."""
    folder = Path(os.environ["MEDRAG_DATA"]) / "open" / "factuality" / "chexpert_labeler" / "phrases" / "mention"
    names = {
        line.strip()
        for path in sorted(folder.glob("*.txt"))
        if path.stem != "no_finding"
        for line in path.read_text().splitlines()
    }
    listed = sorted(name for name in names if name)
    graph = made(
        tmp_path_factory.mktemp("chexpert") / "g", [Concept(f"hpo:HP:9{n:06}", name) for n, name in enumerate(listed)]
    )
    return Said(Linker(graph).link, Kinds(graph)), listed


@pytest.mark.data
def test_no_phrase_of_the_chexpert_lists_is_present_where_it_is_denied(chexpert: tuple[Said, list[str]]) -> None:
    said, listed = chexpert
    found = [one for name in listed for form in ("No {f} at the left base.", "Negative for mild {f} in the right lung.", "Small {f} is not seen.")
             for one in said.of(report(form.format(f=name)))]  # fmt: skip
    assert len({one.subject_id for one in found}) > len(listed) / 2
    assert {one.polarity for one in found} == {"absent"}


@pytest.mark.data
def test_no_phrase_of_the_chexpert_lists_is_present_behind_any_listed_denial(chexpert: tuple[Said, list[str]]) -> None:
    said, listed = chexpert
    before = [f"{phrase} left {name}." for name, phrase in zip(itertools.cycle(listed), 2 * negex.BEFORE, strict=False)]
    after = [f"Left {name} {phrase}." for name, phrase in zip(itertools.cycle(listed), 4 * negex.AFTER, strict=False)]
    found = [(one.polarity, text) for text in (*before, *after) for one in said.of(report(text))]
    assert len(found) > len(before) and [text for polarity, text in found if polarity == "present"] == []


@pytest.mark.data
def test_no_real_sentence_that_denies_states_a_presence(chexpert: tuple[Said, list[str]]) -> None:
    """500 sentences of IU X-Ray that begin with a denial and do not turn; judged by their first words alone, not by ConText."""
    said, _ = chexpert
    path = Path(os.environ["MEDRAG_DATA"]) / "noncommercial" / "iu_xray" / "reports.csv"
    denial = re.compile(r"(?:there (?:is|are) )?(?:no|without|negative for)\b(?!.*\b(?:but|however|although|change|changes|interval|except|which|other than|longer|is|are|stable)\b)[^,;.:]*\.", re.IGNORECASE)  # fmt: skip
    with path.open(encoding="utf-8", newline="") as stream:
        every = (s for row in csv.DictReader(stream) for s in sentences(f"{row['findings']} {row['impression']}"))
        real = list(dict.fromkeys(s for s in every if denial.fullmatch(s)))[:500]
    assert len(real) == 500
    placed = [f"{text[:-1]} in the left lower lobe." for text in real]
    found = [(one.polarity, text) for text in (*real, *placed) for one in said.of(report(text))]
    assert len(found) > 200
    assert [text for polarity, text in found if polarity == "present"] == []


# the graph grows -------------------------------------------------------------------------------------------------

ENDS = [f"HP:{1000000 + n}" for n in range(6)]
STATED = st.lists(
    st.tuples(st.sampled_from(ENDS), st.sampled_from(["suggestive_of", "is_a"]), st.sampled_from(ENDS), st.sampled_from(["present", "absent"]), st.integers(1, 3)),
    max_size=12,
)  # fmt: skip


def triples(rows: list[tuple[str, str, str, str, int]]) -> list[Triple]:
    return [
        Triple(f"iu:{s}#{n}", f"iu:{doc}", s, r, o, s, o, p, {"quote": f"q{doc}", "text": "study"})
        for n, (s, r, o, p, doc) in enumerate(rows)
    ]  # type: ignore[arg-type]


@settings(max_examples=10)
@given(STATED)
def test_adding_later_is_as_if_it_had_been_there_from_the_start(
    store: GraphStore, rows: list[tuple[str, str, str, str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        together = made(Path(folder) / "whole", [*CONCEPTS, *triples(rows)])
        grown = shutil.copy(store.path, Path(folder) / "grown")
        gained = extend(grown, triples(rows))
        later = GraphStore.open(grown)
        assert later.counts() == together.counts() and later.counts()["edges"] == store.counts()["edges"] + gained
        for node in ENDS:
            edges = [sorted(map(repr, graph.neighbours(node, limit=None))) for graph in (later, together)]
            assert edges[0] == edges[1] and later.degree(node) == together.degree(node)
        together.close()
        later.close()


@settings(max_examples=15)
@given(STATED, st.integers(1, 3))
def test_paths_between_are_the_best_of_all_paths(
    store: GraphStore, rows: list[tuple[str, str, str, str, int]], hops: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = shutil.copy(store.path, Path(folder) / "g")
        extend(path, triples(rows))
        graph = GraphStore.open(path)
        start, end = ENDS[:2]
        best: dict[tuple[str, ...], float] = {}
        for walk in graph.paths([start], hops, 10**6):
            if walk.nodes[-1] == end:
                best[walk.nodes] = max(walk.score, best.get(walk.nodes, 0.0))
        found = paths_between(graph, [start], [end], hops, 10**6)
        assert {path.nodes: max(p.score for p in found if p.nodes == path.nodes) for path in found} == pytest.approx(
            best
        )
        assert [path.score for path in found] == sorted((path.score for path in found), reverse=True)
        assert found[:2] == paths_between(graph, [start], [end], hops, 2)
        graph.close()


def test_what_only_texts_name_cannot_be_linked_to(tmp_path: Path, store: GraphStore, said: Said) -> None:
    made(tmp_path / "g", CONCEPTS).close()
    assert extend(tmp_path / "g", said.of(report("Small left pleural effusion at the left lung base."))) == 3
    grown = GraphStore.open(tmp_path / "g")
    assert grown.concept("SAID:small").name == "small" and grown.by_code("SAID:left lung base")
    text = "a small left lung base effusion"
    assert Linker(grown).link(text) == Linker(store).link(text) != []


@pytest.fixture
def told(tmp_path: Path, said: Said) -> GraphRetriever:
    made(tmp_path / "g", CONCEPTS).close()
    texts = [*["Left pleural effusion."] * 20, "No left pleural effusion.", "Opacity suggesting pneumonia."]
    extend(tmp_path / "g", [one for n, text in enumerate(texts) for one in said.of(report(text, f"iu:{n}"))])
    return GraphRetriever(GraphStore.open(tmp_path / "g"))


def items(found: GraphRetriever, text: str, *exclude: str) -> dict[tuple[str, str], Triple]:
    hits = found.retrieve(Query(text, exclude=frozenset(exclude)), 200)
    triples = [hit.item for hit in hits if isinstance(hit.item, Triple)]
    return {(one.relation, one.polarity): one for one in triples if len(one.meta["path"]) == 2}


def test_a_statement_says_in_how_many_reports(told: GraphRetriever) -> None:
    found = items(told, "pleural effusion")
    one = found["modified_by", "present"]
    assert one.text == "Pleural effusion is described as left (stated in 20 reports)."
    assert one.meta["stated"] == [{"present": 20, "absent": 1, "uncertain": 0}]
    assert found["modified_by", "absent"].text == "Pleural effusion is denied as left (stated in 1 report)."
    assert one.meta["quotes"][0] == {"doc": "iu:0", "quote": "Left pleural effusion."}
    (edge,) = [e for e in told.store.neighbours(NODES["pleural effusion"]) if e.polarity == "present"]
    assert set(edge.docs) == {f"iu:{n}" for n in range(20)}


def test_an_excluded_study_neither_states_nor_counts_nor_is_quoted(told: GraphRetriever) -> None:
    assert items(told, "pleural effusion", "iu:20").keys() == {("modified_by", "present")}
    assert ("suggestive_of", "present") in items(told, "pneumonia") and not items(told, "pneumonia", "iu:21")
    one = items(told, "pleural effusion", "iu:0", "iu:20")["modified_by", "present"]
    assert "stated in 19 reports" in one.text and one.meta["stated"] == [{"present": 19, "absent": 0, "uncertain": 0}]
    assert "iu:0" not in json.dumps(one.meta).replace('"iu:01', "") and one.doc == "iu:1"


@pytest.mark.parametrize("name", ["b:a#p2~0", "b:a#p2", "b:a"])
def test_an_excluded_passage_of_a_book_does_not_speak_through_the_graph(tmp_path: Path, said: Said, name: str) -> None:
    made(tmp_path / "g", CONCEPTS).close()
    page = Passage("b:a#p2~0", "b:a", "Pleural effusion is caused by pneumonia.", page=2)
    assert extend(tmp_path / "g", said.of(page)) == 1
    graph = GraphRetriever(GraphStore.open(tmp_path / "g"))
    assert ("due_to", "present") in items(graph, "pleural effusion")
    assert ("due_to", "present") not in items(graph, "pleural effusion", name)


@pytest.fixture(scope="module")
def many(store: GraphStore, said: Said, tmp_path_factory: pytest.TempPathFactory) -> GraphRetriever:
    path = shutil.copy(store.path, tmp_path_factory.mktemp("many") / "g")
    texts = {f"iu:{n}": f"{'No ' if n % 3 == 0 else ''}left pleural effusion suggesting pneumonia." for n in range(22)}
    extend(path, [one for id, text in texts.items() for one in said.of(report(text, id))])
    return GraphRetriever(GraphStore.open(path))


@settings(max_examples=50)
@given(st.sets(st.sampled_from([f"iu:{n}" for n in range(22)]), max_size=22))
def test_whatever_is_excluded_is_not_in_any_hit(many: GraphRetriever, exclude: set[str]) -> None:
    for hit in many.retrieve(Query("pleural effusion and pneumonia", exclude=frozenset(exclude)), 100):
        named = set(re.findall(r"iu:\d+", f"{hit.item.doc} {json.dumps(dict(hit.item.meta))}"))
        assert not named & exclude
        for counts in hit.item.meta.get("stated", ()):
            assert sum(counts.values()) <= 22 - len(exclude)
    if len(exclude) < 22:
        assert any(
            "stated" in hit.item.meta
            for hit in many.retrieve(Query("pleural effusion", exclude=frozenset(exclude)), 100)
        )


# building ----------------------------------------------------------------------------------------------------------

OBO = "format-version: 1.2\n\n" + "\n".join(f"[Term]\nid: {node}\nname: {name}\n" for name, node in NODES.items())


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    (tmp_path / "terms.obo").write_text(OBO)
    rows = [
        "Small left pleural effusion.",
        "Left pleural effusion. No pneumothorax.",
        "No left pleural effusion.",
        "Opacity suggesting pneumonia.",
    ]
    (tmp_path / "reports.csv").write_text(
        "uid,findings,impression\n" + "".join(f"{n},{text},\n" for n, text in enumerate(rows))
    )
    notes = {
        "name": "notes",
        "reader": "reports-csv",
        "path": str(tmp_path / "reports.csv"),
        "options": {"domain": "chest-xray"},
    }
    terms = {"name": "terms", "reader": "obo", "path": str(tmp_path / "terms.obo")}

    def recipe(said: tuple[str, ...] = ("reports",), ontology: bool = True) -> Recipe:
        return Recipe(name="small", corpora=[notes, *([terms] if ontology else [])], graph={"said": said})  # type: ignore[arg-type]

    return recipe


def said_edges(folder: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    store = GraphStore.open(folder / "graph.db")
    for edge in store.neighbours(NODES["pleural effusion"], limit=None):
        yield edge.object, edge.polarity, edge.docs
    store.close()


def test_a_build_adds_what_reports_state(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    folder = tmp_path / "index"
    report = build(recipe(), folder)
    left = "HP:0012835"
    expected = {
        (left, "present", ("notes:0", "notes:1")), (left, "absent", ("notes:2",)), ("SAID:small", "present", ("notes:0",)),
    }  # fmt: skip
    assert set(said_edges(folder)) == expected
    assert report.counts["statement"] >= 4 and read_manifest(folder).content["graph"]
    assert build(recipe(), folder).fresh is False
    assert build(recipe(), tmp_path / "again").content_hash == report.content_hash
    other = build(recipe(said=()), tmp_path / "other")
    assert not list(said_edges(tmp_path / "other")) and other.content_hash != report.content_hash


def test_deleting_a_study_takes_its_statements_and_links_nothing_anew(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    build(recipe(), folder)
    lines = workspace(folder) / "said" / "notes-said.jsonl"
    written = lines.read_text().splitlines()
    linked: list[object] = []
    monkeypatch.setattr("medrag.graph.Linker.link", lambda self, text, *rest: linked.append(text))
    delete(folder, ["notes:0"])
    assert {docs for _, _, docs in said_edges(folder)} == {("notes:1",), ("notes:2",)}
    assert not linked
    left = lines.read_text().splitlines()
    assert left == [line for line in written if line in left] and "notes:0" not in "".join(left) != ""


def test_texts_without_an_ontology_say_what_is_missing(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="add an ontology"):
        build(recipe(ontology=False), tmp_path / "index")


def test_a_recipe_without_texts_in_its_graph_keeps_its_fingerprint(recipe: Callable[..., Recipe]) -> None:
    plain = recipe(said=())
    assert plain.fingerprint() == Recipe(name="small", corpora=plain.corpora).fingerprint() != recipe().fingerprint()


def test_one_text_that_cannot_be_read_is_reported_and_left_out(store: GraphStore) -> None:
    linker = Linker(store)

    def link(text: str) -> list[object]:
        if "broken" in text:
            raise ValueError("no such text")
        return linker.link(text)  # type: ignore[return-value]

    texts = [report("Left pleural effusion.", "iu:1"), report("broken", "iu:2"), report("Mild cardiomegaly.", "iu:3")]
    texts.append(Study("iu:4", {"findings": 5}))  # type: ignore[dict-item, arg-type]
    problems: list[BadRecord] = []
    found = Statements("iu", lambda: texts, ("reports",), Said(link, Kinds(store)), "key")  # type: ignore[arg-type]
    assert {one.doc for one in found.read(problems.append)} == {"iu:1", "iu:3"}
    assert [problem.source for problem in problems] == ["iu:2", "iu:4"]


def test_a_report_that_was_cut_into_passages_is_read_once(said: Said) -> None:
    study = report("Left pleural effusion.", "iu:1")
    cut = [study, Passage("iu:1~0", "iu:1", study.text), Passage("b:1~0", "b:1", "Pneumonia causes fever.")]
    for texts, docs in ((("reports", "passages"), ["iu:1", "b:1"]), (("passages",), ["b:1"]), (("reports",), ["iu:1"])):
        assert [one.doc for one in Statements("iu", lambda: cut, texts, said, "").read(pytest.fail)] == docs  # type: ignore[arg-type]


def test_modifiers_before_another_finding_are_its_own(said: Said) -> None:
    found = stated(said, "The absence of left pleural effusion does not exclude heart failure.")
    assert "absent pleural effusion modified_by left" in found and not any(
        "heart failure modified_by" in one for one in found
    )
    assert "present atelectasis modified_by left" in stated(said, "Left basilar fracture/atelectasis.")  # one phrase


@pytest.mark.parametrize(
    "text",
    [
        "Contrary to popular belief, pneumothorax causes pneumonia is a myth.",
        "It is a misconception that asthma causes fever.",
        "Some people mistakenly say that asthma causes fever.",
    ],
)
def test_what_is_called_untrue_is_not_stated(said: Said, text: str) -> None:
    assert taught(said, text) == set()


def test_terms_of_an_ontology_of_ones_own_are_findings(tmp_path: Path) -> None:
    terms = [
        Concept("own:T:1", "asthma"),
        Concept("own:T:2", "fever"),
        Concept("net:X:3", "sputum", types=("anatomy",)),
    ]
    mine = made(
        tmp_path / "g",
        [*terms, Concept("net:X:4", "cough", types=("finding",)), Concept("net:X:5", "rust", types=("Gene",))],
    )
    assert [Kinds(mine)(node) for node in ("T:1", "X:3", "X:4", "X:5")] == ["finding", "place", "finding", "thing"]
    assert taught(Said(Linker(mine).link, Kinds(mine)), "Asthma causes fever.") == {"present asthma causes fever"}


def test_texts_that_mention_no_finding_say_so(tmp_path: Path) -> None:
    drugs = made(
        tmp_path / "g",
        [Concept(f"net:X:{n}", name, types=("Gene",)) for n, name in enumerate(("penicillin", "aspirin"))],
    )
    texts = [Passage("b:1~0", "b:1", "Penicillin causes aspirin.")]
    told: list[BadRecord] = []
    read = Statements("b", lambda: texts, ("passages",), Said(Linker(drugs).link, Kinds(drugs)), "key")
    assert list(read.read(told.append)) == [] and "are no findings" in str(told[0])
