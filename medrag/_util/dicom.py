"""DICOM files as 8-bit pictures, with what the header says. Knows nothing of studies or corpora.

Windowing follows DICOM PS3.3 C.11.2.1.2 (linear VOI) and C.11.1 (modality LUT).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from medrag._util import apart
from medrag._util.images import from_array, one_line, spread, window
from medrag.errors import BadRecord, ImageError, MedragError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
LEAST = 8  # bytes that a compressed frame takes: the head of its item
_REEXPORT = "export the image again, or leave the file out"
_TAGS = {
    "modality": "Modality", "body_part": "BodyPartExamined", "view": "ViewPosition", "laterality": "ImageLaterality",
    "study_uid": "StudyInstanceUID", "series_uid": "SeriesInstanceUID", "sop_uid": "SOPInstanceUID",
    "patient_id": "PatientID", "accession": "AccessionNumber", "study_date": "StudyDate", "study_description": "StudyDescription",
    "series_description": "SeriesDescription", "photometric": "PhotometricInterpretation",
}  # fmt: skip


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """pydicom warns about values that do not matter for a picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def sound(where: str) -> Iterator[None]:
    """A header whose values pydicom cannot make sense of, which shows when they are asked for, as ImageError."""
    try:
        yield
    except MedragError:
        raise
    except Exception as error:  # a broken value may fail anywhere in pydicom
        raise ImageError(where, f"is a damaged DICOM file: {one_line(error)}", _REEXPORT) from error


