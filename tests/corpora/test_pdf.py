"""PDF pages: reading order, roles, running lines, figures, tables, turned pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from some_pdfs import LEFT, PARAGRAPH, RIGHT, turned_page, two_columns, with_figure, with_table

from medrag._util.text import sentences
from medrag.corpora._layout import Line, join, pieces
from medrag.corpora.chunk import chunk
from medrag.corpora.pdf import PdfPages
from medrag.errors import BadRecord
from medrag.settings import ChunkSettings
from medrag.types import Box, ImageRecord, Page


def never(error: BadRecord) -> None:
    raise AssertionError(str(error))


def pages_of(path: Path) -> list[Page]:
    return [item for item in PdfPages("p", path).read(never) if isinstance(item, Page)]


def test_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    page = pages_of(two_columns(tmp_path / "a.pdf"))[0]
    assert [block.role for block in page.blocks] == ["heading", "body", "body"]
    assert page.text == f"Chapter 1 Reading the film\n{LEFT}\n{RIGHT}"
    left, right = page.blocks[1].box, page.blocks[2].box
    assert left is not None and right is not None and left.x1 < right.x0 and left.x0 == pytest.approx(60, abs=2)


def test_running_lines_are_dropped_and_ids_are_stable(tmp_path: Path) -> None:
    pages = pages_of(two_columns(tmp_path / "some book.pdf"))
    assert not any(word in page.text for page in pages for word in ("Manual", "edition", "2024"))
    assert [page.id for page in pages] == [f"p:some book#p{n}" for n in (1, 2, 3)] and {page.doc for page in pages} == {
        "p:some book"
    }
    assert pages[1].meta["section"] == "Chapter 1 Reading the film" and pages[0].title == "Chapter 1 Reading the film"
    assert (pages[0].width, pages[0].height, pages[0].number) == (595, 842, 1)


def cases(path: Path, lines: list[str], y: float) -> Path:
    """A page for each of the lines, which stands at one height above a paragraph."""
    import pymupdf

    document = pymupdf.open()
    for line in lines:
        page = document.new_page(width=595, height=842)
        page.insert_text((72, y), line, fontsize=10)
        page.insert_textbox((72, 130, 520, 300), PARAGRAPH, fontsize=10)
    document.save(path)
    return path


@pytest.mark.parametrize("y", [50, 80])
def test_lines_that_differ_in_what_was_measured_do_not_run(tmp_path: Path, y: float) -> None:
    lines = [f"Ejection fraction {30 + 9 * n} %, patient {1000 + n * n}, vol. {n} ml" for n in (1, 3, 2, 5, 4)]
    assert [page.text.split("\n")[0] for page in pages_of(cases(tmp_path / "a.pdf", lines, y))] == lines


@pytest.mark.parametrize(
    "line", ["Clinic 2024 – {0}", "{0} of 9 | Clinic", "Page {1}", "Chapter {1}", "Vol. {1}, Clinic"]
)
def test_lines_that_differ_in_their_page_label_run(tmp_path: Path, line: str) -> None:
    lines = [line.format(page + 11, odd) for page, odd in enumerate((3, 1, 4, 15, 92))]
    assert [page.text for page in pages_of(cases(tmp_path / "a.pdf", lines, 50))] == [PARAGRAPH] * 5


@pytest.mark.parametrize("numbers", [False, True])
def test_a_header_on_each_page_of_a_short_file_runs_and_its_headings_do_not(tmp_path: Path, numbers: bool) -> None:
    import pymupdf

    document = pymupdf.open()
    for number in (1, 2, 3):
        page = document.new_page(width=595, height=842)
        page.insert_text((72, 72), f"Department of Medicine, no. {number if numbers else 7}", fontsize=10)
        page.insert_text((72, 95), f"Topic {number}", fontsize=20, fontname="hebo")
        page.insert_textbox((72, 130, 520, 200), PARAGRAPH, fontsize=10)
        page.insert_text((72, 240), f"Page {number} of 3", fontsize=10)
    document.save(tmp_path / "a.pdf")
    assert [page.text for page in pages_of(tmp_path / "a.pdf")] == [f"Topic {n}\n{PARAGRAPH}" for n in (1, 2, 3)]


def said(pages: list[Page]) -> list[list[str]]:
    return [[passage.text for passage in chunk(page, ChunkSettings())] for page in pages]


def test_a_sentence_that_a_page_break_divides_belongs_to_the_page_where_it_begins(tmp_path: Path) -> None:
    halves = [
        "Migraine is common. A triptan is taken early, and it is contra-",
        "indicated in heart disease. Rest helps.",
    ]
    pages = pages_of(two_pages(tmp_path / "a.pdf", *halves))
    assert [page.text for page in pages] == halves  # as they are printed
    (first,), (second,) = said(pages)
    assert first == "Migraine is common. A triptan is taken early, and it is contraindicated in heart disease."
    assert second == "Rest helps."


def test_what_is_no_rest_of_a_sentence_stays_on_its_page(tmp_path: Path) -> None:
    whole = ["A triptan is taken at the onset.", "indicated in heart disease. Rest helps."]
    assert said(pages_of(two_pages(tmp_path / "a.pdf", *whole))) == [[one] for one in whole]
    labels = ["Arteries and veins of the arm", "brachial artery"]
    assert said(pages_of(two_pages(tmp_path / "b.pdf", *labels))) == [[one] for one in labels]


def two_pages(path: Path, *texts: str) -> Path:
    """A page for each text."""
    import pymupdf

    document = pymupdf.open()
    for text in texts:
        document.new_page(width=595, height=842).insert_textbox((72, 130, 520, 300), text, fontsize=10)
    document.save(path)
    return path


def test_text_that_is_printed_twice_to_look_bold_comes_once(tmp_path: Path) -> None:
    import pymupdf

    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    for x, y in ((72, 100), (72.3, 100), (72, 160)):
        page.insert_text((x, y), "Impression: a mass in the left upper lobe.", fontsize=11)
    document.save(tmp_path / "a.pdf")
    (read,) = pages_of(tmp_path / "a.pdf")
    assert read.text.split("\n") == ["Impression: a mass in the left upper lobe."] * 2


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("31 kg/m<sup>2</sup> of 12 cm<sup>2</sup>", "31 kg/m² of 12 cm²"),
        ("Rh<sup>-</sup>, ER<sup>–</sup> and PR<sup>+</sup>", "Rh⁻, ER⁻ and PR+"),
        ("Give <sup>131</sup>I, <sup>18</sup>F-FDG or <sup>99m</sup>Tc", "Give ¹³¹I, ¹⁸F-FDG or 99mTc"),
        ("10<sup>-3</sup> mol, 5 s<sup>-1</sup>", "10⁻³ mol, 5 s⁻¹"),
        ("a mass<sup>2</sup> of patients<sup>3,4</sup> or the patient's<sup>2</sup> lung.<sup>5</sup>", "a mass of patients or the patient's lung."),
        ("From the <sup>1</sup>Department of Radiology", "From the Department of Radiology"),
    ],
)  # fmt: skip
def test_a_raised_sign_stays_where_it_is_no_notes_number(tmp_path: Path, html: str, text: str) -> None:
    import pymupdf

    document = pymupdf.open()
    document.new_page(width=595, height=842).insert_htmlbox(pymupdf.Rect(72, 130, 520, 300), f"<p>{html}</p>")
    document.save(tmp_path / "a.pdf")
    assert pages_of(tmp_path / "a.pdf")[0].text == text


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_pages_come_as_displayed(tmp_path: Path, rotation: int) -> None:
    (page,) = pages_of(turned_page(tmp_path / "a.pdf", rotation))
    assert (round(page.width), round(page.height)) == (842, 595)
    assert [block.role for block in page.blocks] == ["heading", "body"]
    assert page.text == f"A heading in landscape\n{PARAGRAPH}"
    box = page.blocks[0].box
    assert box is not None and box.x0 == pytest.approx(60, abs=4) and 55 < box.y0 < 75


def test_text_that_runs_upwards_is_still_read_in_order(tmp_path: Path) -> None:
    """A page whose /Rotate turns upright text on its side."""
    (page,) = pages_of(two_columns(tmp_path / "a.pdf", pages=1, rotation=90))
    assert f"{LEFT}\n{RIGHT}" in page.text and (page.width, page.height) == (842, 595)
    assert all(b.box and 0 <= b.box.x0 <= b.box.x1 <= 842 and 0 <= b.box.y0 <= b.box.y1 <= 595 for b in page.blocks)


def test_a_figure_has_its_box_and_caption(tmp_path: Path) -> None:
    items = list(PdfPages("p", with_figure(tmp_path / "a.pdf"), domain="chest-xray", license="CC0").read(never))
    page, figure = items
    assert isinstance(page, Page) and isinstance(figure, ImageRecord)
    assert [block.role for block in page.blocks] == ["body", "caption", "body"]
    assert figure.id == "p:a#p1f1" and figure.doc == "p:a" and figure.page == 1 and figure.domain == "chest-xray"
    assert figure.text == "Figure 3.2 A chest film with a mass." and figure.meta["license"] == "CC0"
    assert figure.box is not None
    assert [round(v) for v in (figure.box.x0, figure.box.y0, figure.box.x1, figure.box.y1)] == [100, 200, 300, 350]


def test_small_print_below_a_figure_is_its_caption_and_body_text_is_not(tmp_path: Path) -> None:
    small = list(PdfPages("p", with_figure(tmp_path / "a.pdf", "A film of the chest.")).read(never))[1]
    usual = list(PdfPages("p", with_figure(tmp_path / "b.pdf", "A film of the chest.", size=11)).read(never))[1]
    assert (small.text, usual.text) == ("A film of the chest.", "")
    assert len(list(PdfPages("p", tmp_path / "a.pdf", figures=False).read(never))) == 1


def test_a_ruled_table_is_one_block_of_rows(tmp_path: Path) -> None:
    (page,) = pages_of(with_table(tmp_path / "a.pdf"))
    assert [block.role for block in page.blocks] == ["body", "table", "body"]
    assert page.blocks[1].text == "Finding | Where | Sign\nEffusion | Pleura | Blunt angle\nMass | Lung | Round opacity"


DRUGS = [("Drug", "Dose", "Antidote"), ("Warfarin", "5 mg", "vitamin K"), ("Heparin", "5000 units", "protamine")]
NAMED = "Drug: Warfarin; Dose: 5 mg; Antidote: vitamin K.\nDrug: Heparin; Dose: 5000 units; Antidote: protamine."


def drugs(path: Path, ruled: bool, rows: list[tuple[str, str, str]] = DRUGS) -> Path:
    """A bold title, and a table with a bold header below it."""
    import pymupdf

    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    page.insert_text((60, 180), "Anticoagulants", fontsize=16, fontname="hebo")
    for r, cells in enumerate(rows):
        for c, text in enumerate(cells):
            page.insert_text((64 + 120 * c, 215 + 22 * r), text, fontsize=10, fontname="helv" if r else "hebo")
            if ruled:
                page.draw_rect((60 + 120 * c, 200 + 22 * r, 180 + 120 * c, 222 + 22 * r))
    document.save(path)
    return path


@pytest.mark.parametrize("ruled", [True, False])
def test_a_row_of_a_table_with_a_bold_header_is_a_sentence_under_the_tables_title(tmp_path: Path, ruled: bool) -> None:
    (page,) = pages_of(drugs(tmp_path / "a.pdf", ruled))
    assert [(block.role, block.text) for block in page.blocks] == [("heading", "Anticoagulants"), ("table", NAMED)]
    (passage,) = chunk(page, ChunkSettings())
    assert passage.section == "Anticoagulants" and sentences(passage.text) == NAMED.split("\n")


def test_rows_stay_lines_where_a_cell_may_be_anothers(tmp_path: Path) -> None:
    (page,) = pages_of(drugs(tmp_path / "a.pdf", True, [*DRUGS, ("", "10 mg", "the same")]))
    assert page.blocks[1].text.startswith("Drug | Dose | Antidote\nWarfarin | 5 mg | vitamin K\n")
    assert sentences(page.blocks[1].text)[1] == "Warfarin | 5 mg | vitamin K"


def test_a_bold_header_over_cells_that_touch_is_no_heading() -> None:
    rows = [
        [("Vaccine", 61, 106), ("Age", 134, 155), ("Route", 197, 231)],
        [("MMR", 54, 83), ("12 months subcutaneous", 117, 250)],
        [("Hepatitis B birth", 54, 143), ("intramuscular", 177, 240)],
    ]
    lines = [Line(t, Box(x0, 110 + 18 * n, x1, 126 + 18 * n), 12.0, not n) for n, row in enumerate(rows) for t, x0, x1 in row]  # fmt: skip
    (table,) = pieces(lines, 12.0)
    said = "Vaccine | Age | Route\nMMR | 12 months subcutaneous\nHepatitis B birth | intramuscular"
    assert (table.role, table.text) == ("table", said)


def test_divided_words_are_joined_and_compounds_kept() -> None:
    assert join(["the pneu-", "mothorax is"]) == "the pneumothorax is"
    assert join(["a long-", "term study"], {"long-term"}) == "a long-term study"
    assert join(["a long-", "term study"]) == "a long-term study"
    assert join(["the first-", "line drug, a beta-", "blocker, if anti-", "inflammatory"]) == (
        "the first-line drug, a beta-blocker, if anti-inflammatory"
    )
    assert join(["a first-", "ly con-", "traindicated over-the-", "counter drug"]) == (
        "a firstly contraindicated over-the-counter drug"
    )
    assert join(["a drug-", "eluting stent"], {"drug", "eluting"}) == "a drug-eluting stent"
    assert join(["done with-", "out it"], {"with", "out"}) == "done without it"
    assert join(["Kerley-", "B lines", "and 3-", "5 more"]) == "Kerley- B lines and 3- 5 more"


@pytest.mark.parametrize(
    "word",
    "in-dependent in-sensitive guide-line base-line geno-type over-dose dis-like Mon-day high-lighted short-age un-related second-ary "
    "beta-methasone follow-ing sertra-line aste-risk thresh-old cor-related".split(),
)
def test_what_ends_like_a_compound_is_none_without_a_word_before_it(word: str) -> None:
    head, tail = word.split("-")
    assert join([f"{head}-", tail]) == head + tail
    assert join([f"{head}-", tail], {"guide", "base", "line", "age", "day", "type", "dis", "related"}) == head + tail


@pytest.mark.parametrize(
    "word",
    "plasma-like drug-induced coagulase-negative longer-term flare-up follow-up 5-year-old alpha-beta first-line beta-blocker".split(),
)
def test_compounds_are_known_by_their_parts(word: str) -> None:
    head, _, tail = word.rpartition("-")
    assert join([f"{head}-", tail], {"plasma", "drug", "flare"}) == word


def test_a_soft_hyphen_that_is_printed_within_a_line_stays(tmp_path: Path) -> None:
    import pymupdf

    document = pymupdf.open()
    page = document.new_page(width=595, height=842)
    for y, text in ((130, "A dose of 20\u00ad40 mg of a non\u00adselective, con\u00ad"), (142, "traindicated drug.")):
        page.insert_text((72, y), text, fontsize=10)
    document.save(tmp_path / "a.pdf")
    assert pages_of(tmp_path / "a.pdf")[0].text == "A dose of 20-40 mg of a non-selective, contraindicated drug."


def test_a_cell_that_begins_before_the_columns_of_its_table_is_kept() -> None:
    places = [
        ("Sign", 330, 128),
        ("not", 60, 156),
        ("mass", 72, 156),
        ("rib", 72, 198),
        ("pleura", 72, 212),
        ("air", 330, 212),
    ]
    (table,) = pieces([Line(text, Box(x, y, x + 30, y + 10), 10.0) for text, x, y in places], 10.0)
    assert table.role == "table" and table.text == "Sign\nnot mass\nrib\npleura | air"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 500),
            st.integers(0, 700),
            st.integers(5, 300),
            st.sampled_from([9.0, 10.0, 16.0]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_no_word_is_lost_or_made_up_by_the_layout(places: list[tuple[int, int, int, float, bool]]) -> None:
    lines = [
        Line(f"word{i}x", Box(x, y, x + w, y + size), size, bold) for i, (x, y, w, size, bold) in enumerate(places)
    ]
    found = pieces(lines, 10.0)
    assert sorted(w for p in found for w in p.text.replace("|", " ").split()) == sorted(line.text for line in lines)
    assert all(any(p.box.x0 <= line.box.x0 and line.box.x1 <= p.box.x1 for p in found) for line in lines)


def test_signature_follows_the_file(tmp_path: Path) -> None:
    two_columns(tmp_path / "a.pdf", pages=1)
    before = PdfPages("p", tmp_path).signature()
    assert before == PdfPages("p", tmp_path).signature() != PdfPages("p", tmp_path, title="T").signature()
    two_columns(tmp_path / "a.pdf", pages=2)
    assert PdfPages("p", tmp_path).signature() != before


def painted(path: Path, rotation: int = 0) -> Path:
    """Words that are seen, and words that nobody sees, each painted otherwise."""
    import pymupdf

    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 72), "Effusion is fluid in the pleural space.")
    page.insert_text((72, 100), "White on paper", color=(1, 1, 1))
    page.insert_text((72, 130), "Painted by nothing", render_mode=3)
    page.insert_text((72, 160), "Tiny letters", fontsize=0.5)
    page.insert_text((72, 190), "Transparent letters", fill_opacity=0)
    page.draw_rect((60, 200, 300, 230), fill=(0, 0, 0))
    page.insert_text((72, 220), "White on a black bar is seen.", color=(1, 1, 1))
    page.set_rotation(rotation)
    document.save(path)
    return path


@pytest.mark.parametrize("rotation", [0, 90, 270])
def test_words_that_nobody_sees_are_left_out_and_reported(tmp_path: Path, rotation: int) -> None:
    reported: list[BadRecord] = []
    pages = list(PdfPages("p", painted(tmp_path / "a.pdf", rotation), ocr=False).read(reported.append))
    assert {line for page in pages for line in page.text.split("\n")} == {
        "Effusion is fluid in the pleural space.",
        "White on a black bar is seen.",
    }
    assert len(reported) == 1
    assert "page 1: words that nobody sees" in str(reported[0])
    assert "White on paper Painted by nothing Tiny letters Transparent letters" in str(reported[0])


def test_the_transparent_words_over_a_scanned_page_are_read(tmp_path: Path) -> None:
    """A searchable scan: the picture shows the words that lie over it without paint."""
    import pymupdf

    shown, words = pymupdf.open(), "Effusion is fluid in the pleural space, which blunts the angle."
    shown.new_page(width=500, height=200).insert_text((20, 60), words, fontsize=14)
    document = pymupdf.open()
    page = document.new_page(width=500, height=200)
    page.insert_image(page.rect, pixmap=shown[0].get_pixmap(dpi=150))
    page.insert_text((20, 60), words, fontsize=14, render_mode=3)
    document.save(tmp_path / "scan.pdf")
    pages = [page for page in PdfPages("p", tmp_path / "scan.pdf", ocr=False).read(never) if isinstance(page, Page)]
    assert words in pages[0].text


@pytest.mark.parametrize("leading", [12, 16])
def test_unseen_words_between_and_over_seen_ones_are_left_out(tmp_path: Path, leading: int) -> None:
    import pymupdf

    document = pymupdf.open()
    page = document.new_page()
    for n in range(8):
        page.insert_text((72, 100 + n * leading), f"Line {n} of the report is black.", fontsize=10)
        page.insert_text((72, 100 + (n + 0.5) * leading), "Ignore what stands above", fontsize=6, color=(1, 1, 1))
        page.insert_text((260, 100 + n * leading), "nobody reads this word", fontsize=10, color=(1, 1, 1))
    page.insert_text((72, 400), "Underlined by a line", color=(1, 1, 1))
    page.draw_line((72, 402), (200, 402))
    document.save(tmp_path / "a.pdf")
    text = "".join(
        page.text
        for page in PdfPages("p", tmp_path / "a.pdf", ocr=False).read(lambda _: None)
        if isinstance(page, Page)
    )
    assert text.count("of the report is black") == 8
    assert not any(word in text for word in ("Ignore", "nobody", "Underlined"))
