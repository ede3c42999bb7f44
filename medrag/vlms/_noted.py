"""What the findings reader answers by itself about a chest film: the size of the heart, normal or abnormal, and that what a question takes for granted is not there.

A small model asked where a nodule lies names a place, whether there is a nodule or not. It looks at no image itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from medrag._util.findings import ASKED, label_of
from medrag.vlms._ask import parse, plain, which_side
from medrag.vlms._revise import SEEN, seen, summary

UNLIKE = 0.5  # of the usual probability: how many films with and without a finding stand below tells `eval/benchmarks/guesses.py`
_FILM = r"(?: (?:in|on|of) (?:this|the) (?:chest )?(?:film|image|picture|x-?ray|radiograph))?"
_HEART_SIZE = re.compile(
    r"^\W*(?:(?:and |what about |how about )?(?:the )?heart size|size of (?:the )?heart|(?:what(?:'s| is)|how is|describe|comment on) the (?:heart size|(?:cardiac )?size of the heart|size of the (?:heart|cardiac silhouette)|cardiac size)"
    r"|how (?:big|large) is the (?:heart|cardiac silhouette)|is the (?:heart|cardiac silhouette|heart size) (?:normal or enlarged|enlarged or normal|large or normal|normal or large)|cardiomegaly (?:vs\.?|or|versus) normal(?: heart(?: size)?)?)"
    rf"{_FILM}\W*$",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"^\W*(?:is|are|does|do)? ?(?:this|the|these|it)(?: (?:chest|image|film|x-?ray|radiograph|picture|study|scan))* ?(?:looks?|appears?|seems?)?(?: to be)? (?:normal or abnormal|abnormal or normal|normal or not)\W*$"
    r"|^\W*(?:normal or abnormal|abnormal or normal|normal or not)\W*$",
    re.IGNORECASE,
)


_SHORT = re.compile(r"\b(?:in|as) (?:one|a|1|a single) (?:short )?(?:sentence|line)\b", re.IGNORECASE)
_GRANTS = re.compile(  # where, which lobe, how large, how many, what kind of: not what books say of it, nor what changed
    r"\W*(?:and )?(?:where\b|(?:in |on )?which (?:side|lobe|lung|part|zone|rib|bone|area|region)|how (?:large|big|severe|extensive|many)\b|what (?:is|are) the (?:[\w']+ ){0,2}(?:location|size|position|extent|shape|side|level|site)\b"
    r"|what (?:kind|type|sort|size|side|shape|level) |why (?:is|are) (?:there|the)\b|(?:describe|locate|point to) the )(?!.*\b(?:chang\w+|since|compared)\b)",
    re.IGNORECASE,
)


def read_off(question: str, read: Callable[[], Mapping[str, float]], usual: Mapping[str, float]) -> str:
    """The answer by the reader's probabilities alone; empty where it does not give one. ``usual``: its mean over the training films.

    >>> read_off("How big is the heart?", lambda: {"Cardiomegaly": 0.4}, {}), read_off("Normal or abnormal?", lambda: {"Effusion": 0.6}, {})
    ('The heart is enlarged.', 'Abnormal: pleural effusion.')
    >>> read_off("Where is the nodule?", lambda: {"Nodule": 0.01}, {"Nodule": 0.03}), read_off("Where is the nodule?", lambda: {"Nodule": 0.2}, {"Nodule": 0.03})
    ('No pulmonary nodule is seen.', '')
    """
    if _HEART_SIZE.match(question):
        return f"The heart is {'' if read().get('Cardiomegaly', 0.0) >= SEEN else 'not '}enlarged."
    if _WHOLE.match(question):
        found = summary(seen(read()))
        return f"Abnormal: {found[:1].lower()}{found[1:]}" if seen(read()) else "Normal: no abnormality is seen."
    label = _taken_for_granted(question)
    if label not in usual or read().get(label, 1.0) >= UNLIKE * usual[label]:
        return ""
    return f"No {re.sub(r'^an? ', '', ASKED[label][0])} is seen."


def in_a_sentence(question: str) -> bool:
    """Whether a report is asked for in one sentence, which is what the reader sees.

    >>> in_a_sentence("Describe this film in one sentence."), in_a_sentence("Describe this film.")
    (True, False)
    """
    return bool(_SHORT.search(question)) and parse(question).sort == "report"


def _taken_for_granted(question: str) -> str:
    """The finding that a question supposes to be there, to ask where, what kind or why; empty for others."""
    ask = parse(question)
    label = label_of(question) if which_side(ask) or (ask.sort == "open" and _GRANTS.match(plain(question))) else ""
    return label if label in ASKED else ""
