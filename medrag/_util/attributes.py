"""Side, zone and severity of a phrase in a sentence, by the words of its own noun phrase, then of those beside it.

A sentence is cut at conjunctions and commas. The piece that holds the phrase counts first ("left effusion and right
atelectasis"); without a word there, for the side and the zone, the pieces after it ("atelectasis and effusion at the left
base") and before it in the same clause count. It knows no anatomy beyond these words.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from medrag._util.polarity import clauses
from medrag._util.remember import remembered

Span = tuple[int, int]
_JOINT = re.compile(
    r",|;|\b(?:and|or|with|but|versus|vs|without|which|may|could|suggesting|consistent|representing)\b", re.IGNORECASE
)
_PAIR = r"\b(?:left|right)(?:[- ]sided)? (?:(?:and|or|&|/)|(?:\w+ )?(?:greater than|worse than|more than|less than|>)) (?:the )?(?:left|right)\b"
_SIDE = re.compile(
    rf"(?P<bilateral>{_PAIR}|\b(?:bilateral(?:ly)?|both|bi-?(?:basilar|basal|apical|basal)|bibasal|bases|apices|each lung|lower lobes|upper lobes)\b)"
    r"|(?P<left>\b(?:left|lt|lingula\w*|lll|lul)\b)|(?P<right>\b(?:right|rt|rml|rll|rul|middle lobe)\b)".replace(
        " ", r"\s+"
    ),
    re.IGNORECASE,
)
_SEVERITY = re.compile(
    r"\b(?:(?P<mild>mild(?:ly)?|minimal(?:ly)?|small|tiny|trace|slight(?:ly)?|subtle|minor|minute|faint(?:ly)?|little)"
    r"|(?P<moderate>moderate(?:ly)?|moderate-sized)"
    r"|(?P<severe>severe(?:ly)?|marked(?:ly)?|large|extensive(?:ly)?|massive(?:ly)?|huge|gross|tension))\b",
    re.IGNORECASE,
)
_ZONE = re.compile(
    r"\b(?:(?P<upper>upper|apex|apical|apices|biapical|rul|lul|suprahilar)|(?P<middle>middle|mid|lingula\w*|rml)"
    r"|(?P<lower>lower|bases?|basilar|bibasilar|basal|bibasal|rll|lll|retrocardiac|infrahilar|costophrenic)|(?P<hilar>\w*hilar|hilum|hila|central(?:ly)?)"
    r"|(?P<svc>svc|vena cava)|(?P<atrium>atri\w+|cavoatrial|cavo-atrial)|(?P<carina>carina\w*)|(?P<stomach>stomach|gastric|diaphragm)"
    r"|(?P<spine>vertebra\w*|spine|[tl]\d{1,2})|(?P<rib>ribs?)|(?P<clavicle>clavic\w+)|(?P<humerus>humer\w+|shoulder))\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"\W*(?:(?:and|or|but|with)\s+)?(?:no|not|without)\b", re.IGNORECASE)  # what begins anew
_LEVEL = {"mild": 1, "moderate": 2, "severe": 3}


@remembered(8192)
def _pieces(sentence: str) -> tuple[Span, ...]:
    pairs = [match.span() for match in re.finditer(_PAIR.replace(" ", r"\s+"), sentence, re.IGNORECASE)]
    edges = {edge for clause in clauses(sentence) for edge in clause}
    edges |= {m.start() for m in _JOINT.finditer(sentence) if not any(a <= m.start() < b for a, b in pairs)}
    cuts = sorted(edges | {0, len(sentence)})
    return tuple(itertools.pairwise(cuts))


def _around(sentence: str, span: Span) -> Iterator[Span]:
    """The piece of the span, then those after it, then those before it, nearest first, within its clause."""
    low, high = next((c for c in clauses(sentence) if c[0] <= span[0] < c[1]), (0, len(sentence)))
    pieces = [p for p in _pieces(sentence) if low <= p[0] and p[1] <= high]
    own = (
        min((a for a, b in pieces if b > span[0]), default=low),
        max((b for a, b in pieces if a < span[1]), default=high),
    )
    yield own
    after = (p for p in pieces if p[0] >= own[1])
    yield from itertools.takewhile(lambda p: not _DENIAL.match(sentence, p[0]), after)
    if not _DENIAL.match(sentence, own[0]):
        yield from (p for p in reversed(pieces) if p[1] <= own[0])


def own_piece(sentence: str, span: Span) -> Span:
    """The piece of the sentence, between conjunctions, commas and clauses, that holds the span.

    >>> sentence = "Small left effusion and mild edema."
    >>> sentence[slice(*own_piece(sentence, (11, 19)))]
    'Small left effusion '
    """
    return next(_around(sentence, span))


def gap(match: re.Match[str], span: Span) -> int:
    """How many characters lie between a match and a span; 0 where they meet."""
    return max(match.start() - span[1], span[0] - match.end(), 0)


def side_of(sentence: str, span: Span) -> str:
    """left, right, bilateral, or "" where the clause names none.

    >>> side_of("Left effusion and right atelectasis.", (5, 13)), side_of("Atelectasis at the left base.", (0, 11))
    ('left', 'left')
    """
    for low, high in _around(sentence, span):
        if found := list(_SIDE.finditer(sentence, low, high)):
            return str(min(found, key=lambda match: gap(match, span)).lastgroup)
    return ""


def severity_of(sentence: str, span: Span) -> int:
    """1 mild, 2 moderate, 3 severe, 0 where its own piece of the sentence says nothing."""
    low, high = own_piece(sentence, span)
    found = list(_SEVERITY.finditer(sentence, low, high))
    return _LEVEL[str(min(found, key=lambda match: gap(match, span)).lastgroup)] if found else 0


def location_of(sentence: str, span: Span) -> frozenset[str]:
    """The zones and parts that the nearest piece with any names."""
    for low, high in _around(sentence, span):
        if found := {str(match.lastgroup) for match in _ZONE.finditer(sentence, low, high)}:
            return frozenset(found)
    return frozenset()
