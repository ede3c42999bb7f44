"""The numbers of a sentence with their units, bounds and ranges, so that two sentences can be told apart by them.

Tables and patterns in English. Units of length, mass, volume and time are converted into one another (a month is no number of days); any other unit
is compared as it is written. A number in a range is not that number alone, nor is "more than 5" or "-5" 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from medrag._util.remember import remembered

_COUNTED = {
    word: n
    for n, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(), start=1
    )
}  # fmt: skip
_TENS = {
    word: n * 10 for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_ORDINAL = {
    word: n
    for n, word in enumerate("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), start=1)
}  # fmt: skip
_OFTEN = {"once": 1, "twice": 2, "thrice": 3}
_DAILY = {"qd": 1, "bid": 2, "b.i.d.": 2, "tid": 3, "tds": 3, "t.i.d.": 3, "qid": 4, "qds": 4, "q.i.d.": 4}
LOOSE = frozenset({"one", "first", "second", "once"})  # more often no number: "one of the", "first, wash", "a second"
_UNITS: dict[str, tuple[str, float]] = {
    "%": ("%", 1), "percent": ("%", 1), "per cent": ("%", 1),
    "µm": ("m", 1e-6), "mm": ("m", 1e-3), "cm": ("m", 1e-2), "m": ("m", 1), "millimeter": ("m", 1e-3), "millimetre": ("m", 1e-3), "centimeter": ("m", 1e-2), "centimetre": ("m", 1e-2),
    "µg": ("g", 1e-6), "mcg": ("g", 1e-6), "mg": ("g", 1e-3), "g": ("g", 1), "kg": ("g", 1e3), "microgram": ("g", 1e-6), "milligram": ("g", 1e-3), "gram": ("g", 1), "kilogram": ("g", 1e3),
    "ml": ("l", 1e-3), "dl": ("l", 1e-1), "l": ("l", 1), "liter": ("l", 1), "litre": ("l", 1), "cc": ("l", 1e-3),
    "mmhg": ("mmhg", 1), "mmol": ("mol", 1e-3), "µmol": ("mol", 1e-6), "mol": ("mol", 1), "iu": ("unit", 1), "unit": ("unit", 1),
    "second": ("s", 1), "minute": ("s", 60), "min": ("s", 60), "hour": ("s", 3600), "h": ("s", 3600), "hr": ("s", 3600),
    "day": ("s", 86400), "week": ("s", 604800), "month": ("month", 1), "year": ("month", 12), "yr": ("month", 12),
    "fold": ("times", 1), "times": ("times", 1), "°c": ("°c", 1), "degrees celsius": ("°c", 1), "°f": ("°f", 1), "degrees fahrenheit": ("°f", 1),
    "st": ("th", 1), "nd": ("th", 1), "rd": ("th", 1), "th": ("th", 1),
}  # fmt: skip
_EACH = {"daily": "day", "d": "day", "hourly": "hour", "hr": "hour", "h": "hour", "weekly": "week", "monthly": "month", "yearly": "year", "min": "minute", "litre": "l", "liter": "l", "kilogram": "kg"}  # fmt: skip
_SPANS = r"(?:second|minute|hour|day|night|week|month|year|dose)"


def _any(names: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


_PER = rf"(?:\s?/\s?[a-z]+|\sper\s[a-z]+|\s(?:an?|each|every)\s{_SPANS}|[\s,]+(?:daily|hourly|weekly|monthly|yearly))"
_THAN_LESS, _THAN_MORE = (
    rf"(?:{words})\s+than"
    for words in (
        "less|fewer|lower|smaller|younger|shorter|earlier",
        "more|greater|higher|larger|bigger|older|longer|later",
    )
)
_BOUNDS = {  # the longest first
    "≥": rf"at\s+least|(?:no|not)\s+{_THAN_LESS}|(?:a\s+)?minimum\s+of|≥|>=",
    "≤": rf"at\s+most|(?:no|not)\s+{_THAN_MORE}|up\s+to|(?:not|never)\s+exceed(?:s|ing)?|(?:a\s+)?maximum\s+of|≤|<=",
    "<": rf"{_THAN_LESS}|under|below|<",
    ">": rf"{_THAN_MORE}|over|above|exceed(?:s|ed|ing)?|>",
}
_BEFORE = {mark: re.compile(rf"(?:{words})\s*$", re.IGNORECASE) for mark, words in _BOUNDS.items()}
_BEHIND = {  # "or more"
    **dict.fromkeys("more above over higher older greater longer larger later".split(), "≥"),
    **dict.fromkeys("less fewer below under lower younger smaller shorter earlier".split(), "≤"),
}
NUMBER = re.compile(
    rf"(?P<bound>(?:(?<![\w])(?=[a-z])|(?=[<>≤≥]))(?:{'|'.join(_BOUNDS.values())})\s*)?"
    rf"(?:(?P<sign>(?:(?<=[^\d%\s:;,.][\s(])|(?<=[<>=≤≥]))[-−])?(?<![\w.,])(?<![a-z]-)(?P<digits>[1-9]\d{{0,2}}(?:[,\u00a0\u2009\u202f]\d{{3}})+(?:[.·]\d+)?|\d+,\d{{1,2}}(?![\d,])|0,\d+|\d+(?:[.·]\d+)?|[.·]\d+)"
    rf"(?:[\s-]?(?P<unit>{_any(_UNITS)})s?(?P<per>{_PER}{{0,2}})(?![a-z])|(?![a-z\d]))"
    rf"|\b(?P<word>(?:{_any(_TENS)})(?:[\s-](?:{_any(list(_COUNTED)[:9])}))?|{_any((*_COUNTED, *_ORDINAL, *_OFTEN))})(?:\b|(?=fold\b))(?!-line)"
    rf"(?:[\s-]?(?P<of>{_any(unit for unit in _UNITS if len(unit) > 1)}|%)(?:s?\b|(?<=%)))?(?P<each>{_PER}{{0,2}})"
    rf"|\b(?P<daily>{_any(_DAILY)})(?![\w]))"
    rf"(?:(?:\s+of\s+age|\s+old)?\s+(?:or|and)\s+(?P<more>{_any(_BEHIND)})\b)?",
    re.IGNORECASE,
)
_SHARES_UNIT = re.compile(r"\s*(?:-|–|—|±|x|×|,|to|or|and|by)\s*", re.IGNORECASE)
_JOINS = re.compile(r"\s*(?:-|–|—|\+|to)\s*", re.IGNORECASE)
_LISTED = re.compile(r"(?:^|(?<=[:.])\s)\W*\d{1,2}[.)]\s+(?=\D)")  # the number of a point of a list


class Number(NamedTuple):
    """A number as it is compared: "more than 15 mm" is (0.015, "m", ">", ""), each number of "2-3 cm" joined to the other, "0.02:0.03"."""

    value: float
    unit: str
    bound: str
    joined: str


class _Found(NamedTuple):
    written: str
    number: Number
    alone: bool  # in "from 5 to 10" each stands for itself as well


def uncounted(claim: str, told: str) -> set[str]:
    """The numbers of a claim, as they stand there, that a text does not state; one that has no unit in the claim may have any.

    >>> uncounted("5 % die", "50 % die"), uncounted("A mass of 15 mm", "a 1.5 cm mass"), uncounted("In 5-10 % of 3 men", "three men, 5 to 10 percent")
    ({'5 %'}, set(), set())
    >>> uncounted("more than 2 weeks", "> 14 days"), uncounted("2 cm", "2-3 cm"), uncounted("5 mg twice daily", "5 mg bid")
    (set(), {'2 cm'}, set())
    """
    found = numbers(told)
    said = {one.number for one in found} | {one.number._replace(joined="") for one in found if one.alone}
    unitless = {number._replace(unit="") for number in said}
    return {
        one.written
        for one in numbers(claim)
        if one.written.lower() not in LOOSE and one.number not in (said if one.number.unit else unitless)
    }


@remembered(4096)
def numbers(text: str) -> tuple[_Found, ...]:
    """Each number with its words; in a range the last one's unit is that of both."""
    text = _LISTED.sub(" ", text.replace("μ", "µ"))
    found: list[_Found] = []
    behind, unit = len(text), ("", 1.0)
    for match in reversed([*NUMBER.finditer(text)]):
        own, gap = _unit(match), (match.end(), behind)
        unit = own if own[0] else unit if _SHARES_UNIT.fullmatch(text, *gap) else ("", 1.0)
        number = Number(float(f"{_value(match) * unit[1]:.6g}"), unit[0], _bound(match), "")
        alone = False
        if found and not found[-1].number.joined and _joins(text, match.start(), *gap):
            joined, alone = f"{number.value:g}:{found[-1].number.value:g}", _preceded("from", text, match.start())
            found[-1] = found[-1]._replace(number=found[-1].number._replace(joined=joined), alone=alone)
            number = number._replace(joined=joined)
        found.append(_Found(match[0].strip(), number, alone))
        behind = match.start()
    return tuple(reversed(found))


