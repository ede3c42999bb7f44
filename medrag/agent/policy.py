"""What to do next, by rules: works with any generator and none, and does the same every time.

Opening (what the expert model sees, the patient's history, a comparison), then for each sub-question the sources that fit its
kind, a check whether what was kept bears on it, other words where it does not, and a second hop over a disease that only the
evidence names. It reads no instruction anywhere: retrieved text reaches it as titles, names and counts alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from medrag.agent import asking
from medrag.agent.compare import couples, is_compared
from medrag.agent.desk import subject_of
from medrag.agent.state import REPLY, Call, State, hit_of
from medrag.agent.verify import LONG, verify
from medrag.errors import SettingsError
from medrag.latest import newest
from medrag.types import Triple
from medrag.vlms._ask import parse
from medrag.vlms._classes import is_label
from medrag.vlms._evidence import GIVEN, READER

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from PIL.Image import Image

    from medrag.pipeline import MedRAG

Tools = Mapping[str, "BaseTool"]
VIEWS = 3  # reports that must speak of a finding before the search for more ends
HOPS = 2  # diseases that the evidence names which are looked up
SEEN = 2  # findings of the reader that become questions
_TERM = re.compile(r"^(.+?) \((?:present|absent|uncertain)\):", re.MULTILINE)
_OF_A_BOOK = re.compile(  # headings that name no thing
    r"\W*(?:key (?:concepts?|terms|points|words)(?: and summary)?|(?:chapter )?(?:summary|review|introduction|overview|conclusions?|exercises?|references)|(?:review|critical thinking) questions|learning objectives)\W*$",
    re.IGNORECASE,
)
_SEEN = re.compile(r"There is (.+?) \(the reader's probability")


@runtime_checkable
class Policy(Protocol):
    """Decides on the next call.

    >>> class Once:
    ...     name = "once"
    ...     def decide(self, state, tools, left, images=()):
    ...         name, args = ("answer", {}) if state["steps"] else ("search_text", {"query": state["question"]})
    ...         return Call(name=name, args=args), {}
    """

    name: str

    def decide(
        self, state: State, tools: Tools, left: int, images: Sequence[Image] = ()
    ) -> tuple[Call, dict[str, Any]]:
        """A call of one of the tools, and the policy's memory (plain JSON values), which comes back in ``state["memory"]``.

        ``left``: tokens that its model may still read and write; what it used stands in the call's ``tokens``.
        """
        ...


def policy_of(policy: Any, rag: MedRAG, reply: int = REPLY) -> Policy:
    """The policy that a name or an object stands for, its model's replies of at most ``reply`` tokens. Raises SettingsError for what is none, and for a model that could not follow it."""
    if policy == "rules":
        return RulePolicy()
    if isinstance(policy, str):
        from medrag.agent.llm_policy import POLICIES

        if policy not in POLICIES:
            raise SettingsError(f"there is no policy {policy!r}", f"known: rules, {', '.join(POLICIES)}, or an object")
        if not getattr(rag.generator, "follows_instructions", True):
            raise SettingsError(
                f"{rag.generator.name} follows no instructions: it cannot choose what is searched",
                "take the policy rules, or a model that is told what to do (--model)",
            )
        return POLICIES[policy](rag, reply)
    if hasattr(policy, "bind_tools"):
        from medrag.agent.llm_policy import ChatPolicy

        return ChatPolicy(policy, reply)
    if not callable(getattr(policy, "decide", None)) or not hasattr(policy, "name"):
        raise SettingsError(f"{type(policy).__name__} is no policy", "see medrag.agent.policy.Policy")
    return policy  # type: ignore[no-any-return]


class RulePolicy:
    """The policy described at the top of this file. Its memory: goals, the one at hand, calls that wait, rewordings tried."""

    name = "rules"

    def decide(
        self, state: State, tools: Tools, left: int, images: Sequence[Image] = ()
    ) -> tuple[Call, dict[str, Any]]:
        memory = {**(state["memory"] or _opening(state))}
        memory["queue"], memory["goals"] = list(memory["queue"]), list(memory["goals"])
        while True:
            while memory["queue"]:
                call = memory["queue"].pop(0)
                if call["name"] in tools:
                    return call, memory
            if memory["at"] >= len(memory["goals"]) and not memory.get("more"):
                memory["more"], memory["queue"] = True, _more(state["question"])
            elif memory["at"] >= len(memory["goals"]):
                return Call(name="answer", args={}, thought="every sub-question was looked into"), memory
            else:
                _advance(state, memory)


