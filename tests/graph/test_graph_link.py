"""Linking text to concepts: longest match, inflection, order of words, stop words, last words, sentences, polarity."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.graph import GraphStore, Linker
from medrag.graph.abbreviations import explained
from medrag.graph.context import sentence_spans
from medrag.graph.words import bag, key_of, keys, keys_and_bag, stem, tokens
from medrag.types import Concept

NAMES = {
    "HP:1": ("Pulmonary mass", ()),
    "HP:2": ("Pleural effusion", ("Fluid around lungs",)),
    "HP:3": ("Pneumothorax", ("collapsed lung",)),
    "HP:4": ("Cardiomegaly", ("Enlarged heart",)),
    "HP:5": ("Mediastinal mass", ()),
    "HP:6": ("Abscess, lung", ()),
    "HP:7": ("Retinal hemorrhage", ()),
    "HP:8": ("MASS syndrome", ("MASS",)),
    "HP:9": ("Chronic obstructive pulmonary disease", ("COPD",)),
    "HP:10": ("All", ()),
    "HP:11": ("lung neoplasm", ("lung",)),
    "HP:12": ("Pulmonary mass effect of the upper lobe", ()),
    "HP:13": ("Abnormality of the body", ("mass thing",)),
    "HP:14": ("Opacity of lung", ()),
    "HP:15": ("Corneal opacity", ()),
    "HP:16": ("Polyalveolar lobe", ()),
    "HP:17": ("myocardial infarction", ()),
    "HP:18": ("Retinal infarction", ()),
    "HP:19": ("Pulmonary fibrosis", ()),
    "HP:20": ("Atelectasis", ()),
    "HP:21": ("Subretinal fluid", ()),
    "HP:22": ("Aortic stenosis", ()),
    "HP:23": ("Deep vein thrombosis", ()),
    "HP:24": ("Cone-shaped epiphyses", ()),
    "HP:26": ("Heart failure", ()),
    "HP:25": ("Increased serum proteases", ()),
}


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    path = tmp_path_factory.mktemp("link") / "g"
    with GraphStore.create(path) as builder:
        builder.add(
            Concept(f"t:{id}", name, synonyms, (f"C000000{id[3:4]}",), definition="a mass of cells")
            for id, (name, synonyms) in NAMES.items()
        )
        builder.finish()
    return Linker(GraphStore.open(path))


def found(linker: Linker, text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(mention.surface, mention.concepts) for mention in linker.link(text) if not mention.head]


@pytest.mark.parametrize(
    ("text", "surface", "concept"),
    [
        ("Are there masses in the lungs?", "masses in the lungs", "HP:1"),
        ("a PULMONARY MASS", "PULMONARY MASS", "HP:1"),
        ("small pleural effusions bilaterally", "pleural effusions", "HP:2"),
        ("fluid around the lung", "fluid around the lung", "HP:2"),
        ("two pneumothoraces", "pneumothoraces", "HP:3"),
        ("a lung abscess", "lung abscess", "HP:6"),
        ("retinal haemorrhages", "retinal haemorrhages", "HP:7"),
        ("the enlarged heart", "enlarged heart", "HP:4"),
        ("known copd", "copd", "HP:9"),
        ("MASS phenotype", "MASS", "HP:8"),
        ("an opacity in the left lung", "opacity in the left lung", "HP:14"),
        ("infarction of the myocardium", "infarction of the myocardium", "HP:17"),
        ("a small infarction of the retina", "infarction of the retina", "HP:18"),
        ("several atelectases", "atelectases", "HP:20"),
        ("pulmonary fibroses", "pulmonary fibroses", "HP:19"),
        ("CHF", "CHF", "HP:26"),
        ("known CHF and a cough", "CHF", "HP:26"),  # the graph has no congestive heart failure
        ("known deep vein thromboses", "deep vein thromboses", "HP:23"),
        ("fibroses of the lungs", "fibroses of the lungs", "HP:19"),
        ("cone-shaped epiphyses", "cone-shaped epiphyses", "HP:24"),
        ("increased serum proteases", "increased serum proteases", "HP:25"),
        ("pulmonary mass effect of the upper lobe", "pulmonary mass effect of the upper lobe", "HP:12"),
    ],
)
def test_links(linker: Linker, text: str, surface: str, concept: str) -> None:
    assert found(linker, text) == [(surface, (concept,))]


@pytest.mark.parametrize(
    "text", ["", "   ", "All of it.", "the mass", "lung", "Pleural. Effusion", "pleural;\neffusion", "???"]
)
def test_links_nothing(linker: Linker, text: str) -> None:
    assert found(linker, text) == []


def test_last_words_stand_for_longer_names(linker: Linker) -> None:
    (mention,) = linker.link("Is there a mass?")
    assert (mention.surface, mention.concepts, mention.head, mention.cuis) == ("mass", ("HP:1", "HP:5"), True, ())
    assert [m.concepts for m in linker.link("opacities?")] == [("HP:14", "HP:15")]
    assert [m.concepts for m in linker.link("The mediastinal border: a mass?")] == [("HP:5",)]


@pytest.mark.parametrize(
    ("text", "surfaces"),
    [
        ("left lower lobe atelectasis", ["atelectasis"]),
        ("Is there a mass in the left upper lobe?", ["mass"]),
        ("polyalveolar lobe", ["polyalveolar lobe"]),
        ("There is fluid.", []),
        ("There is atelectasis, and a fibrosis.", ["atelectasis", "fibrosis"]),  # what is a finding may be meant
        ("stenosis of the aorta", ["stenosis"]),  # aortic stenosis is of the valve
    ],
)
def test_a_generic_word_is_no_rare_name_that_ends_in_it(linker: Linker, text: str, surfaces: list[str]) -> None:
    assert [mention.surface for mention in linker.link(text)] == surfaces


def test_mentions_carry_cuis_and_polarity(linker: Linker) -> None:
    text = "No pleural effusion. Cardiomegaly is seen. Pneumothorax cannot be excluded."
    assert [(m.surface, m.polarity, m.cuis) for m in linker.link(text)] == [
        ("pleural effusion", "absent", ("C0000002",)), ("Cardiomegaly", "present", ("C0000004",)), ("Pneumothorax", "uncertain", ("C0000003",)),
    ]  # fmt: skip


FINDING = st.sampled_from(
    [
        "pulmonary mass",
        "pleural effusion",
        "pneumothorax",
        "cardiomegaly",
        "lung abscess",
        "Retinal hemorrhage",
        "collapsed lung",
    ]
)
ABSENT = ["No {}.", "There is no {}.", "No evidence of {}.", "Without {}.", "Negative for {}.", "The {} has resolved.", "{} is not seen.", "Absence of {}.", "Neither {} nor anything else."]  # fmt: skip
UNCERTAIN = ["Possible {}.", "Cannot exclude {}.", "{} cannot be excluded.", "Suspicious for {}.", "{} versus artefact.", "Rule out {}.", "This may represent {}.", "Questionable {}."]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(FINDING, st.sampled_from(ABSENT), st.sampled_from(UNCERTAIN))
def test_triggers(linker: Linker, finding: str, absent: str, uncertain: str) -> None:
    text = f"{absent.format(finding)} {uncertain.format(finding)} There is {finding}."
    assert [m.polarity for m in linker.link(text)] == ["absent", "uncertain", "present"]


@pytest.mark.parametrize(
    ("text", "surface", "concept"),
    [
        ("Small PTX on the left.", "PTX", "HP:3"),
        ("He has effusion, pleural, and a cough.", "", ""),  # no name reaches over a comma in running text
        ("Effusion, pleural", "Effusion, pleural", "HP:2"),  # a text that is a name may
        ("a lung with an abscess", "lung with an abscess", "HP:6"),  # any order of words
        ("All", "All", "HP:10"),  # alone it is what it says
        ("The opacity of the lung is new.", "opacity of the lung", "HP:14"),
        ("pleural effusion in adults", "pleural effusion", "HP:2"),
    ],
)
def test_order_abbreviations_and_whole_names(linker: Linker, text: str, surface: str, concept: str) -> None:
    assert found(linker, text) == ([(surface, (concept,))] if surface else [])


def test_a_text_without_blanks_explains_nothing_and_is_read_all_the_same() -> None:
    assert explained("a" * 500_000) == {}


def test_a_text_explains_its_own_abbreviations(linker: Linker) -> None:
    text = "Known enlarged heart (EH). The EH is unchanged."
    assert [(m.surface, m.concepts) for m in linker.link(text)] == [("enlarged heart", ("HP:4",)), ("EH", ("HP:4",)), ("EH", ("HP:4",))]  # fmt: skip
    assert found(linker, "The EH is unchanged.") == []


def test_long_names_and_the_names_inside(linker: Linker) -> None:
    outer, inner = linker.link("No pulmonary mass effect of the upper lobe", nested=True)
    assert (outer.concepts, outer.nested, outer.polarity) == (("HP:12",), False, "absent")
    assert (inner.surface, inner.concepts, inner.nested, inner.polarity) == (
        "pulmonary mass",
        ("HP:1",),
        True,
        "absent",
    )


@pytest.fixture(scope="module")
def senses(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    path = tmp_path_factory.mktemp("senses") / "g"
    with GraphStore.create(path) as builder:
        builder.add(
            [
                Concept("t:G:1", "cold", (), (), definition="low temperature of the air", types=("Gene",)),
                Concept("t:D:1", "Common cold", ("head cold disease",), ("C1",), definition="rhinitis with cough"),
                Concept(
                    "t:D:2",
                    "Mitral stenosis",
                    ("valvar disease",),
                    ("C2",),
                    definition="narrow mitral valve of the heart",
                ),
                Concept(
                    "t:D:3", "Multiple sclerosis", ("valvar disease",), ("C3",), definition="demyelination of the brain"
                ),
                Concept("t:R:1", "Aortic stenosis"),
                Concept("t:D:4", "Aortic valve stenosis", ("Aortic stenosis",), ("C4",)),
            ]
        )
        builder.finish()
    return Linker(GraphStore.open(path))


def test_the_context_decides_between_concepts_of_one_name(senses: Linker) -> None:
    assert senses.link("valvar disease with a narrow valve of the heart")[0].concepts == ("D:2", "D:3")
    assert senses.link("valvar disease with demyelination in the brain")[0].concepts == ("D:3", "D:2")
    assert senses.link("MS with a narrow heart valve")[0].concepts == ("D:2",)
    assert senses.link("Known MS.")[0].concepts == ("D:3",)  # nothing decides: the usual expansion


def test_a_synonym_with_a_cui_stands_beside_a_name_without(senses: Linker) -> None:
    (mention,) = senses.link("Severe aortic stenosis.")
    assert set(mention.concepts) == {"R:1", "D:4"} and mention.cuis == ("C4",)


WORDS = st.sampled_from("mass lung lungs pleural effusion no the of in and but pneumothorax heart enlarged possible is . ? ; , \n ( ) é ’s COPD collapsed".split(" "))  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=30).map(" ".join) | st.text(max_size=60))
def test_mentions_lie_in_the_text_and_in_one_sentence(linker: Linker, text: str) -> None:
    spans = sentence_spans(text)
    last = 0
    for mention in linker.link(text):
        assert text[mention.start : mention.end] == mention.surface
        assert mention.start >= last
        last = mention.end
        assert any(low <= mention.start and mention.end <= high for low, high in spans)
        assert mention.concepts and all(concept in linker.store for concept in mention.concepts)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab.?!;\n \"'AB", max_size=60))
def test_sentences_keep_every_character_that_is_no_gap(text: str) -> None:
    spans = sentence_spans(text)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    covered = {place for low, high in spans for place in range(low, high)}
    assert all(text[place] in " \n\"')]" for place in range(len(text)) if place not in covered)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(categories=["L"]), min_size=1, max_size=12))
def test_a_word_and_its_stem_meet(word: str) -> None:
    assert stem(word.lower()) == stem(word.lower())
    assert all(key == key.strip() for key in keys(word))


@pytest.mark.parametrize(
    ("word", "expected"),
    [("masses", "mass"), ("opacities", "opacity"), ("atelectasis", "atelectasis"), ("metastases", "metastasis"), ("tumours", "tumor"), ("faeces", "feces"), ("hypoglycaemic", "hypoglycemic"),
     ("diabetes", "diabetes"), ("lungs", "lung"), ("oedema", "edema"), ("abscess", "abscess"), ("bullae", "bulla"), ("Café".lower(), "cafe")],
)  # fmt: skip
def test_stems(word: str, expected: str) -> None:
    assert stem(word) == expected


@given(
    st.lists(
        st.sampled_from(["Abscess", "lung", "s", "'s", "’s", ", ", ",", " ", "of", "the", "É", "x'"]), max_size=9
    ).map("".join)
)
def test_a_name_is_read_once_as_it_is_read_twice(name: str) -> None:
    words = [word for word, _, _ in tokens(name)]
    head, comma, tail = name.partition(", ")
    turned = [word for word, _, _ in tokens(f"{tail} {head}")] if comma and tail and ", " not in tail else []
    wanted = tuple(key for key in dict.fromkeys([key_of(words), key_of(turned)]) if key)
    assert keys_and_bag(name) == (wanted, bag(words))


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    """A graph with inverted names, names of plain words, and what abbreviations are short for."""
    names = {
        "HP:1": ("Hearing Aids", ("Aids, Hearing",)), "HP:2": ("AIDS", ()), "HP:3": ("hearing loss", ()), "HP:4": ("Liver abscess", ()),
        "HP:5": ("Diabetes Mellitus, Type 2", ("type 2 diabetes mellitus",)), "HP:6": ("Lung cancer", ()), "HP:7": ("cancer", ()),
        "HP:8": ("News", ()), "HP:9": ("Acting Out", ()), "HP:10": ("Excluded", ()), "HP:11": ("Denture Bases", ()), "HP:12": ("Chest pain", ()),
        "HP:13": ("myotonic dystrophy type 2", ("DM2",)), "HP:14": ("Interstitial emphysema", ()), "HP:15": ("emphysema", ()),
        "HP:16": ("Pleural disease", ("Disease, Pleural",)), "HP:17": ("Pleural effusion", ()), "HP:18": ("Factor VII", ()),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("paused") / "g"
    with GraphStore.create(path) as builder:
        builder.add(Concept(f"t:{id}", name, more, (f"C{int(id[3:]):07}",)) for id, (name, more) in names.items())
        builder.finish()
    return Linker(GraphStore.open(path))


@pytest.mark.parametrize(
    ("text", "surfaces"),
    [
        ("History of AIDS, hearing loss and cough.", ["AIDS", "hearing loss"]),
        ("He has AIDS / hearing aids.", ["AIDS", "hearing aids"]),
        ("The liver, abscess drained.", []),
        ("Lungs: cancer is seen.", ["cancer"]),
        ("A mass (lung), cancer?", ["cancer"]),
        ("The lung - cancer?", ["cancer"]),
        ("airspace disease, pleural effusion", ["pleural effusion"]),
        ("emphysema and interstitial changes", ["emphysema"]),
        ("He has diabetes mellitus, type 2, and a cough.", ["diabetes mellitus, type 2"]),  # written so, and no name behind the comma
        ("Aids, Hearing", ["Aids, Hearing"]),  # a text that is the name
    ],
)  # fmt: skip
def test_no_name_reaches_over_a_pause_unless_it_is_written_so(paused: Linker, text: str, surfaces: list[str]) -> None:
    assert [mention.surface for mention in paused.link(text) if not mention.head] == surfaces


@pytest.mark.parametrize(
    "text", ["No new lesion.", "Rule out.", "This is excluded.", "At the left base.", "Stage VII."]
)
def test_plain_words_are_no_concepts(paused: Linker, text: str) -> None:
    assert paused.link(text) == []


def test_what_is_excluded_alone_is_a_name(paused: Linker) -> None:
    assert found(paused, "Excluded") == [("Excluded", ("HP:10",))]


@pytest.mark.parametrize("text", ["DM2", "DM2, on metformin.", "T2DM since 2010."])
def test_an_abbreviation_of_reports_comes_before_that_of_an_ontology(paused: Linker, text: str) -> None:
    assert [mention.concepts for mention in paused.link(text)] == [("HP:5",)]


def test_an_abbreviation_of_two_words_means_nothing_else(paused: Linker) -> None:
    assert found(paused, "CP since monday.") == [("CP", ("HP:12",))]
    assert found(paused, "The left CP angle is blunted.") == []
