"""What is said in a session without a search: thanks, and what asks about an answer that was given – what it rests on, how sure it is, a shorter one,
and what would contradict it. Rules over words; everything comes from the answers before.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from medrag._util.findings import reading_asked
from medrag._util.text import sentences
from medrag.agent import asking
from medrag.agent.things import LONGEST
from medrag.cite import keys_in
from medrag.types import Answer
from medrag.vlms import _words
from medrag.vlms._ask import parse, plain

NOTHING_ASKED = "nothing was asked"
Turns = Sequence[tuple[str, Answer]]
_SO = r"^\W*(?:(?:so|then|but|and|ok(?:ay)?|well)\b\W*)*"
_THANKS = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|great|perfect|good|fine|cool|nice|no|yes)\b\W*)*(?:many )?(?:thanks?(?: you)?|thx|cheers)\b(?: (?:very|so) much| a lot| again| for (?:that|this|your help|the help|everything)|[\s,.!]+(?:good)?bye|[\s,.!]+that(?:['’]s| is) all)*\W*$",
    re.IGNORECASE,
)
_WELL = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|great|perfect|good|fine|cool|nice|all right|alright|i see|got it|understood|bye|goodbye)\b\W*)+$",
    re.IGNORECASE,
)
_HELLO = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening|day))(?: (?:there|medrag|everyone))?\W*$", re.IGNORECASE
)
_SURE = re.compile(r"\b(?:sure|certain|confident|really)\b", re.IGNORECASE)
_SAID = re.compile(
    rf"{_SO}(?:no\b\W*)?(?:you (?:just )?(?:said|told me|wrote|claimed)\b.*|(?:are you )?really|is that (?:really )?(?:so|true|correct|right|wrong)"
    r"|(?:(?:i think )?(?:you|that|this|it)(?:['’]re|['’]s| are| is| must be| may be)|are you|no[,!]?) (?:really )?(?:wrong|mistaken|not (?:true|right|correct)|false|nonsense)|i (?:do not|don['’]t) (?:believe|trust) (?:you|that|it|this)|wrong)\W*$",
    re.IGNORECASE,
)
_AGAIN = re.compile(  # wants an answer once more
    rf"{_SO}(?:please )?(?:(?:can|could|would) you )?(?:please )?(?:(?:repeat|say)(?: (?:that|it|this|your answer|the answer))?(?: once more| again)?|what did you (?:just )?(?:say|answer|tell me)(?: (?P<first>first|at first|(?:at|in) the beginning))?|what was (?:your|the) (?P<one>first |last )?answer|come again)(?: please)?\W*$",
    re.IGNORECASE,
)
_MORE = re.compile(
    rf"{_SO}(?:please )?(?:(?:can|could|would) you )?(?:please )?(?:(?:what|anything|something) (?:else|more)(?: (?:is there|do you know|can you (?:say|tell me)))?|is there (?:anything|something|nothing) (?:else|more)|(?:tell me|say|explain|know|give me)(?: (?:it|that|this))? (?:(?:a (?:bit|little)|some|any) )?more(?: (?:details?|information))?(?: (?:about|on) (?:it|that|this))?|(?:some )?more(?: (?:details?|information))?|(?:please )?(?:go on|continue|elaborate)(?: (?:on|with) (?:it|that|this))?)(?: please)?\W*$",
    re.IGNORECASE,
)
_SHORTER = re.compile(
    rf"{_SO}(?:(?:can|could|would) you )?(?:please )?(?:(?:make|say|put|tell|give|keep|be)\b )?(?:(?:it|that|this|me|a|an|the answer)\b )*(?:(?:a (?:bit|little)|much|more)\b )?(?:in )?"
    r"(?:shorter|short|brief|briefly|briefer|concise|concisely|one sentence|a sentence|a nutshell|a few words|tl;? ?dr|less detail|too long|short version|shorter answer|short answer|summari[sz]e(?: (?:it|that|this))?)(?: (?:version|answer|please|pls))*\W*$",
    re.IGNORECASE,
)
_NORMAL = re.compile(
    rf"{_SO}(?:is |are )?(?:(?:the|this|that|her|his) (?:chest )?(?:film|image|picture|scan|x-?ray|radiograph|study|chest)|everything|all)(?:['’]s| is| are)? (?:(?:completely|entirely|really|then|all) )?"
    rf"(?:normal|healthy|ok(?:ay)?|fine|unremarkable)(?: then)?\W*$|{_SO}(?:there(?:['’]s| is) )?nothing(?: is)?(?: abnormal| wrong| there)?\W*$",
    re.IGNORECASE,
)
_NONE = re.compile(
    rf"{_SO}(?:no|not)(?: even)? (?:an? )?(?:small|tiny|little|minimal|minor|trace|mild|slight|subtle|single)(?: one| bit)?\W*$|{_SO}(?:there(?:['’]s| is| are) )?(?:none|no such thing)(?: at all)?\W*$",
    re.IGNORECASE,
)

_THERE = re.compile(
    r"(?:(?:is|are|was|were) there|(?:do|does|did|has|have) .* (?:shows?|have|demonstrate|reveal|got))\b", re.IGNORECASE
)


def pleasantry(text: str) -> str:
    """The polite line that answers thanks and the like; empty for what is none."""
    if len(text) > LONGEST:
        return ""
    if _THANKS.match(text):
        return "You are welcome."
    if _HELLO.match(text):
        return "Hello. What would you like to know?"
    return "All right." if _WELL.match(text) else ""


def of_the_last(question: str, turns: Turns) -> Answer | None:
    """What an earlier answer says to a question about it; None where it is asked about something else."""
    if not turns or len(question) > LONGEST:
        return None
    last, asked = turns[-1][1], plain(question)
    if _SAID.match(question) or (asking.WHY.match(asked) and _SURE.search(asked)):
        return _sure(*turns[-1])
    if asking.WHY.match(asked):
        return reasons(last)
    if _SHORTER.match(question):
        return shorter(last)
    if again := _AGAIN.match(question):
        told = [answer for _, answer in turns if answer.reason != NOTHING_ASKED] or [last]
        return told[0] if again["first"] or (again["one"] or "").lower() == "first " else last
    against = turns if _NORMAL.match(question) else turns[-1:] if _NONE.match(question) else ()
    found = [turn for turn in reversed(against) if _affirmed(*turn) and _pictures(turn[1]) == _pictures(last)]
    return _told(*max(found, key=lambda turn: turn[1].confidence or 0.0)) if found else None


def wants_more(question: str) -> bool:
    """Whether it asks for more of the same: "what else?", "tell me more".

    >>> wants_more("What else?"), wants_more("can you explain more?"), wants_more("What else causes gout?")
    (True, True, False)
    """
    return len(question) <= LONGEST and bool(_MORE.match(question))


def said_already(answer: Answer, turns: Turns) -> bool:
    """Whether all that an answer quotes was quoted before."""
    before = {one.quote for _, told in turns for one in told.citations}
    return answer.status == "answered" and {one.quote for one in answer.citations} <= before


def reasons(answer: Answer) -> Answer:
    """What an answer rests on, in the words of what it cites; nothing is searched for and no model is asked."""
    quotes = [f"[{one.key}] “{one.quote or one.item.text}”" for one in answer.citations]
    if quotes:
        text = f"It cites {'; '.join(quotes)}."
    elif answer.status == "abstained":
        text = f"It was not answered: {answer.reason or 'nothing that was found answers it'}."
    else:
        whence = "it comes from the image alone" if answer.context.query.images else "it comes from the model alone"
        text = f"It cites nothing: what was found does not bear it out, and {whence}."
    return dataclasses.replace(answer, text=text, claims=(), confidence=None)


def shorter(answer: Answer) -> Answer:
    """Its first sentence; of a report its impression. What says but yes or no takes the next sentence with it."""
    whole = re.sub(r"([.!?])((?:\s*\[E\d+\])+)", r"\2\1", answer.text)  # keys before the full stop
    body = whole.partition("Impression:")[2].strip() or whole
    said = sentences(body) or [body]
    text = " ".join(said[: 2 if len(said[0].split()) < 3 and len(said) > 1 else 1])
    citations = tuple(one for one in answer.citations if one.key in keys_in(text))
    status = "uncited" if answer.status == "answered" and not citations else answer.status
    claims = tuple(one for one in answer.claims if one.text in text)
    return dataclasses.replace(answer, text=text, citations=citations, status=status, claims=claims)


def _sure(question: str, answer: Answer) -> Answer:
    """How sure an answer is, and what it rests on."""
    why = reasons(answer)
    if answer.status == "abstained":
        return why
    sure = answer.confidence
    told = (
        "for answers of this sort it was not calibrated how sure they are"
        if sure is None
        else f"with a confidence of {sure:.2f}"
    )
    return dataclasses.replace(why, text=f"{_before(question, answer)}, {told}. {why.text}")


def _told(question: str, answer: Answer) -> Answer:
    """An affirmed finding, held against a question that takes it to be absent."""
    return dataclasses.replace(answer, text=f"No: {_before(question, answer, low=True)}.", claims=(), confidence=None)


def _before(question: str, answer: Answer, *, low: bool = False) -> str:
    said = shorter(answer).text.rstrip(". ")
    return f"{'asked' if low else 'Asked'} “{question.strip()}”, I answered “{said}”"


def _affirmed(question: str, answer: Answer) -> bool:
    """Whether the answer says that what was asked about is there, and is nothing normal: yes to a mass, no to a normal heart."""
    said = re.match(r"(?:likely )?(yes|no)\b", answer.text, re.IGNORECASE)
    ask, (label, against) = parse(question), reading_asked(plain(question))
    if ask.sort != "closed" or answer.status == "abstained" or not said or not ask.finding:
        return False
    there = _THERE.match(plain(question)) or {*ask.finding} & _words.ILL
    if label == "normal" or not (label or there):
        return False
    return (said[1].lower() == "yes") != (against or ask.negated)


def _pictures(answer: Answer) -> list[str]:
    return [image.sha256 for image in answer.context.query.images]
