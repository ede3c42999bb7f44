"""Finds the concepts that a text mentions: longest dictionary match over names and synonyms, sentence by sentence.

All runs of up to `LONGEST` words become keys (`medrag.graph.words`) that are looked up in the graph in one query, so
nothing is loaded beforehand and the size of the vocabulary hardly matters. A single word that is no name of its own may
stand for the names of two words that end in it ("mass": pulmonary mass, mediastinal mass), those first whose other word
the text holds; such a mention is marked ``head`` and carries no CUI. Each mention carries its polarity. There is no
disambiguation by meaning: a name that several concepts carry gives all of them, preferred names before synonyms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medrag._util.text import STOPWORDS
from medrag.graph.context import polarity, sentence_spans
from medrag.graph.words import key_of, tokens

if TYPE_CHECKING:
    from medrag._util.polarity import Polarity
    from medrag.graph.store import GraphStore

LONGEST = 8
AMBIGUOUS = 4  # concepts kept of one mention
TOO_GENERAL = 16  # a last word that more names end in says nothing
# names and synonyms of some ontology that mean something else, or nothing, in a question or a report
STOP = frozenset(
    "a all an and any apical area at both cat catch cell change characteristic chronic class clear cold common compare condition "
    "control course degree diagnosis diffuse disease diseases disorder early end enlarged entity evidence exam examination fact "
    "factor feature fetal film find finding first focal for frequency function general group growth has have help history human "
    "image imaging in increased information is it item kind large laser last late lateral left level light local low male female "
    "man may mild moderate name negative no normal not object observation of on onset or order other pain part patient person "
    "picture place plan point position positive present primary problem procedure process progressive property quality question "
    "rapid rare recurrent report result right role second section see severe severity shape side sign size small so soft stable "
    "state study symptom syndrome system test the time to transient type unilateral variable view was we well what while with "
    "work yes".split()
)
# places of the body: as a synonym of a disease ("lung" of "lung neoplasm") a slip of the ontology, as a last word no finding
_ORGANS = frozenset(
    "lung heart eye breast colon skin retina brain bone chest liver kidney pleura macula lens cornea rectum optic disc disk rib aorta "
    "diaphragm fundus mediastinum hilum artery vein nerve valve vessel cell node gland tissue calcified spot spine vertebra".split()
)
_PLACES = _ORGANS | frozenset("tissue thorax abdomen pelvis body hand foot head neck nucleus stroma".split())
_NO_HEAD = _ORGANS | STOPWORDS | frozenset("hard soft left right upper lower".split())
_EDGE = frozenset(
    "a an the of in within with and or for to on at by is are was were be there this that any no not".split()
)
_SIDE = frozenset({"left", "right", "bilateral"})


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of text, ``text[start:end] == surface``, and the nodes of the graph that it may mean."""

    start: int
    end: int
    surface: str
    concepts: tuple[str, ...]
    cuis: tuple[str, ...]
    polarity: Polarity
    head: bool = False  # found by the last word of longer names

    @property
    def place(self) -> bool:
        """Whether it is a bare part of the body ("chest"), which says where to look, not what for."""
        return all(word in _PLACES for word, _, _ in tokens(self.surface))


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of words that could be a name, with the keys to try in order."""

    first: int
    last: int
    keys: tuple[str, ...]


class Linker:
    """Links text to the concepts of one graph."""

    def __init__(self, store: GraphStore) -> None:
        self.store = store

    def link(self, text: str) -> list[Mention]:
        """The mentions in order, without overlap; none crosses the end of a sentence."""
        sentences = [(span, _shifted(text, span)) for span in sentence_spans(text)]
        runs = [_runs([word for word, _, _ in found]) for _, found in sentences]
        names = self.store.named({key for some in runs for run in some for key in run.keys})
        said = {word for _, found in sentences for word, _, _ in found}
        mentions = []
        for (span, found), some in zip(sentences, runs, strict=True):
            taken = [False] * len(found)
            for run in some:  # longest first, then from the left
                if any(taken[run.first : run.last]):
                    continue
                start, end = found[run.first][1], found[run.last - 1][2]
                if concepts := _meaning(run, text[start:end], names):
                    taken[run.first : run.last] = [True] * (run.last - run.first)
                    mentions.append(self._mention(text, start, end, span, concepts))
                elif run.last - run.first == 1 and (
                    concepts := self._by_head(names.get(run.keys[-1], ()), said - {found[run.first][0]})
                ):
                    mentions.append(self._mention(text, start, end, span, concepts, head=True))
        return sorted(mentions, key=lambda mention: mention.start)

    def _mention(
        self, text: str, start: int, end: int, sentence: tuple[int, int], concepts: tuple[str, ...], head: bool = False
    ) -> Mention:
        members = () if head else (member for concept in concepts for member in self.store.members(concept))
        cuis = dict.fromkeys(cui for member in members for cui in member.cuis)
        return Mention(start, end, text[start:end], concepts, tuple(cuis), polarity(text, start, end, sentence), head)

    def _by_head(self, names: Sequence[tuple[str, int, bool]], said: set[str]) -> tuple[str, ...]:
        """The nodes whose two-word names end in a word: those whose first word the text holds, else all if they are few."""
        nodes = dict.fromkeys(node for node, rank, _ in names if rank > 1)
        if len(nodes) > 4 * TOO_GENERAL:
            return ()
        fitting = [node for node in nodes if said & {word for word, _, _ in tokens(self.store.concept(node).name)[:-1]}]
        return tuple(fitting or (nodes if len(nodes) <= TOO_GENERAL else ()))[:AMBIGUOUS]


def _meaning(run: _Run, surface: str, names: Mapping[str, list[tuple[str, int, bool]]]) -> tuple[str, ...]:
    """The nodes that carry the name; those that prefer it win over those that have it as a synonym."""
    for key in run.keys:
        most = 0 if key in _ORGANS else 1
        fitting = [
            (n, rank)
            for n, rank, capitals in names.get(key, ())
            if rank <= most and (not capitals or surface.isupper())
        ]
        if fitting:
            best = min(rank for _, rank in fitting)
            return tuple(dict.fromkeys(node for node, rank in fitting if rank == best))[:AMBIGUOUS]
    return ()


def _shifted(text: str, span: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [(word, start + span[0], end + span[0]) for word, start, end in tokens(text[span[0] : span[1]])]


def _runs(words: list[str]) -> list[_Run]:
    """Every run of words that may be a name, the longest first."""
    found = []
    for length in range(min(LONGEST, len(words)), 0, -1):
        for first in range(len(words) - length + 1):
            some = words[first : first + length]
            if some[0] in _EDGE or some[-1] in _EDGE:
                continue
            if keys := tuple(_allowed(_keys(some))):
                found.append(
                    _Run(
                        first,
                        first + length,
                        (*keys, f"* {keys[0]}") if length == 1 and keys[0] not in _NO_HEAD else keys,
                    )
                )
    return found


def _keys(words: list[str]) -> Iterable[str]:
    """The run's key; then without a side inside it: "opacity in the left lung" is a lung opacity."""
    yield key_of(words)
    plain = [word for word in words[1:] if word not in _SIDE]
    if len(plain) + 1 < len(words):
        yield key_of([words[0], *plain])


def _allowed(keys: Iterable[str]) -> Iterable[str]:
    return (key for key in keys if key not in STOP and len(key) > 2 and not key.isdigit())
