"""The evidence as sentences that can be ranked by what a question asks for.

It compares words, not meanings: a paraphrase without a common word is not found.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medrag._util.terms import TOLD
from medrag._util.text import sentences
from medrag.prompts import unkeyed
from medrag.types import Concept, Context, Hit
from medrag.vlms import _words as words
from medrag.vlms._ask import Ask
from medrag.vlms._relations import Relation, relation_of

_DEFINING = re.compile(
    r"\b(?:is|are) (?:an?|the|any|when|caused|defined|called)\b|\b(?:means|refers to|describes|occurs when)\b",
    re.IGNORECASE,
)
_BY = re.compile(r"\b(?:caused|transmitted|spread|carried) by\b", re.IGNORECASE)
_WH = re.compile(r"^\W*(?:what|which|who)\b", re.IGNORECASE)
_DOES = re.compile(
    r"^\W*(?:do|does|did|can|could|may|might|will)\b(?P<first>.+?)\b(?P<verb>caus|lead|result|trigger|prevent|treat|cure|increas|rais|lower|reduc|decreas)\w*(?P<second>.+)",
    re.IGNORECASE,
)
_CAUSAL = re.compile(
    r"\bcaus|\blead|\bled\b|\bresult|\btrigger|\bdue to\b|\bbecause\b|\brisk\b|\bcomplication", re.IGNORECASE
)
_ACTS = re.compile(
    r"\bcauses?\b(?! of)|(?:,|\b(?:is|are|be|remains|become)\b) (?:also )?(?:an?|the|one of the) (?:[\w-]+ ){0,3}causes? of\b",
    re.IGNORECASE,
)
_BACKWARDS = re.compile(
    r"\b(?:caused|triggered|treated|cured|prevented|raised|lowered|reduced|increased|produced) (?:by|with)\b|\bdue to\b|\bresults? (?:from|of)\b|\bbecause of\b|\bcomplications? of\b",
    re.IGNORECASE,
)
_SLOT = re.compile(  # of what sort the answer is
    r"^\W*(?:what|which) (?P<what>hormones?|genes?|nerves?|enzymes?|proteins?|vitamins?|neurotransmitters?|chromosomes?|arter(?:y|ies)|antibiotics?|minerals?|virus(?:es)?) (?:is|are|does|do|has|have|can|controls?|raises?|lowers?|causes?)\b",
    re.IGNORECASE,
)
_MANY = re.compile(
    r"^\W*how many (?P<what>(?:[\w-]+ ){0,3}?[\w-]+)(?= (?:of|are|is|does|do|did|can|have|has|in)\b|\W*$)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"\b(?:\d[\d,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|single|several) (?P<what>(?:(?!(?:and|or|to|in|of)\b)[\w-]+ ){0,2}[\w-]+)",
    re.IGNORECASE,
)
_NO_KIND = re.compile(
    r"\W*(?:not|often|usually|commonly|sometimes|also|more|less|most|very|too|now|still|never|important|common|rare|likely)\b",
    re.IGNORECASE,
)
_MEANING = re.compile(r"\bMeaning: ")  # a row of a glossary
_CITED = re.compile(  # a web address, or a line of a bibliography
    r"\bThese resources\b|\bGene Review\b|\b(?:[Ll]earn|[Rr]ead|[Ff]ind out) more about\b|\b[Mm]ore information (?:is|on|about|can)\b|\bprovides the following list\b|\bof the fraction\b|^In these cases, the sign or symptom\b|\btable below\b|\bfrequency of \d+/\d+ means\b|\bcomes from Orphanet\b|\binformation on frequency is\b|\bfractions may be different\b|\brough estimate of the percentage\b|\bMedical Dictionary\b|\bis called a risk factor\b|^Certain factors affect prognosis\b|https?://|\bwww\.|\bdoi:|\b(?:19|20)\d\d;\s?\d+|(?:\b[A-Z][a-z]+ [A-Z]{1,3}, ){2,}|\b[A-Z][a-z]+ [A-Z]{1,3}, [A-Z][a-z]+ [A-Z]{1,3}\b.*\b(?:19|20)\d\d\b|\bJournal of\b.*\b(?:19|20)\d\d\b"
)
_HEADINGS = re.compile(
    r"(?:[A-Z][\w'/-]*(?: (?:and|of|or|the|for|in|[A-Z][\w'/-]*))* - )+[A-Z][\w'/-]*(?: (?:and|of|or|the|for|in|[A-Z][\w'/-]*))*\W*"
)  # "Drug Therapy - Genetic Counseling"
_IS_A = re.compile(r"\W*(?:an? |the )?([^.;:,]{2,80}?) (?:is|are|means?|refers to|describes)\b", re.IGNORECASE)
_BACK = re.compile(r"(?:it|this|these|they|such)\b", re.IGNORECASE)
_TELLS = (  # what is told without the word by which it is asked for
    (
        re.compile(r"\bpresents? with\b|\bmanifests? (?:as|with)\b", re.IGNORECASE),
        words.stem_set("symptom manifestation"),
    ),
    (re.compile(r"\d\s?(?:mg|µg|μg|mcg|g|ml|units?|IU|mmol)\b"), words.stem_set("dose dosage")),
    (
        re.compile(
            r"\b(?:is|are) (?:\w+ly )?(?:given|applied|administered)\b|\b(?:therap(?:y|ies)|first-line|drug of choice)\b",
            re.IGNORECASE,
        ),
        words.stem_set("treat treatment managed"),
    ),
    (re.compile(r"\b(?:infection with|mutations? (?:in|of)|deficiency of)\b", re.IGNORECASE), words.stem_set("cause")),
)
_HEALTHY = re.compile(r"\b(?:normal(?:ly)?|healthy)\b", re.IGNORECASE)
_MUCH = re.compile(r"^\W*how much (fluid|liquid|water|blood|air|urine|contrast|gas)\b", re.IGNORECASE)
_FEATURE = re.compile(r"\bcan be a feature of\b")  # as the graph writes it, before what has the feature
_DOSE = re.compile(r"\b(?:dose|dosage)\b|\bhow much\b", re.IGNORECASE)
_PEOPLE = [
    (re.compile(rf"\b(?:in|for|among|do|does|can|could|should|are|is)\s+(?:\w+\s+)?(?:{asked})\b", re.IGNORECASE), re.compile(rf"\b(?:{named})\b", re.IGNORECASE))
    for asked, named in (
        ("child|children|kids?|toddlers?|infants?|bab(?:y|ies)|newborns?|teenagers?", r"child\w*|kids?|p(?:a?)ediatric\w*|infan\w+|bab(?:y|ies)|newborn\w*|toddlers?|teen\w*|adolescen\w+|young"),
        ("pregnancy|pregnant", r"pregnan\w+|expecting|fetus|fetal|unborn"),
        ("women|females?|girls", r"wom[ae]n|females?|girls?|mothers?"),
        ("men|males|boys", r"m[ae]n|males?|boys?|fathers?"),
        ("elderly|old people|older (?:adults|people)|seniors", r"elderly|old(?:er)?|seniors?|aged?"),
    )
]  # fmt: skip
_UNNAMED = re.compile(
    r"\W*(?:it|its|this|these|they|their|there|you|your|the|an?|no|both|most|some|many|people|patients|symptoms|side|treatment|causes?)\b",
    re.IGNORECASE,
)
_ASKS_LOOKS = re.compile(r"\b(?:look|looks|appear|appears|appearance|signs?|recogni[sz]e)\b", re.IGNORECASE)
_LOOKS = re.compile(
    r"\b(?:appears?|looks?|seen as|shows|blunt\w*|lucen\w+|opaci\w+|white|dark|bright|pale|line|shadow|rounded|sign)\b",
    re.IGNORECASE,
)
CAPTION = 9  # words of what is no sentence of its own under a heading
LONGEST = 70  # words of a sentence
LISTED = 140  # words of a sentence that is a list
TITLED = 4  # words of a heading that says more than "Treatment"
_LEAD = re.compile(  # a heading in the line of its text, not a short sentence
    r"(?!(?:No|Not|Never|It|This|They|These|He|She|We|There)\b)[A-Z][a-z]+(?: (?!(?:is|are|was|were|be|has|have|had|may|can|must|should|will|does|do|did|not|no)\b)[a-z]+)?\."
)
_PLAIN_LEADS = frozenset(
    f"{name}."
    for name in "definition description anatomy physiology histology technique indications introduction overview background summary note".split()
)
_SUMMARY = re.compile(r"^\s*Summary\s*:\s*")
_BULLET = re.compile(r"(?<=[.!?;:])\s+[-•*–]\s+(?=[A-Z])")  # of a list whose lines were run together
READER = "reader"  # the retriever's name of what the expert model said of the question's own images
HISTORY = "history"  # and of the patient's earlier studies
SHORT = 6  # letters of a synonym such as "fit" or "COPD"
GIVEN = (READER, HISTORY)  # of this patient
_REPORT_SECTIONS = ("findings", "impression", "indication", "comparison")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One usable sentence of the evidence."""

    key: str
    hit: Hit
    text: str
    place: int  # within its item
    stems: frozenset[str]
    heading: frozenset[str]  # stems of the item's title and section
    carried: frozenset[str]  # stems of the sentence before, where this one begins with "it" or "this"
    lead: str = ""  # the word or two before it that stand for a heading: "Appearance."


