"""A model that is tuned, as the trainer sees it: log-probabilities of answers, and what is trained of it.

`open_policy` knows two: the small model, whose adapter goes on being trained over cached feature maps with answers to one picture and
one evidence packed into one sequence; and any image-text or text model of transformers by name, with a new low-rank adapter (Hu et al.,
arXiv 2106.09685). It knows nothing of preferences.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from medrag import models
from medrag._util.files import sha256_file, sha256_text
from medrag._util.images import load_image
from medrag._util.weights import weights_id
from medrag.errors import MissingDependency
from medrag.tune import vlm
from medrag.tune.pairs import Side

if TYPE_CHECKING:
    import torch

ENDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
EYES = ("vision", "visual", "image")  # parts of the names of modules that look


@dataclass(frozen=True, slots=True)
class Request:
    """One side of a pair with its question: what an answer's probability depends on."""

    question: str
    domain: str
    side: Side

    @property
    def prompt(self) -> tuple[Any, ...]:
        """What stands before the question: requests with equal ones are computed together."""
        return self.side.images, tuple(piece.text for piece in self.side.evidence), self.domain

    def content(self, hashes: dict[str, str]) -> str:
        """A key of all that counts: pictures by their bytes (``hashes`` remembers them), evidence, question and answer."""
        for path in self.side.images:
            hashes.setdefault(path, sha256_file(Path(path)))
        evidence = [text for piece in self.side.evidence for text in (piece.kind, piece.title, piece.text)]
        pictures = [hashes[path] for path in self.side.images]
        lists = (json.dumps(pictures), json.dumps(evidence))
        return sha256_text(self.question, self.domain, *lists, self.side.answer)[:32]


class Policy(Protocol):
    """A model in training. ``fingerprint`` names its starting weights and how prompts are worded; ``needs_pictures``: it reads no pair without one."""

    model: Any
    fingerprint: str
    needs_pictures: ClassVar[bool]

    def length(self, requests: Sequence[Request]) -> int:
        """Tokens of the requests' sequences together."""
        ...

    def log_probabilities(self, requests: Sequence[Request]) -> tuple[torch.Tensor, torch.Tensor]:
        """(n,) sums of the answers' log-probabilities, with gradient, and (n,) how many tokens they have."""
        ...

    def trained(self) -> list[torch.nn.Parameter]:
        """What the optimiser moves."""
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps, by name."""
        ...

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Writes what `tensors` returned back."""
        ...

    def save(self, folder: Path, training: str) -> None:
        """The tuned model, as medrag or peft loads it."""
        ...


def open_policy(
    name: str, *, rank: int = 16, alpha: int = 32, device: str = "auto", dtype: str = "auto", seed: int = 0
) -> Policy:
    """The model behind a name, ready to be tuned. ``rank``, ``alpha`` are of a new adapter, which begins as ``seed`` draws it, in every process alike;
    the small model keeps its own.

    Raises ModelMissing for weights that are not here, MissingDependency without peft.
    """
    from medrag.vlms.medrag_small import recipe_of

    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise MissingDependency("tuning needs the package peft", 'pip install "medrag[tune]"') from error
    if "LOCAL_RANK" in os.environ:  # launched with others: each has a GPU of its own
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    name = generator_name(name)
    folder = models.resolve(name)
    if recipe_of(folder):
        return SmallPolicy(folder, device)
    from medrag.tune.hf_policy import TransformersPolicy

    return TransformersPolicy(name, folder, rank, alpha, device, dtype, seed)


def generator_name(name: str) -> str:
    """The generator that a name means: "medrag-small" is an encoder, too."""
    row = models.describe(name)
    return f"{name}-vlm" if row and row.role != "generator" else name


