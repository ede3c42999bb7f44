"""MedQuAD and plain text."""

from __future__ import annotations

from pathlib import Path

from hostile import MEDQUAD

from medrag.corpora.qa import MedQuad, TextFiles
from medrag.errors import BadRecord


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
