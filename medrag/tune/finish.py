"""From trained parts to what ships: the encoder's folder, the calibrated findings reader, the domain head; and what they score.

Every score stands beside its trivial baselines. Intervals are percentiles of 1,000 resamplings of studies. Calibration uses the
validation studies; its own error is told on the half that it was not fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.findings import CHEXPERT_TYPE
from medrag.corpora import realdata
from medrag.encoders.findings import FILE
from medrag.score.closed import auroc
from medrag.tune.encoder import PEAK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.encoders.findings import FindingsReader

SIZE = 224  # pixels a side at inference; training saw 192 of pictures scaled up to 1.18
LEAST = 10  # positives that a finding needs to enter the macro AUC
SHRINK = 10  # positives at which a finding's own calibration weighs as much as the common one


def export(parts: Any, names: Sequence[str], folder: Path) -> None:
    """Writes an open_clip checkpoint without its locked text tower, and the findings reader uncalibrated."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"visual.trunk.{name}": t for name, t in parts.trunk.state_dict().items()}
    tensors["visual.head.proj.weight"] = parts.image.weight
    tensors["text.proj.weight"], tensors["logit_scale"] = parts.text.weight, parts.scale
    half = {n: t.detach().half().contiguous() if t.is_floating_point() else t.detach() for n, t in tensors.items()}
    save_file(half, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config(), indent=1) + "\n")
    import torch

    head = {"weight": parts.findings.weight, "bias": parts.findings.bias}
    kept = {name: t.detach().half().contiguous() for name, t in head.items()}
    kept |= {"slope": torch.ones(len(names)), "offset": torch.zeros(len(names))}
    save_file(kept, folder / FILE, metadata={"names": "|".join(names), "peak": str(PEAK)})


