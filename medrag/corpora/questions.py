"""Closed questions with their answers, made from labels and from the words of reports.

`from_labels` asks about findings that a study's labels settle; `balanced` takes as many studies with as without each finding, so that
the question alone tells nothing. `from_report` turns what the sentences of a report say or deny into questions, as the published
question sets were made. `answer_of` reads yes or no out of a worded answer, `meant` and `as_text` read what a file gives as one. Nothing here looks at a picture.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from medrag._util.findings import ASKED, SAID
from medrag._util.polarity import mentions, polarity
from medrag._util.text import sentences
from medrag.corpora.realdata import Study

FRAMES = ("Is there {}?", "Does the chest X-ray show {}?", "Is there evidence of {}?", "Is {} present?")
LABELS = {
    "yes": "yes", "no": "no", "true": "yes", "false": "no", "present": "yes", "absent": "no", "positive": "yes", "negative": "no", "1": "yes", "0": "no", "y": "yes", "n": "no",
}  # fmt: skip
LEAST = 5  # studies with a finding, and without it, that a balanced set needs to ask about it


@dataclass(frozen=True, slots=True)
class Closed:
    """A question with "yes" or "no", the study it is asked of, and what it asks about."""

    uid: str
    question: str
    answer: str
    topic: str


def _marks(study: Study) -> frozenset[str]:
    return study.positive | {f"mesh:{term}" for term in study.mesh}


def ask(study: Study, topic: str, chance: random.Random) -> Closed:
    """One question about a label, in one of its wordings."""
    wording = chance.choice(FRAMES).format(chance.choice(ASKED[topic]))
    return Closed(study.uid, wording[:1].upper() + wording[1:], "yes" if topic in _marks(study) else "no", topic)


def balanced(studies: Sequence[Study], seed: int = 0, topics: Sequence[str] = tuple(ASKED)) -> list[Closed]:
    """For each topic with enough studies: the same plain question of as many studies with as without it, drawn where there are more.

    "Without" are studies whose labels name neither the topic nor, for "Is it normal?", anything else.
    """
    chance, made = random.Random(seed), []
    for topic in topics:
        having = [study for study in studies if topic in _marks(study)]
        lacking = [study for study in studies if topic not in _marks(study)]
        if min(len(having), len(lacking)) < LEAST:
            continue
        if len(having) > len(lacking):
            having = chance.sample(having, len(lacking))
        else:
            lacking = chance.sample(lacking, len(having))
        question = f"Is there {ASKED[topic][0]}?"
        made += [Closed(study.uid, question, "yes", topic) for study in having]
        made += [Closed(study.uid, question, "no", topic) for study in lacking]
    return made


def from_labels(study: Study, rates: dict[str, float], chance: random.Random, most: int) -> list[Closed]:
    """Questions for training: a study's own findings, and absent ones drawn as often as others have them."""
    own = [topic for topic in ASKED if topic in _marks(study)]
    absent = [topic for topic in ASKED if topic not in own]
    chosen = chance.sample(own, min(len(own), most))
    picked = chance.choices(absent, [rates.get(topic, 0.0) + 1e-3 for topic in absent], k=max(1, most - len(chosen)))
    made = [ask(study, topic, chance) for topic in dict.fromkeys([*chosen, *picked])]
    chance.shuffle(made)
    return made


def from_report(study: Study) -> list[Closed]:
    """What the sentences of a report say or deny, as questions; what they leave open is not asked."""
    made: dict[str, Closed] = {}
    for sentence in sentences(study.text):
        for phrase, wording in SAID.items():
            if not mentions(sentence, phrase) or (phrase == "effusion" and mentions(sentence, "pleural effusion")):
                continue
            view = polarity(sentence, phrase)
            if view != "uncertain":
                answer = "yes" if view == "present" else "no"
                old = made.get(phrase)
                if old is None or answer == "yes":
                    made[phrase] = Closed(study.uid, f"Is there {wording}?", answer, phrase)
    return list(made.values())


def answer_of(text: str) -> str:
    """ "yes", "no", or "" for an answer that says neither; a worded denial without "no" in front counts as no."""
    first = re.match(r"\W*(yes|no)\b", text, re.IGNORECASE)
    return first[1].lower() if first else ""


def worded(answer: str) -> str:
    """A published answer that begins with yes or no: one that begins otherwise is given the word its sentence means."""
    if answer_of(answer):
        return answer
    word = "No" if re.search(r"\b(no|not|without|cannot)\b", answer, re.IGNORECASE) else "Yes"
    return f"{word}, {answer[:1].lower()}{answer[1:]}"


def meant(answer: object) -> str:
    """ "yes" or "no" for what a file gives as an answer: of a sentence as `worded` has it, of a single word where it is a label.

    Raises ValueError for any other word, TypeError for what is no answer.

    >>> meant("The heart is large."), meant("Absent."), meant(True)
    ('yes', 'no', 'yes')
    """
    text = as_text(answer)
    if len(text.split()) > 1:
        return answer_of(worded(text))
    if (word := _word(text)) not in LABELS:
        raise ValueError(f"the answer {text!r} is neither yes nor no; known: {', '.join(LABELS)}")
    return LABELS[word]


def as_text(answer: object) -> str:
    """An answer of a file as text: "yes" or "no" where it is no more than that, with a full stop or without. Raises TypeError for what is no answer.

    >>> as_text("Yes."), as_text(False), as_text(" An MRI."), as_text(2)
    ('yes', 'no', 'An MRI.', '2')
    """
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    if not isinstance(answer, str | int | float):
        raise TypeError(f"the answer {answer!r} is no text")
    text = str(answer).strip()
    return word if (word := _word(text)) in ("yes", "no") else text


def _word(text: str) -> str:
    return text.removesuffix(".").lower()


def sentence(closed: Closed, chance: random.Random) -> str:
    """A worded answer to a question made from labels."""
    thing = ASKED[closed.topic][0]
    if closed.answer == "yes":
        return chance.choice([f"Yes, the chest X-ray shows {thing}.", f"Yes, there is {thing}."])
    return chance.choice([f"No, the chest X-ray does not show {thing}.", f"No, there is no sign of {thing.removeprefix('a ').removeprefix('an ')}."])  # fmt: skip
