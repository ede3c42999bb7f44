"""The timm encoder: the right weights in the right places, pictures whole and unstretched, errors by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medrag import models
from medrag.encoders.image import TimmEncoder, letterboxed, load_by_order, pixels_of
from medrag.errors import ImageError, MedragError, ModelMissing, SettingsError
from medrag.types import ImageRecord, Passage, Query, QueryImage

try:
    LITE2 = str(models.resolve("efficientnet-lite2"))
except MedragError:
    LITE2 = ""
TINY = "resnet10t"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights, saved under names that are not timm's."""
    import timm

    torch.manual_seed(7)
    network = timm.create_model(TINY, pretrained=False)
    path = tmp_path_factory.mktemp("weights") / "network.pth"
    torch.save({f"other.{n}": tensor for n, tensor in enumerate(network.state_dict().values())}, path)
    return path


@pytest.fixture(scope="module")
def encoder(weights: Path) -> TimmEncoder:
    return TimmEncoder(str(weights), batch=2, architecture=TINY, size=64, precision="float32")


def noise(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRecord]:
    folder = tmp_path_factory.mktemp("pictures")
    for n in range(5):
        noise(n).save(folder / f"{n}.png")
    return [ImageRecord(f"p:{n}", "p", "", str(folder / f"{n}.png")) for n in range(5)]


def test_features_equal_timm_fed_by_hand(encoder: TimmEncoder, weights: Path, records: list[ImageRecord]) -> None:
    import timm

    network = timm.create_model(TINY, pretrained=False)
    load_by_order(network, torch.load(weights, weights_only=True), "here")
    network.eval()
    cfg = network.pretrained_cfg
    block = torch.stack([torch.from_numpy(pixels_of(noise(n), 64, cfg["mean"], cfg["std"])) for n in range(5)])
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(block), pre_logits=True).numpy()
    vectors = encoder.encode_items(records)
    assert vectors.dtype == np.float32 and vectors.shape == (5, encoder.dim)
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_a_query_is_the_mean_of_its_images(encoder: TimmEncoder, records: list[ImageRecord]) -> None:
    items = encoder.encode_items(records)
    one, several = (Query("?", tuple(QueryImage(noise(n)) for n in which)) for which in ([1], [0, 3, 4]))
    vectors = encoder.encode_queries([one, several])
    np.testing.assert_allclose(vectors[0], items[1], atol=1e-5)
    mean = items[[0, 3, 4]].mean(axis=0)
    np.testing.assert_allclose(vectors[1], mean / np.linalg.norm(mean), atol=1e-5)
    with pytest.raises(SettingsError, match="a query has none"):
        encoder.encode_queries([one, Query("only words")])


def test_pictures_are_neither_cut_nor_stretched() -> None:
    whole = np.asarray(letterboxed(Image.new("L", (200, 100), 255), 50))
    assert whole.shape == (50, 50, 3)
    assert (whole[13:37] == 255).all() and (whole[:12] == 0).all() and (whole[38:] == 0).all()


def test_a_broken_picture_is_named(encoder: TimmEncoder, records: list[ImageRecord], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(ImageError, match=r"broken\.png"):
        encoder.encode_items([*records, ImageRecord("p:x", "p", "", str(broken)), *records])
    with pytest.raises(ImageError, match="is a passage and has no picture"):
        encoder.encode_items([Passage("t:1", "t", "words")])


def test_content_follows_the_pixels_not_the_name(
    encoder: TimmEncoder, records: list[ImageRecord], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(records[0].source).read_bytes())
    keys = [encoder.content(record) for record in [*records, ImageRecord("p:y", "q", "", str(copy))]]
    assert keys[5] == keys[0] and len(set(keys)) == 5
    assert encoder.content(ImageRecord("p:z", "q", "", str(copy), frame=1)) != keys[0]
    noise(99).save(copy)
    assert encoder.content(ImageRecord("p:y", "q", "", str(copy))) != keys[0]


def test_weights_that_do_not_fit_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="tensors, the network has"):
        _ = TimmEncoder(str(weights), architecture="resnet18").dim
    swapped = dict(reversed(torch.load(weights, weights_only=True).items()))
    torch.save(swapped, tmp_path / "swapped.pth")
    with pytest.raises(ModelMissing, match="has shape"):
        _ = TimmEncoder(str(tmp_path / "swapped.pth"), architecture=TINY).dim
    (tmp_path / "cut.pth").write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelMissing, match="cannot be read as weights"):
        _ = TimmEncoder(str(tmp_path / "cut.pth"), architecture=TINY).dim
    with pytest.raises(SettingsError, match="timm has no network"):
        _ = TimmEncoder(str(weights), architecture="resnet-nine-thousand").dim
    with pytest.raises(SettingsError, match="which network is it"):
        TimmEncoder(str(weights))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("this ran",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ModelMissing, match="cannot be read as weights"):
        _ = TimmEncoder(str(tmp_path / "evil.pth"), architecture=TINY).dim
    assert "this ran" not in capsys.readouterr().out


@pytest.mark.skipif(not LITE2, reason="medrag models get efficientnet-lite2")
@pytest.mark.parametrize(("name", "expected"), [("chelsea.png", 285), ("coffee.png", 967)])  # Egyptian cat, espresso
def test_the_packaged_weights_still_classify(name: str, expected: int) -> None:
    """Order and shapes could fit and the weights still be in the wrong place: what the network sees tells."""
    import timm

    skimage = pytest.importorskip("skimage")
    encoder = TimmEncoder(LITE2, architecture="tf_efficientnet_lite2", size=260, precision="float32")
    network = timm.create_model("tf_efficientnet_lite2", pretrained=False)
    load_by_order(network, torch.load(LITE2, weights_only=True), LITE2)
    picture = Image.open(Path(skimage.__file__).parent / "data" / name)
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(pixels_of(picture, *encoder._model.medrag_cfg))[None])
    assert int(logits.argmax()) == expected
    assert encoder.dim == 1280
