"""Where shared words are not enough: a number that is not told, a word turned into its opposite, a name that is missing, an effect for its cause.

Tables and patterns in English, over one sentence of a claim and one of a text; numbers are `medrag.score.numbers`'. They know no meaning: an opposite
that stands in no table is caught only by the word that the text lacks, and a true paraphrase with a word of its own counts as not told.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from medrag._util.polarity import clauses
from medrag._util.remember import remembered
from medrag.score.grounding import stances
from medrag.score.numbers import LOOSE, NUMBER, uncounted
from medrag.vlms import _words as forms

_NAMED = re.compile(r"[A-Z]+-?\d{1,3}(?!\d)")  # a vertebra, a stage, a gene: T12, pT2N1, CYP3A4
_KIND = r"(?:[IVX]+[A-Da-d]?|[A-H]\d{0,2}|\d{1,2}[A-Da-d]?)\b"
_GRADED = re.compile(  # what is told apart by a letter or a number: stage I, types A and B, hepatitis A
    rf"\b(?i:stage|type|grade|class|factor|group|phase|category|zone|hepatitis|vitamin|ha?emophilia|influenza)s?\s+({_KIND}(?:\s*(?:,|/|-|–|and|or|to)\s*{_KIND})*)"
)


def names(text: str) -> set[str]:
    """Names that letters and numbers make, and the letters or numbers of kinds.

    >>> sorted(names("Stages I and IIB, T2N1, HER-2")), names("It is a man.")
    (['HER2', 'I', 'IIB', 'N1', 'T2'], set())
    """
    graded = (kind for match in _GRADED.finditer(text) for kind in re.findall(_KIND, match[1]))
    return {name.replace("-", "") for name in (*_NAMED.findall(text), *graded)}


_BE = r"(?:is|are|was|were|be|being|been)"
_OFTEN = r"(?:\w+ly )?"
# all that advises against a thing is compared as one word
_AGAINST = re.compile(
    rf"\b(?:(?:(?:should|must|may|can) )?{_OFTEN}(?:{_BE} )?{_OFTEN}(?<!to )(?:avoid(?:ed|s|ing)?|contra-?indicated|unsafe|inadvisable|discouraged)"
    rf"|(?:should|must|may|can|could)(?: not|not|n't| never) {_OFTEN}(?:be )?{_OFTEN}(?:given|used?|take[n]?|administered|prescribed|started|offered|receive)"
    rf"|{_BE} (?:not|never|no longer) {_OFTEN}(?:recommended|indicated|advised|advisable|safe|appropriate|given|used)"
    r"|(?:not|never|no longer) (?:recommended|indicated|advised|advisable))\b",
    re.IGNORECASE,
)
_FOR = re.compile(
    r"\b(?:recommend(?:s|ed|ation)?|indicated|advis(?:ed?|able)|preferred|safe|appropriate|first-line|(?:drug|treatment|therapy) of choice"
    rf"|(?:should|must|may|can) {_OFTEN}(?:be )?{_OFTEN}(?:given|used?|take[n]?|administered|prescribed|started|offered|receive))\b",
    re.IGNORECASE,
)
_Row = tuple[re.Pattern[str], re.Pattern[str]]


def _row(one: str, other: str) -> _Row:
    return re.compile(rf"\b(?:{one})\b", re.IGNORECASE), re.compile(rf"\b(?:{other})\b", re.IGNORECASE)


_LOWER = (
    r"lower(?! (?:lobes?|lungs?|zones?|limbs?|legs?|extremit\w+|abdom\w+|back|esoph\w+|respiratory|gastro\w+|urinary))"
)
_TURNED = tuple(  # what is said of a thing, each row against its opposite
    _row(*row)
    for row in (
        (r"increas(?:e[sd]?|ing)|rais(?:e[sd]?|ing)|ris(?:es?|ing|en)|rose|elevat(?:e[sd]?|ing|ion)|larger|bigger|enlarging|grows?|grew|grown|growing",
         rf"decreas(?:e[sd]?|ing)|reduc(?:e[sd]?|ing|tion)|lower(?:s|ed|ing)|{_LOWER}|fall(?:s|ing|en)?|fell|drop(?:s|ped)?|declin(?:e[sd]?|ing)|diminish\w*|smaller|shrinks?|shrank|shrunk\w*"),
        (r"high(?:er|est)?|raised|elevated|increased", rf"low(?:est)?|{_LOWER}|reduced|decreased"),
        (r"always|usually|common(?:ly)?|frequent(?:ly)?|often", r"never|rare(?:ly)?|uncommon(?:ly)?|infrequent(?:ly)?|seldom"),
        (r"more|greater|most", r"less|fewer|least"),
        (r"better|improv(?:e[sd]?|ing|ement)|beneficial|protects?|protective", r"worse\w*|harmful|aggravat\w+|deteriorat\w+"),
        (r"activat(?:e[sd]?|ing|ion)|stimulat(?:e[sd]?|ing|ion)", r"inhibit(?:s|ed|ing|ion)?|block(?:s|ed|ing|ade)?|suppress(?:es|ed|ing|ion)?"),
        (r"effective", r"ineffective"), (r"curable", r"incurable"), (r"reversible", r"irreversible"), (r"safe", r"unsafe|dangerous"),
        (r"before", r"after"), (r"symptomatic", r"asymptomatic"), (r"typical(?:ly)?", r"atypical(?:ly)?"), (r"good", r"poor|bad"),
    )
)  # fmt: skip
_OTHERS = tuple(  # what makes it another thing, of which the other may be true as well
    _row(*row)
    for row in (
        (r"acute", r"chronic"), (r"benign", r"malignant"), (r"viral", r"bacterial"), (r"m[ae]n|males?", r"wom[ae]n|females?"),
        (r"adults?", r"child(?:ren)?|infants?|newborns?"), (r"anterior", r"posterior"), (r"superior", r"inferior"), (r"medial", r"lateral"), (r"proximal", r"distal"),
        (r"central", r"peripheral"), (r"superficial", r"deep"), (r"single|solitary", r"multiple"), (r"open", r"closed"), (r"solid", r"cystic"), (r"lytic", r"sclerotic|blastic"), (r"positive", r"negative"),
        (r"always|usually|common(?:ly)?|frequent(?:ly)?|often|typical(?:ly)?|mostly|most|mainly|generally", r"sometimes|occasional(?:ly)?|some|few"),
    )
)  # fmt: skip


def plain(sentence: str) -> str:
    """The sentence with whatever advises against a thing in one word.

    >>> plain("It should not be given in gout."), plain("It is given to avoid gout.")
    ('It contraindicated in gout.', 'It is given to avoid gout.')
    """
    return spelled(_AGAINST.sub(" contraindicated", sentence).replace("  ", " ").strip())


_SPELLED = tuple(  # British endings and letters, and what they are compared as
    (re.compile(british, re.IGNORECASE), american)
    for british, american in (
        (r"ae|oe(?!s?\b|sn)", "e"), (r"(?<=[a-z]{2})our(?=(?:s|ed|ing|al|less|able)?\b)", "or"), (r"(?<=[bt])re(?=s?\b)", "er"),
        (r"(?<=[a-z]{3})is(?=(?:e[sd]?|ing|ations?)\b)", "iz"), (r"(?<=[a-z]y)s(?=(?:e[sd]?|ing)\b)", "z"), (r"sulph", "sulf"),
    )
)  # fmt: skip


@remembered(20_000)
def spelled(text: str) -> str:
    """As America spells, or nearly so: the same for both spellings.

    >>> spelled("Paralysed oesophagus, localised tumour, fibre"), spelled("diseased, four hours")
    ('Paralyzed esophagus, localized tumor, fiber', 'diseased, four hours')
    """
    for rule, american in _SPELLED:
        text = rule.sub(american, text)
    return text


def opposed(claim: str, told: str) -> bool:
    """Whether one sentence advises what the other advises against, or has but the opposite of a word of the other."""
    return _advice(claim, told) or bool(_opposites(claim, told, _TURNED + _OTHERS)) or bool(prefixed(claim, told))


_NON = re.compile(r"\b(?:non-?|un|in|im|ir|a|dis)(?=[a-z]{4})", re.IGNORECASE)


def prefixed(claim: str, told: str) -> set[str]:
    """The words of a claim that the text has but with a prefix that denies them, or without it.

    >>> prefixed("A displaced fracture.", "A nondisplaced fracture."), prefixed("non-Hodgkin lymphoma", "Hodgkin lymphoma"), prefixed("Stable.", "Stable.")
    ({'displaced'}, {'non-hodgkin'}, set())
    """
    mine, theirs = (set(re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", text.lower())) for text in (claim, told))
    bare = {word: _NON.sub("", word, count=1) for word in mine ^ theirs}
    ours = {word for word in mine - theirs if bare[word] != word and bare[word] in theirs - mine}
    return ours | ({bare[word] for word in theirs - mine if bare[word] != word} & (mine - theirs))


def _opposites(claim: str, told: str, rows: tuple[_Row, ...] = ()) -> set[str]:
    """The words of a claim that the text has but the opposite of."""
    found: set[str] = set()
    for sides in rows or _TURNED:
        mine, theirs = ([side.findall(text) for side in sides] for text in (claim, told))
        for one, other in ((0, 1), (1, 0)):
            if mine[one] and theirs[other] and not mine[other] and not theirs[one]:
                found |= {word.lower() for word in mine[one]}
    return found


def _advice(claim: str, told: str) -> bool:
    """Whether one of them advises against what the other does not."""
    against = bool(_AGAINST.search(claim))
    if _advised_against(claim, told):
        return not against
    return against and bool(_FOR.search(_AGAINST.sub(" ", told)))


def _advised_against(claim: str, told: str) -> bool:
    """Whether the text advises against what the claim speaks of: what follows in the same clause, where nothing does what stands before it, else all."""
    own = _stems(_AGAINST.sub(" ", claim)) - _LIGHT
    return any(own & (_stems(after) - _LIGHT or _stems(before) - _LIGHT or own) for before, after in _around(told))


def _advised_elsewhere(claim: str, told: str) -> bool:
    """Whether both advise against a thing, but not against the same."""
    return all(_AGAINST.search(text) for text in (claim, told)) and not _advised_against(claim, told)


def _around(told: str) -> Iterator[tuple[str, str]]:
    """What stands before and behind each advice against a thing, in its clause."""
    for start, end in clauses(told):
        for match in _AGAINST.finditer(told, start, end):
            yield told[start : match.start()], told[match.end() : end]


# words that may be missing: they say how it is told, not what
_LIGHT = frozenset(
    stem
    for word in (
        "use uses used using useful give gives given take takes taken make makes made include includes including such called known named term refer refers "
        "describe described define defined definition consider considered regarded occur occurs happen happens involve involves involving associated relate related show shows showing "
        "find finds finding findings see appear appears have having get gets become becomes help helps need needs remain remains contain contains consist consists mean means "
        "patient patients people person persons individual individuals case cases human humans body thing things type types kind kinds form forms class part parts way ways role "
        "typical typically generally general mainly main primarily mostly major important commonly usually often frequently "
        "report reports reported study studies image images picture pictures evidence sign signs indicate indicates suggest suggests demonstrate demonstrates note noted identify identified "
        "drug drugs medication medications medicine medicines disease diseases disorder disorders condition conditions illness several many various different certain other another some "
        "very quite relatively approximately about around roughly nearly almost according based during within through throughout between among across along toward upon via per "
        "both either whether while whereas although since because thus hence then if there here own well able allow allows must need answer yes no first one two factor factors level levels"
    ).split()
    for stem in forms.stems(word)
)  # fmt: skip
# words of one row say the same
_SAME = {
    stem: n
    for n, row in enumerate((
        "treat treats treated treatment treating manage managed management therapy therapies therapeutic used given administered prescribed choice first-line",
        "kidney kidneys renal", "liver hepatic", "brain cerebral", "stomach gastric", "skin cutaneous dermal", "eye eyes ocular", "vein veins venous", "artery arteries arterial",
        "child children pediatric", "infant infants newborn neonate neonatal", "woman women female females", "man men male males", "elderly old older", "surgery surgical operation operative",
        "recommended advised indicated advisable preferred recommend", "death deaths die dies died mortality fatal", "fever pyrexia", "itching itch pruritus", "cancer cancers malignancy carcinoma",
        "blood hematologic", "doctor physician", "symptom symptoms manifestation manifestations", "rare uncommon infrequent rarely", "common frequent often usually commonly frequently",
        "increase raise rise elevate elevated high increased raised", "decrease reduce lower fall decline low decreased reduced", "cause causes caused leads results due induces produces triggers",
        "prevent prevents prevention protects", "contraindicated avoid avoided",
    ))
    for word in row.split()
    for stem in forms.stems(word)
}  # fmt: skip


def lacking(claim: str, told: str) -> set[str]:
    """The words of a claim that a text has in no form, without numbers, those that say the same, and those that say nothing.

    >>> lacking("Oedema is treated with furosemide.", "Torasemide treats edema."), lacking("Renal failure is common.", "Kidney failure is often seen.")
    ({'furosemide'}, set())
    """
    said = _stems(told)
    rows = {_SAME[stem] for stem in said if stem in _SAME}
    return {
        word for word in heavy(claim) if not any(
            all(stem in said or stem in _LIGHT or _SAME.get(stem, -1) in rows for stem in _forms(part))
            for part in (word, word.replace("-", " "))
        )
    }  # fmt: skip


def heavy(sentence: str) -> set[str]:
    """The content words of a sentence that say something by themselves, without its numbers."""
    bare = NUMBER.sub(lambda found: found[0] if found[0].lower() in LOOSE else " ", sentence)
    return {word for word in stances(bare) if not _LIGHT.issuperset(_forms(word))}


def _forms(text: str) -> list[str]:
    """The stems of a text's words, spelled as in America."""
    return [stem for word in text.split() for stem in forms.stems(spelled(word))]


