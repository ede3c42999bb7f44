"""Pictures routed to their domain: who is asked, what the measure says beside scikit-learn, and the pack's held-back pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medrag._util.findings import CHEXPERT_TYPE
from medrag.corpora import pictures
from medrag.errors import SettingsError
from medrag.eval import baselines, routing
from medrag.eval.routing import PHOTOGRAPH, Routing, make_router
from medrag.eval.runner import Run, run
from medrag.eval.tasks import Example, NoExample, Task, load_task
from medrag.types import DOMAINS, Route


@pytest.fixture
def task() -> Task:
    return load_task("routing")


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The training pack: six films of hands, and six pictures of VQA-RAD; neither packages nor photographs."""
    monkeypatch.setenv("MEDRAG_DATA", str(tmp_path))
    monkeypatch.setattr(pictures, "unseen", list)
    monkeypatch.setattr(pictures, "photographs", list)
    hands, radiology = tmp_path / "open/mednist/Hand", tmp_path / "open/vqa_rad/images"
    for folder in (hands, radiology):
        folder.mkdir(parents=True)
        for n in range(6):
            Image.new("L", (8, 8), 40 * n).save(folder / f"{n}.jpg")
    asked = [("Is this an MRI?", "Yes"), ("Is there a mass?", "No")]
    rows = [
        {"image_name": f"{n}.jpg", "image_organ": "HEAD", "question": q, "answer": a, "question_type": "MODALITY"}
        for n in range(6) for q, a in asked
    ]  # fmt: skip
    for name in ("train", "test"):
        (tmp_path / f"open/vqa_rad/{name}.json").write_text(json.dumps(rows))
    return tmp_path


def test_each_fifth_picture_is_asked_alone_and_with_its_first_question(pack: Path, task: Task) -> None:
    found = routing.held(pack, "held", task)
    assert [(e.images[0].name, e.reference, e.question) for e in found] == [
        ("4.jpg", "other", ""),
        ("4.jpg", "mr", ""),
        ("4.jpg", "mr", "Is this an MRI?"),
    ]
    assert found[1].group == found[2].group and "with a question" in found[2].tags
    alone = task.model_copy(update={"options": {}})
    assert [e.question for e in routing.held(pack, "held", alone)] == ["", ""]


def eyes(folder: Path, *names: str, first: int = 0) -> list[Path]:
    """Pictures that are unlike each other."""
    folder.mkdir(parents=True)
    for n, name in enumerate(names, first):
        values = np.random.default_rng(n).integers(0, 256, (9, 9), np.uint8)
        Image.fromarray(values).resize((64, 64)).save(folder / name, quality=95)
    return [folder / name for name in names]


def test_a_held_picture_of_a_patient_or_a_picture_that_is_trained_on_is_not_asked(pack: Path, task: Task) -> None:
    root = pack / "noncommercial/fundus"
    others = [f"Patient{n}_L.jpg" for n in range(10, 14)]
    eyes(root / "1 - No DR", *others, "Patient13_R.jpg")  # the other eye of one that is trained on
    first = eyes(root / "2 - Mild DR", *(f"Patient{n}_L.jpg" for n in range(20, 25)), first=20)
    first[4].write_bytes(first[0].read_bytes())  # the same bytes under another patient's name
    second = eyes(root / "3 - Severe DR", *(f"Patient{n}_L.jpg" for n in range(30, 35)), first=40)
    with Image.open(second[0]) as picture:
        picture.resize((48, 48)).save(second[4], quality=60)  # made smaller
    for folder, n, side in (("4 - PDR", 60, "L"), ("5 - ADED", 80, "R")):
        eyes(root / folder, *(f"Patient{n}{k}_L.jpg" for k in range(4)), f"Patient99_{side}.jpg", first=n)
    found = [e for e in routing.held(pack, "held", task) if e.reference == "fundus"]
    assert [e.images[0].name for e in found] == ["Patient99_L.jpg", "Patient99_R.jpg"]
    assert {e.group for e in found} == {"Patient99"}  # drawn together
    again = [e for e in routing.held(pack, "test", task) if e.reference == "fundus"]
    assert [e.images for e in again] == [e.images for e in found]  # another name of the split changes nothing


