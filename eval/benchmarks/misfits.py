"""How often the rules of `medrag.misfit` refuse questions that their picture can answer, and which pictures are taken for everyday ones.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/misfits.py [OUT]        default eval/results/misfits.json

The questions of IU X-Ray's training split and all of VQA-RAD's, each with its own picture, through the router of the recipe ``iu``; and the pictures of the task
``routing``, which the router's head was not trained on. Needs ``medrag index build iu``. To expect: no question is refused.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from pathlib import Path
from typing import Any

from medrag import MedRAG
from medrag._util.progress import track
from medrag.corpora import realdata
from medrag.eval.runner import plan
from medrag.misfit import misfit
from medrag.query import make_query

ROOT = Path(__file__).resolve().parents[2]


def asked(data: Path) -> dict[str, list[tuple[str, str]]]:
    """(picture, question) by set."""
    films = {study.uid: str(study.images[0][0]) for study in realdata.studies(data, "train") if study.images}
    rows, folder = realdata.vqa_rad(data), data / "open/vqa_rad/images"
    return {
        "IU X-Ray, training questions": [
            (films[row["uid"]], row["question"]) for row in realdata.iu_vqa(data) if row["uid"] in films
        ],
        "VQA-RAD": [(str(folder / str(row["image_name"])), str(row["question"])) for row in rows],
    }


def main(out: Path) -> None:
    data, rag = Path(os.environ["MEDRAG_DATA"]), MedRAG.open("iu")
    of = functools.cache(lambda path: rag.router.route(make_query(path, "")).shows)  # questions share pictures
    result: dict[str, Any] = {"command": "python eval/benchmarks/misfits.py"}
    for name, pairs in asked(data).items():
        told = [why for path, question in track(pairs, name, len(pairs)) if (why := misfit(question, of(path)))]
        result[name] = {"questions": len(pairs), "refused": len(told), "reasons": sorted(set(told))}
    held = [(str(one.images[0]), str(one.reference)) for one in plan("routing", data).examples if not one.question]
    for name in sorted({domain for _, domain in held}):
        some = [path for path, domain in held if domain == name]
        result[f"held back: {name}"] = {
            "pictures": len(some),
            "taken for no medical picture": sum(of(path) == "other" for path in some),
        }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "eval/results/misfits.json")
    main(parser.parse_args().out)
