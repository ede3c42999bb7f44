"""Which page of a book answers? Questions with their pages, the rankers of a built index by page, and how near they come.

Questions are those of ``eval/pages/questions.yaml``, written by a reader of the pages, and those that the textbooks' own print
gives (medrag/corpora/page_questions.py): definitions, terms, captions. None was made with a look at what a retriever finds.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from medrag._util.files import sha256_text
from medrag._util.places import share
from medrag.corpora.page_questions import derived, drawn
from medrag.errors import SettingsError
from medrag.eval.arms import Arm, one_by_one
from medrag.eval.tasks import Example, NoExample, Output, Task, check_split
from medrag.retrieve import fuse
from medrag.score.overlap import means
from medrag.settings import Strict, parse, read_yaml
from medrag.types import Hit, Passage, Query, page_id

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG
    from medrag.score import Rows, Weights

    Values = dict[str, Any]

DEPTH = 50  # pages of a ranking
ASKED = 400  # hits asked of a retriever: a page has several passages
FOLDERS = {"openstax": "open/openstax", "guidelines": "open/pdfs"}  # corpora of the recipe "books" → the pack's folders
TEXTBOOKS = "openstax"
DRAWN = {"definition": 80, "term": 40, "caption": 40}  # of the questions that the print gives
_NUMBER = re.compile(r"^(.*#p)(\d+)$")


class Written(Strict):
    """One row of the file of written questions."""

    kind: Literal["table", "figure", "index", "glossary"]
    doc: str
    pages: tuple[int, ...] = Field(min_length=1)
    says: tuple[str, ...]  # words that each page holds; empty where the answer stands in a picture
    q: str


class WrittenSet(Strict):
    """The file: short names of the PDFs (without ``.pdf``), and the rows."""

    docs: dict[str, str]
    questions: tuple[Written, ...]


def written() -> WrittenSet:
    """The written questions that ship. Raises SettingsError for a row that does not fit."""
    path = share() / "eval" / "pages" / "questions.yaml"
    found: WrittenSet = parse(WrittenSet, read_yaml(path), str(path))
    return found


def questions(data: Path, split: str, task: Task) -> list[Example]:
    """``split``: "written", "derived", or "all" for both. The reference is {page id: 1}, each of which answers; a group is
    a page. Written questions to a PDF that the folder lacks are left out."""
    check_split(task, data, split, ("written", "derived", "all"))
    pdfs = {path.stem: corpus for corpus, folder in FOLDERS.items() for path in sorted((data / folder).glob("*.pdf"))}
    if not pdfs:
        raise NoExample(f"{data} holds no PDF under {', '.join(FOLDERS.values())}", "name the data pack with --data")
    made = _written(pdfs) if split in ("written", "all") else []
    return [*made, *_derived(data)] if split in ("derived", "all") else made


def _written(pdfs: Mapping[str, str]) -> list[Example]:
    found = written()
    made = []
    for row in found.questions:
        stem = found.docs[row.doc]
        if stem in pdfs:
            doc = f"{pdfs[stem]}:{stem}"
            made.append(
                _example(row.kind, row.q, doc, row.pages, (), ("written",) if row.says else ("written", "in a picture"))
            )
    return made


@functools.cache
def _derived(data: Path) -> tuple[Example, ...]:
    every = {path.stem: derived(path) for path in sorted((data / FOLDERS[TEXTBOOKS]).glob("*.pdf"))}
    kept = {id(one) for one in drawn([one for found in every.values() for one in found], DRAWN)}
    return tuple(
        _example(one.kind, one.text, f"{TEXTBOOKS}:{stem}", one.pages, one.leave_out, ("derived",))
        for stem, found in every.items()
        for one in found
        if id(one) in kept
    )


def _example(
    kind: str, text: str, doc: str, pages: Sequence[int], leave_out: Sequence[int], tags: tuple[str, ...]
) -> Example:
    gold = {f"{doc}#p{number}": 1 for number in pages}
    without = tuple(f"{doc}#p{number}" for number in leave_out)
    name = f"{kind}/{sha256_text(doc, text)[:10]}"
    return Example(name, next(iter(gold)), text, gold, exclude=without, tags=(kind, *tags))


def make_page_finder(name: str, rag: MedRAG, seed: int) -> Arm:
    """A retriever of the index by name, several with ``+`` between them (reciprocal rank fusion), or ``random`` pages.

    Hits on passages and figures count for their page, at its best rank. Raises SettingsError for a name the index lacks.
    """
    settings = {"fingerprint": rag.fingerprint, "depth": DEPTH, "seed": seed}
    if name == "random":
        ids = sorted(item.id for item in rag.store.items.iterate(kinds=("page",))) if rag.store else []
        return Arm(name, settings, one_by_one(lambda example: Output(ranking(_shuffled(ids, seed, example), example))))
    parts = name.split("+")
    if strange := [part for part in parts if part not in rag.retrievers]:
        raise SettingsError(
            f"the index has no retriever {strange[0]!r}",
            f"known: random, {', '.join(rag.retrievers)}, or several with +",
        )

    def call(example: Example) -> Output:
        query = Query(example.question)
        found = {part: ranking(page_ids(rag.retrievers[part].retrieve(query, ASKED)), example) for part in parts}
        return Output(found[name] if len(parts) == 1 else _fused(found))

    return Arm(name, settings, one_by_one(call))


def page_ids(hits: Sequence[Hit]) -> list[str]:
    """The pages that hits stand on, best first, each once."""
    pages = (page_id(hit.item.id) for hit in hits)
    return list(dict.fromkeys(page for page in pages if page))


def ranking(pages: Sequence[str], example: Example) -> dict[str, float]:
    """{page: 1 / rank} of the first `DEPTH` that do not hold the question's very words."""
    allowed = [page for page in pages if page not in example.exclude][:DEPTH]
    return {page: 1 / rank for rank, page in enumerate(allowed, 1)}


