"""Atomic files, spelled paths, and packages that are checked before they are used."""

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from medrag._util import fetch, files, places
from medrag.errors import MedragError, ModelMissing, OfflineError, SettingsError


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_open(path, "w") as stream:
        stream.write("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(MedragError, match="No space left on device") as caught,
        files.atomic_open(tmp_path / "a") as stream,
    ):
        stream.write(b"x")
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(MedragError, match="cannot write"), files.atomic_open(tmp_path / "a" / "b" / "c"):
        pass


def test_checksums(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3_000_000)
    assert files.sha256_file(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert files.sha256_text("ab", "c") != files.sha256_text("a", "bc")


def test_nothing_leaves_its_folder(tmp_path):
    assert files.inside(tmp_path, "a/b") == (tmp_path / "a/b").resolve()
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(MedragError, match="points outside"):
            files.inside(tmp_path, name)


def test_paths_are_spelled_as_people_write_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    assert places.expand("${SOMEWHERE}/x") == tmp_path / "x"
    assert places.expand("x", tmp_path) == tmp_path / "x"
    monkeypatch.chdir(tmp_path)
    assert places.expand("x") == tmp_path / "x"
    for same in ("${SOMEWHERE}/x", "share:x", "package:x/y", "~/x", "/x"):
        assert places.placed(same, tmp_path) == same
    assert places.placed("x", tmp_path) == str(tmp_path / "x")
    assert places.expand("~/x") == Path.home() / "x"
    assert places.expand("share:corpora/sample").is_dir()
    with pytest.raises(SettingsError, match="ABSENT_VARIABLE is not set"):
        places.expand("${ABSENT_VARIABLE}/x")


def test_home_follows_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    assert places.home() == tmp_path
    assert places.built("sample") == tmp_path / "indexes" / "sample"
    assert places.beside("one", "c.json") != places.beside("two", "c.json")
    (places.built("one")).mkdir(parents=True)
    (places.built("one") / "manifest.json").touch()
    assert places.every_built() == ["one"]


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry of one package, "toy", whose archive lies in a folder."""
    archive = tmp_path / "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("toy/model.bin", b"weights")
        bundle.writestr("toy/code.py", "print('never run')")
        bundle.writestr("toy/../../escape.bin", b"evil")

    def offer(sha256="", members=("toy/model.bin",)):
        package = fetch.Package("toy", "pypi", "1", sha256 or files.sha256_file(archive), members, "MIT", "a toy")
        monkeypatch.setattr(fetch, "packages", lambda: {"toy": package})

    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fetch, "_download", lambda *_: archive)
    return offer


def test_fetch_checks_and_keeps_only_what_is_used(registry):
    registry()
    with pytest.raises(ModelMissing, match="medrag models get toy"):
        fetch.package_file("toy/toy/model.bin")
    folder = fetch.fetch("toy")
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["model.bin"]
    assert fetch.package_file("toy/toy/model.bin").read_bytes() == b"weights"


def test_offline_nothing_is_fetched_and_what_is_here_stays_usable(registry, monkeypatch):
    registry()
    monkeypatch.setenv("MEDRAG_OFFLINE", "1")
    with pytest.raises(OfflineError, match="pypi"):
        fetch.fetch("toy")
    monkeypatch.delenv("MEDRAG_OFFLINE")
    folder = fetch.fetch("toy")
    monkeypatch.setenv("MEDRAG_OFFLINE", "1")
    assert fetch.fetch("toy") == folder and fetch.package_file("toy/toy/model.bin").exists()


def test_fetch_refuses_another_archive_and_hostile_names(registry):
    registry(sha256="0" * 64)
    with pytest.raises(ModelMissing, match="expected 000"):
        fetch.fetch("toy")
    registry(members=("toy/*",))
    with pytest.raises(MedragError, match="points outside"):
        fetch.fetch("toy")
    assert not fetch.fetched("toy").exists()


def test_unknown_package_is_named():
    with pytest.raises(SettingsError, match="no package named 'toyy'"):
        fetch.package_file("toyy/x")


def test_a_package_that_is_not_pinned_is_to_be_installed(registry, monkeypatch):
    registry()
    loose = fetch.Package("toy", "pypi", "", "", ("toy/model.bin",), "MIT", "a toy")
    monkeypatch.setattr(fetch, "packages", lambda: {"toy": loose})
    for ask in (lambda: fetch.package_file("toy/toy/model.bin"), lambda: fetch.fetch("toy")):
        with pytest.raises(ModelMissing, match="pip install toy"):
            ask()
