"""What an answer says, sentence by sentence, held against its evidence and against what the image's reader sees.

The check is `medrag.score.checked`; of a bare yes or no it is what the reports say of the finding asked about. Text and image are kept
apart: a sentence that only other patients' reports bear out is copied, not seen. It writes nothing new; `held` takes out what neither
bears out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Literal

from medrag._util.findings import ASKED, presence_asked
from medrag._util.polarity import OPPOSITE
from medrag._util.remember import remembered
from medrag._util.text import words as words_of
from medrag.prompts import REFUSAL
from medrag.score.checked import Checked, Verdict, check, fullest
from medrag.score.grounding import OWN, stances, statements
from medrag.score.grounding import Claim as Statement
from medrag.types import Claim, Context, Hit
from medrag.vlms._ask import Ask, parse
from medrag.vlms._evidence import is_report
from medrag.vlms._revise import SEEN
from medrag.vlms._stance import says, stance
from medrag.vlms._vote import strongest_view

UNFOUNDED = "what the model wrote is borne out by neither the evidence nor the image"
UNSEEN = 0.1  # probability below which the reader speaks against a finding
_GENERAL = re.compile(
    r"^\W*(?:can|could|may|might|do|should|would)\b|\b(?:usually|often|always|typically|commonly|causes?|risk|treatments?)\b",
    re.IGNORECASE,
)  # of what books know
_YES_NO = re.compile(r"\W*(?:yes|no)\W*", re.IGNORECASE)
_HEADED = re.compile(r"^\W*(?:findings|impression)\W*:\W*", re.IGNORECASE)  # a sentence on the line of its heading
_QUOTED = re.compile(
    r'^The (?:report|caption) of (?:a look-alike|another) (?:study|image) reads "(.+?)"\W*$'
)  # what is quoted is held against it
_EMPTY = re.compile(
    r"(?:\bfindings|\bimpression)[ \t]*:\s*(?=(?:findings|impression)[ \t]*:|\Z)", re.IGNORECASE
)  # a heading with nothing under it
_OTHERWISE = frozenset(
    {"Reports of look-alike studies say otherwise.", "Reports say otherwise."}
)  # stands behind a yes or no, without its keys
_CUT = "\0"
Infers = Callable[[str, str], Checked]  # (claim, evidence)


def checked(
    text: str, context: Context, seen: Mapping[str, float] | None = None, infers: Infers | None = None
) -> tuple[Claim, ...]:
    """The claims of an answer in order, each checked; ``seen`` are the reader's probabilities by label, 0–1.

    ``infers(claim, evidence)`` is asked of sentences that the rules find nothing on (`medrag.entailment`).
    """
    ask, hits = parse(context.query.text), dict(context)
    return tuple(
        _claim(one, ask, hits, seen or {}, bool(context.query.images), infers)
        for one, _ in statements(text)
        if _claims(one.text, ask)
    )


def held(text: str, found: Sequence[Claim], unsupported: str) -> str:
    """The answer as the setting wants it: "mark" leaves it, "remove" takes out the sentences that nothing bears out, "abstain" refuses for
    one of them; the refusal, too, where nothing is left."""
    unfounded = {one.text for one in found if not borne_out(one)}
    if unsupported == "mark" or not unfounded:
        return text
    if unsupported == "abstain" or len(unfounded) == len({one.text for one in found}):
        return REFUSAL
    gone = unfounded | (_OTHERWISE if any(map(_YES_NO.fullmatch, unfounded)) else frozenset())
    return _without(text, gone)


def _without(text: str, gone: Container[str]) -> str:
    """The text with these of its sentences cut out; line breaks stay, and headings that something is left under; a line that held nothing else goes."""
    left, at = "", 0
    for one, words in statements(text):
        place = _place(_HEADED.sub("", words, count=1)).search(text, at)
        if place and one.text in gone:
            left += text[at : place.start()] + _CUT
        elif place:
            left += text[at : place.end()]
        at = place.end() if place else at
    left = re.sub(rf"(?m)^[ \t]*(?:{_CUT}[ \t]*)+(?:\n|\Z)", "", left + text[at:])
    left = re.sub(rf"(?m)[ \t]*(?:{_CUT}[ \t]*)+$|(?:{_CUT}[ \t]*)+", "", left)
    return _EMPTY.sub("", left).strip()


def _place(sentence: str) -> re.Pattern[str]:
    """What finds a sentence in the text that it was taken from, where its blanks and the places of its keys may be others."""
    words = re.findall(r"\w+", sentence)
    lead = sentence.partition(words[0])[0] if words else sentence
    return re.compile(r"\s*".join([*map(re.escape, lead.split()), r"\W*".join(words)]) + r"[^\w\s]*")


def borne_out(one: Claim) -> bool:
    """By its evidence, or by the image alone; what either contradicts is not."""
    return "contradicted" not in (one.verdict, one.seen) and "supported" in (one.verdict, one.seen)


def _claims(sentence: str, ask: Ask) -> bool:
    return bool(not OWN.match(sentence) and (stances(sentence) or _answer(ask, sentence)))


def _claim(
    one: Statement,
    ask: Ask,
    hits: Mapping[str, Hit],
    seen: Mapping[str, float],
    pictured: bool,
    infers: Infers | None,
) -> Claim:
    answer = _answer(ask, one.text)
    cited = {key: hits[key] for key in one.keys if key in hits} or hits
    of_patient = pictured and _of_patient(ask)
    told = {key: _held_against(hit, one.text, ask, answer, of_patient, infers) for key, hit in cited.items()}
    key = _deciding(one.text, told)
    verdict, quote = told.get(key, Checked("absent"))
    label = presence_asked(ask.text) if answer else ""
    views = {label: answer} if label else _views(one.text)
    return Claim(one.text, one.keys, verdict, key, quote, _by_image(views, seen))


def _of_patient(ask: Ask) -> bool:
    """Whether a question about a picture asks what is there to be seen, not what a thing is, looks like, causes or needs."""
    return ask.sort == "report" or ask.broad or (ask.sort == "closed" and not _GENERAL.search(ask.text))


def _held_against(hit: Hit, sentence: str, ask: Ask, answer: str, of_patient: bool, infers: Infers | None) -> Checked:
    """What one piece of evidence says of a sentence. What a textbook defines says nothing of what one patient has: it bears out what was copied from it."""
    if answer:
        return _asked(ask, answer, hit)
    sentence = _QUOTED.sub(r"\1", sentence)
    if is_report(hit):
        return _inferred(check(sentence, hit.item.text), sentence, hit, infers)
    heading = f"{getattr(hit.item, 'title', '')} {getattr(hit.item, 'section', '')}"
    found = check(sentence, hit.item.text, heading)
    if not of_patient:
        return _inferred(found, sentence, hit, infers)
    copied = found.verdict == "supported" and " ".join(words_of(sentence)) in " ".join(words_of(found.quote))
    return found if copied else Checked("absent")


def _inferred(found: Checked, sentence: str, hit: Hit, infers: Infers | None) -> Checked:
    return infers(sentence, hit.item.text) if infers and found.verdict == "absent" else found


def _deciding(sentence: str, told: Mapping[str, Checked]) -> str:
    """The key whose verdict counts: of those that bear the claim out the one whose quote says most of it, else one that contradicts it."""
    keys: dict[Verdict, dict[str, str]] = {}
    for key, one in told.items():
        keys.setdefault(one.verdict, {}).setdefault(one.quote, key)
    if borne_out := keys.get("supported"):
        return borne_out[fullest(sentence, list(borne_out))]
    return next(iter(keys.get("contradicted", {}).values()), "")


def _answer(ask: Ask, sentence: str) -> str:
    """What a bare yes or no says of the finding asked about, "present" or "absent"; empty for any other sentence."""
    return says(ask, sentence) if ask.sort == "closed" and _YES_NO.fullmatch(sentence) else ""


def _asked(ask: Ask, answer: str, hit: Hit) -> Checked:
    """What a report's strongest view of the finding means for the answer; a textbook has none of a patient."""
    found = strongest_view(ask, hit) if is_report(hit) else None
    verdicts: dict[str, Verdict] = {answer: "supported", OPPOSITE[answer]: "contradicted"}
    return Checked(verdicts[found[0]], found[1]) if found and found[0] in verdicts else Checked("absent")


@functools.cache
def _questions() -> dict[str, Ask]:
    return {label: parse(f"Is there {wordings[0]}?") for label, wordings in ASKED.items()}


@remembered(1024)
def _views(sentence: str) -> dict[str, str]:
    """What a sentence says of each finding that the reader knows."""
    return {label: view for label, ask in _questions().items() if (view := stance(ask, sentence))}


def _by_image(views: Mapping[str, str], seen: Mapping[str, float]) -> Literal["supported", "contradicted", ""]:
    """Whether the reader agrees with all findings that it has a clear view of; one that it denies counts first."""
    clear = {label: "present" if p >= SEEN else "absent" for label, p in seen.items() if p >= SEEN or p < UNSEEN}
    agreed = [clear[label] == view for label, view in views.items() if label in clear and view in OPPOSITE]
    return "" if not agreed else "supported" if all(agreed) else "contradicted"
