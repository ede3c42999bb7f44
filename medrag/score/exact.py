"""Where shared words are not enough: a number that is not told, a word turned into its opposite, a name that is missing, an effect for its cause.

Tables and patterns in English, over one sentence of a claim and one of a text. They know no meaning: an opposite that stands in no table is
caught only by the word that the text lacks, a number in another unit than length, mass and volume is another number, and a true paraphrase
with a word of its own counts as not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from medrag._util.polarity import clauses
from medrag._util.remember import remembered
from medrag.score.grounding import stances
from medrag.vlms import _words as forms

_COUNTED = {
    word: n for n, word in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), start=1)
}
_ORDINAL = {
    word: n
    for n, word in enumerate("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), start=1)
}  # fmt: skip
_LOOSE = frozenset({"one", "first", "second"})  # more often no number: "one of the", "first, wash", "a second"
_UNITS: dict[str, tuple[str, float]] = {
    "%": ("%", 1), "percent": ("%", 1), "per cent": ("%", 1),
    "µm": ("m", 1e-6), "mm": ("m", 1e-3), "cm": ("m", 1e-2), "m": ("m", 1), "millimeter": ("m", 1e-3), "centimeter": ("m", 1e-2),
    "µg": ("g", 1e-6), "mcg": ("g", 1e-6), "mg": ("g", 1e-3), "g": ("g", 1), "kg": ("g", 1e3), "milligram": ("g", 1e-3), "gram": ("g", 1),
    "ml": ("l", 1e-3), "dl": ("l", 1e-1), "l": ("l", 1), "liter": ("l", 1), "cc": ("l", 1e-3),
    "mmhg": ("mmhg", 1), "mmol": ("mol", 1e-3), "µmol": ("mol", 1e-6), "mol": ("mol", 1), "iu": ("unit", 1), "unit": ("unit", 1),
    "second": ("second", 1), "minute": ("minute", 1), "min": ("minute", 1), "hour": ("hour", 1), "h": ("hour", 1), "hr": ("hour", 1),
    "day": ("day", 1), "week": ("week", 1), "month": ("month", 1), "year": ("year", 1), "yr": ("year", 1),
    "fold": ("times", 1), "times": ("times", 1), "°c": ("°c", 1), "st": ("th", 1), "nd": ("th", 1), "rd": ("th", 1), "th": ("th", 1),
}  # fmt: skip
_NUMBER = re.compile(
    rf"(?<![\w.,])(?P<digits>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d*\.?\d+)(?:[\s-]?(?P<unit>{'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})s?(?P<per>\s?(?:/|per )\s?[a-z]+)?(?![a-z])|(?![a-z\d]))"
    rf"|\b(?P<word>{'|'.join((*_COUNTED, *_ORDINAL))})\b(?!-line)(?:[\s-](?P<of>{'|'.join(unit for unit in _UNITS if len(unit) > 1)})s?\b)?",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:-|–|—|±|x|×|,|to|or|and|by)\s*", re.IGNORECASE)
_LISTED = re.compile(r"(?:^|(?<=[:.])\s)\W*\d{1,2}[.)]\s+(?=\D)")  # the number of a point of a list
_NAMED = re.compile(r"\b[A-Z]\d{1,2}\b")  # a vertebra, a stage, a vitamin: T12, N1, B6


class Number(NamedTuple):
    """A number as it is compared: 15 mm is (0.015, "m")."""

    value: float
    unit: str


def uncounted(claim: str, told: str) -> set[str]:
    """The numbers of a claim, as they stand there, that a text does not state; one that has no unit in the claim may have any.

    >>> uncounted("5 % die", "50 % die"), uncounted("A mass of 15 mm", "a 1.5 cm mass"), uncounted("In 5-10 % of 3 men", "three men, 5 to 10 percent")
    ({'5 %'}, set(), set())
    """
    said = {number for _, number in _numbers(told)}
    values = {number.value for number in said}
    missing = {
        written
        for written, number in _numbers(claim)
        if written.lower() not in _LOOSE and not (number in said if number.unit else number.value in values)
    }
    return missing | (set(_NAMED.findall(claim)) - set(_NAMED.findall(told)))


@remembered(4096)
def _numbers(text: str) -> tuple[tuple[str, Number], ...]:
    """Each number with its words; in a range the last one's unit is that of all."""
    text = _LISTED.sub(" ", text.replace("μ", "µ"))
    found: list[tuple[str, Number]] = []
    behind, unit = len(text), ("", 1.0)
    for match in reversed([*_NUMBER.finditer(text)]):
        own = _unit(match)
        unit = own if own[0] else unit if _RANGE.fullmatch(text, match.end(), behind) else ("", 1.0)
        found.append((match[0], Number(float(f"{_value(match) * unit[1]:.6g}"), unit[0])))
        behind = match.start()
    return tuple(reversed(found))


