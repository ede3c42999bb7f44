"""How look-alike pictures are labelled, and what is answered from that: a class, whether it is the one asked about, or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medrag import private
from medrag.grounding import checked
from medrag.indexes.items import ItemStore
from medrag.pipeline import MedRAG
from medrag.prompts import REFUSAL, make_prompt
from medrag.retrieve.labelled import FEWEST, MOST, Labels
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings, override
from medrag.types import Context, Drop, Hit, ImageRecord, Item, Labelled, Query, QueryImage, Route, Study
from medrag.vlms._ask import parse
from medrag.vlms._classes import Asked, Several, of_class
from medrag.vlms._labels import said_of
from medrag.vlms.extractive import Extractive

if TYPE_CHECKING:
    from medrag.indexes.store import Store

SKIN = QueryImage(Image.new("RGB", (8, 8)), sha256="s")


def picture(n: int, label: str = "", domain: str = "dermoscopy", page: int | None = None) -> ImageRecord:
    meta = {"label": label} if label else {}
    return ImageRecord(f"d:{n}", f"d:{n}", label or "a caption", "x.png", domain, page=page, meta=meta)


class Alike:
    """Pictures by how much they look like the question's: the first most."""

    name = "similar"

    def __init__(self, items: Sequence[Item], best: float = 0.9) -> None:
        self.items, self.best = items, best

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        found = [one for one in self.items if one.id not in query.exclude][:k]
        return [Hit(one, self.best - n / 1000, n + 1, self.name) for n, one in enumerate(found)]


def counted(
    folder: Path, items: Sequence[Item], question: str = "What lesion is this?", **query: object
) -> Labelled | None:
    store = ItemStore.create(folder / "items.db")
    store.put_many((one, "d") for one in items)
    asked = Query(question, **{"images": (SKIN,), "domain": "dermoscopy", **query})  # type: ignore[arg-type]
    return Labels(Alike(items), store, 0.9995).of(asked)


NEAR = [
    *(picture(n, "Melanocytic nevi") for n in range(4)),
    picture(4, "Melanoma"),
    *(picture(n, "Melanoma") for n in range(5, 20)),
]


def test_the_nearest_are_counted_and_all_of_them_told_beside(tmp_path: Path) -> None:
    assert counted(tmp_path, NEAR) == Labelled(
        (("Melanocytic nevi", 4), ("Melanoma", 1)), 5, None, 20, tuple(f"d:{n}" for n in range(5))
    )


def test_a_closed_question_counts_those_that_are_it(tmp_path: Path) -> None:
    found = counted(tmp_path, NEAR, "Is this a melanoma?")
    assert found is not None and found.asked == (1, 16) and found.such == ("Melanoma",)
    (tmp_path / "2").mkdir()
    other = counted(tmp_path / "2", NEAR, "Is there a fracture?")
    assert other is not None and other.asked is None  # no label speaks of it


@pytest.mark.parametrize(
    ("question", "such"),
    [
        ("Is there moderate retinopathy?", ("Moderate retinopathy with maculopathy",)),
        ("Is there maculopathy?", ("Moderate retinopathy with maculopathy",)),
        ("Is there retinopathy?", ("Mild retinopathy without maculopathy", "Moderate retinopathy with maculopathy")),
        (
            "Is this lesion a retinopathy?",
            ("Mild retinopathy without maculopathy", "Moderate retinopathy with maculopathy"),
        ),
    ],
)
def test_classes_differ_by_every_word(tmp_path: Path, question: str, such: tuple[str, ...]) -> None:
    labels = ["Moderate retinopathy with maculopathy", "Mild retinopathy without maculopathy", "No retinopathy"] * 4
    found = counted(tmp_path, [picture(n, label) for n, label in enumerate(labels)], question)
    assert found is not None and found.such == such and found.asked is not None


SKINS = ("Benign keratosis-like lesions", "Melanocytic nevi", "Melanoma", "Basal cell carcinoma", "Vascular lesions")
COLON = ("Normal colon mucosa", "Colorectal adenocarcinoma", "Peripheral blood film")


