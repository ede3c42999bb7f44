"""Puts the shared helpers of tests/ on the path, and skips what needs real data where MEDRAG_DATA is not set."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# examples are not timed: machines are shared; in CI they are the same at every run
settings.register_profile("medrag", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("medrag")

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("MEDRAG_ONNX", "0")  # networks are exported once a home, and most tests have a home of their own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips tests marked ``data`` where the data pack is not there, with the reason."""
    folder = os.environ.get("MEDRAG_DATA", "")
    if folder and Path(folder).is_dir():
        return
    skip = pytest.mark.skip(reason="MEDRAG_DATA does not name the folder of the data pack")
    for item in items:
        if "data" in item.keywords:
            item.add_marker(skip)
