"""What are the labels of look-alike pictures worth? Each picture of an atlas is asked with the others as the atlas.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/atlas.py
    python eval/benchmarks/atlas.py --model biomedclip --folder mine    # a folder of folders named by class

The votes are those that an answer tells (`medrag.retrieve.labelled`): of as many neighbours as the root of the number of pictures, between 5 and 25.
Beside their accuracy stand the commonest class and the nearest picture alone; the difference to the commonest class is paired, with a bootstrap
interval over pictures. Writes ``eval/results/atlas.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util.files import write_json
from medrag._util.places import share
from medrag.corpora.images import ImageFolder
from medrag.encoders import open_encoder
from medrag.retrieve.labelled import FEWEST, MOST
from medrag.settings import EncoderSettings
from medrag.types import ImageRecord

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="medrag-small", help="an image encoder")
    parser.add_argument(
        "--folder",
        type=Path,
        action="append",
        help="a folder of folders named by class, in place of the pack's pictures",
    )
    parser.add_argument("--most", type=int, default=300, help="pictures of one atlas, drawn evenly")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "atlas.json")
    options = parser.parse_args()
    encoder: Any = open_encoder(EncoderSettings(model=options.model))  # type: ignore[call-arg]
    atlases = {path.name: ImageFolder(path.name, path) for path in options.folder or ()} or of_the_pack()
    found: dict[str, Any] = {"model": options.model, "seed": options.seed, "most": options.most}
    for name, reader in atlases.items():
        pictures = [
            one for one in reader.read(lambda _: None) if isinstance(one, ImageRecord) and one.meta.get("label")
        ]
        drawn = np.unique(np.linspace(0, len(pictures) - 1, options.most).round().astype(int))
        found[name] = measured(encoder, [pictures[n] for n in drawn], options)
        print(name, json.dumps(found[name]), flush=True)
    write_json(options.out, found)


def of_the_pack() -> dict[str, ImageFolder]:
    data = Path(os.environ["MEDRAG_DATA"])
    derm = data / "noncommercial/derm"
    return {
        "dermoscopy": ImageFolder("derm", derm, "metadata_clean.csv", {"file": "image_id", "label": "dx_full_name"}),
        "fundus": ImageFolder("fundus", data / "noncommercial/fundus"),
        "mednist": ImageFolder("mednist", data / "open/mednist"),
    }


def measured(encoder: Any, pictures: Sequence[ImageRecord], options: argparse.Namespace) -> dict[str, Any]:
    """Accuracy of the votes, of the nearest picture and of the commonest class, the first two without the picture itself."""
    vectors = np.concatenate([encoder.encode_items(pictures[n : n + BATCH]) for n in range(0, len(pictures), BATCH)])
    vectors = np.asarray(vectors, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -np.inf)
    labels = [str(one.meta["label"]) for one in pictures]
    k = min(max(round(math.sqrt(len(labels))), FEWEST), MOST)
    order = np.argsort(-alike, axis=1, kind="stable")[:, :k]
    voted = [Counter(labels[n] for n in row).most_common(1)[0][0] for row in order]
    counts = Counter(labels)
    right = {
        "votes": [a == b for a, b in zip(voted, labels, strict=True)],
        "nearest": [labels[row[0]] == own for row, own in zip(order, labels, strict=True)],
        "commonest": [own == max(counts, key=lambda one: (counts[one], one)) for own in labels],
    }
    gain = np.subtract(right["votes"], right["commonest"], dtype=np.float64)
    rng = np.random.default_rng(options.seed)
    draws = gain[rng.integers(0, len(gain), (options.draws, len(gain)))].mean(1)
    return {
        "pictures": len(labels), "classes": len(counts), "k": k,
        **{name: round(float(np.mean(some)), 3) for name, some in right.items()},
        "gain": [round(float(x), 3) for x in (gain.mean(), *np.quantile(draws, (0.025, 0.975)))],
    }  # fmt: skip


if __name__ == "__main__":
    main()
