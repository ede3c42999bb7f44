"""The loop as a compiled LangGraph: plan → act → verify → plan … → answer, saved after every node.

What is searched next is the policy's matter (policy.py, llm_policy.py), what a tool does the tools'; this file keeps the budget,
lets only allowed calls through, and puts the answer together. After Patho-AgenticRAG (arXiv 2508.02258) and i-MedRAG (arXiv 2408.00727).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medrag.agent import nodes
from medrag.agent.desk import Desk
from medrag.agent.llm_policy import FollowUpPolicy
from medrag.agent.nodes import Bench
from medrag.agent.parts import citations_of
from medrag.agent.policy import Policy, RulePolicy, policy_of
from medrag.agent.state import Budget, Piece, State, context_of
from medrag.agent.tools import BUILT_IN, TERMINAL, make_tools, own_tools
from medrag.agent.verify import Entails, inferred
from medrag.cite import cite
from medrag.errors import MissingDependency, SettingsError
from medrag.latest import days_of, latest, narrowed, of_the_named, put_aside, strangers
from medrag.prompts import REFUSAL
from medrag.query import make_query
from medrag.score.grounding import claims, supports
from medrag.types import Answer, Claim, Context, Hit, as_tuple
from medrag.vlms._changed import COURSE
from medrag.vlms._evidence import READER

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from medrag.agent.desk import See
    from medrag.pipeline import MedRAG
    from medrag.types import Query


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A node that was passed: planned, called and verified carry the trace's row of the step, answer the `Answer`."""

    stage: Literal["planned", "called", "verified", "answer"]
    data: Any


_STAGES: dict[str, Literal["planned", "called", "verified"]] = {
    "plan": "planned",
    "act": "called",
    "verify": "verified",
}


