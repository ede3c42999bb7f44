"""Any picture as 8-bit L or RGB: files, bytes, Pillow images, arrays and DICOM. Knows nothing of encoders or corpora."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from medrag._util.remember import remembered
from medrag.errors import ImageError
from medrag.types import QueryImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_PIXELS = 80_000_000
_VAST = 1e150  # numbers beyond are scaled first: the difference of two of them is infinite
NEAR_SIDE = 2.25  # see `reduced`
AT_ONCE = 1 << 16  # values that are looked up together: their places stay in the processor's cache
ASKED = 8  # pictures of questions that are remembered, of at most 13 MB each
SETTLED = 2.0  # seconds since a file was written, from which on its time tells whether it was written again
PAGED = ("TIFF", "GIF", "WEBP")
_REEXPORT = "export the image again, as PNG, JPEG or DICOM"


def load_image(
    source: Any, *, frame: int = 0, max_pixels: int = MAX_PIXELS, max_side: int | None = None,
    window: tuple[float, float] | None = None,
) -> QueryImage:  # fmt: skip
    """The picture of a path, bytes, Pillow image, numpy array, pydicom Dataset or QueryImage, as 8-bit L or RGB.

    Arrays are (rows, columns) or (rows, columns, 1 | 3 | 4) of any real type; values outside 0–255 and floats outside
    0–1 are windowed to 8 bit. ``frame`` is counted from 0. ``max_side`` (pixels) reduces a larger picture while it is
    decoded. ``window`` is the low and the high end that are shown of a grey DICOM's values, in place of its own window; other pictures have
    none. ``sha256`` is of mode, size and bytes of the picture that comes out, so it depends on ``max_side``.

    Raises ImageError, in one line with a hint, for everything that is no readable picture and for more than
    ``max_pixels`` pixels (told by the header, before anything is decoded).
    """
    if isinstance(source, QueryImage):
        return _finish(source.image, source.source, dict(source.meta), max_side)
    where = str(source) if isinstance(source, str | Path) else f"<{type(source).__name__}>"
    try:
        picture, meta = _decode(source, where, frame, max_pixels, max_side, window)
        return _finish(picture, where if isinstance(source, str | Path) else "", meta, max_side)
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken input
        raise ImageError(where, f"cannot be decoded: {one_line(error)}", _REEXPORT) from error


def asked_image(source: Any, max_side: int) -> QueryImage:
    """`load_image` for the picture of a question: a file or bytes that come again, unchanged, are not decoded again."""
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return _asked(_Source(hashlib.sha256(content).hexdigest(), [content]), max_side)
    if isinstance(source, str | Path):
        with contextlib.suppress(OSError, ValueError):  # what is wrong with it is said by who opens it
            about = Path(source).expanduser().stat()
            if stat.S_ISREG(about.st_mode) and time.time() - about.st_mtime > SETTLED:
                stamp = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
                return _asked(_Source(f"{source} {stamp}", [source]), max_side)
    return load_image(source, max_side=max_side)


@dataclass(frozen=True, slots=True)
class _Source:
    """What a picture is made of, told apart by ``key``; let go once it is made."""

    key: str
    held: list[Any] = field(compare=False)


@remembered(ASKED)
def _asked(source: _Source, max_side: int) -> QueryImage:
    found = load_image(source.held[0], max_side=max_side)
    source.held.clear()
    return found


def check_image(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(columns, rows) of a picture file from its header and checksums, without decoding it where that is avoidable.

    Raises ImageError as `load_image` would; a JPEG that lacks its end marker is decoded to be sure.
    """
    from PIL import UnidentifiedImageError

    try:
        with path.open("rb") as handle:
            head = handle.read(132)
            _not_empty(head, path)
            if is_dicom(head):
                from medrag._util.dicom import check_dicom

                return check_dicom(path, max_pixels)
            handle.seek(0)
            try:
                opened = _open(handle)
            except UnidentifiedImageError:
                from medrag._util.dicom import check_dicom, looks_like_dicom

                handle.seek(0)
                if looks_like_dicom(handle):  # without the magic
                    return check_dicom(path, max_pixels)
                raise
            with opened as picture:
                size, kind = picture.size, picture.format
                _not_huge(size, str(path), max_pixels)
                picture.verify()
        if kind == "JPEG" and b"\xff\xd9" not in _tail(path):
            load_image(path, max_pixels=max_pixels)
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken input
        raise as_image_error(error, path) from error
    return (int(size[0]), int(size[1]))