def config() -> dict[str, Any]:
    """open_clip's configuration of the shipped encoder; the text tower is named, not contained."""
    return {
        "model_cfg": {
            "embed_dim": 384,
            "vision_cfg": {
                "timm_model_name": "tf_efficientnet_lite2", "timm_model_pretrained": False, "timm_pool": "avg",
                "timm_proj": "linear", "image_size": SIZE,
            },
            "text_cfg": {
                "hf_model_name": "minilm", "hf_tokenizer_name": "minilm", "hf_model_pretrained": False,
                "hf_proj_type": "linear", "hf_pooler_type": "mean_pooler", "context_length": 128,
            },
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
        "locked_text_tower": "minilm",
    }  # fmt: skip


def scores_of(reader: FindingsReader, studies: Sequence[realdata.Study]) -> NDArray[np.float32]:
    """(studies, names) logits, each the mean over a study's views."""
    from medrag._util.images import load_image
    from medrag._util.progress import track

    return np.stack(
        [
            reader.scores([load_image(path).image for path, _ in s.images]).mean(0)
            for s in track(studies, "read findings")
        ]
    )


def truth(studies: Sequence[realdata.Study], names: Sequence[str]) -> NDArray[np.bool_]:
    """(studies, names): whether NegBio's labels or the MeSH headings of a study hold each finding."""
    known = [study.positive | {f"mesh:{term}" for term in study.mesh} for study in studies]
    return np.array([[name in own for name in names] for own in known])


def platt(scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and offset for each column. Rare findings lean on the slope that all share; their offset is still their own."""
    from sklearn.linear_model import LogisticRegression

    slopes, offsets, counts = [], [], labels.sum(0)
    own = [LogisticRegression(C=10).fit(s[:, None], y) if 3 <= y.sum() < len(y) else None for s, y in zip(scores.T, labels.T, strict=True)]  # fmt: skip
    weights = [min(int(n), 50) for n, one in zip(counts, own, strict=True) if one]
    common = float(np.average([max(one.coef_[0, 0], 0.1) for one in own if one], weights=weights))
    for column, one, n in zip(scores.T, own, counts, strict=True):
        mine = max(float(one.coef_[0, 0]), 0.1) if one else common
        slope = (n * mine + SHRINK * common) / (n + SHRINK)
        rate = (n + 0.5) / (len(column) + 1)
        slopes.append(slope)
        offsets.append(_offset(slope * column, float(rate)))
    return np.array(slopes, dtype=np.float32), np.array(offsets, dtype=np.float32)


def _offset(scaled: NDArray[np.float32], rate: float) -> float:
    """The offset at which the mean probability equals the rate."""
    from scipy.optimize import brentq

    return float(brentq(lambda shift: float((1 / (1 + np.exp(-(scaled + shift)))).mean()) - rate, -60, 60))


def calibrate(folder: Path, scores: NDArray[np.float32], labels: NDArray[np.bool_]) -> None:
    """Writes slope and offset into the reader's file."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(folder / FILE, framework="numpy") as file:
        tensors, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["slope"], tensors["offset"] = platt(scores, labels)
    save_file(tensors, folder / FILE, metadata=about)


def interval(values: Callable[[NDArray[np.int64]], float], n: int, seed: int = 0, draws: int = 1000) -> list[float]:
    """95 % percentile bootstrap of a statistic over rows."""
    random = np.random.default_rng(seed)
    found = [values(random.integers(0, n, n)) for _ in range(draws)]
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]


def auc(labels: NDArray[np.bool_], scores: NDArray[np.float32]) -> float:
    """Area under the ROC curve of one finding; see `medrag.score.closed.auroc`."""
    return float(auroc(labels.astype(float), scores.astype(float), np.ones((1, len(labels))))[0])


def findings_report(scores: NDArray[np.float32], labels: NDArray[np.bool_], names: Sequence[str]) -> dict[str, Any]:
    """AUC of each finding with three positives and more, the macro over those with ten, and the calibration error."""
    columns = [n for n, name in enumerate(names) if name in CHEXPERT_TYPE]
    many = [n for n in columns if labels[:, n].sum() >= LEAST]

    def macro(rows: NDArray[np.int64]) -> float:
        return float(np.nanmean([auc(labels[rows, n], scores[rows, n]) for n in many]))

    each = {names[n]: {"positives": int(labels[:, n].sum()), "auc": round(auc(labels[:, n], scores[:, n]), 4)} for n in columns if labels[:, n].sum() >= 3}  # fmt: skip
    everyone = np.arange(len(scores))
    return {
        "studies": len(scores), "macro auc": round(macro(everyone), 4), "interval": interval(macro, len(scores)),
        "over": [names[n] for n in many], "chance": 0.5, "by finding": each,
        "expected calibration error, other half": round(calibration_error(scores[:, many], labels[:, many]), 4),
    }  # fmt: skip


def calibration_error(scores: NDArray[np.float32], labels: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error where each half of the studies is scaled by what was fitted on the other."""
    half = np.arange(len(scores)) % 2 == 0
    found = np.zeros_like(scores)
    for mine in (half, ~half):
        slope, offset = platt(scores[~mine], labels[~mine])
        found[mine] = 1 / (1 + np.exp(-(scores[mine] * slope + offset)))
    place = np.minimum((found * bins).astype(int), bins - 1)
    gaps = [abs(found[place == b].mean() - labels[place == b].mean()) * (place == b).mean() for b in range(bins) if (place == b).any()]  # fmt: skip
    return float(sum(gaps))


def f1(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Micro F1 over all studies and findings."""
    return float(2 * (said & true).sum() / max(1, said.sum() + true.sum()))


def retrieval_report(ranks: dict[str, NDArray[np.int64]], found: NDArray[np.bool_], true: NDArray[np.bool_]) -> dict[str, Any]:  # fmt: skip
    """Findings F1 of the first report of each way to search; ``found`` (pool, findings), ``true`` (studies, findings).

    Only abnormal studies count. A random report's F1 is the expectation over the pool.
    """
    ill = true.any(1)
    true = true[ill]
    rate = found.mean(0)
    hits, said = float((true * rate).sum()), float(rate.sum() * len(true))
    chance = 2 * hits / (said + float(true.sum()))
    report: dict[str, Any] = {"abnormal studies": int(ill.sum()), "random report": round(chance, 4)}
    for name, first in ranks.items():
        mine = found[first[ill]]
        value = f1(mine, true)
        report[name] = {
            "findings f1": round(value, 4), "interval": _f1_interval(mine, true),
            "times random": round(value / chance, 2),
        }  # fmt: skip
    return report


def _f1_interval(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> list[float]:
    return interval(lambda rows: f1(said[rows], true[rows]), len(true))
