"""Training lowers the loss, goes on where it was cut off, keeps its references, and ships what medrag opens."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_small import base

from medrag.errors import SettingsError
from medrag.tune import policy as policies
from medrag.tune import trainer
from medrag.tune.answers import Piece
from medrag.tune.pairs import Pair, Side
from medrag.tune.policy import Request, SmallPolicy
from medrag.tune.trainer import (
    PreferenceTraining,
    _schedule,
    _together,
    metrics,
    reference,
    requests_of,
    settings_of,
    train,
)

pytest.importorskip("peft")
EVIDENCE = (Piece("iu:1", "study", "iu:1", "There is a small left pleural effusion."),)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with a random adapter over the tiny base, as a folder like the shipped one."""
    from medrag.tune import vlm
    from medrag.vlms.medrag_small import ADAPTER, IMAGE_TOKEN, RECIPE, blank

    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(0)  # the base and the projector begin at random
    model, processor = blank(base(folder / "base"))
    patches = np.random.default_rng(0).normal(size=(1, 16, 1280)).astype(np.float16)
    example = vlm.Packed(patches, "[E1] Clear lungs.\n", (("Question: Is there a mass?", "No."),))
    numbers = vlm.VlmTraining(epochs=2, rank=4, alpha=8, tokens=400)
    tensors = vlm.train(model, processor.tokenizer, iter([[example]] * 2), IMAGE_TOKEN, numbers, folder)
    save_file({name: t.half().contiguous() for name, t in tensors.items()}, folder / ADAPTER)
    recipe = {"base": str(folder / "base"), "encoder": "medrag-small", "rank": 4, "alpha": 8, "training": "none"}
    (folder / RECIPE).write_text(json.dumps(recipe))
    return folder


class Looked(SmallPolicy):
    """The small policy with patches drawn from the picture's name in place of the encoder, so that tests stay quick."""

    def _look(self, paths: Any) -> Any:
        return [
            (np.random.default_rng(list(Path(path).name.encode())).normal(size=(16, 1280)).astype(np.float16), None)
            for path in paths
        ]


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    made = []
    for n in range(4):
        path, other = tmp_path / f"{n}.png", tmp_path / f"{n}x.png"
        Image.new("L", (8, 8), 10 * n).save(path)
        Image.new("L", (8, 8), 200 + n).save(other)
        seen, blind = Side((str(path),), EVIDENCE, "Yes."), Side((str(other),), EVIDENCE, "Yes.")
        made.append(Pair(f"{n}/cm", "cm", "Is there an effusion?", "ct", seen, blind, 1.5 if n else 0.5))
        made.append(Pair(f"{n}/kbpt", "kbpt", "Is there a mass?", "ct", seen, Side(seen.images, EVIDENCE, "No."), 1.0))
    return made


NUMBERS = PreferenceTraining(epochs=12, rate=5e-3, tokens=800, warmup=1, checkpoint=5)


def test_sides_with_the_same_picture_packed_together_cost_what_they_cost_alone(
    shipped: Path, pairs: list[Pair]
) -> None:
    policy = Looked(shipped)
    requests = requests_of(pairs)
    with torch.no_grad():
        together, counts = policy.log_probabilities(requests)
        alone = [policy.log_probabilities([request]) for request in requests]
    assert torch.allclose(together, torch.cat([sums for sums, _ in alone]), atol=1e-4)
    assert counts.tolist() == [int(n) for _, n in alone] and min(counts) >= 2
    kbpt = [p for p in pairs if p.kind == "kbpt"][:1]
    assert policy.length(requests_of(kbpt)) < sum(policy.length([one]) for one in requests_of(kbpt))
    assert not torch.allclose(together[0], together[len(pairs)])  # the cross-modality sides see different pictures