def read_dataset(stream: BinaryIO | str, where: str, *, header_only: bool = False) -> Any:
    """A pydicom Dataset; values over 1 kB stay on disk when only the header is wanted. Raises ImageError."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    from medrag._util.bombs import Bounded

    try:
        with quiet(), contextlib.ExitStack() as stack:
            opened = stack.enter_context(Path(stream).open("rb")) if isinstance(stream, str) else stream
            bounded: Any = Bounded(opened, where)
            return pydicom.dcmread(bounded, force=True, defer_size=1024 if header_only else None)
    except ImageError:
        raise
    except InvalidDicomError as error:
        raise ImageError(where, "is not a DICOM file", _REEXPORT) from error
    except OSError as error:
        raise ImageError(where, f"cannot be read: {error.strerror or one_line(error)}", "check the path") from error
    except Exception as error:  # a broken data set may fail anywhere in the parser
        raise ImageError(where, f"is a damaged DICOM file: {one_line(error)}", _REEXPORT) from error


def looks_like_dicom(stream: BinaryIO) -> bool:
    """Whether a file without the DICOM magic still parses as an image data set."""
    import pydicom

    try:
        with quiet():
            data = pydicom.dcmread(stream, force=True, stop_before_pixels=True, specific_tags=["SOPClassUID", "Rows"])
        return "SOPClassUID" in data or "Rows" in data
    except Exception:  # whatever the parser raises, it is no DICOM
        return False


def header_meta(data: Any) -> dict[str, Any]:
    """What the header says, as strings and numbers; names that are absent are left out."""
    with quiet():
        meta: dict[str, Any] = {name: str(data.get(tag)).strip() for name, tag in _TAGS.items() if data.get(tag)}
        meta |= {
            "rows": int(data.get("Rows") or 0),
            "columns": int(data.get("Columns") or 0),
            "frames": frames_of(data),
        }
    return meta


def frames_of(data: Any) -> int:
    """How many frames the data set announces; 1 where it does not say."""
    try:
        return max(1, int(data.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def picture_of_dataset(
    data: Any, where: str, frame: int, max_pixels: int, limits: tuple[float, float] | None = None
) -> tuple[Image, dict[str, Any]]:
    """One frame as an 8-bit picture, and the header's meta with the window that was applied; ``limits`` (low, high) replace the file's own. Raises ImageError."""
    with quiet():
        if not any(tag in data for tag in PIXELS):
            raise ImageError(
                where, "the DICOM file holds no pixels", "give an image object, not a report, plan or header"
            )
        meta = header_meta(data)
        if meta["rows"] * meta["columns"] > max_pixels:
            raise ImageError(
                where,
                f"has {meta['rows'] * meta['columns'] / 1e6:.0f} megapixels, more than the limit of {max_pixels / 1e6:.0f}",
                "give a smaller level of the image",
            )
        if not 0 <= frame < meta["frames"]:
            raise ImageError(
                where, f"has {meta['frames']} frames; there is no frame {frame}", f"ask for 0 to {meta['frames'] - 1}"
            )
        array = _pixels(data, where, frame)
        try:
            picture, applied = shown(data, array, frame, limits)
        except Exception as error:  # tables of a broken header may have any shape
            raise ImageError(where, f"its look-up tables cannot be applied: {one_line(error)}", _REEXPORT) from error
    meta["frame"] = frame
    if applied:
        meta["window"] = [round(value, 3) for value in applied]
    return from_array(picture, where, max_pixels), meta


def _pixels(data: Any, where: str, frame: int) -> NDArray[Any]:
    """One decoded frame, colour already RGB."""
    syntax = _transfer_syntax(data)
    as_announced(data, where, frame)
    try:
        return decoded(data, where, frame)
    except NotImplementedError as error:
        name = getattr(syntax, "name", syntax)
        raise ImageError(
            where, f"the transfer syntax {name} cannot be decoded", "store it uncompressed or as JPEG 2000"
        ) from error
    except BadRecord as bad:
        raise ImageError(where, bad.problem, bad.hint) from bad
    except Exception as error:  # the decoders of pylibjpeg and pydicom raise nearly anything
        raise ImageError(where, f"its pixel data cannot be decoded: {one_line(error)}", _REEXPORT) from error


def decoded(data: Any, where: str, frame: int | None = None, *, spare: bool = False) -> NDArray[Any]:
    """A frame, or all of them (None), as pydicom decodes it; a compressed one in another process, since some decoders end theirs. ``spare``: with
    whatever lies in the bits of a pixel that its values do not use.

    Raises BadRecord where that happens, and what pydicom raises.
    """
    if not (is_compressed(data) and apart.wanted()):
        return _array(data, frame, spare)
    part = data.group_dataset(0x0028)
    part.update(data.group_dataset(0x7FE0))
    part.file_meta = data.file_meta
    array: NDArray[Any] = apart.done(where, _array, part, frame, spare)
    return array


def _array(data: Any, frame: int | None, spare: bool) -> NDArray[Any]:
    from pydicom.pixels import pixel_array

    with quiet():
        array: NDArray[Any] = pixel_array(data, index=frame, correct_unused_bits=not spare)
    return array


def is_compressed(data: Any) -> bool:
    """Whether the pixels lie in frames of a codec; a file that is deflated as a whole is not meant."""
    syntax = _transfer_syntax(data)
    return bool(syntax.is_transfer_syntax and not syntax.is_private and syntax.is_compressed and not syntax.is_deflated)


def as_announced(data: Any, where: str, frame: int) -> None:
    """Refuses, before it is decoded, a compressed frame that is larger than the header says."""
    from pydicom.encaps import get_frame

    from medrag._util.bombs import codestream_pixels

    if not is_compressed(data):
        return
    with sound(where):
        found = codestream_pixels(get_frame(data.PixelData, frame, number_of_frames=frames_of(data)))
        announced = int(data.get("Rows") or 0) * int(data.get("Columns") or 0)
    if found > announced:
        problem = f"a compressed frame has {found:,} pixels where the header says {announced:,}"
        raise ImageError(where, problem, _REEXPORT)


def _transfer_syntax(data: Any) -> Any:
    """The transfer syntax; where the file does not name it, the plain one that its header was written in."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(data, "file_meta", None)
    if meta is None:
        meta = data.file_meta = FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = data.original_encoding
        explicit = ExplicitVRBigEndian if little is False else ExplicitVRLittleEndian
        meta.TransferSyntaxUID = explicit if implicit is False else ImplicitVRLittleEndian
    return meta.TransferSyntaxUID


