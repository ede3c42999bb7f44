"""Pages as pictures: ColPali, ColQwen2 and their kin, a vector for every patch of the drawn page.

Faysse et al., *ColPali: Efficient Document Retrieval with Vision Language Models* (arXiv 2407.01449). Checkpoints that
transformers knows (ColPaliForRetrieval, ColQwen2ForRetrieval: ``vidore/colpali-v1.3-hf``, ``vidore/colqwen2-v1.0-hf``)
need no other package; any other class of colpali-engine, adapters included, is named by ``engine``. It does not read
text; what it knows of words it sees.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.files import sha256_text
from medrag.encoders._shared import checked_precision, device_of, picture, picture_key, quiet, weights_id
from medrag.encoders.pages import Region, Side
from medrag.errors import MissingDependency, ModelMissing, SettingsError
from medrag.types import Box, ImageRecord, Item, Page, Query

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.protocols import Vectors

CLASSES = {
    "colpali": ("ColPaliForRetrieval", "ColPaliProcessor"),
    "colqwen2": ("ColQwen2ForRetrieval", "ColQwen2Processor"),
    "colmodernvbert": ("ColModernVBertForRetrieval", "ColModernVBertProcessor"),
}


class LateInteraction:
    """Pages and figures as (t, d) matrices of unit rows, one for every token of the model's prompt and patch of the picture.

    ``model`` is a hub id (``ID@REVISION`` pins it) or a folder, never fetched here. ``engine`` names a class of
    colpali-engine (``ColQwen2_5``) where the checkpoint is its; its processor is the class's name with ``Processor``.
    ``precision``: ``auto`` is bfloat16 on a GPU and float32 elsewhere.
    """

    modality = "page"
    several = True  # vectors an item

    def __init__(
        self, model: str, *, batch: int = 4, device: str = "auto", precision: str = "auto", engine: str = ""
    ) -> None:
        self.name, self.batch, self.device = model, batch, device
        self._precision, self._engine = checked_precision(precision), engine
        self._path = models.resolve(model)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights, the class and the wanted precision."""
        return sha256_text("late/1", weights_id(self._path), self._engine, self._precision)[:16]

    @functools.cached_property
    def dim(self) -> int:
        return int(self._embedded(self._processor.process_queries, ["dimension"])[0][0].shape[1])

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        record = _record(item)
        return picture_key(record) if record else ""

    def encode_items(self, items: Sequence[Item]) -> list[Vectors]:
        """A (t, d) float32 matrix for each item, t = 0 for what is no page and no figure.

        Raises ImageError for a page that cannot be drawn.
        """
        found = [np.zeros((0, self.dim), np.float32) for _ in items]
        drawn = [(n, record) for n, item in enumerate(items) if (record := _record(item))]
        for start in range(0, len(drawn), self.batch):
            part = drawn[start : start + self.batch]
            pictures = [picture(record).convert("RGB") for _, record in part]
            for (n, _), (rows, _) in zip(part, self._embedded(self._processor.process_images, pictures), strict=True):
                found[n] = rows
        return found

    def encode_queries(self, queries: Sequence[Query]) -> list[Vectors]:
        """A (q, d) float32 matrix for each query: text and images in one."""
        none = np.zeros((0, self.dim), np.float32)
        return [np.concatenate([none, *(side.vectors for side in self.sides(query).values())]) for query in queries]

    def sides(self, query: Query) -> dict[str, Side]:
        """The query's ``text`` and ``image`` vectors, those that it has; a vector counts as much as any other of its side."""
        found = {}
        if query.text.strip():
            [(rows, ids)] = self._embedded(self._processor.process_queries, [query.text])
            labels = tuple(self._processor.tokenizer.decode([token]).strip() for token in ids)
            found["text"] = Side(labels, rows / np.float32(len(rows)))
        if query.images:
            pictures = [one.image.convert("RGB") for one in query.images]
            each = [
                rows for picture in pictures for rows, _ in self._embedded(self._processor.process_images, [picture])
            ]
            rows = np.concatenate(each)
            found["image"] = Side(("image",) * len(rows), rows / np.float32(len(rows)))
        return found

    def regions(self, item: Item) -> tuple[Region, ...]:
        """The place of every row of an item's matrix: a patch of the page, or no place for words of the prompt."""
        record = _record(item)
        if record is None:
            return ()
        inputs = self._processor.process_images([picture(record).convert("RGB")])
        tokens = inputs["input_ids"][0][inputs["attention_mask"][0].bool()].tolist()
        patches = [token == self._processor.image_token_id for token in tokens]
        boxes = iter(_grid(_whole(item), *self._shape(inputs, sum(patches))))
        return tuple(Region("", next(boxes, None) if patch else None) for patch in patches)

    def _shape(self, inputs: Any, patches: int) -> tuple[int, int]:
        """Rows and columns of the patches; none where they do not lie in one grid."""
        if "image_grid_thw" in inputs:
            merge = int(self._processor.image_processor.merge_size)
            _, height, width = (int(value) for value in inputs["image_grid_thw"][0])
            return height // merge, width // merge
        side = math.isqrt(patches)
        return (side, side) if side * side == patches else (0, 0)

    def _embedded(self, process: Any, values: Sequence[str | Image]) -> list[tuple[Vectors, list[int]]]:
        """Vectors without padding, (t, d) float32, and the token of each."""
        import torch

        with torch.inference_mode():
            inputs = process(list(values)).to(device_of(self.device))
            out = self._model(**inputs)
            rows = getattr(out, "embeddings", out).float().cpu().numpy()
        masks, tokens = inputs["attention_mask"].bool().cpu().numpy(), inputs["input_ids"].cpu().numpy()
        return [(row[mask], ids[mask].tolist()) for row, ids, mask in zip(rows, tokens, masks, strict=True)]

    @property
    def _model(self) -> Any:
        return self._loaded[0]

    @property
    def _processor(self) -> Any:
        return self._loaded[1]

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """(model, processor), from this machine's files only."""
        import torch

        device = device_of(self.device)
        low = self._precision == "bfloat16" or (self._precision == "auto" and device.startswith("cuda"))
        kind, processor = _engine(self._engine) if self._engine else _transformers(self._path)
        with quiet():
            try:
                model = kind.from_pretrained(
                    self._path, dtype=torch.bfloat16 if low else torch.float32, local_files_only=True
                )
                reader = processor.from_pretrained(self._path, local_files_only=True)
            except Exception as error:  # loaders of weights, processors and tokenizers raise nearly anything
                raise ModelMissing(
                    f"{self._path} cannot be loaded as {kind.__name__}: {' '.join(str(error).split())[:200]}",
                    f"fetch it, and the model it adapts, again: medrag models get {self.name}",
                ) from error
        return model.eval().to(device), reader


