"""Figures that are drawn: what a finding looks like in principle, on a plain chest, fundus or tissue section.

Every drawing is in the orientation of a displayed radiograph: the patient's right is on the viewer's left.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from canvas import INK, WHITE, YELLOW, Canvas, Colour, Point, grey, smooth
from photographs import grid_of_greys

AIR, SOFT, HEART, BRIGHT = grey(0.13), grey(0.66), grey(0.86), grey(0.93)
RIGHT_LUNG = [
    (36, 8),
    (26, 14),
    (16, 34),
    (10, 60),
    (8, 85),
    (8, 85),
    (16, 77),
    (27, 73),
    (38, 77),
    (38, 77),
    (40, 62),
    (43, 44),
    (43, 26),
    (41, 12),
]
LEFT_LUNG = [
    (64, 8),
    (74, 14),
    (84, 34),
    (90, 60),
    (92, 86),
    (92, 86),
    (85, 79),
    (77, 77),
    (72, 79),
    (72, 79),
    (70, 68),
    (63, 53),
    (57, 45),
    (57, 26),
    (59, 12),
]
Place = Callable[[float, float], Point]


def place(x: float, y: float, size: float) -> Place:
    """From the drawing's own 0–100 square to the page."""
    return lambda u, v: (x + u * size / 100, y + v * size / 100)


def shape(at: Place, points: list[Point]) -> list[Point]:
    return [at(*point) for point in smooth(points)]


def thorax(
    canvas: Canvas, at: Place, right: list[Point] | None = None, left: list[Point] | None = None, trachea: float = 50
) -> None:
    """A frontal chest: soft tissue, two lungs, the heart between them, the trachea."""
    canvas.polygon(
        shape(at, [(30, 1), (70, 1), (95, 14), (98, 60), (97, 99), (97, 99), (3, 99), (3, 99), (2, 60), (5, 14)]),
        fill=SOFT,
    )
    canvas.polygon(
        shape(at, [(43, 4), (57, 4), (60, 40), (72, 60), (76, 84), (50, 90), (30, 84), (38, 62), (40, 40)]), fill=HEART
    )
    for lung in (right or RIGHT_LUNG, left or LEFT_LUNG):
        canvas.polygon(shape(at, lung), fill=AIR)
    canvas.stroke([at(50, 1), at(trachea, 16), at(50, 27)], grey(0.3), 3.2)
    for side, (x, y) in ((-1, (44, 34)), (1, (57, 34))):
        canvas.stroke([at(50, 27), at(x, y)], grey(0.3), 2)
        for dx, dy in ((9, -14), (13, 2), (10, 18)):
            canvas.stroke([at(x, y + 3), at(x + side * dx, y + dy + 4)], grey(0.42), 0.9)


def panel(canvas: Canvas, n: int, title: str, size: float = 155) -> Place:
    """The n-th drawing of a row of three, its title under it."""
    x = n * (size + 11)
    canvas.box(x, 0, x + size, size, fill=grey(0.02))
    canvas.text((x + size / 2, size + 12), title, 9, align="centre", bold=True)
    return place(x, 0, size)


def tag(canvas: Canvas, at: Place, tip: Point, label: Point, words: str, align: str = "centre") -> None:
    """A yellow word inside the drawing with a line to its place."""
    end = at(*label)
    canvas.stroke([(end[0], end[1] + 1.5 if tip[1] > label[1] else end[1] - 6), at(*tip)], YELLOW, 0.8)
    canvas.disc(at(*tip), 1.4, fill=YELLOW)
    longest = max(len(line) for line in words.split("\n")) * 3.75 + 4
    x = end[0] - {"left": 2, "centre": longest / 2, "right": longest - 2}[align]
    rows = words.count("\n")
    canvas.box(x, end[1] - 7, x + longest, end[1] + 2.5 + rows * 8.6, fill=INK)
    canvas.text(end, words, 7.5, YELLOW, align)


def densities() -> bytes:
    canvas = Canvas(420, 62)
    for n, (name, colour) in enumerate(grid_of_greys()):
        canvas.box(n * 84 + 2, 2, n * 84 + 82, 38, fill=colour, line=grey(0.4), width=0.5)
        canvas.text((n * 84 + 42, 48), name, 8, align="centre")
    return canvas.png()


