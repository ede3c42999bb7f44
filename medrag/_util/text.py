"""Words, sentences and token counts, the same everywhere."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# a sentence ends at . ! ? before a blank and a capital or digit, but not after an abbreviation, an initial or a list number
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z0-9\"'(\[])")
_GLUED = re.compile(r"([a-z]{3}[.!?])([A-Z][a-z])")  # "in the apex.There are": a blank was lost
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|vs|e\.g|i\.e|etc|Fig|Figs|cf|approx|al|Inc|St)\.|^\d{1,2}\.)$")
# before a number alone: "No. 5" and "p. 45", but "No. There is a mass."; "b.i.d. 5 mg", but "b.i.d. Children need less."
_NUMBER = re.compile(r"(?:\b(?:No|pp?|ca|max|vol|[Cc]h|[Ss]ect|Eq|Ref)|(?:^|[\s(])[a-z](?:\.[a-z])+)\.$")
_INITIAL = re.compile(r"(?:^|\s)[A-Z]\.$")  # "J. Smith", but "hepatitis B. The liver is large."
_BEGINS = re.compile(
    r"(?:A|All|Although|An|As|At|Because|Both|Each|For|How|However|If|In|It|Its|Most|No|Since|Some|Such|The|Their|There|These|"
    r"They|This|Thus|Therefore|What|When|Which|While|Who)\b"
)
# what bears a letter as its name: "vitamin K. Side effects include", "lipase A. Enzyme"
_LETTERED = re.compile(
    r"\b(?:(?i:(?:vitamin|hepatitis|ha?emophilia|influenza|type|group|class|stage|grade|factor|serotype|strain|lead|part|panel|"
    r"section|appendix|zone)s?)|[a-z]{2,}(?:ase|lin|ycin|oxin|porin|ricin|bulin|globin|ponin|protein|enzyme))\s[A-Z]\.$"
)
_ROW = re.compile(r"^(.* \| .*)$", re.MULTILINE)
# other hyphens and apostrophes as those of a keyboard, one for one
_MARKS = str.maketrans({"\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2019": "'", "\u02bc": "'"})

STOPWORDS = frozenset(
    "a an and any are as at be been being but by can could did do does for from had has have how i in into is it its "
    "may might of on or please should so such than that the their there these this those to was were what when where "
    "which who why will with would you your show shows shown seen see visible image picture".split()
)


def plural(name: str) -> bool:
    """Whether a name is of several things, by its ending.

    >>> [plural(name) for name in ("lungs", "mass", "sinus", "diagnosis")]
    [True, False, False, False]
    """
    return name.endswith("s") and not name.endswith(("ss", "us", "is"))


def words(text: str) -> list[str]:
    """Lower-case words and numbers, in order, accents composed (NFC), hyphens and apostrophes as a keyboard has them."""
    return [match.group().lower() for match in _WORD.finditer(plain_marks(unicodedata.normalize("NFC", text)))]


def content_words(text: str) -> list[str]:
    """Words without stop words."""
    return [word for word in words(text) if word not in STOPWORDS]


def sentences(text: str) -> list[str]:
    """Sentences, stripped; line breaks that follow a full stop also end one, and those around a table's row (``a | b``)."""
    result: list[str] = []
    text = _ROW.sub(r"\n\n\1\n\n", text) if " | " in text else text
    for line in re.split(r"\n{2,}|(?<=[.!?:])\n", text):
        line = _GLUED.sub(r"\1 \2", " ".join(line.split()))
        pending, pieces = "", _END.split(line)
        for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
            pending = f"{pending} {piece}".strip() if pending else piece.strip()
            if pending and not _goes_on(pending[-40:], following):  # its end is enough
                result.append(pending)
                pending = ""
        if pending:
            result.append(pending)
    return [sentence for sentence in result if sentence]


def _goes_on(end: str, following: str) -> bool:
    """Whether the full stop at the ``end`` is that of an abbreviation, an initial or a number."""
    if _INITIAL.search(end):
        return not (_BEGINS.match(following) or _LETTERED.search(end))
    return bool(_ABBREVIATION.search(end)) or (bool(_NUMBER.search(end)) and following[:1].isdigit())


def plain_marks(text: str) -> str:
    """Hyphens and apostrophes as a keyboard has them; every character keeps its place.

    >>> plain_marks("non\u2011displaced")
    'non-displaced'
    """
    return text.translate(_MARKS)


def count_tokens(text: str) -> int:
    """An estimate of sub-word tokens: words and punctuation marks, a third more for long words. No model is loaded."""
    pieces = re.findall(r"\w+|[^\w\s]", text)
    return sum(1 + len(piece) // 7 for piece in pieces)


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters, cut at a word, with an ellipsis."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0] + "…"
