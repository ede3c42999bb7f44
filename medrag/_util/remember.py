"""What functions remember of the texts and pictures that they were given, and how all of it is forgotten at once.

Questions, answers and evidence are read sentence by sentence, and sentences come again: so their readings are kept for the whole process. Whatever
reads what an asker brings is `remembered` rather than cached by itself, so that the end of a session can be the end of its words.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_REMEMBERED: list[functools._lru_cache_wrapper[object]] = []


def remembered(most: int) -> Callable[[Callable[..., T]], functools._lru_cache_wrapper[T]]:
    """`functools.lru_cache` that `forget` clears."""

    def wrap(work: Callable[..., T]) -> functools._lru_cache_wrapper[T]:
        kept = functools.lru_cache(maxsize=most)(work)
        _REMEMBERED.append(kept)
        return kept

    return wrap


def forget() -> None:
    """Nothing of any text or picture is kept: neither the readings nor the patterns that were made of its words."""
    for kept in _REMEMBERED:
        kept.cache_clear()
    re.purge()
