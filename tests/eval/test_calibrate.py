"""A generator that is too sure of itself, calibrated: its confidence, the evidence it should read, and when it should be silent."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medrag import MedRAG
from medrag._util.places import share
from medrag.calibration import LATER, Calibration, Logistic, Sort, open_calibration, read_calibration
from medrag.confidence import oriented, sort_of, votes
from medrag.errors import CorpusError, IndexMismatch, MedragError, SettingsError
from medrag.eval.calibrate import calibrated, conformal, out_of_fold
from medrag.eval.observed import Observed, observe
from medrag.eval.tasks import Example
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings, load_recipe
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Context, Hit, ImageRecord, Passage, Query, QueryImage, Study
from medrag.vlms import open_generator

QUESTION = "Is there a pleural effusion?"
DEPTHS, RISKS = (0, 1), (0.1, 0.3)


class TooSure(FakeGenerator):
    """Sees brightness: white pictures show an effusion. It says 0.99 whatever it sees, and is misled by any evidence when it is grey."""

    def probabilities_yes(self, prompts: Any, images: Any) -> list[float]:
        self.asked = getattr(self, "asked", 0) + len(prompts)
        return [
            self._chance(prompt, pictures[0].convert("L").getpixel((0, 0)))
            for prompt, pictures in zip(prompts, images, strict=True)
        ]

    def _chance(self, prompt: Any, grey: int) -> float:
        sure = abs(grey - 127) > 60
        if not sure and prompt.context.kept:
            return 0.8
        return (0.99 if sure else 0.9) if grey > 127 else (0.01 if sure else 0.1)


def pipeline(folder: Path, **settings: Any) -> MedRAG:
    reports = [Study("iu:1", {"findings": "There is a small pleural effusion."})]
    return MedRAG(
        {"lexical": ListRetriever(reports, "lexical")}, DomainRouter(["lexical"]), AdaptiveSelector(), TooSure(["Yes [E1]."]),
        PipelineSettings(**{"calibration": "off", **settings}),
    )  # fmt: skip


def examples(folder: Path, n: int = 600) -> list[Example]:
    """The brighter the likelier an effusion; at the middle it is a coin. Two questions of each picture."""
    draw, found = random.Random(0), []
    for k in range(n // 2):
        grey = draw.randrange(256)
        Image.new("L", (32, 32), grey).save(folder / f"{k}.png")
        truth = "yes" if draw.random() < 1 / (1 + np.exp(-(grey - 127) / 40)) else "no"
        found += [Example(f"{k}/{q}", f"g{k}", QUESTION, truth, (folder / f"{k}.png",)) for q in range(2)]
    return found


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Observed], Calibration]:
    folder = tmp_path_factory.mktemp("calibrate")
    rag = pipeline(folder)
    found = observe(rag, examples(folder), folder / "observed.jsonl", DEPTHS)
    made = calibrated(found, rag.calibrated_for, DEPTHS, RISKS, alpha=0.5)
    made.write(folder / "calibration.json")
    return folder, found, made


def test_what_is_observed(observed: Any) -> None:
    _, found, _ = observed
    assert len(found) == 600 and {one.sort for one in found} == {"closed"}
    assert all(len(one.right) == len(one.signals) == 2 and one.tokens[0] == 0 < one.tokens[1] for one in found)
    assert any(one.right[0] and not one.right[1] for one in found)  # misled
    assert {one.domain for one in found} == {"chest-xray"}
    assert {"given", "alone", "votes", "chest"} <= found[0].signals[1].keys()


def test_the_confidence_is_nearer_the_truth_than_the_generator(observed: Any) -> None:
    report = observed[2].sorts["closed"].report
    assert report["calibrated"]["ece"][0] < 0.5 * report["generator"]["ece"][0]
    mean, low, high = report["perfect"][
        "ece"
    ]  # what chance alone shows: above nothing, below a generator that is too sure
    assert 0 < low < mean < high < report["generator"]["ece"][0]
    assert (
        report["calibrated"]["accuracy@70"][0]
        > report["constant"]["accuracy@70"][0]
        == pytest.approx(report["accuracy"], abs=1e-3)
    )
    assert report["groups"] == 300 == report["independent"]


def test_no_evidence_is_read_where_it_misleads(observed: Any) -> None:
    sort = observed[2].sorts["closed"]
    assert sort.depth == 0 and sort.report["errors_by_depth"]["0"] < sort.report["errors_by_depth"]["1"]


def by_domain(n: int = 900) -> list[Observed]:
    """CT is answered well without evidence and badly with it, chest films the other way round; of fundus photographs there are too few."""
    draw, found = random.Random(1), []
    for k in range(n):
        domain, sure = ("ct", "chest-xray", "fundus")[0 if k % 3 == 0 else 1 if k % 50 else 2], draw.random()
        alone, read = (0.95, 0.5) if domain == "ct" else (0.5, 0.6 + 0.4 * sure)
        good = (draw.random() < alone, draw.random() < read)
        signals = ({"sure": sure}, {"sure": sure})
        found.append(Observed(str(k), f"g{k}", "closed", good, (0, 20), (None, None), signals, domain))
    return found


def test_each_domain_has_its_own_depth_and_threshold_where_there_are_enough_questions() -> None:
    made = calibrated(by_domain(), {}, DEPTHS, (0.1, 0.25), alpha=0.3)
    assert set(made.sorts) == {"closed", "closed, chest-xray", "closed, ct"}
    ct, chest = made.sorts["closed, ct"], made.sorts["closed, chest-xray"]
    assert (ct.depth, chest.depth) == (0, 1)
    assert not made.retrieves(made.named("closed", "ct")) and made.retrieves(made.named("closed", "chest-xray"))
    assert made.named("closed", "fundus") == made.named("closed", "") == "closed" and made.named("text", "ct") == "text"
    for sort in (ct, chest):
        tried = sort.report["halves"]["0.25"]
        assert tried["error"] < 0.25 and tried["above"] < 0.3
    assert ct.thresholds["0.1"] is not None and ct.report["n"] == 300
    # at the same risk more of what is surely right is answered in the domain that is easy
    assert ct.report["halves"]["0.1"]["answered"] > 0.5 > chest.report["halves"].get("0.1", {}).get("answered", 0)


def test_nothing_is_known_of_a_domain_that_hardly_any_question_was_about() -> None:
    made = calibrated(by_domain(), {}, DEPTHS, (0.25,))
    assert [made.knows("closed", domain) for domain in ("ct", "chest-xray", "fundus", "")] == [True, True, False, False]
    assert not made.knows("report", "ct")
    texts = calibrated([replace(one, sort="text") for one in by_domain()], {}, DEPTHS, (0.25,))
    assert texts.knows("text", "fundus")  # the domain of words alone decides nothing
    bare = {name: value for name, value in made.sorts["closed"].report.items() if name != "domains"}
    early = replace(made, sorts={"closed": replace(made.sorts["closed"], report=bare)})
    assert early.knows("closed", "fundus")


def test_a_domain_learns_from_all_of_the_sort_where_that_foretells_better() -> None:
    draw, found = random.Random(2), []
    for k in range(1000):
        sure, domain = draw.random(), "ct" if k % 14 == 0 else "chest-xray"
        good = draw.random() < 0.1 + 0.8 * sure
        noise = {f"n{m}": draw.gauss(0, 1) for m in range(12)}
        found.append(Observed(str(k), f"g{k}", "closed", (good,), (0,), (None,), ({"sure": sure, **noise},), domain))
    made = calibrated(found, {}, (0,), (0.2,), alpha=0.3)
    assert made.sorts["closed, ct"].report["learned_from"] == 1000


def test_one_domain_alone_is_the_sort_itself() -> None:
    some = [one for one in by_domain() if one.domain == "ct"]
    assert set(calibrated(some, {}, DEPTHS, (0.2,)).sorts) == {"closed"}


def test_enough_questions_of_too_few_patients_are_too_few() -> None:
    some = [replace(one, group=f"g{n % 29}") for n, one in enumerate(by_domain())]
    with pytest.raises(SettingsError, match="900 questions about 29 patients are too few → 60 of one sort, about 30"):
        calibrated(some, {}, DEPTHS, (0.2,))
    few = [replace(one, group=f"g{n % 29}") if one.domain == "ct" else one for n, one in enumerate(by_domain())]
    assert set(calibrated(few, {}, DEPTHS, (0.2,)).sorts) == {"closed", "closed, chest-xray"}


def test_nothing_is_certified_that_is_not_safe(observed: Any) -> None:
    _, found, _ = observed
    strict = calibrated(found, "x", DEPTHS, (0.01,), alpha=0.02)
    assert strict.sorts["closed"].thresholds == {"0.01": None}


def test_where_no_depth_is_certified_no_more_is_read_than_the_confidence_was_learned_from() -> None:
    """With three pieces the signal tells right from wrong; that says nothing of answers from eight."""
    draw, found = random.Random(0), []
    for n in range(400):
        sure = draw.random()
        good = tuple(draw.random() < p for p in (0.6, 0.6, 0.5 + 0.45 * sure))
        found.append(Observed(str(n), f"g{n}", "text", good, (0, 1, 3), (None,) * 3, ({"best": sure},) * 3))
    sort = calibrated(found, {}, (0, 1, 3), (0.2,), alpha=0.2).sorts["text"]
    assert sort.report["certified_depths"] == [] and sort.depth == sort.report["read"] == 3
    hits = tuple(Hit(Study(f"iu:{n}", {"findings": "x"}), 1.0, n, "dense") for n in range(1, 9))
    context = Context(Query("What is asthma?"), hits)
    cut = Calibration({}, 0.1, {"text": sort}).cut(context, "text")
    early = Calibration({}, 0.1, {"text": replace(sort, depth=None)})
    assert early.cut(context, "text") is context
    assert cut.kept == hits[:3] and [drop.hit for drop in cut.dropped] == list(hits[3:])


def test_a_run_that_was_cut_off_goes_on_and_another_setting_is_refused(observed: Any, tmp_path: Path) -> None:
    folder, found, _ = observed
    lines = (folder / "observed.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "observed.jsonl"
    path.write_text("".join(lines[:590]) + lines[590][:30])
    rag = pipeline(folder)
    again = observe(rag, examples(folder), path, DEPTHS)
    assert [one.right for one in again] == [one.right for one in found]
    assert rag.generator.asked < 20 * 2 * 3  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="another index, model or setting"):
        observe(rag, examples(folder), path, (0, 1, 2))
    with pytest.raises(SettingsError, match=r"is a folder, not a file → name another .*--work"):
        observe(rag, examples(folder), tmp_path, DEPTHS)
    with pytest.raises(MedragError, match=r"cannot write .* → name another --out or --work"):
        observe(rag, examples(folder), path / "under" / "observed.jsonl", DEPTHS)
    other = tmp_path / "other.jsonl"
    for text in ('{"id": "1", "question": "q?"}\n', "[1, 2]\n", "a text of its own"):
        other.write_text(text)
        with pytest.raises(SettingsError, match=r"holds something else → name another .*--work"):
            observe(rag, examples(folder), other, DEPTHS)
        assert other.read_text() == text
    with pytest.raises(CorpusError, match="no question"):
        observe(rag, [], path, DEPTHS)
    with pytest.raises(SettingsError, match="too few"):
        calibrated(found[:20], "x", DEPTHS, RISKS)
    for wrong in (
        {"risks": (0.0,)},
        {"risks": (1.5,)},
        {"delta": 0.0},
        {"alpha": 1.0},
        {"depths": (-1,)},
        {"depths": ()},
    ):
        with pytest.raises(SettingsError, match="between 0 and 1"):
            calibrated(found, "x", **{"depths": DEPTHS, "risks": RISKS, **wrong})  # type: ignore[arg-type]


def test_observations_are_of_the_same_question_right_answer_and_picture(observed: Any, tmp_path: Path) -> None:
    folder, found, _ = observed
    some = [*examples(folder, 16)]
    path, rag = tmp_path / "observed.jsonl", pipeline(folder)
    observe(rag, some, path, DEPTHS)
    turned = {"yes": "no", "no": "yes"}
    some[0] = replace(some[0], question="Is there a pleural effusion on the left?")
    some[1] = replace(some[1], reference=turned[some[1].reference])
    some[2] = replace(some[2], images=some[4].images)
    again = observe(rag, some, path, DEPTHS)
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()][16:] == [one.id for one in some[:3]]
    assert again[1].right == tuple(not one for one in found[1].right)
    assert [one.right for one in again[3:]] == [one.right for one in found[3:16]]
    assert again == observe(rag, some, path, DEPTHS) and len(path.read_text().splitlines()) == 16 + 3


def test_a_question_is_observed_once_and_belongs_to_the_patient_it_is_said_to_be_of_now(
    observed: Any, tmp_path: Path
) -> None:
    folder, _, _ = observed
    some, path, rag = examples(folder, 12), tmp_path / "observed.jsonl", pipeline(folder)
    assert len(observe(rag, [*some, *some], path, DEPTHS)) == len(some) == len(path.read_text().splitlines())
    again = observe(rag, [replace(one, group="one patient") for one in some], path, DEPTHS)
    assert {one.group for one in again} == {"one patient"} and len(path.read_text().splitlines()) == len(some)


def test_a_line_that_was_cut_short_costs_one_observation_alone(observed: Any, tmp_path: Path) -> None:
    folder, _, _ = observed
    some, path, rag = examples(folder, 12), tmp_path / "observed.jsonl", pipeline(folder)
    observe(rag, some, path, DEPTHS)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:30])
    observe(rag, some, path, DEPTHS)
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [one.id for one in some]


def test_an_answer_says_how_sure_it_is_and_is_held_back_where_that_is_too_little(observed: Any, tmp_path: Path) -> None:
    folder, _, made = observed
    rag = pipeline(folder, calibration=str(folder / "calibration.json"))
    bright, grey = (rag.answer(Image.new("L", (32, 32), value), QUESTION) for value in (250, 140))
    assert bright.confidence and grey.confidence and bright.confidence > grey.confidence + 0.1
    assert (
        f"confidence {100 * bright.confidence:.0f} %]" in str(bright)
        and bright.to_dict()["confidence"] == bright.confidence
    )
    assert not bright.context.kept and "was made with (0 for closed questions)" in bright.context.dropped[-1].reason
    careful = pipeline(folder, calibration=str(folder / "calibration.json"), risk=0.3)
    least = made.threshold("closed", 0.3)
    for value in (250, 140):
        answer = careful.answer(Image.new("L", (32, 32), value), QUESTION)
        assert (answer.status == "abstained" and "for a risk of 0.3" in answer.reason) == (answer.confidence < least)
    unknown = careful.answer(None, "What is a pleural effusion?")
    assert unknown.confidence is None and unknown.status == "abstained" and "was not calibrated" in unknown.reason
    assert rag.answer(None, "What is a pleural effusion?").status == "answered"  # no risk was asked for
    with pytest.raises(SettingsError, match="risk needs a calibration"):
        pipeline(folder, risk=0.3).answer(Image.new("L", (32, 32), 250), QUESTION)
    with pytest.raises(SettingsError, match=r"known: 0\.1, 0\.3"):
        pipeline(folder, calibration=str(folder / "calibration.json"), risk=0.25).answer(
            Image.new("L", (32, 32), 250), QUESTION
        )


class Unsure(FakeGenerator):
    """Knows no probabilities: it says yes to what is bright."""

    def stream(self, prompt: Any, images: Any = ()) -> Any:
        yield "Yes [E1]." if images[0].convert("L").getpixel((0, 0)) > 127 else "No [E1]."


def test_an_answer_of_a_generator_without_probabilities_is_as_sure_as_was_learned(tmp_path: Path) -> None:
    reworded = "Does this chest X-ray show a large effusion?"
    some = [replace(one, question=reworded) if n % 3 else one for n, one in enumerate(examples(tmp_path, 300))]
    rag, path = pipeline(tmp_path), tmp_path / "calibration.json"
    rag.generator = Unsure()
    found = observe(rag, some, tmp_path / "observed.jsonl", (1,))
    assert {"votes", "yes", "chest yes", "best lexical", "route"} <= found[0].signals[0].keys()
    made = calibrated(found, rag.calibrated_for, (1,), RISKS)
    made.write(path)
    live, sort = pipeline(tmp_path, calibration=str(path)), made.sorts["closed"]
    live.generator = Unsure()
    learned = [sort.confidence.probability(one.signals[0]) for one in found[:20]]
    told = [live.answer(str(one.images[0]), one.question).confidence for one in some[:20]]
    assert told == pytest.approx(learned) and len({round(p, 6) for p in learned}) == 4  # two answers, two wordings


def vqa_folder(folder: Path, n: int) -> Path:
    """So many closed questions in VQA-RAD's layout, each about a picture of its own."""
    (folder / "open/vqa_rad/images").mkdir(parents=True)
    rows = []
    for k in range(n):
        grey = np.random.default_rng(k).integers(0, 256, (9, 9), np.uint8)
        Image.fromarray(grey).resize((64, 64)).save(folder / f"open/vqa_rad/images/{k}.png")
        about = {"image_organ": "CHEST", "question_type": "PRES", "question": QUESTION}
        rows.append({"qid": str(k), "image_name": f"{k}.png", "answer": "Yes" if k % 3 else "No", **about})
    (folder / "open/vqa_rad/test.json").write_text(json.dumps(rows))
    return folder


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> tuple[Any, MedRAG]:
    """``medrag calibrate`` of an index whose recipe asks for a risk, and which holds a copy of the first picture."""
    from medrag.cli.app import app

    copied = ImageRecord("iu:1#0", "iu:1", "", str(folder / "open/vqa_rad/images/0.png"))
    manifest = SimpleNamespace(content_hash="", content={}, recipe={})
    opened: list[MedRAG] = []

    def open_index(index: str, model: str, **settings: Any) -> MedRAG:
        rag = pipeline(folder, **{"risk": 0.2, **settings})
        rag.store = SimpleNamespace(items=SimpleNamespace(iterate=lambda kinds: [copied]), manifest=manifest)  # type: ignore[assignment]
        opened.append(rag)
        return rag

    monkeypatch.setattr("medrag.cli.ask.open_index", open_index)
    usual = ["calibrate", "iu", "--data", str(folder), "--split", "test", *options]
    result = CliRunner().invoke(app, usual)
    return result, opened[-1] if opened else pipeline(folder)


