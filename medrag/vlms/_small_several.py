"""Two things asked at once: "Is there an effusion, and is the heart big?" wants two answers, each with the name of its thing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from medrag._util.findings import ASKED, label_of
from medrag._util.manner import LONGEST
from medrag._util.text import sentences
from medrag.vlms._ask import parse, plain
from medrag.vlms._small_asked import labels_of, with_article
from medrag.vlms._vote import cite_keys

_ASKS = r"(?:(?:is|are|was|were|does|do|has|have)(?:n['’]t)?|any|where|which|what|how|when|why)\b"
_AND = re.compile(
    rf"[,;]?\s*\b(?:and|also)\b,?\s*(?:if so,? |also |then )*(?={_ASKS})|,\s*(?=(?:where|which|what|how|when)\b)",
    re.IGNORECASE,
)
_LIST = re.compile(r"^\W*(?:(?:any|which) of(?: these| the following)?\W+)?(?P<things>[^?.]+?)\W*$", re.IGNORECASE)
_COMMA = re.compile(r",\s*(?:(?:or|and)\b\s*)?(?:no\s+)?|\s(?:or|and|nor)\s(?:no\s+)?", re.IGNORECASE)
_NONE = re.compile(
    r"^\W*(?:(?:(?:is|are) there )?(?:no|neither)|(?:is|are) (?:this|it|(?:the|both) [\w-]+(?: [\w-]+)?) (?:free|clear) (?:of|from)(?: any)?) (?=.*(?:,|\b(?:and|or|nor)\b))"
    r"|^\W*any (?=(?!.*\bof\b).*,)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\b(?:is|are|was|were|has|have|does|do|can|could|be|there|but|not)\b|['’]s\b", re.IGNORECASE)
_DENIES = re.compile(
    r"\b(?:no(?! longer)|not|never|neither|without|free (?:of|from)|clear of|negative for)\b|n['’]t\b", re.IGNORECASE
)
_JOINS = re.compile(
    r"[,;]\s?\w|\b(?:there|have|show)\b.{1,80}\bwithout\b|(?<!left )(?<!right )\b(?:and|but|nor|with no|not (?:only|just))\b",
    re.IGNORECASE,
)
_NO = re.compile(  # "No effusion and a big heart, right?"
    r"^\W*(?:so |and )?(?:no|without|neither) (?!.{0,200}\b(?:what|which|where|how|why|who|when|is|are|does|do|describe|write)\b)",
    re.IGNORECASE,
)
_RIGHT = re.compile(r"(?:, ?(?:right|ok|okay|true|yes)|,? correct)\W*$", re.IGNORECASE)
_BETWEEN = re.compile(r"\bbetween\b[^,;?]{1,60}? and\b", re.IGNORECASE)
_ISNT = re.compile(r"^(\W*\w+)n['’]t\b")  # "isn't there an effusion?" asks whether there is one
TWO = "This asks two things: ask one at a time."
_VERB = re.compile(
    r"^\W*(?:(?:is|are|was|were|does|do|did|has|have)(?:n['’]t)?|what|which(?! of)|where|how|why|who|when)\b",
    re.IGNORECASE,
)


def apart(question: str) -> tuple[str, ...]:
    """The questions that one text asks at once, the first of them closed; empty where it asks one.

    >>> apart("Is there a pleural effusion, and is the heart big?")
    ('Is there a pleural effusion?', 'is the heart big?')
    >>> apart("Effusion, nodule or fracture?"), apart("Is there an infiltrate, and where?"), apart("Is there a mass or a nodule?")
    (('Is there an effusion?', 'Is there a nodule?', 'Is there a fracture?'), ('Is there an infiltrate?', 'where?'), ())
    """
    if len(question) > LONGEST:
        return ()
    asked = plain(question)
    for one in (question, asked):
        if (_NONE.match(one) or not _VERB.match(one)) and (found := _listed(_NONE.sub("", one))):
            return found
    pieces = [piece.strip(" ,;.?") for one in sentences(asked) for piece in _AND.split(one)]
    pieces = [f"{piece}?" for piece in pieces if piece]
    closed = len(pieces) > 1 and parse(pieces[0]).sort == "closed" and bool(_VERB.match(pieces[0]))
    return tuple(pieces) if closed and all(re.match(rf"\W*{_ASKS}", piece, re.IGNORECASE) for piece in pieces) else ()


def tangled(question: str) -> bool:
    """Whether a closed question denies, and asks more than one thing that cannot be told apart: yes or no to it would be said of what was not looked for.

    >>> tangled("Is the heart not enlarged and the lungs clear?"), tangled("Is there no effusion or mass?"), tangled("Is the heart not enlarged?")
    (True, False, False)
    """
    ask = parse(question)
    asked = _BETWEEN.sub("between", _ISNT.sub(r"\1", _RIGHT.sub("", ask.text)))
    return (ask.sort == "closed" or bool(_NO.match(question))) and bool(_DENIES.search(asked) and _JOINS.search(asked))


def _listed(question: str) -> tuple[str, ...]:
    """Findings in a row, without a verb."""
    found = _LIST.match(_RIGHT.sub("", question))
    things = (
        [re.sub(r"^(?:an?|any|the) ", "", one.strip()) for one in _COMMA.split(found["things"])]
        if found and "?" in question
        else []
    )
    return (
        tuple(with_article(plain(f"{one}?")) for one in things)
        if len(things) > 1 and all(label_of(one) and not _CLAUSE.search(one) for one in things)
        else ()
    )


def told_apart(questions: Sequence[str], yes: Sequence[bool], keys: Sequence[Sequence[str]]) -> str:
    """Each question's finding with its yes or no and who says the same: "Pleural effusion: no [E1]. Enlarged heart: yes."."""
    rows = zip(questions, yes, keys, strict=True)
    said = (f"{_name(one)}: {'yes' if there else 'no'} {cite_keys(by)}".rstrip() for one, there, by in rows)
    return " ".join(f"{one}." for one in said)


def _name(question: str) -> str:
    (label,), against = labels_of(question)
    if label not in ASKED:
        return "Normal" if not against else "Abnormal"
    name = re.sub(r"^an? ", "", ASKED[label][0])
    name = (
        "normal heart size"
        if label == "Cardiomegaly" and against
        else "enlarged heart"
        if label == "Cardiomegaly"
        else name
    )
    return name.capitalize()
