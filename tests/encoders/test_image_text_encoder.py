"""open_clip checkpoints saved to disk and loaded by medrag: embeddings equal open_clip's own, with no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from medrag import models
from medrag._util.files import sha256_text
from medrag._util.weights import weights_id
from medrag.encoders import image_text, open_encoder
from medrag.encoders.cache import key_of
from medrag.encoders.image_text import OpenClipImages, OpenClipTexts
from medrag.errors import ModelMissing
from medrag.settings import EncoderSettings
from medrag.types import ImageRecord, Passage, Query, QueryImage

TEXTS = ["a chest film with a mass", "clear lungs", "retina"]
PREPROCESS = {
    "mean": [0.48, 0.46, 0.41],
    "std": [0.27, 0.26, 0.28],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
PLAIN = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def custom(tower: str) -> dict[str, Any]:
    """The shape of BiomedCLIP: a timm vision tower and a Hugging Face BERT, in small."""
    return {
        "embed_dim": 24,
        "vision_cfg": {
            "timm_model_name": "resnet10t",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 32,
        },
        "text_cfg": {
            "hf_model_name": tower,
            "hf_tokenizer_name": tower,
            "hf_model_pretrained": False,
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 16,
        },
    }


def write_checkpoint(folder: Path, config: dict[str, Any], model: torch.nn.Module, *, pickled: bool = False) -> None:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PREPROCESS}))
    tensors = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    if pickled:
        torch.save(tensors, folder / "open_clip_pytorch_model.bin")
    else:
        save_file(tensors, folder / "open_clip_model.safetensors")


def write_tower(folder: Path) -> None:
    from transformers import BertConfig, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *" ".join(TEXTS).split()]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(words)))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    ).save_pretrained(folder)


Made = tuple[Path, Any]


@pytest.fixture(scope="module", params=["plain", "custom", "custom-pickled"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "plain":
        config = PLAIN
        model = open_clip.CLIP(**config)
    else:
        write_tower(folder)
        model = open_clip.CustomTextCLIP(**custom(str(folder)))
        config = custom("somebody/a-tower-that-is-not-here")  # as hub checkpoints have it: a name, not a folder
    write_checkpoint(folder, config, model, pickled=request.param.endswith("pickled"))
    return folder, model.eval()


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows, dim=1).numpy()


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 56), dtype=np.uint8))


def test_embeddings_equal_those_of_open_clip(made: Made, tmp_path: Path) -> None:
    folder, model = made
    images, texts = (
        cls(str(folder), batch=2, device="cpu", precision="float32") for cls in (OpenClipImages, OpenClipTexts)
    )
    records = []
    for n in range(3):
        picture(n).save(tmp_path / f"{n}.png")
        records.append(ImageRecord(f"i:{n}", "i", "", str(tmp_path / f"{n}.png")))
    transform = open_clip.image_transform(
        32,
        is_train=False,
        mean=tuple(PREPROCESS["mean"]),
        std=tuple(PREPROCESS["std"]),
        interpolation="bicubic",
        resize_mode="shortest",
    )
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.inference_mode():
        expected_images = unit(
            model.encode_image(torch.stack([transform(picture(n).convert("RGB")) for n in range(3)]))
        )
        expected_texts = unit(model.encode_text(tokenizer(TEXTS)))
    np.testing.assert_allclose(images.encode_items(records), expected_images, atol=1e-5)
    found = texts.encode_items([Passage(f"t:{n}", "t", text) for n, text in enumerate(TEXTS)])
    np.testing.assert_allclose(found, expected_texts, atol=1e-5)
    assert found.shape == (3, 24) == (3, images.dim) and found.dtype == np.float32

    asked = images.encode_queries(
        [
            Query(TEXTS[1]),
            Query("x", (QueryImage(picture(2)),)),
            Query("x", (QueryImage(picture(0)), QueryImage(picture(1)))),
        ]
    )
    both = expected_images[:2].mean(axis=0)
    np.testing.assert_allclose(asked, [expected_texts[1], expected_images[2], both / np.linalg.norm(both)], atol=1e-5)


def test_padding_that_all_rows_have_is_not_computed(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, model = made
    encoder, widths = open_encoder(EncoderSettings(model=str(folder), kind="open-clip-text")), list[int]()
    loaded = image_text.load_open_clip(folder, "cpu")[0]
    whole = loaded.encode_text
    monkeypatch.setattr(loaded, "encode_text", lambda tokens: widths.append(tokens.shape[1]) or whole(tokens))
    texts = ["a b c d e f", "a", "a b"]
    passages = [Passage(text, text, text) for text in texts]
    found = encoder.encode_items(passages)
    masked = type(model).__name__ == "CustomTextCLIP"
    assert (widths[0] < model.context_length) == masked
    alone = np.concatenate([encoder.encode_items([one]) for one in passages])
    np.testing.assert_allclose(found, alone, atol=1e-5)


def test_the_two_sides_share_one_model_and_one_fingerprint(made: Made) -> None:
    images, texts = OpenClipImages(str(made[0])), OpenClipTexts(str(made[0]))
    assert images.fingerprint == texts.fingerprint
    assert images._loaded[0] is texts._loaded[0]
    assert (images.modality, texts.modality) == ("image", "text")


def plain_fingerprint(folder: Path) -> str:
    return sha256_text("open-clip/1", weights_id(folder), "auto")[:16]


def test_other_weights_of_a_locked_text_tower_are_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tower = tmp_path / "model", tmp_path / "tower"
    for folder in (model, tower):
        folder.mkdir()
    (model / "open_clip_config.json").write_text(json.dumps({"model_cfg": PLAIN, "locked_text_tower": "words"}))
    (tower / "model.safetensors").write_bytes(b"trained with")
    monkeypatch.setattr(image_text.models, "resolve", lambda name: tower if name == "words" else Path(name))
    monkeypatch.setitem(image_text.TRAINED_WITH, "words", weights_id(tower))
    item = Passage("p", "d", "There is a pleural effusion.")
    sides = lambda: (OpenClipImages(str(model)), OpenClipTexts(str(model)))  # noqa: E731
    before = [one.fingerprint for one in sides()], key_of(sides()[1], item)
    assert before[0] == [plain_fingerprint(model)] * 2  # indexes that are there stay open
    (tower / "model.safetensors").write_bytes(b"trained again")
    after = [one.fingerprint for one in sides()], key_of(sides()[1], item)
    assert after[0][0] == after[0][1] != before[0][0] and after[1] != before[1]


def test_the_shipped_encoder_stands_on_the_tower_it_was_trained_with() -> None:
    assert weights_id(models.resolve("minilm")) == image_text.TRAINED_WITH["minilm"]
    for side in (OpenClipImages, OpenClipTexts):
        assert side("medrag-small").fingerprint == plain_fingerprint(models.resolve("medrag-small"))


def test_by_recipe_and_by_hub_id(made: Made) -> None:
    encoder = open_encoder(EncoderSettings(model=str(made[0]), kind="open-clip-text", options={"precision": "float32"}))
    assert encoder.encode_queries([Query(TEXTS[0])]).shape == (1, 24)
    with pytest.raises(ModelMissing) as missing:
        OpenClipImages("hf-hub:nobody/no-such-clip")
    assert missing.value.hint == "medrag models get nobody/no-such-clip"


def test_incomplete_checkpoints_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="has no open_clip_config"):
        OpenClipImages(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": custom("nobody/no-such-tower"), "preprocess_cfg": {}})
    )
    with pytest.raises(ModelMissing, match="has no weights"):
        _ = OpenClipImages(str(tmp_path))._loaded
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelMissing, match=r"text tower nobody/no-such-tower .* is not on this machine"):
        _ = OpenClipImages(str(tmp_path))._loaded
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": PLAIN, "preprocess_cfg": {}}))
    with pytest.raises(ModelMissing, match="cannot be loaded by open_clip"):
        _ = OpenClipImages(str(tmp_path))._loaded


def test_the_text_tower_of_biomedclip_needs_no_other_repository(tmp_path: Path) -> None:
    """Its checkpoint names a BERT-base without bringing the configuration: that is built in."""
    from transformers import AutoConfig

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tower = image_text._tower("microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract", tmp_path, scratch)
    config = AutoConfig.from_pretrained(tower)
    assert (config.model_type, config.vocab_size, config.hidden_size, config.num_hidden_layers) == (
        "bert",
        30522,
        768,
        12,
    )
