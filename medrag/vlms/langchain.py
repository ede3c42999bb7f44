"""Any LangChain chat model as a medrag generator: one that you made, or ``langchain:PROVIDER:MODEL``.

Which models exist, their keys and their addresses are LangChain's matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medrag.errors import GeneratorError, MissingDependency, SettingsError
from medrag.vlms._messages import one_line, spoken, user_content

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt


class LangChainModel:
    """Wraps a BaseChatModel; images go in as content blocks unless ``sees_images`` is false.

    A string is handed to ``langchain.chat_models.init_chat_model`` together with ``options``. The prompt's ``max_tokens``
    and ``seed`` are not passed on: models name them differently, set them on the model.
    """

    def __init__(
        self, model: Any, *, sees_images: bool = True, image_size: int = 1024, many_images: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        self.chat = _made(model, options) if isinstance(model, str) else model
        if options and not isinstance(model, str):
            raise SettingsError(f"options do not apply to a ready {type(model).__name__}", "set them when you make it")
        named = [getattr(self.chat, key, None) for key in ("model_name", "model")]
        self.name = str(next((name for name in named if isinstance(name, str) and name), type(self.chat).__name__))
        self.sees_images, self.image_size, self.many_images = sees_images, image_size, many_images and sees_images

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Pieces of the answer, without what stands between <think> tags; whatever the chat model raises comes out as GeneratorError."""
        yield from spoken(self._pieces(prompt, images))

    def _pieces(self, prompt: Prompt, images: Sequence[Image]) -> Iterator[str]:
        from langchain_core.messages import HumanMessage, SystemMessage

        content: Any = user_content(prompt, images if self.sees_images else (), self.image_size)
        chunks = iter(self.chat.stream([SystemMessage(prompt.system), HumanMessage(content)]))
        while True:
            try:
                chunk = next(chunks, None)
            except Exception as error:  # each provider raises its own
                raise GeneratorError(
                    f"{self.name} failed: {one_line(error)}", "see the provider's message; medrag only passes it on"
                ) from error
            if chunk is None:
                return
            if text := _text(chunk):
                yield text


def _made(name: str, options: dict[str, Any]) -> Any:
    from langchain.chat_models import init_chat_model

    if not name:
        raise SettingsError(
            "no LangChain model is named", "write langchain:PROVIDER:MODEL, or pass the chat model itself"
        )
    try:
        return init_chat_model(name, **options)
    except ImportError as error:
        raise MissingDependency(
            f"langchain:{name} needs a package: {one_line(error)}", "install the package it names"
        ) from error
    except Exception as error:  # the provider's own complaints about keys and names
        raise SettingsError(
            f"langchain:{name} could not be made: {one_line(error)}",
            "write PROVIDER:MODEL and set what the provider asks for",
        ) from error


def _text(chunk: Any) -> str:
    """The text of a message chunk, whose content is a string or a list of blocks."""
    content = chunk.content
    if isinstance(content, str):
        return content
    return "".join(block if isinstance(block, str) else str(block.get("text", "")) for block in content)
