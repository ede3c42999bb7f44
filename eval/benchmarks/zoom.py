"""Does searching with a zoomed region find the right kind better than the whole image? Blood smears with boxed cells.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/zoom.py

Of each smear one box of each kind (white cell, red cell, platelet) is drawn with the seed. The gallery holds those crops; a question about a cell is
asked once with the whole smear and once with the crop that `medrag.agent.desk.Desk.crop` cuts out, as the search loop's tool ``zoom`` does; crops of
the same smear are never found. The rank is that of the first crop of the right kind. Writes ``eval/results/zoom.json``; paired bootstrap over smears.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from defusedxml.ElementTree import parse as parse_xml
from PIL import Image

from medrag._util.files import write_json
from medrag._util.images import load_image
from medrag._util.places import share
from medrag.encoders import open_encoder
from medrag.settings import EncoderSettings
from medrag.types import Query

KINDS = ("WBC", "RBC", "Platelets")
LEAST = 32  # pixels a side that a region is widened to: the desk's least crop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="medrag-small", help="an image encoder")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "zoom.json")
    options = parser.parse_args()
    smears, crops = cells(Path(os.environ["MEDRAG_DATA"]) / "open/pathology", options.seed)
    encoder: Any = open_encoder(EncoderSettings(model=options.model))  # type: ignore[call-arg]
    names = sorted(smears)
    whole = dict(zip(names, vectors(encoder, [smears[name] for name in names]), strict=True))
    owners = [name for name, _, _ in crops]
    kinds = np.array([kind for _, kind, _ in crops])
    gallery = vectors(encoder, [crop for _, _, crop in crops])
    rows = {how: np.array([rank(n, owners, kinds, gallery, whole if how == "whole" else None) for n in range(len(crops))]) for how in ("whole", "zoomed")}  # fmt: skip
    found: dict[str, Any] = {
        "model": options.model,
        "smears": len(names),
        "questions": len(crops),
        "seed": options.seed,
    }
    for kind in ("all", *KINDS):
        of = np.ones(len(kinds), bool) if kind == "all" else kinds == kind
        found[kind] = compared(rows["whole"][of], rows["zoomed"][of], [owners[n] for n in np.flatnonzero(of)], options)
    found["chance_first"] = round(float(np.mean([(kinds == kind).mean() for kind in kinds])), 3)
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def cells(root: Path, seed: int) -> tuple[dict[str, Image.Image], list[tuple[str, str, Image.Image]]]:
    """Smears by name, and of each one (name, kind, crop) for each kind that it shows."""
    draw, smears, crops = random.Random(seed), {}, []
    for path in sorted((root / "blood_smear").glob("*.jpg")):
        picture = load_image(path).image
        boxes: dict[str, list[tuple[int, ...]]] = {}
        marked = parse_xml(root / "blood_smear_boxes" / f"{path.stem}.xml")
        scale = picture.width / int(marked.findtext("size/width"))  # the pictures may have been made smaller
        for one in marked.iter("object"):
            corners = tuple(round(scale * int(one.findtext(f"bndbox/{s}"))) for s in ("xmin", "ymin", "xmax", "ymax"))
            boxes.setdefault(one.findtext("name"), []).append(corners)
        smears[path.stem] = picture
        crops += [(path.stem, kind, cut(picture, draw.choice(boxes[kind]))) for kind in KINDS if boxes.get(kind)]
    return smears, crops


def cut(picture: Image.Image, box: tuple[int, ...]) -> Image.Image:
    """The region through the desk's own crop, at least `LEAST` pixels a side."""
    from types import SimpleNamespace

    from medrag.agent.desk import Desk

    (x0, y0, x1, y1), (width, height) = box, picture.size
    x0, x1 = widened(x0, x1, width)
    y0, y1 = widened(y0, y1, height)
    desk: Any = SimpleNamespace(pick=lambda image: (load_image(picture),))
    return Desk.crop(desk, 0, (x0 / width, y0 / height, x1 / width, y1 / height)).image


def widened(low: int, high: int, most: int) -> tuple[int, int]:
    more = max(0, LEAST - (high - low))
    low = max(0, low - (more + 1) // 2)
    return low, min(most, max(high, low + LEAST, high + more // 2))


def vectors(encoder: Any, pictures: list[Image.Image]) -> np.ndarray:
    """(n, d) unit vectors of pictures as a question's images are encoded."""
    parts = [pictures[n : n + 16] for n in range(0, len(pictures), 16)]
    return np.concatenate([encoder.encode_queries([Query("", (load_image(p),)) for p in part]) for part in parts])


def rank(n: int, owners: list[str], kinds: np.ndarray, gallery: np.ndarray, whole: dict[str, np.ndarray] | None) -> int:
    """Rank (from 1) of the first crop of the right kind among those of other smears."""
    asked = gallery[n] if whole is None else whole[owners[n]]
    others = np.array([owner != owners[n] for owner in owners])
    order = np.argsort(-(gallery[others] @ asked), kind="stable")
    return int(np.flatnonzero(kinds[others][order] == kinds[n])[0]) + 1


def compared(whole: np.ndarray, zoomed: np.ndarray, owners: list[str], options: Any) -> dict[str, Any]:
    """First hits and reciprocal ranks of both, and the paired differences with 95 % intervals over smears."""
    rng, groups = np.random.default_rng(options.seed), sorted(set(owners))
    members = [np.flatnonzero(np.array(owners) == group) for group in groups]
    draws = [
        np.concatenate([members[i] for i in rng.integers(0, len(groups), len(groups))]) for _ in range(options.draws)
    ]
    told: dict[str, Any] = {"n": len(whole)}
    for name, of in (("first", lambda ranks: (ranks == 1).astype(float)), ("reciprocal_rank", lambda ranks: 1 / ranks)):
        gain = of(zoomed) - of(whole)
        low, high = np.percentile([gain[draw].mean() for draw in draws], [2.5, 97.5])
        told[name] = {
            "whole": round(float(of(whole).mean()), 3), "zoomed": round(float(of(zoomed).mean()), 3),
            "gain": [round(float(v), 3) for v in (gain.mean(), low, high)],
        }  # fmt: skip
    return told


if __name__ == "__main__":
    main()
