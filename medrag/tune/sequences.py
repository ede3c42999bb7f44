"""The small model's training sequences: for each study its pictures, the reader's line, evidence or none, and turns.

A picture's evidence is the reports of training studies that look alike, never its own and never an exact twin of it; one in eight
gets the report of an unrelated study instead, and so do pictures that are not of a chest, so that evidence is weighed and not copied. It knows nothing of weights.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.findings import ASKED
from medrag.corpora import questions, realdata
from medrag.tune.vlm import Packed
from medrag.vlms import _small_layout as layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRUST_NOISE = (
    0.3  # deviation, in units of a finding's own spread, that blurs the reader where it was trained on the study
)
WRONG = 0.125  # share of evidence that comes from an unrelated study
REPORT_WORDS = 70
# of VQA-RAD's pictures, of which there are few: noise in units of each channel's spread, patches lost, and pictures hidden altogether
PATCH_NOISE, LOST, HIDDEN = 0.5, 0.2, 0.25


@dataclass(frozen=True)
class Features:
    """What the encoder made of the pictures: patches (n, 16, 1280), unit embeddings (n, 384), logits (n, names); owner is (split, uid or file)."""

    patches: NDArray[np.float16]
    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32]
    owners: list[tuple[str, str]]

    @classmethod
    def of(cls, data: Path, encoder: str, device: str = "auto") -> Features:
        """Of the training films and all of VQA-RAD's pictures, through a shipped encoder (on the device) and its findings reader."""
        import torch
        from torch.nn import functional as F  # noqa: N812 - the usual name

        from medrag import models
        from medrag._util.images import load_image
        from medrag._util.progress import track
        from medrag.encoders.findings import FindingsReader
        from medrag.encoders.image_text import load_open_clip
        from medrag.tune.device import training_device
        from medrag.vlms.medrag_small import GRID

        reader, place = FindingsReader(encoder), str(training_device(device))
        model, transform, _ = load_open_clip(models.resolve(encoder), place)
        files = [("train", s.uid, path) for s in realdata.studies(data, "train") for path, _ in s.images]
        files += [("vqarad", path.name, path) for path in sorted((data / "open/vqa_rad/images").iterdir())]
        patches, embeddings, logits = [], [], []
        with torch.inference_mode():
            for start in track(range(0, len(files), 32), "look at pictures"):
                batch = files[start : start + 32]
                pixels = torch.stack([transform(load_image(path).image.convert("RGB")) for _, _, path in batch])
                grid = model.visual.trunk.forward_features(pixels.to(place))
                patches.append(F.adaptive_avg_pool2d(grid, GRID).flatten(2).transpose(1, 2).half().cpu().numpy())
                embeddings.append(F.normalize(model.visual.head(grid.mean((2, 3))), dim=1).cpu().numpy())
                logits.append(reader.of_maps(grid.cpu().numpy()))
        owners = [(split, name) for split, name, _ in files]
        return cls(np.concatenate(patches), np.concatenate(embeddings), np.concatenate(logits), owners)

    def rows(self, split: str) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for n, (where, name) in enumerate(self.owners):
            if where == split:
                found.setdefault(name, []).append(n)
        return found


def neighbours(
    features: Features, pool: dict[str, list[int]], asked: dict[str, list[int]], k: int
) -> dict[str, list[str]]:
    """The k studies of the pool whose mean embedding is nearest to that of each asked study, its own left out."""
    names = list(pool)
    means = np.stack([features.embeddings[rows].mean(0) for rows in pool.values()])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found = {}
    for uid, rows in asked.items():
        scores = means @ features.embeddings[rows].mean(0)
        found[uid] = [names[n] for n in np.argsort(-scores)[: k + 1] if names[n] != uid][:k]
    return found


def report(study: realdata.Study) -> str:
    """The answer to a request for a report: both sections, cut at a sentence where they are long."""
    text = f"Findings: {study.findings}" if study.findings else ""
    words = text.split()
    if len(words) > REPORT_WORDS:
        cut = " ".join(words[:REPORT_WORDS])
        text = cut[: cut.rfind(".") + 1] or cut
    return f"{text} Impression: {study.impression}".strip() if study.impression else text


