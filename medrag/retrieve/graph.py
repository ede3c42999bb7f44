"""Retrieval from the knowledge graph: link the question's words, give their definitions, walk from them.

Hits are the concepts that are asked about, where they have a definition, and statements as Triples: single edges, and paths
written as one sentence. After KG-RAG (arXiv 2410.04749), with concept linking in place of embedded triples. What is not
linked is not found: this source says nothing to a question without a known term, or (with `medrag.graph.near`) one near a known term. A chest radiograph is looked at where a findings
reader is given, and at what most reports of look-alike studies state: that is asked about too, less than what the question names. A statement that texts make says in how many; their
sentences stand in ``meta["quotes"]`` and never in its text. Excluded documents neither make it, nor count, nor are quoted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medrag._util.findings import ASKED
from medrag._util.terms import codes_in
from medrag._util.text import content_words
from medrag.graph.link import Linker, Mention
from medrag.graph.relations import phrase
from medrag.graph.said import MARK
from medrag.graph.store import Edge, GraphStore, Path
from medrag.graph.terms import about_term
from medrag.graph.told import how_often, in_words, left, stated
from medrag.graph.words import in_sentence, keys, stem
from medrag.types import Concept, Hit, Query, Triple

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.graph.near import NearNames
    from medrag.retrieve.alike import Reported

WALKS = 40  # paths considered from each mention
SURE = 0.5  # probability from which a finding of the image is asked about
DOCS = 20  # documents named of one item; ``stated`` counts all
QUOTES = 3  # of one statement
NORMAL = frozenset({"normal"})
See = Callable[[Sequence["Image"]], Mapping[str, float]]  # images of one study → probabilities by label
_ARTICLE = re.compile(r"^(?:a|an|the) ")
SHARED = {"is_a": "are both kinds of", "has_phenotype": "can both present with", "part_of": "are both parts of"}
DENIED = {
    ("has_phenotype", True): "is described without", ("has_phenotype", False): "is not a feature of",
    ("located_at", True): "is denied at", ("located_at", False): "is a site where reports deny",
    ("suggestive_of", True): "is said not to suggest", ("suggestive_of", False): "is not seen as",
    ("modified_by", True): "is denied as", ("modified_by", False): "is what reports deny of",
}  # fmt: skip


class GraphRetriever:
    """Definitions of the concepts in the question, and paths of up to ``hops`` statements from them."""

    def __init__(
        self, store: GraphStore, name: str = "graph", hops: int = 2, see: See | None = None, near: NearNames | None = None,
        reported: Reported | None = None,
    ) -> None:  # fmt: skip
        self.store, self.name, self.hops, self.see, self.reported = store, name, hops, see, reported
        self.linker = Linker(store, near)

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most ``k`` hits, best first, ties by id. Definitions lie between 0 and 2, paths mostly below 1.

        A path's score falls with its length and with the neighbours of what it meets (`medrag.graph.walk`); it doubles
        for each further concept of the question that it joins, and grows by the share of the question's words in it.
        """
        asked = self._seen(query)
        for mention in self.linker.asked(query.text):
            asked[mention] = max(_weight(mention), asked.get(mention, 0.0))
        asked |= dict.fromkeys(self._coded(query.text), 1.0)
        found: dict[str, tuple[float, Concept | Triple]] = {}
        every: list[tuple[float, Concept | Path]] = [*self._definitions(asked, query.text), *self._paths(query, asked)]
        last = math.inf
        for score, thing in sorted(every, key=lambda pair: -pair[0]):
            if len(found) >= k and score < last:  # ties with the last are all looked at, so that ids decide
                break
            item = thing if isinstance(thing, Concept) else self.as_item(thing, query.exclude)
            if not {item.id, item.doc} & query.exclude:
                last = min(last, found.setdefault(item.id, (score, item))[0])
        best = sorted(found.values(), key=lambda pair: (-pair[0], pair[1].id))[:k]
        return [Hit(item, score, rank, self.name) for rank, (score, item) in enumerate(best, start=1)]

    def nodes_named(self, text: str) -> Sequence[str]:
        """The nodes that a code, a CUI or a name means, the likeliest first; none for what the graph does not know."""
        if found := self.store.by_code(text):
            return found
        mention = self.linker.term(text)
        return mention.concepts if mention else ()

    def _coded(self, text: str) -> Iterable[Mention]:
        """What the codes in a text mean."""
        for written, code in codes_in(text):
            if nodes := self.store.by_code(code):
                start = text.index(written)
                cuis = dict.fromkeys(cui for node in nodes for one in self.store.members(node) for cui in one.cuis)
                yield Mention(start, start + len(written), written, tuple(nodes), tuple(cuis), "present")

    def _seen(self, query: Query) -> dict[Mention, float]:
        """What the image shows by the findings reader and by the reports of look-alike studies, as mentions; half the probability, or half the share of the reports, is the weight."""
        alike = self.reported(query, self.linker) if self.reported else {}
        found = {mention: share / 2 for mention, share in alike.items()}
        for mention, weight in self._read(query).items():
            found[mention] = max(weight, found.get(mention, 0.0))
        return found

    def _read(self, query: Query) -> dict[Mention, float]:
        """What the findings reader sees with at least `SURE`, with half its probability."""
        if self.see is None or not query.images or query.domain != "chest-xray":
            return {}
        read = self.see([image.image for image in query.images])
        named = {
            ASKED[label][0]: p for label, p in read.items() if label in ASKED and p >= SURE and label not in NORMAL
        }
        terms = {self.linker.term(_ARTICLE.sub("", name)): p / 2 for name, p in named.items()}
        return {mention: weight for mention, weight in terms.items() if mention}

    def _definitions(self, asked: Mapping[Mention, float], question: str) -> Iterable[tuple[float, Concept]]:
        """Each concept asked about that has a definition, with the words that ask for it; a longer name is a surer match. Where other names or codes
        are asked for, those stand before the definition."""
        for mention, weight in asked.items():
            for place, node in enumerate(mention.concepts):
                members, named = self.store.members(node), question[mention.start : mention.end] == mention.surface
                # no guess, nor what was seen on an image or read in a report
                sure = named and not (place or mention.head or mention.near or mention.place)
                term = about_term(self.store, mention, question) if sure else ""
                defined = next((c for c in members if c.definition), members[0] if term else None)
                if defined:
                    told = " ".join(filter(None, (term, defined.definition)))
                    meta = {**defined.meta, "asked": mention.surface}
                    yield 2 * weight / (1 + place), replace(defined, definition=told, meta=meta)

    def _paths(self, query: Query, mentions: Mapping[Mention, float]) -> Iterable[tuple[float, Path]]:
        asked: dict[frozenset[str], float] = {}
        for mention, weight in mentions.items():
            starts = frozenset(mention.concepts)
            asked[starts] = max(weight, asked.get(starts, 0.0))
        words = {stem(word) for word in content_words(query.text)}
        shares: dict[str, set[str]] = {}
        for starts, weight in asked.items():
            for walk in self.store.paths(starts, self.hops, WALKS):
                if path := self._without(walk, query.exclude):
                    for node in path.nodes:
                        if node not in shares:
                            held = content_words(self.store.concept(node).name)
                            shares[node] = words & {stem(word) for word in held}
                    joined = sum(not other.isdisjoint(path.nodes) for other in asked)
                    share = len(set().union(*(shares[node] for node in path.nodes[1:]))) / max(1, len(words))
                    yield weight * path.score * 2.0 ** (joined - 1) * (1 + share), path

    def as_item(self, path: Path, exclude: frozenset[str] = frozenset()) -> Triple:
        """A path as an item; a single statement keeps its own direction and document. Excluded documents neither count nor are quoted."""
        members = [self.store.members(node) for node in path.nodes]
        names = [_own(some, path.edges[max(0, place - 1)]) for place, some in enumerate(members)]
        cuis = dict.fromkeys(cui for some in members for member in some for cui in member.cuis)
        sources = dict.fromkeys(source for edge in path.edges for source in edge.sources)
        told = [stated(self.store, edge, exclude) for edge in path.edges]
        meta: dict[str, Any] = {
            "path": list(path.nodes),
            "sentence": self._sentence(
                path, names, [how_often(edge) + in_words(one, edge) for one, edge in zip(told, path.edges, strict=True)]
            ),
            "cuis": list(cuis),
            "sources": list(sources),
        }
        by_node = dict(zip(path.nodes, members, strict=True))
        meta["steps"] = [_drawn(edge, by_node) for edge in path.edges]
        meta["docs"] = sorted({doc for edge in path.edges for doc in edge.docs})[:DOCS]
        if quotes := [quote for one in told for quote in one.quotes[:QUOTES]]:
            meta |= {"quotes": quotes, "stated": [one.counts for one in told]}
        first = path.edges[0]
        if len(path.edges) == 1:
            forward = first.subject == path.nodes[0]
            subject, target = names if forward else reversed(names)
            id = f"{first.sources[0]}:{first.subject}#{first.relation}:{first.object}{MARK[first.polarity]}"
            own = {} if quotes else first.meta  # the texts' own are the quotes
            own = {**own, "frequency": often} if (often := first.meta.get("frequency")) else own
            meta |= {key: value for key, value in own.items() if key not in meta}
            polarity: Any = first.polarity
            return Triple(
                id, first.docs[0], subject, first.relation, target, first.subject, first.object, polarity, meta
            )
        steps = "".join(_step(edge, node) for edge, node in zip(path.edges, path.nodes, strict=False))
        relation = " / ".join(edge.relation for edge in path.edges)
        return Triple(
            f"{self.name}:{path.nodes[0]}#{steps}",
            first.docs[0],
            names[0],
            relation,
            names[-1],
            path.nodes[0],
            path.nodes[-1],
            meta=meta,
        )

    def _without(self, path: Path, exclude: frozenset[str]) -> Path | None:
        """The path as the documents that are not excluded state it; None where they do not state all of it."""
        edges = [left(self.store, edge, exclude) for edge in path.edges]
        return replace(path, edges=tuple(edge for edge in edges if edge)) if all(edges) else None

    def _sentence(self, path: Path, names: list[str], told: list[str]) -> str:
        running = [in_sentence(name, self.store.proper) for name in names]
        if (shared := _shared(path)) and len(running) == 3:
            text = f"{running[0]} and {running[2]} {shared} {running[1]}"
        else:
            parts = [
                f"{_words(edge, node)} {name}{said}"
                for edge, node, name, said in zip(path.edges, path.nodes, running[1:], told, strict=False)
            ]
            text = f"{running[0]} " + ", which ".join(parts)
        return f"{text[:1].upper()}{text[1:]}."


