"""State dicts from disk into modules: read as data only, every name and shape checked. Knows no particular model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medrag.errors import ModelMissing


def folder_tensors(path: Path) -> Any:
    """Tensors of a safetensors file or a pickle, read as data: nothing in the file can run.

    Raises ModelMissing when the file is not there or holds something else than tensors and plain values.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelMissing(f"{path.parent} has no {path.name}", "fetch the model again")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        line = " ".join(str(error).split())[:120]
        raise ModelMissing(
            f"{path} cannot be read as weights alone: {line}", "fetch it again, or convert it to safetensors"
        ) from error


def filled(module: Any, tensors: dict[str, Any], where: Path) -> Any:
    """The module with these tensors, every name and shape checked but for position numbers; ModelMissing otherwise."""
    tensors = {name: value for name, value in tensors.items() if not name.endswith("position_ids")}
    try:
        left = module.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ModelMissing(
            f"{where} does not fit: {' '.join(str(error).split())[:160]}", "is it this model's?"
        ) from error
    missing = [name for name in left.missing_keys if not name.endswith("position_ids")]
    if missing or left.unexpected_keys:
        raise ModelMissing(f"{where} does not fit: {[*missing, *left.unexpected_keys][:3]}", "is it this model's?")
    return module.eval()


def below(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
