"""The cards of an answer's evidence as plain values: where it stands, the quote in its text, a picture, a graph.

Pictures come from `medrag._util.draw`; where one cannot be drawn the card shows its text. The markup and the escaping
are the template's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medrag._util import render
from medrag._util.diagram import diagrams, walk
from medrag._util.images import data_url
from medrag._util.text import shorten
from medrag.types import Answer, Box, Citation, Hit, ImageRecord, Item, Study, Triple

SOURCES = {
    "dense": "text by meaning",
    "lexical": "text by words",
    "reports": "reports by meaning",
    "reports-lexical": "reports by words",
    "similar": "similar images",
    "similar-reports": "reports by image",
    "pages": "pages by region",
    "graph": "knowledge graph",
}  # retrievers in a reader's words
_NAMES = {
    "passage": "Passage",
    "page": "Page",
    "study": "Similar case",
    "image": "Image",
    "concept": "Concept",
    "triple": "Graph",
}
_REPORT = {"findings", "impression", "indication", "comparison", "history", "technique"}
_SHOWN = 700  # characters of a card's text before the rest folds away


def cards(answer: Answer) -> list[dict[str, Any]]:
    """One card for each kept piece of evidence, and for each citation of something that was not kept."""
    cited = {citation.key: citation for citation in answer.citations}
    views = [card_view(key, hit.item, cited.pop(key, None), hit) for key, hit in answer.context]
    return views + [card_view(key, citation.item, citation, None) for key, citation in cited.items()]


def card_view(key: str, item: Item, citation: Citation | None, hit: Hit | None) -> dict[str, Any]:
    """What a card shows: where the evidence stands, the quote in its text, a picture or a graph."""
    boxes = citation.boxes if citation and citation.boxes else tuple(getattr(item, "boxes", ()))
    said, rest = marked(flow(item.text), citation.quote if citation else "")
    return {
        "key": key,
        "cited": citation is not None,
        "support": citation.support if citation else None,
        "kind": kind_name(item, hit),
        "title": shorten(card_title(item), 140),
        "place": where(item, citation.page if citation else None),
        "caution": caution(item),
        "labels": list(getattr(item, "labels", ())),
        "said": said,
        "rest": rest,
        "picture": picture(item, boxes, hit),
        "diagrams": diagrams(item) if isinstance(item, Triple) else (),
        "found": found_by(hit, SOURCES),
    }


def kind_name(item: Item, hit: Hit | None = None) -> str:
    """The kind in a reader's words; a study that was found by its words and not by its look is a report."""
    if isinstance(item, Study) and hit and not any(name.startswith("similar") for name in hit.sources):
        return "Report"
    if isinstance(item, Triple):
        return "Graph path" if len(walk(item)[1]) > 1 else "Graph statement"
    if isinstance(item, ImageRecord):
        return "Figure" if item.page else "Similar image"
    return "Report" if is_report(item) else _NAMES.get(item.kind, item.kind.capitalize())


def is_report(item: Item) -> bool:
    """Whether a passage was cut from the report of an examination: it has that report's section and no page."""
    return item.kind == "passage" and not render.page_of(item) and getattr(item, "section", "").lower() in _REPORT


def card_title(item: Item) -> str:
    """The title of an item; of a graph path its two ends."""
    if isinstance(item, Triple):
        return f"{item.subject} → {item.object}"
    return getattr(item, "title", "") or getattr(item, "name", "") or item.doc


def where(item: Item, page: int | None) -> str:
    """Section, page, document, and the UMLS concepts of a term or statement."""
    page = page if page is not None else render.page_of(item)
    cuis = getattr(item, "cuis", ()) or (item.meta.get("cuis", ()) if isinstance(item, Triple) else ())
    codes = f"UMLS {', '.join(map(str, list(cuis)[:6]))}" if cuis else ""
    return " · ".join(filter(None, [getattr(item, "section", ""), f"page {page}" if page else "", item.doc, codes]))


def flow(text: str) -> str:
    """The text without the line breaks of its layout: a line ends where a sentence does."""
    return re.sub(r"(?<![.!?:;\n])\n(?!\n)", " ", text)


def caution(item: Item) -> str:
    """A warning on other people's examinations: their findings are not those of the image that is asked about."""
    other = isinstance(item, Study) or is_report(item) or (isinstance(item, ImageRecord) and not item.page)
    return "another case" if other else ""


def found_by(hit: Hit | None, words: Mapping[str, str] = MappingProxyType({})) -> str:
    """Which retrievers found it, at which rank; by their names, or in ``words``."""
    if hit is None:
        return ""
    return ", ".join(
        f"{words.get(parent.retriever, parent.retriever)} #{parent.rank}" for parent in hit.parents or (hit,)
    )


def marked(text: str, quotes: str) -> tuple[list[tuple[str, bool]], str]:
    """The text as pieces, each with whether it is quoted, and what of the text folds away.

    ``quotes`` are joined by " … "; blanks between words may differ. A quote that is not in the text stands first. Text
    far before the first quote, and far after the last, is cut.
    """
    wanted = [words for quote in quotes.split(" … ") if (words := quote.strip(" .…").split())]
    spans = [re.search(r"\s+".join(map(re.escape, words)), text, re.IGNORECASE) for words in wanted]
    found = _merged({match.span() for match in spans if match})
    pieces = [(" ".join(words), True) for words, match in zip(wanted, spans, strict=True) if not match]
    at = 0
    for start, end in found:
        pieces += [(text[at:start], False), (text[start:end], True)]
        at = end
    if found and len(pieces[0][0]) > _SHOWN // 2 and not pieces[0][1]:
        pieces[0] = ("… " + pieces[0][0][-_SHOWN // 2 :].partition(" ")[2], False)
    gap = "\n" if pieces and not found else ""
    return [*pieces, (gap + text[at : at + _SHOWN], False)], text[at + _SHOWN :]


def _merged(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans in order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def picture(item: Item, boxes: tuple[Box, ...], hit: Hit | None = None) -> dict[str, str] | None:
    """The picture of an item with its region marked, or None where there is none to draw."""
    seen = next((p.item for p in (hit.parents if hit else ()) if isinstance(p.item, ImageRecord)), None)
    shown: Item = seen if seen is not None and isinstance(item, Study) else item
    if not _has_picture(shown):
        return None
    try:
        from medrag._util.draw import picture_of

        src = data_url(picture_of(shown, boxes), 800)
    except Exception:  # a picture is an extra: whatever is wrong with its file, the card still shows its text
        return None
    page = render.page_of(shown)
    marked = ", the quoted region marked" if boxes else ""
    return {"src": src, "alt": f"Page {page} of {item.doc}{marked}" if page else f"Image of {shown.doc}"}


def _has_picture(item: Item) -> bool:
    """Whether there is a file to draw: of a page, an image, a passage of a PDF, or the first image of a study."""
    source = str(getattr(item, "source", ""))
    if isinstance(item, Study):
        source = str((item.meta.get("paths") or [""])[0])
    elif item.kind == "passage" and not (render.page_of(item) and source.lower().endswith(".pdf")):
        return False
    return item.kind in ("image", "page", "passage", "study") and bool(source) and Path(source).is_file()