def _joins(text: str, start: int, end: int, behind: int) -> bool:
    """Whether two numbers, of which the first begins at ``start``, are a range or a sum of parts."""
    between = text[end:behind].strip().lower() == "and" and _preceded("between", text, start)
    return bool(_JOINS.fullmatch(text, end, behind)) or between


def _preceded(word: str, text: str, start: int) -> bool:
    return text[:start].rstrip().lower().endswith(word)


def _value(match: re.Match[str]) -> float:
    if match["daily"]:
        return float(_DAILY[match["daily"].lower()])
    if match["word"]:
        first, *rest = re.split(r"[\s-]", match["word"].lower())
        tables = _COUNTED | _TENS | _ORDINAL | _OFTEN
        return float(tables[first] + sum(_COUNTED[word] for word in rest))
    digits = re.sub("[\u00a0\u2009\u202f]", "", match["digits"]).replace("·", ".")
    decimal = re.fullmatch(r"\d+,\d{1,2}|0,\d+", digits)
    value = float(digits.replace(",", "." if decimal else ""))
    return -value if match["sign"] else value


def _unit(match: re.Match[str]) -> tuple[str, float]:
    """What it is a number of, and how many of that one is; "/kg" and the like belong to it."""
    word = (match["word"] or "").lower()
    if match["daily"]:
        return ("times/day", 1)
    if word in _ORDINAL:
        return ("th", 1)
    kind, factor = _UNITS.get((match["unit"] or match["of"] or "").lower(), ("times" if word in _OFTEN else "", 1.0))
    per = re.findall(
        r"[a-z]+", re.sub(r"\b(?:per|an?|each|every)\s", "", (match["per"] or match["each"] or "").lower())
    )
    return ("/".join((kind, *(_EACH.get(one, one) for one in per))), factor)


def _bound(match: re.Match[str]) -> str:
    """<, >, ≤ or ≥; empty for the number itself."""
    before = (mark for mark, rule in _BEFORE.items() if rule.search(match["bound"] or ""))
    return next(before, _BEHIND.get((match["more"] or "").lower(), ""))
