"""The best paths between two concepts: best-first from one end, within what can still reach the other.

Scored like every walk (`medrag.graph.walk`): the product of the steps' weights, and `DECAY` for each step after the first; no factor is above 1,
so paths leave the heap in their final order. A walk's last step is only taken to the other end itself, which keeps three hops as cheap as two.
Nodes with more than `HUB` neighbours are met, not walked through.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import TYPE_CHECKING

from medrag.graph.walk import DECAY, HUB

if TYPE_CHECKING:
    from medrag.graph.store import GraphStore, Path, Step

MOST = 5_000  # nodes looked at


def paths_between(
    store: GraphStore, starts: Collection[str], ends: Collection[str], hops: int = 3, limit: int = 5
) -> list[Path]:
    """At most ``limit`` paths of 1 to ``hops`` edges from any of the starts to any of the ends, best first, ties by nodes.

    Of the paths over the same nodes the best counts, but two neighbours get all statements between them. Unknown ids have none.
    """
    from medrag.graph.store import Path

    first = {store.node(one) for one in starts if one in store}
    last = {store.node(one) for one in ends if one in store} - first
    near = {step.there for end in last for step in store.steps(end)}
    heap: list[tuple[float, tuple[str, ...], tuple[tuple[str, str, str, str], ...], tuple[Step, ...]]]
    heap = [(-1.0, (node,), (), ()) for node in sorted(first)]
    found: list[Path] = []
    seen: set[tuple[str, ...]] = set()
    looked = 0
    while heap and last and len(found) < limit:
        cost, nodes, keys, steps = heapq.heappop(heap)
        if nodes[-1] in last:
            if len(steps) == 1 or nodes not in seen:
                seen.add(nodes)
                found.append(Path(nodes, tuple(store.edge(step) for step in steps), -cost))
            continue
        left = hops - len(steps)
        if left < 1 or looked >= MOST or (steps and store.degree(nodes[-1]) > HUB):
            continue
        looked += 1
        for step in store.steps(nodes[-1]):
            if step.there not in nodes and (step.there in last or left > 2 or (left == 2 and step.there in near)):
                worth = -cost * step.cost * (DECAY if steps else 1.0)
                heapq.heappush(heap, (worth, (*nodes, step.there), (*keys, step.key), (*steps, step)))
    return found
