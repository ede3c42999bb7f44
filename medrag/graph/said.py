"""What reports and textbook passages state, as statements of the graph, each with its polarity, its document and the sentence it stands in.

From a report: finding ``located_at`` place, finding ``suggestive_of`` diagnosis, finding ``modified_by`` severity, side, size, course or change.
From a passage: ``causes``, ``due_to``, ``treats`` and ``presents``. How a sentence states them is `medrag.graph.sentences`'. On a chest film a
single word is taken for what it means there ("opacity": lung opacity). The file knows neither the graph's file nor what other documents say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from medrag._util.files import sha256_text
from medrag._util.findings import ASKED, label_of
from medrag._util.text import STOPWORDS
from medrag.errors import BadRecord
from medrag.graph.context import polarity, sentence_spans
from medrag.graph.sentences import Spot, Statement, of_passage, of_report
from medrag.graph.words import key_of, tokens
from medrag.types import Item, Passage, Study, Triple

if TYPE_CHECKING:
    from medrag.graph.kinds import Kind
    from medrag.graph.link import Mention
    from medrag.protocols import Report

VERSION = "said/3"  # raised when the same texts give other statements
SECTIONS = ("findings", "impression")
VAGUE = frozenset(
    "disease abnormality finding injury disorder syndrome lesion change process condition illness symptom".split()
)
MARK = {"present": "", "absent": "!not", "uncertain": "!maybe"}
_TYPED = "give those terms the type Finding, Disease or Symptom (MRSTY of UMLS, the kind of an edge list), or add an ontology of findings"
Link = Callable[[str], Sequence["Mention"]]
_ARTICLE = re.compile(r"^(?:a|an|the) ")


class Said:
    """Reads statements off texts. ``link`` finds the mentions of a text, ``kind`` says what kind of thing a node is."""

    def __init__(self, link: Link, kind: Callable[[str], Kind]) -> None:
        self._link, self._kind = link, kind
        self._on_film: dict[str, str] = {}
        self.met: set[Kind] = set()  # the kinds of what the texts have mentioned

    def of(self, item: Item) -> Iterator[Triple]:
        """The statements of a report or a passage, each once; of other items none."""
        if not isinstance(item, Study | Passage):
            return
        texts = [item.sections.get(name, "") for name in SECTIONS] if isinstance(item, Study) else [item.text]
        read = of_report if isinstance(item, Study) else of_passage
        seen: set[str] = set()
        for text in filter(None, texts):
            for sentence, spots in self._sentences(text, chest=isinstance(item, Study) and item.domain == "chest-xray"):
                for one in read(sentence, spots):
                    made = _triple(one, item, sentence)
                    if made.id not in seen and one.subject.code != one.object.code:
                        seen.add(made.id)
                        yield made

    def _sentences(self, text: str, *, chest: bool) -> Iterator[tuple[str, list[Spot]]]:
        """Each sentence with what it mentions, in order."""
        spots = [spot for mention in self._link(text) if (spot := self._spot(mention))]
        for low, high in sentence_spans(text):
            inside = [spot.moved(-low) for spot in spots if low <= spot.start and spot.end <= high]
            if chest:
                inside += self._words_on_film(text[low:high], inside)
            yield text[low:high], sorted(inside, key=lambda spot: spot.span)

    def _spot(self, mention: Mention) -> Spot | None:
        """The mention with its likeliest node; None for a mere last word of names, and for what is too general to state anything of."""
        words = key_of([word for word, _, _ in tokens(mention.surface)])
        if mention.head or not mention.concepts or words in VAGUE or mention.surface.lower() in STOPWORDS:
            return None
        node = mention.concepts[0]
        kind: Kind = "place" if mention.place else self._kind(node)
        self.met.add(kind)
        return Spot(mention.start, mention.end, node, mention.surface, kind, mention.polarity)

    def _words_on_film(self, sentence: str, spots: Sequence[Spot]) -> Iterator[Spot]:
        """Single words that no mention holds and that name a finding on a chest film."""
        for word, start, end in tokens(sentence):
            if all(end <= spot.start or start >= spot.end for spot in spots) and (node := self._film_word(word)):
                yield Spot(
                    start, end, node, sentence[start:end], "finding", polarity(sentence, start, end, (0, len(sentence)))
                )

    def _film_word(self, word: str) -> str:
        """The node of what a word means on a chest film; empty where it means nothing, or what it means is no name here."""
        if word not in self._on_film:
            name = _ARTICLE.sub("", ASKED.get(label_of(word), ("",))[0])
            found = [m for m in self._link(name) if not m.head and m.surface == name and m.concepts] if name else []
            self._on_film[word] = found[0].concepts[0] if found else ""
        return self._on_film[word]


def _triple(one: Statement, item: Item, sentence: str) -> Triple:
    subject, target = one.subject, one.object
    corpus = item.id.partition(":")[0]
    id = f"{corpus}:{subject.code}#{one.relation}:{target.code}{MARK[one.polarity]}@{item.id}"
    meta: dict[str, Any] = {"quote": " ".join(sentence.split()), "text": item.kind}
    if item.kind != "study":
        meta["passage"] = item.id
    return Triple(id, item.doc, subject.name, one.relation, target.name, subject.code, target.code, one.polarity, meta)


class Statements:
    """The statements of a corpus' texts, read as a corpus: ``items`` gives its items anew, ``texts`` says which are read ("reports", "passages").

    ``key`` says what they depend on beside the settings: the graph that links them, and the items.
    """

    def __init__(
        self, name: str, items: Callable[[], Iterable[Item]], texts: Sequence[Literal["reports", "passages"]], said: Said, key: str
    ) -> None:  # fmt: skip
        self.name, self._items, self._texts, self._said, self._key = name, items, frozenset(texts), said, key

    def signature(self) -> str:
        return sha256_text(VERSION, self._key, *sorted(self._texts))

    def read(self, report: Report) -> Iterator[Triple]:
        """A text that cannot be read is reported and left out, whole; so are texts that mention no finding of the graph, once for all."""
        self._said.met.clear()
        for item in _texts(self._items(), self._texts):
            try:
                found = list(self._said.of(item))
            except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
                report(BadRecord(item.id, f"no statement can be read off it: {error}"))
                continue
            yield from found
        if self._said.met and "finding" not in self._said.met:
            report(
                BadRecord(
                    self.name,
                    "nothing is stated: the terms of the graph that its texts mention are no findings",
                    _TYPED,
                )
            )


def _texts(items: Iterable[Item], wanted: frozenset[str]) -> Iterator[Item]:
    """The reports and passages among the items; a report's own passages and tables are left out."""
    studies: set[str] = set()
    for item in items:
        if isinstance(item, Study):
            studies.add(item.id)
            if "reports" in wanted:
                yield item
        elif (
            isinstance(item, Passage)
            and "passages" in wanted
            and item.doc not in studies
            and item.meta.get("role") != "table"
        ):
            yield item