@dataclass(eq=False)
class Agent:
    """Searches in several turns over an opened `medrag.MedRAG`.

    ``policy``: "rules", "llm" (the pipeline's own generator chooses the calls), "follow-up" (it writes sub-questions), a
    LangChain chat model, or a `medrag.agent.policy.Policy`. ``tools`` are further LangChain tools, which models and policies of one's own call, ``allow`` the names of
    those that may be called (empty: all; answer and abstain always may). ``see`` reads findings off chest films, by default the reader that
    an encoder of the recipe ships; ``entails(evidence, claim)`` may stand for the word rules where statements are checked, by default the rules for claims do where the setting ``entailment`` names a classifier, which is asked of what they leave open.
    ``checkpoint`` is an SQLite file for runs that have a name: one that was killed goes on at the node it had reached.

    >>> agent = Agent(MedRAG.open("sample"))
    >>> print(agent.answer("chest.dcm", "Are there masses in the lungs?"))
    """

    rag: MedRAG
    policy: Any = "rules"
    budget: Budget = field(default_factory=Budget)
    tools: Sequence[BaseTool] = ()
    allow: Sequence[str] = ()
    see: See | None = None
    entails: Entails | None = None
    checkpoint: Path | str | None = None
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        if not isinstance(self.budget, Budget):
            raise SettingsError(f"budget is {self.budget!r}", "give a medrag.agent.state.Budget(steps=…)")
        self.tools, self.allow = own_tools(self.tools), as_tuple(self.allow)
        self._policy: Policy = policy_of(self.policy, self.rag, self.budget.reply)
        if self.tools and isinstance(self._policy, RulePolicy | FollowUpPolicy):
            raise SettingsError(f"the policy {self._policy.name!r} never calls tools of your own", 'add policy="llm"')
        self._saver = _saver(self.checkpoint)
        self._graph = _compiled(self._saver)

    def answer(self, image: Any = None, question: str = "", **options: Any) -> Answer:
        """The answer with its trace; the options are those of `stream`."""
        for event in self.stream(image, question, **options):
            if event.stage == "answer":
                return event.data  # type: ignore[no-any-return]
        raise AssertionError("the stream always ends with an answer")

    def stream(
        self, image: Any = None, question: str = "", *, exclude: Sequence[str] = (), patient: str = "", thread: str = "",
        known: Sequence[Piece] = (), history: Sequence[tuple[str, str]] = (),
    ) -> Iterator[Event]:  # fmt: skip
        """The run, node by node; the last event carries the answer.

        ``thread`` names the run: with the name of one that was cut off it goes on, with that of a finished one it gives
        its answer again. ``patient`` is who the images are of, by default the DICOM patient id; ``known`` evidence and
        ``history`` come from earlier turns. Raises SettingsError for a name that belongs to another question, index, set of labels or
        privacy mode, and what `medrag.MedRAG.answer` raises.
        """
        events = self._steps(image, question, exclude, patient, thread, known, history)
        return self.rag.audit.watched(question, self.rag.settings.access, events) if self.rag.audit else events

    def _steps(
        self, image: Any, question: str, exclude: Sequence[str], patient: str, thread: str, known: Sequence[Piece],
        history: Sequence[tuple[str, str]],
    ) -> Iterator[Event]:  # fmt: skip
        query = of_the_named(make_query(image, question, exclude))
        if not COURSE.search(query.text):
            if len(latest(query.images)) < len(query.images):
                known = [one for one in known if not _of_image(one)]
            query = narrowed(query)
        bench = self._bench(query, patient)
        led = known or history or patient  # then "this" may be what was said before
        if (query.images or not led) and self.rag.misfit(
            query, bench.desk.route
        ):  # nothing that could be found would change it
            yield Event("answer", bench.desk.rag.answer_from(Context(query), bench.desk.route))
            return
        if self.rag.settings.misfit == "abstain" and (why := strangers(query)):
            yield Event("answer", self._refused(query, bench, why))
            return
        start = _start(query, bench.desk, self._policy.name, known, history)
        config: Any = {
            "configurable": {"thread_id": thread or uuid.uuid4().hex},
            "recursion_limit": 5 * self.budget.steps + 20,
        }
        held = self._graph.get_state(config) if thread else None
        if held and held.values:
            _same(held.values, start, thread)
        given = start if not (held and held.values) else None
        try:
            if given is not None or (held and held.next):
                for update in self._graph.stream(
                    given, config, context=bench, stream_mode="updates", durability="sync"
                ):
                    for node, changes in update.items():
                        if node in _STAGES:
                            yield Event(_STAGES[node], changes["trace"][-1])
            yield Event("answer", self._finish(self._graph.get_state(config).values, bench))
        finally:
            if not thread:
                self._saver.delete_thread(config["configurable"]["thread_id"])

    def _bench(self, query: Query, patient: str) -> Bench:
        desk, kept = Desk(self.rag.audited(None), query, patient=patient, see=self.see), list[Hit]()
        tools = make_tools(desk, lambda: kept) | {tool.name: tool for tool in self.tools}
        if self.allow:
            if strange := set(self.allow) - tools.keys() - set(BUILT_IN):
                raise SettingsError(f"there is no tool {sorted(strange)[0]!r}", f"known: {', '.join(tools)}")
            tools = {name: tool for name, tool in tools.items() if name in (*self.allow, *TERMINAL)}
        evidence = self.budget.evidence or self.rag.settings.select.budget
        return Bench(
            desk,
            tools,
            kept,
            self._policy,
            dataclasses.replace(self.budget, evidence=evidence),
            self._entails,
            self.clock,
        )

    def _refused(self, query: Query, bench: Bench, why: str) -> Answer:
        """The refusal, with its reason, before anything was searched."""
        return Answer(
            REFUSAL, "abstained", (), Context(query), bench.desk.route, self.rag.generator.name, why, fingerprint=self._fingerprint
        )  # fmt: skip

    @property
    def _entails(self) -> Entails | None:
        """What was given, else the rules for claims with the pipeline's classifier for what they leave open."""
        if self.entails or not self.rag.entailment:
            return self.entails
        return functools.partial(inferred, self.rag.entailment.bears_out)

    @property
    def _fingerprint(self) -> str:
        return f"{self.rag.fingerprint}-{self._policy.name}"

    def _finish(self, state: State, bench: Bench) -> Answer:
        """The answer that a finished state stands for."""
        out = state["outcome"]
        read = bench.desk.counted(bench.desk.read_from(context_of(state, bench.desk.query)))
        context = dataclasses.replace(read, query=bench.desk.query)
        text, status, citations, reason = cite(out["text"], context)
        citations = citations_of(out["parts"], context) if out.get("parts") else citations
        borne = _borne(text, context, self._entails or supports) if status != "abstained" else (0, 0)
        usage = {
            "context_tokens": context.tokens, **out["usage"], "steps": state["steps"], "policy_tokens": state["tokens"],
            "claims": borne[0], "supported_claims": borne[1],
        }  # fmt: skip
        claims = tuple(Claim(**{**one, "keys": tuple(one["keys"])}) for one in json.loads(out["claims"]))
        why, aside = out["reason"] or reason, put_aside(read.query) if status != "abstained" else ""
        why = why if aside in why else "; ".join(filter(None, [why, aside]))
        why = "; ".join(filter(None, [why, bench.desk.unreported]))
        return Answer(
            text, status, citations, context, bench.desk.route, out["model"], why, usage, state["timings"],
            self._fingerprint, claims, out["confidence"], tuple(state["trace"]),
        )  # fmt: skip


