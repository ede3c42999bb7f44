"""Compares the factuality score with radiologists' error counts on RadPref's first half, and writes a JSON.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/radpref.py [OUT]        default eval/results/radpref.json

50 reference reports with two candidates each (rajpurkarlab/CRIMSON). The truth is the number of finding errors and missing
findings, averaged over the three radiologists. tau is Kendall's tau-b between a score and its negative over the 100
candidates; intervals are bootstraps by case. Preference: of cases whose two candidates differ in errors, how often the
score ranks them so (a tie counts half). Overlap and trivial scores run beside the formulations that were tried. The cases were
read while the claims were written, so the figures here are in sample; the second half of RadPref was not seen.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from medrag.eval.statistics import difference, interval
from medrag.score import claims as claims_file
from medrag.score.claims import claims, compare
from medrag.score.entities import entities
from medrag.score.factuality import WORDS, factuality_score, statement_agreement
from medrag.score.labeler import label

ROOT = Path(__file__).resolve().parents[2]
KEPT = "medrag factuality: (0.9 + 0.1 S) / (1 + E)"


class Tau:
    """Kendall's tau-b of the columns (score, truth); a weight of two is a row that stands there twice."""

    name = "tau"

    def rows(self, answers: Any, references: Any) -> Any:
        return np.column_stack([answers, references]).astype(float)

    def totals(self, rows: Any, weights: Any) -> dict[str, Any]:
        one, other = (np.sign(column[:, None] - column[None, :]) for column in rows.T)

        def pairs(signs: Any) -> Any:
            return np.einsum("di,ij,dj->d", weights, signs, weights, optimize=True)

        spread = np.sqrt(pairs(one**2) * pairs(other**2))
        # no spread is no agreement: a constant score has tau 0
        return {"tau": np.divide(pairs(one * other), spread, out=np.zeros(len(weights)), where=spread > 0)}


class Preference:
    """Rows: right (1, 1/2, 0) and whether the radiologists prefer one."""

    name = "preference"

    def rows(self, answers: Any, references: Any) -> Any:
        ours, theirs = (np.sign(v[0::2] - v[1::2]) for v in (np.asarray(answers), np.asarray(references)))
        return np.column_stack([np.where(theirs != 0, (1 + ours * theirs) / 2, 0), theirs != 0])

    def totals(self, rows: Any, weights: Any) -> dict[str, Any]:
        right, all_ = (weights @ rows).T
        return {"preference": np.divide(right, all_, out=np.full(len(all_), np.nan), where=all_ > 0)}


def read(folder: Path) -> tuple[list[str], list[str], np.ndarray, list[str]]:
    """Candidates, references, negative mean errors and case ids; two rows for each case."""
    raters = [json.loads((folder / f"radiologist_{n}.json").read_text())["annotations"] for n in (1, 2, 3)]
    answers, references, truth, groups = [], [], [], []
    for case in json.loads((folder / "cases.json").read_text()):
        for candidate in ("C1", "C2"):
            notes = [rater[case["id"]][candidate] for rater in raters]
            answers.append(case[f"{candidate}_report"])
            references.append(case["ground_truth_report"])
            truth.append(-np.mean([len(n["finding_errors"]) + len(n["missing_findings"]) for n in notes]))
            groups.append(case["id"])
    return answers, references, np.array(truth), groups


def green(answer: str, reference: str) -> float:
    """Matched over matched and errors, with half a claim on both so that a normal report has a score."""
    found = compare(answer, reference)
    matched = 0.5 + sum(1 - pair.error for pair in found.matched)
    return matched / (matched + found.errors)


def entity_f1(answer: str, reference: str) -> float:
    ours, theirs = entities(answer), entities(reference)
    return 2 * len(ours & theirs) / max(1, len(ours) + len(theirs))


def findings_f1(answer: str, reference: str) -> float:
    ours, theirs = label(answer).items(), label(reference).items()
    return 2 * len(ours & theirs) / max(1, len(ours) + len(theirs))


def rouge() -> Callable[[str, str], float]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return lambda answer, reference: float(scorer.score(reference, answer)["rougeL"].fmeasure)


def bleu(answer: str, reference: str) -> float:
    import sacrebleu

    return float(sacrebleu.sentence_bleu(answer, [reference]).score)


