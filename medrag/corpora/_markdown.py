"""Markdown without its marks: what a reader of the page sees, part by part. Comments, front matter and what is struck out are left out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from medrag.corpora._parts import Part
from medrag.corpora._rows import row

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FRONT = re.compile(
    r"\A---[ \t]*\n(?:[\w-]+[ \t]*:.*\n|[ \t]+\S.*\n|- .*\n|#.*\n|[ \t]*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)
_FENCE = re.compile(r"\s*(?:```(?!.*`)|~~~)")  # a line of code between backticks is none
_QUOTE = re.compile(r"\s{0,3}(?:>\s?)+(?:\[!\w+\]\s*)?")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(\S.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{2,})\s*$")
_BREAK = re.compile(r"\s{0,3}([-*_])(?:\s*\1){2,}\s*$")
_ITEM = re.compile(r"\s*(?:[-*+•]|(\d{1,3}[.)]))\s+(?:\[[ xX]\]\s+)?(?=\S)")
_NOTE = re.compile(r"\s{0,3}\[\^[^\]]+\]:\s+")
_DEFINES = re.compile(  # [name]: address "title"; but [Dose]: 5 mg, [Unit]: mg/kg and [Warning]: Fatal. are text
    r"\s{0,3}\[[^\]^][^\]]*\]:\s+(?:<[^<>]*>|(?:(?:https?|ftp)://|(?:mailto|doi|urn|tel|data):|www\.|\.{0,2}/|#[a-z])\S+|(?=\S*\.[a-z]{2})\S+)"
    r"(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*$",
    re.IGNORECASE,
)
_PICTURE = re.compile(r"!\[([^\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\])")
_EDGES = re.compile(r"^\||(?<!\\)\|$")  # one bar at either end
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_TAG = re.compile(r"</?(?:a|abbr|b|blockquote|br|center|code|del|details|div|em|font|hr|i|img|ins|kbd|mark|p|pre|q|s|small|span|strong|sub|summary|sup|u)\b[^<>]*>", re.IGNORECASE)  # fmt: skip
_MARKS = (  # in order: pattern, what stays
    (_PICTURE, ""),
    (re.compile(r"\[\^[^\]]+\]"), ""),  # the number of a note
    (re.compile(r"\[([^\]]+)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"<((?:https?://|mailto:)[^>\s]+)>"), r"\1"),
    (_TAG, " "),
    (re.compile(r"~~(?=\S).+?(?<=\S)~~"), ""),
    (re.compile(r"(?<!\\)\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"\1"),
    (re.compile(r"(?<![\\\w*])\*(?=[^\s*])(.+?)(?<=[^\s*])\*(?![\w*])"), r"\1"),  # but HLA-B*27 and B*57
    (re.compile(r"(?<![\\\w])_{1,3}(?=[^\s_])(.+?)(?<=[^\s_])_{1,3}(?!\w)"), r"\1"),
    (re.compile(r"(?<![\\`])(`+)(?!`)(.+?)(?<!`)\1(?!`)"), r"\2"),  # as many at its end as at its start
    (re.compile(r"\\([\\`*_{}\[\]()#+.!|<>~-])"), r"\1"),
)


def parts(text: str) -> Iterator[Part]:
    """The parts of a Markdown text in order."""
    lines: list[str] = []
    quoted = fenced = False
    for line in _COMMENT.sub("", _FRONT.sub("", text.replace("\r\n", "\n"))).split("\n"):
        if _FENCE.match(line) or fenced:
            yield from () if fenced and not _FENCE.match(line) else _paragraph(lines, code=fenced)
            lines = [*lines, line] if fenced and not _FENCE.match(line) else []
            fenced ^= bool(_FENCE.match(line))
            continue
        quote, line = bool(_QUOTE.match(line)), _QUOTE.sub("", line, count=1) if _QUOTE.match(line) else line
        heading, under = _HEADING.match(line), _UNDERLINE.match(line)
        if heading or (under and len(lines) == 1 and not _ITEM.match(lines[0]) and "|" not in lines[0]):
            over = heading[2] if heading else lines.pop()
            yield from _paragraph(lines)
            yield Part("heading", plain(over), len(heading[1]) if heading else 1 if "=" in line else 2)
            lines = []
        elif not line.strip() or _BREAK.match(line) or _DEFINES.match(line):
            yield from _paragraph(lines)
            lines = []
        elif quote != quoted or _ITEM.match(line) or _NOTE.match(line):
            yield from _paragraph(lines)
            lines = [line]
        else:
            lines.append(line)
        quoted = quote and bool(line.strip())
    yield from _paragraph(lines, code=fenced)


def plain(text: str) -> str:
    """A text without the marks within its lines."""
    for pattern, stays in _MARKS:
        text = pattern.sub(stays, text)
    return " ".join(html.unescape(text).split())


def _paragraph(lines: list[str], *, code: bool = False) -> Iterator[Part]:
    """The lines of a paragraph or an item, with each table among them as a part of its own."""
    if code or not lines:
        yield Part("text", " ".join(" ".join(lines).split()))
        return
    begun = 0
    while rule := _rule_after(lines, begun + 1):
        end = next((n for n in range(rule, len(lines)) if "|" not in lines[n]), len(lines))
        yield _text(lines[begun : rule - 1])
        header = _cells(lines[rule - 1])
        yield Part(
            "table",
            "\n".join(filter(None, (row(header, _cells(line)) for line in lines[rule + 1 : end]))) or " ".join(header),
        )
        begun = end
    yield _text(lines[begun:])


def _text(lines: list[str]) -> Part:
    """Lines that belong together; a picture alone is its description."""
    text = " ".join(lines)
    if note := _NOTE.match(text):
        return Part("text", plain(text[note.end() :]))
    if item := _ITEM.match(text):
        return Part("item", f"{item[1] or ''} {plain(text[item.end() :])}".strip())
    if text.strip() and not plain(text):
        return Part("caption", " ".join(found[1] for found in _PICTURE.finditer(text)).strip())
    return Part("text", plain(text))


def _rule_after(lines: list[str], start: int) -> int:
    """Where the rule below a table's header stands, from ``start`` on; 0 where there is none."""
    places = (n for n in range(start, len(lines)) if "|" in lines[n - 1] and "|" in lines[n])
    return next((n for n in places if _RULE.match(lines[n])), 0)


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", _EDGES.sub("", line.strip()))
    return [plain(cell.replace(r"\|", "|")) for cell in cells]
