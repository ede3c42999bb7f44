"""Where the sentences of a text lie, and whether a mention in one is present, absent or uncertain in this patient and now.

The rules of negation and doubt are those of `medrag._util.polarity` (ConText); this file gives them one sentence at a time,
with the places of its characters kept, and adds ConText's other two questions: whose it is ("mother has"), and when it was ("history of").
ConText would affirm these and mark them as another's, historical or hypothetical; with three words for an answer they are uncertain.
"""

from __future__ import annotations

import itertools
import re
from typing import Literal

from medrag._util import polarity as context

_SHORT = "".join(
    rf"(?<!\b[{word[0].upper()}{word[0]}]{word[1:]}\.)" for word in ("neg", "sig", "poss", "prob", "vs", "approx")
)
_BREAK = re.compile(rf"(?<=[.!?;]){_SHORT}[\"')\]]*\s+|\s*\n\s*|(?<=[a-z]{{3}}[.!?])(?=[A-Z][a-z])")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence, in order and without overlap; semicolons and line ends also end one."""
    cuts = [(0, 0), *(match.span() for match in _BREAK.finditer(text)), (len(text), len(text))]
    spans = [(left[1], right[0]) for left, right in itertools.pairwise(cuts)]
    return [span for span in spans if span[0] < span[1]]


Aside = Literal["", "another's", "past", "risk"]
_TURNS = r"(?:with|without|no|not|but|which|now|today|currently|presents?|presenting|shows?|showed|demonstrates?|reveals?|found|noted|there|is|are)"
_KIN = (
    r"(?:family (?:hx|history)|f(?:am(?:ily)?)? ?hx|family members?|mother|father|(?:step|half-?)?(?:sister(?! mary\b)|brother)|siblings?|parents|grand(?:mother|father|parents?)"
    r"|aunt|uncle|cousins?|husband|wife|spouse|(?:(?:first|second)-degree )?relatives|(?:first|second)-degree relative|(?:maternal|paternal) (?:hx|history))s?"
)
_STUDY = r"(?:stud(?:y|ies)|exam\w*|films?|radiographs?|x-?rays?|images?|imaging|scans?|ct|mri?|reports?|comparisons?|day|visit)"
_BEFORE: tuple[tuple[Aside, str], ...] = (  # what stands before a mention, up to it
    ("another's", rf"\b{_KIN}\b(?:(?!\b(?:patient|pt|he|she|but|whereas|now|who)\b)[^.;])*$"),
    ("risk", rf"\b(?:risks?(?: factors?)? (?:of|for)|predispos\w+ to|susceptib\w+ to|prevent\w*(?: of)?|prophyla\w+ (?:for|against|of))\b(?:(?!\b{_TURNS}\b)[^.;:])*$"),
    ("past", rf"\b(?:history(?: (?:of(?! (?:the )?present)|for|significant for|includ\w+)\b|\s*:)|(?:pmh|h/o|hx)(?![\w/]))(?:(?!\b{_TURNS}\b)[^.;])*$"),
    ("past", rf"(?<!to )(?<!with )(?<!from )(?<!since )(?<!the )\b(?:prior|previous|past)\s+(?:(?!(?:{_STUDY}|{_TURNS}|and|or|the|to|in|on)\b)[\w/-]+\s+){{0,4}}$"),
)  # fmt: skip
_BEHIND: tuple[tuple[Aside, str], ...] = (
    ("another's", rf"(?:(?!\b{_TURNS}\b)[^.,;])*\b(?:in|of|by) (?:(?:his|her|the|their|a|patient's) )*(?:{_KIN}|family)\b"),
    ("past", r"\s*+,?\s*+(?:by (?:report and )?history|in the (?:distant |remote )?past|(?:\w+ ){1,3}ago)\b"),
)  # fmt: skip
_ASIDE = [(kind, re.compile(words, re.IGNORECASE)) for kind, words in _BEFORE]
_ASIDE_BEHIND = [(kind, re.compile(words, re.IGNORECASE)) for kind, words in _BEHIND]


def polarity(text: str, start: int, end: int, sentence: tuple[int, int]) -> context.Polarity:
    """What the sentence says of the mention ``text[start:end]`` inside it; what is another's, past or a mere risk is not present.

    >>> polarity("History of pneumonia.", 11, 20, (0, 21))
    'uncertain'
    """
    low, high = sentence
    told = context.polarity(text[low:high], (start - low, end - low))
    return "uncertain" if told == "present" and aside(text[low:high], start - low, end - low) else told


def aside(sentence: str, start: int, end: int) -> Aside:
    """Of what a mention is said that is not this patient's now: a relative's, of the past, or a risk; empty where it is.

    >>> aside("Her mother had pneumonia.", 15, 24), aside("No history was given, left pneumonia is seen.", 27, 36)
    ("another's", '')
    """
    before = sentence[max(0, start - context.REACH) : start]
    found = (kind for kind, words in _ASIDE if words.search(before))
    behind = (kind for kind, words in _ASIDE_BEHIND if words.match(sentence, end))
    return next(found, "") or next(behind, "")
