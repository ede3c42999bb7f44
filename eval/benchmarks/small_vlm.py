"""Closed questions to the small vision-language model: beside the majority, a reader of questions alone, and itself without the picture.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/small_vlm.py [--most N] [--out FILE]

Sets: ``balanced`` (IU X-Ray val: each finding asked of as many studies with as without it), ``reports`` (made from what the val
reports say or deny), ``vqa_rad`` (yes/no questions of the pictures held back). Arms: ``none``; ``retrieval`` (the three
training reports whose first picture is nearest); both with the picture blanked. The blind reader is TF-IDF and logistic
regression over the training questions. Intervals: 1,000 paired resamplings of studies. 2 cores: about an hour; with --most 80, 15 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from medrag import models
from medrag._util.findings import ASKED
from medrag._util.images import load_image
from medrag._util.progress import track
from medrag.corpora import questions, realdata
from medrag.encoders.findings import FindingsReader
from medrag.encoders.image_text import OpenClipImages
from medrag.tune.finish import auc
from medrag.tune.vlm import Packed, probabilities_yes
from medrag.vlms import _small_layout as layout
from medrag.vlms.medrag_small import IMAGE_TOKEN, assembled
from medrag.vlms.small import MedragSmall

ARMS = ("none", "retrieval", "none, picture blanked", "retrieval, picture blanked")
BLANK = Image.new("RGB", (256, 256), (127, 127, 127))


class Asked:
    """One study or picture with its closed questions."""

    def __init__(self, name: str, paths: list[Path], chest: bool, pairs: list[tuple[str, str]]) -> None:
        self.name, self.paths, self.chest, self.pairs = name, paths, chest, pairs


def sets(data: Path) -> dict[str, list[Asked]]:
    """The three sets, grouped by study."""
    val = {study.uid: study for study in realdata.studies(data, "val") if study.images}
    made: dict[str, list[Asked]] = {}
    for name, closed in (
        ("balanced", questions.balanced(list(val.values()))),
        ("reports", [one for study in val.values() for one in questions.from_report(study)]),
    ):
        by: dict[str, list[tuple[str, str]]] = {}
        for one in closed:
            by.setdefault(one.uid, []).append((one.question, one.answer))
        made[name] = [Asked(uid, [p for p, _ in val[uid].images[:2]], True, pairs) for uid, pairs in by.items()]
    held, root, by_image = realdata.vqa_rad_held(data), data / "open/vqa_rad/images", {}
    for row in realdata.vqa_rad(data):
        if row["image_name"] in held and str(row["answer"]).strip().lower() in ("yes", "no"):
            by_image.setdefault(row["image_name"], []).append(row)
    made["vqa_rad"] = [
        Asked(name, [root / name], rows[0]["image_organ"] == "CHEST", [(str(r["question"]), str(r["answer"]).strip().lower()) for r in rows])
        for name, rows in by_image.items()
    ]  # fmt: skip
    return made


def training_questions(data: Path) -> tuple[list[str], list[str]]:
    """What the blind reader learns from: every closed question that the model was trained on, or could have been."""
    chance, train = random.Random(0), realdata.studies(data, "train")
    rates = {t: sum(t in s.positive or t[5:] in s.mesh for s in train) / len(train) for t in ASKED}
    pairs = [(row["question"], questions.answer_of(questions.worded(row["answer"]))) for row in realdata.iu_vqa(data)]
    for study in train:
        pairs += [(c.question, c.answer) for c in questions.from_labels(study, rates, chance, 3)]
        pairs += [(c.question, c.answer) for c in questions.from_report(study)]
    held = realdata.vqa_rad_held(data)
    for row in realdata.vqa_rad(data):
        if row["image_name"] not in held and (answer := str(row["answer"]).strip().lower()) in ("yes", "no"):
            pairs.append((str(row["question"]), answer))
    return [q for q, _ in pairs], [a for _, a in pairs]


def blind(data: Path) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    asked, answers = training_questions(data)
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), LogisticRegression(C=10, max_iter=2000)).fit(asked, [a == "yes" for a in answers])  # fmt: skip


class Model:
    """The shipped parts, loaded as an answer loads them."""

    def __init__(self, data: Path, name: str) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        folder = assembled(models.resolve(name))
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = AutoProcessor.from_pretrained(folder)
        self.reader, self.encoder = FindingsReader(), OpenClipImages("medrag-small")
        self.answerer = MedragSmall(name)
        self.train = [study for study in realdata.studies(data, "train") if study.images]
        self.bank = self._bank()

    def _bank(self) -> Any:
        from medrag.types import ImageRecord

        records = [
            ImageRecord(f"{s.uid}#{n}", s.uid, "", str(p)) for s in self.train for n, (p, _) in enumerate(s.images[:1])
        ]
        vectors = np.concatenate(
            [self.encoder.encode_items(records[n : n + 128]) for n in track(range(0, len(records), 128), "encode")]
        )
        owner = {s.uid: n for n, s in enumerate(self.train)}
        sums = np.zeros((len(self.train), vectors.shape[1]), dtype=np.float32)
        np.add.at(sums, [owner[r.doc] for r in records], vectors)
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)

    def packed(self, one: Asked, arm: str) -> Packed:
        seen = [load_image(path).image.convert("RGB") for path in one.paths]
        images = [BLANK] if "blanked" in arm else seen
        pixels = self.processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            patches = self.model.model.vision_tower(pixels).last_hidden_state
        line = layout.reader_line(self.reader.read(images)) if one.chest else ""
        evidence = []
        if arm.startswith("retrieval") and one.chest:
            from medrag.types import Query, QueryImage

            vector = self.encoder.encode_queries([Query("", tuple(QueryImage(i) for i in seen))])[0]
            best = np.argsort(-(self.bank @ vector))[:3]
            evidence = [layout.evidence_line(f"E{n}", self.train[b].text) for n, b in enumerate(best, 1)]
        turns = tuple((layout.question_text(q), "") for q, _ in one.pairs)
        return Packed(patches.numpy().astype(np.float16), layout.before(line, evidence), turns)

    def yes(self, one: Asked, arm: str) -> list[float]:
        """P(yes) as the answerer gives it: the language model's odds, moved by the findings reader."""
        from medrag.prompts import Prompt
        from medrag.types import Context, Query

        images = [BLANK] if "blanked" in arm else [load_image(path).image.convert("RGB") for path in one.paths]
        chances = probabilities_yes(self.model, self.processor.tokenizer, self.packed(one, arm), IMAGE_TOKEN)
        domain = "chest-xray" if one.chest else "other"
        prompts = [Prompt(q, Context(Query(q, (), frozenset(), domain))) for q, _ in one.pairs]
        shifts = [self.answerer.reader_shift(prompt, images) for prompt in prompts]
        logits = np.clip(np.array(chances), 1e-4, 1 - 1e-4)
        return (1 / (1 + np.exp(-(np.log(logits / (1 - logits)) + shifts)))).tolist()


