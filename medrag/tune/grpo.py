"""Group-relative policy optimisation (GRPO, Shao et al., arXiv 2402.03300) on medrag's rewards, through TRL's own trainer.

A thin hand-over: rows as TRL wants them, rewards as TRL calls them, a low-rank adapter. What the questions are, who found their evidence
and what is right is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medrag import models
from medrag._util.images import load_image
from medrag.errors import MissingDependency, SettingsError
from medrag.tune.answers import Told
from medrag.tune.pairs import Side
from medrag.tune.rewards import answer_reward, citation_reward, format_reward, use_reward

Reward = Callable[..., list[float]]
WEIGHTS = {"answer": 1.0, "format": 0.2, "citation": 0.5, "use": 0.5}  # medrag's own choice


def rows(told: Iterable[Told], pictures: bool = True) -> list[dict[str, Any]]:
    """One training row for each question: the prompt as messages, what the rewards read, and the pictures.

    ``evidence`` is a list, so that a table can hold it: E1 is its first text.
    """
    made = []
    for one in told:
        side = Side(one.asked.images, one.evidence, "")
        prompt = side.prompt(one.asked.question, one.domain, pictures)
        turns = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user_text()}]
        row: dict[str, Any] = {
            "prompt": turns, "reference": one.asked.reference, "kind": one.asked.kind, "without": one.without,
            "evidence": [piece.text for piece in one.evidence],
        }  # fmt: skip
        if pictures and one.asked.images:
            row["images"] = [load_image(path, max_side=1024).image.convert("RGB") for path in one.asked.images]
        made.append(row)
    return made


def rewards(weights: Mapping[str, float] = WEIGHTS) -> list[Reward]:
    """The rewards as TRL calls them: columns of the rows as keyword lists, completions as texts or messages; weighted.

    Raises SettingsError for a reward that does not exist.
    """
    if strange := weights.keys() - WEIGHTS.keys():
        raise SettingsError(f"there is no reward {sorted(strange)[0]!r}", f"known: {', '.join(WEIGHTS)}")
    return [_named(name, weight) for name, weight in weights.items() if weight]


def _named(name: str, weight: float) -> Reward:
    one: dict[str, Callable[[str, Mapping[str, Any]], float]] = {
        "answer": lambda said, row: answer_reward(said, row["reference"]),
        "format": lambda said, row: format_reward(said, row["kind"], keyed(row["evidence"])),
        "citation": lambda said, row: citation_reward(said, keyed(row["evidence"])),
        "use": lambda said, row: use_reward(said, row["reference"], row["without"]),
    }

    def reward(completions: Sequence[Any], **columns: Any) -> list[float]:
        lists = {key: columns[key] for key in ("reference", "kind", "evidence", "without")}
        asked = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
        return [weight * one[name](text_of(said), row) for said, row in zip(completions, asked, strict=True)]

    reward.__name__ = f"{name}_reward"
    return reward


def keyed(evidence: Sequence[str]) -> dict[str, str]:
    """Texts by the keys that a prompt gives them: E1, E2, …"""
    return {f"E{n}": text for n, text in enumerate(evidence, 1)}


def text_of(completion: Any) -> str:
    """A completion's words, whether TRL gives a text or the assistant's messages."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def grpo_trainer(
    model: str, told: Sequence[Told], out: Path, *, weights: Mapping[str, float] = WEIGHTS, rank: int = 16, alpha: int = 32,
    **options: Any,
) -> Any:  # fmt: skip
    """A `trl.GRPOTrainer`, ready for ``.train()``, of a model by name; ``options`` are fields of `trl.GRPOConfig`.

    The small model is not one of those: its pictures go through a vision tower of its own, and its keys are attributed afterwards, so
    it has no citations to reward. Raises MissingDependency without TRL, ModelMissing for weights that are not here.
    """
    try:
        from datasets import Dataset  # type: ignore[import-untyped]
        from peft import LoraConfig
        from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]
    except ImportError as error:
        raise MissingDependency(f"GRPO needs the package {error.name}", 'pip install "medrag[tune]"') from error
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    from medrag.tune.hf_policy import targets
    from medrag.tune.policy import generator_name
    from medrag.vlms._hf import sees
    from medrag.vlms.medrag_small import recipe_of

    folder = models.resolve(generator_name(model))
    if recipe_of(folder):
        raise SettingsError(f"{model} cannot be trained by GRPO", "name a model of transformers, or tune it on pairs")
    eyes = sees(AutoConfig.from_pretrained(folder))
    policy = (AutoModelForImageTextToText if eyes else AutoModelForCausalLM).from_pretrained(folder)
    return GRPOTrainer(
        model=policy,
        reward_funcs=rewards(weights),
        args=GRPOConfig(output_dir=str(out), **{"report_to": [], **options}),
        train_dataset=Dataset.from_list(rows(told, pictures=eyes)),
        processing_class=(AutoProcessor if eyes else AutoTokenizer).from_pretrained(folder),
        peft_config=LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets(policy), lora_dropout=0.0),
    )
