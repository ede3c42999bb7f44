"""Models by name: what they are, where their weights come from, and where they lie on this machine.

``presets/models.yaml`` is the table. A model is looked for in this order: a local folder, what was fetched or
installed from a registry package, the local hub cache. `resolve` never reaches the network; `get` does, when asked.
``NAME@REVISION`` pins the commit, tag or branch of a hub model, named here or not.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrag._util.fetch import fetch, package_file
from medrag._util.near import meant
from medrag.errors import ModelMissing, SettingsError


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table."""

    name: str
    role: str  # text-encoder, image-encoder, image-text-encoder, page-encoder, generator, router
    kind: str  # plug-in that loads it
    licence: str
    package: str = ""  # NAME/path/inside, of presets/packages.yaml
    share: str = ""  # a file or folder that ships with medrag, below medrag/presets
    hub: str = ""  # repo id; datasets/… where the weights lie in a data repository
    revision: str = ""
    files: tuple[str, ...] = ()  # what is fetched of it, where FILES does not say
    needs: tuple[str, ...] = ()  # what loading it reads besides: named models, hub repositories (id@revision)
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
        name: Model(
            name=name,
            **{
                **row,
                "options": tuple((row.get("options") or {}).items()),
                "files": tuple(row.get("files") or ()),
                "needs": tuple(row.get("needs") or ()),
            },
        )
        for name, row in rows.items()
    }


def describe(name: str) -> Model | None:
    """The row of a named model, ``NAME@REVISION`` with that revision; None for a folder or a hub id that is no name.

    Raises SettingsError for a revision of a model that does not come from a hub.
    """
    if row := table().get(name):
        return row
    base, _, revision = name.rpartition("@")
    row = table().get(base)
    if row is None or not revision:
        return None
    if not row.hub:
        raise SettingsError(f"model {base} has no revision {revision!r}: it does not come from a hub", f"write {base}")
    return dataclasses.replace(row, revision=revision)


def _repository(name: str, model: Model | None) -> tuple[str, str]:
    """(repo id, revision) of a hub model; the revision may be empty."""
    if model:
        return model.hub, model.revision
    repo, _, revision = name.rpartition("@")
    return (repo, revision) if repo else (name, "")


def resolve(name: str) -> Path:
    """The folder or file of a model's weights on this machine.

    Raises ModelMissing, with the command that fetches it, when it is not here; SettingsError for an unknown name.
    """
    model = describe(name)
    if model is None and Path(name).exists():  # a folder named like a model is meant as ./NAME
        return Path(name)
    refuse_unknown(name)
    if model and model.share:
        return Path(__file__).parent / "presets" / model.share
    if model and model.package:
        try:
            return package_file(model.package)
        except ModelMissing as error:
            raise ModelMissing(f"model {name} is not on this machine", f"medrag models get {name}") from error
    return _hub(*_repository(name, model), offline=True, name=name)


def refuse_unknown(name: str) -> None:
    """Raises SettingsError, with the nearest name, for what is neither a named model nor a folder nor a hub id."""
    if describe(name) is None and "/" not in name and not Path(name).exists():
        otherwise = f"known: {', '.join(sorted(table()))}; or a hub id, or a folder"
        raise SettingsError(f"no model is named {name!r}", meant(name.partition("@")[0], table(), otherwise))


def get(name: str) -> Path:
    """Fetches a model (or a data package) by name and returns where it lies. Reaches the network."""
    from medrag._util.fetch import packages

    model = describe(name)
    if model is None and name in packages():
        return fetch(name)
    for other in model.needs if model else ():
        _get_needed(other, tokenizer_only=model is not None and other == dict(model.options).get("tower"))
    try:
        return resolve(name)
    except ModelMissing:
        pass
    if model and model.package:
        fetch(model.package.partition("/")[0])
        return resolve(name)
    return _hub(*_repository(name, model), offline=False, name=name, files=model.files if model else ())


def _get_needed(name: str, *, tokenizer_only: bool) -> None:
    if name in table():
        get(name)
        return
    repo, revision = _repository(name, None)
    try:
        _hub(repo, revision, offline=True, name=name)
    except ModelMissing:
        _hub(repo, revision, offline=False, name=name, files=TOKENIZER if tokenizer_only else ())


TOKENIZER = ("config.json", "vocab.txt", "tokenizer*.json", "special_tokens_map.json")
FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.gguf", "*.onnx", "open_clip_pytorch_model.bin")
WEIGHTS = (".safetensors", ".gguf", ".onnx", ".bin")
PICKLED = ("pytorch_model*.bin",)  # only of a repository that has nothing else; read as tensors alone


def _hub(repo: str, revision: str, *, offline: bool, name: str, files: tuple[str, ...] = ()) -> Path:
    """A snapshot of a hub repository: weights and configuration; code only where a row's ``files`` names it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    kind, repo_id = ("dataset", repo.removeprefix("datasets/")) if repo.startswith("datasets/") else ("model", repo)

    def snapshot(patterns: tuple[str, ...]) -> Path:
        options: dict[str, Any] = {"repo_type": kind, "revision": revision or None, "local_files_only": offline}
        return Path(snapshot_download(repo_id, allow_patterns=list(patterns), **options))

    try:
        found = snapshot(files or FILES)
        if not offline and not files and not any(file.suffix in WEIGHTS for file in found.rglob("*")):
            found = snapshot((*FILES, *PICKLED))
        return found
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        if offline and isinstance(error, LocalEntryNotFoundError | FileNotFoundError):
            raise ModelMissing(f"model {name} is not on this machine", f"medrag models get {name}") from error
        raise ModelMissing(
            f"{repo} could not be fetched: {' '.join(str(error).split())[:160]}",
            _hub_hint(error, repo_id),
        ) from error


def _hub_hint(error: Exception, repo: str) -> str:
    """What mends a failed download: access to a gated repository, or the name and the network."""
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return f"accept its terms on the hub's page of {repo}, then `hf auth login`"
    return "check the repository id, the revision and the network"