def shown(
    data: Any, array: NDArray[Any], frame: int, limits: tuple[float, float] | None
) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """The frame as 8-bit values, and the window (low, high) in modality units where one was applied."""
    from pydicom.pixels import apply_color_lut

    kind = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind == "PALETTE COLOR":
        return _colour_8bit(apply_color_lut(array, data), 16), None
    if array.ndim == 3:
        return _colour_8bit(array, int(data.get("BitsStored") or 8)), None
    values, applied = _windowed(data, array, frame, limits)
    return (255 - values if kind == "MONOCHROME1" else values), applied


def _colour_8bit(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """Colour of up to 32 bits a channel as 8 bits."""
    import numpy as np

    if array.dtype == np.uint8:
        return array
    return window(array, 0.0, float(2 ** max(bits, 8) - 1))


def _windowed(
    data: Any, array: NDArray[Any], frame: int, wanted: tuple[float, float] | None
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Rescale or modality LUT, then the wanted window, else the stored one or the VOI LUT, else the spread of the values."""
    import numpy as np
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    padding = data.get("PixelPaddingValue")
    real = array != padding if isinstance(padding, int) else np.True_
    transform = _group(data, frame, "PixelValueTransformationSequence")
    rescaled = transform if transform is not None else data
    if scale := _scale(rescaled):  # a window of what is stored then does the same, without a copy in floating point
        values, (slope, intercept) = array, scale
    else:
        values, slope, intercept = apply_modality_lut(array, rescaled), 1.0, 0.0

    def through(low: float, high: float) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        return window(values, (low - intercept) / slope, (high - intercept) / slope), (low, high)

    if wanted:
        return through(*wanted)
    voi = _group(data, frame, "FrameVOILUTSequence")
    voi = data if voi is None else voi
    if voi is data and data.get("VOILUTSequence"):
        stored = np.rint(values * slope + intercept).astype(np.int64)  # HU may be below zero
        values, slope, intercept = apply_voi_lut(stored, data, prefer_lut=True), 1.0, 0.0
    elif limits := _limits(voi):
        inside = values if real.all() else values[real]
        if inside.size and _shows(inside.min() * slope + intercept, inside.max() * slope + intercept, *limits):
            return through(*limits)
    low, high = spread(values if real.all() or not real.any() else values[real])
    return through(low * slope + intercept, high * slope + intercept)


def _shows(least: float, most: float, low: float, high: float) -> bool:
    """Whether a window shows anything of values between these."""
    return bool(most > low and least < high)


def _scale(data: Any) -> tuple[float, float] | None:
    """Slope and intercept from stored values to modality units; None where a table says it, or larger values are smaller ones there."""
    if data.get("ModalityLUTSequence"):
        return None
    slope, intercept = data.get("RescaleSlope"), data.get("RescaleIntercept")
    if slope is None or intercept is None:
        return 1.0, 0.0
    return (float(slope), float(intercept)) if float(slope) > 0 else None


def _limits(data: Any) -> tuple[float, float] | None:
    """Low and high end of the first stored window; None where there is none of use."""
    center, width = (_first(data.get(tag)) for tag in ("WindowCenter", "WindowWidth"))
    return None if center is None or width is None or width <= 0 else _ends(center, width)


def windows(data: Any, frame: int) -> list[tuple[float, float]]:
    """Low and high end of every window that is stored for a frame, in modality units."""
    voi = _group(data, frame, "FrameVOILUTSequence")
    centers, widths = (_numbers((data if voi is None else voi).get(tag)) for tag in ("WindowCenter", "WindowWidth"))
    return [_ends(center, width) for center, width in zip(centers, widths, strict=False) if width > 0]


def _ends(center: float, width: float) -> tuple[float, float]:
    if width <= 1:
        return center - 0.5, center + 0.5
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2


def _numbers(value: Any) -> list[float]:
    """The numbers of a DICOM value, which may be one, several or none."""
    if value is None or value == "":
        return []
    return [float(one) for one in ([value] if isinstance(value, int | float | str) else value)]


def _first(value: Any) -> float | None:
    """The first number of a DICOM value, None where there is none."""
    with contextlib.suppress(TypeError, ValueError, IndexError):
        return float(value if isinstance(value, int | float | str) else value[0])
    return None


def _group(data: Any, frame: int, name: str) -> Any:
    """A functional group of an enhanced multi-frame object: of the frame, else shared, else None."""
    for sequence, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = data.get(sequence)
        if groups and index < len(groups) and groups[index].get(name):
            return groups[index].get(name)[0]
    return None


def check_dicom(path: Path, max_pixels: int) -> tuple[int, int]:
    """(columns, rows) of a DICOM image by its header. Raises ImageError as `is_decodable` and for too many pixels."""
    where = str(path)
    data = read_dataset(where, where, header_only=True)
    if not any(tag in data for tag in PIXELS):
        raise ImageError(where, "the DICOM file holds no pixels", "give an image object, not a report, plan or header")
    with sound(where):
        is_decodable(data, where, path.stat().st_size)
        columns, rows = int(data.Columns), int(data.Rows)
    if columns * rows > max_pixels:
        raise ImageError(
            where,
            f"has {columns * rows / 1e6:.0f} megapixels, more than the limit of {max_pixels / 1e6:.0f}",
            "give a smaller level of the image",
        )
    return columns, rows


def is_decodable(data: Any, where: str, file_size: int) -> None:
    """Checks, without decoding, that the pixels are all there and that their coding is one that medrag knows.

    ``data`` was read with ``header_only``. Raises ImageError.
    """
    from pydicom.pixels import get_decoder
    from pydicom.tag import Tag

    syntax = _transfer_syntax(data)
    compressed = is_compressed(data)
    if not syntax.is_transfer_syntax:
        raise ImageError(
            where, f"the transfer syntax {syntax} cannot be decoded", "store it uncompressed or as JPEG 2000"
        )
    if compressed:
        try:
            known = get_decoder(syntax).is_available
        except NotImplementedError:
            known = False
        if not known:
            raise ImageError(
                where, f"the transfer syntax {syntax.name} cannot be decoded", "store it uncompressed or as JPEG 2000"
            )
    tag = Tag(next(name for name in PIXELS if name in data))
    element = next(raw for key, raw in data.items() if key == tag)  # as read: the value still on disk
    length, start = int(getattr(element, "length", 0)), int(getattr(element, "value_tell", 0))
    if compressed:
        if length != 0xFFFFFFFF:
            raise ImageError(where, f"says {syntax.name}, but its pixels are not compressed", _REEXPORT)
        if frames_of(data) * LEAST > file_size:
            raise ImageError(where, f"is too short for the {frames_of(data):,} frames that it announces", _REEXPORT)
        return
    needed = _native_bytes(data, where)
    have = min(length, file_size - start) if not syntax.is_deflated else length
    if have < needed:
        raise ImageError(where, f"its pixel data is cut short ({have:,} of {needed:,} bytes)", _REEXPORT)


def _native_bytes(data: Any, where: str) -> int:
    """How many bytes uncompressed pixels take by the header. Raises ImageError for a header that does not say."""
    sizes = [data.get(tag) for tag in ("Rows", "Columns", "BitsAllocated")]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ImageError(where, "its header does not say how large the image is", _REEXPORT)
    rows, columns, bits = sizes
    samples = int(data.get("SamplesPerPixel") or 1)
    total: int = rows * columns * samples * bits * frames_of(data) // 8
    return total * 2 // 3 if "422" in str(data.get("PhotometricInterpretation", "")) else total
