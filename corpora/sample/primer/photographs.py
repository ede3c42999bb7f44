"""Figures made from the registry images: labelled and windowed, never diagnosed.

The labels name anatomy, stain and technique at places that were checked by eye. What the three images show beyond
that is left to the reader, because medrag's demonstration asks about them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from canvas import INK, WHITE, YELLOW, Canvas, grey
from PIL import Image

from medrag._util.fetch import package_file

DICOM = "pydicom-data/data_store/data/"


def stored(name: str) -> Any:
    """The stored values of the first frame of a DICOM file, as floats (rows, columns)."""
    return pydicom.dcmread(package_file(DICOM + name)).pixel_array.astype(float)


def windowed(values: Any, level: float, width: float) -> Any:
    """Values mapped to 0–255: black at ``level - width/2``, white at ``level + width/2``."""
    return np.clip((values - level + width / 2) / width, 0, 1) * 255


def stretched(values: Any, low: float = 0.5, high: float = 99.5) -> Any:
    """Values mapped to 0–255 between two percentiles."""
    a, b = np.percentile(values, [low, high])
    return np.clip((values - a) / (b - a), 0, 1) * 255


def shrunk(pixels: Any, size: int) -> Any:
    """The same picture with its longer side at ``size`` pixels."""
    image = Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def chest() -> Any:
    """The chest radiograph as it is displayed: air dark, bone light."""
    return 255 - stretched(stored("RG1_UNCR.dcm"))


def labelled_chest() -> bytes:
    canvas = Canvas(487, 330)
    scale, left, top = 318 / 1955, 94, 6
    canvas.picture(shrunk(chest(), 900), left, top, 1841 * scale, 318)
    right = left + 1841 * scale

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * scale, top + y * scale

    for y, tip, words in (
        (50, (893, 335), "trachea (air column\nover the spine)"), (84, (520, 395), "right clavicle"),
        (122, (655, 760), "right hilum"), (160, (718, 1005), "right heart border\n(right atrium)"),
        (222, (400, 1400), "right hemidiaphragm\n(over the liver)"), (264, (122, 1555), "right costophrenic\nangle"),
        (306, (330, 1910), "lower edge of the\nbreast shadow"),
    ):  # fmt: skip
        canvas.pointer((left - 3, y), at(*tip), words, "left")
    for y, tip, words in (
        (62, (1235, 405), "left clavicle"), (100, (1062, 575), "aortic knob"), (130, (1130, 755), "left hilum"),
        (172, (1330, 1195), "left heart border\n(left ventricle)"), (214, (1500, 1452), "left hemidiaphragm"),
        (262, (1670, 1585), "left costophrenic\nangle"), (306, (1380, 1600), "gas in stomach\nand colon"),
    ):  # fmt: skip
        canvas.pointer((right + 3, y), at(*tip), words, "right")
    canvas.text((left + 5, top + 16), "R", 11, YELLOW, bold=True)
    canvas.text((right - 14, top + 16), "L", 11, YELLOW, bold=True)
    return canvas.jpg()


def lung_zones() -> bytes:
    canvas = Canvas(250, 268)
    scale = 250 / 1841
    canvas.picture(shrunk(chest(), 800), 0, 0, 250, 1955 * scale)
    for y in (570, 990):
        canvas.stroke([(150 * scale, y * scale), (1700 * scale, y * scale)], YELLOW, 1.1, "[4 3] 0")
    for y, words in ((420, "upper zone"), (800, "middle zone"), (1230, "lower zone")):
        canvas.box(98, y * scale - 9, 152, y * scale + 3, fill=INK)
        canvas.text((125, y * scale), words, 9, YELLOW, "centre")
    return canvas.jpg()


def row(pictures: list[Any], titles: list[str], width: float = 487, gap: float = 8) -> bytes:
    """Pictures of one shape side by side, a title under each."""
    each = (width - gap * (len(pictures) - 1)) / len(pictures)
    high = each * pictures[0].shape[0] / pictures[0].shape[1]
    canvas = Canvas(width, high + 16)
    for n, (pixels, title) in enumerate(zip(pictures, titles, strict=True)):
        x = n * (each + gap)
        canvas.picture(shrunk(pixels, 520), x, 0, each, high)
        canvas.text((x + each / 2, high + 11), title, 8.5, align="centre")
    return canvas.jpg()


def monochrome() -> bytes:
    values = stretched(stored("RG1_UNCR.dcm"))
    return row(
        [values, 255 - values],
        ["shown as MONOCHROME2: wrong, air is white", "shown as MONOCHROME1: right, air is black"],
        400,
    )


def chest_windows() -> bytes:
    values = stored("RG1_UNCR.dcm")
    pairs = ((15000, 30000), (14000, 17000), (4000, 5500))
    return row([255 - windowed(values, *pair) for pair in pairs], [f"centre {c:,}, width {w:,}" for c, w in pairs])


def ct_windows() -> bytes:
    upright = stored("explicit_VR-UN.dcm")[::-1][110:410, 75:445]
    pairs = (("soft tissue", 40, 400), ("lung", -600, 1500), ("bone", 400, 1800))
    return row(
        [windowed(upright, c, w) for _, c, w in pairs], [f"{name}: level {c}, width {w}" for name, c, w in pairs]
    )


def bone() -> bytes:
    canvas = Canvas(330, 262)
    pixels = windowed(1023 - stored("RG3_UNCR.dcm"), 512, 900)[:, 400:1300]
    scale, left = 262 / 1760, 105
    canvas.picture(shrunk(pixels, 800), left, 0, 900 * scale, 262)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (x - 400) * scale, y * scale

    for y, tip, words in ((40, (805, 300), "cortex of the tibia\n(white, dense)"), (80, (860, 420), "marrow cavity"),
                          (122, (720, 560), "soft tissue of the calf"), (164, (850, 1110), "non-ossifying fibroma\n(as the file says)"),
                          (204, (790, 1310), "distal tibia"), (240, (850, 1500), "talus")):  # fmt: skip
        canvas.pointer((left - 3, y), at(*tip), words, "left")
    for y, tip, words in ((60, (1010, 450), "fibula"), (176, (960, 1480), "lateral malleolus"),
                          (222, (1180, 1435), "marker R, mirrored:\nthe picture is flipped")):  # fmt: skip
        canvas.pointer((left + 900 * scale + 3, y), at(*tip), words, "right")
    return canvas.jpg()


def mr_and_ultrasound() -> bytes:
    shoulder = stretched(stored("MR2_UNCR.dcm"), 1, 98.5)[130:930, 100:900]
    abdomen = windowed(stored("MR-SIEMENS-DICOM-WithOverlays.dcm"), 450, 790)[60:440, 52:432]
    node = pydicom.dcmread(package_file(DICOM + "US1_UNCR.dcm")).pixel_array[112:337, 72:572]
    square = np.zeros((500, 500, 3))
    square[137:362] = node
    return row(
        [shoulder, abdomen, square],
        [
            "MR, shoulder (T1, coronal oblique)",
            "MR, abdomen (T1 fat-sat, contrast)",
            "Ultrasound, lymph node (power Doppler)",
        ],
    )


def fundus() -> Any:
    return np.asarray(Image.open(package_file("scikit-image/skimage/data/retina.jpg")))


def labelled_fundus() -> bytes:
    canvas = Canvas(487, 290)
    scale, left = 290 / 1411, 98
    canvas.picture(shrunk(fundus(), 900), left, 0, 290, 290)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * scale, y * scale

    for y, tip, words in ((40, (372, 385), "superior temporal\nvenule (darker, wider)"), (88, (140, 335), "nasal vessels"),
                          (128, (160, 625), "optic disc"), (166, (245, 640), "optic cup (pale\ncentre of the disc)"),
                          (226, (300, 1085), "inferior temporal\nvenule")):  # fmt: skip
        canvas.pointer((left - 3, y), at(*tip), words, "left", line=WHITE)
    for y, tip, words in ((36, (750, 153), "superior temporal\narteriole (lighter,\nnarrower)"), (96, (710, 698), "fovea (centre of\nthe macula)"),
                          (146, (905, 800), "macula"), (196, (578, 850), "fine twigs toward\nthe macula"),
                          (256, (480, 1155), "inferior temporal\narteriole")):  # fmt: skip
        canvas.pointer((left + 293, y), at(*tip), words, "right", line=WHITE)
    return canvas.jpg()


def ihc() -> Any:
    return np.asarray(Image.open(package_file("scikit-image/skimage/data/ihc.png")).convert("RGB"))


def labelled_ihc() -> bytes:
    canvas = Canvas(487, 262)
    scale, left = 262 / 512, 112
    canvas.picture(ihc(), left, 0, 262, 262)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * scale, y * scale

    for y, tip, words in ((40, (150, 110), "brown: DAB where the\nantibody has bound"), (100, (28, 190), "glandular epithelium"),
                          (160, (110, 358), "nucleus inside the\nepithelium, blue"), (226, (180, 430), "stroma without brown")):  # fmt: skip
        canvas.pointer((left - 3, y), at(*tip), words, "left", line=WHITE)
    for y, tip, words in ((46, (357, 165), "lumen of a gland"), (100, (492, 268), "blue: haematoxylin in\na stromal nucleus"),
                          (160, (296, 294), "blue: more stromal\nnuclei"), (218, (322, 400), "brown lines along the\ncell borders")):  # fmt: skip
        canvas.pointer((left + 265, y), at(*tip), words, "right", line=INK)
    return canvas.jpg()


def magnification() -> bytes:
    whole = ihc()
    views = [whole, whole[256:512, 192:448], whole[312:440, 256:384]]
    large = [np.asarray(Image.fromarray(view).resize((512, 512), Image.Resampling.LANCZOS)) for view in views]
    return row(large, ["the whole field", "2 times closer", "4 times closer"])


def grid_of_greys() -> list[tuple[str, tuple[float, float, float]]]:
    """The five radiographic densities from black to white."""
    return [
        ("air", grey(0.03)),
        ("fat", grey(0.3)),
        ("water and\nsoft tissue", grey(0.55)),
        ("bone", grey(0.82)),
        ("metal", grey(1.0)),
    ]
