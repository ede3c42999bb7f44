"""Every committed result shows what eval/expected asks of it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CASES = [
    (path.stem, bound, one["path"], one["value"], json.loads((ROOT / raw["result"]).read_text(encoding="utf-8")))
    for path in sorted((ROOT / "eval/expected").glob("*.yaml"))
    for raw in [yaml.safe_load(path.read_text(encoding="utf-8"))]
    for bound in ("least", "most")
    for one in raw.get(bound, ())
]


@pytest.mark.parametrize(("name", "bound", "path", "value", "result"), CASES)
def test_a_result_reaches_its_bound(name: str, bound: str, path: list[str], value: float, result: Any) -> None:
    found = functools.reduce(lambda part, key: part[key], path, result)
    score = found[0] if isinstance(found, list) else found
    assert score >= value if bound == "least" else score <= value


def test_there_is_something_to_reach() -> None:
    assert len(CASES) >= 9
