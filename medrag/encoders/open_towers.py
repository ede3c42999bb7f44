"""Checkpoints made with open_clip's towers but not in its layout: PMC-CLIP, and UniMed-CLIP's image tower.

Lin et al., *PMC-CLIP* (MICCAI 2023); Khattak et al., *UniMed-CLIP* (arXiv 2412.10372). Both are pickles: they are read
as tensors and plain values only, and one that holds more is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medrag import models
from medrag.encoders._pair import Pair, PairEncoder
from medrag.encoders._tensors import below, filled, folder_tensors
from medrag.encoders.flair import empty_bert
from medrag.errors import ModelMissing, SettingsError

EYE, BERT, PROJECTION = "image_encoder(resnet50).pth", "text_encoder.pth", "text_projection_layer.pth"
TOKENS = 77


class _PmcClip(PairEncoder):
    """One side of PMC-CLIP: CLIP's ResNet and a PubMedBERT whose [CLS] is projected.

    ``tower`` has the BERT's configuration and vocabulary. Texts are padded to 77 tokens and read without a mask, as in
    its training.
    """

    family = "pmc-clip"

    @staticmethod
    def load(folder: Path, device: str, tower: str = "") -> Pair:
        if not tower:
            raise SettingsError(f"{folder}: which BERT is its text tower?", "set options: {tower: FOLDER or hub id}")
        tensors = folder_tensors(folder / EYE)
        network, size = _clip_resnet(tensors)
        eye = filled(network, tensors, folder / EYE).to(device)
        bert, words = empty_bert(models.resolve(tower))
        bert = filled(bert, folder_tensors(folder / BERT), folder / BERT).to(device)
        projection = folder_tensors(folder / PROJECTION).to(device)

        def texts(lines: list[str]) -> Any:
            options = {"padding": "max_length", "truncation": True, "max_length": TOKENS, "return_tensors": "pt"}
            tokens = words(lines, **options).to(device)
            return bert(input_ids=tokens["input_ids"]).last_hidden_state[:, 0] @ projection

        return Pair(int(projection.shape[1]), _transform(size), eye, texts)


class PmcClipImages(_PmcClip):
    """Items by their picture. A query goes in as its images, or as its words."""

    modality = "image"


class PmcClipTexts(_PmcClip):
    """Items by their words. A query goes in as its images, or as its words."""

    modality = "text"


class UniMedImages(PairEncoder):
    """The image tower of UniMed-CLIP, a vision transformer of open_clip with QuickGELU; queries are images.

    How its text tower pools and projects is defined by the authors' fork of open_clip alone, so it is not rebuilt here:
    a query of words is refused.
    """

    family = "unimed-clip"
    modality = "image"

    @staticmethod
    def load(folder: Path, device: str) -> Pair:
        file = next(iter(sorted(folder.glob("*.pt"))), None)
        if file is None:
            raise ModelMissing(f"{folder} has no .pt file", "fetch the model again")
        raw = folder_tensors(file)
        tensors = raw.get("state_dict", raw)
        eye = below({name.removeprefix("module."): value for name, value in tensors.items()}, "visual.")
        network, size = _clip_vit(eye, file)
        network = filled(network, eye, file).to(device)

        def texts(lines: list[str]) -> Any:
            raise SettingsError(
                "unimed-clip compares pictures only here, and a query has none",
                "ask a text index, give an image, or take biomedclip",
            )

        return Pair(int(eye["proj"].shape[1]), _transform(size), network, texts)


def _transform(size: int) -> Any:
    """Shortest side to ``size``, centre, CLIP's mean and deviation."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, image_transform

    return image_transform(size, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)


def _clip_resnet(tensors: dict[str, Any]) -> tuple[Any, int]:
    """(CLIP's ResNet of the shape that the tensors have, its image size)."""
    from open_clip.modified_resnet import ModifiedResNet

    try:
        places, _ = tensors["attnpool.positional_embedding"].shape
        width, dim = tensors["layer1.0.conv1.weight"].shape[0], tensors["attnpool.c_proj.weight"].shape[0]
    except KeyError as error:
        raise ModelMissing(f"these weights are not PMC-CLIP's: they hold no {error}", "check the model") from error
    depths = [len({n.split(".")[1] for n in tensors if n.startswith(f"layer{layer}.")}) for layer in (1, 2, 3, 4)]
    size = 32 * round((places - 1) ** 0.5)
    return ModifiedResNet(layers=depths, output_dim=dim, heads=8, image_size=size, width=width), size


def _clip_vit(tensors: dict[str, Any], file: Path) -> tuple[Any, int]:
    """(open_clip's vision transformer of the shape that the tensors have, its image size)."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    try:
        width, _, patch, _ = tensors["conv1.weight"].shape
        places, dim = tensors["positional_embedding"].shape[0], tensors["proj"].shape[1]
    except KeyError as error:
        raise ModelMissing(f"{file} holds no image tower of open_clip: no {error}", "check the model") from error
    size = patch * round((places - 1) ** 0.5)
    layers = len({name.split(".")[2] for name in tensors if name.startswith("transformer.resblocks.")})
    shape = {"image_size": size, "patch_size": patch, "width": width, "layers": layers, "output_dim": dim}
    return VisionTransformer(heads=max(1, width // 64), mlp_ratio=4.0, act_layer=QuickGELU, **shape), size
