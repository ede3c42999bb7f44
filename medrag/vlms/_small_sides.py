"""Where a finding lies: the findings reader tells that it is there, not on which side or in which lobe, and a small model guesses."""

from __future__ import annotations

import re

from medrag._util.findings import ASKED, label_of, reading_asked
from medrag._util.manner import LONGEST
from medrag.vlms._ask import parse, plain, which_side

_ADJECTIVE = re.compile(
    r"\b(?:left|right|both|either|bilateral|unilateral|bibasilar|biapical|basilar|basal|apical|perihilar|upper|middle|mid|lower|medial|lateral|posterior|anterior)\b(?:[ -]sided\b)?\s*",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\s*\b(?:in|on|at|of|within|over|along|near|throughout)\s+(?:(?:the|his|her|of)\s+)*(?:(?:lungs?|midlungs?|bases?|apex|apices|lobes?|zones?|fields?|sides?|hemithorax|hila|hilum|lingula|regions?|areas?|chest)\b\s*(?:of the\s+)?)*(?=\W*$|[?,]|\s)",
    re.IGNORECASE,
)
_DEGREE = re.compile(r"\b(?:small|large|moderate|mild|minimal|slight|trace|subtle|minor|tiny|dense|focal|multiple|scattered|streaky|patchy|hazy|any)\s+", re.IGNORECASE)  # fmt: skip
_WHERE = re.compile(r"\b(?:lobe|lobes|zone|base|bases|apex|lingula|upper|middle|lower|basilar|apical)\b", re.IGNORECASE)
_SIDE = re.compile(r"\b(?:left|right|bilateral|both (?:sides|lungs)|bibasilar)\b", re.IGNORECASE)
_LUNG = re.compile(r"\blungs?\b.*\b(?:clear|normal|abnormal)\b", re.IGNORECASE)
_IT = re.compile(r"^\W*(?:is|are) (?:it|this|that|they|these)\b", re.IGNORECASE)
_WHICH = re.compile(
    r"^\W*(?:and |so )?(?:(?:in |on )?(?:which|what) (?:\w+ )?(?:side|lobe|zone|hemithorax|quadrant)\b|(?:left|right) or (?:left|right)\W*$|side\W*$|(?:a\)|1\)) ?(?:left|right)\b)"
    r"|^\W*(?:in |on )?which lung\b|^\W*what(?:'s| is) (?:the )?(?:\w+'s )?(?:location|side)\b|,\s*(?:a\)|1\)) ?(?:left|right)\b",
    re.IGNORECASE,
)


def finding_of(question: str) -> str:
    """The reader's label of which a closed question asks whether it lies at a place, and no more; empty for others.

    >>> finding_of("Is there an effusion on the left?"), finding_of("Is the right lower lobe opacity calcified?"), finding_of("Is there an effusion?")
    ('Effusion', '', '')
    """
    asked, ask = plain(question), parse(question)
    if len(asked) > LONGEST or ask.sort != "closed" or ask.either or which_side(ask) or not _placed(asked):
        return ""
    rest = _DEGREE.sub("", _PLACE.sub(" ", _ADJECTIVE.sub("", asked)))
    label, against = reading_asked(re.sub(r"\b(?:lobe|lung|zone)s?\b", "", rest))
    return label if label in ASKED and not against else ""


def asks_where(question: str) -> bool:
    """Whether an open question wants a side or a lobe named.

    >>> [asks_where(text) for text in ("Which side is the effusion on?", "Which lobe?", "Is the mass on the left or right?", "What lung disease is this?")]
    [True, True, True, False]
    """
    asked = plain(question)
    return which_side(parse(question)) or bool(
        _WHICH.search(asked) and not re.search(r"\blung (?:disease|finding)", asked)
    )


def in_doubt(question: str) -> str:
    """What is said behind an answer that names a place."""
    question = plain(question)
    if not _placed(question) or not (
        label_of(_ADJECTIVE.sub("", question)) or _LUNG.search(question) or _IT.match(question)
    ):
        return ""
    what = "side" if _SIDE.search(question) else "place"
    return f"In doubt: the {what}, which the findings reader does not tell."


def there_or_not(question: str) -> bool:
    """Whether "no" to a question of a place leaves open that it is elsewhere: of a finding of the reader, or of lungs that are clear."""
    return bool(finding_of(question) or _LUNG.search(question))


def _placed(question: str) -> bool:
    return bool(_SIDE.search(question) or _WHERE.search(question))