def test_training_lowers_the_loss_and_what_is_saved_scores_the_same(
    shipped: Path, pairs: list[Pair], tmp_path: Path
) -> None:
    policy = Looked(shipped)
    found = train(policy, pairs, NUMBERS, tmp_path / "work", board=False)
    lines = metrics(tmp_path / "work")
    assert lines[0]["margin"] == pytest.approx(0, abs=1e-2) and lines[0]["loss"] < 1.5 * math.log(2) + 1e-3
    assert found["loss"] < lines[0]["loss"] - 0.1 and found["margin"] > 0.1 and found["preferred"] == 1
    assert not (tmp_path / "work/preferences.pt").exists()
    frozen = {name: p for name, p in policy.model.named_parameters() if "projector" in name}
    assert frozen and not any(p.requires_grad for p in frozen.values())
    policy.save(tmp_path / "tuned", "a test")
    again = Looked(tmp_path / "tuned")
    with torch.no_grad():
        after, before = (one.log_probabilities(requests_of(pairs))[0] for one in (again, policy))
    assert torch.allclose(after, before, atol=0.05)  # kept in half precision
    recipe = json.loads((tmp_path / "tuned/medrag_vlm.json").read_text())
    assert recipe["rank"] == 4 and recipe["training"].startswith("a test; begun from")


def test_a_share_of_the_untuned_weights_stays(shipped: Path, pairs: list[Pair], tmp_path: Path) -> None:
    found = []
    for share in (0.0, 0.25, 1.0):
        policy = Looked(shipped)
        start = policy.tensors()
        train(policy, pairs, replace(NUMBERS, untuned=share, epochs=2), tmp_path / str(share), board=False)
        found.append({name: tensor - start[name] for name, tensor in policy.tensors().items()})
    whole, most, none = found
    assert any(moved.abs().max() > 1e-4 for moved in whole.values())
    assert all(torch.allclose(most[name], 0.75 * moved, atol=1e-5) for name, moved in whole.items())
    assert all(torch.allclose(moved, torch.zeros_like(moved), atol=1e-6) for moved in none.values())


def test_a_run_that_was_cut_off_ends_where_a_whole_one_does(
    shipped: Path, pairs: list[Pair], tmp_path: Path, monkeypatch: Any
) -> None:
    whole = Looked(shipped)
    train(whole, pairs, NUMBERS, tmp_path / "whole", board=False)
    one, steps = trainer._step, []

    def until(*args: Any) -> Any:
        if len(steps) == 8:
            raise KeyboardInterrupt
        steps.append(1)
        return one(*args)

    monkeypatch.setattr(trainer, "_step", until)
    with pytest.raises(KeyboardInterrupt):
        train(Looked(shipped), pairs, NUMBERS, tmp_path / "cut", board=False)
    monkeypatch.setattr(trainer, "_step", one)
    cut = Looked(shipped)
    train(cut, pairs, NUMBERS, tmp_path / "cut", board=False)
    for name, tensor in whole.tensors().items():
        assert torch.allclose(tensor, cut.tensors()[name], atol=1e-5), name
    first, second = (metrics(tmp_path / name) for name in ("whole", "cut"))
    assert [line["step"] for line in second] == [line["step"] for line in first]
    assert second[-1]["loss"] == pytest.approx(first[-1]["loss"], abs=1e-4)
    with pytest.raises(KeyboardInterrupt):
        monkeypatch.setattr(trainer, "_step", until)
        steps[:] = [1, 1]
        train(Looked(shipped), pairs, NUMBERS, tmp_path / "cut", board=False)
    monkeypatch.setattr(trainer, "_step", one)
    worded = [replace(pairs[0], question="Is there a nodule?"), *pairs[1:]]
    weighed = [replace(pairs[0], weight=0.7), *pairs[1:]]
    for others in (pairs[:-1], worded, weighed):
        with pytest.raises(SettingsError, match="other settings"):
            train(Looked(shipped), others, NUMBERS, tmp_path / "cut", board=False)
    Image.new("L", (8, 8), 99).save(pairs[0].rejected.images[0])
    with pytest.raises(SettingsError, match="other settings"):
        train(Looked(shipped), pairs, NUMBERS, tmp_path / "cut", board=False)