def test_an_index_that_asks_for_a_risk_is_calibrated_without_copies_of_the_pictures_asked_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, out = vqa_folder(tmp_path, 60), tmp_path / "made.json"
    result, _ = command(monkeypatch, folder, "--task", "vqa_rad", "--out", str(out), "--depth", "1")
    assert result.exit_code == 0 and set(read_calibration(out).sorts) == {"closed"}, result.output
    assert f"--set calibration={out}" in result.stderr and "now say" not in result.stderr
    asked = [json.loads(line)["asked"] for line in (tmp_path / "made.observed.jsonl").read_text().splitlines()]
    assert [one["exclude"] for one in asked] == [["iu:1"]] + 59 * [[]]


def test_a_calibration_in_its_usual_place_need_not_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    (tmp_path / "home/indexes").mkdir(parents=True)
    result, _ = command(monkeypatch, vqa_folder(tmp_path, 60), "--task", "vqa_rad", "--depth", "1")
    assert result.exit_code == 0 and "now say how sure they are" in result.stderr, result.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--task", "vqa_rad", "--risk", "2"], "between 0 and 1"),
        (["--task", "vqa_rad", "--depth", "-1"], "depths are 0 or more"),
        (["--task", "vqa_rad", "--delta", "0"], "between 0 and 1"),
        (["--task", "vqa_rad"], "59 questions about 59 patients are too few"),
        (["--task", "vqa_rad", "--task", "vqa_rad"], "59 questions about 59 patients are too few"),
        (["--task", "selection", "--out", "x.json"], "leave out --out"),
        (["--task", "selection", "--depth", "1"], "leave out --depth"),
        (["--task", "selection", "--risk", "0.1", "--delta", "0.2"], "leave out --risk, --delta"),
    ],
)
def test_what_cannot_be_calibrated_is_said_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], told: str
) -> None:
    result, rag = command(monkeypatch, vqa_folder(tmp_path, 59), *options)
    assert result.exit_code == 1 and told in " ".join(result.output.split()), result.output
    assert not hasattr(rag.generator, "asked")


