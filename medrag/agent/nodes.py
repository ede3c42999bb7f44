"""The four nodes of the loop as functions of the state: what each changes, timed, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from medrag._util.instructions import INSTRUCTS, instruction_in
from medrag._util.render import label
from medrag._util.text import content_words, count_tokens, shorten
from medrag.agent import verify
from medrag.agent.asking import is_named
from medrag.agent.desk import ANOTHER, Desk, corpus_of, subject_of
from medrag.agent.parse import checked, unbroken
from medrag.agent.parts import Told, answer_parts, parts_of
from medrag.agent.policy import Policy
from medrag.agent.state import (
    NO_ROOM,
    Budget,
    Call,
    Piece,
    Row,
    State,
    context_of,
    for_generator,
    hit_of,
    id_of,
    piece_of,
    with_last,
)
from medrag.agent.tools import BUILT_IN, OWN_TOOL, TERMINAL, Found, run_tool, words_of
from medrag.agent.verify import Entails, Said
from medrag.errors import IndexProblem, SettingsError
from medrag.finish import NOTHING
from medrag.private import WITHHELD
from medrag.prompts import REFUSAL, evidence_block
from medrag.types import Answer, Context, Hit
from medrag.vlms._evidence import GIVEN, is_report

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from langgraph.runtime import Runtime

    from medrag.finish import Said as Finished

SAID = 3000  # characters of what a tool tells that are kept
SHARE = 0.5  # of the evidence budget that is left which one call may use


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What the nodes work with and what is not saved."""

    desk: Desk
    tools: dict[str, BaseTool]
    kept: list[Hit]  # the evidence, for the tools that read it
    policy: Policy
    budget: Budget  # with the evidence's tokens filled in
    entails: Entails | None
    clock: Callable[[], float]


Work = Callable[[State, Bench], dict[str, Any]]


def _timed(name: str) -> Callable[[Work], Callable[[State, Runtime[Bench]], dict[str, Any]]]:
    """A node that notes its seconds under ``name``, in the state and in the trace's last row."""

    def wrap(work: Work) -> Callable[[State, Runtime[Bench]], dict[str, Any]]:
        def node(state: State, runtime: Runtime[Bench]) -> dict[str, Any]:
            bench = runtime.context
            begun = bench.clock()
            changes = work(state, bench)
            spent = bench.clock() - begun
            row = {**changes["trace"][-1]}
            row["seconds"] = round(row.get("seconds", 0.0) + spent, 4)
            timings = {**state["timings"], name: state["timings"].get(name, 0.0) + spent}
            return {**changes, "trace": [*changes["trace"][:-1], row], "timings": timings}

        node.__doc__ = (
            work.__doc__
        )  # no functools.wraps: LangGraph reads the signature to know that a runtime is wanted
        return node

    return wrap


@_timed("plan")
def plan(state: State, bench: Bench) -> dict[str, Any]:
    """The next call: the policy's, checked, or the answer where the budget is spent."""
    memory, why = state["memory"], spent_up(state, bench.budget)
    if why:
        call = Call(name="answer", args={"text": ""}, thought=why)
    else:
        left, images = bench.budget.tokens - state["tokens"], [image.image for image in bench.desk.images]
        call, memory = _decided(bench.policy, bench.policy.decide(state, bench.tools, left, images))
        if not call.get("fault"):
            call = checked(call, bench.tools)
    ends = call.get("name") in TERMINAL
    tokens, step = call.get("tokens", 0), state["steps"] + (not ends)
    row: Row = {
        "step": len(state["trace"]) + 1,
        "tool": call.get("name", ""),
        "args": call.get("args", {}),
        "tokens": tokens,
    }
    row |= {key: call[key] for key in ("thought", "fault", "raw") if call.get(key)}  # type: ignore[literal-required]
    return {
        "call": call, "memory": memory, "steps": step, "tokens": state["tokens"] + tokens, "trace": [*state["trace"], row],
    }  # fmt: skip


