"""Keeps the evidence that helps, within a budget of tokens, and says why each other piece was dropped.

The gap rule is MMed-RAG's adaptive context selection (arXiv 2410.13085): with scores S_1 ≥ S_2 ≥ … of one retriever,
u_i = log(S_i / S_{i+1}) and everything after the first i with u_i > γ is dropped. It is guarded: scores that are not
all positive are first mapped to exp((S_i − S_1)/τ), k_min hits stay, k_max bounds, and the notes say where it fired.
It works on each retriever's own scores, since fused ranks have no gaps; a fused hit stays when one parent does.
"""

from __future__ import annotations

import filecmp
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medrag._util.instructions import INSTRUCTS, instruction_in
from medrag._util.polarity import DENYING, mentions, polarity
from medrag._util.remember import remembered
from medrag._util.render import page_of
from medrag._util.text import content_words, sentences
from medrag.latest import is_own
from medrag.prompts import describe, evidence_tokens
from medrag.settings import SelectSettings
from medrag.types import DOMAINS, Context, Drop, Hit, Item, Query, domain_of
from medrag.vlms._classes import is_label

OTHER_DOMAIN = "another domain"  # begins the reason for such a drop
RULES = {  # how its reasons begin, by the rule that drops
    "floor": "below the floor of",
    "share": "far below the best of",
    "gap": "past the gap of",
    "duplicate": "near-duplicate of",
    "place": "enough kept of the same study or page",
    "quota": "enough kept of",
    "instructions": INSTRUCTS,
    "k_max": "more than k_max",
    "budget": "over the budget of",
}
_SIDED = re.compile(r"\b(left|right)[ -](?:sided )?([a-z]+)")


@dataclass(frozen=True, slots=True)
class Cut:
    """Where one retriever's list ends: how many hits stay, and the log-ratio where it was cut (None: it did not fire)."""

    keep: int
    gap: float | None


@dataclass(frozen=True, slots=True)
class _Said:
    """What one retriever's scores say together: where its list is cut, its best score and the last before the cut."""

    cut: Cut
    best: float
    last: float


def positive(scores: Sequence[float], temperature: float = 1.0) -> list[float]:
    """The scores as they are when all are above 0; otherwise exp((S_i − S_1)/τ)."""
    if all(score > 0 for score in scores):
        return list(scores)
    return [math.exp((score - scores[0]) / temperature) for score in scores]


def gap_cut(scores: Sequence[float], gamma: float | None, k_min: int, k_max: int, temperature: float = 1.0) -> Cut:
    """The guarded gap rule over one list of scores in falling order."""
    limit = min(len(scores), k_max)
    safe = positive(scores, temperature)
    for i in range(max(k_min, 1), limit):
        ratio = math.log(safe[i - 1] / safe[i]) if safe[i] > 0 else math.inf
        if gamma is not None and ratio > gamma:
            return Cut(i, ratio)
    return Cut(limit, None)


def rule_of(reason: str) -> str:
    """The rule that dropped a hit for this reason; "item" where the piece itself is none for the question, whatever the scores.

    >>> rule_of("past the gap of dense (rank 3, gap after 2)"), rule_of("it has no text")
    ('gap', 'item')
    """
    return next((rule for rule, begins in RULES.items() if reason.startswith(begins)), "item")