def is_similar(hit: Hit) -> bool:
    """Whether the hit is a study (or a part of one) that was found because its image looks alike; a figure of a book is none."""
    if hit.item.kind == "image" and hit.item.page:
        return False
    return hit.item.kind in ("study", "passage", "image") and any(s.startswith("similar") for s in hit.sources)


def is_report(hit: Hit) -> bool:
    """Whether the hit speaks of one patient: a study, or a section of a report."""
    return (
        hit.item.kind == "study" or is_similar(hit) or str(getattr(hit.item, "section", "")).lower() in _REPORT_SECTIONS
    )


def collect(context: Context) -> list[Sentence]:
    """The sentences of the evidence in order, without questions, fragments, de-identified ones ("XXXX") and lists of references.

    One that names a concept holds the words by which the question names it, too: "PTX" is asked for, and "Pneumothorax" found.
    """
    found: list[Sentence] = []
    named = [*_named(context)]
    for key, hit in context:
        if hit.item.meta.get("role") == "references":
            continue
        heading = words.stem_set(f"{getattr(hit.item, 'title', '')} {getattr(hit.item, 'section', '')}") - words.FRAME
        whole = hit.item.kind in ("triple", "concept", "image")
        before: frozenset[str] = frozenset()
        lead = ""
        for place, text in enumerate(split(_unheaded(hit))):
            if _LEAD.fullmatch(text) and (relation_of(text) or text.lower() in _PLAIN_LEADS):
                lead = text
                continue
            stems = words.stem_set(text)
            told = [means for pattern, means in _TELLS if pattern.search(text)]
            stems = stems.union(*told, *(asked for name, asked in named if name <= stems))
            if whole or usable(text):
                carried, above = before if _BACK.match(text) else frozenset(), heading | words.stem_set(lead)
                found.append(Sentence(key, hit, text, place, stems, above, carried, lead))
            before = stems
    return found


