"""Retrieval benchmarks over their own documents: texts, queries, judgements. Which documents come back is measured; nothing is answered.

NFCorpus (Boteva 2016): documents and graded judgements of its split. BioASQ (Tsatsaronis 2015): the golden snippets of all questions of
the folder, joined by article, are the documents. MedQuAD (Ben Abacha 2019): every answered question should find its own document.
"""

from __future__ import annotations

import functools
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medrag.errors import CorpusError
from medrag.eval.tasks import Example, Task, check_split


@dataclass(frozen=True)
class Collection:
    """Document id → text, and the queries with their judgements {document: grade}."""

    texts: dict[str, str]
    examples: tuple[Example, ...]


@functools.cache
def nfcorpus(data: Path, split: str) -> Collection:
    """Both sorts of queries that have a judgement: titles, and descriptions of videos (tags)."""
    root = data / "noncommercial/nfcorpus"
    texts = dict(line.split("\t", 1) for line in _lines(root / f"{split}.docs.gz") if "\t" in line)
    grades: dict[str, dict[str, int]] = {}
    for line in _lines(root / f"{split}.3-2-1.qrel"):
        query, _, document, grade = line.split()
        grades.setdefault(query, {})[document] = int(grade)
    examples = []
    for sort in ("titles", "vid-desc"):
        path = root / f"{split}.{sort}.queries"
        for line in _lines(path) if path.exists() else ():
            query, _, words = line.partition("\t")
            if query in grades and words.strip():
                examples.append(Example(f"{sort}/{query}", query, words.strip(), grades[query], tags=(sort,)))
    return Collection(texts, tuple(examples))


@functools.cache
def bioasq(data: Path, split: str) -> Collection:
    """``split`` is the beginning of the files' names ("9B"), or "all"."""
    files = [p for p in sorted((data / "open/bioasq").glob("*.json*")) if split == "all" or p.name.startswith(split)]
    pieces: dict[str, dict[str, None]] = {}
    examples = []
    for path in files:
        for question in json.loads(_open(path))["questions"]:
            relevant = {}
            for snippet in question.get("snippets", ()):
                document = snippet["document"].rsplit("/", 1)[-1]
                pieces.setdefault(document, {})[snippet["text"]] = None
                relevant[document] = 1
            if relevant:
                examples.append(
                    Example(question["id"], question["id"], question["body"], relevant, tags=(question["type"],))
                )
    return Collection({document: " ".join(texts) for document, texts in pieces.items()}, tuple(examples))


@functools.cache
def medquad(data: Path, split: str, most: int = 1000) -> Collection:
    """``most`` questions drawn with seed 0; the documents are all answers. ``split``: "all", or a source's folder."""
    from medrag.corpora import open_corpus
    from medrag.settings import CorpusSettings

    folder = data / "open/medquad" / ("" if split == "all" else split)
    corpus = open_corpus(CorpusSettings(name="medquad", reader="medquad", path=str(folder)), data)
    texts: dict[str, str] = {}
    asked: list[tuple[str, str, str]] = []
    for item in corpus.read(lambda _: None):
        blocks = getattr(item, "blocks", ())
        answers = [block.text for block in blocks if block.role != "heading"]
        if not answers:
            continue
        texts[item.id] = " ".join(answers)
        asked += [(f"{item.id}/{n}", item.id, block.text) for n, block in enumerate(blocks) if block.role == "heading"]
    drawn = random.Random(0).sample(asked, min(most, len(asked)))
    return Collection(texts, tuple(Example(name, doc, question, {doc: 1}) for name, doc, question in drawn))


def _lines(path: Path) -> list[str]:
    """The lines that hold anything; other characters that end one in Unicode are part of the text."""
    return [line.removesuffix("\r") for line in _open(path).split("\n") if line.strip()]


def _open(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path} is not there", "name a folder with the pack's layout (--data) and a split it has (--split)"
        ) from error
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")


Load = Callable[[Path, str], Collection]
COLLECTIONS: dict[str, Load] = {"nfcorpus": nfcorpus, "bioasq": bioasq, "medquad": medquad}


def splits(name: str, data: Path) -> list[str]:
    """The splits that a folder has of a collection; none where it has nothing of it."""
    if name == "nfcorpus":
        return sorted(p.name.removesuffix(".docs.gz") for p in (data / "noncommercial/nfcorpus").glob("*.docs.gz"))
    if name == "bioasq":
        named = sorted(p.name.partition(".json")[0] for p in (data / "open/bioasq").glob("*.json*"))
    else:
        named = sorted(p.name for p in (data / "open/medquad").glob("*/") if p.is_dir())
    return ["all", *named] if named else []


def source(name: str) -> Callable[[Path, str, Task], list[Example]]:
    """The collection's queries as a source of examples."""

    def examples(data: Path, split: str, task: Task) -> list[Example]:
        known = splits(name, data)
        if not (name == "bioasq" and any(one.startswith(split) for one in known)):
            check_split(task, data, split, known)
        return list(COLLECTIONS[name](data, split).examples)

    return examples
