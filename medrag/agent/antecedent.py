"""Which of a session's earlier questions one leans on: the last that has a thing of its own. Rules over words, as in `medrag.agent.followup`.

What has none ("which side?", "since when?", "what has changed?") does not hide what was asked before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from medrag._util.findings import label_of
from medrag._util.manner import plainly
from medrag.agent.asking import sub_questions
from medrag.agent.followup import asked, unclear, whole_of
from medrag.agent.things import LONGEST, is_thing, many, thing
from medrag.agent.which_image import of_several
from medrag.agent.wording import is_there
from medrag.vlms import _words
from medrag.vlms._ask import parse

_PERSON = r"(?:(?:my|this|the|our|an?|one)\s+(?:[\w-]+\s+){0,4}?)?(?:patient|man|woman|child|boy|girl|baby|infant|mother|father|son|daughter|wife|husband|brother|sister|he|she|i)"
_STATED = re.compile(  # "My patient has gout." before a question, or alone
    rf"^\W*{_PERSON}\s+(?:(?:has|have|had|with|suffers? from|known for)|(?:(?:was|is|am|has been|have been)\s+)?(?:recently\s+|newly\s+|just\s+)?diagnosed with)"
    r"\s+(?P<thing>[^.;!?]{2,60}?)[.;!]\s*(?P<rest>[^.;!]*\?)?\s*$",
    re.IGNORECASE,
)
_HE = re.compile(r"\b(?:he|she|(?:the|my|this) patient)\b(?!['’]s| ha[sd]\b| have\b)", re.IGNORECASE)
_HAVING = re.compile(r"^\W*(?:does|do|did|has|had|is|was)\b.*\b(?:have|had|got)\b", re.IGNORECASE)
_DECLARED = re.compile(
    r"^\W*(?:so|then|but)\b[\s,]*(?P<clause>(?:there|this|it|the [\w -]{2,40}?)(?:['’]s| is| are) [^,?]+?)(?: then)?\s*\?\s*$",
    re.IGNORECASE,
)
_THE_TWO = re.compile(
    r"\b(?:they|(?:them|the two|these two|both)(?= differ| compare|\W*$| apart))(?=.*\b(?:differ|compare|apart|related)\b)"
    r"|(?<=difference between )(?:them|the two|these two)|(?<=differences between )(?:them|the two|these two)",
    re.IGNORECASE,
)


def understood(question: str, earlier: Sequence[str], has: str = "", *, pictured: bool = False) -> str:
    """The question with what it leaves out, from the ``earlier`` ones as they were understood; ``has``: the disease that the patient was said to have.

    >>> understood("how big is it?", ["Is there a mass?", "since when?"])
    'how big is a mass?'
    >>> understood("My patient has gout. What are the symptoms?", []), understood("Which foods should he avoid?", [], "gout")
    ('What are the symptoms of gout?', 'Which foods should a patient with gout avoid?')
    """
    if len(question) > LONGEST:
        return question
    if found := _STATED.match(question):
        has, question = stated(question) or has, (found["rest"] or question) if stated(question) else question
        earlier = [*earlier, f"He has {has}."] if has else earlier
    earlier = [
        _told(name, pictured) if (name := stated(part)) else part for one in earlier for part in sub_questions(one)
    ]
    if found := _DECLARED.match(question):
        question = plainly(f"{found['clause']}, right?")
    if two := _the_two(question, earlier):
        return two
    for before in _antecedents(earlier) or [""]:
        if whole := whole_of(question, before):
            return whole
    return _of_the_patient(asked(question), has) if has and not pictured else asked(question)


def stated(question: str) -> str:
    """What a text says that the patient has; empty where it does not, or in more words than a name has.

    >>> stated("My patient has gout. What are the symptoms?"), stated("He has been coughing. Is there a mass?")
    ('gout', '')
    """
    found = _STATED.match(question[:LONGEST])
    name = found["thing"].strip(" ,") if found else ""
    return name if name and is_thing(name) and len(name.split()) <= 5 and not re.match(r"(?:been|to)\b", name) else ""


def _told(has: str, pictured: bool) -> str:
    return is_there(has) if pictured and label_of(has) else f"What {'are' if many(has) else 'is'} {has}?"


def _antecedents(earlier: Sequence[str]) -> list[str]:
    """The last question that asks anything by itself, and the last with a thing, unless the former asks for the whole picture."""
    told = [one for one in reversed(earlier) if _asks(one)]
    things = [one for one in told if thing(one)]
    return list(dict.fromkeys([*told[:1], *([] if told and _of_all(told[0]) else things[:1])]))


def _asks(question: str) -> bool:
    """Whether it asks anything that another question could be asked like: not "since when?", nor what sets images beside each other."""
    return bool(parse(question).topic or _of_all(question)) and not unclear(question) and not of_several(question)


def _of_all(question: str) -> bool:
    ask = parse(question)
    return ask.sort == "report" or ask.broad


def _the_two(question: str, earlier: Sequence[str]) -> str:
    """The last two things in the place of "they": "how do they differ?"."""
    names = list(dict.fromkeys(name for one in reversed(earlier) if (name := thing(one))))[:2]
    if len(names) < 2 or not _THE_TWO.search(question):
        return ""
    return _THE_TWO.sub(f"{names[1]} and {names[0]}", question, count=1)


def _of_the_patient(question: str, has: str) -> str:
    """The patient by what he has, in a question of texts, which know nobody."""
    if _HAVING.match(question) or _words.stem_set(has) <= _words.stem_set(question):
        return question
    return _HE.sub(f"a patient with {has}", question, count=1)
