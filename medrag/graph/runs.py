"""The runs of words of a sentence that may be names, with the keys under which each is looked up, in the order in which they are tried.

The longest come first, then those in the words' own order, then from the left. It knows what is too general to be a name; it knows no graph.

A pause (comma, colon, slash, bracket, dash) parts names: a run that reaches over one is tried in the words' own order alone, and
`medrag.graph.link` takes it only for a name that is written with that very sign there, and where no word behind it is in a name of its own.
So "AIDS, hearing loss" is no "Aids, Hearing", while "diabetes mellitus, type 2" stays whole.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medrag._util.text import STOPWORDS
from medrag.graph.abbreviations import OTHERWISE
from medrag.graph.words import ARTICLE, bag, key_of, otherwise, tokens

LONGEST = 24
Word = tuple[str, int, int]  # stem, start and end in the text
# names and synonyms of some ontology that mean something else, or nothing, in a question or a report
STOP = frozenset(
    "a absence absent active age all an and any apical appearance area at background bad base benefit both can case cat cause catch cell change characteristic chronic class clear cold combination common compare comparison component condition "
    "control correlation course degree department diagnosis differential diffuse disease diseases disorder early effect element end enlarged "
    "entity evaluation evidence exam examination excluded fact factor feature fetal film find finding first focal for frequency function general get group growth has have help high history human "
    "image imaging impression improvement in increased information interpretation interval is it item kind lack large laser last late lateral "
    "left let level light like limit local location low male female man material may mild mixed moderate name negative new no normal not note "
    "notification object observation of on onset or order other out overall pain part patient pattern performance person "
    "picture place plan point position positive presence present primary problem procedure process progressive property quality question "
    "rapid rare rate recurrent reduced region remain report result review right role said second secondary section see setting severe severity "
    "shape side sign size small so soft stable state status structure study suggestion symptom syndrome system test the thought time to top "
    "transient type unilateral use variable view was we well what while will with work worse worsening yes".split()
)
# places of the body: as a synonym of a disease ("lung" of "lung neoplasm") a slip of the ontology, as a last word no finding
ORGANS = frozenset(
    "lung heart eye breast colon skin retina brain bone chest liver kidney pleura macula lens cornea rectum optic disc disk rib aorta "
    "diaphragm fundus mediastinum hilum artery vein nerve valve vessel cell node gland tissue calcified spot spine vertebra".split()
)
PLACES = ORGANS | frozenset("tissue thorax abdomen pelvis body hand foot head neck nucleus stroma".split())
# words that name a part of the body, say where in it, or may be of anything: a longer name that ends in one is another thing, rarely the one that is meant
_PARTS = frozenset(
    "lobe lobule segment zone field region base apex angle border margin wall septum fissure space cavity sinus duct canal tract arch trunk branch ventricle "
    "atrium chamber bronchus bronchiole alveolus trachea esophagus stomach bowel joint muscle ligament tendon cartilage membrane layer surface pole "
    "shoulder scapula clavicle humerus femur hip knee fluid deformity loss ring line scar scarring".split()
)
_NO_HEAD = PLACES | _PARTS | STOPWORDS | frozenset("hard soft left right upper lower iii vii viii xii xiii".split())
_EDGE = frozenset(
    "a an the of in within with and or for to on at by is are was were be there this that any no not".split()
)
_SIDE = frozenset({"left", "right", "bilateral"})
_PAUSE = re.compile(r"[,:/()\[\]—]|(?<=\s)[-–](?=\s)")


@dataclass(frozen=True, slots=True)
class Run:
    """A run of words that could be a name, with the keys to try in order; ``size`` counts its words that carry meaning."""

    first: int
    last: int
    keys: tuple[str, ...]
    size: int
    turned: bool = False  # its keys have another order of words
    behind: int = 0  # the first word behind its first pause; 0 where it reaches over none
    head: str = ""  # the key of names that end in the word
    short: tuple[str, ...] = ()  # the keys of what an abbreviation may be short for
    broad: tuple[str, ...] = ()  # and of what it is where none of them is known


def runs_of(text: str, words: list[Word], short: Mapping[str, tuple[str, ...]]) -> list[Run]:
    """Every run of words that may be a name, in the order in which they are tried."""
    breaks = [False, *(bool(_PAUSE.search(text, a[2], b[1])) for a, b in itertools.pairwise(words))]
    found: list[Run] = []
    for first in range(len(words)):
        if words[first][0] in _EDGE:
            continue
        behind = 0
        for last in range(first + 1, min(first + LONGEST, len(words)) + 1):
            if not behind and last - first > 1 and breaks[last - 1]:
                behind = last - 1
            if words[last - 1][0] not in _EDGE:
                found += _run(text, words[first:last], first, short, behind)
    return sorted(found, key=lambda run: (-run.size, run.turned, run.first))


def spelled(text: str) -> list[tuple[str, str]]:
    """The words of a text, each with the pauses before it: "Aids, Hearing" is [("aid", ""), ("hearing", ",")]."""
    words = tokens(text)
    signs = ("".join(_PAUSE.findall(text, a[2], b[1])) for a, b in itertools.pairwise(words))
    return list(zip((word for word, _, _ in words), ("", *signs), strict=False))


def _run(text: str, words: list[Word], first: int, short: Mapping[str, tuple[str, ...]], behind: int) -> Iterator[Run]:  # fmt: skip
    """The run in its own order of words, and with them turned round; these never reach over a pause or an "and"."""
    plain, last = [word for word, _, _ in words], first + len(words)
    size = sum(word not in _EDGE for word in plain)
    key = key_of(plain)
    long = expanded(text[words[0][1] : words[-1][2]], short) if len(words) <= 2 and not behind else ()
    head = f"* {key}" if len(words) == 1 and key not in _NO_HEAD and _allowed(key) else ""
    straight = key == " ".join(word for word in plain if word not in ARTICLE)
    others = otherwise(key)
    tried = (key, *others) if _allowed(key) and (straight or not behind) else ()
    if tried or long:
        broad = expanded(text[words[0][1] : words[-1][2]], OTHERWISE) if long else ()
        yield Run(first, last, tried, size, not straight, behind, head, long, broad)
    if behind or len(words) < 2 or "and" in plain:
        return
    sideless = [plain[0], *(word for word in plain[1:] if word not in _SIDE)]
    without = key_of(sideless) if 1 < len(sideless) < len(plain) else ""
    bags = (bag(plain), *(bag(other.split(" ")) for other in others))
    if turned := tuple(dict.fromkeys(filter(None, (without, *bags)))):
        yield Run(first, last, turned, size, True)


def expanded(surface: str, short: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The keys of what an abbreviation is short for."""
    return tuple(key_of([word for word, _, _ in tokens(long)]) for long in short.get(surface, ()))


def _allowed(key: str) -> bool:
    return key not in STOP and len(key) > 2 and not key.isdigit()
