"""Tunes a model on preference pairs: when to trust what was retrieved, and when the picture.

    python pipelines/04_train_preferences.py preferences/pairs.jsonl --out medrag-small-pt

Needs ``pip install "medrag[tune]"``. Hardware for the small model: 2 CPU cores, 3 GB of memory; --minutes sets a clock that the schedule
follows to its end. Larger models go by name (--model llava-hf/llava-1.5-7b-hf), on a GPU in bfloat16 with --gradient-checkpointing, on
several with ``accelerate launch``. A run that was cut off goes on from --work. ``MedRAG.open("iu", model="./medrag-small-pt")`` answers
with what comes out. For the ablation: --kinds, and --method dpo or sft with the same --steps. By rewards in place of pairs
(GRPO): ``medrag tune train preferences/answers.jsonl --set method=grpo`` (docs/tuning.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

from medrag.errors import MedragError
from medrag.tune.pairs import KINDS, counts
from medrag.tune.peers import is_first
from medrag.tune.run import tune
from medrag.tune.trainer import PreferenceTraining, settings_of


def main() -> int:
    usual = PreferenceTraining()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--model", default="medrag-small")
    parser.add_argument("--out", type=Path, default=Path("medrag-small-pt"))
    parser.add_argument("--work", type=Path, default=Path("preference-work"))
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), help="pairs that are used")
    parser.add_argument("--method", default=usual.method, choices=("weighted", "dpo", "sft"))
    parser.add_argument("--beta", type=float, default=usual.beta)
    parser.add_argument(
        "--supervised", type=float, default=usual.supervised, help="weight of the chosen answers' cross-entropy"
    )
    parser.add_argument(
        "--untuned",
        type=float,
        default=usual.untuned,
        help="share of the weights before tuning in those that are saved",
    )
    parser.add_argument("--most", type=int, default=usual.most, help="pairs of each kind (0: all)")
    parser.add_argument(
        "--unbalanced", dest="balance", action="store_false", help="however often yes is preferred to no"
    )
    parser.add_argument("--epochs", type=int, default=usual.epochs)
    parser.add_argument(
        "--steps", type=int, default=usual.steps, help="end after so many (0: when the epochs are over)"
    )
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--tokens", type=int, default=usual.tokens, help="of a batch")
    parser.add_argument(
        "--minutes", type=float, default=usual.minutes, help="end by then (0: when the epochs are over)"
    )
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--precision", default=usual.precision, choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--gradient-checkpointing", action="store_true")
    try:
        tuned(parser.parse_args())
    except MedragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def tuned(options: argparse.Namespace) -> None:
    """Tunes as the command line says and prints what came of it, in the first process alone."""
    named = [field.name for field in fields(PreferenceTraining) if hasattr(options, field.name)]
    settings = settings_of({name: getattr(options, name) for name in named})
    pairs, found = tune(
        options.pairs, options.out, settings, model=options.model, kinds=options.kinds, work=options.work
    )
    if is_first():
        print(json.dumps({"pairs": counts(pairs), **found}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
