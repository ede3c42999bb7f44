"""load_image: every kind of input comes out as 8-bit L or RGB, or as one clear ImageError."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hostile import dicom, huge_png, jpeg, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medrag._util.images import NEAR_SIDE, asked_image, check_image, load_image, pages, reduced, window
from medrag._util.remember import forget
from medrag.errors import ImageError

TYPES = st.sampled_from(
    [
        np.uint8,
        np.int8,
        np.uint16,
        np.int16,
        np.int32,
        np.int64,
        np.uint64,
        np.float16,
        np.float32,
        np.float64,
        np.bool_,
    ]
)


def test_the_largest_numbers_there_are_make_a_picture() -> None:
    ends = np.finfo(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = load_image(np.array([[ends.min, 0.0, ends.max]]))
    assert np.asarray(shown.image).tolist()[0] in ([0, 127, 255], [0, 128, 255])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_array_becomes_an_8_bit_picture(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    depth = data.draw(st.sampled_from([(), (1,), (3,), (4,)]))
    array = data.draw(hnp.arrays(data.draw(TYPES), (height, width, *depth)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = load_image(array)
    assert shown.image.mode == ("RGB" if depth in ((3,), (4,)) else "L")
    assert shown.image.size == (width, height)
    assert len(shown.sha256) == 64


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16", "I;16B", "La", "RGBa", "RGBX"],
)
def test_every_pillow_mode(mode: str) -> None:
    shown = load_image(Image.new(mode, (5, 4)))
    assert shown.image.mode in ("L", "RGB") and shown.image.size == (5, 4)


def test_8_bit_values_are_kept_and_others_are_stretched() -> None:
    kept = np.array([[0, 7], [100, 200]], np.uint8)
    assert np.array_equal(np.asarray(load_image(kept).image), kept)
    assert np.array_equal(np.asarray(load_image(kept.astype(np.int64)).image), kept)
    assert np.asarray(load_image(np.array([[0.0, 0.5, 1.0]])).image).tolist() == [[0, 128, 255]]
    deep = np.asarray(load_image(np.array([[-1000, 0, 1000]], np.int16)).image)
    assert deep.tolist()[0][1] in (127, 128) and deep[0, 0] == 0 and deep[0, 2] == 255


def test_a_few_hot_pixels_do_not_darken_the_rest() -> None:
    array = np.tile(np.arange(1000, 3000, 10, dtype=np.uint16), (50, 1))
    array[0, 0] = 65535
    assert np.asarray(load_image(array).image).max(axis=0)[150] > 170


def test_nan_and_infinity_are_no_picture_elements() -> None:
    shown = np.asarray(load_image(np.array([[np.nan, 5.0, 10.0, np.inf, -np.inf]])).image)
    assert shown.tolist() == [[0, 0, 255, 255, 0]]


def test_transparency_lies_over_white_as_in_viewers() -> None:
    picture = Image.new("RGBA", (2, 1), (200, 100, 50, 0))
    picture.putpixel((1, 0), (200, 100, 50, 255))
    shown = load_image(picture).image
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 100, 50)]


def test_pages_are_counted_and_each_can_be_shown(tmp_path: Path) -> None:
    first, *others = (Image.new("L", (4, 3), shade) for shade in (10, 20, 30))
    first.save(tmp_path / "stack.tiff", save_all=True, append_images=others)
    shown = [load_image(tmp_path / "stack.tiff", frame=n) for n in range(3)]
    assert [one.image.getpixel((0, 0)) for one in shown] == [10, 20, 30] and shown[0].meta["frames"] == 3
    assert pages(tmp_path / "stack.tiff") == 3
    with pytest.raises(ImageError, match="there is no frame 3"):
        load_image(tmp_path / "stack.tiff", frame=3)
    first.save(tmp_path / "one.png")
    assert pages(tmp_path / "one.png") == 1 and not load_image(tmp_path / "one.png").meta


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    assert load_image(tmp_path / "turned.png").image.size == (3, 4)


def test_path_string_bytes_and_query_image_agree(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    shown = load_image(tmp_path / "a.png")
    assert shown.source == str(tmp_path / "a.png")
    assert {load_image(x).sha256 for x in (str(tmp_path / "a.png"), png(), Image.open(io.BytesIO(png())), shown)} == {
        shown.sha256
    }


def test_max_side_reduces_and_changes_nothing_smaller(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 1600, 3), dtype=np.uint8)).save(stream, "JPEG")
    assert load_image(stream.getvalue(), max_side=256).image.size == (256, 144)
    assert load_image(png(), max_side=256).sha256 == load_image(png()).sha256


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"", "empty"),
        (b"no picture at all", "not an image"),
        (png()[:60], "cannot be"),
        (jpeg()[:-700], "truncated"),
        (np.zeros((0, 4)), "empty"),
        (np.zeros((3, 8, 8)), "shape"),
        (np.zeros((2, 2), complex), "complex"),
        (42, "not an image"),
        (Path("/nowhere/at/all.png"), "does not exist"),
        (Path("/"), "folder"),
    ],
)  # fmt: skip
def test_what_is_no_picture_gives_one_clear_error(source: object, problem: str) -> None:
    with pytest.raises(ImageError, match=problem) as caught:
        load_image(source)
    assert "\n" not in str(caught.value) and caught.value.hint


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(ImageError, match="100 megapixels"):
        load_image(huge_png())
    with pytest.raises(ImageError, match="limit"):
        load_image(png(), max_pixels=100)
    assert load_image(huge_png(20_000, 20), max_side=100).image.size[0] == 100


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([png(), jpeg()]), st.integers(0, 400))
def test_any_bytes_give_a_picture_or_an_image_error(noise: bytes, base: bytes, at: int) -> None:
    try:
        assert load_image(base[:at] + noise + base[at + len(noise) :]).image.mode in ("L", "RGB")
    except ImageError as error:
        assert "\n" not in str(error)


def test_check_image_agrees_with_load_image(tmp_path: Path) -> None:
    for name, content in {
        "a.png": png(),
        "b.jpg": jpeg(),
        "c.jpg": jpeg()[:-700],
        "d.png": png()[:60],
        "e.png": b"",
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        try:
            expected: object = load_image(path).image.size
        except ImageError:
            expected = ImageError
        if expected is ImageError:
            with pytest.raises(ImageError):
                check_image(path)
        else:
            assert check_image(path) == expected


def test_dicom_is_told_by_content_and_keeps_its_header(tmp_path: Path) -> None:
    plain = dicom(tmp_path / "a.dcm")
    plain.rename(tmp_path / "a.png")
    shown = load_image(tmp_path / "a.png")
    assert shown.image.size == (8, 6) and shown.image.mode == "L"
    assert {
        "modality": "DX",
        "body_part": "CHEST",
        "patient_id": "P1",
        "rows": 6,
        "columns": 8,
        "frames": 1,
    }.items() <= shown.meta.items()


def test_monochrome1_is_inverted_and_the_window_is_applied(tmp_path: Path) -> None:
    pixels = np.asarray(load_image(dicom(tmp_path / "a.dcm", WindowCenter=24.5, WindowWidth=48)).image, int)
    inverted = np.asarray(
        load_image(
            dicom(tmp_path / "b.dcm", WindowCenter=24.5, WindowWidth=48, PhotometricInterpretation="MONOCHROME1")
        ).image,
        int,
    )
    assert (pixels + inverted == 255).all()
    # PS3.3 C.11.2.1.2: y = ((x - (c - .5)) / (w - 1) + .5) * 255, clipped
    expected = np.clip(((np.arange(48) - 24.0) / 47 + 0.5) * 255, 0, 255)
    assert np.abs(pixels.ravel() - expected).max() <= 0.51


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    shown = load_image(
        dicom(tmp_path / "a.dcm", RescaleSlope=10, RescaleIntercept=-100, WindowCenter=0, WindowWidth=101)
    )
    pixels = np.asarray(shown.image).ravel()
    assert pixels[4] == 0 and pixels[5] == 1 and pixels[15] == 255 and 120 < pixels[10] < 135
    assert shown.meta["window"] == [-50.5, 49.5]


@pytest.mark.parametrize("slope", [1, 0.25, -2])
@pytest.mark.parametrize("padding", [None, 7])
@pytest.mark.parametrize("windowed", [True, False])
def test_a_window_of_stored_values_is_the_window_of_rescaled_ones(
    slope: float, padding: int | None, windowed: bool
) -> None:
    from pydicom import Dataset
    from pydicom.pixels import apply_modality_lut

    from medrag._util.dicom import _windowed

    stored = np.random.default_rng(1).integers(0, 4096, (400, 500)).astype(np.uint16)
    film = Dataset()
    film.RescaleSlope, film.RescaleIntercept = slope, -1024 if slope > 0 else 4096
    if padding is not None:
        film.add_new("PixelPaddingValue", "US", padding)
    real = apply_modality_lut(stored, film)
    if windowed:
        film.WindowCenter, film.WindowWidth = 40, 400
    limits = (-160.0, 239.0) if windowed else tuple(np.percentile(real[stored != padding], (0.1, 99.9)))
    shown, applied = _windowed(film, stored, 0, None)
    np.testing.assert_allclose(applied, limits)
    np.testing.assert_array_equal(shown, window(real, *limits))


def test_frames_are_chosen_and_checked(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", pixels=bytes(range(96)), NumberOfFrames=2)
    windowed = dicom(tmp_path / "b.dcm", pixels=bytes(range(96)), NumberOfFrames=2, WindowCenter=48, WindowWidth=96)
    first, second = (np.asarray(load_image(windowed, frame=frame).image, int) for frame in (0, 1))
    assert (second > first).all()
    assert load_image(path).meta["frames"] == 2
    with pytest.raises(ImageError, match="no frame 2"):
        load_image(path, frame=2)


@pytest.mark.parametrize(
    "name",
    [
        "examples_palette.dcm",
        "examples_rgb_color.dcm",
        "examples_ybr_color.dcm",
        "examples_jpeg2k.dcm",
        "MR_small_RLE.dcm",
        "JPEG2000.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_rle_16bit_2frame.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
    ],
)
def test_pydicoms_own_examples_are_decoded(name: str) -> None:
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom's {name} is not installed")
    shown = load_image(path)
    colour = any(word in name for word in ("palette", "rgb", "ybr", "jpeg2k"))
    assert shown.image.mode == ("RGB" if colour else "L")
    assert np.asarray(shown.image).std() > 5


def test_lossless_codings_of_one_picture_are_equal() -> None:
    from pydicom.data import get_testdata_file

    names = (
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_implicit.dcm",
    )
    paths = [path for name in names if (path := get_testdata_file(name, download=False))]
    if len(paths) < 2:
        pytest.skip("pydicom's test files are not installed")
    assert len({load_image(path).sha256 for path in paths}) == 1


def test_a_dataset_is_taken_as_it_is(tmp_path: Path) -> None:
    import pydicom

    path = dicom(tmp_path / "a.dcm")
    assert load_image(pydicom.dcmread(path)).sha256 == load_image(path).sha256


def test_a_dicom_file_without_its_magic_is_checked_as_it_is_read(tmp_path: Path) -> None:
    bare = tmp_path / "bare.dcm"
    bare.write_bytes(dicom(tmp_path / "a.dcm").read_bytes()[132:])
    assert check_image(bare) == load_image(bare).image.size == (8, 6)


def test_a_voi_table_takes_values_below_zero() -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data, table = Dataset(), Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.Rows, data.Columns, data.SamplesPerPixel = "1.2.840.10008.5.1.4.1.1.2", 1, 4, 1
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PhotometricInterpretation, data.RescaleIntercept, data.RescaleSlope = "MONOCHROME2", "-1024", "1"
    data.PixelData = np.array([0, 512, 1024, 2000], np.uint16).tobytes()  # air … bone
    table.add_new((0x0028, 0x3002), "SS", [2048, -1024, 16])
    table.add_new((0x0028, 0x3006), "OW", np.arange(2048, dtype=np.uint16).tobytes())
    data.VOILUTSequence = [table]
    row = np.asarray(load_image(data).image, int)[0].tolist()
    assert row[0] == 0 and row[-1] == 255 and row == sorted(row) and 50 < row[1] < 80


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("limits", [(-100.5, 900.25), (0.0, 4095.0), (5.0, 5.0)])
def test_a_window_by_table_is_the_window_by_value(kind: type, limits: tuple[float, float]) -> None:
    values = np.random.default_rng(0).integers(-3000 if kind is np.int16 else 0, 5000, (600, 500)).astype(kind)
    np.testing.assert_array_equal(window(values, *limits), window(values.astype(np.int64), *limits))
    swapped = values.astype(values.dtype.newbyteorder())
    np.testing.assert_array_equal(window(swapped, *limits), window(values, *limits))


@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([16, 64, 224]))
@settings(max_examples=40, deadline=None)
def test_a_reduced_picture_stays_large_enough_and_shows_the_same(width: int, height: int, side: int) -> None:
    ramp = np.linspace(0, 255, width)[None] * np.linspace(0.5, 1, height)[:, None]
    picture = Image.fromarray(ramp.astype(np.uint8))
    small = reduced(picture, side)
    assert small is picture or min(small.size) >= NEAR_SIDE * side - 1
    assert min(small.size) <= 2 * NEAR_SIDE * side
    shown = [np.asarray(one.resize((16, 16), Image.Resampling.BICUBIC), float) for one in (picture, small)]
    assert small is picture or np.abs(shown[0] - shown[1]).max() < 12


def test_the_picture_of_a_question_is_decoded_once_until_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    Image.new("L", (32, 32), 10).save(path)
    os.utime(path, (1, 1))  # written long ago
    first = asked_image(path, 64)
    assert asked_image(str(path), 64) is first and asked_image(path, 16).image.size == (16, 16)
    Image.new("L", (32, 32), 200).save(path)
    os.utime(path, (1, 1))
    assert asked_image(path, 64).image.getpixel((0, 0)) == 200
    content = path.read_bytes()
    assert asked_image(content, 64) is asked_image(bytearray(content), 64)
    kept = asked_image(path, 64)
    forget()
    assert asked_image(path, 64) is not kept


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    for shade in (10, 20):  # the clock of a file system may not tell these two apart
        Image.new("L", (8, 8), shade).save(path)
        assert asked_image(path, 64).image.getpixel((0, 0)) == shade


@pytest.mark.parametrize("source", ["gone.png", b"", b"no picture", "\0"])
def test_what_is_no_picture_of_a_question_is_told_each_time(source: str | bytes) -> None:
    for _ in range(2):
        with pytest.raises(ImageError):
            asked_image(source, 64)