def _weight(mention: Mention) -> float:
    """How surely the mention is what is asked about: 0.5 for one word, more for more; less for a name that is merely near, little for a mere place."""
    sure = (1 - 0.5 ** len(mention.surface.split())) * (mention.near or 1.0)
    return sure * (0.3 if mention.place else 0.5 if mention.head else 1.0)


def _drawn(edge: Edge, members: Mapping[str, Sequence[Concept]]) -> dict[str, str]:
    """A statement with the names and CUIs of its ends, for a drawing."""
    step: dict[str, str] = {"relation": edge.relation, "polarity": edge.polarity}
    for end, node in (("subject", edge.subject), ("object", edge.object)):
        cuis = [cui for member in members[node] for cui in member.cuis]
        step |= {end: _own(members[node], edge), f"{end}_id": node, f"{end}_cui": cuis[0] if cuis else ""}
    return step


def _own(members: Sequence[Concept], edge: Edge) -> str:
    """The node's first name, if a source of the statement has it too or has no name of its own; else what the source calls the node, so that it is
    not cited in the words of another ontology."""
    first = members[0].name
    own = [one for one in members if one.id.partition(":")[0] in edge.sources]
    names = {key for one in own for name in (one.name, *one.synonyms) for key in keys(name)}
    return own[0].name if own and names.isdisjoint(keys(first)) else first


def _step(edge: Edge, node: str) -> str:
    """One step of a path's id: ``>is_a>HP:1`` along a statement, ``<is_a<HP:1`` against it."""
    arrow = ">" if edge.subject == node else "<"
    return f"{arrow}{edge.relation}{MARK[edge.polarity]}{arrow}{edge.other(node)}"


def _shared(path: Path) -> str:
    """What two things have in common that the same relation leads to, in words; empty where there is nothing such."""
    edges = path.edges
    alike = (
        len(edges) == 2
        and edges[0].relation == edges[1].relation
        and edges[0].polarity == edges[1].polarity == "present"
    )
    inward = alike and edges[0].object == edges[1].object == path.nodes[1]
    return SHARED.get(edges[0].relation, "") if inward else ""


def _words(edge: Edge, node: str) -> str:
    forward = edge.subject == node
    plain = phrase(edge.relation, forward)
    if edge.polarity == "absent":
        return DENIED.get((edge.relation, forward), f"(denied:) {plain}")
    return plain if edge.polarity == "present" else f"possibly {plain}"
