"""Scores that other people's networks give: BERTScore, RadGraph-F1, RaTEScore, GREEN. Optional, each by its authors' package.

Package and weights are used where they are on this machine and never fetched: while a scorer loads and runs, the hub is
switched off. Each is loaded once and kept. This file knows nothing of what they measure; the papers are named below.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag.errors import MedragError, MissingDependency, ModelMissing
from medrag.score.overlap import means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

    Scores = dict[str, NDArray[np.float64]]

RADGRAPH = "python -c \"from radgraph import RadGraph; RadGraph(model_type='{}')\""


@dataclass(frozen=True, slots=True)
class BertScore:
    """BERTScore (Zhang et al. 2020, arXiv 1904.09675): tokens matched by their vectors' cosine. No idf, no baseline.

    ``model`` is a named model, a folder or a hub id that was fetched; ``layer`` that of the vectors, 0 the one that the
    package recommends for the model and the last where it knows none.
    """

    name = "bertscore"
    model: str = "FacebookAI/roberta-large"
    layer: int = 0
    device: str = "cpu"
    batch_size: int = 16

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 3): F1, precision, recall; 0 where a text is empty. Raises MissingDependency, ModelMissing."""
        return _rows(answers, references, 3, self._scores)

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        return means(("bertscore", "bertscore_precision", "bertscore_recall"), rows, weights)

    def _scores(self, answers: list[str], references: list[str]) -> Any:
        scorer = _bert_scorer(self.model, self.layer, self.device, self.batch_size)
        precision, recall, f1 = scorer.score(answers, references)
        return np.stack([f1.numpy(), precision.numpy(), recall.numpy()], axis=1)


@dataclass(frozen=True, slots=True)
class RadGraphF1:
    """RadGraph-F1 (Delbrouck et al. 2022; RadGraph: Jain et al. 2021): entities and relations that two reports share.

    ``radgraph_partial``, entities that must agree on having a relation, is the figure that most papers report.
    """

    name = "radgraph"
    model: str = "radgraph-xl"
    device: int = -1  # -1 the CPU, else the number of a GPU

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 3): simple, partial, complete; 0 where a text is empty. Raises MissingDependency, ModelMissing."""
        return _rows(answers, references, 3, self._scores)

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        return means(("radgraph_simple", "radgraph_partial", "radgraph_complete"), rows, weights)

    def _scores(self, answers: list[str], references: list[str]) -> Any:
        return np.array(_radgraph(self.model, self.device)(hyps=answers, refs=references)[1], float).T


@dataclass(frozen=True, slots=True)
class RateScore:
    """RaTEScore (Zhao et al. 2024, arXiv 2406.16845): medical entities matched by meaning, weighted by their kinds."""

    name = "ratescore"
    gpu: bool = False

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 1); 0 where a text is empty. Raises MissingDependency, ModelMissing."""
        return _rows(answers, references, 1, self._scores)

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        return means((self.name,), rows, weights)

    def _scores(self, answers: list[str], references: list[str]) -> Any:
        return np.array(_ratescore(self.gpu).compute_score(answers, references), float)[:, None]


@dataclass(frozen=True, slots=True)
class Green:
    """GREEN (Ostmeier et al. 2024, arXiv 2405.03595): a language model of 7 billion parameters counts clinical errors.

    A reply of the model that its package cannot read scores 0.
    """

    name = "green"
    model: str = "StanfordAIMI/GREEN-radllama2-7b"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 1); 0 where a text is empty. Raises MissingDependency, ModelMissing."""
        return _rows(answers, references, 1, self._scores)

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        return means((self.name,), rows, weights)

    def _scores(self, answers: list[str], references: list[str]) -> Any:
        found = _green(self.model)(references, answers)[2]  # it takes the reference first
        return np.array([0.0 if value is None else value for value in found], float)[:, None]


def _rows(
    answers: Sequence[str], references: Sequence[str], columns: int, scores: Callable[[list[str], list[str]], Any]
) -> Rows:
    """The scores of the pairs in which both texts say something; zeros for the others."""
    pairs = list(zip(answers, references, strict=True))
    places = [n for n, pair in enumerate(pairs) if all(text.strip() for text in pair)]
    rows = np.zeros((len(pairs), columns))
    if places:
        with offline():
            rows[places] = scores([pairs[n][0] for n in places], [pairs[n][1] for n in places])
    return rows


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Within it no Hugging Face library reaches the network: what is not in the cache is not found."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@functools.lru_cache(maxsize=1)
def _bert_scorer(model: str, layer: int, device: str, batch_size: int) -> Any:
    package = _imported("bert_score", "BERTScore", "pip install bert-score")
    from medrag.models import resolve

    folder = str(resolve(model))

    def load() -> Any:
        from transformers import AutoConfig

        known = importlib.import_module("bert_score.utils").model2layers
        last = AutoConfig.from_pretrained(folder, local_files_only=True).num_hidden_layers
        layers = layer or known.get(model.rpartition("/")[2], last)
        return package.BERTScorer(model_type=folder, num_layers=layers, device=device, batch_size=batch_size)

    return _loaded(load, "BERTScore", f"medrag models get {model}")


@functools.lru_cache(maxsize=1)
def _radgraph(model: str, device: int) -> Any:
    package = _imported("radgraph", "RadGraph-F1", "pip install radgraph")
    return _loaded(
        lambda: package.F1RadGraph(reward_level="all", model_type=model, cuda=device),
        "RadGraph-F1",
        RADGRAPH.format(model),
    )


@functools.lru_cache(maxsize=1)
def _ratescore(gpu: bool) -> Any:
    package = _imported("RaTEScore", "RaTEScore", "pip install RaTEScore")
    mend = "hf download Angelakeke/RaTE-NER-Deberta && hf download FremyCompany/BioLORD-2023-C"
    return _loaded(lambda: package.RaTEScore(use_gpu=gpu), "RaTEScore", mend)


@functools.lru_cache(maxsize=1)
def _green(model: str) -> Any:
    package = _imported("green_score", "GREEN", "pip install git+https://github.com/Stanford-AIMI/GREEN")
    folder = tempfile.mkdtemp(prefix="medrag-green-")  # it writes a table of what it did
    return _loaded(lambda: package.GREEN(model, output_dir=folder), "GREEN", f"hf download {model}")


def _imported(module: str, what: str, mend: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{what} needs the package {error.name}", mend) from error


def _loaded(load: Callable[[], Any], what: str, mend: str) -> Any:
    try:
        return load()
    except MedragError:
        raise
    except Exception as error:  # the packages raise whatever they like where weights are not here
        reason = " ".join(str(error).split())[:160]
        raise ModelMissing(f"{what} could not be loaded: {type(error).__name__}: {reason}", mend) from error
