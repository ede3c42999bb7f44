"""How often the studies that look most like a picture report the finding that a question asks about, beside how often studies do at all.

The ratio of the two odds is a Bayes factor that k nearest neighbours give (Fix and Hodges, 1951); a language model's own odds are moved by
such a factor in kNN-LM (Khandelwal et al., arXiv 1911.00172). A study that does not mention the finding counts as one without it. Neither
this picture nor a report is quoted: counts alone come out.
"""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from medrag._util.odds import logit
from medrag._util.remember import remembered
from medrag.types import Frequency, Hit, Query, Study, domain_of
from medrag.vlms._ask import Ask, parse
from medrag.vlms._vote import phrase, strongest_view

if TYPE_CHECKING:
    from medrag.indexes.items import ItemStore
    from medrag.protocols import Retriever

DRAWN = 500  # studies that tell how often a finding is reported at all
FEWEST = 50  # look-alike studies, and drawn ones, below which nothing is said
HALF = 0.5  # of a study: what either outcome counts before any is read (Jeffreys' prior)
_CHANGE = re.compile(  # what look-alike studies of other patients cannot know
    r"\b(?:chang|increas|decreas|progress|improv|worse|larger|smaller|bigger|new\b|resol|unchanged|stable|compar|previous|prior|since|than)",
    re.IGNORECASE,
)


class Frequencies:
    """Counts over one index. ``similar`` finds studies by pictures; ``same`` is the similarity of a picture to itself."""

    def __init__(self, similar: Retriever, items: ItemStore, most: int, same: float) -> None:
        self.similar, self.items, self.most, self.same = similar, items, most, same

    def of(self, query: Query) -> Frequency | None:
        """None for a question that is not a closed one about a finding on a picture, where too few studies look alike, and where none reports it."""
        ask = parse(query.text)
        if (
            not query.images
            or not query.domain
            or ask.sort != "closed"
            or not ask.finding
            or _CHANGE.search(query.text)
            or len(self.drawn) < FEWEST
        ):
            return None
        hits = self.similar.retrieve(query, self.most)
        near = _studies((hit.item for hit in hits if hit.score < self.same), query.domain)
        left_out = frozenset(query.exclude & self.drawn.keys())  # no study counts towards its own answer
        usual, drawn = (
            _reported(weakref.ref(self), query.text, query.domain, left_out) if len(near) >= FEWEST else (0, 0)
        )
        if drawn < FEWEST or not ((seen := _reporting(ask, near)) or usual):
            return None
        lift = log_odds(seen, len(near), usual, drawn)
        return Frequency(phrase(ask), (seen, len(near)), (usual, drawn), -lift if ask.negated else lift)

    @functools.cached_property
    def drawn(self) -> dict[str, Study]:
        """Some of the index's studies by id, the same ones each time."""
        return {item.id: item for item in self.items.sample("study", DRAWN) if isinstance(item, Study)}


def log_odds(seen: int, near: int, usual: int, drawn: int) -> float:
    """Log of the odds of a finding among look-alike studies over its odds at all; counts that are small move it little.

    >>> round(log_odds(46, 200, 40, 500), 2), round(log_odds(0, 200, 0, 500), 2), round(log_odds(16, 200, 40, 500), 2)
    (1.2, -0.34, -0.01)
    """
    base = (usual + HALF) / (drawn + 2 * HALF)
    weight = HALF / min(base, 1 - base)
    return logit((seen + weight * base) / (near + weight)) - logit(base)


@remembered(256)
def _reported(
    counting: weakref.ref[Frequencies], question: str, domain: str, without: frozenset[str]
) -> tuple[int, int]:
    """Of the studies that were drawn: those that report the finding, and all of the domain. What is remembered keeps no index open."""
    counted = counting()
    drawn = counted.drawn if counted else {}
    studies = _studies((study for id, study in drawn.items() if id not in without), domain)
    return _reporting(parse(question), studies), len(studies)


def _studies(items: Iterable[object], domain: str) -> list[Study]:
    """The studies among the items that are of the domain, or say of none."""
    return [one for one in items if isinstance(one, Study) and domain_of(one) in ("", domain)]


def _reporting(ask: Ask, studies: Iterable[Study]) -> int:
    views = (strongest_view(ask, Hit(study, 0.0, 1, "similar")) for study in studies)
    return sum(view is not None and view[0] == "present" for view in views)
