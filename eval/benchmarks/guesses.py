"""What the bounds of `medrag-small` against guessing let through, and what the extractive answerer quotes of another disease.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/guesses.py [OUT]        default eval/results/guesses.json

`reader`: of IU X-Ray's validation studies (first image) with and without a finding, by the pack's NegBio labels and MeSH headings, the share to which the findings reader gives
less than half its usual probability, where "Where is the …?" is told that none is seen; findings with 4 studies or more. `open answers`: how sure the model is of its
own words where it answers the open questions of VQA-RAD's held-back part (30 pictures), and how many right and wrong answers lie below the bound; the bound was chosen on
these questions. `books`: MedQuAD's questions put to the index ``hops`` (200, drawn with seed 4): of the passages that are cited the share whose document has most of
the words of the disease that is asked about, and of the sentences that are quoted the share that stands in MedQuAD's own answer. Needs ``medrag index build iu`` and ``hops``; about six minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
from pathlib import Path
from typing import Any

from PIL import Image

from medrag import MedRAG
from medrag._util.findings import ASKED
from medrag._util.progress import track
from medrag.corpora import realdata
from medrag.corpora._report_parts import parse_xml
from medrag.eval.runner import plan
from medrag.prompts import REFUSAL
from medrag.vlms import small
from medrag.vlms._noted import UNLIKE

ROOT = Path(__file__).resolve().parents[2]
FEWEST = 4  # studies with a finding, below which a share says nothing
QUESTIONS = 200
_PLAIN = frozenset({"disease", "syndrome", "disorder"})


def read(data: Path, model: Any) -> dict[str, Any]:
    """By finding: studies with it, and the shares below the bound with and without it."""
    rows = []
    for study in track(realdata.studies(data, "val"), "read films"):
        with Image.open(study.images[0][0]) as picture:
            rows.append((study.positive | {f"mesh:{name}" for name in study.mesh}, model.findings([picture])))
    found = {}
    for name in ASKED.keys() & model._usual.keys():
        below = [(name in said, seen[name] < UNLIKE * model._usual[name]) for said, seen in rows]
        there, others = ([low for ill, low in below if ill is wanted] for wanted in (True, False))
        if len(there) >= FEWEST:
            found[name] = {"studies": len(there), "with it": _share(there), "without it": _share(others)}
    return found


def sure(data: Path, rag: MedRAG) -> dict[str, Any]:
    """Right and wrong open answers, all and those below the bound."""
    told: dict[str, float] = {}
    inner = rag.generator.inner  # type: ignore[attr-defined]
    written = inner.with_likelihood

    def kept(prompts: Any, images: Any) -> Any:
        texts, likely = written(prompts, images)
        told[prompts[0].question] = likely[0]
        return texts, likely

    inner.with_likelihood, bound = kept, small.SURE
    small.SURE = 0.0  # nothing is held back
    rows = []
    try:
        for one in track(plan("vqa_rad_open", data, limit=30).examples, "ask openly"):
            told.clear()
            text = rag.answer(str(one.images[0]), one.question).text
            if told and text != REFUSAL:
                rows.append((_bare(str(one.reference)) in _bare(text), next(iter(told.values())) < bound))
    finally:
        small.SURE, inner.with_likelihood = bound, written
    right, wrong = ([low for good, low in rows if good is wanted] for wanted in (True, False))
    return {
        "bound": bound,
        "right": len(right),
        "right below": sum(right),
        "wrong": len(wrong),
        "wrong below": sum(wrong),
    }


def books(data: Path) -> dict[str, Any]:
    """How many questions are answered, how many of the citations are of the disease asked about, and how many quotes are of the answer."""
    root, rag = data / "open/medquad", MedRAG.open("hops")
    focus: dict[str, str] = {}
    asked: list[tuple[str, str, str]] = []
    for file in sorted(root.rglob("*.xml")):
        tree = parse_xml(file.read_bytes(), str(file))
        name = (tree.findtext("Focus") or "").strip()
        focus[f"medquad:{file.relative_to(root).with_suffix('')}"] = name
        pairs = [(one.findtext("Question"), one.findtext("Answer")) for one in tree.iter("QAPair")]
        asked += [(question.strip(), name, answer) for question, answer in pairs if question and answer]
    drawn = random.Random(4).sample(asked, QUESTIONS)
    answered, cited, quoted = 0, list[bool](), list[bool]()
    for question, name, right in track(drawn, "ask books"):
        answer = rag.answer(None, question)
        answered += answer.status != "abstained"
        cited += [_alike(name, focus.get(one.item.doc, "")) for one in answer.citations]
        quotes = (part for one in answer.citations for part in one.quote.split(" … "))
        quoted += [_bare(part) in _bare(right) for part in quotes if len(part) > 20]
    found = {"questions": QUESTIONS, "answered": answered, "citations": len(cited), "of the disease": sum(cited)}
    return found | {"quotes": len(quoted), "of the answer": sum(quoted)}


def _alike(one: str, other: str) -> bool:
    """Whether half of a disease's words, or more, stand in another's name."""
    own, its = ({*_bare(name).split()} - _PLAIN for name in (one, other))
    return bool(own & its) and 2 * len(own & its) >= len(own)


def _bare(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _share(values: list[bool]) -> float:
    return round(sum(values) / max(1, len(values)), 3)


def main(out: Path) -> None:
    data = Path(os.environ["MEDRAG_DATA"])
    rag = MedRAG.open("iu", model="medrag-small")
    result = {
        "command": "python eval/benchmarks/guesses.py",
        "reader": read(data, rag.generator),
        "open answers": sure(data, rag),
        "books": books(data),
    }
    out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1, sort_keys=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "eval/results/guesses.json")
    main(parser.parse_args().out)