def _opening(state: State) -> dict[str, Any]:
    """The goals, and what is looked at before any of them."""
    question = state["question"]
    about_image = bool(state["images"]) and parse(question).sort != "define"
    days = _days(state)
    changes = is_compared(question, days)
    queue = [_call("patient_history", "what is known of the patient")]
    if changes:
        pairs = couples(days)
        queue += [_call("compare_images", "what differs", first=one, second=other) for one, other in pairs]
    # views of one day are read together, those of the latest; images of no day each alone, where they may differ
    if about_image:
        looks = range(len(state["images"])) if changes and not all(days) else (-1,)
        queue += [_call("read_findings", "what the expert model sees", image=n) for n in looks]
    return {"goals": asking.sub_questions(question), "at": 0, "tried": -1, "queue": queue, "seen": False}


def _advance(state: State, memory: dict[str, Any]) -> None:
    """Fills the queue for the goal at hand, or goes on to the next one."""
    goal, tried = memory["goals"][memory["at"]], memory["tried"]
    if not memory["seen"]:
        memory["seen"] = True
        seen = _seen_goals(state)
        later = memory["at"] + 1  # "what causes it?" after "what is seen?" is asked of what is seen
        memory["goals"][later:] = [asking.completed(g, seen[0]) if seen else g for g in memory["goals"][later:]]
        memory["goals"] += [goal for goal in seen if goal not in memory["goals"]]
    memory["tried"] = tried + 1
    if tried < 0:
        memory["queue"] = _sources(goal, state)
    elif asking.empty(goal):
        memory["at"], memory["tried"] = memory["at"] + 1, -1
    elif tried < len(_WAYS) and (_WAYS[tried] in (_first, _hop) or not enough(goal, state)):
        memory["queue"] = _WAYS[tried](goal, state)
    elif tried >= len(_WAYS):
        memory["at"], memory["tried"] = memory["at"] + 1, -1


def _seen_goals(state: State) -> list[str]:
    """What the reader sees, as questions, where the question itself names no finding."""
    if parse(state["question"]).finding or asking.CHANGE.search(state["question"]):
        return []
    told = " ".join(hit_of(piece).item.text for piece in state["evidence"] if piece["retriever"] == READER)
    return [f"Is there {name}?" for name in _SEEN.findall(told)[:SEEN]]


def _sources(goal: str, state: State) -> list[Call]:
    """The sources that fit the kind of question: look-alikes of each image, texts, pages, the graph."""
    ask, calls = parse(goal), list[Call]()
    if state["images"] and ask.sort != "define":
        calls += [_call("search_similar", "look-alikes", image=n, goal=goal) for n in newest(_days(state))]
    if ask.sort == "report" or asking.empty(goal):  # words that name nothing find nothing
        return calls
    few = bool(calls) or _describes(goal)  # room is left for what is asked of the thing described
    calls.append(_call("search_text", "what the texts say", query=goal, k=3 if few else 5))
    if asking.UNNAMED.search(goal):
        return [*calls, _call("link_terms", "what a disease without a name is described by", text=goal)]
    if ask.sort != "closed" or not state["images"]:
        calls += [
            _call("search_pages", "pages of books", query=goal, k=3),
            _call("walk_graph", "the graph", term=goal, k=3),
        ]
    return calls


def _days(state: State) -> Sequence[str]:
    """The day of each image; empty where it is not known."""
    return state.get("days") or [""] * len(state["images"])


def enough(goal: str, state: State) -> bool:
    """Whether what is kept bears on the goal: some text, or for a finding on an image several reports that speak of it."""
    hits = [hit_of(piece) for piece in state["evidence"]]
    found = [one for hit in hits if not is_label(hit.item) and not (one := verify(hit, goal)).reason]
    if parse(goal).sort == "closed" and state["images"]:
        return sum(bool(one.view) for one in found) >= VIEWS
    return bool(found)


def _closer(goal: str, state: State) -> list[Call]:
    """The region that the question names, searched alone."""
    box = asking.region(goal, state["domain"]) if len(state["images"]) == 1 else None
    if box is None or parse(goal).sort != "closed":
        return []
    names = ("left", "top", "right", "bottom")
    return [_call("zoom", "a closer look at the place that is named", goal=goal, **dict(zip(names, box, strict=True)))]


