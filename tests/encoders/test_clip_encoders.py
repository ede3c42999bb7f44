"""CLIP and SigLIP of transformers saved to disk and loaded by medrag: embeddings equal the models' own, with no network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_encoders import TEXTS, clip, own_clip, picture, siglip, unit

from medrag.encoders import open_encoder
from medrag.encoders.clip import ClipImages, ClipTexts
from medrag.errors import ModelMissing, SettingsError
from medrag.settings import EncoderSettings
from medrag.types import ImageRecord, Passage, Query, QueryImage

Made = tuple[Path, Any]


@pytest.fixture(scope="module", params=["clip", "clip-pickled", "siglip"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp(request.param)
    return folder, siglip(folder) if request.param == "siglip" else clip(folder, request.param.endswith("pickled"))


def expected(folder: Path, model: Any) -> tuple[np.ndarray, np.ndarray]:
    """(images, texts) one by one through the processor's parts, as each family's documentation has it."""
    from transformers import AutoImageProcessor, AutoTokenizer

    pictures, words = AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    fixed = model.config.model_type == "siglip"
    length = model.config.text_config.max_position_embeddings
    with torch.inference_mode():
        pixels = pictures([picture(n) for n in range(3)], return_tensors="pt")["pixel_values"]
        seen = model.vision_model(pixel_values=pixels).pooler_output
        said = []
        for text in TEXTS:
            fill = {"padding": "max_length"} if fixed else {}
            tokens = words(text, truncation=True, max_length=length, return_tensors="pt", **fill)
            said.append(model.text_model(input_ids=tokens["input_ids"]).pooler_output)
        if not fixed:
            seen, said = model.visual_projection(seen), [model.text_projection(one) for one in said]
    return unit(seen), unit(torch.cat(said))


def test_embeddings_equal_the_models_own(made: Made, tmp_path: Path) -> None:
    folder, model = made
    images, texts = (cls(str(folder), batch=2, device="cpu", precision="float32") for cls in (ClipImages, ClipTexts))
    records = []
    for n in range(3):
        picture(n).save(tmp_path / f"{n}.png")
        records.append(ImageRecord(f"i:{n}", "i", "", str(tmp_path / f"{n}.png")))
    seen, said = expected(folder, model)
    np.testing.assert_allclose(images.encode_items(records), seen, atol=1e-5)
    found = texts.encode_items([Passage(f"t:{n}", "t", text) for n, text in enumerate(TEXTS)])
    np.testing.assert_allclose(found, said, atol=1e-5)
    assert found.shape == (3, texts.dim) and found.dtype == np.float32
    assert np.abs(found[0] - found[1]).max() > 0.01 and np.abs(seen[0] - seen[1]).max() > 0.01

    asked = images.encode_queries([Query(TEXTS[1]), Query("x", (QueryImage(picture(0)), QueryImage(picture(1))))])
    both = seen[:2].mean(axis=0)
    np.testing.assert_allclose(asked, [said[1], both / np.linalg.norm(both)], atol=1e-5)


def test_the_two_sides_share_one_model_and_one_fingerprint(made: Made) -> None:
    images, texts = ClipImages(str(made[0]), device="cpu"), ClipTexts(str(made[0]), device="cpu")
    assert images.fingerprint == texts.fingerprint != ClipTexts(str(made[0]), max_length=9).fingerprint
    assert images._pair is texts._pair
    assert (images.modality, texts.modality) == ("image", "text")
    assert images.encode_items([]).shape == (0, images.dim)


def test_by_recipe(made: Made) -> None:
    encoder = open_encoder(EncoderSettings(model=str(made[0]), kind="clip-text"))
    assert encoder.encode_queries([Query(TEXTS[0])]).shape == (1, encoder.dim)
    with pytest.raises(SettingsError, match="max_lenght"):
        open_encoder(EncoderSettings(model=str(made[0]), kind="clip-text", options={"max_lenght": 3}))
    with pytest.raises(ModelMissing, match="medrag models get medsiglip"):
        open_encoder(EncoderSettings(model="medsiglip"))


def test_code_of_a_made_up_repository_runs_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How ConceptCLIP would be loaded and called; its own class is not part of the test."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        monkeypatch.delitem(sys.modules, name)  # of another test's folder
    folder = tmp_path / "own"
    own_clip(folder)
    bad = folder / "modeling_own.py"
    code = bad.read_text()
    bad.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{code}")
    with pytest.raises(SettingsError, match=r"brings its own code.*trust_remote_code: true"):
        _ = ClipImages(str(folder), device="cpu").dim
    assert not (tmp_path / "ran").exists()
    asked = {"device": "cpu", "trust_remote_code": True, "max_length": 12}
    images, texts = ClipImages(str(folder), **asked), ClipTexts(str(folder), **asked)
    vectors = images.encode_queries([Query("a"), Query("b"), Query("", (QueryImage(picture(0)),))])
    assert vectors.shape == (3, 24) == (3, texts.dim)
    assert (tmp_path / "ran").exists()
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_what_is_no_dual_encoder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ModelMissing, match="cannot be loaded by transformers") as caught:
        _ = ClipImages(str(tmp_path), device="cpu").dim
    assert "\n" not in str(caught.value)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelMissing, match=r"no readable config\.json"):
        _ = ClipImages(str(tmp_path), device="cpu").dim


def test_a_pickle_that_would_run_something_is_not_opened(tmp_path: Path) -> None:
    clip(tmp_path, pickled=True)

    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"x": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelMissing, match="cannot be loaded"):
        _ = ClipImages(str(tmp_path), device="cpu").dim
    assert not (tmp_path / "ran").exists()
