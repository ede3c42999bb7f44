"""Adding a corpus to a recipe file, so that comments and order of the file stay as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag.errors import SettingsError

if TYPE_CHECKING:
    from medrag.settings import CorpusSettings

_TEXTS = {"document", "page", "passage"}


def fragment(settings: CorpusSettings) -> str:
    """The corpus as it stands in a recipe."""
    import yaml

    values = settings.model_dump(mode="json", exclude_defaults=True)
    lines = yaml.safe_dump(values, sort_keys=False, allow_unicode=True).splitlines()
    return "corpora:\n" + "".join(f"  {'- ' if n == 0 else '  '}{line}\n" for n, line in enumerate(lines))


def _flow(settings: CorpusSettings) -> str:
    """The corpus on one line, which fits into a list of any style."""
    return _in_flow(settings.model_dump(mode="json", exclude_defaults=True))


def _in_flow(values: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**6)
    return text.strip()


def add_to_recipe(path: Path, settings: CorpusSettings, kinds: set[str]) -> str:
    """Adds the corpus to a recipe file, or makes one with indexes for these kinds; says which.

    Raises SettingsError when the recipe has a corpus of that name, or is not written in a way that can be added to.
    """
    from medrag._util.files import atomic_open
    from medrag.settings import Recipe, parse

    there = path.is_file()
    text = with_corpus(path, settings) if there else new_recipe(path, settings, kinds)
    parse(Recipe, _load(text), str(path))
    with atomic_open(path, "w") as handle:
        handle.write(text)
    return "added to" if there else "made"


def with_corpus(path: Path, settings: CorpusSettings) -> str:
    """The text of a recipe with one more corpus, right below the line ``corpora:``."""
    from medrag.settings import load_recipe

    if settings.name in {corpus.name for corpus in load_recipe(path).corpora}:
        raise SettingsError(f"{path} has a corpus {settings.name!r} already", "choose another name, or edit the file")
    before = path.read_text(encoding="utf-8")
    indent = re.search(r"^corpora:[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*([ \t]*)- ", before, re.MULTILINE)
    own = fragment(settings).partition("\n")[2]
    if indent:
        own = re.sub(r"^  ", indent.group(1), own, flags=re.MULTILINE)
        after = re.sub(
            r"^corpora:[ \t]*(?:#.*)?\n", lambda line: line.group() + own, before, count=1, flags=re.MULTILINE
        )
        if _grew(before, after, settings):
            return after
    raise SettingsError(
        f"{path}: the list of corpora is written in a way that cannot be added to",
        f"put this into it by hand: {_flow(settings)}",
    )


def _grew(before: str, after: str, settings: CorpusSettings) -> bool:
    """Whether the new text differs from the old by this corpus and nothing else."""
    old, new = _load(before), _load(after)
    added = settings.model_dump(mode="json", exclude_defaults=True)
    return bool(new == {**old, "corpora": [added, *old["corpora"]]})


def _load(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


def new_recipe(path: Path, settings: CorpusSettings, kinds: set[str]) -> str:
    """A recipe for one corpus, with the encoders and indexes that these kinds of items call for."""
    from medrag._implied import implied

    name = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_") or "mine"
    lines = [f"name: {name}", fragment(settings).rstrip()]
    for part, value in implied({"passage" if kind in _TEXTS else kind for kind in kinds}).items():
        if isinstance(value, dict):
            lines += [f"{part}:", *(f"  {_in_flow({key: row})[1:-1]}" for key, row in value.items())]
        else:
            lines.append(f"{part}: {value}")
    return "\n".join([*lines, ""])
