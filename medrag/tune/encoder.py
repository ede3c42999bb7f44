"""Trains the image-text encoder: an EfficientNet-lite2 beside a locked sentence encoder, and a linear reader of findings.

Image to text as in CLIP (Radford et al. 2021) with the text tower locked (LiT, Zhai et al., arXiv 2111.07991): the text
embeddings are computed once, so that every picture is compared with the texts of the whole training set and not only
with its batch's. Targets are soft: a picture's own report, and the reports that share its findings (Jaccard overlap).
The findings are read by class-specific residual attention (Zhu and Wu, arXiv 2108.02456): mean plus a share of the
maximum over the feature map. It knows nothing of how the weights are used later.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.findings import CHEXPERT_TYPE
from medrag._util.images import load_image
from medrag.corpora import realdata
from medrag.tune import pack
from medrag.tune.device import mixed, training_device

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

STORED = 256  # pixels a side of the training pictures as they are kept in memory
PEAK = 0.3  # share of the map's maximum in a finding's score


@dataclass(frozen=True, slots=True)
class EncoderTraining:
    """Numbers of a run. 2 cores need about 0.07 s for a picture and epoch at 192 px with two frozen stages."""

    epochs: int = 8
    batch: int = 32
    size: int = 192
    frozen_stages: int = 2  # of seven; they keep ImageNet's edges
    backbone_rate: float = 4e-4
    head_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    ema: float = 0.995
    contrastive: float = 0.5  # weight of the image-text loss beside the findings'
    seed: int = 0


@dataclass
class Pool:
    """Training pictures in memory: (n, 256, 256, 3) uint8, the text that belongs to each, and its labels."""

    pixels: NDArray[np.uint8]
    text: NDArray[np.int64]  # row of the text bank
    labels: NDArray[np.float32]  # (n, outputs); NaN where nothing is known
    texts: list[str]
    marks: list[frozenset[str]]  # of each text: findings and headings, or itself
    chest: NDArray[np.bool_]


def outputs(data: Path) -> list[str]:
    """What the linear head is trained to tell: the findings, "normal", and MeSH headings as companions."""
    return [*CHEXPERT_TYPE, "normal", *(f"mesh:{name}" for name in pack.headings(data))]


def squashed(path: Path | Any) -> NDArray[np.uint8]:
    """A picture as (256, 256, 3), its aspect squashed as in the published IU X-Ray set."""
    image: Any = path if hasattr(path, "resize") else load_image(path, max_side=1024).image
    return np.asarray(image.convert("RGB").resize((STORED, STORED), 3), dtype=np.uint8)


def gather(data: Path) -> Pool:
    """All training pictures: IU X-Ray train (both views), the other domains, and the textbooks' figures."""
    names = outputs(data)
    texts, marks, pixels, rows, labels, chest = [], [], [], [], [], []  # type: ignore[var-annotated]
    for study in realdata.studies(data, "train"):
        known = {*study.positive, *(f"mesh:{term}" for term in study.mesh)}
        texts.append(study.text or "no findings reported")
        marks.append(frozenset(known - {"mesh:normal", "mesh:No Indexing"}) or frozenset([study.uid]))
        for path, _ in study.images:
            pixels.append(squashed(path))
            rows.append(len(texts) - 1)
            labels.append([float(name in known) for name in names])
            chest.append(True)
    seen: dict[str, int] = {}
    pairs: Iterator[tuple[Any, str]] = (
        *((e.path, e.text) for e in pack.others(data) if not e.held),
        *pack.figures(data),
    )  # type: ignore[assignment]
    for source, text in pairs:
        if text not in seen:
            seen[text] = len(texts)
            texts.append(text)
            marks.append(frozenset([text]))
        pixels.append(squashed(source))
        rows.append(seen[text])
        labels.append([math.nan] * len(names))
        chest.append(False)
    return Pool(np.stack(pixels), np.array(rows), np.array(labels, dtype=np.float32), texts, marks, np.array(chest))


