"""Networks' scores: BERTScore over a tiny BERT equals its definition; the others say what they miss and are asked rightly."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medrag.errors import MissingDependency, ModelMissing
from medrag.score import Measure, neural
from medrag.score.neural import BertScore, Green, RadGraphF1, RateScore, offline

ANSWERS, REFERENCES = ["clear lungs", "a small mass", ""], ["the lungs clear", "a mass", "no mass"]


@pytest.fixture(autouse=True)
def forget() -> None:
    for load in (neural._bert_scorer, neural._radgraph, neural._ratescore, neural._green):
        load.cache_clear()


def fake(monkeypatch: pytest.MonkeyPatch, module: str, **names: Any) -> None:
    made = types.ModuleType(module)
    made.__dict__.update(names)
    monkeypatch.setitem(sys.modules, module, made)


@pytest.mark.parametrize(
    ("measure", "module", "command"),
    [
        (BertScore(), "bert_score", "pip install bert-score"),
        (RadGraphF1(), "radgraph", "pip install radgraph"),
        (RateScore(), "RaTEScore", "pip install RaTEScore"),
        (Green(), "green_score", "pip install git"),
    ],
)
def test_a_missing_package_names_its_command(
    measure: Measure, module: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert isinstance(measure, Measure)
    with pytest.raises(MissingDependency) as caught:
        measure.rows(ANSWERS, REFERENCES)
    assert caught.value.hint.startswith(command)


def test_radgraph_is_given_answers_and_references_by_name_and_empty_ones_are_0(monkeypatch: pytest.MonkeyPatch) -> None:
    class F1RadGraph:
        def __init__(self, **options: Any) -> None:
            assert options == {"reward_level": "all", "model_type": "radgraph-xl", "cuda": -1}

        def __call__(self, hyps: list[str], refs: list[str]) -> Any:
            assert (hyps, refs) == (ANSWERS[:2], REFERENCES[:2])
            return (0.6, 0.5, 0.4), ([0.8, 0.4], [0.7, 0.3], [0.6, 0.2]), [], []

    fake(monkeypatch, "radgraph", F1RadGraph=F1RadGraph)
    rows = RadGraphF1().rows(ANSWERS, REFERENCES)
    assert rows.tolist() == [[0.8, 0.7, 0.6], [0.4, 0.3, 0.2], [0, 0, 0]]
    found = RadGraphF1().totals(rows, np.array([[1.0, 1, 0]]))
    assert found["radgraph_partial"][0] == pytest.approx(0.5)


def test_ratescore_takes_the_candidates_first_and_green_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rate:
        def __init__(self, use_gpu: bool) -> None:
            assert not use_gpu

        def compute_score(self, candidates: list[str], references: list[str]) -> list[float]:
            assert (candidates, references) == (ANSWERS[:2], REFERENCES[:2])
            return [0.5, 1]

    class Judge:
        def __init__(self, model: str, output_dir: str) -> None:
            assert Path(output_dir).is_dir()

        def __call__(self, references: list[str], candidates: list[str]) -> Any:
            assert (candidates, references) == (ANSWERS[:2], REFERENCES[:2])
            return 0.5, 0.0, [0.75, None], "", None

    fake(monkeypatch, "RaTEScore", RaTEScore=Rate)
    fake(monkeypatch, "green_score", GREEN=Judge)
    assert RateScore().rows(ANSWERS, REFERENCES).tolist() == [[0.5], [1], [0]]
    assert Green().rows(ANSWERS, REFERENCES).tolist() == [[0.75], [0], [0]]


def test_weights_that_are_not_here_are_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(*args: Any, **options: Any) -> None:
        from huggingface_hub import constants

        assert constants.HF_HUB_OFFLINE
        raise OSError("not in the cache")

    fake(monkeypatch, "radgraph", F1RadGraph=reach)
    with pytest.raises(ModelMissing, match="not in the cache") as caught:
        RadGraphF1().rows(ANSWERS, REFERENCES)
    assert "RadGraph(model_type='radgraph-xl')" in caught.value.hint


def test_the_hub_is_switched_on_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(KeyError), offline():
        assert constants.HF_HUB_OFFLINE
        raise KeyError
    assert not constants.HF_HUB_OFFLINE


def test_nothing_to_score_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bert_score", None)
    assert BertScore().rows([], []).shape == (0, 3)
    assert BertScore().rows([" "], ["a"]).tolist() == [[0, 0, 0]]


def test_bertscore_over_a_tiny_bert_is_greedy_matching_of_its_vectors(tmp_path: Path) -> None:
    pytest.importorskip("bert_score")
    model, words = tiny_bert(tmp_path)
    rows = BertScore(model=str(tmp_path), layer=2).rows([*ANSWERS, "clear lungs"], [*REFERENCES, "clear lungs"])
    assert rows[2].tolist() == [0, 0, 0]
    assert rows[3] == pytest.approx([1, 1, 1], abs=1e-5)

    said, wanted = vectors(model, words, ANSWERS[0]), vectors(model, words, REFERENCES[0])
    alike = said @ wanted.T  # (4, 5): the marks at both ends may be matched but have no weight
    precision, recall = alike.max(1)[1:-1].mean(), alike.max(0)[1:-1].mean()
    f1 = 2 * precision * recall / (precision + recall)
    assert rows[0] == pytest.approx([f1, precision, recall], abs=1e-4)


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("bert_score")
    with pytest.raises(ModelMissing, match="could not be loaded"):
        BertScore(model=str(tmp_path)).rows(["a"], ["b"])


def tiny_bert(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"the lungs clear a small mass no".split()]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    words = BertTokenizer(str(folder / "vocab.txt"), model_max_length=64)
    words.save_pretrained(folder)
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    model = BertModel(BertConfig(vocab_size=len(pieces), initializer_range=0.3, **sizes)).eval()
    model.save_pretrained(folder)
    return model, words


def vectors(model: Any, words: Any, text: str) -> np.ndarray:
    """Unit vectors of all tokens, with the marks at both ends."""
    import torch

    with torch.no_grad():
        found = model(**words(text, return_tensors="pt")).last_hidden_state[0]
    return torch.nn.functional.normalize(found, dim=1).numpy()


@pytest.mark.parametrize(
    ("measure", "names"),
    [
        (BertScore(), ["bertscore", "bertscore_precision", "bertscore_recall"]),
        (RadGraphF1(), ["radgraph_simple", "radgraph_partial", "radgraph_complete"]),
        (RateScore(), ["ratescore"]),
        (Green(), ["green"]),
    ],
)
def test_each_column_has_its_name_and_its_mean(measure: Measure, names: list[str]) -> None:
    rows = np.arange(2.0 * len(names)).reshape(2, -1)
    found = measure.totals(rows, np.array([[1.0, 1], [3, 1]]))
    assert {name: value.tolist() for name, value in found.items()} == {
        name: [n + len(names) / 2, n + len(names) / 4] for n, name in enumerate(names)
    }


def test_a_model_that_does_not_load_is_told_in_one_short_line_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **options: Any) -> None:
        raise RuntimeError("first line\n  second " + "x" * 200)

    fake(monkeypatch, "RaTEScore", RaTEScore=fails)
    fake(monkeypatch, "green_score", GREEN=fails)
    reason = f"could not be loaded: RuntimeError: first line second {'x' * 142}"
    for measure, what, mend in (
        (
            RateScore(),
            "RaTEScore",
            "hf download Angelakeke/RaTE-NER-Deberta && hf download FremyCompany/BioLORD-2023-C",
        ),
        (Green(), "GREEN", "hf download StanfordAIMI/GREEN-radllama2-7b"),
    ):
        with pytest.raises(ModelMissing) as caught:
            measure.rows(["a"], ["b"])
        assert (caught.value.message, caught.value.hint) == (f"{what} {reason}", mend)


def test_a_package_that_misses_another_names_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "radgraph", None)
    with pytest.raises(MissingDependency) as caught:
        RadGraphF1().rows(["a"], ["b"])
    assert caught.value.message == "RadGraph-F1 needs the package radgraph"
    assert caught.value.hint == "pip install radgraph"


def test_a_model_is_loaded_once_with_the_options_of_its_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class F1RadGraph:
        def __init__(self, **options: Any) -> None:
            made.append(options)

        def __call__(self, hyps: list[str], refs: list[str]) -> Any:
            return None, ([1.0], [1.0], [1.0])

    fake(monkeypatch, "radgraph", F1RadGraph=F1RadGraph)
    for _ in range(2):
        RadGraphF1(model="echograph", device=1).rows(["a"], ["b"])
    assert made == [{"reward_level": "all", "model_type": "echograph", "cuda": 1}]


def test_no_answer_may_be_missing() -> None:
    with pytest.raises(ValueError, match="zip"):
        RateScore().rows(["a"], [])


def test_bertscores_columns_are_f1_precision_and_recall(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Scorer:
        def score(self, answers: list[str], references: list[str]) -> Any:
            assert (answers, references) == (ANSWERS[:2], REFERENCES[:2])
            return torch.tensor([0.25, 0.5]), torch.tensor([0.75, 1.0]), torch.tensor([0.375, 0.625])

    monkeypatch.setattr(neural, "_bert_scorer", lambda *options: Scorer())
    assert BertScore().rows(ANSWERS, REFERENCES).tolist() == [[0.375, 0.25, 0.75], [0.625, 0.5, 1], [0, 0, 0]]
