"""A part of a chest film that a question asks to describe, and the sentences of a report that speak of it: "Describe the heart."

A small model that was taught to write whole reports and short answers has no words for a part; those of its report will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# how a part is asked for, and the words by which a sentence speaks of it
_PARTS = (
    ("heart|(?:cardiac|cardiomediastinal) silhouette|cardiac shadow", r"heart|cardi[ao]"),
    (
        r"(?:(?:left|right|upper|lower) )?lungs?(?: fields?)?|lung parenchyma|pulmonary vasculature",
        r"lungs?\b|pulmon|airspace|opaci|consolidat|infiltrat|atelecta|nodul|\bmass|emphysem|hyper(?:inflat|expan|lucen)|fibros|granulom|interstiti|edema|pneumonia|\blobe|basilar|scarring",
    ),
    ("pleura|pleural spaces?|costophrenic angles?", r"pleura|effusion|pneumothora|costophrenic"),
    (
        r"mediastinum|hila|hilum|mediastinal contours?|aorta|trachea",
        r"mediastin|\bhil(?:ar|um|a)\b|aort|trachea|hernia",
    ),
    (
        r"bones?|ribs?|spine|skeleton|osseous structures|bony structures|thoracic spine",
        r"\bbon(?:e|y)|osse|\bribs?\b|spin(?:e|al)|vertebr|fractur|degenerat|scolio|clavic",
    ),
    ("diaphragms?|hemidiaphragms?", r"diaphragm|hernia|free air|costophrenic"),
    (
        r"(?:tubes?|lines?|devices|catheters?|hardware)(?:,? (?:and |or )?(?:tubes?|lines?|devices|catheters?))*",
        r"tube|\bline|catheter|device|pacemaker|clips?|port\b|wires?",
    ),
)
_ASKED = re.compile(
    r"^\W*(?:and )?(?:please )?(?:describe|what about|how about|how (?:is|are|do|does)|comment on|tell me about|evaluate|assess|what (?:can|do) you see (?:in|of|on)|what (?:do|does)"
    rf"|what (?:is|are) the (?:state|condition|status|appearance|findings?) (?:of|in)) (?:(?:the|both|his|her) )*(?P<part>{'|'.join(asked for asked, _ in _PARTS)})"
    r"(?: (?:look|looking|doing|appear))?(?: like)?(?: (?:on|in) (?:this|the) (?:chest )?(?:film|image|picture|x-?ray|radiograph))?\W*$",
    re.IGNORECASE,
)
_SPOKEN = [(re.compile(asked, re.IGNORECASE), re.compile(said, re.IGNORECASE)) for asked, said in _PARTS]
_SECTION = re.compile(r"^(?:findings|impression):\s*", re.IGNORECASE)


def part_of(question: str) -> str:
    """The part of the chest that a question asks to describe; empty for other questions.

    >>> part_of("Describe the lungs."), part_of("What about the mediastinum?"), part_of("Is the heart enlarged?")
    ('lungs', 'mediastinum', '')
    """
    found = _ASKED.match(question)
    return found["part"].lower() if found else ""


def of_part(part: str, sentences: Iterable[str]) -> Iterator[str]:
    """The sentences of a report's findings that speak of the part; its impression repeats them.

    >>> [*of_part("heart", ["Findings: There is cardiomegaly.", "The lungs are clear.", "Impression: Cardiomegaly."])]
    ['There is cardiomegaly.']
    """
    said = next(said for asked, said in _SPOKEN if asked.fullmatch(part))
    for sentence in sentences:
        if sentence.lower().startswith("impression"):
            return
        text = _SECTION.sub("", sentence)
        if said.search(text):
            yield text