def _unheaded(hit: Hit) -> str:
    """The text of an item without the question that it answers, where it begins with that, and of a concept what is told of its name without the name."""
    if isinstance(hit.item, Concept) and TOLD.match(hit.item.definition):
        return hit.item.definition
    section = str(getattr(hit.item, "section", "")).strip()
    if not section.endswith("?") and len(section.split()) < TITLED:
        return hit.item.text
    return _SUMMARY.sub("", hit.item.text.removeprefix(section), count=1)


def _named(context: Context) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Stems of each name of a concept, but for short ones that may mean another thing, and of the words that ask for it."""
    for _, hit in context:
        if isinstance(hit.item, Concept) and (asked := words.stem_set(str(hit.item.meta.get("asked", "")))):
            others = (name for name in hit.item.synonyms if len(name) > SHORT)
            yield from ((words.stem_set(name), asked) for name in {hit.item.name, *others})


def split(text: str) -> list[str]:
    """Sentences without list numbers, bullets, and what could be mistaken for an evidence key."""
    text = _BULLET.sub("\n\n", text)
    return [clean for s in sentences(unkeyed(text)) if (clean := re.sub(r"^(?:\d{1,2}[.)]|[-•*–])\s*", "", s).strip())]


def usable(text: str) -> bool:
    """A sentence that can be shown: whole words, no question, nothing blotted out, no line of a bibliography."""
    count = len(text.split())
    letters = sum(char.isalpha() or char.isspace() for char in text)
    most = LISTED if text.count(" - ") > 2 else LONGEST
    whole = 2 <= count <= most and "XXXX" not in text and not text.endswith(("?", ":")) and letters > 0.75 * len(text)
    return whole and not _CITED.search(text) and not _HEADINGS.fullmatch(text)


def rank(ask: Ask, pool: Sequence[Sentence], *, relating: bool = True) -> list[tuple[float, Sentence]]:
    """Sentences with their scores, best first: the share of the question's weight that a sentence holds, and bonuses.

    Words weigh by their rarity in this evidence (the idf of BM25), words that frame a question a quarter; a title that holds a word
    counts half; sentences that define, and hits of high rank, gain up to 0.2 and 0.05. With ``relating`` a sentence holds what is asked of a thing
    where it tells it, and gains by a heading that promises it; without, lists of more than `LONGEST` words are left out, which hold something of everything.
    """
    topic, relation = set(ask.topic), relation_of(ask.text) if relating else None
    weight = _weights(ask, pool)
    total = sum(weight.values()) or 1.0
    scored = []
    for sentence in pool:
        told = relation.stems if relation and tells(relation, sentence) else frozenset()
        held = sum(value * _held(stem, sentence, told) for stem, value in weight.items())
        if topic & (sentence.stems | sentence.heading) and (relating or len(sentence.text.split()) <= LONGEST):
            bonus = _bonus(ask, sentence, topic) + (_related(ask, relation, sentence) if relating else 0.0)
            scored.append((held / total + bonus, sentence))
    return sorted(scored, key=lambda pair: (-pair[0], pair[1].hit.rank, pair[1].place))


def _held(stem: str, sentence: Sentence, told: frozenset[str]) -> float:
    """How much of a word a sentence holds: by itself, by what it refers back to, by its heading."""
    if stem in sentence.stems or stem in told:
        return 1.0
    return 0.8 if stem in sentence.carried else 0.5 if stem in sentence.heading else 0.0


def about(ask: Ask, sentence: Sentence) -> bool:
    """Whether a sentence of a text speaks of what the question asks about, all of its words but one in three, and tells what is asked of it.

    The title of its page or chapter says so, too; of a yes-or-no question only for a sentence that begins with no other thing's name. A dose is a number.
    """
    relation, own, wanted = relation_of(ask.text), sentence.stems | sentence.carried, subject(ask)
    if not _is_told(ask.text, relation, sentence):
        return False
    titled = ask.sort != "closed" or _UNNAMED.match(sentence.text) or own.intersection(wanted[:1])
    both = (
        relation is not None and relation.name == "difference"
    )  # a chapter on two things says nothing of their difference
    held = sum(stem in (own | sentence.heading if titled and not both else own) for stem in wanted)
    return held >= len(wanted) - len(wanted) // 3


def _is_told(question: str, relation: Relation | None, sentence: Sentence) -> bool:
    """Whether a sentence has what the question asks for: how it is told, of whom, a number, a thing of the sort that "which hormone" wants."""
    if (relation and not tells(relation, sentence)) or not _of_whom(question, sentence.text):
        return False
    if _DOSE.search(question) and not any(char.isdigit() for char in sentence.text):
        return False
    if relation and relation.name == "appearance" and _HEALTHY.search(question):
        return bool(_HEALTHY.search(_placed(sentence)))  # signs of a disease are not what is normal
    if relation and relation.name == "symptoms" and (feature := _FEATURE.search(sentence.text)):
        named = words.stem_set(question) - relation.stems - words.FRAME
        return not named <= words.stem_set(sentence.text[: feature.start()])
    if relation and relation.name == "count" and not _counts(question, sentence.text):
        return False
    slot = _SLOT.match(question)
    return slot is None or words.stem_set(slot["what"]) <= sentence.stems


def turned(ask: Ask, sentence: Sentence) -> bool:
    """Whether a sentence says the reverse of what is asked, or not that one thing causes the other: "Smoking causes lung cancer" of "Does lung
    cancer cause smoking?"."""
    found, relation = _DOES.match(ask.text), relation_of(ask.text)
    if not found:
        return bool(relation and relation.name == "cause" and ask.sort != "closed" and _is_the_cause(ask, sentence))
    first, second = (words.stem_set(found[part]) - words.RELATIONS for part in ("first", "second"))
    said = words.content(sentence.text)
    one = next((word for word in said if word.stem in first - second), None)
    other = next((word for word in said if word.stem in second - first), None)
    causal = found["verb"].lower() in ("caus", "lead", "result", "trigger")
    if one is None or other is None:
        return causal
    between = sentence.text[min(one.end, other.end) : max(one.start, other.start)]
    acts = (_CAUSAL if causal else re.compile(rf"\b{found['verb']}", re.IGNORECASE)).search(between)
    if not acts:
        return causal
    return (one.start < other.start) == bool(_BACKWARDS.search(between))