def _decided(policy: Policy, value: Any) -> tuple[Call, dict[str, Any]]:
    """What a policy decided. Raises SettingsError for what is no call and its memory."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], dict) and isinstance(value[1], dict):
        return value  # type: ignore[return-value]
    raise SettingsError(
        f"the policy {policy.name!r} decided on {type(value).__name__}, not on a call and its memory",
        'return a pair from decide: ({"name": "search_text", "args": {"query": …}}, {})',
    )


def spent_up(state: State, budget: Budget) -> str:
    """Which budget leaves no room for another step; empty when there is some."""
    if state["steps"] >= budget.steps:
        return f"{budget.steps} steps are done"
    if state["tokens"] >= budget.tokens:
        return f"{budget.tokens} tokens are used"
    return f"{budget.seconds:g} s are over" if sum(state["timings"].values()) >= budget.seconds else ""


def after_plan(state: State) -> Literal["plan", "act", "answer"]:
    """A reply that was no call goes back to the policy, as a step of its own."""
    name = state["call"].get("name", "")
    return "plan" if not name else "answer" if name in TERMINAL else "act"


@_timed("act")
def act(state: State, bench: Bench) -> dict[str, Any]:
    """Runs the call. Whatever a tool raises is told to the policy; what it found is not looked at yet."""
    call, step = state["call"], state["steps"]
    bench.kept[:] = bench.desk.shown_as([hit_of(piece) for piece in state["evidence"]])
    bench.desk.shown = _shown(state)
    bench.desk.heard = frozenset(corpus_of(h.item) for h in bench.kept if is_named(subject_of(h.item), _goal(state)))
    try:
        request = {"type": "tool_call", "id": f"{step}", "name": call["name"], "args": call["args"]}
        message = run_tool(bench.tools[call["name"]], request)
        said, fault = shorten(unbroken(str(getattr(message, "text", message))), SAID), ""
        told = _artifact(getattr(message, "artifact", None), state["question"], call["name"], said)
    except IndexProblem:  # no policy can mend that
        raise
    except Exception as error:  # a user's tool may raise anything
        told = Found("", -1)
        said = fault = f"{call['name']} failed: {shorten(unbroken(str(error)), 300) or type(error).__name__}"
    if instruction_in(said):
        said = f"(what the tool told is left out: {INSTRUCTS})"
        fault = fault and said
    goal = unbroken(told.goal)
    found = [piece_of(hit, goal, told.image, step) for hit in told.hits]
    found += [piece_of(drop.hit, goal, told.image, step, drop.reason) for drop in told.refused]
    changes = {"said": said, "goal": goal} | ({"fault": fault} if fault else {})
    return {"found": found, "said": said, "trace": with_last(state, changes)}


def _artifact(value: Any, question: str, tool: str, said: str) -> Found:
    """What a tool hands on beside its words; of a tool of other make the hits among it, else its words."""
    if isinstance(value, Found):
        return value
    hits = [hit for hit in value if isinstance(hit, Hit)] if isinstance(value, list | tuple) else []
    if not hits and tool not in BUILT_IN and content_words(said) and said != "null":
        hits = [words_of(tool, said)]
    return Found(question, -1, hits)


def _goal(state: State) -> str:
    """What the call at hand is for."""
    args = state["call"]["args"]
    return str(next(filter(None, (args.get(name) for name in ("goal", "query", "term"))), state["question"]))


def _shown(state: State) -> frozenset[str]:
    """Ids that need not come again: what is kept, and what was refused for this very goal."""
    goal = _goal(state)
    return frozenset(id_of(p) for p in state["evidence"]) | {id_of(p) for p in state["dropped"] if p["goal"] == goal}


@_timed("verify")
def verify_found(state: State, bench: Bench) -> dict[str, Any]:
    """Keeps what is evidence for the call's goal and fits, drops the rest with the reason, and looks for contradictions."""
    evidence, dropped = list(state["evidence"]), list(state["dropped"])
    room = bench.budget.evidence - sum(piece["tokens"] for piece in evidence)
    share, before, refused = room * SHARE, len(evidence), len(dropped)
    for piece in state["found"]:
        verdict = verify.Verdict(reason=piece["reason"]) if piece["reason"] else _judge(piece, evidence, bench)
        reason = verdict.reason
        if not reason and piece["tokens"] > (room if len(evidence) == before else share):
            reason = f"over the budget of {bench.budget.evidence} tokens"
        judged: Piece = {
            **piece,
            "quote": verdict.quote,
            "view": verdict.view,
            "support": verdict.support,
            "reason": reason,
        }
        (dropped if reason else evidence).append(judged)
        if not reason:
            room, share = room - piece["tokens"], share - piece["tokens"]
    conflicts = _conflicts(evidence)
    fresh = bench.desk.shown_as([hit_of(piece) for piece in evidence[before:]])
    row = {
        "kept": [_told(f"E{n}", piece) for n, piece in enumerate(evidence[before:], before + 1)],
        "dropped": [{"id": id_of(piece), "reason": piece["reason"]} for piece in dropped[refused:]],
        "conflicts": [one for one in conflicts if one not in state["conflicts"]],
        "observation": _observation(state["said"], fresh, before, dropped[refused:], conflicts),
    }
    return {
        "evidence": evidence,
        "dropped": dropped,
        "conflicts": conflicts,
        "found": [],
        "trace": with_last(state, row),
    }


