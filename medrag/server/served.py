"""What one server holds: the opened index, its settings, the line in front of it, and the last answers."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from fastapi import Request

from medrag._util.remember import forget
from medrag._util.render import reference_text
from medrag.agent import asking
from medrag.agent.antecedent import stated, understood
from medrag.errors import IndexMissing, MedragError, SettingsError
from medrag.indexes.manifest import NAME as MANIFEST
from medrag.server.metrics import Metrics
from medrag.server.settings import ServerSettings
from medrag.server.work import Ticket, WorkQueue
from medrag.types import Answer, Item
from medrag.vlms._ask import plain

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG

MOST = 8000  # characters of a question
LOOK = 1.0  # seconds between two looks whether the index was changed
AGAIN = 10.0  # seconds until one that could not be opened is tried again
FIRST, UNSEEN = (), (0,)  # states that no index on disk has
EDGE = 1 << 16  # bytes
LENT = 2000  # statements and paths that are kept for who asks for them by id
log = logging.getLogger("medrag.server")
TOKEN: ContextVar[str] = ContextVar("token", default="")  # that the request came with, where it is one that is let in


class Served:
    """Everything that a request may touch; made with the app, dies with it."""

    def __init__(self, rag: MedRAG, settings: ServerSettings) -> None:
        self.settings, self._base = settings, rag
        self._rags = self._by_labels(rag)
        self._seen: tuple[int, ...] | None = FIRST  # the state of the index that is open
        self._failed: tuple[int, ...] | None = FIRST  # that of the one that could not be opened
        self._later, self._why = 0.0, ""  # when that is tried again, and what was logged
        self._gone: MedragError | None = None
        self._asked: SimpleQueue[bool] = SimpleQueue()  # to open anew, or to end; a signal may put while another puts
        self.queue = WorkQueue(settings.workers, settings.waiting, settings.timeout)
        self.metrics = Metrics(self.queue)
        self.answers: OrderedDict[str, tuple[Answer, frozenset[str]]] = OrderedDict()
        self._made: OrderedDict[str, dict[frozenset[str], Item]] = OrderedDict()  # by the labels of who was given it
        self._salt = secrets.token_bytes(16)

    def _by_labels(self, rag: MedRAG) -> dict[frozenset[str], MedRAG]:
        """The pipeline for each set of labels that a token holds."""
        found = {frozenset(rag.settings.access): rag}
        for labels in map(frozenset, ((), *self.settings.labels.values()) if self.settings.labels else ()):
            if labels not in found:
                found[labels] = rag.seen_by(labels)
        return found

    def watch(self) -> None:
        """From now on, until `end`, looks every second whether the index was changed on disk, and opens it anew then."""
        if self._base.store is not None:
            threading.Thread(target=self._watching, name="index", daemon=True).start()

    def end(self) -> None:
        """The index is not looked at any more."""
        self._asked.put(False)

    def look_again(self) -> None:
        """The index is opened anew at once, changed or not. A signal may call it at any time, also while it runs."""
        self._asked.put(True)

    def _watching(self) -> None:
        anew: bool | None = None
        while anew is not False:
            self.refresh(anew=bool(anew))
            try:
                anew = self._asked.get(timeout=LOOK)
            except Empty:
                anew = None

    def refresh(self, *, anew: bool = False) -> None:
        """Opens the index anew where another has taken its place, or in any case with ``anew``, and forgets what was answered from the one before.

        Where it cannot be opened, that one goes on, the log says why, and it is tried again after `AGAIN` seconds or when it has changed. Where none is
        there any more, nobody is answered until one was opened.
        """
        now = state_of(self._base)
        if not anew and (now == self._seen or (now == self._failed and time.monotonic() < self._later)):
            return
        try:
            if anew or self._seen != FIRST or self._base.outdated:
                self._swap(self._base.reopened())
            self._seen, self._failed, self._why = now, FIRST, ""
        except Exception as error:  # what serves goes on
            self._not_opened(now, error)

    def _not_opened(self, now: tuple[int, ...] | None, error: Exception) -> None:
        """Notes when it is tried again, and logs why it failed, once."""
        if gone := now is None and isinstance(error, IndexMissing):
            self._gone = error
        self._seen, self._failed, self._later = None if gone else UNSEEN, now, time.monotonic() + AGAIN
        why = str(error) if isinstance(error, MedragError) else type(error).__name__
        if why != self._why:
            log.warning(json.dumps({"index": "gone" if gone else "not opened anew", "why": why}))
        self._why = why

    def _swap(self, rag: MedRAG) -> None:
        rags = self._by_labels(rag)
        self._base, self._rags, self._gone = rag, rags, None
        self.answers, self._made = OrderedDict(), OrderedDict()
        log.info(
            json.dumps({"index": "opened anew", "content_hash": rag.store.manifest.content_hash if rag.store else ""})
        )
        gc.collect()  # lets the files of the one before go, unless an answer still uses them

    @property
    def rag(self) -> MedRAG:
        """The pipeline as the token of this request sees the index: to be asked for in the request, not in the thread that does its work.

        Raises IndexMissing where the index was deleted.
        """
        if self._gone:
            raise self._gone
        seen, token = self._rags[self.labels], TOKEN.get()
        return seen.audited(dataclasses.replace(seen.audit, user=token)) if seen.audit and token else seen

    @property
    def labels(self) -> frozenset[str]:
        """Those that the token of this request holds; outside of a request none, where tokens differ in them."""
        if self.settings.labels and not TOKEN.get():
            return frozenset()
        return frozenset(self.settings.labels.get(TOKEN.get(), self._base.settings.access))

    @property
    def sees_all(self) -> bool:
        """Whether the token of this request holds the labels of all corpora: nothing that was made of the index is kept from it."""
        store = self._base.store
        wanted = {label for one in store.recipe.corpora for label in one.access} if store else set()
        return wanted <= self.labels

    def enter(self, request: Request) -> Ticket:
        """A place in line, which the guard gives back when the request is over. Raises Busy where there is none."""
        request.state.place = ticket = self.queue.enter()
        return ticket

    def remember(self, answer: Answer) -> str:
        """An id for an answer, by which it is found until newer ones push it out; one from an index that was replaced meanwhile is not kept."""
        made = uuid.uuid4().hex
        if answer.fingerprint.partition("-")[0] != self._rags[self.labels].fingerprint:
            return made
        self.lend(hit.item for hit in answer.context.kept)
        self.answers[made] = (answer, self.labels)
        while len(self.answers) > self.settings.remembered:
            self.answers.popitem(last=False)
        return made

    def lend(self, items: Iterable[Item]) -> None:
        """Keeps what a graph made for a question, which no table holds, so that it is found by the id that goes out; newer ones push it out."""
        for item in items:
            if item.kind == "triple":
                self._made.setdefault(item.id, {})[self.labels] = item
                self._made.move_to_end(item.id)
        while len(self._made) > LENT:
            self._made.popitem(last=False)

    def lent(self, name: str) -> Item | None:
        """The statement or path of that id, where it is there and this request's token may see it."""
        found = self._made.get(name, {})
        return next((item for labels, item in found.items() if labels <= self.labels), None)

    def forget(self) -> None:
        """Nothing is kept of what was asked and answered."""
        self.answers.clear()
        self._made.clear()
        for rag in self._rags.values():
            for encoder in rag.encoders.values():
                encoder.forget()
        forget()

    def remembered(self, made: str) -> Answer | None:
        """The answer of that id, where it is there and this request's token may see what it rests on."""
        answer, labels = self.answers.get(made, (None, frozenset()))
        return answer if labels <= self.labels else None

    def digest(self, content: str | bytes) -> str:
        """A name for a question or an image in the log: the same within this run, and nothing to anyone else.

        Of a large image its ends and its length are enough, and nobody waits for the rest.
        """
        raw = content.encode() if isinstance(content, str) else content
        if len(raw) > 2 * EDGE:
            raw = b"%d " % len(raw) + raw[:EDGE] + raw[-EDGE:]
        return hmac.new(self._salt, raw, hashlib.sha256).hexdigest()[:12]

    def stages(
        self, images: Sequence[bytes], question: str, exclude: Sequence[str], agent: bool
    ) -> Callable[[], Iterator[Any]]:
        """What begins an answer, one-shot or of the search loop: a function that gives its events."""
        shown: Any = list(images) or None
        rag = self.rag
        if not agent:
            return lambda: rag.stream(shown, question, exclude=exclude)
        from medrag.agent.graph import Agent

        return lambda: Agent(rag).stream(shown, question, exclude=exclude)

    def recited(self, question: str, begin: Callable[[], Iterator[Any]], said: str = "") -> Callable[[], Iterator[Any]]:
        """What begins the answer to "How do you know?", the ``question``: what the answer before cites, in its words.

        That answer is the one whose text and references are ``said``, where it is remembered; else ``begin`` gives it again.
        """
        from medrag.agent.chat import reasons
        from medrag.pipeline import Event

        kept, rag = self._answer_that(said) if said.strip() else None, self.rag

        def run() -> Iterator[Any]:
            for event in [Event("answer", kept)] if kept else begin():
                if event.stage == "answer":
                    told = reasons(event.data)
                    if rag.audit:
                        rag.audit.recited(question, told, rag.settings.access)
                    yield dataclasses.replace(event, data=told)
                elif event.stage != "token":  # the words of the answer before
                    yield event

        return run

    def _answer_that(self, said: str) -> Answer | None:
        """The latest remembered answer with these words, that this request's token may see."""
        fitting = (answer for answer, labels in reversed(self.answers.values()) if labels <= self.labels)
        return next((answer for answer in fitting if (answer.text + references(answer)).split() == said.split()), None)


