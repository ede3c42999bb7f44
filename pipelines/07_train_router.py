"""Trains the domain head of the router on the image embeddings of ``medrag-small``.

    MEDRAG_DATA=/path/to/pack python pipelines/07_train_router.py medrag/presets/router-small.safetensors

Hardware: 2 CPU cores, 2 GB of memory, 3 minutes. Reads about 2,100 images of the real-data pack and the registry's ultrasound.
Prints one JSON object: the accuracy on each fifth image, which neither this head nor the encoder was trained on (chest films: the
encoder was; those of the validation split stand beside them), and the share of scikit-image's ordinary photographs that it flags
as belonging to no domain. The head is a softmax over unit embeddings; its temperature is fitted on a sixth of the training
images, and the threshold is the lowest similarity to the nearest class centroid that 99 % of the training images reach.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

from medrag._util.fetch import package_file
from medrag.encoders import open_encoder
from medrag.settings import EncoderSettings
from medrag.tune import pack
from medrag.types import ImageRecord

ENCODER = "medrag-small"
PHOTOGRAPHS = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "motorcycle_left.png", "rocket.jpg", "page.png", "text.png", "brick.png", "grass.png", "gravel.png", "horse.png", "clock_motion.png", "color.png", "checker_bilevel.png", "chessboard_GRAY.png", "hubble_deep_field.jpg", "moon.png")  # fmt: skip


def photographs() -> list[ImageRecord]:
    """scikit-image's ordinary pictures: none was trained on."""
    folder = package_file("scikit-image/skimage/data/retina.jpg").parent
    return [ImageRecord(f"p:{name}", "p", "", str(folder / name)) for name in PHOTOGRAPHS if (folder / name).exists()]


def main(target: str) -> None:
    """Embeds, trains on what is not held back, measures, writes."""
    data = Path(os.environ["MEDRAG_DATA"])
    rows = pack.domains(data)
    val = [path for study in pack.studies(data, "val") for path, _ in study.images]
    rows += [pack.Example(path, "chest-xray", "", held=True) for path in val[::5]]
    encoder = open_encoder(EncoderSettings(model=ENCODER))
    vectors = encoder.encode_items([ImageRecord(f"x:{n}", "x", "", str(row.path)) for n, row in enumerate(rows)])
    labels = sorted({row.domain for row in rows})
    y = torch.tensor([labels.index(row.domain) for row in rows])
    back = torch.tensor([row.held for row in rows])
    x = torch.from_numpy(vectors)
    tune = ~back & (torch.arange(len(rows)) % 6 == 3)
    model = fitted(x[~back & ~tune], y[~back & ~tune], len(labels))
    scale = temperature(model(x[tune]).detach(), y[tune])
    model = fitted(x[~back], y[~back], len(labels))
    centroids = torch.stack(
        [torch.nn.functional.normalize(x[~back & (y == n)].mean(0), dim=0) for n in range(len(labels))]
    )
    nearest = (x @ centroids.T).max(1).values
    threshold = float(nearest[~back].quantile(0.01))

    def share(mask: torch.Tensor) -> float:
        return round(float(mask.float().mean()), 4)

    logits = model(x).detach() * scale
    guess = torch.where(nearest < threshold, labels.index("other"), logits.argmax(1))
    measured = {
        label: {"held back": int(mine.sum()), "accuracy": share(guess[mine] == n), "known": share(nearest[mine] >= threshold)}
        for n, label in enumerate(labels)
        if (mine := back & (y == n)).any()
    }  # fmt: skip
    strange = torch.from_numpy(encoder.encode_items(photographs()))
    flagged = ((strange @ centroids.T).max(1).values < threshold) | (model(strange).argmax(1) == labels.index("other"))
    sure = logits[back].softmax(1).max(1)
    report = {
        "command": "python pipelines/07_train_router.py medrag/presets/router-small.safetensors",
        "trained on": int((~back).sum()), "held back": int(back.sum()), "accuracy": share(guess[back] == y[back]),
        "majority baseline": share(y[back] == y[~back].mode().values), "temperature": round(1 / scale, 3),
        "expected calibration error": round(ece(sure.values, sure.indices == y[back]), 4),
        "threshold": round(threshold, 4), "domains": measured,
        "photographs": len(strange), "photographs flagged": share(flagged),
        "weaker": "held back images come from the same sources; ultrasound: six files trained on, four others held back",
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    tensors = {
        "weight": model.weight * scale,
        "bias": model.bias * scale,
        "centroids": centroids,
        "threshold": torch.tensor([threshold]),
    }
    save_file(
        {name: value.detach().numpy().astype("float32" if name == "threshold" else "float16") for name, value in tensors.items()},
        target, metadata={"labels": ",".join(labels), "encoder": ENCODER},
    )  # fmt: skip


def fitted(x: torch.Tensor, y: torch.Tensor, classes: int) -> torch.nn.Linear:
    """A softmax regression, classes weighed alike."""
    counts = Counter(y.tolist())
    weights = torch.tensor([1 / max(1, counts[n]) for n in range(classes)])
    model = torch.nn.Linear(x.shape[1], classes)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y, weights) + 2e-4 * model.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return model


def temperature(logits: torch.Tensor, y: torch.Tensor) -> float:
    """The factor on the logits under which the held labels are likeliest (Guo et al. 2017)."""
    factors = torch.logspace(-1, 1, 81)
    losses = [float(torch.nn.functional.cross_entropy(logits * f, y)) for f in factors]
    return float(factors[int(np.argmin(losses))])


def ece(confidence: torch.Tensor, right: torch.Tensor, bins: int = 10) -> float:
    """Expected calibration error over equally wide bins."""
    place = (confidence * bins).long().clamp(max=bins - 1)
    return sum(
        float((confidence[place == b].mean() - right[place == b].float().mean()).abs() * (place == b).float().mean())
        for b in range(bins)
        if (place == b).any()
    )


if __name__ == "__main__":
    main(sys.argv[1])
