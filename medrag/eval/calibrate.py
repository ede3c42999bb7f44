"""How far answers can be believed, and how much evidence should be read: learned from questions with known answers.

Each question is answered with 0, 1, … pieces of what was selected for it; an observation keeps whether the answer was right, and the
signals. Observations are lines of a file, and a run that was cut off goes on. From them come, for each sort of question: P(right) by
logistic regression, its figures always out of fold, with whole groups (patients, pictures) left out together; the number of pieces by
RULE's learn-then-test, the last of those tried where none is certified; and for each risk the confidence from which on answers keep it.
Confidences and thresholds are learned from answers with that number of pieces, and a pipeline with the calibration reads no more.
Guarantees take one question of each group, drawn with the seed: several about one patient are not independent.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.files import sha256_text
from medrag._util.odds import chance, logit
from medrag._util.progress import track
from medrag.calibration import Calibration, Logistic, Sort
from medrag.confidence import closed_signals, oriented, sort_of, text_signals
from medrag.errors import CorpusError, SettingsError
from medrag.eval.lines import whole_lines
from medrag.eval.statistics import interval
from medrag.eval.tasks import Example
from medrag.score import risk
from medrag.score.abstention import Abstention
from medrag.score.reliance import right

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.pipeline import MedRAG
    from medrag.types import Context, Route

COVERED = 0.7  # share answered at which errors are reported beside those of all
FEWEST = 60  # questions of a sort from which on it is calibrated
FOLDS, REPEATS = 5, 5
STILL = 1e-9  # a spread below which a signal does not vary
STRENGTHS = (
    0.03,
    0.1,
    0.3,
    1.0,
    3.0,
)  # inverse ridge penalties over standardised signals; the best out of fold is taken
KINDS = ("closed", "open", "report")  # of tasks, those with answers that are right or wrong


@dataclass(frozen=True, slots=True)
class Observed:
    """One question: whether each answer was right, and its signals, by the number of pieces that were read."""

    id: str
    group: str
    sort: str
    right: tuple[bool, ...]
    tokens: tuple[int, ...]
    raw: tuple[float | None, ...]  # the generator's own probability of its answer
    signals: tuple[Mapping[str, float], ...]


def observe(
    rag: MedRAG, examples: Sequence[Example], path: Path, depths: Sequence[int], at_once: int = 4
) -> list[Observed]:
    """Observations of all examples in order; those that the file has of the same settings and the same question are not asked again.

    Raises SettingsError where the file holds observations of other settings, and CorpusError where there is no example.
    """
    if not examples:
        raise CorpusError("there is no question to calibrate with", "name another --task or --split")
    key = sha256_text(json.dumps(rag.calibrated_for, sort_keys=True), json.dumps(list(depths)))[:16]
    done = _kept(path, key, examples)
    wanted = [one for one in examples if one.id not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        found = zip(wanted, _observed(rag, wanted, depths, at_once), strict=True)
        for example, one in track(found, "observe", len(wanted)):
            stream.write(json.dumps({"key": key, "asked": example.asked(), **asdict(one)}) + "\n")
            stream.flush()
            done[one.id] = one
    return [done[one.id] for one in examples]


def _kept(path: Path, key: str, examples: Sequence[Example]) -> dict[str, Observed]:
    found: dict[str, Observed] = {}
    examples_by = {one.id: one for one in examples}
    for line in whole_lines(path):
        try:
            raw = json.loads(line)
        except ValueError:
            continue  # broken: asked again
        if raw["key"] != key:
            raise SettingsError(f"{path} holds observations of another index, model or setting", "name another --work")
        example = examples_by.get(raw["id"])
        if not example or raw.get("asked") != example.asked():
            continue
        lists = {name: tuple(raw[name]) for name in ("right", "tokens", "raw", "signals")}
        found[raw["id"]] = Observed(raw["id"], raw["group"], raw["sort"], **lists)
    return found


def _observed(rag: MedRAG, examples: Sequence[Example], depths: Sequence[int], at_once: int) -> Iterator[Observed]:
    for start in range(0, len(examples), at_once):
        part = examples[start : start + at_once]
        found = [rag.selected([str(p) for p in one.images] or None, one.question, tuple(one.exclude)) for one in part]
        cut = [(_at(context, k), route) for context, route in found for k in depths]
        said = iter(_said(rag, [c for c, _ in cut], [r for _, r in cut]))
        for one, (context, _) in zip(part, found, strict=True):
            rows = [next(said) for _ in depths]
            tokens = tuple(sum(len(hit.item.text.split()) for hit in context.kept[:k]) for k in depths)
            good = tuple(right(text, str(one.reference)) for text, _, _ in rows)
            yield Observed(
                one.id,
                one.group,
                sort_of(context),
                good,
                tokens,
                tuple(p for _, p, _ in rows),
                tuple(s for _, _, s in rows),
            )


def _at(context: Context, depth: int) -> Context:
    """The context with so many pieces; without any nothing was retrieved, and nothing counted."""
    return replace(context, kept=context.kept[:depth], frequency=context.frequency if depth else None)


def _said(
    rag: MedRAG, contexts: Sequence[Context], routes: Sequence[Route]
) -> list[tuple[str, float | None, dict[str, float]]]:
    """Answer, the generator's probability of it, and signals; closed questions by P(yes) where it is known, for it is quicker."""
    closed = [n for n, context in enumerate(contexts) if sort_of(context) == "closed"]
    signals = (
        closed_signals(
            rag.generator, [contexts[n] for n in closed], [routes[n] for n in closed], private=rag.settings.private
        )
        if closed
        else []
    )
    found: dict[int, tuple[str, float | None, dict[str, float]]] = {}
    for n, one in zip(closed, signals, strict=True):
        if "given" in one:
            p = chance(one["given"])
            found[n] = ("Yes." if p >= 0.5 else "No.", max(p, 1 - p), oriented(one, p >= 0.5))
    others = [n for n in range(len(contexts)) if n not in found]
    for n, answer in zip(
        others, rag.answers_from([contexts[n] for n in others], [routes[n] for n in others]), strict=True
    ):
        found[n] = (answer.text, None, text_signals(answer.context, answer.route))
    return [found[n] for n in range(len(contexts))]


