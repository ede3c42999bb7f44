"""What changed between two images, from evidence that sets both beside each other: a small model has never seen a pair, and would guess.

The evidence is what the search loop's comparison says of a findings reader's probabilities ("Pleural effusion is new: …").
"""

from __future__ import annotations

import re

from medrag._util.findings import ASKED, label_of
from medrag.types import Context
from medrag.vlms._ask import parse
from medrag.vlms._evidence import READER

_SAID = re.compile(
    r"(?P<name>[A-Z][\w ,'-]*?) is (?P<word>new|resolved|unchanged): probability \d\.\d+ in the (?:first|earlier) image, \d\.\d+ in the (?:second|later)"
)
_NEITHER = re.compile(r"In neither image: (?P<names>[^.]*)")
_OPEN = re.compile(  # "on different sides" compares no images
    r"\b(?:chang\w+|compar\w+|progress\w*|evolution|evolved|interval)\b|^\W*what(?:'s| is| are) (?:the )?differen(?:ces?|t)\W*$"
    r"|\bdifferen(?:ces?|t) (?:from|between the (?:two |both )?(?:films|images|pictures|studies|scans|x-?rays|radiographs))\b",
    re.IGNORECASE,
)
_CLOSED = (  # how a finding's course is asked about, and the verdicts of which that is true
    (re.compile(r"\b(?:unchanged|stable|same)\b", re.IGNORECASE), ("unchanged", "")),
    (re.compile(r"\b(?:new|appeared|developed)\b", re.IGNORECASE), ("new",)),
    (re.compile(r"\b(?:resolved|gone|disappeared|cleared)\b", re.IGNORECASE), ("resolved",)),
    (re.compile(r"\b(?:still|persist\w*)\b", re.IGNORECASE), ("unchanged",)),
    (re.compile(r"\b(?:chang\w+|differen\w+)\b", re.IGNORECASE), ("new", "resolved")),
)


def asks_change(question: str) -> bool:
    """Whether it asks, openly, what differs from another image: "What has changed?"."""
    return parse(question).sort == "open" and bool(_OPEN.search(question))


def change_told(question: str, context: Context) -> str:
    """The answer by the evidence that compares the images, with its key; empty where there is none, and for what it says nothing of, as a size."""
    found = ((key, hit.item.text) for key, hit in context if hit.retriever == READER)
    key, text = next(((key, text) for key, text in found if _SAID.search(text) or _NEITHER.search(text)), ("", ""))
    said = {one["name"].lower(): one for one in _SAID.finditer(text)}
    if key and asks_change(question):
        return " ".join(f"{one[0]} [{key}]." for one in said.values()) or f"No finding comes or goes [{key}]."
    label, kind = label_of(question), next((right for asked, right in _CLOSED if asked.search(question)), None)
    if not key or not label or kind is None or parse(question).sort != "closed":
        return ""
    name = re.sub(r"^an? ", "", ASKED[label][0]) if label in ASKED else ""
    neither = _NEITHER.search(text)
    if name not in said and not (neither and name in neither["names"].split(", ")):
        return ""
    answer = "Yes" if (said[name]["word"] if name in said else "") in kind else "No"
    return f"{answer} [{key}]. {said[name][0] if name in said else f'In neither image: {name}'} [{key}]."
