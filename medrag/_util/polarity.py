"""Is a finding said to be there, said not to be there, or left open? Trigger words with a direction and a scope.

The method is ConText's (Harkema, Dowling, Thornblade and Chapman 2009, after NegEx, Chapman 2001): a trigger acts
forwards or backwards until its clause ends; pseudo-triggers ("no change in") act on nothing. The phrases are those of both papers and their
kin; where NegEx denies what is only sought ("test for", "rule out") it is left open here. It reads one sentence at a time and knows neither
time nor whose finding it is ("history of", "mother had"), nor anatomy, nor synonyms.

>>> polarity("No pleural effusion, but a small pneumothorax.", "effusion")
'absent'
>>> polarity("No pleural effusion, but a small pneumothorax.", "pneumothorax")
'present'
>>> polarity("Early pneumonia cannot be excluded.", "pneumonia")
'uncertain'
"""

from __future__ import annotations

import itertools
import re
from typing import Literal, NamedTuple

from medrag._util.remember import remembered
from medrag._util.text import plain_marks

Polarity = Literal["present", "absent", "uncertain"]
OPPOSITE: dict[str, Polarity] = {"present": "absent", "absent": "present"}  # what is left open has none
Span = tuple[int, int]
REACH = 1000

_BE = "(?:is|are|was|were|be|been|being)"
_ADV = r"(?:(?:\w+ly|well|yet|at all|any longer|otherwise) )?"
_SEEN = (
    "(?:seen|identified|noted|present|demonstrated|visuali[sz]ed|appreciated|evident|detected|observed|found|apparent"
    "|suspected|shown|visible|recogni[sz]ed)"
)
_OUT = "(?:excluded|ruled(?: |-)out)"
_CANNOT = "(?:cannot|can not|can't|could not|couldn't|may not)"
_CHANGE = "(?:changes?|increase|decrease|improvement|worsening|progression|growth|resolution|clearing)"
_GONE = "(?:resolved|cleared|disappeared|gone)"
_PARTLY = "(?:near(?:ly)?(?:[ -]complete(?:ly)?)?|almost(?: complete)?|largely|mostly|partial(?:ly)?|incomplete(?:ly)?)"
_ONCE = "(?:prior|previous|earlier|older|last|comparison)"
_STOPS = r"(?=\s*(?:[.,;?]|$))"  # the sentence, or a part of it, ends
_ENDS = r"(?=\s*(?:[.,;?]|$)|\s+(?:in|on|at|after|since|during|here|today|this|by|over|and|or)\b)"  # no object follows
_NT = r"(?:is|are|was|were|do|does|did|has|have|had|ca|could|would|should|might)n't"
_TOLD = "(?:documented|reported|described|encountered|diagnosed|displayed|delineated|discern(?:ed|ible)|perceptible|perceived|elicited|revealed|depicted|suggested|supported|proven|established)"
_NOTED = f"(?:{_SEEN}|{_TOLD})"
_SOUGHT = (
    "(?:evaluat(?:e[ds]?|ion|ing)|assess(?:e[ds]|ing|ment)?|test(?:s|ed|ing)?|check(?:s|ed|ing)?|look(?:s|ed|ing)?|search(?:e[ds]|ing)?|screen(?:s|ed|ing)?"
    "|monitor(?:s|ed|ing)?|watch(?:ed|ing)?|examin(?:e[ds]?|ing|ation)|inspect(?:ed|ion|ing)?|work-?up|surveillance|surveyed|scanned)"
)
_WHO = "(?:him|her|them|the patient|the pt|this patient|patient|pt|it|this)"
_TO_SEE = "(?:show|demonstrate|reveal|identify|disclose|exhibit|detect|find|display|document|appreciate|visuali[sz]e|discern|see)"

# "no degenerative changes of the spine" denies, "no interval change of the effusion" does not
_KIND = (
    r"(?:degenerative|arthritic|hypertrophic|emphysematous|fibrotic|fibronodular|bullous|cystic|granulomatous|reticular|interstitial"
    r"|inflammatory|chronic|bony|osseous|(?:post)?surgical|postoperative)"
)

# "no changes of heart failure" denies it, "no changes of the effusion" and "no interval changes of effusions" do not
_SIGNS = r"(?:(?!interval\b|significant\b|further\b)\w+ ){0,2}changes of (?!(?:the|these|this|those|that|an?|its|his|her|their|known|prior|previous)\b)"

