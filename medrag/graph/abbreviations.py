"""Abbreviations of reports and what they are short for, and those that a text explains itself.

The table holds what radiologists write; the first expansion is the usual one in an imaging report, and the context decides between
several. One of two words means nothing else: its single words are not looked up ("CP angle" is no chest pain). Written from general knowledge of reporting style; it names no concept: the expansions are linked as any words are.
"""

from __future__ import annotations

import re

from medrag._util.text import STOPWORDS

TABLE: dict[str, tuple[str, ...]] = {
    "AAA": ("abdominal aortic aneurysm",), "ACS": ("acute coronary syndrome", "acute chest syndrome"), "AF": ("atrial fibrillation",),
    "AFIB": ("atrial fibrillation",), "AKI": ("acute kidney injury",), "ALL": ("acute lymphoblastic leukemia",), "ALS": ("amyotrophic lateral sclerosis",),
    "AMD": ("age-related macular degeneration",), "AML": ("acute myeloid leukemia", "angiomyolipoma"), "ARDS": ("acute respiratory distress syndrome",),
    "ASD": ("atrial septal defect", "autism spectrum disorder"), "AVM": ("arteriovenous malformation",), "BCC": ("basal cell carcinoma",),
    "BPH": ("benign prostatic hyperplasia",), "CABG": ("coronary artery bypass",), "CAD": ("coronary artery disease",),
    "CHD": ("congenital heart disease", "coronary heart disease"), "CHF": ("congestive heart failure",), "CKD": ("chronic kidney disease",),
    "CLL": ("chronic lymphocytic leukemia",), "CML": ("chronic myeloid leukemia",), "COPD": ("chronic obstructive pulmonary disease",),
    "CP": ("chest pain", "cerebral palsy"), "CP angle": ("costophrenic angle",), "CP angles": ("costophrenic angle",), "CRF": ("chronic kidney failure",), "CVA": ("stroke",), "DCIS": ("ductal carcinoma in situ",),
    "DJD": ("osteoarthritis",), "DM": ("diabetes mellitus",), "DM1": ("type 1 diabetes mellitus", "myotonic dystrophy type 1"),
    "DM2": ("type 2 diabetes mellitus", "myotonic dystrophy type 2"), "DME": ("diabetic macular edema",), "DR": ("diabetic retinopathy",),
    "DVT": ("deep vein thrombosis",), "EDH": ("epidural hematoma",), "ESRD": ("end stage renal disease",), "GBM": ("glioblastoma",),
    "GERD": ("gastroesophageal reflux disease",), "GGO": ("ground glass opacity",), "GIST": ("gastrointestinal stromal tumor",), "HCC": ("hepatocellular carcinoma",),
    "HF": ("heart failure",), "HTN": ("hypertension",), "IBD": ("inflammatory bowel disease",), "ICH": ("intracranial hemorrhage",),
    "ILD": ("interstitial lung disease",), "IPF": ("idiopathic pulmonary fibrosis",), "LAD": ("lymphadenopathy",), "LBBB": ("left bundle branch block",),
    "LLL": ("left lower lobe",), "LUL": ("left upper lobe",), "LVH": ("left ventricular hypertrophy",), "MI": ("myocardial infarction",),
    "MR": ("mitral regurgitation",), "MS": ("multiple sclerosis", "mitral stenosis"), "MVP": ("mitral valve prolapse",), "NASH": ("nonalcoholic steatohepatitis",),
    "NPDR": ("nonproliferative diabetic retinopathy",), "NPH": ("normal pressure hydrocephalus",), "NSCLC": ("non-small cell lung carcinoma",), "OA": ("osteoarthritis",),
    "OSA": ("obstructive sleep apnea",), "PAH": ("pulmonary arterial hypertension",), "PCP": ("pneumocystis pneumonia",), "PDA": ("patent ductus arteriosus",),
    "PDR": ("proliferative diabetic retinopathy",), "PE": ("pulmonary embolism", "pleural effusion"), "PNA": ("pneumonia",), "PTX": ("pneumothorax",),
    "PVD": ("peripheral vascular disease", "posterior vitreous detachment"), "RA": ("rheumatoid arthritis", "right atrium"), "RBBB": ("right bundle branch block",),
    "RCC": ("renal cell carcinoma",), "RLL": ("right lower lobe",), "RML": ("right middle lobe",), "RUL": ("right upper lobe",),
    "SAH": ("subarachnoid hemorrhage",), "SBO": ("small bowel obstruction",), "SCC": ("squamous cell carcinoma",), "SCLC": ("small cell lung carcinoma",),
    "SDH": ("subdural hematoma",), "SLE": ("systemic lupus erythematosus",), "SOB": ("dyspnea",), "SVC": ("superior vena cava",),
    "T1DM": ("type 1 diabetes mellitus",), "T2DM": ("type 2 diabetes mellitus",), "TB": ("tuberculosis",), "TBI": ("traumatic brain injury",), "TIA": ("transient ischemic attack",), "UC": ("ulcerative colitis",),
    "URI": ("upper respiratory tract infection",), "UTI": ("urinary tract infection",), "VSD": ("ventricular septal defect",), "VTE": ("venous thromboembolism",),
}  # fmt: skip
# in a graph that has none of the above: another name, or the next broader thing
OTHERWISE: dict[str, tuple[str, ...]] = {
    "CAD": ("coronary heart disease",), "CHF": ("heart failure",), "DME": ("macular edema",), "DVT": ("venous thrombosis",), "IPF": ("pulmonary fibrosis",),
    "NSCLC": ("non-small cell lung cancer",), "OSA": ("sleep apnea",), "PAH": ("pulmonary hypertension",), "PVD": ("peripheral arterial disease",),
    "SCLC": ("small cell lung cancer",), "VTE": ("thromboembolism",),
}  # fmt: skip
_SHORT = re.compile(r"(?<= )\(([A-Z]{2,6})s?\)")
_BEFORE = re.compile(r"(?:[\w'-]+ ){1,8}$")
_LONGEST = 300  # characters of the words before


def explained(text: str) -> dict[str, tuple[str, ...]]:
    """Abbreviations that a text writes behind what they stand for: the words' initials are its letters (after Schwartz & Hearst 2003).

    >>> explained("He has congestive heart failure (CHF) and a cough.")
    {'CHF': ('congestive heart failure',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for short in _SHORT.finditer(text):
        before = _BEFORE.search(text[max(0, short.start() - _LONGEST) : short.start()])
        if before and (long := _with_initials(before[0].split(), short[1].lower())):
            found[short[1]] = (long,)
    return found


def _with_initials(words: list[str], letters: str) -> str:
    """The shortest end of the words whose initials, small words left out at will, are the letters."""
    for start in range(len(words) - 1, -1, -1):
        parts = [part for word in words[start:] for part in word.lower().split("-") if part]
        full = "".join(part[0] for part in parts)
        plain = "".join(part[0] for part in parts if part not in STOPWORDS)
        if letters in (full, plain) and words[start].lower() not in STOPWORDS:
            return " ".join(words[start:])
    return ""