def opacities() -> bytes:
    canvas = Canvas(487, 172)
    at = panel(canvas, 0, "Nodule: 3 cm or less")
    thorax(canvas, at)
    canvas.disc(at(76, 40), 3.3, fill=BRIGHT)
    tag(canvas, at, (77.5, 42), (78, 58), "1.2 cm")
    at = panel(canvas, 1, "Mass: more than 3 cm")
    thorax(canvas, at)
    canvas.disc(at(77, 42), 11, fill=BRIGHT)
    tag(canvas, at, (78, 46), (78, 66), "4 cm")
    at = panel(canvas, 2, "Consolidation")
    thorax(canvas, at)
    canvas.polygon(
        shape(at, [(12, 56), (24, 50), (38, 54), (41, 64), (38, 76), (27, 73), (16, 76), (10, 72)]),
        fill=BRIGHT,
        opacity=0.9,
    )
    for end in ((20, 70), (27, 72), (35, 70)):
        canvas.stroke([at(42, 48), at(31, 60), at(*end)], AIR, 1.4)
    tag(canvas, at, (29, 64), (29, 90), "air bronchogram")
    return canvas.png()


def collapse_fluid_air() -> bytes:
    canvas = Canvas(487, 172)
    at = panel(canvas, 0, "Atelectasis (right upper lobe)")
    raised = [(x, y - 5 if y > 70 else y) for x, y in RIGHT_LUNG]
    thorax(canvas, at, right=raised, trachea=46)
    canvas.polygon(
        shape(at, [(36, 8), (26, 14), (20, 25), (20, 25), (32, 22), (42, 30), (42, 30), (43, 20), (41, 12)]),
        fill=BRIGHT,
    )
    tag(canvas, at, (31, 22), (24, 46), "fissure\npulled up")
    tag(canvas, at, (47, 15), (64, 8), "trachea pulled over", "centre")
    at = panel(canvas, 1, "Pleural effusion (right)")
    thorax(canvas, at)
    canvas.polygon(
        shape(
            at,
            [
                (10.5, 54),
                (10.5, 54),
                (15, 63),
                (25, 68),
                (39, 67),
                (39, 67),
                (38, 80),
                (27, 84),
                (8, 86),
                (8, 86),
                (9, 66),
            ],
        ),
        fill=BRIGHT,
    )
    tag(canvas, at, (14, 61.5), (26, 48), "meniscus")
    tag(canvas, at, (9.5, 84), (30, 95), "angle filled")
    at = panel(canvas, 2, "Pneumothorax (left)")
    thorax(canvas, at)
    collapsed = [
        (62, 20),
        (71, 26),
        (77, 44),
        (79, 62),
        (77, 75),
        (77, 75),
        (73, 74),
        (70, 68),
        (63, 53),
        (57, 45),
        (57, 30),
    ]
    canvas.polygon(shape(at, LEFT_LUNG), fill=grey(0.02))
    canvas.polygon(shape(at, collapsed), fill=grey(0.27), line=WHITE, width=1)
    for dx, dy in ((7, -12), (12, 2), (10, 16)):
        canvas.stroke([at(59, 40), at(59 + dx, 42 + dy)], grey(0.55), 0.9)
    tag(canvas, at, (77.4, 46), (64, 92), "visceral pleural line")
    tag(canvas, at, (84, 50), (80, 8), "no lung markings")
    return canvas.png()


def oedema_emphysema_fibrosis() -> bytes:
    canvas = Canvas(487, 172)
    dice = random.Random(7)
    at = panel(canvas, 0, "Pulmonary oedema")
    wide = [(x, y) if y < 44 or x > 80 else (x + 5, y) for x, y in LEFT_LUNG]
    thorax(canvas, at, left=wide)
    for x, y, side in ((42, 42, -1), (61, 42, 1)):
        for ring in range(6):
            canvas.polygon(
                shape(
                    at,
                    [
                        (x, y - 13 + ring * 2),
                        (x + side * (14 - ring * 2), y - 5),
                        (x + side * (14 - ring * 2), y + 8),
                        (x, y + 14 - ring * 2),
                    ],
                ),
                fill=BRIGHT,
                opacity=0.2,
            )
    for n in range(5):
        canvas.stroke([at(9.5 + n * 0.1, 64 + n * 3), at(14, 64 + n * 3)], WHITE, 0.8)
        canvas.stroke([at(90.5, 64 + n * 3), at(86, 64 + n * 3)], WHITE, 0.8)
    tag(canvas, at, (12, 70), (26, 92), "Kerley B lines")
    tag(canvas, at, (68, 44), (76, 22), "perihilar haze")
    at = panel(canvas, 1, "Emphysema")
    flat_right = [
        (36, 5),
        (24, 10),
        (13, 32),
        (7, 60),
        (6, 89),
        (6, 89),
        (22, 88),
        (43, 90),
        (43, 90),
        (45, 70),
        (45, 44),
        (44, 26),
        (42, 10),
    ]
    flat_left = [(100 - x, y) if y < 60 else (100 - x + (1 if x > 40 else 0), y) for x, y in flat_right]
    thorax(canvas, at, right=flat_right, left=flat_left)
    for x, y, r in ((24, 22, 8), (76, 20, 7), (80, 32, 5)):
        canvas.disc(at(x, y), r, line=grey(0.6), width=0.5, fill=grey(0.05))
    tag(canvas, at, (76, 21), (72, 46), "bulla")
    tag(canvas, at, (25, 88.5), (30, 70), "flat diaphragm")
    at = panel(canvas, 2, "Fibrosis")
    small_right = [(x, y if y < 50 else 50 + (y - 50) * 0.72) for x, y in RIGHT_LUNG]
    small_left = [(x, y if y < 50 else 50 + (y - 50) * 0.72) for x, y in LEFT_LUNG]
    thorax(canvas, at, right=small_right, left=small_left)
    for base in (13, 76):
        for _ in range(46):
            u, v = base + dice.random() * 12, 50 + dice.random() * 15
            canvas.disc(at(u, v), 1 + dice.random() * 1.2, line=grey(0.75), width=0.5)
    tag(canvas, at, (20, 58), (32, 84), "reticular pattern,\nperiphery and bases")
    return canvas.png()


