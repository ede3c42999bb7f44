"""Which of a session's earlier questions one leans on: the last that has a thing of its own. Rules over words, as in `medrag.agent.followup`.

What has none ("which side?", "since when?", "what has changed?") does not hide what was asked before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from medrag._util.findings import label_of
from medrag._util.manner import plainly
from medrag.agent.asking import sub_questions
from medrag.agent.bare import OF_THIS, TO_ASK, asked_of, named
from medrag.agent.followup import IN_SOME, asked, unclear, whole_of
from medrag.agent.things import LONGEST, disease_of, is_thing, many, no_thing, thing
from medrag.agent.which_image import of_several
from medrag.agent.wording import is_there
from medrag.vlms import _words
from medrag.vlms._ask import parse
from medrag.vlms._changed import asks_change

_PERSON = r"(?:(?:my|this|the|our|an?|one)\s+(?:[\w-]+\s+){0,4}?)?(?:patient|man|woman|child|boy|girl|baby|infant|mother|father|mum|mom|dad|son|daughter|wife|husband|brother|sister|uncle|aunt|cousin|friend|partner|grand(?:mother|father|ma|pa|son|daughter)|he|she|i)"
_STATED = re.compile(  # "My patient has gout." before a question, or alone
    rf"^\W*(?:(?:i was told|(?:my|the) doctors? (?:says?|told me|thinks?)|i think)(?: that)?\s+)?{_PERSON}\s+(?:(?:has|have|had|with|suffers? from|known for)|(?:(?:was|is|am|has been|have been)\s+)?(?:recently\s+|newly\s+|just\s+)?diagnosed with)"
    r"\s+(?P<thing>[^.;!?]{2,60}?)[.;!]\s*(?P<rest>[^.;!]*\?)?\s*$",
    re.IGNORECASE,
)
_NO_DISEASE = re.compile(
    r"(?:been|to|no|not|never|another|one|two|three|four|many|several|some|(?:a )?(?:few|questions?))\b", re.IGNORECASE
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
_NAMED_TWO = re.compile(  # two things in one question
    r"(?:\bbetween (?:the )?|^(?:which|what)\b[^?,]*, |^compare |^)(?P<a>(?!(?:is|are|what|which|how|do|does)\b)[^?,]+?) (?:and|or|vs\.?|versus) (?P<b>[^?,]+?)\W*$",
    re.IGNORECASE,
)
_WHICH = re.compile(
    r"^\W*(?:(?:and|so|but)\b\W*)?which (?:one |of (?:them|the two|these|those|both) |disease |of the two )?(?P<is>is (?:the )?(?:more |less |most )?[\w-]+(?: in [a-z]+)?)(?: one)?\W*$",
    re.IGNORECASE,
)
_BOTH = re.compile(r"(?<=are )(?:both(?: of them)?|the two)\b(?! sides?\b)", re.IGNORECASE)
_ONE_OF = re.compile(
    r"\bthe (?:first|second|former|latter|last)(?: (?:one|disease|condition))?(?= is\b|\W*$| \w+ed\b| [\w-]+\W*$)",
    re.IGNORECASE,
)
_PARTICIPLE = re.compile(
    r"^\W*(?:(?:and|or|but)\b\W*)?(?:how )?(?P<done>treated|diagnosed|prevented|managed|detected|transmitted|inherited|cured)\W*$",
    re.IGNORECASE,
)
_HOW_DONE = re.compile(r"^(\W*(?:(?:and|but|so)\b\W*)?how (?:is|are) .+?) \w+ed\W*$", re.IGNORECASE)
_SOME = re.compile(
    r"^\W*(?:(?:and|or|but|no)\b\W*)*(?:i meant?\b\W*)?(?:(?:what|how) about )?(?:for )?(?P<some>(?:(?:pregnant|older|elderly|young|small|the) )?(?:men|women|children|adults|babies|infants|newborns|teenagers|girls|boys|kids|people|elderly))\W*$",
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
    elif has:
        earlier = [f"He has {has}.", *earlier]
    earlier = [_as_asked(part, pictured) for one in earlier for part in sub_questions(one)]
    if found := _DECLARED.match(question):
        question = plainly(f"{found['clause']}, right?")
    if two := _the_two(question, earlier) or ("" if pictured else _of_two(question, earlier)):
        return two
    before = _antecedents(earlier)
    if not pictured and (whole := _of_the_disease(question, before)):
        return whole
    if whole := next(filter(None, (whole_of(question, one) for one in before or [""])), ""):
        return whole
    if not pictured and (whole := asked_of(asked(question), _last_thing(before))):
        return whole
    return _of_the_patient(asked(question), has) if has and not pictured else asked(question)


def stated(question: str) -> str:
    """What a text says that the patient has; empty where it does not, or in more words than a name has.

    >>> stated("My patient has gout. What are the symptoms?"), stated("He has been coughing. Is there a mass?")
    ('gout', '')
    """
    found = _STATED.match(question[:LONGEST])
    name = found["thing"].strip(" ,") if found else ""
    said = is_thing(name) and len(name.split()) <= 5 and not _NO_DISEASE.match(name)
    return name if name and said else ""


def brought_up(text: str) -> str:
    """The disease that a text brings up and asks nothing of; empty where it asks something, too.

    >>> brought_up("My father has gout."), brought_up("I have a question about gout."), brought_up("He has gout. Is it fatal?")
    ('gout', 'gout', '')
    """
    if TO_ASK.match(text):
        return named(text)
    found = _STATED.match(text[:LONGEST])
    return stated(text) if found and not found["rest"] else ""


def _as_asked(text: str, pictured: bool) -> str:
    """What a text that asks nothing brings up ("My patient has gout.", "Tell me about gout"), as a question; another as it is."""
    if has := stated(text):
        return _told(has, pictured)
    name = "" if pictured else named(text)
    return _what_is(name) if name else text


def _what_is(name: str) -> str:
    return f"What {'are' if many(name) else 'is'} {name}?"


def _told(has: str, pictured: bool) -> str:
    return is_there(has) if pictured and label_of(has) else _what_is(has)


def _antecedents(earlier: Sequence[str]) -> list[str]:
    """What was asked last if it was what has changed, the last question that asks anything by itself, and the last with a thing, unless the former asks for the whole picture."""
    last = next((one for one in reversed(earlier) if _asks(one) or asks_change(one)), "")
    told = [one for one in reversed(earlier) if _asks(one)]
    things = [one for one in told if thing(one)]
    return list(
        dict.fromkeys(
            [*([last] if asks_change(last) else []), *told[:1], *([] if told and _of_all(told[0]) else things[:1])]
        )
    )


def _last_thing(before: Sequence[str]) -> str:
    """The disease that was spoken of last: "gout" of "What are the symptoms of gout?"."""
    return IN_SOME.sub("", disease_of(next((name for one in before if (name := thing(one))), "")))


def _of_the_disease(question: str, before: Sequence[str]) -> str:
    """What is asked of "this disease", and what was asked of the last one in a word more: "and treated?", "for men?"."""
    if found := _PARTICIPLE.match(question):
        last = next((one for one in before if _HOW_DONE.match(one)), "")
        return _HOW_DONE.sub(rf"\1 {found['done'].lower()}?", last, count=1) if last else ""
    if found := _SOME.match(question):
        return next(filter(None, (whole_of(f"and in {found['some']}?", one) for one in before)), "")
    name = _last_thing(before)
    return asked_of(question, name) if OF_THIS.search(question) and name else ""


def _asks(question: str) -> bool:
    """Whether it asks anything that another question could be asked like: not "since when?", nor what sets images beside each other."""
    return bool(parse(question).topic or _of_all(question)) and not unclear(question) and not of_several(question)


def _of_all(question: str) -> bool:
    ask = parse(question)
    return ask.sort == "report" or ask.broad


def _the_two(question: str, earlier: Sequence[str]) -> str:
    """The last two things in the place of "they": "how do they differ?"."""
    if not _THE_TWO.search(question) or len(two := _pair(earlier)) < 2:
        return ""
    return _THE_TWO.sub(" and ".join(two), question, count=1)


def _pair(earlier: Sequence[str]) -> list[str]:
    """The last two things, in the order that they were named in; of one question, where that named both."""
    names: list[str] = []
    for one in reversed(earlier):
        two, name = _both_of(one), _last_thing([one])
        if two and {*names} <= {*two}:
            return two
        names += [name] if name and name not in names else []
    return names[1::-1]


def _both_of(question: str) -> list[str]:
    """The two things that a question names: "What is the difference between A and B?", "Are A and B curable?"."""
    found = _NAMED_TWO.search(question)
    two = [found["a"], found["b"]] if found else thing(question).split(" and ")
    return two if len(two) == 2 and not any(map(no_thing, two)) else []


def _of_two(question: str, earlier: Sequence[str]) -> str:
    """The last two things, or one of them, where they are meant: "which is more common?", "how is the first one treated?"."""
    which, both = _WHICH.match(question), _BOTH.search(question)
    if not (which or both or _ONE_OF.search(question)) or len(two := _pair(earlier)) < 2:
        return ""
    if which:
        return f"Which {which['is']}, {two[0]} or {two[1]}?"
    if both:
        return _BOTH.sub(" and ".join(two), question, count=1)
    return _ONE_OF.sub(lambda one: two[one[0].lower().split()[1] in ("second", "latter", "last")], question, count=1)


def _of_the_patient(question: str, has: str) -> str:
    """The patient by what he has, in a question of texts, which know nobody."""
    if _HAVING.match(question) or _words.stem_set(has) <= _words.stem_set(question):
        return question
    return _HE.sub(f"a patient with {has}", question, count=1)