def _fused(found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    hits = {
        part: [Hit(Passage(page, page, ""), score, rank, part) for rank, (page, score) in enumerate(pages.items(), 1)]
        for part, pages in found.items()
    }
    return {hit.item.id: hit.score for hit in fuse.rrf(hits, dict.fromkeys(hits, 1.0))[:DEPTH]}


def _shuffled(ids: Sequence[str], seed: int, example: Example) -> list[str]:
    return random.Random(f"{seed}/{example.id}").sample(ids, len(ids))


class PageRanking:
    """Recall at 1, 5 and 10, MRR, nDCG at 10, success at 5, and near-recall at 5: pages found with one page's play.

    All gains are 1. Recall is over all pages that answer; ``near@5`` counts one as found where a page at most one before
    or after it in the same document is among the first five. Equal scores are ordered by page id.
    """

    name = "pages"
    NAMES = ("recall@1", "recall@5", "recall@10", "mrr", "ndcg@10", "success@5", "near@5")

    def rows(self, answers: Sequence[Mapping[str, float]], references: Sequence[Mapping[str, int]]) -> Rows:
        """(n, 7). ``answers``: {page: score} of each question; ``references``: {page: 1}."""
        return np.array([_row(*pair) for pair in zip(answers, references, strict=True)]).reshape(-1, len(self.NAMES))

    def totals(self, rows: Rows, weights: Weights) -> Values:
        return means(self.NAMES, rows, weights)


def _row(scores: Mapping[str, float], gold: Mapping[str, int]) -> list[float]:
    order = sorted(scores, key=lambda page: (-scores[page], page))
    hits = [page in gold for page in order]
    found = {k: sum(hits[:k]) for k in (1, 5, 10)}
    first = next((rank for rank, hit in enumerate(hits, 1) if hit), 0)
    gain = sum(hit / np.log2(rank + 1) for rank, hit in enumerate(hits[:10], 1))
    best = sum(1 / np.log2(rank + 1) for rank in range(1, min(10, len(gold)) + 1))
    near = sum(any(page in near_pages(wanted) for page in order[:5]) for wanted in gold)
    recalls = [found[k] / len(gold) for k in (1, 5, 10)]
    return [*recalls, 1 / first if first else 0.0, gain / best, float(found[5] > 0), near / len(gold)]


def near_pages(page: str) -> set[str]:
    """A page with its neighbours in the same document."""
    match = _NUMBER.match(page)
    return {page} if match is None else {f"{match[1]}{int(match[2]) + step}" for step in (-1, 0, 1)}


ABOUT: dict[str, str] = {
    "pages": "late interaction over the regions of pages and their figures",
    "page-lexical": "BM25 over whole pages",
    "page-dense": "one vector of the text encoder for a whole page (it reads the first 256 tokens)",
    "dense": "the text encoder over passages; the best passage's page",
    "lexical": "BM25 over passages; the best passage's page",
    "random": "pages drawn at random",
}