def calibrated(
    observed: Sequence[Observed], made_for: Mapping[str, str], depths: Sequence[int], risks: Sequence[float], delta: float = 0.1, alpha: float = 0.3,
    seed: int = 0,
) -> Calibration:  # fmt: skip
    """The calibration of all sorts of which there are enough questions.

    Raises SettingsError where there are enough of none, and for a share or a number that is none.
    """
    if not all(0 < share < 1 for share in (*risks, delta, alpha)) or min(depths, default=-1) < 0:
        raise SettingsError("risks, alpha and delta lie between 0 and 1, depths are 0 or more", "name others")
    by_sort: dict[str, list[Observed]] = {}
    for one in observed:
        by_sort.setdefault(one.sort, []).append(one)
    sorts = {
        name: _sort(some, depths, risks, delta, alpha, seed) for name, some in by_sort.items() if len(some) >= FEWEST
    }
    if not sorts:
        raise SettingsError(
            f"{len(observed)} questions are too few", f"{FEWEST} of one sort are needed, 200 are better"
        )
    about = {"questions": len(observed), "depths": list(depths), "alpha": alpha, "seed": seed}
    return Calibration(made_for, delta, sorts, about)


def _sort(
    some: Sequence[Observed], depths: Sequence[int], risks: Sequence[float], delta: float, alpha: float, seed: int
) -> Sort:
    wrong = np.array([[not good for good in one.right] for one in some], float)
    single = _one_of_each(some, seed)
    certified = risk.certified(wrong[single], alpha, delta)
    read = min(certified, key=lambda n: (wrong[:, n].mean(), depths[n])) if certified else len(depths) - 1
    groups, good = [one.group for one in some], 1 - wrong[:, read]
    names, table = _table([one.signals[read] for one in some])
    strength, outside = _best(table, good, groups, seed)
    thresholds = {f"{r:g}": risk.certified_threshold(outside[single], good[single], r, delta) for r in risks}
    report = _figures(some, outside, good, read) | {
        "errors_by_depth": {str(k): round(float(e), 4) for k, e in zip(depths, wrong.mean(0), strict=True)},
        "tokens_by_depth": {str(k): round(float(np.mean([one.tokens[n] for one in some])), 1) for n, k in enumerate(depths)},
        "certified_depths": [depths[n] for n in certified], "independent": len(single), "strength": strength, "conformal": conformal(outside[single], good[single], risks), "read": depths[read], "halves": halves(some, table, good, risks, delta, strength, seed),
    }  # fmt: skip
    return Sort(_fit(names, table, good, strength), thresholds, depths[read], report)


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


