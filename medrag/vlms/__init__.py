"""Answer writers: local transformers, servers, LangChain models, recordings, and one that needs no model at all.

`open_generator` turns what people write under ``model`` into a `medrag.protocols.Generator`. It knows names, not
weights: nothing is loaded before the first question.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag import models, plugins
from medrag._util.near import meant
from medrag.errors import SettingsError
from medrag.vlms.medrag_small import RECIPE

if TYPE_CHECKING:
    from medrag.protocols import Generator


def open_generator(model: Any, **options: Any) -> Generator:
    """The generator that a name or an object stands for.

    ``"extractive"`` and other plug-in names; a generator of ``presets/models.yaml`` (``"medrag-small"``); ``"kind:rest"`` such
    as ``"openai:MODEL"``, ``"langchain:PROVIDER:MODEL"``, ``"replay:PATH"``; a folder, a GGUF file or a hub id, which
    transformers loads; ``"module:Class"``, which is made as ``Class("", **options)``; a LangChain chat model; or any object with ``name``, ``sees_images`` and
    ``stream``. Raises SettingsError for a name or an option that nothing knows.
    """
    if not isinstance(model, str):
        return _from_object(model, options)
    row = models.describe(model)
    if row and row.role != "generator":  # an encoder and a generator of one name: "medrag-small" here is the latter
        row = models.describe(f"{model}-vlm") or row
        model = row.name
    if row:
        if row.role != "generator":
            raise SettingsError(
                f"model {model!r} is a {row.role}, it writes no answers", f"known: {', '.join(_known())}"
            )
        return _make(row.kind, model, {**dict(row.options), **options})
    kind, colon, rest = model.partition(":")
    if model in plugins.names("vlms"):
        return _make(model, "", options)
    if colon and kind in plugins.names("vlms") and not Path(model).exists():
        return _make(kind, rest, options)
    if (Path(model) / RECIPE).is_file():  # trained here: an adapter and a projector, no whole checkpoint
        return _make("medrag-small", model, options)
    if "/" in model or Path(model).exists():
        return _make("transformers", model, options)
    if colon and _importable(kind):
        return _make(model, "", options)
    near = difflib.get_close_matches(kind, _known())
    known = f"known: {', '.join(_known())}; or openai:MODEL, a hub id, a folder"
    meant = f"{near[0]}{colon}{rest}" if near else ""
    raise SettingsError(f"no generator is named {model!r}", f"did you mean {meant!r}?" if near else known)


def _importable(module: str) -> bool:
    """Whether the first part of a dotted name is an installed package; nothing is imported."""
    top = module.partition(".")[0]
    return top.isidentifier() and importlib.util.find_spec(top) is not None


def _known() -> list[str]:
    return sorted({*plugins.names("vlms"), *(name for name, row in models.table().items() if row.role == "generator")})


def _make(kind: str, model: str, options: dict[str, Any]) -> Generator:
    """The plug-in, made; an option that it does not have is refused with the nearest one."""
    cls = plugins.load("vlms", kind)
    parameters = inspect.signature(cls).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for name in () if open_ended else options:
        if name not in parameters:
            raise SettingsError(f"{kind} has no option {name!r}", meant(name, sorted(set(parameters) - {"model"})))
    generator: Generator = plugins.make("vlms", kind, cls, model, **options)
    return _fits(generator) if ":" in kind else generator


def _from_object(model: Any, options: dict[str, Any]) -> Generator:
    if any(
        cls.__name__ == "BaseChatModel" and cls.__module__.startswith("langchain_core.") for cls in type(model).__mro__
    ):
        return _make("langchain", model, options)
    if options:
        raise SettingsError(f"options do not apply to a ready {type(model).__name__}", "set them when you make it")
    return _fits(model)


def _fits(model: Any) -> Generator:
    missing = [name for name in ("stream", "name", "sees_images") if not hasattr(model, name)]
    if missing:
        raise SettingsError(
            f"{type(model).__name__} is no generator: it has no {', '.join(missing)}", "see medrag.protocols.Generator"
        )
    generator: Generator = model
    return generator
