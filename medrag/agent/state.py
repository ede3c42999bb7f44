"""What a run of the loop knows, as plain JSON values: it is saved after every node, and a run goes on from it.

Pixels are not part of it, only their hashes; pieces of evidence are written out whole, so that nothing is searched again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from medrag.errors import SettingsError
from medrag.prompts import evidence_tokens
from medrag.types import Context, Drop, Hit, Query, item_from_json, item_to_json
from medrag.vlms._evidence import GIVEN, READER

REPLY = 400  # tokens of one reply of a policy's model
NO_ROOM = "the budget of tokens has no room for another reply"
Row = dict[str, Any]  # one step of the trace


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may use. It is looked at before every step: a call that has begun is not broken off.

    ``steps`` calls or replies that were none; ``tokens`` that the policy's model reads and writes; ``seconds`` of work,
    those of an interrupted run included; ``evidence`` tokens that are kept (0: as many as the index's recipe says); ``reply`` tokens of one
    reply of the policy's model, thoughts included (after one that was cut off, twice as many).
    """

    steps: int = 8
    tokens: int = 24_000
    seconds: float = 120.0
    evidence: int = 0
    reply: int = REPLY

    def __post_init__(self) -> None:
        if self.reply < 1:
            raise SettingsError(
                f"a reply of {self.reply} tokens", "give 1 or more; a model that thinks needs thousands"
            )
        if min(self.steps, self.tokens, self.seconds, self.evidence) < 0:
            raise SettingsError(f"a budget below 0: {self}", "give numbers from 0 up")


class Call(TypedDict, total=False):
    """What a policy wants done next: a tool with its arguments, or a fault where its reply was no call."""

    name: str  # "" with a fault
    args: dict[str, Any]
    thought: str
    fault: str  # the parser's message to the model
    raw: str  # the model's reply, shortened
    tokens: int  # that the policy's model read and wrote for it


class Piece(TypedDict):
    """A hit that was verified, with the words that bear it out."""

    item: str  # one line of JSON
    score: float
    rank: int
    retriever: str
    parents: list[list[Any]]  # retriever, score, rank
    goal: str  # the question that it answers
    quote: str
    view: str  # what it says of the finding asked about: present, absent, uncertain or ""
    support: float  # 0–1
    image: int  # of the question's images that it was found with; -1: none
    step: int
    tokens: int
    reason: str  # why it was dropped; "" for evidence


class State(TypedDict, total=False):
    """The loop's state; every node gives the keys that it changes."""

    policy: str  # its name
    index: str  # the hash of what it holds for who asks
    access: list[str]  # labels that the asker holds
    private: bool
    question: str
    images: list[str]  # sha256 of the decoded pixels
    days: list[str]  # of the images' files, empty where they name none
    exclude: list[str]
    patient: str
    history: list[list[str]]  # earlier questions of the session, each with its answer
    domain: str
    call: Call
    memory: dict[str, Any]  # the policy's own
    found: list[Piece]  # of the last call, not verified yet
    said: str  # what the last call's tool told in words
    evidence: list[Piece]
    dropped: list[Piece]
    conflicts: list[str]
    steps: int
    tokens: int
    timings: dict[str, float]  # seconds by node
    trace: list[Row]
    outcome: dict[str, Any]  # text, reason, model, usage, claims, confidence: set when the run is over


def piece_of(hit: Hit, goal: str, image: int = -1, step: int = 0, reason: str = "") -> Piece:
    """A hit that nothing was said about yet, or why it was refused."""
    return Piece(
        item=item_to_json(hit.item), score=float(hit.score), rank=hit.rank, retriever=hit.retriever,
        parents=[[p.retriever, float(p.score), p.rank] for p in hit.parents], goal=goal, quote="", view="", support=0.0,
        image=image, step=step, tokens=evidence_tokens(hit), reason=reason,
    )  # fmt: skip


def hit_of(piece: Piece, rank: int = 0) -> Hit:
    """The hit again, with its own rank or another."""
    item = item_from_json(piece["item"])
    parents = tuple(Hit(item, score, place, name) for name, score, place in piece["parents"])
    return Hit(item, piece["score"], rank or piece["rank"], piece["retriever"], parents)


def id_of(piece: Piece) -> str:
    """The id of its item."""
    return str(json.loads(piece["item"])["id"])


def context_of(state: State, query: Query) -> Context:
    """The evidence as a context."""
    kept = tuple(hit_of(piece, rank) for rank, piece in enumerate(state["evidence"], 1))
    dropped = tuple(Drop(hit_of(piece), piece["reason"]) for piece in state["dropped"])
    return Context(query, kept, dropped, sum(piece["tokens"] for piece in state["evidence"]), tuple(state["conflicts"]))


def for_generator(state: State) -> State:
    """The state with the evidence in the order in which a generator reads it: what the expert model said comes last, for some see the image
    through the same model already; of several images what is of this patient comes first, for no look-alike knows what changed. Keys follow their pieces, in the conflicts and in the trace; what a policy's model was told stays as it was."""
    own, several = [piece["retriever"] for piece in state["evidence"]], len(state["images"]) > 1
    places = sorted(range(len(own)), key=lambda n: own[n] not in GIVEN if several else own[n] == READER)
    keys = {f"E{old + 1}": f"E{new}" for new, old in enumerate(places, 1)}
    return {
        **state,
        "evidence": [state["evidence"][n] for n in places],
        "conflicts": [_renamed(one, keys) for one in state["conflicts"]],
        "trace": [_rekeyed(row, keys) for row in state["trace"]],
    }


def _rekeyed(row: Row, keys: Mapping[str, str]) -> Row:
    if "kept" not in row:
        return row
    kept = [{**told, "key": keys[told["key"]]} for told in row["kept"]]
    return {**row, "kept": kept, "conflicts": [_renamed(one, keys) for one in row["conflicts"]]}


def _renamed(conflict: str, keys: Mapping[str, str]) -> str:
    """A conflict with other keys; they stand after its last colon, for a question may hold what looks like one."""
    head, colon, told = conflict.rpartition(": ")
    return head + colon + re.sub(r"\bE\d+\b", lambda match: keys[match[0]], told)


def last(state: State) -> Row:
    """The row of the step that is going on."""
    return state["trace"][-1]


def with_last(state: State, changes: Mapping[str, Any]) -> list[Row]:
    """The trace with changes to its last row."""
    return [*state["trace"][:-1], {**last(state), **changes}]
