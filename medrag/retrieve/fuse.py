"""Several rankings into one: reciprocal rank fusion, or a weighted sum of scaled scores.

RRF: Cormack, Clarke & Büttcher 2009 (doi:10.1145/1571941.1572114), score = Σ w_r / (c + rank_r), c = 60.
The result does not depend on the order in which the rankings are given; ties are settled by id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from medrag.types import Hit

Scale = Callable[[Sequence[Hit]], list[float]]


def rrf(rankings: Mapping[str, Sequence[Hit]], weights: Mapping[str, float], c: int = 60) -> list[Hit]:
    """Reciprocal rank fusion. Rankings whose weight is 0 or missing do not count."""
    return _fuse(rankings, weights, lambda hits: [1.0 / (c + hit.rank) for hit in hits])


def weighted(rankings: Mapping[str, Sequence[Hit]], weights: Mapping[str, float]) -> list[Hit]:
    """Weighted sum of scores scaled to 0–1 within each ranking (a ranking of equal scores counts as all 1)."""
    return _fuse(rankings, weights, _unit)


def _unit(hits: Sequence[Hit]) -> list[float]:
    low, high = min(hit.score for hit in hits), max(hit.score for hit in hits)
    return [(hit.score - low) / (high - low) if high > low else 1.0 for hit in hits]


def _fuse(rankings: Mapping[str, Sequence[Hit]], weights: Mapping[str, float], scale: Scale) -> list[Hit]:
    """Sums the scaled, weighted scores of each item; the parents say which rankings it came from."""
    parents: dict[str, list[Hit]] = {}
    scores: dict[str, float] = {}
    for name in sorted(rankings):  # a fixed order, so that floating-point sums are the same
        weight, hits = weights.get(name, 0.0), rankings[name]
        if weight <= 0 or not hits:
            continue
        for hit, value in zip(hits, scale(hits), strict=True):
            parents.setdefault(hit.item.id, []).append(hit)
            scores[hit.item.id] = scores.get(hit.item.id, 0.0) + weight * value
    order = sorted(scores, key=lambda id_: (-scores[id_], id_))
    return [
        Hit(parents[id_][0].item, scores[id_], rank, "fused", tuple(parents[id_])) for rank, id_ in enumerate(order, 1)
    ]