@pytest.mark.parametrize(
    ("labels", "question", "such"),
    [
        (SKINS, "Is this lesion benign?", ()),
        (SKINS, "Is this malignant?", ()),
        (SKINS, "Is this a skin lesion?", ()),
        (SKINS, "Is this skin cancer?", ()),
        (SKINS, "Is this a tumour?", ()),
        (SKINS, "Is this benign or malignant?", ()),
        (SKINS, "Is this a squamous cell carcinoma?", ()),
        (SKINS, "Is this a dysplastic nevus?", ()),
        (SKINS, "Is this a melanoma metastasis?", ()),
        (SKINS, "Is this a carcinoma?", ("Basal cell carcinoma",)),
        (SKINS, "Is this a benign keratosis?", ("Benign keratosis-like lesions",)),
        (SKINS, "Is this a vascular lesion?", ("Vascular lesions",)),
        (SKINS, "Are both melanomas?", ("Melanoma",)),
        (SKINS, "Is this a melanoma or a nevus?", ("Melanocytic nevi", "Melanoma")),
        (COLON, "Is this normal?", ()),
        (COLON, "Is this abnormal?", ()),
        (COLON, "Is this a normal colon?", ("Normal colon mucosa",)),
        (("Benign", "Malignant"), "Is it a benign lesion?", ("Benign",)),
        (("Benign lesion", "Malignant lesion"), "Is this malignant?", ("Malignant lesion",)),
        (("benign nevus", "malignant melanoma"), "Is this malignant?", ("malignant melanoma",)),
        (("normal", "abnormal"), "Is this abnormal?", ("abnormal",)),
        (("Normal", "Pneumonia"), "Is the film normal?", ("Normal",)),
        (("Normal", "Pneumonia"), "Is this abnormal?", ()),
        (("Tumor", "Stroma"), "Is this a tumor?", ("Tumor",)),
        (("Grade 1", "Grade 2"), "Is this grade 2?", ("Grade 2",)),
    ],
)
def test_a_word_is_a_class_only_where_labels_are_divided_by_it(
    tmp_path: Path, labels: tuple[str, ...], question: str, such: tuple[str, ...]
) -> None:
    found = counted(tmp_path, [picture(n, label) for n, label in enumerate(labels * 4)], question)
    assert found is not None and found.such == such and (found.asked is not None) == bool(such)


def test_several_images_are_counted_one_by_one(tmp_path: Path) -> None:
    found = counted(tmp_path, NEAR, "Is this a melanoma?", images=(SKIN, SKIN))
    assert isinstance(found, Several) and [n for n, _ in found.each] == [1, 2]
    assert all(one.asked == (1, 16) for _, one in found.each) and found.alike == 10
    assert found.text.startswith("image 1: of the 5 labelled pictures") and "; image 2: of the 5" in found.text


@pytest.mark.parametrize(
    "items",
    [
        [picture(n, "Melanoma" if n else "Nevus") for n in range(FEWEST - 1)],
        [picture(n) for n in range(9)],  # captions are no labels
        [picture(n, "pngs") for n in range(9)],  # nor is the name of the one folder that they lie in
        [picture(n, f"Grade {n % 2}", "histology") for n in range(9)],
        [picture(n, f"Figure {n}", page=3) for n in range(9)],  # figures of a book
        [Study(f"d:{n}", {"findings": "Clear."}, domain="dermoscopy") for n in range(9)],
    ],
)
def test_little_else_is_counted(tmp_path: Path, items: list[Item]) -> None:
    assert counted(tmp_path, items) is None


def test_without_a_picture_or_its_domain_nothing_is_counted(tmp_path: Path) -> None:
    assert counted(tmp_path, NEAR, images=()) is None
    (tmp_path / "2").mkdir()
    assert counted(tmp_path / "2", NEAR, domain="") is None


@given(n=st.integers(FEWEST, 900))
def test_neighbours_are_a_root_of_the_pictures_within_bounds(tmp_path_factory: pytest.TempPathFactory, n: int) -> None:
    class Store:
        def sample(self, kind: str, most: int) -> list[Item]:
            return [picture(i, "AB"[i % 2]) for i in range(min(n, most))]

    found = Labels(Alike([picture(i, "A") for i in range(n)]), cast("ItemStore", Store()), 0.9995).of(
        Query("What is this?", (SKIN,), domain="dermoscopy")
    )  # type: ignore[arg-type]
    assert found is not None and FEWEST <= found.alike <= MOST and found.alike <= n


