"""Results as one self-contained page: tables, drawings, and cases that were won and lost with their evidence.

It turns results into plain values; ``presets/eval.html.j2`` turns those into markup and escapes every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medrag._util import render
from medrag._util.files import atomic_open
from medrag.errors import CorpusError
from medrag.eval import charts, own, scoring
from medrag.eval.compare import load
from medrag.eval.tasks import Task
from medrag.score import closed
from medrag.score.reliance import unlike

CASES = 4  # won and lost, each
SHOWN = 0.005  # a smaller gain is written 0.00
DRAWS = 1000
Line = dict[str, Any]
Loaded = tuple[dict[str, Any], list[Line]]


def write(results: Sequence[Path], out: Path, tell: Callable[[str], object] = lambda line: None) -> Path:
    """Writes the page of all results, grouped by task; of a folder, what is no finished result is left out and told.

    Raises CorpusError where nothing is found, or a result that was named is not finished.
    """
    by: dict[str, list[Loaded]] = {}
    for path in results:
        for result, lines in _of_folder(path, tell) if path.is_dir() else [load(path)]:
            by.setdefault(f"{result['task']} · {result['split']}", []).append((result, lines))
    if not by:
        raise CorpusError(f"no finished result in {', '.join(map(str, results))}", "run one: medrag eval run …")
    from medrag._util.html import template

    page = template("eval.html.j2").render(
        tasks=[section(title, found) for title, found in by.items()], rule=render.RULE
    )
    with atomic_open(out, "w") as stream:
        stream.write(page)
    return out


def _of_folder(folder: Path, tell: Callable[[str], object]) -> Iterator[Loaded]:
    for path in sorted(folder.glob("*.json")):
        try:
            yield load(path)
        except CorpusError as error:
            tell(f"left out: {error}")


def section(title: str, found: list[Loaded]) -> dict[str, Any]:
    """One task: every arm and baseline in one table, the drawings, the cases."""
    first = found[0][0]
    task = Task.model_validate(first["settings"]["task"])
    return {
        "title": title, "about": task.about, "untaught": ", ".join(own.untaught(first)), "licence": task.licence, "headline": task.headline, "n": _span(found, "n"), "groups": _span(found, "groups"),
        "table": table(found, task.headline, whole=task.kind != "report"), "charts": drawings(task, found), "cases": cases(task, found),
        "arms": [{"name": name, "generator": r["settings"].get("generator", ""), "fingerprint": r["settings"].get("fingerprint", ""),
                  "seconds": r["seconds"], "abstained": r["abstained"], "failed": r["failed"]} for name, (r, _) in zip(labels(found), found, strict=True)],
        "versions": ", ".join(f"{name} {version}" for name, version in first["versions"].items()),
    }  # fmt: skip


def labels(found: list[Loaded]) -> list[str]:
    """What each result is called beside the others: its arm, with its generator and number of examples where these differ; a number tells those apart that are still alike."""
    generators = [r["settings"].get("generator", "") for r, _ in found]
    several, sizes = len({*generators} - {""}) > 1, {r["n"] for r, _ in found}
    names = []
    for (result, _), generator in zip(found, generators, strict=True):
        name = f"{result['arm']} · {generator}" if several and generator else result["arm"]
        names.append(f"{name} ({result['n']})" if len(sizes) > 1 else name)
    return [f"{name} #{names[: n + 1].count(name)}" if names.count(name) > 1 else name for n, name in enumerate(names)]


def _span(found: list[Loaded], name: str) -> str:
    """The number that all results share, or the least and the greatest."""
    every = [result[name] for result, _ in found]
    return str(every[0]) if len({*every}) == 1 else f"{min(every)}–{max(every)}"


def table(found: list[Loaded], headline: str, whole: bool = False) -> dict[str, Any]:
    """Scores by row, arms and then baselines by column: value and interval. The F1 of each class is left to the drawing, if not ``whole``."""
    first = found[0][0]
    every = dict.fromkeys(name for result, _ in found for name in result["scores"])
    names = [headline, *(name for name in every if name != headline and (whole or not name.startswith("f1/")))]
    columns = [
        (label, {k: (v, *r["intervals"][k]) for k, v in r["scores"].items()})
        for label, (r, _) in zip(labels(found), found, strict=True)
    ]
    size = "" if len({r["n"] for r, _ in found}) == 1 else f", {first['n']}"
    columns += [
        (f"{name} (baseline{size})", {k: tuple(v) for k, v in scores.items()})
        for name, scores in first["baselines"].items()
        if name not in own.untaught(first)
    ]
    rows = [
        (name, [f"{s[name][0]:.3f} [{scoring.spread(s[name][1:])}]" if name in s else "–" for _, s in columns])
        for name in names
    ]
    return {"columns": [name for name, _ in columns], "rows": rows}


def pair(found: list[Loaded]) -> tuple[int, int] | None:
    """Places of what is compared in drawings and cases: adaptive (or else the last arm) with none (or else the first), of one generator if there is one."""
    arms = [r["arm"] for r, _ in found]
    generators = [r["settings"].get("generator", "") for r, _ in found]
    new = arms.index("adaptive") if "adaptive" in arms else len(arms) - 1
    nones = [n for n, arm in enumerate(arms) if arm == "none"]
    old = min(nones, key=lambda n: generators[n] != generators[new], default=0)
    return None if arms[new] == arms[old] else (new, old)


def _in_both(mine: Sequence[Line], theirs: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines of two results that answer the same, in one order."""
    by = {line["id"]: line for line in theirs}
    kept = [line for line in mine if line["id"] in by and not unlike(line, by[line["id"]])]
    return kept, [by[line["id"]] for line in kept]


