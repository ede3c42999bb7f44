"""Every host that a configuration would contact, read off its settings; nothing is contacted, loaded or looked up.

What medrag itself reaches is named. Of what it merely calls (a LangChain model, a class of your own) it is said that medrag does not know. A registry or hub
may send its clients on to hosts of its own for the files; MEDRAG_OFFLINE=1 enforces that no host is reached at all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from medrag import models, plugins
from medrag._util.fetch import REGISTRIES, packages

if TYPE_CHECKING:
    from medrag.settings import Recipe

UNKNOWN = "unknown"
HUB = "https://huggingface.co"
TRACING = ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2")
PROXIES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Contact:
    """A host, or `UNKNOWN`; who contacts it, and what it is sent."""

    host: str
    by: str
    what: str


def of_answers(recipe: Recipe, model: Any = None, options: Mapping[str, Any] | None = None) -> list[Contact]:
    """Of questions asked of a recipe's index: `medrag ask`, `chat`, `serve`, `eval`."""
    given = recipe.pipeline.model_options if model is None else options or {}
    found = [*_of_generator(recipe.pipeline.model if model is None else model, given), *_of_parts(recipe), *_tracing()]
    return _through_proxies(found)


def of_build(recipe: Recipe, ray: str = "") -> list[Contact]:
    """Of `medrag index build`, with the address of a Ray cluster where one encodes."""
    readers = (
        Contact(UNKNOWN, f"corpus {one.name}: {one.reader}", "whatever this class sends")
        for one in recipe.corpora
        if ":" in one.reader
    )
    cluster = [Contact(_host(ray) or f"the Ray cluster {ray}", "ray", "texts and images of the corpora")] if ray else []
    return _through_proxies([*readers, *cluster, *_of_parts(recipe)])


def of_fetch(names: Iterable[str]) -> list[Contact]:
    """Of `medrag models get NAME …`, whether or not they are on this machine already."""
    return _through_proxies(dict.fromkeys(one for name in names for one in _of_fetching(name, set())))


def _of_generator(model: Any, options: Mapping[str, Any]) -> Iterator[Contact]:
    what = "the question, its images, the evidence"
    if not isinstance(model, str):
        yield Contact(UNKNOWN, f"generator {type(model).__name__}", what)
        return
    row, (kind, colon, _) = models.describe(model), model.partition(":")
    if kind == "openai" and colon:
        url = str(options.get("base_url") or os.environ.get("OPENAI_BASE_URL", ""))
        yield Contact(_host(url) or UNKNOWN, f"generator {model}", what)
    elif kind == "langchain" and colon:
        yield Contact(UNKNOWN, f"generator {model}: the host is LangChain's matter", what)
    elif row is None and colon and kind not in plugins.names("vlms"):
        yield Contact(UNKNOWN, f"generator {model}: a class of your own", what)


def _of_parts(recipe: Recipe) -> Iterator[Contact]:
    """Of encoders and indexes: those of medrag read files; a server of vectors and classes of one's own do not."""
    for name, encoder in recipe.encoders.items():
        if ":" in encoder.kind:
            yield Contact(UNKNOWN, f"encoder {name}: {encoder.kind}", "texts and images of the corpora and questions")
    for name, index in recipe.indexes.items():
        if ":" in index.kind:
            yield Contact(UNKNOWN, f"index {name}: {index.kind}", "ids and vectors")
        elif host := _host(str(index.options.get("uri", ""))):
            yield Contact(host, f"index {name}: {index.kind}", "ids and vectors")


def _tracing() -> Iterator[Contact]:
    """LangChain's own tracing, which an environment variable turns on and which would see the steps of the search loop."""
    if any(os.environ.get(name, "").lower() in ("1", "true") for name in TRACING):
        url = os.environ.get("LANGSMITH_ENDPOINT") or os.environ.get("LANGCHAIN_ENDPOINT")
        by = f"LangSmith, since {' or '.join(TRACING)} is set"
        yield Contact(_host(url or "https://api.smith.langchain.com"), by, "the steps of --agent with their content")


def _of_fetching(name: str, seen: set[str]) -> Iterator[Contact]:
    row = models.describe(name)
    package = (row.package.partition("/")[0] if row else "") or (name if row is None and name in packages() else "")
    if package:
        npm = packages()[package].registry == "npm"
        for url in filter(_host, [_npm()] if npm else _pip()):  # a folder is no host
            yield Contact(_host(url), "npm" if npm else "pip", f"the name of the package {package}")
    elif row is None or row.hub:
        url = os.environ.get("HF_ENDPOINT", HUB)
        yield Contact(_host(url), "huggingface_hub", f"the name of the repository {row.hub if row else name}")
    for other in row.needs if row and name not in seen else ():
        yield from _of_fetching(other, seen | {name})


def _pip() -> list[str]:
    """The indexes that pip is set to, as pip says."""
    asked = ("index-url", "extra-index-url")
    first, more = (os.environ.get(f"PIP_{name.upper().replace('-', '_')}") or _pip_setting(name) for name in asked)
    return [first or REGISTRIES["pypi"], *more.split()]


def _pip_setting(name: str) -> str:
    return _said(sys.executable, "-m", "pip", "config", "--disable-pip-version-check", "get", f"global.{name}")


def _npm() -> str:
    return (_said("npm", "config", "get", "registry") if shutil.which("npm") else "") or REGISTRIES["npm"]


def _said(*command: str) -> str:
    """What a registry's client says of its own settings; it contacts nobody for that."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _through_proxies(found: Iterable[Contact]) -> list[Contact]:
    every = list(found)
    urls = [os.environ[name] for name in PROXIES if os.environ.get(name)] if every else []
    proxies = dict.fromkeys(_host(url if "//" in url else f"//{url}") for url in urls)
    return [*every, *(Contact(one, "the proxy of this environment", "what goes to other hosts") for one in proxies)]


def _host(url: str) -> str:
    """HOST or HOST:PORT of an address; nothing where it names none."""
    parts = urlsplit(url if "//" in url else "")
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
