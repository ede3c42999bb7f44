"""The memory of a session ends with it: images, questions, answers and evidence, down to what the encoders remember."""

from __future__ import annotations

import gc
import weakref

import pytest
from small_agent import small_rag

from medrag.errors import SettingsError
from medrag.retrieve.search import Memo
from medrag.testing import FakeEncoder
from medrag.types import Query

QUESTION = "What is a pleural effusion?"


def session():
    from PIL import Image

    rag = small_rag()
    rag.encoders = {"text": Memo(FakeEncoder())}
    chat = rag.chat()
    picture = Image.new("L", (64, 64), 90)
    answer = chat.ask(QUESTION, picture)
    rag.encoders["text"].query(Query(QUESTION))
    return chat, weakref.ref(picture), weakref.ref(answer.context.query.images[0].image)


def test_nothing_is_left_of_a_session_that_was_closed():
    chat, given, decoded = session()
    gc.collect()
    assert given() is not None and chat.turns and chat._known
    chat.close()
    gc.collect()
    assert given() is None and decoded() is None
    assert not (chat.images or chat.turns or chat._known or chat._current or chat._shown)
    assert not chat.agent._saver.storage
    assert chat.agent.rag.encoders["text"]._last == {}


def test_it_cannot_be_asked_any_more():
    chat, *_ = session()
    with chat:
        assert chat.ask("and what causes it?").text
    with pytest.raises(SettingsError, match="closed"):
        chat.ask(QUESTION)
    chat.close()
