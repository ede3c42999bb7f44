"""A slice of the fuzzer at every run, and what it found before: each find gives a skipped record or one clear error."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pydicom
import pytest
from fuzz_targets import targets
from hostile import pdf

from medrag._util import apart
from medrag._util.images import load_image
from medrag.corpora import open_corpus
from medrag.corpora.deidentify import deidentify
from medrag.errors import CorpusError, ImageError, IndexCorrupt, MedragError, SettingsError
from medrag.graph import GraphStore
from medrag.indexes.manifest import read_manifest
from medrag.indexes.store import open_store
from medrag.settings import CorpusSettings, load_recipe
from medrag.vlms.replay import Replay

CASES = 10  # of each target; the nightly run has 10,000


def test_a_slice_of_every_target(tmp_path: Path) -> None:
    """In a process of its own: the fuzzer forks."""
    out = tmp_path / "fuzz.json"
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), "--cases", str(CASES), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert len(found) >= 27 and all(one["tried"] == CASES for one in found.values())
    assert {name: one["finds"] for name, one in found.items() if one["finds"]} == {}


def test_the_fuzzer_sees_what_goes_wrong(tmp_path: Path) -> None:
    """A target that raises, hangs, dies, eats, writes elsewhere: each is told as what it is."""
    code = """
        import os, time, signal, fuzz
        from pathlib import Path
        fuzz.SECONDS, fuzz.MEMORY = 1, 50 << 20
        kept = []
        def bad(kind):
            def work(folder):
                if kind == "raise": raise KeyError("x")
                if kind == "hang": time.sleep(30)
                if kind == "die": os.kill(os.getpid(), signal.SIGSEGV)
                if kind == "eat": kept.append(bytearray(os.urandom(1 << 20) * 100))
                if kind == "write": Path(os.environ["ELSEWHERE"]).write_text("x")
                if kind == "reach": __import__("socket").create_connection(("127.0.0.1", 9), timeout=0.1)
            return work
        for kind in ("raise", "hang", "die", "eat", "write", "reach"):
            found = fuzz.run(kind, fuzz.Target({"a": b"a"}, bad(kind)), 2)
            print(kind, found.crashed, found.hung, found.over_memory, found.escaped)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "ELSEWHERE": str(Path.home() / ".medrag-fuzz-test")}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, env=environment)  # fmt: skip
    (Path.home() / ".medrag-fuzz-test").unlink(missing_ok=True)
    lines = done.stdout.splitlines()
    assert lines == ["raise 2 0 0 0", "hang 0 2 0 0", "die 2 0 0 0", "eat 0 0 2 0", "write 0 0 0 2", "reach 0 0 0 2"], (
        done.stderr
    )


def read(reader: str, path: Path) -> tuple[int, list[str]]:
    """How many items came, and what was skipped."""
    told: list[str] = []
    corpus = open_corpus(CorpusSettings(name="c", reader=reader, path=str(path)))
    corpus.signature()
    return len(list(corpus.read(lambda bad: told.append(bad.problem)))), told


