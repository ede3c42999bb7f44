"""A corpus that comes in files: one that was read is not read again when another comes, changes or goes, nor after a build was cut off."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from some_pdfs import two_columns

from medrag._util.places import built
from medrag.build import build
from medrag.corpora.pdf import PdfPages
from medrag.indexes.manifest import read_manifest
from medrag.settings import Recipe


@pytest.fixture
def books(tmp_path, monkeypatch):
    """A folder of three books, its recipe, and the names of the files that are read."""
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    folder = tmp_path / "books"
    folder.mkdir()
    for name in ("a", "b", "c"):
        two_columns(folder / f"{name}.pdf", pages=2)
    read: list[str] = []
    plain = PdfPages.read_part

    def watched(self, part, report):
        read.append(Path(part).stem)
        return plain(self, part, report)

    monkeypatch.setattr(PdfPages, "read_part", watched)
    monkeypatch.setenv("MEDRAG_ISOLATION", "0")  # another process would not be watched
    recipe = Recipe.model_validate(
        {
            "name": "shelf",
            "corpora": [{"name": "books", "reader": "pdf", "path": str(folder), "options": {"ocr": False}}],
            "indexes": {"words": {"kind": "bm25"}},
        }
    )
    return folder, recipe, read


def content(recipe):
    return read_manifest(built(recipe.name)).content_hash


def test_only_what_is_new_or_changed_is_read(books, tmp_path, monkeypatch):
    folder, recipe, read = books
    build(recipe)
    assert read == ["a", "b", "c"]
    read.clear()
    two_columns(folder / "d.pdf", pages=1)
    os.utime(folder / "b.pdf", ns=(1, 1))
    report = build(recipe)
    assert read == ["b", "d"] and report.counts["page"] == 7
    read.clear()
    (folder / "a.pdf").unlink()
    report = build(recipe)
    assert read == [] and report.counts["page"] == 5
    changed = content(recipe)
    build(recipe, fresh=True)
    assert read == ["b", "c", "d"] and content(recipe) == changed
    parts = list(built("shelf").with_name("shelf.work").glob("items/books.parts/*"))
    assert len(parts) == 2 * 3  # lines and a note for each file that is there


def test_other_settings_read_everything_again(books):
    _, recipe, read = books
    build(recipe)
    read.clear()
    build(recipe.model_copy(update={"chunk": recipe.chunk.model_copy(update={"tokens": 40})}))
    assert read == ["a", "b", "c"]


def test_a_build_that_was_cut_off_goes_on_within_the_corpus(books, monkeypatch):
    _, recipe, read = books
    plain = PdfPages.read_part

    def killed(self, part, report):
        if Path(part).stem == "c":
            raise KeyboardInterrupt
        yield from plain(self, part, report)

    monkeypatch.setattr(PdfPages, "read_part", killed)
    with pytest.raises(KeyboardInterrupt):
        build(recipe)
    monkeypatch.setattr(PdfPages, "read_part", plain)
    read.clear()
    build(recipe)
    assert read == ["c"]


def test_what_was_wrong_with_a_part_is_told_each_time(books):
    folder, recipe, read = books
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    first = build(recipe)
    read.clear()
    two_columns(folder / "d.pdf", pages=1)
    second = build(recipe)
    assert read == ["d"]
    assert [skip.problem for skip in first.skipped] == [skip.problem for skip in second.skipped] != []


def test_a_part_whose_lines_were_cut_short_is_read_again(books):
    folder, recipe, read = books
    build(recipe)
    lines = sorted(built("shelf").with_name("shelf.work").glob("items/books.parts/*.jsonl"))
    lines[0].write_bytes(lines[0].read_bytes()[:100])
    read.clear()
    two_columns(folder / "d.pdf", pages=1)
    build(recipe)
    assert len(read) == 2 and "d" in read