@pytest.mark.parametrize("split", ["test", "held"])
def test_of_another_folder_what_the_training_pack_trained_on_is_left_out(
    pack: Path, task: Task, tmp_path: Path, split: str
) -> None:
    taught = eyes(pack / "noncommercial/fundus/1 - No DR", "Patient1_L.jpg", "Patient2_L.jpg")
    other = tmp_path / "other"
    mine = eyes(other / "noncommercial/fundus/1 - No DR", *(f"Patient{n}_L.jpg" for n in range(50, 62)), first=50)
    mine[4].write_bytes(taught[0].read_bytes())
    found = routing.held(other, split, task)
    assert mine[4] not in {e.images[0] for e in found}
    assert len(found) == (11 if split == "test" else 1)


def test_films_that_are_trained_on_are_left_out_whatever_their_split_is_called(pack: Path, task: Task) -> None:
    data = Path(os.environ["MEDRAG_DATA"])
    uids = [str(n) for n in range(12)]
    root = data / "noncommercial/iu_xray"
    root.mkdir(parents=True)
    (root / "splits.json").write_text(json.dumps({"train": uids[:4], "test": uids}))
    (root / "reports.csv").write_text("uid,MeSH,findings,impression\n" + "".join(f"{n},,Clear.,\n" for n in uids))
    columns = ("filename", "normal", *CHEXPERT_TYPE)
    rows = [",".join((f"CXR{n}", *"1" * (len(columns) - 1))) for n in uids]
    (root / "labels_negbio14.csv").write_text("\n".join((",".join(columns), *rows)))
    shown = "".join(f"{n},{n}.png,Frontal\n" for n in uids)
    (root / "projections.csv").write_text(f"uid,image,projection\n{shown}")
    found = [e.images[0].name for e in routing.held(pack, "test", task) if e.reference == "chest-xray"]
    assert found == ["4.png", "8.png"]
    with pytest.raises(NoExample, match="known: train, test"):
        routing.held(pack, "val", task)


class BrightRouter:
    """Takes what is bright for MR, and everything else for nothing medical."""

    def route(self, query: Any) -> Route:
        bright = np.asarray(query.images[0].image).mean() > 100
        return Route("mr" if bright else "other", 0.75, {"dense": float(bright)}, ("a test",))


def test_the_task_runs_beside_the_majority(
    pack: Path, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines.routing, "majority", lambda data, some: [routing.Output("ct", 0.5)] * len(some))
    rag = SimpleNamespace(router=BrightRouter(), fingerprint="test", recipe=None)
    planned = Run(task, pack, "held", tuple(routing.held(pack, "held", task)), lambda: rag)  # type: ignore[arg-type,return-value]
    result = run(planned, "router", tmp_path / "out.json", draws=100)
    assert result["scores"]["accuracy"] == pytest.approx(2 / 3, abs=1e-4)  # the hand is bright too
    assert result["scores"]["f1/mr"] == pytest.approx(0.8)
    assert result["baselines"]["majority"]["accuracy"][0] == 0
    with pytest.raises(SettingsError, match="router"):
        make_router("routes", lambda: rag)  # type: ignore[arg-type,return-value]