def state_of(rag: MedRAG) -> tuple[int, ...] | None:
    """Changes whenever another index takes the place of the one that is open; None where none is there."""
    try:
        found = (rag.store.folder / MANIFEST).stat() if rag.store else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size) if found else None


def references(answer: Answer) -> str:
    """The reason where it did not simply answer, and the references, as text under it."""
    lines = [] if answer.status == "answered" else [f"[{answer.status}] {answer.reason}".rstrip()]
    lines += [reference_text(citation) for citation in answer.citations]
    return "\n\n" + "\n".join(lines) if lines else ""


def asks_why(question: str, earlier: Sequence[str]) -> bool:
    """Whether it asks what the answer to the question before rests on: "How do you know?"."""
    return bool(any(one.strip() for one in earlier) and asking.WHY.match(plain(question)))


def served_by(request: Request) -> Served:
    """The server that a request came to."""
    served: Served = request.app.state.served
    return served


def whole_question(question: str, earlier: Sequence[str] = (), *, pictured: bool = False) -> str:
    """A question that leans on ``earlier`` ones, completed. Raises SettingsError for one that no reader would finish."""
    if max(map(len, (question, *earlier))) > MOST:
        raise SettingsError(f"the question has more than {MOST} characters", "ask a shorter one")
    question, *before = (text.encode(errors="replace").decode() for text in (question, *earlier))  # JSON may halve one
    before = [text for text in before if text.strip()]
    has = next((name for text in reversed(before) if (name := stated(text))), "")
    return understood(question, before, has, pictured=pictured) if before and question.strip() else question
