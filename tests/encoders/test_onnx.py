"""Questions by ONNX Runtime: what PyTorch gives, kept for the next time, and PyTorch where anything is amiss."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from medrag.encoders import open_encoder
from medrag.encoders._onnx import alike, fast, hidden
from medrag.encoders.image import letterboxed
from medrag.errors import ImageError
from medrag.settings import EncoderSettings
from medrag.types import ImageRecord, Passage, Query, QueryImage


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    monkeypatch.delenv("MEDRAG_ONNX", raising=False)


def network() -> Any:
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU6(), torch.nn.AdaptiveAvgPool2d(1))
    return torch.nn.Sequential(*layers, torch.nn.Flatten()).eval()


def pictures(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 3, side, side)).astype(np.float32)


EXAMPLE = {"pixels": torch.full((1, 3, 16, 16), 0.1)}


def test_it_gives_what_pytorch_gives_for_any_number_and_is_exported_once(tmp_path: Path) -> None:
    model = network()
    run = fast(model, EXAMPLE, "a")
    assert run is not None
    for count in (1, 5):
        with torch.inference_mode():
            expected = model(torch.from_numpy(pictures(count))).numpy()
        np.testing.assert_allclose(run(pictures(count)), expected, atol=1e-5)
    (file,) = (tmp_path / "cache" / "onnx").iterdir()
    before = file.stat().st_mtime_ns
    assert fast(model, EXAMPLE, "a") is not None
    assert file.stat().st_mtime_ns == before
    assert not model.training


def test_another_network_under_the_same_key_is_not_taken() -> None:
    assert fast(network(), EXAMPLE, "a") is not None
    other = network()
    torch.nn.init.constant_(other[0].weight, 0.3)
    assert fast(other, EXAMPLE, "a") is None


def test_pytorch_alone_where_it_is_wished_missing_or_not_to_be_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(torch.nn.Module):
        def forward(self, pixels: Any) -> Any:
            return torch.fft.rfft2(pixels).abs().sum((1, 2))

    assert fast(Odd().eval(), EXAMPLE, "odd") is None
    monkeypatch.setenv("MEDRAG_ONNX", "0")
    assert fast(network(), EXAMPLE, "b") is None
    monkeypatch.delenv("MEDRAG_ONNX")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert fast(network(), EXAMPLE, "c") is None


def test_threads_that_want_the_same_network_all_have_it(tmp_path: Path) -> None:
    model = torch.nn.Sequential(*(torch.nn.Linear(500, 500) for _ in range(20))).eval()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(fast, model, {"rows": torch.ones(1, 500)}, "a") for _ in range(4)]
        assert all(one.result() is not None for one in asked)
    assert len(list((tmp_path / "cache" / "onnx").iterdir())) == 1


def test_a_full_disk_keeps_nothing_of_it(tmp_path: Path) -> None:
    code = """
import resource, signal, torch
from medrag.encoders import _onnx
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
assert _onnx.fast(torch.nn.Linear(1000, 1000).eval(), {"rows": torch.ones(1, 1000)}, "a") is None
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    assert not list((tmp_path / "cache" / "onnx").iterdir())


def test_a_network_whose_weights_would_lie_beside_the_file_is_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medrag.encoders._onnx.MOST", 1000)
    assert fast(network(), EXAMPLE, "a") is not None
    assert fast(torch.nn.Linear(100, 100), {"rows": torch.ones(1, 100)}, "b") is None
    assert len(list((tmp_path / "cache" / "onnx").iterdir())) == 1


def test_a_transformer_takes_texts_of_any_length() -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=50, **shape)).eval()
    names = ("input_ids", "attention_mask")
    ids = torch.randint(0, 50, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    run = fast(hidden(model, names), {"input_ids": ids[:1, :5], "attention_mask": mask[:1, :5]}, "bert", ("n", "t"))
    assert run is not None
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()
    found = run(ids, mask)
    np.testing.assert_allclose(found[mask.numpy() > 0], expected[mask.numpy() > 0], atol=1e-5)
    assert not model.training


def test_alike_is_about_directions_and_shapes() -> None:
    rows = np.eye(3, dtype=np.float32)
    assert alike(2 * rows, rows)
    assert not alike(rows[:2], rows)
    assert not alike(rows[::-1], rows)


@pytest.mark.parametrize("model", ["minilm", "efficientnet-lite2", "medrag-small"])
def test_the_shipped_encoders_ask_the_same(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 200)).astype(np.uint8))
    queries = [Query("Is there a mass?", (QueryImage(grey, "", "a", {}), QueryImage(grey.convert("RGB"), "", "b", {})))]
    found = []
    for wish in ("0", "1"):
        monkeypatch.setenv("MEDRAG_ONNX", wish)
        _clear()
        found.append(open_encoder(EncoderSettings(model=model)).encode_queries(queries))
    _clear()
    assert (found[0] * found[1]).sum() > 1 - 1e-5


BY_TORCH = {"minilm": "_encode", "efficientnet-lite2": "_features", "medrag-small": "_images"}


@pytest.mark.parametrize("model", BY_TORCH)
def test_items_are_encoded_by_it_where_the_processor_does_not_multiply_bfloat16(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medrag.encoders._shared.native_bf16", lambda: False)
    items = [Passage(f"p:{n}", "p", "The heart is large. " * n) for n in range(1, 6)]
    if model != "minilm":
        items = [a_picture(tmp_path / f"{n}.png", n) for n in range(1, 6)]
    found = []
    for wish in ("0", "1"):
        monkeypatch.setenv("MEDRAG_ONNX", wish)
        _clear()
        encoder = open_encoder(EncoderSettings(model=model, batch=2))
        encoder.encode_items(items[:1])
        assert encoder.encode_items([]).shape == (0, encoder.dim)
        if wish == "1":
            monkeypatch.setattr(encoder, BY_TORCH[model], None)
        found.append(encoder.encode_items(items))
    assert ((found[0] * found[1]).sum(1) > 1 - 1e-5).all()
    monkeypatch.setattr("medrag.encoders._shared.native_bf16", lambda: True)
    with pytest.raises(TypeError):  # by PyTorch, which was taken away
        encoder.encode_items(items)
    _clear()


def test_a_picture_that_cannot_be_read_is_named_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medrag.encoders._shared.native_bf16", lambda: False)
    items = [a_picture(tmp_path / f"{n}.png", n) for n in range(3)]
    (tmp_path / "1.png").write_bytes(b"nothing")
    for model in ("efficientnet-lite2", "medrag-small"):
        with pytest.raises(ImageError, match=r"1\.png"):
            open_encoder(EncoderSettings(model=model)).encode_items(items)
    _clear()


def a_picture(path: Path, seed: int) -> ImageRecord:
    pixels = np.random.default_rng(seed).integers(0, 255, (60, 40 + seed, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return ImageRecord(path.name, path.name, "", source=str(path))


def _clear() -> None:
    from medrag.encoders import image_text

    image_text._fast_tower.cache_clear()


def test_a_grey_picture_is_resized_as_its_rgb_twin_would_be() -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (311, 173)).astype(np.uint8))
    np.testing.assert_array_equal(np.asarray(letterboxed(grey, 64)), np.asarray(letterboxed(grey.convert("RGB"), 64)))
