"""Tuning as a whole, from a file of pairs to a folder that answers: what can be refused is refused before a model is read."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from medrag import models
from medrag._util.files import write_error
from medrag.errors import MedragError, SettingsError
from medrag.tune.pairs import Pair, check_pictures, read_pairs
from medrag.tune.policy import Policy, generator_name, open_policy
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
    _check_place(out, model)
    for folder in (out, work):
        _check_writable(folder)
    policy = open_policy(model, seed=settings.seed)

    def save(found: dict[str, float]) -> None:
        about = f"preference tuning ({settings}) on {found['used']} pairs, {found['steps']} steps, {found['minutes']:.0f} minutes"
        _save(policy, out, f"{about}; kinds: {', '.join(kinds) or 'all'}", work)

    return pairs, train(policy, pairs, settings, work, save=save)


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


def _save(policy: Policy, out: Path, about: str, work: Path) -> None:
    from safetensors import SafetensorError

    try:
        policy.save(out, about)
    except (OSError, SafetensorError) as error:
        said = " ".join(str(error).split())
        raise MedragError(
            f"cannot write {out}: {said}",
            f"free space, then run the same again: it goes on from {work}, where all steps are done",
        ) from error
