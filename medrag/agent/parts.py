"""A question of several parts, answered part by part where the model reads one question at a time; what was not answered is said."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from medrag._util.text import words
from medrag.agent.asking import sub_questions
from medrag.agent.things import ASKS, LONGEST
from medrag.cite import cite
from medrag.prompts import KEYS
from medrag.types import Answer, Citation, Context, Route

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG

BARE = 3  # words of an answer that does not say what it answers: "Yes.", "Right lower lobe."
Told = tuple[str, str]  # a part, and what answers it


def parts_of(question: str, rag: MedRAG) -> list[str]:
    """The questions that are answered one by one; one where the model is told what to do, and reads them all."""
    if getattr(rag.generator, "follows_instructions", True) or len(question) > LONGEST or ";" in question:
        return [question]
    parts = sub_questions(question)
    return parts if all(ASKS.search(part) for part in parts) else [question]


def answer_parts(rag: MedRAG, context: Context, route: Route, parts: Sequence[str]) -> tuple[Answer, list[Told]]:
    """One answer from those to each part, over the same evidence, and what answers each; that of the first where none is answered."""
    asked = [dataclasses.replace(context, query=dataclasses.replace(context.query, text=part)) for part in parts]
    each = [rag.answer_from(rag.counted(one, route), route) for one in asked]
    good = [(part, answer) for part, answer in zip(parts, each, strict=True) if answer.status != "abstained"]
    if not good:
        return each[0], []
    missing = [part for part, answer in zip(parts, each, strict=True) if answer.status == "abstained"]
    told = [(part, answer.text) for part, answer in good]
    lost = f"Not answered: {', '.join(f'“{part}”' for part in missing)}." if missing else ""
    answers = [answer for _, answer in good]
    cited = [answer for answer in answers if answer.status == "answered"] or answers
    sure = [answer.confidence for answer in answers if answer.confidence is not None]
    return dataclasses.replace(
        answers[0],
        text=" ".join(dict.fromkeys(filter(None, [*(_said(*one) for one in told), lost]))),
        reason="; ".join(dict.fromkeys(filter(None, [*(one.reason for one in cited), lost[:1].lower() + lost[1:-1]]))),
        claims=tuple(claim for answer in answers for claim in answer.claims),
        confidence=min(sure) if len(sure) == len(parts) else None,
        usage={**answers[0].usage, "answer_tokens": sum(int(one.usage.get("answer_tokens", 0)) for one in each)},
    ), told


def citations_of(told: Sequence[Told], context: Context) -> tuple[Citation, ...]:
    """The citations of each part by what it asked; of a piece that several cite one, with all their quotes."""
    found: dict[str, list[Citation]] = {}
    for part, text in told:
        for one in cite(text, dataclasses.replace(context, query=dataclasses.replace(context.query, text=part)))[2]:
            found.setdefault(one.key, []).append(one)
    return tuple(_merged(some) for some in found.values())


def _merged(some: Sequence[Citation]) -> Citation:
    support = [one.support for one in some if one.support is not None]
    quote = " … ".join(dict.fromkeys(one.quote for one in some if one.quote))
    return dataclasses.replace(some[0], quote=quote, support=fmean(support) if support else None)


def _said(part: str, text: str) -> str:
    """An answer of a word or two after its question."""
    first = re.split(r"(?<=[.!?])\s", KEYS.sub("", text), maxsplit=1)[0]
    return f"{part[:1].upper()}{part[1:]} {text}" if len(words(first)) <= BARE else text