KEPT = tuple(Hit(one, 0.9, n, "similar") for n, one in enumerate((NEAR[4], NEAR[0]), 1))


def said(question: str, labelled: Labelled | None, kept: tuple[Hit, ...] = KEPT) -> str:
    context = Context(Query(question, (SKIN,), domain="dermoscopy"), kept, labelled=labelled)
    return "".join(Extractive().stream(make_prompt(question, context), [SKIN.image]))


def closed(
    found: Labelled, asked: tuple[int, int], such: Sequence[str], against: Sequence[str] = (), **more: bool
) -> Asked:
    """The same labels beside a closed question; where ``against`` is empty, all labels but ``such`` exclude it."""
    others = tuple(against) or tuple(label for label, _ in found.labels if label not in such)
    return Asked(found.labels, found.alike, asked, found.drawn, found.nearest, tuple(such), others, **more)


FOUND = Labelled((("Melanocytic nevi", 7), ("Melanoma", 3)), 10, None, 40, ("d:0", "d:4"))


@pytest.mark.parametrize(
    "question",
    ["What lesion is this?", "What is the diagnosis?", "Describe this image.", "What type of skin lesion is shown?", "Classify this lesion."],
)  # fmt: skip
def test_a_class_is_told_with_its_count_and_its_evidence(question: str) -> None:
    assert said(question, FOUND) == (
        "Likely Melanocytic nevi: 7 of the 10 pictures that look most alike are labelled so [E2]; 3 Melanoma [E1]. "
        "This rests on their labels, not on the image itself."
    )


def test_what_was_not_counted_is_not_cited() -> None:
    assert "[E" not in said("What lesion is this?", dataclasses.replace(FOUND, nearest=("d:7",)))


def test_of_two_classes_the_commoner_is_told() -> None:
    asked = dataclasses.replace(FOUND, asked=(10, 30))
    assert said("Is the lesion a melanoma or a nevus?", asked).startswith("Likely Melanocytic nevi")


TIED = Labelled((("Melanocytic nevi", 2), ("Melanoma", 2), ("Wart", 2)), 6, None, 40, ("d:0", "d:4"))


def test_on_a_tie_no_label_is_called_the_commonest() -> None:
    assert said("What lesion is this?", TIED).startswith(
        "Uncertain, as no label leads: 2 of the 6 pictures that look most alike are labelled Melanocytic nevi [E2], 2 Melanoma [E1], 2 Wart. This"
    )
    text = said("Is this a carcinoma?", closed(TIED, (0, 4), ("Basal cell carcinoma",)))
    assert "where 10 % of all are; no label leads among them: 2 Melanocytic nevi [E2], 2 Melanoma [E1], 2 Wart." in text
    assert "commonest" not in text


def test_what_is_asked_for_is_told_beside_the_commoner() -> None:
    asked = dataclasses.replace(FOUND, asked=(3, 9), such=("Basal cell carcinoma", "Melanoma"))
    assert "7 of the 10 pictures that look most alike are labelled so [E2]; 3 Melanoma [E1], 0 Basal cell" in said(
        "Is this a melanoma or a basal cell carcinoma?", asked
    )


@pytest.mark.parametrize("question", ["Is this lesion benign?", "Is this a skin lesion?", "Is this abnormal?"])
def test_what_no_label_says_is_answered_by_the_labels_alone(question: str) -> None:
    assert said(question, FOUND).startswith("Likely Melanocytic nevi: 7 of the 10")


@pytest.mark.parametrize("question", ["Compare these two", "What is the difference between these?", "What are these?"])
def test_several_images_have_an_answer_each(question: str) -> None:
    each = Several(FOUND.labels, 16, None, 40, ("d:0", "d:4"), each=((1, FOUND), (2, TIED)))
    text = said(question, each)
    assert text.startswith("Likely Melanocytic nevi (image 1): 7 of the 10 pictures that look most alike are")
    assert "Uncertain (image 2), as no label leads: 2 of the 6" in text and text.count("This rests on") == 1
    asked = [(n, closed(one, (7, 20), ("Melanocytic nevi",))) for n, one in each.each]
    text = said("Is this a nevus?", dataclasses.replace(each, each=tuple(asked)))
    assert text.startswith("Likely yes (image 1): 7 of the 10") and "Likely yes (image 2): 7 of the 6" in text


