"""What one server holds: the opened index, its settings, the line in front of it, and the last answers."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import Request

from medrag.agent import asking
from medrag.errors import SettingsError
from medrag.server.metrics import Metrics
from medrag.server.settings import ServerSettings
from medrag.server.work import WorkQueue
from medrag.types import Answer

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG

MOST = 8000  # characters of a question
EDGE = 1 << 16  # bytes


class Served:
    """Everything that a request may touch; made with the app, dies with it."""

    def __init__(self, rag: MedRAG, settings: ServerSettings) -> None:
        self.rag, self.settings = rag, settings
        self.queue = WorkQueue(settings.workers, settings.waiting, settings.timeout)
        self.metrics = Metrics(self.queue)
        self.answers: OrderedDict[str, Answer] = OrderedDict()
        self._salt = secrets.token_bytes(16)

    def remember(self, answer: Answer) -> str:
        """An id for an answer, by which it is found until newer ones push it out."""
        made = uuid.uuid4().hex
        self.answers[made] = answer
        while len(self.answers) > self.settings.remembered:
            self.answers.popitem(last=False)
        return made

    def digest(self, content: str | bytes) -> str:
        """A name for a question or an image in the log: the same within this run, and nothing to anyone else.

        Of a large image its ends and its length are enough, and nobody waits for the rest.
        """
        raw = content.encode() if isinstance(content, str) else content
        if len(raw) > 2 * EDGE:
            raw = b"%d " % len(raw) + raw[:EDGE] + raw[-EDGE:]
        return hmac.new(self._salt, raw, hashlib.sha256).hexdigest()[:12]

    def stages(self, images: Sequence[bytes], question: str, exclude: Sequence[str], agent: bool) -> Iterator[Any]:
        """The events of an answer, one-shot or of the search loop."""
        shown: Any = list(images) or None
        if not agent:
            return self.rag.stream(shown, question, exclude=exclude)
        from medrag.agent.graph import Agent

        return Agent(self.rag).stream(shown, question, exclude=exclude)


def served_by(request: Request) -> Served:
    """The server that a request came to."""
    served: Served = request.app.state.served
    return served


def whole_question(question: str, before: str) -> str:
    """A question that leans on the one before it, completed. Raises SettingsError for one that no reader would finish."""
    if len(question) > MOST or len(before) > MOST:
        raise SettingsError(f"the question has more than {MOST} characters", "ask a shorter one")
    return asking.completed(question, before) if before.strip() and question.strip() else question