def _judge(piece: Piece, evidence: list[Piece], bench: Bench) -> verify.Verdict:
    hit = hit_of(piece)
    if any(id_of(other) == hit.item.id for other in evidence):
        return verify.Verdict(reason="it is kept already")
    if reason := bench.desk.withheld(hit):
        return verify.Verdict(reason=reason)
    given = piece["retriever"] in GIVEN or piece["retriever"].startswith(OWN_TOOL)  # that is what it was called for
    return verify.verify(hit, piece["goal"], bench.entails, given=given)


def _conflicts(evidence: Sequence[Piece]) -> list[str]:
    """Where pieces of the evidence say the opposite, by their keys."""
    said = [Said(f"E{n}", p["goal"], p["view"], p["quote"], _of_patient(p)) for n, p in enumerate(evidence, 1)]
    return verify.conflicts(said)


def _of_patient(piece: Piece) -> bool:
    """Whether it speaks of one patient: a report, or what was made of this one's images and reports."""
    return piece["retriever"] in GIVEN or is_report(hit_of(piece))


def _told(key: str, piece: Piece) -> Row:
    names = {name: piece[name] for name in ("goal", "quote", "view", "support", "image")}  # type: ignore[literal-required]
    return {"key": key, "id": id_of(piece), "label": label(hit_of(piece).item), **names}


def _observation(said: str, kept: Sequence[Hit], before: int, dropped: list[Piece], conflicts: list[str]) -> str:
    """What a policy's model reads of the step: retrieved text is marked as data, its tags and keys defused."""
    blocks = [evidence_block(f"E{n}", hit) for n, hit in enumerate(kept, before + 1)]
    told = (piece["reason"] for piece in dropped)  # what instructs is not quoted to a model
    reasons = dict.fromkeys(INSTRUCTS if one.startswith(INSTRUCTS) else one for one in told)
    left = [f"{len(dropped)} left out: {'; '.join(list(reasons)[:3])}"] if dropped else []
    return "\n".join([f"<result>{said.replace('<', '‹')}</result>", *blocks, *left, *conflicts])


