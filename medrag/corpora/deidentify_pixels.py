"""Text that is burnt into the pixels of a DICOM file, found and painted over.

Text is found by RapidOCR, in each frame as viewers may show it: through each window of its file, by its own values, and with all its grey levels
equally frequent, so that text a few levels above its ground is seen too. It finds printed marks, not handwriting; the letters of a side marker are
left. What lies in the bits of a pixel that its values do not use, such as an overlay of the retired kind, is cleared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from medrag._util.dicom import PIXELS, as_announced, decoded, frames_of, is_compressed, shown, sound, windows
from medrag.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MARGIN = 2  # pixels painted around a piece of text
SURE = 0.5  # of the recogniser, from which a piece of text is painted over
RANKED = 0.6, 2  # the same, and the fewest letters, where noise is as strong as all else
TILE, LAP = 1000, 64  # pixels: larger pictures are read in parts; smaller ones at twice their size
ALIKE = 8  # of 255: two views of a frame that differ by no more anywhere are one
SIDES = ("L", "R", "LT", "RT")  # side markers: they name nobody
VRS = {"FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}

Rectangle = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels


def paint(data: Any, where: str) -> int:
    """Paints over the text in every frame, with the darkest value there is; how many regions. Pixels that change are uncompressed then.

    Raises ImageError where the pixels cannot be looked at: that is not called clean.
    """
    if not any(tag in data for tag in PIXELS):
        return 0
    for frame in range(frames_of(data)):
        as_announced(data, where, frame)
    values, hidden = _values(data, where)
    frames = (values if frames_of(data) > 1 else values[None]).copy()
    with sound(where):  # tables and windows of a broken header may be anything
        found = sum(_painted(data, frame, number) for number, frame in enumerate(frames))
    if found or hidden:
        _put(data, frames if frames_of(data) > 1 else frames[0])
    return found


def _values(data: Any, where: str) -> tuple[NDArray[Any], bool]:
    """The decoded frames, and whether there is something in the bits that they do not use."""
    try:
        values = decoded(data, where)
        stored = data.get("BitsStored") or data.BitsAllocated
        if stored >= data.BitsAllocated:
            return values, False
        if data.get("HighBit", stored - 1) != stored - 1:
            raise ValueError(f"{stored} bits that end at bit {data.HighBit}")
        return values, bool((values != decoded(data, where, spare=True)).any())
    except Exception as error:  # decoders raise nearly anything
        raise ImageError(
            where, f"its pixels cannot be looked at: {error}", "store it uncompressed, or use --no-pixels"
        ) from error


def _painted(data: Any, frame: NDArray[Any], number: int) -> int:
    """Paints over the text of a frame, in place; how many regions, of which one may have been found in several views."""
    import numpy as np

    dark = np.nanmax(frame) if "MONOCHROME1" in str(data.get("PhotometricInterpretation")) else np.nanmin(frame)
    boxes = _boxes(data, frame, number)
    for x0, y0, x1, y1 in boxes:
        frame[max(0, y0 - MARGIN) : y1 + MARGIN, max(0, x0 - MARGIN) : x1 + MARGIN] = dark
    return sum(not any(_over(box, other) for other in boxes[:before]) for before, box in enumerate(boxes))


def _over(box: Rectangle, other: Rectangle) -> bool:
    """Whether the middle of a rectangle lies in another."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def _boxes(data: Any, frame: NDArray[Any], number: int) -> list[Rectangle]:
    """The text of a frame (rows, columns) or (rows, columns, 3): by its values, as its file says, through each window, and by the ranks of its grey levels."""
    from medrag._util.images import to_8bit

    views = [to_8bit(frame)]
    through = windows(data, number) if frame.ndim == 2 else []
    for limits in (None, *through):
        if _differs(view := shown(data, frame, number, limits)[0], views):
            views.append(view)
    found = [box for view in views for box in text_boxes(view)]
    ranked = equalised(frame if frame.ndim == 2 else frame.mean(2))
    return [*found, *(text_boxes(ranked, *RANKED) if _differs(ranked, views) else ())]


def equalised(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Each value by its rank among all of them, the lowest as 0 and the highest as 255: a large even ground stands far from what is written on it."""
    import numpy as np

    from medrag._util.images import window

    levels, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if len(levels) < 2:
        return np.zeros(values.shape, np.uint8)
    ranks = np.cumsum(counts) - counts / 2
    return window(np.interp(np.nan_to_num(values, nan=levels[0]), levels, ranks), ranks[0], ranks[-1])


def _differs(view: NDArray[np.uint8], others: Iterable[NDArray[np.uint8]]) -> bool:
    """Whether a view is none of the others, nor a negative of one."""
    import numpy as np

    known = (
        np.asarray(grey, np.int16) for other in others if other.shape == view.shape for grey in (other, 255 - other)
    )
    return all(np.abs(grey - view).max() > ALIKE for grey in known)


def text_boxes(picture: NDArray[np.uint8], sure: float = SURE, least: int = 1) -> list[Rectangle]:
    """Where an 8-bit picture (rows, columns) or (rows, columns, 3) holds text of so many letters other than a side marker, and the recogniser is so ``sure``."""
    import numpy as np

    from medrag.corpora._ocr import written

    seen = np.repeat(picture[..., None], 3, 2) if picture.ndim == 2 else picture
    scale = 2 if max(seen.shape[:2]) < TILE else 1
    boxes = []
    for top, left, tile in _tiles(seen):
        for corners, text, chance in written(tile.repeat(scale, 0).repeat(scale, 1), faint=True):
            if chance >= sure and len(text.strip()) >= least and text.strip().upper() not in SIDES:
                xs, ys = [left + x / scale for x, _ in corners], [top + y / scale for _, y in corners]
                boxes.append((int(min(xs)), int(min(ys)), int(max(xs)) + 1, int(max(ys)) + 1))
    return boxes


def _tiles(picture: NDArray[np.uint8]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """(top, left, part) of a large picture, in which few words are overlooked; neighbours share LAP pixels, so that what one cuts the other has."""
    rows, columns = picture.shape[:2]
    for top in range(0, max(1, rows - LAP), TILE - LAP):
        for left in range(0, max(1, columns - LAP), TILE - LAP):
            yield top, left, picture[top : top + TILE, left : left + TILE]


def _put(data: Any, values: NDArray[Any]) -> None:
    """The pixels back into the data set, uncompressed, in the byte order of the rest."""
    from pydicom.pixels import pack_bits
    from pydicom.uid import ExplicitVRLittleEndian

    if values.ndim >= 3 and data.get("SamplesPerPixel", 1) == 3:
        data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
    tag = next(tag for tag in PIXELS if tag in data)
    if is_compressed(data):
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    little = data.file_meta.TransferSyntaxUID.is_little_endian
    ordered = values.astype(values.dtype.newbyteorder("<" if little else ">"), copy=False)
    data[tag].value = pack_bits(values.ravel()) if data.BitsAllocated == 1 else ordered.tobytes()
    data[tag].VR = VRS.get(tag) or ("OW" if values.dtype.itemsize > 1 else "OB")
    data[tag].is_undefined_length = False
