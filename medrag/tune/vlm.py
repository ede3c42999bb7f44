"""Trains the small vision-language model: projector and low-rank adapter, on questions and reports with and without evidence.

A picture's questions and its report share what comes before them (patches, reader's line, evidence), so they are packed
into one sequence: every turn attends to the shared beginning and to itself, never to another turn, which equals training
on them one by one and costs a third. Only answers carry loss. It knows nothing of how pictures become feature maps.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util.files import atomic_open
from medrag.tune.device import mixed, training_device

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

LORA = r".*language_model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"


@dataclass(frozen=True, slots=True)
class VlmTraining:
    """Numbers of a run: about 0.5 s for a packed picture on 2 cores."""

    epochs: int = 1
    tokens: int = 2200  # padded tokens of a batch
    rank: int = 16
    alpha: int = 32
    adapter_rate: float = 6e-4
    projector_rate: float = 1.5e-3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Packed:
    """One sequence: the patches of its pictures, its shared beginning, and (question, answer) turns."""

    patches: NDArray[np.float16]  # (images, grid², channels)
    beginning: str  # after the pictures
    turns: tuple[tuple[str, str], ...]


def packed_ids(tokenizer: Any, packed: Packed, image_token: str) -> tuple[list[int], list[int], list[int], list[bool]]:
    """(ids, segments, positions, wanted): segment 0 is shared, turn n is segment n; ``wanted`` marks answer tokens."""
    grid = packed.patches.shape[1]
    shared = "<|im_start|>user\n" + f"{image_token * grid}\n" * len(packed.patches) + packed.beginning
    ids: list[int] = tokenizer(shared, add_special_tokens=False)["input_ids"]
    segments, positions, wanted = [0] * len(ids), list(range(len(ids))), [False] * len(ids)
    start = len(ids)
    for n, (question, answer) in enumerate(packed.turns, start=1):
        asked = tokenizer(f"{question}<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
        told = tokenizer(f"{answer}<|im_end|>", add_special_tokens=False)["input_ids"]
        ids += asked + told
        segments += [n] * (len(asked) + len(told))
        positions += range(start, start + len(asked) + len(told))
        wanted += [False] * len(asked) + [True] * len(told)
    return ids, segments, positions, wanted


def collate(rows: Sequence[tuple[list[int], list[int], list[int], list[bool]]], pad: int) -> dict[str, torch.Tensor]:
    """Padded tensors: ids (n, t), positions (n, t), a boolean mask (n, 1, t, t) that is true where attention goes, wanted (n, t)."""
    import torch

    longest = max(len(ids) for ids, *_ in rows)
    ids = torch.full((len(rows), longest), pad)
    segments = torch.full((len(rows), longest), -1)
    positions = torch.zeros(len(rows), longest, dtype=torch.long)
    wanted = torch.zeros(len(rows), longest, dtype=torch.bool)
    for n, (own, segment, position, want) in enumerate(rows):
        ids[n, : len(own)], segments[n, : len(own)] = torch.tensor(own), torch.tensor(segment)
        positions[n, : len(own)], wanted[n, : len(own)] = torch.tensor(position), torch.tensor(want)
    causal = torch.ones(longest, longest, dtype=torch.bool).tril()
    alike = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
    mask = alike & causal & (segments[:, None, :] >= 0)
    mask |= torch.eye(longest, dtype=torch.bool)  # padding attends to itself, so that no row is empty
    return {"ids": ids, "positions": positions, "mask": mask[:, None], "wanted": wanted}


def on(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch, moved."""
    return {name: tensor.to(device) for name, tensor in batch.items()}


def patches_of(packs: Sequence[Packed], device: torch.device) -> torch.Tensor:
    """(patches of all pictures, channels) float32 on the device, in the order of their image tokens."""
    import numpy as np
    import torch

    stacked = np.concatenate([one.patches.reshape(-1, one.patches.shape[-1]) for one in packs])
    return torch.from_numpy(stacked).float().to(device)


