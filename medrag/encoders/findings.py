"""The findings reader: calibrated probabilities of chest findings from a picture, read off an encoder's feature map.

Class-specific residual attention (Zhu and Wu, arXiv 2108.02456): a linear score at each place of the map, its mean plus a
share of its maximum; then Platt scaling for each finding. It reads chest radiographs only and says nothing of other pictures.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.findings import CHEXPERT_TYPE
from medrag.encoders._shared import computing, device_of
from medrag.encoders.image_text import as_tensor, load_open_clip
from medrag.errors import ModelMissing
from medrag.settings import read_yaml

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

FILE = "findings.safetensors"
USUAL = "usual.yaml"


class FindingsReader:
    """Opened by the name or folder of an encoder that ships a reader, such as ``medrag-small``.

    ``names`` are the 14 findings, "normal", and MeSH headings of the Open-i collection as "mesh:…".
    Raises ModelMissing where the folder holds none.
    """

    def __init__(self, model: str = "medrag-small", *, device: str = "auto") -> None:
        self.name, self.device = model, device
        self._folder = models.resolve(model)
        if not (self._folder / FILE).is_file():
            raise ModelMissing(
                f"{model} has no reader of findings: no {FILE}", "name one that has, such as medrag-small"
            )

    @functools.cached_property
    def _head(self) -> tuple[tuple[str, ...], float, dict[str, Any]]:
        from safetensors import safe_open

        with safe_open(self._folder / FILE, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
        return tuple(about["names"].split("|")), float(about["peak"]), tensors

    @property
    def names(self) -> tuple[str, ...]:
        return self._head[0]

    def read(self, images: Sequence[Image]) -> dict[str, float]:
        """Probability of each name, 0–1, of one study: the scores of its views are averaged, so films of several days are to be read one by one. Needs at least one image."""
        return dict(zip(self.names, self.probabilities(self.scores(images).mean(0)).tolist(), strict=True))

    def findings(self, images: Sequence[Image]) -> dict[str, float]:
        """`read`, of the 14 findings alone."""
        return {name: p for name, p in self.read(images).items() if name in CHEXPERT_TYPE}

    @functools.cached_property
    def usual(self) -> dict[str, float]:
        """The mean probability of each finding over the training studies; empty where the folder does not say."""
        path = self._folder / USUAL
        return read_yaml(path) if path.is_file() else {}

    def scores(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, names) logits before calibration, one row for each image."""
        return self.of_maps(self._maps(images))

    def probabilities(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Platt-scaled probabilities of logits whose last axis runs over the names."""
        tensors = self._head[2]
        scaled = scores * tensors["slope"].numpy() + tensors["offset"].numpy()
        found: NDArray[np.float32] = 1 / (1 + np.exp(-scaled))
        return found

    def maps(self, images: Sequence[Image], finding: str) -> NDArray[np.float32]:
        """(n, h, w): where in the picture the score of a finding comes from, in logits."""
        weight = self._head[2]["weight"][self.names.index(finding)]
        found: NDArray[np.float32] = np.einsum("nchw,c->nhw", self._maps(images), weight.numpy())
        return found

    def _maps(self, images: Sequence[Image]) -> NDArray[np.float32]:
        import torch

        device = device_of(self.device)
        model, transform, _ = load_open_clip(self._folder, device)
        with computing(device, "float32"):
            pixels = torch.stack([as_tensor(transform, image) for image in images]).to(device)
            found: NDArray[np.float32] = model.visual.trunk.forward_features(pixels).float().cpu().numpy()
        return found

    def of_maps(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, names) logits of feature maps (n, channels, h, w)."""
        _, peak, tensors = self._head
        places = np.einsum("nchw,oc->nohw", maps, tensors["weight"].numpy(), optimize=True)
        scores: NDArray[np.float32] = places.mean((2, 3)) + peak * places.max((2, 3)) + tensors["bias"].numpy()
        return scores