def text_features(texts: Sequence[str], tower: str = "minilm", device: str | torch.device = "cpu") -> torch.Tensor:
    """(n, 384) mean-pooled token states of the sentence encoder on the device, not normalised: what the text projection reads."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = models.resolve(tower)
    model, tokenizer = AutoModel.from_pretrained(folder).eval().to(device), AutoTokenizer.from_pretrained(folder)
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), 64):
            batch = tokenizer(list(texts[start : start + 64]), padding=True, truncation=True, max_length=128, return_tensors="pt").to(device)  # fmt: skip
            states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).float()
            found.append((states * mask).sum(1) / mask.sum(1))
    return torch.cat(found).clone()


def soft_targets(texts: Sequence[str], marks: Sequence[frozenset[str]]) -> torch.Tensor:
    """(n, n): row i says which texts are right for a picture of text i. Rows sum to 1.

    0.3 on its own text and the texts equal to it; 0.7 on texts by the squared Jaccard overlap of marks, from a third up.
    """
    import torch

    vocabulary = {mark: n for n, mark in enumerate(sorted(frozenset().union(*marks)))}
    has = torch.zeros(len(texts), len(vocabulary))
    for n, own in enumerate(marks):
        has[n, [vocabulary[mark] for mark in own]] = 1
    both = has @ has.T
    union = has.sum(1, keepdim=True) + has.sum(1) - both
    overlap = both / union
    shared = torch.where(overlap >= 1 / 3, overlap.square(), torch.zeros(()))
    group = {text: n for n, text in enumerate(texts)}
    same = torch.tensor([group[text] for text in texts])
    own = (same[:, None] == same[None, :]).float()
    return 0.3 * own / own.sum(1, keepdim=True) + 0.7 * shared / shared.sum(1, keepdim=True)


def network(names: Sequence[str], settings: EncoderTraining) -> torch.nn.Module:
    """The parts that are trained: trunk, image projection, text projection, temperature, findings head."""
    import timm
    import torch
    from torch import nn

    from medrag.encoders.image import _tensors, load_by_order

    trunk = timm.create_model("tf_efficientnet_lite2", pretrained=False, drop_path_rate=0.1)
    load_by_order(trunk, _tensors(models.resolve("efficientnet-lite2")), "efficientnet-lite2")
    trunk.reset_classifier(0)
    parts = nn.Module()
    parts.trunk, parts.image, parts.text = trunk, nn.Linear(1280, 384, bias=False), nn.Linear(384, 384, bias=False)
    parts.findings = nn.Linear(1280, len(names))
    parts.scale = nn.Parameter(torch.tensor(math.log(14.0)))
    nn.init.eye_(parts.text.weight)
    nn.init.normal_(parts.image.weight, std=1280**-0.5)
    nn.init.zeros_(parts.findings.weight)
    for module in [trunk.conv_stem, trunk.bn1, *trunk.blocks[: settings.frozen_stages]]:
        module.requires_grad_(False)
    return parts.to(memory_format=torch.channels_last)


def train_mode(parts: Any) -> None:
    """Training, with the batch statistics of ImageNet kept: batches mix domains."""
    import torch

    parts.train()
    for module in parts.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


def read_map(parts: Any, pixels: torch.Tensor, dropout: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(image embeddings (n, 384), findings logits (n, outputs)) of normalised pixels (n, 3, s, s)."""
    from torch.nn import functional as F  # noqa: N812 - the usual name

    grid = parts.trunk.forward_features(pixels)
    pooled = F.dropout(grid.mean((2, 3)), dropout, dropout > 0)
    scores = F.conv2d(F.dropout(grid, dropout, dropout > 0), parts.findings.weight[:, :, None, None])
    logits = scores.mean((2, 3)) + PEAK * scores.amax((2, 3)) + parts.findings.bias
    return F.normalize(parts.image(pooled), dim=1), logits


def augmented(
    pixels: NDArray[np.uint8], size: int, generator: torch.Generator, device: str | torch.device = "cpu"
) -> torch.Tensor:
    """Turned up to 8°, scaled 0.89–1.18, shifted up to 5 %, brighter or darker; never mirrored: left is not right.

    The numbers are drawn on the CPU, the same ones for every device; the pictures are changed on the device.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812

    n = len(pixels)

    def draw(low: float, high: float) -> torch.Tensor:
        return (low + (high - low) * torch.rand(n, generator=generator)).to(device)

    turn, zoom = draw(-0.14, 0.14), draw(0.85, 1.12)
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    theta = torch.stack([torch.stack([cos, -sin, draw(-0.1, 0.1)], 1), torch.stack([sin, cos, draw(-0.1, 0.1)], 1)], 1)
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    values = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
    values = F.grid_sample(values, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    gain, lift, power = (draw(*span)[:, None, None, None] for span in ((0.8, 1.2), (-0.1, 0.1), (0.75, 1.33)))
    values = (values.clamp(0, 1) ** power - 0.5) * gain + 0.5 + lift
    return ((values.clamp(0, 1) - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)


def plain(pixels: NDArray[np.uint8], size: int) -> torch.Tensor:
    """Pixels as at inference."""
    import torch
    from torch.nn import functional as F  # noqa: N812

    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    if values.shape[-1] != size:
        values = F.interpolate(values, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return ((values.clamp(0, 255) / 255 - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Aims:
    """What every batch is compared with, on the training's device: text bank (texts, 384), soft targets (texts, texts), weights (outputs,) of positives."""

    bank: torch.Tensor
    targets: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def of(cls, pool: Pool, device: torch.device) -> Aims:
        import torch

        rate = torch.from_numpy(pool.labels[~np.isnan(pool.labels[:, 0])].mean(0))
        weight = ((1 - rate) / rate.clamp(min=1e-4)).sqrt().clamp(1, 6).to(device)
        targets = soft_targets(pool.texts, pool.marks).to(device)
        return cls(text_features(pool.texts, device=device), targets, weight)


