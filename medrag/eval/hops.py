"""Does a search find both documents that an answer needs? Questions of ``eval/hops/questions.yaml``, and what of the evidence meets them.

A question names a disease by its signs alone and asks what a textbook says of it. Its first documents are those on the disease, its
second the textbook's pages; one of each must be among the pieces that the answer was made from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from medrag._util.files import sha256_text
from medrag._util.places import share
from medrag.eval.tasks import Example, NoExample, Task, check_split
from medrag.score.overlap import means
from medrag.settings import Strict, parse, read_yaml
from medrag.types import page_id

if TYPE_CHECKING:
    from medrag.score import Rows, Weights


class Hop(Strict):
    """One row of the file: ids of documents (or of passages' documents) and of pages."""

    q: str
    first: tuple[str, ...] = Field(min_length=1)
    second: tuple[str, ...] = Field(min_length=1)


class Hops(Strict):
    """The file."""

    questions: tuple[Hop, ...]


def questions(data: Path, split: str, task: Task) -> list[Example]:
    """The questions that ship; ``split``: "dev" (every other one, with which the loop's rules were made), "test" (the others) or "all".

    The reference is {"first": […], "second": […]}. Raises NoExample where the folder lacks the documents or there is no such split.
    """
    halves = {"all": slice(None), "dev": slice(0, None, 2), "test": slice(1, None, 2)}
    check_split(task, data, split, halves)
    if not (data / "open/medquad").is_dir() or not (data / "open/openstax").is_dir():
        raise NoExample(f"{data} lacks open/medquad or open/openstax", "name the data pack with --data")
    path = share() / "eval" / "hops" / "questions.yaml"
    found: Hops = parse(Hops, read_yaml(path), str(path))
    return [
        Example(sha256_text(row.q)[:10], row.first[0], row.q, {"first": list(row.first), "second": list(row.second)})
        for row in found.questions[halves[split]]
    ]


class HopsFound:
    """Shares of questions whose evidence holds both documents, the first, the second; pieces and words of evidence; searches of the loop."""

    name = "hops"
    NAMES = ("both", "first", "second", "pieces", "words", "searches")

    def rows_with(self, evidence: Sequence[Any], references: Sequence[Any], details: Sequence[Any]) -> Rows:
        """(n, 6). ``evidence``: the kept pieces ({id, text}) of each answer; ``references`` as `questions` gives them."""
        rows = [_row(*one) for one in zip(evidence, references, details, strict=True)]
        return np.array(rows, np.float64).reshape(-1, len(self.NAMES))

    def totals(self, rows: Rows, weights: Weights) -> dict[str, Any]:
        return means(self.NAMES, rows, weights)


def _row(
    pieces: Sequence[Mapping[str, Any]], reference: Mapping[str, Sequence[str]], details: Mapping[str, Any]
) -> list[float]:
    ids = [piece["id"] for piece in pieces]
    names = {name for one in ids for name in (one, re.split("[#~]", one)[0], page_id(one))}
    first, second = (bool(names & set(reference[hop])) for hop in ("first", "second"))
    words = sum(len(piece["text"].split()) for piece in pieces)
    searches = float(details.get("usage", {}).get("steps", 1))
    return [float(first and second), float(first), float(second), float(len(pieces)), float(words), searches]