def cardiothoracic_ratio() -> bytes:
    canvas = Canvas(260, 196)
    at = place(35, 0, 190)
    canvas.box(35, 0, 225, 190, fill=grey(0.02))
    thorax(canvas, at)
    canvas.stroke([at(50, 4), at(50, 96)], WHITE, 0.7, "[3 2] 0")
    for x0, x1, y, words in ((38.3, 50, 72, "a"), (50, 70.6, 70, "b"), (8.6, 91.4, 84, "c")):
        canvas.stroke([at(x0, y), at(x1, y)], YELLOW if words != "c" else (0.4, 0.9, 1), 1.6)
        for x in (x0, x1):
            canvas.stroke([at(x, y - 2), at(x, y + 2)], YELLOW if words != "c" else (0.4, 0.9, 1), 1.6)
        canvas.text(at((x0 + x1) / 2 if words != "c" else 47, y - 2.5), words, 11, INK, "centre", bold=True)
    canvas.box(*at(52, 91.5), *at(97, 98.5), fill=INK)
    canvas.text(at(74.5, 96.5), "CTR = (a + b) / c", 9, YELLOW, "centre")
    return canvas.png()


def fundus_lesions() -> bytes:
    canvas = Canvas(487, 236)
    dice = random.Random(3)
    centre, radius = (243.0, 118.0), 112.0
    canvas.disc(centre, radius, fill=(0.83, 0.36, 0.22))
    canvas.disc((centre[0] + 62, centre[1] - 4), 17, fill=(0.97, 0.8, 0.5))
    canvas.disc((centre[0] + 62, centre[1] - 4), 7, fill=(1, 0.93, 0.75))
    canvas.disc((centre[0] - 8, centre[1] + 4), 15, fill=(0.7, 0.25, 0.16))
    for up in (-1, 1):
        for spread, colour, width in ((72, (0.55, 0.08, 0.08), 2.4), (60, (0.76, 0.16, 0.12), 1.6)):
            points = [
                (centre[0] + 62 - t * 135, centre[1] - 4 + up * spread * math.sin(min(t * 1.9, 1.5)))
                for t in (n / 14 for n in range(15))
            ]
            canvas.stroke(points, colour, width)

    def near(dx: float, dy: float) -> Point:
        return centre[0] + dx, centre[1] + dy

    red, yellow = (0.5, 0.03, 0.03), (1, 0.92, 0.45)
    for dx, dy in ((-46, -22), (-40, -34), (-30, -28), (-52, -34)):
        canvas.disc(near(dx, dy), 1.3, fill=red)
    for dx, dy in ((-62, 14), (-70, 22), (-58, 26)):
        canvas.disc(near(dx, dy), 3.4, fill=red)
    for n in range(6):
        canvas.stroke([near(22 + n * 2.2, -58 + n * 0.6), near(34 + n * 2.2, -50 + n * 0.6)], red, 1.3)
    for n in range(14):
        canvas.disc(near(-22 + 13 * math.cos(n * 0.45), 22 + 11 * math.sin(n * 0.45)), 1.7, fill=yellow)
    for dx, dy in ((34, 44), (39, 46), (36, 50), (43, 49)):
        canvas.disc(near(dx, dy), 5, fill=(0.98, 0.95, 0.88), opacity=0.55)
    for _ in range(16):
        canvas.disc(near(dice.uniform(-14, 6), dice.uniform(-24, -10)), dice.uniform(1, 2.2), fill=(0.96, 0.78, 0.42))
    for n in range(9):
        angle = n * 0.7
        canvas.stroke(
            [
                near(78, -22),
                near(78 + 12 * math.cos(angle), -24 + 10 * math.sin(angle)),
                near(80 + 13 * math.cos(angle + 0.5), -24 + 11 * math.sin(angle + 0.5)),
            ],
            (0.66, 0.05, 0.08),
            0.7,
        )
    for y, tip, words in ((40, near(-47, -32), "microaneurysms:\ntiny round red dots"), (96, near(-6, -18), "drusen: small pale yellow\nspots under the retina"),
                          (142, near(-62, 20), "dot and blot haemorrhages:\ndeep, round"), (196, near(-27, 33), "hard exudates: bright yellow,\nsharp edges, often a ring")):  # fmt: skip
        canvas.pointer((123, y), tip, words, "left", line=WHITE)
    for y, tip, words in ((30, near(32, -52), "flame haemorrhage:\nstreaks along nerve fibres"), (78, near(86, -26), "neovascularisation: a tuft\nof fine new vessels"),
                          (130, near(62, -4), "optic disc with cup"), (190, near(40, 48), "cotton-wool spot: white,\nfluffy edges")):  # fmt: skip
        canvas.pointer((364, y), tip, words, "right", line=WHITE)
    return canvas.png()


