"""FLAIR, PMC-CLIP, UniMed-CLIP and CONCH: their checkpoints' layouts, in small, through medrag's loaders. CONCH's own class is
only there where its package is installed; elsewhere a made-up one stands for it."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import TEXTS, bert_words, flair, picture, pmc_clip, unimed, unit

from medrag.encoders import open_encoder
from medrag.encoders.conch import ConchImages, ConchTexts
from medrag.encoders.flair import FlairImages, FlairTexts, canvas
from medrag.encoders.open_towers import PmcClipImages, PmcClipTexts, UniMedImages
from medrag.errors import MissingDependency, ModelMissing, SettingsError
from medrag.settings import EncoderSettings
from medrag.types import Passage, Query, QueryImage

PASSAGES = [Passage(f"t:{n}", "t", text) for n, text in enumerate(TEXTS)]
SEEN = [Query("x", (QueryImage(picture(n)),)) for n in range(2)]


def test_flair(tmp_path: Path) -> None:
    """Against the formulas of its paper's code, one text and one picture at a time."""
    from transformers import AutoTokenizer

    eye, text, tensors = flair(tmp_path / "flair", tmp_path / "tower")
    options = {"tower": str(tmp_path / "tower"), "device": "cpu", "precision": "float32", "batch": 2}
    images, texts = FlairImages(str(tmp_path / "flair"), **options), FlairTexts(str(tmp_path / "flair"), **options)
    words = AutoTokenizer.from_pretrained(tmp_path / "tower")
    said = []
    with torch.inference_mode():
        features = eye(torch.stack([canvas(picture(n), 64) for n in range(2)]))
        for line in TEXTS:
            tokens = words(f"A fundus photograph of {line}", truncation=True, max_length=77, return_tensors="pt")
            layers = text(**tokens, output_hidden_states=True).hidden_states
            said.append(torch.stack([layers[1], layers[2], layers[-1]]).permute(1, 0, 2, 3).mean(2).mean(1))
    seen = unit(
        features
        / features.norm(dim=1, keepdim=True)
        @ tensors["vision_model.projection_head_vision.projection.weight"].T
    )
    np.testing.assert_allclose(images.encode_queries(SEEN), seen, atol=1e-5)
    rows = unit(torch.cat(said) @ tensors["text_model.projection_head_text.projection.weight"].T)
    np.testing.assert_allclose(texts.encode_items(PASSAGES), rows, atol=1e-5)
    np.testing.assert_allclose(images.encode_queries([Query(TEXTS[2])]), rows[2:], atol=1e-5)
    assert images.dim == 16 and images._pair is texts._pair
    assert np.abs(seen[0] - seen[1]).max() > 0.01 and np.abs(rows[0] - rows[1]).max() > 0.001


def test_the_canvas_keeps_a_picture_whole() -> None:
    made = canvas(Image.new("RGB", (100, 50), (255, 255, 255)), 64)
    assert made.shape == (3, 64, 64)
    assert made[:, :32].min() > 0.99 and made[:, 32:].max() == 0
    assert canvas(Image.new("RGB", (3, 900)), 64).shape == (3, 64, 64)


