"""Training goes where it is told to: names of devices, and that nothing of a step is left behind on the CPU.

PyTorch's fake tensors stand in for a GPU: they hold no numbers, but an operation over two devices fails as it does on a real one.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_small import tiny
from torch._subclasses.fake_tensor import FakeTensorMode
from tune.test_vlm_training import TURNS, packed

from medrag.errors import ModelMissing, SettingsError
from medrag.tune import encoder, vlm
from medrag.tune.device import mixed, option, training_device
from medrag.vlms.medrag_small import IMAGE_TOKEN

GPU = torch.device("cuda", 0)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA device is needed")


def fake_gpu() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [("gpu", "there is no device 'gpu'"), ("cuda:99", "this machine has no device"), ("meta", "has no device 'meta'")],
)
def test_a_device_that_there_is_not_is_told(name: str, told: str) -> None:
    with pytest.raises(SettingsError, match=rf"{told}.* → name auto, cpu, cuda"):
        training_device(name)
    with pytest.raises(ArgumentTypeError, match=told):
        option(name)


def test_the_device_is_taken_that_there_is() -> None:
    usual = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert training_device().type == usual and training_device("cpu") == torch.device("cpu")


def test_the_cpu_multiplies_as_it_did() -> None:
    one = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    with mixed(torch.device("cpu")):
        assert torch.equal(one @ one, (one @ one).float()) and (one @ one).dtype == torch.float32


class Trunk(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 1280, 8, 8)

    def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(pixels)
        return found


def parts() -> Any:
    made = torch.nn.Module()
    made.trunk, made.image, made.text = Trunk(), torch.nn.Linear(1280, 384, bias=False), torch.nn.Linear(384, 384)
    made.findings, made.scale = torch.nn.Linear(1280, 3), torch.nn.Parameter(torch.zeros(()))
    return made


def test_a_step_of_the_encoder_runs_where_its_parts_are() -> None:
    with fake_gpu():
        with GPU:
            made, aims = parts(), encoder.Aims(torch.zeros(4, 384), torch.zeros(4, 4), torch.ones(3))
        pixels = encoder.augmented(np.zeros((2, 64, 64, 3), np.uint8), 32, torch.Generator(), GPU)
        found = encoder.losses(made, pixels, torch.zeros(2, 3), torch.tensor([0, 1]), aims)
        assert pixels.device == GPU and [loss.device for loss in found] == [GPU, GPU]
        with pytest.raises(RuntimeError, match="same device"):  # so that the test can fail
            encoder.losses(made, pixels.cpu(), torch.zeros(2, 3), torch.tensor([0, 1]), aims)


def moved(model: torch.nn.Module) -> None:
    """As ``.to(GPU)`` moves a model, for tensors that are not there."""
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            held.update({name: torch.empty_like(t, device=GPU) for name, t in held.items() if t is not None})


def test_a_step_of_the_vision_language_model_runs_where_its_weights_are(tmp_path: Path) -> None:
    model, processor = tiny(tmp_path / "base")
    examples, pad = [packed(TURNS, images=2), packed(TURNS[:1])], processor.tokenizer.pad_token_id
    batch = vlm.collate([vlm.packed_ids(processor.tokenizer, one, IMAGE_TOKEN) for one in examples], pad)
    with fake_gpu():
        moved(model)
        there, patches = vlm.on(batch, GPU), vlm.patches_of(examples, GPU)
        assert vlm._hidden(model, there, patches).device == GPU
        with pytest.raises(RuntimeError, match="same device"):  # so that the test can fail
            vlm._hidden(model, batch, patches)


def pool() -> encoder.Pool:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 256, 256, 3), dtype=np.uint8)
    labels = np.array([[1, 0], [0, 1], [1, 1], [np.nan, np.nan]], dtype=np.float32)
    marks = [frozenset(mark) for mark in "abab"]
    chest = np.array([True, True, True, False])
    return encoder.Pool(pixels, np.arange(4), labels, ["clear", "an effusion", "no mass", "a rash"], marks, chest)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_the_encoder_is_trained_there_and_comes_back_to_the_cpu(tmp_path: Path, device: str) -> None:
    try:
        found = encoder.train(pool(), ["a", "b"], encoder.EncoderTraining(epochs=1, batch=2, size=64), tmp_path, device)
    except ModelMissing as error:
        pytest.skip(str(error))
    assert {tensor.device.type for tensor in found.state_dict().values()} == {"cpu"}
    more = encoder.EncoderTraining(epochs=2, batch=2, size=64)
    again = encoder.train(pool(), ["a", "b"], more, tmp_path, "cpu")  # goes on from the first epoch, wherever it ran
    assert not torch.equal(found.findings.bias, again.findings.bias)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_the_vision_language_model_is_trained_there_and_comes_back_to_the_cpu(tmp_path: Path, device: str) -> None:
    pytest.importorskip("peft")
    model, processor = tiny(tmp_path / "base")
    numbers = vlm.VlmTraining(rank=4, alpha=8, tokens=400)
    found = vlm.train(
        model, processor.tokenizer, iter([[packed(TURNS)]]), IMAGE_TOKEN, numbers, tmp_path, device=device
    )
    assert {tensor.device.type for tensor in found.values()} == {"cpu"} and model.device.type == device