def cup_and_disc() -> bytes:
    canvas = Canvas(330, 128)
    for x, ratio, drop in ((80, 0.3, 0), (250, 0.8, 3)):
        canvas.disc((x, 52), 46, fill=(0.97, 0.74, 0.45), line=(0.7, 0.4, 0.2))
        canvas.disc((x, 52 + drop), 46 * ratio, fill=(1, 0.96, 0.82), line=(0.8, 0.6, 0.35))
        canvas.stroke([(x + 56, 6), (x + 56, 98)], INK, 0.9)
        canvas.stroke([(x - 56, 52 + drop - 46 * ratio), (x - 56, 52 + drop + 46 * ratio)], INK, 0.9)
        canvas.text((x + 60, 55), "disc", 8)
        canvas.text((x - 59, 55), "cup", 8, align="right")
        canvas.text((x, 118), f"cup-to-disc ratio {ratio}", 9, align="centre", bold=True)
    return canvas.png()


def cells(canvas: Canvas, x: float, body: Colour, core: Colour, rim: Colour, rim_width: float, gap: float = 0) -> None:
    """A sheet of nine cells; ``gap`` leaves part of each membrane unstained."""
    for n in range(9):
        u, v = x + 19 + n % 3 * 37, 19 + n // 3 * 34
        canvas.ellipse(u - 17, v - 15.5, u + 17, v + 15.5, fill=body, line=grey(0.75), width=0.5)
        sweep = [math.radians(a) for a in range(int(40 + gap * 360), 401, 10)]
        if rim_width:
            canvas.stroke([(u + 17 * math.cos(a), v + 15.5 * math.sin(a)) for a in sweep], rim, rim_width)
        canvas.ellipse(u - 8, v - 7, u + 8, v + 7, fill=core, line=grey(0.45), width=0.4)


BROWN, PALE_BROWN, BLUE, CLEAR = (0.45, 0.25, 0.08), (0.8, 0.62, 0.42), (0.48, 0.56, 0.8), (0.95, 0.95, 0.97)


def stain_patterns() -> bytes:
    canvas = Canvas(487, 128)
    rows: tuple[tuple[str, Colour, Colour, float], ...] = (
        ("H&E", (0.95, 0.7, 0.8), (0.36, 0.2, 0.52), 0), ("IHC, nuclear", CLEAR, BROWN, 0),
        ("IHC, cytoplasmic", (0.68, 0.46, 0.24), BLUE, 0), ("IHC, membranous", CLEAR, BLUE, 2.4))  # fmt: skip
    for n, (title, body, core, rim) in enumerate(rows):
        cells(canvas, n * 124, body, core, BROWN, rim)
        canvas.text((n * 124 + 56, 122), title, 9, align="centre", bold=True)
    return canvas.png()


def her2_scale() -> bytes:
    canvas = Canvas(487, 128)
    rows: tuple[tuple[str, Colour, float, float], ...] = (
        ("0", BROWN, 0, 0), ("1+: faint, incomplete", PALE_BROWN, 1, 0.5), ("2+: weak to moderate, complete", PALE_BROWN, 2, 0), ("3+: intense, complete", BROWN, 3.4, 0))  # fmt: skip
    for n, (title, rim, width, gap) in enumerate(rows):
        cells(canvas, n * 124, CLEAR, BLUE, rim, width, gap)
        canvas.text((n * 124 + 56, 121), title, 7.6, align="centre", bold=True)
    return canvas.png()