def _transformers(folder: Path) -> tuple[Any, Any]:
    """Model and processor class by the configuration's model type."""
    import transformers

    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
    except (OSError, ValueError) as error:
        raise ModelMissing(
            f"{folder} has no readable config.json",
            "fetch the model again; an adapter of colpali-engine needs options: {engine: CLASS}",
        ) from error
    names = CLASSES.get(kind)
    if names is None or not hasattr(transformers, names[0]):
        raise SettingsError(
            f"{folder} is a {kind or 'nameless'} model, which this transformers does not retrieve with",
            f"known: {', '.join(CLASSES)}; or name a class of colpali-engine: options: {{engine: ColQwen2_5}}",
        )
    return getattr(transformers, names[0]), getattr(transformers, names[1])


def _engine(name: str) -> tuple[Any, Any]:
    """Model and processor class of colpali-engine."""
    try:
        known = importlib.import_module("colpali_engine.models")
    except ImportError as error:
        raise MissingDependency(
            f"engine {name!r} needs the package colpali-engine", "pip install colpali-engine"
        ) from error
    joint = "_Processor" if name[-1:].isdigit() and "_" in name else "Processor"  # ColQwen2_5_Processor
    kind, processor = (
        getattr(known, name, None),
        getattr(known, f"{name}{joint}", None) or getattr(known, f"{name}Processor", None),
    )
    if kind is None or processor is None:
        raise SettingsError(f"colpali-engine has no class {name!r} with a processor", "see colpali_engine.models")
    return kind, processor


def _record(item: Item) -> ImageRecord | None:
    """What is drawn of an item: a page, or a figure; None of others."""
    if isinstance(item, Page):
        return ImageRecord(item.id, item.doc, "", item.source, page=item.number)
    return item if isinstance(item, ImageRecord) else None


def _whole(item: Item) -> Box | None:
    """The place of the picture on its page."""
    return Box(0.0, 0.0, item.width, item.height) if isinstance(item, Page) else getattr(item, "box", None)


def _grid(whole: Box | None, rows: int, columns: int) -> Iterator[Box]:
    """The boxes of a grid, row by row."""
    if whole is None:
        return
    width, height = (whole.x1 - whole.x0) / max(1, columns), (whole.y1 - whole.y0) / max(1, rows)
    for row in range(rows):
        for column in range(columns):
            x, y = whole.x0 + column * width, whole.y0 + row * height
            yield Box(x, y, x + width, y + height)
