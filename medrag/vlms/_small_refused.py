"""What the small model does not answer of a picture, each with its reason: advice, what only the patient or a ruler knows, which side, what it was not taught."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from medrag._util.findings import label_of
from medrag.prompts import REFUSAL, UNSEEN
from medrag.vlms import _words as words
from medrag.vlms._ask import parse, plain
from medrag.vlms._beyond import foreign
from medrag.vlms._changed import asks_change, asks_course
from medrag.vlms._evidence import GIVEN
from medrag.vlms._small_asked import of_tubes, untaught
from medrag.vlms._small_several import TWO, tangled
from medrag.vlms._small_sides import asks_where
from medrag.vlms._taught import TAUGHT

if TYPE_CHECKING:
    from medrag.prompts import Prompt

ADVICE = "This asks for advice, which I do not give."
UNTAUGHT = "I was not taught to see this on such an image."
NOT_UNDERSTOOD = "I have not understood the question."
_PERSON = r"(?:i|we|you|he|she|they|one|(?:the|this|my|your) (?:patient|man|woman|child|person|guy|lady|boy|girl))"
_ADVICE = re.compile(
    rf"^\W*(?:should|shall|must|ought)\b(?! (?:the|this|an?) (?:tip|tube|heart|line)\b)|^\W*(?:can|could|may|might|will|would) (?!you\b){_PERSON}\b(?! (?:see|have|tell|describe|name|be seen)\b)"
    rf"|^\W*(?:does|do) {_PERSON} (?:really |still )?(?:need|require|want)\b|^\W*(?:does|do) (?:this|it|that|these) (?:[\w-]+ ){{0,3}}?(?:need|require|warrant)\b|^\W*what (?:should|shall|must) {_PERSON}\b|^\W*what(?:'s| is)? (?:the )?next(?: steps?)?\W*$",
    re.IGNORECASE,
)
_KNOWN_ELSEWHERE = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (
            r"\b(?:blood pressure|heart rate|pulse|respiratory rate|temperature|saturation|sats|spo2|bmi|blood type|h(?:a)?emoglobin|ejection fraction|gpa|allerg(?:y|ies|ic))\b"
            r"|\bhow old\b(?! (?:is|are) (?:the|this|that) (?!patient|man|woman|child|person|boy|girl))|^\W*what(?:'s| is) (?:the |this |his |her )?(?:patient(?:'s)? )?(?:age|sex|gender|race|weight|height|ethnicity|name)(?: of (?:the|this) (?:patient|man|woman|person|child))?\W*$",
            "The image does not tell this of the patient.",
        ),
        (
            r"\bhow far\b|\bdistance\b|\bratio\b(?!.*\bnormal\b)|\bhow (?:many|much) (?:cm|mm|millimet\w+|centimet\w+|ml|millilit\w+|lit(?:er|re)s?|fluid|air)\b",
            "I do not measure on an image.",
        ),
        (
            r"^\W*(?:(?:in|on|at) )?(?:which|what) (?:ribs?|vertebra\w*|intercostal|interspace|level)\b|\b(?:rib|vertebra) number\b",
            "I cannot tell which one it is.",
        ),
        (
            r"\b(?:acute|new|recent|fresh) or (?:old|chronic|healed|subacute)\b|\b(?:old|chronic|healed) or (?:acute|new|recent|fresh)\b|\bhow (?:old|long|recent)\b|^\W*(?:since )?when\b",
            "The image does not tell me how old it is.",
        ),
        (
            r"\bhow (?:severe|bad|extensive|advanced)\b|^\W*what (?:is|are) the (?:severity|extent)\b|\b(?:mild|moderate|severe)(?:,| or) (?:mild|moderate|severe)\b",
            "I do not tell how severe a finding is.",
        ),
        (
            r"\b(?:life[- ]threatening|emergenc(?:y|ies)|critical|urgent|dangerous|serious)\b(?! (?:department|room))",
            "I do not judge how urgent a finding is.",
        ),
        (r"^\W*(?:can|could|may|might|would)\b.*\b(?:cause|explain|account for|lead to|due to)\b", "The image does not tell the cause."),
                (
            r"^\W*(?:list|name|show|count|how many)\b.*\b(?:devices|tubes?|lines?|catheters?|drains?|leads)\b|^\W*(?:what|which) (?:devices|tubes?|lines?|catheters?|drains?)\b",
            UNTAUGHT,
        ),
    )
)  # fmt: skip
_MODAL = re.compile(  # what may, will or can be, but for what can be seen
    r"^\W*(?:can|could|may|might|will|would|shall)\b(?! (?:you|u|we|i|one)\b|.*\b(?:seen|visible|shown)\b)",
    re.IGNORECASE,
)
_BY_ADVICE = re.compile(
    r"\b(?:treat\w*|therap\w+|manag\w+|medications?|drugs?|antibiotics?|done|do|recommend\w*|advi[sc]e|worr(?:y|ied))\b",
    re.IGNORECASE,
)
_KNOWN = TAUGHT | words.FRAME | words.SITES | words.STATES | words.RELATIONS
_OF_A_FILM = re.compile(  # words of how a film is taken, and of signs on it
    r"\b(?:portable|inspirat\w+|expirat\w+|inspiration|kerley|supine|erect|upright|decubitus|lordotic|rotat\w+|expos\w+|penetrat\w+|collimat\w+|marker|artifact\w*|quality|technique|projection|adequate|adequacy|hilar?|hilum"
    r"|silhouette|bronchogram\w*|costophrenic|cardiophrenic|cp|ctr|ett|ngt|picc|icd)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z]{2,}", re.IGNORECASE)
_COMMON = re.compile(
    r"\b(?:is|are|was|were|the|there|does|did|do|has|have|what|which|where|when|why|how|who|any|this|that|of|and|with|in|on|at|an?|it|to|can|could|please|no|yes|or|not|side|more|again|shorter)\b",
    re.IGNORECASE,
)


def why_not(prompt: Prompt, chest: bool) -> str:
    """Why a question about images is refused whatever the evidence says; empty for others. ``chest``: whether they are chest films, which the findings reader reads."""
    question, asked = prompt.question, plain(prompt.question)
    ours = any(hit.retriever in GIVEN for hit in prompt.context.kept)  # evidence of this patient
    if parse(question).sort in ("report", "define") or asks_change(question) or asks_course(question):
        return ""
    if _ADVICE.search(asked):
        return ADVICE
    if not ours and (told := next((reason for asks, reason in _KNOWN_ELSEWHERE if asks.search(asked)), "")):
        return told
    if foreign(question):
        return "I answer questions in English."
    if tangled(question):
        return TWO
    if not chest:
        return ""
    if _MODAL.search(asked):
        return "The image does not tell me this."
    if asks_where(question) and not ours:
        return "The findings reader does not tell on which side or where a finding is."
    if senseless(asked):
        return NOT_UNDERSTOOD
    return UNTAUGHT if (of_tubes(question) or strange(asked)) and not ours else ""


def refused(reason: str) -> str:
    """The refusal behind its reason."""
    return f"{reason} {REFUSAL}"


def reasoned(text: str, question: str) -> str:
    """What the evidence says in its words, but for the words of an answerer without eyes; the bare refusal with its reason."""
    if text.startswith(UNSEEN.partition("{")[0]):
        return refused(UNTAUGHT)
    if text != REFUSAL:
        return text
    why = ADVICE if _BY_ADVICE.search(plain(question)) else UNTAUGHT if untaught(question) else ""
    return refused(why) if why else text


def strange(question: str) -> bool:
    """Whether an open question names things alone of which no training question spoke.

    >>> strange("What is the capital of France?"), strange("What is the shape of the mass?"), strange("What do you see?")
    (True, False, False)
    """
    said = {*parse(question).stems}
    return parse(question).sort == "open" and bool(said) and not said & _KNOWN and not label_of(question)


def senseless(question: str) -> bool:
    """Whether no word of a short question is one that questions about pictures hold.

    >>> senseless("asdf qwer"), senseless("Modality?"), senseless("Portable?")
    (True, False, False)
    """
    said = _WORD.findall(question)
    return bool(
        0 < len(said) < 4
        and not _COMMON.search(question)
        and not _OF_A_FILM.search(question)
        and not label_of(question)
        and parse(question).sort == "open"
        and not words.stem_set(question) & _KNOWN
    )