@dataclass
class SmallPolicy:
    """The small model: its shipped adapter is where training begins, its projector and eyes stay as they are."""

    folder: Path
    device: str = "auto"
    model: Any = field(init=False)
    fingerprint: str = field(init=False)
    needs_pictures: ClassVar[bool] = True

    def __post_init__(self) -> None:
        import torch
        from peft import LoraConfig, inject_adapter_in_model
        from safetensors.torch import load_file

        from medrag.encoders._shared import device_of
        from medrag.vlms.medrag_small import ADAPTER, blank, recipe_of

        self._recipe = recipe_of(self.folder)
        self._paths = [models.resolve(self._recipe[part]) for part in ("base", "encoder")]
        self.fingerprint = sha256_text("small/1", *map(weights_id, (self.folder, *self._paths)))[:16]
        model, processor = blank(self._paths[0])
        model.requires_grad_(False)
        options = {"r": self._recipe["rank"], "lora_alpha": self._recipe["alpha"], "target_modules": vlm.LORA}
        self.model = inject_adapter_in_model(LoraConfig(**options, lora_dropout=0.0), model)
        vlm.begin_from(self.model, {name: t.float() for name, t in load_file(self.folder / ADAPTER).items()})
        self._device = torch.device(device_of(self.device))
        self.model.to(self._device)
        self._tokenizer = processor.tokenizer
        self._looked: dict[str, tuple[Any, Any]] = {}  # path → patches (grid², channels), findings' logits

    def length(self, requests: Sequence[Request]) -> int:
        return sum(len(row[0]) for row in self._rows(requests)[0])

    def log_probabilities(self, requests: Sequence[Request]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        rows, packs, places = self._rows(requests)
        batch = vlm.collate(rows, self._tokenizer.pad_token_id)
        turns = torch.full_like(batch["ids"], -1)  # which request each answer token belongs to
        for n, (_, segments, _, wanted) in enumerate(rows):
            owner = torch.tensor([places[n][s - 1] if w else -1 for s, w in zip(segments, wanted, strict=True)])
            turns[n, : len(owner)] = owner
        batch, patches = vlm.on(batch, self._device), vlm.patches_of(packs, self._device)
        aims = batch["wanted"][:, 1:]
        hidden = vlm._hidden(self.model, batch, patches)[:, :-1][aims]
        chances = self.model.lm_head(hidden).float().log_softmax(1)
        spoken = chances.gather(1, batch["ids"][:, 1:][aims][:, None])[:, 0]
        owners = turns[:, 1:].to(self._device)[aims]
        sums = torch.zeros(len(requests), device=self._device).index_add(0, owners, spoken)
        return sums, torch.bincount(owners, minlength=len(requests))

    def _rows(self, requests: Sequence[Request]) -> tuple[list[Any], list[vlm.Packed], list[list[int]]]:
        """Packed sequences, one for each picture with its evidence, and which requests their turns are."""
        from medrag.vlms import _small_layout as layout
        from medrag.vlms._hf import inert
        from medrag.vlms.medrag_small import IMAGE_TOKEN
        from medrag.vlms.small import EVIDENCE

        groups: dict[Any, list[int]] = {}
        for n, request in enumerate(requests):
            groups.setdefault(request.prompt, []).append(n)
        packs = []
        for (images, evidence, domain), own in groups.items():
            texts = [inert(self._tokenizer, text) for text in evidence[:EVIDENCE]]
            lines = [layout.evidence_line(f"E{n}", text) for n, text in enumerate(texts, 1)]
            patches, reader = self._seen(images, domain)
            asked = [layout.question_text(inert(self._tokenizer, requests[n].question)) for n in own]
            turns = tuple((question, requests[n].side.answer) for question, n in zip(asked, own, strict=True))
            packs.append(vlm.Packed(patches, layout.before(reader, lines), turns))
        return [vlm.packed_ids(self._tokenizer, pack, IMAGE_TOKEN) for pack in packs], packs, list(groups.values())

    def _seen(self, images: tuple[str, ...], domain: str) -> tuple[Any, str]:
        """Patches (n, grid², channels) of the pictures and the reader's line on them: none for other domains than a chest film."""
        import numpy as np

        from medrag.vlms import _small_layout as layout

        if strange := [path for path in images if path not in self._looked]:
            self._looked.update(zip(strange, self._look(strange), strict=True))
        patches = np.stack([self._looked[path][0] for path in images])
        if domain not in ("", "chest-xray"):
            return patches, ""
        chances = self._reader.probabilities(np.stack([self._looked[path][1] for path in images]).mean(0))
        return patches, layout.reader_line(dict(zip(self._reader.names, chances.tolist(), strict=True)))

    def _look(self, paths: Sequence[str]) -> list[tuple[Any, Any]]:
        import torch
        from torch.nn import functional as F  # noqa: N812 - the usual name

        from medrag.encoders.image_text import load_open_clip
        from medrag.vlms.medrag_small import GRID

        encoder, transform, _ = load_open_clip(self._paths[1], "cpu")
        found: list[tuple[Any, Any]] = []
        with torch.inference_mode():
            for path in paths:
                grid = encoder.visual.trunk.forward_features(transform(load_image(path).image.convert("RGB"))[None])
                patches = F.adaptive_avg_pool2d(grid, GRID).flatten(2).transpose(1, 2)[0].half().numpy()
                found.append((patches, self._reader.of_maps(grid.numpy())[0]))
        return found

    @property
    def _reader(self) -> Any:
        from medrag.encoders.findings import FindingsReader

        if not hasattr(self, "_findings"):
            self._findings = FindingsReader(self._recipe["encoder"], device="cpu")
        return self._findings

    def trained(self) -> list[torch.nn.Parameter]:
        return [p for name, p in self.model.named_parameters() if ".lora_" in name]

    def tensors(self) -> dict[str, torch.Tensor]:
        return vlm.trained(self.model)

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        vlm.begin_from(self.model, tensors)

    def save(self, folder: Path, training: str) -> None:
        """A folder that `MedRAG.open(…, model=folder)` answers with: the adapter in half precision and its recipe."""
        from safetensors.torch import save_file

        from medrag.vlms.medrag_small import ADAPTER, RECIPE

        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: t.half().contiguous().cpu() for name, t in self.tensors().items()}, folder / ADAPTER)
        about = self._recipe | {
            "training": f"{training}; begun from the weights of: {self._recipe.get('training', '')}",
        }
        about.pop("evidence", None)  # not measured for these weights
        (folder / RECIPE).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
