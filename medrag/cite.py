"""Evidence keys in an answer → checked citations. Keys that point at nothing are taken out.

A citation quotes, for each claim that carries its key, the sentence of its item that says the same (there, not there, left open) of most of
the claim's content words, and shares most of them; ``support`` is the mean share of a claim's content words of which it says the same. Of a
bare yes or no it quotes the sentence that says so of what was asked; of a picture's label there is none. Whether the claim follows is not judged.
"""

from __future__ import annotations

import re

from medrag._util.polarity import OPPOSITE
from medrag._util.render import page_of
from medrag._util.text import sentences, words
from medrag.prompts import KEYS, REFUSAL, UNSEEN, listed
from medrag.types import Box, Citation, Context, Hit, ImageRecord, Page, Passage, Status
from medrag.vlms._ask import parse
from medrag.vlms._classes import is_label
from medrag.vlms._consensus import marked
from medrag.vlms._messages import spoken
from medrag.vlms._stance import says, stance
from medrag.vlms._words import stem_set

_KEYS = re.compile(r"(?<![ \t])[ \t]*" + KEYS.pattern)
UNANSWERED = "the evidence does not answer the question"
_OTHERWISE = re.compile(
    r"\W*(?:Reports of look-alike studies|Reports) say otherwise\b"
)  # what medrag-small adds to its word
_WHY = re.compile(
    rf"((?:This asks|The (?:image|findings reader) does not tell|I (?:was not taught|do not|cannot tell|have not|answer)|One image does|Nothing compares|These images were)[^.]*(?:\.\.?[^.]*)?)\. {re.escape(REFUSAL)}$"
)  # what medrag-small says before it refuses
_SORRY = re.compile(  # what may stand before a refusal
    r"(?:(?:i'm |i am |we are )?(?:very )?(?:sorry|afraid)|unfortunately|(?:my |i )?apolog(?:ies|i[sz]e))\b[,.;: ]*(?:but )?(?:that )?"
    r"|(?:based on|from|given|according to) (?:the |this )?(?:\w+ )?(?:evidence|context|passages?|documents?|excerpts?|sources?|information)\b[^,]{0,40}, "
)
_SOURCES = r"(?:the |this )?(?:provided |given |retrieved |available )?(?:evidence|context|passages?|documents?|excerpts?|sources?|information)"
_TO_ANSWER = r"to (?:\w+ly )?(?:answer|tell|say|determine|decide|conclude|know|assess|judge|provide|give)\b"
_CANNOT = r"(?:cannot|can't|can not|could not|couldn't)"
_DECLINES = re.compile(  # how language models refuse in words of their own: of the question or of what they were given, not of what is on the picture
    rf"(?:(?:i|we) (?:do not|don't|{_CANNOT}|am unable to|am not able to) (?:\w+ly )?"
    r"(?:(?:answer|assist|help|tell|determine|provide|comment|give)\b|say\b(?! that\b)|(?:see|view) (?:the |this |any |your )?(?:image|picture|film|scan|photo)s?\b"
    r"|find (?:it|this|that|(?:the|an) answer|any(?:thing)? (?:relevant )?(?:information|about))\b)|i (?:do not|don't) know\b|i'm (?:unable|not able)\b"
    rf"|{_SOURCES}(?: (?:found|provided|given|above))? "
    r"(?:do(?:es)?(?: not|n't) (?:contain|answer|say|mention|provide|state|include|address|give|tell|specify|cover)\b"
    rf"|(?:is|are)(?: not|n't) (?:sufficient|enough)(?:\W*$| {_TO_ANSWER})|is not available\b)"
    rf"|there is (?:not enough|no|insufficient) (?:\w+ )?(?:information (?:to|in|on|about|regarding)\b|evidence {_TO_ANSWER})"
    rf"|(?:insufficient|not enough) (?:information|evidence)(?:\W*$| {_TO_ANSWER})|as an ai\b"
    rf"|it is (?:not possible|impossible) {_TO_ANSWER}|(?:this|that|it|the question|the answer) {_CANNOT} be (?:answered|determined|told|found)\b"
    r"|no (?:image|picture|film|evidence|context)s? (?:is|was|were|has been|have been) (?:provided|given|attached|uploaded)\b)"
)
_ADDS = re.compile(  # what may follow a refusal that says nothing of the matter
    rf"please\b|you\b|if you\b|for (?:more|further|medical)\b|consult\b|(?:it|they) (?:only|just|merely)\b|{_SOURCES} (?:only|just|merely)\b|(?:i|we) (?:would|recommend|suggest|am|need|can only)\b|i'm an?\b"
)
_YET = re.compile(r"\b(?:but|however|although|though|nevertheless|still)\b")
DEEPEST = 10  # keys inside keys that are taken out; nothing that is deeper cites


def keys_in(text: str) -> list[str]:
    """Evidence keys in order of first use: ``"… [E2][E1, E2]"`` → ``["E2", "E1"]``."""
    return list(dict.fromkeys(key for group in _KEYS.finditer(text) for key in listed(group.group(1))))


