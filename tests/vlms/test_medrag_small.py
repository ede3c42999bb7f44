"""The small vision-language model: put together from its parts, run through the real loading code, its sentences attributed."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_small import base, tiny
from transformers import AutoModelForImageTextToText

from medrag.prompts import REFUSAL, Prompt
from medrag.types import Context, Frequency, Hit, Passage, Query, Study
from medrag.vlms import _small_layout as layout
from medrag.vlms._ask import parse
from medrag.vlms._taught import TAUGHT
from medrag.vlms.medrag_small import ADAPTER, RECIPE, assembled, load
from medrag.vlms.small import YES_NO, MedragSmall


def film(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (90, 70), dtype=np.uint8))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ships (recipe, adapter) beside a tiny base and an encoder's checkpoint."""
    root = tmp_path_factory.mktemp("parts")
    model, _ = tiny(root / "base")
    encoder, folder = root / "encoder", root / "tiny-vlm"
    encoder.mkdir()
    folder.mkdir()
    trunk = {f"visual.trunk.{n}": t.clone() for n, t in model.model.vision_tower.trunk.state_dict().items()}
    save_file(trunk, encoder / "open_clip_model.safetensors")
    torch.manual_seed(2)
    name = "model.language_model.layers.0.mlp.up_proj"
    save_file(
        {f"{name}.lora_A": torch.randn(2, 32), f"{name}.lora_B": torch.randn(48, 2),
         **{n: p.detach().clone() for n, p in model.named_parameters() if "projector" in n}},
        folder / ADAPTER,
    )  # fmt: skip
    (folder / RECIPE).write_text(
        json.dumps({"base": str(base(root / "base")), "encoder": str(encoder), "rank": 2, "alpha": 4})
    )
    return folder


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path))
    return tmp_path


def context(*reports: str, question: str = "") -> Context:
    items = [Study(f"c:{n}", {"findings": text}, domain="chest-xray") for n, text in enumerate(reports)]
    return Context(Query(question), tuple(Hit(item, 1.0, n, "similar") for n, item in enumerate(items, 1)))


def prompt(question: str, *reports: str) -> Prompt:
    return Prompt(question, context(*reports, question=question), max_tokens=12)


def test_the_adapter_is_merged_and_the_whole_is_kept(parts: Path, at_home: Path) -> None:
    whole = assembled(parts)
    assert whole.is_relative_to(at_home)
    merged = load_file(whole / "model.safetensors")
    adapter = load_file(parts / ADAPTER)
    plain = load_file(parts.parent / "base" / "model.safetensors")
    wanted = plain["model.layers.0.mlp.up_proj.weight"] + 2 * (
        adapter["model.language_model.layers.0.mlp.up_proj.lora_B"]
        @ adapter["model.language_model.layers.0.mlp.up_proj.lora_A"]
    )
    found = next(t for n, t in merged.items() if n.endswith("layers.0.mlp.up_proj.weight"))
    assert torch.allclose(found.float(), wanted, rtol=2e-3, atol=2e-3)
    stamp = (whole / "model.safetensors").stat().st_mtime_ns
    assert assembled(parts) == whole and (whole / "model.safetensors").stat().st_mtime_ns == stamp


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "auto"])
def test_transformers_loads_and_runs_it_in_any_precision(parts: Path, at_home: Path, dtype: str) -> None:
    model, processor = load(str(parts), dtype=dtype)
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is there an effusion?"}]}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    inputs = processor(text=text, images=[film(1).convert("RGB")], return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert inputs["pixel_values"].dtype == torch.float32 and ids.shape[1] > inputs["input_ids"].shape[1]
    auto = AutoModelForImageTextToText.from_pretrained(assembled(parts))  # the folder is an ordinary checkpoint
    assert auto.generate(**inputs, max_new_tokens=4, do_sample=False).shape[0] == 1


