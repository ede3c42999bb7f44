"""Trains the domain head of the router on frozen image embeddings.

    MEDRAG_DATA=/path/to/pack python pipelines/07_train_router.py medrag/presets/router-lite2.safetensors --work FOLDER

Hardware: 2 CPU cores, 3 GB of memory; about 15 minutes, nearly all for embedding 5,000 pictures once (kept in FOLDER; a run that
was cut off goes on; on a GPU where there is one, --device). The head itself is fitted on the CPU. Prints what was trained on and the operating point; `eval/benchmarks/router.py` measures.

A softmax over unit embeddings, trained on pictures as they are and as another source would hold them (cut, squashed, reduced,
recoloured, JPEG). What is not medical is learned from drawings, charts and photographs of the textbooks, two photographs of
scikit-learn and made textures (outlier exposure: Hendrycks et al., ICLR 2019); none of scikit-image's photographs is trained on.
Ultrasound is learned from six studies and from simulated scans (speckle as a convolution: Bamber & Dickinson, Phys Med Biol
1980). Temperature and threshold are fitted on predictions for groups of pictures that the predicting head was not trained on.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import math
import os
import random
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps
from safetensors.numpy import save_file
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from medrag._util.images import load_image
from medrag.corpora import realdata
from medrag.encoders import open_encoder
from medrag.settings import EncoderSettings
from medrag.tune import pack
from medrag.tune.device import NAMES
from medrag.tune.device import option as device_option
from medrag.types import Query, QueryImage

ENCODER = "efficientnet-lite2"
COPIES = {"dermoscopy": 6, "histology": 5, "blood-smear": 2, "fundus": 2}  # changed copies of a training picture
# folds; rows in a file; weight decay; means of a source; share of left-out medical pictures that the threshold lets pass
FOLDS, CHUNK, DECAY, MEANS, KEPT = 5, 64, 2e-5, 8, 0.998
RESTAINED = (101, 102)  # numbers of the copies of H&E in another stain
MADE = ("simulated", "texture")
FIXED = ("chest-xray", "fundus", "histology")  # domains whose registry pictures are never trained on


@dataclass(frozen=True, slots=True)
class Row:
    """A picture to embed. Pictures of one group are never on both sides of a measurement."""

    domain: str
    source: str
    group: str
    part: str  # train; held: same source, not trained on; elsewhere: a source that nothing was trained on; photograph
    copy: int = 0  # 0: as it is
    make: Callable[[], Image.Image] = field(default=Image.Image, repr=False, compare=False)


def changed(image: Image.Image, seed: str, wild: bool = False) -> Image.Image:
    """The picture as another source would hold it. ``wild``: also grey, smeared, black-and-white, or a small part of it."""
    chance = random.Random(seed)
    image = image.convert("RGB")
    if wild and chance.random() < 0.6:
        image = image.convert("L").convert("RGB")
    if wild and chance.random() < 0.1:
        image = Image.fromarray(ndimage.uniform_filter1d(np.asarray(image), chance.choice((7, 13)), axis=1))
    if wild and chance.random() < 0.1:
        level = chance.randint(60, 190)
        image = image.convert("L").point(lambda value: 255 * (value > level)).convert("RGB")
    width, height = image.size
    least = 0.2 if wild else 0.65
    across, down = (max(24, int(side * chance.uniform(least, 1))) for side in (width, height))
    left, top = chance.randint(0, max(0, width - across)), chance.randint(0, max(0, height - down))
    image = image.crop((left, top, min(width, left + across), min(height, top + down)))
    if chance.random() < 0.5:
        image = image.resize((max(8, int(image.width * chance.uniform(0.75, 1.33))), image.height))
    if chance.random() < 0.07 and np.asarray(image).std(axis=2).mean() < 2:
        image = ImageOps.invert(image)  # a film the other way round
    image = ImageOps.mirror(image) if chance.random() < 0.5 else image
    image = image.rotate(chance.uniform(-15, 15)) if chance.random() < 0.3 else image
    side = chance.choice((28, 48, 64, 96, 128, 192, 260, 400))
    image.thumbnail((side, side))
    if chance.random() < 0.6:
        image = ImageEnhance.Contrast(image).enhance(chance.uniform(0.6, 1.6))
        image = ImageEnhance.Brightness(image).enhance(chance.uniform(0.7, 1.4))
    if chance.random() < 0.6 and np.asarray(image).std(axis=2).mean() > 2:
        image = ImageEnhance.Color(image).enhance(chance.uniform(0.4, 1.7))
        tint = np.asarray(image) * np.array([chance.uniform(0.85, 1.15) for _ in range(3)])
        image = Image.fromarray(tint.clip(0, 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(chance.uniform(0.3, 1.5))) if chance.random() < 0.25 else image
    if chance.random() < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=chance.randint(30, 95))
        image = Image.open(buffer).convert("RGB")
    if chance.random() < 0.2:
        border = tuple(int(length * chance.uniform(0, 0.2)) for length in image.size)
        image = ImageOps.expand(image, (*border, *border), chance.choice(((0, 0, 0), (255, 255, 255))))
    return image


def restained(make: Callable[[], Image.Image], seed: str) -> Image.Image:
    """H&E as immunohistochemistry: eosin's part drawn in DAB's brown (Ruifrok & Johnston, Anal Quant Cytol Histol 2001)."""
    from skimage.color import hed2rgb, rgb2hed

    chance, image = random.Random(seed), make()
    image.thumbnail((512, 512))
    stains = rgb2hed(np.asarray(image.convert("RGB")))
    nuclei, brown = stains[..., 0] * chance.uniform(0.5, 1.2), stains[..., 1] * chance.uniform(0.5, 2)
    drawn = hed2rgb(np.stack([nuclei, np.zeros_like(nuclei), brown], axis=2))
    return changed(Image.fromarray((drawn.clip(0, 1) * 255).astype(np.uint8)), seed)


def texture(seed: int, side: int = 256) -> Image.Image:
    """Noise of any slope, blots, stripes, squares, dots or a gradient, grey or in two colours; every eighth a page of text."""
    noise, (down, across) = np.random.default_rng(seed), np.mgrid[:side, :side]
    if seed % 8 == 0:
        return page(random.Random(seed))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) + 1 / side
    rough = np.real(np.fft.ifft2(np.fft.fft2(noise.normal(size=(side, side))) / frequency ** noise.uniform(0, 2)))
    rough = (rough - rough.min()) / np.ptp(rough)
    angle, size = noise.uniform(0, math.pi), int(noise.integers(8, 64))
    along = across * math.cos(angle) + down * math.sin(angle)
    values = (
        rough, (rough > 0.5) * 1.0, (np.sin(along * 6 / size) + 1) / 2, (across // size + down // size) % 2 * 0.9,
        (noise.random((side, side)) > 1 - 1 / size**1.5) * noise.random((side, side)), along / along.max(), rough,
    )[seed % 8 - 1]  # fmt: skip
    ends = noise.integers(0, 256, (2, 3)) if noise.random() < 0.4 else np.array([[0] * 3, [255] * 3])
    return Image.fromarray((ends[0] + (ends[1] - ends[0]) * values.clip(0, 1)[..., None]).astype(np.uint8))


def page(chance: random.Random) -> Image.Image:
    """A page of words on paper, unevenly lit."""
    words, size = (
        "sphinx of black quartz judge my vow pack boxes with five dozen liquor jugs".split(),
        chance.randint(9, 34),
    )
    paper = Image.new("L", chance.choice(((448, 172), (384, 191), (300, 400))), chance.randint(150, 255))
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(size)
    for top in range(4, paper.height, int(size * 1.4)):
        pen.text((6, top), " ".join(chance.choices(words, k=12)), fill=chance.randint(0, 90), font=font)
    light = np.linspace(1, chance.uniform(0.5, 1), paper.width)
    return Image.fromarray((np.asarray(paper) * light).astype(np.uint8)).rotate(chance.uniform(-6, 6), fillcolor=200)


def sonogram(seed: int, rows: int = 256, columns: int = 192) -> Image.Image:
    """A simulated B-mode scan: tissue with cysts and fasciae, speckle, log compression; in a linear, sector or curved frame."""
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    depth, across = np.mgrid[:rows, :columns]
    tissue = ndimage.gaussian_filter(noise.normal(size=(rows, columns)), (chance.uniform(4, 14), chance.uniform(8, 30)))
    level = 10 ** (tissue / tissue.std() * chance.uniform(0.15, 0.4))
    for _ in range(chance.randint(1, 7)):  # cysts, vessels and masses
        turn, a, b = chance.uniform(0, 3.1), chance.uniform(8, 70), chance.uniform(6, 60)
        x, z = across - chance.randint(0, columns), depth - chance.randint(10, rows)
        q = ((x * math.cos(turn) + z * math.sin(turn)) / a) ** 2 + ((z * math.cos(turn) - x * math.sin(turn)) / b) ** 2
        level = level * np.where(q < 1, chance.choice((0.01, 0.03, 0.1, 0.25, 2.5, 4)), 1) * np.where((q >= 1) & (q < 1.15), chance.uniform(1, 5), 1)  # fmt: skip
    for _ in range(chance.randint(0, 10)):  # fasciae
        line = chance.uniform(5, rows) + (across - columns / 2) * chance.uniform(-0.25, 0.25)
        line = line + chance.uniform(0, 12) * np.sin(across / chance.uniform(15, 60))
        level = level * (1 + chance.uniform(2, 12) * np.exp(-(((depth - line) / chance.uniform(0.8, 2.5)) ** 2)))
    echoes = (noise.normal(size=(rows, columns)) + 1j * noise.normal(size=(rows, columns))) * level
    near, far = (np.abs(ndimage.gaussian_filter(echoes, (0.8, width))) for width in (chance.uniform(0.7, 1.3), chance.uniform(1.8, 3.5)))  # fmt: skip
    part = depth / rows
    envelope = (near / near.mean() * (1 - part) + far / far.mean() * part) * 10 ** (-chance.uniform(0, 1.1) * part)
    grey = (20 * np.log10(envelope / np.percentile(envelope, 99.7) + 1e-6) / chance.uniform(35, 65) + 1).clip(0, 1)
    colours = np.repeat(grey[..., None] * 255, 3, axis=2)
    if chance.random() < 0.25:  # Doppler in a box
        flow = ndimage.gaussian_filter(noise.normal(size=(rows, columns)), chance.uniform(5, 10))
        box = (abs(depth - chance.randint(60, 200)) < 45) & (abs(across - chance.randint(50, 140)) < 40)
        colours[box & (flow > flow.std() * 0.8)], colours[box & (flow < -flow.std() * 0.8)] = chance.choice((((230, 60, 20), (30, 60, 230)), ((250, 140, 20),) * 2))  # fmt: skip
    return screen(framed(colours, chance), chance)


def framed(colours: np.ndarray, chance: random.Random, side: int = 320) -> Image.Image:
    """Scan conversion: (depth, line, 3) to a square picture."""
    rows, columns, _ = colours.shape
    y, x = np.mgrid[:side, :side] / side
    kind = chance.choice(("linear", "linear", "sector", "curved"))
    if kind == "linear":
        edge = chance.choice((0, 0, 0.1, 0.2))
        deep, line = y, (x - edge) / (1 - 2 * edge)
    else:
        half, start = chance.uniform(0.45, 0.85), 0.02 if kind == "sector" else chance.uniform(0.25, 0.6)
        apex = 0.05 - start * math.cos(half) * 0.9
        radius, angle = np.hypot(x - 0.5, y - apex), np.arctan2(x - 0.5, y - apex)
        deep, line = (radius - start * 0.9) / (0.97 - apex - start * 0.9), (angle / half + 1) / 2
    inside = (deep >= 0) & (deep < 1) & (line >= 0) & (line < 1)
    found = colours[(deep * rows).clip(0, rows - 1).astype(int), (line * columns).clip(0, columns - 1).astype(int)]
    return Image.fromarray((found * inside[..., None]).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))


def screen(scan: Image.Image, chance: random.Random) -> Image.Image:
    """The scan on the screen of a machine with its words and scales, or alone."""
    if chance.random() < 0.35:
        return scan
    wide = Image.new(
        "RGB", (int(scan.width * chance.uniform(1, 1.5)), scan.height), (chance.choice((0, 0, 0, 40)),) * 3
    )
    wide.paste(scan, ((wide.width - scan.width) // 2, 0))
    pen, ink = ImageDraw.Draw(wide), chance.choice(((255, 255, 255), (190, 190, 190), (120, 220, 120), (230, 210, 80)))
    for _ in range(chance.randint(2, 12)):
        words = chance.choice(
            ("MI 1.1", "TIS 0.4", "22 Hz", "12 cm", "Gn 60", "DR 70", "2D", f"{chance.uniform(0, 9):.2f} cm")
        )
        pen.text(
            (chance.choice((3, wide.width - 60)), chance.randint(0, 300)),
            words,
            fill=ink,
            font=ImageFont.load_default(10),
        )
    for n in range(10):
        pen.line((wide.width - 8, 32 * n, wide.width - 3, 32 * n), fill=ink)
    return wide


def opened(path: Path, frame: int = 0) -> Image.Image:
    return load_image(path, frame=frame, max_side=1024).image


def rows(data: Path) -> list[Row]:
    """Every picture that is trained on or measured."""
    found: list[Row] = []

    def add(domain: str, source: str, group: str, part: str, make: Callable[[], Image.Image], copies: int, wild: bool = False) -> None:  # fmt: skip
        found.append(Row(domain, source, group, part, 0, make))
        for copy in range(1, copies + 1) if part == "train" else ():
            seed = f"{source}/{group}/{copy}"
            found.append(Row(domain, source, group, part, copy, lambda seed=seed: changed(make(), seed, wild)))

    for e in pack.others(data):
        source, copies = str(e.path.parent), COPIES.get(e.domain, 1)
        if source.startswith(str(data)) and "vqa_rad" not in source:  # the others follow
            add(e.domain, source[len(str(data)) + 1 :], e.path.name, "held" if e.held else "train", functools.partial(opened, e.path), copies)  # fmt: skip
    for e in pack.vqa_rad_said(data):
        add(e.domain, "vqa_rad", e.path.name, "held" if e.held else "train", functools.partial(opened, e.path), 4)
    for split, step, part in (("train", 16, "train"), ("val", 2, "held")):
        for study in [study for study in realdata.studies(data, split) if study.images][::step]:
            for path, _ in study.images[: 2 if part == "train" else 1]:
                add("chest-xray", "iu_xray", study.uid, part, functools.partial(opened, path), 1)
    for scan in pack.registry():
        part = "elsewhere" if scan.domain in FIXED or "skimage" in scan.path.parts else "train"
        add(scan.domain, "registry", scan.study, part, functools.partial(opened, scan.path, scan.frame), 1 if scan.frame else 4)  # fmt: skip
    for n, (figure, domain, held) in enumerate(pack.figures_by_domain(data)):
        figure.thumbnail((768, 768))
        add(domain, "textbook", f"figure {n}", "held" if held else "train", figure.copy, int(domain == "other"), wild=True)  # fmt: skip
    for path in pack.everyday():
        add("other", "everyday", path.name, "train", functools.partial(opened, path), 24, wild=True)
    found += [Row("ultrasound", "simulated", f"{n}", "train", 1, functools.partial(sonogram, n)) for n in range(160)]
    found += [Row("other", "texture", f"{n}", "train", 1, functools.partial(texture, n)) for n in range(200)]
    tissue = [row for row in found if (row.domain, row.part, row.copy) == ("histology", "train", 0) and row.source != "textbook"]  # fmt: skip
    found += [Row(row.domain, f"{row.source} in another stain", row.group, "train", copy, functools.partial(restained, row.make, f"{row.group}/{copy}")) for row in tissue for copy in RESTAINED]  # fmt: skip
    for path in pack.photographs():
        add("other", "scikit-image", path.name, "photograph", functools.partial(opened, path), 0)
    return found


def features(data: Path, work: Path, encoder_name: str = ENCODER, device: str = "auto") -> tuple[list[Row], np.ndarray]:
    """The rows with their (n, d) unit embeddings. ``work`` keeps them, so that what was embedded once is not again."""
    whole = work / "all.npz"
    if whole.exists():
        kept = np.load(whole)
        return [Row(*names, int(copy)) for *names, copy in kept["rows"].tolist()], kept["vectors"]
    found, encoder = rows(data), open_encoder(EncoderSettings(model=encoder_name, device=device))
    work.mkdir(parents=True, exist_ok=True)
    names = np.array([[row.domain, row.source, row.group, row.part, str(row.copy)] for row in found])
    blocks = [block(encoder, found[n : n + CHUNK], names[n : n + CHUNK], work / f"{n:06d}.npz") for n in range(0, len(found), CHUNK)]  # fmt: skip
    np.savez(whole, rows=names, vectors=np.concatenate(blocks))
    return found, np.concatenate(blocks)


def block(encoder: Any, found: list[Row], names: np.ndarray, kept: Path) -> np.ndarray:
    """(n, d) of a few rows, from the file where it holds these."""
    if not (kept.exists() and np.array_equal(np.load(kept)["names"], names)):
        vectors = encoder.encode_queries([Query("", (QueryImage(row.make()),)) for row in found])
        np.savez(kept, names=names, block=vectors)
    return np.load(kept)["block"]  # type: ignore[no-any-return]


def fit(x: np.ndarray, y: np.ndarray, found: list[Row], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(classes, d) weights and (classes,) biases of a softmax; classes count alike, and so do the sources of a class by √n."""
    counts = Counter((row.domain, row.source) for row in found)
    each = np.array([counts[row.domain, row.source] ** -0.5 for row in found])
    each /= np.bincount(y, each, minlength=classes)[y]
    middle, spread = x.mean(0), x.std(0) + 1e-3
    inputs, truth, weight = torch.from_numpy((x - middle) / spread).float(), torch.from_numpy(y), torch.from_numpy(each).float()  # fmt: skip
    model = torch.nn.Linear(x.shape[1], classes)
    torch.nn.init.zeros_(model.weight)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=120, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        wrong = torch.nn.functional.cross_entropy(model(inputs), truth, reduction="none")
        value = (wrong * weight).sum() / classes + DECAY * len(spread) * model.weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    weights = model.weight.detach().numpy() / spread
    return weights, model.bias.detach().numpy() - weights @ middle


