"""Questions about what kind of picture it is. File and router know that better than a small model, which guesses it from the question.

What is asked beyond the kind, as an MR sequence, contrast or the plane, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from medrag._util.manner import plainly

# what a picture of each domain is called, and the names under which it is asked about
KINDS: Mapping[str, tuple[str, str]] = {
    "chest-xray": ("X-ray", r"(?:plain )?x-?ray(?: film)?|x ray|(?:plain )?radiograph|plain film|cxr"),
    "ct": ("CT", r"cat|ct|computed tomograph(?:y|ic)|computed tomogram"),
    "mr": ("MRI", r"mri?|magnetic resonance(?: imaging)?"),
    "ultrasound": ("Ultrasound", r"ultrasound|sonogra(?:m|phy)|sonographic"),
    "fundus": ("Fundus photograph", r"fundus|fundoscop(?:y|ic)|retinal"),
    "dermoscopy": ("Dermoscopic picture", r"dermoscop(?:y|ic)|dermatoscopic"),
    "histology": ("Histology: tissue under the microscope", r"histolog(?:y|ic|ical)|biopsy|h&e"),
    "blood-smear": ("Blood smear under the microscope", r"blood smear|(?:blood )?smear"),
}
_WORDS = r"(?:image|picture|scan|film|study|photograph|photo|slide|examination|exam|radiograph)"
_OPEN = re.compile(
    rf"^\W*(?:(?:what|which) (?:(?:is|was) )?(?:the )?(?:(?:type|kind|form) of )?(?:imag(?:e|ing) )?(?:modality|method|technique)"
    rf"|(?:what|which) (?:type|kind) of (?:medical )?(?:imaging|{_WORDS})|how was (?:this|the) {_WORDS} (?:taken|acquired|made|obtained))\b",
    re.IGNORECASE,
)
_FURTHER = re.compile(r"\b(?:mri?|sequence|weight\w*|contrast|plane|view|not|phase|stain\w*|best|better|other|next|should|would)\b", re.IGNORECASE)  # fmt: skip
_CLOSED = {
    domain: re.compile(
        rf"^\W*(?:is|was) (?:this|the|that|it)(?: {_WORDS})?(?: (?:taken|acquired|made|obtained|done))?(?: (?:by|with|via|using|from|through|on))?"
        rf"(?: an?| the)?(?: (?P<part>chest|head|brain|abdominal|hand|pelvic|spine|knee))? (?:{names})(?: {_WORDS})?(?: of (?:the |a )?(?P<of>\w+))?\W*$",
        re.IGNORECASE,
    )
    for domain, (_, names) in KINDS.items()
}


_ELSEWHERE = {  # answers that name what a picture of the domain cannot be
    "chest-xray": r"axial|coronal|sagittal|mri?|ct|cat|t[12]|flair|dwi|ultrasound",
    "ct": r"mri?|t[12]|flair|dwi|x-?ray|radiograph|ultrasound",
    "mr": r"ct|cat|x-?ray|radiograph|ultrasound",
}


def misplaced(answer: str, domain: str) -> bool:
    """Whether an answer is nothing but the name of a kind of picture, or of a plane, that pictures of the domain are not.

    >>> misplaced("Axial.", "chest-xray"), misplaced("MRI.", "chest-xray"), misplaced("X-ray.", "chest-xray"), misplaced("A CT shows it better.", "chest-xray")
    (True, True, False, False)
    """
    named = _ELSEWHERE.get(domain, "")
    words = r"(?: (?:weighted|scan|image|plane|view|section|film|with contrast|without contrast))*"
    return bool(named) and bool(
        re.fullmatch(rf"\W*(?:an? )?(?:{named})(?:[- ]weighted)?{words}\W*", answer, re.IGNORECASE)
    )


def kind_told(question: str, domain: str) -> str:
    """What kind of picture it is, as a sentence, for an open question about that; empty for others and for a domain of no name.

    >>> kind_told("What is the imaging modality?", "chest-xray"), kind_told("What MRI sequence is this?", "mr")
    ('X-ray.', '')
    """
    question = plainly(question)
    if domain not in KINDS or not _OPEN.search(question) or _FURTHER.search(question):
        return ""
    return f"{KINDS[domain][0]}."


def kind_is(question: str, domain: str) -> bool | None:
    """Whether a picture of the domain is what a closed question names; None for other questions, for a domain of no name, and where a part of the
    body is named that the domain does not tell.

    >>> kind_is("Is this a CT scan?", "chest-xray"), kind_is("Is this a chest X-ray?", "chest-xray"), kind_is("Is this a PA film?", "chest-xray")
    (False, True, None)
    """
    if domain not in KINDS:
        return None
    question = plainly(question)
    named, found = next(((name, m) for name, asked in _CLOSED.items() if (m := asked.match(question))), ("", None))
    if found is None or domain != named:
        return None if found is None else False
    part = (found["part"] or found["of"] or "").lower()
    if not part or domain == "chest-xray":
        return part in ("", "chest", "thorax", "lung", "lungs")
    return None
