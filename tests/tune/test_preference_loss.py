"""The loss equals its closed form, and TRL's where TRL has one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.tune.preference import margins, measured, preference_loss, supervised_loss

LOGS = st.lists(st.floats(-50, 0), min_size=3, max_size=3)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_by_hand() -> None:
    """β[(−1 − −2) − (−4 − −3)] = 0.1 · 2; and 0.1 · (0 − 1) = −0.1."""
    loss = preference_loss(t(-1, -2), t(-4, -1), t(-2, -2), t(-3, -2), beta=0.1)
    expected = (math.log(1 + math.exp(-0.2)) + math.log(1 + math.exp(0.1))) / 2
    assert float(loss) == pytest.approx(expected, abs=1e-12)
    weighted = preference_loss(t(-1, -2), t(-4, -1), t(-2, -2), t(-3, -2), t(0.5, 2), beta=0.1)
    expected = (0.5 * math.log(1 + math.exp(-0.2)) + 2 * math.log(1 + math.exp(0.1))) / 2
    assert float(weighted) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=25)
@given(LOGS, LOGS, LOGS, LOGS)
def test_invariants(a: list[float], b: list[float], c: list[float], d: list[float]) -> None:
    four = [t(*values) for values in (a, b, c, d)]
    plain = preference_loss(*four)
    assert torch.equal(plain, preference_loss(*four, torch.ones(3, dtype=torch.float64)))  # weights of 1
    chosen, rejected, old_chosen, old_rejected = four
    swapped = margins(rejected, chosen, old_rejected, old_chosen)
    assert torch.allclose(margins(*four), -swapped)  # swapping flips the margin's sign
    assert float(preference_loss(*four, beta=1e-12)) == pytest.approx(math.log(2), abs=1e-9)  # β → 0
    assert float(preference_loss(old_chosen, old_rejected, old_chosen, old_rejected)) == pytest.approx(math.log(2))
    assert torch.allclose(preference_loss(*four, 2 * torch.ones(3)), 2 * plain)


def test_gradient_by_hand() -> None:
    """d loss / d log π(y_w) = −β σ(−margin): chosen answers are pushed up, rejected ones down by as much."""
    chosen, rejected = t(-1).requires_grad_(), t(-2).requires_grad_()
    preference_loss(chosen, rejected, t(-3), t(-1), beta=0.5).backward()
    margin = 0.5 * (2 + 1)
    assert float(chosen.grad) == pytest.approx(-0.5 / (1 + math.exp(margin)))
    assert float(rejected.grad) == -float(chosen.grad)


def test_the_baseline_is_cross_entropy_of_the_chosen_answers() -> None:
    assert float(supervised_loss(t(-6, -2), t(3, 1))) == pytest.approx(8 / 4)


def test_measures_by_hand() -> None:
    found = measured(t(-1, -2), t(-4, -1), t(-2, -2), t(-3, -2), torch.tensor([[2, 3], [1, 4]]), beta=0.1)
    assert found == pytest.approx(
        {"reward_chosen": 0.05, "reward_rejected": 0.0, "margin": 0.05, "preferred": 0.5, "kl": -0.1}
    )


@pytest.mark.parametrize("sees", [False, True])
def test_loss_and_log_probabilities_equal_trl(tmp_path: Path, sees: bool) -> None:
    trl = pytest.importorskip("trl")
    pytest.importorskip("peft")
    from datasets import Dataset
    from PIL import Image
    from vlms import tiny_models

    from medrag.tune.hf_policy import TransformersPolicy
    from medrag.tune.pairs import Pair, Side
    from medrag.tune.trainer import reference, requests_of

    folder = (tiny_models.llava if sees else tiny_models.llama)(tmp_path / "tiny")
    paths = []
    for n, grey in enumerate((30, 200)):
        paths.append(str(tmp_path / f"{n}.png"))
        Image.new("RGB", (28, 28), (grey, 90, 255 - grey)).save(paths[-1])
    images = [(paths[n],) if sees else () for n in range(2)]
    told = [("Is there a mass?", "Yes, there is.", "No."), ("Which side?", "Left.", "Right side of the chest.")]
    pairs = [
        Pair(f"{n}", "kbpt", q, "", Side(images[n], (), c), Side(images[n], (), r)) for n, (q, c, r) in enumerate(told)
    ]
    policy = TransformersPolicy("tiny", folder)
    old = torch.from_numpy(reference(policy, pairs, tmp_path / "reference.npz", precision="float32"))
    torch.manual_seed(1)
    for parameter in policy.trained():
        parameter.data.normal_(0, 0.05)  # larger steps make the two orders of summing differ by more than rounding
    with torch.no_grad():
        sums, _ = policy.log_probabilities(requests_of(pairs))
    ours = float(preference_loss(*sums.chunk(2), old[0], old[1], beta=0.3))
    assert abs(ours - math.log(2)) > 1e-2  # something moved
    rows = [_row(policy, pair, sees) for pair in pairs]
    args = trl.DPOConfig(
        output_dir=str(tmp_path / "trl"), beta=0.3, report_to=[], use_cpu=True, bf16=False, max_length=None,
        per_device_train_batch_size=2, gradient_checkpointing=False,
    )  # fmt: skip
    moved = policy.model.merge_and_unload()
    trainer = trl.DPOTrainer(
        model=moved, ref_model=type(moved).from_pretrained(folder), args=args, train_dataset=Dataset.from_list(rows),
        processing_class=policy._loaded.processor,
    )  # fmt: skip
    batch = next(iter(trainer.get_train_dataloader()))
    moved.eval()
    with torch.no_grad():
        theirs = float(trainer.compute_loss(trainer.model, batch))
    assert ours == pytest.approx(theirs, abs=1e-5)


def _row(policy: Any, pair: Any, sees: bool) -> dict[str, Any]:
    """The pair as TRL takes it: messages, and the picture for a model that sees."""
    from PIL import Image

    prompt = pair.chosen.prompt(pair.question)
    turns = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user_text()}]
    row: dict[str, Any] = {
        "prompt": turns,
        "chosen": [{"role": "assistant", "content": pair.chosen.answer}],
        "rejected": [{"role": "assistant", "content": pair.rejected.answer}],
    }
    return row | ({"images": [Image.open(pair.chosen.images[0]).convert("RGB")]} if sees else {})