def test_a_calibration_of_something_else_is_refused(observed: Any, tmp_path: Path) -> None:
    folder, _, made = observed
    path = folder / "calibration.json"
    assert read_calibration(path) == made
    with pytest.raises(IndexMismatch, match="made for another settings →"):
        pipeline(folder, calibration=str(path), rrf_c=10).answer(Image.new("L", (32, 32), 250), QUESTION)
    assert (
        open_calibration("auto", path, {"generator": "another"}) is None
        and open_calibration("off", path, made.made_for) is None
    )
    assert open_calibration("auto", path, made.made_for) == made
    early = tmp_path / "early.json"
    Calibration("one hash of all", made.delta, made.sorts).write(early)  # type: ignore[arg-type]
    assert open_calibration("auto", early, made.made_for) is None
    with pytest.raises(IndexMismatch, match="made for another generator and settings →"):
        open_calibration(str(early), None, made.made_for)
    raw = json.loads(path.read_text())
    raw["sorts"]["closed"]["thresholds"]["0.1"] = 0.0
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(raw))
    with pytest.raises(IndexMismatch, match="was changed"):
        read_calibration(forged)
    forged.write_text("[]")
    with pytest.raises(IndexMismatch, match="is no calibration"):
        read_calibration(forged)
    with pytest.raises(SettingsError, match="there is no calibration"):
        read_calibration(tmp_path / "nowhere.json")