def test_a_table_with_a_carriage_return_inside_a_cell(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(b"Term,RID,Parent_RID\nen\rtity,RID1,RID0\nlung,RID2,RID0\n")
    assert read("radlex", tmp_path / "r.csv") == (1, ["1 cells where the header has 3"])


def test_a_umls_row_that_begins_with_an_empty_field(tmp_path: Path) -> None:
    """Empty is not the first CUI seen again."""
    row = "|ENG|P|L0|PF|S0|Y|A0||||MSH|MH|D0|Lung|0|N||"
    (tmp_path / "MRCONSO.RRF").write_text(f"{row}\n{row}\nC0024109{row}\n")
    assert read("rrf", tmp_path) == (1, ["the first field is not a CUI"] * 2)


def test_a_pdf_of_which_no_page_can_be_read(tmp_path: Path) -> None:
    raw, body = pdf(1), zlib.compress(b"[" * 3000)
    start, end = raw.index(b"stream\n") + 7, raw.index(b"\nendstream")
    raw = re.sub(rb"/Length \d+", b"/Length %d" % len(body), raw[:start] + body + raw[end:])
    (tmp_path / "a.pdf").write_bytes(raw)
    count, told = read("pdf", tmp_path / "a.pdf")
    assert count == 0 and len(told) == 1 and "cannot be read" in told[0]


def with_vr(vr: bytes) -> bytes:
    """A DICOM file with a kind of value that does not exist."""
    raw = targets_file("own.dcm")
    assert raw.count(b"\x18\x00\x15\x00CS") == 1  # BodyPartExamined
    return raw.replace(b"\x18\x00\x15\x00CS", b"\x18\x00\x15\x00" + vr)


def targets_file(name: str) -> bytes:
    return targets()["dicom"].files[name]


@pytest.mark.parametrize("vr", [b"TY", b"\x00\x01", b"AA"])
def test_a_dicom_header_with_unknown_kinds_of_values(tmp_path: Path, vr: bytes) -> None:
    (tmp_path / "a.dcm").write_bytes(with_vr(vr))
    for work in (lambda: read("dicom", tmp_path / "a.dcm"), lambda: deidentify(tmp_path / "a.dcm", tmp_path / "clean", pixels=False)):  # fmt: skip
        try:
            work()
        except MedragError as error:
            assert "\n" not in str(error)


def test_a_compressed_frame_that_ends_its_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen bytes of a JPEG's table are gone: GDCM calls abort()."""
    monkeypatch.delenv(apart.VARIABLE, raising=False)
    raw = targets_file("SC_rgb_jpeg_dcmtk.dcm")
    (tmp_path / "a.dcm").write_bytes(raw[:1733] + raw[1749:])
    with pytest.raises(ImageError):
        load_image(tmp_path / "a.dcm")


def test_announced_frames_that_no_file_could_hold(tmp_path: Path) -> None:
    data = pydicom.dcmread(io.BytesIO(targets_file("SC_rgb_rle_2frame.dcm")))
    data.NumberOfFrames = 2_000_000_000
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(CorpusError, match="too short for the 2,000,000,000 frames"):
        read("dicom", tmp_path / "a.dcm")


@pytest.mark.parametrize(
    "text", ["[" * 2000, f"name: {'9' * 5000}", "name: a\ncorpora: [{name: a, reader: text, path: " + "x" * 9000 + "}]"]
)
def test_recipes(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises((SettingsError, CorpusError)):
        for corpus in load_recipe(tmp_path / "r.yaml").corpora:
            open_corpus(corpus)


@pytest.mark.parametrize("path", ["a\0b", "~nobody-of-this-name/a", "x" * 5000])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(CorpusError, match=r"is no path|does not exist"):
        open_corpus(CorpusSettings(name="c", reader="text", path=path))


def test_a_recording_nested_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"a":' * 100_000)
    with pytest.raises(SettingsError, match="no record"):
        Replay(str(tmp_path / "r.jsonl"))


@pytest.fixture(scope="module")
def index() -> dict[str, bytes]:
    return dict(targets()["index"].files)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("words/settings.json", b'"k1"', b'"k9"'),
        ("pages/settings.json", b'"candidates"', b'"candid(tes"'),
        ("text/settings.json", b'"nprobe"', b'"nprob["'),
        ("flat/vectors.npy", b"{'descr'", b"{'desc((("),
        ("flat/ids.json", b'"ids": [', b'"ids": ["more",'),
        ("words/ids.json", b'"ids": [', b'"ids": ["more",'),
    ],
)
def test_a_forged_index_whose_checksums_fit(
    tmp_path: Path, index: dict[str, bytes], name: str, before: bytes, after: bytes
) -> None:
    for path, data in index.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    raw = index[name]
    assert before in raw, raw[:200]
    (tmp_path / name).write_bytes(raw.replace(before, after, 1))
    read_manifest(tmp_path).write(tmp_path)
    with pytest.raises(IndexCorrupt, match="cannot be read"):
        open_store(tmp_path).index(name.partition("/")[0])


def test_a_manifest_nested_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": 1, "seal": ' + "[" * 5000)
    with pytest.raises(IndexCorrupt, match="is damaged"):
        read_manifest(tmp_path)


def test_a_graph_that_is_damaged_in_the_middle(tmp_path: Path, index: dict[str, bytes]) -> None:
    raw = bytearray(index["graph.db"])
    size = int.from_bytes(raw[16:18])
    for page in range(2, len(raw) // size):  # all pages but those that tell what is where
        raw[page * size : page * size + 8] = b"\xff" * 8
    (tmp_path / "graph.db").write_bytes(raw)
    with pytest.raises(IndexCorrupt):
        store = GraphStore.open(tmp_path / "graph.db")
        for id in ("MONDO:1", "MONDO:2"):
            store.neighbours(id)
            store.members(id)