@remembered(4096)
def _stems(text: str) -> frozenset[str]:
    return frozenset(stem for word in stances(text) for stem in (*_forms(word), *_forms(word.replace("-", " "))))


_ACTS = (  # verbs of which one thing does it to another
    r"increas(?:e[sd]?|ing)", r"rais(?:e[sd]?|ing)", r"reduc(?:e[sd]?|ing)", r"decreas(?:e[sd]?|ing)", r"lower(?:s|ed|ing)", r"inhibit(?:s|ed|ing)?", r"activat(?:e[sd]?|ing)",
    r"stimulat(?:e[sd]?|ing)", r"block(?:s|ed|ing)?", r"suppress(?:es|ed|ing)?", r"revers(?:e[sd]?|ing)", r"prevent(?:s|ed|ing)?", r"treat(?:s|ed|ing)?", r"reliev(?:e[sd]?|ing)",
    r"secret(?:e[sd]?|ing)", r"innervat(?:e[sd]?|ing)", r"metaboli[sz](?:e[sd]?|ing)", r"suppl(?:y|ies|ied|ying)", r"compress(?:es|ed|ing)?", r"invad(?:e[sd]?|ing)",
)  # fmt: skip
_RELATIONS = tuple(  # what has two sides; "back" where the first is named last
    re.compile(rf"\b(?:{rule})\b", re.IGNORECASE)
    for rule in (
        r"(?P<back>(?:caused|induced|triggered|produced) by|due to|result(?:s|ing)? from|secondary to|because of|(?:consequence|complication|symptom|sign) of)"
        r"|caus(?:e[sd]?|ing)|lead(?:s|ing)? to|led to|result(?:s|ed|ing)? in|induces?|triggers?|produces?|risk factors? for|predispos(?:e[sd]?|ing) to",
        r"(?:more|less|better|worse|\w{2,}er)(?: [\w-]+){0,3} (?P<than>than)",
        r"(?P<back>preceded by|follow(?:s|ing))|followed by|precedes?",
        r"(?:prefer(?:red|able)|superior|inferior) (?:over|to)",
        r"progress(?:e[sd]|ing)? (?:in)?to|develops? into|metastasi[sz]es? to|drains? (?:in)?to|becomes?",
        *(rf"(?P<back>{verb} (?:\w+ly )?(?:by|with|in|from|after|during))|{verb}" for verb in _ACTS),
    )
)


