"""De-identified DICOM: no tag of the basic profile keeps its value at any depth, burnt-in text is found and painted over, the rest stays."""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from medrag._util.days import day_of
from medrag._util.fetch import package_file
from medrag.cli.app import app
from medrag.corpora.deidentify import clean, deidentify
from medrag.corpora.deidentify_pixels import paint, text_boxes
from medrag.corpora.dicom import DicomFolder
from medrag.errors import CorpusError, ImageError, MedragError, ModelMissing

selector = pytest.importorskip("dicomanonymizer.simpledicomanonymizer").dicom_anonymization_database_selector
SECRET = "a secret of the tests"
NAMES = (  # a list of our own beside the package's: what anyone would look for first
    "PatientName", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "OtherPatientIDs", "OtherPatientNames", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName", "InstitutionName", "InstitutionAddress", "AccessionNumber", "StudyID", "StationName", "PatientComments",
    "RequestingPhysician", "PhysiciansOfRecord", "DeviceSerialNumber", "MilitaryRank", "EthnicGroup", "PatientMotherBirthName",
)  # fmt: skip


def film(pixels: np.ndarray, **tags: object) -> Dataset:
    """A computed radiograph of these pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def write(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def walked(data: Dataset):
    for element in data:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from walked(item)


def test_what_anyone_would_look_for_is_gone_at_every_depth():
    inner = Dataset()
    inner.PatientName, inner.InstitutionName = "Quux^Petronella", "St Elsewhere"
    data = film(np.zeros((8, 8), np.uint8), **{name: "19700101" if name.endswith("Date") else "QUUX" for name in NAMES})
    data.PatientID, data.StudyInstanceUID, data.StudyDate = "12345", generate_uid(), "20200102"
    data.RequestAttributesSequence = Sequence([inner])
    data.ReferencedStudySequence = Sequence([inner])
    data.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "Quux")
    before = data.StudyInstanceUID
    clean(data, SECRET)
    text = data.to_json()
    assert "QUUX" not in text.upper() and "Elsewhere" not in text and "12345" not in text and "20200102" not in text
    assert data.StudyInstanceUID != before and data.PatientIdentityRemoved == "YES"
    assert not any(element.tag.is_private for element in walked(data))
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    assert data.Rows == 8 and data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1"


def test_the_same_patient_has_the_same_pseudonym_under_the_same_secret():
    def pseudonym(patient, secret):
        data = film(np.zeros((4, 4), np.uint8), PatientID=patient)
        clean(data, secret)
        return data.PatientID

    assert pseudonym("7", SECRET) == pseudonym("7", SECRET) != pseudonym("8", SECRET)
    assert pseudonym("7", SECRET) != pseudonym("7", SECRET + "x") and pseudonym("7", SECRET) != "7"


def test_under_a_key_the_dates_of_a_patient_move_together():
    def dates(patient: str, secret: str = SECRET, **options: bool) -> list[str]:
        films = [film(np.zeros((4, 4), np.uint8), PatientID=patient, StudyDate=day) for day in ("20200105", "20210310")]
        for one in films:
            one.SeriesDate = one.StudyDate
            clean(one, secret, **options)
            assert "2020010" not in one.to_json() and "20210310" not in one.to_json()
        return [str(one.StudyDate) for one in films]

    first, second = map(datetime.date.fromisoformat, dates("1", dates=True))
    assert second - first == datetime.date(2021, 3, 10) - datetime.date(2020, 1, 5)
    assert datetime.date(1909, 12, 1) < first < datetime.date(1920, 3, 1)
    assert (
        dates("1", dates=True) == dates("1", dates=True) != dates("2", dates=True) != dates("2", "another", dates=True)
    )
    assert len(set(dates("1"))) == 1 and {day_of(day) for day in dates("1") + dates("", dates=True)} == {""}  # gone


def test_a_copy_under_a_key_tells_which_study_is_the_earlier(tmp_path: Path) -> None:
    for n, day in enumerate(("20200105", "20210310")):
        one = film(
            np.zeros((16, 16), np.uint8), PatientID="1", StudyDate=day, StudyInstanceUID=generate_uid(), Modality="DX"
        )
        write(one, tmp_path / "in" / f"{n}.dcm")
    deidentify(tmp_path / "in", tmp_path / "kept", key=SECRET)
    deidentify(tmp_path / "in", tmp_path / "gone")
    kept, gone = (list(DicomFolder("d", tmp_path / name).read(print)) for name in ("kept", "gone"))
    assert len({item.date for item in kept if item.kind == "study"} - {""}) == 2
    assert {item.date for item in gone if item.kind == "study"} == {""}  # 0001-01-01 is no date
    told = pydicom.dcmread(next((tmp_path / "kept").iterdir()))
    assert "OCR" in told.DeidentificationMethod[1] and told.LongitudinalTemporalInformationModified == "MODIFIED"


def test_side_markers_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = [(2, 2), (6, 2), (6, 6), (2, 6)]
    read = [(corners, "L", 0.9), (corners, "rt", 0.9), (corners, "R Quux", 0.9)]
    monkeypatch.setattr("medrag.corpora._ocr.written", lambda picture, faint: read)
    assert len(text_boxes(np.zeros((64, 64), np.uint8))) == 1


def test_every_file_of_pydicom_data_loses_what_the_profile_names(tmp_path):
    try:
        folder = package_file("pydicom-data/data_store/data/RG1_UNCR.dcm").parent
    except ModelMissing as missing:
        pytest.skip(str(missing))
    done = deidentify(folder, tmp_path / "clean", key=SECRET, pixels=False)
    assert done.written >= 60 and not done.skipped
    lists = selector("dicomfields_2024b")
    named = {tag for name, tags in lists.items() if name != "ALL_TAGS" for tag in tags if len(tag) == 2}
    known = set()
    for path in folder.rglob("*"):
        if path.is_file():
            known |= {
                str(e.value)
                for e in walked(pydicom.dcmread(path, force=True, stop_before_pixels=True))
                if (e.tag.group, e.tag.element) in named
            }
    known -= {"", "None", "0", "[]"}
    own = {0x00100020, 0x00120062, 0x00120063, 0x00280301}  # written by the de-identification itself
    for path in (tmp_path / "clean").iterdir():
        data = pydicom.dcmread(path, stop_before_pixels=True)
        for element in walked(data):
            at = (element.tag.group, element.tag.element)
            if at in named and element.tag not in own and element.VR != "SQ":
                assert str(element.value) not in known, element
        assert data.PatientIdentityRemoved == "YES" and path.stem.partition("-")[0] == data.get(
            "SOPInstanceUID", path.stem
        )


def labelled(seed: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A film-like picture (16 bit) with a name and a date burnt in somewhere, and where."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    side = draw.choice((512, 768, 1024))
    y, x = np.mgrid[0:side, 0:side] / side
    picture = 900 + 700 * np.sin(3 * x + draw.random()) * np.cos(2 * y) + rng.normal(0, 40, (side, side))
    words = draw.choice(
        ("QUUX, PETRONELLA", "Doe John", "MRN 4711-0815", "DOB 01.02.1970", "St Elsewhere Hospital", "12/11/2019 14:32")
    )
    font = ImageFont.load_default(draw.choice((18, 24, 32)))
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    width, height = pen.textbbox((0, 0), words, font=font)[2:]
    at = (
        draw.randrange(8, side - width - 8),
        draw.choice((8, side - height - 12, draw.randrange(8, side - height - 12))),
    )
    pen.text(at, words, fill=255, font=font)
    picture[np.asarray(mask) > 100] = draw.choice((2600, 3000))
    box = mask.getbbox()
    assert box is not None
    return np.clip(picture, 0, 4095).astype(np.uint16), box


def test_burnt_in_text_is_found_and_painted_over():
    pytest.importorskip("rapidocr")
    count, found = (20, 0)
    for seed in range(count):
        pixels, (x0, y0, x1, y1) = labelled(seed)
        data = film(pixels)
        painted = paint(data, "film")
        after = data.pixel_array
        dark = (after[y0:y1, x0:x1] == pixels.min()).mean()
        found += painted >= 1 and dark > 0.9
        assert (after != pixels).mean() < 0.15  # the film is still there
    assert found >= 0.95 * count


def test_a_small_line_on_a_large_film_is_found_wherever_it_stands():
    pytest.importorskip("rapidocr")
    grain = np.random.default_rng(0).normal(90, 6, (1500, 2000)).clip(0, 255).astype(np.uint8)
    for at in ((1600, 1450), (900, 990)):
        picture = Image.fromarray(grain)
        ImageDraw.Draw(picture).text(at, "DOE, JANE 67Y", fill=230, font=ImageFont.load_default(20))
        drawn = np.asarray(picture) != grain
        covered = np.zeros_like(drawn)
        for x0, y0, x1, y1 in text_boxes(np.asarray(picture)):
            covered[y0:y1, x0:x1] = True
        assert covered[drawn].mean() > 0.9 and covered.mean() < 0.02


@pytest.mark.slow
def test_burnt_in_text_is_found_in_95_of_100():
    found = 0
    for seed in range(100):
        pixels, (x0, y0, x1, y1) = labelled(seed)
        data = film(pixels)
        found += paint(data, "film") >= 1 and (data.pixel_array[y0:y1, x0:x1] == pixels.min()).mean() > 0.9
    assert found >= 95


def letters(words: str = "SMITH JOHN 12/03/1961", side: int = 512) -> np.ndarray:
    """Where a name stands in a picture, as (rows, columns) of bool."""
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).text((20, 20), words, fill=255, font=ImageFont.load_default(24))
    return np.asarray(mask) > 100


SLOPE = np.tile(np.linspace(-1000, 3000, 512).astype(np.int16), (512, 1))
UPPER = np.arange(512)[:, None] < 256
STRIP = (np.arange(512)[:, None] < 60) & (np.arange(512) < 330)


@pytest.mark.parametrize(
    ("ground", "ink", "tags"),
    [
        (np.full((512, 512), 4, np.uint16), 12, {"BitsStored": 12, "HighBit": 11, "WindowCenter": 8, "WindowWidth": 8}),
        (np.full((512, 512), 100, np.uint8), 110, {}),
        (np.zeros((512, 512), np.uint8), 1, {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}),
        (np.where(UPPER, 40, SLOPE).astype(np.int16), 80, {"PixelRepresentation": 1}),
        (np.where(STRIP, 40, SLOPE).astype(np.int16), 80, {"PixelRepresentation": 1, "WindowCenter": [1000, 1060], "WindowWidth": [4000, 40], "RescaleSlope": 1, "RescaleIntercept": 1000}),
        (np.full((512, 512), 0.5, np.float32), 0.51, {}),
        (np.full((512, 512), 5e-3, np.float64), 7e-3, {}),
    ],
    ids="narrow close bits flat window float double".split(),
)  # fmt: skip
def test_text_that_a_viewer_shows_is_painted_over(ground, ink, tags, tmp_path):
    """However near its values are to those around it."""
    pytest.importorskip("rapidocr")
    mask = letters()
    pixels = np.where(mask, ground.dtype.type(ink), ground)
    data = film(pixels, **tags)
    if data.BitsAllocated == 1:
        data.PixelData = np.packbits(pixels, bitorder="little").tobytes()
    if pixels.dtype.kind == "f":
        del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
        data.add_new("FloatPixelData" if pixels.itemsize == 4 else "DoubleFloatPixelData", "OF" if pixels.itemsize == 4 else "OD", pixels.tobytes())  # fmt: skip
    write(data, tmp_path / "in.dcm")
    done = deidentify(tmp_path / "in.dcm", tmp_path / "out", key=SECRET)
    assert list(done.painted.values()) == [1]
    copy = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    after = copy.pixel_array
    assert (after[mask] == pixels.min()).mean() > 0.9 and after.dtype == pixels.dtype
    assert np.array_equal(after[60:], pixels[60:]) and "OCR" in copy.DeidentificationMethod[1]


@pytest.mark.parametrize("coding", ["plain", "signed", "big", "rle"])
def test_an_overlay_in_unused_bits_goes(tmp_path, coding):
    """The retired kind, which lies above the values of the pixels: bits and header."""
    values = np.tile(np.arange(512, dtype=np.uint16) * 8, (512, 1))
    tags = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": int(coding == "signed")}
    pixels = values | (letters().astype(np.uint16) << 15)
    data = film(pixels.astype(">u2") if coding == "big" else pixels, **tags)
    for element, vr, value in ((0x10, "US", 512), (0x11, "US", 512), (0x100, "US", 16), (0x102, "US", 15)):
        data.add_new((0x6002, element), vr, value)
    if coding == "big":
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    if coding == "rle":
        data.compress(pydicom.uid.RLELossless)
    deidentify(write(data, tmp_path / "in.dcm"), tmp_path / "out", key=SECRET)
    copy = pydicom.dcmread(next((tmp_path / "out").iterdir()))
    stored = np.frombuffer(copy.PixelData, ">u2" if coding == "big" else "<u2").reshape(512, 512)
    spare = stored >> 12 if coding != "signed" else (stored >> 12) - np.where(stored & 0x800, 15, 0)
    assert not spare.any() and np.array_equal(stored & 0xFFF, values) and "Rows" in copy
    assert not [element for element in copy if element.tag.group & 0xFF00 == 0x6000]


def test_pixels_whose_values_do_not_begin_at_the_lowest_bit_are_left_out():
    data = film(np.zeros((16, 16), np.uint16), BitsStored=12, HighBit=15)
    with pytest.raises(ImageError, match="12 bits that end at bit 15"):
        paint(data, "film")


def test_a_film_without_text_stays_as_it_is():
    pytest.importorskip("rapidocr")
    pixels = np.clip(900 + np.random.default_rng(0).normal(0, 60, (512, 512)), 0, 4095).astype(np.uint16)
    data = film(pixels)
    assert paint(data, "film") == 0 and np.array_equal(data.pixel_array, pixels)


def test_folders_with_all_sorts_in_them(tmp_path):
    marked = film(np.zeros((16, 16), np.uint8), PatientID="1", PatientName="Quux", BurnedInAnnotation="NO")
    write(marked, tmp_path / "in" / "Quux_1970.dcm")
    broken = film(np.zeros((16, 16), np.uint8), PatientID="2")
    broken.PixelData = b"12"
    write(broken, tmp_path / "in" / "deep" / "broken.dcm")
    (tmp_path / "in" / "notes.txt").write_text("no film", encoding="utf-8")
    seen = []
    done = deidentify(tmp_path / "in", tmp_path / "out", key=SECRET, report=seen.append)
    assert done.written == 1 and len(done.skipped) == len(seen) == 2
    (only,) = (tmp_path / "out").iterdir()
    clean = pydicom.dcmread(only)
    assert "Quux" not in only.name and "OCR" in clean.DeidentificationMethod[1]
    assert "BurnedInAnnotation" not in clean  # that nothing was overlooked is not known
    with pytest.raises(CorpusError, match="not empty"):
        deidentify(tmp_path / "in", tmp_path / "out")
    with pytest.raises(CorpusError, match="no DICOM"):
        deidentify(tmp_path / "in" / "notes.txt", tmp_path / "other")


def test_pixels_that_cannot_be_looked_at_are_not_called_clean():
    data = film(np.zeros((16, 16), np.uint8))
    data.PixelData = b"12"
    with pytest.raises(ImageError, match="looked at"):
        paint(data, "film")


def test_the_command(tmp_path):
    write(film(np.zeros((16, 16), np.uint8), PatientID="1"), tmp_path / "in" / "a.dcm")
    (tmp_path / "key").write_text(SECRET + SECRET, encoding="utf-8")
    args = [
        "corpus",
        "deidentify",
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        "--key-file",
        str(tmp_path / "key"),
        "--json",
    ]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["written"] == 1
    (tmp_path / "key").write_text("short", encoding="utf-8")
    assert "fewer than 16" in CliRunner().invoke(app, [*args[:3], str(tmp_path / "two"), *args[4:6]]).stderr


def test_files_that_share_a_uid_are_all_kept(tmp_path: Path) -> None:
    for n in range(3):
        shared = film(np.full((8, 8), n, np.uint8))
        shared.SOPInstanceUID = shared.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        write(shared, tmp_path / "in" / f"{n}.dcm")
    done = deidentify(tmp_path / "in", tmp_path / "out", key=SECRET, pixels=False)
    copies = [pydicom.dcmread(path).pixel_array[0, 0] for path in (tmp_path / "out").iterdir()]
    assert done.written == 3 and sorted(copies) == [0, 1, 2]


def test_a_uid_that_is_none_names_no_file(tmp_path: Path) -> None:
    """Many UIDs in one field are a name that no disk takes."""
    good, odd = (film(np.zeros((4, 4), np.uint8), PatientName="Doe^Jane") for _ in range(2))
    write(good, tmp_path / "in" / "a.dcm")
    odd.SOPInstanceUID = [generate_uid() for _ in range(20)]
    write(odd, tmp_path / "in" / "b.dcm")
    done = deidentify(tmp_path / "in", tmp_path / "out", key=SECRET, pixels=False)
    assert done.written + len(done.skipped) == 2 and done.written >= 1
    assert all(
        len(path.stem) <= 64 and "Doe" not in str(pydicom.dcmread(path)) for path in (tmp_path / "out").iterdir()
    )


def test_a_command_that_can_write_nothing_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    good = write(film(np.zeros((4, 4), np.uint8)), tmp_path / "a.dcm")
    (tmp_path / "notes.txt").write_text("no film", encoding="utf-8")
    for source, target, problem in (
        (good, tmp_path / "notes.txt", "notes.txt is a file"),
        (good, tmp_path / "notes.txt" / "under", "cannot write"),
        (tmp_path / "gone", tmp_path / "out", "gone does not exist"),
        (tmp_path / "notes.txt", tmp_path / "out", "holds no DICOM file that can be read: .*is no DICOM image"),
    ):
        with pytest.raises(MedragError, match=problem):
            deidentify(source, target, key=SECRET, pixels=False)
    assert not (tmp_path / "out").exists()
