"""Tuning as a whole: what is refused before anything is computed, and that the same seed gives the same model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from vlms import tiny_models

from medrag import models
from medrag.errors import MedragError, SettingsError
from medrag.tune.answers import Piece
from medrag.tune.pairs import Pair, Side, write_pairs
from medrag.tune.policy import open_policy
from medrag.tune.run import tune
from medrag.tune.trainer import PreferenceTraining

pytest.importorskip("peft")
EVIDENCE = (Piece("iu:1", "study", "iu:1", "There is a small left pleural effusion."),)
NUMBERS = PreferenceTraining(steps=2, tokens=3000, warmup=1, rate=1e-2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_models.llama(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("L", (28, 28)).save(tmp_path / "film.png")
    seen = ((str(tmp_path / "film.png"),), EVIDENCE)
    pair = Pair("1/kbpt", "kbpt", "Is there a mass?", "ct", Side(*seen, "Yes."), Side(*seen, "No."))
    write_pairs([pair], tmp_path / "pairs.jsonl")
    return tmp_path / "pairs.jsonl"


def test_the_seed_draws_where_an_adapter_begins(model: str) -> None:
    torch.manual_seed(7)
    one, again, other = (open_policy(model, rank=2, device="cpu", seed=seed).tensors() for seed in (0, 0, 1))
    assert all(torch.equal(tensor, again[name]) for name, tensor in one.items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_model_that_tuning_begins_with_is_not_overwritten(model: str, file: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(model, own)
    for out in (own, own / ".." / "own" / "tuned"):
        with pytest.raises(SettingsError, match="the model that tuning begins with"):
            tune(file, out, NUMBERS, model=str(own))
    assert sorted(path.name for path in own.iterdir()) == sorted(path.name for path in Path(model).iterdir())
    with pytest.raises(SettingsError, match="the model that tuning begins with"):
        tune(file, models.resolve("medrag-small-vlm"), NUMBERS)


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_computed(
    model: str, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("")
    for out, work in ((tmp_path / "a-file", None), (tmp_path / "out", tmp_path / "a-file" / "work")):
        with pytest.raises(MedragError, match=r"cannot write .*a-file"):
            tune(file, out, NUMBERS, model=model, work=work)
    assert not (tmp_path / "a-file.work").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_disk_that_is_full_at_the_end_loses_no_step(model: str, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    out.mkdir()
    (out / "TRAINING").symlink_to("/dev/full")
    with pytest.raises(MedragError, match="No space left") as caught:
        tune(file, out, NUMBERS, model=model)
    assert str(tmp_path / "tuned.work") in caught.value.hint
    (out / "TRAINING").unlink()
    _, found = tune(file, out, NUMBERS, model=model)
    assert found["steps"] == 2 and "2 steps" in (out / "TRAINING").read_text()
    assert not (tmp_path / "tuned.work/preferences.pt").exists()


def test_pictures_that_are_gone_and_kinds_that_there_are_not_are_told_first(
    model: str, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"no kind of pair 'cmm' → known: cm"):
        tune(file, tmp_path / "out", NUMBERS, model=model, kinds=["cmm"])
    with pytest.raises(SettingsError, match=r"of the kinds cm → it has: kbpt"):
        tune(file, tmp_path / "out", NUMBERS, model=model, kinds=["cm"])
    (tmp_path / "film.png").unlink()
    with pytest.raises(SettingsError, match=r"1 pictures of the pairs are not there, the first .*film\.png of 1/kbpt"):
        tune(file, tmp_path / "out", NUMBERS, model=model)
    assert not (tmp_path / "out").exists()
