"""Preference pairs: what a generator answers with evidence, without, and with a picture that shows nothing, and which it should prefer.

    MEDRAG_DATA=/path/to/pack python pipelines/03_make_preferences.py preferences --limit 1000

Needs the index ``iu`` (built first where it is not there) and ``medrag models get smollm2``. Hardware: 2 CPU cores, 3 GB of memory;
--limit 20 tries it in a minute or two. Writes ``answers.jsonl`` (a run that was cut off goes on from it), ``pairs.jsonl`` and the pictures
of noise; prints how many pairs there are of each kind, how often the reference was copied, and how often it misled. These files hold
texts of the pack and are not to be passed on. --own takes your own questions as JSON lines (see `medrag.tune.asked.Asked`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from medrag import MedRAG
from medrag.score.reliance import ReferenceUse
from medrag.tune.answers import Told, Unseen, again, answer_all
from medrag.tune.asked import SETS, read_questions, training_questions
from medrag.tune.pairs import FILE, KINDS, make_pairs, write_pairs
from medrag.tune.pixels import LeastSimilar
from medrag.tune.shown import LesionFiles, UnseenFiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", default=["iu_vqa", "iu_balanced", "vqa_rad"], help=f"of {', '.join(SETS)}")
    parser.add_argument("--own", type=Path, help="your own questions in place of the sets")
    parser.add_argument("--limit", type=int, default=1000, help="questions, shared evenly among the sets (0: all)")
    parser.add_argument("--recipe", default="iu")
    parser.add_argument("--model", default="medrag-small")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--most", type=int, default=0, help="pairs of each kind (0: all)")
    parser.add_argument("--written", action="store_true", help="closed questions are answered in words, not by P(yes)")
    parser.add_argument(
        "--reader", default="medrag-small", help="findings reader whose maps show lesions, or similarity:ENCODER"
    )
    parser.add_argument("--unseen", default="noise", choices=("noise", "least-similar"), help="what shows nothing")
    parser.add_argument(
        "--again",
        type=int,
        default=0,
        help="questions asked again with their own report, and with another patient's evidence",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.own:
        asked = read_questions(options.own)[: options.limit or None]
    else:
        asked = training_questions(Path(os.environ["MEDRAG_DATA"]), options.sets, options.limit, options.seed)
    rag, began = MedRAG.open(options.recipe, model=options.model, build=True), time.time()
    unseen = Unseen(options.unseen, options.seed)
    if options.unseen == "least-similar":
        paths = sorted({path for one in asked for path in one.images})
        unseen = Unseen(options.unseen, options.seed, others=LeastSimilar.looked_at(paths, seed=options.seed).of)
    told = answer_all(rag, asked, options.folder, unseen, short=not options.written)
    if options.again:
        more = again(told, Path(os.environ["MEDRAG_DATA"]), options.again, options.seed)
        told += answer_all(rag, more, options.folder, unseen, short=not options.written)
    print(f"{len(told)} questions in {time.time() - began:.0f} s, {time.process_time():.0f} s of CPU with loading")
    pictures = options.folder / "images"
    shown = {"unseen": UnseenFiles(pictures, unseen)}
    if options.reader:
        shown["lesion"] = LesionFiles.named(pictures, options.reader, seed=options.seed)
    pairs = make_pairs(told, options.kinds, most=options.most, **shown)
    print(json.dumps({"pairs": write_pairs(pairs, options.folder / FILE), **use(told)}, indent=1))


def use(told: list[Told]) -> dict[str, float]:
    """How the answers depend on what was retrieved, before tuning."""
    measure = ReferenceUse()
    rows = measure.rows([(t.without, t.using, t.unseen or "") for t in told], [t.asked.reference for t in told])
    return {name: round(float(v[0]), 4) for name, v in measure.totals(rows, np.ones((1, len(told)))).items()}


if __name__ == "__main__":
    main()