def _is_the_cause(ask: Ask, sentence: Sentence) -> bool:
    """Whether the thing whose cause is asked for is what causes something: "Rickets causes soft bones"."""
    acts, named = _ACTS.search(sentence.text), {*subject(ask)}
    if not acts or _BACKWARDS.search(sentence.text):
        return False
    before, after = words.stem_set(sentence.text[: acts.start()]), words.stem_set(sentence.text[acts.end() :])
    before |= sentence.carried
    return bool(before & named) and not named <= after


def subject(ask: Ask) -> list[str]:
    """The stems of the thing that is asked about, without what is asked of it."""
    relation = relation_of(ask.text)
    own = [stem for stem in ask.subject if relation is None or stem not in relation.stems]
    if much := _MUCH.match(ask.text):  # "200 mL are needed" says how much fluid
        own = [stem for stem in own if stem not in words.stem_set(much[1])] or own
    # "Is measles caused by a bacterium?" is answered by what causes measles
    by = None if _WH.match(ask.text) else _BY.search(ask.text)
    return [stem for stem in own if stem in words.stem_set(ask.text[: by.start()])] or own if by else own


def _of_whom(question: str, text: str) -> bool:
    """Whether a sentence names those of whom a question asks: "in children", "for pregnant women"; one of "men or women" is enough."""
    told = [bool(named.search(text)) for asked, named in _PEOPLE if asked.search(question)]
    return any(told) if len(told) > 1 and re.search(r"\bor\b", question, re.IGNORECASE) else all(told)