def test_a_conformal_threshold_lets_through_no_more_than_it_was_found_with() -> None:
    sure = np.array([0.71234] * 60 + [0.71230] * 40)
    good = np.array([1.0] * 60 + [0.0] * 40)
    assert conformal(sure, good, (0.05,)) == {"0.05": 0.71234}  # rounded, it would let the others through
    assert conformal(sure, 0 * good, (0.05,)) == {"0.05": None}


def test_conformal_thresholds_count_what_is_answered_wrongly_among_all() -> None:
    sure, good = (
        np.linspace(0.5, 1, 200),
        (np.arange(200) % 4 > 0).astype(float),
    )  # a quarter is wrong, at every confidence
    found = conformal(sure, good, (0.1, 0.25, 0.5, 0.001))
    assert found["0.5"] == 0.5 and found["0.001"] is None
    least = found["0.1"]
    assert least and ((1 - good) * (sure >= least)).mean() <= 0.1 < ((1 - good) * (sure >= least - 0.02)).mean()


def test_logistic_by_hand() -> None:
    model = Logistic({"a": 2.0, "b": -1.0}, {"a": 0.5, "b": 3.0}, 0.25)
    assert model.probability({"a": 1.0, "b": 3.0}) == pytest.approx(1 / (1 + np.exp(-1.25)))
    assert model.probability({}) == model.probability({"a": 0.5}) == pytest.approx(1 / (1 + np.exp(-0.25)))
    assert model.probability({"a": 1e9}) <= 1.0