def losses(
    parts: Any, pixels: torch.Tensor, labels: torch.Tensor, text: torch.Tensor, aims: Aims, dropout: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """(findings, image to text) of a batch: ``pixels`` on the device of the parts, labels (n, outputs) and text rows (n,) on any."""
    from torch.nn import functional as F  # noqa: N812

    with mixed(pixels.device):
        vectors, logits = (found.float() for found in read_map(parts, pixels, dropout))
    labels = labels.to(pixels.device)
    mask = ~labels.isnan()
    loss_f = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), mask.float(), pos_weight=aims.weight, reduction="sum") / mask.sum().clamp(min=1)  # fmt: skip
    scores = parts.scale.exp().clamp(max=60) * vectors @ F.normalize(parts.text(aims.bank), dim=1).T
    return loss_f, F.cross_entropy(scores, aims.targets[text.to(pixels.device)])


def train(pool: Pool, names: Sequence[str], settings: EncoderTraining, work: Path, device: str = "auto") -> Any:
    """Trains, keeps ``work/encoder.pt`` after every epoch and goes on from it; returns the averaged weights, on the CPU.

    ``device`` as in `medrag.tune.device.training_device`; a run may go on on another one.
    """
    import torch

    place = training_device(device)
    torch.manual_seed(settings.seed)
    parts = network(names, settings).to(place)
    aims = Aims.of(pool, place)
    heads = [p for name, p in parts.named_parameters() if not name.startswith("trunk") and p.requires_grad]
    trunk = [p for p in parts.trunk.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": trunk, "lr": settings.backbone_rate}, {"params": heads, "lr": settings.head_rate}],
        weight_decay=settings.weight_decay,
    )
    per_epoch = math.ceil((pool.chest.sum() + (~pool.chest).sum() / 2) / settings.batch)
    total = per_epoch * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        [lambda step: _cosine(step, total, per_epoch), lambda step: _cosine(step, total, per_epoch // 8)],
    )
    average = torch.optim.swa_utils.AveragedModel(parts, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema))  # fmt: skip
    first, state = 0, work / "encoder.pt"
    if state.exists():
        saved = torch.load(state, map_location=place, weights_only=True)
        parts.load_state_dict(saved["parts"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["epoch"]
    for epoch in range(first, settings.epochs):
        random = np.random.default_rng(settings.seed * 1000 + epoch)
        generator = torch.Generator().manual_seed(settings.seed * 1000 + epoch)
        extra = random.permutation(np.flatnonzero(~pool.chest))[: (~pool.chest).sum() // 2]
        order = random.permutation(np.concatenate([np.flatnonzero(pool.chest), extra]))
        train_mode(parts)
        began, sums = time.time(), np.zeros(2)
        for start in range(0, len(order), settings.batch):
            rows = order[start : start + settings.batch]
            pixels = augmented(pool.pixels[rows], settings.size, generator, place)
            labels, text = torch.from_numpy(pool.labels[rows]), torch.from_numpy(pool.text[rows])
            loss_f, loss_c = losses(parts, pixels, labels, text, aims, settings.dropout)
            optimiser.zero_grad()
            (10 * loss_f + settings.contrastive * loss_c).backward()
            torch.nn.utils.clip_grad_norm_(parts.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            average.update_parameters(parts)
            sums += len(rows) * np.array([float(loss_f.detach()), float(loss_c.detach())])
        log = {"epoch": epoch + 1, "findings loss": round(sums[0] / len(order), 4), "text loss": round(sums[1] / len(order), 4), "seconds": round(time.time() - began)}  # fmt: skip
        print(json.dumps(log), flush=True)
        torch.save(
            {"parts": parts.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(), "epoch": epoch + 1, "settings": asdict(settings)},
            state.with_suffix(".part"),
        )  # fmt: skip
        state.with_suffix(".part").replace(state)
    return average.module.eval().cpu()


def _cosine(step: int, total: int, warm: int) -> float:
    """Linear warm-up, then half a cosine down to 2 %."""
    if step < warm:
        return (step + 1) / max(1, warm)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