def case(n: int, findings: str, impression: str) -> Hit:
    study = Study(f"r:{n}", {"findings": findings, "impression": impression}, domain="histology")
    return Hit(study, 0.9, n, "similar-reports")


CASES = (
    case(1, "Small glands in a fibrous stroma. CK7 positive.", "Intrahepatic cholangiocarcinoma."),
    case(2, "Adenocarcinoma invades the subserosa.", "Colorectal adenocarcinoma pT3 N1."),
    case(3, "Small glands in a fibrous stroma.", "Cholangiocarcinoma of the liver."),
)


def test_a_draft_beside_labels_is_one_report_that_says_what_all_labels_say() -> None:
    colon = Labelled((("Colorectal adenocarcinoma", 7),), 7, None, 40)
    assert said("Write the report.", colon, (*CASES, *KEPT)) == (
        "Drafted from the report of one look-alike study, not from the image itself.\nFindings:\n"
        "Adenocarcinoma invades the subserosa [E2].\nImpression:\nColorectal adenocarcinoma pT3 N1 [E2]."
    )
    text = said("Write the report.", Labelled((("Tubular adenoma", 7),), 7, None, 40), CASES)
    assert text.startswith("Likely Tubular adenoma: 7 of the 7")  # none of them is


def test_without_labels_a_draft_is_of_all_reports() -> None:
    assert said("Write the report.", None, CASES).startswith("Drafted from the reports of 3 look-alike studies")


def test_labels_are_no_reports() -> None:
    assert said("Describe this image.", None, KEPT) == said("Compare these two", None, KEPT) == REFUSAL


@pytest.mark.parametrize(
    "question",
    [
        "Where is the lesion?",
        "What should be done next?",
        "How many lesions are there?",
        "What type of treatment is this?",
    ],
)
def test_what_labels_do_not_tell_is_not_answered_by_them(question: str) -> None:
    assert said(question, FOUND) == REFUSAL


@pytest.mark.parametrize(
    ("question", "asked", "begin"),
    [
        ("Is this a melanoma?", (3, 12), "Likely no: 3 of the 10 pictures that look most alike are labelled as such [E1], where 30 % of all are; the commonest label among them is Melanocytic nevi, 7 [E2]."),
        ("Is this a melanoma?", (3, 4), "Uncertain: 3 of the 10"),  # more of them than usual
        ("Is it not a melanoma?", (0, 4), "Likely not melanoma: 0 of the 10"),
        ("Isn't this a nevus?", (7, 30), "Likely nevus: 7 of the 10"),
        ("Can you rule out melanoma?", (0, 4), "Likely not melanoma: 0 of the 10"),
        ("Is this a nevus?", (7, 30), "Likely yes: 7 of the 10"),
        ("Is this a nevus?", (5, 30), "Uncertain: 5 of the 10"),
        ("Is it free of melanoma?", (0, 4), "Likely yes: 0 of the 10"),
    ],
)  # fmt: skip
def test_a_closed_question_is_answered_by_all_look_alikes(question: str, asked: tuple[int, int], begin: str) -> None:
    such = ("Melanocytic nevi",) if "nevus" in question else ("Melanoma",)
    assert said(question, closed(FOUND, asked, such)).startswith(begin)


def test_captions_that_speak_of_something_else_take_weight_from_those_that_mention_it() -> None:
    kept = tuple(
        Hit(dataclasses.replace(picture(n), text=text), 0.9, n, "similar")
        for n, text in enumerate(("Melanoma of the back", "Nevus of the arm", "Wart of the toe"), 1)
    )
    text = said("Is this a melanoma?", None, kept)
    assert text.startswith("Uncertain: the one look-alike picture whose caption mentions it reports melanoma.")
    assert text.endswith("This rests on their captions, not on the image itself.")


