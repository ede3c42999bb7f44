"""Finds the concepts that a text mentions: longest dictionary match over names and synonyms, sentence by sentence.

All runs of up to `LONGEST` words become keys (`medrag.graph.words`) that are looked up in the graph in one query, so
nothing is loaded beforehand and the size of the vocabulary hardly matters. Words may stand in another order than in the name;
abbreviations are those of `medrag.graph.abbreviations`, of the text itself, and of the ontologies. A text that is nothing but a name
is that name, even one too general for running text ("pain"). A single word that is no name of its own may stand for the names of two
words that end in it ("mass": pulmonary mass, mediastinal mass), those first whose other word the text holds; such a mention is marked
``head`` and carries no CUI. Each mention carries its polarity. A name that several concepts carry gives all of them: preferred names
with a CUI, then others, each group in the order of `medrag.graph.senses`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medrag.graph import abbreviations
from medrag.graph.context import polarity, sentence_spans
from medrag.graph.near import INSIDE, may_be_terms
from medrag.graph.runs import LONGEST, ORGANS, PLACES, Run, Word, expanded, runs_of, spelled
from medrag.graph.senses import Senses
from medrag.graph.words import ARTICLE, bag, keys, otherwise, tokens

if TYPE_CHECKING:
    from medrag._util.polarity import Polarity
    from medrag.graph.near import NearNames
    from medrag.graph.store import GraphStore, Named

AMBIGUOUS = 4  # concepts kept of one mention
TOO_GENERAL = 16  # a last word that more names end in says nothing


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of text, ``text[start:end] == surface``, and the nodes of the graph that it may mean, the likeliest first."""

    start: int
    end: int
    surface: str
    concepts: tuple[str, ...]
    cuis: tuple[str, ...]
    polarity: Polarity
    head: bool = False  # found by the last word of longer names
    also: tuple[str, ...] = ()  # nodes that carry the name as a mere synonym while others prefer it
    nested: bool = False  # lies inside a longer mention
    near: float = 0.0  # no name: the cosine to the name that is nearest in meaning

    @property
    def place(self) -> bool:
        """Whether it is a bare part of the body ("chest"), which says where to look, not what for."""
        return all(word in PLACES for word, _, _ in tokens(self.surface))


