"""Names and running text brought to the same keys, so that "masses in the lungs" finds "Pulmonary mass".

A key is lower-case words without plural endings, in American spelling, with organ adjectives as nouns. Names get a second
key where their words stand in another order in text: "Neoplasm, benign" and "opacity of lung". This is simple inflection,
not morphology: it knows neither verbs nor irregular Latin beyond the endings below.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from medrag._util.remember import remembered

TOKEN = re.compile(r"[^\W_]+")
_BRITISH = (
    ("haem", "hem"), ("oedema", "edema"), ("tumour", "tumor"), ("oesoph", "esoph"), ("aemi", "emi"), ("ischaem", "ischem"),
    ("anaes", "anes"), ("aesthe", "esthe"), ("paed", "ped"), ("rrhoea", "rrhea"), ("pnoea", "pnea"), ("fibre", "fiber"), ("foetal", "fetal"),
    ("foetus", "fetus"), ("colour", "color"), ("behaviour", "behavior"), ("odour", "odor"), ("labour", "labor"), ("coeliac", "celiac"), ("grey", "gray"),
    ("leucocyt", "leukocyt"), ("calibre", "caliber"), ("centre", "center"), ("oestr", "estr"), ("sulph", "sulf"), ("uraemia", "uremia"),
    ("faec", "fec"), ("caec", "cec"), ("gynaec", "gynec"), ("aetiol", "etiol"), ("isation", "ization"),
)  # fmt: skip
_ORGAN = {
    "pulmonary": "lung", "cardiac": "heart", "renal": "kidney", "hepatic": "liver", "cutaneous": "skin", "ocular": "eye",
    "thoracic": "chest", "thorax": "chest", "enlargement": "enlarged", "calcification": "calcified",
}  # fmt: skip
_IRREGULAR = {
    "bullae": "bulla", "pleurae": "pleura", "maculae": "macula", "metastases": "metastasis", "diagnoses": "diagnosis",
    "lenses": "lens", "nuclei": "nucleus", "bronchi": "bronchus", "thrombi": "thrombus", "emboli": "embolus", "naevi": "nevus",
    "nevi": "nevus", "naevus": "nevus", "vertebrae": "vertebra", "septa": "septum", "foramina": "foramen", "atria": "atrium",
    "hila": "hilum", "thoraces": "thorax", "pneumothoraces": "pneumothorax", "hydropneumothoraces": "hydropneumothorax", "diverticula": "diverticulum", "carcinomata": "carcinoma", "feet": "foot", "teeth": "tooth",
}  # fmt: skip
_KEPT_S = ("ss", "us", "is", "as", "ous", "os", "axis", "lens", "biceps", "abscess", "series", "caries", "scabies", "herpes", "diabetes", "rabies", "mumps", "pus", "ascites", "feces")  # fmt: skip
_SE = ("ase", "ese", "ise", "ose", "yse")  # what is left of a plural in "-ses", which may be of "-sis"
_ADJECTIVE = {  # of organs whose names hold the adjective
    "myocardium": "myocardial", "pericardium": "pericardial", "endocardium": "endocardial", "pleura": "pleural", "mediastinum": "mediastinal", "hilum": "hilar",
    "diaphragm": "diaphragmatic", "trachea": "tracheal", "bronchus": "bronchial", "alveolus": "alveolar", "esophagus": "esophageal", "larynx": "laryngeal",
    "pharynx": "pharyngeal", "stomach": "gastric", "duodenum": "duodenal", "bowel": "intestinal", "intestine": "intestinal", "colon": "colonic", "rectum": "rectal",
    "pancreas": "pancreatic", "spleen": "splenic", "peritoneum": "peritoneal", "ovary": "ovarian", "uterus": "uterine", "prostate": "prostatic", "brain": "cerebral",
    "skull": "cranial", "spine": "spinal", "vertebra": "vertebral", "artery": "arterial", "vein": "venous", "vessel": "vascular", "atrium": "atrial",
    "ventricle": "ventricular", "retina": "retinal", "macula": "macular", "cornea": "corneal", "conjunctiva": "conjunctival", "choroid": "choroidal",
}  # fmt: skip
_BETWEEN = frozenset({"of", "in", "within"})
ARTICLE = frozenset({"the", "a", "an", "both"})
_SMALL = _BETWEEN | {"and", "with", "to", "by", "for"}
MOST_IN_BAG = 5  # words of a name that is found in any order


@remembered(65536)
def stem(word: str) -> str:
    """One lower-case word as it stands in a key."""
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    word = _IRREGULAR.get(word, word)
    for british, american in _BRITISH:
        word = word.replace(british, american)
    return _ORGAN.get(word) or _ORGAN.get(singular := _singular(word), singular)


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s") or word.endswith(_KEPT_S):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes")) else word[:-1]


def otherwise(key: str) -> tuple[str, ...]:
    """Other keys of the same words, to be looked up after it: plurals in "-ses" as of "-sis", then nouns of organs as adjectives too.

    >>> otherwise("deep vein thrombose"), otherwise("retina tear"), otherwise("retina"), otherwise("lung mass")
    (('deep vein thrombosis', 'deep venous thrombosis'), ('retinal tear',), (), ())
    """
    words = [f"{word[:-1]}is" if word.endswith(_SE) else word for word in key.split(" ")]
    adjectives = [_ADJECTIVE.get(word, word) for word in words] if len(words) > 1 else words
    return tuple(one for one in dict.fromkeys((" ".join(words), " ".join(adjectives))) if one != key)


def tokens(text: str) -> list[tuple[str, int, int]]:
    """Keyed words with their start and end in the text; a possessive "'s" is not a word."""
    found = []
    for match in TOKEN.finditer(text):
        start, end = match.span()
        if match.group() in ("s", "S") and start and text[start - 1] in "'’":
            continue
        found.append((stem(match.group().lower()), start, end))
    return found


def key_of(words: list[str]) -> str:
    """The key of a run of keyed words: articles go, and "mass in lung" becomes "lung mass"."""
    plain = [word for word in words if word not in ARTICLE] or words
    for place in range(1, len(plain) - 1):
        if plain[place] in _BETWEEN and len(plain) <= 6:
            return " ".join((*plain[place + 1 :], *plain[:place]))
    return " ".join(plain)


def keys(name: str) -> tuple[str, ...]:
    """The keys of a name: as it stands, and with what follows a comma in front ("Abscess, lung" → "lung abscess")."""
    return keys_and_bag(name)[0]


def in_sentence(name: str, proper: Collection[str]) -> str:
    """A name as it stands inside a sentence; the first words in ``proper`` keep their capital.

    >>> in_sentence("Pulmonary mass", ()), in_sentence("Marfan syndrome", {"Marfan"})
    ('pulmonary mass', 'Marfan syndrome')
    """
    start, *rest = name.split(" ")
    if start == start.capitalize() and start not in proper and len(start) > 1:
        titled = all(word[:1].isupper() and word[1:].islower() for word in rest)
        return " ".join((start.lower(), *(w.lower() if titled and w not in proper else w for w in rest)))
    return name


@remembered(4096)
def keys_and_bag(name: str) -> tuple[tuple[str, ...], str]:
    """`keys` and `bag` of a name, its words read once."""
    head, comma, tail = name.partition(", ")
    first, last = _stems(head), _stems(tail)
    found = [key_of([*first, *last])]
    if comma and tail and ", " not in tail:
        found.append(key_of([*last, *first]))
    return tuple(key for key in dict.fromkeys(found) if key), bag([*first, *last])


def _stems(text: str) -> list[str]:
    """The words of `tokens`, without their places."""
    if "'" in text or "’" in text:
        return [word for word, _, _ in tokens(text)]
    return [stem(word.lower()) for word in TOKEN.findall(text)]


def bag(words: list[str]) -> str:
    """The key of 2 to 5 words in any order, small words left out: "failure, heart, congestive" is "~ congestive failure heart"."""
    plain = sorted(word for word in words if word not in ARTICLE and word not in _SMALL)
    return f"~ {' '.join(plain)}" if 2 <= len(plain) <= MOST_IN_BAG else ""


def head(key: str) -> str:
    """The key under which a name of two words is found by its last one: "lung mass" → "* mass"; else nothing."""
    first, _, last = key.partition(" ")
    return f"* {last}" if first and last and " " not in last else ""
