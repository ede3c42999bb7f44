"""HTML as the text that is seen: headings, paragraphs, lists, tables; no scripts, styles or comments."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

from medrag.corpora._parts import Part
from medrag.corpora._rows import row

_HIDDEN = frozenset("script style template noscript svg math select textarea button nav del s strike".split())
_DIVIDES = frozenset(
    "address article aside blockquote body caption dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr html li main ol p pre section summary table tbody td tfoot th thead title tr ul".split()
)
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
_HOLDING = _HEADINGS | set("caption figcaption li td th".split())  # what paragraphs in them belong to
_HELD = frozenset("address blockquote div p pre section".split())
_ENDED = frozenset("p select".split())  # by any element that divides, and these by their like
_ALIKE = {"li": {"li"}, "td": {"td", "th"}, "th": {"td", "th"}, "tr": {"td", "th", "tr"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}}  # fmt: skip
_STRUCK = frozenset("del s strike".split())


def parts(text: str) -> tuple[str, list[Part]]:
    """What the page is titled, and its parts in order."""
    page = _Page()
    page.feed(text)
    page.close()
    page.end()
    page.end_table()
    return page.title, page.parts


class _Open:
    """The elements not yet ended, of those that divide or hide. One that is left open ends with what it stands in."""

    def __init__(self) -> None:
        self._tags: list[str] = []
        self._counts = Counter[str]()

    @property
    def hidden(self) -> bool:
        return any(self._counts[tag] for tag in _HIDDEN)

    def start(self, tag: str) -> None:
        if tag == "nav" or tag in _DIVIDES:
            self._end_before(tag)
        if tag != "hr" and not (tag in _HIDDEN and self._counts[tag]):
            self._tags.append(tag)
            self._counts[tag] += 1

    def end(self, tag: str) -> None:
        if self._counts[tag]:
            while self._pop() != tag:
                pass

    def _end_before(self, tag: str) -> None:
        """Ends what an element cannot stand in, and what is struck out there."""
        ended, place = _ENDED | _ALIKE.get(tag, set()), len(self._tags)
        for n in range(len(self._tags) - 1, -1, -1):
            if self._tags[n] in ended:
                place = n
            elif self._tags[n] not in _STRUCK:
                break
        while len(self._tags) > place:
            self._pop()

    def _pop(self) -> str:
        tag = self._tags.pop()
        self._counts[tag] -= 1
        return tag


class _Page(HTMLParser):
    """Gathers the parts of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title, self.parts = "", list[Part]()
        self._words: list[str] = []
        self._open = _Open()
        self._within = ""  # the element that the words stand in, of those that matter
        self._rows: list[list[tuple[bool, str]]] = []  # of the table being read: whether a header, its words

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN or tag in _DIVIDES:
            self._open.start(tag)
        if tag == "br" or (self._holds(tag) and not (self._within in _HEADINGS and self._words)):
            self._add(" ")
        elif tag in _DIVIDES:
            self.end()
            if tag == "tr":
                self._rows.append([])
            self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._open.end(tag)
        if self._holds(tag):
            self._add(" ")
        elif tag in _DIVIDES:
            self.end()
            if tag == "table":
                self.end_table()
            self._within = ""

    def handle_data(self, data: str) -> None:
        if not self._open.hidden:
            self._add(data)

    def _add(self, words: str) -> None:
        if self._words or not words.isspace():
            self._words.append(words)

    def _holds(self, tag: str) -> bool:
        """Whether an element is a paragraph of the cell, item, heading or caption that is being read."""
        return tag in _HELD and self._within in _HOLDING

    def end(self) -> None:
        """Makes a part of the words since the last one."""
        text, within = " ".join("".join(self._words).split()), self._within
        self._words.clear()
        if within in ("td", "th") and self._rows:
            self._rows[-1].append((within == "th", text))
        elif text and within == "title":
            self.title = self.title or text
        elif text and within in _HEADINGS:
            self.parts.append(Part("heading", text, int(within[1:])))
        elif text:
            kind = "item" if within == "li" else "caption" if within in ("figcaption", "caption") else "text"
            self.parts.append(Part(kind, text))  # type: ignore[arg-type]

    def end_table(self) -> None:
        """Makes a part of the rows since the table began; sentences where the first names the columns."""
        rows, self._rows = [one for one in self._rows if any(text for _, text in one)], []
        if not rows:
            return
        header, *others = rows
        texts = [[text for _, text in one] for one in rows]
        if others and all(head for head, _ in header) and all(len(one) == len(header) for one in others):
            told = [row(texts[0], one) for one in texts[1:]]
        else:
            told = [" | ".join(filter(None, one)) for one in texts]
        self.parts.append(Part("table", "\n".join(told)))
