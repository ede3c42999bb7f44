"""From a recipe to pages with marked regions: built, opened, searched by words and by a picture, within parts of a book."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kurtosis

from medrag import MedRAG, plugins
from medrag._util.draw import picture_of
from medrag.build import build
from medrag.encoders._shared import picture
from medrag.encoders.pages import PageEncoder, Region
from medrag.errors import SettingsError
from medrag.indexes.bm25 import terms
from medrag.indexes.store import open_store
from medrag.retrieve import pages
from medrag.retrieve._words import word_shares
from medrag.retrieve.pages import PagesRetriever, partition, patho_fusion, place_of
from medrag.settings import Recipe, parse
from medrag.testing import FakeEncoder
from medrag.types import Block, Box, Hit, ImageRecord, Item, Page, Query, QueryImage

A4 = (595.0, 842.0)
CAPTIONS = ("A ramp of greys from left to right.", "Dim shadows that fall off quickly.")


class Eyes(FakeEncoder):
    """Grey values of a figure as it is drawn."""

    def __init__(self) -> None:
        super().__init__("image", "eyes")

    def encode_items(self, items: Sequence[Item]) -> np.ndarray:
        return self.encode_queries([Query("", (QueryImage(picture(item)),)) for item in items])


class Pages(PageEncoder):
    """A page encoder without weights, as a recipe opens it."""

    def __init__(self, model: str, *, batch: int = 1, device: str = "cpu", **options: Any) -> None:
        super().__init__(FakeEncoder(name=model), eyes=Eyes(), **options)


def write_book(path: Path, chapters: Sequence[Sequence[tuple[str, str]]]) -> None:
    """A PDF with a chapter for each list of (heading, text), a page each; the pages of the last chapter have a picture."""
    import pymupdf

    document = pymupdf.open()
    for number, chapter in enumerate(chapters):
        for n, (heading, text) in enumerate(chapter):
            sheet = document.new_page(width=A4[0], height=A4[1])
            sheet.insert_text((72, 90), heading, fontsize=20)
            sheet.insert_textbox(pymupdf.Rect(72, 110, 523, 400), text, fontsize=11)
            if number == len(chapters) - 1:
                sheet.insert_image(pymupdf.Rect(100, 450, 400, 650), pixmap=_ramp(n))
                sheet.insert_text((100, 668), f"Figure {n + 1}. {CAPTIONS[n]}", fontsize=9)
    document.save(path)


def _ramp(n: int) -> Any:
    import pymupdf

    values = np.linspace(0, 255, 60, dtype=np.uint8)[None].repeat(40, 0)
    values = values if n % 2 == 0 else values[:, ::-1] // 3
    return pymupdf.Pixmap(pymupdf.csGRAY, 60, 40, np.ascontiguousarray(values).tobytes(), False)


BOOK = [
    [
        ("Measles", "The measles virus spreads through droplets. Koplik spots are seen inside the cheek before the rash."),
        ("Malaria", "Anopheles mosquitoes carry plasmodium. Fever returns every second or third day with shivering."),
        ("Gout", "Crystals of urate settle in the joints. Colchicine shortens an attack of the great toe."),
    ],
    [
        ("Glaucoma", "The pressure inside the eye rises and the optic nerve is cupped. Drops lower the pressure."),
        ("Cataract", "The lens becomes cloudy with age. A new lens is put in its place through a small cut."),
    ],
]  # fmt: skip


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("book")
    write_book(folder / "medicine.pdf", BOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        patch.setitem(plugins.BUILTIN["encoders"], "pages", f"{__name__}:Pages")
        raw = {
            "name": "book",
            "corpora": [{"name": "books", "reader": "pdf", "path": str(folder), "options": {"title": "Medicine"}}],
            "encoders": {"pages": {"model": "letters", "kind": "pages"}},
            "indexes": {"pages": {"kind": "multivector", "encoder": "pages", "items": ["page", "image"]}},
        }
        recipe = parse(Recipe, raw, "test")
        report = build(recipe)
        assert report.counts["page"] == 5 and report.counts["image"] == 2 and not report.skipped
        yield MedRAG.open(recipe)


def retriever(rag: Any, **options: Any) -> PagesRetriever:
    found = rag.retrievers["pages"]
    assert isinstance(found, PagesRetriever)
    return PagesRetriever(found.store, found.index, found.encoder, **options)


def numbers(hits: Sequence[Hit]) -> list[int]:
    return [hit.item.number for hit in hits]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("question", "number"),
    [("Koplik spots in the cheek", 1), ("plasmodium", 2), ("urate crystals", 3), ("cloudy lens", 5)],
)
def test_words_find_their_page_and_its_region(rag: Any, question: str, number: int) -> None:
    hits = retriever(rag).retrieve(Query(question), 3)
    assert [hit.rank for hit in hits] == [1, 2, 3] and numbers(hits)[0] == number
    assert sorted((hit.score for hit in hits), reverse=True) == [hit.score for hit in hits]
    best = hits[0].item.meta["regions"][0]
    assert question.split()[0] in best["text"] and -1 <= best["cosine"] <= 1.001
    assert best["words"] and best["box"] in hits[0].item.meta["boxes"]
    assert isinstance(hits[0].item, Page) and picture_of(hits[0].item, [Box(*best["box"])]).width > 100


def test_marked_boxes_lie_on_the_words(rag: Any) -> None:
    """The text inside the box, read back from the PDF, is the region's."""
    import pymupdf

    (hit,) = retriever(rag).retrieve(Query("Anopheles mosquitoes carry plasmodium"), 1)
    region = hit.item.meta["regions"][0]
    with pymupdf.open(hit.item.source) as document:  # type: ignore[union-attr]
        read = document[hit.item.number - 1].get_textbox(pymupdf.Rect(region["box"]))  # type: ignore[union-attr]
    assert "Anopheles mosquitoes carry plasmodium" in " ".join(read.split())


