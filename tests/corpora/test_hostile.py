"""Broken input: each file gives exactly one clear line, and never hides the good file beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hostile import Hostile, make_hostile, put_good

from medrag import plugins
from medrag.errors import MedragError

LINE_BY_LINE = ("rrf", "obo", "obo-graph")  # ontologies: each broken line is a record of its own
FOLDERS = ("pdf", "images", "dicom", "openi", "medquad", "reports-jsonl", "fhir", "text")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> list[Hostile]:
    return make_hostile(tmp_path_factory.mktemp("hostile"))


def reader_of(name: str):
    return plugins.load("corpora", name)


def problems_of(reader: str, path: Path) -> tuple[list[str], list[MedragError]]:
    """The ids that came and the errors, reported or raised."""
    errors: list[MedragError] = []
    ids: list[str] = []
    try:
        ids += [item.id for item in reader_of(reader)("c", path).read(errors.append)]
    except MedragError as error:
        errors.append(error)
    return ids, errors


def test_each_broken_file_gives_one_clear_line(broken: list[Hostile]) -> None:
    assert len(broken) >= 35
    for one in broken:
        ids, errors = problems_of(one.reader, one.path)
        said = [str(error) for error in errors]
        assert not ids or one.path.suffix == ".tgz", f"{one.why}: {ids}"  # an archive is streamed up to where it breaks
        assert len(said) == 1 or (said and one.reader in LINE_BY_LINE), f"{one.why}: {said}"
        assert all("\n" not in line and "Traceback" not in line and len(line) < 600 for line in said), one.why
        assert all(one.path.name in line for line in said), f"{one.why}: {said}"
        assert all(error.hint for error in errors), f"{one.why}: {said}"


@pytest.mark.parametrize("reader", FOLDERS)
def test_the_good_file_beside_the_broken_ones_is_read(broken: list[Hostile], reader: str) -> None:
    bad = [one.path for one in broken if one.reader == reader and one.path.parent.name == reader]
    assert len(bad) >= 2
    good = put_good(bad[0].parent, reader)
    ids, errors = problems_of(reader, bad[0].parent)
    assert good in ids
    named = Counter(path.name for path in bad for error in errors if path.name in error.message)
    assert named == Counter(path.name for path in bad), [str(error) for error in errors]
    assert len(errors) == len(bad)


def test_the_message_says_what_is_wrong(broken: list[Hostile]) -> None:
    wanted = {
        "encrypted PDF": "encrypted", "zero-byte PDF": "empty", "100-megapixel PNG": "100 megapixels", "link to nowhere": "nowhere",
        "DICOM without pixels": "no pixels", "DICOM with truncated pixels": "cut short", "XML with an entity bomb": "entities",
        "CSV with wrong columns": "found: id, words", "CSV that is not UTF-8": "encoding", "JSON nested too deeply": "deep",
        "DICOM that says RLE but is not": "RLE", "empty folder": "no files",
    }  # fmt: skip
    for one in broken:
        if one.why in wanted:
            assert wanted[one.why] in str(problems_of(one.reader, one.path)[1][0]), one.why
