"""What a question is to the small model: which findings of the reader it asks for, in which words it is put to the model, and whether it was taught to answer it."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from medrag._util.findings import ASKED, presence_asked, reading_asked
from medrag.vlms._ask import parse, plain
from medrag.vlms._taught import TAUGHT

if TYPE_CHECKING:
    from medrag.prompts import Prompt

_CHOICE = re.compile(r"\W*(?:is|was) (?:this|it|that)\b", re.IGNORECASE)
_NAMES = re.compile(  # asks of something whether it is there, or whether it is this
    r"\W*(?:any |(?:is|are) (?:[\w-]+ ){1,4}(?:present|likely|possible)\W*$|(?:is|are) (?:the|your) diagnosis |(?:is|are|was|were) (?:there|this|it|that|these)\b(?! (?:(?:an?|the) )?(?:\w+ )?(?:patient|image|film|picture|x-?ray|scan|study|view|man|woman)\b)"
    r"|(?:does|do|did) (?:(?:the|this) (?:patient|man|woman|film|image|x-?ray)|he|she|it|this) (?:have|show|suffer from|demonstrate|look like)\b|has (?:the patient|he|she) (?:got )?)",
    re.IGNORECASE,
)


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
    """A question whether a finding of the reader is not there as one whether it is; others as they are."""
    label, _ = reading_asked(prompt.question)
    if label not in ASKED or not parse(prompt.question).negated:
        return prompt
    counted = prompt.context.frequency
    counted = dataclasses.replace(counted, lift=-counted.lift) if counted else None
    context = dataclasses.replace(prompt.context, frequency=counted)
    return dataclasses.replace(prompt, question=f"Is there {ASKED[label][0]}?", context=context)


def labels_of(question: str) -> tuple[tuple[str, ...], bool]:
    """The reader's labels that a question asks for the presence of, and whether "yes" speaks against them.

    Several of "an effusion or a pneumothorax", but for "Is this pneumonia or atelectasis?", which wants one of them named.
    """
    either = parse(question).either
    if either and not _CHOICE.match(question):
        found = tuple(presence_asked(one.text) for one in either)
        return (found, False) if all(found) else ((), False)
    label, against = reading_asked(question)
    return ((label,) if label else ()), against
