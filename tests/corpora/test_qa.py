"""MedQuAD and plain text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import MEDQUAD
from hypothesis import given
from hypothesis import strategies as st
from some_pdfs import two_columns

from medrag._util.text import sentences
from medrag.corpora import _html, _markdown
from medrag.corpora._parts import blocks
from medrag.corpora.chunk import chunk
from medrag.corpora.pdf import PdfPages
from medrag.corpora.qa import MedQuad, TextFiles
from medrag.errors import BadRecord, CorpusError
from medrag.settings import ChunkSettings
from medrag.types import Passage


def never(error: BadRecord) -> None:
    raise AssertionError(str(error))


def test_answered_pairs_come_and_unanswered_do_not(tmp_path: Path) -> None:
    (tmp_path / "1_Test_QA").mkdir()
    (tmp_path / "1_Test_QA" / "0000001.xml").write_text(MEDQUAD)
    (tmp_path / "1_Test_QA" / "0000002.xml").write_text(MEDQUAD.replace("A disease of the optic nerve.", " "))
    (document,) = MedQuad("m", tmp_path).read(never)
    assert document.id == "m:1_Test_QA/0000001" and document.title == "Glaucoma"
    assert [(b.role, b.text) for b in document.blocks] == [
        ("heading", "What is glaucoma?"),
        ("body", "A disease of the optic nerve."),
    ]
    assert (
        document.meta["cuis"] == ["C0017601"]
        and document.meta["types"] == ["T047"]
        and document.meta["group"] == "Disorders"
    )
    assert document.meta["qtypes"] == ["information"] and document.meta["url"] == "http://example.org"


def test_the_other_spelling_of_five_files(tmp_path: Path) -> None:
    (tmp_path / "1.xml").write_text(
        '<doc docid="1" corpus="NINDS"><doctitle-focus>ALS</doctitle-focus><umls><cui>C1</cui></umls><qaPairs><pair pid="1">'
        '<question qtype="information">what is als?</question><answer>A disease.\n\nIt is rare.</answer></pair></qaPairs></doc>'
    )
    (document,) = MedQuad("m", tmp_path).read(never)
    assert (
        document.title == "ALS"
        and document.blocks[1].text == "A disease.\n\nIt is rare."
        and document.meta["publisher"] == "NINDS"
    )


def test_markdown_headings_and_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Title\nFirst\nline.\n\n## Part ##\n\nSecond.\n")
    (tmp_path / "b.txt").write_bytes("\ufeff# no heading here\r\n\r\nWords.".encode())
    first, second = TextFiles("t", tmp_path).read(never)
    assert first.title == "Title" and [(b.role, b.text) for b in first.blocks] == [
        ("heading", "Title"),
        ("body", "First line."),
        ("heading", "Part"),
        ("body", "Second."),
    ]
    assert second.id == "t:b.txt" and [b.text for b in second.blocks] == ["# no heading here", "Words."]


def passages(folder: Path, text: str, **options: str) -> list[Passage]:
    (folder / "a.md").write_text(text)
    (document,) = TextFiles("t", folder, **options).read(never)
    return list(chunk(document, ChunkSettings()))


SEVERAL = (
    "First.\n# Nevus\nBenign.\n## Care\n### Margins\nNone.\n# Melanoma\n## Care\nExcise it.\n```\n# a comment\n```\n"
)


def test_of_several_first_headings_each_titles_its_own_part(tmp_path: Path) -> None:
    found = passages(tmp_path, SEVERAL)
    assert [(one.title, one.section, one.text) for one in found[:4]] == [
        ("Nevus", "", "First."),
        ("Nevus", "Nevus", "Benign."),
        ("Nevus", "Care – Margins", "None."),
        ("Melanoma", "Care", "Excise it. # a comment"),
    ]
    assert len(found) == 4 and [one.id for one in found][:2] == [
        "t:a.md~0",
        "t:a.md~1",
    ]
    assert {one.doc for one in found} == {"t:a.md"} and not any(one.meta for one in found)
    assert {one.title for one in passages(tmp_path, SEVERAL, title="Skin")} == {"Skin"}


def test_one_first_heading_titles_the_whole_file(tmp_path: Path) -> None:
    found = passages(tmp_path, "# Skin\n## Nevus\nBenign.\n## Melanoma\nMalignant.")
    assert [(one.title, one.section) for one in found] == [("Skin", "Skin – Nevus"), ("Skin", "Melanoma")]


def test_each_row_of_a_markdown_table_is_a_sentence(tmp_path: Path) -> None:
    table = "Markers of the colon.\n| Marker | Colon |\n|:--|---|\n| CK7 | negative |\n| CK20 | positive |\n\nA | B is no table."
    first, second = passages(tmp_path, table)
    assert first.text == "Markers of the colon. A | B is no table." and second.meta == {"role": "table"}
    assert sentences(second.text) == ["Marker: CK7; Colon: negative.", "Marker: CK20; Colon: positive."]


def test_tables_with_an_empty_corner_and_many_tables_in_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("|| Colon | Breast |\n|---|---|---|\n| CK7 | negative | positive |\n")
    (document,) = TextFiles("c", tmp_path / "a.md").read(never)
    assert document.blocks[0].text == "CK7; Colon: negative; Breast: positive."
    (tmp_path / "b.md").write_text("| a | b |\n|---|---|\n| 1 | 2 |\ntext\n" * 1500)
    (document,) = TextFiles("c", tmp_path / "b.md").read(never)
    assert len(document.blocks) == 3000


MARKED = """---
title: notes
---
**Lyme disease** is caused by *Borrelia burgdorferi* ([CDC](https://cdc.gov/a_(b))).[^1] HLA-B*27 and B*57, 5 * 3.
![a rash](rash.png)

Symptoms:

- erythema migrans
- [x] arthritis

> [!NOTE]
> **Do not** give it in pregnancy.
> Not `x_y` nor snake_case.

1. Stop the drug.
2. Treat ~~gout~~ with colchicine

![Film of a chest](film.png)

Treatment
---------
H<sub>2</sub>O &amp; a < b \\* <!-- a
hoax -->

***
[^1]: IDSA 2020.
[home]: https://example.org
"""


def test_markdown_is_read_as_it_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(MARKED)
    (document,) = TextFiles("t", tmp_path).read(never)
    assert [(block.role, block.text) for block in document.blocks] == [
        ("body", "Lyme disease is caused by Borrelia burgdorferi (CDC). HLA-B*27 and B*57, 5 * 3."),
        ("body", "Symptoms: erythema migrans; arthritis."),
        ("body", "Do not give it in pregnancy. Not x_y nor snake_case."),
        ("body", "1. Stop the drug."),
        ("body", "2. Treat with colchicine."),
        ("caption", "Film of a chest"),
        ("heading", "Treatment"),
        ("body", "H 2 O & a < b *"),
        ("body", "IDSA 2020."),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[Warning]: Do not give to children.",
        "[Dose]: 5 mg twice a day",
        "[Unit]: mg/kg",
        "[Risk]: Fatal.",
        "[Ratio]: 1:2",
    ],
)
def test_words_after_a_bracketed_name_are_no_address(text: str) -> None:
    assert [part.text for part in _markdown.parts(text) if part.text] == [text]


def test_a_link_definition_takes_no_other_line_with_it() -> None:
    text = "Rest.\n[a]: https://example.org 'Page'\n[b]: img/a.png\n[c]: #dose\n[d]: <my page>\nThen walk.\n"
    assert [part.text for part in _markdown.parts(text) if part.text] == ["Rest.", "Then walk."]


def test_code_ends_with_as_many_backticks_as_it_began() -> None:
    assert _markdown.plain("Give `5 mg`, ``a`b`` and ``` c") == "Give 5 mg, a`b and ``` c"
    assert _markdown.plain("`" * 10_000) == "`" * 10_000
    runs = " ".join("`" * n for n in range(1, 140))
    assert _markdown.plain(runs) == runs


@given(st.text("ab.\n -*_`~>#|[]()!<\\1&;:=", max_size=120))
def test_no_markdown_is_too_odd(text: str) -> None:
    assert all(block.text for _, block in blocks(_markdown.parts(text)))


PAGE = """<!DOCTYPE html><html><head><title>Skin</title><style>p{}</style><script>alert(1)</script></head><body>
<nav>Home</nav><h1>Psoriasis</h1><p>It is <b>chronic</b> &amp; scaly.<br>Not <i>contagious</i>.<!-- no --></p>
<ul><li>elbows<li>knees</ul><table><tr><th>Drug</th><th>Dose</th></tr><tr><td>Calcipotriol<td>50 µg/g</tr></table>
<table><tr><td>a</td><td>b</td></tr></table></body></html>"""


def test_html_is_read_without_tags_and_scripts(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "b.txt").write_text("<html><title>Skin</title><p>Words.")
    first, second = TextFiles("t", tmp_path).read(never)
    assert (first.id, first.title, second.title) == ("t:a.html", "Psoriasis", "Skin")
    assert [(block.role, block.text) for block in first.blocks] == [
        ("heading", "Psoriasis"),
        ("body", "It is chronic & scaly. Not contagious."),
        ("body", "elbows; knees."),
        ("table", "Drug: Calcipotriol; Dose: 50 µg/g."),
        ("table", "a | b"),
    ]
    assert [block.text for block in second.blocks] == ["Words."]


WORD_PROCESSED = """<h2><p>Gout</p></h2><table><tr><th><p>Drug</p></th><th><p>Dose</p></th></tr>
<tr><td><p>Colchicine</p></td><td> <p>0.5</p> <div>mg</div></td></tr></table>
<ol><li><p>Rest the joint.</p></li><li><p>Treat.</p><p>Early.</p></li></ol>
<figure><figcaption><p>A red toe</p></figcaption></figure><h3>Outlook<p>Good.<p>Mostly."""


def test_paragraphs_in_cells_items_and_headings_belong_to_them() -> None:
    assert [(part.kind, part.text) for part in _html.parts(WORD_PROCESSED)[1]] == [
        ("heading", "Gout"),
        ("table", "Drug: Colchicine; Dose: 0.5 mg."),
        ("item", "Rest the joint."),
        ("item", "Treat. Early."),
        ("caption", "A red toe"),
        ("heading", "Outlook"),
        ("text", "Good."),
        ("text", "Mostly."),
    ]


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        ("<p>a <s>old</p><p>after</p>", ["a", "after"]),
        ("<p>a <strike>old<p>after", ["a", "after"]),
        ("<ul><li>a <del>old<li>b</ul><p>after", ["a", "b", "after"]),
        ("<div><del><p>old</p><div>old</div></del><p>after</p></div>", ["after"]),
        ("<p>Pick <select><option>x</p><p>after</p>", ["Pick", "after"]),
        ("<p>a<nav><ul><li><p>Home</p></li></ul></nav><p>after", ["a", "after"]),
        ("<table><tr><td>a<td>b<tr><td>c<td><s>d", ["a | b\nc"]),
    ],
)
def test_what_is_left_open_hides_no_more_than_it_stands_in(page: str, seen: list[str]) -> None:
    assert [part.text for part in _html.parts(page)[1]] == seen


@given(
    st.lists(
        st.sampled_from(
            "<p> </p> <s> </s> <td> <tr> <table> </table> <li> </ul> <nav> </nav> <h2> </h2> <div> </div> w".split()
        )
    )
)
def test_no_html_is_too_odd(tags: list[str]) -> None:
    assert all(part.text for part in _html.parts("".join(tags))[1])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"question,answer\n1,2\n", "reports-csv"),
        ("a.jsonl", b'{"a": 1}\n', "reports-jsonl"),
        ("a.docx", b"PK\x03\x04....", "save a document as PDF"),
        ("notes", b"%PDF-1.7", "use the reader pdf"),
    ],
)
def test_a_file_that_is_no_text_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as error:
        list(TextFiles("t", tmp_path / name).read(never))
    assert told in error.value.hint


@pytest.mark.parametrize("reader", [TextFiles, PdfPages])
def test_files_of_a_folder_that_are_passed_over_are_told_once(tmp_path: Path, reader: type) -> None:
    (tmp_path / "a.md").write_text("Words.")
    two_columns(tmp_path / "a.pdf", pages=1)
    for name in ("b.docx", "c.pptx"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
    told: list[BadRecord] = []
    assert list(reader("t", tmp_path).read(told.append))
    assert [one.message.partition(": ")[2] for one in told] == [
        "is passed over, as are others of its kind (2 in this folder: .docx, .pptx)"
    ]


def test_comments_in_code_title_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Intro.\n\n```\n# first\nx\n# second\n```\n")
    (document,) = TextFiles("c", tmp_path / "a.md").read(never)
    assert document.title == "a" and "heading_levels" not in document.meta
