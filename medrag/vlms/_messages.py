"""A prompt as chat messages with images inside, in the form that OpenAI-compatible servers and LangChain share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medrag._util.images import data_url

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt


def user_content(prompt: Prompt, images: Sequence[Image], side: int) -> str | list[dict[str, Any]]:
    """The user turn: plain text, or the images (longest side at most ``side`` pixels) and then the text."""
    if not images:
        return prompt.user_text()
    parts = [{"type": "image_url", "image_url": {"url": data_url(image, side, quality=90)}} for image in images]
    return [*parts, {"type": "text", "text": prompt.user_text()}]


def one_line(error: BaseException, limit: int = 200) -> str:
    """What an exception says, on one line."""
    return " ".join(str(error).split())[:limit] or type(error).__name__
