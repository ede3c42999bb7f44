"""The memory of a session ends with it: images, questions, answers and evidence, down to what the encoders remember."""

from __future__ import annotations

import gc
import types
import weakref

import pytest
from small_agent import small_rag

from medrag.errors import SettingsError
from medrag.retrieve.search import Memo
from medrag.testing import FakeEncoder
from medrag.types import Query, Study

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


def holding(word):
    """What in this process refers to a text with that word."""
    found = (one for one in gc.get_objects() if not isinstance(one, types.FrameType | types.CellType))
    return [
        type(one) for one in found for text in gc.get_referents(one) if isinstance(text, str) and word in text.lower()
    ]


def test_no_word_of_a_closed_session_is_left_anywhere_in_the_process():
    from small_agent import picture

    word = "".join(("qwertz", "uiop"))  # in no code
    with small_rag(
        studies=[Study(f"iu:left{n}", {"findings": f"There is a {word} effusion."}) for n in range(2)]
    ).chat() as chat:
        chat.ask(f"Is there a pleural effusion in Mr {word}?", picture("left"))
        chat.ask(f"What causes the {word} of Mr {word}, and is there a mass?")
        assert holding(word)
    del chat
    gc.collect()
    assert holding(word) == []


def test_it_cannot_be_asked_any_more():
    chat, *_ = session()
    with chat:
        assert chat.ask("and what causes it?").text
    with pytest.raises(SettingsError, match="closed"):
        chat.ask(QUESTION)
    chat.close()