def test_folds_never_see_their_own_group() -> None:
    """With the group as the only signal, and right or wrong by the group, nothing can be learned of the one left out."""
    groups = [str(n // 4) for n in range(80)]
    good = np.array([float(int(g) % 2) for g in groups])
    table = np.eye(20)[[int(g) for g in groups]]
    chances = out_of_fold(table, good, groups)
    assert abs(chances[good == 1].mean() - chances[good == 0].mean()) < 0.1


def test_reports_vote_by_what_they_say() -> None:
    texts = ("There is a pleural effusion.", "No pleural effusion.", "No pleural effusion.", "The heart is large.")
    hits = [Hit(Study(f"iu:{n}", {"findings": text}), 1.0, n, "reports") for n, text in enumerate(texts, 1)]
    assert votes(QUESTION, hits) == pytest.approx(-1 / 4) and votes(
        "Is it free of pleural effusion?", hits
    ) == pytest.approx(1 / 4)
    assert votes(QUESTION, []) == 0.0


def test_a_report_votes_once_whatever_its_parts() -> None:
    said = [
        ("1", "findings", "No effusion."),
        ("1", "impression", "Pleural effusion."),
        ("2", "findings", "No pleural effusion."),
    ]
    hits = [
        Hit(Passage(f"iu:{doc}~{n}", f"iu:{doc}", text, section=section), 1.0, n, "reports")
        for n, (doc, section, text) in enumerate(said, 1)
    ]
    assert votes(QUESTION, hits) == 0.0 and votes(QUESTION, hits[1:]) == 0.0  # the strongest view counts
    assert votes(QUESTION, [hits[1], hits[1]]) == votes(QUESTION, hits[1:2]) == pytest.approx(1 / 2)


def test_leaving_a_piece_of_evidence_out_shows_what_it_did(tmp_path: Path) -> None:
    rag = pipeline(tmp_path)
    grey = rag.answer(Image.new("L", (32, 32), 100), QUESTION)  # looks like none, and the report says that there is one
    assert list(rag.influence(grey)) == ["E1"]
    assert rag.influence(grey)["E1"] == pytest.approx(np.log(0.8 / 0.2) - np.log(0.1 / 0.9))
    assert (
        rag.influence(rag.answer(Image.new("L", (32, 32), 250), QUESTION))["E1"] == 0.0
    )  # it is sure whatever is said
    assert rag.influence(rag.answer(None, QUESTION)) == {}
    rag.generator = FakeGenerator(["Yes [E1]."])  # knows no probabilities
    assert rag.influence(grey) == {}


def test_sorts_and_turning() -> None:
    picture = (QueryImage(Image.new("L", (8, 8))),)
    sorts = [sort_of(Context(Query(text, picture))) for text in (QUESTION, "Write the findings.", "Where is it?")]
    assert sorts == ["closed", "report", "text"] and sort_of(Context(Query(QUESTION))) == "text"
    turned = oriented({"given": 2.0, "alone": 1.0, "votes": -0.5, "alike": 3.0, "usual": -1.0, "chest": 1.0}, yes=False)
    assert turned["usual"] == 1.0
    assert (turned["given"], turned["alone"], turned["votes"], turned["alike"]) == (-2.0, -1.0, 0.5, -3.0)
    assert turned["weaker"] == -2.0 and turned["yes"] == turned["chest yes"] == 0.0 and turned["chest"] == 1.0
    assert oriented({"chest": 1.0}, yes=True)["chest yes"] == 1.0


def test_a_sort_that_was_not_calibrated_is_left_alone() -> None:
    made = Calibration("x", 0.1, {"closed": Sort(Logistic({}, {}, 0.0), {}, 0)})
    context = Context(Query("What is asthma?"), (Hit(Study("iu:1", {"findings": "x"}), 1.0, 1, "dense"),))
    assert made.cut(context, "text") is context and made.cut(context, "closed").kept == ()


@pytest.mark.parametrize("path", sorted((share() / "indexes").glob("*/calibration.json")), ids=lambda p: p.parent.name)
def test_a_calibration_that_ships_is_for_what_ships(path: Path) -> None:
    """Of its recipe, its router, its generator and its settings as they are now; the items are those of the data it was made with."""
    recipe = load_recipe(path.parent.name)
    store: Any = SimpleNamespace(manifest=SimpleNamespace(content={}))
    nothing: Any = None
    opened = MedRAG({}, nothing, nothing, open_generator(recipe.pipeline.model), recipe.pipeline, store, recipe)
    made_for = dict(read_calibration(path).made_for)
    assert len(made_for.pop("items")) == 16
    asked = opened.calibrated_for.keys() - {"items"} - (LATER - made_for.keys())
    assert made_for == {name: opened.calibrated_for[name] for name in asked}
