"""CONCH, the image-text encoder of pathology, through its authors' package: gated weights, architecture and tokenizer theirs.

Lu et al., *CONCH* (Nature Medicine, 2024). medrag neither ships nor installs it, and says what to do where it is not there.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from medrag.encoders._pair import Pair, PairEncoder
from medrag.errors import MissingDependency, ModelMissing

NAME, TOKENS = "conch_ViT-B-16", 127
STEPS = "pip install git+https://github.com/mahmoodlab/CONCH, after its authors granted you access to MahmoodLab/CONCH"


class _Conch(PairEncoder):
    """One side of CONCH. Its checkpoint is a pickle, read by the package as torch's default has it: tensors only."""

    family = "conch"

    @staticmethod
    def load(folder: Path, device: str) -> Pair:
        import torch

        package, words = _package()
        weights = folder / "pytorch_model.bin"
        if not weights.is_file():
            raise ModelMissing(f"{folder} has no {weights.name}", "medrag models get conch")
        try:
            model, prepare = package.create_model_from_pretrained(NAME, checkpoint_path=str(weights), device=device)
        except Exception as error:  # somebody else's loader
            line = " ".join(str(error).split())[:200]
            raise ModelMissing(f"{weights} cannot be loaded by the package conch: {line}", STEPS) from error
        model = model.eval()

        def texts(lines: list[str]) -> Any:
            options = {"padding": "max_length", "truncation": True, "max_length": TOKENS, "return_tensors": "pt"}
            ids = words(lines, add_special_tokens=True, **options)["input_ids"]
            room = torch.nn.functional.pad(ids, (0, 1), value=words.pad_token_id)  # where the model puts its <cls>
            return model.encode_text(room.to(device))

        with torch.inference_mode():
            dim = int(texts(["dimension"]).shape[1])
        return Pair(dim, prepare, model.encode_image, texts)


class ConchImages(_Conch):
    """Items by their picture. A query goes in as its images, or as its words."""

    modality = "image"


class ConchTexts(_Conch):
    """Items by their words. A query goes in as its images, or as its words."""

    modality = "text"


def _package() -> tuple[Any, Any]:
    """(the package's module of models, its tokenizer)."""
    try:
        package = importlib.import_module("conch.open_clip_custom")
    except ImportError as error:
        raise MissingDependency("conch is loaded by its authors' package, which is not installed", STEPS) from error
    return package, package.get_tokenizer()
