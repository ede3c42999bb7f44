"""An example is not answered from a copy of its own picture, whatever the copy is called."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medrag.corpora.twins import NEAR, apart, looks_of, looks_of_file
from medrag.eval.tasks import Example
from medrag.types import ImageRecord


def film(seed: int, size: int = 256) -> Image.Image:
    """Smooth greys, as a radiograph has."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9), np.uint8)
    return Image.fromarray(rough).resize((size, size), Image.Resampling.BICUBIC)


def saved(folder: Path, name: str, image: Image.Image, **options: int) -> Path:
    image.save(folder / name, **options)
    return folder / name


def record(path: Path, doc: str, page: int | None = None) -> ImageRecord:
    return ImageRecord(f"{doc}#{path.name}", doc, "", str(path), page=page)


def example(path: Path, *exclude: str) -> Example:
    return Example("1/0", "1", "Is there a mass?", "no", (path,), exclude)


def test_copies_in_other_bytes_are_found_and_others_are_not(tmp_path: Path) -> None:
    asked = saved(tmp_path, "asked.png", film(1))
    items = [
        record(saved(tmp_path, "a.jpg", film(1), quality=50), "iu:again"),
        record(saved(tmp_path, "b.png", film(1).resize((128, 128))), "iu:small"),
        record(saved(tmp_path, "c.png", film(2)), "iu:other"),
        record(saved(tmp_path, "d.png", film(1)), "book:1", page=4),
        record(tmp_path / "gone.png", "iu:gone"),
    ]
    (found,), count = apart([example(asked, "iu:own")], items)
    assert found.exclude == ("iu:own", "iu:again", "iu:small") and count == 2
    assert apart([example(asked, "iu:again", "iu:small")], items)[1] == 0


def test_pictures_that_are_the_same_all_over_are_no_twins(tmp_path: Path) -> None:
    grey = [saved(tmp_path, f"{n}.png", Image.new("L", (64, 64), n)) for n in (40, 90)]
    assert looks_of_file(str(grey[0])) is None
    assert apart([example(grey[0])], [record(grey[1], "iu:1")])[1] == 0
    assert apart([example(grey[0])], [])[1] == 0


@pytest.mark.data
def test_films_of_different_studies_are_apart() -> None:
    folder = Path(os.environ["MEDRAG_DATA"]) / "noncommercial/iu_xray/images"
    files = sorted(folder.iterdir())[::8]
    bits = np.stack([looks_of_file(str(file)) for file in files]).astype(np.float32)  # type: ignore[misc]
    differ = bits @ (1 - bits.T) + (1 - bits) @ bits.T
    studies = np.array([file.name.partition("_")[0] for file in files])
    assert differ[studies[:, None] != studies[None]].min() > NEAR
    for file in files[::40]:
        with Image.open(file) as image:
            half = image.resize((image.width // 2, image.height // 2))
        assert (looks_of(half) != looks_of_file(str(file))).sum() <= NEAR