def folds(found: list[Row]) -> np.ndarray:
    """(n,) in 0 … FOLDS − 1: the same for all pictures of a group."""
    return np.array([zlib.crc32(row.group.encode()) % FOLDS for row in found])


def left_out(x: np.ndarray, y: np.ndarray, found: list[Row], classes: int) -> np.ndarray:
    """(n, classes + 1) logits and similarity to the nearest centroid, by heads that saw nothing of the picture's group."""
    values, fold = np.zeros((len(found), classes + 1), dtype=np.float32), folds(found)
    for n in range(FOLDS):
        seen = fold != n
        kept = [row for row, one in zip(found, seen, strict=True) if one]
        weight, bias = fit(x[seen], y[seen], kept, classes)
        values[~seen, :-1] = x[~seen] @ weight.T + bias
        values[~seen, -1] = (x[~seen] @ centroids(x[seen], kept).T).max(1)
    return values


def centroids(x: np.ndarray, found: list[Row]) -> np.ndarray:
    """(m, d) unit vectors: up to MEANS means of each source of the named domains (k-means)."""
    names, means = np.array([f"{row.domain}/{row.source}" for row in found]), []
    for name in sorted(set(names.tolist())):
        if not name.startswith("other/"):
            mine = x[names == name]
            means.append(kmeans2(mine, max(1, min(MEANS, len(mine) // 15)), seed=0, minit="++")[0])
    stacked = np.concatenate(means)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)  # type: ignore[no-any-return]


def main(target: Path, data: Path, work: Path, encoder_name: str = ENCODER, device: str = "auto") -> dict[str, Any]:
    """Embeds, fits, sets temperature and threshold, writes; returns what to print."""
    found, x = features(data, work, encoder_name, device)
    mine = np.array([row.part == "train" for row in found])
    kept, x = [row for row, one in zip(found, mine, strict=True) if one], x[mine]
    labels = sorted({row.domain for row in kept})
    y = np.array([labels.index(row.domain) for row in kept])
    values = left_out(x, y, kept, len(labels))
    np.save(work / "left_out.npy", values)
    plain = np.array([row.copy == 0 for row in kept])
    temperature = cooled(values[plain, :-1], y[plain])
    known = plain & (y != labels.index("other"))
    threshold = float(np.quantile(values[known, -1], 1 - KEPT))
    weight, bias = fit(x, y, kept, len(labels))
    tensors = {"weight": weight / temperature, "bias": bias / temperature, "centroids": centroids(x, kept)}
    half = {name: value.astype(np.float16) for name, value in tensors.items()}
    save_file({**half, "threshold": np.array([threshold], dtype=np.float32)}, target, metadata={"labels": ",".join(labels), "encoder": encoder_name})  # fmt: skip
    return {
        "trained on": {"/".join(key): n for key, n in sorted(Counter((row.domain, row.source) for row in kept if row.copy == 0 or row.source in MADE).items())},
        "pictures and changed copies": len(kept),
        "left out by group": {"accuracy": round(float((values[plain, :-1].argmax(1) == y[plain]).mean()), 4), "medical pictures over the threshold": KEPT},
        "temperature": round(temperature, 3),
        "threshold": round(threshold, 4),
    }  # fmt: skip


def cooled(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the least log loss (Guo et al., ICML 2017)."""

    def loss(log: float) -> float:
        scaled = logits / math.exp(log)
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(y)), y]).mean())

    return math.exp(float(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where the embeddings are kept")
    parser.add_argument(
        "--encoder", default=ENCODER, help="whose embeddings the head is trained on; each has its own --work"
    )
    parser.add_argument(
        "--device", type=device_option, default="auto", help=f"where the pictures are embedded: {NAMES}"
    )
    options = parser.parse_args()
    print(
        json.dumps(
            main(options.target, Path(os.environ["MEDRAG_DATA"]), options.work, options.encoder, options.device),
            indent=1,
        )
    )
