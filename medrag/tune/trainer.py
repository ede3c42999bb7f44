"""Tunes a model on preference pairs: reference log-probabilities kept on disk, then the loss, resumable, with its measures written down.

TRL's trainer gives both sides of a pair the same pictures, so the loop is medrag's own (30 lines of it); its loss and log-probabilities
equal TRL's on pairs with one picture (see the tests). Several GPUs: ``accelerate launch``, each process takes its share of
every batch and the adapter's gradients are summed. It knows models only as a `medrag.tune.policy.Policy`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from medrag._util.files import atomic_open, sha256_text
from medrag._util.hardware import native_bf16
from medrag._util.near import meant
from medrag._util.progress import track
from medrag.errors import SettingsError
from medrag.tune.pairs import Pair, check_pictures, drawn
from medrag.tune.peers import Peers
from medrag.tune.policy import Policy, Request
from medrag.tune.preference import measured, preference_loss, supervised_loss
from medrag.tune.vlm import batches, keep

STATE, METRICS = "preferences.pt", "metrics.jsonl"
Count = Annotated[int, Field(ge=0)]
Least = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Numbers = TypeVar("Numbers")


@dataclass(frozen=True, slots=True)
class PreferenceTraining:
    """Numbers of a run. ``method``: "weighted", "dpo" (all weights 1), or "sft" (the chosen answers alone, as a baseline); for "grpo" see `medrag.tune.grpo.GrpoTraining`."""

    method: Literal["weighted", "dpo", "sft"] = "weighted"
    beta: Above = 0.1
    supervised: Share = 0.0  # weight of the chosen answers' cross-entropy in the loss (Pang et al., arXiv 2404.19733)
    untuned: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of the old weights in the result (arXiv 2109.01903)
    most: Count = 0  # pairs of each kind, drawn with the seed; 0: all
    balance: bool = True  # as many pairs that prefer yes as prefer no: see `medrag.tune.pairs.drawn`
    epochs: Least = 1
    steps: Count = 0  # end after so many, for runs that are compared; 0: when the epochs are over
    tokens: Least = 2200  # of a batch, both sides of its pairs together
    rate: Above = 5e-5
    warmup: Count = 10  # steps
    clip: Above = 1.0
    seed: int = 0
    minutes: Share = 0.0  # the schedule follows the clock and ends by then; 0: when the epochs are over
    checkpoint: Least = 25  # steps between checkpoints
    gradient_checkpointing: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the device multiplies it itself


def settings_of(options: Mapping[str, Any], made: type[Numbers] = PreferenceTraining) -> Numbers:  # type: ignore[assignment]
    """Settings from names and values as people type them. Raises SettingsError for a name or a value that does not fit."""
    from pydantic import TypeAdapter, ValidationError

    known = [one.name for one in fields(made)]  # type: ignore[arg-type]
    if strange := options.keys() - set(known):
        raise SettingsError(f"training has no setting {min(strange)!r}", meant(min(strange), known))
    try:
        return TypeAdapter(made).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingsError(
            f"{first['loc'][0]}: {first['msg']}", f"see {made.__module__}.{made.__qualname__}"
        ) from error


def requests_of(pairs: Sequence[Pair]) -> list[Request]:
    """The chosen sides of all pairs, then the rejected ones."""
    return [
        Request(p.question, p.domain, side)
        for sides in ("chosen", "rejected")
        for p in pairs
        for side in (getattr(p, sides),)
    ]


def reference(policy: Policy, pairs: Sequence[Pair], path: Path, tokens: int = 2200, precision: str = "auto") -> Any:
    """(2, n) float32 log-probabilities of the chosen and the rejected answers before training.

    They are kept in ``path`` (npz) by the content of pictures, evidence, question and answer, for one model; what is there is not
    computed again, and a run that was cut off goes on.
    """
    import numpy as np
    import torch

    asked, hashes = requests_of(pairs), dict[str, str]()
    made = f"{policy.fingerprint}-bfloat16" if _halved(policy, precision) else policy.fingerprint
    keys = [f"{made}-{request.content(hashes)}" for request in asked]
    known = _stored(path)
    lost = list({key: request for key, request in zip(keys, asked, strict=True) if key not in known}.items())
    units = _together([request.prompt for _, request in lost])
    lengths = [policy.length([lost[n][1] for n in unit]) for unit in units]
    groups = (
        [[n for m in some for n in units[m]] for some in batches(lengths, tokens, random.Random(0))] if lost else []
    )
    policy.model.eval()
    for n, group in enumerate(track(groups, "reference"), 1):
        with torch.no_grad(), _precise(policy, precision):
            sums, _ = policy.log_probabilities([lost[m][1] for m in group])
        known.update(zip((lost[m][0] for m in group), sums.tolist(), strict=True))
        if n % 20 == 0 or n == len(groups):
            with atomic_open(path) as stream:
                np.savez(stream, keys=np.array(list(known)), values=np.array(list(known.values())))
    return np.array([known[key] for key in keys], np.float32).reshape(2, len(pairs))


def _content(pairs: Sequence[Pair]) -> str:
    """Of both sides of all pairs, pictures by their bytes, and of the weights."""
    hashes = dict[str, str]()
    sides = [request.content(hashes) for request in requests_of(pairs)]
    return sha256_text(*sides, *(repr(pair.weight) for pair in pairs))[:16]


def _together(keys: Sequence[Any]) -> list[list[int]]:
    """Positions with equal keys: what a batch has to compute once."""
    found: dict[Any, list[int]] = {}
    for n, key in enumerate(keys):
        found.setdefault(key, []).append(n)
    return list(found.values())


def _stored(path: Path) -> dict[str, float]:
    import numpy as np

    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as held:
        return dict(zip(held["keys"].tolist(), held["values"].tolist(), strict=True))


def train(
    policy: Policy, pairs: Sequence[Pair], settings: PreferenceTraining, work: Path, board: bool = True,
    save: Callable[[dict[str, float]], None] = lambda found: None,
) -> dict[str, float]:  # fmt: skip
    """Tunes the policy in place and returns the measures of the last quarter of the steps, on average, how many pairs were used, and how
    many were left out because they have no picture and the policy needs one.

    ``work`` gets the reference's log-probabilities, a checkpoint every few steps (a run that was cut off goes on from it) and ``metrics.jsonl``, one line
    a step; TensorBoard's events too where it is installed and ``board`` is set. ``save`` is given what is returned, in the first process alone; the
    checkpoint stays until it is done. Raises SettingsError for no pairs, for pictures that are not there, where no step fits into the
    minutes, and where the checkpoint is of other settings or pairs.
    """
    import torch

    if not pairs:
        raise SettingsError("there are no pairs to tune on", "medrag tune pairs makes them")
    check_pictures(pairs)
    given = len(pairs)
    pairs = _readable(policy, pairs)
    left_out = given - len(pairs)
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    ours = settings.method == "weighted"
    chosen = drawn(pairs, settings.most, settings.balance, settings.seed)
    pairs = [pair if ours else replace(pair, weight=1.0) for pair in chosen]
    peers = Peers.found()
    if settings.minutes and peers.count > 1:
        raise SettingsError(
            "several processes cannot follow the clock: each has its own", "set epochs instead of minutes"
        )
    before = _reference_once(policy, pairs, work / "reference.npz", settings, peers)
    units = _together([(pair.question, pair.chosen.images) for pair in pairs])  # they share prompts
    lengths = [policy.length(requests_of([pairs[n] for n in unit])) for unit in units]
    if settings.gradient_checkpointing:
        policy.model.gradient_checkpointing_enable()
        policy.model.enable_input_require_grads()
    moved = policy.trained()
    optimiser = torch.optim.AdamW(moved, lr=settings.rate, weight_decay=0.0, betas=(0.9, 0.98))
    untuned = policy.tensors() if settings.untuned else {}
    about = {**asdict(settings), "pairs": _content(pairs), "model": policy.fingerprint, "peers": peers.count}
    step, spent = _resume(policy, optimiser, work / STATE, about)
    began, seen = time.time() - spent, [line for line in metrics(work) if line["step"] <= step]
    policy.model.train()
    with _Log(work, seen, peers.first, board) as log:
        for number, done, group in _schedule(units, lengths, settings, began):
            if number <= step:
                continue
            rate = (
                settings.rate
                * min(1.0, number / max(1, settings.warmup))
                * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
            )
            optimiser.param_groups[0]["lr"] = rate
            optimiser.zero_grad(set_to_none=False)
            own = group[peers.place :: peers.count]
            line = (
                _step(policy, [pairs[n] for n in own], before[:, own], settings, len(own) / len(group)) if own else {}
            )
            line = peers.together(moved, line, len(own) / len(group))
            torch.nn.utils.clip_grad_norm_(moved, settings.clip)
            optimiser.step()
            step = number
            log.add(
                {
                    "step": step,
                    **line,
                    "pairs": len(group),
                    "rate": rate,
                    "minutes": round((time.time() - began) / 60, 3),
                }
            )
            if peers.first and step % settings.checkpoint == 0:
                _keep(policy, optimiser, work / STATE, about, step, began)
    if not step:
        raise SettingsError(f"no step fits into {settings.minutes:g} minutes", "set more, or 0 for all epochs")
    if peers.first:
        _keep(
            policy, optimiser, work / STATE, about, step, began
        )  # the end, too: a save that fails is tried again from it
    peers.wait()
    if untuned:
        policy.restore({n: t.lerp(untuned[n], settings.untuned) for n, t in policy.tensors().items()})
    policy.model.eval()
    found = {**summary(metrics(work)), "used": len(pairs), "left_out": left_out}
    if peers.first:
        save(found)
        (work / STATE).unlink(missing_ok=True)
    peers.wait()
    return found


def _readable(policy: Policy, pairs: Sequence[Pair]) -> Sequence[Pair]:
    """The pairs without those that have no picture, where the policy needs one."""
    seen = [pair for pair in pairs if pair.chosen.images and pair.rejected.images]
    if not policy.needs_pictures:
        return pairs
    if not seen:
        raise SettingsError("no pair has a picture, and medrag-small is tuned on those alone", "name another --model")
    return seen


def _keep(policy: Policy, optimiser: Any, path: Path, about: dict[str, Any], step: int, began: float) -> None:
    state = {"tensors": policy.tensors(), "optimiser": optimiser.state_dict(), "step": step}
    keep(path, {"about": about, **state, "seconds": time.time() - began})


def _step(
    policy: Policy, pairs: Sequence[Pair], before: Any, settings: PreferenceTraining, share: float
) -> dict[str, float]:
    """Adds the gradient of a batch's share and returns its measures."""
    import torch

    with _precise(policy, settings.precision):
        sums, counts = policy.log_probabilities(requests_of(pairs))
    chosen, rejected = sums.float().chunk(2)
    tokens = counts.reshape(2, -1)
    old = torch.as_tensor(before, device=sums.device)
    weights = torch.tensor([pair.weight for pair in pairs], device=sums.device)
    if settings.method == "sft":
        loss = supervised_loss(chosen, tokens[0])
    else:
        loss = preference_loss(chosen, rejected, old[0], old[1], weights, settings.beta)
        if settings.supervised:
            loss = loss + settings.supervised * supervised_loss(chosen, tokens[0])
    (loss * share).backward()
    return {"loss": float(loss.detach()), **measured(chosen, rejected, old[0], old[1], tokens, settings.beta)}


