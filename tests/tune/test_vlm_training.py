"""Packing several questions behind one beginning equals training on them one by one; what is trained can be adopted again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_small import tiny

from medrag.errors import SettingsError
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


def trained(folder: Path, epochs: Any, settings: vlm.VlmTraining, **more: Any) -> dict[str, torch.Tensor]:
    tiny(folder.parent / "base")  # written by the first call
    torch.manual_seed(0)  # the projector begins at random
    model, processor = tiny(folder.parent / "base")
    return vlm.train(model, processor.tokenizer, iter(epochs), IMAGE_TOKEN, settings, folder, **more)


def test_a_run_that_was_cut_off_ends_where_a_whole_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    settings = vlm.VlmTraining(epochs=60, rank=4, alpha=8, tokens=400)
    epochs = [[packed(TURNS, seed=n)] for n in range(60)]
    (tmp_path / "whole").mkdir(), (tmp_path / "cut").mkdir()
    whole = trained(tmp_path / "whole", epochs, settings)

    def until(n: int) -> Any:
        yield from epochs[:n]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", until(55), settings)
    assert (tmp_path / "cut/vlm.pt").exists()
    steps: list[int] = []
    kept = vlm.loss_of
    monkeypatch.setattr(vlm, "loss_of", lambda *a: (steps.append(1), kept(*a))[1])
    again = trained(tmp_path / "cut", epochs, settings)
    assert len(steps) == 10  # of 60, the first 50 were kept
    for name, tensor in whole.items():
        assert torch.allclose(tensor, again[name], atol=1e-5), name
    assert not (tmp_path / "cut/vlm.pt").exists()


def test_a_run_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    vlm.keep(tmp_path / "vlm.pt", {"settings": {"epochs": 9}})
    with pytest.raises(SettingsError, match="--work"):
        vlm.resumed(tmp_path / "vlm.pt", vlm.VlmTraining())


def test_training_begins_from_earlier_tensors(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    settings = vlm.VlmTraining(epochs=3, rank=4, alpha=8, tokens=400)
    (tmp_path / "work").mkdir()
    first = trained(tmp_path / "work", [[packed(TURNS)]] * 3, settings)
    same = trained(tmp_path / "work", [], settings, start=first)
    assert first.keys() == same.keys() and all(torch.equal(first[name], same[name]) for name in first)