def test_methods_differ_only_in_what_they_promise(shipped: Path, pairs: list[Pair], tmp_path: Path) -> None:
    def run(method: str, some: list[Pair], **more: float) -> list[dict[str, float]]:
        numbers = PreferenceTraining(method=method, epochs=3, rate=5e-3, tokens=5000, warmup=1, **more)  # type: ignore[arg-type]
        folder = tmp_path / f"{method}{len(list(tmp_path.iterdir()))}"
        train(Looked(shipped), some, numbers, folder, board=False)
        return [{k: v for k, v in line.items() if k != "minutes"} for line in metrics(folder)]

    equal = [Pair(**{**{f: getattr(p, f) for f in Pair.__slots__}, "weight": 1.0}) for p in pairs]
    assert run("weighted", equal) == run("dpo", pairs) != run("weighted", pairs)
    supervised = run("sft", pairs)
    both = run("weighted", equal, supervised=0.5)
    assert both[0]["loss"] == pytest.approx(math.log(2) + 0.5 * supervised[0]["loss"], abs=1e-3)
    assert supervised[-1]["loss"] < supervised[0]["loss"] and supervised[0]["loss"] > 1  # cross-entropy, not log 2


def test_references_are_kept_by_content(shipped: Path, pairs: list[Pair], tmp_path: Path, monkeypatch: Any) -> None:
    path, policy, asked = tmp_path / "reference.npz", Looked(shipped), []
    one = policy.log_probabilities
    monkeypatch.setattr(policy, "log_probabilities", lambda requests: (asked.extend(requests), one(requests))[1])
    first = reference(policy, [*pairs, *pairs], path)
    assert first.shape == (2, 2 * len(pairs)) and len(asked) == 2 * len(pairs)  # what pairs share is asked once
    asked.clear()
    assert np.array_equal(reference(policy, pairs, path), first[:, : len(pairs)]) and not asked
    Image.new("L", (8, 8), 99).save(pairs[0].rejected.images[0])
    reference(policy, pairs, path)
    assert [request.side.images for request in asked] == [pairs[0].rejected.images]