def _schedule(
    units: Sequence[Sequence[int]], lengths: Sequence[int], settings: PreferenceTraining, began: float
) -> Iterator[tuple[int, float, list[int]]]:
    """(step from 1, share of the run that is done, pairs of the batch); whole ``units``, the same batches for the same seed."""
    chance, number = random.Random(settings.seed), 0
    for epoch in itertools.count() if settings.steps else range(settings.epochs):
        groups = batches(lengths, settings.tokens, chance)
        for n, group in enumerate(groups):
            done = number / settings.steps if settings.steps else (epoch + n / len(groups)) / settings.epochs
            if settings.minutes:
                done = max(done, (time.time() - began) / 60 / settings.minutes)
            if done >= 1:
                return
            number += 1
            yield number, done, [pair for unit in group for pair in units[unit]]


def _reference_once(
    policy: Policy, pairs: Sequence[Pair], path: Path, settings: PreferenceTraining, peers: Peers
) -> Any:
    """The first process computes, the others then read what it kept."""
    if peers.first:
        found = reference(policy, pairs, path, settings.tokens, settings.precision)
    peers.wait()
    return found if peers.first else reference(policy, pairs, path, settings.tokens, settings.precision)


def _halved(policy: Policy, precision: str) -> bool:
    """Whether it is run in bfloat16: where that is asked for, or native; a GPU that lacks it is better served by float32."""
    import torch

    kind = next(policy.model.parameters()).device.type
    native = {"cuda": torch.cuda.is_bf16_supported, "cpu": native_bf16}
    return precision == "bfloat16" or (precision == "auto" and kind in native and native[kind]())