def drawings(task: Task, found: list[Loaded]) -> list[dict[str, Any]]:
    """The plots of a task for its page: gains, ranks, calibration and coverage, as far as its results have them."""
    made = _gains(task, found)
    if task.kind == "closed":
        made += _closed(found)
    if task.kind == "ranking":
        made += [
            {
                "title": f"Rank of the first relevant document: {label}",
                **charts.bars(charts.first_ranks(lines), "queries"),
            }
            for label, (_, lines) in zip(labels(found), found, strict=True)
        ]
    return made


def _gains(task: Task, found: list[Loaded]) -> list[dict[str, Any]]:
    """Differences by score and by finding; those beyond ±1 would leave no room for the others, and stand in the title."""
    both = pair(found)
    if not both:
        return []
    mine, theirs = _in_both(*(found[n][1] for n in both))
    if not mine:
        return []
    gains = scoring.differences(
        scoring.rows_of(task, mine), scoring.rows_of(task, theirs), [line["group"] for line in mine], DRAWS, 0
    )
    new, old = (labels(found)[n] for n in both)
    named = f"{new} − {old}, {len(mine)} examples, with 95 % intervals"
    rows = [(k, d["difference"], *d["interval"]) for k, d in gains.items() if not k.startswith("f1/")]
    scores = [row for row in rows if abs(row[1]) <= 1]
    if beyond := ", ".join(f"{k} {gain:+.2f}" for k, gain, *_ in rows if abs(gain) > 1):
        named += f"; not drawn, above 1 in size: {beyond}"
    made = [{"title": f"Gain by score: {named}", **_forest(scores, [k for k, *_ in scores if scoring.fault(k)])}]
    if findings := [(k[3:], d["difference"], *d["interval"]) for k, d in gains.items() if k.startswith("f1/")]:
        made.append({"title": f"Gain by finding (F1): {new} − {old}, with 95 % intervals", **_forest(findings)})
    return made


def _forest(rows: Sequence[tuple[str, float, float | None, float | None]], falls: Sequence[str] = ()) -> dict[str, Any]:
    """Differences with their intervals; one without an interval is a point, and not sure."""
    known = [
        (name, value, *((value, value) if low is None or high is None else (low, high)))
        for name, value, low, high in rows
    ]
    drawn = charts.forest(known, "difference", falls)
    for mark, (_, _, low, _) in zip(drawn["marks"], rows, strict=True):
        mark["sure"] = mark["sure"] and low is not None
    return drawn


def _closed(found: list[Loaded]) -> list[dict[str, Any]]:
    """Calibration of P(yes) and accuracy by coverage, for arms that know P(yes)."""
    calibrated, covered = {}, {}
    for label, (_, lines) in zip(labels(found), found, strict=True):
        known = [line for line in lines if line["probability"] is not None]
        if len(known) < 20:
            continue
        chances, truth = [line["probability"] for line in known], [line["reference"] == "yes" for line in known]
        calibrated[label] = charts.calibration(chances, truth)
        covered[label] = charts.coverage(
            [scoring.confidence_of(line) for line in known],
            [closed.parse(str(line["value"])) == line["reference"] for line in known],
        )
    if not calibrated:
        return []
    return [
        {
            "title": "Calibration of the answer “yes”",
            **charts.curve(calibrated, "probability said", "share that is yes", True),
        },
        {
            "title": "Accuracy by coverage, the surest answers first",
            **charts.curve(covered, "share answered", "share right"),
        },
    ]


def cases(task: Task, found: list[Loaded]) -> list[dict[str, Any]]:
    """The examples that retrieval won and lost most; a gain that is shown as 0.00 is none."""
    both = pair(found)
    if not both or task.kind not in ("report", "closed", "open"):
        return []
    lines, others = _in_both(*(found[n][1] for n in both))
    if not lines:
        return []
    gains = single(task, lines) - single(task, others)
    new, old = (labels(found)[n] for n in both)
    order = [int(n) for n in np.argsort(-gains, kind="stable")]
    chosen = [("won", n) for n in order[:CASES] if gains[n] >= SHOWN] + [
        ("lost", n) for n in order[::-1][:CASES] if gains[n] <= -SHOWN
    ]
    return [_case(how, float(gains[n]), lines[n], others[n], new, old) for how, n in chosen]


def single(task: Task, lines: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
    """The first measure's leading score of each example alone (n,); 0 where nothing defines it."""
    measure, rows = scoring.rows_of(task, lines)[0]
    values = [next(iter(measure.totals(row[None], np.ones((1, 1))).values()))[0] for row in rows]
    scores: np.ndarray[Any, Any] = np.nan_to_num(np.array(values, dtype=float))
    return scores


def _case(
    how: str, gain: float, line: Mapping[str, Any], other: Mapping[str, Any], new: str, old: str
) -> dict[str, Any]:
    asked = line if line["question"] else other  # what failed knows neither its question nor its pictures
    return {
        "how": how, "gain": f"{gain:+.2f}", "id": line["id"], "question": asked["question"], "reference": line["reference"],
        "answers": [(new, line["value"]), (old, other["value"])], "images": [_thumbnail(path) for path in asked["images"] if Path(path).is_file()],
        "evidence": [(e["key"], e["id"], e["text"]) for e in line["evidence"]],
    }  # fmt: skip


def _thumbnail(path: str) -> str:
    from medrag._util.images import data_url, load_image

    return data_url(load_image(path, max_side=256).image, 256)
