"""The findings reader and an encoder whose text tower is a model of its own, on tiny random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from medrag.encoders.findings import FILE, FindingsReader
from medrag.encoders.image_text import OpenClipTexts
from medrag.errors import ModelMissing
from medrag.types import Passage

NAMES = ("Effusion", "Nodule", "normal", "mesh:Opacity")
PEAK = 0.3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder as medrag ships it: no text tower in the checkpoint, its folder named instead."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    tower, made = tmp_path_factory.mktemp("tower"), tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "clear", "lungs", "effusion", "small"]
    (tower / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(tower / "vocab.txt")).save_pretrained(tower)
    torch.manual_seed(5)
    shape = BertConfig(vocab_size=16, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
    BertModel(shape).save_pretrained(tower)
    text = {
        "hf_model_name": str(tower), "hf_tokenizer_name": str(tower), "hf_model_pretrained": False,
        "hf_proj_type": "linear", "hf_pooler_type": "mean_pooler", "context_length": 16,
    }  # fmt: skip
    vision = {"timm_model_name": "resnet10t", "timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "linear", "image_size": 64}  # fmt: skip
    model = open_clip.CustomTextCLIP(embed_dim=24, vision_cfg=vision, text_cfg=text)
    config = {
        "model_cfg": {"embed_dim": 24, "vision_cfg": vision, "text_cfg": {**text, "hf_model_name": "x", "hf_tokenizer_name": "x"}},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
        "locked_text_tower": str(tower),
    }  # fmt: skip
    (made / "open_clip_config.json").write_text(json.dumps(config))
    kept = {n: t.half().contiguous() if t.is_floating_point() else t for n, t in model.state_dict().items() if not n.startswith("text.transformer")}  # fmt: skip
    save_file(kept, made / "open_clip_model.safetensors")
    head = {"weight": torch.randn(4, 512), "bias": torch.randn(4), "slope": torch.tensor([1.0, 2, 1, 1]), "offset": torch.tensor([0.0, -1, 0, 0])}  # fmt: skip
    save_file(head, made / FILE, metadata={"names": "|".join(NAMES), "peak": str(PEAK)})
    return made


def film(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (80, 60), dtype=np.uint8))


def test_scores_are_the_maps_mean_and_a_share_of_their_peak(folder: Path) -> None:
    reader = FindingsReader(str(folder), device="cpu")
    scores = reader.scores([film(1), film(2)])
    assert scores.shape == (2, 4)
    from safetensors.torch import load_file

    bias = load_file(folder / FILE)["bias"].numpy()
    for n, name in enumerate(NAMES):
        maps = reader.maps([film(1), film(2)], name)
        assert scores[:, n] == pytest.approx(maps.mean((1, 2)) + PEAK * maps.max((1, 2)) + bias[n], abs=1e-3)


def test_a_study_s_views_are_averaged_before_calibration(folder: Path) -> None:
    reader = FindingsReader(str(folder), device="cpu")
    read = reader.read([film(1), film(2)])
    mean = reader.scores([film(1), film(2)]).mean(0)
    assert read["Effusion"] == pytest.approx(1 / (1 + np.exp(-mean[0])), abs=1e-5)
    assert read["Nodule"] == pytest.approx(1 / (1 + np.exp(-(2 * mean[1] - 1))), abs=1e-5)
    assert set(reader.findings([film(1)])) == {"Effusion", "Nodule"}
    assert read != reader.read([film(3)])


def test_the_locked_tower_s_words_reach_the_common_space(folder: Path) -> None:
    texts = OpenClipTexts(str(folder), device="cpu", precision="float32")  # some CPUs would take bfloat16
    rows = texts.encode_items([Passage(f"p{n}", "p", t) for n, t in enumerate(["clear lungs", "small effusion"])])
    assert rows.shape == (2, 24) and not np.allclose(rows[0], rows[1])
    from transformers import AutoModel, AutoTokenizer

    tower = json.loads((folder / "open_clip_config.json").read_text())["locked_text_tower"]
    states = AutoModel.from_pretrained(tower).eval()(**AutoTokenizer.from_pretrained(tower)(["clear lungs"], return_tensors="pt")).last_hidden_state  # fmt: skip
    from safetensors.torch import load_file

    wanted = states.mean(1) @ load_file(folder / "open_clip_model.safetensors")["text.proj.weight"].float().T
    assert rows[0] == pytest.approx(torch.nn.functional.normalize(wanted, dim=1)[0].detach().numpy(), abs=1e-4)


def test_an_encoder_without_a_reader_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="no reader of findings"):
        FindingsReader(str(tmp_path))


def test_the_command_prints_the_likeliest_finding_first(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from medrag.cli.app import app

    film(1).save(tmp_path / "film.png")
    done = CliRunner().invoke(app, ["findings", str(tmp_path / "film.png"), "--model", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found) == {"Effusion", "Nodule"} and list(found.values()) == sorted(found.values(), reverse=True)
    lost = CliRunner().invoke(app, ["findings", str(tmp_path / "no.png"), "--model", str(folder)])
    assert lost.exit_code == 1


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"PatientID": "P5"}, "several patients"),
        ({"StudyDate": "20210310"}, "several days"),
        ({"ViewPosition": "LL"}, ""),
    ],
)
def test_the_command_averages_the_views_of_one_study_alone(
    folder: Path, tmp_path: Path, other: dict, problem: str
) -> None:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian
    from typer.testing import CliRunner

    from medrag.cli.app import app

    for name, more in (("a.dcm", {}), ("b.dcm", other)):
        data = pydicom.Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.{len(name)}"
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 16, 16, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation, data.PixelData = (
            8,
            8,
            7,
            0,
            bytes(256),
        )
        for tag, value in {"PatientID": "P1", "StudyDate": "20200105", **more}.items():
            setattr(data, tag, value)
        data.save_as(tmp_path / name, enforce_file_format=True)
    done = CliRunner().invoke(
        app, ["findings", *(str(tmp_path / n) for n in ("a.dcm", "b.dcm")), "--model", str(folder)]
    )
    assert done.exit_code == bool(problem) and problem in done.stderr