def test_a_picture_finds_its_figure_and_a_caption_too(rag: Any) -> None:
    figures = list(rag.store.items.iterate(["image"]))
    for figure in figures:
        asked = Query("", (QueryImage(picture(figure), "figure.png"),))
        (hit,) = retriever(rag).retrieve(asked, 1)
        assert hit.item.number == figure.page and hit.score == pytest.approx(1, abs=2e-3)  # type: ignore[union-attr]
        assert hit.item.meta["boxes"] == [[figure.box.x0, figure.box.y0, figure.box.x1, figure.box.y1]]
        assert hit.item.meta["regions"][0]["words"] == ["figure.png"]
    assert numbers(retriever(rag).retrieve(Query(CAPTIONS[1]), 1)) == [5]


@pytest.mark.parametrize("fusion", ["sum", "max", "patho"])
def test_both_together_find_the_page_of_both(rag: Any, fusion: Any) -> None:
    figure = next(item for item in rag.store.items.iterate(["image"]) if item.page == 5)
    asked = Query("The lens becomes cloudy with age.", (QueryImage(picture(figure)),))
    hits = retriever(rag, fusion=fusion).retrieve(asked, 5)
    assert numbers(hits)[0] == 5 and len(hits) == 5 and [hit.rank for hit in hits] == [1, 2, 3, 4, 5]


def test_sum_is_the_mean_and_max_the_better_of_both_sides(rag: Any) -> None:
    figure = next(rag.store.items.iterate(["image"]))
    text, image = Query("Crystals of urate"), Query("", (QueryImage(picture(figure)),))
    alone = [{h.item.id: h.score for h in retriever(rag).retrieve(one, 5)} for one in (text, image)]
    for fusion, join in (("sum", lambda a, b: (a + b) / 2), ("max", max)):
        for hit in retriever(rag, fusion=fusion).retrieve(Query(text.text, image.images), 5):
            assert hit.score == pytest.approx(join(*(one[hit.item.id] for one in alone)), abs=1e-4)


def test_similarities_say_which_region_matched_which_word(rag: Any) -> None:
    page = rag.store.items.get([retriever(rag).retrieve(Query("plasmodium"), 1)[0].item.id])[0]
    found = retriever(rag).similarity(Query("shivering mosquitoes"), page)
    assert found.values.shape == (len(found.labels), len(found.regions)) and found.weights.sum() == pytest.approx(1)
    assert found.labels == ("shivering mosquitoes",) and np.abs(found.values).max() <= 1.001


def test_parts_and_exclusions(rag: Any) -> None:
    search = retriever(rag)
    every = Query("The pressure inside the eye")
    assert numbers(search.retrieve(every, 9, within={"chapter": "glaucoma"})) == [4]
    assert len(search.retrieve(every, 9, within={"book": "MEDICINE"})) == 5
    assert search.retrieve(every, 9, within={"book": "surgery"}) == []
    assert search.retrieve(every, 9, within={"domain": "fundus"}) == []
    with pytest.raises(SettingsError, match="known: book, chapter, domain"):
        search.retrieve(every, 9, within={"verse": "1"})
    best = search.retrieve(every, 1)[0].item
    assert best.id not in {h.item.id for h in search.retrieve(Query(every.text, exclude=frozenset([best.id])), 9)}
    assert search.retrieve(Query(every.text, exclude=frozenset([best.doc])), 9) == []
    assert search.retrieve(Query(" "), 5) == [] and search.retrieve(every, 0) == []


def test_an_answer_may_rest_on_pages(rag: Any) -> None:
    answer = rag.answer(None, "What do Koplik spots come before?")
    assert [hit.item.kind for hit in answer.context.kept] and answer.context.kept[0].item.number == 1


def test_the_store_checks_what_was_saved(rag: Any) -> None:
    again = open_store(rag.store.folder, verify=True)
    assert len(again.index("pages")) == 5 and "pages/tokens.bin" in again.manifest.files