def _of_image(piece: Piece) -> bool:
    """Whether it was found by an image or says what one shows: of which, is not known where some are put aside."""
    return piece["image"] >= 0 or piece["retriever"] == READER


def _borne(text: str, context: Context, entails: Entails) -> tuple[int, int]:
    """Claims of the answer, and how many of them an item that they cite bears out."""
    texts = {key: hit.item.text for key, hit in context}
    found = claims(text)
    return len(found), sum(any(entails(texts[key], c.text) for key in c.keys if key in texts) for c in found)


def _start(query: Query, desk: Desk, policy: str, known: Sequence[Piece], history: Sequence[tuple[str, str]]) -> State:
    settings, store = desk.rag.settings, desk.rag.store
    return State(
        policy=policy, index=store.manifest.content_hash if store else "", access=sorted(settings.access), private=settings.private,
        question=query.text, images=[image.sha256 for image in query.images],
        days=days_of(query.images), exclude=sorted(query.exclude), patient=desk.patient,
        history=[list(turn) for turn in history], domain=desk.query.domain, memory={}, found=[], said="", evidence=list(known),
        dropped=[], conflicts=[], steps=0, tokens=0, timings={}, trace=[],
    )  # fmt: skip


def _same(held: State, start: State, thread: str) -> None:
    """Raises SettingsError for a run of another question, or by one who sees another part of the index."""
    for key in ("access", "private", "index", "question", "images", "exclude", "patient", "policy"):
        if held.get(key) != start[key]:  # type: ignore[literal-required]
            raise SettingsError(f"the run {thread!r} is another one ({key} differs)", "give this one another name")


def _saver(path: Path | str | None) -> Any:
    """Where states are saved: a file, its owner's alone, or memory. Only plain values are read back from a file."""
    from langgraph.checkpoint.memory import InMemorySaver

    if path is None:
        return InMemorySaver()
    import sqlite3

    try:
        from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ImportError as error:
        raise MissingDependency("saving runs needs a package", "pip install langgraph-checkpoint-sqlite") from error
    where = Path(path).expanduser()
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(where, os.O_CREAT | os.O_RDWR, 0o600))  # it holds the question and what was found
        base = sqlite3.connect(where, check_same_thread=False)
        saver = SqliteSaver(base, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        saver.setup()
    except (sqlite3.Error, OSError) as error:
        raise SettingsError(f"{where} cannot hold saved runs: {error}", "name another file as checkpoint") from error
    return saver


def _compiled(saver: Any) -> Any:
    from langgraph.graph import END, START, StateGraph

    graph: Any = StateGraph(State, context_schema=Bench)
    for name, work in (
        ("plan", nodes.plan),
        ("act", nodes.act),
        ("verify", nodes.verify_found),
        ("answer", nodes.answer),
    ):
        graph.add_node(name, work)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", nodes.after_plan, ["plan", "act", "answer"])
    graph.add_edge("act", "verify")
    graph.add_edge("verify", "plan")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=saver)
