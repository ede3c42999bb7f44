"""A question that its picture cannot answer: a photograph of a cat, or the retina asked about on a chest film.

Rules, so that such a question ends in a reason instead of a guess. They speak only where the file or the router's head is sure what the picture is, and only
of what the question says is to be looked for in the picture; what something *is* can be asked beside any picture. They know a few parts of the body
that show in one kind of picture alone, in English, and let everything else through: `docs/privacy.md` has how often they speak where they should not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from medrag._util.text import sentences
from medrag.types import DOMAINS
from medrag.vlms._ask import closed_part

_LOOKS = re.compile(
    r"^\W*(?:is|are|was|were)\s+(?:there|the|this|these|that|those|any|it|both)\b|^\W*(?:do|can|could)\s+(?:you|we|one)\s+(?:see|find|detect|identify)\b"
    r"|^\W*(?:does|do|did|has|have)\s+(?:the|this|these|it)\b|^\W*(?:where|which|how\s+(?:many|large|big|much))\b"
    r"|\b(?:this|the|these|shown)\s+(?:image|picture|scan|film|x-?ray|radiograph|photo(?:graph)?|slide|study|view)s?\b|\b(?:seen|visible|shown|evident|depicted|pictured)\b"
    r"|^\W*(?:what|which)\b[^?]*\b(?:is|are)\s+(?:this|these|that|it)\W*$|^\W*(?:describe|write|generate|draft|report)\b",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(r"^\W*(?:what\s+(?:is|are)\s+(?:a|an|the\s+(?:cause|treatment|meaning)s?)\b|define|explain|why\b|how\s+(?:is|are|does|do|can)\b)", re.IGNORECASE)  # fmt: skip
# what is asked about: its words, and the kinds of picture that can show it
SHOWN_IN: Mapping[str, tuple[re.Pattern[str], frozenset[str]]] = {
    name: (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), frozenset(domains.split()))
    for name, words, domains in (
        ("the retina",
         r"retina[l]?|retinopath\w+|maculopath\w+|macula|macular (?!rash|erupt|lesion|exanthem|hypo|amyl)\w+|fovea[l]?|optic dis[ck]s?|drusen|microaneurysms?|cotton[- ]wool spots?|cup[- ]to[- ]disc|(?:a|hypo)?pigment epithelium",
         "fundus ct mr ultrasound histology"),
        ("the brain",
         r"brain|cerebr\w+|cerebell\w+|intracranial|basal ganglia|corpus callosum|gyri|gyrus|cortical sulc(?:us|i)|hippocamp\w+|subdural|subarachnoid",
         "ct mr ultrasound histology"),
        ("the skin's pigment", r"n[a]?ev(?:us|i)|moles?|pigment network|dermoscop\w+", "dermoscopy histology"),
        ("single cells", r"(?<!caudate )(?<!lentiform )(?<!dentate )(?<!red )(?<!thalamic )(?<!basal )(?<!cranial nerve )(?<!brainstem )(?<!pontine )nuclei(?! pulposi)|mitos[ei]s|mitotic|cytoplasm\w*|erythrocytes?|leu[ck]ocytes?|red blood cells?|blasts?|schistocytes?|h(?:a?ematoxylin)|eosin", "histology blood-smear"),
        ("the chest",
         r"pleura[l]?|pneumothora\w+|costophrenic|cardiomegaly|heart size|lungs?|pulmonary|cardiac silhouette|diaphragm\w*|mediastin\w+|hil(?:um|ar)|ribs?|clavicles?",
         "chest-xray ct mr ultrasound histology"),
        ("lungs or bones", r"pneumonias?|atelectas[ie]s|emphysema|fractur\w+", "chest-xray ct mr ultrasound histology"),
        ("a kind of cell", r"(?<=what )cells?|(?<=which )cells?|(?:what|which) (?:kind|type|sort)s? of (?:\w+ ){0,2}cells?", "histology blood-smear"),
        ("a lesion", r"(?<=what )lesions?|(?<=which )lesions?", " ".join(one for one in DOMAINS if one != "blood-smear")),
    )
}  # fmt: skip
_MODALITY = re.compile(
    r"\b(?:on|in|of|from)\s+this\s+(?!(?:prior|previous|earlier|older|last)\b)(?:\w+\s+)?(?:(?P<mr>mri|mr)|(?P<ct>ct)|(?P<ultrasound>ultrasound|sonogra\w+)|(?P<fundus>fundus|fundoscop\w+)|(?P<histology>histolog\w+|biopsy)|(?P<chest>chest\s+(?:film|x-?ray|radiograph)))\b",
    re.IGNORECASE,
)
# points at a picture: "this film", "Is this benign?", "What cell is shown?", "What lesion is this?"
_SEEN_IN = r"(?:image|picture|photo(?:graph)?|film|scan|x-?ray|radiograph|slide|smear|tile|section|specimen|lesion|mole|fundus)s?"
_POINTS = re.compile(
    rf"\b(?:this|these)\s+(?:\w+\s+){{0,2}}?{_SEEN_IN}\b|\b(?:in|on)\s+the\s+(?:attached\s+|uploaded\s+|given\s+)?(?:image|picture|photo(?:graph)?)\W*$"
    r"|^\W*(?:is|are|was|were)(?:n't)?\s+(?:this|these|that|it)\s+(?:not\s+)?(?:an?\b|benign|malignant|normal|abnormal|healthy|cancer\w*)(?!.*\b(?:to|for|if|that|when|disease|condition|disorder|syndrome|virus|bacteri\w+|drug|medicine|symptom)\b)(?:\s+[\w-]+){0,3}\W*$"
    r"|^\W*(?:what|which)(?:\s+[\w-]+){0,4}\s+(?:is|are)\s+(?:this|these|(?:shown|seen|pictured|depicted|visible)(?:\s+here)?)\W*$|^\W*what\s+do\s+you\s+see(?:\s+here)?\W*$",
    re.IGNORECASE,
)
# who the patient is and what was before: said beside the question, and not looked for
_BESIDE = re.compile(
    r"\b(?:patient|man|woman|boy|girl|child|infant|case)\s+(?:with|who|after|known)\b.*?(?=\b(?:have|has|show|shows)\b|[,;?.!]|$)"
    r"|\b(?:history of|known|status post|s/p)\b[^,;?.!]*|,\s*with\b[^?.!]*",
    re.IGNORECASE,
)
NAMES = {
    "chest-xray": "a chest film", "ct": "a CT", "mr": "an MRI", "ultrasound": "an ultrasound picture", "fundus": "a photograph of the retina",
    "dermoscopy": "a dermoscopic picture", "histology": "a picture of tissue", "blood-smear": "a blood smear",
}  # fmt: skip


def looks(question: str) -> bool:
    """Whether a question wants something looked for in its picture; no question at all does.

    >>> [looks(text) for text in ("", "Is there a mass?", "What is a mass?", "What does this image show?")]
    [True, True, False, True]
    """
    if not question.strip():
        return True
    return bool(_LOOKS.search(question)) and not (
        _EXPLAINS.search(question) and not re.search(r"\b(?:this|here)\b", question)
    )


def unpictured(question: str) -> str:
    """Why a question without a picture cannot be answered: it is about one. What was said before the question may be what it points at.

    >>> unpictured("Is this a melanoma?"), unpictured("What is a melanoma?")
    ('the question points at an image, and none was given', '')
    """
    alone = len(sentences(question)) < 2
    points = alone and _POINTS.search(question) and not _EXPLAINS.search(question)
    return "the question points at an image, and none was given" if points else ""


def misfit(question: str, shows: str) -> str:
    """Why the picture cannot answer; empty where it may. ``shows``: what it surely is, one of `medrag.types.DOMAINS`, or empty.

    >>> misfit("Is there a retinal haemorrhage?", "chest-xray")
    'the question is about the retina, which a chest film does not show'
    """
    question = _BESIDE.sub("", closed_part(question)[1] or question)
    if shows not in DOMAINS or not looks(question):
        return ""
    if shows == "other":
        return "the picture is like no medical picture that the router knows"
    named = _MODALITY.search(question)
    other = (named.lastgroup or "").replace("chest", "chest-xray") if named else ""
    if other and other != shows:
        return f"the question is about {NAMES[other]}, and the picture is {NAMES[shows]}"
    asked = {name: domains for name, (words, domains) in SHOWN_IN.items() if words.search(question)}
    if asked and not any(shows in domains for domains in asked.values()):
        return f"the question is about {' and '.join(sorted(asked))}, which {NAMES[shows]} does not show"
    return ""
