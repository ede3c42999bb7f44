"""A session: question after question about the same images, with memory of what was found.

A question that leans on the one before ("and on the left?") is completed from it; where the rules decide what is searched, one that cannot be
made out is told so, and neither searched for nor answered. Evidence that was kept earlier and bears on the new question is there from the
start. Memory ends with `Chat.close`, or with the ``with`` block: sessions are not saved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medrag._util.images import asked_image
from medrag._util.remember import forget
from medrag._util.text import shorten
from medrag._util.which_image import IMAGE, of_image
from medrag.agent import asking, followup
from medrag.agent.antecedent import brought_up, stated, understood
from medrag.agent.bare import names_nothing
from medrag.agent.desk import Desk
from medrag.agent.graph import Agent, Event
from medrag.agent.policy import RulePolicy
from medrag.agent.state import Piece, hit_of, id_of, piece_of
from medrag.agent.talk import NOTHING_ASKED, of_the_last, pleasantry, said_already, wants_more
from medrag.agent.talk import reasons as reasons
from medrag.agent.verify import verify
from medrag.errors import ImageError, SettingsError
from medrag.query import IMAGE_SIDE, make_query
from medrag.types import Answer, Context, Query, Route, Status, as_tuple
from medrag.vlms._changed import asks_change
from medrag.vlms._evidence import GIVEN

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG

NOT_CLEAR = "the question was not understood"
NO_SUCH_IMAGE = "I cannot answer “{question}”: {why}; name one of the session's images, as “the first image”, or give the one that is meant."
ASK_AGAIN = (
    "I do not understand “{question}”: ask in a whole English sentence about a finding, a part of the body, a disease or an image, such as "
    "“{example}”."
)
EXAMPLES = ("What are the symptoms of gout?", "Is there a pleural effusion on the left?")  # without and with an image
NOTED = "I take it that it is about {name}. What would you like to know?"
NO_MORE = "Nothing more was found on “{question}”."
RECALLED = 0.5  # of the evidence budget that earlier evidence may take
# how the ids begin of what the tools tell of several studies for one question
COMPARED = ("agent:history", "agent:compare")
REMEMBERED = 200  # pieces


class Chat:
    """A session over an opened `medrag.MedRAG`; options are those of `medrag.agent.graph.Agent`.

    >>> chat = Chat(MedRAG.open("sample"))
    >>> chat.ask("Is there a pleural effusion on the right?", "chest.dcm")
    >>> chat.ask("and on the left?")
    """

    def __init__(self, rag: MedRAG, *, exclude: Sequence[str] = (), patient: str = "", **options: Any) -> None:
        if options.get("checkpoint") is not None:
            raise SettingsError(
                "a session is not saved: it takes no checkpoint",
                "save a run by its name: Agent(rag, checkpoint=FILE).answer(image, question, thread=NAME)",
            )
        self.agent = Agent(rag, **options)
        self.exclude, self.patient = tuple(as_tuple(exclude)), patient
        self.images: list[Any] = []  # of the session, in the order they came
        self.turns: list[tuple[str, Answer]] = []  # each question as it was understood
        self._current: list[Any] = []  # the images that were given last
        self._shown: list[Any] = []  # those of the last answer: the pieces' image numbers count these
        self._known: list[Piece] = []
        self._has = ""  # the disease that the patient was said to have
        self._closed = False

    def __enter__(self) -> Chat:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Forgets the session: questions, answers, images, evidence, what the encoders remember of the last question, and what the process remembers of texts."""
        for memory in (self.images, self.turns, self._current, self._shown, self._known):
            memory.clear()
        self._has = ""
        for encoder in self.agent.rag.encoders.values():
            encoder.forget()
        forget()
        self._closed = True

    def ask(self, question: str, image: Any = None) -> Answer:
        """The answer; ``image`` (or several) is what is talked about from now on, the images before it stay for comparison."""
        for event in self.stream(question, image):
            if event.stage == "answer":
                return event.data  # type: ignore[no-any-return]
        raise AssertionError("the stream always ends with an answer")

    def stream(self, question: str, image: Any = None) -> Iterator[Event]:
        """The same, node by node."""
        if self._closed:
            raise SettingsError("the session is closed", "begin another with rag.chat()")
        if not isinstance(question, str) or not question.strip():
            raise SettingsError("there is no question", "ask one; an image alone is shown with it")
        if image is None and (said := self._without_a_run(question)):
            yield from said
            return
        given = list(as_tuple(image)) if image is not None else []
        looked, current = [*self.images, *self._new(given)], given or self._current
        if not looked and self._ruled() and (told := self._of_texts(question)):
            yield from told
            return
        whole, at = self.understood(question, pictured=bool(looked)), None
        self._has = stated(question) or self._has
        if looked:
            place = next((n for n, one in enumerate(looked) if current and one is current[0]), 0)
            recorded = bool(IMAGE.search(whole)) and self._recorded(whole, current)
            at = followup.image_named(whole, len(looked), place, recorded)
        if at == -1 and not self._ruled():
            at = None
        if why := self._not_clear(whole, looked, at):
            self.images, self._current = looked, current
            yield from self._told(question, Event("answer", self._asked_back(question, why, bool(looked))))
            return
        if at is not None:  # it is what is talked about from now on
            whole, current = of_image(whole), [looked[at]]
        shown = looked if asking.CHANGE.search(whole) else current
        same = [id(one) for one in shown] == [id(one) for one in self._shown]
        base = self._known if same else [piece for piece in self._known if not _of_image(piece)]
        options: dict[str, Any] = {
            "exclude": self.exclude,
            "patient": self.patient,
            "known": self._recalled(whole, base),
        }
        history = [(before, answer.text) for before, answer in self.turns]
        for event in self.agent.stream(shown or None, whole, history=history, **options):
            if event.stage == "answer":
                self.images, self._current, self._shown = looked, current, shown
                self._remember(whole, event.data, base)
            yield event

    def understood(self, question: str, *, pictured: bool = False) -> str:
        """The question with what it leaves out, from those before it."""
        return understood(question, [before for before, _ in self.turns], self._has, pictured=pictured)

    def _without_a_run(self, question: str) -> Iterator[Event] | None:
        """What thanks are answered with, and what an earlier answer says to a question about it; None where something else is asked."""
        if polite := pleasantry(question):
            return self._told(question, Event("answer", self._unsearched(question, polite, "uncited", NOTHING_ASKED)))
        if (told := of_the_last(question, self.turns)) and (audit := self.agent.rag.audit):
            audit.recited(question, told, self.agent.rag.settings.access)
        return iter([Event("answer", told)]) if told else None

    def _of_texts(self, question: str) -> Iterator[Event] | None:
        """What a session without images says to what brings up a disease and asks nothing ("My father has gout."), and its last question's next answer to "what else?"."""
        if name := brought_up(question):
            self._has = stated(question) or self._has
            answer = self._unsearched(question, NOTED.format(name=name), "uncited", NOTHING_ASKED)
            self.turns.append((question, answer))
            return self._told(question, Event("answer", answer))
        return self._more(*self.turns[-1]) if self.turns and wants_more(question) else None

    def _more(self, asked: str, last: Answer) -> Iterator[Event]:
        """The events of asking the last question again, of what was not cited for it; where nothing new is found, that is the answer."""
        none = self._unsearched(asked, NO_MORE.format(question=asked), "abstained", "nothing more was found")
        if not last.citations:
            yield from self._told(asked, Event("answer", none))
            return
        cited = {one.item.id for before, answer in self.turns if before == asked for one in answer.citations}
        known = [piece for piece in self._known if id_of(piece) not in cited]
        options: dict[str, Any] = {"exclude": (*self.exclude, *cited), "patient": self.patient}
        for event in self.agent.stream(None, asked, known=self._recalled(asked, known), **options):
            if event.stage != "answer":
                yield event
            elif event.data.status == "abstained" or said_already(event.data, self.turns):
                yield Event("answer", none)
            else:
                self._remember(asked, event.data, self._known)
                yield event

    def _not_clear(self, question: str, images: Sequence[Any], at: int | None) -> str:
        """Why it is not known what is asked; empty where it is, and where a model decides, which reads the session."""
        if at == -1:
            return f"the session has {len(images)} image{'s' if len(images) > 1 else ''} and none like that"
        course = bool(self.patient) and asks_change(question)  # that the patient's reports tell
        nothing = names_nothing(question) or wants_more(question)  # it would be searched for any disease
        bare = nothing and not (images or course)
        return NOT_CLEAR if self._ruled() and (bare or asking.unclear(question)) else ""

    def _recorded(self, question: str, images: Sequence[Any]) -> bool:
        """Whether the index has earlier reports of the patient."""
        query = make_query(list(images) or None, question, self.exclude)
        return bool(Desk(self.agent.rag, query, patient=self.patient).studies)

    def _ruled(self) -> bool:
        return isinstance(self.agent._policy, RulePolicy)

    def _asked_back(self, question: str, why: str, pictured: bool) -> Answer:
        """What is said of a question that was not understood; nothing was searched, and nothing leans on it."""
        told = ASK_AGAIN if why == NOT_CLEAR else NO_SUCH_IMAGE
        said = told.format(question=shorten(question.strip(), 100), why=why, example=EXAMPLES[pictured])
        return self._unsearched(question, said, "abstained", why)

    def _unsearched(self, question: str, text: str, status: Status, why: str) -> Answer:
        route = Route("other", 1.0, {}, (why,))
        return Answer(
            text, status, (), Context(Query(question)), route, reason=why, fingerprint=self.agent._fingerprint
        )

    def _told(self, question: str, event: Event) -> Iterator[Event]:
        """An answer without a run, in the audit log as any other."""
        rag = self.agent.rag
        return rag.audit.watched(question, rag.settings.access, iter([event])) if rag.audit else iter([event])

    def _new(self, given: Sequence[Any]) -> list[Any]:
        """Those of the images that do not show the same as one that the session has."""
        held = {_shows(one) for one in self.images} - {""} if given else set()
        return [one for one in given if _shows(one) not in held]

    def _recalled(self, question: str, base: Sequence[Piece]) -> list[Piece]:
        """Earlier evidence that bears on the question, within its share of the budget; what was compared for another question is compared anew."""
        room = (self.agent.budget.evidence or self.agent.rag.settings.select.budget) * RECALLED
        found: list[Piece] = []
        for piece in base:
            if id_of(piece).startswith(COMPARED) and piece["goal"] != question:
                continue
            verdict = verify(hit_of(piece), question, self.agent._entails, given=piece["retriever"] in GIVEN)
            if not verdict.reason and piece["tokens"] <= room:
                room -= piece["tokens"]
                judged = {"goal": question, "quote": verdict.quote, "view": verdict.view, "support": verdict.support}
                found.append({**piece, **judged, "step": 0})  # type: ignore[typeddict-item]
        return found

    def _remember(self, question: str, answer: Answer, base: Sequence[Piece]) -> None:
        self.turns.append((question, answer))
        images = {told["id"]: told["image"] for row in answer.trace for told in row.get("kept", ())}
        held = {id_of(piece) for piece in base}
        fresh = [
            piece_of(hit, question, images.get(hit.item.id, -1))
            for hit in answer.context.kept
            if hit.item.id not in held
        ]
        self._known = [*base, *fresh][-REMEMBERED:]


def _shows(image: Any) -> str:
    """A hash of the decoded picture; empty for what cannot be read, which is told when it is asked about."""
    with contextlib.suppress(ImageError):
        return asked_image(image, IMAGE_SIDE).sha256
    return ""


def _of_image(piece: Piece) -> bool:
    """Whether it was found by an image, or says what one shows: of other images it says nothing."""
    names = [name for name, _, _ in piece["parents"]] or [piece["retriever"]]
    return piece["image"] >= 0 or piece["retriever"] in GIVEN or any(name.startswith("similar") for name in names)
