"""What the pipeline does and says, as plain values for the wire: the stages as they come, and the answer.

Paths of this machine become file names, and identifiers that a DICOM header brought stay here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from medrag._util.html import answer_parts
from medrag._util.render import answer_dict, item_dict, label, plain
from medrag.types import Answer, Context, Hit, Item, Route

IDENTIFIERS = {
    "patient_id",
    "study_uid",
    "series_uid",
    "sop_uid",
    "study_date",
    "accession",
    "study_description",
    "series_description",
}
SHOWN = 5  # hits of each source that a stage lists


def told(stage: str, data: Any, made: str = "", *, html: bool = False) -> tuple[str, dict[str, Any]]:
    """The name and the values of an event: routed, found, selected, token, answer; the search loop's step."""
    if stage == "routed":
        return stage, route_values(data)
    if stage == "found":
        return stage, {"sources": {name: _found(hits) for name, hits in data.items()}}
    if stage == "selected":
        return stage, _selected(data)
    if stage == "token":
        return stage, {"text": data}
    if stage == "answer":
        more = {"html": answer_parts(data, f"a{made[:8]}")} if html else {}
        return stage, {**answer_values(data, made), **more}
    return "step", {"node": stage, **plain(data)}


def answer_values(answer: Answer, made: str = "") -> dict[str, Any]:
    """`Answer.to_dict` for others: with its id, without paths and identifiers."""
    value = {"id": made, **answer_dict(answer)}
    for image in value["images"]:
        image["source"] = ""
        image["meta"] = {name: v for name, v in image["meta"].items() if name not in IDENTIFIERS}
    return {name: without_paths(v) for name, v in value.items()}


def item_values(item: Item) -> dict[str, Any]:
    """An item, without the folder that it was read from."""
    return plain(without_paths(item_dict(item)))  # type: ignore[no-any-return]


def route_values(route: Route) -> dict[str, Any]:
    """Where it is searched and why."""
    return {
        "domain": route.domain, "confidence": route.confidence, "weights": dict(route.weights), "reasons": list(route.reasons),
    }  # fmt: skip


def _found(hits: list[Hit]) -> dict[str, Any]:
    best = [{"item": hit.item.id, "label": label(hit.item), "score": hit.score} for hit in hits[:SHOWN]]
    return {"count": len(hits), "best": plain(best)}


def _selected(context: Context) -> dict[str, Any]:
    return {
        "kept": [{"key": key, "item": hit.item.id, "label": label(hit.item)} for key, hit in context],
        "dropped": [{"item": d.hit.item.id, "label": label(d.hit.item), "reason": d.reason} for d in context.dropped],
        "tokens": context.tokens,
        "notes": list(context.notes),
    }


def without_paths(value: Any) -> Any:
    """Every ``source`` as the name of its file."""
    if isinstance(value, Mapping):
        return {
            name: PurePath(inner).name if name == "source" and isinstance(inner, str) else without_paths(inner)
            for name, inner in value.items()
        }
    return [without_paths(inner) for inner in value] if isinstance(value, list) else value