# One blank stands for any white space. Of triggers that overlap the longest counts.
PSEUDO = (
    rf"(?:no|without) (?!{_SIGNS})(?:(?!{_KIND}\b)\w+ ){{0,3}}?{_CHANGE} (?:{_BE} )?(?:{_SEEN} )?(?:in|of|from|to|since|compared|as compared|when compared|relative)",
    rf"(?:not|{_NT}) {_ADV}(?:changed|increased|decreased|improved|{_GONE})",
    rf"(?:(?:has|have|had|is|are) )?{_PARTLY} (?:\w+ly )?{_GONE}",
    rf"{_PARTLY} (?:resolution|clearing|removal) of",
    rf"(?:{_BE} )?not (?:{_NOTED} (?:(?:on|in|at) (?:the |any )?{_ONCE}|previously|before)|previously {_NOTED})",
    r"non \w+(?:ed|ic|ive|al|ing|ary|ous|ent)",
    "not only",
    r"not (?:\w+ly )?(?:respond(?:ing|ed)?|compliant|adherent)(?: \w+)? (?:to|with)",
    "no doubt",
    "not necessarily",
    "gram[ -]negative",
    "without (?:difficulty|incident)",
)
ABSENT_BEFORE = (
    "no", "not", _NT, "non", "none of", "without", "w/o", "never", "neither", "nor", "denies", "denied", "denying",
    r"(?<!false\s)neg(?:ative|\.)? (?:(?:chest|ct|mri?|x-?ray|radiograph|film|study|exam\w*|scan|test\w*|doppler|ultrasound|swab|culture|biopsy|screen\w*) ){0,3}for",
    r"unremarkable for(?! (?:age|the patient|a patient|his age|her age)\b)",
    "negative (?:family |past )?history (?:of|for)", r"[øØ∅](?!\s*\d)", "no longer seen (?:is|are)", "free (?:of|from)", "clear of", "absent", "absence of", r"lack(?:s|ed|ing| of)?(?! follow)",
    f"(?:fail(?:s|ed|ing|ure)? to (?:confirm|{_TO_SEE})|{_CANNOT} {_TO_SEE})", "devoid of", "void of", r"nil(?! (?:by mouth|per os|p\.?o)\b)", "inconsistent with", "incompatible with",
    "unaccompanied by", "unassociated with", "deny", r"denial of(?! (?:\w+ ){1,3}with\b)",
    r"declin(?:es|ed)(?! (?:in|since|from|by|with|over|to|of|and|or|further|(?:\w+ )?(?:surgery|drainage|treatments?|therap\w+|interventions?|biops\w+|procedures?|operations?|imaging|ct|mri|follow-?up|admission|vaccin\w+))\b)", "(?:refut|disprov)(?:es|ed|ing)", "disappearance of", "resolved", "resolution of", "clearing of", "removal of",
    "nothing (?:for|to (?:suggest|indicate|support|favou?r)|suggesting|indicating|suggestive of|suspicious for|concerning for|worrisome for)",
    "rather than", "in lieu of", "as opposed to", "instead of", "excludes", "rules out", "ruled(?: |-)out(?: for)?",
    r"excluding(?! (?:an?|the|some) )", f"rule[sd] {_WHO} out(?: for)?", f"(?:{_BE}|(?:has|have|had) been) {_ADV}ruled(?: |-)out for",
    f"(?:did|able to|adequate to|sufficient to|enough to) (?:exclude|rule (?:{_WHO} )?out)(?: for)?", r"hardly any(?! (?:improvement|changes?|progress\w*|difference|decrease|increase)\b)",
    r"(?:skin[- ]?folds?|nipple shadows?|artifacts?|overlapping \w+) (?:\w+ ){0,2}(?:mimic|simulat)(?:k?ing|k?ed|e?s|e)?",
)  # fmt: skip
ABSENT_AFTER = (
    rf"(?:(?:(?:{_BE}|can|could|has|have) )?(?:not|never)|{_NT}) {_ADV}(?:be |been )?{_ADV}{_SEEN}",
    f"cannot be {_ADV}{_SEEN}",
    rf"(?:(?:(?:{_BE}|can|could|has|have|had) )?(?:not|never)|{_NT}) {_ADV}(?:be |been )?{_ADV}{_TOLD}{_ENDS}",
    rf"(?:(?:does|do|did|has|have|had|can|could|would|will)(?: not|n't)|never) {_ADV}(?:occur(?:red)?|exist(?:ed)?|develop(?:ed)?|recur(?:red)?|ar[io]se|materiali[sz]ed?){_ENDS}",
    rf"{_BE} {_ADV}(?:unseen|undetected|undetectable|invisible|non-?existent|disproven|disproved|refuted){_ENDS}",
    rf"(?:(?<!was\s)(?<!were\s)(?<!been\s)denied|disproven|disproved|refuted|unseen|undetected){_STOPS}",
    f"(?:is|are|was|were|being) {_ADV}absent",
    f"(?:absent|{_GONE}){_STOPS}",
    rf"(?:absent|{_GONE})(?= (?:since|on) )",
    f"(?:has|have) not {_ADV}recurred",
    rf"(?:{_BE} )?no longer {_ADV}{_SEEN}",
    f"(?:has|have|had|is|are) {_ADV}{_GONE}",
    rf"(?:has|have) (?:(?!not\b|never\b)\w+ )?been {_ADV}(?:removed|{_OUT})",
    f"{_BE} {_ADV}{_OUT}",
    "ruled(?: |-)out",
    f"removal{_STOPS}",
    rf"excluded(?:{_STOPS}|(?= (?:by|on|with|clinically|radiographically)\b))",
    rf"(?:{_BE}|came back|returned|remains?|remained) negative{_STOPS}",
    f"(?:{_BE} )?not {_ADV}confirmed",
)
UNCERTAIN_BEFORE = (
    r"poss\.", "possibl[ey]", "probabl[ey]", "likely", "unlikely", "may", "might", "could", "perhaps", "potential(?:ly)?", "presumed",
    "presumably", "question(?: of)?", "questionable", "equivocal", "suspicious for", "suspicion (?:of|for)", "suspect(?:ed)?",
    "suggest(?:s|ed|ing|ive of)?", "concern(?:s|ing)? (?:for|of)", "worrisome for", "possibility of", r"differential\w*",
    "versus", "vs", "consider", f"{_CANNOT} {_ADV}(?:exclude|rule out)", f"(?:does|do|did)(?: not|n't) {_ADV}(?:exclude|rule out)",
    f"(?:difficult|hard|unable|to|please) (?:to )?{_ADV}(?:exclude|rule out)", "rule(?: |-)out", f"rule {_WHO} out(?: for)?", "ruling (?:\\w+ ){0,2}?out(?: for)?", "r/?o", "(?:for|of|in|to|at) excluding", "exclusion of",
    rf"(?<!negative\s)(?<!positive\s)(?:{_BE} )?{_SOUGHT} for",
    f"(?:{_CANNOT}|(?:should|must|ought to|needs? to|has to|have to|may|might|could|can|will|to|is to) be|(?:does|do|did|is|are|was|were|has been|have been)(?: not|n't)) {_ADV}ruled(?: |-)out (?:for|is|are)",
    f"(?:does|do|did)(?: not|n't) {_ADV}rule {_WHO} out(?: for)?",
    f"(?:not (?:able|adequate|sufficient|enough)|insufficient|inadequate) to (?:exclude|rule (?:{_WHO} )?out)", f"{_CANNOT} confirm", "should (?:he|she|they|the patient) (?:develop|have|get)", "in case of", "(?:return|as needed) for",
    f"(?:unable|not able|not possible|impossible|inability) to {_TO_SEE}",
    "(?:insufficient|inadequate|not enough|little|scant|weak|equivocal) (?:evidence|proof|support|suspicion|concern|reason)(?: (?:of|for|to suspect|to suggest|to support|to diagnose))?",
    "(?:low|small|little|lower|reduced|minimal)(?: |-)(?:probability|likelihood|suspicion|chance|index of suspicion)(?: (?:of|for))?",
    "improbable", "implausible", "(?:argu|speak|militat)(?:es?|ed|ing|s) (?:strongly )?against", "evidence against", r"hardly(?! any\b)", "scarcely",
    "not (?:certain|sure)(?: if| whether)?", f"(?:{_BE} )?not {_ADV}(?:assessed|evaluated|imaged) for", "not clear (?:if|whether)", "unclear(?: if| whether)?", "uncertain", "whether",
    "if", "query", "doubt", "borderline", "with or without", r"either(?= [\w -]+ or )", "favou?r(?:s|ed|ing)?", "doubtful", "(?:not enough|insufficient|no|without) evidence to (?:exclude|rule out)",
)  # fmt: skip
UNCERTAIN_AFTER = (
    f"{_CANNOT} {_ADV}be {_ADV}{_OUT}",
    rf"(?:(?:(?:{_BE}|has|have) )?not|{_NT}) {_ADV}(?:been )?{_OUT}",
    rf"{_BE} {_ADV}(?:possible|probable|suspected|questioned|questionable|likely|unlikely|uncertain|equivocal|considered)",
    "(?:less|more|most|not) likely",
    "unlikely",
    "improbable",
    "implausible",
    f"{_CANNOT} {_ADV}be {_ADV}confirmed",
    f"(?:does|do|did)(?: not|n't) {_ADV}(?:exclude|rule out){_STOPS}",
    rf"(?:{_BE} )?not {_ADV}favou?red{_ENDS}",
    rf"(?:{_BE} |remains? )?(?:unproven|unconfirmed|unsubstantiated){_ENDS}",
    "versus",
    "vs",
    f"(?:should|must|ought to|needs? to|has to|have to|to) be {_ADV}{_OUT}",
    f"(?:{_BE} )?not {_ADV}(?:be )?{_ADV}(?:assessed|evaluated|imaged)",
    "(?:difficult|hard) to (?:see|assess)",
    f"{_BE} {_ADV}(?:difficult|hard|impossible) to {_ADV}(?:exclude|rule out)",
    f"{_BE} {_ADV}(?:doubtful|questionable)",
    "is a (?:possibility|consideration|concern)",
)
_ANSWERED_NO = re.compile(
    r"\s*(?:[:–=?]|\s-)\s*(?:no|none|nil|negative|absent|not seen)\s*(?:[.,;]|$)|\s*\(\s?[-–]\s?\)|\s*:?\s*[-–]\s?ve\b"
    r"|\s+(?:none|nil)\s*(?:[.,;]|$)|,\s*no\s*(?:[.;]|$)|[ -](?:neg(?:ative|\.)?|free)(?=\s*(?:[.,;)]|$|and\b|or\b))",
    re.IGNORECASE,
)
_UNTICKED = re.compile(r"(?:\[\s*\]|\(\s\)|☐)\s*(?:\w+\s+){0,2}$")
_ALL_BUT = re.compile(  # "no effusion other than a trace on the left" tells of one
    r"\s*,?\s+(?:other than|except(?: for)?|apart from|aside from|save for)\s+(?:an?\s+|the\s+)?(?:very\s+)?"
    r"(?:trace|small|tiny|minimal|minute|mild|little|slight)(?:\s+(?:amount|one|component|bit|trace|apical|basal|left|right|loculated))*"
    r"(?:\s+(?:on|at|in|along|of)\b[^,;]*)?\s*[.,;]?\s*$",
    re.IGNORECASE,
)
_QUERIED = re.compile(r"(?:^|[\s(,;:])\?\s?(?:\w+\s+){0,4}$")  # "? pneumonia"
_DOUBTED = re.compile(r"[\w\s,]*\?")
DENYING = frozenset(  # a text that holds none of these words denies nothing
    "no not non none nil never neither nor nothing without w o cannot can't couldn't isn't aren't wasn't weren't don't doesn't didn't hasn't "
    "haven't hadn't wouldn't denies denied denying negative free clear cleared clears clearing absent absence lack lacks lacking fail fails failed "
    "unremarkable declines declined declining inconsistent incompatible excluding excluded lacked failing failure devoid void unaccompanied "
    "unassociated deny denial refutes refuted refuting disproves disproved disproving disproven lieu hardly unseen undetected undetectable invisible existent nonexistent shouldn't mightn't disappearance "
    "resolved resolution disappeared gone removal removed rather opposed instead excludes excluded rules rule ruled ruled-out mimic mimics mimicking ve".split()
)
_NOT_OUT = re.compile(r"(?:exclude|rule out)$", re.IGNORECASE)
_PREFIX = re.compile(r"\bnon[- ]?$", re.IGNORECASE)