@_timed("answer")
def answer(state: State, bench: Bench) -> dict[str, Any]:
    """The policy's own text, or the generator's from the evidence, both finished as every answer is; or the refusal."""
    call, rag, route = state["call"], bench.desk.rag, bench.desk.route
    own, refused = unbroken(str(call["args"].get("text") or "")), call["name"] == "abstain"
    row: Row = {}
    if own or refused:
        said = _finished(REFUSAL if refused else own, state, bench)
        if refused:
            said = said._replace(reason=str(call["args"].get("reason") or "the policy found no answer in the evidence"))
        outcome = _outcome(said, bench.policy.name, {"answer_tokens": count_tokens(said.text)})
    else:
        found = len(state["dropped"])
        state = _read(for_generator(state), bench)
        if left := state["dropped"][found:]:
            row = {"dropped": [{"id": id_of(piece), "reason": piece["reason"]} for piece in left]}
        context = bench.desk.read_from(context_of(state, bench.desk.query))
        parts = parts_of(state["question"], rag)
        one = len(parts) < 2
        written, told = _whole(context, bench) if one else answer_parts(rag, context, route, parts)
        outcome = _outcome(written, written.model, written.usage) | (
            {"parts": [list(one) for one in told]} if told else {}
        )
        if written.status == "abstained":
            outcome["reason"] = _why(outcome["reason"], state, bench.budget)
    trace = with_last(state, {"observation": outcome["text"], **row})
    kept = {name: state[name] for name in ("evidence", "dropped", "conflicts")}  # type: ignore[literal-required]
    return {**kept, "outcome": outcome, "trace": trace}


def _whole(context: Context, bench: Bench) -> tuple[Answer, list[Told]]:
    return bench.desk.rag.answer_from(bench.desk.counted(context), bench.desk.route), []


def _why(reason: str, state: State, budget: Budget) -> str:
    """Why it was not answered: with the budget that is spent, and, where there is no evidence, what was wrong with the last step."""
    thought, rows = state["call"].get("thought", ""), state["trace"][:-1]
    spent = thought if thought in (spent_up(state, budget), NO_ROOM) else ""
    faulty = str(rows[-1].get("fault", "")).partition(". Reply with one")[0] if rows and not state["evidence"] else ""
    if (spent or faulty) and not any(row["tool"] for row in rows):
        reason = "nothing was searched"
    elif reason == NOTHING and any(_turned_down(piece["reason"]) for piece in state["dropped"]):
        reason = "what was found does not answer the question"
    return "; ".join(filter(None, [reason, spent, faulty and f"the last step failed: {faulty}"]))


def _turned_down(reason: str) -> bool:
    """Whether a piece was dropped for what it says, not for who may read it or what it commands."""
    return not reason.startswith((INSTRUCTS, WITHHELD, ANOTHER))


def _finished(text: str, state: State, bench: Bench) -> Finished:
    """A policy's own text as every answer is finished. One that read more than the confidences were learned with has none, and is held
    back where a risk is asked for."""
    rag, context = bench.desk.rag, bench.desk.read_from(context_of(state, bench.desk.query))
    said = rag.finish(text, bench.desk.counted(context), bench.desk.route)
    if said.confidence is None or len(bench.desk.cut(context).kept) == len(context.kept):
        return said
    if rag.settings.risk is None or said.status == "abstained":
        return said._replace(confidence=None)
    why = f"for a risk of {rag.settings.risk:g}: the policy read more evidence than the calibration was made with"
    return said._replace(text=REFUSAL, status="abstained", citations=(), reason=why, claims=(), confidence=None)


def _read(state: State, bench: Bench) -> State:
    """The state with no more evidence than the calibration was made with; the rest is among what was dropped."""
    left = bench.desk.cut(context_of(state, bench.desk.query))
    kept, rest = state["evidence"][: len(left.kept)], state["evidence"][len(left.kept) :]
    if not rest:
        return state
    gone: list[Piece] = [{**piece, "reason": left.dropped[-1].reason} for piece in rest]
    return {**state, "evidence": kept, "dropped": [*state["dropped"], *gone], "conflicts": _conflicts(kept)}


def _outcome(said: Finished | Answer, model: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    """What is saved of an answer; the rest is made again from the evidence."""
    claims = json.dumps([dataclasses.asdict(one) for one in said.claims])
    return {
        "text": unbroken(said.text), "reason": unbroken(said.reason), "claims": claims, "confidence": said.confidence,
        "model": model, "usage": dict(usage),
    }  # fmt: skip
