"""Preference pairs: what a generator answers with evidence, without, and with a picture that shows nothing, and which it should prefer.

    MEDRAG_DATA=/path/to/pack python pipelines/03_make_preferences.py preferences --limit 1000

Needs the index ``iu`` (built first where it is not there) and ``medrag models get smollm2``. Hardware: 2 CPU cores, 3 GB of memory;
--limit 20 tries it in a minute or two. Writes ``answers.jsonl`` (a run that was cut off goes on from it), ``pairs.jsonl`` and the pictures
of noise; prints how many pairs there are of each kind, how often the reference was copied, and how often it misled. These files hold
texts of the pack and are not to be passed on. --own takes a file of your own questions (docs/tuning.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from medrag import MedRAG
from medrag.errors import MedragError
from medrag.eval.sources import training_data
from medrag.score.reliance import ReferenceUse
from medrag.tune.answers import Told, again, answer_all
from medrag.tune.asked import SETS, Asked, own_questions, training_questions
from medrag.tune.judge import judge_of, unread_by
from medrag.tune.pairs import FILE, KINDS, make_pairs, write_pairs
from medrag.tune.relevance import weights
from medrag.tune.shown import pictures_of, unseen_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", default=["iu_vqa", "iu_balanced", "vqa_rad"], help=f"of {', '.join(SETS)}")
    parser.add_argument("--own", type=Path, help="a file of your own questions in place of the sets")
    parser.add_argument("--split", default="", help="rows of your own whose column split says so; all: every row")
    parser.add_argument(
        "--limit",
        type=count,
        default=1000,
        help="questions, drawn with the seed and shared evenly among the sets (0: all)",
    )
    parser.add_argument("--recipe", default="iu")
    parser.add_argument("--model", default="medrag-small")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--most", type=count, default=0, help="pairs of each kind (0: all)")
    parser.add_argument("--written", action="store_true", help="closed questions are answered in words, not by P(yes)")
    parser.add_argument(
        "--reader", default="medrag-small", help="findings reader whose maps show lesions, or similarity:ENCODER"
    )
    parser.add_argument("--unseen", default="noise", choices=("noise", "least-similar"), help="what shows nothing")
    parser.add_argument(
        "--judge", default="", help="generator that says whether an answer is right (default: the clinical scorer)"
    )
    parser.add_argument("--low", type=float, default=0.5, help="least weight of a pair")
    parser.add_argument("--high", type=float, default=1.5, help="greatest weight of a pair")
    parser.add_argument(
        "--again",
        type=count,
        default=0,
        help="questions asked again with their own report, and with another patient's evidence",
    )
    parser.add_argument("--seed", type=int, default=0)
    try:
        make(parser.parse_args())
    except MedragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def make(options: argparse.Namespace) -> None:
    """Asks, makes pairs of the answers, and prints what came of it."""
    pack, asked = questions(options)
    weights((), options.low, options.high)
    right, unseen = judge_of(options.judge, options.folder), unseen_of(options.unseen, asked, options.seed)
    hidden, lesions = pictures_of(options.kinds, options.folder / "images", unseen, options.reader, options.seed)
    rag, began = MedRAG.open(options.recipe, model=options.model, build=True), time.time()
    told = answer_all(rag, asked, options.folder, unseen, right=right, short=not options.written)
    if options.again:
        more = again(told, pack, options.again, options.seed, right)
        told += answer_all(rag, more, options.folder, unseen, right=right, short=not options.written)
    print(f"{len(told)} questions in {time.time() - began:.0f} s, {time.process_time():.0f} s of CPU with loading")
    pairs = make_pairs(
        told,
        options.kinds,
        unseen=hidden,
        lesion=lesions,
        right=right,
        low=options.low,
        high=options.high,
        most=options.most,
    )
    if unread := unread_by(right):
        print(unread, file=sys.stderr)
    print(json.dumps({"pairs": write_pairs(pairs, options.folder / FILE), **use(told)}, indent=1))


def questions(options: argparse.Namespace) -> tuple[Path | None, list[Asked]]:
    """The pack and what is asked of it, or your own questions and no pack."""
    if not options.own:
        pack = training_data()
        return pack, training_questions(pack, options.sets, options.limit, options.seed)
    asked, left_out = own_questions(options.own, options.split, options.limit, options.seed)
    if left_out:
        print(f"{left_out} more questions are left out, drawn with the seed: --limit 0 asks all", file=sys.stderr)
    return None, asked


def count(text: str) -> int:
    """A number from 0 on, for argparse."""
    if (number := int(text)) < 0:
        raise ValueError
    return number


def use(told: list[Told]) -> dict[str, float]:
    """How the answers depend on what was retrieved, before tuning."""
    measure = ReferenceUse()
    rows = measure.rows([(t.without, t.using, t.unseen or "") for t in told], [t.asked.reference for t in told])
    return {name: round(float(v[0]), 4) for name, v in measure.totals(rows, np.ones((1, len(told)))).items()}


if __name__ == "__main__":
    sys.exit(main())