def _best(
    table: NDArray[np.float64], good: NDArray[np.float64], groups: Sequence[str], seed: int
) -> tuple[float, NDArray[np.float64]]:
    """The strength with the least log loss out of fold, and its probabilities."""
    tried = {strength: out_of_fold(table, good, groups, seed, strength) for strength in STRENGTHS}

    def loss(strength: float) -> float:
        p = np.clip(tried[strength], 1e-6, 1 - 1e-6)
        return float(-np.mean(good * np.log(p) + (1 - good) * np.log(1 - p)))

    best = min(STRENGTHS, key=loss)
    return best, tried[best]


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
    grid = np.append(np.unique(sure), 1.01)
    losses = (1 - good)[:, None] * (sure[:, None] >= grid)
    found = {f"{r:g}": risk.conformal(losses, r) for r in risks}
    return {name: None if n is None else round(float(grid[n]), 4) for name, n in found.items()}


def halves(
    some: Sequence[Observed], table: NDArray[np.float64], good: NDArray[np.float64], risks: Sequence[float], delta: float, strength: float,
    seed: int = 0, draws: int = 100,
) -> dict[str, Any]:  # fmt: skip
    """The guarantee tried on the questions themselves: the groups are cut in two ``draws`` times, one half makes the threshold, the other
    is answered by it. For each risk the share of draws in which the other half was wrong more often, of those with a threshold, and the mean
    share that was answered. The other half is a sample too: by chance it is above a risk that is just kept in half of the draws."""
    groups = sorted({one.group for one in some})
    found: dict[str, list[tuple[float, float]]] = {f"{r:g}": [] for r in risks}
    for draw in range(draws):
        chosen = set(random.Random(f"{seed}/halves/{draw}").sample(groups, len(groups) // 2))
        mine = np.array([one.group in chosen for one in some])
        ours = [one for one, m in zip(some, mine, strict=True) if m]
        single = _one_of_each(ours, draw)
        outside = out_of_fold(table[mine], good[mine], [one.group for one in ours], draw, strength, repeats=1)
        names = [str(n) for n in range(table.shape[1])]
        model = _fit(names, table[mine], good[mine], strength)
        sure = np.array([model.probability(dict(zip(names, row, strict=True))) for row in table[~mine]])
        for r in risks:
            least = risk.certified_threshold(outside[single], good[mine][single], r, delta)
            if least is not None and (sure >= least).any():
                found[f"{r:g}"].append((float(1 - good[~mine][sure >= least].mean()), float((sure >= least).mean())))
    return {
        name: {"draws": len(rows), "above": round(float(np.mean([e > float(name) for e, _ in rows])), 3), "error": round(float(np.mean([e for e, _ in rows])), 3),
               "answered": round(float(np.mean([c for _, c in rows])), 3)}
        for name, rows in found.items() if rows
    }  # fmt: skip


def _figures(
    some: Sequence[Observed], outside: NDArray[np.float64], good: NDArray[np.float64], read: int
) -> dict[str, Any]:
    """What the confidence is worth, out of fold, beside the generator's own probability and a constant; intervals over groups."""
    groups = [one.group for one in some]
    found: dict[str, Any] = {"n": len(some), "groups": len(set(groups)), "accuracy": round(float(good.mean()), 4)}
    kinds = {"calibrated": outside, "constant": np.full(len(good), good.mean())}
    own = [one.raw[read] for one in some]
    if all(p is not None for p in own):
        kinds["generator"] = np.array(own, float)
    measure: Any = Abstention(coverages=(COVERED,), bins=10)
    for name, chances in kinds.items():
        scores = interval(measure, measure.rows(list(chances), list(good)), groups, draws=1000)
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
