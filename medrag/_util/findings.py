"""What the findings reader's labels are called in questions and reports, and which of them a question asks about.

Labels are NegBio's fourteen and MeSH headings ("mesh:…"). It knows nothing of models or studies.
"""

from __future__ import annotations

import functools

from medrag._util.manner import plainly
from medrag._util.spelling import in_full, mended
from medrag._util.text import words

CHEXPERT_TYPE = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)  # in the order of NegBio's label table

# label → how it is asked about; the first wording is the plain one
ASKED = {
    "Atelectasis": ("atelectasis", "atelectasis in the lungs"),
    "Cardiomegaly": ("cardiomegaly", "an enlarged heart", "enlargement of the cardiac silhouette"),
    "Effusion": ("a pleural effusion", "pleural effusion", "fluid in the pleural space"),
    "Infiltration": ("a pulmonary infiltrate", "infiltration"),
    "Mass": ("a mass in the lungs", "a lung mass"),
    "Nodule": ("a pulmonary nodule", "a nodule in the lungs"),
    "Pneumonia": ("pneumonia", "evidence of pneumonia"),
    "Pneumothorax": ("a pneumothorax", "pneumothorax"),
    "Consolidation": ("consolidation", "focal consolidation"),
    "Edema": ("pulmonary edema", "edema of the lungs"),
    "Emphysema": ("emphysema", "emphysematous change"),
    "Fibrosis": ("pulmonary fibrosis", "fibrosis of the lungs"),
    "Pleural_Thickening": ("pleural thickening", "thickening of the pleura"),
    "mesh:Opacity": ("a lung opacity", "an opacity in the lungs"),
    "mesh:Airspace Disease": ("airspace disease",),
    "mesh:Calcified Granuloma": ("a calcified granuloma", "calcified granulomas"),
    "mesh:Granulomatous Disease": ("granulomatous disease",),
    "mesh:Scoliosis": ("scoliosis", "scoliosis of the spine"),
    "mesh:Fractures, Bone": ("a fracture", "a rib fracture or another bone fracture"),
    "mesh:Catheters, Indwelling": ("an indwelling catheter", "a central venous catheter"),
    "mesh:Implanted Medical Device": ("an implanted medical device", "a pacemaker or another implanted device"),
    "mesh:Hernia, Hiatal": ("a hiatal hernia",),
    "mesh:Pulmonary Congestion": ("pulmonary vascular congestion",),
    "mesh:Atherosclerosis": ("atherosclerosis of the aorta", "aortic calcification"),
}
# what reports say or deny in so many words → how it is asked about
SAID = {
    "pneumothorax": "a pneumothorax", "pleural effusion": "a pleural effusion", "effusion": "an effusion",
    "focal consolidation": "focal consolidation", "airspace disease": "airspace disease",
    "pulmonary edema": "pulmonary edema", "cardiomegaly": "cardiomegaly", "atelectasis": "atelectasis",
    "infiltrate": "an infiltrate", "nodule": "a nodule", "mass": "a mass", "granuloma": "a granuloma",
    "fracture": "a fracture", "scoliosis": "scoliosis", "hernia": "a hernia", "opacity": "an opacity",
    "pneumonia": "pneumonia", "emphysema": "emphysema", "scarring": "scarring", "hyperinflated": "hyperinflation",
}  # fmt: skip
LABELS = {  # phrases of reports that no wording above holds
    "effusion": "Effusion", "focal consolidation": "Consolidation", "infiltrate": "Infiltration", "nodule": "Nodule", "mass": "Mass",
    "granuloma": "mesh:Calcified Granuloma", "fracture": "mesh:Fractures, Bone", "hernia": "mesh:Hernia, Hiatal", "opacity": "mesh:Opacity",
    "heart enlarged": "Cardiomegaly", "heart size enlarged": "Cardiomegaly", "cardiac enlargement": "Cardiomegaly",
    "scarring": "mesh:Cicatrix", "hyperinflation": "mesh:Lung, Hyperlucent",
    "effusions": "Effusion", "pleural effusions": "Effusion", "fluid in pleural spaces": "Effusion", "pleural space free of fluid": "Effusion", "pleural spaces free of fluid": "Effusion",
    "edema": "Edema", "nodules": "Nodule", "masses": "Mass", "infiltrates": "Infiltration", "fractures": "mesh:Fractures, Bone", "granulomas": "mesh:Calcified Granuloma", "opacities": "mesh:Opacity",
    "rib fracture": "mesh:Fractures, Bone", "rib fractures": "mesh:Fractures, Bone", "consolidations": "Consolidation",
    "pericardial effusion": "", "pericardial effusions": "", "effusion in pericardium": "", "pleural or pericardial effusion": "Effusion", "pericardial or pleural effusion": "Effusion",
    "pacemaker": "mesh:Implanted Medical Device", "icd": "mesh:Implanted Medical Device", "defibrillator": "mesh:Implanted Medical Device", "pacer": "mesh:Implanted Medical Device",
    "implanted device": "mesh:Implanted Medical Device", "implanted devices": "mesh:Implanted Medical Device", "medical device": "mesh:Implanted Medical Device", "cardiac device": "mesh:Implanted Medical Device",
    "central line": "mesh:Catheters, Indwelling", "central venous line": "mesh:Catheters, Indwelling", "central lines": "mesh:Catheters, Indwelling", "central venous catheter": "mesh:Catheters, Indwelling",
    "picc": "mesh:Catheters, Indwelling", "picc line": "mesh:Catheters, Indwelling", "indwelling catheters": "mesh:Catheters, Indwelling",
}  # fmt: skip


