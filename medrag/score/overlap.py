"""Word overlap of a written text with its reference: BLEU, ROUGE-L, METEOR and CIDEr, by the libraries that are kept for it.

Overlap rewards the commonest normal sentence and does not see a denied finding: read it beside a constant report, never
alone. Texts are lower-cased. Scores lie between 0 and 1, but CIDEr's, which reach 10. This file knows nothing of findings.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.text import words
from medrag.errors import MissingDependency, ModelMissing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

    Scores = dict[str, NDArray[np.float64]]

EXTRA = 'pip install "medrag[eval]"'
WORDNET = "python -m nltk.downloader wordnet"


def means(names: Sequence[str], rows: Rows, weights: Weights) -> Scores:
    """The weighted mean of each column, (draws,) each. A row whose value is NaN counts in no mean of that column."""
    known = ~np.isnan(rows)
    over = np.stack([weights @ np.where(known, rows, 0.0), weights @ known.astype(float)])
    return {name: ratio(over[0, :, n], over[1, :, n]) for n, name in enumerate(names)}


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole, NaN where the whole is not above 0; of any one shape."""
    found: NDArray[np.float64] = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return found


@dataclass(frozen=True, slots=True)
class Bleu:
    """Corpus BLEU-1 to BLEU-4 (Papineni et al. 2002) from n-gram counts that sacrebleu makes (Post 2018).

    Cumulative, brevity penalty, tokenizer 13a, lower case, no smoothing. Times 100 it is sacrebleu's
    ``lc:yes|tok:13a|smooth:none``. A row holds the two lengths, the matched and the possible n-grams.
    """

    name = "bleu"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 10). Raises MissingDependency without sacrebleu."""
        bleu = _imported("sacrebleu.metrics", "BLEU", "BLEU")(
            lowercase=True, smooth_method="none", effective_order=True
        )
        found = [bleu.sentence_score(answer, [truth]) for answer, truth in zip(answers, references, strict=True)]
        return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in found], float).reshape(-1, 10)

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        """``bleu_1`` … ``bleu_4``; 0 where no n-gram of that length matches."""
        sums = weights @ rows
        written, wanted, matched, possible = sums[:, 0], sums[:, 1], sums[:, 2:6], sums[:, 6:]
        precision = np.divide(matched, possible, out=np.zeros_like(matched), where=possible > 0)
        with np.errstate(divide="ignore"):
            logs = np.cumsum(np.log(precision), axis=1) / np.arange(1, 5)
        brevity = np.minimum(0.0, 1 - np.divide(wanted, written, out=np.full_like(wanted, np.inf), where=written > 0))
        scores = np.where(weights.sum(1)[:, None] > 0, np.exp(brevity[:, None] + logs), np.nan)
        return {f"bleu_{n + 1}": scores[:, n] for n in range(4)}


@dataclass(frozen=True, slots=True)
class RougeL:
    """ROUGE-L (Lin 2004): the longest common subsequence of words, as the package rouge-score counts it, unstemmed.

    ``rouge_l`` is F1; papers that use the captioning tools report F with beta 1.2 instead, which is a little higher
    where recall is above precision.
    """

    name = "rouge-l"
    stem: bool = False

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 3): F1, precision, recall. Raises MissingDependency without rouge-score."""
        scorer = _imported("rouge_score.rouge_scorer", "RougeScorer", "ROUGE-L")(["rougeL"], use_stemmer=self.stem)
        found = [scorer.score(truth, answer)["rougeL"] for answer, truth in zip(answers, references, strict=True)]
        return np.array([[s.fmeasure, s.precision, s.recall] for s in found], float).reshape(-1, 3)

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        return means(("rouge_l", "rouge_l_precision", "rouge_l_recall"), rows, weights)


@dataclass(frozen=True, slots=True)
class Meteor:
    """METEOR of Lavie and Agarwal 2007 (alpha 0.9, beta 3, gamma 0.5) by NLTK: words match exactly or by Porter stem.

    METEOR also matches synonyms, and that needs WordNet: without it the score is called ``meteor_exact_stem`` and is
    a little lower. With ``synonyms`` it is ``meteor``, and WordNet must lie where NLTK looks (NLTK_DATA); NLTK
    looks words up by their stems, so "large" (larg) finds none. Neither is METEOR 1.5 (Denkowski and Lavie 2014), the
    Java programme of the captioning tools.
    """

    name = "meteor"
    synonyms: bool = False

    @property
    def score(self) -> str:
        return "meteor" if self.synonyms else "meteor_exact_stem"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 1). Raises MissingDependency without nltk, ModelMissing where WordNet is asked for and not here."""
        one = _imported("nltk.translate.meteor_score", "single_meteor_score", "METEOR")
        options = {"stemmer": _Stems(), "wordnet": _wordnet() if self.synonyms else _NoSynonyms()}
        pairs = zip(answers, references, strict=True)
        return np.array([[one(words(truth), words(answer), **options)] for answer, truth in pairs], float).reshape(
            -1, 1
        )

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        return means((self.score,), rows, weights)


@dataclass(frozen=True, slots=True)
class Cider:
    """CIDEr-D (Vedantam, Zitnick and Parikh 2015; sigma 6, up to 4-grams, 0 to 10), as the package pycocoevalcap counts it.

    The document frequencies are those of all the references given together, so rows of two systems compare only where
    both were made with the same references; a draw of a bootstrap keeps them. One example alone scores 0.
    """

    name = "cider"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        """(n, 1). Raises MissingDependency without pycocoevalcap."""
        scorer = _imported("pycocoevalcap.cider.cider", "Cider", "CIDEr")()
        pairs = list(zip(answers, references, strict=True))
        if not any(words(truth) for _, truth in pairs):  # it cannot count nothing
            return np.zeros((len(pairs), 1))
        said = {n: [" ".join(words(answer))] for n, (answer, _) in enumerate(pairs)}
        wanted = {n: [" ".join(words(truth))] for n, (_, truth) in enumerate(pairs)}
        return np.asarray(scorer.compute_score(wanted, said)[1], float).reshape(-1, 1)

    def totals(self, rows: Rows, weights: Weights) -> Scores:
        return means((self.name,), rows, weights)


class _Stems:
    """Porter's stems, each made once."""

    def __init__(self) -> None:
        porter = _imported("nltk.stem.porter", "PorterStemmer", "METEOR")()
        self.stem = functools.lru_cache(maxsize=50_000)(porter.stem)


class _NoSynonyms:
    def synsets(self, word: str) -> tuple[()]:
        return ()


def _wordnet() -> Any:
    find, reader = (
        _imported("nltk.data", "find", "METEOR"),
        _imported("nltk.corpus.reader", "WordNetCorpusReader", "METEOR"),
    )
    for place in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        with contextlib.suppress(OSError, LookupError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it knows no other language
            return reader(find(place), None)
    raise ModelMissing("METEOR's synonyms need NLTK's WordNet, which is not on this machine", WORDNET)


def _imported(module: str, name: str, what: str) -> Any:
    import importlib

    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise MissingDependency(f"{what} needs the package {error.name}", EXTRA) from error
