"""HTML as the text that is seen: headings, paragraphs, lists, tables; no scripts, styles or comments."""

from __future__ import annotations

from html.parser import HTMLParser

from medrag.corpora._parts import Part
from medrag.corpora._rows import row

_HIDDEN = frozenset("script style template noscript svg math select textarea button nav del s strike".split())
_DIVIDES = frozenset(
    "address article aside blockquote body caption dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr html li main ol p pre section summary table tbody td tfoot th thead title tr ul".split()
)


def parts(text: str) -> tuple[str, list[Part]]:
    """What the page is titled, and its parts in order."""
    page = _Page()
    page.feed(text)
    page.close()
    page.end()
    return page.title, page.parts


class _Page(HTMLParser):
    """Gathers the parts of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title, self.parts = "", list[Part]()
        self._words: list[str] = []
        self._hidden: list[str] = []
        self._within = ""  # the element that the words stand in, of those that matter
        self._rows: list[list[tuple[bool, str]]] = []  # of the table being read: whether a header, its words

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag == "br":
            self._words.append(" ")
        elif tag in _DIVIDES:
            self.end()
            if tag == "tr":
                self._rows.append([])
            self._within = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        elif tag in _DIVIDES:
            self.end()
            if tag == "table":
                self._table()
            self._within = ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._words.append(data)

    def end(self) -> None:
        """Makes a part of the words since the last one."""
        text, within = " ".join("".join(self._words).split()), self._within
        self._words.clear()
        if within in ("td", "th") and self._rows:
            self._rows[-1].append((within == "th", text))
        elif text and within == "title":
            self.title = self.title or text
        elif text and within[:1] == "h" and within[1:].isdigit():
            self.parts.append(Part("heading", text, int(within[1:])))
        elif text:
            kind = "item" if within == "li" else "caption" if within in ("figcaption", "caption") else "text"
            self.parts.append(Part(kind, text))  # type: ignore[arg-type]

    def _table(self) -> None:
        """The rows since the table began; sentences where the first names the columns."""
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
