"""Plausible hallucinations: an answer that could be believed and is wrong (MMedPO, arXiv 2412.06141).

MMedPO asks the target model or a large one for them. Here they are made by rule: a closed answer is turned round, and a report takes
over a finding that the retrieved report of another patient has and the truth has not, which is how retrieval really misleads. Any
callable with the same arguments may stand in, a language model among them. It judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medrag._util.text import sentences
from medrag.score.claims import claims, compare
from medrag.score.closed import parse

if TYPE_CHECKING:
    from medrag.tune.answers import Told

Hallucinate = Callable[["Told", str], str]  # (question with answers, truth) → a wrong answer, or "" where there is none


def plausible(told: Told, truth: str) -> str:
    """A closed answer turned round; a report with a sentence of the evidence that the truth contradicts or lacks; else empty."""
    if told.asked.kind == "closed":
        said = parse(truth)
        return {"yes": "No.", "no": "Yes.", "": ""}[said]
    if told.asked.kind == "report":
        return borrowed(truth, [piece.text for piece in told.evidence], told.asked.reference)
    return ""


def borrowed(report: str, others: list[str], reference: str) -> str:
    """The report with the first sentence of other reports that states a finding which report and reference lack; empty without one.

    The sentence stands first among the findings; what the report denies of it is left out, so that it does not contradict itself.
    """
    heading = ["Findings:"] if report.startswith("Findings:") else []
    own = sentences(report.removeprefix("Findings:").strip())
    for other in others:
        for sentence in sentences(other):
            if not _invented(sentence, report) or not _invented(sentence, reference):
                continue
            left = [text for text in own if not compare(sentence, text).contradicted]
            return " ".join([*heading, sentence, *left])
    return ""


def _invented(sentence: str, reference: str) -> bool:
    """Whether a sentence affirms a finding, and every finding that it affirms is missing from the reference."""
    affirmed = [claim for claim in claims(sentence) if claim.polarity == "positive"]
    compared = compare(sentence, reference)
    return bool(affirmed) and not compared.matched
