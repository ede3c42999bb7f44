"""Measures again what medrag claims of itself: every command of eval/measures.yaml, then the table in docs/measured.md.

    make measure                                   # all of it: hours; a run that was cut off goes on
    python eval/measure.py --only bm25 --only faiss
    python eval/measure.py --table                 # runs nothing: writes the page from the results that are there

What was run, when and on which commit stands in eval/results/DATE.json, with every claim and whether it holds; a result that an earlier day measured keeps that
day. A command that fails is told and leaves its earlier result as it was. Commands that need the real-data pack (MEDRAG_DATA) or a package that is
not there are left out, and told.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medrag._util.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "eval" / "results"
PAGE = ROOT / "docs" / "measured.md"
TODAY = re.compile(r"\d{4}-\d\d-\d\d\.json")


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and, where it was drawn again, its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        low, high = self.low, self.high
        return plain(self.value) + (f" ({plain(low)} – {plain(high)})" if low is not None and high is not None else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measures = yaml.safe_load((ROOT / "eval" / "measures.yaml").read_text(encoding="utf-8"))
    parser.add_argument(
        "--only", action="append", choices=list(measures["runs"]), help="a command. Repeat for several."
    )
    parser.add_argument("--most", type=float, default=0, help="leave out what takes more minutes (0: nothing)")
    parser.add_argument("--fresh", action="store_true", help="run again what this day has run")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    held = earlier()
    day = RESULTS / f"{datetime.date.today().isoformat()}.json"
    for name, run in measures["runs"].items() if not options.table else ():
        if (options.only and name not in options.only) or (options.most and run["minutes"] > options.most):
            continue
        held["runs"][name] = ran(name, run, held["runs"].get(name, {}), options.fresh) or held["runs"].get(name, {})
        write_json(day, held | {"claims": judged(measures, held["runs"])})
    claims = judged(measures, held["runs"])
    write_json(day, {**held, "claims": claims})
    PAGE.write_text(page(measures, claims), encoding="utf-8")
    missed = [claim for claim in claims if claim["met"] is False]
    print(f"{len(claims)} claims, {len(missed)} not met; written: {day.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}")


def earlier() -> dict[str, Any]:
    """What the newest dated result knows of the commands; results of other days keep their day."""
    days = sorted(path for path in RESULTS.glob("*.json") if TODAY.fullmatch(path.name))
    runs = json.loads(days[-1].read_text(encoding="utf-8"))["runs"] if days else {}
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")  # fmt: skip
    return {"machine": f"{os.cpu_count()} cores, {cpu or platform.machine()}, Python {platform.python_version()}", "runs": runs}  # fmt: skip


def ran(name: str, run: dict[str, Any], before: dict[str, Any], fresh: bool) -> dict[str, Any]:
    """Runs a command unless this day has; {} where it was left out. A step ``COMMAND > FILE`` keeps what it prints."""
    today, commit = datetime.date.today().isoformat(), git("rev-parse", "--short", "HEAD")
    if before.get("day") == today and not before.get("failed") and not fresh:
        return before
    if lack := missing(run.get("needs", "")):
        print(f"{name}: left out, it needs {lack}")
        return {}
    print(f"{name}: {run['command']}", flush=True)
    began = time.time()
    for step in run["command"].split(" && "):
        command, _, file = step.partition(" > ")
        with tempfile.TemporaryFile() as told:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            code = subprocess.call(["bash", "-c", command], cwd=ROOT, stdout=told if file else None, env={**os.environ, "PATH": path})  # fmt: skip
            told.seek(0)
            if code == 0 and file:
                (ROOT / file.strip()).parent.mkdir(parents=True, exist_ok=True)
                (ROOT / file.strip()).write_bytes(told.read())
        if code:
            print(f"{name}: failed with {code}; its earlier result stays", file=sys.stderr)
            return {**before, "failed": today}
    return {"day": today, "commit": commit, "minutes": round((time.time() - began) / 60, 1)}


def missing(needs: str) -> str:
    """What a command needs and is not there, in words."""
    if needs == "data":
        return "" if os.environ.get("MEDRAG_DATA") else "the real-data pack (set MEDRAG_DATA)"
    modules = {"medrag[milvus]": "pymilvus", "medrag[ray]": "ray", "mutmut": "mutmut"}
    import importlib.util

    return needs if needs and importlib.util.find_spec(modules[needs]) is None else ""


def judged(measures: dict[str, Any], runs: dict[str, Any]) -> list[dict[str, Any]]:
    """Every claim with its figure, what stands beside it, and whether it holds (None: nothing was asked, or it was not measured)."""
    found = []
    for area, claims in measures["claims"].items():
        head = ""
        for claim in claims:
            head = head if claim["what"].startswith("the same") else claim["what"].partition(":")[0]
            figure = figure_of(claim)
            beside = {label: read(where) for label, where in claim.get("beside", {}).items()}
            file = claim["figure"].partition(" ")[0]
            found.append({
                "area": area, "what": claim["what"], "in_full": claim["what"].replace("the same", head, 1), "figure": [figure.value, figure.low, figure.high] if figure else None,
                "asked": asked(claim), "met": met(claim, figure), "beside": [[label, str(v)] for label, v in beside.items() if v],
                "command": measures["runs"][claim["run"]]["command"], "note": claim.get("note", ""), "why": claim.get("why", ""),
                "day": runs.get(claim["run"], {}).get("day") or git("log", "-1", "--format=%cs", "--", str(RESULTS / file)),
            })  # fmt: skip
    return found


def figure_of(claim: dict[str, Any]) -> Figure | None:
    """The figure of a claim: scaled, or over another one, or of errors instead of right answers, where it says so."""
    figure, scale = read(claim["figure"], claim.get("interval", "")), float(claim.get("scale", 1))
    if figure is None:
        return None
    if isinstance(figure.value, bool):
        return figure
    values = [figure.value, figure.low, figure.high]
    if claim.get("errors"):
        values = [None if v is None else 1 - v for v in (figure.value, figure.high, figure.low)]
    if "over" in claim:
        other = read(claim["over"])
        if other is None:
            return None
        scale /= 1 - other.value if claim.get("errors") else other.value
    return Figure(*(None if v is None else v * scale for v in values))  # type: ignore[arg-type]


def read(where: str, interval: str = "") -> Figure | None:
    """The figure at "FILE PATH/IN/IT"; its interval stands in the value, beside it, or under ``intervals`` as evaluation results have it."""
    file, _, path = where.partition(" ")
    try:
        found = json.loads((RESULTS / file).read_text(encoding="utf-8"))
        value = at(found, path)
    except (OSError, KeyError, ValueError):
        return None
    if isinstance(value, list):
        return Figure(*value[:3])
    other = interval.partition(" ")[2] or path.replace("scores/", "intervals/", 1)
    if path.endswith("/difference"):
        other = path.removesuffix("difference") + "interval"
    return Figure(value, *(_bounds(found, other) if other != path else ()))


def _bounds(found: Any, path: str) -> list[float]:
    try:
        return list(at(found, path))
    except KeyError:
        return []


def at(found: Any, path: str) -> Any:
    """The value under a path of keys; a key may itself hold slashes. Raises KeyError."""
    if not path:
        return found
    place, _, rest = path.partition("/")
    if isinstance(found, list) and place.isdigit() and int(place) < len(found):
        return at(found[int(place)], rest)
    for key in sorted(found if isinstance(found, dict) else (), key=len, reverse=True):
        if path == key or path.startswith(f"{key}/"):
            return at(found[key], path[len(key) + 1 :])
    raise KeyError(path)


def asked(claim: dict[str, Any]) -> str:
    words = {"at_least": "≥ {}", "at_most": "≤ {}", "equals": "{}", "low_above": "interval above {}"}
    return next((text.format(plain(claim[key])) for key, text in words.items() if key in claim), "")


def met(claim: dict[str, Any], figure: Figure | None) -> bool | None:
    if figure is None:
        return None
    tests: dict[str, Callable[[float], bool]] = {
        "at_least": lambda asked: figure.value >= asked, "at_most": lambda asked: figure.value <= asked,
        "equals": lambda asked: figure.value == asked, "low_above": lambda asked: figure.low is not None and figure.low > asked,
    }  # fmt: skip
    return next((bool(test(claim[key])) for key, test in tests.items() if key in claim), None)


def plain(value: Any) -> str:
    """A number as people write it: three places below ten, one below a thousand, none above."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    size = abs(float(value))
    if 0 < size < 0.001:
        return f"{value:.1e}"
    text = f"{value:,.{3 if size < 10 else 1 if size < 1000 else 0}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def page(measures: dict[str, Any], claims: list[dict[str, Any]]) -> str:
    """docs/measured.md."""
    told = [claim for claim in claims if claim["met"] is not None]
    held = sum(claim["met"] for claim in told)
    lines = [
        "# Measured", "", "*What medrag claims, with the command that gives the figure again.* Written by `make measure` (`python eval/measure.py`; hours, it goes on where it",
        "was cut off; `--only NAME` runs one command, `--table` none) from `eval/measures.yaml`; raw output lies in `eval/results/`. Two CPU cores, no GPU. In brackets 95 % intervals",
        "by bootstrap over studies, patients or questions. *Asked* is what was set as a target before; *beside it* are peers and trivial baselines of the same run.", "",
        f"Of {len(told)} targets {held} are met.", "",
    ]  # fmt: skip
    for area, group in {c["area"]: [d for d in claims if d["area"] == c["area"]] for c in claims}.items():
        lines += [
            f"## {area}",
            "",
            "| what | figure | asked | met | beside it | measured |",
            "|---|---|---|---|---|---|",
        ]
        lines += [row(claim) for claim in group]
        commands = dict.fromkeys(claim["command"] for claim in group)
        lines += ["", "```", *(step for command in commands for step in command.split(" && ")), "```", ""]
    missed = [claim for claim in claims if claim["met"] is False]
    lines += ["## Not met", "", *(f"- **{claim['in_full']}**: {figure_text(claim)}, asked {claim['asked']}" + (f"; {claim['why']}." if claim["why"] else ".") for claim in missed), ""]  # fmt: skip
    return "\n".join(lines)


def row(claim: dict[str, Any]) -> str:
    what = claim["what"] + (f" ({claim['note']})" if claim["note"] else "")
    beside = "; ".join(f"{label} {value}" for label, value in claim["beside"])
    verdict = {True: "yes", False: "**no**", None: ""}[claim["met"]]
    return f"| {what} | {figure_text(claim)} | {claim['asked']} | {verdict} | {beside} | {claim['day']} |"


def figure_text(claim: dict[str, Any]) -> str:
    return str(Figure(*claim["figure"])) if claim["figure"] else "not measured"


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
