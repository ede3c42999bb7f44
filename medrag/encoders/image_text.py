"""Image-text encoders through open_clip: pictures and words in one space (BiomedCLIP, PubMedCLIP, your own).

Radford et al., *CLIP* (2021); Zhang et al., *BiomedCLIP* (arXiv 2303.00915); Ilharco et al., *OpenCLIP*. A model is a
folder as hub repositories have it: ``open_clip_config.json``, the weights, and the tokenizer's files where it has its own.
"""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
    quiet,
    readable,
    rounded,
    small_work,
    threads,
    unit,
    weights_id,
)
from medrag.errors import MedragError, ModelMissing, SettingsError
from medrag.types import Item, Query

if TYPE_CHECKING:
    from medrag.protocols import Vectors

CONFIG = "open_clip_config.json"
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
)
# text towers that are BERT-base in every number: their repositories' config.json is not needed
BERT_BASE = (
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract",
)

TRAINED_WITH = {"minilm": "b6b22cc3471cf091"}  # locked text towers, and the weights that models were trained with


class _OpenClip:
    """One side of an open_clip model; both sides share the loaded model."""

    cross_modal = True  # a query may be an image or words, whatever the items are

    def __init__(
        self, model: str, *, batch: int = 32, device: str = "auto", workers: int = 2, precision: str = "auto"
    ) -> None:
        self.name, self.batch, self.device, self._workers = model, batch, device, workers
        self._precision = checked_precision(precision)
        self._path = models.resolve(model.removeprefix("hf-hub:"))
        if not (self._path / CONFIG).is_file():
            raise ModelMissing(f"{self._path} is no open_clip model: it has no {CONFIG}", f"medrag models get {model}")

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights, the configuration, the wanted precision, and a locked text tower with other weights than the model was trained with.

        The two sides of one model have the same: their vectors may meet.
        """
        return sha256_text("open-clip/1", weights_id(self._path), self._precision, *_other_tower(self._path))[:16]

    @property
    def _loaded(self) -> tuple[Any, Any, Any]:
        return load_open_clip(self._path, device_of(self.device))

    @functools.cached_property
    def dim(self) -> int:
        return int(json.loads((self._path / CONFIG).read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])

    def _texts(self, texts: Sequence[str], names: Sequence[str], precision: str = "float32") -> Vectors:
        """In batches of similar length."""
        model, _, tokenize = self._loaded
        found = np.zeros((len(texts), self.dim), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        with computing(device_of(self.device), precision):
            for start in range(0, len(texts), self.batch):
                some = order[start : start + self.batch]
                tokens = _trimmed(model, tokenize([texts[n] for n in some])).to(device_of(self.device))
                found[some] = model.encode_text(tokens).float().cpu().numpy()
        return unit(found, names)

    def _images(self, batches: Iterator[list[Any]], names: Sequence[str], precision: str = "float32") -> Vectors:
        import torch

        model = self._loaded[0]
        found = [np.zeros((0, self.dim), dtype=np.float32)]
        with computing(device_of(self.device), precision):
            for pixels in batches:
                block = torch.stack(pixels).to(device_of(self.device), memory_format=torch.channels_last)
                found.append(model.encode_image(block).float().cpu().numpy())
        return unit(np.concatenate(found), names)

    def _pixels(self, sources: Sequence[Any], load: Callable[[Any], Any] = lambda image: image) -> Iterator[list[Any]]:
        """Batches of tensors as the model's own transform makes them."""
        transform = self._loaded[1]  # loaded here, before the threads ask for it
        return ahead(lambda source: as_tensor(transform, load(source)), sources, self.batch, self._workers)

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """(n, d) float32, rows of unit length: the mean over a query's images, its text where it has none."""
        with small_work(self._loaded[0], device_of(self.device)):
            return self._queries(queries)

    def _queries(self, queries: Sequence[Query]) -> Vectors:
        found = np.zeros((len(queries), self.dim), dtype=np.float32)
        owners = [n for n, query in enumerate(queries) for _ in query.images]
        wordy = [n for n, query in enumerate(queries) if not query.images]
        if owners:
            pictures, names = (
                [one.image for query in queries for one in query.images],
                [queries[n].text for n in owners],
            )
            if (run := _fast_tower(self._path, device_of(self.device), self.fingerprint)) is not None:
                vectors = unit(run(np.stack([as_tensor(self._loaded[1], one).numpy() for one in pictures])), names)
            else:
                vectors = self._images(self._pixels(pictures), names)
            found += mean_by(vectors, owners, len(queries))
        if wordy:
            found[wordy] = self._texts([queries[n].text for n in wordy], [queries[n].text for n in wordy])
        return unit(found, [query.text for query in queries])


