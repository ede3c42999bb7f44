"""What the small model has worked out of the last images and prompts, so that a question that needs it twice has it worked out once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from medrag._util.files import sha256_text

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT = 64  # readings of images, and beginnings of answers, that are remembered
T = TypeVar("T")


def pixels(images: Sequence[Image]) -> str:
    """What tells these images from others."""
    return sha256_text(*(f"{image.size}{image.mode}{hashlib.sha256(image.tobytes()).hexdigest()}" for image in images))


def kept(store: dict[str, T], keys: Sequence[str], work: Callable[[list[int]], Sequence[T]]) -> list[T]:
    """What the store knows of the keys; ``work`` makes the others from their places, those alike once. The last of all stay."""
    known = {key: store[key] for key in keys if key in store}
    lost: dict[str, int] = {}
    for n, key in enumerate(keys):
        if key not in known:
            lost.setdefault(key, n)
    made = dict(zip(lost, work(list(lost.values())), strict=True)) if lost else {}
    store.update(made)
    for old in list(store)[:-KEPT]:
        store.pop(old, None)
    return [made[key] if key in made else known[key] for key in keys]
