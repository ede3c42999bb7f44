"""Words made comparable: a light stemmer, a few medical equivalents, and the small word lists of the extractive answerer.

It is not a linguistic stemmer and not a thesaurus: only the forms that reports, primers and questions mix freely.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from medrag._util.remember import remembered
from medrag._util.text import STOPWORDS, plural

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_KIND_A = re.compile(r"\b(?i:hepatitis|vitamin|ha?emophilia|influenza|type|group) A\b")  # no article
_SUFFIXES = (
    "cation", "ement", "ature", "atous", "ation", "ating", "ative", "ated", "ment", "ical", "ing", "ion", "ive", "ial",
    "ed", "al", "ar", "um", "us", "ic", "is", "ia", "ly", "y", "e", "a", "i",
)  # fmt: skip
_EQUALS = {  # what stands on the right is compared as what stands on the left
    "heart": "cardiac cardio",
    "heart enlarged": "cardiomegaly",
    "heart mediastinal": "cardiomediastinal",
    "lung": "pulmonary",
    "hyperinflation": "hyperexpanded hyperexpansion hyperinflated hyperinflate hyperdistention hyperlucent",
    "opacity": "opacification opacified density densities",
    "radiograph": "x-ray xray film roentgenogram radiography radiographic",
    "chest radiograph": "cxr",
    "chest": "thorax thoracic",
    "bone": "bony osseous skeletal",
    "spine": "spinal vertebra vertebral vertebrae",
    "abnormal": "abnormality abnormalities",
    "fundus": "fundoscopy fundoscopic funduscopic",
    "fracture": "broken",
    "hemorrhage": "haemorrhage bleeding",
    "edema": "oedema",
    "tumor": "tumour",
    "nevus": "nevi naevus naevi",
    "disc": "disk",
    "cell": "cellular",
    "aorta": "aortic",
    "cause": "causes caused due leads result results resulting arises secondary",
    "base": "basilar basal bibasilar bases",
    "apex": "apical apices",
    "pericardial": "pericardium",
    "cure": "cured cures curable curing",
    "treat": "treatable",
    "prevent": "preventable",
    "reverse": "reversible reversed",
    "pain": "painful",
    "imitate": "imitates imitated imitating imitation mimic mimics mimicked mimicking mimicry",
}


class Word(NamedTuple):
    """A content word of a text: what it is compared by, and where it stands."""

    stem: str
    start: int
    end: int


@remembered(20_000)
def stems(word: str) -> tuple[str, ...]:
    """What a word is compared by; "cardiomegaly" becomes two, heart and enlarg."""
    plain = _base(word.lower().removesuffix("-sided"))
    return _same().get(plain, (plain,))


@functools.cache
def _same() -> dict[str, tuple[str, ...]]:
    return {_base(word): tuple(map(_base, to.split())) for to, many in _EQUALS.items() for word in many.split()}


def _base(word: str) -> str:
    return _strip(_singular(word))


def _singular(word: str) -> str:
    if word.endswith("thoraces"):
        return word[:-4] + "ax"
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    word = re.sub(r"['’]s?$", "", word)  # whose it is
    return word[:-1] if len(word) > 3 and plural(word) else word


def _strip(word: str) -> str:
    """One ending off where at least five letters stay, so that "lesion" and "mass" stay whole."""
    return next((word[: -len(end)] for end in _SUFFIXES if word.endswith(end) and len(word) - len(end) >= 5), word)


@remembered(4096)
def content(text: str) -> tuple[Word, ...]:
    """The content words in order, each with its place."""
    kinds = {match.end() for match in _KIND_A.finditer(text)}
    found = ((match, match.group().lower()) for match in _WORD.finditer(text))
    kept = ((match, low) for match, low in found if low not in STOPWORDS or match.end() in kinds)
    return tuple(Word(stem, *match.span()) for match, low in kept for stem in stems(low))


def stem_set(text: str) -> frozenset[str]:
    """The stems of a text's content words."""
    return frozenset(word.stem for word in content(text))


def _stemmed(text: str) -> frozenset[str]:
    return frozenset(stem for word in text.split() for stem in stems(word))


