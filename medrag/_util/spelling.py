"""Findings written in British, in short or with a slip of the pen: "oedema", "PTX" and "cardiomegally" are words that labels know.

It mends names of findings alone; other words, and whole texts, are left as they are.
"""

from __future__ import annotations

import difflib
import re

from medrag._util.remember import remembered

BRITISH = (("oedema", "edema"), ("haemorrhage", "hemorrhage"), ("haemothorax", "hemothorax"), ("tumour", "tumor"))
# what is written in short of a chest film; in capitals alone where the letters are a word or mean much else
SHORT = {
    "PTX": "pneumothorax", "PNX": "pneumothorax", "PNA": "pneumonia", "CHF": "congestive heart failure", "HF": "heart failure",
    "TB": "tuberculosis", "PE": "pulmonary embolism", "FX": "fracture", "ILD": "interstitial lung disease",
    "ARDS": "acute respiratory distress syndrome", "RUL": "right upper lobe", "RML": "right middle lobe", "RLL": "right lower lobe",
    "LUL": "left upper lobe", "LLL": "left lower lobe",
}  # fmt: skip
_CAPITALS = frozenset({"PE", "HF", "ILD"})
NAMES = (
    "atelectasis", "cardiomegaly", "effusion", "infiltrate", "pneumonia", "pneumothorax", "consolidation", "emphysema", "fibrosis",
    "granuloma", "scoliosis", "fracture", "opacity", "nodule", "pacemaker", "catheter", "hernia", "edema", "atherosclerosis",
)  # fmt: skip
LONGEST = 2000  # characters of a text that is read so
CLOSE = 0.84  # of difflib; "perfusion" and "diffusion" are 0.82 of "effusion", "pneumonitis" 0.8 of "pneumonia"
_OTHER = frozenset(
    "empyema granulosa fusion fusions consideration considerations nonenlarged hemopneumothorax paucity arteriosclerosis dinitrate enlarge enlarges".split()
)
_FORMED = re.compile(r"(?:ous|ic|ive|itis|ces|ata|ing|e?d|al)$")  # an ending of its own makes another word of it
_THERE = re.compile(r"^(\W*(?:is|are)) (?:ther|thier|threre|thre)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")


def mended(text: str) -> str:
    """The text with findings spelled as labels have them.

    >>> mended("oedema or cardiomegally?"), mended("pnuemothorax"), mended("an efusion"), mended("empyema, fractured ribs, perfusion")
    ('edema or cardiomegaly?', 'pneumothorax', 'an effusion', 'empyema, fractured ribs, perfusion')
    """
    if len(text) > LONGEST:
        return text
    return _WORD.sub(lambda found: _mended(found[0]), _THERE.sub(r"\1 there", text))


def in_full(text: str) -> str:
    """The text with what is written in short written out.

    >>> in_full("PTX or pna"), in_full("any rib fx"), in_full("pe"), in_full("COPD")
    ('pneumothorax or pneumonia', 'any rib fracture', 'pe', 'COPD')
    """
    return text if len(text) > LONGEST else _WORD.sub(lambda found: _full(found[0]), text)


def _full(word: str) -> str:
    key = word.upper()
    return word if key in _CAPITALS and word != key else SHORT.get(key, word)


@remembered(4096)
def _mended(word: str) -> str:
    low = word.lower()
    for british, plain in BRITISH:
        if low.startswith(british):
            return plain + low[len(british) :]
    if len(low) < 6 or low in _OTHER or len(low) > 20:
        return word
    for one, end in ((low, ""), (low.removesuffix("s"), "s")):
        for name in difflib.get_close_matches(one, NAMES, 1, CLOSE):
            return word if _formed(low, name) or _of_its_own(one, name) else name + end
    return word


def _formed(word: str, name: str) -> bool:
    """Whether a word is a form of the name ("fractured", "infiltrates"), and no slip."""
    own = _FORMED.search(word)
    return word.startswith(name) or bool(own and not name.endswith(own[0]))


def _of_its_own(word: str, name: str) -> bool:
    """Whether a word is the name with another before it: "pyopneumothorax" is no slip."""
    return word.endswith(name) and len(word) > len(name) + 1
