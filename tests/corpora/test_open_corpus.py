"""Corpora by name: options are checked, paths expanded, what is read is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import png

from medrag.corpora import check, open_corpus
from medrag.errors import CorpusError, SettingsError
from medrag.protocols import Corpus
from medrag.settings import CorpusSettings


def settings(path: object, reader: str = "images", **options: object) -> CorpusSettings:
    return CorpusSettings(name="c", reader=reader, path=str(path), options=options)


def test_open_and_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "b.png").write_bytes(b"")
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path))
    for path, base in ((tmp_path, None), ("${SOME_FOLDER}", None), (tmp_path.name, tmp_path.parent)):
        corpus = open_corpus(settings(path, domain="fundus"), base)
        assert isinstance(corpus, Corpus)
        report = check(corpus)
        assert report.counts == {"image": 1} and report.first == ("c:a.png",) and len(report.skipped) == 1


def test_links_to_folders_are_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    (corpus := tmp_path / "corpus").mkdir()
    (corpus / "own").mkdir()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    for folder in (corpus / "own", elsewhere):
        (folder / "a.png").write_bytes(png())
    for name, target in (("a", corpus / "own"), ("b", elsewhere), ("own/back", corpus), ("z", elsewhere)):
        (corpus / name).symlink_to(target)
    assert [item.id for item in open_corpus(settings(corpus)).read(lambda _: None)] == ["c:b/a.png", "c:own/a.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domian": "fundus"}, "did you mean 'domain'"),
        ({"zzz": 1}, "known: table"),
        ({"columns": "file"}, "valid dictionary"),
        ({"domain": 3}, "valid string"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        open_corpus(settings(tmp_path, **options))


def test_choices_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'first', 'middle' or 'all'"):
        open_corpus(settings(tmp_path, "dicom", frames="last"))


def test_missing_and_empty_corpora(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        open_corpus(settings(tmp_path / "gone"))
    with pytest.raises(CorpusError, match="no files"):
        check(open_corpus(settings(tmp_path)))
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"no record can be read.*empty"):
        check(open_corpus(settings(tmp_path)))
