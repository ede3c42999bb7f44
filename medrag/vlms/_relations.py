"""What a question asks of a thing (its treatment, how common it is, who it is passed on to), and whether a sentence tells it.

Rows of patterns in English, the first that fits the question counts. They know words, not meanings: a sentence that tells it in words of no row is
not found, and one that holds such a word about something else is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medrag._util.remember import remembered
from medrag._util.terms import CODES, NAMES
from medrag.vlms import _words as words


@dataclass(frozen=True, slots=True)
class Relation:
    """How it is asked for, how it is told, how it is told best; and the stems that say it and name no thing."""

    name: str
    asks: re.Pattern[str]
    tells: re.Pattern[str]
    best: re.Pattern[str] | None
    stems: frozenset[str]


def _row(name: str, asks: str, tells: str, said: str, best: str = "") -> Relation:
    asking, telling, well = (re.compile(pattern, re.IGNORECASE) for pattern in (asks, tells, best))
    return Relation(name, asking, telling, well if best else None, words.stem_set(said))


_WORDED = r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|hundred|thousand)\b"
_NUMBER = rf"\d|{_WORDED}|\b(?:single|both|pairs?)\b"
ROWS = (
    _row("names", NAMES.pattern, r"\b(?:other|another) names? (?:of|for)\b|\b(?:also|commonly|sometimes|formerly|once) (?:called|known as|termed|referred to as)\b|\bcan stand for\b|\bstands for\b|\bsynonyms?\b|, or [^,.]{3,40},", "other another else called alternative alternate different medical lay scientific technical name names term terms word words synonym synonyms also called known stand stands short", r"^(?:.{0,60}: )?(?:other|another) names? of\b|\bstands for\b"),
    _row("codes", CODES.pattern, r"\bThe codes? of\b", "code codes cui cuis id ids identifier identifiers number numbers term terms entry heading concept umls icd icd-10 icd-9 icd-11 10 9 11 cm icd10 mesh snomed snomedct ct hpo hp omim mim doid mondo radlex orpha orphanet nci ncit meddra uberon ontology vocabulary"),
    _row("side effects", r"\b(?:side|adverse|unwanted) (?:effects?|reactions?)\b", r"\b(?:side|adverse|unwanted) (?:effects?|reactions?|events?)\b|\b(?:may|can|might) cause\b|\btoxicit", "side adverse unwanted effect effects reaction reactions"),
    _row("difference", r"\bdifferen(?:ce|ces|t from)\b|\bdiffers?\b|\bdistinguish\b|\bvs\b|\bversus\b|\bsame as\b|^\W*which (?:one )?is (?:more|less|worse|better|rarer|commoner)\b", r"\b(?:whereas|while|unlike|differ(?:s|ed|ent from|ences? between)?|in contrast|compared|distinguish\w*|than|both)\b", "difference differences different differ distinguish versus same worse better rarer more common less"),
    _row("interaction", r"\b(?:take|taken|taking|combine|mix|drink|use)\b.*\b(?:with|together|while)\b|\binteract\w*", r"\binteract\w*|\btogether\b|\bbleed\w*|\b(?:should|do|must) not\b|\bavoid\w*|\bsafe\w*|\braises? the risk|\bincreases? the (?:risk|effect)", "take taken taking combine mix drink use interact interaction interactions together with while"),
    _row("outlook", r"\b(?:prognosis|outlook|surviv\w+|life expectancy|life-?span|mortality|fatal|deadly|lethal|life[- ]threatening)\b|\bhow long (?:do|does|can|will|would)\b.*\blive\b|\b(?:die|kill)s?\b", r"\b(?:prognosis|outlook|surviv\w*|liv(?:e|es|ing)|lifespan|life (?:expectancy|span)|life-?\s?threatening|die[sd]?|deaths?|fatal\w*|deadly|lethal|mortality|recover\w*|outcomes?|course|normal life)\b", "prognosis outlook survive survival life expectancy lifespan mortality fatal deadly lethal threatening live lives living long die dies kill kills"),
    _row("duration", r"\bhow (?:long|fast|quickly|soon)\b", r"\b(?:seconds?|minutes?|hours?|days?|weeks?|weekend|months?|years?|lifelong|rapidly|slowly|quickly)\b", "long fast quickly soon last lasts take takes progress progresses"),
    _row("age", r"^\W*(?:at what age|what age|when (?:do|does|did)|how old)\b", r"\bage[sd]?\b|\byears?\b|\bchildhood\b|\bbirth\b|\binfan\w+|\badult\w*|\bmonths?\b|\bdecade|\badolescen\w+|\bweeks?\b", "age old start starts begin begins appear appears develop develops usually first"),
    _row("contagious", r"\b(?:contagious|communicable|infectious\W*$|transmi\w+|spread|catch(?:ing)?)\b", r"\b(?:contagious|communicable|spread\w*|transmi\w+(?! of (?:nerve|signal|impulse|information))|contact with|droplets?|airborne|inhal\w+|bites?|bitten|passed|person[- ]to[- ]person|infected (?:person|people|individual|by))\b", "contagious communicable infectious transmitted transmission transmit spread catch catching from person people"),
    _row("cure", r"\bcur(?:e|es|ed|able)\b|\bincurable\b", r"\bcur(?:e|es|ed|able|ing)\b|\bincurable\b|\bgoes? away\b", "cure cured curable incurable cures"),
    _row("inheritance", r"\binherit\w*|\bhereditary\b|\bautosomal\b|\bx-linked\b|\brecessive\b|\bdominant\b|\bruns? in\b.*\bfamil|\bpassed (?:on|down)\b|\bgenetic(?:ally)?\W*$", r"\binherit\w*|\bautosomal\b|\bx-linked\b|\brecessive\b|\bhereditary\b|\bfamilial\b|\bruns? in families\b|\bpassed (?:on|down|from)\b|\bsporadic\b|\bde novo\b|\bboth copies\b|\bgenetic (?:disorder|disease|condition)", "inherited inheritance inherit hereditary autosomal dominant recessive linked x-linked pattern mode parent parents father mother familial family families runs passed genetic genetically"),
    _row("frequency", r"\bhow (?:common|rare|frequent|often|widespread)\b|\bhow many (?:people|persons|cases|children|adults|women|men|americans|babies|patients)\b|\b(?:prevalence|incidence|frequency)\b", r"\b(?:1|one) (?:in|of every|out of) \w*\d|\d (?:percent|per|people|persons|cases|individuals|births|newborns|in|of|out of|million)\b|\d ?%|\b\d[\d,]{3,}\b|\bpercent\b|\b(?:prevalence|incidence|frequency)\b|\b(?:is|are|as|be) (?:\w+ ){0,2}(?:rare|common|uncommon|frequent)\b|\b(?:a|very|most) (?:\w+ )?(?:rare|common)\b|\b(?:millions?|thousands?|fewer than|estimated|approximately)\b", "common rare frequent often widespread many people person cases prevalence incidence frequency estimated", r"\d"),
    _row("normal", r"\bnormal (?:[\w-]+ ){0,3}(?:levels?|ranges?|rates?|values?|counts?|pressure|temperature|ratio)\b|\b(?:level|range|value|ratio)s? (?:is|are|of [\w -]+ (?:is|are)) (?:normal|too|high|low|diagnostic)|\bconsidered (?:enlarged|high|low|normal|abnormal)\b", r"^(?=.*\d)(?=.*\b(?:normal\w*|healthy|ranges?|means?|limit|defined|considered)\b)", "normal level levels range value values rate count considered"),
    _row("count", r"^\W*how many\b", _NUMBER, "many number"),
    _row("look-alikes", r"\b(?:imitat\w+|mimic\w*|pitfalls?|look-?alikes?|mistaken for|confused with)\b", r"\b(?:imitat\w+|mimic\w*|pitfalls?|mistaken|confused|resembl\w+|look-?alikes?|look the same|looks? like|same as|cannot always be told)\b", "imitate imitates mimic pitfall pitfalls look-alike lookalike mistaken confused with reading read"),
    _row("appearance", r"^\W*how (?:do|does|did|would|can|is|are)\b.*\b(?:look(?! (?:after|for|into|at|up|out)\b)|appear|seen|recogni[sz]ed?)\b|\blooks? like\b|\bappearances?\b", r"\b(?:appear\w*|looks?|seen|visible|shows?|blunt\w*|lucen\w+|opa(?:que|cit\w+)|white\w*|dark\w*|black|bright\w*|pale\w*|gr[ae]y|red|blue|yellow|brown|pink|purple|lines?|bands?|spots?|patch\w*|shadows?|round\w*|oval|signs?|patterns?|sharp\w*|thicken\w*|enlarged|flat\w*|small|large|raised|rash|blisters?|bumps?|scal[ey]\w*|swollen|swelling)\b", "look looks like appear appears appearance appearances seen recognized recognised"),
    _row("amount", r"^\W*how (?:large|big|wide|thick|far|high|deep|tall)\b(?!.*\b(?:risks?|chances?|doses?|likel\w+)\b)|^\W*how much (?:fluid|liquid|water|blood|air|urine|contrast|gas)\b", rf"(?:\d[\d.,]*|{_WORDED}) ?(?:to \d[\d.,]* ?)?(?:(?:[mcµμ]m|m|ml|l|[mµμ]?c?g|kg|iu|mmhg|hu|percent|per cent|times|degrees|lit(?:er|re)s?|ounces?|inch(?:es)?|feet|foot|pounds?|cups?|glasses|hours?|minutes?|k?cal(?:ories)?|units?|fold|millimet\w+|centimet\w+|met(?:er|re)s?|grams?|milligrams?)\b|[%°])", "much large big wide thick far high deep tall"),
    _row("kinds", r"\bsub-?types? of\b|^\W*(?:what|which) (?:are the |are )?(?:main |different |common )?(?:kinds?|forms?|types) of\b", r"\bincludes?\b|(?<!is a )(?<!common )(?<!one )\b(?:types|forms|kinds)\b", "subtype subtypes kind kinds type types form forms main different common"),
    _row("symptoms", r"\b(?:symptoms?|manifestations?|signs? of|clinical (?:features|presentation))\b", r"\bsymptom\w*|\bsigns?\b|\bpresent(?:s|ing) (?:with|as)\b|\bmanifest\w*|\bcharacteri[sz]ed\b|\bfeatures?\b", "symptom symptoms sign signs manifestation manifestations clinical features presentation", r"\bsymptoms?\b.{0,80}\b(?:includ|are|may be|can be|such as)|\bcharacteri[sz]ed by\b|\bpresents? with\b"),
    _row("diagnosis", r"\bdiagnos(?:e|ed|ing)\b|\bdiagnosis of\b|\b(?:tests?|exams?) (?:for|of|to)\b|\bscreen(?:ed|ing)?\b|\bdetect(?:ed)?\b", r"\bdiagnos\w+|\btest\w*\b|\bexam\w*|\bbiops\w+|\bscan\w*|\bimaging\b|\bx-rays?\b|\bultraso\w+|\bdetect\w*|\bconfirm\w*|\bscreen\w*|\bblood (?:count|work|samples?)\b|\bMRI\b|\bCT\b|\bmammogra\w+|\bculture", "diagnose diagnosed diagnosing diagnosis test tests exam exams screen screened screening detect detected"),
    _row("treatment", r"\b(?:treat\w*|therap(?:y|ies)|management|managed|remed(?:y|ies)|first-line|drug of choice)\b|\b(?:drug|medicine|medication|antibiotic)s? (?:is|are) (?:used|given|recommended)\b", r"\b(?:un)?treat\w*|\btherap\w+|\bmanag\w+|\bmedicines?\b|\bmedications?\b|\bdrugs?\b|\bsurg\w+|\boperat\w+|\bantibiotics?\b|\bgiven\b|\bprescri\w+|\badminist\w+|\breplac\w+|\bsupplement\w*|\btransplant\w*|\binject\w+|\bdiet\w*|\bcure\b|\breliev\w+|\brepair\w*", "treat treated treatment treatments therapy therapies management managed remedy first-line drug choice medicine medication used given recommended", r"\btreat(?:ed|ment|ments|ing)?\b.{0,60}\b(?:with|includes?|involves?|consists?|is|are|may)\b|\bused to treat\b|\b(?:therapy|drug of choice)\b"),
    _row("danger", r"^\W*(?:is|are|can|could) .*\b(?:dangerous|serious|harmful|severe|risky|safe|unsafe)\b", r"\bdanger\w*|\bserious\w*|\bsever\w+|\blife-?\s?threatening|\bcomplicat\w+|\bharm\w*|\bfatal\w*|\bdeath|\bmild\b|\bbenign\b|\brisk\w*|\b(?:un)?safe\w*|\bdefects?\b|\bavoid\w*|\bshould not\b", "dangerous serious harmful severe risky safe unsafe"),
    _row("prevention", r"\bprevent\w*|^\W*how\b.*\bavoid\w*|\breduce (?:the |my |your |one's )?risk\b|\bprotect\w*", r"\bprevent\w*|\bavoid\w*|\breduc\w+|\blower\w*|\bvaccin\w+|\bimmuni[sz]\w+|\bprotect\w*|\bstop\w*", "prevent prevented preventing prevention avoid avoided reduce risk protect"),
    _row("risk", r"\bat (?:higher |greater |increased )?risk\b|\brisk factors?\b|^\W*who (?:gets?|develops?|suffers?)\b|\bmore (?:common|likely|frequent) in\b|\baffects? (?:wom[ae]n|m[ae]n|girls?|boys?|males?|females?|children|bab\w+)\b", r"\brisk\b|\b(?:more|most|less|equally) (?:common|likely|often|frequent)\w*|\bprone\b|\bsusceptib\w*|\bthan (?:in )?(?:wom[ae]n|m[ae]n|boys|girls|females|males)\b|\baffects?\b|\brarely\b|\b(?:fe)?males?\b", "risk factor factors get gets likely common frequent more affect affects develop develops higher greater increased"),
    _row("cause", r"\bcause[sd]?\b|\b(?:a?etiology|reasons?) (?:of|for)\b|\blead to\b|\bresponsible for\b", r"\bcaus\w+|\brisk factors? for\b|\blinked to\b|\bassociated with\b|\bsymptom of\b|\bdue to\b|\bresults? (?:from|in|of)\b|\bresulting\b|\bbecause\b|\bleads? to\b|\bled to\b|\btrigger\w*|\bmutations?\b|\bdeficien\w+|\b(?:viral|bacterial|fungal|parasitic)\b|\binfection (?:with|by)\b|\bresponsible for\b|\bcomes? from\b|\bsecondary to\b|\boccurs? when\b|\bdevelops? when\b|\bmost often from\b|\bso that\b", "cause causes caused organism germ pathogen agent deficiency etiology reason reasons why lead result responsible due", r"\bcaused by\b|\bcauses? of\b|\bis due to\b|\bresults? from\b|\bcauses\b"),
)  # fmt: skip


@remembered(4096)
def relation_of(question: str) -> Relation | None:
    """What is asked of the thing; None where it is the thing itself, or nothing that a row knows.

    >>> [found.name if (found := relation_of(text)) else "" for text in ("Can asthma be cured?", "How common is gout?", "What is gout?")]
    ['cure', 'frequency', '']
    """
    return next((row for row in ROWS if row.asks.search(question)), None)
