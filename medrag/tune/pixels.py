"""Pictures that show nothing, or no longer show the finding: seeded noise, noise in a lesion alone, and pictures unlike the one asked about.

Noise is the forward process of diffusion, √ᾱ·x + √(1−ᾱ)·ε (Ho et al., arXiv 2006.11239), over the whole picture or, as in MMedPO (arXiv
2412.06141), only where a map of the lesion is high. The same seed gives the same picture. It knows nothing of questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

KEPT = 0.02  # ᾱ of a picture that is to show nothing
LESION = 0.15  # share of the picture, where the map is highest, that counts as the lesion


def noised(image: Image, seed: str, kept: float = KEPT, mask: NDArray[np.bool_] | None = None) -> Image:
    """The picture under Gaussian noise, of the same size and mode (L or RGB); ``mask`` (h, w) is true where noise goes.

    ``kept`` is ᾱ, 0 to 1: the share of the signal's energy that stays. Raises ValueError for others.
    """
    from PIL import Image as Pillow

    if not 0 <= kept <= 1:
        raise ValueError(f"kept is {kept}, not between 0 and 1")
    values = np.asarray(image, np.float32) / 127.5 - 1
    drawn = rng_of(seed).standard_normal(values.shape, np.float32)
    mixed = np.sqrt(kept) * values + np.sqrt(1 - kept) * drawn
    if mask is not None:
        mixed = np.where(mask if values.ndim == 2 else mask[:, :, None], mixed, values)
    return Pillow.fromarray(np.rint((mixed.clip(-1, 1) + 1) * 127.5).astype(np.uint8), image.mode)


def lesion_mask(heat: NDArray[Any], size: tuple[int, int], share: float = LESION) -> NDArray[np.bool_]:
    """(height, width) of a picture of ``size`` (width, height): true at the ``share`` of places where the map (h, w) is highest.

    Nowhere true where the map is the same everywhere: it shows no place.
    """
    from PIL import Image as Pillow

    small = np.asarray(heat, np.float32)
    wide = np.asarray(Pillow.fromarray(small, "F").resize(size, Pillow.Resampling.BILINEAR))
    if np.ptp(small) == 0:
        return np.zeros(wide.shape, bool)
    bar = np.quantile(wide, 1 - share)
    found: NDArray[np.bool_] = wide > bar if bar < wide.max() else wide >= bar  # a plateau is hidden whole
    return found


def similarity_maps(encoder: str) -> Callable[[Image, str], NDArray[np.float32]]:
    """(picture, text) → (h, w), the cosine of each place of a medrag encoder's last feature map with the text. Raises ModelMissing."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - the usual name

    from medrag import models
    from medrag.encoders.image_text import load_open_clip

    model, transform, tokenize = load_open_clip(models.resolve(encoder), "cpu")

    def similarity(image: Image, text: str) -> NDArray[np.float32]:
        with torch.inference_mode():
            grid = model.visual.trunk.forward_features(transform(image.convert("RGB"))[None])  # (1, c, h, w)
            places = F.normalize(model.visual.head(grid.flatten(2).transpose(1, 2)[0]), dim=1)  # (h·w, d)
            words = F.normalize(model.encode_text(tokenize([text])), dim=1)
            found: NDArray[np.float32] = (places @ words[0]).reshape(grid.shape[2:]).numpy()
        return found

    return similarity


class LeastSimilar:
    """For each picture of a pool one of the ``among`` others that are least like it, drawn with the seed.

    Drawn, because the one farthest picture of many is often the same odd one. ``vectors`` (n, d) are unit rows of an image encoder.
    """

    def __init__(self, names: Sequence[str], vectors: NDArray[np.float32], among: int = 20, seed: int = 0) -> None:
        self.names, self.vectors, self.among, self.seed = tuple(names), vectors, among, seed
        self._place = {name: n for n, name in enumerate(self.names)}

    @classmethod
    def looked_at(cls, paths: Sequence[str], encoder: str = "medrag-small", seed: int = 0) -> LeastSimilar:
        """A pool of picture files, seen by an image encoder: about 50 ms a picture on a CPU. Raises ImageError for one that cannot be read."""
        from medrag.encoders import open_encoder
        from medrag.settings import EncoderSettings
        from medrag.types import ImageRecord

        items = [ImageRecord(path, path, "", path) for path in paths]
        settings = EncoderSettings(model=encoder)  # type: ignore[call-arg]
        vectors = open_encoder(settings).encode_items(items)
        return cls(paths, vectors, seed=seed)

    def of(self, name: str) -> str:
        """The name of another picture. Raises KeyError for a picture outside the pool, ValueError where it is the only one."""
        own = self._place[name]
        order = [int(n) for n in np.argsort(self.vectors @ self.vectors[own], kind="stable") if n != own]
        if not order:
            raise ValueError("a pool of one picture has none that is unlike it")
        return self.names[order[rng_of(f"{self.seed}/{name}").integers(min(self.among, len(order)))]]


def rng_of(seed: str) -> np.random.Generator:
    """A generator of random numbers that depends on the text alone."""
    return np.random.default_rng(list(hashlib.sha256(seed.encode()).digest()[:16]))
