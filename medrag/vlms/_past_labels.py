"""Questions that the labels of look-alike pictures do not answer, although they hold words of them: which kind of what a label names already, a
state or a disease where labels name cells and organs, a comparison."""

from __future__ import annotations

import re
from collections.abc import Collection

from medrag.types import Labelled
from medrag.vlms._ask import Ask
from medrag.vlms._words import FRAME, SEEN, SITES, content, stem_set

_COMPARED = re.compile(
    r"\b(?:same|identical|different|similar|(?:other|rather) than|worse|better|(?:more|less)(?! likely)|higher|lower|greater|at (?:least|most)|than|apart from)\b",
    re.IGNORECASE,
)
_KIND = re.compile(r"\b(?:sub-?)?(?:types?|kinds?|sorts?|class|category|stage|grade|species|variant)\b", re.IGNORECASE)
_GRADED = re.compile(r"\b(?:stage|grade)\b", re.IGNORECASE)
_ILL = re.compile(r"\b(?:diseases?|disorders?|conditions?|diagnos\w+|abnormal\w*|patholog\w+|wrong)\b", re.IGNORECASE)
_STATE = re.compile(
    r"^\W*(?:is|are) (?:this|these|the) (?:\w+ )?(?P<thing>\w+) (?:healthy|normal|abnormal|diseased|cancerous|malignant|benign|pathological|ill|sick)\b",
    re.IGNORECASE,
)
_DEGREE = re.compile(
    r"\d|\b(?:mild|moderate|severe|low|high|early|late|advanced|grade|stage|[IVX]+|minimal|none|no|normal)\b",
    re.IGNORECASE,
)
_PART = re.compile(  # a cell, an organ or a kind of picture: no label that says how it fares
    r"(?:[wr]bcs?|cxr|(?:(?:white|red) )?blood ?cells?|platelets?|\w*(?:cytes?|phils?)|(?:abdomen|breast|chest|head|brain|neck|spine)?[ -]?(?:ct|mri?|x-?ray)"
    r"|hands?|heads?|feet|foot|knees?|abdomen|chest|breast|pelvis|spine|(?:(?:adipose|connective|muscle) )?(?:tissue|cells?|muscle|stroma|mucosa))",
    re.IGNORECASE,
)


def beyond(ask: Ask, labelled: Labelled) -> bool:
    """Whether a question asks for what its labels do not tell, whatever words they share.

    >>> from medrag.vlms._ask import parse
    >>> cells = Labelled((("WBC", 5), ("RBC", 1)), 6)
    >>> [beyond(parse(text), cells) for text in ("What cell is this?", "What type of white blood cell is this?", "Is this cell cancerous?")]
    [False, True, True]
    """
    labels = [*dict.fromkeys([*(label for label, _ in labelled.labels), *labelled.such])]
    if ask.sort == "closed":
        return _compared(ask, labels) or (not labelled.such and _of_a_state(ask, labels))
    if ask.sort != "open":
        return False
    if _ILL.search(ask.text) and _name_parts(labels):
        return True
    if _GRADED.search(ask.text) and not any(map(_DEGREE.search, labels)):
        return True
    return bool(_KIND.search(ask.text)) and _names_one(ask, labels)


def _compared(ask: Ask, labels: Collection[str]) -> bool:
    """Whether something is compared, by a word that is none of the labels': "worse than moderate"."""
    held = " ".join(labels).lower()
    return any(found[0].lower() not in held for found in _COMPARED.finditer(ask.text))


def _of_a_state(ask: Ask, labels: Collection[str]) -> bool:
    """Whether it asks how an organ or a cell fares, which no label says."""
    found = _STATE.match(ask.text)
    return _name_parts(labels) or bool(found and stem_set(found["thing"]) & SITES)


def _name_parts(labels: Collection[str]) -> bool:
    return all(_PART.fullmatch(label.strip()) for label in labels)


def _names_one(ask: Ask, labels: Collection[str]) -> bool:
    """Whether a question names one of the labels itself, of which no other label is a kind."""
    said = [ask.text[word.start : word.end] for word in content(ask.text)]
    initials = {
        "".join(word[0] for word in said[a:b]).upper() for a in range(len(said)) for b in range(a + 2, len(said) + 1)
    }
    asked = stem_set(" ".join(said))
    held = {label: stem_set(label) - FRAME - SEEN - stem_set("lesion") for label in labels}
    named = [label for label, own in held.items() if own and (own <= asked or label.upper().rstrip("S") in initials)]
    return any(not any(held[one] < other for other in held.values()) and not _denies(one) for one in named)


def _denies(label: str) -> bool:
    return bool(re.match(r"\W*(?:no|non|not|without)\b", label, re.IGNORECASE))
