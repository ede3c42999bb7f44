"""What a graph knows of a term itself, in sentences: what it stands for, its other names, its codes in the vocabularies that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from medrag._util.terms import VOCABULARIES, codes_asked, names_asked
from medrag.graph.words import in_sentence, keys

if TYPE_CHECKING:
    from medrag.graph.link import Mention
    from medrag.graph.store import GraphStore

NAMED = 8  # names of one thing
CODED = 4  # codes of one vocabulary


def about_term(store: GraphStore, mention: Mention, question: str) -> str:
    """The sentences about the likeliest meaning of a term that the question asks for; empty where it asks for none or there is nothing.

    A vocabulary writes "ICD10CM" in a graph and "ICD-10-CM" here.
    """
    node, surface = mention.concepts[0], mention.surface
    said = _names(store, mention) if names_asked(question) else []
    return " ".join([*said, *_codes(store, node, surface, codes_asked(question))])


def _names(store: GraphStore, mention: Mention) -> list[str]:
    """What an abbreviation may stand for, every meaning that the graph has, and the other names of what has one meaning."""
    node, surface = mention.concepts[0], mention.surface
    members, first = store.members(node), store.concept(node).name
    short = surface.isupper() and len(surface) <= 6 and len(first) > len(surface)
    every = dict.fromkeys(name for one in members for name in (one.name, *one.synonyms))
    known, others = {_bare(surface), _bare(first) if short else ""}, []
    for name in every:
        if not {",", "("} & set(name) and _bare(name) not in known:
            known.add(_bare(name))
            others.append(name)
    nodes = [*mention.concepts, *(one.node for some in store.named(keys(surface)).values() for one in some)]
    means = dict.fromkeys(in_sentence(store.concept(one).name, store.proper) for one in nodes)
    said = [f"{surface} can stand for {_listed(list(means)[:NAMED], last='or')}."] if short else []
    if others and len(means) < 2:
        begins = "Other names of" if len(others) > 1 else "Another name of"
        said.append(
            f"{begins} {surface} {'are' if len(others) > 1 else 'is'} {_listed([in_sentence(one, store.proper) for one in others[:NAMED]])}."
        )
    return said


def _bare(name: str) -> str:
    return name.casefold().removesuffix("s")


def _codes(store: GraphStore, node: str, surface: str, wanted: Iterable[str]) -> list[str]:
    has = store.crosswalk(node)
    found = [f"{VOCABULARIES[name][0]} {_listed(_written(name, has[name]))}" for name in wanted if name in has]
    if not found:
        return []
    many = len(found) > 1 or " and " in found[0]
    return [f"The {'codes' if many else 'code'} of {surface} {'are' if many else 'is'} {_listed(found, '; ')}."]


def _written(vocabulary: str, codes: Sequence[str]) -> list[str]:
    """Codes as their vocabulary writes them: "HP:0002094", "J45"."""
    prefixed = vocabulary in ("HP", "MONDO", "DOID", "UBERON")
    return [f"{vocabulary}:{code}" if prefixed else code for code in codes[:CODED]]


def _listed(parts: Sequence[str], between: str = ", ", last: str = "and") -> str:
    return f"{between.join(parts[:-1])} {last} {parts[-1]}" if len(parts) > 1 else "".join(parts)