# Where a clause ends: a word that turns the sentence, or a comma or "and" that a new subject with a verb follows.
_VERB = "(?:is|are|was|were|has|have|had|appears?|remains?|demonstrates?|shows?|measures?|contains?)"
_PASSIVE = rf"(?! (?:\w+ )?{_SEEN})"
_TURN = re.compile(
    rf";|(?<=\w\w\w[.!?]) (?=(?-i:[A-Z]))|\((?=(?:small|tiny|trace|minimal|mild|moderate|large|stable|old)\b)|,\s*(?=[\w -]+\s?[:=]\s)|\b(?:but|however|although|though|except|aside from|apart from|other than|which|because|(?<!\bbe\s)(?<!likely\s)(?<!possibly\s)(?<!probably\s)(?<!not\s)(?:secondary to|due to)|"
    rf"with the exception of|nevertheless|despite|following|status post|s/p|present(?:s|ed|ing)? with|(?<!not\s)(?<!n't\s)yet(?! exclude| rule)|still|while|whereas)\b"
    rf"|(?:,\s*(?:and\s+)?|\band\s+|\bwith\s+)(?=there\b|(?:now|new)\b)|(?:,\s*(?:and\s+|but\s+)?|\band\s+)(?=positive\s+for\b)|,\s*(?=with\s+(?!or\b))"
    rf"|(?<!associated\s)(?<!consistent\s)(?<!compatible\s)\bwith\s+(?=(?:persistent|residual|remaining|continued)\b)"
    rf"|,\s*(?=(?:small|tiny|trace|minimal|mild|moderate|persistent|stable|old|healed|healing|hyperinflated|hyperexpanded|tortuous|enlarged (?:heart|cardiac)|(?:left|right)(?! (?:\w+ )?than\b)|bilateral|bibasilar|biapical|retrocardiac)\b(?!.*\b(?:or|nor)\b))"
    rf"|,\s*(?:and\s+)?(?=(?:(?!or\b|and\b|no\b|not\b|without\b)[\w'-]+\s+){{1,4}}(?:cannot|must|should|not\s+(?:\w+\s+)?excluded)\b)"
    rf"|(?:,\s*(?:and\s+)?|\band\s+)(?=(?:an?|the)\s+(?:(?!or\b|and\b|no\b|not\b|without\b)[\w'-]+\s+){{1,5}}{_VERB}\b)"
    rf"|(?:,\s*(?:and\s+)?|\band\s+)(?!or\b|nor\b)(?=(?:(?!or\b|and\b|no\b|not\b|without\b)[\w'-]+\s+){{1,6}}{_VERB}\b{_PASSIVE})"
    rf"|(?<=fied|seen|oted|sent|ated|ized),\s*(?:and\s+)?(?=(?:(?!or\b|and\b|no\b|not\b|without\b)[\w'-]+\s+){{1,6}}{_VERB}\b)".replace(
        " ", r"\s+"
    ),
    re.IGNORECASE,
)


