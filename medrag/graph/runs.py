"""The runs of words of a sentence that may be names, with the keys under which each is looked up, in the order in which they are tried.

The longest come first, then those in the words' own order, then from the left. It knows what is too general to be a name; it knows no graph.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medrag._util.text import STOPWORDS
from medrag.graph.words import ARTICLE, bag, key_of, tokens

LONGEST = 24
Word = tuple[str, int, int]  # stem, start and end in the text
# names and synonyms of some ontology that mean something else, or nothing, in a question or a report
STOP = frozenset(
    "a all an and any apical area at both cat catch cell change characteristic chronic class clear cold common compare condition "
    "control course degree diagnosis diffuse disease diseases disorder early end enlarged entity evidence exam examination fact "
    "factor feature fetal film find finding first focal for frequency function general group growth has have help history human "
    "image imaging in increased information is it item kind large laser last late lateral left level light local low male female "
    "man may mild moderate name negative no normal not object observation of on onset or order other pain part patient person "
    "picture place plan point position positive present primary problem procedure process progressive property quality question "
    "rapid rare recurrent report result right role second section see severe severity shape side sign size small so soft stable "
    "state study symptom syndrome system test the time to transient type unilateral variable view was we well what while with "
    "work yes".split()
)
# places of the body: as a synonym of a disease ("lung" of "lung neoplasm") a slip of the ontology, as a last word no finding
ORGANS = frozenset(
    "lung heart eye breast colon skin retina brain bone chest liver kidney pleura macula lens cornea rectum optic disc disk rib aorta "
    "diaphragm fundus mediastinum hilum artery vein nerve valve vessel cell node gland tissue calcified spot spine vertebra".split()
)
PLACES = ORGANS | frozenset("tissue thorax abdomen pelvis body hand foot head neck nucleus stroma".split())
_NO_HEAD = ORGANS | STOPWORDS | frozenset("hard soft left right upper lower".split())
_EDGE = frozenset(
    "a an the of in within with and or for to on at by is are was were be there this that any no not".split()
)
_SIDE = frozenset({"left", "right", "bilateral"})
_PAUSE = re.compile(r"[,:()\[\]]")


@dataclass(frozen=True, slots=True)
class Run:
    """A run of words that could be a name, with the keys to try in order; ``size`` counts its words that carry meaning."""

    first: int
    last: int
    keys: tuple[str, ...]
    size: int
    turned: bool = False  # its keys have another order of words
    head: str = ""  # the key of names that end in the word
    short: tuple[str, ...] = ()  # the keys of what an abbreviation may be short for


def runs_of(text: str, words: list[Word], short: Mapping[str, tuple[str, ...]]) -> list[Run]:
    """Every run of words that may be a name, in the order in which they are tried."""
    breaks = [False, *(bool(_PAUSE.search(text[a[2] : b[1]])) for a, b in itertools.pairwise(words))]
    found: list[Run] = []
    for first in range(len(words)):
        if words[first][0] in _EDGE:
            continue
        paused = False
        for last in range(first + 1, min(first + LONGEST, len(words)) + 1):
            paused = paused or (last - first > 1 and breaks[last - 1])
            if words[last - 1][0] not in _EDGE:
                found += _run(text, words[first:last], first, short, paused)
    return sorted(found, key=lambda run: (-run.size, run.turned, run.first))


def _run(text: str, words: list[Word], first: int, short: Mapping[str, tuple[str, ...]], paused: bool) -> Iterator[Run]:  # fmt: skip
    """The run in its own order of words, and with them turned round; these never reach over a comma or a bracket."""
    plain, last = [word for word, _, _ in words], first + len(words)
    size = sum(word not in _EDGE for word in plain)
    key = key_of(plain)
    long = expanded(text[words[0][1] : words[-1][2]], short) if len(words) == 1 else ()
    head = f"* {key}" if len(words) == 1 and key not in _NO_HEAD and _allowed(key) else ""
    straight = key == " ".join(word for word in plain if word not in ARTICLE)
    tried = (key,) if _allowed(key) and (straight or not paused) else ()
    if tried or long:
        yield Run(first, last, tried, size, not straight, head, long)
    if paused or len(words) < 2:
        return
    sideless = [plain[0], *(word for word in plain[1:] if word not in _SIDE)]
    without = key_of(sideless) if 1 < len(sideless) < len(plain) else ""
    if turned := tuple(dict.fromkeys(filter(None, (without, bag(plain))))):
        yield Run(first, last, turned, size, True)


def expanded(surface: str, short: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The keys of what an abbreviation is short for."""
    return tuple(key_of([word for word, _, _ in tokens(long)]) for long in short.get(surface, ()))


def _allowed(key: str) -> bool:
    return key not in STOP and len(key) > 2 and not key.isdigit()