def _keywords(goal: str, state: State) -> list[Call]:
    query = asking.keywords(goal)
    return [_call("search_text", "fewer words", query=query, goal=goal)] if query and query != goal.lower() else []


def _link(goal: str, state: State) -> list[Call]:
    return [] if _linked(goal, state) else [_call("link_terms", "other names", text=goal)]


def _synonyms(goal: str, state: State) -> list[Call]:
    """The other names that `link_terms` told, added to the words searched for."""
    rows = [row for row in _linked(goal, state) if "said" in row]
    names = [name for row in rows for name in re.findall(r"(?<=[:;] )([^;:\n]+?)(?=;| C\d{7}|\n|$)", row["said"])]
    added = " ".join(dict.fromkeys(names[:6]))
    query = f"{asking.keywords(goal)} {added}"[:500]
    return [_call("search_text", "other names", query=query, goal=goal)] if added else []


def _first(goal: str, state: State) -> list[Call]:
    """The first of two hops: what describes a disease without a name is looked up alone."""
    names = _describing(goal, state)
    walks = [_call("walk_graph", "the graph at what describes it", term=name) for name in names]
    return walks + [_call("search_text", "texts on what describes it", query=name, k=3) for name in names[:1]]


def _describing(goal: str, state: State) -> list[str]:
    """The terms that `link_terms` found in a question about a disease without a name, else its clause.

    Of a long description no single term stands for the whole: there is none.
    """
    if not asking.UNNAMED.search(goal) or len(parse(goal).topic) >= LONG:
        return []
    said = "\n".join(str(row.get("said", "")) for row in _linked(goal, state))
    names = [name for name in _TERM.findall(said) if not asking.UNNAMED.search(name)]
    return list(dict.fromkeys(names))[:HOPS] or [name for name in [asking.described(goal)] if name]


def _linked(goal: str, state: State) -> list[dict[str, Any]]:
    return [row for row in state["trace"] if row["tool"] == "link_terms" and row["args"].get("text") == goal]


def _hop(goal: str, state: State) -> list[Call]:
    """What else is asked, of the diseases that only the evidence names."""
    if not _describes(goal):
        return []
    names = [name for name in _bridges(goal, state) if not asking.is_named(name, goal)]
    asked = asking.asked_of(goal, state["question"])
    return [
        _call(
            "search_text",
            "what is asked, of what the evidence names",
            query=f"{name} {asked}".strip()[:500],
            goal=name,
            k=3,
        )
        for name in list(dict.fromkeys(names))[:HOPS]
    ]


def _more(question: str) -> list[Call]:
    """At the end, where the evidence has room: what else speaks of a thing that is described, whose name may stand further down."""
    return [_call("search_text", "what else the texts say of it", query=question, k=3)] if _describes(question) else []


def _describes(goal: str) -> bool:
    """Whether a question is about something that it does not name, but describes: then what it asks needs a second search."""
    ask = parse(goal)
    return bool(asking.UNNAMED.search(goal)) or (ask.sort == "open" and len(ask.topic) >= LONG)


def _bridges(goal: str, state: State) -> list[str]:
    """Names that stand at the other end of statements about what the question names, then titles of texts; what is told of this patient has none."""
    goals = (goal, *_describing(goal, state))
    pieces = [one for one in state["evidence"] if one["goal"] in goals and one["retriever"] not in GIVEN]
    items = [hit_of(piece).item for piece in sorted(pieces, key=lambda piece: -piece["support"])]
    ends = [_ends(item) for item in items]
    linked = [name for pair in ends if any(asking.is_named(end, goal) for end in pair) for name in pair]
    titles = [name for item in items if item.kind == "passage" and (name := subject_of(item))]
    return linked + [name for name in titles if not _OF_A_BOOK.match(name)]


def _ends(item: Any) -> tuple[str, ...]:
    return (item.subject, item.object) if isinstance(item, Triple) else ()


_WAYS = (
    _first,
    _hop,
    _closer,
    _keywords,
    _link,
    _synonyms,
)  # tried in turn while a goal lacks evidence; the hops always


def _call(name: str, thought: str, **args: Any) -> Call:
    return Call(name=name, args=args, thought=thought)