class _Trigger(NamedTuple):
    start: int
    end: int
    kind: str  # "absent", "uncertain" or "" for pseudo
    forward: bool
    reach: int = 10_000  # characters between it and what it acts on


def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    body = "|".join(sorted(patterns, key=len, reverse=True)).replace(" ", r"\s+")
    return re.compile(rf"(?<![\w-])(?:{body})(?![\w-])", re.IGNORECASE)


_RULES = (
    (_compiled(PSEUDO), "", True),
    (_compiled(ABSENT_AFTER), "absent", False),
    (_compiled(UNCERTAIN_AFTER), "uncertain", False),
    (_compiled(ABSENT_BEFORE), "absent", True),
    (_compiled(UNCERTAIN_BEFORE), "uncertain", True),
)


def polarity(sentence: str, target: str | Span) -> Polarity:
    """What one sentence says of a finding, given as a span of characters or as a phrase.

    A phrase may stand several times: one "present" outweighs "uncertain", and that outweighs "absent". Raises
    ValueError when the phrase does not occur; ask `mentions` first.
    """
    sentence = plain_marks(sentence)
    spans = mentions(sentence, plain_marks(target)) if isinstance(target, str) else [target]
    if not spans:
        raise ValueError(f"{target!r} does not occur in {sentence!r}")
    found = {_of_span(*_near(sentence, span)) for span in spans}
    return next(kind for kind in ("present", "uncertain", "absent") if kind in found)  # type: ignore[return-value]


