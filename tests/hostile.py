"""Broken files of every kind that medrag reads, each with the reader that meets it and what is wrong with it."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Hostile:
    """A broken file or folder; ``reader`` is the plug-in's name."""

    path: Path
    reader: str
    why: str


def png(width: int = 24, height: int = 16) -> bytes:
    """A small good PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.arange(width * height, dtype=np.uint8).reshape(height, width)).save(stream, "PNG")
    return stream.getvalue()


def jpeg() -> bytes:
    """A small good JPEG."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


def huge_png(width: int = 10_000, height: int = 10_000) -> bytes:
    """A PNG of 100 megapixels, all black, in about 100 kB."""

    def piece(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", rows) + piece(b"IEND", b"")


def pdf(pages: int = 2, **save: object) -> bytes:
    """A small good PDF."""
    import pymupdf

    document = pymupdf.open()
    for number in range(pages):
        page = document.new_page()
        page.insert_text((72, 100), f"Page {number + 1} says that the lungs are clear and the heart is not enlarged.")
    return bytes(document.tobytes(**save))


def dicom(path: Path, *, pixels: bytes | None = None, syntax: str = "1.2.840.10008.1.2.1", **tags: object) -> Path:
    """A DICOM file of 8 × 6 pixels; ``pixels=b""`` leaves them out."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    data.PatientID, data.Modality, data.BodyPartExamined, data.StudyDate = "P1", "DX", "CHEST", "20240102"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = 6, 8, 8, 8, 7
    data.SamplesPerPixel, data.PixelRepresentation, data.PhotometricInterpretation = 1, 0, "MONOCHROME2"
    raw = bytes(range(48)) if pixels is None else pixels
    if raw:
        data.PixelData = raw
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    if syntax != "1.2.840.10008.1.2.1":  # written after, as no honest writer would
        old, new = b"1.2.840.10008.1.2.1\0", syntax.encode().ljust(20, b"\0")
        content = path.read_bytes()
        assert content.count(old) == 1 and len(new) == 20
        path.write_bytes(content.replace(old, new))
    return path


OPENI = (
    '<eCitation><uId id="CXR{uid}"/><MedlineCitation><Article><Abstract>'
    '<AbstractText Label="FINDINGS">Lungs are clear. XXXX.</AbstractText>'
    '<AbstractText Label="IMPRESSION">Normal chest.</AbstractText>'
    '</Abstract></Article></MedlineCitation><MeSH><major>normal</major></MeSH><parentImage id="CXR{uid}_IM-1"/></eCitation>'
)
MEDQUAD = (
    '<Document id="1" source="Test" url="http://example.org"><Focus>Glaucoma</Focus><FocusAnnotations><UMLS><CUIs><CUI>C0017601</CUI></CUIs>'
    "<SemanticTypes><SemanticType>T047</SemanticType></SemanticTypes><SemanticGroup>Disorders</SemanticGroup></UMLS></FocusAnnotations>"
    '<QAPairs><QAPair pid="1"><Question qid="1-1" qtype="information">What is glaucoma?</Question>'
    "<Answer>A disease of the optic nerve.</Answer></QAPair>"
    '<QAPair pid="2"><Question qid="1-2" qtype="treatment">How is it treated?</Question><Answer/></QAPair></QAPairs></Document>'
)
BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;&b;</a>'


def make_hostile(folder: Path) -> list[Hostile]:
    """Writes the broken files, each kind into its own folder, and returns them."""
    found: list[Hostile] = []

    def put(reader: str, name: str, content: bytes | str, why: str) -> Path:
        path = folder / reader / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        found.append(Hostile(path, reader, why))
        return path

    import pymupdf

    put("pdf", "cut.pdf", pdf(6)[:400], "truncated PDF")
    locked = pdf(encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="a", user_pw="b")
    put("pdf", "locked.pdf", locked, "encrypted PDF")
    put("pdf", "nothing.pdf", b"", "zero-byte PDF")
    put("pdf", "text.pdf", "not a PDF at all", "text named .pdf")
    put(
        "pdf",
        "nopages.pdf",
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>",
        "PDF without pages",
    )

    put("images", "nothing.png", b"", "zero-byte PNG")
    put("images", "huge.png", huge_png(), "100-megapixel PNG")
    put("images", "cut.jpg", jpeg()[:-700], "truncated JPEG")
    bad = bytearray(png())
    bad[50] ^= 0xFF
    put("images", "crc.png", bytes(bad), "PNG with a wrong checksum")
    put("images", "text.png", "these are words", "text named .png")
    put("images", "cut.png", png()[:60], "truncated PNG")
    nowhere = folder / "images" / "nowhere.png"
    nowhere.symlink_to(folder / "gone.png")
    found.append(Hostile(nowhere, "images", "link to nowhere"))

    put("dicom", "nothing.dcm", b"", "zero-byte DICOM")
    put("dicom", "text.dcm", "not DICOM, only words " * 20, "text named .dcm")
    headless = folder / "dicom" / "headless.dcm"
    found.append(Hostile(dicom(headless, pixels=b""), "dicom", "DICOM without pixels"))
    short = dicom(folder / "dicom" / "short.dcm")
    short.write_bytes(short.read_bytes()[:-20])
    found.append(Hostile(short, "dicom", "DICOM with truncated pixels"))
    liar = dicom(folder / "dicom" / "liar.dcm", syntax="1.2.840.10008.1.2.4.90"[:19])
    found.append(Hostile(liar, "dicom", "DICOM with an unknown transfer syntax"))
    jpeg2000 = dicom(folder / "dicom" / "rle.dcm", syntax="1.2.840.10008.1.2.5")
    found.append(Hostile(jpeg2000, "dicom", "DICOM that says RLE but is not"))

    put("openi", "nothing.xml", b"", "zero-byte XML")
    put("openi", "broken.xml", "<eCitation><uId id='CXR1'>", "XML that is not well-formed")
    put("openi", "bomb.xml", BOMB, "XML with an entity bomb")
    put("openi", "other.xml", "<html><body/></html>", "XML of another kind")
    put("medquad", "broken.xml", "<Document><QAPairs>", "XML that is not well-formed")
    put("medquad", "other.xml", "<html/>", "XML of another kind")

    put("reports-csv", "columns.csv", "id,words\n1,clear\n", "CSV with wrong columns")
    put(
        "reports-csv",
        "latin.csv",
        "uid,findings,impression\n1,d\u00e9j\u00e0,none\n".encode("cp1252"),
        "CSV that is not UTF-8",
    )
    put("reports-csv", "nul.csv", "uid,findings,impression\n1,cl\0ear,none\n", "CSV with NULs")
    put("reports-csv", "ragged.csv", "uid,findings,impression\n1,clear\n", "CSV with a short row")
    put("reports-csv", "nothing.csv", b"", "zero-byte CSV")
    put("reports-jsonl", "line.jsonl", '{"id": "1", "findings": \n', "JSON lines with a broken line")
    put("reports-jsonl", "list.jsonl", "[1, 2]\n", "JSON that is no object")
    put("reports-jsonl", "deep.jsonl", "[" * 100_000 + "]" * 100_000 + "\n", "JSON nested too deeply")
    put(
        "reports-jsonl",
        "latin.jsonl",
        '{"id": "1", "findings": "d\u00e9j\u00e0"}'.encode("cp1252"),
        "JSON lines that are not UTF-8",
    )
    put("fhir", "noresource.json", '{"a": 1}', "JSON that is no FHIR resource")
    put("fhir", "notext.json", '{"resourceType": "DiagnosticReport", "id": "a"}', "DiagnosticReport without text")
    put("text", "latin.txt", "d\u00e9j\u00e0 vu".encode("cp1252"), "text that is not UTF-8")
    put("text", "binary.txt", b"words \0 and NULs", "binary named .txt")
    put("text", "empty.txt", "\n \n", "text without words")

    put("openi-tgz", "cut.tgz", archive(40)[:300], "truncated archive")
    found[-1] = Hostile(found[-1].path, "openi", "truncated archive")
    empty = folder / "empty" / "inside"
    empty.mkdir(parents=True)
    found.append(Hostile(empty, "pdf", "empty folder"))
    found.append(Hostile(empty, "images", "empty folder"))

    put("rrf", "MRCONSO.RRF", "C0000001|ENG|P\nC0000002|ENG\n", "RRF with short rows")
    put("obo", "garbage.obo", b"\x00\xff[Term\nid MONDO\n" * 5, "OBO garbage")
    put("obo-graph", "object.json", json.dumps({"a": 1}), "obo-graph that is no list")
    put("obo-graph", "deep.json", "[" * 100_000, "JSON nested too deeply")
    return found


def archive(count: int) -> bytes:
    """A .tgz of good Open-i reports with the numbers 1 … count."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as bundle:
        for uid in range(1, count + 1):
            raw = OPENI.format(uid=uid).encode()
            info = tarfile.TarInfo(f"ecgen-radiology/{uid}.xml")
            info.size = len(raw)
            bundle.addfile(info, io.BytesIO(raw))
    return stream.getvalue()


def put_good(folder: Path, reader: str) -> str:
    """A good file beside the broken ones; the id that it gives."""
    folder.mkdir(parents=True, exist_ok=True)
    if reader == "pdf":
        (folder / "zgood.pdf").write_bytes(pdf())
        return "c:zgood#p1"
    if reader == "images":
        (folder / "zgood.png").write_bytes(png())
        return "c:zgood.png"
    if reader == "dicom":
        dicom(folder / "zgood.dcm")
        return "c:1.2.3"
    if reader == "openi":
        (folder / "zgood.xml").write_text(OPENI.format(uid=7))
        return "c:CXR7"
    if reader == "medquad":
        (folder / "zgood.xml").write_text(MEDQUAD)
        return "c:zgood"
    if reader == "reports-jsonl":
        (folder / "zgood.jsonl").write_text('{"id": "7", "findings": "Clear."}\n')
        return "c:7"
    if reader == "fhir":
        (folder / "zgood.json").write_text('{"resourceType": "DiagnosticReport", "id": "7", "conclusion": "Normal."}')
        return "c:7"
    (folder / "zgood.txt").write_text("The lungs are clear.")
    return "c:zgood.txt"