def test_counts_are_the_projects_own_words_and_no_claims_of_the_evidence() -> None:
    text = said("Is this a melanoma?", dataclasses.replace(FOUND, asked=(3, 4)))
    assert checked(text, Context(Query("Is this a melanoma?", (SKIN,)), KEPT)) == ()


def test_a_model_is_told_the_counts_unless_private() -> None:
    context = Context(Query("What is this?", (SKIN,)), KEPT, labelled=FOUND)
    assert (
        'Counted: of the 10 labelled pictures that look most alike 7 are labelled "Melanocytic nevi", 3 "Melanoma".'
        in make_prompt("What is this?", context).user_text()
    )
    assert "labelled" not in make_prompt("What is this?", private.shown(context)).user_text()


def test_a_picture_that_is_left_out_is_not_counted_among_all(tmp_path: Path) -> None:
    found = counted(tmp_path, NEAR, "Is this a melanoma?", exclude=frozenset(f"d:{n}" for n in range(10, 20)))
    assert found and found.asked and found.asked[1] == 6 and found.drawn == 10


@pytest.mark.parametrize(
    ("labels", "question", "such"),
    [
        (("tumor", "normal", "stroma"), "Does the tumor invade the muscle?", None),
        (("tumor", "normal", "stroma"), "Is there necrosis in the tumor?", None),
        (("tumor", "normal", "stroma"), "Is there a benign tumor?", None),
        (("tumor", "normal", "stroma"), "Is this tissue normal?", {"normal"}),
        (("pneumonia", "normal"), "Is the aorta normal?", None),
        (("pneumonia", "normal"), "Is this film normal?", {"normal"}),
        (("grade 0", "grade 1", "grade 2"), "Are there 2 lesions?", None),
        (("grade 0", "grade 1", "grade 2"), "Is this grade 2?", {"grade 2"}),
    ],
)
def test_what_is_asked_of_a_class_or_beside_it_is_not_told_by_labels(
    labels: tuple[str, ...], question: str, such: set[str] | None
) -> None:
    found = said_of(parse(question), labels)
    assert (found.such if found else None) == such


RETINA = (
    "No DR", "Mild DR without maculopathy", "Moderate DR without maculopathy", "Moderate DR with maculopathy", "PDR with maculopathy", "ADED",
)  # fmt: skip
MILD, MODERATE, OEDEMA, PDR = RETINA[1:5]


@pytest.mark.parametrize(
    ("question", "such", "against"),
    [
        ("Is DR present?", {MILD, MODERATE, OEDEMA, PDR}, {"No DR"}),  # ADED may or may not be one
        ("Is there no DR?", {"No DR"}, {MILD, MODERATE, OEDEMA, PDR}),
        ("Is this PDR?", {PDR}, {"No DR"}),
        ("Is this moderate DR?", {MODERATE, OEDEMA}, {"No DR", MILD}),
        ("Is this moderate DR with maculopathy?", {OEDEMA}, {*RETINA} - {OEDEMA}),
        ("Is there DR without maculopathy?", {MILD, MODERATE}, {"No DR", OEDEMA, PDR}),
        ("Is there DR but no maculopathy?", {MILD, MODERATE}, {"No DR", OEDEMA, PDR}),
        ("Is it without maculopathy?", {MILD, MODERATE}, {OEDEMA, PDR}),
        ("Is there maculopathy?", {OEDEMA, PDR}, {MILD, MODERATE}),
        ("Is this ADED?", {"ADED"}, {*RETINA} - {"ADED"}),
    ],
)
def test_a_label_is_a_no_only_where_it_is_known_to_say_so(question: str, such: set[str], against: set[str]) -> None:
    found = said_of(parse(question), RETINA)
    assert found and (found.such, found.against) == (such, against)