def _near(sentence: str, span: Span) -> tuple[str, Span]:
    """The sentence, or of a text without full stops the part around the span: no trigger acts over ``REACH`` characters."""
    start = max(0, span[0] - REACH)
    return sentence[start : span[1] + REACH], (span[0] - start, span[1] - start)


def mentions(sentence: str, phrase: str) -> list[Span]:
    """Where a phrase stands as whole words, in any case, with a plural ending or without."""
    body = r"\s+".join(re.escape(word) for word in phrase.split())
    return (
        [match.span() for match in re.finditer(rf"(?<!\w){body}(?:e?s)?(?!\w)", sentence, re.IGNORECASE)]
        if body
        else []
    )


@remembered(4096)
def clauses(sentence: str) -> tuple[Span, ...]:
    """The clauses of a sentence as spans that cover it; no trigger acts over their edges."""
    cuts = [0, *(match.start() for match in _TURN.finditer(sentence) if match.start() > 0), len(sentence)]
    return tuple((start, end) for start, end in itertools.pairwise(cuts) if start < end)


@remembered(4096)
def _triggers(sentence: str) -> tuple[_Trigger, ...]:
    """All triggers in order; of those that overlap the longest stays, then the one that acts backwards."""
    found = [
        _Trigger(*match.span(), kind, forward, 30 if match.group().lower() in ("versus", "vs") else 10_000)
        for rule, kind, forward in _RULES
        for match in rule.finditer(sentence)
    ]
    kept: list[_Trigger] = []
    for trigger in sorted(found, key=lambda t: (t.start - t.end, t.kind != "", t.forward)):
        if all(trigger.end <= other.start or trigger.start >= other.end for other in kept):
            kept.append(trigger)
            kept += _other_way(sentence, trigger)
    return tuple(sorted(kept))


