"""Best-first walks through the graph.

The score of a path is the product of its steps' weights, ``prior(relation, direction) / log2(1 + degree of the node reached)``, times
`DECAY` for each step after the first. Every factor is at most 1, so a longer path never scores above the path it extends,
and taking paths from a heap gives them in their final order (Dijkstra's argument). Nodes with more than `HUB` neighbours
can be reached but are not walked through.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from medrag.graph.store import GraphStore, Path, Step

DECAY = 0.7
HUB = 200


def best_paths(store: GraphStore, starts: Iterable[str], hops: int, limit: int) -> list[Path]:
    """At most ``limit`` paths of 1 to ``hops`` edges without repeated nodes, best first; ties by nodes and statements.

    The steps of a node are sorted, so only its next best one waits in the heap.
    """
    from medrag.graph.store import Path

    known: dict[str, list[Step]] = {}
    heap: list[_Walk] = []

    def push(cost: float, nodes: tuple[str, ...], steps: tuple[Step, ...], place: int) -> None:
        """A walk, extended by the first of its next steps from ``place`` on that leads to a new node."""
        here = nodes[-1]
        if here not in known:
            known[here] = store.steps(here)
        for index in range(place, len(known[here])):
            step = known[here][index]
            if step.there not in nodes:
                worth = -cost * step.cost * (DECAY if steps else 1.0)
                heapq.heappush(
                    heap,
                    _Walk(
                        worth, (*nodes, step.there), (*(s.key for s in steps), step.key), index, cost, (*steps, step)
                    ),
                )
                return

    for start in sorted({store.node(start) for start in starts if start in store}) if hops > 0 else ():
        push(-1.0, (start,), (), 0)
    found: list[Path] = []
    while heap and len(found) < limit:
        walk = heapq.heappop(heap)
        found.append(Path(walk.nodes, tuple(store.edge(step) for step in walk.steps), -walk.cost))
        push(walk.before, walk.nodes[:-1], walk.steps[:-1], walk.place + 1)
        if len(walk.steps) < hops and store.degree(walk.nodes[-1]) <= HUB:
            push(walk.cost, walk.nodes, walk.steps, 0)
    return found


class _Walk(NamedTuple):
    """A walk in the heap; no two have the same nodes and keys, so nothing behind them is ever compared."""

    cost: float  # minus the score
    nodes: tuple[str, ...]
    keys: tuple[tuple[str, str, str, str], ...]
    place: int  # of the last step among the steps of its node
    before: float  # the cost without the last step
    steps: tuple[Step, ...]