def test_the_nearest_mean_is_that_of_the_training_pictures(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = sorted((pack / "open/mednist/Hand").glob("*.jpg"))
    taught = [pictures.Picture(path, "ct" if n < 3 else "mr", "", held=n == 0) for n, path in enumerate(hands)]
    monkeypatch.setattr(pictures, "others", lambda data: taught)

    def embedded(query: Any) -> Any:
        grey = np.asarray(query.images[0].image).mean() / 255
        return np.array([[grey, 1 - grey]], np.float32)

    rag = SimpleNamespace(router=SimpleNamespace(encoder=SimpleNamespace(query=embedded)))
    asked = [Example(path.name, path.name, "", "ct", (path,)) for path in hands]
    found = routing.nearest_mean(pack, asked, lambda: rag)  # type: ignore[arg-type,return-value]
    assert [one.value for one in found] == ["ct"] * 3 + ["mr"] * 3
    with pytest.raises(SettingsError, match="router head"):
        routing.nearest_mean(pack, asked, lambda: SimpleNamespace(router=None))  # type: ignore[arg-type,return-value]


SAID = st.sampled_from([*DOMAINS, "nothing known"])
TRUE = st.sampled_from([*DOMAINS, PHOTOGRAPH])


@settings(max_examples=20)  # scikit-learn is slow
@given(st.lists(st.tuples(SAID, TRUE), min_size=1, max_size=30))
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(cases: list[tuple[str, str]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    said, true = zip(*cases, strict=True)
    found = Routing().totals(Routing().rows(said, true), np.ones((1, len(cases))))
    medical = [(s, t) for s, t in cases if t != PHOTOGRAPH]
    if medical:
        said, true = zip(*medical, strict=True)
        macro = metrics.f1_score(true, said, labels=sorted(set(true)), average="macro", zero_division=0)
        assert found["macro_f1"][0] == pytest.approx(macro)
        assert found["accuracy"][0] == pytest.approx(metrics.accuracy_score(true, said))
    else:
        assert np.isnan(found["accuracy"][0]) and np.isnan(found["macro_f1"][0])


@given(st.lists(st.tuples(SAID, TRUE), min_size=2, max_size=12), st.data())
def test_a_picture_drawn_twice_counts_twice(cases: list[tuple[str, str]], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(cases), max_size=len(cases)))
    rows = Routing().rows(*zip(*cases, strict=True))
    weighted = Routing().totals(rows, np.array([counts], float))
    repeated = Routing().totals(np.repeat(rows, counts, axis=0), np.ones((1, sum(counts))))
    for name, value in weighted.items():
        assert np.allclose(value, repeated[name], equal_nan=True), name


def test_photographs_count_apart_and_confidence_is_judged_where_it_is_known() -> None:
    measure, ones = Routing(), np.ones((1, 3))
    rows = measure.rows_with(["ct", "other", "fundus"], ["ct", PHOTOGRAPH, PHOTOGRAPH], [1.0, 1.0, 1.0])
    found = measure.totals(rows, ones)
    assert found["accuracy"][0] == 1 and found["photographs_flagged"][0] == 0.5
    assert found["ece"][0] == pytest.approx(1 / 3)
    assert "ece" not in measure.totals(measure.rows(["ct"] * 3, ["ct"] * 3), ones)
    with pytest.raises(ValueError, match="no domain"):
        measure.rows(["ct"], ["x-ray"])


@pytest.mark.data
def test_the_packs_pictures_that_nothing_was_trained_on(task: Task) -> None:
    data = Path(os.environ["MEDRAG_DATA"])
    found = routing.held(data, "held", task)
    assert len({e.id for e in found}) == len(found) == 391
    assert {e.reference for e in found} == {*DOMAINS, PHOTOGRAPH} - {"ultrasound"}
    trained = {p.path for p in (*pictures.others(data), *pictures.vqa_rad_said(data)) if not p.held}
    assert not trained & {e.images[0] for e in found}
    patients = {name for path in trained if (name := pictures.patient_of(path))}
    assert len(patients) > 100 and not patients & {e.group for e in found}


@pytest.mark.data
def test_the_commonest_domain_is_that_of_the_films() -> None:
    examples = [Example("1", "1", "", "ct")]
    assert routing.majority(Path(os.environ["MEDRAG_DATA"]), examples)[0].value == "chest-xray"