def swapped(claim: str, told: str) -> bool:
    """Whether cause and effect, or the two sides of a comparison, have changed places.

    >>> swapped("Gout causes pain.", "Pain causes gout."), swapped("Gout causes pain.", "Pain is caused by gout."), swapped("A cat is larger than a dog.", "A dog is larger than a cat.")
    (True, False, True)
    """
    for relation in _RELATIONS:
        mine, theirs = (_sides(relation.search(text)) for text in (claim, told))
        if mine and theirs and mine[0] & theirs[1] and mine[1] & theirs[0]:
            return True
    return False


def _sides(match: re.Match[str] | None) -> tuple[frozenset[str], frozenset[str]] | None:
    """The stems and names of the cause and of the effect, or of what stands before "than" and behind; without those that are on both sides."""
    if not match:
        return None
    groups = match.groupdict()
    parts = match.string[: match.start("than" if "than" in groups else 0)], match.string[match.end() :]
    before, behind = ((_stems(part) - _LIGHT) | names(part) for part in parts)
    before, behind = before - behind, behind - before
    return (behind, before) if groups.get("back") else (before, behind)


def misplaced(claim: str, told: str) -> bool:
    """Whether a text says a word of another thing than the claim does, and of this one its opposite.

    >>> misplaced("Phosphate is low.", "Calcium is low and phosphate is high."), misplaced("Gout is rare in women.", "Gout is common in men, but rare in women.")
    (True, False)
    """
    parts, others = ([text[start:end] for start, end in clauses(text)] for text in (claim, told))
    for part, sides in itertools.product(parts, _TURNED + _OTHERS):
        for own, opposite in (sides, sides[::-1]):
            said = own.search(part)
            agreeing, denying = (
                [(other, hit) for other in others for hit in side.finditer(other)] for side in (own, opposite)
            )
            if said and agreeing and denying:
                for beside in (_object,) if opposite.search(part) else (_subject, _object):
                    about = beside(part, said)
                    fits = any(not (its := beside(*one)) or about & its for one in agreeing)
                    if not fits and any(about & beside(*one) for one in denying):
                        return True
    return False


