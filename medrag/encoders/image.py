"""Image encoders through timm: the pooled features of a network that was trained on natural or medical images.

Knows pictures only; there is no text side. Tan & Le, *EfficientNet* (ICML 2019); Wightman, *PyTorch Image Models*.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.files import sha256_text
from medrag._util.images import reduced, rgb
from medrag.encoders._onnx import Run, fast
from medrag.encoders._shared import (
    ahead,
    checked_precision,
    computing,
    device_of,
    flat,
    mean_by,
    picture,
    picture_key,
    rounded,
    small_work,
    threads,
    unit,
    weights_id,
)
from medrag.errors import ModelMissing, SettingsError
from medrag.types import Item, Query

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from medrag.protocols import Vectors


class TimmEncoder:
    """Pooled features of a timm network, (n, d) unit rows.

    A picture is scaled to fit a square of ``size`` pixels and padded with black, so that nothing is cut off and nothing
    is stretched; mean and deviation are timm's for the architecture. Weights: a ``.pth`` state dict (loaded as data
    only) or safetensors, with timm's names, or with the same tensors in the same order under other names.
    """

    modality = "image"

    def __init__(
        self,
        model: str,
        *,
        batch: int = 32,
        device: str = "auto",
        architecture: str = "",
        size: int = 0,
        workers: int = 2,
        precision: str = "auto",
    ) -> None:
        if not architecture:
            raise SettingsError(
                f"image encoder {model!r}: which network is it?",
                "set options: {architecture: NAME} to a timm model name",
            )
        self.name, self.batch, self.device, self._precision = model, batch, device, checked_precision(precision)
        self._path = _weights_file(models.resolve(model))
        self._architecture, self._size, self._workers = architecture, size, workers

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights, the architecture, the size and the wanted precision."""
        return sha256_text("timm/1", weights_id(self._path), self._architecture, str(self._size), self._precision)[:16]

    @functools.cached_property
    def _model(self) -> Any:
        """The network without its classifier, on its device, with ``medrag_cfg`` = (size, mean, deviation)."""
        import timm
        import torch

        try:
            network = timm.create_model(self._architecture, pretrained=False)
        except RuntimeError as error:
            raise SettingsError(f"timm has no network {self._architecture!r}", "see timm.list_models()") from error
        load_by_order(network, _tensors(self._path), str(self._path))
        config = timm.data.resolve_model_data_config(network)
        network.medrag_cfg = (self._size or config["input_size"][-1], config["mean"], config["std"])
        network.reset_classifier(0)
        return network.eval().to(device_of(self.device), memory_format=torch.channels_last)

    @functools.cached_property
    def dim(self) -> int:
        return int(self._model.num_features)

    @functools.cached_property
    def _fast(self) -> Run | None:
        """The network by ONNX Runtime, where it is to be had."""
        import torch

        if device_of(self.device) != "cpu":
            return None
        size = self._model.medrag_cfg[0]
        return fast(self._model, {"pixels": torch.full((1, 3, size, size), 0.1)}, f"timm {self.fingerprint}")

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        return picture_key(item)

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length. Raises ImageError for an item whose picture cannot be read."""
        shape, names = self._model.medrag_cfg, [item.id for item in items]  # loaded here, before the threads ask for it
        if items and not rounded(device_of(self.device), self._precision) and (run := self._fast) is not None:
            rows = ahead(lambda item: run(pixels_of(picture(item), *shape)[None])[0], items, self.batch, threads())
            return unit(np.stack(flat(rows)), names)
        pixels = ahead(lambda item: pixels_of(picture(item), *shape), items, self.batch, self._workers)
        return unit(self._features(pixels, self._precision), names)

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """(n, d) float32, rows of unit length: the mean over a query's images, at unit length again.

        Raises SettingsError for a query without an image.
        """
        owners = [n for n, query in enumerate(queries) for _ in query.images]
        if set(owners) != set(range(len(queries))):
            raise SettingsError(
                f"{self.name} encodes images, and a query has none", "ask a text index, or give an image"
            )
        shape = self._model.medrag_cfg
        pictures = [one.image for query in queries for one in query.images]
        names = [queries[n].text for n in owners]
        if self._fast is not None:
            vectors = unit(self._fast(np.stack([pixels_of(image, *shape) for image in pictures])), names)
            return unit(mean_by(vectors, owners, len(queries)), [query.text for query in queries])
        pixels = ahead(lambda image: pixels_of(image, *shape), pictures, self.batch, self._workers)
        with small_work(self._model, device_of(self.device)):
            vectors = unit(self._features(pixels, "float32"), names)
        return unit(mean_by(vectors, owners, len(queries)), [query.text for query in queries])

    def _features(self, batches: Any, precision: str) -> Vectors:
        import torch

        device, found = device_of(self.device), []
        with computing(device, precision):
            for pixels in batches:
                block = torch.from_numpy(np.stack(pixels)).to(device, memory_format=torch.channels_last)
                found.append(self._model(block).float().cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, self.dim), dtype=np.float32)


def pixels_of(image: Image, size: int, mean: Sequence[float], deviation: Sequence[float]) -> NDArray[np.float32]:
    """(3, size, size), normalised."""
    slope = 1 / (255 * np.asarray(deviation, np.float32))
    values = np.asarray(letterboxed(image, size)) * slope - np.asarray(mean, np.float32) * 255 * slope
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def letterboxed(image: Image, size: int) -> Image:
    """The whole picture, aspect kept, in the middle of a black RGB square of ``size`` pixels."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    if image.mode == "L":  # one channel in place of three equal ones
        return ImageOps.pad(reduced(image, size), (size, size), Pillow.Resampling.BICUBIC, color=0).convert("RGB")
    return ImageOps.pad(reduced(rgb(image), size), (size, size), Pillow.Resampling.BICUBIC, color=(0, 0, 0))


def load_by_order(network: Any, tensors: dict[str, Any], where: str) -> None:
    """Fills a network from a state dict: by name where the names fit, else tensor by tensor, every shape checked.

    Raises ModelMissing when the number of tensors or a shape differs.
    """
    own = network.state_dict()
    if own.keys() != tensors.keys():
        if len(own) != len(tensors):
            raise ModelMissing(
                f"{where} holds {len(tensors)} tensors, the network has {len(own)}",
                "check the architecture of the model's options",
            )
        tensors = dict(zip(own, tensors.values(), strict=True))
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise ModelMissing(
                f"{where}: {name} has shape {tuple(tensor.shape)}, the network wants {tuple(own[name].shape)}",
                "check the architecture of the model's options",
            )
    network.load_state_dict(tensors)


def _weights_file(path: Path) -> Path:
    """The weights inside a folder; a file as it is."""
    if path.is_file():
        return path
    found = [p for name in ("model.safetensors", "*.safetensors", "*.pth") for p in sorted(path.glob(name))]
    if not found:
        raise ModelMissing(f"{path} holds no weights", "it needs a .safetensors or .pth file")
    return found[0]


def _tensors(path: Path) -> dict[str, Any]:
    """A state dict, read as data: nothing in the file can run."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        raw = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ModelMissing(
            f"{path} cannot be read as weights: {' '.join(str(error).split())[:120]}",
            "fetch it again: medrag models get NAME",
        ) from error
    tensors: dict[str, Any] = raw.get("state_dict", raw)
    return tensors