class Sequences:
    """All training sequences; `epoch` draws views, evidence and questions anew each time."""

    def __init__(self, data: Path, features: Features, reader: Any, names: Sequence[str], seed: int = 0) -> None:
        self.data, self.features, self.reader, self.names, self.seed = data, features, reader, tuple(names), seed
        self.studies = {study.uid: study for study in realdata.studies(data, "train")}
        self.rows = features.rows("train")
        self.near = neighbours(features, self.rows, self.rows, 8)
        self.near_rad = neighbours(features, self.rows, features.rows("vqarad"), 8)
        self.spread = features.logits[[n for rows in self.rows.values() for n in rows]].std(0)
        some = features.patches[:: max(1, len(features.patches) // 1000)].astype(np.float32)
        self.patch_mean, self.patch_spread = some.mean((0, 1)), some.std((0, 1))
        count = len(self.studies)
        self.rates = {t: sum(t in s.positive or t[5:] in s.mesh for s in self.studies.values()) / count for t in ASKED}  # fmt: skip
        self.worded: dict[str, list[tuple[str, str]]] = {}
        for row in realdata.iu_vqa(data):
            pair = (row["question"], questions.worded(row["answer"]))
            if row["uid"] in self.studies and "XXXX" not in "".join(pair):
                self.worded.setdefault(row["uid"], []).append(pair)

    def epoch(self, number: int, normal: float = 1.0, studies: float = 1.0, vqa_rad: int = 1) -> list[Packed]:
        """A share of the ``studies`` once (of the normal ones, ``normal`` of it), and VQA-RAD's pictures that are not held back ``vqa_rad`` times."""
        chance = random.Random(f"{self.seed}/{number}")
        keep = {True: studies * normal, False: studies}
        chosen = [
            s for s in self.studies.values() if s.uid in self.rows and chance.random() < keep["normal" in s.positive]
        ]
        pictures = [packed for _ in range(vqa_rad) for packed in self._vqa_rad(chance)]
        return [*(self._study(study, chance) for study in chosen), *pictures]

    def _study(self, study: realdata.Study, chance: random.Random) -> Packed:
        rows = self.rows[study.uid]
        rows = [chance.choice(rows)] if chance.random() < 0.5 else rows[:2]
        line = ""
        if chance.random() < 0.9:
            blur = np.random.default_rng(chance.randrange(1 << 30)).normal(0, TRUST_NOISE, len(self.names))
            scores = self.features.logits[rows].mean(0) + blur * self.spread
            probabilities = self.reader.probabilities(scores.astype(np.float32))
            line = layout.reader_line(dict(zip(self.names, probabilities.tolist(), strict=True)))
        evidence = self._evidence(self.near[study.uid], study.text, chance) if chance.random() < 0.5 else []
        turns = [(layout.question_text(q), a) for q, a in self.worded.get(study.uid, [])[:3]]
        for closed in questions.from_labels(study, self.rates, chance, 3):
            turns.append((layout.question_text(closed.question), questions.sentence(closed, chance)))
        said = questions.from_report(study)
        for closed in chance.sample(said, min(2, len(said))):
            turns.append((layout.question_text(closed.question), f"{closed.answer.capitalize()}."))
        turns.append((layout.question_text(chance.choice(layout.REPORT_ASKS)), report(study)))
        return Packed(self.features.patches[rows], layout.before(line, evidence), tuple(turns))

    def _evidence(self, near: Sequence[str], own: str, chance: random.Random) -> list[str]:
        """Reports of the nearest studies, or of an unrelated one; never one with the words of the ``own`` report."""
        chosen = list(near)
        if not near or chance.random() < WRONG:
            chosen = [chance.choice(list(self.studies))]
        texts = [text for uid in chosen if (text := self.studies[uid].text) != own][: chance.randint(1, 3)]
        return [layout.evidence_line(f"E{n}", text) for n, text in enumerate(texts, 1)]

    def _vqa_rad(self, chance: random.Random) -> Iterator[Packed]:
        held, rows = realdata.vqa_rad_held(self.data), self.features.rows("vqarad")
        asked: dict[str, list[dict[str, str]]] = {}
        for row in realdata.vqa_rad(self.data):
            asked.setdefault(str(row["image_name"]), []).append(row)
        for name, found in asked.items():
            if name in held or name not in rows:
                continue
            line, chest = "", found[0]["image_organ"] == "CHEST"
            if chest and chance.random() < 0.9:
                probabilities = self.reader.probabilities(self.features.logits[rows[name]].mean(0))
                line = layout.reader_line(dict(zip(self.names, probabilities.tolist(), strict=True)))
            turns = [(layout.question_text(str(r["question"])), _ended(str(r["answer"]))) for r in found]
            evidence = self._evidence(self.near_rad[name] if chest else [], "", chance) if chance.random() < 0.5 else []
            yield Packed(self._blurred(rows[name], chance), layout.before(line, evidence), tuple(turns))

    def _blurred(self, rows: list[int], chance: random.Random) -> NDArray[np.float16]:
        """A picture's patches with noise, some of them or all gone: so few pictures would else be learned by heart."""
        patches = self.features.patches[rows].astype(np.float32)
        draw, gone = np.random.default_rng(chance.randrange(1 << 30)), chance.random() < HIDDEN
        noisy = patches + PATCH_NOISE * self.patch_spread * draw.standard_normal(patches.shape, dtype=np.float32)
        lost = draw.random((*patches.shape[:2], 1)) < (1.0 if gone else LOST)
        blurred: NDArray[np.float16] = np.where(lost, self.patch_mean, noisy).astype(np.float16)
        return blurred


def _ended(answer: str) -> str:
    answer = answer.strip()
    return f"{answer[:1].upper()}{answer[1:]}{'' if answer.endswith('.') else '.'}"
