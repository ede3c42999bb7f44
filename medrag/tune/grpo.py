"""Group-relative policy optimisation (GRPO, Shao et al., arXiv 2402.03300) on medrag's rewards, through TRL's own trainer.

A thin hand-over: rows as TRL wants them, rewards as TRL calls them, a low-rank adapter. What the questions are, who found their evidence
and what is right is decided elsewhere.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from medrag import models
from medrag._util.files import atomic_open, sha256_text
from medrag._util.images import load_image
from medrag._util.weights import weights_id
from medrag.errors import MissingDependency, SettingsError
from medrag.tune.answers import Told
from medrag.tune.pairs import Side
from medrag.tune.policy import generator_name
from medrag.tune.rewards import answer_reward, citation_reward, format_reward, use_reward
from medrag.tune.trainer import METRICS, Above, Count, Least, Share

Reward = Callable[..., list[float]]
WEIGHTS = {"answer": 1.0, "format": 0.2, "citation": 0.5, "use": 0.5}  # medrag's own choice
RUN = "run.json"  # what the checkpoints beside it are of


@dataclass(frozen=True, slots=True)
class GrpoTraining:
    """Numbers of a run. ``answer``, ``format``, ``citation`` and ``use`` weigh the rewards of `medrag.tune.rewards`; 0 leaves one out."""

    method: Literal["grpo"] = "grpo"
    epochs: Least = 1
    steps: Count = 0  # end after so many; 0: when the epochs are over
    questions: Least = 1  # of a step and process
    generations: Annotated[int, Field(ge=2)] = 8  # answers to each question, which are compared with each other
    tokens: Least = 256  # of an answer, at most
    temperature: Above = 1.0
    rate: Above = 1e-5
    beta: Share = 0.0  # weight of the divergence from the model before
    answer: Share = WEIGHTS["answer"]
    format: Share = WEIGHTS["format"]
    citation: Share = WEIGHTS["citation"]
    use: Share = WEIGHTS["use"]
    seed: int = 0
    checkpoint: Least = 25  # steps between checkpoints
    gradient_checkpointing: bool = False

    def weights(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in WEIGHTS}

    def options(self) -> dict[str, Any]:
        """As fields of `trl.GRPOConfig`: in bfloat16 on a CUDA device that has it, else in float32."""
        import torch

        able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return {
            "num_train_epochs": self.epochs, "max_steps": self.steps or -1, "num_generations": self.generations,
            "per_device_train_batch_size": self.questions * self.generations, "max_completion_length": self.tokens,
            "temperature": self.temperature, "learning_rate": self.rate, "beta": self.beta, "seed": self.seed,
            "save_steps": self.checkpoint, "save_total_limit": 1, "gradient_checkpointing": self.gradient_checkpointing,
            "bf16": able, "use_cpu": not torch.cuda.is_available(), "logging_steps": 1, "disable_tqdm": True,
        }  # fmt: skip


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
        if pictures:
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
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    from medrag.tune.hf_policy import targets
    from medrag.vlms._hf import sees

    folder = base_of(model)
    eyes, dtype = sees(AutoConfig.from_pretrained(folder)), "auto" if torch.cuda.is_available() else "float32"
    several = options.get("per_device_train_batch_size", 8) > options.get("num_generations", 8)
    if (
        eyes and several and len({bool(one.asked.images) for one in told}) > 1
    ):  # processors take pictures for all or for none
        raise SettingsError(
            "questions with and without pictures cannot share a step", "--set questions=1, or ask one sort alone"
        )
    policy = (AutoModelForImageTextToText if eyes else AutoModelForCausalLM).from_pretrained(folder, dtype=dtype)
    torch.manual_seed(options.get("seed", 0))  # the adapter begins at random
    return GRPOTrainer(
        model=policy,
        reward_funcs=rewards(weights),
        args=GRPOConfig(output_dir=str(out), **{"report_to": [], **options}),
        train_dataset=Dataset.from_list(rows(told, pictures=eyes)),
        processing_class=(AutoProcessor if eyes else AutoTokenizer).from_pretrained(folder),
        peft_config=LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets(policy), lora_dropout=0.0),
    )


def base_of(model: str) -> Path:
    """The folder of a model by name. Raises SettingsError for the small model, ModelMissing for weights that are not here."""
    from medrag.vlms.medrag_small import recipe_of

    folder = models.resolve(generator_name(model))
    if recipe_of(folder):
        raise SettingsError(
            f"{model} cannot be trained by GRPO", "name a model of transformers with --model, or tune it on pairs"
        )
    return folder


def train(
    model: str, told: Sequence[Told], settings: GrpoTraining, work: Path, save: Callable[[Any, dict[str, float]], None]
) -> dict[str, float]:
    """Tunes a model by name and returns the weighted rewards of the last quarter of the steps, on average.

    ``work`` gets checkpoints (a run that was cut off goes on from the last) and ``metrics.jsonl``, one line a step. ``save`` is given the trainer
    and what is returned, in the first process alone; the checkpoints stay until it is done. Raises SettingsError where they are of other settings,
    answers or weights.
    """
    from transformers.trainer_utils import get_last_checkpoint

    about = {**asdict(settings), "model": weights_id(base_of(model)), "answers": sha256_text(*(o.line() for o in told))}
    trainer = grpo_trainer(model, told, work, weights=settings.weights(), **settings.options())
    last = _resumed(work / RUN, about) and get_last_checkpoint(str(work))
    _quiet(trainer, work)
    began = time.time()
    if not (last and _was_over(trainer, Path(last))):
        trainer.train(resume_from_checkpoint=last)
    found = summary(trainer.state.log_history, settings.weights()) | {
        "steps": trainer.state.global_step, "minutes": round((time.time() - began) / 60, 3), "used": len(told),
    }  # fmt: skip
    if trainer.is_world_process_zero():
        save(trainer, found)
        for kept in (work / RUN, *work.glob("checkpoint-*")):
            shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    return found


def _resumed(path: Path, about: dict[str, Any]) -> bool:
    """Whether this run was begun before; if not, it is now."""
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != about:
            raise SettingsError(f"{path} is of a run with other settings, answers or model", "delete its folder, or name another --work")  # fmt: skip
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about), encoding="utf-8")
    return False


def _was_over(trainer: Any, last: Path) -> bool:
    """Whether the checkpoint is of the last step; it is then put back, for transformers would take one step more."""
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(last / "trainer_state.json"))
    if state.global_step < state.max_steps:
        return False
    trainer.state = state
    trainer.model.load_adapter(str(last), adapter_name="default")
    return True


def _quiet(trainer: Any, work: Path) -> None:
    """TRL's lines go into ``metrics.jsonl`` and not to standard output, which is the command's."""
    from transformers import PrinterCallback, TrainerCallback

    class Kept(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                with atomic_open(work / METRICS, "w") as stream:
                    stream.writelines(json.dumps(line) + "\n" for line in state.log_history)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Kept())


def summary(lines: Sequence[Mapping[str, float]], weights: Mapping[str, float]) -> dict[str, float]:
    """Means of the last quarter of the steps: the whole reward, and each of those that it is the sum of."""
    steps = [line for line in lines if "reward" in line]
    last = steps[-max(1, len(steps) // 4) :]
    names = {"reward": "reward"} | {name: f"rewards/{name}_reward/mean" for name, weight in weights.items() if weight}
    return {name: round(sum(line[column] for line in last) / len(last), 5) for name, column in names.items()} if last else {}  # fmt: skip