def _subject(clause: str, word: re.Match[str]) -> frozenset[str]:
    """The stems before a word of a clause."""
    return _stems(clause[: word.start()]) - _LIGHT


def _object(clause: str, word: re.Match[str]) -> frozenset[str]:
    """The stems behind a word, as far as it may be said of them."""
    return _stems(re.split(r"[,;]|\b(?:and|or|but)\b", clause[word.end() :])[0]) - _LIGHT


class Held(NamedTuple):
    """What a sentence that shares a claim's words makes of it: whether it tells all of it, and whether all of it but one word turned round."""

    told: bool
    turned: bool


def held(claim: str, told: str, around: str = "") -> Held:
    """``around`` is what the sentence takes up (the one before it, a title): its words count as told, not its numbers."""
    turned = _opposites(claim, told) | ({*_FOR.findall(claim), "contraindicated"} if _advice(claim, told) else set())
    missing = {
        word for word in lacking(plain(claim), f"{around} {plain(told)}") if not _stems(word) & _stems(" ".join(turned))
    }
    apart = (_opposites(claim, told, _OTHERS) | prefixed(claim, told)) - turned
    named = names(claim) - names(f"{around} {told}")
    placed = not (swapped(claim, told) or misplaced(claim, told) or _advised_elsewhere(claim, told))
    whole = placed and not (missing or apart or named or uncounted(claim, told))
    return Held(whole and not turned, whole and bool(turned))
