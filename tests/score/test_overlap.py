"""Overlap scores equal the libraries' own corpus scores, and weights act as repeating the examples would."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag.errors import MissingDependency, ModelMissing
from medrag.score import Measure
from medrag.score.overlap import Bleu, Cider, Meteor, RougeL, means, ratio

pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")
pytest.importorskip("pycocoevalcap")

MEASURES = (Bleu(), RougeL(), Meteor(), Cider())
REFERENCES = [
    "The heart is normal in size. The lungs are clear.",
    "There is a small left pleural effusion. No pneumothorax is seen.",
    "Stable cardiomegaly, with calcified granulomas in both lungs.",
]
ANSWERS = [
    "Heart size is normal. The lungs are clear.",
    "No pleural effusion. No pneumothorax is seen today.",
    "The lungs are clear of granulomas; stable cardiomegaly.",
]
VOCABULARY = st.sampled_from("the heart lungs is are clear normal no effusion , . small left".split())
TEXTS = st.lists(VOCABULARY, max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5)


def total(measure: Measure, answers: list[str], references: list[str]) -> dict[str, float]:
    scores = measure.totals(measure.rows(answers, references), np.ones((1, len(answers))))
    return {name: float(value[0]) for name, value in scores.items()}


@given(PAIRS)
def test_bleu_is_sacrebleus_corpus_score_at_every_order(pairs: list[tuple[str, str]]) -> None:
    from sacrebleu.metrics import BLEU

    answers, references = [a for a, _ in pairs], [r for _, r in pairs]
    ours = total(Bleu(), answers, references)
    for order in range(1, 5):
        theirs = BLEU(lowercase=True, smooth_method="none", max_ngram_order=order).corpus_score(answers, [references])
        assert ours[f"bleu_{order}"] == pytest.approx(theirs.score / 100, abs=1e-9)


def test_rouge_l_is_the_mean_of_the_librarys() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    theirs = [scorer.score(r, a)["rougeL"] for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    ours = total(RougeL(), ANSWERS, REFERENCES)
    assert ours["rouge_l"] == pytest.approx(np.mean([s.fmeasure for s in theirs]))
    assert ours["rouge_l_recall"] == pytest.approx(np.mean([s.recall for s in theirs]))


def test_rouge_l_by_hand() -> None:
    # "the lungs clear" is common to both: 3 of 4 words written, 3 of 5 wanted
    ours = total(RougeL(), ["the lungs look clear"], ["the lungs are both clear"])
    assert ours == pytest.approx({"rouge_l": 2 / 3, "rouge_l_precision": 3 / 4, "rouge_l_recall": 3 / 5})


def test_cider_is_the_reference_programmes_score() -> None:
    from pycocoevalcap.cider.cider import Cider as Theirs

    plain = [[t.lower().replace(".", "").replace(",", "").replace(";", "") for t in ts] for ts in (REFERENCES, ANSWERS)]
    wanted, said = ({n: [" ".join(t.split())] for n, t in enumerate(ts)} for ts in plain)
    assert total(Cider(), ANSWERS, REFERENCES)["cider"] == pytest.approx(Theirs().compute_score(wanted, said)[0])
    assert total(Cider(), REFERENCES, REFERENCES)["cider"] == pytest.approx(10)
    assert total(Cider(), ["clear"], ["clear"])["cider"] == 0  # log of one document


def test_meteor_matches_stems_and_says_that_it_lacks_synonyms() -> None:
    ours = total(Meteor(), ["lung nodules"], ["lungs nodule"])
    assert ours == pytest.approx({"meteor_exact_stem": 1 - 0.5 * (1 / 2) ** 3})  # two matches in one run


def test_meteor_by_hand() -> None:
    # matches: the, heart, normal (three of three written, three of four wanted) in two runs
    precision, recall, penalty = 1, 3 / 4, 0.5 * (2 / 3) ** 3
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    assert total(Meteor(), ["the heart normal"], ["the heart is normal"])["meteor_exact_stem"] == pytest.approx(
        (1 - penalty) * mean
    )


def test_meteor_with_wordnet_matches_synonyms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk.data

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(ModelMissing, match=r"nltk\.downloader wordnet"):
        Meteor(synonyms=True).rows(["a"], ["a"])
    write_tiny_wordnet(tmp_path / "corpora" / "wordnet")
    ours = total(Meteor(synonyms=True), ["big heart"], ["great heart"])
    assert ours == pytest.approx({"meteor": 1 - 0.5 * (1 / 2) ** 3})
    assert total(Meteor(), ["big heart"], ["great heart"])["meteor_exact_stem"] < 0.5


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_a_measure_fulfils_the_contract_and_bears_empty_texts(measure: Measure) -> None:
    assert isinstance(measure, Measure)
    assert all(value == 0 for value in total(measure, ["", "…"], ["", "clear lungs"]).values())
    assert len(measure.rows([], [])) == 0
    nothing = measure.totals(measure.rows(["a b"], ["a b"]), np.zeros((1, 1)))
    assert all(np.isnan(value).all() for value in nothing.values())
    with pytest.raises(ValueError, match="zip"):
        measure.rows(["a"], ["a", "b"])


@pytest.mark.parametrize("measure", MEASURES[:3], ids=lambda m: m.name)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any))
def test_a_weight_counts_as_that_many_copies(measure: Measure, counts: list[int]) -> None:
    weighted = measure.totals(measure.rows(ANSWERS, REFERENCES), np.array([counts], float))
    copied = total(
        measure, list(np.repeat(ANSWERS, counts)), [str(r) for r in np.repeat(REFERENCES, counts)]
    )  # fmt: skip
    assert {name: float(v[0]) for name, v in weighted.items()} == pytest.approx(copied)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_copying_the_reference_scores_most(measure: Measure) -> None:
    best, real = total(measure, REFERENCES, REFERENCES), total(measure, ANSWERS, REFERENCES)
    assert all(best[name] > real[name] for name in best)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(MissingDependency, match=r"medrag\[eval\]"):
        Bleu().rows(["a"], ["a"])


def test_means_leave_out_what_is_not_known() -> None:
    rows = np.array([[1.0, np.nan], [np.nan, np.nan], [0.0, np.nan]])
    found = means(("a", "b"), rows, np.array([[1.0, 5, 1], [3, 0, 1]]))
    assert found["a"].tolist() == [0.5, 0.75]
    assert np.isnan(found["b"]).all()
    assert np.isnan(ratio(np.array([1.0]), np.array([0.0]))).all()


def write_tiny_wordnet(folder: Path) -> None:
    """A folder laid out as WordNet 3.0 with one synset: big, great."""
    folder.mkdir(parents=True)
    head = "  1 made for a test\n"
    line = f"{len(head):08} 00 a 02 big 0 great 0 000 | above average in size\n"
    for kind in ("noun", "verb", "adj", "adv"):
        (folder / f"data.{kind}").write_text(head + line if kind == "adj" else "")
        index = "".join(f"{word} a 1 0 1 0 {len(head):08}\n" for word in ("big", "great"))
        (folder / f"index.{kind}").write_text(index if kind == "adj" else "")
        (folder / f"{kind}.exc").write_text("")
    (folder / "lexnames").write_text("00\tadj.all\t3\n")
    for name in ("cntlist.rev", "index.sense"):
        (folder / name).write_text("")


@pytest.mark.parametrize(
    ("measure", "names", "columns"),
    [
        (Bleu(), ["bleu_1", "bleu_2", "bleu_3", "bleu_4"], 10),
        (RougeL(), ["rouge_l", "rouge_l_precision", "rouge_l_recall"], 3),
        (Meteor(), ["meteor_exact_stem"], 1),
        (Meteor(synonyms=True), ["meteor"], 1),
        (Cider(), ["cider"], 1),
    ],
)
def test_the_scores_have_the_names_that_reports_ask_for(measure: Measure, names: list[str], columns: int) -> None:
    assert list(measure.totals(np.ones((2, columns)), np.ones((1, 2)))) == names


def test_a_short_answer_is_punished_and_a_long_one_is_not() -> None:
    assert total(Bleu(), ["The lungs"], ["the lungs are clear"])["bleu_1"] == pytest.approx(np.exp(1 - 4 / 2))
    assert total(Bleu(), ["the lungs are clear"], ["the lungs"])["bleu_1"] == pytest.approx(2 / 4)


def test_rouge_l_matches_stems_where_that_is_asked_for() -> None:
    assert total(RougeL(), ["lung nodules"], ["lungs nodule"])["rouge_l"] == 0
    assert total(RougeL(stem=True), ["lung nodules"], ["lungs nodule"])["rouge_l"] == 1


@pytest.mark.parametrize(
    ("measure", "module", "what"),
    [
        (Bleu(), "sacrebleu.metrics", "BLEU"),
        (RougeL(), "rouge_score.rouge_scorer", "ROUGE-L"),
        (Meteor(), "nltk.translate.meteor_score", "METEOR"),
        (Cider(), "pycocoevalcap.cider.cider", "CIDEr"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_each_measure_names_the_package_that_it_misses(
    measure: Measure, module: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency) as caught:
        measure.rows(["a"], ["a"])
    assert caught.value.message == f"{what} needs the package {module}"
    assert caught.value.hint == 'pip install "medrag[eval]"'
