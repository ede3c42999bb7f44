"""Does a text bear a claim out, contradict it, or say nothing of it? Rules over findings first, over words where no finding is named.

Of a claim about the chest each finding is looked for with its polarity and side (`medrag.score.claims`): "the lungs are clear" denies
an opacity, "no effusion" is contradicted by one on either side. All findings must be borne out; one that is contradicted contradicts
the claim. Other claims are compared as `medrag.score.grounding` does, sentence by sentence. What is only possible bears out nothing but a
possibility; a severity that the text leaves open is let pass, a place is not. Of several sentences that bear it out the one that says most
of it is quoted. Shared words are not enough (`medrag.score.exact`): numbers, names and what was turned into its opposite count as well. It is no
entailment: it knows few paraphrases, and takes an older finding for a present one where the words do.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from medrag._util.polarity import OPPOSITE
from medrag._util.remember import remembered
from medrag._util.text import sentences, words
from medrag.score import claims as findings
from medrag.score import exact
from medrag.score.grounding import SHARE, apart, stances
from medrag.score.numbers import uncounted

Verdict = Literal["supported", "contradicted", "absent"]
ACUTE = frozenset(
    {"Consolidation", "Edema", "Pleural Effusion", "Pneumonia", "Pneumothorax"}
)  # no "no acute abnormality" beside them
SMALL = frozenset({"bone", "spine", "scar"})  # beside these bones are called intact and lungs clear
BONY = frozenset({"bone", "fracture", "spine"})
SHADOWS = frozenset({"airspace", "atelectasis", "bone", "calcified", "fracture", "interstitial", "lesion"})
_BONES = re.compile(r"\b(?:bon(?:e|es|y)|osseous|skelet\w+|ribs?|spine)\b", re.IGNORECASE)
_SETTLED = re.compile(  # what a text may name beside clear lungs: healed, or not of the lungs, or no longer there
    r"\bgranulom\w+|\bcalcifi\w+|\bscar\w*|\b(?:old|healed|remote)\b|\bparatracheal\b|\badenopathy\b|\blymph\b|\bhernia\b"
    r"|\boverlying\b|\bsuperimposed\b|\bcrowding\b|\bnot (?:definitely|well|clearly) (?:seen|appreciated|visuali[sz]ed)\b",
    re.IGNORECASE,
)
_NO_AIRSPACE = re.compile(
    r"\batelecta\w+|\binterstiti\w+", re.IGNORECASE
)  # opacities that "no airspace disease" leaves open
_RECENT = re.compile(r"\b(?:acute|significant|active|new|suspicious|gross|destructive)\b", re.IGNORECASE)
_EXPANDED = re.compile(r"\b(?:expanded|inflated|aerated)\b", re.IGNORECASE)
_CLEAR = re.compile(r"\b(?:clear|normal|unremarkable|free)\b", re.IGNORECASE)
_SIGNIFICANT = re.compile(r"\bsignificant\b", re.IGNORECASE)
_ONE_LUNG = re.compile(r"\b(left|right) (?:lung|hemithorax)\b", re.IGNORECASE)
_PLACE = re.compile(  # of a shadow, beside the zones that a claim knows
    r"\b(?:para-?tracheal|sub-?carinal|retro-?sternal|para-?spinal|para-?vertebral|axill\w+|supra-?clavicular|sub-?pleural)\b",
    re.IGNORECASE,
)
_WHOLE_HEART = re.compile(r"\bcardio-? ?mediastinal\b", re.IGNORECASE)
_TAUGHT = re.compile(  # of what is known of a finding, or is to be done, not of its being there
    r"\b(?:treat(?:s|ed|ment|ments|ing)?|therap\w+|drugs?|medic(?:ine|ation)s?|antibiotics?|caus(?:e[sd]?|ing)|risk|recommend\w*|contra-?indicated|avoid(?:ed)?|first-line"
    r"|mortality|die[sd]?|deaths?|prevent\w*|symptoms?|commonest|(?:un)?common(?:ly)?|rare(?:ly)?|usually|always|never|often|people|adults?|children|infants?|women|men)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"\W*(?:it|its|they|their|these|this|such)\b", re.IGNORECASE)  # takes up the sentence before

_COURSES = {  # "increased density" is no course: of the finding's own extent alone
    "worse": re.compile(r"\b(?:worse\w*|progress(?:ed|ing|ion)|enlarging|has (?:slightly |mildly |markedly )?increased|(?:is|are) (?:larger|bigger|greater))\b", re.IGNORECASE),
    "better": re.compile(r"\b(?:improv(?:ed|ing|ement)|better|resolving|regress\w+|has (?:slightly |mildly |markedly )?decreased|(?:is|are) (?:smaller|less))\b", re.IGNORECASE),
    "same": re.compile(r"\b(?:unchanged|stable|no (?:significant |interval )*change)\b", re.IGNORECASE),
    "new": re.compile(r"\b(?:is|are) new\b|\bnewly\b", re.IGNORECASE),
}  # fmt: skip


class Checked(NamedTuple):
    """What a text says of a claim, and the sentence that says so."""

    verdict: Verdict
    quote: str = ""


class Said(NamedTuple):
    """A finding with the sentence that states it."""

    claim: findings.Claim
    sentence: str


def check(claim: str, evidence: str, title: str | None = None) -> Checked:
    """What ``evidence`` says of ``claim``, one sentence. ``title`` is that of a book's or an article's text, of which every word counts;
    None for a report, whose findings alone do.

    >>> check("No pleural effusion.", "There is a small left pleural effusion.").verdict
    'contradicted'
    >>> check("The lungs are clear.", "Lungs are clear bilaterally. Heart size is normal.")
    Checked(verdict='supported', quote='Lungs are clear bilaterally.')
    """
    own = _told(claim)
    if not own or title is not None:
        return _worded(claim, evidence, title or "")
    found = [_finding(one, _told(evidence)) for one in own]
    quotes = [one.quote for one in found]
    for verdict in ("contradicted", "absent"):
        if other := next((one for one in found if one.verdict == verdict), None):
            return other
    if _TAUGHT.search(claim):
        return _worded(claim, evidence)
    text = " ".join(quotes)
    missing = uncounted(claim, text) or exact.names(claim) - exact.names(text)
    told = not missing and not any(
        exact.opposed(claim, one) or exact.swapped(claim, one) or _denied(claim, one) for one in quotes
    )
    return Checked("supported", fullest(claim, quotes)) if told else Checked("absent")


def _denied(claim: str, told: str) -> bool:
    """Whether a word that a claim says is denied: of a fracture that is there, that it is displaced."""
    said = stances(told)
    return any(one == "present" and said.get(word) == "absent" for word, one in stances(claim).items())


def fullest(claim: str, told: Sequence[str]) -> str:
    """Of sentences the one that is the claim word for word, else says most of it in its words, and of those the one that says least beside it."""
    own = stances(claim).keys()
    ranked = {one: (_words(one) == _words(claim), len(own & stances(one).keys()), -len(_words(one))) for one in told}
    return max(ranked, key=lambda one: ranked[one], default="")


@remembered(4096)
def _told(text: str) -> tuple[Said, ...]:
    """The findings of a text, sentence by sentence."""
    return tuple(Said(claim, sentence) for sentence in sentences(text) for claim in findings.claims(sentence))


def _finding(own: Said, told: tuple[Said, ...]) -> Checked:
    """A contradiction counts before support, for a report that says both is not borne out by its kinder half; but what is quoted word for word is there."""
    borne_out = [other.sentence for other in told if _bears_out(own, other)]
    if verbatim := next((one for one in borne_out if _words(own.sentence) == _words(one)), ""):
        return Checked("supported", verbatim)
    affirmed = {other.claim.observation for other in told if other.claim.polarity != "negative"}
    for other in told:
        if _words(own.sentence) != _words(other.sentence) and _contradicts(own, other, affirmed):
            return Checked("contradicted", other.sentence)
    return Checked("supported", fullest(own.sentence, borne_out)) if borne_out else _halves(own, told)


def _halves(own: Said, told: tuple[Said, ...]) -> Checked:
    """A finding on both sides, of which one sentence states the left and another the right."""
    if own.claim.side != "bilateral" or own.claim.polarity == "negative":
        return Checked("absent")
    each = [own._replace(claim=replace(own.claim, side=side)) for side in ("left", "right")]
    found = [next((other.sentence for other in told if _bears_out(half, other)), "") for half in each]
    return Checked("supported", found[0]) if all(found) else Checked("absent")


@remembered(4096)
def _words(sentence: str) -> tuple[str, ...]:
    return tuple(words(sentence))


def _bears_out(own: Said, other: Said) -> bool:
    mine, theirs = own.claim, other.claim
    if mine.polarity == "negative":
        side = _side(other)
        if theirs.polarity != "negative" or (side and _side(own) != side):
            return False
        if theirs.severity > max(mine.severity, 1):  # "no large effusion" leaves a small one
            return False
        covered = mine.family in theirs.cleared or (bool(mine.cleared) and set(mine.cleared) <= set(theirs.cleared))
        return covered or _denied_alike(own, other)
    if theirs.polarity == "negative" or (mine.polarity == "positive" and theirs.polarity == "uncertain"):
        return False
    apart = bool(mine.severity and theirs.severity and mine.severity != theirs.severity)
    same = _same(mine, theirs) and _sided(mine, theirs) and not apart
    return same and _placed(own, other) and not _other_course(own.sentence, other.sentence)


def _placed(own: Said, other: Said) -> bool:
    """Whether each place that is claimed is said: "granulomas" alone does not put one beside the trachea."""
    named, said = ({word.lower().replace("-", "") for word in _PLACE.findall(one.sentence)} for one in (own, other))
    return own.claim.location <= other.claim.location and (own.claim.family not in SHADOWS or named <= said)


def _other_course(one: str, other: str) -> bool:
    """Whether something grew in one sentence and shrank, or stayed, in the other."""
    courses = [{name for name, words in _COURSES.items() if words.search(text)} for text in (one, other)]
    return all(courses) and courses[0].isdisjoint(courses[1])


def _denied_alike(own: Said, other: Said) -> bool:
    """One denial holds for another: of the same finding, of any shadow, of the heart in a cardiomediastinal silhouette."""
    mine, theirs = own.claim, other.claim
    if mine.family == theirs.family == "any":
        return bool(_BONES.search(own.sentence)) == bool(_BONES.search(other.sentence))  # of all, or of the bones alone
    if mine.family == "any":
        return bool(_BONES.search(own.sentence)) and "bone" in theirs.cleared
    if theirs.family == "any":
        return mine.family in BONY and _all_bones(other.sentence)
    if mine.family == "heart" and theirs.family == "mediastinum":
        return bool(_WHOLE_HEART.search(other.sentence))
    return _same(mine, theirs) or (mine.family == theirs.family == "airspace" and not mine.cleared)


def _contradicts(own: Said, other: Said, affirmed: set[str | None]) -> bool:
    mine, theirs = own.claim, other.claim
    if mine.polarity == "negative":
        return theirs.polarity == "positive" and _denies(own, other)
    if theirs.polarity != "negative" or mine.observation in affirmed:
        return False
    return (mine.polarity == "positive" or mine.concept == theirs.concept) and _denies(other, own)


def _denies(no: Said, yes: Said) -> bool:
    """Whether a denial and an affirmation cannot both be true: one finding, one place, and no more denied than is affirmed."""
    denied, affirmed = no.claim, yes.claim
    if affirmed.family in SHADOWS and (_SETTLED.search(yes.sentence) or _SETTLED.search(no.sentence)):
        return False
    if denied.family == "any":
        bones = bool(_BONES.search(no.sentence))
        return affirmed.family == "fracture" and _all_bones(no.sentence) if bones else affirmed.observation in ACUTE
    side = _side(no)
    if side and affirmed.side not in (side, "bilateral") and (affirmed.side or _lung(yes.sentence) != side):
        return False
    if denied.severity > affirmed.severity or (
        denied.location and affirmed.location and not denied.location & affirmed.location
    ):
        return False
    if affirmed.severity == 1 and _SIGNIFICANT.search(no.sentence):
        return False
    if denied.cleared and _EXPANDED.search(no.sentence) and not _CLEAR.search(no.sentence):
        return False
    if denied.concept == "opacity":  # "no airspace disease" denies a consolidation, "no consolidation" no opacity
        return affirmed.family == "airspace" and not _NO_AIRSPACE.search(yes.sentence)
    if denied.family == "mediastinum" and affirmed.family == "heart":
        return bool(_WHOLE_HEART.search(no.sentence))
    return denied.concept == affirmed.concept or affirmed.family in set(denied.cleared) - SMALL


def _side(said: Said) -> str:
    """The side of a finding, else of the one lung that its sentence speaks of."""
    return said.claim.side or _lung(said.sentence)


def _lung(sentence: str) -> str:
    """The side of a sentence that speaks of one lung."""
    found = _ONE_LUNG.search(sentence)
    return found[1].lower() if found else ""


def _all_bones(no: str) -> bool:
    """Whether a denial is of whatever there may be of the bones, of old as of new."""
    return bool(_BONES.search(no)) and not _RECENT.search(no)


def _same(one: findings.Claim, other: findings.Claim) -> bool:
    alike = one.observation is not None and one.observation == other.observation and one.family == other.family
    return one.concept == other.concept or alike


def _sided(own: findings.Claim, other: findings.Claim) -> bool:
    """A side that is claimed must be said; one that is not claimed may be."""
    return own.side in ("", other.side) or (other.side == "bilateral" and own.side in ("left", "right"))


def _worded(claim: str, evidence: str, title: str = "") -> Checked:
    """Sentence by sentence: enough shared words of one polarity and all else told, or all of it but one word turned round."""
    wanted = stances(exact.plain(claim))
    own = exact.heavy(exact.plain(claim)) or wanted.keys()
    agreeing, turned = [], ""
    for before, sentence in itertools.pairwise(("", *sentences(evidence))):
        said = stances(exact.plain(sentence))
        shared = wanted.keys() & said.keys()
        if not wanted or len(shared & own) < SHARE * len(own) or apart(claim, sentence):
            continue
        found = exact.held(claim, sentence, f"{title} {before if _GOES_ON.match(sentence) else ''}")
        agreed = all(wanted[word] == said[word] for word in shared)
        denied = any(said[word] == OPPOSITE.get(wanted[word]) for word in shared)
        if agreed and found.told:
            agreeing.append(sentence)
        turned = turned or (sentence if (denied and found.told) or (agreed and found.turned) else "")
    if agreeing:
        return Checked("supported", fullest(claim, agreeing))
    return Checked("contradicted", turned) if turned else Checked("absent")
