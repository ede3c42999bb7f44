"""The words by which reports and textbooks state relations: places of the chest, modifiers, and the phrases between two mentions.

RadLex and HPO codes are given where those vocabularies have the thing, so that it is their node where they are in the graph; the rest is called
``SAID:name``. The file knows no graph and no polarity. It was written for English reports; what it does not hold is not stated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SAID = "SAID"  # the vocabulary of what only texts have


class End(NamedTuple):
    """What a statement leads to that no ontology need have: its code and name."""

    code: str
    name: str


class PlaceFound(NamedTuple):
    """A place that a sentence names: characters [start, end) and the concept."""

    start: int
    end: int
    what: End


# places of the chest: name, core, then the codes of the right, the left and the unsided one; "@" asks for a side
_CHEST = """
upper lobe | upper lobes? | RADLEX:RID1303 RADLEX:RID1327 -
middle lobe | middle lobe | - - -
lower lobe | lower lobes? | RADLEX:RID1315 RADLEX:RID1338 -
lingula | lingul(?:a|ar) | - - RADLEX:RID1333
lung base | (?:lung )?(?:bases?|basilar|basal(?! (?:ganglia|cell)))|bi-?(?:basilar|basal) | - - -
lung apex | (?:lung )?(?:apex|apices|apical)|biapical | - - RADLEX:RID28584
upper lung | upper lung(?: (?:zones?|fields?))? | - - RADLEX:RID1348
mid lung | mid(?:dle)?[ -]lung(?: (?:zones?|fields?))? | - - RADLEX:RID1351
lower lung | lower lung(?: (?:zones?|fields?))? | - - RADLEX:RID1354
perihilar region | (?:peri|para|supra|infra)-?hilar(?: regions?)? | - - RADLEX:RID39233
hilum | hil(?:um|a|ar)(?: regions?)? | - - RADLEX:RID34566
retrocardiac region | retro-?cardiac(?: (?:region|space|area))? | - - -
costophrenic angle | costo-?phrenic (?:angles?|sulc(?:us|i)|recess(?:es)?) | RADLEX:RID1536 RADLEX:RID1535 RADLEX:RID1534
hemidiaphragm | hemi-?diaphragms? | RADLEX:RID1526 RADLEX:RID1525 RADLEX:RID28909
mediastinum | mediastin(?:um|al) | - - RADLEX:RID1384
lung | lungs?|hemithora(?:x|ces) | RADLEX:RID1302 RADLEX:RID1326 @
thoracic spine | (?:thoracic|mid-?thoracic) spine | - - RADLEX:RID34572
rib | (?:\\d+(?:st|nd|rd|th) )?ribs? | - - RADLEX:RID2471
clavicle | clavic(?:le|les|ular) | - - RADLEX:RID1854
"""
_SHORT = {"rul": ("right", "upper lobe"), "rml": ("right", "middle lobe"), "rll": ("right", "lower lobe"), "lul": ("left", "upper lobe"), "lll": ("left", "lower lobe")}  # fmt: skip
_SIDES = r"(?:(?P<side>left|right|bilateral|both)(?:[ -]sided)? (?:(?:anterior|posterior|lateral|medial|the) ){0,2})?"


class _Row(NamedTuple):
    name: str
    core: re.Pattern[str]
    codes: dict[str, str]
    sided: bool  # said of nothing without a side


def _row(line: str) -> _Row:
    name, core, codes = (part.strip() for part in line.split(" | "))
    right, left, plain = codes.split()
    found = {side: code for side, code in (("right", right), ("left", left), ("", plain)) if ":" in code}
    pattern = rf"(?<![\w-]){_SIDES}(?:{core})(?![\w-])".replace(" ", r"\s+")
    return _Row(name, re.compile(pattern, re.IGNORECASE), found, plain == "@")


_ROWS = [_row(line) for line in _CHEST.strip().splitlines()]
_NAMED = {row.name: row for row in _ROWS}
_ABBREVIATED = re.compile(rf"\b(?:{'|'.join(_SHORT)})\b", re.IGNORECASE)


def chest_places(text: str) -> Iterator[PlaceFound]:
    """The places of the chest that a report names, without overlap, the longest first.

    >>> [place.what.name for place in chest_places("Opacity in the left lower lobe and RUL.")]
    ['left lower lobe', 'right upper lobe']
    """
    found = [PlaceFound(*m.span(), _place(row, (m["side"] or "").lower())) for row in _ROWS for m in row.core.finditer(text) if m["side"] or not row.sided]  # fmt: skip
    found += [PlaceFound(*m.span(), _place(_NAMED[name], side)) for m in _ABBREVIATED.finditer(text) for side, name in [_SHORT[m.group().lower()]]]  # fmt: skip
    kept: list[PlaceFound] = []
    for one in sorted(found, key=lambda place: (place.start - place.end, place.start)):
        if all(one.end <= other.start or one.start >= other.end for other in kept):
            kept.append(one)
    return iter(sorted(kept))


def _place(row: _Row, side: str) -> End:
    side = "bilateral" if side == "both" else side
    name = f"{side} {row.name}" if side else row.name
    return End(row.codes.get(side, f"{SAID}:{name}"), name)


# modifiers: kind, name, code, words; of each kind the one nearest to the finding counts
_MODIFIERS = """
severity | mild | HP:0012825 | mild(?:ly)?|minimal(?:ly)?|slight(?:ly)?|subtle|minor
severity | moderate | HP:0012826 | moderate(?:ly)?|moderate-sized
severity | severe | HP:0012828 | severe(?:ly)?|marked(?:ly)?|extensive(?:ly)?|gross(?:ly)?
size | small | SAID:small | small|tiny|trace|minute
size | large | SAID:large | large|massive(?:ly)?|huge
course | acute | HP:0011009 | acute(?:ly)?
course | chronic | HP:0011010 | chronic(?:ally)?|old|remote
change | unchanged | HP:0031915 | unchanged|stable|stably|persistent|no (?:\\w+ )?change
change | new | SAID:new | new(?:ly)?|developing
change | worse | HP:0003676 | worsening|worsened|worse|progressive(?:ly)?|progressing|enlarging|(?:interval|has|have) (?:increase|increased|worsening)
change | better | SAID:improved | improving|improved|resolving|clearing|(?:interval|has|have) (?:decrease|decreased|improvement)
spread | diffuse | SAID:diffuse | diffuse(?:ly)?
spread | focal | SAID:focal | focal(?:ly)?
"""
_NAMES = {"HP:0012835": "left", "HP:0012834": "right", "HP:0012832": "bilateral"}
SIDES = {name: End(code, name) for code, name in _NAMES.items()}


def _modifiers() -> dict[str, list[tuple[End, re.Pattern[str]]]]:
    found: dict[str, list[tuple[End, re.Pattern[str]]]] = {}
    for line in _MODIFIERS.strip().splitlines():
        kind, name, code, words = (part.strip() for part in line.split(" | "))
        pattern = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])".replace(" ", r"\s+"), re.IGNORECASE)
        found.setdefault(kind, []).append((End(code, name), pattern))
    return found


MODIFIERS = _modifiers()
# modifiers and sides right before a name
_ANY = "|".join(words.pattern for rows in MODIFIERS.values() for _, words in rows)
OWNED = re.compile(rf"(?:(?:{_ANY}|\b(?:left|right|bilateral|both)(?:[ -]sided)?\b)[\s,-]+)+$", re.IGNORECASE)
MEASURE = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d+)?)\s*(?:[x×]\s*\d{1,3}(?:\.\d+)?\s*){0,2}(mm|cm)\b", re.IGNORECASE)


def measured(match: re.Match[str]) -> End:
    """A size in millimetres: "1.2 cm" is 12 mm."""
    millimetres = float(match[1]) * (10 if match[2].lower() == "cm" else 1)
    return End(f"{SAID}:{millimetres:g} mm", f"{millimetres:g} mm in size")


def _words(*patterns: str) -> str:
    return rf"(?:{'|'.join(patterns)})".replace(" ", r"\s+")


# what may stand between a finding and its place, or between a finding and what it suggests, and say nothing else
_PLAIN = _words(
    "the", "a", "an", "its", "their", "is", "are", "was", "were", "be", "been", "has", "have", "again", "also", "now", "still", "seen", "noted", "present", "identified", "demonstrated",
    r"visuali[sz]ed", "which", "that", "this", "these", "there", "it", "most", "more", "very", "highly", "strongly", "likely", "probably", "possibly", "presumably", "primarily", "predominantly",
    "mostly", "mainly", "xxxx", "left", "right", "bilateral(?:ly)?", "both", "upper", "lower", "mid", "middle", "anterior", "posterior", "lateral", "medial", "frontal", "view", "projection",
    "image", "film", "radiograph", "small", "large", "mild(?:ly)?", "minimal(?:ly)?", "moderate(?:ly)?", "slight(?:ly)?", "patchy", "focal", "diffuse", "subtle", "stable", "unchanged", "new", "chronic", "old",
    r"in|on|at|of|within|along|over|overlying|near|about|around|adjacent to|throughout|involving",
)  # fmt: skip
FILLER = re.compile(rf"(?:[\s,]|\b{_PLAIN}\b)*", re.IGNORECASE)
_LINK = r"\b(?:in|at|within|of|involving|throughout|along|overlying|over|near|adjacent to)\b"
TO_PLACE = re.compile(rf"(?:[\s]|\b{_PLAIN}\b)*?{_LINK}(?:\s|\b(?:the|a|an|both|patient'?s|medial|lateral|posterior|anterior|left|right)\b)*|\s+".replace(" ", r"\s+"), re.IGNORECASE)  # fmt: skip
AND_PLACE = re.compile(r"\s*(?:,|\band\b|\bor\b|/|&|\bas\s+well\s+as\b)(?:\s|\b(?:and|in|at|the|within|of)\b)*", re.IGNORECASE)  # fmt: skip
_STOPS = "no not nor or and but without of from in on with for to by at is are was were may could which that than except versus vs if evidence sign signs absence history".split()
ADJECTIVES = re.compile(rf"[\s(]*(?:(?!(?:{'|'.join(_STOPS)})\b)[a-z][a-z-]*[\s]+){{0,3}}", re.IGNORECASE)
BEFORE = re.compile(rf"[\s-]+(?:(?!(?:{'|'.join(_STOPS)})\b)[a-z-]+\s+){{0,2}}", re.IGNORECASE)
OR_ELSE = re.compile(r"\s*(?P<joint>,\s*(?:and/or|or|versus|vs\.?)|,|/|\band/or\b|\bor\b|\bversus\b|\bvs\b\.?)\s*", re.IGNORECASE)  # fmt: skip
SUGGESTS = re.compile(
    r"(?<![\w-])(?:(?:may|might|could|can) (?:also |possibly )?(?:represent|reflect|indicate|suggest|be(?: (?:due|secondary|related|attributable) to)?)"
    r"|(?:likely|probably|possibly|presumably) (?:be |is |are )?(?:due|secondary|related) to"
    r"|(?:favou?red|felt|thought) to (?:represent|reflect|be)|(?:to )?suggest(?:ive of|ing|s|ed)?|(?:consistent|compatible|in keeping) with|(?:concerning|worrisome|suspicious) for"
    r"|represent(?:s|ing|ative of)?|reflect(?:s|ing)?|indicat(?:es|ing|ive of)|favou?r(?:s|ing))(?![\w-])".replace(
        " ", r"\s+"
    ),
    re.IGNORECASE,
)


# what a sentence with one of these relates, it does not state
UNTRUE = re.compile(
    r"\b(?:myths?|misconceptions?|misbelie\w+|fallac(?:y|ies)|contrary to|(?:wrongly|mistakenly|erroneously|falsely)|untrue|not true|false(?:hood| belief| claim))\b",
    re.IGNORECASE,
)


class Verb(NamedTuple):
    """A verb phrase of textbooks; ``turned`` where the statement's subject stands behind it."""

    relation: str
    turned: bool
    pattern: re.Pattern[str]