def test_content_tells_everything_that_counts_apart(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(picture)
    side = Side((str(picture),), EVIDENCE, "Yes.")
    other = Side((str(picture),), (), "Yes.")
    variants = [
        Request("q", "", side), Request("q2", "", side), Request("q", "ct", side), Request("q", "", other),
        Request("q", "", Side((), EVIDENCE, "Yes.")), Request("q", "", Side(side.images, EVIDENCE, "No.")),
    ]  # fmt: skip
    assert len({one.content({}) for one in variants}) == len(variants)


@pytest.mark.parametrize("family", ["llava", "qwen", "gemma3", "llama"])
def test_models_by_name_are_tuned_and_open_again(tmp_path: Path, pairs: list[Pair], family: str) -> None:
    from vlms import tiny_models

    from medrag.vlms.transformers import Transformers

    folder = getattr(tiny_models, family)(tmp_path / family)
    for path in {path for pair in pairs for side in (pair.chosen, pair.rejected) for path in side.images}:
        Image.open(path).resize((56, 56)).save(path)
    policy = policies.open_policy(str(folder), rank=4, alpha=8, device="cpu")
    assert all("lora_" in name for name in policy.tensors()) and not any(
        "vision" in n or "visual" in n for n in policy.tensors()
    )
    requests = requests_of(pairs)
    with torch.no_grad():
        together, _ = policy.log_probabilities(requests)
        alone = torch.cat([policy.log_probabilities([request])[0] for request in requests])
    assert torch.allclose(together, alone, atol=1e-3)
    numbers = PreferenceTraining(epochs=4, rate=1e-2, tokens=3000, warmup=1, gradient_checkpointing=family == "llava")
    found = train(policy, pairs, numbers, tmp_path / "work", board=False)
    assert found["loss"] < metrics(tmp_path / "work")[0]["loss"]
    train(
        policy,
        pairs,
        PreferenceTraining(method="sft", epochs=12, rate=2e-2, tokens=3000),
        tmp_path / "sft",
        board=False,
    )
    with torch.no_grad():
        moved, _ = policy.log_probabilities(requests[:1])
    policy.save(tmp_path / "tuned", "a test")
    again = policies.open_policy(str(tmp_path / "tuned"), rank=4, alpha=8, device="cpu")
    with torch.no_grad():
        assert torch.allclose(again.log_probabilities(requests[:1])[0], moved, atol=1e-2)
    images = [Image.open(pairs[0].chosen.images[0])]
    opened = Transformers(str(tmp_path / "tuned"), device="cpu", max_new_tokens=8)
    asked = pairs[0].chosen.prompt("Is there a mass?", looks=opened.sees_images)
    assert "".join(opened.stream(asked, images)).strip() == "Yes."  # as it was taught


def test_tensorboard_is_written_where_it_is_installed(shipped: Path, pairs: list[Pair], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(Looked(shipped), pairs, PreferenceTraining(tokens=5000), tmp_path / "work")
    assert list((tmp_path / "work").glob("events.out.tfevents*"))


def test_nothing_to_tune_on(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no pairs"):
        train(Looked(shipped), [], NUMBERS, tmp_path)


def test_a_run_without_a_step_is_no_tuning(shipped: Path, pairs: list[Pair], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no step fits"):
        train(Looked(shipped), pairs, PreferenceTraining(minutes=1e-9), tmp_path / "work", board=False)


def test_pairs_without_a_picture_are_left_out_and_counted_where_one_is_needed(
    shipped: Path, pairs: list[Pair], tmp_path: Path
) -> None:
    side = pairs[0].chosen
    blind = [replace(pairs[0], id="blind", chosen=replace(side, images=()), rejected=replace(side, images=()))]
    numbers = PreferenceTraining(steps=1, tokens=5000)
    found = train(Looked(shipped), [*blind, *pairs], numbers, tmp_path / "work", board=False)
    assert (found["used"], found["left_out"]) == (len(pairs), 1)
    with pytest.raises(SettingsError, match="no pair has a picture"):
        train(Looked(shipped), blind, numbers, tmp_path / "other", board=False)


def test_a_save_that_fails_is_tried_again_without_training_again(
    shipped: Path, pairs: list[Pair], tmp_path: Path
) -> None:
    tensors: list[Any] = []

    def full(found: dict[str, float]) -> None:
        raise OSError("no space left")

    numbers, first, again = replace(NUMBERS, epochs=2, untuned=0.5), Looked(shipped), Looked(shipped)
    with pytest.raises(OSError, match="no space"):
        train(first, pairs, numbers, tmp_path / "work", board=False, save=full)
    before = metrics(tmp_path / "work")
    train(again, pairs, numbers, tmp_path / "work", False, lambda found: tensors.append(again.tensors()))
    assert metrics(tmp_path / "work") == before and not (tmp_path / "work/preferences.pt").exists()
    assert all(torch.allclose(tensor, tensors[0][name], atol=1e-6) for name, tensor in first.tensors().items())


def test_settings_as_people_type_them() -> None:
    assert settings_of({"method": "dpo", "rate": 1e-4, "steps": 20}) == PreferenceTraining("dpo", rate=1e-4, steps=20)
    with pytest.raises(SettingsError, match="did you mean 'beta'"):
        settings_of({"betta": 1})
    with pytest.raises(SettingsError, match="method"):
        settings_of({"method": "ppo"})


def test_a_run_ends_after_its_steps(shipped: Path, pairs: list[Pair], tmp_path: Path) -> None:
    found = train(Looked(shipped), pairs, PreferenceTraining(steps=7, tokens=800), tmp_path / "work", board=False)
    assert found["steps"] == 7 and [line["step"] for line in metrics(tmp_path / "work")] == list(range(1, 8))


def test_commands(pairs: list[Pair], tmp_path: Path) -> None:
    from typer.testing import CliRunner
    from vlms import tiny_models

    from medrag.cli.tune import app
    from medrag.tune.pairs import write_pairs

    write_pairs(pairs, tmp_path / "pairs.jsonl")
    for path in {path for pair in pairs for side in (pair.chosen, pair.rejected) for path in side.images}:
        Image.open(path).resize((28, 28)).save(path)
    model, out = str(tiny_models.llava(tmp_path / "tiny")), tmp_path / "tuned"
    command = [
        "train",
        str(tmp_path / "pairs.jsonl"),
        "--out",
        str(out),
        "--model",
        model,
        "--kind",
        "cm",
        "--set",
        "steps=1",
        "--json",
    ]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["pairs"]["cm"] == 4 and told["pairs"]["kbpt"] == 0 and told["steps"] == 1
    assert (out / "config.json").is_file() and (out / "adapter/adapter_config.json").is_file()
    for name, values in {"none": ["Yes.", "No."], "adaptive": ["No.", "Yes."], "noise": ["No.", "Yes."]}.items():
        lines = [{"id": str(n), "value": v, "reference": "yes", "group": str(n)} for n, v in enumerate(values)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = [str(tmp_path / f"{name}.jsonl") for name in ("none", "adaptive", "noise")]
    command = ["report", "--without", files[0], "--with", files[1], "--unseen", files[2], "--before", *files, "--json"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["scores"]["over_reliance"][0] == 1 and told["scores"]["copy_reference"][0] == 0.5
    assert told["differences"]["accuracy"]["difference"] == 0


WORKER = """
import sys, torch
from pathlib import Path
from medrag.tune.run import tune
from medrag.tune.trainer import PreferenceTraining
torch.set_num_threads(1)
folder, name = Path(sys.argv[1]), sys.argv[2]
numbers = PreferenceTraining(steps=4, rate=5e-3, tokens=3000, warmup=1)
tune(folder / "pairs.jsonl", folder / f"{name}-tuned", numbers, model=str(folder / "tiny"), work=folder / name)
"""


@pytest.mark.slow
def test_two_processes_end_where_one_does(pairs: list[Pair], tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    from vlms import tiny_models

    from medrag.tune.pairs import write_pairs

    pytest.importorskip("accelerate")
    tiny_models.llama(tmp_path / "tiny")
    write_pairs(pairs, tmp_path / "pairs.jsonl")
    (tmp_path / "worker.py").write_text(WORKER)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "ACCELERATE_USE_CPU": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    several = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29533"]
    for launcher, name in (([], "one"), (several, "two")):
        command = [sys.executable, *launcher, str(tmp_path / "worker.py"), str(tmp_path), name]
        subprocess.run(command, check=True, env=environment, timeout=600)
    one, two = (load_file(tmp_path / f"{name}-tuned/adapter/adapter_model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(tensor, two[name], atol=1e-4) for name, tensor in one.items())
    first, second = (metrics(tmp_path / name) for name in ("one", "two"))
    assert [line["loss"] for line in second] == pytest.approx([line["loss"] for line in first], abs=1e-4)


def test_pairs_of_one_question_are_in_one_batch_and_each_is_seen_once_an_epoch():
    units = _together(["a", "b", "a", "c", "b", "a"])
    assert units == [[0, 2, 5], [1, 4], [3]]
    found = [group for _, _, group in _schedule(units, [30, 20, 10], PreferenceTraining(tokens=30), time.time())]
    assert sorted(n for group in found for n in group) == list(range(6))
    for unit in units:
        assert sum(set(unit) <= set(group) for group in found) == 1