class OpenClipImages(_OpenClip):
    """Items by their picture. A query goes in as its images, or as its words: both live in one space."""

    modality = "image"

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        return f"image:{picture_key(item)}"

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length. Raises ImageError for an item whose picture cannot be read."""
        names, device = [item.id for item in items], device_of(self.device)
        if items and not rounded(device, self._precision):
            run, transform = _fast_tower(self._path, device, self.fingerprint), self._loaded[1]
            if run is not None:
                one = lambda item: run(as_tensor(transform, picture(item)).numpy()[None])[0]  # noqa: E731
                return unit(np.stack(flat(ahead(one, items, self.batch, threads()))), names)
        return self._images(self._pixels(items, picture), names, self._precision)


class OpenClipTexts(_OpenClip):
    """Items by their words, cut to the model's context length. A query goes in as its images, or as its words."""

    modality = "text"

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        return f"text:{sha256_text(readable(item))}"

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length."""
        return self._texts([readable(item) for item in items], [item.id for item in items], self._precision)


def _other_tower(folder: Path) -> tuple[str, ...]:
    """The weights of the locked text tower, which lie outside the folder; nothing where they are those of `TRAINED_WITH`."""
    locked = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("locked_text_tower", "")
    found = weights_id(models.resolve(locked)) if locked else ""
    return () if found == TRAINED_WITH.get(locked, "") else (found,)


def _trimmed(model: Any, tokens: Any) -> Any:
    """(n, t) tokens without the columns that are padding in every row, where the text tower masks it: a Hugging Face transformer. Its tokenizer pads each text to the longest
    that the model takes."""
    from open_clip.hf_model import HFTextEncoder

    tower = getattr(model, "text", None)
    if not isinstance(tower, HFTextEncoder):
        return tokens
    used = (tokens != tower.config.pad_token_id).any(0).nonzero()
    return tokens[:, : int(used.max()) + 1] if len(used) else tokens


def as_tensor(transform: Any, image: Any) -> Any:
    """The pixels as the model wants them. open_clip's transforms make RGB of a picture after they have resized it: a grey one is resized as it is."""
    steps = {type(step).__name__: step for step in transform.transforms}
    image = image if image.mode == "L" and "MaybeConvertMode" in steps else rgb(image)
    sizes = getattr(steps.get("Resize"), "size", None)
    return transform(reduced(image, int(np.max(sizes))) if sizes else image)


@functools.lru_cache(maxsize=2)
def _fast_tower(folder: Path, device: str, key: str) -> Run | None:
    """The image tower by ONNX Runtime, where it is to be had."""
    import torch

    model, transform, _ = load_open_clip(folder, device)
    if device != "cpu":
        return None
    from PIL import Image

    pixels = torch.full_like(transform(Image.new("RGB", (32, 32)))[None], 0.1)
    return fast(model.visual, {"pixels": pixels}, f"open-clip {key}")


@functools.lru_cache(maxsize=2)
def load_open_clip(folder: Path, device: str) -> tuple[Any, Any, Any]:
    """(model, image transform, tokenizer) of a checkpoint folder, loaded once. Never from the network.

    Raises ModelMissing when weights, tokenizer or the text tower's configuration are not there.
    """
    import open_clip

    with _completed(folder) as complete, quiet():
        try:
            model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{complete}", device=device)
            tokenizer = open_clip.get_tokenizer(f"local-dir:{complete}")
        except Exception as error:  # loaders of weights and tokenizers raise nearly anything
            raise ModelMissing(
                f"{folder} cannot be loaded by open_clip: {' '.join(str(error).split())[:200]}",
                "fetch it again, or check the folder",
            ) from error
    if device == "cpu":
        import torch

        # measured on one core: 42 to 69 ms a picture in place of 67 to 110, by how many are taken at a time
        model.visual.to(memory_format=torch.channels_last)
    return model.eval(), transform, tokenizer


@contextlib.contextmanager
def _completed(folder: Path) -> Iterator[Path]:
    """The checkpoint through links in a scratch folder, its text tower's configuration pointing at local files only."""
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise ModelMissing(f"{folder} has no weights ({' or '.join(WEIGHTS)})", "fetch the model again")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        text = config.get("model_cfg", {}).get("text_cfg", {})
        if locked := config.get("locked_text_tower"):
            tower = models.resolve(locked)
            _join(weights, tower, scratch)
            _link(
                tower,
                scratch,
                ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
            )
            text["hf_model_name"] = text["hf_tokenizer_name"] = str(scratch)
        else:
            _link(
                folder,
                scratch,
                [f.name for f in folder.iterdir() if f.suffix in (".json", ".txt", ".model") or f == weights],
            )
            if tower_name := text.get("hf_model_name"):
                text["hf_model_name"] = str(_tower(tower_name, folder, scratch))
        if "hf_model_name" in text:
            text["hf_model_pretrained"] = False
        if "timm_model_name" in config.get("model_cfg", {}).get("vision_cfg", {}):
            config["model_cfg"]["vision_cfg"]["timm_model_pretrained"] = False
        (scratch / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        yield scratch


def _link(folder: Path, scratch: Path, names: Sequence[str]) -> None:
    for name in names:
        if name != CONFIG and (folder / name).is_file():
            (scratch / name).symlink_to((folder / name).resolve())


def _join(weights: Path, tower: Path, scratch: Path) -> None:
    """One checkpoint of the shipped half and the locked text tower, which is a model of its own (LiT, arXiv 2111.07991)."""
    from safetensors.torch import load_file, save_file

    own = {name: tensor.float() for name, tensor in load_file(weights).items()}
    words = {name: t for name, t in load_file(tower / "model.safetensors").items() if not name.startswith("pooler.")}
    own.update({f"text.transformer.{name}": t.float() for name, t in words.items() if "position_ids" not in name})
    save_file(own, scratch / WEIGHTS[0])


def _tower(tower: str, folder: Path, scratch: Path) -> Path:
    """A folder with the configuration of the Hugging Face text tower: beside the checkpoint, built in, or in the cache."""
    beside = folder / "config.json"
    if beside.is_file() and "model_type" in json.loads(beside.read_text(encoding="utf-8")):
        return folder
    if tower in BERT_BASE:
        from transformers import BertConfig

        (scratch / "tower").mkdir()
        BertConfig().save_pretrained(scratch / "tower")
        return scratch / "tower"
    try:
        return models.resolve(tower)
    except SettingsError as error:
        raise ModelMissing(
            f"the text tower {tower} of {folder} is not on this machine", "put its config.json beside the checkpoint"
        ) from error
    except MedragError as error:
        raise ModelMissing(
            f"the text tower {tower} of {folder} is not on this machine",
            f"medrag models get {tower}, or put its config.json beside the checkpoint",
        ) from error