def pages(path: Path) -> int:
    """How many pictures a file holds that Pillow knows, such as the pages of a TIFF. Raises ImageError."""
    try:
        with path.open("rb") as handle, _open(handle) as picture:
            return _pages(picture)
    except Exception as error:  # decoders raise nearly anything on broken input
        raise as_image_error(error, path) from error


def pages_told(sources: Iterable[Any]) -> list[str]:
    """A line for each file that has pages beside the first, which alone is looked at."""
    found = []
    for path in (Path(source) for source in sources if isinstance(source, str | Path)):
        with contextlib.suppress(ImageError):
            if (count := pages(path)) > 1:
                found.append(f"{path}: has {count:,} pages, of which the first alone is looked at")
    return found


def is_dicom(head: bytes) -> bool:
    """Whether the first 132 bytes say DICOM."""
    return head[128:132] == b"DICM"


def to_8bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Numbers of any real type as 0–255: kept when they are in 0–255 already, floats in 0–1 stretched, others windowed.

    The window goes from the 0.1st to the 99.9th percentile, so that a few hot pixels do not darken the rest.
    """
    import numpy as np

    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    is_float = values.dtype.kind == "f"
    numbers = values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
    if is_float and not np.isfinite(numbers).all():
        finite = numbers[np.isfinite(numbers)]
        low_high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        numbers = np.nan_to_num(numbers, nan=low_high[0], posinf=low_high[1], neginf=low_high[0])
    low, high = float(numbers.min()), float(numbers.max())
    if max(-low, high) > _VAST:
        numbers = np.divide(numbers, _VAST)
    if is_float and low >= 0 and high <= 1:
        return window(numbers, 0.0, 1.0)
    if not is_float and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    return window(numbers, *spread(numbers))


def spread(numbers: NDArray[Any]) -> tuple[float, float]:
    """The 0.1st and 99.9th percentile; the extremes where those are equal."""
    import numpy as np

    low, high = (float(x) for x in np.percentile(numbers, (0.1, 99.9)))
    return (low, high) if high > low else (float(numbers.min()), float(numbers.max()))


def window(numbers: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """``low`` … ``high`` as 0 … 255, clipped; all 0 where the window has no width."""
    import numpy as np

    if not high > low:
        return np.zeros(numbers.shape, np.uint8)
    if numbers.dtype in (np.uint16, np.int16) and numbers.dtype.isnative and numbers.size > 1 << 17:  # each value once
        first = int(np.iinfo(numbers.dtype).min)
        table = np.roll(window(np.arange(first, first + (1 << 16)), low, high), first)
        found, stored = np.empty(numbers.size, np.uint8), np.ascontiguousarray(numbers).view(np.uint16).ravel()
        for start in range(0, numbers.size, AT_ONCE):
            part = slice(start, start + AT_ONCE)
            np.take(table, stored[part], out=found[part], mode="clip")
        return found.reshape(numbers.shape)
    scaled = numbers.astype(np.float64)
    scaled -= low
    scaled *= 255.0 / (high - low)
    rounded: NDArray[np.uint8] = np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)
    return rounded


def from_array(array: NDArray[Any], where: str = "<ndarray>", max_pixels: int = MAX_PIXELS) -> Image:
    """An array as an 8-bit picture. Raises ImageError for shapes and types that are no picture."""
    import numpy as np
    from PIL import Image

    if array.dtype.kind not in "buif":
        raise ImageError(where, f"an array of {array.dtype} is no picture", "pass integers, floats or booleans")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ImageError(
            where, f"an array of shape {array.shape} is no picture", "pass (rows, columns) or (rows, columns, 3)"
        )
    if not array.size:
        raise ImageError(where, "the array is empty", "pass at least one pixel")
    _not_huge((array.shape[1], array.shape[0]), where, max_pixels)
    return normalised(Image.fromarray(np.ascontiguousarray(to_8bit(array))))


def normalised(picture: Image) -> Image:
    """A Pillow image of any mode as L or RGB; deep greys windowed, transparency laid over white, as viewers show it."""
    import numpy as np
    from PIL import Image

    mode = picture.mode
    if mode in ("L", "RGB"):
        return picture
    if mode == "F" or mode.startswith("I"):
        return Image.fromarray(to_8bit(np.asarray(picture)))
    if mode == "1":
        return picture.convert("L")
    if mode in ("La", "RGBa"):  # transparency multiplied in already
        return normalised(picture.convert("LA" if mode == "La" else "RGBA"))
    if mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        flat = Image.new("RGBA", over.size, (255, 255, 255, 255))
        flat.alpha_composite(over)
        return flat.convert("L" if mode == "LA" else "RGB")
    return picture.convert("RGB")


def one_line(error: BaseException) -> str:
    """What an exception says, on one line of at most 160 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"


