"""Privacy mode: which evidence a generator may be shown, and what of it. Statements of the graph and definitions; no report, no passage, no quote.

Only what is listed here goes through, to the generator as to an assistant that asks. A statement keeps the words that the graph makes for it,
which name concepts and count documents, but not the names of reports or what they say. The question and its images are the asker's own and are
shown as they are. It knows no model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from medrag.types import Answer, Citation, Concept, Context, Drop, Hit, Item, Triple

WITHHELD = "privacy mode shows the generator statements of the graph and definitions alone"
_META = ("path", "steps", "cuis", "sources", "stated")  # what the graph writes of a statement, beside its sentence


def split(hits: Iterable[Hit]) -> tuple[list[Hit], tuple[Drop, ...]]:
    """The hits that may be shown, and the others with the reason."""
    every = list(hits)
    withheld = tuple(Drop(hit, WITHHELD) for hit in every if not isinstance(hit.item, Concept | Triple))
    return [hit for hit in every if isinstance(hit.item, Concept | Triple)], withheld


def visible(hits: Iterable[Hit]) -> list[Hit]:
    """The hits that may be shown, and of them what may."""
    return [_bare(hit) for hit in split(hits)[0]]


def permitted(context: Context) -> Context:
    """The context with what may not be shown among what was dropped; its keys are then those of what is left."""
    kept, withheld = split(context.kept)
    return (
        dataclasses.replace(context, kept=tuple(kept), dropped=(*context.dropped, *withheld)) if withheld else context
    )


def shown(context: Context) -> Context:
    """The context as the generator receives it: the same keys, nothing of the hits but what stands above, and no label of a picture."""
    context = permitted(context)
    return dataclasses.replace(context, kept=tuple(visible(context.kept)), dropped=(), labelled=None)


def readable(answer: Answer) -> Answer:
    """The answer as another language model may read it: its text, and of what it rests on what the generator was shown."""
    cited = tuple(_requoted(one) for one in answer.citations if isinstance(one.item, Concept | Triple))
    return dataclasses.replace(answer, citations=cited, context=shown(answer.context), claims=(), trace=())


def bare(item: Item) -> Item:
    """An item that may be shown, and of it what may."""
    return _redacted(item) if isinstance(item, Triple) else item


def _requoted(citation: Citation) -> Citation:
    """The citation with what is left of its item; the quote is of that too."""
    item = bare(citation.item)
    return dataclasses.replace(
        citation, item=item, quote=citation.quote if item.text == citation.item.text else item.text
    )


def _bare(hit: Hit) -> Hit:
    """The hit without its parents, whose items say the same in full."""
    return dataclasses.replace(hit, item=bare(hit.item), parents=())


def _redacted(item: Triple) -> Triple:
    """A statement whose sentence is the graph's own, from a corpus rather than from a document of it."""
    own = "path" in item.meta  # made by the graph; another's sentence may be a quote
    kept = {name: item.meta[name] for name in (*_META, "sentence") if own and name in item.meta}
    corpus, _, _ = item.doc.partition(":")
    return dataclasses.replace(item, id=item.id.partition("@")[0], doc=corpus, meta=kept)