@pytest.mark.parametrize(("kind", "encoder"), [("faiss", "pages"), ("multivector", "plain")])
def test_an_encoder_that_does_not_fit_is_refused(
    rag: Any, monkeypatch: pytest.MonkeyPatch, kind: str, encoder: str
) -> None:
    monkeypatch.setitem(plugins.BUILTIN["encoders"], "pages", f"{__name__}:Pages")
    monkeypatch.setitem(plugins.BUILTIN["encoders"], "plain", f"{__name__}:_plain")
    raw = rag.recipe.model_dump(mode="json") | {"name": "other"}
    raw["encoders"] = {"pages": {"model": "letters", "kind": "pages"}, "plain": {"model": "letters", "kind": "plain"}}
    raw["indexes"] = {"one": {"kind": kind, "encoder": encoder, "items": ["page"]}}
    with pytest.raises(SettingsError, match="does not fit an encoder"):
        build(parse(Recipe, raw, "test"), rag.store.folder.parent / "other")


def _plain(model: str, **_: Any) -> FakeEncoder:
    return FakeEncoder(name=model)


def test_regions_without_certain_places_are_not_marked() -> None:
    """A page whose figures are not those that were indexed shows its text's places only."""
    items = SimpleNamespace(get=lambda ids: [], ids_of=lambda names: set())
    store = SimpleNamespace(items=items, index=lambda name: None)
    text = Region("words", Box(0, 0, 1, 1))
    encoder = SimpleNamespace(regions=lambda item: (text,), sides=lambda query: {})
    found = PagesRetriever(store, "x", encoder)._regions(_page(), 3)  # type: ignore[arg-type]
    assert found == (text, Region("", None), Region("", None))


def _page(number: int = 1, *blocks: Block, **meta: str) -> Page:
    return Page(f"b:one#p{number}", "b:one", number, blocks, *A4, "one.pdf", "First Book", meta)


def test_places_of_pages(tmp_path: Path) -> None:
    places = {
        "a": place_of(_page(1, Block("Of the Lung", role="heading"), section="Introduction")),
        "b": place_of(_page(2, Block("lung"), chapter="The heart"), ["", "Chest-Xray", "ct"]),
        "c": place_of(_page(3, domain="mr"), ["ct"]),
    }
    assert partition(places, {"book": "first"}) == partition(places, {"book": "b:one"}) == {"a", "b", "c"}
    assert partition(places, {"chapter": "lung"}) == {"a"} and partition(places, {"chapter": "HEART"}) == {"b"}
    assert partition(places, {"domain": "chest-xray", "book": "first"}) == {"b"}
    assert partition(places, {"domain": "ct"}) == {"b", "c"} and partition(places, {"domain": "mr"}) == {"c"}
    assert partition(places, {"domain": "c"}) == set()


def test_a_page_is_within_the_domain_of_each_of_its_figures() -> None:
    figures = [
        ImageRecord(f"b:one#p1f{n}", "b:one", "", "one.pdf", name)
        for n, name in enumerate(("fundus", "histology", ""), 1)
    ]
    kinds = {"image": figures, "page": [_page(1), _page(2)]}
    store = SimpleNamespace(items=SimpleNamespace(iterate=lambda names: kinds[names[0]]))
    places = PagesRetriever(store, "x", None)._places  # type: ignore[arg-type]
    for name in ("fundus", "histology"):
        assert partition(places, {"domain": name}) == {"b:one#p1"}
    with pytest.raises(SettingsError, match="none of sum"):
        PagesRetriever(None, "x", None, fusion="product")  # type: ignore[arg-type]


@given(st.integers(0, 10**6), st.integers(2, 9), st.integers(1, 5))
def test_patho_fusion_is_the_published_formula(seed: int, regions: int, words: int) -> None:
    text, image = np.random.default_rng(seed).uniform(-1, 1, (2, words, regions)).astype(np.float32)
    kappa = [kurtosis(side, axis=1, fisher=False).mean() for side in (text, image)]
    expected = np.std(np.std(text, axis=1)) * kappa[0] ** 2 * kappa[1] + text.max(axis=1).mean()
    assert patho_fusion(text, image) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert patho_fusion(text, np.zeros((1, regions), np.float32)) == pytest.approx(text.max(axis=1).mean(), abs=1e-5)


def test_its_examples_run() -> None:
    assert doctest.testmod(pages).failed == 0


def test_rare_words_lift_a_page_whose_windows_mean_something_else(rag: Any) -> None:
    found = retriever(rag)
    question = Query("Anopheles")
    assert numbers(found.retrieve(question, 5))[0] == 2
    assert found.retrieve(question, 1)[0].score == pytest.approx(found.retrieve(question, 5)[0].score)


@given(st.lists(st.text("abcdefg ", max_size=40), max_size=6), st.text("abcdefg ", max_size=20))
def test_word_shares_are_shares_and_more_of_a_word_is_no_less(texts: list[str], question: str) -> None:
    shares = word_shares(question, texts)
    assert shares.shape == (len(texts),) and (shares >= 0).all() and (shares < 1).all()
    if texts and terms(question):
        twice = word_shares(question, [*texts[:-1], question, question + " " + question])
        assert twice[-1] >= twice[-2] or len(terms(question)) > 1