_OFTEN = r"(?:(?:also|often|sometimes|commonly|usually|typically|rarely|frequently|most often|most commonly|in turn|generally|mainly) )*"
_CAN = "(?:(?:can|may|might|could|will) )?"
_IS = "(?:(?:is|are|can be|may be|was|were) )"
_VERBS = (
    ("due_to", False, rf"{_IS}(?P<no>not )?{_OFTEN}(?:caused by|due to)|{_OFTEN}results? from"),
    ("treats", True, rf"{_IS}(?P<no>not )?{_OFTEN}(?:treated|managed) with"),
    ("treats", False, rf"{_IS}(?P<no>not )?{_OFTEN}(?:used (?:to treat|for treating|in the treatment of|for the treatment of)|an? (?:\w+ )?treatment (?:of|for))|(?P<no2>do(?:es)? not )?{_OFTEN}treats?"),
    ("presents", True, rf"{_IS}(?P<no>not )?{_OFTEN}(?:an? |the )?(?:(?:common|frequent|typical|classic|early|late|main|first) )?(?:symptoms?|signs?|manifestations?) of"),
    ("presents", False, rf"{_CAN}(?P<no>(?:do(?:es)? )?not )?{_OFTEN}(?:presents? with|manifests? (?:as|with))|{_IS}{_OFTEN}characteri[sz]ed by"),
    ("causes", False, rf"{_CAN}(?P<no>(?:do(?:es)? )?not )?{_OFTEN}(?:causes?|leads? to|results? in|gives? rise to)"),
)  # fmt: skip
VERBS = [Verb(relation, turned, re.compile(rf"(?<![\w-])(?:{words})(?![\w-])".replace(" ", r"\s+"), re.IGNORECASE)) for relation, turned, words in _VERBS]  # fmt: skip
# a mention is the subject where its clause begins with it, and the object where its noun phrase ends with it
SUBJECT = re.compile(r"(?:^|[,;:(]|\b(?:that|because|when|although|since|while|but|whereas)\b)(?:\s|\b(?:the|a|an|some|many|most|acute|chronic|severe|mild|untreated)\b)*$", re.IGNORECASE)  # fmt: skip
OBJECT = re.compile(r"\s*(?:$|[.,;:()]|\b(?:and|or|in|by|with|when|which|that|who|among|during|if|because|but|as|after|through|for|is|are)\b)", re.IGNORECASE)  # fmt: skip
PHRASE = re.compile(r"(?:\s|\b(?:a|an|the|some|both|either|severe|mild|acute|chronic|recurrent|life-threatening|serious|symptoms such as|such as)\b)*", re.IGNORECASE)  # fmt: skip
AND_ALSO = re.compile(rf"\s*(?:,\s*(?:and|or)\b|,|\band\b|\bor\b){PHRASE.pattern}", re.IGNORECASE)