# words of a question that frame it and name no finding
FRAME = _stemmed(
    "evidence sign signs finding findings present absent patient x-ray radiograph film scan photograph slide study exam "
    "examination ct mr mri ultrasound view look like appear appearance case report reported suggest suggestive suspected "
    "any there abnormality abnormalities abnormal identified noted detected demonstrate reveal indicate contain see patient's "
    "likely possible diagnosis describe description explain tell give write generate summarize impression whether yes no about "
    "mean means definition define significant exhibit display currently common commonly usually often typical typically main acute "
    "between difference differences differ distinguish one two some other visualized evident observed visible prior previous previously remaining age according accord since last limits limit within "
    "images image way indicative indicate possibility free grossly overall appearing consistent compared fully current degree "
    "resolved resolution disappeared gone answer question please without not neither nor negative lack lacks absence also me us if know think agree"
)
# what is asked of a thing: what does not say it does not answer
ASKED = _stemmed(
    "treat treated treatment treatments therapy therapies management cure symptom symptoms dose dosage dosing mortality survival fatality incubation duration lifespan "
    "prevalence incidence complication complications prevention prognosis outlook antidote"
)
# that, and words that any thing may go by: they do not say which thing it is
RELATIONS = ASKED | _stemmed(
    "therapeutic manage managed cause causes caused reason reasons etiology "
    "effect effects affect affects affected adverse side doses much many long often amount best first earliest early late next last better main most least important key "
    "rate period frequency frequent function functions role purpose use used uses useful using "
    "prevent preventing risk risks factor factors diagnose diagnosed diagnosing diagnosis test tests testing mechanism mechanisms action actions work works "
    "genetic change changes changed gene genes related inherited inherit inheritance research done clinical trial trials stage stages type types kind kinds sort form forms class classes range target level levels "
    "value values number given give gives take taken store stored storage administered administer indicated indication indications contraindicated contraindication contraindications recommended recommend recommendation "
    "happen happens occur occurs develop develops produce produces produced make makes made need needed needs have has having get gets getting go goes become do does help helps step steps line drug drugs medicine medicines "
    "medication medications people person persons patient patients individual individuals adult adults child children man men woman women baby babies infant infants human humans body part parts called name named "
    "disease diseases syndrome syndromes disorder disorders condition conditions illness problem problems feature features characteristic characteristics manifestation manifestations presentation present presents aspect thing things term "
    "list against over under after before during while sit sits lie lies located supposed cant dont doesnt isnt wont "
    "safe dangerous serious common rare usual normal typical different good bad should must can could may might will would"
)
LACKS = _stemmed(  # how a thing is that is asked for: told in other words where it is told
    "missing low high defective deficient affected abnormal compressed damaged mutated avoided avoid lost loss move moves lack lacking absent involved mostly right"
)
WAYS = _stemmed(
    "raise raises raised lower lowers lowered increase increases increased decrease decreases decreased reduce reduces reduced"
)
LIGHT = _stemmed(
    "happen happens get gets getting go goes become have has having do does did need needs people person persons"
)  # of no weight either
SEEN = _stemmed(
    "pathology pathologies pathological wrong seen shown show visible disease problem thing happening chest lung lungs name list most what's differential your"
)
# places: they say where, not what
SITES = _stemmed(
    "lung lungs pulmonary heart cardiac mediastinum mediastinal pleura pleural chest thorax thoracic spine rib ribs lobe lobes lobar "
    "upper lower middle left right bilateral base bases basilar apex apical hilum hilar hila perihilar costophrenic angle silhouette "
    "contour size retina retinal macula macular optic disc fundus vessel vessels tissue cell cells nucleus nuclei nuclear bone "
    "bones bony osseous diaphragm hemidiaphragm aorta aortic trachea tracheal field fields zone zones area region side space airspace "
    "soft clavicle shoulder structure structures vascularity caliber calibre posterior anterior lateral sulcus volume volumes markings wall position abdomen brain skin lingula eye gland nipple breast stomach liver kidney cardiomediastinal vasculature vascular pericardial"
)
# places by the third of the lung that they lie in, and places of which one stands for the other
ZONES = {
    stem: third
    for third, places in (("upper", "upper apex"), ("middle", "middle"), ("lower", "lower base"))
    for stem in _stemmed(places)
}
BESIDE = {"base": ("lower",), "lower": ("base",), "apex": ("upper",), "upper": ("apex",)}
FLUID = _stemmed("effusion effusions fluid")
PLEURA = _stemmed("pleura")
ABOUT_PLEURA = _stemmed("base lower lobe costophrenic angle")  # where its fluid is seen
# states that mean something only of a named place, each row against its opposites
_OPPOSED = (
    ("enlarged widened dilated prominent large big increased elevated tortuous high", "normal unremarkable small"),
    ("abnormal remarkable outside", "normal unremarkable intact clear midline"),
    ("deviated shifted displaced", "midline normal unremarkable"),
    ("changed", "unchanged stable"),
    ("blunted", "sharp clear normal"),
    ("low small decreased flattened", "normal large high"),
)
OPPOSITES: dict[str, frozenset[str]] = {}
for _left, _right in _OPPOSED:
    for _one, _other in ((_left, _right), (_right, _left)):
        for _stem in _stemmed(_one):
            OPPOSITES[_stem] = OPPOSITES.get(_stem, frozenset()) | _stemmed(_other)
STATES = frozenset(OPPOSITES)
WELL = _stemmed("normal clear unremarkable intact sharp midline")
ILL = frozenset().union(*(_stemmed(left) for left, _ in _OPPOSED))
LUNG_FINDINGS = _stemmed(
    "mass masses nodule opacity consolidation infiltrate pneumonia lesion airspace disease edema atelectasis"
)