@pytest.mark.parametrize(
    ("labels", "question", "such", "against"),
    [
        (("NPDR", "PDR", "Normal"), "Is there DR?", {"NPDR", "PDR"}, {"Normal"}),
        (("NPDR early", "PDR late", "Normal"), "Is there PDR?", {"PDR late"}, {"Normal"}),  # the N of NPDR is "non"
        (SKINS, "Is this a nevus?", {"Melanocytic nevi"}, set()),
        (SKINS, "Is this a melanocytic nevus?", {"Melanocytic nevi"}, {*SKINS} - {"Melanocytic nevi"}),
        ((*SKINS, "Intraepithelial carcinoma"), "Is this a basal cell carcinoma?", {SKINS[3]}, {*SKINS, "Intraepithelial carcinoma"} - {SKINS[3]}),
        (("benign nevus", "malignant melanoma"), "Is this malignant?", {"malignant melanoma"}, {"benign nevus"}),
    ],
)  # fmt: skip
def test_kinds_and_names_of_classes(labels: tuple[str, ...], question: str, such: set[str], against: set[str]) -> None:
    found = said_of(parse(question), labels)
    assert found and (found.such, found.against) == (such, against)


def test_a_negative_is_not_told_as_the_positive() -> None:
    assert said_of(parse("Is this HER2 negative?"), ("HER2 positive", "HER2 negative")) is None


NONE_SAYS_NO = Labelled(((PDR, 2), ("ADED", 2), (MILD, 1)), 5, None, 40, ("d:0", "d:4"))


def test_labels_of_which_nothing_is_known_are_no_no() -> None:
    grade = Asked(NONE_SAYS_NO.labels, 5, (1, 30), 40, ("d:0",), (MILD,), ("No DR",))
    assert said("Is there mild DR?", grade).startswith("Uncertain: 1 of the 5")


def test_what_leads_is_not_denied() -> None:
    shared = closed(TIED, (2, 30), ("Melanocytic nevi",))
    assert said("Is this a melanocytic nevus?", shared).startswith("Uncertain: 2 of the 6")


def test_counts_are_of_what_is_asked() -> None:
    found = Labelled(((MILD, 4), (OEDEMA, 1)), 5, None, 40, ("d:0", "d:4"))
    without = closed(found, (4, 20), (MILD, MODERATE), (OEDEMA,), denied=True)
    assert said("Is it without maculopathy?", without).startswith(
        "Likely yes: 4 of the 5 pictures that look most alike are labelled as without maculopathy, where 50 % of all are."
    )
    none = closed(Labelled((("PDR", 5),), 5, None, 40), (0, 4), ("No DR",), ("PDR",), denied=True)
    assert "Likely DR: 0 of the 5 pictures that look most alike are labelled No DR" in said("Is there no DR?", none)
    melanoma = closed(FOUND, (0, 4), ("Melanoma",))
    assert "0 of the 10 pictures that look most alike are labelled as melanoma" in said(
        "Is it free of melanoma?", melanoma
    )


CELLS = Labelled((("WBC", 5), ("RBC", 2)), 7, None, 40, ("d:0",))


@pytest.mark.parametrize(
    ("question", "labels"),
    [
        ("What type of white blood cell is this?", CELLS),
        ("What disease is this?", CELLS),
        ("Is this cell cancerous?", CELLS),
        ("What type of melanoma is this?", FOUND),
        ("What stage is this?", FOUND),
        ("Is this eye healthy?", NONE_SAYS_NO),
        ("Is this worse than moderate?", Labelled(((MODERATE, 5), (MILD, 2)), 7, None, 40)),
        ("Is there at least moderate DR?", closed(Labelled(((MODERATE, 5), (MILD, 2)), 7, None, 40), (5, 10), (MODERATE,))),
        ("Is this other than a melanoma?", closed(FOUND, (3, 10), ("Melanoma",))),
        ("Are these the same lesion?", Several(FOUND.labels, 20, None, 40, each=((1, FOUND), (2, FOUND)))),
        ("What should I do about this lesion?", FOUND),
        ("Who should look at this lesion?", FOUND),
    ],
)  # fmt: skip
def test_a_kind_a_state_an_action_or_a_comparison_is_no_label(question: str, labels: Labelled) -> None:
    lesion = Hit(picture(9, "Benign keratosis-like lesions"), 0.9, 3, "similar")
    assert said(question, labels, (*KEPT, lesion)) == REFUSAL


@pytest.mark.parametrize(
    "question", ["What cell is this?", "What type of cell is this?", "What kind of blood cell is shown?"]
)
def test_the_kind_that_labels_name_is_told(question: str) -> None:
    assert said(question, CELLS).startswith("Likely WBC: 5 of the 7")
    assert said("What grade of DR is this?", NONE_SAYS_NO).startswith("Uncertain, as no label leads")