def _other_way(sentence: str, trigger: _Trigger) -> list[_Trigger]:
    """ "Unlikely", "ruled out" and what begins the sentence colour what stands on either side of them, and "versus" its two neighbours only."""
    word = sentence[trigger.start : trigger.end].lower()
    if trigger.forward or not (
        word in ("versus", "vs", "ruled out", "ruled-out")
        or word.endswith(("likely", "improbable", "exclude", "rule out"))
        or not sentence[: trigger.start].strip(" -*•")  # "Not seen: effusion"
    ):
        return []
    return [trigger._replace(forward=True)]


def _of_span(sentence: str, span: Span) -> Polarity:
    start, end = span
    before = sentence[max(0, start - 40) : start]
    if _PREFIX.search(before) or _UNTICKED.search(before) or _ANSWERED_NO.match(sentence, end):
        return "absent"
    if _ALL_BUT.match(sentence, end):
        return "present"
    around = [
        c for c in clauses(sentence) if c[0] < end and start < c[1]
    ]  # "the silhouette and vascularity" may lie in two
    low, high = (around[0][0], around[-1][1]) if around else (0, len(sentence))
    near = [t for t in _triggers(sentence) if low <= t.start < high and not (t.start < end and start < t.end)]
    acting = [t for t in near if t.kind and 0 <= (start - t.end if t.forward else t.start - end) <= t.reach]
    denied = [t for t in acting if t.kind == "absent"]
    doubted = [t for t in acting if t.kind == "uncertain"]
    if denied and not _new_start(sentence, denied, doubted):
        return "absent"
    return "uncertain" if doubted or _QUERIED.search(before) or _DOUBTED.fullmatch(sentence, end) else "present"


def _new_start(sentence: str, denied: list[_Trigger], doubted: list[_Trigger]) -> bool:
    """ "No effusion, possible nodule": a doubt after a comma starts anew, as does "absence of fever does not exclude it"; "no sign of possible effusion" does not."""
    if not all(trigger.forward for trigger in denied):
        return False
    last = max(trigger.end for trigger in denied)
    return any(
        t.forward
        and t.start >= last
        and (_NOT_OUT.search(sentence, t.start, t.end) or re.search(r"(?:,|\band)\s*(?:a\s+)?$", sentence[: t.start]))
        for t in doubted
    )