def systems() -> dict[str, Callable[[str, str], float]]:
    return {
        KEPT: factuality_score,
        "tried: 1 / (1 + E)": lambda a, r: 1 / (1 + compare(a, r).errors),
        "tried: 0.8 / (1 + E) + 0.2 S": lambda a, r: 0.8 / (1 + compare(a, r).errors) + 0.2 * statement_agreement(a, r),
        "tried: matched / (matched + E), as GREEN": green,
        "tried: F1 of entities with polarity and side": entity_f1,
        "tried: F1 of the 14 observations with polarity": findings_f1,
        "tried: S, words with polarity and side": statement_agreement,
        "ROUGE-L": rouge(),
        "BLEU": bleu,
        "trivial: shorter is better": lambda a, r: -len(a),
        "trivial: fewer affirmed claims are better": lambda a, r: -sum(c.polarity != "negative" for c in claims(a)),
        "trivial: constant": lambda a, r: 0.0,
    }


def left_out(scores: dict[str, np.ndarray], truth: np.ndarray, groups: list[str], kept: str) -> dict[str, Any]:
    """Each case scored by whatever is best on the other 49, and the kept one's tau without each case."""
    chosen, without, picked = np.zeros(len(truth)), [], []
    for case in dict.fromkeys(groups):
        out = np.array([group == case for group in groups])
        taus = {name: tau(score[~out], truth[~out]) for name, score in scores.items()}
        best = max(taus, key=taus.__getitem__)
        chosen[out] = scores[best][out]
        without.append(taus[kept])
        picked.append(best)
    return {
        "tau of what is chosen on the others": round(tau(chosen, truth), 4),
        "chosen": {name: picked.count(name) for name in dict.fromkeys(picked)},
        "tau of the kept one without any one case, lowest and highest": [
            round(min(without), 4),
            round(max(without), 4),
        ],
    }


def weighed(answers: list[str], references: list[str]) -> dict[str, np.ndarray]:
    """The kept formula with other weights: the share of S, and what a fault counts that is only possible or related."""
    agreed = np.array([statement_agreement(a, r) for a, r in zip(answers, references, strict=True)])
    settings = [(0.5, 0.5), (0.5, 0.25), (0.5, 1.0), (0.25, 0.5), (1.0, 0.5)]
    before, found = (claims_file.POSSIBLE, claims_file.RELATED), {}
    for possible, related in settings:
        claims_file.POSSIBLE, claims_file.RELATED = possible, related
        errors = np.array([compare(a, r).errors for a, r in zip(answers, references, strict=True)])
        for share in (0.05, 0.1, 0.2, 0.3):
            found[weights_name(share, possible, related)] = (1 - share + share * agreed) / (1 + errors)
    claims_file.POSSIBLE, claims_file.RELATED = before
    return found


def weights_name(share: float, possible: float, related: float) -> str:
    return f"S {share}, possible {possible}, related {related}"


def tau(score: np.ndarray, truth: np.ndarray) -> float:
    rows = Tau().rows(score, truth)
    return float(Tau().totals(rows, np.ones((1, len(rows))))["tau"][0])


def main(out: Path) -> None:
    answers, references, truth, groups = read(Path(os.environ["MEDRAG_DATA"]) / "noncommercial/radpref")
    scores = {n: np.array([f(a, r) for a, r in zip(answers, references, strict=True)]) for n, f in systems().items()}
    table = {}
    for name, score in scores.items():
        rows = Tau().rows(score, truth)
        table[name] = {
            "tau": [round(v, 4) for v in interval(Tau(), rows, groups)["tau"]],
            "preference": [round(v, 4) for v in interval(Preference(), Preference().rows(score, truth))["preference"]],
        }
    # ranks leave tau as it is, and put scores of different scales on one before they are swapped
    ranked = {name: Tau().rows(rankdata(scores[name]), truth) for name in (KEPT, "ROUGE-L", "BLEU")}
    ours = ranked.pop(KEPT)
    margins = {name: difference(Tau(), ours, rows, groups)["tau"] for name, rows in ranked.items()}
    formulas = {name: score for name, score in scores.items() if name == KEPT or name.startswith("tried")}
    weights = weighed(answers, references)
    used = weights_name(WORDS, claims_file.POSSIBLE, claims_file.RELATED)
    result = {
        "command": "python eval/benchmarks/radpref.py",
        "about": "[score, low, high]; bootstrap by case, 1,000 draws",
        "candidates": len(truth),
        "cases": len(set(groups)),
        "systems": table,
        "kept less overlap, tau": margins,
        "leave one case out, formulations": left_out(formulas, truth, groups, KEPT),
        "leave one case out, weights": left_out(weights, truth, groups, used),
        "tau by weights": {name: round(tau(score, truth), 4) for name, score in weights.items()},
    }
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=ROOT / "eval/results/radpref.json")
    main(parser.parse_args().out)
