"""Small files that unpack into large ones are refused before they are unpacked: real bombs, and how much memory the refusal takes."""

from __future__ import annotations

import gzip
import io
import re
import struct
import tarfile
import zlib
from pathlib import Path

import pydicom
import pytest
from hostile import OPENI, dicom, huge_png, jpeg, png
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from medrag._util import bombs
from medrag._util.bombs import FREE, codestream_pixels
from medrag._util.images import check_image, load_image
from medrag.corpora import open_corpus
from medrag.corpora.deidentify import deidentify
from medrag.errors import CorpusError, ImageError
from medrag.settings import CorpusSettings

MEGABYTES = 200  # more than this no refusal takes


@pytest.fixture
def frugal():
    """The test takes little memory: the peak is forgotten before it (Linux) and looked at after it."""
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    yield
    assert peak() - before < MEGABYTES


def peak() -> float:
    """Megabytes."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def black(kind: str, side: int, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (side, side)).save(stream, kind, **options)
    return stream.getvalue()


def grown(frame: bytes, side: int) -> bytes:
    """A JPEG 2000 stream or JPEG that says it has side × side pixels."""
    at = frame.find(b"\xff\x4f\xff\x51")
    if at >= 0:
        return frame[: at + 8] + struct.pack(">II", side, side) + frame[at + 16 :]
    at = frame.find(b"\xff\xc0")
    return frame[: at + 5] + struct.pack(">HH", side, side) + frame[at + 9 :]


def wrapped(folder: Path, frame: bytes, syntax: str) -> Path:
    """A DICOM file of 8 × 6 pixels by its header, with this frame inside."""
    path = dicom(folder / "x.dcm")
    data = pydicom.dcmread(path)
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = UID(syntax)
    data.save_as(path)
    return path


FRAMES = {
    "JPEG 2000": (black("JPEG2000", 4000, no_jp2=True), "1.2.840.10008.1.2.4.90"),
    "JPEG 2000 in a JP2": (grown(black("JPEG2000", 64), 40_000), "1.2.840.10008.1.2.4.90"),
    "JPEG": (grown(black("JPEG", 64), 60_000), "1.2.840.10008.1.2.4.50"),
}


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_larger_than_its_header_says(tmp_path, kind):
    path = wrapped(tmp_path, *FRAMES[kind])
    assert path.stat().st_size < 20_000
    with pytest.raises(ImageError, match="where the header says 48"):
        load_image(path)
    with pytest.raises(CorpusError, match="no DICOM file that can be read"):
        deidentify(path, tmp_path / "clean")


@pytest.mark.usefixtures("frugal")
def test_a_deflated_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(bombs, "INFLATED", 32 << 20)
    path = dicom(tmp_path / "x.dcm")
    raw = path.read_bytes()
    start = 144 + struct.unpack("<I", raw[140:144])[0]
    packer = zlib.compressobj(9, wbits=-15)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    head = raw[:start].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    head = head[:140] + struct.pack("<I", start - 144 + 2) + head[144:]
    at = head.find(b"1.2.840.10008.1.2.1.99")
    path.write_bytes(head[: at - 2] + struct.pack("<H", 22) + head[at:] + body)
    assert path.stat().st_size < 100_000
    with pytest.raises(ImageError, match="unpacks to more than 32 MiB"):
        load_image(path)


@pytest.mark.usefixtures("frugal")
def test_pictures(tmp_path):
    made = {"a.png": huge_png(20_000, 20_000), "b.jp2": black("JPEG2000", 4000), "c.jpg": grown(jpeg(), 60_000)}
    made["b.jp2"] = grown(made["b.jp2"], 60_000)  # its boxes still say 4,000
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError):
            load_image(tmp_path / name)
    with pytest.raises(ImageError, match="too many pixels"):
        check_image(tmp_path / "a.png")


@pytest.mark.usefixtures("frugal")
def test_notes_inside_a_png(tmp_path):
    packed = zlib.compress(bytes(200 << 20), 9)
    note = b"zTXt" + b"a\0\0" + packed
    chunk = struct.pack(">I", len(note) - 4) + note + struct.pack(">I", zlib.crc32(note))
    raw = png()
    (tmp_path / "a.png").write_bytes(raw[:33] + chunk + raw[33:])
    with pytest.raises(ImageError):
        load_image(tmp_path / "a.png")


def archive(folder: Path, name: str, megabytes: int, line: bytes = bytes(1 << 20)) -> Path:
    path = folder / name
    with gzip.open(path, "wb", compresslevel=9) as stream:
        for _ in range(megabytes):
            stream.write(line)
    return path


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize("reader", ["obo", "obo-graph", "mesh", "openi"])
def test_an_archive_that_is_all_one_line(tmp_path, reader):
    path = archive(tmp_path, "x.tgz", 300)
    assert path.stat().st_size < 500_000 and FREE < 300 << 20
    told = []
    corpus = open_corpus(CorpusSettings(name="c", reader=reader, path=str(path)))
    with pytest.raises(CorpusError) as caught:
        list(corpus.read(told.append))
    assert "damaged" in f"{caught.value} {told}" or "unpacks" in str(caught.value)


@pytest.mark.usefixtures("frugal")
def test_a_tar_whose_notes_fill_the_memory(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as bundle:
        raw = OPENI.format(uid=1).encode()
        info = tarfile.TarInfo("1.xml")
        info.size = len(raw)
        bundle.addfile(info, io.BytesIO(raw))
    note = tarfile.TarInfo("x")
    note.type, note.size = tarfile.XHDTYPE, 2 << 30
    path = tmp_path / "x.tgz"
    with gzip.open(path, "wb") as packed:
        packed.write(stream.getvalue()[:1024] + note.tobuf() + bytes(1 << 20))
    corpus = open_corpus(CorpusSettings(name="c", reader="openi", path=str(path)))
    with pytest.raises(CorpusError, match="too long"):
        list(corpus.read(lambda _: None))


def test_honest_archives_and_frames_pass(tmp_path):
    path = archive(tmp_path, "x.tsv.gz", 1, b"D1\tLung Diseases\t\tC08\t\n")
    corpus = open_corpus(CorpusSettings(name="c", reader="mesh", path=str(path)))
    assert len(list(corpus.read(lambda _: None))) == 1
    assert codestream_pixels(jpeg()) == codestream_pixels(black("JPEG2000", 64)) == 64 * 64
    assert codestream_pixels(black("JPEG2000", 64, no_jp2=True)) == 64 * 64 and codestream_pixels(b"RLE") == 0
