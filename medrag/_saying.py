"""The stage of a build that adds to a finished graph what the corpora's texts state (`medrag.graph.said`), read off each corpus into a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path

from medrag._stages import Log, Reading
from medrag._util.progress import track
from medrag.settings import Recipe
from medrag.types import Item, Triple, names_of

Texts = Mapping[
    str, tuple[str, Callable[[], Iterable[Item]]]
]  # by corpus: what its statements depend on, its items anew


def add_said(
    recipe: Recipe, path: Path, texts: Texts, work: Path, log: Log, deleted: Collection[str] = (), *, fresh: bool = False
) -> dict[str, int]:  # fmt: skip
    """How many statements of each corpus the graph at ``path`` has gained. Texts are linked anew only where their key has changed."""
    from medrag.graph import GraphStore, Linker
    from medrag.graph.extend import extend
    from medrag.graph.kinds import Kinds
    from medrag.graph.said import Said, Statements

    found: dict[str, Reading] = {}
    with closing(GraphStore.open(path)) as store:
        said = Said(Linker(store).link, Kinds(store))
        for name, (key, items) in texts.items():
            statements = Statements(name, items, recipe.graph.said, said, key)
            found[name] = Reading(work, f"{name}-said", log)
            found[name].out = deleted
            found[name].read(statements, statements.signature(), recipe.chunk, fresh=fresh)
    gone = set(deleted)
    gained = {}
    for name, one in found.items():
        kept = (item for item in one.items() if isinstance(item, Triple) and not names_of(item) & gone)
        gained[name] = extend(path, track(kept, f"add to the graph: {name}"))
    return gained
