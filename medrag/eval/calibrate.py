"""How far answers can be believed, and how much evidence should be read: learned from questions with known answers.

From observations (`medrag.eval.observed`) come, for each sort of question, and for those of a sort about one domain where there are enough: P(right)
by logistic regression, its figures always out of fold, with whole groups (patients, pictures) left out together; the number of pieces by
RULE's learn-then-test, the last of those tried where none is certified; and for each risk the confidence from which on answers keep it.
A domain's P(right) is learned from its own questions or from all of the sort, whichever foretells its answers better out of fold.
Confidences and thresholds are learned from answers with that number of pieces, and a pipeline with the calibration reads no more.
Guarantees take one question of each group, drawn with the seed: several about one patient are not independent.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.near import meant
from medrag._util.odds import logit
from medrag.calibration import NEVER, Calibration, Logistic, Sort, of_domain
from medrag.confidence import sort_asked
from medrag.errors import SettingsError
from medrag.eval.observed import Observed
from medrag.eval.statistics import interval
from medrag.score import risk
from medrag.score.abstention import Abstention

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.eval.tasks import Example

COVERED = 0.7  # share answered at which errors are reported beside those of all
FEWEST = 60  # questions of a sort from which on it is calibrated
PATIENTS = 30  # groups that they are of at least: guarantees and folds count these, not questions
FOLDS, REPEATS = 5, 5
STILL = 1e-9  # a spread below which a signal does not vary
STRENGTHS = (
    0.03,
    0.1,
    0.3,
    1.0,
    3.0,
)  # inverse ridge penalties over standardised signals; the best out of fold is taken
# signals that may foretell as well as all do; the best set out of fold is taken, too
FEW = (("given",), ("given", "yes", "chest", "chest yes"))
GUARANTEES = ("certified", "conformal")
KINDS = ("closed", "open", "report")  # of tasks, those with answers that are right or wrong


def calibrated(
    observed: Sequence[Observed], made_for: Mapping[str, str], depths: Sequence[int], risks: Sequence[float], delta: float = 0.1, alpha: float = 0.3,
    seed: int = 0, guarantee: str = "certified",
) -> Calibration:  # fmt: skip
    """The calibration of all sorts of which there are enough questions. ``guarantee``: what its thresholds promise, "certified" that answers
    are wrong no more often than the risk, but with a chance of ``delta``, "conformal" that no more of all questions are, on average.

    Raises SettingsError where there are enough of none (see `check_enough`), and for a share, a number or a guarantee that is none.
    """
    check_numbers(depths, risks, delta, alpha, guarantee)
    check_enough((one.sort, one.group) for one in observed)
    by_sort: dict[str, list[Observed]] = {}
    for one in observed:
        by_sort.setdefault(one.sort, []).append(one)
    sorts: dict[str, Sort] = {}
    for name, some in by_sort.items():
        for domain in ("", *sorted({one.domain for one in some} - {""})):
            mine = np.array([domain in ("", one.domain) for one in some])
            if _enough([one.group for one, m in zip(some, mine, strict=True) if m]) and not (domain and mine.all()):
                sorts[of_domain(name, domain)] = _sort(some, mine, depths, risks, delta, alpha, seed)
    if guarantee == "conformal":
        sorts = {name: replace(one, thresholds=one.report["conformal"]) for name, one in sorts.items()}
    about = {"questions": len(observed), "depths": list(depths), "alpha": alpha, "seed": seed, "guarantee": guarantee}
    return Calibration(made_for, delta, sorts, about)


def check_numbers(
    depths: Sequence[int], risks: Sequence[float], delta: float, alpha: float, guarantee: str = "certified"
) -> None:
    """Raises SettingsError for a share, a number or a guarantee that is none."""
    if guarantee not in GUARANTEES:
        raise SettingsError(f"there is no guarantee {guarantee!r}", meant(guarantee, GUARANTEES))
    if not all(0 < share < 1 for share in (*risks, delta, alpha)) or min(depths, default=-1) < 0:
        raise SettingsError("risks, alpha and delta lie between 0 and 1, depths are 0 or more", "name others")


def check_asked(examples: Sequence[Example]) -> None:
    """`check_enough` of questions that have not been asked yet; those with one id are one."""
    distinct = {one.id: one for one in examples}.values()
    check_enough((sort_asked(one.question, bool(one.images)), one.group) for one in distinct)


def check_enough(questions: Iterable[tuple[str, str]]) -> None:
    """Raises SettingsError where of no sort there are enough questions, each given by its sort and its group."""
    by_sort: dict[str, list[str]] = {}
    for sort, group in questions:
        by_sort.setdefault(sort, []).append(group)
    if not any(map(_enough, by_sort.values())):
        asked = sum(map(len, by_sort.values()))
        patients = len({group for groups in by_sort.values() for group in groups})
        raise SettingsError(
            f"{asked} questions about {patients} patients are too few",
            f"{FEWEST} of one sort, about {PATIENTS} patients, are needed; 200 are better",
        )


def _enough(groups: Sequence[str]) -> bool:
    return len(groups) >= FEWEST and len(set(groups)) >= PATIENTS


def _sort(
    some: Sequence[Observed], mine: NDArray[np.bool_], depths: Sequence[int], risks: Sequence[float], delta: float, alpha: float, seed: int,
) -> Sort:  # fmt: skip
    """What holds of those questions of a sort that are ``mine``."""
    ours = [one for one, m in zip(some, mine, strict=True) if m]
    wrong = np.array([[not good for good in one.right] for one in ours], float)
    single = _one_of_each(ours, seed)
    certified = risk.certified(wrong[single], alpha, delta)
    read = min(certified, key=lambda n: (wrong[:, n].mean(), depths[n])) if certified else len(depths) - 1
    sources = [(some, mine)] if mine.all() else [(some, mine), (ours, mine[mine])]
    learned = min((_learned(*source, read, seed) for source in sources), key=lambda one: one.loss)
    good, outside = 1 - wrong[:, read], learned.outside
    thresholds = {f"{r:g}": risk.certified_threshold(outside[single], good[single], r, delta) for r in risks}
    report = _figures(ours, outside, good, read) | {
        "errors_by_depth": {str(k): round(float(e), 4) for k, e in zip(depths, wrong.mean(0), strict=True)},
        "tokens_by_depth": {str(k): round(float(np.mean([one.tokens[n] for one in ours])), 1) for n, k in enumerate(depths)},
        "certified_depths": [depths[n] for n in certified], "independent": len(single), "strength": learned.strength, "signals": learned.names, "domains": dict(Counter(one.domain for one in ours)), "certified": thresholds, "conformal": conformal(outside[single], good[single], risks), "read": depths[read], "learned_from": len(learned.some), "halves": halves(learned, risks, delta, seed),
    }  # fmt: skip
    return Sort(_fit(learned.names, learned.table, learned.good, learned.strength), thresholds, depths[read], report)


@dataclass(frozen=True, slots=True)
class _Learned:
    """A confidence for questions that are ``mine``, from ``some`` answered with the same number of pieces."""

    some: Sequence[Observed]
    mine: NDArray[np.bool_]  # (n,)
    names: list[str]
    table: NDArray[np.float64]  # (n, signals)
    good: NDArray[np.float64]  # (n,) 1 where the answer was right
    strength: float
    outside: NDArray[np.float64]  # of mine, out of fold
    loss: float  # mean log loss of mine, out of fold


def _learned(some: Sequence[Observed], mine: NDArray[np.bool_], read: int, seed: int) -> _Learned:
    """With the signals and the strength that foretell best out of fold."""
    every, whole = _table([one.signals[read] for one in some])
    good, groups = np.array([one.right[read] for one in some], float), [one.group for one in some]

    def tried(names: list[str], strength: float) -> _Learned:
        table = whole[:, [every.index(name) for name in names]]
        outside = out_of_fold(table, good, groups, seed, strength)[mine]
        p = np.clip(outside, 1e-6, 1 - 1e-6)
        loss = float(-np.mean(good[mine] * np.log(p) + (1 - good[mine]) * np.log(1 - p)))
        return _Learned(some, mine, names, table, good, strength, outside, loss)

    few = [[name for name in names if name in every] for names in FEW if "given" in every]
    return min((tried(names, strength) for names in (*few, every) for strength in STRENGTHS), key=lambda one: one.loss)


def _one_of_each(some: Sequence[Observed], seed: int) -> NDArray[np.intp]:
    """The place of one question of each group."""
    places = list(range(len(some)))
    random.Random(seed).shuffle(places)
    return np.array(sorted({some[n].group: n for n in places}.values()))


def _table(signals: Sequence[Mapping[str, float]]) -> tuple[list[str], NDArray[np.float64]]:
    """Signals that vary, as columns; what is missing takes the mean."""
    names = sorted({name for one in signals for name in one})
    raw = np.array([[one.get(name, np.nan) for name in names] for one in signals], float)
    raw = np.where(np.isnan(raw), np.nanmean(raw, axis=0), raw)
    varying = raw.std(axis=0) > STILL
    return [name for name, v in zip(names, varying, strict=True) if v], raw[:, varying]


def _fit(names: Sequence[str], table: NDArray[np.float64], good: NDArray[np.float64], strength: float) -> Logistic:
    means, spread = table.mean(axis=0), table.std(axis=0)
    spread = np.where(spread > STILL, spread, 1.0)
    if len(set(good)) < 2 or not names:
        p = (good.sum() + 1) / (len(good) + 2)
        return Logistic({}, {}, logit(float(p)))
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="newton-cholesky", C=strength, max_iter=1000).fit((table - means) / spread, good)
    weights = model.coef_[0] / spread
    return Logistic(
        dict(zip(names, map(float, weights), strict=True)),
        dict(zip(names, map(float, means), strict=True)),
        float(model.intercept_[0]),
    )


def out_of_fold(
    table: NDArray[np.float64],
    good: NDArray[np.float64],
    groups: Sequence[str],
    seed: int = 0,
    strength: float = 0.1,
    repeats: int = REPEATS,
) -> NDArray[np.float64]:
    """P(right) of each row by models that saw none of its group, the mean over several ways to cut the folds."""
    chances = np.zeros(len(good))
    distinct = sorted(set(groups))
    for repeat in range(repeats):
        order = {group: n for n, group in enumerate(random.Random(f"{seed}/{repeat}").sample(distinct, len(distinct)))}
        fold = np.array([order[group] % FOLDS for group in groups])
        for k in range(FOLDS):
            if (fold == k).any():
                names = [str(n) for n in range(table.shape[1])]
                model = _fit(names, table[fold != k], good[fold != k], strength)
                chances[fold == k] += [
                    model.probability(dict(zip(names, row, strict=True))) / repeats for row in table[fold == k]
                ]
    return chances


def conformal(sure: NDArray[np.float64], good: NDArray[np.float64], risks: Sequence[float]) -> dict[str, float | None]:
    """For each risk the lowest confidence at which at most that share of all questions is answered wrongly, in expectation; None: there is none.

    A weaker promise than that of ``thresholds``, and over all questions instead of those that are answered.
    """
    grid = np.append(np.unique(sure), NEVER)
    losses = (1 - good)[:, None] * (sure[:, None] >= grid)
    found = {f"{r:g}": risk.conformal(losses, r) for r in risks}
    return {name: None if n is None or grid[n] == NEVER else float(grid[n]) for name, n in found.items()}


def halves(learned: _Learned, risks: Sequence[float], delta: float, seed: int = 0, draws: int = 100) -> dict[str, Any]:
    """The guarantee tried on the questions themselves: the groups are cut in two ``draws`` times, one half makes the threshold, the other
    is answered by it. For each risk the share of draws in which the other half was wrong more often, of those with a threshold, and the mean
    share that was answered. The other half is a sample too: by chance it is above a risk that is just kept in half of the draws."""
    groups, table, good = [one.group for one in learned.some], learned.table, learned.good
    distinct, names = sorted(set(groups)), [str(n) for n in range(table.shape[1])]
    found: dict[str, list[tuple[float, float]]] = {f"{r:g}": [] for r in risks}
    for draw in range(draws):
        chosen = set(random.Random(f"{seed}/halves/{draw}").sample(distinct, len(distinct) // 2))
        first = np.array([group in chosen for group in groups])
        ours, tested = learned.mine[first], learned.mine & ~first
        if not (ours.any() and tested.any()):
            continue
        own = [group for group, f in zip(groups, first, strict=True) if f]
        outside = out_of_fold(table[first], good[first], own, draw, learned.strength, repeats=1)[ours]
        single = _one_of_each([one for one, m in zip(learned.some, learned.mine & first, strict=True) if m], draw)
        model = _fit(names, table[first], good[first], learned.strength)
        sure = np.array([model.probability(dict(zip(names, row, strict=True))) for row in table[tested]])
        for r in risks:
            least = risk.certified_threshold(outside[single], good[learned.mine & first][single], r, delta)
            if least is not None and (sure >= least).any():
                found[f"{r:g}"].append((float(1 - good[tested][sure >= least].mean()), float((sure >= least).mean())))
    return {
        name: {"draws": len(rows), "above": round(float(np.mean([e > float(name) for e, _ in rows])), 3), "error": round(float(np.mean([e for e, _ in rows])), 3),
               "answered": round(float(np.mean([c for _, c in rows])), 3)}
        for name, rows in found.items() if rows
    }  # fmt: skip


def _figures(
    some: Sequence[Observed], outside: NDArray[np.float64], good: NDArray[np.float64], read: int
) -> dict[str, Any]:
    """What the confidence is worth, out of fold, beside the generator's own probability, where it has one, and a constant; intervals over groups."""
    groups = [one.group for one in some]
    found: dict[str, Any] = {"n": len(some), "groups": len(set(groups)), "accuracy": round(float(good.mean()), 4)}
    kinds = {"calibrated": outside, "constant": np.full(len(good), good.mean())}
    # NaN where it has none: what it leaves to the words of the evidence
    own = np.array([one.raw[read] for one in some], float)
    if np.isfinite(own).any():
        kinds["generator"] = own
    measure: Any = Abstention(coverages=(COVERED,), bins=10)
    for name, chances in kinds.items():
        known = np.isfinite(chances)
        rows = measure.rows(list(chances[known]), list(good[known]))
        scores = interval(measure, rows, [group for group, k in zip(groups, known, strict=True) if k], draws=1000)
        found[name] = {
            key: [round(float(v), 4) for v in scores[key]]
            for key in ("ece", f"accuracy@{100 * COVERED:.0f}", "aurc", "brier")
        }
    return found | {"perfect": {"ece": _perfect_error(outside, measure)}}


def _perfect_error(chances: NDArray[np.float64], measure: Any, draws: int = 200) -> list[float]:
    """The calibration error that these confidences would show if they were right: it is not 0, for answers are right by chance. Mean and 95 %."""
    rng = np.random.default_rng(0)
    drawn = (rng.random((draws, len(chances))) < chances).astype(float)
    ones = np.ones((1, len(chances)))
    errors = [measure.totals(measure.rows(list(chances), list(row)), ones)["ece"][0] for row in drawn]
    return [round(float(v), 4) for v in (np.mean(errors), *np.percentile(errors, [2.5, 97.5]))]
