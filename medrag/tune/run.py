"""Tuning as a whole, from a file of pairs to a folder that answers: what can be refused is refused before a model is read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from medrag import models
from medrag._util.files import write_error
from medrag.errors import MedragError, SettingsError
from medrag.tune import grpo
from medrag.tune.answers import read_told
from medrag.tune.pairs import Pair, check_pictures, read_pairs
from medrag.tune.policy import generator_name, open_policy
from medrag.tune.trainer import PreferenceTraining, train


def tune(
    file: Path, out: Path, settings: PreferenceTraining, *, model: str = "medrag-small", kinds: Sequence[str] = (),
    work: Path | None = None,
) -> tuple[list[Pair], dict[str, float]]:  # fmt: skip
    """Tunes a model by name on the pairs of a file and writes it to ``out``; those pairs, and the measures that `train` returns.

    ``work`` keeps references and checkpoints (default: OUT.work, beside it), the last one until the result is written. Of several processes the
    first writes. Raises SettingsError for what cannot be tuned, MedragError where nothing can be written.
    """
    pairs, work = read_pairs(file, kinds), work or out.resolve().with_name(f"{out.resolve().name}.work")
    check_pictures(pairs)
    _check_places(out, work, model)
    policy = open_policy(model, seed=settings.seed)

    def save(found: dict[str, float]) -> None:
        about = f"preference tuning ({settings}) on {found['used']} pairs, {found['steps']} steps, {found['minutes']:.0f} minutes"
        _save(lambda: policy.save(out, f"{about}; kinds: {', '.join(kinds) or 'all'}"), out, work)

    return pairs, train(policy, pairs, settings, work, save=save)


def reinforce(
    file: Path, out: Path, settings: grpo.GrpoTraining, *, model: str, work: Path | None = None
) -> dict[str, float]:
    """Tunes a model by name by GRPO on the questions of an ``answers.jsonl`` and writes it to ``out``; the measures that `medrag.tune.grpo.train` returns.

    ``work`` and errors as in `tune`; the small model is refused.
    """
    told, work = read_told(file), work or out.resolve().with_name(f"{out.resolve().name}.work")
    grpo.base_of(model)
    _check_places(out, work, model)

    def save(trainer: Any, found: dict[str, float]) -> None:
        from medrag.tune.hf_policy import save_tuned

        about = f"{settings} on {found['used']} questions, {found['steps']} steps; begun from {model}"
        _save(lambda: save_tuned(trainer.model, trainer.processing_class, out, about), out, work)

    return grpo.train(model, told, settings, work, save)


def _check_places(out: Path, work: Path, model: str) -> None:
    """Before anything is computed: neither place is the model's own, and both can be written to."""
    _check_place(out, model)
    for folder in (out, work):
        _check_writable(folder)


def _check_place(out: Path, model: str) -> None:
    base = models.resolve(generator_name(model)).resolve()
    if out.resolve().is_relative_to(base):
        raise SettingsError(
            f"{out} lies in the folder of {model}, the model that tuning begins with",
            "name another --out: the untuned model would be gone",
        )


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise write_error(folder, error, "name another folder with --out or --work") from error


def _save(write: Callable[[], None], out: Path, work: Path) -> None:
    from safetensors import SafetensorError

    try:
        write()
    except (OSError, SafetensorError) as error:
        said = " ".join(str(error).split())
        raise MedragError(
            f"cannot write {out}: {said}",
            f"free space, then run the same again: it goes on from {work}, where all steps are done",
        ) from error
