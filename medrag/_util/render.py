"""An answer as plain text (100 columns, no colour) and as plain JSON values.

Knows the records and nothing of terminals, pages or files: the CLI, notebooks and the HTML page share what is here.
"""

from __future__ import annotations

import dataclasses
import math
import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from medrag._util.text import shorten
from medrag.types import Answer, Box, Citation, Claim, Context, Hit, ImageRecord, Item, Study, domain_of

WIDTH = 100
RULE = "Research and education only: not a medical device, and not for diagnosis or treatment."

# no terminal sequence and nothing that reverses the reading direction gets out of retrieved text
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without control characters, except line break and tab."""
    return _CONTROL.sub("", text)


def answer_text(answer: Answer) -> str:
    """The answer, then its numbered references: key, kind, title, section, page, document, quote."""
    parts = [_wrap(answer.text) or "(no text)"]
    if line := status_line(answer):
        parts.append(_wrap(line))
    if notes := [*claim_lines(answer), *filter(None, [counted_line(answer)])]:
        parts.append(
            "\n".join(textwrap.fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ") for note in notes)
        )
    if answer.citations:
        parts.append("References\n" + "\n".join(reference_text(citation) for citation in answer.citations))
    return clean("\n\n".join(parts))


def status_line(answer: Answer) -> str:
    """The status where it is not plain, its reason, and how sure the answer is; empty where there is nothing to say."""
    status = "" if answer.status == "answered" else answer.status
    named = ", ".join(filter(None, [status, sureness(answer)]))
    return f"[{named}] {answer.reason}".strip() if named else answer.reason


def claim_lines(answer: Answer) -> list[str]:
    """Each claim that its evidence does not simply bear out, with what a reader should know of it."""
    return [f"“{shorten(_unquoted(claim.text), 160)}” {note}" for claim in answer.claims if (note := claim_note(claim))]


def counted_line(answer: Answer) -> str:
    """How often look-alike studies report what was asked, and how look-alike pictures are labelled; empty where neither was counted."""
    counts = (counted.text for counted in (answer.context.frequency, answer.context.labelled) if counted)
    return " ".join(f"{text[:1].upper()}{text[1:]}." for text in counts)


def sureness(answer: Answer) -> str:
    """How sure the answer is; empty where nothing was calibrated."""
    return "" if answer.confidence is None else f"confidence {percent(answer.confidence)}"


def _unquoted(text: str) -> str:
    """A sentence without quotation marks around it, for one that is quoted again."""
    return re.sub(r'^["“](.+?)["”](\W*)$', r"\1\2", text).replace("..", ".")


def percent(share: float) -> str:
    """A share of one as people read it.

    >>> percent(0.583)
    '58 %'
    """
    return f"{100 * share:.0f} %"


def claim_note(claim: Claim) -> str:
    """What a reader should know of a claim; empty where the evidence bears it out and the image does not speak against it.

    >>> claim_note(Claim("A mass.", (), "absent", seen="supported"))
    'is seen in the image; no evidence says so'
    """
    if claim.verdict == "contradicted":
        agreed = "; the image's reader agrees with the answer" if claim.seen == "supported" else ""
        return f"is contradicted by {claim.key}: “{shorten(claim.quote, 160)}”{agreed}"
    if claim.seen == "contradicted":
        return "is not what the image's reader sees" + (
            "; it is taken from the evidence" if claim.verdict == "supported" else ""
        )
    if claim.verdict == "supported":
        return ""
    return "is seen in the image; no evidence says so" if claim.seen == "supported" else "is not in the evidence"


def reference_text(citation: Citation) -> str:
    """One reference: where the evidence stands, then the words that are quoted."""
    head = f"[{citation.key}] "
    lines = textwrap.wrap(head + place(citation.item, citation.page), WIDTH, subsequent_indent=" " * len(head))
    if citation.quote:
        pad = " " * len(head)
        lines += textwrap.wrap(f"“{shorten(citation.quote, 300)}”", WIDTH, initial_indent=pad, subsequent_indent=pad)
    return "\n".join(lines)


def explain_text(answer: Answer) -> str:
    """How the answer came about: route, hits by retriever, fused ranks, kept, dropped with reasons, timings."""
    sections = (
        ("Route", route_lines(answer)),
        ("Found", found_lines(answer.context)),
        ("Fused", [_fused_line(hit) for hit in ranked(answer.context)]),
        ("Kept", kept_lines(answer.context)),
        ("Dropped", dropped_lines(answer.context)),
        ("Time", [timing_line(answer)]),
        ("Model", [model_line(answer)]),
    )
    blocks = [_block(title, lines) for title, lines in sections]
    return clean("\n\n".join([f"{answer.status}{f': {answer.reason}' if answer.reason else ''}", *blocks]))


def route_lines(answer: Answer) -> list[str]:
    """The domain with its confidence, the weights, and each reason on its own line."""
    route = answer.route
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in by_weight(route.weights))
    asked = f"asked: {weights}" if route.retrieves else "asked nothing: the question needs no retrieval"
    return [
        f"{route.domain}, confidence {percent(route.confidence)}",
        asked,
        *(f"because {why}" for why in route.reasons),
    ]


def found_lines(context: Context) -> list[str]:
    """What each retriever brought, best first, at most five a retriever."""
    lines: list[str] = []
    for retriever, hits in found(context).items():
        lines.append(f"{retriever}: {len(hits)} of the fused hits")
        lines += [f"  {hit.rank:>3}. {hit.score:>8.3f}  {label(hit.item)}" for hit in hits[:5]]
    return lines


def kept_lines(context: Context) -> list[str]:
    """The kept hits with their keys, then the notes of the selector."""
    lines = [f"[{key}] {label(hit.item)} ({', '.join(hit.sources)})" for key, hit in context]
    notes = [f"note: {note}" for note in context.notes]
    return [*lines, *notes, f"{context.tokens} tokens of evidence"] if lines else notes


def dropped_lines(context: Context) -> list[str]:
    """What was not used, and why."""
    return [f"{label(drop.hit.item, 56)}: {drop.reason}" for drop in context.dropped]


def timing_line(answer: Answer) -> str:
    """Every stage in milliseconds, and their sum."""
    stages = [f"{stage} {seconds * 1000:.0f} ms" for stage, seconds in stage_times(answer)]
    return " · ".join([*stages, f"total {total_time(answer) * 1000:.0f} ms"]) if stages else "not measured"


def stage_times(answer: Answer) -> list[tuple[str, float]]:
    """Seconds by stage, without a total."""
    return [(stage, seconds) for stage, seconds in answer.timings.items() if stage != "total"]


def total_time(answer: Answer) -> float:
    """Seconds that the whole answer took."""
    return answer.timings.get("total", sum(seconds for _, seconds in stage_times(answer)))


def model_line(answer: Answer) -> str:
    """The model, what it used, and the fingerprint of the settings."""
    usage = [f"{name.replace('_', ' ')} {value}" for name, value in answer.usage.items()]
    return " · ".join(filter(None, [answer.model or "no model", *usage, answer.fingerprint]))


def by_weight(weights: Mapping[str, float]) -> list[tuple[str, float]]:
    """Weights above zero, heaviest first."""
    return sorted(((n, w) for n, w in weights.items() if w > 0), key=lambda pair: (-pair[1], pair[0]))


def ranked(context: Context) -> list[Hit]:
    """Kept and dropped hits together by their fused rank."""
    return sorted([*context.kept, *(drop.hit for drop in context.dropped)], key=lambda hit: hit.rank)


def found(context: Context) -> dict[str, list[Hit]]:
    """The hits before fusion, by retriever and rank (of those that fusion passed on)."""
    result: dict[str, list[Hit]] = {}
    for hit in ranked(context):
        for parent in hit.parents or (hit,):
            result.setdefault(parent.retriever, []).append(parent)
    return {name: sorted(hits, key=lambda hit: hit.rank) for name, hits in sorted(result.items())}


def _fused_line(hit: Hit) -> str:
    parents = ", ".join(f"{parent.retriever} #{parent.rank}" for parent in hit.parents)
    return f"{hit.rank:>3}. {hit.score:>8.4f}  {label(hit.item)}{f' ← {parents}' if parents else ''}"


def label(item: Item, limit: int = 64) -> str:
    """An item in a few words: its kind and its title, or the start of its text."""
    words = getattr(item, "name", "") or getattr(item, "title", "")
    if item.kind == "triple" or not words:
        words = item.text or item.doc
    section = getattr(item, "section", "")
    page = page_of(item)
    tail = "".join((f", {section}" if section else "", f", p. {page}" if page else ""))
    return f"{item.kind}: {shorten(words, limit)}{shorten(tail, limit)}"


def place(item: Item, page: int | None = None) -> str:
    """Where an item stands, in full: kind · title · section · page · document."""
    page = page if page is not None else page_of(item)
    title = getattr(item, "title", "") or getattr(item, "name", "")
    bits = [item.kind, title, getattr(item, "section", ""), f"page {page}" if page else "", item.doc]
    return " · ".join(bit for n, bit in enumerate(bits) if bit and bit not in bits[:n])


def page_of(item: Item) -> int | None:
    """The page that an item stands on, where it has one."""
    number: int | None = getattr(item, "page", None) or getattr(item, "number", None)
    return number


def answer_dict(answer: Answer) -> dict[str, Any]:
    """Everything but pixels as JSON-able values; numbers that JSON cannot hold become null."""
    query = answer.context.query
    value = {
        "question": query.text,
        "images": [_image_dict(image) for image in query.images],
        "text": answer.text,
        "status": answer.status,
        "reason": answer.reason,
        "citations": [citation_dict(citation) for citation in answer.citations],
        "claims": [dataclasses.asdict(claim) for claim in answer.claims],
        "confidence": answer.confidence,
        "context": context_dict(answer.context),
        "route": {
            "domain": answer.route.domain,
            "confidence": answer.route.confidence,
            "weights": dict(answer.route.weights),
            "reasons": list(answer.route.reasons),
        },
        "model": answer.model,
        "usage": dict(answer.usage),
        "timings": dict(answer.timings),
        "fingerprint": answer.fingerprint,
        "trace": [dict(step) for step in answer.trace],
    }
    clean: dict[str, Any] = plain(value)
    return clean


def _image_dict(image: Any) -> dict[str, Any]:
    width, height = image.image.size
    return {"source": image.source, "sha256": image.sha256, "width": width, "height": height, "meta": dict(image.meta)}


def citation_dict(citation: Citation) -> dict[str, Any]:
    """A citation with its item, quote, page, boxes (x0, y0, x1, y1) and support."""
    return {
        "key": citation.key,
        **item_dict(citation.item),
        "quote": citation.quote,
        "page": citation.page if citation.page is not None else page_of(citation.item),
        "boxes": [box_list(box) for box in citation.boxes],
        "support": citation.support,
    }


def context_dict(context: Context) -> dict[str, Any]:
    """What was kept, with its keys, and what was dropped, with its reasons."""
    return {
        "tokens": context.tokens,
        "notes": list(context.notes),
        "frequency": dataclasses.asdict(context.frequency) if context.frequency else None,
        "labelled": dataclasses.asdict(context.labelled) if context.labelled else None,
        "kept": [{"key": key, **hit_dict(hit)} for key, hit in context],
        "dropped": [{"reason": drop.reason, **hit_dict(drop.hit)} for drop in context.dropped],
    }


def hit_dict(hit: Hit) -> dict[str, Any]:
    """A hit with its item, and the hits that it was fused from."""
    parents = [{"item": p.item.id, "retriever": p.retriever, "rank": p.rank, "score": p.score} for p in hit.parents]
    found_by = {"score": hit.score, "rank": hit.rank, "retriever": hit.retriever, "sources": list(hit.sources)}
    return {**item_dict(hit.item), **found_by, "parents": parents}


def item_dict(item: Item) -> dict[str, Any]:
    """An item: id, document, kind, text, where it stands, and what `item_facts` tells."""
    value: dict[str, Any] = {"item": item.id, "doc": item.doc, "kind": item.kind, "text": item.text}
    for name in ("title", "section", "name", "source"):
        if known := getattr(item, name, ""):
            value[name] = known
    value |= item_facts(item)
    if isinstance(item, Study | ImageRecord):
        value["domain"] = item.domain
    if page := page_of(item):
        value["page"] = page
    return value


def item_facts(item: Item) -> dict[str, Any]:
    """What an item can be filtered by and credited with, as far as it is known: domain, patient, date (ISO 8601), license, and labels."""
    found: dict[str, Any] = {"domain": domain_of(item)}
    for name in ("patient", "date", "license"):
        found[name] = str(getattr(item, name, "") or item.meta.get(name) or "")
    labels = getattr(item, "labels", ()) or item.meta.get("labels") or [item.meta.get("label")]
    found["labels"] = [str(label) for label in labels if label]
    return {name: known for name, known in found.items() if known}


def box_list(box: Box) -> list[float]:
    """A box as x0, y0, x1, y1."""
    return [box.x0, box.y0, box.x1, box.y1]


def plain(value: Any) -> Any:
    """The value with tuples and sets as lists, unknown objects as text, and NaN or infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _wrap(text: str) -> str:
    """Each paragraph within the width."""
    return "\n".join(textwrap.fill(line, WIDTH) for line in text.strip().splitlines())


def _block(title: str, lines: Iterable[str]) -> str:
    """A title with its indented lines."""
    wrapped = [textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="      ") for line in lines]
    return "\n".join([title, *(wrapped or ["  nothing"])])
