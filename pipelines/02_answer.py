"""Answers a list of questions from a built index: one line of JSON for each, and one HTML page with all evidence.

    python pipelines/02_answer.py sample questions.jsonl --out answers.jsonl --page answers.html

``questions.jsonl`` holds one object a line: ``{"question": "…", "image": "chest.dcm", "exclude": ["openi:17"]}``. The
image is a path (relative to the file) or a list of paths; it may be left out. ``exclude`` names studies or documents (a list,
or one) that must not be used, such as the one that the image comes from.

Hardware: any CPU; with ``--model`` whatever that model needs. Questions that have a line in ``--out`` already, answered
or failed, are not asked again (``key`` of a line tells the question's), so a run that was stopped goes on; a line that was cut short is. Expect one line on the terminal for each question: its status, the
domain, how many pieces of evidence it cites, and the seconds that it took. A question that fails is written with its
error and the run goes on; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from medrag import MedRAG
from medrag._util.files import sha256_text
from medrag._util.html import answer_page
from medrag.errors import MedragError
from medrag.eval.lines import read_lines, whole_lines
from medrag.types import Answer


def main() -> int:
    parser = argparse.ArgumentParser(description="Answer a list of questions from a built index.")
    parser.add_argument("config", help="a recipe: the name of a folder under indexes/, or a YAML file")
    parser.add_argument("questions", type=Path, help="JSON lines: question, image, exclude")
    parser.add_argument("--out", type=Path, default=Path("answers.jsonl"))
    parser.add_argument("--page", type=Path, help="also write one HTML page with the answers of this run")
    parser.add_argument("--model", help="who answers; the recipe's model where left out")
    arguments = parser.parse_args()
    try:
        rag = MedRAG.open(arguments.config, model=arguments.model)
        questions = read(arguments.questions)
        done = Counter(json.loads(line)["key"] for line in whole_lines(arguments.out))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
    except (MedragError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    answers: list[Answer] = []
    failed = 0
    with arguments.out.open("a", encoding="utf-8") as sink:
        for row in questions:
            key = sha256_text(json.dumps(row, sort_keys=True))[:16]
            if done[key]:
                done[key] -= 1  # a question that stands there twice is answered twice
                continue
            result = ask(rag, row, arguments.questions.parent)
            if not isinstance(result, Answer):
                failed += 1
            elif arguments.page:
                answers.append(result)
            value = result.to_dict() if isinstance(result, Answer) else {**row, "error": str(result)}
            sink.write(json.dumps({**value, "key": key}, ensure_ascii=False) + "\n")
            sink.flush()
            print(summary(row, result))
    if arguments.page:
        arguments.page.write_text(answer_page(answers, f"{arguments.config}: {len(answers)} answers"), encoding="utf-8")
    return int(failed > 0)


def read(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines. Raises ValueError for a line that is none."""
    rows = read_lines(path)
    if strange := [row for row in rows if not isinstance(row, dict)]:
        raise ValueError(f"{path}: {strange[0]!r} is no question")
    return rows


def ask(rag: MedRAG, row: dict[str, Any], base: Path) -> Answer | MedragError:
    """The answer to one line, or the failure."""
    given = row.get("image") or []
    images = [base / name for name in ([given] if isinstance(given, str) else given)]
    try:
        return rag.answer(images or None, row.get("question") or "", exclude=row.get("exclude", ()))
    except MedragError as error:
        return error


def summary(row: dict[str, Any], result: Answer | MedragError) -> str:
    """One line about one question."""
    question = (row.get("question") or "")[:60]
    if not isinstance(result, Answer):
        return f"failed     {question}: {result}"
    seconds = sum(result.timings.values())
    return f"{result.status:<10} {result.route.domain:<12} {len(result.citations)} cited  {seconds:6.2f} s  {question}"


if __name__ == "__main__":
    sys.exit(main())
