"""Characters that nobody sees, in a text and in an item's line of JSON."""

from __future__ import annotations

import json
import re
from typing import Any

# zero-width and direction marks, soft hyphens, variation selectors, tags: nobody sees them, and words are split or hidden with them
_UNSEEN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]"
)
_NAMES = frozenset(  # of an item: what a file, a patient or another item is found by
    "id doc source images path paths passage subject_id object_id uid study_uid patient patient_id accession".split()
)


def visible(text: str) -> str:
    """The text without characters that nobody sees."""
    return _UNSEEN.sub("", text)


def hidden(text: str) -> int:
    """How many characters of a text nobody sees."""
    return len(_UNSEEN.findall(text))


def without_unseen(line: bytes) -> tuple[bytes, int]:
    """An item's line without characters that nobody sees, and how many there were but for soft hyphens; names of files and ids stay as they are."""
    text = line.decode()
    if text == visible(text):
        return line, 0
    raw = {key: value if key in _NAMES else _seen(value) for key, value in json.loads(text).items()}
    clean = f"{json.dumps(raw, ensure_ascii=False, separators=(',', ':'))}\n"
    return clean.encode(), hidden(text.replace("\u00ad", "")) - hidden(clean.replace("\u00ad", ""))


def _seen(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: one if key in _NAMES else _seen(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_seen(one) for one in value]
    return visible(value) if isinstance(value, str) else value
