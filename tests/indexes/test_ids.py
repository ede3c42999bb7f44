"""Ids by position against a plain list of (id, alive): additions, deletions, filters and a reload."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.indexes.ids import IdTable

SOME = st.lists(st.sampled_from("abcdef"), max_size=5)


@given(st.lists(st.tuples(st.booleans(), SOME), max_size=6), st.none() | SOME, SOME)
@settings(max_examples=100, deadline=None)
def test_the_mask_is_that_of_what_is_there(
    steps: list[tuple[bool, list[str]]], allowed: list[str] | None, exclude: list[str]
) -> None:
    table, at, count = IdTable(), dict[str, int](), 0
    for adds, ids in steps:
        if adds:
            table.add(ids)
            at.update((item, count + n) for n, item in enumerate(ids))
            count += len(ids)
        else:
            assert table.delete(ids) == len([at.pop(item) for item in set(ids) if item in at])
    kept = [n for item, n in at.items() if (allowed is None or item in allowed) and item not in exclude]
    mask = table.wanted(allowed, exclude)
    assert (list(range(count)) if mask is None else np.flatnonzero(mask).tolist()) == sorted(kept)
    assert table.alive() == sorted(at.values()) and len(table) == len(at)


def test_the_mask_of_the_living_is_not_made_again_for_every_query(tmp_path: Path) -> None:
    table = IdTable([f"c:{n}" for n in range(1000)])
    assert table.wanted(None, ()) is None
    table.delete([f"c:{n}" for n in range(900)])
    mask = table.wanted(None, ())
    assert mask is not None and table.wanted(None, ()) is mask and mask.sum() == 100
    narrower = table.wanted(None, ["c:950"])
    assert narrower is not None and narrower.sum() == 99 and mask.sum() == 100  # a copy
    table.save(tmp_path / "ids.json")
    again = IdTable.open(tmp_path / "ids.json").wanted(None, ())
    assert again is not None and (again == mask).all()