def _value(match: re.Match[str]) -> float:
    word = (match["word"] or "").lower()
    return float(_COUNTED.get(word) or _ORDINAL.get(word) or match["digits"].replace(",", ""))


def _unit(match: re.Match[str]) -> tuple[str, float]:
    """What it is a number of, and how many of that one is; "/kg" and the like belong to it."""
    if (match["word"] or "").lower() in _ORDINAL:
        return ("th", 1)
    kind, factor = _UNITS.get((match["unit"] or match["of"] or "").lower(), ("", 1.0))
    per = re.sub(r"\W|per ", "", (match["per"] or "").lower())
    return (f"{kind}/{per}" if per else kind, factor)


_BE = r"(?:is|are|was|were|be|being|been)"
_OFTEN = r"(?:\w+ly )?"
# all that advises against a thing is compared as one word
_AGAINST = re.compile(
    rf"\b(?:(?:(?:should|must|may|can) )?{_OFTEN}(?:{_BE} )?{_OFTEN}(?<!to )(?:avoid(?:ed|s|ing)?|contra-?indicated|unsafe|inadvisable|discouraged)"
    rf"|(?:should|must|may|can|could)(?: not|not|n't| never) {_OFTEN}(?:be )?{_OFTEN}(?:given|used?|take[n]?|administered|prescribed|started|offered|receive)"
    rf"|{_BE} (?:not|never|no longer) {_OFTEN}(?:recommended|indicated|advised|advisable|safe|appropriate|given|used)"
    r"|(?:not|never|no longer) (?:recommended|indicated|advised|advisable))\b",
    re.IGNORECASE,
)
_FOR = re.compile(
    r"\b(?:recommend(?:s|ed|ation)?|indicated|advis(?:ed?|able)|preferred|safe|appropriate|first-line|(?:drug|treatment|therapy) of choice"
    rf"|(?:should|must|may|can) {_OFTEN}(?:be )?{_OFTEN}(?:given|used?|take[n]?|administered|prescribed|started|offered|receive))\b",
    re.IGNORECASE,
)
_Row = tuple[re.Pattern[str], re.Pattern[str]]


def _row(one: str, other: str) -> _Row:
    return re.compile(rf"\b(?:{one})\b", re.IGNORECASE), re.compile(rf"\b(?:{other})\b", re.IGNORECASE)


_TURNED = tuple(  # what is said of a thing, each row against its opposite
    _row(*row)
    for row in (
        (r"increas(?:e[sd]?|ing)|rais(?:e[sd]?|ing)|ris(?:es?|ing|en)|rose|elevat(?:e[sd]?|ing|ion)|larger|bigger|enlarging|grows?|grew|grown|growing",
         r"decreas(?:e[sd]?|ing)|reduc(?:e[sd]?|ing|tion)|lower(?:s|ed|ing)|fall(?:s|ing|en)?|fell|drop(?:s|ped)?|declin(?:e[sd]?|ing)|diminish\w*|smaller|shrinks?|shrank|shrunk\w*"),
        (r"high(?:er|est)?|raised|elevated|increased", r"low(?:est)?|lower(?! (?:lobes?|lungs?|zones?|limbs?|legs?|extremit\w+|abdom\w+|back|esoph\w+|respiratory|gastro\w+|urinary))|reduced|decreased"),
        (r"always|usually|common(?:ly)?|frequent(?:ly)?|often", r"never|rare(?:ly)?|uncommon(?:ly)?|infrequent(?:ly)?|seldom"),
        (r"more|greater|most", r"less|fewer|least"),
        (r"better|improv(?:e[sd]?|ing|ement)|beneficial|protects?|protective", r"worse\w*|harmful|aggravat\w+|deteriorat\w+"),
        (r"activat(?:e[sd]?|ing|ion)|stimulat(?:e[sd]?|ing|ion)", r"inhibit(?:s|ed|ing|ion)?|block(?:s|ed|ing|ade)?|suppress(?:es|ed|ing|ion)?"),
        (r"effective", r"ineffective"), (r"curable", r"incurable"), (r"reversible", r"irreversible"), (r"safe", r"unsafe|dangerous"),
        (r"before", r"after"), (r"symptomatic", r"asymptomatic"),
    )
)  # fmt: skip
_OTHERS = tuple(  # what makes it another thing, of which the other may be true as well
    _row(*row)
    for row in (
        (r"acute", r"chronic"), (r"benign", r"malignant"), (r"viral", r"bacterial"), (r"m[ae]n|males?", r"wom[ae]n|females?"),
        (r"adults?", r"child(?:ren)?|infants?|newborns?"),
    )
)  # fmt: skip


