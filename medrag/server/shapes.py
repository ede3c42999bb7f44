"""The shapes of what the server says, for its OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Said(BaseModel):
    """Open to further names: items of each kind bring their own."""

    model_config = ConfigDict(extra="allow")


class ItemOut(Said):
    """A piece of the index: a passage, page, image, study, concept or statement."""

    item: str
    doc: str
    kind: Literal["document", "passage", "page", "image", "study", "concept", "triple"]
    text: str


class HitOut(ItemOut):
    """An item with how it was found."""

    score: float
    rank: int
    retriever: str
    sources: list[str]


class CitationOut(ItemOut):
    """Evidence that the text points at with ``key``; boxes are x0, y0, x1, y1 (points of a page, pixels of an image)."""

    key: str
    quote: str
    page: int | None
    boxes: list[list[float]]
    support: float | None


class ClaimOut(BaseModel):
    """A sentence of the answer, checked: ``verdict`` of what it cites (``key`` and ``quote`` decide), ``seen`` by the image's reader."""

    text: str
    keys: list[str]
    verdict: Literal["supported", "contradicted", "absent"]
    key: str
    quote: str
    seen: Literal["supported", "contradicted", ""]


class RouteOut(BaseModel):
    """The domain with its confidence, and a weight for each source."""

    domain: str
    confidence: float
    weights: dict[str, float]
    reasons: list[str]


class AnswerOut(Said):
    """The answer with everything that led to it."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "id": "5f0c…", "question": "What is a pleural effusion?", "status": "answered", "reason": "",
                "text": "Pleural effusion is fluid in the pleural space [E1].", "model": "extractive",
                "citations": [{"key": "E1", "item": "primer:chest#p3~1", "doc": "primer:chest", "kind": "passage", "text": "…",
                               "quote": "Pleural effusion is fluid in the pleural space.", "page": 3, "boxes": [[72, 90, 520, 140]], "support": 1.0}],
            }
        },
    )  # fmt: skip

    id: str
    question: str
    text: str
    status: Literal["answered", "abstained", "uncited"]
    reason: str
    citations: list[CitationOut]
    claims: list[ClaimOut]
    confidence: float | None = Field(
        description="Calibrated probability that the answer is right; null where nothing was calibrated"
    )
    context: dict[str, Any]
    route: RouteOut
    model: str
    usage: dict[str, Any]
    timings: dict[str, float]
    fingerprint: str
    trace: list[dict[str, Any]]


class SearchOut(BaseModel):
    """Fused hits, best first."""

    hits: list[HitOut]


class IndexOut(BaseModel):
    """What the server answers from."""

    name: str
    about: str
    model: str
    sees_images: bool
    private: bool
    retrievers: list[str]
    counts: dict[str, dict[str, int]]  # by corpus and kind
    created: str
    content_hash: str
    fingerprint: str


class ProblemOut(BaseModel):
    """Every failure: what is wrong, and what mends it."""

    error: dict[str, Any]