class AdaptiveSelector:
    """Text, domain, floors, gap rule, near-duplicates, share of one document, source quota, instructions, size: in this order."""

    def __init__(self, settings: SelectSettings | None = None) -> None:
        self.settings = settings or SelectSettings()  # type: ignore[call-arg]

    def moved(self, changed: Mapping[str, Any]) -> AdaptiveSelector:
        """The same with other settings, by their names."""
        return AdaptiveSelector(self.settings.model_copy(update=dict(changed)))

    def select(self, query: Query, hits: Sequence[Hit], budget: int | None = None) -> Context:
        """``hits`` best first. Every hit ends in ``kept`` or in ``dropped``."""
        lists = self._lists(hits)
        kept: list[Hit] = []
        dropped: list[Drop] = []
        tokens = 0
        limit = self.settings.budget if budget is None else budget
        own = [_item_reason(hit, query) or self._source_reason(hit, lists) for hit in hits]
        for hit, ruled_out in self._in_turn(hits, own, kept):
            reason = ruled_out or self._set_reason(hit, kept) or self._suspicion(hit)
            cost = 0 if reason else evidence_tokens(hit)
            reason = reason or self._room_reason(kept, tokens + cost, limit)
            if reason:
                dropped.append(Drop(hit, reason))
            else:
                kept.append(hit)
                tokens += cost
        notes = tuple(
            f"{name}: gap rule fired after {said.cut.keep} (log ratio {said.cut.gap:.2f})"
            for name, said in sorted(lists.items())
            if said.cut.gap
        )
        return Context(query, tuple(kept), tuple(dropped), tokens, notes)

    def _in_turn(self, hits: Sequence[Hit], own: Sequence[str], kept: Sequence[Hit]) -> Iterator[tuple[Hit, str]]:
        """The hits in the order in which they are looked at, each with the reason that it has of its own: the best first, or with ``mmr`` by
        maximal marginal relevance, the most of λ · score − (1 − λ) · likeness to what is ``kept`` by then (Carbonell and Goldstein 1998)."""
        share = self.settings.mmr
        if share is None:
            yield from zip(hits, own, strict=True)
            return
        yield from ((hit, reason) for hit, reason in zip(hits, own, strict=True) if reason)
        left = [hit for hit, reason in zip(hits, own, strict=True) if not reason]
        worth, likeness, seen = _scaled([hit.score for hit in left]), [0.0] * len(left), 0
        places = list(range(len(left)))
        while places:
            for other, n in itertools.product(kept[seen:], places):
                likeness[n] = max(likeness[n], jaccard(left[n].item.text, other.item.text))
            seen = len(kept)
            best = max(places, key=lambda n: share * worth[n] - (1 - share) * likeness[n])
            places.remove(best)
            yield left[best], ""

    def _suspicion(self, hit: Hit) -> str:
        """What in the text speaks to a machine instead of a reader; empty where nothing does, or where that is let through."""
        found = instruction_in(f"{describe(hit)}\n{hit.item.text}") if self.settings.instructions == "drop" else ""
        return f"{RULES['instructions']} ({found[:40]!r}) instead of evidence" if found else ""

    def _lists(self, hits: Sequence[Hit]) -> dict[str, _Said]:
        """For each retriever what its own list says (k_max bounds the total later); the question's own image counts for neither
        the gap rule nor the best score."""
        lists: dict[str, list[float]] = {}
        for hit in hits:
            for parent in hit.parents or (hit,):
                lists.setdefault(parent.retriever, []).append(parent.score)
        return {name: self._said(name, scores) for name, scores in lists.items()}

    def _said(self, name: str, scores: Sequence[float]) -> _Said:
        s = self.settings
        others = sorted((score for score in scores if not self._is_own(name, score)), reverse=True)
        if not others:
            return _Said(Cut(len(scores), None), 0.0, 0.0)
        cut = gap_cut(others, s.gaps.get(name), s.k_min, len(others), s.temperature)
        return _Said(Cut(len(scores) - len(others) + cut.keep, cut.gap), others[0], others[cut.keep - 1])

    def _is_own(self, retriever: str, score: float) -> bool:
        """Whether a look-alike image is the question's own."""
        return retriever.startswith("similar") and score >= self.settings.same_image

    def _source_reason(self, hit: Hit, lists: dict[str, _Said]) -> str:
        """Why the hit's own scores rule it out; empty when one of its sources still vouches for it."""
        reasons = [self._parent_reason(parent, lists[parent.retriever]) for parent in hit.parents or (hit,)]
        same = [reason for reason in reasons if reason.startswith("the question's own image")]
        return same[0] if same else (reasons[0] if all(reasons) else "")

    def _parent_reason(self, parent: Hit, said: _Said) -> str:
        if self._is_own(parent.retriever, parent.score):
            return f"the question's own image (similarity {parent.score:.3f})"
        if parent.score < self.settings.floors.get(parent.retriever, -math.inf):
            return f"{RULES['floor']} {parent.retriever} ({parent.score:.2f} < {self.settings.floors[parent.retriever]:.2f})"
        if said.best > 0 and parent.score < self.settings.shares.get(parent.retriever, -math.inf) * said.best:
            return f"{RULES['share']} {parent.retriever} ({parent.score:.2f} of {said.best:.2f})"
        if parent.score < said.last:
            return f"{RULES['gap']} {parent.retriever} (rank {parent.rank}, gap after {said.cut.keep})"
        return ""

    def _set_reason(self, hit: Hit, kept: Sequence[Hit]) -> str:
        """Why it adds nothing to what is kept already."""
        for n, other in enumerate(kept, start=1):
            if same_words(hit.item.text, other.item.text, self.settings.near_duplicate) and not _two_pictures(
                hit.item, other.item
            ):
                return f"{RULES['duplicate']} E{n}"
        if sum(_place(other) == _place(hit) for other in kept) >= self.settings.per_place:
            return f"{RULES['place']} ({_place(hit)})"
        if sum(_source(other) == _source(hit) for other in kept) >= self.settings.quota:
            return f"{RULES['quota']} {_source(hit)}"
        return ""

    def _room_reason(self, kept: Sequence[Hit], tokens: int, budget: int) -> str:
        if len(kept) >= self.settings.k_max:
            return f"{RULES['k_max']} = {self.settings.k_max}"
        return f"{RULES['budget']} {budget} tokens" if tokens > budget else ""