def _counts(question: str, text: str) -> bool:
    """Whether a number stands right before what is counted: "four chambers" of "How many chambers does the heart have?"."""
    asked = _MANY.match(question)
    wanted = words.stem_set(asked["what"]) if asked else frozenset()
    found = (words.stem_set(one["what"]) for one in _NUMBERED.finditer(text))
    return not wanted or any(wanted & one for one in found)


def rarest(ask: Ask, pool: Sequence[Sentence]) -> str:
    """Of three and more words that name the thing the one that the fewest sentences hold: "endotracheal" of "the tip of an endotracheal tube"."""
    free = words.LACKS | (
        words.WAYS if ask.sort == "closed" else frozenset()
    )  # "Does it lower …?" is answered by what raises, too
    weight, named = _weights(ask, pool), [stem for stem in subject(ask) if stem not in free]
    return max(named, key=lambda stem: weight.get(stem, 0.0)) if len(named) > 2 else ""


def tells(relation: Relation, sentence: Sentence) -> bool:
    """Whether a sentence tells what is asked of a thing, by its words or those of its heading."""
    asked = relation.stems & words.ASKED & sentence.stems
    headed = _under(sentence) is relation and len(sentence.text.split()) > CAPTION
    return bool(asked or relation.tells.search(sentence.text)) or headed


