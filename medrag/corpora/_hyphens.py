"""Lines put together as running text: whether a hyphen at a line's end divides a word or joins two."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

LONGEST = 100  # letters of a word that is divided at the end of a line
_HEAD, _TAIL = re.compile(r"([^\W\d_]+)-$"), re.compile(r"[a-z]+")
_LINK = re.compile(r"[^\W\d_]-(?:and|of|or|the|to)-$")  # over-the-counter, person-to-person
# parts by which a compound is known where the document writes it nowhere else: first-line, beta-blocker; plasma-like,
# but dis-like and in-dependent
_FIRST = frozenset(
    "self first second third one two three four five long short high low half double cross well beta alpha follow".split()
)
_LAST = frozenset(
    "like term dose based related induced dependent free wide shaped positive negative associated acquired "
    "threatening limiting resistant sensitive specific controlled borne blocker blockers blockade year week month hour layered "
    "release acting onset stage".split()
)  # fmt: skip
_LAST_AFTER_WORDS = frozenset("line type grade risk up old day".split())  # but sertra-line, aste-risk, thresh-old
_ENDING = re.compile(r"(?:.{1,2}|ing|ed|est|ly|ness|less|ful|ish|ened|ers)$")  # no word of its own
# words that begin others, so that both halves are words and the whole is one: with-out, there-fore, under-stand
_FUSING = frozenset("dis mis sub hyper super with there where some any every under over out how never more further mean other fore inter not none him her them your".split())  # fmt: skip
# words of two words that such parts would divide: guide-line, Sun-day, high-lighted, second-ary
_WHOLE = re.compile(
    r"(?:air|base|border|dead|guide|head|mid|out|pipe|stream|time)lin(?:e|es|ed|ing)|(?:birth|fri|mon|pay|sun|week|work)days?"
    r"|(?:bio|geno|pheno|proto|sero)typ(?:e|es|ed|ing)|(?:down|retro|up)grade|(?:nation|world)wide|highlight\w*|shortages?|secondar\w+"
    r"|longevity|crystalline|longitud\w+|fourteen\w*|oneself|alphabets?|alphabetic\w*|beta(?:histine|ine|methasone|xolol)"
)


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
    if _WHOLE.fullmatch(f"{head}{tail}"):
        return False
    if _ENDING.match(tail) and tail not in _LAST_AFTER_WORDS:
        return False
    meet = head[-1] == tail[0] and head[-1] in "aio"  # anti-inflammatory
    if head in _FIRST or meet:
        return True
    if len(head) < 3 or head in _FUSING:
        return False
    if head in words or head in _LAST:
        return tail in words or tail in _LAST or tail in _LAST_AFTER_WORDS
    return tail in _LAST and len(head) > 3