def _two_pictures(one: Item, other: Item) -> bool:
    """Whether two pictures have the same label and are not the same picture, byte by byte: what they show is not said by their text."""
    if not (is_label(one) and is_label(other)):
        return False
    first, second = str(getattr(one, "source", "")), str(getattr(other, "source", ""))
    try:
        return first != second and not filecmp.cmp(first, second, shallow=False)
    except OSError:  # a file that is gone, or lies in an archive
        return first != second


def _scaled(scores: Sequence[float]) -> list[float]:
    """The scores from 0, the least, to 1, the best; all 1 where they are equal."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def jaccard(a: str, b: str) -> float:
    """Overlap of the content words of two texts, 0–1; two texts without words are no duplicates."""
    first, second = _word_set(a), _word_set(b)
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared) if first and second else 0.0


def same_words(a: str, b: str, share: float) -> bool:
    """Whether two texts have at least this `jaccard` overlap and say of no word the opposite.

    >>> same_words("No edema. A left effusion.", "No edema. No left effusion.", 0.9)
    False
    """
    if jaccard(a, b) < share or (a != b and _other_side(a, b)):
        return False
    if a == b or DENYING.isdisjoint(_word_set(a) | _word_set(b)):
        return True
    one, other = _stances(a), _stances(b)
    return all(one[word] == other[word] for word in one.keys() & other.keys())


def _other_side(a: str, b: str) -> bool:
    """Whether something lies on the left in one text and on the right in the other."""
    one, other = _sided(a), _sided(b)
    return any(one[thing].isdisjoint(other[thing]) for thing in one.keys() & other.keys())


@remembered(1024)
def _sided(text: str) -> dict[str, set[str]]:
    """The words that follow left and right, with which they follow."""
    found: dict[str, set[str]] = {}
    for side, thing in _SIDED.findall(text.lower()):
        found.setdefault(thing, set()).add(side)
    return found


@remembered(1024)
def _stances(text: str) -> dict[str, set[str]]:
    """Of each content word whether it is said to be there: in one way, or in several."""
    found: dict[str, set[str]] = {}
    for sentence in map(str.lower, sentences(text)):
        for word in set(content_words(sentence)):
            found.setdefault(word, set()).update(polarity(sentence, span) for span in mentions(sentence, word))
    return found


@remembered(1024)
def _word_set(text: str) -> frozenset[str]:
    return frozenset(content_words(text))


def _item_reason(hit: Hit, query: Query) -> str:
    """Why the item is no evidence for this question, whatever its scores."""
    if not hit.item.text.strip():
        return "it has no text"
    if own := is_own(hit.item, query.images):
        return own
    domain = domain_of(hit.item)
    if not query.domain or not domain or domain == query.domain:
        return ""
    # of an index that was built before these were refused
    unknown = "" if domain in DOMAINS else ", which is none of medrag's"
    return f"{OTHER_DOMAIN} ({domain}{unknown}, not {query.domain})"


def _place(hit: Hit) -> str:
    """The study, or the page of a book; a statement is a place of its own, as a concept is its own document."""
    item = hit.item
    if item.kind == "triple":
        return item.id
    page = page_of(item)
    return f"{item.doc}, page {page}" if page else item.doc


def _source(hit: Hit) -> str:
    """The corpus and kind that the quota counts."""
    return f"{hit.item.kind} from {hit.item.id.partition(':')[0]}"