def _placed(sentence: Sentence) -> str:
    """A sentence below its headings."""
    item = sentence.hit.item
    return f"{getattr(item, 'title', '')} {getattr(item, 'section', '')} {sentence.lead} {sentence.text}"


def _under(sentence: Sentence) -> Relation | None:
    """What the heading over a sentence promises to tell, of two the nearer one."""
    section = str(getattr(sentence.hit.item, "section", ""))
    return relation_of(sentence.lead) or relation_of(section)


def _weights(ask: Ask, pool: Sequence[Sentence]) -> dict[str, float]:
    df = Counter(stem for sentence in pool for stem in sentence.stems)
    n, light = len(pool), words.FRAME | words.LIGHT
    rarity = {stem: math.log(1 + (n - df[stem] + 0.5) / (df[stem] + 0.5)) + 0.2 for stem in ask.stems}
    return {
        stem: value * (0.25 if stem in light else 1.5 if stem in ask.finding else 1.0) for stem, value in rarity.items()
    }


def defining(ask: Ask, sentence: Sentence) -> bool:
    """Whether a sentence says what the thing is: "COPD is a disease of …" does, "COPD is not contagious" does not."""
    topic, match, text = set(ask.topic), _DEFINING.search(sentence.text), sentence.text
    if sentence.hit.item.kind == "concept":
        return not sentence.place and topic <= sentence.stems
    before = text[: match.start()] if match else ""
    named = _IS_A.match(text)
    opens = named and _opens_with(topic, text) and not _NO_KIND.match(text, named.end())
    return bool(opens or (topic & words.stem_set(before) and ";" not in before) or _MEANING.search(text))


def _opens_with(topic: set[str], text: str) -> bool:
    """Whether a sentence says first of all what the thing is: "A pleural effusion is fluid in …"."""
    named = _IS_A.match(text)
    own = words.stem_set(named[1]) if named else frozenset()
    return bool(topic) and topic <= own and len(own) <= len(topic) + 1


def _bonus(ask: Ask, sentence: Sentence, topic: set[str]) -> float:
    bonus = 0.05 / sentence.hit.rank
    if is_report(sentence.hit):
        bonus -= 0.2
    if ask.sort == "define" and _opens_with(topic, sentence.text):
        bonus += 0.3
    elif ask.sort in ("define", "closed") and (match := _DEFINING.search(sentence.text)):
        before = sentence.text[: match.start()]
        bonus += 0.2 if topic & words.stem_set(before) and ";" not in before else 0.05
    if ask.sort == "define" and sentence.hit.item.kind == "concept" and not sentence.place and topic <= sentence.stems:
        bonus += 0.3
    if _ASKS_LOOKS.search(ask.text) and _LOOKS.search(sentence.text):
        bonus += 0.15
    return bonus


def _related(ask: Ask, relation: Relation | None, sentence: Sentence) -> float:
    """What a sentence gains by its heading: of the thing itself, not of a rare form of it, and of what is asked of it; and by telling it well."""
    title = words.stem_set(str(getattr(sentence.hit.item, "title", ""))) - words.RELATIONS
    bonus = 0.1 if title == {*subject(ask)} else 0.0
    if relation:
        under = _under(sentence)
        bonus += 0.15 if under is relation else -0.1 if under else 0.0
        bonus += 0.15 if relation.best and relation.best.search(sentence.text) else 0.0
    return bonus
