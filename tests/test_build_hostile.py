"""A build over folders full of broken files finishes, lists every one of them, and indexes the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import make_hostile, put_good

from medrag.build import build
from medrag.indexes.store import open_store
from medrag.settings import Recipe

READERS = ("pdf", "images", "dicom", "openi", "medquad", "reports-jsonl", "fhir", "text")


@pytest.mark.filterwarnings("ignore")
def test_a_build_over_broken_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    broken = make_hostile(tmp_path / "hostile")
    folders = {
        reader: next(one.path.parent for one in broken if one.reader == reader and one.path.parent.name == reader)
        for reader in READERS
    }
    good = {reader: put_good(folder, reader).partition(":")[2] for reader, folder in folders.items()}
    recipe = Recipe.model_validate(
        {
            "name": "hostile",
            "corpora": [
                {"name": f"c-{reader}", "reader": reader, "path": str(folder)} for reader, folder in folders.items()
            ],
            "encoders": {"eyes": {"model": "fake", "kind": "test_build_hostile:eyes"}},
            "indexes": {
                "words": {"kind": "bm25", "items": ["passage"]},
                "image": {"kind": "flat", "encoder": "eyes", "items": ["image"]},
            },
        }
    )
    report = build(recipe, tmp_path / "built")
    listed = " ".join(f"{skip.source} {skip.problem}" for skip in report.skipped)
    bad = [one.path.name for one in broken if one.path.parent == folders.get(one.reader)]
    assert len(bad) >= 25
    assert [name for name in bad if name not in listed] == []
    store = open_store(tmp_path / "built")
    for reader, part in good.items():
        name = f"c-{reader}:{part}"
        assert store.items.ids_of([name]) or store.items.get([name]), name
    assert len(store.index("image")) == 2  # the good picture and the good DICOM
    assert len(store.index("words")) >= 6


def eyes(_model: str, *, batch: int, device: str) -> object:
    """The fake image encoder of `medrag.testing`, made as a recipe makes an encoder."""
    from medrag.testing import FakeEncoder

    return FakeEncoder("image")


def test_characters_that_nobody_sees_are_taken_out_and_reported(tmp_path: Path) -> None:
    folder = tmp_path / "t\u200bexts"  # a name keeps them
    folder.mkdir()
    (folder / "a.txt").write_text(
        "Pneumo\u200bthorax is air in the \u202epleural\u202c space. A soft hy\u00adphen is no surprise."
    )
    (folder / "b.txt").write_text("Effusion is fluid in the pleural space.")
    recipe = Recipe.model_validate(
        {"name": "seen", "corpora": [{"name": "t", "reader": "text", "path": str(folder)}], "encoders": {}, "indexes": {"words": {"kind": "bm25", "items": ["passage"]}}}
    )  # fmt: skip
    report = build(recipe, tmp_path / "built")
    assert [skip.problem for skip in report.skipped] == [
        "3 characters that nobody sees (zero-width, direction marks) were taken out of the texts, the first here"
    ]
    items = list(open_store(tmp_path / "built").items.iterate())
    assert {item.text for item in items} == {
        "Pneumothorax is air in the pleural space. A soft hyphen is no surprise.",
        "Effusion is fluid in the pleural space.",
    }
