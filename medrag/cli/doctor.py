"""``medrag doctor``: what is here, what is missing, and the one line that mends each."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from medrag.cli.needs import (
    DEMO_IMAGES,
    fetchable,
    get_line,
    missing_models,
    missing_packages,
    models_of,
    packages_of,
    recipe_of,
)
from medrag.cli.output import Json, emit, say, size_text, table
from medrag.errors import IndexMissing, MedragError

_PACKAGES = (
    "defusedxml faiss-cpu filelock gguf httpx huggingface_hub jinja2 langchain-core langgraph networkx numpy "
    "open_clip_torch openai pillow platformdirs pydantic pydicom pylibjpeg pymupdf pyyaml rank-bm25 rich scipy "
    "sentence-transformers timm torch torchvision transformers typer"
).split()
_STANDS_IN = {"faiss-cpu": ("faiss-gpu", "faiss-gpu-cu12"), "pymupdf": ("pymupdf-pro",)}
_EXTRAS = {
    "server": "fastapi",
    "tune": "trl",
    "eval": "ir_measures",
    "milvus": "pymilvus",
    "ray": "ray",
    "fast": "onnx",
}
_ROOM = 2_000_000_000  # bytes: the sample's packages, index and a model to spare


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. ``missing`` breaks the sample; ``optional`` does not."""

    name: str
    state: Literal["ok", "missing", "optional"]
    detail: str = ""
    mend: str = ""


def doctor(
    hosts: Annotated[
        bool, typer.Option("--hosts", help="List instead which hosts an index and its model would contact.")
    ] = False,
    index: Annotated[str, typer.Option("--index", help="With --hosts: an index or a recipe file.")] = "sample",
    model: Annotated[str, typer.Option("--model", help="With --hosts: who answers (default: the recipe's).")] = "",
    as_json: Json = False,
) -> None:
    """Check this machine, and say what mends what is missing.

    The exit status is 1 when something that the sample needs is missing.
    """
    if hosts:
        _show_hosts(index, model, as_json)
        return
    checks = [check for group in GROUPS for check in _guarded(group)]
    healthy = all(check.state != "missing" for check in checks)
    if as_json:
        emit({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    else:
        table(("check", "state", "detail"), [(c.name, c.state, c.detail) for c in checks])
        for check in checks:
            if check.mend:
                say(f"{check.state}: {check.name} → {check.mend}")
    if not healthy:
        raise typer.Exit(1)


def _show_hosts(index: str, model: str, as_json: bool) -> None:
    """Of fetching what a recipe needs, of building it, of asking it."""
    from medrag import hosts
    from medrag.cli.hosts import show

    recipe = recipe_of(index)
    data = [spec.partition("/")[0] for spec in packages_of(recipe)]
    needed = [*models_of(recipe, model), *(name for name in data if fetchable(name))]
    every = [*hosts.of_fetch(needed), *hosts.of_build(recipe), *hosts.of_answers(recipe, model or None)]
    show(list(dict.fromkeys(every)), as_json)


def _guarded(group: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A group of checks; one that fails is a finding, not an end."""
    try:
        yield from group()
    except MedragError as error:
        yield Check(group.__name__.strip("_"), "missing", error.message, error.hint)


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Check("python", "ok" if good else "missing", version, "" if good else "install Python 3.11 or newer")


def _packages() -> Iterator[Check]:
    """The packages that medrag needs in one line when all are there, and the extras."""
    lost = [name for name in _PACKAGES if not any(map(installed, (name, *_STANDS_IN.get(name, ()))))]
    for name in lost:
        yield Check(f"package {name}", "missing", "not installed", f"pip install {name}")
    if not lost:
        yield Check("packages", "ok", f"all {len(_PACKAGES)} are installed")
    for extra, name in _EXTRAS.items():
        here = installed(name)
        yield Check(
            f"extra {extra}",
            "ok" if here else "optional",
            here or "not installed",
            "" if here else f'pip install "medrag[{extra}]"',
        )


def installed(name: str) -> str:
    """The version of an installed package; empty when it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _torch() -> Iterator[Check]:
    """Whether torch and torchvision fit together, and what they run on."""
    try:
        import torch
        import torchvision  # noqa: F401
    except Exception as error:  # mismatched builds fail with nearly anything
        reason = " ".join(str(error).split())[:120]
        yield Check("torch", "missing", reason, "pip install --upgrade --force-reinstall torch torchvision")
        return
    yield Check("torch", "ok", torch.__version__)
    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none: the CPU is used"
    yield Check("gpu", "ok", name)


def _models() -> Iterator[Check]:
    from medrag.models import table as known
    from medrag.settings import load_recipe

    needed = models_of(load_recipe("sample"))
    for name in dict.fromkeys([*needed, *known()]):
        lost = missing_models([name])
        state: Literal["ok", "missing", "optional"] = "ok" if not lost else "missing" if name in needed else "optional"
        yield Check(f"model {name}", state, "not on this machine" if lost else "", get_line(name) if lost else "")


def _data() -> Iterator[Check]:
    from medrag.settings import load_recipe

    specs = [*packages_of(load_recipe("sample")), *DEMO_IMAGES.values()]
    lost = missing_packages(specs)
    for name in dict.fromkeys(spec.partition("/")[0] for spec in specs):
        gone = name in lost
        yield Check(
            f"sample data {name}",
            "missing" if gone else "ok",
            "not on this machine" if gone else "",
            get_line(name) if gone else "",
        )


def _indexes() -> Iterator[Check]:
    from medrag._util.places import built, share
    from medrag.indexes.store import open_store

    for recipe in sorted((share() / "indexes").glob("*/recipe.yaml")):
        name = recipe.parent.name
        try:
            store = open_store(built(name), name=name)
            yield Check(f"index {name}", "ok", f"built {store.manifest.created}")
        except MedragError as error:
            detail = "not built" if isinstance(error, IndexMissing) else error.message
            yield Check(f"index {name}", "missing" if name == "sample" else "optional", detail, error.hint)


def _folders() -> Iterator[Check]:
    """Room and the right to write where things are fetched and built, and the folder of the user's own data."""
    from medrag._util.places import built, home

    for label, folder in (("fetched files", home()), ("built indexes", built("sample"))):
        stands = next(path for path in (folder, *folder.parents) if path.exists())
        yield from _folder(label, folder, stands)
    data = os.environ.get("MEDRAG_DATA", "")
    if data and Path(data).is_dir():
        yield Check("MEDRAG_DATA", "ok", data)
    else:
        yield Check(
            "MEDRAG_DATA",
            "optional",
            f"{data} does not exist" if data else "not set",
            "export MEDRAG_DATA=/path/to/the/folder",
        )


def _folder(label: str, folder: Path, stands: Path) -> Iterator[Check]:
    free = shutil.disk_usage(stands).free
    if not os.access(stands, os.W_OK):
        yield Check(label, "missing", f"{stands} cannot be written", "export MEDRAG_HOME=/a/folder/of/yours")
    elif free < _ROOM:
        yield Check(
            label,
            "missing",
            f"{folder}: {size_text(free)} free, {size_text(_ROOM)} needed",
            "free space, or export MEDRAG_HOME=/another/folder",
        )
    else:
        yield Check(label, "ok", f"{folder}, {size_text(free)} free")


def _network() -> Iterator[Check]:
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")
    said = (
        "HF_HUB_OFFLINE is set: hub models come from the cache only"
        if offline
        else "used by `medrag models get` and `medrag demo` only"
    )
    yield Check("network", "ok", said)


GROUPS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _packages,
    _torch,
    _models,
    _data,
    _indexes,
    _folders,
    _network,
)