def test_others_take_no_place_among_the_neighbours(tmp_path: Path) -> None:
    others = [picture(n, "Tubular adenoma", "histology") for n in range(100, 200)] + [
        picture(n) for n in range(200, 300)
    ]
    found = counted(tmp_path, [*others, *NEAR])
    assert found is not None and found.nearest == tuple(f"d:{n}" for n in range(5))


class Vectors:
    """An index whose vectors lie on a circle, a tenth of a degree apart: neighbours have a cosine of nearly 1."""

    def positions_of(self, ids: Sequence[str]) -> np.ndarray:
        return np.arange(len(ids))

    def vectors_at(self, positions: np.ndarray) -> np.ndarray:
        angles = np.deg2rad(positions / 10)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(("best", "told"), [(0.9, True), (0.66, False)])
def test_pictures_far_from_all_of_the_atlas_are_not_told_by_it(tmp_path: Path, best: float, told: bool) -> None:
    store = ItemStore.create(tmp_path / "items.db")
    store.put_many((one, "d") for one in NEAR)
    asked = Query("What lesion is this?", (SKIN,), domain="dermoscopy")
    labels = Labels(Alike(NEAR, best), store, 0.9995, Vectors())
    assert (labels.of(asked) is not None) == told


def test_each_label_that_may_be_named_has_its_nearest_picture_shown(tmp_path: Path) -> None:
    store = ItemStore.create(tmp_path / "items.db")
    store.put_many((one, "d") for one in NEAR)
    labels, asked = Labels(Alike(NEAR), store, 0.9995), Query("Is this a melanoma?", (SKIN,), domain="dermoscopy")
    found = labels.of(asked)
    assert found and [hit.item.id for hit in labels.evidence(asked, found, ())] == ["d:0", "d:4"]
    kept = (Hit(NEAR[2], 0.9, 1, "similar"), Hit(NEAR[7], 0.9, 2, "similar"))  # the second was not counted
    assert [hit.item.id for hit in labels.evidence(asked, found, kept)] == ["d:4"]
    two = dataclasses.replace(asked, images=(SKIN, SKIN))
    both = labels.of(two)
    assert both and [hit.item.id for hit in labels.evidence(two, both, ())] == ["d:0", "d:4"]


def atlas(folder: Path, **settings: object) -> MedRAG:
    """A pipeline over the pictures of `NEAR` alone."""
    store = ItemStore.create(folder / "items.db")
    store.put_many((one, "d") for one in NEAR)
    chosen = override(PipelineSettings(), settings)  # type: ignore[call-arg]
    index = cast("Store", SimpleNamespace(items=store, manifest=SimpleNamespace(content={})))
    return MedRAG({"similar": Alike(NEAR)}, DomainRouter(["similar"]), AdaptiveSelector(chosen.select), Extractive(), chosen, index)  # fmt: skip


def test_what_is_named_is_cited_though_the_selector_had_no_room(tmp_path: Path) -> None:
    route = Route("dermoscopy", 1.0, {"similar": 1.0})
    context = Context(
        Query("What lesion is this?", (SKIN,), domain="dermoscopy"), KEPT[1:], (Drop(KEPT[0], "no room"),)
    )
    found = atlas(tmp_path).counted(context, route)
    assert [hit.item.id for hit in found.kept] == ["d:0", "d:4"] and not found.dropped and found.tokens > 0
    assert said("What lesion is this?", found.labelled, found.kept).startswith(
        "Likely Melanocytic nevi: 4 of the 5 pictures that look most alike are labelled so [E1]; 1 Melanoma [E2]."
    )
    (tmp_path / "2").mkdir()
    assert atlas(tmp_path / "2", private=True).counted(context, route).kept == KEPT[1:]


def test_a_label_is_no_caption() -> None:
    assert said("Is this a melanoma?", None) == REFUSAL  # too few are alike to count them


def test_an_image_that_looks_like_none_is_named() -> None:
    each = Several(FOUND.labels, 16, None, 40, each=((2, FOUND),), silent=(1,))
    assert "Too few labelled pictures look like image 1." in of_class(parse("What is this?"), each, ())