class Linker:
    """Links text to the concepts of one graph."""

    def __init__(self, store: GraphStore, near: NearNames | None = None) -> None:
        self.store, self.near = store, near
        self._senses = Senses(store)

    def link(self, text: str, nested: bool = False) -> list[Mention]:
        """The mentions in order, without overlap; none crosses the end of a sentence.

        With ``nested`` also the shorter names inside longer ones, each marked so.
        """
        alone = self._alone(text)
        found = [alone] if alone else list(self._running(text, sentence_spans(text)))
        if nested:
            found += [inner for mention in found if not mention.head for inner in self._inside(text, mention)]
        return sorted(found, key=lambda mention: (mention.start, -mention.end))

    def term(self, text: str) -> Mention | None:
        """What a term means as a whole: the concept of that name, else (with ``near``) the one whose name is nearest in meaning, else None."""
        alone = self._alone(text)
        found = self.near.nearest([text])[0] if self.near and not alone and text.strip() else ()
        return self._nearest(text, (0, len(text)), *found[0]) if found else alone

    def asked(self, text: str) -> list[Mention]:
        """What a question mentions: `link`, and with ``near`` terms that no name covers, each as the concept whose name is nearest in meaning."""
        found = self.link(text)
        close = list(self._close(text, [mention for mention in found if not mention.head]))
        kept = [mention for mention in found if not any(_overlap(mention, other) for other in close)]
        return sorted([*kept, *close], key=lambda mention: mention.start)

    def _close(self, text: str, named: Sequence[Mention]) -> Iterator[Mention]:
        """Terms by meaning beside what is ``named``, the nearest first, none over another."""
        if not self.near:
            return
        free = (place for place in may_be_terms(text) if all(place[1] <= m.start or m.end <= place[0] for m in named))
        places = list(free)
        nearest = zip(places, self.near.nearest([text[slice(*place)] for place in places]), strict=True)
        taken: list[Mention] = []
        for place, found in sorted((row for row in nearest if row[1]), key=lambda row: (-row[1][0][1], row[0])):
            mention = self._nearest(text, place, *found[0])
            if not self._narrows(mention) and not any(_overlap(mention, other) for other in taken):
                taken.append(mention)
                yield mention

    def _narrows(self, mention: Mention) -> bool:
        """Whether the name only adds words to the term ("mitral valve": mitral valve disorder): another thing, near as it is."""
        term, name = (
            {word for word, _, _ in tokens(one)}
            for one in (mention.surface, self.store.concept(mention.concepts[0]).name)
        )
        return term - INSIDE < name

    def _nearest(self, text: str, place: tuple[int, int], node: str, cosine: float) -> Mention:
        sentence = next((span for span in sentence_spans(text) if span[0] <= place[0] < span[1]), (0, len(text)))
        return replace(self._mention(text, place, sentence, (node,)), near=cosine)

    def _alone(self, text: str) -> Mention | None:
        """The mention of a text that is a name from end to end."""
        words = tokens(text)
        if not 0 < len(words) <= LONGEST or words[0][0] in ARTICLE or len(sentence_spans(text)) > 1:
            return None
        plain = " ".join(word for word, _, _ in words)
        bags = (bag(one.split(" ")) for one in (plain, *otherwise(plain)))
        others = (other for key in keys(text) for other in otherwise(key))
        tried = [
            *expanded(text.strip(), abbreviations.TABLE),
            *keys(text),
            *others,
            *filter(None, bags),
            *expanded(text.strip(), abbreviations.OTHERWISE),
        ]
        start, end = words[0][1], words[-1][2]
        concepts, also = self._meaning(tried, text[start:end], self.store.named(tried), set())
        return self._mention(text, (start, end), (0, len(text)), concepts, also=also) if concepts else None

    def _inside(self, text: str, mention: Mention) -> Iterator[Mention]:
        """The names within a mention; what is said of it is said of them."""
        for inner in self._running(text, [(mention.start, mention.end)], whole=False):
            if not inner.head:
                yield replace(inner, nested=True, polarity=mention.polarity)

    def _running(self, text: str, spans: Sequence[tuple[int, int]], whole: bool = True) -> Iterator[Mention]:
        """The mentions of running text, in each span by itself: the longest first, then those in the words' own order, then from the left."""
        short = abbreviations.TABLE | abbreviations.explained(text)
        sentences = [(span, words := _shifted(text, span), runs_of(text, words, short)) for span in spans]
        names = self.store.named(
            {
                key
                for _, _, runs in sentences
                for run in runs
                for key in (*run.short, *run.keys, *run.broad, run.head)
                if key
            }
        )
        said = {word for _, words, _ in sentences for word, _, _ in words}
        for span, words, runs in sentences:
            taken = [False] * len(words)
            for run in runs:
                if any(taken[run.first : run.last]) or not (whole or run.last - run.first < len(words)):
                    continue
                place = words[run.first][1], words[run.last - 1][2]
                rest = said - {word for word, _, _ in words[run.first : run.last]}
                tried = (*self._likeliest(run.short, names, rest), *run.keys, *run.broad)
                concepts, also = self._meaning(tried, text[slice(*place)], names, rest)
                if run.behind and not (concepts and self._is_written(text, words, run, concepts, runs, names)):
                    continue
                if concepts:
                    taken[run.first : run.last] = [True] * (run.last - run.first)
                    yield self._mention(text, place, span, concepts, also=also)
                elif run.short and run.size > 1:
                    taken[run.first : run.last] = [True] * (run.last - run.first)
                elif run.head and (concepts := self._by_head(names.get(run.head, ()), rest)):
                    yield self._mention(text, place, span, concepts, head=True)

    def _is_written(
        self, text: str, words: Sequence[Word], run: Run, concepts: Sequence[str], runs: Sequence[Run], names: Mapping[str, list[Named]]
    ) -> bool:  # fmt: skip
        """Whether a run that reaches over a pause is a name: one is written with that very sign, and no word behind it is in a name of its own."""
        members = (member for node in concepts for member in self.store.members(node))
        known = (name for member in members for name in (member.name, *member.synonyms))
        own = spelled(text[words[run.first][1] : words[run.last - 1][2]])
        return own in map(spelled, known) and not any(
            self._meaning(other.keys, text[words[other.first][1] : words[other.last - 1][2]], names, ())[0]
            for other in runs
            if not other.behind and other.first < run.last and run.behind < other.last
        )

    def _mention(
        self, text: str, place: tuple[int, int], sentence: tuple[int, int], concepts: tuple[str, ...],
        head: bool = False, also: tuple[str, ...] = (),
    ) -> Mention:  # fmt: skip
        members = () if head else (member for concept in concepts for member in self.store.members(concept))
        cuis = dict.fromkeys(cui for member in members for cui in member.cuis)
        view = polarity(text, *place, sentence)
        return Mention(*place, text[slice(*place)], concepts, tuple(cuis), view, head, also)

    def _meaning(
        self, tried: Sequence[str], surface: str, names: Mapping[str, list[Named]], said: Collection[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:  # fmt: skip
        """The nodes that carry the first of the keys that is a name, and those that carry it as a mere synonym."""
        for key in tried:
            least = 0 if key in ORGANS else 1
            fitting = [
                one for one in names.get(key, ()) if one.rank <= least and (not one.capitals or surface.isupper())
            ]
            if fitting:
                best = min(map(_worth, fitting))
                equal = sorted((one for one in fitting if _worth(one) == best), key=lambda one: not one.coded)
                first = tuple(dict.fromkeys(one.node for one in equal))
                rest = tuple(dict.fromkeys(one.node for one in fitting if one.node not in first))
                ordered = self._senses.ordered(first, said)
                return ordered[:AMBIGUOUS], (*ordered[AMBIGUOUS:], *self._senses.ordered(rest, said))[:AMBIGUOUS]
        return (), ()

    def _likeliest(self, keys: Sequence[str], names: Mapping[str, list[Named]], said: Collection[str]) -> Sequence[str]:
        """What an abbreviation may be short for, the one that fits the rest of the text first."""
        if len(keys) < 2:
            return keys
        nodes = {key: names[key][0].node for key in keys if names.get(key)}
        order = self._senses.ordered(list(dict.fromkeys(nodes.values())), said)
        return sorted(nodes, key=lambda key: order.index(nodes[key]))

    def _by_head(self, names: Sequence[Named], said: set[str]) -> tuple[str, ...]:
        """The nodes whose two-word names end in a word: those whose first word the text holds, else all if they are few."""
        nodes = dict.fromkeys(one.node for one in names if one.rank > 1)
        if len(nodes) > 4 * TOO_GENERAL:
            return ()
        fitting = [node for node in nodes if said & {word for word, _, _ in tokens(self.store.concept(node).name)[:-1]}]
        return tuple(fitting or (nodes if len(nodes) <= TOO_GENERAL else ()))[:AMBIGUOUS]


def _overlap(one: Mention, other: Mention) -> bool:
    return one.start < other.end and other.start < one.end


def _worth(name: Named) -> int:
    """How well a name fits, 0 best: the preferred name of a concept with a CUI; a synonym, or a preferred name without one."""
    return 0 if name.rank == 0 and name.coded else 1


def _shifted(text: str, span: tuple[int, int]) -> list[Word]:
    return [(word, start + span[0], end + span[0]) for word, start, end in tokens(text[span[0] : span[1]])]
