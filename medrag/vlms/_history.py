"""What a patient's own earlier reports say: how a finding went from one to the next, and whether the latest that speaks of it affirms it.

The evidence is that of the search loop's `patient_history`: the reports, and a note that sets each day's beside the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from medrag._util.days import day_of
from medrag._util.findings import label_of, presence_asked
from medrag.prompts import REFUSAL
from medrag.types import Context
from medrag.vlms import _words as words
from medrag.vlms._ask import Ask, parse
from medrag.vlms._evidence import HISTORY, usable
from medrag.vlms._vote import strongest_view

_LINE = re.compile(r"^(?P<days>\S+ → \S+): (?P<said>.+)$", re.MULTILINE)
_WHERE = re.compile(r"; (?P<where>of the [\w ]+) alone$", re.MULTILINE)
_PAST = re.compile(
    r"\bhistory\b|\b(?:earlier|previous|prior|past|old) (?:reports?|stud(?:y|ies)|exam\w*|findings?|films?)\b",
    re.IGNORECASE,
)
_EVER = re.compile(r"\bever\b|^\W*(?:was|were|did|had)\b", re.IGNORECASE)
_OF_THEM = re.compile(
    r"\b(?:patient|he|she|his|her|ever|there)\b|^\W*(?:is|are|was|were|has|have) the\b", re.IGNORECASE
)
_PATIENT = re.compile(r"\b(?:patient|he|she|his|her|ever)\b", re.IGNORECASE)
_GENERAL = re.compile(
    r"\b(?:caus\w+|usually|often|always|typically|commonly|risks?|treat\w*|patients|means?)\b", re.IGNORECASE
)
_ASIDE = (
    words.FRAME
    | words.SEEN
    | words.stem_set("first last when noticed date become became got size interval now much time still")
)
_LASTS = ("increased", "decreased", "unchanged", "still there")
_ASKED = (  # how a course is asked about, what of the reports' words it is true of, and of what it is not
    (r"unchanged|stable|same", ("unchanged",), ("new", "resolved", "increased", "decreased")),
    (r"new|newly|appeared|developed", ("new",), ("resolved", *_LASTS)),
    (r"resolved|gone|disappeared|cleared", ("resolved",), ("new", *_LASTS)),
    (r"still|persist\w*", ("new", "first mentioned", *_LASTS), ("resolved",)),
    (r"grow\w*|grown|increas\w+|wors\w+|bigger|larger|progress\w*", ("increased",), ("decreased", "unchanged", "resolved")),
    (r"improv\w+|better|smaller|decreas\w+|shrunk|regress\w*", ("decreased", "resolved"), ("increased", "unchanged", "new")),
    (r"chang\w+|differen\w+", ("new", "resolved", "increased", "decreased"), ("unchanged",)),
)  # fmt: skip


class _Step(NamedTuple):
    """What changed from one day's reports to the next: the note's key, the place that is asked about, both days, and each word with its findings."""

    key: str
    where: str
    days: str
    said: dict[str, list[str]]


def course_told(question: str, context: Context, asked: str, openly: bool) -> str:
    """What the reports say of a change that is asked about, with keys: of every finding where it is asked ``openly``, else of the one in
    ``asked``, the question without its words of change; empty where they say nothing of it."""
    steps = list(_steps(context))
    if openly or (_PAST.search(question) and parse(question).sort != "closed"):
        return " ".join(_sentence(step) for step in steps)
    told = [step for one in steps if (step := _of(one, parse(asked))).said]
    sentences = [_sentence(step) for step in told]
    if told and parse(question).sort == "closed" and not context.query.images:  # a film is later than its history
        sentences.insert(0, f"{_verdict(question, told[-1])} [{told[-1].key}].")
    return " ".join(sentences)


def _steps(context: Context) -> Iterator[_Step]:
    for key, hit in context:
        if hit.retriever == HISTORY and hit.item.kind == "passage":
            found = _WHERE.search(hit.item.text)
            where = f"{found['where']}, " if found else ""
            for line in _LINE.finditer(hit.item.text):
                said = (part.partition(": ") for part in line["said"].split("; "))
                yield _Step(key, where, line["days"], {word: names.split(", ") for word, _, names in said if names})


def _of(step: _Step, ask: Ask) -> _Step:
    """A step with what it says of the finding alone, by its words or by another wording of the finding that is asked about."""
    wanted, label = set(ask.finding) - _ASIDE, label_of(ask.text)

    def asked(name: str) -> bool:
        return bool(wanted) and (wanted <= words.stem_set(name) or (label != "" and label == label_of(name)))

    said = {word: list(filter(asked, names)) for word, names in step.said.items()}
    return step._replace(said={word: names for word, names in said.items() if names})


def _sentence(step: _Step) -> str:
    said = "; ".join(f"{word}: {', '.join(names)}" for word, names in step.said.items())
    said = said or ("nothing is said of it" if step.where else "nothing to compare")
    return f"By the patient's reports, {step.where}{step.days}: {said} [{step.key}]."


def _verdict(question: str, step: _Step) -> str:
    """Yes or No by the last step that speaks of the finding, or that it is in doubt."""
    row = next((row for row in _ASKED if re.search(rf"\b(?:{row[0]})\b", question, re.IGNORECASE)), None)
    doubt = any(name.startswith("possible ") for names in step.said.values() for name in names)
    if row and not doubt and any(word in row[1] for word in step.said):
        return "Yes"
    return "No" if row and not doubt and all(word in row[2] for word in step.said) else "That is in doubt"


def own_told(ask: Ask, context: Context) -> str:
    """Whether a finding is there by the patient's latest report that speaks of it, in its words; "ever" asks all of them. The refusal
    where none speaks of a finding or of what is asked of the patient: what books know of it does not answer; empty for what asks of no patient."""
    if ask.sort != "closed" or not ask.finding or _GENERAL.search(ask.text):
        return ""
    if not presence_asked(ask.text) and not _OF_THEM.search(ask.text):
        return ""
    own = [(key, hit) for key, hit in context if hit.retriever == HISTORY and hit.item.kind == "study"]
    told = [(key, hit.item, *said) for key, hit in own if (said := strongest_view(ask, hit)) and usable(said[1])]
    told.sort(key=lambda row: day_of(getattr(row[1], "date", "")), reverse=True)
    if _EVER.search(ask.text):
        told.sort(key=lambda row: row[2] != "present")
    if not told:
        return REFUSAL if presence_asked(ask.text) or _PATIENT.search(ask.text) else ""
    key, item, view, text = told[0]
    word = "That is in doubt" if view == "uncertain" else "Yes" if (view == "present") != ask.negated else "No"
    day = day_of(getattr(item, "date", ""))
    return f'{word} [{key}]. The patient\'s report{f" of {day}" if day else ""} reads "{text.rstrip(" .;")}" [{key}].'
