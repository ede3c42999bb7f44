"""An answer as HTML: a fragment for notebooks, and one self-contained page that reaches nothing outside itself.

This file turns an answer into plain values; ``presets/answer.html.j2`` turns those into markup and escapes every one
of them, because retrieved text is not trusted. It knows nothing of models or indexes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util import render
from medrag._util.cards import SOURCES, cards, found_by
from medrag._util.files import sha256_text
from medrag._util.images import data_url
from medrag.types import Answer, Context, QueryImage

if TYPE_CHECKING:
    from jinja2 import Template

_KEYS = re.compile(r"\[((?:E\d+)(?:\s*[,;]\s*E\d+)*)\]")
_STATUS = {"answered": "Answered from evidence", "abstained": "Abstained", "uncited": "Uncited"}


def answer_fragment(answer: Answer) -> str:
    """The answer with its evidence, for a notebook: one scoped block without scripts."""
    return template("answer.html.j2").render(
        answers=[answer_view(answer, _anchor(answer))], title="", page=False, rule=render.RULE
    )


def answer_parts(answer: Answer, anchor: str) -> dict[str, str]:
    """The answer for a page that lays it out itself: ``said`` (verdict, text, route), ``evidence`` (cards), ``rest``; without style."""
    shown = template("answer.html.j2").make_module({"answers": [], "title": "", "page": False, "rule": ""})
    view = answer_view(answer, anchor)
    return {name: str(getattr(shown, name)(view)) for name in ("said", "evidence", "rest")}


def answer_page(answers: Sequence[Answer], title: str) -> str:
    """A whole HTML page with all answers; its own policy forbids scripts and requests."""
    views = [answer_view(answer, f"q{n}") for n, answer in enumerate(answers, start=1)]
    return template("answer.html.j2").render(answers=views, title=title, page=True, rule=render.RULE)


@functools.cache
def template(name: str) -> Template:
    """A template of ``presets/`` that escapes every value."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).resolve().parent.parent / "presets"
    environment = Environment(
        finalize=_shown,
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    """A value on its way into the page: text loses its control characters (and is then escaped)."""
    return type(value)(render.clean(value)) if isinstance(value, str) else value


def _anchor(answer: Answer) -> str:
    """A prefix of element ids that two answers of one notebook do not share."""
    return "m" + sha256_text(answer.context.query.text, answer.text, answer.fingerprint)[:8]


def answer_view(answer: Answer, anchor: str) -> dict[str, Any]:
    """The plain values that the template shows of one answer."""
    context = answer.context
    return {
        "anchor": anchor,
        "question": context.query.text,
        "images": [_question_image(image) for image in context.query.images],
        "status": answer.status,
        "verdict": ": ".join(
            filter(None, [", ".join(filter(None, [_STATUS[answer.status], render.sureness(answer)])), answer.reason])
        ),
        "text": answer_segments(answer),
        "claims": render.claim_lines(answer),
        "counted": render.counted_line(answer),
        "route": route_view(answer),
        "cards": cards(answer),
        "notes": list(context.notes),
        "tokens": context.tokens,
        "dropped": dropped_rows(context),
        "steps": step_rows(answer),
        "conflicts": list(dict.fromkeys(said for row in answer.trace for said in row.get("conflicts", ()))),
        "times": time_rows(answer),
        "model": render.model_line(answer),
    }


def answer_segments(answer: Answer) -> list[tuple[str, str]]:
    """The text as pairs (words, key): words without a key are text, those with one are a link to its evidence."""
    known = {key for key, _ in answer.context} | {citation.key for citation in answer.citations}
    segments: list[tuple[str, str]] = []
    end = 0
    text = answer.text
    for match in _KEYS.finditer(text):
        segments.append((text[end : match.start()], ""))
        segments += [(key, key if key in known else "") for key in re.findall(r"E\d+", match.group())]
        end = match.end()
    segments.append((text[end:], ""))
    return [segment for segment in segments if segment[0]]


def route_view(answer: Answer) -> dict[str, Any]:
    """Domain, confidence, the sources that were asked with their share, and the reasons."""
    weights = render.by_weight(answer.route.weights)
    named = [(SOURCES.get(name, name), weight) for name, weight in weights]
    top = max((weight for _, weight in weights), default=1.0)
    return {
        "domain": answer.route.domain,
        "confidence": render.percent(answer.route.confidence),
        "weights": [(name, weight, round(100 * weight / top)) for name, weight in named],
        "reasons": list(answer.route.reasons),
    }


def dropped_rows(context: Context) -> list[tuple[str, str, str]]:
    """Label, who found it, and why it was not used."""
    return [(render.label(drop.hit.item, 90), found_by(drop.hit, SOURCES), drop.reason) for drop in context.dropped]


def step_rows(answer: Answer) -> list[dict[str, Any]]:
    """The steps of the search loop: tool, why, what was kept, what went wrong."""
    return [
        {
            "tool": row.get("tool") or "a reply that was no call",
            "why": row.get("thought", ""),
            "fault": row.get("fault", ""),
            "kept": [(p["key"], p["label"], p["quote"]) for p in row.get("kept", ())],
            "dropped": len(row.get("dropped", ())),
            "conflicts": list(row.get("conflicts", ())),
        }
        for row in answer.trace
    ]


def time_rows(answer: Answer) -> list[tuple[str, float, int]]:
    """Stage, milliseconds, and its share of the whole in per cent; the total comes last."""
    total = render.total_time(answer)
    rows = [(stage, s * 1000, round(100 * s / total) if total else 0) for stage, s in render.stage_times(answer)]
    return [*rows, ("total", total * 1000, 100)] if rows else []


def _question_image(image: QueryImage) -> dict[str, str]:
    about = ", ".join(str(image.meta[name]) for name in ("modality", "body_part", "view") if image.meta.get(name))
    name = Path(image.source).name
    return {
        "src": data_url(image.image, 640),
        "alt": f"Image of the question: {name or 'no name'}",
        "caption": ", ".join(filter(None, [name, about])),
    }
