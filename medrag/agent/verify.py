"""Is a hit evidence for a question? The sentence that bears it out, what it says, and where two pieces contradict each other.

Rules over words, those of the extractive answerer and of the grounding score: no meaning is judged, and a paraphrase without a
common word is not seen. Text that speaks to a machine instead of a reader is no evidence, whatever else it says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from medrag._util.instructions import INSTRUCTS, instruction_in
from medrag._util.text import sentences
from medrag.agent import asking
from medrag.prompts import describe
from medrag.score.checked import check
from medrag.score.grounding import stances
from medrag.types import Context, Hit, Query
from medrag.vlms import _words as words
from medrag.vlms._ask import Ask, parse
from medrag.vlms._classes import is_label
from medrag.vlms._evidence import collect, is_report, is_similar, rank, usable
from medrag.vlms._stance import ORDER, stance

FLOOR = 0.5  # of the question's weight that one sentence must hold, as of the extractive answerer
LONG, COVERED = (
    6,
    0.3,
)  # words of a question that no sentence holds half of, and the share of them that a whole text must hold
SAME = 0.6  # of the shorter quote's content words that two must share to be about the same
Entails = Callable[[str, str], bool]  # (evidence, claim)


class Said(NamedTuple):
    """A verified piece by its key: what it was asked, what it says of that, and in which words."""

    key: str
    goal: str
    view: str
    quote: str
    patient: bool  # it speaks of one patient


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` is empty where the hit is evidence."""

    quote: str = ""
    view: str = ""
    support: float = 0.0  # 0–1
    reason: str = ""


def verify(hit: Hit, goal: str, entails: Entails | None = None, given: bool = False) -> Verdict:
    """Whether the hit speaks to ``goal``, a question or the words that were searched for; a statement, which ends with a full stop, is checked with ``entails``.

    What is ``given`` is of this very patient: it is evidence whatever it says.
    """
    text = hit.item.text
    if not text.strip():
        return Verdict(reason="it has no text")
    if found := instruction_in(text) or instruction_in(describe(hit)):
        return Verdict(reason=f"{INSTRUCTS} ({found[:40]!r}) instead of evidence")
    ask = parse(asking.still(goal) if is_report(hit) else goal)  # a report speaks of one day
    if given:
        return _given(hit, ask)
    if is_similar(hit) and is_label(hit.item):  # it is counted, not read
        return Verdict(text.strip(), "", _likeness(hit))
    if ask.sort == "report" or (is_similar(hit) and not ask.finding):
        return _looked_at(hit)
    if ask.sort == "closed" and ask.finding and is_report(hit):
        return _viewed(hit, ask)
    return _worded(hit, ask, goal, entails)


def _looked_at(hit: Hit) -> Verdict:
    """What is wanted is a look-alike as a whole."""
    if not is_similar(hit):
        return Verdict(reason="no look-alike, and the question names no finding")
    quote = next((s.text for s in collect(Context(Query("?"), (hit,))) if usable(s.text)), "")
    return Verdict(quote, "", _likeness(hit)) if quote else Verdict(reason="no usable sentence")


def _given(hit: Hit, ask: Ask) -> Verdict:
    """The sentence that speaks of the finding, else the first."""
    pool = sentences(hit.item.text) or [hit.item.text]
    said = next(((text, view) for text in pool if (view := stance(ask, text))), (pool[0], ""))
    return Verdict(said[0], said[1], 1.0)


def _viewed(hit: Hit, ask: Ask) -> Verdict:
    """A report is evidence where one of its sentences says whether the finding is there."""
    said = [(view, s.text) for s in collect(Context(Query("?"), (hit,))) if (view := stance(ask, s.text))]
    for wanted in ORDER:
        if quotes := [text for view, text in said if view == wanted]:
            return Verdict(quotes[0], wanted, 1.0)
    return Verdict(reason="it does not speak of the finding")


def _worded(hit: Hit, ask: Ask, goal: str, entails: Entails | None) -> Verdict:
    """A text is evidence where one sentence holds enough of the question's words, rare ones counting more.

    A long question describes what it asks about: of it, a text as a whole must hold enough.
    """
    pool = collect(Context(Query("?"), (hit,)))
    if not ask.topic:
        return Verdict(reason="the question names nothing that could be looked for")
    scored = rank(ask, pool, relating=False)
    score, best = (min(1.0, scored[0][0]), scored[0][1]) if scored else (0.0, None)
    covered = _covered(hit, ask) if len(ask.topic) >= LONG else 0.0
    if best is None or (score < FLOOR and covered < COVERED):
        return Verdict(reason=f"no sentence holds enough of what is asked ({score:.2f} < {FLOOR:.2f})")
    if entails and goal.rstrip().endswith(".") and ask.sort == "open" and not entails(hit.item.text, goal):
        return Verdict(reason="it does not bear out the statement")
    # a textbook speaks of no patient: it takes no side
    return Verdict(best.text, "", covered if score < FLOOR else score)


def _covered(hit: Hit, ask: Ask) -> float:
    """The share of the question's words that the text and its heading hold."""
    heading = f"{getattr(hit.item, 'title', '')} {getattr(hit.item, 'section', '')}"
    held = words.stem_set(hit.item.text) | words.stem_set(heading)
    return len(set(ask.topic) & held) / len(set(ask.topic))


def _likeness(hit: Hit) -> float:
    """The similarity of the look-alike, 0–1, not the sum of fused ranks."""
    scores = (p.score for p in hit.parents or (hit,) if p.retriever.startswith("similar"))
    return max(0.0, min(1.0, max(scores, default=hit.score)))


def inferred(infers: Entails, evidence: str, claim: str) -> bool:
    """Whether the evidence bears a claim out by the rules with which claims are checked or, where they leave it open, by a classifier."""
    verdict = check(claim, evidence).verdict
    return infers(evidence, claim) if verdict == "absent" else verdict == "supported"


def contradicts(one: str, other: str) -> bool:
    """Whether two sentences are about the same and one affirms what the other denies.

    >>> contradicts("There is a left pleural effusion.", "No left pleural effusion is seen.")
    True
    """
    left, right = stances(one), stances(other)
    shared = left.keys() & right.keys()
    if not shared or len(shared) < SAME * min(len(left), len(right)):
        return False
    return any({left[word], right[word]} == {"present", "absent"} for word in shared)


def conflicts(told: Sequence[Said]) -> list[str]:
    """Contradictions, each as a sentence: opposite views of one goal, and opposite quotes of general texts.

    Reports speak of several patients: they are set against each other only where both were asked the same.
    """
    found = []
    for goal in dict.fromkeys(one.goal for one in told if one.view):
        sides = {view: [s.key for s in told if s.goal == goal and s.view == view] for view in ("present", "absent")}
        if all(sides.values()):
            pro, contra = (", ".join(keys) for keys in sides.values())
            found.append(f"conflict on {goal!r}: {pro} for it, {contra} against it")
    texts = [one for one in told if not one.patient]
    for one, other in itertools.combinations(texts, 2):
        counted = one.goal == other.goal and one.view and other.view
        if not counted and contradicts(one.quote, other.quote):
            found.append(f"conflict: {one.key} and {other.key} say the opposite")
    return found