def loss_of(model: Any, batch: dict[str, torch.Tensor], patches: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Mean cross-entropy over the answers' tokens, and how many they are."""
    from torch.nn import functional as F  # noqa: N812 - the usual name

    hidden = _hidden(model, batch, patches)
    aims = batch["ids"][:, 1:][batch["wanted"][:, 1:]]
    logits = model.lm_head(hidden[:, :-1][batch["wanted"][:, 1:]])
    return F.cross_entropy(logits, aims), len(aims)


def _hidden(model: Any, batch: dict[str, torch.Tensor], patches: torch.Tensor) -> torch.Tensor:
    """Last hidden states (n, t, d), the patches put in where the image tokens stand."""
    embedded = model.get_input_embeddings()(batch["ids"])
    seen = model.model.multi_modal_projector(patches)
    place = (batch["ids"] == model.config.image_token_id).unsqueeze(-1).expand_as(embedded)
    embedded = embedded.masked_scatter(place, seen.to(embedded.dtype))
    out = model.model.language_model(
        inputs_embeds=embedded, attention_mask=batch["mask"], position_ids=batch["positions"], use_cache=False
    )
    return out.last_hidden_state  # type: ignore[no-any-return]


def batches(lengths: Sequence[int], tokens: int, chance: random.Random) -> list[list[int]]:
    """Rows grouped by similar length, each group at most ``tokens`` when padded; the groups in random order."""
    order = sorted(range(len(lengths)), key=lambda n: lengths[n] + chance.random() * 16)
    groups: list[list[int]] = [[]]
    for n in order:
        if groups[-1] and (len(groups[-1]) + 1) * max(lengths[n], *(lengths[m] for m in groups[-1])) > tokens:
            groups.append([])
        groups[-1].append(n)
    chance.shuffle(groups)
    return groups


def train(
    model: Any, tokenizer: Any, epochs: Iterator[list[Packed]], image_token: str, settings: VlmTraining, work: Path,
    minutes: float = 0.0, start: dict[str, torch.Tensor] | None = None, device: str = "auto",
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Trains in place and returns projector and adapter on the CPU, named as `medrag.vlms.medrag_small.adopt` reads them.

    ``epochs`` yields the packed sequences of each epoch, the same ones for the same seed. Every 50 steps ``work/vlm.pt`` is kept, and a
    run that finds it goes on from there. With ``minutes`` the schedule follows the clock and ends by then. ``start``: an earlier
    run's tensors to begin from. ``device`` as in `medrag.tune.device.training_device`; a run may go on on another one.
    """
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    place = training_device(device)
    torch.manual_seed(settings.seed)
    model.requires_grad_(False)
    model = inject_adapter_in_model(
        LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=LORA, lora_dropout=0.0), model
    ).to(place)
    projector = list(model.model.multi_modal_projector.parameters())
    for parameter in projector:
        parameter.requires_grad_(True)
    adapter = [p for name, p in model.named_parameters() if "lora_" in name]
    optimiser = torch.optim.AdamW(
        [{"params": adapter, "lr": settings.adapter_rate}, {"params": projector, "lr": settings.projector_rate}],
        weight_decay=0.0, betas=(0.9, 0.98),
    )  # fmt: skip
    rates = [group["lr"] for group in optimiser.param_groups]
    begin_from(model, start or {})
    chance, step, running, began = random.Random(settings.seed), 0, 0.0, time.time()
    earlier = resumed(work / "vlm.pt", settings)
    if earlier:
        begin_from(model, earlier["tensors"])
        optimiser.load_state_dict(earlier["optimiser"])
        step, running, began = earlier["step"], earlier["loss"], began - earlier["seconds"]
    behind = step
    model.train()
    for epoch, examples in zip(range(settings.epochs), epochs, strict=False):
        rows = [packed_ids(tokenizer, packed, image_token) for packed in examples]
        groups = batches([len(ids) for ids, *_ in rows], settings.tokens, chance)
        for n, group in enumerate(groups):
            if behind:
                behind -= 1
                continue
            done = (epoch + n / len(groups)) / settings.epochs
            if minutes:
                done = max(done, (time.time() - began) / 60 / minutes)
            if done >= 1:
                break
            for one, rate in zip(optimiser.param_groups, rates, strict=True):
                one["lr"] = rate * min(1.0, (step + 1) / 30) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            batch = on(collate([rows[m] for m in group], tokenizer.pad_token_id), place)
            with mixed(place):
                loss, _ = loss_of(model, batch, patches_of([examples[m] for m in group], place))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*adapter, *projector], 1.0)
            optimiser.step()
            step += 1
            running = 0.95 * running + 0.05 * float(loss.detach()) if step > 1 else float(loss.detach())
            if step % 20 == 0:
                print(json.dumps({"step": step, "of": len(groups) * settings.epochs, "loss": round(running, 4), "minutes": round((time.time() - began) / 60, 1)}), flush=True)  # fmt: skip
            if step % 50 == 0:
                keep(work / "vlm.pt", {"tensors": trained(model), "settings": asdict(settings), "optimiser": optimiser.state_dict(), "step": step, "loss": running, "seconds": time.time() - began})  # fmt: skip
    (work / "vlm.pt").unlink(missing_ok=True)
    return trained(model)


def trained(model: Any) -> dict[str, torch.Tensor]:
    """Projector and adapter by the names of the matrices they belong to, on the CPU."""
    found = {}
    for name, value in model.named_parameters():
        if "multi_modal_projector" in name:
            found[name] = value.detach().cpu().clone()
        elif ".lora_" in name:
            found[name.replace(".default.weight", "")] = value.detach().cpu().clone()
    return found


def begin_from(model: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Writes what `trained` returned back into the model."""
    own = {name.replace(".default.weight", ""): p for name, p in model.named_parameters()}
    for name, tensor in tensors.items():
        own[name].data.copy_(tensor)


def keep(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint whole or not at all."""
    import torch

    with atomic_open(path) as stream:
        torch.save(state, stream)


def resumed(path: Path, settings: VlmTraining) -> dict[str, Any] | None:
    """The state of an interrupted run with the same settings. Raises SettingsError where they differ."""
    import torch

    from medrag.errors import SettingsError

    if not path.is_file():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["settings"] != asdict(settings):
        raise SettingsError(f"{path} is of a run with other settings: {state['settings']}", "delete it, or name another --work folder")  # fmt: skip
    return state