def _precise(policy: Policy, precision: str) -> Any:
    """Autocast to bfloat16 where it is wanted."""
    import torch

    kind = next(policy.model.parameters()).device.type
    return torch.autocast(kind, torch.bfloat16) if _halved(policy, precision) else contextlib.nullcontext()


def _resume(policy: Policy, optimiser: Any, path: Path, about: dict[str, Any]) -> tuple[int, float]:
    """(steps, seconds) of an interrupted run, its state put back; (0, 0) where there is none."""
    import torch

    if not path.is_file():
        return 0, 0.0
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    if state["about"] != about:
        raise SettingsError(
            f"{path} is of a run with other settings, pairs or model", "delete it, or name another --work folder"
        )
    policy.restore(state["tensors"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state["seconds"])


def metrics(work: Path) -> list[dict[str, float]]:
    """The lines that a run has written so far; one that was cut short is left out."""
    path = work / METRICS
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else [""]
    return [json.loads(line) for line in lines[:-1]]


def summary(lines: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the last quarter of the steps, and how many steps there were."""
    last = lines[-max(1, len(lines) // 4) :]
    names = ("loss", "reward_chosen", "reward_rejected", "margin", "preferred", "kl")
    found = {name: round(sum(line[name] for line in last) / len(last), 5) for name in names} if last else {}
    return {**found, "steps": len(lines), "minutes": lines[-1]["minutes"] if lines else 0.0}


class _Log:
    """``metrics.jsonl``, and TensorBoard where it is installed. ``seen``: what an interrupted run wrote before its checkpoint."""

    def __init__(self, work: Path, seen: Sequence[Mapping[str, float]], first: bool, board: bool) -> None:
        self._work, self._seen, self._first, self._board = work, seen, first, board

    def __enter__(self) -> _Log:
        self._stream = (self._work / METRICS).open("w", encoding="utf-8") if self._first else None
        for line in self._seen:
            self.write(line)
        self._writer: Any = None
        if self._first and self._board:
            with contextlib.suppress(ImportError):
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self._work))
        return self

    def write(self, line: Mapping[str, float]) -> None:
        if self._stream:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()

    def add(self, line: Mapping[str, float]) -> None:
        rounded = {
            name: round(value, 6) if isinstance(value, float) and name != "rate" else value
            for name, value in line.items()
        }
        self.write(rounded)
        for name, value in line.items() if self._writer else ():
            self._writer.add_scalar(name, value, line["step"])

    def __exit__(self, *_: Any) -> None:
        if self._stream:
            self._stream.close()
        if self._writer:
            self._writer.close()