def scores(truth: np.ndarray, chance: np.ndarray) -> dict[str, float]:
    said = chance >= 0.5
    hits = float((said & truth).sum())
    return {
        "accuracy": round(float((said == truth).mean()), 4), "auroc": round(auc(truth, chance), 4),
        "f1": round(2 * hits / max(1.0, float(said.sum() + truth.sum())), 4),
    }  # fmt: skip


def differences(
    groups: Sequence[int], truth: np.ndarray, left: np.ndarray, right: np.ndarray, draws: int = 1000
) -> dict[str, Any]:
    """left − right with paired 95 % intervals, whole studies drawn."""
    draw, groups = np.random.default_rng(0), np.asarray(groups)
    places = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    found: dict[str, list[float]] = {"accuracy": [], "auroc": []}
    for _ in range(draws):
        rows = np.concatenate([places[n] for n in draw.integers(0, len(places), len(places))])
        a, b = scores(truth[rows], left[rows]), scores(truth[rows], right[rows])
        for name in found:
            found[name].append(a[name] - b[name])
    a, b = scores(truth, left), scores(truth, right)
    return {name: {"difference": round(a[name] - b[name], 4), "interval": [round(float(v), 4) for v in np.nanpercentile(values, [2.5, 97.5])]} for name, values in found.items()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("eval/results/small_vlm.json"))
    parser.add_argument("--model", default="medrag-small-vlm")
    parser.add_argument(
        "--most", type=int, default=0, help="studies or pictures of each set, drawn with seed 0 (0: all)"
    )
    options = parser.parse_args()
    data, began = Path(os.environ["MEDRAG_DATA"]), time.time()
    reader, model = blind(data), Model(data, options.model)
    chance = random.Random(0)
    report: dict[str, Any] = {
        "command": f"python eval/benchmarks/small_vlm.py --model {options.model} --most {options.most}", "sets": {},
    }  # fmt: skip
    for name, asked in sets(data).items():
        asked = chance.sample(asked, min(options.most or len(asked), len(asked)))
        truth = np.array([answer == "yes" for one in asked for _, answer in one.pairs])
        groups = [n for n, one in enumerate(asked) for _ in one.pairs]
        arms = {
            arm: np.array([p for one in track(asked, f"{name}: {arm}") for p in model.yes(one, arm)]) for arm in ARMS
        }
        arms["question only"] = reader.predict_proba([q for one in asked for q, _ in one.pairs])[:, 1]
        arms["majority"] = np.full(len(truth), float(truth.mean() >= 0.5))
        compared = [("none", other) for other in ("question only", "majority", "none, picture blanked")]
        compared += [
            ("retrieval", other) for other in ("none", "question only", "majority", "retrieval, picture blanked")
        ]
        report["sets"][name] = {
            "questions": len(truth), "pictures or studies": len(asked), "yes": round(float(truth.mean()), 4),
            "arms": {arm: scores(truth, chance) for arm, chance in arms.items()},
            "differences": {f"{a} − {b}": differences(groups, truth, arms[a], arms[b]) for a, b in compared},
        }  # fmt: skip
        print(json.dumps({name: report["sets"][name]["arms"]}), flush=True)
    report["seconds"] = round(time.time() - began)
    options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