def plain(sentence: str) -> str:
    """The sentence with whatever advises against a thing in one word.

    >>> plain("It should not be given in gout."), plain("It is given to avoid gout.")
    ('It contraindicated in gout.', 'It is given to avoid gout.')
    """
    return _AGAINST.sub(" contraindicated", sentence).replace("  ", " ").strip()


def opposed(claim: str, told: str) -> bool:
    """Whether one sentence advises what the other advises against, or has but the opposite of a word of the other."""
    return _advice(claim, told) or bool(_opposites(claim, told, _TURNED + _OTHERS))


def _opposites(claim: str, told: str, rows: tuple[_Row, ...] = ()) -> set[str]:
    """The words of a claim that the text has but the opposite of."""
    found: set[str] = set()
    for sides in rows or _TURNED:
        mine, theirs = ([side.findall(text) for side in sides] for text in (claim, told))
        for one, other in ((0, 1), (1, 0)):
            if mine[one] and theirs[other] and not mine[other] and not theirs[one]:
                found |= {word.lower() for word in mine[one]}
    return found


def _advice(claim: str, told: str) -> bool:
    """Whether one of them advises against what the other does not."""
    against = bool(_AGAINST.search(claim))
    if _advised_against(claim, told):
        return not against
    return against and bool(_FOR.search(_AGAINST.sub(" ", told)))


def _advised_against(claim: str, told: str) -> bool:
    """Whether the text advises against what the claim speaks of: what follows in the same clause, where nothing does what stands before it, else all."""
    own = _stems(_AGAINST.sub(" ", claim)) - _LIGHT
    return any(own & (_stems(after) - _LIGHT or _stems(before) - _LIGHT or own) for before, after in _around(told))


def _around(told: str) -> Iterator[tuple[str, str]]:
    """What stands before and behind each advice against a thing, in its clause."""
    for start, end in clauses(told):
        for match in _AGAINST.finditer(told, start, end):
            yield told[start : match.start()], told[match.end() : end]


# words that may be missing: they say how it is told, not what
_LIGHT = frozenset(
    stem
    for word in (
        "use uses used using useful give gives given take takes taken make makes made include includes including such called known named term refer refers "
        "describe described define defined definition consider considered regarded occur occurs happen happens involve involves involving associated relate related show shows showing "
        "find finds finding findings see appear appears have having get gets become becomes help helps need needs remain remains contain contains consist consists mean means "
        "patient patients people person persons individual individuals case cases human humans body thing things type types kind kinds form forms class part parts way ways role "
        "typical typically generally general mainly main primarily mostly major important commonly usually often frequently "
        "report reports reported study studies image images picture pictures evidence sign signs indicate indicates suggest suggests demonstrate demonstrates note noted identify identified "
        "drug drugs medication medications medicine medicines disease diseases disorder disorders condition conditions illness several many various different certain other another some "
        "very quite relatively approximately about around roughly nearly almost according based during within through throughout between among across along toward upon via per "
        "both either whether while whereas although since because thus hence then if there here own well able allow allows must need answer yes no first one two factor factors level levels"
    ).split()
    for stem in forms.stems(word)
)  # fmt: skip
# words of one row say the same
_SAME = {
    stem: n
    for n, row in enumerate((
        "treat treats treated treatment treating manage managed management therapy therapies therapeutic used given administered prescribed choice first-line",
        "kidney kidneys renal", "liver hepatic", "brain cerebral", "stomach gastric", "skin cutaneous dermal", "eye eyes ocular", "vein veins venous", "artery arteries arterial",
        "child children pediatric", "infant infants newborn neonate neonatal", "woman women female females", "man men male males", "elderly old older", "surgery surgical operation operative",
        "recommended advised indicated advisable preferred recommend", "death deaths die dies died mortality fatal", "fever pyrexia", "itching itch pruritus", "cancer cancers malignancy carcinoma",
        "blood hematologic", "doctor physician", "symptom symptoms manifestation manifestations", "rare uncommon infrequent rarely", "common frequent often usually commonly frequently",
        "increase raise rise elevate elevated high increased raised", "decrease reduce lower fall decline low decreased reduced", "cause causes caused leads results due induces produces triggers",
        "prevent prevents prevention protects", "contraindicated avoid avoided",
    ))
    for word in row.split()
    for stem in forms.stems(word)
}  # fmt: skip


