"""LangChain chat models as generators, with LangChain's own fakes."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from PIL import Image
from pydantic import Field
from some_prompts import prompt, said

from medrag.errors import GeneratorError, MedragError, SettingsError
from medrag.vlms import open_generator
from medrag.vlms.langchain import LangChainModel


class Hearing(FakeListChatModel):
    """Keeps the messages that it was sent."""

    heard: list[Any] = Field(default_factory=list)

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.heard.append(messages)
        return super()._stream(messages, *args, **kwargs)


def test_a_chat_model_is_wrapped_and_streams() -> None:
    generator = open_generator(FakeListChatModel(responses=["No effusion [E1]."]))
    assert isinstance(generator, LangChainModel)
    pieces = list(generator.stream(prompt("Effusion?")))
    assert len(pieces) > 1
    assert "".join(pieces) == "No effusion [E1]."
    assert generator.name == "FakeListChatModel"


def test_a_model_that_cannot_stream_answers_in_words_too() -> None:
    generator = LangChainModel(GenericFakeChatModel(messages=iter([AIMessage("No effusion [E1].")])))
    assert said(generator, prompt("Effusion?")) == "No effusion [E1]."


def test_what_a_model_thinks_is_not_shown() -> None:
    generator = LangChainModel(FakeListChatModel(responses=["<think>Is it [E2]? < 3 mm</think>\n\nNo, < 3 mm [E1]."]))
    pieces = list(generator.stream(prompt("Effusion?")))
    assert len(pieces) > 5 and "".join(pieces) == "No, < 3 mm [E1]."


def test_images_are_content_blocks_before_the_text() -> None:
    model, image = Hearing(responses=["ok"]), Image.new("L", (20, 10))
    said(LangChainModel(model), prompt("Effusion?"), [image])
    said(LangChainModel(model, sees_images=False), prompt("Effusion?"), [image])
    (system, user), (_, blind) = model.heard
    assert system.content.startswith("You answer questions")
    assert [part["type"] for part in user.content] == ["image_url", "text"]
    assert user.content[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert "Question: Effusion?" in user.content[1]["text"]
    assert isinstance(blind.content, str)


def test_what_the_provider_raises_is_a_generator_error() -> None:
    generator = LangChainModel(FakeListChatModel(responses=["No effusion"], error_on_chunk_number=3))
    pieces = generator.stream(prompt("Effusion?"))
    assert [next(pieces), next(pieces), next(pieces)] == ["N", "o", " "]
    with pytest.raises(GeneratorError, match="FakeListChatModel failed"):
        next(pieces)


def test_content_blocks_of_an_answer_become_text() -> None:
    blocks = AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "No effusion"}, " [E1]."])
    generator = LangChainModel(FakeListChatModel(responses=["unused"]))
    object.__setattr__(generator.chat, "stream", lambda messages: iter([blocks]))
    assert said(generator, prompt("Effusion?")) == "No effusion [E1]."


@pytest.mark.parametrize("name", ["langchain:", "langchain:nobody:nothing", "langchain:something-unheard-of"])
def test_names_that_langchain_does_not_know(name: str) -> None:
    with pytest.raises(MedragError) as caught:
        open_generator(name)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_options_for_a_ready_model_are_refused() -> None:
    with pytest.raises(SettingsError, match="ready FakeListChatModel"):
        LangChainModel(FakeListChatModel(responses=["x"]), temperature=0.5)
