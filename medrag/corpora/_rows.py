"""Rows of tables as text that can be quoted: a sentence with the names of its columns where these are sure, else ``a | b | c``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

LONGEST = 50  # words of a row that is read as one sentence


def row(header: Sequence[str], cells: Sequence[str]) -> str:
    """A row as a sentence that stands alone: "Marker: CK7; Colon: negative."."""
    named = itertools.zip_longest(header, cells[: len(header)], fillvalue="")
    said = [f"{name}: {cell}" if name else cell for name, cell in named if cell]
    text = "; ".join([*said, *filter(None, cells[len(header) :])])
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def rows(cells: Sequence[Sequence[str]], bold: Sequence[bool], *, sure: bool = True) -> list[str]:
    """Each row of a printed table, its header first where that names no columns. ``bold``: whether all of a row is; ``sure``: whether
    it is clear which cell stands in which column."""
    if sure and _names(cells, bold):
        return [row(cells[0], one) for one in cells[1:]]
    return list(filter(None, (" | ".join(one).strip(" |") for one in cells)))


def _names(cells: Sequence[Sequence[str]], bold: Sequence[bool]) -> bool:
    """Whether the first row is surely the header of all others: the only bold one, and no row's cells are spread over several."""
    header, *others = cells
    words = all(any(sign.isalpha() for sign in cell) for cell in header)
    whole = all(len(one) == len(header) and one[0] and any(one[1:]) and _short(one) for one in others)
    return bool(others) and len(set(header)) == len(header) > 1 and words and bold[0] and not any(bold[1:]) and whole


def _short(cells: Sequence[str]) -> bool:
    """Whether a row can be read as one sentence: no lists, not too many words."""
    return sum(len(cell.split()) for cell in cells) <= LONGEST and not any("•" in cell for cell in cells)