def test_pmc_clip(tmp_path: Path) -> None:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, image_transform
    from transformers import AutoTokenizer

    eye, text, projection = pmc_clip(tmp_path / "pmc", tmp_path / "tower")
    options = {"tower": str(tmp_path / "tower"), "device": "cpu", "precision": "float32"}
    images, texts = PmcClipImages(str(tmp_path / "pmc"), **options), PmcClipTexts(str(tmp_path / "pmc"), **options)
    prepare = image_transform(64, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)
    words = AutoTokenizer.from_pretrained(tmp_path / "tower")
    with torch.inference_mode():
        seen = unit(eye(torch.stack([prepare(picture(n)) for n in range(2)])))
        ids = words(TEXTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt")["input_ids"]
        said = unit(text(input_ids=ids).last_hidden_state[:, 0] @ projection)
    np.testing.assert_allclose(images.encode_queries(SEEN), seen, atol=1e-5)
    np.testing.assert_allclose(texts.encode_items(PASSAGES), said, atol=1e-5)
    assert images.dim == 16 and np.abs(said[0] - said[1]).max() > 0.001
    (tmp_path / "pmc" / "text_encoder.pth").unlink()
    with pytest.raises(ModelMissing, match=r"has no text_encoder\.pth"):
        PmcClipTexts.load(tmp_path / "pmc", "cpu", str(tmp_path / "tower"))


def test_unimed_compares_pictures_and_says_so(tmp_path: Path) -> None:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, image_transform

    eye = unimed(tmp_path / "unimed")
    encoder = UniMedImages(str(tmp_path / "unimed"), device="cpu", precision="float32")
    prepare = image_transform(32, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)
    with torch.inference_mode():
        seen = unit(eye(torch.stack([prepare(picture(n)) for n in range(2)])))
    np.testing.assert_allclose(encoder.encode_queries(SEEN), seen, atol=1e-5)
    with pytest.raises(SettingsError, match="compares pictures only"):
        encoder.encode_queries([Query("a mass")])


def test_a_pickle_with_more_than_tensors_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    unimed(tmp_path / "unimed", extra=Evil())
    with pytest.raises(ModelMissing, match="cannot be read as weights alone") as caught:
        _ = UniMedImages(str(tmp_path / "unimed"), device="cpu").dim
    assert "\n" not in str(caught.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["flair-text", "pmc-clip-text"])
def test_a_tower_is_asked_for(kind: str, tmp_path: Path) -> None:
    (flair if kind.startswith("flair") else pmc_clip)(tmp_path / "model", tmp_path / "tower")
    encoder = open_encoder(EncoderSettings(model=str(tmp_path / "model"), kind=kind))
    with pytest.raises(SettingsError, match="which BERT is its text tower"):
        _ = encoder.dim
    with pytest.raises(ModelMissing, match="does not fit"):  # a tower of another shape
        other = tmp_path / "other"
        bert_words(other)
        (other / "config.json").write_text(
            '{"model_type": "bert", "hidden_size": 48, "num_attention_heads": 2, "vocab_size": 57}'
        )
        _ = open_encoder(EncoderSettings(model=str(tmp_path / "model"), kind=kind, options={"tower": str(other)})).dim


class MadeUp(torch.nn.Module):
    """No class of CONCH's: stands for its model, 128 tokens go in, the last of them padding."""

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((2, 3)).repeat(1, 4)

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        assert ids.shape[1] == 128 and not ids[:, -1].any()
        return torch.nn.functional.one_hot(ids, 64).float().mean(1)[:, :12]


def test_conch_without_its_authors_package_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "conch", None)
    with pytest.raises(
        MissingDependency, match=r"authors' package.*pip install git\+https://github.com/mahmoodlab/CONCH"
    ):
        _ = ConchTexts(str(tmp_path), device="cpu").dim


def test_conch_is_called_as_its_package_documents_shown_by_a_made_up_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the calls: that the genuine class takes them is tested below, where it is installed."""
    asked = []

    def create(name: str, checkpoint_path: str, device: str) -> tuple[Any, Any]:
        asked.append((name, checkpoint_path, device))
        return MadeUp(), lambda image: torch.from_numpy(
            np.asarray(image.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1)
        )

    package = types.ModuleType("conch.open_clip_custom")
    package.create_model_from_pretrained = create  # type: ignore[attr-defined]
    package.get_tokenizer = lambda: bert_words(tmp_path / "words")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "conch", types.ModuleType("conch"))
    monkeypatch.setitem(sys.modules, "conch.open_clip_custom", package)
    with pytest.raises(ModelMissing, match=r"has no pytorch_model\.bin → medrag models get conch"):
        _ = ConchTexts(str(tmp_path), device="cpu").dim
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    images, texts = ConchImages(str(tmp_path), device="cpu"), ConchTexts(str(tmp_path), device="cpu")
    assert texts.encode_items(PASSAGES).shape == (3, 12) == (3, texts.dim)
    assert images.encode_queries(SEEN).shape == (2, 12)
    assert asked == [("conch_ViT-B-16", str(tmp_path / "pytorch_model.bin"), "cpu")]


def test_conch_of_its_genuine_class(tmp_path: Path) -> None:
    """With weights at random; by the package's own code it has the size of the real one (ViT-B/16)."""
    package = pytest.importorskip("conch.open_clip_custom", reason="CONCH's package is not installed")
    settings = json.loads((package.factory.CFG_DIR / "conch_ViT-B-16.json").read_text())
    settings.pop("custom_text", None)
    torch.manual_seed(3)
    torch.save(package.CoCa(**settings).state_dict(), tmp_path / "pytorch_model.bin")
    images, texts = ConchImages(str(tmp_path), device="cpu"), ConchTexts(str(tmp_path), device="cpu")
    lines, films = texts.encode_items(PASSAGES), images.encode_queries(SEEN)
    assert lines.shape == (3, texts.dim) and films.shape == (2, texts.dim)
    assert np.allclose(np.linalg.norm(lines, axis=1), 1, atol=1e-4) and np.abs(lines[0] - lines[1]).max() > 1e-4
