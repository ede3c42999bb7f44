"""One space for pictures and words from any pair of towers: batching, queries, unit rows, the cache's keys.

Knows no particular model: a loader hands it a `Pair`, and the files beside this one say how each family is loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.files import sha256_text
from medrag._util.near import meant
from medrag.encoders._shared import (
    ahead,
    checked_precision,
    computing,
    device_of,
    mean_by,
    picture,
    picture_key,
    readable,
    unit,
    weights_id,
)
from medrag.errors import SettingsError
from medrag.types import Item, Query

if TYPE_CHECKING:
    from medrag.protocols import Vectors


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """Two towers that meet in one space. Vectors need not be of unit length yet."""

    dim: int
    prepare: Callable[[Any], Any]  # an RGB picture -> a (3, h, w) tensor, the same size for all
    images: Callable[[Any], Any]  # (n, 3, h, w) -> (n, dim)
    texts: Callable[[list[str]], Any]  # n texts -> (n, dim)


class PairEncoder:
    """One side of a pair; the sides of one model share what was loaded and the fingerprint, so their vectors may meet.

    A family names itself in ``family`` and loads in `load`; ``options`` are its own settings and part of the fingerprint.
    """

    family = ""
    modality = ""
    cross_modal = True  # a query may be an image or words, whatever the items are

    def __init__(
        self,
        model: str,
        *,
        batch: int = 32,
        device: str = "auto",
        workers: int = 2,
        precision: str = "auto",
        **options: Any,
    ) -> None:
        self.name, self.batch, self.device, self._workers = model, batch, device, workers
        self._precision, self._options = checked_precision(precision), options
        known = inspect.signature(self.load).parameters
        if unknown := sorted(set(options) - set(known)):
            raise SettingsError(
                f"encoder {model!r}: unknown option {', '.join(unknown)}", meant(unknown[0], [*known][2:])
            )
        self._path = models.resolve(model)

    @staticmethod
    def load(*args: Any, **options: Any) -> Pair:
        """The pair in a folder (first) in float32 on a device (second). Never from the network."""
        raise NotImplementedError

    @functools.cached_property
    def _pair(self) -> Pair:
        return _loaded(type(self).load, self._path, device_of(self.device), tuple(sorted(self._options.items())))

    @functools.cached_property
    def dim(self) -> int:
        return self._pair.dim

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights, the configuration, the family's options, the tower's folder and the wanted precision."""
        options = sorted((name, str(value)) for name, value in self._options.items() if name != "tower")
        tower = self._options.get("tower")
        known = weights_id(models.resolve(tower)) if tower else ""
        return sha256_text(f"{self.family}/1", weights_id(self._path), known, str(options), self._precision)[:16]

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        return f"image:{picture_key(item)}" if self.modality == "image" else f"text:{sha256_text(readable(item))}"

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length. Raises ImageError for an item whose picture cannot be read."""
        names = [item.id for item in items]
        if self.modality == "image":
            return self._images(self._pixels(items, picture), names, self._precision)
        return self._texts([readable(item) for item in items], names, self._precision)

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """(n, d) float32, rows of unit length: the mean over a query's images, its text where it has none."""
        found = np.zeros((len(queries), self.dim), dtype=np.float32)
        owners = [n for n, query in enumerate(queries) for _ in query.images]
        wordy = [n for n, query in enumerate(queries) if not query.images]
        if owners:
            pixels = self._pixels([one.image for query in queries for one in query.images])
            found += mean_by(self._images(pixels, [queries[n].text for n in owners]), owners, len(queries))
        if wordy:
            texts = [queries[n].text for n in wordy]
            found[wordy] = self._texts(texts, texts)
        return unit(found, [query.text for query in queries])

    def _pixels(self, sources: Sequence[Any], load: Callable[[Any], Any] = lambda image: image) -> Iterator[list[Any]]:
        prepare = self._pair.prepare  # loaded here, before the threads ask for it
        return ahead(lambda source: prepare(load(source).convert("RGB")), sources, self.batch, self._workers)

    def _images(self, batches: Iterator[list[Any]], names: Sequence[str], precision: str = "float32") -> Vectors:
        import torch

        device = device_of(self.device)
        return self._rows(self._pair.images, (torch.stack(pixels).to(device) for pixels in batches), names, precision)

    def _texts(self, texts: list[str], names: Sequence[str], precision: str = "float32") -> Vectors:
        batches = (texts[start : start + self.batch] for start in range(0, len(texts), self.batch))
        return self._rows(self._pair.texts, batches, names, precision)

    def _rows(
        self, tower: Callable[[Any], Any], batches: Iterator[Any], names: Sequence[str], precision: str
    ) -> Vectors:
        found = [np.zeros((0, self.dim), dtype=np.float32)]
        with computing(device_of(self.device), precision):
            found += [tower(batch).float().cpu().numpy() for batch in batches]
        return unit(np.concatenate(found), names)


@functools.lru_cache(maxsize=2)
def _loaded(load: Callable[..., Pair], folder: Path, device: str, options: tuple[tuple[str, Any], ...]) -> Pair:
    return load(folder, device, **dict(options))
