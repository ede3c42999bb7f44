"""Corpora by name: options are checked, paths expanded, what is read is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import png

from medrag.corpora import check, open_corpus
from medrag.corpora.images import TILES
from medrag.errors import BadRecord, CorpusError, SettingsError
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
        (
            {"domain": "pathology"},
            "there is no domain 'pathology' → did you mean 'histology'.* known: chest-xray, ct, mr,",
        ),
        ({"domain": "zzz"}, "there is no domain 'zzz' → known: chest-xray, ct, mr,"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        open_corpus(settings(tmp_path, **options))


def test_choices_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'first', 'middle' or 'all'"):
        open_corpus(settings(tmp_path, "dicom", frames="last"))


@pytest.mark.parametrize("reader", ["reports-csv", "openi", "reports-jsonl", "fhir", "pdf", "dicom"])
def test_no_reader_takes_a_domain_that_there_is_not(tmp_path: Path, reader: str) -> None:
    for name in ("reports.csv", "a.jsonl", "a.json", "a.xml", "a.pdf", "a.dcm"):
        (tmp_path / name).write_text("uid,findings\n1,Clear.\n")
    with pytest.raises(SettingsError, match="there is no domain 'dermatoscopy' → did you mean 'dermoscopy'"):
        open_corpus(settings(tmp_path, reader, domain="dermatoscopy")).signature()


def test_a_domain_of_a_row_that_there_is_not_is_told_once(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(png())
    (tmp_path / "t.csv").write_text("file,label,domain\na,Nevus,skin\nb,Wart,skin\nc,Mole,dermoscopy\n")
    told: list[BadRecord] = []
    items = list(open_corpus(settings(tmp_path, table="t.csv", domain="dermoscopy")).read(told.append))
    assert [(i.text, i.domain) for i in items] == [(x, "dermoscopy") for x in ("Nevus", "Wart", "Mole")]
    assert [bad.problem for bad in told] == ["there is no domain 'skin'; its rows are read as 'dermoscopy'"]


def test_a_table_and_slides_that_are_not_read_are_told_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(png())
    (tmp_path / "lesions.csv").write_text("Image;Diagnosis\n1;Nevus\n")
    (tmp_path / "other.csv").write_text("city,people\nUlm,1\n")
    for name in ("1.svs", "2.NDPI"):
        (tmp_path / "a" / name).write_bytes(b"slide")
    told: list[BadRecord] = []
    assert [item.text for item in open_corpus(settings(tmp_path)).read(told.append)] == ["a"]
    assert [(Path(bad.source).name, bad.problem, bad.hint) for bad in told] == [
        ("1.svs", "a whole-slide image is not read, only tiles of it (2 such here)", TILES),
        (
            "lesions.csv",
            "names pictures of this folder, and is not read without the option table: lesions.csv",
            "set the option table: lesions.csv",
        ),
    ]
    told.clear()
    assert [item.text for item in open_corpus(settings(tmp_path, table="lesions.csv")).read(told.append)] == ["Nevus"]
    assert len(told) == 1
    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(CorpusError, match="holds whole-slide images alone"):
        open_corpus(settings(tmp_path)).signature()


def test_the_hint_for_a_column_names_none_that_is_only_the_first(tmp_path: Path) -> None:
    (path := tmp_path / "r.csv").write_text("Accession,Microscopy\n1,Clear.\n")
    with pytest.raises(CorpusError, match=r"e\.g\. columns: \{findings: NAME\}"):
        list(open_corpus(settings(path, "reports-csv")).read(lambda _: None))
    path.write_text("Accession,Finding text,Finding\n1,,Clear.\n")
    with pytest.raises(CorpusError, match=r"e\.g\. columns: \{findings: Finding\}"):
        list(open_corpus(settings(path, "reports-csv")).read(lambda _: None))


def test_missing_and_empty_corpora(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist"):
        open_corpus(settings(tmp_path / "gone"))
    with pytest.raises(CorpusError, match="no files"):
        check(open_corpus(settings(tmp_path)))
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"no record can be read.*empty"):
        check(open_corpus(settings(tmp_path)))