def strip_invented(text: str, known: set[str]) -> str:
    """The text with every key that is not in ``known`` removed; ``[E1, E9]`` becomes ``[E1]``."""

    def mend(match: re.Match[str]) -> str:
        kept = [key for key in listed(match.group(1)) if key in known]
        blank = " " if match.group(0)[0] in " \t" else ""
        return blank + "".join(f"[{key}]" for key in kept) if kept else ""

    for _ in range(DEEPEST):  # "[E[E9]7]" holds a key once the inner one is out
        if (mended := _KEYS.sub(mend, text)) == text:
            return text
        text = mended
    return text.replace("[", "").replace("]", "")


def cite(text: str, context: Context) -> tuple[str, Status, tuple[Citation, ...], str]:
    """The mended text, its status, its citations and the reason where the status is not "answered"."""
    hits = dict(context)
    begun = text.lstrip().lower().startswith("<think")  # what a model says to itself first
    text = strip_invented("".join(spoken([text])) if begun else text, set(hits)).strip()
    if not words(_KEYS.sub("", text)):
        return REFUSAL, "abstained", (), "the model wrote no answer"
    if _refuses(text):
        return text, "abstained", (), _reason(text)
    asked = context.query.text
    citations = tuple(_citation(key, hits[key], claims_of(text, key), asked, text) for key in keys_in(text))
    if text.startswith(UNSEEN.partition("{")[0]):
        return text, "abstained", citations, "the question is about the image, and this model does not look at it"
    if not citations:
        return text, "uncited", (), "the answer names no evidence" if hits else "no evidence was given"
    return text, "answered", citations, ""


def _reason(text: str) -> str:
    """Why medrag-small says that it does not answer, before the refusal; of other texts that the evidence does not."""
    found = _WHY.match(text)
    return found[1] if found else UNANSWERED


def _refuses(text: str) -> bool:
    """Whether the refusal is all that it says, or its last word where nothing rests on evidence; or a refusal in words of the model's own, with no evidence and
    after it no more than two sentences, which say nothing of the matter."""
    refusal, bare = words(REFUSAL), _KEYS.sub("", text)
    said = sentences(bare) or [""]
    if words(bare) == refusal:
        return True
    if keys_in(text):
        return False
    return words(said[-1])[-len(refusal) :] == refusal or (len(said) < 4 and _declines("; ".join(said)))


def _declines(text: str) -> bool:
    """Whether a text refuses to answer, and says nothing else in another clause or after a "but"."""
    first, *others = (one.strip() for one in re.split(r"[.!]?;", text.strip().lower().replace("’", "'")))
    while sorry := _SORRY.match(first):
        first = first[sorry.end() :]
    refuses = not first or (bool(_DECLINES.match(first)) and not _YET.search(first))
    return refuses and all(_ADDS.match(other) or _DECLINES.match(other) for other in others)


def claims_of(text: str, key: str) -> list[str]:
    """The sentences of the text that carry the key, without any key."""
    # a key after the full stop belongs to the sentence before it
    joined = re.sub(r"([.!?])((?:\s*\[E\d+\])+)", r"\2\1", text)
    return [_KEYS.sub("", sentence) for sentence in sentences(joined) if key in keys_in(sentence)]


def _best_quote(claim: str, text: str, question: str, answer: str = "") -> tuple[str, float | None]:
    """The sentence of ``text`` that agrees with most content words of the claim, then holds most, and the share that agrees; of evidence that says
    otherwise than a closed ``answer``, the one that does."""
    ask, against = parse(question), bool(_OTHERWISE.match(claim))
    said = OPPOSITE.get(says(ask, answer), "") if against else says(ask, claim)
    wanted = frozenset(mark for mark in marked(claim) if not against and mark.rstrip("-?") not in ("yes", "no"))
    if not wanted and said:
        own = [sentence for sentence in sentences(text) if stance(ask, sentence) == said]
        return (own or [_best_quote(question, text, "")[0]])[0], None

    def shared(sentence: str) -> tuple[int, int, int]:
        return len(wanted & marked(sentence)), len(stem_set(claim) & stem_set(sentence)), -len(sentence)

    quote = max(sentences(text), key=shared, default="")
    return quote, shared(quote)[0] / len(wanted) if wanted else None


def _citation(key: str, hit: Hit, claims: list[str], question: str, answer: str) -> Citation:
    item = hit.item
    quotes = {claim: _best_quote(claim, item.text, question, answer) for claim in dict.fromkeys(claims)}
    found = [quotes[claim] for claim in claims]
    quote = " … ".join(dict.fromkeys(sentence for sentence, _ in found if sentence))
    shares = [share for _, share in found if share is not None]
    counted = is_label(item) and bool(item.text.strip())  # a label is counted: no claim is made of its words
    support = sum(shares) / len(shares) if shares and not counted else None
    boxes: tuple[Box, ...] = ()
    if isinstance(item, Passage):
        boxes = item.boxes
    elif isinstance(item, Page):
        boxes = tuple(Box(*box) for box in item.meta.get("boxes", ()))  # the regions that the page was found by
    elif isinstance(item, ImageRecord) and item.box:
        boxes = (item.box,)
    return Citation(key, item, quote, page_of(item), boxes, support)