def test_several_may_open_it_for_the_first_time_at_once(parts: Path, at_home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = {one.result() for one in [pool.submit(assembled, parts) for _ in range(4)]}
    assert len(found) == 1 and load_file(found.pop() / "model.safetensors")


def test_it_runs_with_pictures_through_the_loading_code_of_any_model(parts: Path, at_home: Path) -> None:
    model = MedragSmall(str(parts), reader="", max_new_tokens=8, device="cpu")
    asked = prompt("Is there an effusion?", "No effusion.", "Small effusion.")
    text = "".join(model.stream(asked, [film(1)]))
    assert text.strip()
    one, other = model.probabilities_yes([asked, asked], [[film(1)], [film(2)]])
    assert 0 <= one <= 1 and one != pytest.approx(other, abs=1e-7)
    two = model.inner.batch([asked, prompt("Why?")], [[film(1)], [film(2)]])
    alone = model.inner.batch([prompt("Why?")], [[film(2)]])
    assert len(two) == 2 and two[1] == alone[0]  # padding and neighbours change nothing


def test_a_text_and_how_it_begins_come_from_one_pass(parts: Path, at_home: Path) -> None:
    inner = MedragSmall(str(parts), reader="", max_new_tokens=8, device="cpu", dtype="float32").inner
    asked, seen = [prompt("Is there an effusion?", "No effusion.", "Small effusion."), prompt("Is it?")], [[film(1)], [film(2)]]  # fmt: skip
    texts, begun = inner.with_first_words(asked, seen, *YES_NO)
    assert texts == inner.batch(asked, seen)
    np.testing.assert_allclose(begun, inner.first_words(asked, seen, *YES_NO), rtol=1e-3)
    assert inner.with_first_words([], [], *YES_NO) == ([], [])


def test_several_questions_get_the_answers_that_each_gets_alone(parts: Path, at_home: Path) -> None:
    model = MedragSmall(str(parts), reader="", max_new_tokens=8, device="cpu")
    asked = [
        prompt("Is there an effusion?", "Small effusion."),
        prompt("What is an effusion?", "An effusion is fluid."),
    ]
    together = model.batch(asked, [[film(1)], [film(2)]])
    assert together == ["".join(model.stream(one, [film(n)])) for n, one in enumerate(asked, 1)]
    alone = [model.probabilities_yes([one], [[film(n)]])[0] for n, one in enumerate(asked, 1)]
    assert model.probabilities_yes(asked, [[film(1)], [film(2)]]) == pytest.approx(alone, abs=1e-4)


class Says(MedragSmall):
    """The model with its words given."""

    def __init__(self, *pieces: str) -> None:
        super().__init__("x", reader="")
        self.pieces, self.seen = pieces, []  # type: ignore[var-annotated]

    @property
    def inner(self) -> Any:  # type: ignore[override]
        return self

    likely = 0.9  # how sure it is of its words

    def with_likelihood(self, prompts: Any, images: Any) -> tuple[list[str], list[float]]:
        self.seen += prompts
        return ["".join(self.pieces)] * len(prompts), [self.likely] * len(prompts)

    def stream(self, prompt: Prompt, images: Any = ()) -> Iterator[str]:
        if prompt.system == "" or prompt.system.startswith("Image reader"):
            self.seen.append(prompt)
            return iter(self.pieces)
        return super().stream(prompt, images)

    def with_first_words(self, prompts: Any, images: Any, one: Any, other: Any) -> Any:
        self.seen += prompts
        return ["".join(self.pieces)] * len(prompts), self.first_words(prompts, images, one, other)

    def first_words(self, prompts: Any, images: Any, one: Any, other: Any) -> list[tuple[float, float]]:
        return [(0.0, 0.0)] * len(prompts)


def said(pieces: list[str], question: str, *reports: str) -> str:
    model = Says(*pieces)
    asked = Prompt(question, context(*reports, question=question))
    return "".join(MedragSmall.stream(model, asked, [film(1)]))


def test_an_answer_names_the_evidence_that_agrees_and_that_which_does_not() -> None:
    text = said(["No, there is no pleural", " effusion."], "Is there a pleural effusion?", "No pleural effusion.", "Large pleural effusion.", "The heart is big.")  # fmt: skip
    assert text == "No, there is no pleural effusion [E1]. Reports of look-alike studies [E2] say otherwise."


def test_a_turned_question_is_read_the_other_way() -> None:
    text = said(["Yes."], "Are the lungs free of effusion?", "No effusion.", "Small effusion.")
    assert text.startswith("Yes, there is no effusion [E1].") and "[E2] say otherwise" in text


def test_each_sentence_of_a_report_gets_the_keys_of_its_like() -> None:
    text = said(["Findings: The heart is enlarged. ", "No pneumothorax is seen."], "Write the findings.", "The heart is enlarged.", "Pneumothorax is seen.")  # fmt: skip
    assert text == "Findings: The heart is enlarged [E1]. No pneumothorax is seen."


def test_without_a_picture_the_evidence_alone_answers() -> None:
    model = MedragSmall("x", reader="")
    text = "".join(model.stream(prompt("What is an effusion?", "An effusion is fluid in the pleural space.")))
    assert "[E1]" in text


class Reads:
    """A reader that sees what it is told to see."""

    def __init__(self, **chances: float) -> None:
        self.chances, self.times = {"Effusion": 0.05, "normal": 0.5} | chances, 0

    def read(self, images: Any) -> dict[str, float]:
        self.times += 1
        return self.chances


class Weighs(Says):
    """The model with its words, its odds and its reader given; ``begun``: how likely it begins with yes or no."""

    begun = 0.9

    def __init__(self, reader: Reads, chance: float, *pieces: str) -> None:
        super().__init__(*pieces)
        self.__dict__ |= {"_reader": reader, "_usual": {"Effusion": 0.05, "Cardiomegaly": 0.05}, "_moves": {}}
        self.chance = chance

    def first_words(self, prompts: Any, images: Any, one: Any, other: Any) -> list[tuple[float, float]]:
        return [(self.begun * self.chance, self.begun * (1 - self.chance))] * len(prompts)


def closed(question: str) -> Prompt:
    return prompt(question)


@pytest.mark.parametrize(
    ("question", "seen", "chance", "moved"),
    [
        ("Is there a pleural effusion?", 0.05, 0.3, 0.3),  # as usual: the model's own odds
        ("Is there a pleural effusion?", 0.5, 0.3, 0.3 * 19 / (0.3 * 19 + 0.7)),  # odds 19 times the usual ones
        # asked as whether there is one, and turned round
        ("Is the film free of a pleural effusion?", 0.5, 0.3, 1 - 0.3 * 19 / (0.3 * 19 + 0.7)),
        ("Can an effusion be ruled out?", 0.05, 0.3, 0.7),
        ("Is the film rotated?", 0.5, 0.3, 0.3),  # the reader has no say
        ("Is there a pleural effusion or cardiomegaly?", 0.05, 0.3, 0.3),
        (
            "Is there a pleural effusion or cardiomegaly?",
            0.5,
            0.3,
            0.3 * 3 / 0.0975 * 0.9025 / (0.3 * 3 / 0.0975 * 0.9025 + 0.7),
        ),
        ("Is there a pleural effusion or a mass on the left?", 0.5, 0.3, 0.3),
        ("Is this a pleural effusion or cardiomegaly?", 0.5, 0.3, 0.3),
        ("Is the heart size abnormal?", 0.5, 0.3, 0.3 * 19 / (0.3 * 19 + 0.7)),
        ("Is the heart size normal?", 0.5, 0.3, (0.3 / 19) / (0.3 / 19 + 0.7)),
    ],
)
def test_the_reader_moves_the_odds_as_bayes_says(question: str, seen: float, chance: float, moved: float) -> None:
    model = Weighs(Reads(Effusion=seen, Cardiomegaly=seen), chance, "Yes.")
    assert model.probabilities_yes([closed(question)], [[film(1)]])[0] == pytest.approx(moved, rel=1e-3)


@pytest.mark.parametrize(
    ("question", "reports", "moved"),
    [
        ("Is there a pleural effusion?", ("No effusion.", "Clear."), -0.4),
        ("Is there a pleural effusion?", ("Clear.",) * 5, -0.6),  # no more than it is shown
        ("Is there a pleural effusion?", (), 0.0),
        ("Is the film free of a pleural effusion?", ("Clear.",), 0.2),
        ("Is the film rotated?", ("Clear.",), 0.0),
    ],
)
def test_what_evidence_adds_whatever_it_says_is_taken_off(
    question: str, reports: tuple[str, ...], moved: float
) -> None:
    model = Weighs(Reads(Effusion=0.05), 0.5, "Yes.")
    model.__dict__["_moves"] = {"report": 0.2}
    found = model.probabilities_yes([prompt(question, *reports)], [[film(1)]])[0]
    assert found == pytest.approx(1 / (1 + np.exp(-moved)), rel=1e-3)


@pytest.mark.parametrize("question", ["Is there a pleural effusion?", "Is there a hilar mass?"])
def test_what_look_alike_studies_report_moves_the_odds(question: str) -> None:
    model, asked = Weighs(Reads(Effusion=0.05), 0.4, "No."), prompt(question)
    counted = dataclasses.replace(asked.context, frequency=Frequency("it", (60, 200), (40, 500), 1.5))
    moved = dataclasses.replace(asked, context=counted)
    assert model.probabilities_yes([moved], [[film(1)]])[0] == pytest.approx(1 / (1 + np.exp(-1.5) * 0.6 / 0.4))
    assert model._decided([asked, moved], [[film(1)], [film(1)]]) == ["", "Yes"]


def test_a_question_that_denies_a_finding_is_answered_by_the_finding() -> None:
    free, model = (
        prompt("Is the film free of a pleural effusion?"),
        Weighs(Reads(Effusion=0.05), 0.1, "No, there is none."),
    )
    assert (
        "".join(model.stream(free, [film(1)]))
        == "Yes, there is no pleural effusion."
        == model.batch([free], [[film(1)]])[0]
    )
    there = Weighs(Reads(Effusion=0.9), 0.9, "Yes, on the left.")
    assert "".join(there.stream(free, [film(1)])) == "No, there is a pleural effusion."
    counted = dataclasses.replace(free.context, frequency=Frequency("it", (60, 200), (40, 500), -1.5))
    (less,) = model.probabilities_yes([dataclasses.replace(free, context=counted)], [[film(1)]])
    assert less < model.probabilities_yes([free], [[film(1)]])[0]  # look-alike studies have it


def on_chest(question: str) -> Prompt:
    asked = prompt(question)
    query = dataclasses.replace(asked.context.query, domain="chest-xray")
    return dataclasses.replace(asked, context=dataclasses.replace(asked.context, query=query))


def test_the_reader_tells_the_size_of_the_heart_and_whether_a_film_is_normal() -> None:
    ill, well = (Weighs(Reads(Effusion=p, Cardiomegaly=p), 0.5, "No.") for p in (0.6, 0.1))
    said = [
        [one.batch([on_chest(text)], [[film(1)]])[0] for text in ("Heart size?", "Is this film normal or abnormal?")]
        for one in (ill, well)
    ]
    assert said == [
        ["The heart is enlarged.", "Abnormal: pleural effusion and cardiomegaly."],
        ["The heart is not enlarged.", "Normal: no abnormality is seen."],
    ]


def test_what_is_taken_for_granted_and_not_seen_is_said_to_be_missing() -> None:
    model = Weighs(Reads(Effusion=0.01, Cardiomegaly=0.3), 0.5, "On the right.")
    where = ("Where is the effusion?", "Is the effusion on the left or the right?", "Where is the cardiomegaly?")
    said = [model.batch([on_chest(text)], [[film(1)]])[0] for text in where]
    assert said == ["No pleural effusion is seen.", "No pleural effusion is seen.", "On the right."]


def test_an_open_answer_that_the_model_is_not_sure_of_is_not_given() -> None:
    model, asked = Weighs(Reads(Effusion=0.3), 0.5, "Icterus."), on_chest("What is the sign called?")
    assert model.batch([asked], [[film(1)]]) == ["Icterus."] == ["".join(model.stream(asked, [film(1)]))]
    model.likely = 0.4
    assert model.batch([asked], [[film(1)]]) == [REFUSAL] == ["".join(model.stream(asked, [film(1)]))]


@pytest.mark.parametrize("word", ["Yes.", "no"])
def test_yes_is_no_answer_to_which(word: str) -> None:
    assert Weighs(Reads(Effusion=0.3), 0.5, word).batch([on_chest("Which findings are old?")], [[film(1)]]) == [REFUSAL]


@pytest.mark.parametrize(
    "question",
    [
        "Is this COVID-19?",
        "Gibt es einen Erguss?",
        "How old is the patient?",
        "Does this need a CT?",
        "Has he got sarcoidosis?",
    ],
)
def test_what_the_model_was_not_taught_is_left_to_the_evidence(question: str) -> None:
    (text,) = Weighs(Reads(Effusion=0.9), 0.9, "Yes.").batch([on_chest(question)], [[film(1)]])
    assert text.endswith(REFUSAL) and text != REFUSAL  # it says why


def test_a_part_of_a_film_is_described_by_its_report() -> None:
    model = Weighs(
        Reads(Effusion=0.1, Cardiomegaly=0.6),
        0.5,
        "Findings: The lungs are clear. The aorta is tortuous. Impression: No acute disease.",
    )
    said = [
        model.batch([on_chest(text)], [[film(1)]])[0]
        for text in ("Describe the heart.", "What about the mediastinum?", "Describe the bones.")
    ]
    assert said == ["There is cardiomegaly.", "The aorta is tortuous.", REFUSAL]


@pytest.mark.data
def test_the_words_that_were_taught_are_those_of_the_training_questions() -> None:
    pack = Path(os.environ["MEDRAG_DATA"])
    asked = [
        json.loads(line)["question"] for line in (pack / "noncommercial/iu_xray/vqa_train.jsonl").open(encoding="utf-8")
    ]
    heads = Counter(parse(text).head for text in asked)
    assert {head for head, many in heads.items() if many > 1 and head} <= TAUGHT


def test_a_book_is_not_asked_what_a_picture_shows() -> None:
    model = Weighs(Reads(Effusion=0.05), 0.5, "No.")
    book = Hit(Passage("b:1~0", "b:1", "An effusion is fluid in the pleural space."), 1.0, 1, "dense")
    for question, told in (("Is there an effusion?", 1), ("Where is the effusion?", 2)):
        asked = prompt(question, "Effusion.")
        asked = dataclasses.replace(asked, context=dataclasses.replace(asked.context, kept=(book, *asked.context.kept)))
        assert len(model._told(asked, [film(1)]).context.kept) == told


def test_reports_that_stand_behind_books_are_read() -> None:
    model = Weighs(Reads(Effusion=0.05), 0.5, "No.")
    books = tuple(Hit(Passage(f"b:{n}~0", f"b:{n}", "An effusion is fluid."), 1.0, 1, "dense") for n in range(3))
    asked = prompt("Is there an effusion?", "Effusion.", "Clear.", "Clear.", "Large heart.")
    behind = dataclasses.replace(asked.context, kept=(*books, *asked.context.kept))
    told = model._told(dataclasses.replace(asked, context=behind), [film(1)]).context.kept
    assert told == asked.context.kept[:3]


def test_a_film_of_another_part_of_the_body_is_not_read_as_a_chest() -> None:
    model = Weighs(Reads(Effusion=0.9), 0.5, "No.")
    asked = closed("Is there a pleural effusion?")
    for domain, moved in (("", True), ("chest-xray", True), ("other", False), ("ct", False)):
        context = dataclasses.replace(asked.context, query=Query(asked.question, domain=domain))
        shift = model.reader_shift(dataclasses.replace(asked, context=context), [film(1)])
        assert bool(shift) == bool(model.findings([film(1)], domain)) == moved


@pytest.mark.parametrize(
    ("question", "domain", "text"),
    [
        ("What abnormality is seen?", "chest-xray", "Pleural effusion."),
        ("What is wrong?", "chest-xray", "Pleural effusion."),
        ("Differential diagnosis?", "chest-xray", "Pleural effusion."),
        ("What abnormality is seen?", "ct", "Words."),
        ("Where is the abnormality?", "chest-xray", "Words."),
    ],
)
def test_what_is_there_to_be_seen_is_told_by_the_reader(question: str, domain: str, text: str) -> None:
    model, asked = Weighs(Reads(Effusion=0.9), 0.5, "Words."), prompt(question)
    asked = dataclasses.replace(asked, context=dataclasses.replace(asked.context, query=Query(question, domain=domain)))
    assert "".join(MedragSmall.stream(model, asked, [film(1)])) == text
    clear = Weighs(Reads(), 0.5, "Words.")
    assert "".join(MedragSmall.stream(clear, asked, [film(1)])) == (
        "Words." if text == "Words." else "No abnormality is seen."
    )


@pytest.mark.parametrize("domain", ["fundus", "histology", "ct", "other"])
def test_no_heart_and_lungs_are_reported_of_what_is_no_chest_film(domain: str) -> None:
    asked = prompt("Describe this image.", "Drusen at the macula.")
    asked = dataclasses.replace(asked, context=dataclasses.replace(asked.context, query=Query("", domain=domain)))
    model = Weighs(Reads(), 0.5, "Findings: The heart is normal.")
    text = "".join(MedragSmall.stream(model, asked, [film(1)]))
    assert "heart" not in text and text == "".join(MedragSmall.batch(model, [asked], [[film(1)]]))
    assert "Drusen" in text and text.startswith("Drafted from the report of one look-alike study")


def test_a_report_that_nobody_asked_for_is_put_right_too() -> None:
    model = Weighs(
        Reads(Effusion=0.9),
        0.5,
        "Findings: There is no pleural effusion. The mediastinum is unremarkable. Impression: No acute disease.",
    )
    asked = prompt("Could you go over this with the patient?")
    text = "".join(MedragSmall.stream(model, asked, [film(1)]))
    assert (
        text == "Findings: There is a pleural effusion. The mediastinum is unremarkable. Impression: Pleural effusion."
    )
    ct = dataclasses.replace(asked, context=dataclasses.replace(asked.context, query=Query("", domain="ct")))
    assert "".join(MedragSmall.stream(model, ct, [film(1)])) == REFUSAL


def test_a_picture_that_it_was_not_taught_to_read_is_not_answered_from_it() -> None:
    model, asked = Weighs(Reads(), 0.9, "Yes."), prompt("Is there a haemorrhage?")
    for domain, looks in (("fundus", False), ("blood-smear", False), ("ct", True), ("", True)):
        one = dataclasses.replace(asked, context=dataclasses.replace(asked.context, query=Query("", domain=domain)))
        (chance,) = model.probabilities_yes([one], [[film(1)]])
        assert (chance is not None) == looks
        assert "".join(MedragSmall.stream(model, one, [film(1)])) == ("Yes." if looks else REFUSAL)


@pytest.mark.parametrize(
    ("question", "domain", "yes"),
    [
        ("Is this a CT scan?", "ct", True),
        ("Is this a CT scan?", "chest-xray", False),
        ("Was this image taken via MRI?", "mr", True),
        ("Is this a chest X-ray?", "chest-xray", True),
        ("Is this an X-ray of the chest?", "chest-xray", True),
        ("Is this an X-ray of the hand?", "chest-xray", False),
        ("Is this a head CT?", "ct", None),  # of which part it is, the router does not say
        ("Is this an MRI of the chest?", "chest-xray", False),
        ("Is this a PA film?", "chest-xray", None),
        ("Is this a CT or an MRI?", "ct", None),
        ("Is this a CT scan?", "other", None),
    ],
)
def test_the_router_says_what_kind_of_picture_it_is(question: str, domain: str, yes: bool | None) -> None:
    model, asked = Weighs(Reads(), 0.5, "No."), prompt(question)
    asked = dataclasses.replace(asked, context=dataclasses.replace(asked.context, query=Query(question, domain=domain)))
    (chance,) = model.probabilities_yes([asked], [[film(1)]])
    assert (chance > 0.95) == (yes is True) and (chance < 0.05) == (yes is False)
    open_one = dataclasses.replace(asked, question="Which imaging modality is this?")
    said = "".join(MedragSmall.stream(model, open_one, [film(1)]))
    assert said == {"ct": "CT.", "chest-xray": "X-ray.", "mr": "MRI.", "other": REFUSAL}[domain]


def test_a_report_is_asked_for_in_words_that_the_model_knows_and_holds_the_sections_that_were_asked_for() -> None:
    draft = "Findings: The heart is normal. Impression: No acute disease."
    for question, text in {
        "What are the findings?": "Findings: The heart is normal.",
        "What is your impression?": "Impression: No acute disease.",
        "Describe this chest X-ray.": draft,
        layout.REPORT_ASKS[1]: draft,
    }.items():
        model = Weighs(Reads(), 0.5, draft)
        assert "".join(MedragSmall.stream(model, prompt(question), [film(1)])) == text
        told = model._told(prompt(question), [film(1)])
        assert told.question == (question if question in layout.REPORT_ASKS else layout.REPORT_ASKS[0])
    ct = dataclasses.replace(context(), query=Query("", domain="ct"))
    assert model._told(Prompt("What are the findings?", ct), [film(1)]).question == "What are the findings?"


def test_reports_are_read_and_counted() -> None:
    """What a report says of its patient and how many say so are two things, and both move the odds."""
    model, asked = (
        Weighs(Reads(Effusion=0.05), 0.5, "No."),
        prompt("Is there a pleural effusion?", "Effusion.", "Clear."),
    )
    model.__dict__["_moves"] = {"report": 0.2}
    own = dataclasses.replace(asked.context.kept[1], retriever="history")
    counted = Frequency("it", (60, 200), (40, 500), 1.5)
    context = dataclasses.replace(asked.context, kept=(asked.context.kept[0], own), frequency=counted)
    told = dataclasses.replace(asked, context=context)
    assert model._told(told, [film(1)]).context.kept == context.kept
    assert model.probabilities_yes([told], [[film(1)]])[0] == pytest.approx(1 / (1 + np.exp(-1.5 + 0.4)))
    said = "".join(model._sentences(told, ["Yes."], "Yes"))
    assert said.startswith("Yes [E1]")


def test_the_shipped_model_says_what_evidence_adds() -> None:
    model = MedragSmall()
    assert set(model._moves) == {"report", "passage"} and all(0 < move < 1 for move in model._moves.values())
    assert not MedragSmall("medrag-small-pt")._moves  # tuned to lean on it less, and not measured


def test_the_text_says_what_was_decided() -> None:
    asked = closed("Is there a pleural effusion?")
    sure = Weighs(Reads(Effusion=0.9), 0.3, "No, ", "there is no effusion.")
    assert "".join(sure._sentences(asked, sure.pieces, sure._decided([asked], [[film(1)]])[0])) == "Yes."
    agrees = Weighs(Reads(Effusion=0.9), 0.9, "Yes", ", there is fluid.")
    decided = agrees._decided([asked], [[film(1)]])[0]
    assert "".join(agrees._sentences(asked, agrees.pieces, decided)) == "Yes, there is fluid."


def test_of_two_findings_that_may_both_be_there_none_is_chosen() -> None:
    asked = closed("Is there a pleural effusion or cardiomegaly?")
    for seen, word in ((0.9, "Yes."), (0.01, "No.")):
        model = Weighs(Reads(Effusion=seen, Cardiomegaly=0.01), 0.5, "Cardiomegaly.")
        model.begun = 0.1
        assert "".join(MedragSmall.stream(model, asked, [film(1)])) == word


def test_a_model_that_would_rather_refuse_is_not_made_to_decide() -> None:
    asked, refuses = closed("Is there a pleural effusion?"), Weighs(Reads(Effusion=0.9), 0.9, REFUSAL)
    refuses.begun = 0.2
    assert "".join(refuses._sentences(asked, refuses.pieces, refuses._decided([asked], [[film(1)]])[0])) == REFUSAL
    assert refuses.probabilities_yes([asked], [[film(1)]])[0] > 0.9


def test_the_same_pixels_are_read_once_and_others_anew() -> None:
    reader = Reads(Effusion=0.9)
    model, asked = Weighs(reader, 0.5, "Yes."), closed("Is there a pleural effusion?")
    model.probabilities_yes([asked] * 4, [[film(1)], [film(2)], [film(1)], [film(2)]])
    assert reader.times == 2
    model.probabilities_yes([asked], [[film(3)]])
    assert reader.times == 3
    for n in range(4, 80):
        model._read([film(n)])
    assert len(model._seen) <= 64


def test_how_an_answer_begins_is_asked_once_of_each_question_evidence_and_picture() -> None:
    class Counts(Weighs):
        asked = 0

        def first_words(self, prompts: Any, images: Any, one: Any, other: Any) -> list[tuple[float, float]]:
            self.asked += len(prompts)
            return super().first_words(prompts, images, one, other)

    model, effusion = Counts(Reads(Effusion=0.9), 0.5, "Yes."), closed("Is there a pleural effusion?")
    model._decided([effusion], [[film(1)]])
    model.probabilities_yes([effusion, effusion], [[film(1)], [film(1)]])
    assert model.asked == 1
    said = prompt(effusion.question, "There is a large pleural effusion.")
    model.probabilities_yes([effusion, said, closed("Is there a mass?")], [[film(2)], [film(1)], [film(1)]])
    assert model.asked == 4


def test_where_a_finding_lies_is_not_moved_by_whether_it_is_there() -> None:
    model = Weighs(Reads(Effusion=0.9), 0.3, "Yes.")
    assert model.probabilities_yes([closed("Is the pleural effusion on the left?")], [[film(1)]]) == [
        pytest.approx(0.3)
    ]


def test_other_weights_are_another_fingerprint(parts: Path) -> None:
    one = MedragSmall(str(parts), reader="").fingerprint
    assert (
        one == MedragSmall(str(parts), reader="").fingerprint != MedragSmall("medrag-small-vlm", reader="").fingerprint
    )
