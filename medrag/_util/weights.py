"""Which weights these are: a name for what lies in a model's file or folder, quick enough to ask at every start."""

from __future__ import annotations

import hashlib
from pathlib import Path

from medrag._util.files import sha256_text

WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".onnx", ".gguf")
EDGE = 1 << 20


def weights_id(path: Path) -> str:
    """Names the weights in a file or folder: every file's name and size, the first and last MiB of weight files and
    the whole of small ones (configuration, vocabulary). 20 ms for a large model; other weights of the same size differ
    in their first or last MiB in practice, as both hold tensors."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if _counts(p, path))
    parts = [
        f"{file.relative_to(path) if file != path else ''}:{file.stat().st_size}:{_sample(file)}" for file in files
    ]
    return sha256_text(*parts)[:16]


def _counts(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return (
        file.is_file()
        and not hidden
        and file.suffix in (*WEIGHTS, ".json", ".txt", ".model")
        and file.name != "data_config.json"
    )


def _sample(file: Path) -> str:
    size = file.stat().st_size
    with file.open("rb") as stream:
        digest = hashlib.sha256(stream.read(EDGE))
        stream.seek(max(EDGE, size - EDGE))
        digest.update(stream.read())
    return digest.hexdigest()
