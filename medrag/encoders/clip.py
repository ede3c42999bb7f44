"""Image-text encoders that transformers knows: CLIP (PubMedCLIP, PLIP), SigLIP (MedSigLIP), and ones with their own code.

Radford et al., *CLIP* (2021); Zhai et al., *SigLIP* (ICCV 2023). A repository's own code (ConceptCLIP) runs only where
``trust_remote_code`` says so. It knows nothing of open_clip's checkpoints; see image_text.py for those.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medrag.encoders._pair import Pair, PairEncoder
from medrag.encoders._shared import quiet
from medrag.errors import ModelMissing, SettingsError


class _Clip(PairEncoder):
    """One side of a transformers dual encoder.

    ``max_length`` is the length of a text in tokens, by default the model's; ``padding`` is how shorter ones are
    filled: ``max_length`` where the model was trained so (SigLIP; its default), ``longest`` otherwise.
    """

    family = "clip"

    @staticmethod
    def load(
        folder: Path, device: str, max_length: int = 0, padding: str = "", trust_remote_code: bool = False
    ) -> Pair:
        model, pictures, words = _parts(folder, trust_remote_code)
        model = model.to(device)
        own = not hasattr(model, "get_text_features")
        siglip = own or model.config.model_type.startswith("siglip")
        text = getattr(model.config, "text_config", None)
        length = max_length or int(getattr(text, "max_position_embeddings", 0)) or min(words.model_max_length, 512)

        def images(pixels: Any) -> Any:
            return _tensor(model.encode_image(pixels) if own else model.get_image_features(pixel_values=pixels))

        def texts(lines: list[str]) -> Any:
            tokens = words(
                lines,
                padding=padding or ("max_length" if siglip else "longest"),
                max_length=length,
                truncation=True,
                return_tensors="pt",
            ).to(device)
            if own:
                return _tensor(model.encode_text(tokens["input_ids"]))
            mask = {} if siglip else {"attention_mask": tokens["attention_mask"]}  # SigLIP reads its padding
            return _tensor(model.get_text_features(input_ids=tokens["input_ids"], **mask))

        import torch

        with torch.inference_mode():
            dim = int(texts(["dimension"]).shape[1])
        return Pair(dim, lambda image: pictures(images=image, return_tensors="pt")["pixel_values"][0], images, texts)


class ClipImages(_Clip):
    """Items by their picture. A query goes in as its images, or as its words: both live in one space."""

    modality = "image"


class ClipTexts(_Clip):
    """Items by their words. A query goes in as its images, or as its words."""

    modality = "text"


def _tensor(found: Any) -> Any:
    """The features, from whichever of the ways that transformers and repositories hand them over."""
    if hasattr(found, "pooler_output"):
        return found.pooler_output
    return found[0] if isinstance(found, tuple) else found


def _parts(folder: Path, trust: bool) -> tuple[Any, Any, Any]:
    """(model, image processor, tokenizer). Weights in pickles are read as tensors only, which is transformers' default."""
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    own_code(folder, trust)
    common = {"trust_remote_code": trust, "local_files_only": True}
    with quiet():
        try:
            model = AutoModel.from_pretrained(folder, dtype=torch.float32, **common).eval()
            pictures, words = (kind.from_pretrained(folder, **common) for kind in (AutoImageProcessor, AutoTokenizer))
        except Exception as error:  # loaders of weights, processors and tokenizers raise nearly anything
            raise ModelMissing(
                f"{folder} cannot be loaded by transformers: {' '.join(str(error).split())[:200]}",
                "fetch it again, or check the folder",
            ) from error
    if not (hasattr(model, "get_text_features") or hasattr(model, "encode_text")):
        raise SettingsError(
            f"{folder}: {type(model).__name__} does not put images and texts into one space", "set another kind"
        )
    return model, pictures, words


def own_code(folder: Path, trust: bool) -> None:
    """Refuses a model that only its repository's code can load, unless that was asked for."""
    import json

    from transformers import CONFIG_MAPPING

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelMissing(f"{folder} has no readable config.json", "fetch the model again") from error
    if "auto_map" in config and config.get("model_type") not in CONFIG_MAPPING and not trust:
        raise SettingsError(
            f"{folder} brings its own code, and medrag runs none unasked",
            "read the .py files there, then set options: {trust_remote_code: true}",
        )