def as_image_error(error: BaseException, path: Path) -> ImageError:
    """A failure to open or decode a file, in words that name what mends it."""
    from PIL import Image, UnidentifiedImageError

    where = str(path)
    if isinstance(error, FileNotFoundError):
        gone = "is a link to nowhere" if path.is_symlink() else "does not exist"
        return ImageError(where, gone, "check the path")
    if isinstance(error, IsADirectoryError):
        return ImageError(where, "is a folder, not an image", "name a file in it")
    if isinstance(error, UnidentifiedImageError):
        return ImageError(where, "is not an image that medrag knows", _REEXPORT)
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(where, "has too many pixels to be decoded safely", f"reduce it below {MAX_PIXELS:,} pixels")
    return ImageError(where, f"cannot be read: {one_line(error)}", _REEXPORT)


def _decode(
    source: Any, where: str, frame: int, max_pixels: int, max_side: int | None, limits: tuple[float, float] | None
) -> tuple[Image, dict[str, Any]]:
    """The picture, 8-bit L or RGB, and what its file said about itself."""
    import numpy as np
    from PIL import Image

    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        try:
            with path.open("rb") as handle:
                return _decode_stream(handle, where, frame, max_pixels, max_side, limits)
        except OSError as error:
            raise as_image_error(error, path) from error
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode_stream(io.BytesIO(bytes(source)), where, frame, max_pixels, max_side, limits)
    if isinstance(source, Image.Image):
        _not_huge(source.size, where, max_pixels)
        return normalised(_upright(source)), {}
    if isinstance(source, np.ndarray):
        return from_array(source, where, max_pixels), {}
    if hasattr(source, "PhotometricInterpretation") or hasattr(source, "SOPClassUID"):
        from medrag._util.dicom import picture_of_dataset

        return picture_of_dataset(source, where, frame, max_pixels, limits)
    raise ImageError(where, "is not an image", "pass a path, bytes, a Pillow image, a numpy array or a pydicom Dataset")


def _decode_stream(
    stream: BinaryIO, where: str, frame: int, max_pixels: int, max_side: int | None, limits: tuple[float, float] | None
) -> tuple[Image, dict[str, Any]]:
    """Tells DICOM from the rest by content."""
    from PIL import UnidentifiedImageError

    head = stream.read(132)
    _not_empty(head, where)
    stream.seek(0)
    if not is_dicom(head):
        try:
            return _decode_pillow(stream, where, frame, max_pixels, max_side)
        except UnidentifiedImageError as error:
            from medrag._util.dicom import looks_like_dicom

            stream.seek(0)
            if not looks_like_dicom(stream):
                raise as_image_error(error, Path(where)) from error
            stream.seek(0)
    from medrag._util.dicom import picture_of_dataset, read_dataset

    return picture_of_dataset(read_dataset(stream, where), where, frame, max_pixels, limits)


