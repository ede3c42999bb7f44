"""How a question that leans on another is worded: a thing, a state or a place put into the question before, in good English."""

from __future__ import annotations

import re

from medrag._util.findings import ASKED, SAID, label_of
from medrag._util.text import words
from medrag.agent.things import IT, bare_of, many, the, thing
from medrag.vlms import _words
from medrag.vlms._ask import Ask, parse

PLACE = re.compile(
    r"\s*\b(?:on|in|at|of)\s+(?:the\s+)?(?:patient's\s+)?(?:(?:left|right|upper|lower|middle|both)\s*)+(?:side|lung|lungs|lobe|zone|base|apex|hemithorax)?\b"
    r"(?!\s*(?!(?:on|in|at|of|too|now|and|or|than|visible|present|seen)\b)[a-z])",  # "of the left pleural effusion" is no place
    re.IGNORECASE,
)
SIDE = re.compile(r"\b(left|right|bilateral)(?:-sided)?\b", re.IGNORECASE)
_WHERE = re.compile(
    r"(?:where|(?:on |in )?which (?:side|lobe|lung|zone)) (is|are) (.+?)(?: (?:on|in|at))?\W*$", re.IGNORECASE
)
_OTHER_NUMBER = {"is": "are", "are": "is", "does": "do", "do": "does"}
_AMONG = re.compile(r"\b(?:the|of the|in the|its|their)\s*$", re.IGNORECASE)


def filled(rest: str, named: str) -> str:
    """The pronoun's place taken by the thing, in the form that fits there."""
    rest = re.sub(r"\banother one\b", f"another {bare_of(named)}", rest, flags=re.IGNORECASE)
    rest = re.sub(r"\bits (?=\w+)([\w-]+)", rf"the \1 of {the(named)}", rest, flags=re.IGNORECASE)
    rest = re.sub(r"\bof (?:them|those|these)\b", f"of {the(named)}", rest, flags=re.IGNORECASE)
    if verb := re.search(rf"\b(?P<verb>is|are|does|do) (?={IT.pattern})", rest, re.IGNORECASE):
        one = verb["verb"].lower() in ("is", "does")
        if one == many(named):
            turned = _OTHER_NUMBER[verb["verb"].lower()]
            turned = turned.capitalize() if verb["verb"][0].isupper() else turned
            rest = f"{rest[: verb.start()]}{turned}{rest[verb.end('verb') :]}"
    return IT.sub(lambda match: _cut(named, rest[: match.start()]), rest, count=1)


def _cut(named: str, head: str) -> str:
    return bare_of(named) if _AMONG.search(head) else named


def is_there(other: str) -> str:
    """Whether a finding is there; empty for a definite thing that is none."""
    definite = re.match(r"the (.+)", other, re.IGNORECASE)
    if definite and not label_of(other):
        return ""
    found = _with_article(definite[1] if definite else other)
    return f"{'Are' if many(found) else 'Is'} there {found}?"


def _with_article(name: str) -> str:
    """A finding with the article that it has in the vocabulary; one that it does not know as it was said."""
    if re.match(r"(?:an?|any|some)\b", name, re.IGNORECASE) or many(name) or re.search(r"\b(?:or|and)\b|,", name):
        return name
    known = {bare_of(said): said for said in (*SAID.values(), *(one for many in ASKED.values() for one in many))}
    said = known.get(name.lower(), "")
    article = said.split(" ", 1)[0] if said != bare_of(said) else ""
    return f"{article} {name}".strip()


def dressed(other: str, named: str) -> str:
    """The new thing with the article of the old one, where it has none of its own."""
    own = re.match(r"(?:an?|any|the|his|her|some)\b", other, re.IGNORECASE)
    article = re.match(r"(an?|the)\b", named, re.IGNORECASE)
    if own or not article or (article[1].lower() != "the" and many(other)):
        return other
    return f"the {other}" if article[1].lower() == "the" else _with_article(other)


def agreeing(text: str, old: str, new: str) -> str:
    """is or are, by the new thing."""
    if many(old) == many(new):
        return text
    done = re.sub(r"\b(?:is|are|does|do)\b", lambda m: _OTHER_NUMBER[m[0].lower()], text, count=1, flags=re.IGNORECASE)
    return done[:1].upper() + done[1:] if text[:1].isupper() else done


def of_a_place(rest: str, ask: Ask) -> str:
    """Whether a part of the body is normal, for "what about the heart?"; empty for a text that is more than its name."""
    name = re.sub(r"^(?:the|his|her|both) ", "", rest.strip(" ?.!"), flags=re.IGNORECASE)
    if not words(name) or len(name.split()) > 3 or ask.finding:
        return ""
    return f"{'Are' if many(name) else 'Is'} the {name} normal?"


def nominal(before: str) -> str:
    """A state that was asked about as a thing: "an enlarged heart"; empty where it is none."""
    ask, named = parse(before), thing(before)
    found = re.search(rf"{re.escape(named)} (?P<state>[\w-]+)\W*$", before, re.IGNORECASE) if named else None
    if not found or not ask.of_a_state or not _words.stem_set(found["state"]) & _words.ILL:
        return ""
    state, place = found["state"].lower(), bare_of(named)
    return f"{state} {place}" if many(place) else f"{'an' if state[0] in 'aeiou' else 'a'} {state} {place}"


def placed(before: str, rest: str) -> str:
    """The question before, asked of another place, its side in the old one's stead.

    >>> placed("Is there a left-sided pleural effusion?", "on the right?")
    'Is there a right pleural effusion?'
    """
    where = rest.rstrip("?. ")
    if found := _WHERE.match(before):  # "Where is the mass?" – "in the left lung?"
        before = f"{found[1].capitalize()} {found[2]}?"
    bare = PLACE.sub("", before)
    sides = {found.lower() for found in SIDE.findall(rest)}
    if where.lower().startswith("on both"):
        bare = re.sub(rf"{SIDE.pattern}\s*", "", bare, flags=re.IGNORECASE)
    if len(sides) == 1 and SIDE.search(bare):
        if _words.stem_set(rest) - _words.stem_set(f"{before} side left right bilateral"):
            bare = re.sub(rf"{SIDE.pattern}\s*", "", bare, flags=re.IGNORECASE)  # the new place has the side
        else:
            return f"{SIDE.sub(sides.pop(), bare).rstrip('?. ')}?"
    if re.match(r"(?:on|in|at|of)\b", where, re.IGNORECASE):
        return f"{_elsewhere(bare, where).rstrip('?. ')} {where}?"
    where = re.sub(
        r"^(left|right)( sides?)?$|^the (left|right)( side)?$",
        lambda m: f"on the {m[1] or m[3]}{m[2] or m[4] or ''}",
        where,
        flags=re.IGNORECASE,
    )
    if not where.lower().startswith("on "):
        where = f"in {where}" if re.match(r"(?:the|a|both|his|her)\b", where, re.IGNORECASE) else f"in the {where}"
    return f"{_elsewhere(bare, where).rstrip('?. ')} {where}?"


def _elsewhere(bare: str, where: str) -> str:
    """Without its own "in the lungs", where the new place names an organ, too."""
    own = re.search(r" in the (?:lungs?|chest|heart)(?=\W*$)", bare, re.IGNORECASE)
    return bare[: own.start()] if own and re.search(r"\b(?:lungs?|lobes?|zones?)\b", where, re.IGNORECASE) else bare