@functools.cache
def _phrases() -> list[tuple[tuple[str, ...], str]]:
    """Each wording as words, the longest first, with its label."""
    pairs = [(wording, label) for label, wordings in ASKED.items() for wording in wordings]
    cut = [
        (tuple(word for word in words(wording) if word not in ("a", "an", "the")), label)
        for wording, label in (*pairs, *LABELS.items())
    ]
    return sorted(cut, key=lambda pair: -len(pair[0]))


def label_of(question: str) -> str:
    """The label that a question asks about; empty where it names none, or two different ones that do not overlap.

    >>> label_of("Is there fluid in the pleural space?"), label_of("Is the film rotated?")
    ('Effusion', '')
    """
    said = (word.removesuffix("'s") for word in words(mended(in_full(question))))
    asked = [word for word in said if word not in ("a", "an", "the")]
    found: list[str] = []
    for phrase, label in _phrases():
        for start in range(len(asked) - len(phrase) + 1):
            if tuple(asked[start : start + len(phrase)]) == phrase:
                found.append(label)
                asked[start : start + len(phrase)] = [""] * len(
                    phrase
                )  # what is inside a longer wording is not asked again
    known = set(filter(None, found))
    return known.pop() if len(known) == 1 else ""


# what a question may say beside the finding and still ask no more than whether it is there
FRAME = frozenset(
    "is are was there does do did can you we be any evidence sign signs of the a an this that his her he she your chest x-ray xray radiograph film image study "
    "picture scan show shows shown demonstrate demonstrates demonstrated reveal reveals revealed have has present see seen visible visualized identified noted "
    "detected observed evident apparent appear appears appearing look looks like suggest suggests suggestive indicate indicates indicative contain contains "
    "exhibit exhibits display displays it got finding findings patient patient's here in on at lung lungs free for negative no".split()
)
# with these a question about a state is left to its words
_DENYING = frozenset("no not free negative without never absent or".split())
_UNREAD = frozenset({"pericardial"})  # of two effusions the reader knows one
_HEART = frozenset("heart cardiac silhouette shadow size sized width".split())
_LARGE = frozenset(
    "enlarged enlargement dilated increased big large larger too abnormal abnormally abnormality wide widened outside than greater".split()
)
_WELL = frozenset("normal unremarkable within limits".split())
_ILL = frozenset(
    "abnormal abnormality abnormalities disease pathology process wrong acute active cardiopulmonary significant anything".split()
)


def reading_asked(question: str) -> tuple[str, bool]:
    """The reader's label whose presence, and nothing else of it, a question asks about, and whether "yes" speaks against it; ("", False) for side, change and the rest.

    "normal" is the whole film's. Whether a finding of `ASKED` is denied by the question is for its reader to tell.

    >>> reading_asked("Does the chest X-ray show a nodule?"), reading_asked("Is the heart size normal?"), reading_asked("Is the nodule on the left?")
    (('Nodule', False), ('Cardiomegaly', True), ('', False))
    """
    question = mended(in_full(plainly(question)))
    said = set(words(question))
    if label := label_of(question):
        own = {word for phrase, named in _phrases() if named == label for word in phrase} - _UNREAD
        if said <= FRAME | own:
            return label, False
    left = said - FRAME
    if said & _DENYING or not left:
        return "", False
    if {"heart", "cardiac"} & left and (state := left - _HEART) and state <= _LARGE | _WELL:
        return "Cardiomegaly", not state & _LARGE
    sought = said & {"any", "there", "anything"} and left <= _ILL  # "Any acute findings?"
    whole = sought or left <= _WELL | {"abnormal", "abnormality", "abnormalities"}
    return ("normal", not left & _WELL) if whole and not said & {"lung", "lungs"} else ("", False)


def presence_asked(question: str) -> str:
    """The finding of `ASKED` whose presence, and nothing else of it, a question asks about; empty for side, size, change and the rest.

    >>> presence_asked("Does the chest X-ray show a nodule?"), presence_asked("Is the heart dilated?"), presence_asked("Is the nodule on the left?")
    ('Nodule', 'Cardiomegaly', '')
    """
    label, against = reading_asked(question)
    return label if label in ASKED and not against else ""
