"""What a question is to the small model: which findings of the reader it asks for, in which words it is put to the model, and whether it was taught to answer it."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from medrag._util.findings import ASKED, SAID, label_of, presence_asked, reading_asked
from medrag._util.text import words
from medrag.vlms._ask import parse, plain
from medrag.vlms._small_sides import finding_of
from medrag.vlms._taught import TAUGHT

if TYPE_CHECKING:
    from medrag.prompts import Prompt

_CHOICE = re.compile(r"\W*(?:is|was) (?:this|it|that)\b", re.IGNORECASE)
_NAMES = re.compile(  # asks of something whether it is there, or whether it is this
    r"\W*(?:any |(?:is|are) (?:[\w-]+ ){1,4}(?:present|likely|possible)\W*$|(?:is|are) (?:the|your) diagnosis |(?:is|are|was|were) (?:there|this|it|that|these)\b(?! (?:(?:an?|the) )?(?:\w+ )?(?:patient|image|film|picture|x-?ray|scan|study|view|man|woman)\b)"
    r"|(?:does|do|did) (?:(?:the|this) (?:patient|man|woman|film|image|x-?ray)|he|she|it|this) (?:have|show|suffer from|demonstrate|look like)\b|has (?:the patient|he|she) (?:got )?)",
    re.IGNORECASE,
)

_TUBES = re.compile(
    r"\b(?:(?:chest|endotracheal|et|ng|nasogastric|feeding|tracheostomy|enteric|gastric|orogastric|drainage) tubes?|tubes|ett|ngt|intubated|tracheostomy|drains?|(?:lines|leads)(?! of)|arterial line|(?:any|a) (?:line|tube))\b",
    re.IGNORECASE,
)
_NAKED = re.compile(r"\W*is there (?P<name>[\w -]+?)\W*$", re.IGNORECASE)
_ILL = "Is there any abnormality?"
PLEURAL = ("Effusion", "Pneumothorax", "Pleural_Thickening")
_PLEURA = re.compile(
    r"\W*(?:is|are) (?:the |both )?pleura(?:l spaces?)? (?:spaces? )?(?:normal|clear|unremarkable)\W*$", re.IGNORECASE
)
_PART = re.compile(  # which part of the body is shown
    r"\W*(?:is|was) (?:this|it|that|the (?:image|film|picture|x-?ray|scan|radiograph))(?: (?:an?|the))?(?: (?:x-?ray|image|film|picture|scan|radiograph))?(?: of)?(?: (?:an?|the|his|her))?"
    r" (?P<part>abdomen|abdominal|head|skull|brain|knee|hand|foot|hip|pelvis|pelvic|spine|leg|arm|wrist|ankle|neck|shoulder|elbow|chest|thorax|thoracic|lungs?)(?: (?:x-?ray|image|film|picture|scan|radiograph))?\W*$",
    re.IGNORECASE,
)
_THORAX = frozenset({"chest", "thorax", "thoracic", "lung", "lungs"})


def part_is(question: str, domain: str) -> bool | None:
    """Whether a chest film shows the part of the body that a closed question names; None for other questions and pictures.

    >>> part_is("Is this the abdomen?", "chest-xray"), part_is("Is this a chest film?", "chest-xray"), part_is("Is this the heart?", "chest-xray")
    (False, True, None)
    """
    found = _PART.match(plain(question)) if domain == "chest-xray" else None
    return None if found is None else found["part"].lower() in _THORAX


def of_tubes(question: str) -> bool:
    """Whether a closed question asks for tubes and lines of which the reader has no label: the model says yes to each.

    >>> of_tubes("Are there any lines or tubes?"), of_tubes("Is there a central line?"), of_tubes("Is there a pleural line?")
    (True, False, False)
    """
    return parse(question).sort == "closed" and bool(_TUBES.search(plain(question))) and not labels_of(question)[0]


def untaught(question: str) -> bool:
    """Whether a closed question names a disease or thing that no training question names: the answer would be a guess.

    >>> untaught("Is this COVID-19?"), untaught("Is there a pneumothorax?"), untaught("Is this patient healthy?")
    (True, False, False)
    """
    ask = parse(question)
    named = [one.head for one in ask.either or (ask,) if not one.of_a_state]
    return bool(
        ask.sort == "closed"
        and not labels_of(question)[0]
        and _NAMES.match(plain(question))
        and any(head and head not in TAUGHT for head in named)
    )


def affirmed(prompt: Prompt) -> Prompt:
    """A question whether a finding of the reader is not there, or whether a film is normal, as one whether something is there; others as they are."""
    question = plain(prompt.question)
    label, against = reading_asked(question)
    well = label == "normal" and not against and not parse(question).negated
    if not well and (label not in ASKED or not parse(prompt.question).negated):
        return prompt
    counted = prompt.context.frequency
    counted = dataclasses.replace(counted, lift=-counted.lift) if counted else None
    context = dataclasses.replace(prompt.context, frequency=counted)
    return dataclasses.replace(prompt, question=_ILL if well else _asked_as(question, label), context=context)


def unplaced(prompt: Prompt) -> Prompt:
    """A question whether a finding of the reader lies at a place as one whether it is there at all; others as they are. Look-alike studies were counted for the place."""
    if not (label := finding_of(prompt.question)) or parse(prompt.question).negated:
        return prompt
    context = dataclasses.replace(prompt.context, frequency=None)
    return dataclasses.replace(prompt, question=_asked_as(plain(prompt.question), label), context=context)


def _asked_as(question: str, label: str) -> str:
    """Whether the finding is there, by the name that the question gives it."""
    said = " ".join(words(question))
    names = sorted((name for name in SAID if name in said and label_of(name) == label), key=len)
    return f"Is there {SAID[names[-1]] if names else ASKED[label][0]}?"


def with_article(question: str) -> str:
    """A question made of a finding's name as it would be asked in full.

    >>> with_article("Is there pneumothorax?"), with_article("Is there atelectasis?")
    ('Is there a pneumothorax?', 'Is there atelectasis?')
    """
    found = _NAKED.match(question)
    return f"Is there {SAID[found['name'].lower()]}?" if found and found["name"].lower() in SAID else question


def labels_of(question: str) -> tuple[tuple[str, ...], bool]:
    """The reader's labels that a question asks for the presence of, and whether "yes" speaks against them.

    Several of "an effusion or a pneumothorax", but for "Is this pneumonia or atelectasis?", which wants one of them named.
    """
    question = plain(question)
    if _PLEURA.match(question):
        return PLEURAL, True
    either = parse(question).either
    if either and not _CHOICE.match(question):
        found = tuple(presence_asked(one.text) for one in either)
        return (found, False) if all(found) else ((), False)
    label, against = reading_asked(question)
    return ((label,) if label else ()), against
