"""A path of the knowledge graph laid out as boxes and arrows: numbers only, the template draws them.

Two layouts of the same path, side by side for wide screens and top down for narrow ones or long paths. A statement
that the path walks against its direction keeps its arrow: it points back.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from medrag.types import Triple

_LINE = {False: 24, True: 34}  # characters of a line in a box, side by side and top down
_LONGEST_ROW = 2  # arrows that fit side by side

Node = tuple[str, str]  # name, CUI or id
Link = dict[str, Any]  # relation, polarity, back


def diagrams(triple: Triple) -> tuple[dict[str, Any], ...]:
    """The drawings of a triple or path: a row (left out when it is long) and a column."""
    nodes, links = walk(triple)
    column = layout(nodes, links, down=True) | {"layout": "column", "label": triple.text}
    if len(links) > _LONGEST_ROW:
        return (column | {"layout": "only"},)
    return (layout(nodes, links, down=False) | {"layout": "row", "label": triple.text}, column)


def walk(triple: Triple) -> tuple[list[Node], list[Link]]:
    """The nodes in order and the links between them: of ``meta["steps"]``, or of the statement itself.

    ``steps`` are mappings with subject, relation, object, polarity, and for each end its ``_id`` and ``_cui``.
    """
    own = {
        end: getattr(triple, end) for end in ("subject", "relation", "object", "polarity", "subject_id", "object_id")
    }
    steps = [
        (_end(step, "subject"), str(step["relation"]), _end(step, "object"), str(step.get("polarity", "present")))
        for step in triple.meta.get("steps") or [own]
    ]
    nodes, links = [_start(steps)], []
    for subject, relation, target, polarity in steps:
        back = target[0] == nodes[-1][0] and subject[0] != nodes[-1][0]
        links.append({"relation": relation, "polarity": polarity, "back": back})
        nodes.append(subject if back else target)
    return nodes, links


def _start(steps: Sequence[tuple[Node, str, Node, str]]) -> Node:
    """The end of the first step that the second step does not go on from."""
    subject, _, target, _ = steps[0]
    onward = {steps[1][0][0], steps[1][2][0]} if len(steps) > 1 else set()
    return target if subject[0] in onward and target[0] not in onward else subject


def _end(step: Mapping[str, Any], end: str) -> Node:
    """One end of a statement: its name, and its CUI, or its id where none is known."""
    return str(step[end]), str(step.get(f"{end}_cui") or step.get(f"{end}_id", ""))


def layout(nodes: Sequence[Node], links: Sequence[Link], *, down: bool) -> dict[str, Any]:
    """Boxes and arrows with their places, and the size of the whole, all in pixels."""
    wide, high = (280 if down else 200), 62
    step_x, step_y = (0, high + 46) if down else (wide + 140, 0)
    boxes = [_box(node, 1 + n * step_x, 1 + n * step_y, wide, high, _LINE[down]) for n, node in enumerate(nodes)]
    arrows = [_arrow(link, boxes[n], boxes[n + 1], down) for n, link in enumerate(links)]
    return {"nodes": boxes, "arrows": arrows, "width": boxes[-1]["x"] + wide + 1, "height": boxes[-1]["y"] + high + 1}


def _box(node: Node, x: int, y: int, wide: int, high: int, limit: int) -> dict[str, Any]:
    """A box with one or two lines of its name, and its code below."""
    name, code = node
    lines = textwrap.wrap(name, limit, max_lines=2, placeholder="…") or [name[:limit]]
    single = len(lines) == 1
    text = [{"y": y + (27 if single else 20) + 16 * n, "words": line} for n, line in enumerate(lines)]
    place = {"x": x, "y": y, "w": wide, "h": high, "cx": x + wide // 2, "code_y": y + high - (15 if single else 9)}
    return place | {"lines": text, "code": code[: limit + 4], "name": name}


def _arrow(link: Link, start: Mapping[str, Any], end: Mapping[str, Any], down: bool) -> dict[str, Any]:
    """An arrow between two boxes with its relation in words; dashed where the statement is negated or uncertain."""
    words = textwrap.shorten(link["relation"].replace("_", " "), 34 if down else 20, placeholder="…")
    style = {"words": words, "dashed": link["polarity"] in ("absent", "uncertain"), "polarity": link["polarity"]}
    side, turn = ("y", 90) if down else ("x", 0)
    low = start[side] + start["h" if down else "w"]
    line = {f"{side}1": low + 2, f"{side}2": end[side] - 2}
    tip = line[f"{side}1"] if link["back"] else line[f"{side}2"]
    middle = (low + end[side]) // 2
    if down:
        spot = {"x1": start["cx"], "x2": start["cx"], "tx": start["cx"] + 12, "ty": middle + 4, "anchor": "start"}
        return style | line | spot | {"tip_x": start["cx"], "tip_y": tip, "turn": turn + (180 if link["back"] else 0)}
    y = start["y"] + start["h"] // 2
    spot = {"y1": y, "y2": y, "tx": middle, "ty": y - 8, "anchor": "middle"}
    return style | line | spot | {"tip_x": tip, "tip_y": y, "turn": turn + (180 if link["back"] else 0)}