def _decode_pillow(
    stream: BinaryIO, where: str, frame: int, max_pixels: int, max_side: int | None
) -> tuple[Image, dict[str, Any]]:
    """A frame of a file that Pillow knows, upright, and how many there are where they are several."""
    from PIL import Image

    try:
        picture = _open(stream)
    except Image.DecompressionBombError as error:
        raise as_image_error(error, Path(where)) from error
    if (count := _pages(picture)) > 1:
        if not 0 <= frame < count:
            raise ImageError(where, f"has {count} frames; there is no frame {frame}", f"ask for 0 to {count - 1}")
        picture.seek(frame)
    _not_huge(picture.size, where, max_pixels)
    if max_side:
        picture.draft(None, (max_side, max_side))  # JPEG decodes at 1/2, 1/4 or 1/8; others ignore it
    picture.load()
    return normalised(_upright(picture)), {"frames": count} if count > 1 else {}


def _pages(picture: Any) -> int:
    """The frames of a file of a kind that holds several pictures; a photograph's own preview is none."""
    return int(getattr(picture, "n_frames", 1)) if picture.format in PAGED else 1


def _open(stream: BinaryIO) -> Any:
    """Pillow's open without its warning about size: `_not_huge` refuses what is too large."""
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(stream)


def _upright(picture: Image) -> Image:
    """The picture turned as its EXIF orientation says."""
    from PIL import ImageOps

    ImageOps.exif_transpose(picture, in_place=True)  # else it copies what needs no turning
    return picture


def rgb(picture: Image) -> Image:
    """The picture in RGB: itself where it is (Pillow's convert copies)."""
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def reduced(picture: Image, side: int) -> Image:
    """The picture as means over whole blocks of pixels while both sides stay above NEAR_SIDE times ``side``: resizing that costs a third as much.

    As Pillow's own ``reducing_gap``; the vector of a picture so shrunk has a cosine above 0.9998 to that of the whole one (medrag-small; a film, a fundus photograph and a stain at 1,000 to 3,000 pixels).
    """
    factor = int(min(picture.size) / (NEAR_SIDE * side))
    return picture.reduce(factor) if factor > 1 else picture


def data_url(image: Image, side: int, quality: int = 85) -> str:
    """The image as a JPEG inside a ``data:`` address, shrunk to fit a square of ``side`` pixels, never enlarged."""
    small, buffer = image.convert("RGB"), io.BytesIO()
    small.thumbnail((side, side))
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _finish(picture: Image, source: str, meta: dict[str, Any], max_side: int | None) -> QueryImage:
    """Reduced where asked, with the hash of its pixels."""
    if max_side and max(picture.size) > max_side:
        from PIL.Image import Resampling

        picture = picture.copy()
        picture.thumbnail((max_side, max_side), Resampling.HAMMING)  # half the time of the usual filter
    digest = hashlib.sha256(f"{picture.mode} {picture.width}x{picture.height} ".encode())
    digest.update(picture.tobytes())
    return QueryImage(picture, source, digest.hexdigest(), meta)


def _not_huge(size: tuple[int, int], where: str, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        megapixels = size[0] * size[1] / 1e6
        raise ImageError(
            where,
            f"has {megapixels:.0f} megapixels, more than the limit of {max_pixels / 1e6:.0f}",
            "reduce the image, or cut it into tiles",
        )


def _not_empty(head: bytes, where: object) -> None:
    if not head:
        raise ImageError(str(where), "is empty", _REEXPORT)


def _tail(path: Path, size: int = 4096) -> bytes:
    """The last bytes of a file."""
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - size))
        return handle.read()
