"""Questions about a term itself: its other names, what an abbreviation stands for, its codes in vocabularies."""

from __future__ import annotations

import re

from medrag._util.remember import remembered

# as a graph writes a vocabulary: as people do, and how it is asked for
VOCABULARIES = {
    "UMLS": ("UMLS", r"umls|cuis?"),
    "HP": ("HPO", r"hpo|hp(?= (?:codes?|ids?|terms?|identifiers?|numbers?)\b)|human phenotype ontology"),
    "MONDO": ("MONDO", r"mondo"),
    "DOID": ("DOID", r"doid|do(?= id\b)|disease ontology"),
    "MESH": ("MeSH", r"mesh(?! (?:repair|implant|plug|graft))"),
    "SNOMEDCT_US": ("SNOMED CT", r"snomed(?:[ -]?ct)?"),
    "ICD10CM": ("ICD-10-CM", r"icd(?:[ -]?10(?:[ -]?cm)?)?"),
    "ICD10": ("ICD-10", r"icd(?:[ -]?10)?"),
    "ICD10WHO": ("ICD-10 (WHO)", r"icd(?:[ -]?10(?:[ -]?who)?)?"),
    "ICD11": ("ICD-11", r"icd(?:[ -]?11)?"),
    "icd11.foundation": ("ICD-11 Foundation", r"icd(?:[ -]?11)?"),
    "ICD9CM": ("ICD-9-CM", r"icd(?:[ -]?9(?:[ -]?cm)?)?"),
    "ICD9": ("ICD-9", r"icd(?:[ -]?9)?"),
    "ICDO": ("ICD-O", r"icd-?o(?:-?3)?"),
    "OMIM": ("OMIM", r"omim|mim"),
    "Orphanet": ("Orphanet", r"orpha(?:net)?"),
    "NCIT": ("NCI Thesaurus", r"ncit?|nci thesaurus"),
    "MedDRA": ("MedDRA", r"meddra"),
    "RADLEX": ("RadLex", r"radlex|rid"),
    "UBERON": ("UBERON", r"uberon"),
}
_CALLED = {code: re.compile(rf"\b(?:{asked})\b(?![-\d])", re.IGNORECASE) for code, (_, asked) in VOCABULARIES.items()}
CODES = re.compile(
    r"\b(?:cuis?|(?:umls|icd(?:[- ]?(?:9|10|11|o))?(?:[- ]?(?:cm|who))?|mesh|snomed(?:[ -]?ct)?|hpo?|omim|mim|doid|mondo|radlex|orpha(?:net)?|ncit?|meddra|uberon|ontology|concept|vocabulary)"
    r" (?:codes?|ids?|terms?|identifiers?|numbers?|entr(?:y|ies)|headings?|concepts?))\b"
    r"|^\W*(?:what|which) (?:codes?|identifiers?) (?:is|are|does|do|has|have|stands?)\b|^\W*(?:(?:what|which) (?:is|are) )?the codes? (?:of|for)\b|\bcodes? (?:for|of) .{1,80}\b(?:in|from) (?:the )?(?:umls|icd|mesh|snomed|hpo|omim|doid|mondo|radlex|orphanet|ncit|meddra)\b"
    r"|\b(?:in|from) (?:umls|mesh|snomed(?:[ -]?ct)?|icd-?\d\d?|hpo|omim|mondo|doid|radlex|meddra)\W*$",
    re.IGNORECASE,
)
NAMES = re.compile(
    r"\b(?:other|another|alternative|alternate|different|medical|lay|scientific|technical) (?:names?|terms?|words?)\b|\bsynonyms?\b|\b(?:is|are) .{1,80}\balso (?:called|known as)\b"
    r"|\b(?:what|which) else (?:is|are) .{1,80}\bcalled\b|\bstands? for\b|^\W*what (?:is|are) \S+ short for\b",
    re.IGNORECASE,
)
CODE = re.compile(  # within a text, as its vocabulary writes it
    rf"\b(?:(?P<cui>C\d{{7}})|(?P<curie>(?:{'|'.join(map(re.escape, VOCABULARIES))}|ORPHA):\w[\w.]*\w)|ICD-?10(?:-?CM)?:? (?:code )?(?P<icd>[A-Z]\d\d(?:\.\d+)?))(?!\w)"
)
TOLD = re.compile(
    r"(?:Other names|Another name|The codes?) of |\S+ can stand for "
)  # how the sentences about a term begin


@remembered(1024)
def codes_asked(question: str) -> tuple[str, ...]:
    """The vocabularies, as a graph writes them, whose codes a question asks for; all where it names none, none where it asks for no code.

    >>> codes_asked("Which CUI does asthma have?"), codes_asked("What is the MeSH code of gout?"), codes_asked("What does the gene code for?")
    (('UMLS',), ('MESH',), ())
    """
    if not CODES.search(question):
        return ()
    bare = CODE.sub("", question)
    return tuple(code for code, called in _CALLED.items() if called.search(bare)) or tuple(VOCABULARIES)


def codes_in(text: str) -> list[tuple[str, str]]:
    """The codes that stand in a text, each as it is written there and as a graph writes it.

    >>> codes_in("Is C0032326 HP:0002107, or ICD-10 J93?")
    [('C0032326', 'UMLS:C0032326'), ('HP:0002107', 'HP:0002107'), ('ICD-10 J93', 'ICD10CM:J93')]
    """
    found = CODE.finditer(text)
    return [(m[0], m["curie"] or (f"UMLS:{m['cui']}" if m["cui"] else f"ICD10CM:{m['icd']}")) for m in found]


def names_asked(question: str) -> bool:
    """Whether a question asks what else a thing is called, or what an abbreviation stands for.

    >>> names_asked("What does PTX stand for?"), names_asked("What else causes a cough?")
    (True, False)
    """
    return bool(NAMES.search(question))
