"""FLAIR, the image-text encoder of the retina: ResNet-50 and Bio_ClinicalBERT, each with a linear projection.

Silva-Rodríguez et al., *FLAIR* (Medical Image Analysis, 2025). Its weights are safetensors; the architecture is built
here, so that the authors' package is not needed. The tokenizer comes from the BERT's own repository (``tower``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medrag import models
from medrag.encoders._pair import Pair, PairEncoder
from medrag.encoders._tensors import below, filled, folder_tensors
from medrag.errors import ModelMissing, SettingsError

TOKENS = 77
CAPTION = "A fundus photograph of [CLS]"
HIDDEN = (1, 2, -1)  # the layers whose mean is a text's embedding


class _Flair(PairEncoder):
    """One side of FLAIR. ``tower`` is the folder, name or hub id that has Bio_ClinicalBERT's configuration and vocabulary.

    Texts stand in the caption that it was trained with. Its authors average over padding too; here only over a text's
    own tokens, which is the same for a text alone.
    """

    family = "flair"

    @staticmethod
    def load(folder: Path, device: str, tower: str = "") -> Pair:
        import torch

        if not tower:
            raise SettingsError(f"{folder}: which BERT is its text tower?", "set options: {tower: FOLDER or hub id}")
        config = _config(folder)
        tensors = folder_tensors(folder / "model.safetensors")
        eye = filled(_resnet(tensors), below(tensors, "vision_model.model."), folder).to(device)
        bert, words = empty_bert(models.resolve(tower))
        bert = filled(bert, below(tensors, "text_model.model."), folder).to(device)
        seen, said = (_projection(tensors, name).to(device) for name in ("vision", "text"))
        size, caption = int(config.get("image_size", 512)), str(config.get("caption", CAPTION))

        def texts(lines: list[str]) -> Any:
            asked = [caption.replace("[CLS]", line) for line in lines]
            tokens = words(asked, truncation=True, max_length=TOKENS, padding=True, return_tensors="pt").to(device)
            layers = bert(**tokens, output_hidden_states=True).hidden_states
            hidden = torch.stack([layers[n] for n in HIDDEN]).mean(0)
            mask = tokens["attention_mask"].unsqueeze(-1)
            return _unit((hidden * mask).sum(1) / mask.sum(1)) @ said.T

        return Pair(
            int(seen.shape[0]), lambda image: canvas(image, size), lambda pixels: _unit(eye(pixels)) @ seen.T, texts
        )


class FlairImages(_Flair):
    """Fundus photographs by their picture. A query goes in as its images, or as its words."""

    modality = "image"


class FlairTexts(_Flair):
    """Items by their words. A query goes in as its images, or as its words."""

    modality = "text"


def canvas(image: Any, size: int) -> Any:
    """(3, size, size) in 0…1: the long side scaled to ``size``, black below and to the right."""
    import numpy as np
    import torch
    import torchvision

    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255)
    scale = max(pixels.shape[1:]) / size
    height, width = (max(1, int(side / scale)) for side in pixels.shape[1:])
    small = torchvision.transforms.functional.resize(pixels, [height, width], antialias=True)
    return torch.nn.functional.pad(small, (0, size - width, 0, size - height))


def empty_bert(folder: Path) -> tuple[Any, Any]:
    """(a BERT of the folder's configuration without its weights, its tokenizer)."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        return AutoModel.from_config(config), AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelMissing(
            f"{folder} has no text tower: {' '.join(str(error).split())[:160]}", "fetch the tower again"
        ) from error


def _config(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelMissing(f"{folder} has no readable config.json", "fetch the model again") from error
    if found.get("vision_type", "resnet_v1") not in ("resnet_v1", "resnet_v2"):
        raise SettingsError(f"{folder}: its vision tower is {found['vision_type']!r}", "only the ResNet is known here")
    return found


def _resnet(tensors: dict[str, Any]) -> Any:
    """A ResNet of bottlenecks without its classifier, as deep as the tensors say."""
    import torch
    from torchvision.models.resnet import Bottleneck, ResNet

    names = [
        name.removeprefix("vision_model.model.") for name in tensors if name.startswith("vision_model.model.layer")
    ]
    depths = [len({name.split(".")[1] for name in names if name.startswith(f"layer{n}.")}) for n in (1, 2, 3, 4)]
    if not all(depths):
        raise ModelMissing("these weights are not FLAIR's: they hold no ResNet", "check the model")
    network = ResNet(Bottleneck, depths)
    network.fc = torch.nn.Identity()
    return network


def _projection(tensors: dict[str, Any], side: str) -> Any:
    name = f"{side}_model.projection_head_{side}.projection.weight"
    if name not in tensors:
        raise ModelMissing(f"these weights are not FLAIR's: they hold no {name}", "check the model")
    return tensors[name]


def _unit(rows: Any) -> Any:
    return rows / rows.norm(dim=-1, keepdim=True)