def lacking(claim: str, told: str) -> set[str]:
    """The words of a claim that a text has in no form, without numbers, those that say the same, and those that say nothing.

    >>> lacking("Oedema is treated with furosemide.", "Torasemide treats edema."), lacking("Renal failure is common.", "Kidney failure is often seen.")
    ({'furosemide'}, set())
    """
    said = _stems(told)
    rows = {_SAME[stem] for stem in said if stem in _SAME}
    return {
        word for word in heavy(claim) if not any(
            all(stem in said or stem in _LIGHT or _SAME.get(stem, -1) in rows for stem in _forms(part))
            for part in (word, word.replace("-", " "))
        )
    }  # fmt: skip


def heavy(sentence: str) -> set[str]:
    """The content words of a sentence that say something by themselves, without its numbers."""
    bare = _NUMBER.sub(lambda found: found[0] if found[0].lower() in _LOOSE else " ", sentence)
    return {word for word in stances(bare) if not _LIGHT.issuperset(_forms(word))}


def _forms(text: str) -> list[str]:
    """The stems of a text's words, spelled as in America."""
    return [stem for word in text.split() for stem in forms.stems(re.sub("ae|oe", "e", word))]


@remembered(4096)
def _stems(text: str) -> frozenset[str]:
    return frozenset(stem for word in stances(text) for stem in (*_forms(word), *_forms(word.replace("-", " "))))


_CAUSES = re.compile(
    r"\b(?P<back>(?:caused|induced|triggered|produced|preceded|followed) by|due to|result(?:s|ing)? from|secondary to|because of|(?:consequence|complication|symptom|sign) of)\b"
    r"|\b(?:caus(?:e[sd]?|ing)|leads? to|led to|result(?:s|ed|ing)? in|induces?|triggers?|produces?|precedes?)\b",
    re.IGNORECASE,
)
_THAN = re.compile(r"\b(?:more|less|better|worse|\w{2,}er)(?: [\w-]+){0,3} than\b", re.IGNORECASE)


def swapped(claim: str, told: str) -> bool:
    """Whether cause and effect, or the two sides of a comparison, have changed places.

    >>> swapped("Gout causes pain.", "Pain causes gout."), swapped("Gout causes pain.", "Pain is caused by gout."), swapped("A cat is larger than a dog.", "A dog is larger than a cat.")
    (True, False, True)
    """
    for relation in (_CAUSES, _THAN):
        mine, theirs = (_sides(relation.search(text)) for text in (claim, told))
        if mine and theirs and mine[0] & theirs[1] and mine[1] & theirs[0] and not mine[0] & theirs[0]:
            return True
    return False


def _sides(match: re.Match[str] | None) -> tuple[frozenset[str], frozenset[str]] | None:
    """The stems of the cause and of the effect, or of what stands before "than" and behind."""
    if not match:
        return None
    before, behind = (_stems(part) - _LIGHT for part in (match.string[: match.start()], match.string[match.end() :]))
    return (behind, before) if match.groupdict().get("back") else (before, behind)


class Held(NamedTuple):
    """What a sentence that shares a claim's words makes of it: whether it tells all of it, and whether all of it but one word turned round."""

    told: bool
    turned: bool


def held(claim: str, told: str, around: str = "") -> Held:
    """``around`` is what the sentence takes up (the one before it, a title): its words count as told, not its numbers."""
    turned = _opposites(claim, told) | ({*_FOR.findall(claim), "contraindicated"} if _advice(claim, told) else set())
    missing = {
        word for word in lacking(plain(claim), f"{around} {plain(told)}") if not _stems(word) & _stems(" ".join(turned))
    }
    whole = not missing and not uncounted(claim, told) and not swapped(claim, told)
    return Held(whole and not turned, whole and bool(turned))
