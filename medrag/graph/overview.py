"""What a graph holds, by relation and by source, for people who look at it. One pass over its edges."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def overview(path: Path) -> dict[str, dict[str, int]]:
    """``relations``: edges by relation; ``polarities`` and ``sources`` in the same way, each with the most first."""
    ways = {
        "relations": "SELECT r.name, count(*) FROM edges e JOIN relations r ON r.r = e.r GROUP BY e.r",
        "polarities": "SELECT polarity, count(*) FROM edges GROUP BY polarity",
        "sources": "SELECT s.name, count(*) FROM edges e JOIN sources s ON s.source = e.source GROUP BY e.source",
    }
    with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
        return {
            name: dict(sorted(base.execute(query), key=lambda row: (-row[1], row[0]))) for name, query in ways.items()
        }
