"""Packing several questions behind one beginning equals training on them one by one; what is trained can be adopted again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_small import tiny

from medrag.tune import vlm
from medrag.vlms.medrag_small import GRID, IMAGE_TOKEN, adopt


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    model, processor = tiny(tmp_path_factory.mktemp("base"))
    return model.eval(), processor.tokenizer


def packed(turns: list[tuple[str, str]], images: int = 1, seed: int = 0) -> vlm.Packed:
    patches = np.random.default_rng(seed).normal(size=(images, GRID * GRID, 1280)).astype(np.float16)
    return vlm.Packed(patches, "Image reader: no finding; normal likely.\n[E1] Clear lungs.\n", tuple(turns))


TURNS = [
    ("Question: Is there a mass?", "No."),
    ("Question: Any effusion at all?", "Yes, small."),
    ("Question: Why?", "So."),
]


def loss(made: tuple[Any, Any], one: vlm.Packed) -> tuple[float, int]:
    model, tokenizer = made
    batch = vlm.collate([vlm.packed_ids(tokenizer, one, IMAGE_TOKEN)], tokenizer.pad_token_id)
    patches = torch.from_numpy(one.patches.reshape(-1, 1280)).float()
    with torch.no_grad():
        value, tokens = vlm.loss_of(model, batch, patches)
    return float(value), tokens


def test_packed_turns_cost_what_they_cost_alone(made: tuple[Any, Any]) -> None:
    together, tokens = loss(made, packed(TURNS))
    alone = [loss(made, packed([turn])) for turn in TURNS]
    assert tokens == sum(n for _, n in alone)
    assert together == pytest.approx(sum(value * n for value, n in alone) / tokens, abs=1e-4)


def test_padding_and_neighbours_in_the_batch_change_nothing(made: tuple[Any, Any]) -> None:
    model, tokenizer = made
    ones = [packed(TURNS[:1]), packed(TURNS, images=2, seed=1)]
    rows = [vlm.packed_ids(tokenizer, one, IMAGE_TOKEN) for one in ones]
    batch = vlm.collate(rows, tokenizer.pad_token_id)
    patches = torch.from_numpy(np.concatenate([one.patches.reshape(-1, 1280) for one in ones])).float()
    with torch.no_grad():
        value, tokens = vlm.loss_of(model, batch, patches)
    alone = [loss(made, one) for one in ones]
    assert float(value) == pytest.approx(sum(v * n for v, n in alone) / tokens, abs=1e-4)


def test_the_chance_of_yes_is_that_of_the_plain_prompt(made: tuple[Any, Any]) -> None:
    model, tokenizer = made
    one = packed(TURNS)
    found = vlm.probabilities_yes(model, tokenizer, one, IMAGE_TOKEN)
    assert len(found) == 3 and all(0 <= p <= 1 for p in found)
    alone = [vlm.probabilities_yes(model, tokenizer, packed([turn]), IMAGE_TOKEN)[0] for turn in TURNS]
    assert found == pytest.approx(alone, abs=1e-4)
    other = vlm.probabilities_yes(model, tokenizer, packed(TURNS, seed=5), IMAGE_TOKEN)
    assert other != pytest.approx(found, abs=1e-6)  # the picture counts


def test_batches_hold_every_row_once_and_keep_to_the_tokens() -> None:
    lengths = [random.Random(3).randint(20, 200) for _ in range(100)]
    groups = vlm.batches(lengths, 900, random.Random(0))
    assert sorted(n for group in groups for n in group) == list(range(100))
    assert all(len(group) * max(lengths[n] for n in group) <= 900 for group in groups)


def test_training_lowers_the_loss_and_what_ships_gives_the_trained_model_again(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model, processor = tiny(tmp_path / "base")
    fresh, _ = tiny(tmp_path / "base")
    example = packed(TURNS)
    before, _ = loss((model.eval(), processor.tokenizer), example)
    settings = vlm.VlmTraining(epochs=12, rank=4, alpha=8, adapter_rate=5e-3, projector_rate=5e-3, tokens=400)
    tensors = vlm.train(model, processor.tokenizer, iter([[example] * 4] * 12), IMAGE_TOKEN, settings, tmp_path)
    after, _ = loss((model.eval(), processor.tokenizer), example)
    assert after < before - 0.5
    adopt(fresh, tensors, settings.rank, settings.alpha)
    again, _ = loss((fresh.eval(), processor.tokenizer), example)
    assert again == pytest.approx(after, abs=2e-3)
