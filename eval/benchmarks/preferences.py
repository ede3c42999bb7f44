"""What each kind of preference pair does: the same model tuned with all kinds, without each, by plain DPO and by fine-tuning, for equal steps.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/preferences.py preferences/pairs.jsonl --work FOLDER

``all`` is the weighted loss on every kind of pair (`medrag.tune.pairs`), ``without KIND`` the same less one kind, ``dpo`` plain DPO on the pairs about
retrieval alone (oa1, oa2; the D_oa of MMed-RAG, arXiv 2410.13085), ``sft`` the cross-entropy of the chosen answers of every kind. Each begins with the
untuned model and ends after the same number of steps. All answer the balanced closed questions of studies that no pair is made of, without evidence, with
it, and with it but noise for a picture; the first four also with another patient's evidence and with the study's own report. Reliance is that of
``medrag tune report``; ``loss`` and ``gain`` are what another patient's evidence takes and what a true report gives, in accuracy over no evidence. Differences
to the untuned model are paired, bootstrap over studies. What is there is not done again. Writes ``eval/results/preferences.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util.files import write_json
from medrag._util.places import share
from medrag.eval import runner, statistics
from medrag.eval.compare import load
from medrag.score.overlap import means
from medrag.score.reliance import ReferenceUse, paired, right
from medrag.tune.pairs import KINDS, counts, read_pairs
from medrag.tune.policy import open_policy
from medrag.tune.trainer import PreferenceTraining, train

TASK = "iu_xray_balanced"
ARMS = ("none", "adaptive", "noise-image")
PLACED = {"loss": "wrong-patient-context", "gain": "oracle-context"}


@dataclass(frozen=True, slots=True)
class Variant:
    """How one model is tuned; no kinds: not at all."""

    kinds: tuple[str, ...] = KINDS
    settings: dict[str, Any] = field(default_factory=dict)
    placed: bool = False  # asked with evidence that is put there, too


VARIANTS = {
    "untuned": Variant((), placed=True),
    "all": Variant(placed=True),
    "dpo": Variant(("oa1", "oa2"), {"method": "dpo", "supervised": 0.0}, placed=True),
    "sft": Variant(settings={"method": "sft"}, placed=True),
    **{f"without {kind}": Variant(tuple(k for k in KINDS if k != kind)) for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class Gained:
    """Accuracy with evidence that was put there, less accuracy without evidence. Rows (n, 2)."""

    name: str

    def totals(self, rows: Any, weights: Any) -> dict[str, Any]:
        found = means(("with", "without"), rows, weights)
        return {self.name: found["with"] - found["without"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder for the tuned models and their answers")
    parser.add_argument("--variant", action="append", choices=list(VARIANTS), help="default: all of them")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--most", type=int, default=100, help="pairs of each kind")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--beta", type=float, default=0.2)
    parser.add_argument("--supervised", type=float, default=0.1)
    parser.add_argument("--limit", type=int, default=60, help="studies")
    parser.add_argument("--split", default="val")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "preferences.json")
    options = parser.parse_args()
    usual = {name: getattr(options, name) for name in ("steps", "most", "rate", "beta", "supervised")}
    found: dict[str, Any] = {**usual, "split": options.split, "limit": options.limit, "variants": {}}
    before: dict[str, Any] = {}
    for name in options.variant or VARIANTS:
        used = tuned(VARIANTS[name], options, usual, options.work / name.replace(" ", "-"))
        rows, groups = answered(VARIANTS[name], options, options.work / name.replace(" ", "-"))
        before = before or rows
        found["variants"][name] = used | scores(rows, before, groups)
        write_json(options.out, found)
    print(json.dumps(found, indent=1))


def tuned(variant: Variant, options: Any, usual: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Trains a variant unless its weights are there; what it was trained on."""
    if not variant.kinds:
        return {}
    pairs = read_pairs(options.pairs, variant.kinds)
    settings = PreferenceTraining(**{**usual, **variant.settings})
    noted = folder / "measures.json"
    if not noted.is_file():
        policy, known = open_policy("medrag-small"), options.work / "reference.npz"
        (folder / "work").mkdir(parents=True, exist_ok=True)
        if known.is_file():  # it depends on the untuned model and the pair alone
            shutil.copy(known, folder / "work")
        measures = train(policy, pairs, settings, folder / "work")
        shutil.copy(folder / "work" / known.name, known)
        policy.save(folder / "model", f"{settings} on {', '.join(variant.kinds)}")
        write_json(noted, {"made": counts(pairs), **measures})
    return dict(json.loads(noted.read_text(encoding="utf-8")))


def answered(variant: Variant, options: Any, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """score → (its measure, its rows), and the study of each row."""
    model = str(folder / "model") if variant.kinds else "medrag-small"
    data, reads = (
        Path(os.environ["MEDRAG_DATA"]),
        {"alike": 0},
    )  # where look-alike studies are counted, reports are not read
    planned = runner.plan(TASK, data, split=options.split, model=model, limit=options.limit, options=reads)
    lines = {}
    for arm in (*ARMS, *(PLACED.values() if variant.placed else ())):
        out = folder / f"{arm}.json"
        runner.run(planned, arm, out)
        found = {line["id"]: line for line in load(out)[1]}
        lines[arm] = [found[example.id] for example in planned.examples]  # models are paired by place
    told = paired(*(lines[arm] for arm in ARMS))
    use = ReferenceUse()
    rows: dict[str, Any] = {"use": (use, use.rows(told.answers, told.references))}
    alone = {line["id"]: line for line in lines["none"]}
    for name, arm in PLACED.items() if variant.placed else ():
        both = [[right(one["value"], one["reference"]) for one in (line, alone[line["id"]])] for line in lines[arm]]
        rows[name] = (Gained(name), np.array(both, float))
    return rows, told.groups


def scores(rows: dict[str, Any], before: dict[str, Any], groups: list[str]) -> dict[str, Any]:
    """score → [value, low, high], and the same of the difference to the untuned model."""
    found: dict[str, Any] = {"questions": len(groups), "scores": {}, "differences": {}}
    for name, (measure, own) in rows.items():
        for score, values in statistics.interval(measure, own, groups).items():
            found["scores"][score] = rounded(values)
        if own is not before[name][1]:
            for score, change in statistics.difference(measure, own, before[name][1], groups).items():
                found["differences"][score] = rounded((change["difference"], *change["interval"]))
    return found


def rounded(values: tuple[float, ...]) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


if __name__ == "__main__":
    main()
