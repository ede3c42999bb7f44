"""Lines put together as running text: whether a hyphen at a line's end divides a word or joins two."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

LONGEST = 100  # letters of a word that is divided at the end of a line
_HEAD, _TAIL = re.compile(r"([^\W\d_]+)-$"), re.compile(r"[a-z]+")
_LINK = re.compile(r"[^\W\d_]-(?:and|of|or|the|to)-$")  # over-the-counter, person-to-person
# parts by which a compound is known where the document writes it nowhere else: first-line, beta-blocker, plasma-like
_FIRST = frozenset(
    "self first second third one two three four five long short high low half double cross well beta alpha".split()
)
_LAST = frozenset(
    "like line term dose type based related induced dependent free wide shaped grade risk positive negative associated acquired "
    "threatening limiting resistant sensitive specific controlled borne blocker blockers blockade up old year day week month hour "
    "layered release acting onset stage".split()
)  # fmt: skip
_ENDING = re.compile(r"(?:.{1,2}|ing|ed|est|ly|ness|less|ful|ish|ened|itud\w+|bet\w*)$")  # no word of its own
# words that begin others, so that both halves are words and the whole is one: with-out, there-fore, under-stand
_FUSING = frozenset("with there where some any every under over out how never more further mean other fore inter not none him her them your".split())  # fmt: skip


def join(lines: Sequence[str], words: Collection[str] = frozenset()) -> str:
    """Lines as one text; a word divided at the end of a line is put together, a compound keeps its hyphen. ``words`` are
    those that the document spells, in small letters."""
    text = ""
    for line in lines:
        head, tail = _HEAD.search(text[-LONGEST:]), _TAIL.match(line)
        if head and tail:
            kept = _LINK.search(text[-LONGEST:]) or _compound(head[1].lower(), tail[0], words)
            text = text if kept else text[:-1]
            text += line
        else:
            text = f"{text} {line}" if text else line
    return text


def _compound(head: str, tail: str, words: Collection[str]) -> bool:
    """Whether the hyphen between two parts belongs to the word."""
    if f"{head}{tail}" in words:
        return False
    if f"{head}-{tail}" in words:
        return True
    if _ENDING.match(tail) and tail not in _LAST:
        return False
    meet = head[-1] == tail[0] and head[-1] in "aio"  # anti-inflammatory
    both = head in words and tail in words and len(head) > 2 and head not in _FUSING
    return head in _FIRST or tail in _LAST or meet or both
